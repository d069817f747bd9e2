-- migrate:up

-- Lists of documents as they were issued, newest first; drafts, which were not, are before them.
-- Under row-level security an index serves `case`, and no `coalesce`.
create index invoices_listed on invoices (
    tenant_id, (case when issued_at is null then 9223372036854775807 else issued_at end), invoice_id
);
drop index invoices_unpaid;
create index invoices_unpaid on invoices (
    tenant_id, (case when issued_at is null then 9223372036854775807 else issued_at end), invoice_id
) where balance > 0;

-- migrate:down

drop index invoices_unpaid;
create index invoices_unpaid on invoices (tenant_id, invoice_id) where balance > 0;
drop index invoices_listed;
