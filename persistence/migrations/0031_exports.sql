-- migrate:up

-- Files of many documents that somebody asked for: made by a task, a part at a time. `progress` is
-- where it goes on after what is kept of it. The row outlives its parts: its key means it for ever.
create table exports (
    tenant_id bigint not null,
    export_id bigint not null generated always as identity,
    key text not null collate "C",
    year smallint not null,
    kinds text[] not null,
    state smallint not null,
    done integer not null default 0,
    total integer not null,
    size bigint not null default 0,
    failures smallint not null default 0,
    progress jsonb not null,
    created_at bigint not null,
    finished_at bigint,
    primary key (tenant_id, export_id),
    unique (tenant_id, key)
) with (fillfactor = 80);
create index exports_unfinished on exports (tenant_id) where state in (1, 2);
-- What is finished and still there, oldest first, for whoever clears it away.
create index exports_finished on exports (finished_at) where state = 3;

-- The bytes of them, in the order of sections and places.
create table export_parts (
    tenant_id bigint not null,
    export_id bigint not null,
    section smallint not null,
    place integer not null,
    body bytea not null,
    primary key (tenant_id, export_id, section, place)
);

-- The documents of a tenant in the order in which they were issued.
create index invoices_by_issue on invoices (tenant_id, issued_at, invoice_id)
    where issued_at is not null;

do $$
declare
    name text;
begin
    foreach name in array array['exports', 'export_parts'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy of_tenant on %I to kuota_app '
            'using (tenant_id = any ((select app_tenants())::bigint[]))', name);
    end loop;
end $$;
grant select, insert, update on exports to kuota_app;
grant select, insert, delete on export_parts to kuota_app;

-- Who clears away what was finished long ago looks at all tenants.
create policy of_system on exports to kuota_system using (true);
create policy of_system on export_parts to kuota_system using (true);
grant select (tenant_id, export_id, state, finished_at), update (state) on exports to kuota_system;
grant select (tenant_id, export_id, section, place), delete on export_parts to kuota_system;

-- migrate:down

drop index invoices_by_issue;
drop table export_parts, exports;
