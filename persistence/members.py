"""Who was active in a range: each once, under the last role in it (US-2).

Owns the reading of `user_spells`, which `persistence.spells` writes, and the order of people: as
they were added, by name, or by figures that the caller has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
import msgspec

from persistence.door import Door
from persistence.people import USERS_SQL, UserRecord, read_user
from persistence.tenants import escaped


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Who of a range's people is wanted; None: whoever they are."""

    roles: tuple[str, ...] | None = None  #: the last one in the range
    search: str | None = None  #: a part of the name, the address or what facts call them
    users: tuple[str, ...] | None = None  #: what facts call them


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the stretch of time wanted of it."""

    tenant_id: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """A range whose people are wanted by their figures, or by their names."""

    asked: Asked
    #: By what facts call people, 0 of who is not there; None: by name.
    figures: Mapping[str, int] | None = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """Behind whom a page goes on that is in such an order."""

    user_id: int
    figure: int  #: as it was when the page before was read; of no matter to names


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who was active at some instant of a range."""

    user: UserRecord  #: as it is now
    role: str  #: the last one in the range
    active: bool  #: whether let in at its end


@dataclass(frozen=True, slots=True)
class Census:
    """How many people a range has."""

    by_role: dict[str, int]  #: all of them, by the last role in it
    total: int  #: those who are wanted
    known: frozenset[str]  #: what facts call all of them


# Whoever has an active spell that touches the range: one that ends where it begins does not (US-2).
_ACTIVE = """
    exists (
        select from user_spells s
        where s.tenant_id = asked.tenant_id and s.user_id = u.user_id and s.active
            and s.since < asked.ends_at and (s.until is null or s.until > asked.starts_at)
    )"""
_LAST = """
    cross join lateral (
        select role, active from user_spells s
        where s.tenant_id = asked.tenant_id and s.user_id = found.user_id
            and s.since < asked.ends_at
        order by s.since desc limit 1
    ) last"""
_ASKED = """
    unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality
    asked (tenant_id, starts_at, ends_at, n)"""

_WANTED = """
    ($4::text[] is null or last.role = any ($4))
    and ($5::text is null or found.name ilike $5 or found.email ilike $5
        or found.external_id ilike $5)
    and ($6::text[] is null or found.external_id = any ($6))"""

# In the order people were added; the walk of that index ends with the page.
PAGES = f"""
select asked.n, member.* from {_ASKED}
cross join lateral (
    select found.*, last.role as last_role, last.active as last_active
    from ({USERS_SQL} where u.tenant_id = asked.tenant_id and u.user_id > $7 and {_ACTIVE}) found
    {_LAST}
    where {_WANTED}
    order by found.user_id limit $8
) member
order by asked.n, member.user_id"""

CENSUS = f"""
select asked.n, role, count(*) as people, count(*) filter (where wanted) as wanted,
    array_agg(external_id) as known
from {_ASKED}
cross join lateral (
    select last.role, found.external_id, {_WANTED} as wanted
    from (
        select u.user_id, u.name, u.email, u.external_id from users u
        where u.tenant_id = asked.tenant_id and {_ACTIVE}
    ) found
    {_LAST}
) member
group by asked.n, role"""


def _sorted(name: str) -> str:
    """What a name is sorted by: without marks, in one case, and by code points everywhere."""
    return f"""lower(case when octet_length({name}) = length({name}) then {name} else
            regexp_replace(normalize({name}, nfd), '[\\u0300-\\u036f]', '', 'g') end)
            collate "C\""""


# The name of whom a page begins behind is made ready once, not beside everybody.
_BEHIND = f"""
        left join lateral (
            select {_sorted("u.name")} as place from users u
            where u.tenant_id = asked.tenant_id and u.user_id = $7 offset 0
        ) before on true"""
# Each range's own figures, to look into: who joins rows of a parameter does not know how many there
# are, and reads all of them beside each of the people.
_FIGURES = """
        cross join lateral (
            select ($10::text[])[asked.n]::jsonb as figures offset 0
        ) given"""


def statement(*, by_name: bool, descending: bool) -> str:
    """The statement of pages in an order; of all people who are wanted only places are sorted."""
    if by_name:
        rank, place, given = _sorted("found.name"), "before.place", _BEHIND
    else:
        rank, place = "coalesce((given.figures ->> found.external_id)::bigint, 0)", "$9::bigint"
        given = _FIGURES
    return f"""
    with ranked as materialized (
        select asked.n, asked.tenant_id, found.user_id, last.role as last_role,
            last.active as last_active, {rank} as rank, {place} as place
        from {_ASKED}{given}
        cross join lateral (
            select u.user_id, u.name, u.email, u.external_id from users u
            where u.tenant_id = asked.tenant_id and {_ACTIVE}
        ) found
        {_LAST}
        where {_WANTED}
    ), placed as (
        select n, tenant_id, user_id, last_role, last_active, row_number() over (
            partition by n order by rank {"desc" if descending else "asc"}, user_id
        ) as number
        from ranked
        where $7::bigint is null or rank {"<" if descending else ">"} place
            or (rank = place and user_id > $7)
    )
    select placed.n, member.*, placed.last_role, placed.last_active
    from placed
    cross join lateral (
        {USERS_SQL} where u.tenant_id = placed.tenant_id and u.user_id = placed.user_id offset 0
    ) member
    where placed.number <= $8
    order by placed.n, placed.number"""


async def ranked(
    door: Door,
    asked: Sequence[Ranked],
    wanted: Wanted,
    *,
    descending: bool,
    behind: Behind | None,
    limit: int,
) -> list[list[Member]]:
    """For each range up to `limit` of its people in an order, of equals who was added first.

    All of them by figures, or all by name. Whose figure changed since the page before is where the
    new one is, before that page's end or behind it.
    """
    by_name = asked[0].figures is None
    assert all((one.figures is None) == by_name for one in asked)
    figures = [msgspec.json.encode(one.figures or {}).decode() for one in asked]
    given: list[object] = [None if behind is None else behind.user_id, limit]
    if not by_name:
        given += [None if behind is None else behind.figure, figures]
    async with door.tenant_tx(*{one.asked.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(
            statement(by_name=by_name, descending=descending),
            *_columns([one.asked for one in asked]), *_values(wanted), *given,
        )  # fmt: skip
    return _lists(rows, len(asked))


async def pages(
    door: Door, asked: Sequence[Asked], wanted: Wanted, *, after: int, limit: int
) -> list[list[Member]]:
    """For each range up to `limit` of its people behind `after`, in the order they were added."""
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(PAGES, *_columns(asked), *_values(wanted), after, limit)
    return _lists(rows, len(asked))


async def census(door: Door, asked: Sequence[Asked], wanted: Wanted) -> list[Census]:
    """How many people each range has, in order."""
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(CENSUS, *_columns(asked), *_values(wanted))
    found: list[list[asyncpg.Record]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(row)
    return [
        Census(
            {row["role"]: row["people"] for row in each},
            sum(row["wanted"] for row in each),
            frozenset(name for row in each for name in row["known"] if name is not None),
        )
        for each in found
    ]


def _columns(asked: Sequence[Asked]) -> list[list[int]]:
    return [
        [one.tenant_id for one in asked],
        [one.start for one in asked],
        [one.end for one in asked],
    ]


def _values(wanted: Wanted) -> tuple[object, object, object]:
    roles, users = wanted.roles, wanted.users
    return (
        None if roles is None else list(roles),
        None if wanted.search is None else f"%{escaped(wanted.search)}%",
        None if users is None else list(users),
    )


def _lists(rows: Sequence[asyncpg.Record], asked: int) -> list[list[Member]]:
    """The people of each range, in the order of the rows."""
    found: list[list[Member]] = [[] for _ in range(asked)]
    for row in rows:
        found[row["n"] - 1].append(_from_row(row))
    return found


def _from_row(row: asyncpg.Record) -> Member:
    values = dict(row)
    del values["n"]
    role, active = values.pop("last_role"), values.pop("last_active")
    return Member(read_user(values), role, active)
