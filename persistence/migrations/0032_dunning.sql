-- migrate:up

-- What happens with a tenant's unpaid invoices, where it is not what happens with everybody's; and
-- what of its sends is refused for them just now, null: nothing.
alter table tenants add column dunning jsonb, add column dunned jsonb;
grant update (dunning, dunned) on tenants to kuota_app;

-- What was done about an overdue invoice, each step once. `lifted_at` says since when a block that
-- was one no longer holds: all but that stays as it is.
create table dunning_steps (
    tenant_id bigint not null,
    invoice_id bigint not null,
    step text not null collate "C",
    at bigint not null,
    lifted_at bigint,
    primary key (tenant_id, invoice_id, step)
);
alter table dunning_steps enable row level security;
alter table dunning_steps force row level security;
create policy of_tenant on dunning_steps to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
grant select, insert on dunning_steps to kuota_app;
grant update (lifted_at) on dunning_steps to kuota_app;

-- migrate:down

drop table dunning_steps;
alter table tenants drop column dunning, drop column dunned;
