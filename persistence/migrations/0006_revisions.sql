-- migrate:up

-- What became of a fact after its first outcome, which its own row keeps as revision 0: the latest
-- revision's status and flags hold, and its charges stand in `charges` under its number.
create table revisions (
    tenant_id bigint not null,
    at bigint not null,
    key bytea not null,
    revision integer not null,
    version bigint not null,
    status smallint not null,
    flags integer not null,
    primary key (tenant_id, at, key, revision)
) partition by range (at);
create table revisions_default partition of revisions default;

-- Tenants with facts that no rate covers: not after the earliest of them, and the catalogue under
-- which all of them were tried. One row a tenant as long as it has such facts.
create table unrated (
    tenant_id bigint primary key,
    since bigint not null,
    tried text not null default ''
) with (fillfactor = 50);

-- Facts kept unrated before this table was there; an owner who is no superuser sees none of them
-- while policies hold for owners as well.
alter table facts no force row level security;
insert into unrated (tenant_id, since)
select tenant_id, min(at) from facts where status = 2 group by tenant_id;
alter table facts force row level security;

do $$
declare
    name text;
begin
    foreach name in array array['revisions', 'unrated'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy of_tenant on %I to kuota_app '
            'using (tenant_id = any ((select app_tenants())::bigint[]))', name);
    end loop;
end $$;
create policy of_system on unrated to kuota_system using (true);

grant select, insert on revisions to kuota_app;
grant select, insert, update, delete on unrated to kuota_app;
grant select on unrated to kuota_system;

-- migrate:down

drop table unrated, revisions;
