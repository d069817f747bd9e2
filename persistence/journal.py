"""The journal of an account: every movement with all its sides, so that none is unbalanced.

Owns the rows and how documents and payments are entered; statements are read from them. What is
left to pay of which invoice is `accounts`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

import asyncpg

from domain.invoices import Invoice
from domain.statements import EntryKind
from persistence.connection import Connection
from persistence.door import Door


class Stored(IntEnum):
    """Entry kinds as rows have them; a number never changes meaning."""

    INVOICE = 1
    CREDIT_NOTE = 2
    PAYMENT = 3
    REFUND = 4
    TAKEN_BACK = 5
    VOID = 6

    @property
    def kind(self) -> EntryKind:
        return EntryKind[self.name]


class Sides(NamedTuple):
    """What an entry moves, in micros: what is owed and held, and what was earned or is owed on."""

    receivable: int
    cash: int = 0
    revenue: int = 0
    tax: int = 0
    rounding: int = 0

    def __neg__(self) -> Sides:
        return Sides(*(-side for side in self))


def of_invoice(invoice: Invoice) -> Sides:
    """What an invoice moves as it is issued; a void one, and a credit note, the same negated.

    What its lines ask for beyond their exact amounts was not earned: it is rounding.
    """
    return Sides(
        receivable=invoice.total,
        revenue=invoice.net - invoice.rounding,
        tax=invoice.tax,
        rounding=invoice.rounding,
    )


def of_payment(amount: int) -> Sides:
    """What money moves that comes in; what goes out again is below zero."""
    return Sides(receivable=-amount, cash=amount)


ENTER = """
insert into journal (
    tenant_id, at, kind, reference, invoice_id, payment_id, receivable, cash, revenue, tax, rounding
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""


async def enter(
    connection: Connection,
    tenant_id: int,
    kind: EntryKind,
    reference: str,
    sides: Sides,
    *,
    at: int,
    invoice_id: int | None = None,
    payment_id: int | None = None,
) -> None:
    """Enter a movement of a locked tenant under the number of its document or key of its payment.

    ValueError where its sides do not balance.
    """
    if sides.receivable + sides.cash != sides.revenue + sides.tax + sides.rounding:
        raise ValueError(f"{reference}: {sides} is not balanced")
    await connection.execute(
        ENTER, tenant_id, at, Stored[kind.name], reference, invoice_id, payment_id, *sides
    )


#: Before every entry, as pages go.
OLDEST: Final = (-(1 << 63), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the stretch of its journal that is wanted."""

    tenant_id: int
    start: int  #: the instant from which on
    end: int  #: the instant before which
    after: tuple[int, int] = OLDEST  #: instant and number of the last one seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """An entry as a statement lists it; amounts in micros of the tenant's currency."""

    entry_id: int
    at: int
    kind: EntryKind
    reference: str  #: of a document its number, of a payment its key
    invoice_id: int | None
    payment_id: int | None
    told: str | None  #: of a payment: what whoever paid or recorded it calls it
    moved: int  #: what it adds to what is to be paid; below zero: what it takes from that
    balance: int  #: what was to be paid after it; below zero: the tenant's credit


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Entries of a stretch, oldest first, with the balances that it opens and closes with."""

    opening: int
    closing: int
    entries: Sequence[Entered]


# A page's first balance is the sum of all before it; the index gives those in their order.
PAGES: Final = """
select asked.n, found.*
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    with ordinality asked (tenant_id, start, until, after_at, after_id, n)
cross join lateral (
    select j.entry_id, j.at, j.kind, j.reference, j.invoice_id, j.payment_id,
        p.body ->> 'reference' as told, j.receivable as moved,
        before.balance + sum(j.receivable) over (order by j.at, j.entry_id) as balance
    from (
        select coalesce(sum(receivable), 0) as balance from journal
        where tenant_id = asked.tenant_id and (at < asked.start
            or (at, entry_id) <= (asked.after_at, asked.after_id))
    ) before
    join (
        select * from journal
        where tenant_id = asked.tenant_id and at >= asked.start and at < asked.until
            and (at, entry_id) > (asked.after_at, asked.after_id)
        order by at, entry_id
        limit $6
    ) j on true
    left join account_payments p on p.tenant_id = j.tenant_id and p.payment_id = j.payment_id
) found
order by asked.n, found.at, found.entry_id"""

# Sums have more room than what they are of, and are read as they are.
ENDS: Final = """
select asked.n,
    coalesce(sum(j.receivable) filter (where j.at < asked.start), 0) as opening,
    coalesce(sum(j.receivable), 0) as closing
from unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality
    asked (tenant_id, start, until, n)
left join journal j on j.tenant_id = asked.tenant_id and j.at < asked.until
group by asked.n
order by asked.n"""


async def pages(door: Door, asked: Sequence[Asked], *, limit: int) -> list[Page]:
    """For each one asked for, up to `limit` entries, oldest first, with their running balance."""
    tenants = [one.tenant_id for one in asked]
    starts, ends = [one.start for one in asked], [one.end for one in asked]
    after = [list(part) for part in zip(*(one.after for one in asked), strict=True)]
    async with door.tenant_tx(*set(tenants)) as connection:
        sums = await connection.fetch(ENDS, tenants, starts, ends)
        rows = await connection.fetch(PAGES, tenants, starts, ends, *after, limit)
    found: list[list[Entered]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(_entered(row))
    return [
        Page(opening=int(each["opening"]), closing=int(each["closing"]), entries=entries)
        for each, entries in zip(sums, found, strict=True)
    ]


def _entered(row: asyncpg.Record) -> Entered:
    values: dict[str, Any] = {name: value for name, value in row.items() if name != "n"}
    values["kind"], values["balance"] = Stored(values["kind"]).kind, int(values["balance"])
    return Entered(**values)
