-- migrate:up

-- What a tenant decides about sending beside its plan: its own fields alone, spelt as a plan spells
-- them. Whoever is blocked owes something; operators suspend for any other reason.
alter table tenants
    add column sending jsonb not null default '{}',
    drop constraint tenants_status_check,
    add constraint tenants_status_check check (status in ('active', 'suspended', 'blocked'));
grant update (sending) on tenants to kuota_app;

-- migrate:down

alter table tenants no force row level security;
update tenants set status = 'suspended' where status = 'blocked';
alter table tenants force row level security;
alter table tenants
    drop constraint tenants_status_check,
    add constraint tenants_status_check check (status in ('active', 'suspended')),
    drop column sending;
