-- migrate:up

-- Everything before this instant is closed: what comes for it is an adjustment, paid by what is
-- open (EV-3). Read with every lock.
alter table tenant_head add column closed_until bigint;
create index facts_adjusted on facts (tenant_id, arrived_at) where status = 3;

-- Where folding again begins: the figures at a period's end, as they were when it was closed.
-- Contacts stand beside it, as far as something of theirs was still open.
alter table checkpoints
    add column moved jsonb not null default '[]',
    add column paid_off jsonb not null default '[]',
    add column next_due bigint;
create table closing_contacts (like contacts including indexes);
alter table closing_contacts add column closed_until bigint not null;
alter table closing_contacts enable row level security;
alter table closing_contacts force row level security;
create policy of_tenant on closing_contacts to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
grant select, insert, delete on closing_contacts to kuota_app;
grant delete on checkpoints to kuota_app;
grant update (closed_at) on periods to kuota_app;

-- migrate:down

revoke delete on checkpoints from kuota_app;
drop table closing_contacts;
alter table checkpoints drop column moved, drop column paid_off, drop column next_due;
drop index facts_adjusted;
alter table tenant_head drop column closed_until;
