-- migrate:up

-- What was said last of an overdue invoice, and of a subscription that ends.
create index alerts_of_billing on alerts (tenant_id, kind, cause_id, version desc, line desc)
    where kind in (14, 15);

-- Of what something is left to pay, newest first.
create index invoices_unpaid on invoices (tenant_id, invoice_id) where balance > 0;

-- An operator names an invoice by its id, and no tenant.
create index invoices_by_id on invoices (invoice_id);
create policy of_system on invoices to kuota_system using (true);
grant select (tenant_id, invoice_id) on invoices to kuota_system;

-- Of two issuers the one that asks on the day of its issue numbers a draft.
grant update (issuer) on invoices to kuota_app;

-- migrate:down

revoke update (issuer) on invoices from kuota_app;
revoke select (tenant_id, invoice_id) on invoices from kuota_system;
drop policy of_system on invoices;
drop index invoices_by_id;
drop index invoices_unpaid;
drop index alerts_of_billing;
