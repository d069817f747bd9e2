-- migrate:up

-- What the sandbox was asked to collect, which is a provider of payments that moves no money. It
-- stands for somebody elsewhere, and so knows keys and no tenants. `standing` is what was decided,
-- `told_at` from when on whoever looks is told; `collected` counts how often money would have moved.
create table sandbox_payments (
    payment_key text not null collate "C" primary key,
    script text not null collate "C",
    standing text not null collate "C",
    reason text not null,
    total bigint not null,
    currency text not null,
    description text not null,
    return_url text,
    asked integer not null,
    collected integer not null,
    asked_at bigint not null,
    expires_at bigint,
    told_at bigint not null
) with (fillfactor = 70);
alter table sandbox_payments enable row level security;
alter table sandbox_payments force row level security;
create policy of_system on sandbox_payments to kuota_system using (true);
grant select, insert, update (standing, reason, asked, collected, told_at) on sandbox_payments
    to kuota_system;

-- migrate:down

drop table sandbox_payments;
