-- migrate:up

-- What became unrated, or was rated in a closed period, by a revision: a page of it, and all of it.
create index revisions_unrated on revisions (tenant_id, at) where status = 2;
create index revisions_adjusted on revisions (tenant_id, at) where status = 3;

-- Facts that came otherwise and that settling found unrated were passed over when their rate came:
-- all of them are tried anew. An owner who is no superuser sees no rows while policies hold for
-- owners as well.
alter table revisions no force row level security;
alter table unrated no force row level security;
insert into unrated (tenant_id, since)
select tenant_id, min(at) from revisions r
where status = 2 and not exists (
    select from revisions
    where tenant_id = r.tenant_id and at = r.at and key = r.key and revision > r.revision
)
group by tenant_id
on conflict (tenant_id) do update set since = least(unrated.since, excluded.since), tried = '';
alter table revisions force row level security;
alter table unrated force row level security;

-- migrate:down

drop index revisions_unrated, revisions_adjusted;
