"""Whether the rows of a tenant's account agree with one another, for `verify` and for tests.

Owns the sums that must be the same however they are made (IN-2, IN-4). Changes nothing.
"""

from __future__ import annotations

from typing import Final

from persistence.connection import Connection

WHOLE = """
select
    (select coalesce(sum(receivable), 0) from journal where tenant_id = $1) as receivable,
    (select coalesce(sum(balance), 0) from invoices
        where tenant_id = $1 and number is not null) as open,
    (select coalesce(sum(credit), 0) from account_payments
        where tenant_id = $1) as credit"""

#: Each gives what is wrong, with what it should be.
ROWS: Final = (
    (
        "{name}: payments to it come to {found}, its row says {said}",
        """
        select i.number as name, i.paid as said, coalesce(sum(a.amount), 0) as found
        from invoices i left join allocations a using (tenant_id, invoice_id)
        where i.tenant_id = $1 and i.number is not null
        group by i.tenant_id, i.invoice_id having i.paid <> coalesce(sum(a.amount), 0)
        order by i.invoice_id""",
    ),
    (
        "{name}: its credit notes come to {found}, its row says {said}",
        """
        select i.number as name, i.credited as said, coalesce(sum(n.total), 0) as found
        from invoices i
        left join invoices n
            on n.tenant_id = i.tenant_id and n.of_id = i.invoice_id and n.number is not null
        where i.tenant_id = $1 and i.kind = 1 and i.number is not null
        group by i.tenant_id, i.invoice_id having i.credited <> coalesce(sum(n.total), 0)
        order by i.invoice_id""",
    ),
    (
        "payment {name}: what it gave comes to {found}, its row says {said}",
        """
        select p.payment as name, p.used as said, coalesce(sum(a.amount), 0) as found
        from account_payments p left join allocations a using (tenant_id, payment_id)
        where p.tenant_id = $1
        group by p.tenant_id, p.payment_id having p.used <> coalesce(sum(a.amount), 0)
        order by p.payment_id""",
    ),
    (
        "{name}: its entries come to {found}, its row to {said}",
        """
        select i.number as name, coalesce(sum(j.receivable), 0) as found,
            case when i.voided_at is not null then 0 when i.kind = 1 then i.total else -i.total end
            as said
        from invoices i left join journal j using (tenant_id, invoice_id)
        where i.tenant_id = $1 and i.number is not null
        group by i.tenant_id, i.invoice_id
        having coalesce(sum(j.receivable), 0) <> case when i.voided_at is not null then 0
            when i.kind = 1 then i.total else -i.total end
        order by i.invoice_id""",
    ),
    (
        "payment {name}: its entries come to {found}, its row to {said}",
        """
        select p.payment as name, coalesce(sum(j.cash), 0) as found,
            p.amount - p.refunded - p.taken_back as said
        from account_payments p left join journal j using (tenant_id, payment_id)
        where p.tenant_id = $1
        group by p.tenant_id, p.payment_id
        having coalesce(sum(j.cash), 0) <> p.amount - p.refunded - p.taken_back
        order by p.payment_id""",
    ),
    (
        "entry {name}: it is of {said}, which there is not",
        """
        select j.entry_id::text as name, j.reference as said, 0 as found
        from journal j
        left join invoices i on i.tenant_id = j.tenant_id and i.invoice_id = j.invoice_id
            and i.number = j.reference
        left join account_payments p on p.tenant_id = j.tenant_id and p.payment_id = j.payment_id
            and p.payment = j.reference
        where j.tenant_id = $1 and i.invoice_id is null and p.payment_id is null
        order by j.entry_id""",
    ),
)


async def check(connection: Connection, tenant_id: int) -> list[str]:
    """What of a tenant's account does not agree, in words; empty: all of it does."""
    whole = await connection.fetchrow(WHOLE, tenant_id)
    assert whole is not None
    wrong = []
    # Sums have more room than what they are of.
    receivable, opened, credit = map(int, whole.values())
    expected = opened - credit
    if receivable != expected:
        wrong.append(f"the journal comes to {receivable}, invoices without credit to {expected}")
    for words, sql in ROWS:
        rows = await connection.fetch(sql, tenant_id)
        wrong += [
            words.format(name=row["name"], said=row["said"], found=int(row["found"]))
            for row in rows
        ]
    return wrong
