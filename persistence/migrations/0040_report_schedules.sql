-- migrate:up

-- Reports that are made again and again, each of the last whole day, week or month. `spec` is the
-- report without its range; `content` a digest of what was asked for under the key, which means it
-- for ever: the row outlives its schedule, which has ended then, and has nothing of the report any
-- more. `since`: nothing that was due by then is made. `changed_by` is who created or last changed
-- it: whoever that is must still be allowed to have its report when one is due.
create table report_schedules (
    tenant_id bigint not null,
    schedule_id bigint not null generated always as identity,
    key text not null collate "C",
    content text not null,
    rhythm smallint not null,
    hour smallint not null,
    spec jsonb not null,
    active boolean not null,
    since bigint not null,
    created_by text not null,
    changed_by text not null,
    created_at bigint not null,
    ended_at bigint,
    last_export bigint,
    last_error text,
    primary key (tenant_id, schedule_id),
    unique (tenant_id, key)
);

-- The letters that a report is sent in when it is done, one to each address, in the order in which
-- they were named. `final`: whether its figures were, then.
create table report_letters (
    tenant_id bigint not null,
    export_id bigint not null,
    place smallint not null,
    email text not null collate "C",
    schedule_id bigint,
    final boolean not null,
    state smallint not null,
    tried smallint not null default 0,
    error text,
    created_at bigint not null,
    sent_at bigint,
    primary key (tenant_id, export_id, place)
) with (fillfactor = 80);
-- How many a tenant has had lately.
create index report_letters_by_time on report_letters (tenant_id, created_at);
-- Whose files stay because they did not go yet.
create index report_letters_waiting on report_letters (tenant_id, export_id) where state = 1;

do $$
declare
    name text;
begin
    foreach name in array array['report_schedules', 'report_letters'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy of_tenant on %I to kuota_app '
            'using (tenant_id = any ((select app_tenants())::bigint[]))', name);
    end loop;
end $$;
grant select, insert, update on report_schedules, report_letters to kuota_app;

-- migrate:down

drop table report_letters, report_schedules;
