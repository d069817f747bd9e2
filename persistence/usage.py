"""Usage as series read it: sums of the rollups by local hour or day, never of facts.

Owns the reading of `usage_hour` and `usage_day` and the words for their columns. Which hours and
days make a bucket of a chart is the caller's to say; the day or hour an answer names is the instant
it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from domain.facts import CHANNEL_NAMES, CHANNELS, Direction
from domain.periods import Interval
from persistence.door import Door


def _charged(condition: str) -> str:
    """Messages out that were not free, of the rows a condition holds of."""
    return f"case when {condition} then u.messages_out - u.messages_free else 0 end"


def _opened(condition: str) -> str:
    """Conversations of the rows a condition holds of: each is where its first message is."""
    return f"case when {condition} then u.conversations else 0 end"


_SERVICE = "u.category in ('', 'service')"
_AUTHENTICATION = "u.category in ('authentication', 'authentication_international')"
# All that has no card of its own (FI-4).
_OTHER = f"u.category not in ('marketing', 'utility') and not {_AUTHENTICATION}"


class Measure(Enum):
    """What is summed; the value is its expression over a usage row `u`."""

    CONVERSATIONS = "u.conversations"
    CONVERSATIONS_SERVICE = _opened(_SERVICE)
    CONVERSATIONS_BUSINESS = _opened(f"not {_SERVICE}")
    VISITORS = "u.visitors"
    MESSAGES_IN = "u.messages_in"
    MESSAGES_OUT = "u.messages_out"
    MESSAGES_MARKETING = _charged("u.category = 'marketing'")
    MESSAGES_UTILITY = _charged("u.category = 'utility'")
    MESSAGES_AUTHENTICATION = _charged(_AUTHENTICATION)
    MESSAGES_SERVICE = _charged(_OTHER)
    MESSAGES_FREE = "u.messages_free"
    SEGMENTS = "u.segments"
    SECONDS_BILLED = "u.seconds"
    EMAILS = "u.emails"
    BOT_SESSIONS = "u.sessions"
    COST = "u.cost"
    COST_INITIAL = "u.initial_cost"
    COST_TOP_UP = "u.cost - u.initial_cost"
    UNITS = "u.units"
    UNITS_INITIAL = "u.initial_units"
    UNITS_TOP_UP = "u.top_up_units"

    @property
    def sql(self) -> str:
        """Its expression over a usage row `u`; a sum of it is exact."""
        return str(self.value)

    @property
    def is_money(self) -> bool:
        """Whether it is of the tenant's currency."""
        return self in (Measure.COST, Measure.COST_INITIAL, Measure.COST_TOP_UP)

    @property
    def in_micros(self) -> bool:
        """Whether it has millionths; the others count whole things."""
        return self.is_money or self in (
            Measure.UNITS, Measure.UNITS_INITIAL, Measure.UNITS_TOP_UP,
        )  # fmt: skip


class Dimension(Enum):
    """What a series can be split by; the value is its expression over a usage row `u`."""

    NUMBER = "n.address"
    CHANNEL = "n.channel"
    COUNTRY = "u.country"
    DIRECTION = "u.direction"
    CATEGORY = "u.category"
    USER = "u.agent"
    BROADCAST = "u.broadcast"

    def text(self, stored: object) -> str:
        """The value as people write it; "" where the fact had none."""
        if stored is None:
            return ""
        if self is Dimension.CHANNEL and isinstance(stored, int):
            return CHANNEL_NAMES[stored]
        if self is Dimension.DIRECTION and isinstance(stored, int):
            return Direction(stored).name.lower().replace("none", "")
        return str(stored)

    def stored(self, text: str) -> object:
        """The stored form of a written value; KeyError for a channel or direction that is none."""
        if self is Dimension.CHANNEL:
            return CHANNELS[text].value
        if self is Dimension.DIRECTION:
            return {"in": Direction.IN, "out": Direction.OUT}[text].value
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to sum: one statement serves all tenants that ask for the same."""

    measures: tuple[Measure, ...]
    group_by: tuple[Dimension, ...] = ()
    only: tuple[tuple[Dimension, tuple[str, ...]], ...] = ()  #: values a dimension may have

    def __post_init__(self) -> None:
        if not self.measures:
            raise ValueError("a selection sums at least one measure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the stretches of time wanted of it, none overlapping another."""

    tenant_id: int
    hours: tuple[Interval, ...] = ()  #: read hour by hour; bounds are the starts of local hours
    days: tuple[Interval, ...] = ()  #: read day by day; bounds are the starts of local days


@dataclass(frozen=True, slots=True)
class Sum:
    """What one hour or day, of one combination of dimensions, adds to a series."""

    bucket: int  #: when the local hour or day began
    key: tuple[str, ...]  #: a value for each dimension grouped by
    values: tuple[int, ...]  #: one for each measure


@dataclass(frozen=True, slots=True)
class Total:
    """What all hours and days asked for, of one combination of dimensions, come to."""

    key: tuple[str, ...]  #: a value for each dimension grouped by
    values: tuple[int, ...]  #: one for each measure


#: Rows a statement answers at most; a chart of more points helps nobody.
SUMS_MAX = 200_000

_ARRAYS = {
    Dimension.CHANNEL: "smallint[]",
    Dimension.DIRECTION: "smallint[]",
}


def statement(selection: Selection, *, buckets: bool = True) -> str:
    """The statement for a selection; its words are ours, every value is a parameter."""
    wheres = "".join(
        f"\n            and {dimension.value} = any (${place}::{_ARRAYS.get(dimension, 'text[]')})"
        for place, (dimension, _) in enumerate(selection.only, 8)
    )
    keys = "".join(
        f", {dimension.value} as key{i}" for i, dimension in enumerate(selection.group_by)
    )
    columns = ", ".join(f"{measure.sql} as sum{i}" for i, measure in enumerate(selection.measures))
    named = {Dimension.NUMBER, Dimension.CHANNEL}
    numbers = (
        "\n        join numbers n on n.tenant_id = u.tenant_id and n.number_id = u.number_id"
        if named & {*selection.group_by, *(dimension for dimension, _ in selection.only)}
        else ""
    )
    bucket = ", bucket" if buckets else ""

    def branch(table: str, first: int) -> str:
        return f"""
        select r.n{bucket and ", u.bucket"}{keys}, {columns}
        from unnest(${first}::integer[], ${first + 1}::bigint[], ${first + 2}::bigint[])
            r (n, starts_at, ends_at),
            lateral (
                select * from {table}
                where tenant_id = ($7::bigint[])[r.n] and bucket >= r.starts_at
                    and bucket < r.ends_at
                offset 0
            ) u{numbers}
        where true{wheres}"""

    groups = "".join(f", key{i}" for i in range(len(selection.group_by)))
    sums = ", ".join(f"sum(sum{i})::bigint" for i in range(len(selection.measures)))
    return f"""
    select n{bucket}{groups}, {sums}
    from ({branch("usage_hour", 1)}
        union all{branch("usage_day", 4)}
    ) rows
    group by n{bucket}{groups}
    limit {SUMS_MAX + 1}"""


async def sums(door: Door, selection: Selection, asked: Sequence[Asked]) -> list[list[Sum]]:
    """The sums of each one asked for, in order of what was asked, each in no order of its own.

    More than SUMS_MAX rows raise OverflowError.
    """
    found: list[list[Sum]] = [[] for _ in asked]
    width = 2 + len(selection.group_by)
    for values in await _rows(door, selection, asked, buckets=True):
        key = _key(selection, values[2:width])
        if any(values[width:]):  # what was counted otherwise is no line of what is asked for
            found[values[0] - 1].append(Sum(values[1], key, values[width:]))
    return found


async def totals(door: Door, selection: Selection, asked: Sequence[Asked]) -> list[list[Total]]:
    """The same without buckets: one for each combination of what is grouped by that occurs.

    Without anything to group by there is one, or none where nothing was counted. However long the
    stretches, no row of a day leaves the database.
    """
    found: list[list[Total]] = [[] for _ in asked]
    width = 1 + len(selection.group_by)
    for values in await _rows(door, selection, asked, buckets=False):
        found[values[0] - 1].append(Total(_key(selection, values[1:width]), values[width:]))
    return found


def _key(selection: Selection, stored: Sequence[object]) -> tuple[str, ...]:
    return tuple(
        dimension.text(value) for dimension, value in zip(selection.group_by, stored, strict=True)
    )


async def _rows(
    door: Door, selection: Selection, asked: Sequence[Asked], *, buckets: bool
) -> list[tuple[Any, ...]]:
    """The rows of a statement; more than SUMS_MAX raise OverflowError."""
    hours = [(n, *stretch) for n, one in enumerate(asked, 1) for stretch in one.hours]
    days = [(n, *stretch) for n, one in enumerate(asked, 1) for stretch in one.days]
    tenants = [one.tenant_id for one in asked]
    filters = [
        [dimension.stored(value) for value in values] for dimension, values in selection.only
    ]
    async with door.tenant_tx(*tenants) as connection:
        rows = await connection.fetch(
            statement(selection, buckets=buckets),
            *([row[i] for row in hours] for i in range(3)),
            *([row[i] for row in days] for i in range(3)),
            tenants,
            *filters,
        )
    if len(rows) > SUMS_MAX:
        raise OverflowError(f"more than {SUMS_MAX} sums")
    return [tuple(row) for row in rows]
