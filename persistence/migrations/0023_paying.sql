-- migrate:up

-- Things to be done behind a commit: rows of the transaction that decided them. `due_at` is moved
-- ahead by whoever takes one, for as long as it may take; `tries` counts how often it was taken.
create table tasks (
    tenant_id bigint not null,
    kind text not null collate "C",
    key text not null collate "C",
    due_at bigint not null,
    tries integer not null default 0,
    body jsonb not null default '{}',
    primary key (tenant_id, kind, key)
) with (fillfactor = 70);
create index tasks_due on tasks (kind, due_at);

-- Top-ups that a tenant pays for: bought by itself, or made by its refill policy. `net` is exact,
-- `tax` and `total` are what is asked for; all in micros of `currency`, `amount` in the balance's.
-- `body` has how they came about, and what `cause_id` names moved the balance.
create table purchases (
    tenant_id bigint not null,
    purchase_id bigint not null generated always as identity,
    kind smallint not null,
    state smallint not null,
    balance_id smallint not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    net bigint not null,
    tax bigint not null,
    total bigint not null,
    body jsonb not null,
    cause_id text not null collate "C",
    created_at bigint not null,
    ends_at bigint not null,
    ended_at bigint,
    primary key (tenant_id, purchase_id)
);
-- At most one refill of a balance is in flight, whoever decides (RF-2).
create unique index purchases_in_flight on purchases (tenant_id, balance_id)
    where kind = 2 and state = 1;

-- Each try to collect a purchase's total, by the key that its provider knows it by.
create table payments (
    tenant_id bigint not null,
    payment_key text not null collate "C",
    purchase_id bigint not null,
    try smallint not null,
    provider text not null,
    state smallint not null,
    due_at bigint not null,
    asked_at bigint,
    ended_at bigint,
    reason text not null default '',
    pay_url text,
    reference text,
    action_id bigint,
    primary key (tenant_id, payment_key),
    unique (tenant_id, purchase_id, try)
) with (fillfactor = 70);
-- A notice names the key alone; it has 96 random bits.
create index payments_by_key on payments (payment_key);

-- What is charged without anybody present: a provider's token, sealed, and what people call it.
create table payment_methods (
    tenant_id bigint not null primary key,
    provider text not null,
    token text not null,
    label text not null,
    created_at bigint not null
);

do $$
declare
    name text;
begin
    foreach name in array array['tasks', 'purchases', 'payments', 'payment_methods'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy of_tenant on %I to kuota_app '
            'using (tenant_id = any ((select app_tenants())::bigint[]))', name);
    end loop;
end $$;
grant select, insert, update, delete on tasks to kuota_app;
grant select, insert, update on purchases to kuota_app;
grant select, insert, update on payments to kuota_app;
grant select, insert, update, delete on payment_methods to kuota_app;

-- Due tasks are of any tenant; a provider's notice names a payment, and no tenant.
create policy of_system on tasks to kuota_system using (true);
create policy of_system on payments to kuota_system using (true);
grant select, update (due_at, tries) on tasks to kuota_system;
grant select (tenant_id, payment_key, provider, state, asked_at) on payments to kuota_system;

-- How balances are refilled, as the tenant set it: by balance.
alter table tenants add column refills jsonb not null default '{}';
grant update (refills) on tenants to kuota_app;
-- By balance: what is on its way, what was begun this day and month, and until when a cap holds.
alter table tenant_head add column refilling text collate "C" not null default '[]';

-- migrate:down

alter table tenant_head drop column refilling;
alter table tenants drop column refills;
drop table payment_methods, payments, purchases, tasks;
