-- migrate:up

-- What was agreed with a tenant since it began, in the order it was decided: plans and allowances,
-- each from an instant on. `plan` stays the first one. Read wherever the tenant is read.
alter table tenants add column changes jsonb not null default '[]';
grant update (changes) on tenants to kuota_app;

-- migrate:down

alter table tenants drop column changes;
