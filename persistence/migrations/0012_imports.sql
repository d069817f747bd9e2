-- migrate:up

-- Which tenants came by an exported log, and whether it has been read to its end: an import that
-- broke off is taken up by the same log and by no other.
create table imports (
    tenant_id bigint primary key,
    log bytea not null,
    begun_at bigint not null,
    finished_at bigint
);
alter table imports enable row level security;
alter table imports force row level security;
create policy of_tenant on imports to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
grant select, insert, update on imports to kuota_app;

-- migrate:down

drop table imports;
