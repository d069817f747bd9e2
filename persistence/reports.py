"""Reading the rows of reports: all of one look at the database, in order, however many there are.

Owns the look, which is a snapshot on a connection of its own, and how columns leave the database:
as the text of a CSV file, made there, or typed. Memory does not grow with the rows. What stands in
a column is `report_tables`'.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from domain.periods import Interval
from persistence import report_tables
from persistence.connection import Connection
from persistence.door import Door, tenant_scope
from persistence.report_charges import CHARGE_DIMENSIONS, CHARGES
from persistence.report_tables import ABOUT, COLUMNS, OF_USAGE, SPANS, Table
from persistence.settlements import CLOSED
from persistence.usage import Dimension

SNAPSHOT: Final = "set transaction isolation level repeatable read, read only"
#: Rows that a cursor brings at a time.
FETCHED: Final = 1_000
#: Seconds for a look of any length: whoever made it half way begins anew.
PATIENCE_SECONDS: Final = 3_600.0
CLOSE_SECONDS: Final = 5.0

#: What a cell that a spreadsheet would run begins with.
_RUN: Final = r"('=', '+', '-', '@', E'\t', E'\r', E'\n')"


class Shape(StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    DATE = "date"
    INSTANT = "instant"  #: microseconds since 1970 UTC
    INTEGER = "integer"
    DECIMAL = "decimal"  #: millionths


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted of a tenant's table."""

    tenant_id: int
    table: Table
    columns: tuple[tuple[str, Shape], ...]
    counted: tuple[str, ...]  #: of usage: a row in which all of these are 0 is left out
    start: int
    end: int
    hours: tuple[Interval, ...]  #: of usage: what is read hour by hour
    days: tuple[Interval, ...]  #: and day by day
    only: tuple[tuple[Dimension, tuple[str, ...]], ...]
    calendar: tuple[tuple[int, date], ...]  #: the local days of the range, and their beginnings
    currency: str


@asynccontextmanager
async def look(door: Door, tenant_id: int) -> AsyncIterator[Connection]:
    """A connection that sees one tenant, as it is at this instant until it is closed."""
    connection = await door.lane()
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"{SNAPSHOT}; {tenant_scope([tenant_id])}")
        yield connection
        await transaction.rollback()
    except BaseException:
        # Whoever breaks it off waits for nothing: a copy that is under way answers to nobody, and
        # nothing was written that could be undone.
        connection.terminate()
        raise
    finally:
        if not connection.is_closed():
            await connection.close(timeout=CLOSE_SECONDS)


async def span(connection: Connection, table: Table, tenant_id: int) -> Interval | None:
    """The instants `[first, last]` between which a table has anything; None: it has nothing."""
    row = await connection.fetchrow(SPANS[table], tenant_id, timeout=PATIENCE_SECONDS)
    return None if row is None or row[0] is None else (row[0], row[1])


async def closed_until(connection: Connection, tenant_id: int) -> int | None:
    """Until when the tenant's periods are closed, as the same look sees it."""
    row = await connection.fetchrow(CLOSED, [tenant_id])
    return None if row is None else row["closed_until"]


async def about(connection: Connection, table: Table, tenant_id: int, start: int, end: int) -> int:
    """How many rows there are in a range, whatever they are narrowed to."""
    found: int = await connection.fetchval(
        ABOUT[table], tenant_id, start, end, timeout=PATIENCE_SECONDS
    )
    return found


async def copied(
    connection: Connection, asked: Asked, write: Callable[[bytes], Coroutine[Any, Any, None]]
) -> int:
    """Write the rows as those of a CSV file, without the columns' names; how many there were."""
    found = 0
    for statement, values in _statements(asked, _as_text):
        told = await connection.copy_from_query(
            statement, *values, output=write, format="csv", timeout=PATIENCE_SECONDS
        )
        found += int(told.split()[-1])
    return found


async def typed(connection: Connection, asked: Asked) -> AsyncIterator[list[Sequence[Any]]]:
    """The rows, some at a time: text, dates, and whole numbers, of decimals their millionths."""
    for statement, values in _statements(asked, _as_typed):
        cursor = await connection.cursor(statement, *values, timeout=PATIENCE_SECONDS)
        while rows := await cursor.fetch(FETCHED, timeout=PATIENCE_SECONDS):
            yield list(map(tuple, rows))


def _statements(
    asked: Asked, written: Callable[[str, Shape], str]
) -> list[tuple[str, tuple[Any, ...]]]:
    """The statements whose rows, one after the other, are the report's."""
    expressions = COLUMNS[asked.table]
    columns = ", ".join(
        f'{written(expressions[name], shape)} as "{name}"' for name, shape in asked.columns
    )
    days = [day for _, day in asked.calendar]
    known = (asked.tenant_id, days, [begins for begins, _ in asked.calendar])
    within = (asked.start, asked.end)
    if asked.table in OF_USAGE:
        counted = " or ".join(f"{expressions[name]} <> 0" for name in asked.counted)
        narrowed, values = _narrowed(asked.only, 7)
        stretches = sorted(
            [(*each, True) for each in asked.hours] + [(*each, False) for each in asked.days]
        )
        return [
            _fitted(
                report_tables.usage(asked.table, columns, counted, narrowed, hours=hours),
                (*known, start, end, asked.currency, *values),
            )
            for start, end, hours in stretches
        ]
    if asked.table is Table.BROADCASTS:
        named = dict(asked.only).get(Dimension.BROADCAST)
        statement = report_tables.BROADCASTS.format(columns=columns)
        return [_fitted(statement, (*known, *within, asked.currency, named))]
    if asked.table is Table.CHARGES:
        narrowed = "".join(
            f"\n    and {CHARGE_DIMENSIONS[dimension]} = any (${place}::text[])"
            for place, (dimension, _) in enumerate(asked.only, 6)
        )
        values = tuple(list(each) for _, each in asked.only)
        return [
            _fitted(each.format(columns=columns, narrowed=narrowed), (*known, *within, *values))
            for each in CHARGES
        ]
    plain = report_tables.LEDGER if asked.table is Table.LEDGER else report_tables.PURCHASES
    return [_fitted(plain.format(columns=columns), (*known, *within))]


def _narrowed(
    only: Sequence[tuple[Dimension, tuple[str, ...]]], first: int
) -> tuple[str, tuple[Any, ...]]:
    """What narrows rows of usage, and its values, the first of which is `$first`."""
    wheres = "".join(
        f"\n        and {dimension.value} = any (${place}::{_array(dimension)})"
        for place, (dimension, _) in enumerate(only, first)
    )
    return wheres, tuple([dimension.stored(each) for each in values] for dimension, values in only)


def _array(dimension: Dimension) -> str:
    """What the stored values of a dimension are, several of them."""
    return "smallint[]" if dimension in (Dimension.CHANNEL, Dimension.DIRECTION) else "text[]"


#: Of the first parameters of a statement, which its columns may all do without.
_TYPES: Final = ("bigint", "date[]", "bigint[]", "bigint", "bigint", "text")


def _fitted(statement: str, values: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """A statement with its values, also those that no column of it is made of."""
    given = ", ".join(
        f"${place}::{kind} as given{place}"
        for place, kind in enumerate(_TYPES[: len(values)], 1)
        if kind != "text" or f"${place}::{kind}[]" not in statement
    )
    return f"with given as (select {given})\n{statement.lstrip()}", values


def _as_typed(expression: str, shape: Shape) -> str:
    return f"({expression})"


def _as_text(expression: str, shape: Shape) -> str:
    """A column as it stands in a CSV file: what came from people is shown there, and not run."""
    match shape:
        case Shape.TEXT:
            return (
                f"(select case when left(cell, 1) in {_RUN} then '''' || cell "
                f"else nullif(cell, '') end from (select {expression} as cell) text)"
            )
        case Shape.DATE:
            return f"to_char({expression}, 'YYYY-MM-DD')"
        case Shape.INSTANT:
            return (
                f"(select to_char(at, 'YYYY-MM-DD\"T\"HH24:MI:SS') || case "
                f"when extract(microseconds from at)::integer % 1000000 = 0 then '' "
                f"else to_char(at, '.US') end || 'Z' "
                f"from (select moment({expression}) at time zone 'UTC' as at) instant)"
            )
        case Shape.INTEGER:
            return f"({expression})"
        case Shape.DECIMAL:
            return f"trim_scale(({expression}) * 0.000001)"
