"""Charges as they are listed: newest first, page by page, each with the legs that paid it.

Owns the reading of charges alone. A fact's first charge stands in the fact's own row while one lot
or none paid it; further ones, reversals and later revisions stand in `charges`. Both come in one
order: the fact's instant, its key, then part, revision and reversal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from domain.lots import LotSource
from persistence.connection import Connection
from persistence.door import Door


class Cursor(NamedTuple):
    """The place of a charge in the list."""

    at: int
    key: bytes
    part: int
    revision: int
    reversal: bool


@dataclass(frozen=True, slots=True)
class ChargeLeg:
    """What one lot paid; micros of the balance's unit."""

    lot_id: int
    source: LotSource
    month: int | None
    taken: int


@dataclass(frozen=True, slots=True)
class ChargeRecord:
    """One charge and the fact it is for; a reversal takes back what its revision said."""

    cursor: Cursor
    booked_at: int
    fact_id: str
    source: str
    type: int
    channel: int | None  #: None only where the fact's number is gone
    number: str | None
    party: str
    category: str | None
    market: str | None
    country: str | None
    balance: str | None  #: its key
    currency: str | None  #: of a money balance
    rule: str | None
    units: int  #: micros
    amount: int  #: micros of the balance's unit
    flags: int
    status: int  #: of its fact's latest revision
    legs: tuple[ChargeLeg, ...]
    refunded: int = 0  #: of its amount, by all refunds so far


# A page for each one asked for. Each branch walks its primary key backwards from the cursor and
# stops at a page: a page costs the same however long the list is. The row comparison on (at, key)
# is what the index can use, the one on all five columns is exact.
PAGES = """
select
    a.n, p.at, p.key, p.part, p.revision, p.reversal, p.booked_at, p.units, p.amount, p.flags,
    p.lots, p.taken, l.sources, l.months,
    f.id as fact_id, f.source, f.type, f.party, f.category, f.market, f.country,
    coalesce(v.status, f.status) as status,
    n.channel, n.address as number, b.key as balance, b.currency, r.rule, back.refunded
from unnest(
        $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::smallint[],
        $7::integer[], $8::boolean[], $9::text[])
    with ordinality
    a (tenant_id, starts_at, ends_at, at, key, part, revision, reversal, balance, n)
cross join lateral (
    (
        select at, key, 0::smallint as part, 0 as revision, false as reversal,
            arrived_at as booked_at, balance_id, rule_id, coalesce(units, 0) as units, amount,
            case when lot_id is null then '{}' else array[lot_id] end as lots,
            case when lot_id is null then '{}' else array[amount] end as taken, flags
        from facts
        where tenant_id = a.tenant_id and at >= a.starts_at and at < a.ends_at
            and (at, key) <= (a.at, a.key)
            and (at, key, 0, 0, false) < (a.at, a.key, a.part, a.revision, a.reversal)
            and (lot_id is not null or amount = 0)
            and (a.balance is null or balance_id = (
                select balance_id from balances where tenant_id = a.tenant_id and key = a.balance))
        order by at desc, key desc
        limit $10
    )
    union all
    (
        select at, key, part, revision, reversal, booked_at, balance_id, rule_id, units, amount,
            lots, taken, flags
        from charges
        where tenant_id = a.tenant_id and at >= a.starts_at and at < a.ends_at
            and (at, key) <= (a.at, a.key)
            and (at, key, part, revision, reversal) < (a.at, a.key, a.part, a.revision, a.reversal)
            and (a.balance is null or balance_id = (
                select balance_id from balances where tenant_id = a.tenant_id and key = a.balance))
        order by at desc, key desc, part desc, revision desc, reversal desc
        limit $10
    )
    order by at desc, key desc, part desc, revision desc, reversal desc
    limit $10
) p
left join lateral (
    select id, source, type, party, category, market, country, status, number_id from facts
    where tenant_id = a.tenant_id and at = p.at and key = p.key
    offset 0
) f on true
left join lateral (
    select status from revisions
    where tenant_id = a.tenant_id and at = p.at and key = p.key
    order by revision desc
    limit 1
) v on true
left join numbers n on n.tenant_id = a.tenant_id and n.number_id = f.number_id
left join balances b on b.tenant_id = a.tenant_id and b.balance_id = p.balance_id
left join rules r on r.rule_id = p.rule_id
left join lateral (
    select array_agg(lots.source order by leg.n) as sources,
        array_agg(lots.month order by leg.n) as months
    from unnest(p.lots) with ordinality leg (lot_id, n)
    join lots on lots.tenant_id = a.tenant_id and lots.lot_id = leg.lot_id
) l on true
left join lateral (
    select coalesce(sum((body ->> 'amount')::bigint), 0)::bigint as refunded from actions
    where tenant_id = a.tenant_id and not p.reversal
        and subject = 'charge/' || p.at || '/' || encode(p.key, 'hex') || '/' || p.part
) back on true
order by a.n, p.at desc, p.key desc, p.part desc, p.revision desc, p.reversal desc
"""

#: Beyond every stored instant and key.
FIRST_PAGE = Cursor((1 << 63) - 1, b"\xff" * 16, (1 << 15) - 1, (1 << 31) - 1, True)
EARLIEST = -(1 << 63)
LATEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the stretch of its list that is wanted: facts in `[start, end)`."""

    tenant_id: int
    after: Cursor = FIRST_PAGE
    start: int = EARLIEST
    end: int = LATEST
    balance: str | None = None  #: its key; None: of every balance


async def pages(door: Door, asked: Sequence[Asked], *, limit: int) -> list[list[ChargeRecord]]:
    """For each one asked for, up to `limit` charges, newest first, those behind `after`."""
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(
            PAGES,
            [one.tenant_id for one in asked],
            [one.start for one in asked],
            [one.end for one in asked],
            *zip(*(one.after for one in asked), strict=True),
            [one.balance for one in asked],
            limit,
        )
    found: list[list[ChargeRecord]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(_from_row(row))
    return found


def _from_row(row: asyncpg.Record) -> ChargeRecord:
    legs = zip(row["lots"], row["sources"] or (), row["months"] or (), row["taken"], strict=True)
    return ChargeRecord(
        cursor=Cursor(row["at"], row["key"], row["part"], row["revision"], row["reversal"]),
        booked_at=row["booked_at"],
        fact_id=row["fact_id"],
        source=row["source"],
        type=row["type"],
        channel=row["channel"],
        number=row["number"],
        party=row["party"],
        category=row["category"],
        market=row["market"],
        country=row["country"],
        balance=row["balance"],
        currency=row["currency"],
        rule=row["rule"],
        units=row["units"],
        amount=row["amount"],
        flags=row["flags"],
        status=row["status"],
        legs=tuple(
            ChargeLeg(lot_id, LotSource(source), month, taken)
            for lot_id, source, month, taken in legs
        ),
        refunded=row["refunded"],
    )


@dataclass(frozen=True, slots=True)
class Charged:
    """What a charge took from which lots, for whoever gives it back."""

    balance_id: int
    amount: int  #: micros of the balance's unit
    legs: tuple[tuple[int, int], ...]  #: (lot, taken), as drawn
    reversed: bool  #: settling took it back and charged anew


ONE = """
select balance_id, amount,
    case when lot_id is null then '{}' else array[lot_id] end as lots,
    case when lot_id is null then '{}' else array[amount] end as taken
from facts
where tenant_id = $1 and at = $2 and key = $3 and $4 = 0 and $5 = 0
    and (lot_id is not null or amount = 0)
union all
select balance_id, amount, lots, taken from charges
where tenant_id = $1 and at = $2 and key = $3 and part = $4 and revision = $5 and not reversal"""

REVERSED = """
select exists (
    select from charges
    where tenant_id = $1 and at = $2 and key = $3 and part = $4 and revision = $5 and reversal
)"""


async def find(connection: Connection, tenant_id: int, place: Cursor) -> Charged | None:
    """The charge at a place of the tenant's list; None where there is none."""
    *of_revision, reversal = place
    if reversal:
        return None
    row = await connection.fetchrow(ONE, tenant_id, *of_revision)
    if row is None:
        return None
    reversed = await connection.fetchval(REVERSED, tenant_id, *of_revision)
    legs = tuple(zip(row["lots"], row["taken"], strict=True))
    return Charged(row["balance_id"], row["amount"], legs, reversed)


LATEST_REVISION = """
select coalesce(max(revision), 0) from revisions where tenant_id = $1 and at = $2 and key = $3"""


async def latest_revision(connection: Connection, tenant_id: int, at: int, key: bytes) -> int:
    """The revision of a fact whose charges hold."""
    revision: int = await connection.fetchval(LATEST_REVISION, tenant_id, at, key)
    return revision
