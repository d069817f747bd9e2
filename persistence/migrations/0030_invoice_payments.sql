-- migrate:up

-- What is left to pay of an invoice is collected as a purchase is: of no balance then, and of kind 3.
alter table purchases alter column balance_id drop not null;
alter table purchases add column invoice_id bigint;
alter table purchases add constraint purchases_of_what check (
    case when kind = 3 then invoice_id is not null and balance_id is null
        else invoice_id is null and balance_id is not null end
);
-- An invoice is asked for at one place at a time, whoever wants to pay it.
create unique index purchases_of_invoice on purchases (tenant_id, invoice_id)
    where kind = 3 and state = 1;

-- migrate:down

drop index purchases_of_invoice;
delete from payments p using purchases q
where q.tenant_id = p.tenant_id and q.purchase_id = p.purchase_id and q.kind = 3;
delete from purchases where kind = 3;
alter table purchases drop constraint purchases_of_what, drop column invoice_id;
alter table purchases alter column balance_id set not null;
