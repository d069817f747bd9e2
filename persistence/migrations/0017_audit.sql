-- migrate:up

-- Who changed what: a row for every write of people and machines, made by the transaction that
-- writes. Nobody changes or removes one. Without a tenant: what is of the whole installation.
create table audit (
    tenant_id bigint,
    audit_id bigint not null generated always as identity,
    at bigint not null,
    actor text not null,
    actor_kind text not null,
    address text,
    request_id text,
    what text not null,
    subject text[] not null,
    before jsonb,
    after jsonb
);
-- A tenant's newest, and those of a range; then everybody's.
create unique index audit_of_tenant on audit (tenant_id, at, audit_id);
create index audit_newest on audit (at, audit_id);
alter table audit enable row level security;
alter table audit force row level security;
create policy of_tenant on audit to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
create policy of_system on audit to kuota_system using (true);
grant select, insert on audit to kuota_app, kuota_system;

-- migrate:down

drop table audit;
