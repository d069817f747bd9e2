-- migrate:up

-- How facts call a person (`user`), which channels it works on (none named: all), and how many
-- seats are taken: kept beside the head, for whoever watches a tenant looks at that every second.
alter table users add column external_id text collate "C";
alter table users add column channels smallint[] not null default '{}';

-- What is there is filled in; an owner who is no superuser sees no rows while policies hold for
-- owners as well.
do $$
declare
    name text;
begin
    foreach name in array array['users', 'audit', 'tenant_head'] loop
        execute format('alter table %I no force row level security', name);
    end loop;
end $$;

update users set external_id = email where tenant_id is not null;
create unique index users_external_id on users (tenant_id, external_id);
grant update (external_id, channels) on users to kuota_app, kuota_system;

alter table tenant_head add column seated integer not null default 0;
update tenant_head h set seated = (
    select count(*) from users u
    where u.tenant_id = h.tenant_id and u.active and u.role in ('agent', 'supervisor')
);

-- What a tenant's people were, how facts called them, and whether they were let in: [since, until),
-- one spell after the other without a gap; the last one has no end.
create table user_spells (
    tenant_id bigint not null,
    user_id bigint not null,
    since bigint not null,
    until bigint,
    role text collate "C" not null,
    active boolean not null,
    external_id text not null collate "C",
    primary key (tenant_id, user_id, since),
    -- With the tenant, for such a check sees every tenant's rows.
    foreign key (tenant_id, user_id) references users (tenant_id, user_id)
) with (fillfactor = 80);
-- Whoever was ever called so.
create index user_spells_names on user_spells (tenant_id, external_id);

-- What was before: the audit has every change, in the order of its rows; the last word is the
-- user's own row.
insert into user_spells (tenant_id, user_id, since, until, role, active, external_id)
select tenant_id, user_id, since,
    lead(since) over (partition by tenant_id, user_id order by since), role, active, external_id
from (
    select distinct on (tenant_id, user_id, since)
        tenant_id, user_id, since, role, active, external_id
    from (
        select u.tenant_id, u.user_id, u.external_id, u.created_at as since, 0 as place,
            coalesce(first.before ->> 'role', u.role) as role,
            coalesce((first.before ->> 'active')::boolean, u.active) as active
        from users u
        left join lateral (
            select before from audit a
            where a.tenant_id = u.tenant_id and a.what = 'userUpdate'
                and a.subject = array['usr/' || u.user_id]
            order by at, audit_id limit 1
        ) first on true
        where u.tenant_id is not null
        union all
        select u.tenant_id, u.user_id, u.external_id, greatest(a.at, u.created_at), a.audit_id,
            a.after ->> 'role', (a.after ->> 'active')::boolean
        from users u join audit a on a.tenant_id = u.tenant_id and a.what = 'userUpdate'
            and a.subject = array['usr/' || u.user_id]
    ) told
    order by tenant_id, user_id, since, place desc
) each;
update user_spells s set role = u.role, active = u.active from users u
where u.tenant_id = s.tenant_id and u.user_id = s.user_id and s.until is null
    and (s.role, s.active) is distinct from (u.role, u.active);

do $$
declare
    name text;
begin
    foreach name in array array['users', 'audit', 'tenant_head'] loop
        execute format('alter table %I force row level security', name);
    end loop;
end $$;

alter table user_spells enable row level security;
alter table user_spells force row level security;
create policy of_tenant on user_spells to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
grant select, insert, update (until, role, active) on user_spells to kuota_app;

-- migrate:down

drop table user_spells;
alter table tenant_head drop column seated;
drop index users_external_id;
alter table users drop column channels;
alter table users drop column external_id;
