-- migrate:up

-- When the forecasts of a tenant were looked at last, and at which version of its figures: who has
-- not moved since is not looked at again.
create table forecasts (
    tenant_id bigint not null primary key,
    version bigint not null,
    looked_at bigint not null
) with (fillfactor = 70);
alter table forecasts enable row level security;
alter table forecasts force row level security;
create policy of_tenant on forecasts to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
create policy of_system on forecasts to kuota_system using (true);
grant select, insert, update on forecasts to kuota_app;
grant select on forecasts to kuota_system;

-- migrate:down

drop table forecasts;
