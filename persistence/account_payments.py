"""Lists of an account for readers: its figures, its payments and what each of them pays.

Owns no movement and no decision: rows are written by `accounts`. Of several tenants one statement
is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from persistence.accounts import Method
from persistence.connection import Connection
from persistence.door import Door


class Figures(NamedTuple):
    """What an account comes to, in micros of the tenant's currency."""

    open: int  #: what is left to pay of all invoices
    overdue: int  #: of it, what was due before a local day
    credit: int  #: what was paid and pays nothing yet


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """A payment on the account; amounts in micros of its currency."""

    tenant_id: int
    payment_id: int
    payment: str  #: its key
    amount: int
    currency: str
    used: int
    refunded: int
    taken_back: int
    credit: int
    received_on: int  #: local day
    created_at: int
    method: Method
    reference: str
    provider: str | None
    note: str


# Sums have more room than what they are of, and are read as they are.
FIGURES = """
select asked.n, coalesce(i.open, 0) as open, coalesce(i.overdue, 0) as overdue,
    coalesce(p.credit, 0) as credit
from unnest($1::bigint[], $2::integer[]) with ordinality asked (tenant_id, today, n)
cross join lateral (
    select sum(balance) as open, sum(balance) filter (where due_on < asked.today) as overdue
    from invoices where tenant_id = asked.tenant_id and balance > 0 and number is not null
) i
cross join lateral (
    select sum(credit) as credit from account_payments
    where tenant_id = asked.tenant_id and credit > 0
) p
order by asked.n"""


async def figures(door: Door, asked: Sequence[tuple[int, int]]) -> list[Figures]:
    """For each (tenant, local day), what its account comes to."""
    tenants, days = (list(column) for column in zip(*asked, strict=True))
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(FIGURES, tenants, days)
    return [Figures(int(row["open"]), int(row["overdue"]), int(row["credit"])) for row in rows]


_PAYMENT = """p.tenant_id, p.payment_id, p.payment, p.amount, p.currency, p.used, p.refunded,
    p.taken_back, p.credit, p.received_on, p.created_at, p.body::text as body"""

PAGES = f"""
select asked.n, {_PAYMENT}
from unnest($1::bigint[], $2::bigint[]) with ordinality asked (tenant_id, before, n)
cross join lateral (
    select * from account_payments
    where tenant_id = asked.tenant_id and payment_id < asked.before
    order by payment_id desc
    limit $3
) p
order by asked.n, p.payment_id desc"""

#: Behind every payment, as pages go.
NEWEST: Final = (1 << 63) - 1


async def pages(
    door: Door, asked: Sequence[tuple[int, int]], *, limit: int
) -> list[list[PaymentRow]]:
    """For each (tenant, number of the last one seen), up to `limit` payments, newest first."""
    tenants, before = (list(column) for column in zip(*asked, strict=True))
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(PAGES, tenants, before, limit)
    found: list[list[PaymentRow]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(_row(row))
    return found


BY_IDS = f"""
select asked.n, {_PAYMENT}
from unnest($1::bigint[], $2::bigint[]) with ordinality asked (tenant_id, payment_id, n)
join account_payments p on p.tenant_id = asked.tenant_id and p.payment_id = asked.payment_id"""


async def by_ids(door: Door, asked: Sequence[tuple[int, int]]) -> list[PaymentRow | None]:
    """For each (tenant, number in the database), in order, the payment; None: there is none."""
    tenants, numbers = (list(column) for column in zip(*asked, strict=True))
    found: list[PaymentRow | None] = [None] * len(asked)
    async with door.tenant_tx(*set(tenants)) as connection:
        for row in await connection.fetch(BY_IDS, tenants, numbers):
            found[row["n"] - 1] = _row(row)
    return found


OF_KEY = f"select {_PAYMENT} from account_payments p where tenant_id = $1 and payment = $2"


async def of_key(connection: Connection, tenant_id: int, key: str) -> PaymentRow | None:
    """A payment by its key."""
    row = await connection.fetchrow(OF_KEY, tenant_id, key)
    return None if row is None else _row(row)


KEY_OF = "select payment from account_payments where tenant_id = $1 and payment_id = $2"


async def key_of(connection: Connection, tenant_id: int, payment_id: int) -> str | None:
    """The key of a payment by its number; None: the tenant has none of it."""
    found: str | None = await connection.fetchval(KEY_OF, tenant_id, payment_id)
    return found


# What was given and came back again pays nothing.
PAID = """
select asked.n, i.number, sum(a.amount)::bigint as amount
from unnest($1::bigint[], $2::bigint[]) with ordinality asked (tenant_id, payment_id, n)
join allocations a using (tenant_id, payment_id)
join invoices i using (tenant_id, invoice_id)
group by asked.n, i.number
having sum(a.amount) <> 0
order by asked.n, min(a.allocation_id)"""


async def paid_by(door: Door, payments: Sequence[tuple[int, int]]) -> list[list[tuple[str, int]]]:
    """For each payment, the invoices that it pays by number, with how much."""
    tenants, numbers = (list(column) for column in zip(*payments, strict=True))
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(PAID, tenants, numbers)
    found: list[list[tuple[str, int]]] = [[] for _ in payments]
    for row in rows:
        found[row["n"] - 1].append((row["number"], row["amount"]))
    return found


def _row(row: asyncpg.Record) -> PaymentRow:
    values: dict[str, Any] = {
        name: value for name, value in row.items() if name not in ("n", "body")
    }
    body: dict[str, Any] = msgspec.json.decode(row["body"])
    return PaymentRow(
        **values, method=Method(body["method"]), reference=body["reference"],
        provider=body["provider"], note=body["note"],
    )  # fmt: skip
