-- migrate:up

-- Taxes by country, as people publish them; the last document of a key holds.
create table taxes (
    taxes text collate "C" primary key,
    body jsonb not null,
    digest bytea not null
);
grant select on taxes to kuota_app, kuota_system;

-- How many numbers of a series a local year has given: of the installation, which issues them. Its
-- row is locked by whoever takes the next one, until that is committed or given up, so that none is
-- left out.
create table receipt_series (
    series text not null collate "C",
    year smallint not null,
    last integer not null,
    primary key (series, year)
);
grant select, insert, update on receipt_series to kuota_app;

-- What was paid, as it was then; never changed and never removed.
create table receipts (
    tenant_id bigint not null,
    payment_key text not null collate "C",
    series text not null collate "C",
    year smallint not null,
    number integer not null,
    issued_at bigint not null,
    body jsonb not null,
    primary key (tenant_id, payment_key),
    constraint receipts_number unique (series, year, number)
);
alter table receipts enable row level security;
alter table receipts force row level security;
create policy of_tenant on receipts to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
grant select, insert on receipts to kuota_app;

-- migrate:down

drop table receipts, receipt_series, taxes;
