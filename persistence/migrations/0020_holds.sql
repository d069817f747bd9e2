-- migrate:up

-- What is set aside for sends is granted in Valkey, and an id says all of a hold. Its row is written
-- before anybody is told: whatever becomes of Valkey, the hold is there. Its end is decided here. `share` and `total` are
-- amounts by field as the id has them, `back` what its ended shares had set aside, `sent` what is
-- set aside by shares whose message was sent. A hold for one recipient has its share in its row.
drop table holds;
create table holds (
    tenant_id bigint not null,
    hold_id bytea not null,
    expires_at bigint not null,
    lasts_until bigint not null,
    shares integer not null,
    share text not null collate "C",
    total text not null collate "C",
    varied boolean not null,
    ended integer not null,
    back text not null collate "C",
    sent text not null collate "C",
    sent_at bigint,
    ended_at bigint,
    ended_by smallint,
    revision integer not null,
    version bigint not null,
    digest bytea not null,
    answer bytea, -- what whoever asked was told, behind a digest of it
    primary key (tenant_id, hold_id)
) with (fillfactor = 70);
-- Those that may still set something aside, for whoever counts them anew.
create index holds_open on holds (tenant_id, lasts_until) where ended_at is null;

-- Shares of a hold for several recipients: those that are not as the hold says, or were sent or
-- have ended. A recipient is a digest of the address.
create table hold_shares (
    tenant_id bigint not null,
    hold_id bytea not null,
    recipient bytea not null,
    share text collate "C",
    sent_at bigint,
    ended_at bigint,
    ended_by smallint,
    digest bytea not null,
    primary key (tenant_id, hold_id, recipient)
) with (fillfactor = 70);

-- What was granted since Valkey went away, for tenants whose sends go on then up to an amount.
create table outages (
    tenant_id bigint not null primary key,
    began_at bigint not null,
    granted text not null collate "C"
);

do $$
declare
    name text;
begin
    foreach name in array array['holds', 'hold_shares', 'outages'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy of_tenant on %I to kuota_app '
            'using (tenant_id = any ((select app_tenants())::bigint[]))', name);
    end loop;
end $$;
create policy of_system on outages to kuota_system using (true);
grant select (tenant_id, granted) on outages to kuota_system;
create policy of_system on holds to kuota_system using (true);
create policy of_system on hold_shares to kuota_system using (true);
grant select (tenant_id, hold_id, shares, ended, ended_at, lasts_until), delete on holds
    to kuota_system;
grant select (tenant_id, hold_id), delete on hold_shares to kuota_system;
grant select, insert, update on holds to kuota_app;
grant select, insert, update on hold_shares to kuota_app;
grant select, insert, update, delete on outages to kuota_app;

-- Signs the ids of a tenant's holds.
alter table tenants add column hold_key bytea not null
    default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());

-- migrate:down

alter table tenants drop column hold_key;
drop table outages, hold_shares, holds;
create table holds (
    tenant_id bigint not null,
    hold_id bytea not null,
    balance_id smallint not null,
    amount bigint not null,
    captured bigint not null,
    expires_at bigint not null,
    ended_at bigint,
    ended_by smallint,
    shares jsonb not null,
    primary key (tenant_id, hold_id)
);
alter table holds enable row level security;
alter table holds force row level security;
create policy of_tenant on holds to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
grant select, insert, update on holds to kuota_app;
