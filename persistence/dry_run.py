"""What a dry run of refills reads: the lots of a balance, and its lines of the ledger.

Owns the statements. Reads alone; what is made of it is `domain.dry_run`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.dry_run import Kept, Line
from domain.ledger import GRANT
from domain.lots import LotSource
from persistence.connection import Connection
from persistence.door import Door
from persistence.purchases import PurchaseKind, credit_key

# Commits of a tenant are numbered without a gap and in the order of time: some twenty looks.
FIRST = """
with recursive search (low, high) as (
    select 1::bigint, version + 1 from tenant_head where tenant_id = $1
    union all
    select
        case when c.at < $2 then m.middle + 1 else s.low end,
        case when c.at < $2 then s.high else m.middle end
    from search s,
        lateral (select (s.low + s.high) / 2 as middle) m,
        lateral (select at from commits where tenant_id = $1 and version = m.middle) c
    where s.low < s.high
)
select s.low as first, h.version + 1 - s.low as commits
from search s, tenant_head h
where s.low = s.high and h.tenant_id = $1"""

# What a lot had as the range began is what it has now, less what it received since.
LOTS = f"""
with since as materialized (
    select substr(side.account, 5)::integer as lot_id, sum(side.moved)::bigint as moved
    from transfers t, lateral (values (t.credit, t.amount), (t.debit, -t.amount))
        side (account, moved)
    where t.tenant_id = $1 and t.version >= $3 and t.balance_id = $2 and t.at >= $4
        and side.account like 'lot/%'
    group by 1
),
refills as materialized (
    select 'action/{credit_key("")}' || p.payment_key as origin
    from purchases q join payments p using (tenant_id, purchase_id)
    where q.tenant_id = $1 and q.balance_id = $2 and q.kind = {PurchaseKind.REFILL.value}
)
select l.lot_id, l.source, l.priority, l.month, l.starts_at, l.ends_at,
    l.amount - l.used - l.moved - l.lapsed - coalesce(since.moved, 0) as left,
    l.created_at >= $4 and l.origin in (select origin from refills) as of_refill
from lots l left join since using (lot_id)
where l.tenant_id = $1 and l.balance_id = $2 and l.starts_at < $5
    and (l.ends_at is null or l.ends_at > $4)
order by l.created_at, l.lot_id"""

# An allowance that was granted late holds from its beginning on.
LINES = f"""
select at, debit, credit, amount, cause from transfers
where tenant_id = $1 and version >= $3 and balance_id = $2 and at >= $4
    and (at < $5 or cause = {GRANT})
order by version, line limit $6"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was recorded of one balance."""

    lots: list[Kept]
    months: frozenset[int]  #: whose allowance is stored
    lines: list[Line]


class TooMuchError(Exception):
    """More was recorded than one dry run reads."""


async def recorded(
    door: Door,
    tenant_id: int,
    balance_id: int,
    start: int,
    end: int,
    *,
    commits_max: int,
    lines_max: int,
) -> Recorded:
    """What came and went of a balance in `[start, end)`, and the lots it had."""
    async with door.tenant_tx(tenant_id) as connection:
        found = await connection.fetchrow(FIRST, tenant_id, start)
        if found is None:
            return Recorded(lots=[], months=frozenset(), lines=[])
        if found["commits"] > commits_max:
            raise TooMuchError
        first = found["first"]
        lines = await connection.fetch(
            LINES, tenant_id, balance_id, first, start, end, lines_max + 1
        )
        if len(lines) > lines_max:
            raise TooMuchError
        lots, months = await _lots(connection, tenant_id, balance_id, first, start, end)
    return Recorded(
        lots=lots,
        months=months,
        lines=[
            Line(row["at"], _lot(row["debit"]), _lot(row["credit"]), row["amount"], row["cause"])
            for row in lines
        ],
    )


async def _lots(
    connection: Connection, tenant_id: int, balance_id: int, first: int, start: int, end: int
) -> tuple[list[Kept], frozenset[int]]:
    found, months = list[Kept](), set[int]()
    for row in await connection.fetch(LOTS, tenant_id, balance_id, first, start, end):
        source = LotSource(row["source"])
        if source is LotSource.ALLOWANCE and row["month"] is not None:
            months.add(row["month"])
        found.append(
            Kept(
                row["lot_id"], source, row["priority"], row["starts_at"], row["ends_at"],
                row["left"], row["of_refill"],
            )
        )  # fmt: skip
    return found, frozenset(months)


def _lot(account: str) -> int | None:
    return int(account[4:]) if account.startswith("lot/") else None
