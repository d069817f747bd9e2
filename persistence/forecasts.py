"""What forecasts go by: use by balance and local day, busy hours, and what was used most.

Owns the reading of them, one statement for many tenants. What is forecast is `domain.forecast`'s to
say.

Use by balance and day is exact, of the days of its lots. Hours and kinds of use are the tenant's
rollups of two weeks, for all its balances together; facts are never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.facts import CHANNEL_NAMES, Direction
from domain.periods import Zone
from domain.rhythm import HISTORY_DAYS, SHAPE_DAYS
from persistence.door import Door

#: Kinds of use that are told of a tenant at most, by what they cost.
KINDS_MAX = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """A tenant and the instant up to which its use is wanted."""

    tenant_id: int
    since: int  #: when the first local day began
    shaped: int  #: when the first day of hours began

    @classmethod
    def of(cls, tenant_id: int, zone: Zone, at: int) -> Asked:
        """As a forecast at an instant needs it."""
        today = zone.date(at)
        since, shaped = (zone.day_bounds(today - days)[0] for days in (HISTORY_DAYS, SHAPE_DAYS))
        return cls(tenant_id, since, shaped)


class Kind(NamedTuple):
    """What one kind of use cost in the two weeks of hours."""

    channel: str
    direction: str
    category: str
    country: str
    cost: int  #: micros
    units: int


class Busy(NamedTuple):
    """What a local hour brought."""

    cost: int
    conversations: int
    visitors: int
    units: int


@dataclass(slots=True)
class History:
    """What was used of a tenant."""

    days: dict[str, dict[int, int]] = field(default_factory=dict)  #: micros by balance key and day
    hours: dict[int, Busy] = field(default_factory=dict)  #: by when they began
    kinds: list[Kind] = field(default_factory=list)


# One scan of the hours gives both how busy they were and what was used most.
HISTORIES = f"""
with asked as (
    select * from unnest($1::bigint[], $2::bigint[], $3::bigint[])
        with ordinality a (tenant_id, since, shaped, n)
),
hours as (
    select a.n, u.bucket, u.number_id, u.direction, u.category, u.country, sum(u.cost) as cost,
        sum(u.conversations) as conversations, sum(u.visitors) as visitors, sum(u.units) as units,
        row_number() over (partition by a.n, u.bucket is null order by sum(u.cost) desc) as place
    from asked a, lateral (
        select * from usage_hour
        where tenant_id = a.tenant_id and bucket >= a.shaped
        offset 0
    ) u
    group by grouping sets (
        (a.n, u.bucket), (a.n, u.number_id, u.direction, u.category, u.country)
    )
)
select a.n, b.key, d.day, d.used, null::smallint as channel, null::smallint as direction,
    null as category, null as country, null::bigint as conversations, null::bigint as visitors,
    null::bigint as units
from asked a
join lots l on l.tenant_id = a.tenant_id and (l.ends_at is null or l.ends_at > a.since)
join balances b on b.tenant_id = l.tenant_id and b.balance_id = l.balance_id
cross join lateral (
    select day, used from lot_days
    where tenant_id = l.tenant_id and lot_id = l.lot_id and day >= a.since and used <> 0
    offset 0
) d
union all
select h.n, null, h.bucket, h.cost::bigint, n.channel, h.direction, h.category, h.country,
    h.conversations::bigint, h.visitors::bigint, h.units::bigint
from hours h
join asked a on a.n = h.n
left join numbers n on n.tenant_id = a.tenant_id and n.number_id = h.number_id
where h.bucket is not null or (h.place <= {KINDS_MAX} and h.cost > 0)"""


async def histories(door: Door, asked: Sequence[Asked]) -> list[History]:
    """What was used of each one asked for, in order."""
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(
            HISTORIES,
            [one.tenant_id for one in asked],
            [one.since for one in asked],
            [one.shaped for one in asked],
        )
    found = [History() for _ in asked]
    for n, key, at, used, channel, direction, category, country, opened, met, units in rows:
        history = found[n - 1]
        if key is not None:
            days = history.days.setdefault(key, {})
            days[at] = days.get(at, 0) + used
        elif at is not None:
            history.hours[at] = Busy(used, opened, met, units)
        elif channel is not None:
            way = Direction(direction).name.lower()
            history.kinds.append(Kind(CHANNEL_NAMES[channel], way, category, country, used, units))
    return found
