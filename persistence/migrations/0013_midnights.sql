-- migrate:up

-- Folding again begins at a local midnight too, where nothing of before it came since: with the
-- figures there, by the terms they were folded on (the head's count of changes); null: a closing.
alter table checkpoints add column settings integer;

-- Contacts as they stood at a midnight: those that changed since the midnight kept before it.
create table midnight_contacts (like contacts);
alter table midnight_contacts
    add column at bigint not null,
    add primary key (tenant_id, channel, party, number_id, at);
create index midnight_contacts_at on midnight_contacts (tenant_id, at);
alter table midnight_contacts enable row level security;
alter table midnight_contacts force row level security;
create policy of_tenant on midnight_contacts to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
grant select, insert, delete on midnight_contacts to kuota_app;

-- What was rated or settled since a version.
create index revisions_version on revisions (tenant_id, version);

-- migrate:down

drop index revisions_version;
drop table midnight_contacts;
alter table checkpoints no force row level security;
delete from checkpoints where settings is not null;
alter table checkpoints force row level security;
alter table checkpoints drop column settings;
