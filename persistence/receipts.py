"""Receipts: the rows of what was paid, numbered without gaps (IN-3).

Owns the counters of numbers and the rows that have them. Whoever issues one does so last in the
transaction that credits: others wait for its number until that is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import msgspec

from domain.receipts import SERIES, Receipt, number
from persistence.connection import Connection
from persistence.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A receipt with what it got when it was issued."""

    tenant_id: int
    payment_key: str
    number: str
    issued_at: int
    receipt: Receipt
    taken_back_at: int | None = None  #: when its payment was, which no receipt says itself


_RECEIPT = """
select tenant_id, payment_key, series, year, number, issued_at, body::text as body,
    case when p.state = 7 then p.ended_at end as taken_back_at"""

FIND = f"""{_RECEIPT}
from receipts left join payments p using (tenant_id, payment_key)
where tenant_id = $1 and payment_key = $2"""

# The row of a year is waited for, and is free again only with the number committed or given back.
COUNT = """
insert into receipt_series (series, year, last) values ($1, $2, 1)
on conflict (series, year) do update set last = receipt_series.last + 1
returning last"""

INSERT = """
insert into receipts (tenant_id, payment_key, series, year, number, issued_at, body)
values ($1, $2, $3, $4, $5, $6, $7::text::jsonb)"""


async def issue(
    connection: Connection,
    tenant_id: int,
    payment_key: str,
    snapshot: Receipt,
    at: int,
    year: int,
) -> str:
    """Issue the receipt of a payment, or find the one it has; gives its number.

    Of a locked tenant, and last in the transaction. `year` is the buyer's local one at `at`.
    """
    before = await find(connection, tenant_id, payment_key)
    if before is not None:
        return before.number
    body = msgspec.json.encode(snapshot).decode()
    place: int = await connection.fetchval(COUNT, SERIES, year)
    await connection.execute(INSERT, tenant_id, payment_key, SERIES, year, place, at, body)
    return number(SERIES, year, place)


async def find(connection: Connection, tenant_id: int, payment_key: str) -> Issued | None:
    """The receipt of a payment, if it has one."""
    row = await connection.fetchrow(FIND, tenant_id, payment_key)
    return None if row is None else _from_row(row)


OF_PAYMENTS = f"""{_RECEIPT}
from unnest($1::bigint[], $2::text[]) asked (tenant_id, payment_key)
join receipts using (tenant_id, payment_key)
left join payments p using (tenant_id, payment_key)"""


async def of_payments(door: Door, asked: Sequence[tuple[int, str]]) -> list[Issued | None]:
    """For each (tenant, payment key), in order, the receipt it has."""
    async with door.tenant_tx(*{tenant_id for tenant_id, _ in asked}) as connection:
        rows = await connection.fetch(OF_PAYMENTS, *map(list, zip(*asked, strict=True)))
    found = {(row["tenant_id"], row["payment_key"]): _from_row(row) for row in rows}
    return [found.get(each) for each in asked]


def _from_row(row: asyncpg.Record) -> Issued:
    return Issued(
        tenant_id=row["tenant_id"],
        payment_key=row["payment_key"],
        number=number(row["series"], row["year"], row["number"]),
        issued_at=row["issued_at"],
        receipt=msgspec.json.decode(row["body"], type=Receipt),
        taken_back_at=row["taken_back_at"],
    )
