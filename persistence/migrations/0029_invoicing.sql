-- migrate:up

-- Who issues invoices, as people publish it; the last document of a key holds.
create table issuers (
    issuer text primary key collate "C",
    body jsonb not null,
    digest bytea not null
);
grant select on issuers to kuota_app, kuota_system;
grant insert, update on issuers to kuota_system;

-- What a tenant says of itself for its invoices, and whether it has some: its periods are closed by
-- themselves then, and what they leave unpaid is asked for.
alter table tenants
    add column billing jsonb not null default '{}',
    add column invoicing boolean not null default false;
grant update (billing, invoicing) on tenants to kuota_app;

-- What was agreed on a first day; what was agreed since are rows beside it. `said_for` is the last
-- day served whose coming was said.
create table subscriptions (
    tenant_id bigint not null,
    subscription_id bigint not null generated always as identity,
    subscription text not null collate "C",
    start integer not null,
    body jsonb not null,
    created_at bigint not null,
    said_for integer,
    primary key (tenant_id, subscription_id),
    unique (tenant_id, subscription)
);
create table subscription_changes (
    tenant_id bigint not null,
    subscription_id bigint not null,
    change text not null collate "C",
    kind smallint not null,
    day integer not null,
    agreed_on integer not null,
    agreed_at bigint not null,
    body jsonb not null,
    primary key (tenant_id, subscription_id, change)
);

-- What a closed period's usage came to, and who has paid for it: as it was when it was closed.
create table closed_usage (
    tenant_id bigint not null,
    period integer not null,
    version bigint not null,
    closed_at bigint not null,
    body jsonb not null,
    primary key (tenant_id, period)
);

-- How many numbers of a series a local year has given, by issuer. Its row is locked last, by
-- whoever takes the next one, until that is committed or given up, so that none is left out.
create table document_series (
    issuer text not null collate "C",
    series text not null collate "C",
    year smallint not null,
    last integer not null,
    primary key (issuer, series, year)
);
grant select, insert, update on document_series to kuota_app;
grant select on document_series to kuota_system;

-- Invoices and credit notes. `body` is all that one says, and never changes once it has a number;
-- what was given back and paid of it stands beside. Amounts are micros of `currency`. `period` is
-- the closed one it is of, `asked_month` the one that subscriptions are asked for in advance.
create table invoices (
    tenant_id bigint not null,
    invoice_id bigint not null generated always as identity,
    kind smallint not null,
    origin smallint not null,
    period integer,
    asked_month integer,
    asks jsonb not null default '{}',
    of_id bigint,
    issuer text not null collate "C",
    series text collate "C",
    year smallint,
    place integer,
    number text collate "C",
    currency text not null,
    total bigint not null check (total >= 0),
    credited bigint not null default 0 check (credited >= 0),
    paid bigint not null default 0 check (paid >= 0),
    issued_on integer,
    due_on integer,
    created_at bigint not null,
    issued_at bigint,
    voided_at bigint,
    body jsonb not null,
    balance bigint not null generated always as (
        case when voided_at is null and kind = 1 then total - credited - paid else 0 end
    ) stored,
    primary key (tenant_id, invoice_id),
    check (balance >= 0),
    constraint invoices_number unique (issuer, series, year, place)
) with (fillfactor = 80);
create unique index invoices_by_number on invoices (tenant_id, number);
-- A period is invoiced once, whatever runs twice (IN-7).
create unique index invoices_of_period on invoices (tenant_id, period)
    where kind = 1 and period is not null and voided_at is null;
create index invoices_open on invoices (tenant_id, due_on) where balance > 0;
create index invoices_notes on invoices (tenant_id, of_id) where of_id is not null;

-- What came in on a tenant's account. `names` are invoices it is for, before others.
create table account_payments (
    tenant_id bigint not null,
    payment_id bigint not null generated always as identity,
    payment text not null collate "C",
    amount bigint not null check (amount > 0),
    currency text not null,
    names text[] not null default '{}',
    used bigint not null default 0,
    refunded bigint not null default 0,
    taken_back bigint not null default 0,
    credit bigint not null generated always as (amount - used - refunded - taken_back) stored,
    received_on integer not null,
    created_at bigint not null,
    body jsonb not null default '{}',
    primary key (tenant_id, payment_id),
    unique (tenant_id, payment),
    check (used >= 0 and refunded >= 0 and taken_back >= 0 and credit >= 0)
) with (fillfactor = 80);
create index account_payments_credit on account_payments (tenant_id) where credit > 0;

-- Moves of a payment's money to an invoice; below zero: back from it. Never changed.
create table allocations (
    tenant_id bigint not null,
    allocation_id bigint not null generated always as identity,
    payment_id bigint not null,
    invoice_id bigint not null,
    amount bigint not null check (amount <> 0),
    at bigint not null,
    primary key (tenant_id, allocation_id)
);
create index allocations_of_invoice on allocations (tenant_id, invoice_id);
create index allocations_of_payment on allocations (tenant_id, payment_id);

-- The account's journal: each row a movement with all its sides, so that none is unbalanced.
-- What is on the left is owed to or held by the issuer, on the right what it earned or owes.
create table journal (
    tenant_id bigint not null,
    entry_id bigint not null generated always as identity,
    at bigint not null,
    kind smallint not null,
    reference text not null collate "C",
    invoice_id bigint,
    payment_id bigint,
    receivable bigint not null,
    cash bigint not null default 0,
    revenue bigint not null default 0,
    tax bigint not null default 0,
    rounding bigint not null default 0,
    primary key (tenant_id, entry_id),
    constraint journal_balanced check (receivable + cash = revenue + tax + rounding)
);
create index journal_by_time on journal (tenant_id, at, entry_id);

-- What a closing took out of lots moves them without using them, as the others do.
drop index transfers_moves;
create index transfers_moves on transfers (tenant_id, at)
    where cause in (4, 6, 7, 8, 9, 10, 11);

do $$
declare
    name text;
begin
    foreach name in array array['subscriptions', 'subscription_changes', 'closed_usage', 'invoices',
            'account_payments', 'allocations', 'journal'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy of_tenant on %I to kuota_app '
            'using (tenant_id = any ((select app_tenants())::bigint[]))', name);
    end loop;
end $$;
grant select, insert on subscriptions to kuota_app;
grant update (said_for) on subscriptions to kuota_app;
grant select, insert on subscription_changes, closed_usage, allocations, journal to kuota_app;
grant select, insert, delete on invoices to kuota_app;
grant update (credited, paid, voided_at, body, total, series, year, place, number, issued_on,
    due_on, issued_at) on invoices to kuota_app;
grant select, insert on account_payments to kuota_app;
grant update (used, refunded, taken_back) on account_payments to kuota_app;

-- migrate:down

drop index transfers_moves;
create index transfers_moves on transfers (tenant_id, at) where cause in (4, 6, 7, 8);
drop table journal, allocations, account_payments, invoices, document_series, closed_usage,
    subscription_changes, subscriptions, issuers;
alter table tenants drop column billing, drop column invoicing;
