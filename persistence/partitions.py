"""Month partitions of the tables that grow with traffic, made ahead of their time by the owner.

Owns their names and bounds. What falls into no month (a replay of last year) is kept by the DEFAULT
partition and stays there: a month whose facts it holds already is not split off later.
"""

from __future__ import annotations

from datetime import UTC, datetime

from domain.periods import instant, moment, month_label, month_name
from persistence.connection import Connection

PARTITIONED = ("facts", "charges", "revisions")

#: Months made ahead: three month ends may pass before somebody must look.
MONTHS_AHEAD = 3


async def ensure(conn: Connection, now: int) -> list[str]:
    """Make this month's partitions and the next ones, as the owner; gives the new ones' names."""
    today = moment(now)
    first = month_label(today.year, today.month)
    made: list[str] = []
    for table in PARTITIONED:
        for label in range(first, first + MONTHS_AHEAD + 1):
            name = named(table, label)
            begin, end = start(label), start(label + 1)
            if await conn.fetchval("select to_regclass($1) is not null", name):
                continue
            if await conn.fetchval(
                f"select exists (select from {table}_default where at >= $1 and at < $2)",
                begin,
                end,
            ):
                continue
            await conn.execute(
                f"create table {name} partition of {table} for values from ({begin}) to ({end})"
            )
            made.append(name)
    return made


def named(table: str, label: int) -> str:
    """What a month's partition is called."""
    return f"{table}_{month_name(label).replace('-', '_')}"


def start(label: int) -> int:
    """Where a month begins, in UTC: partitions are storage, the tenants' periods something else."""
    return instant(datetime(label // 12, label % 12 + 1, 1, tzinfo=UTC))
