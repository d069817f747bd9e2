"""Balances as they stood at an instant: the sums of each lot before a period and within it.

Owns the reading of lots and their days; open holds are counted elsewhere. What
the sums mean for a period is `domain.figures`' to say. Whole local days come from `lot_days`; of
the day an instant falls in, what was taken before it is summed from the facts of that day alone. A
call is known when it ended and counts on the day it began (VO-1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from domain.facts import Type
from domain.figures import LotUse
from domain.ledger import ADJUST
from domain.lots import LotSource
from domain.periods import Period
from domain.reading import Pot, Reading
from domain.refold import BY_DAY
from persistence.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the instant its balances are wanted for."""

    tenant_id: int
    at: int
    period: Period  #: by the tenant's present zone; a stored one goes before it (TZ-1)
    day: int | None  #: when the local day of `at` began; None: all that is recorded counts


#: Causes of transfers that move what a lot holds without using it, as the index of them has them.
MOVES = ", ".join(map(str, sorted(BY_DAY)))

#: Whether a fact `f` is a call that began before the day: that day's sum has it already.
BEGAN_BEFORE = f"""f.type = {Type.CALL_ENDED.value} and a.day > f.at
                - 1000000 * ceil(coalesce((readable(f.data) ->> 'seconds')::numeric, 0))::bigint"""

# A lot's use before the period is what it ever used less what its days from the period's start on
# say: the days of one period are read, not the lot's whole life.
READINGS = f"""
with asked as materialized (
    select
        a.n, a.tenant_id, a.at, a.at as until, coalesce(a.day, p.ends_at, a.ends_at) as day,
        a.day is null as everything, coalesce(p.month, a.month) as month,
        coalesce(p.starts_at, a.starts_at) as starts_at, coalesce(p.ends_at, a.ends_at) as ends_at,
        p.closed_at is not null as closed
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[])
        with ordinality a (tenant_id, at, day, starts_at, ends_at, month, n)
    left join lateral (
        select * from periods
        where tenant_id = a.tenant_id and starts_at <= a.at and ends_at > a.at
        limit 1
    ) p on true
),
legs as materialized (
    select n, lot_id, sum(taken) as taken
    from (
        select a.n, f.lot_id, f.amount as taken
        from asked a, lateral (
            select lot_id, amount from facts f
            where tenant_id = a.tenant_id and at >= a.day and at < a.until and lot_id is not null
                and not ({BEGAN_BEFORE})
            offset 0
        ) f
        where not a.everything
        union all
        select a.n, leg.lot_id, case when c.reversal then -leg.taken else leg.taken end
        from asked a, lateral (
            select lots, taken, reversal from charges c
            where tenant_id = a.tenant_id and at >= a.day and at < a.until
                and not exists (
                    select from facts f
                    where f.tenant_id = c.tenant_id and f.at = c.at and f.key = c.key
                        and {BEGAN_BEFORE}
                )
            offset 0
        ) c, unnest(c.lots, c.taken) leg (lot_id, taken)
        where not a.everything
    ) taken
    group by n, lot_id
),
-- What was moved is instant from its own time on, as a lot is. An adjustment ({ADJUST}) that
-- brings a lot in stands in the lot's amount.
moves as materialized (
    select a.n, substr(side.account, 5)::integer as lot_id, sum(side.moved) as moved
    from asked a,
        lateral (
            select debit, credit, amount, cause from transfers
            where tenant_id = a.tenant_id and cause in ({MOVES})
                and at >= a.day and at <= a.until
            offset 0
        ) t,
        lateral (values (t.debit, t.amount), (t.credit, -t.amount)) side (account, moved)
    where not a.everything and side.account like 'lot/%'
        and (t.cause <> {ADJUST} or side.moved > 0)
    group by a.n, lot_id
)
select
    a.n, a.month, a.starts_at as period_starts_at, a.ends_at as period_ends_at, a.closed,
    h.version, h.next_due, h.alerted, c.cause, b.key,
    l.lot_id, l.source, l.priority, l.month as lot_month, l.amount, l.starts_at, l.ends_at,
    l.created_at,
    (l.used - days.used_since)::bigint as used_before,
    (days.used + coalesce(legs.taken, 0))::bigint as used,
    (l.moved - days.moved_since)::bigint as moved_before,
    (days.moved + coalesce(moves.moved, 0))::bigint as moved
from asked a
join tenant_head h on h.tenant_id = a.tenant_id
left join commits c on c.tenant_id = h.tenant_id and c.version = h.version
join balances b on b.tenant_id = a.tenant_id
left join lots l on l.tenant_id = b.tenant_id and l.balance_id = b.balance_id
    and l.starts_at < a.ends_at and (l.ends_at is null or l.ends_at > a.starts_at)
left join lateral (
    select
        coalesce(sum(d.used), 0) as used_since, coalesce(sum(d.moved), 0) as moved_since,
        coalesce(sum(d.used) filter (where d.day < a.day), 0) as used,
        coalesce(sum(d.moved) filter (where d.day < a.day), 0) as moved
    from lot_days d
    where d.tenant_id = l.tenant_id and d.lot_id = l.lot_id and d.day >= a.starts_at
) days on true
left join legs on legs.n = a.n and legs.lot_id = l.lot_id
left join moves on moves.n = a.n and moves.lot_id = l.lot_id
"""


async def readings(door: Door, asked: Sequence[Asked]) -> list[Reading | None]:
    """What was recorded of each one asked for, in order; None for a tenant that is not there."""
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(
            READINGS,
            [one.tenant_id for one in asked],
            [one.at for one in asked],
            [one.day for one in asked],
            [one.period.start for one in asked],
            [one.period.end for one in asked],
            [one.period.label for one in asked],
        )
    found: list[Reading | None] = [None] * len(asked)
    for row in rows:
        place = row["n"] - 1
        reading = found[place]
        if reading is None:
            reading = found[place] = _reading_from_row(row, asked[place].at)
        pot = reading.pots.setdefault(row["key"], Pot())
        if row["lot_id"] is not None:
            pot.lots.append(_lot_from_row(row))
    return found


def _reading_from_row(row: asyncpg.Record, at: int) -> Reading:
    return Reading(
        period=Period(row["month"], row["period_starts_at"], row["period_ends_at"]),
        closed=row["closed"],
        next_due=row["next_due"],
        alerted=row["alerted"],
        version=row["version"],
        cause=row["cause"] or 0,
        at=at,
        pots={},
    )


def _lot_from_row(row: asyncpg.Record) -> LotUse:
    return LotUse(
        lot_id=row["lot_id"],
        source=LotSource(row["source"]),
        priority=row["priority"],
        month=row["lot_month"],
        amount=row["amount"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        created_at=row["created_at"],
        used_before=row["used_before"],
        used=row["used"],
        moved_before=row["moved_before"],
        moved=row["moved"],
    )
