"""When users were at work: a row for each user and quarter of an hour in which they did something.

Owns the rows of `user_activity` and the reading of them. They are written with the commit of their
facts, and only ever move apart: nothing settles them. Which quarter a fact is of is `domain`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from domain.activity import QUARTER, spans_of
from domain.facts import Fact
from persistence.bulk import Row, Table
from persistence.door import Door

#: A tenant, its users and the stretch of time wanted of them.
Asked: TypeAlias = tuple[int, Sequence[str], int, int]

# A row that says nothing new is not written again: most of a quarter's facts are within it.
USER_ACTIVITY = Table(
    "user_activity",
    "tenant_id bigint, agent text, quarter bigint, first_at bigint, last_at bigint",
    "on conflict (tenant_id, agent, quarter) do update set"
    " first_at = least(activity.first_at, excluded.first_at),"
    " last_at = greatest(activity.last_at, excluded.last_at)"
    " where excluded.first_at < activity.first_at or excluded.last_at > activity.last_at",
    alias="as activity",
)


def rows_of(tenant_id: int, facts: Iterable[Fact]) -> list[Row]:
    """What facts say of users, as rows."""
    return [(tenant_id, *key, *span) for key, span in spans_of(facts).items()]


# An instant is known of either end of a quarter: one that a range cuts may have none in it.
_WITHIN = f"""
        select first_at, last_at from user_activity u
        where u.tenant_id = asked.tenant_id and u.agent = asked.agent
            and u.quarter > asked.starts_at - {QUARTER} and u.quarter < asked.ends_at
            and (u.first_at >= asked.starts_at and u.first_at < asked.ends_at
                or u.last_at >= asked.starts_at and u.last_at < asked.ends_at)
        order by u.quarter"""

SPANS = f"""
select asked.n, asked.agent,
    case when f.first_at >= asked.starts_at then f.first_at else f.last_at end as first_at,
    case when l.last_at < asked.ends_at then l.last_at else l.first_at end as last_at
from unnest($1::integer[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
    asked (n, tenant_id, agent, starts_at, ends_at),
    lateral ({_WITHIN} limit 1
    ) f,
    lateral ({_WITHIN} desc limit 1
    ) l"""


async def spans(door: Door, asked: Sequence[Asked]) -> list[dict[str, tuple[int, int]]]:
    """For each one asked for, first and last activity within `[start, end)`, by user.

    Who did nothing in it is not there. Exact for ranges that begin and end with a quarter, as local
    hours do; of a quarter that a range cuts, its ends alone are known.
    """
    wanted = [
        (n, tenant_id, agent, start, end)
        for n, (tenant_id, agents, start, end) in enumerate(asked)
        for agent in agents
    ]
    found: list[dict[str, tuple[int, int]]] = [{} for _ in asked]
    if not wanted:
        return found
    columns = [list(column) for column in zip(*wanted, strict=True)]
    async with door.tenant_tx(*{each[0] for each in asked}) as connection:
        rows = await connection.fetch(SPANS, *columns)
    for row in rows:
        found[row["n"]][row["agent"]] = (row["first_at"], row["last_at"])
    return found
