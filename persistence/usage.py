"""Usage as series read it: sums of the rollups by local hour or day, never of facts.

Owns the reading of `usage_hour` and `usage_day` and the words for their columns. Which hours and
days make a bucket of a chart is the caller's to say; the day or hour an answer names is the instant
it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from domain.facts import CHANNEL_NAMES, CHANNELS, Direction
from domain.periods import Interval
from persistence.door import Door


class Measure(Enum):
    """What is summed; the value is its column."""

    CONVERSATIONS = "conversations"
    VISITORS = "visitors"
    MESSAGES_IN = "messages_in"
    MESSAGES_OUT = "messages_out"
    SEGMENTS = "segments"
    SECONDS_BILLED = "seconds"
    EMAILS = "emails"
    BOT_SESSIONS = "sessions"
    COST = "cost"
    UNITS = "units"

    @property
    def in_micros(self) -> bool:
        """Whether the column has millionths; the others count whole things."""
        return self in (Measure.COST, Measure.UNITS)


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


#: Rows a statement answers at most; a chart of more points helps nobody.
SUMS_MAX = 200_000

_ARRAYS = {
    Dimension.CHANNEL: "smallint[]",
    Dimension.DIRECTION: "smallint[]",
}


def statement(selection: Selection) -> str:
    """The statement for a selection; its words are ours, every value is a parameter."""
    wheres = "".join(
        f"\n            and {dimension.value} = any (${place}::{_ARRAYS.get(dimension, 'text[]')})"
        for place, (dimension, _) in enumerate(selection.only, 8)
    )
    keys = "".join(
        f", {dimension.value} as key{i}" for i, dimension in enumerate(selection.group_by)
    )
    columns = ", ".join(
        f"u.{measure.value} as sum{i}" for i, measure in enumerate(selection.measures)
    )
    named = {Dimension.NUMBER, Dimension.CHANNEL}
    numbers = (
        "\n        join numbers n on n.tenant_id = u.tenant_id and n.number_id = u.number_id"
        if named & {*selection.group_by, *(dimension for dimension, _ in selection.only)}
        else ""
    )

    def branch(table: str, first: int) -> str:
        return f"""
        select r.n, u.bucket{keys}, {columns}
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
    select n, bucket{groups}, {sums}
    from ({branch("usage_hour", 1)}
        union all{branch("usage_day", 4)}
    ) rows
    group by n, bucket{groups}
    limit {SUMS_MAX + 1}"""


async def sums(door: Door, selection: Selection, asked: Sequence[Asked]) -> list[list[Sum]]:
    """The sums of each one asked for, in order of what was asked, each in no order of its own.

    More than SUMS_MAX rows raise OverflowError.
    """
    hours = [(n, *stretch) for n, one in enumerate(asked, 1) for stretch in one.hours]
    days = [(n, *stretch) for n, one in enumerate(asked, 1) for stretch in one.days]
    tenants = [one.tenant_id for one in asked]
    filters = [
        [dimension.stored(value) for value in values] for dimension, values in selection.only
    ]
    async with door.tenant_tx(*tenants) as connection:
        rows = await connection.fetch(
            statement(selection),
            *([row[i] for row in hours] for i in range(3)),
            *([row[i] for row in days] for i in range(3)),
            tenants,
            *filters,
        )
    if len(rows) > SUMS_MAX:
        raise OverflowError(f"more than {SUMS_MAX} sums")
    found: list[list[Sum]] = [[] for _ in asked]
    width = 2 + len(selection.group_by)
    for row in rows:
        values = tuple(row)
        key = tuple(
            dimension.text(stored)
            for dimension, stored in zip(selection.group_by, values[2:width], strict=True)
        )
        found[values[0] - 1].append(Sum(values[1], key, values[width:]))
    return found
