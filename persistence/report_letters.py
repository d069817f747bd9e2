"""Report letters: to whom a report is mailed when it is done, and what became of each letter.

Owns the rows and the task of each: they come with the commit that ends the export, so a report
that is there is on its way, and one that is not is not. What stands in a letter, and when it is
tried again, is `api.reports.mailing`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Protocol

import msgspec

from persistence import tasks
from persistence.connection import Connection
from persistence.door import Door
from persistence.report_schedules import schedule_of
from persistence.tasks import Task


class State(IntEnum):
    """What became of a letter; stored."""

    WAITING = 1
    SENT = 2  #: a server of mail took it
    FAILED = 3
    STOPPED = 4  #: its schedule ended, was paused, or names the address no more


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLetter:
    """One letter."""

    tenant_id: int
    export_id: int
    place: int  #: of its address among the report's, from 1
    email: str
    schedule_id: int | None  #: that made the report; None: somebody asked for it
    final: bool  #: whether the figures were final when it was made
    state: State
    tried: int
    error: str | None  #: why the last try came to nothing
    created_at: int
    sent_at: int | None


class Export(Protocol):
    """What is asked of an export that is done."""

    @property
    def tenant_id(self) -> int: ...
    @property
    def export_id(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def spec(self) -> str | None: ...


class _Mailed(msgspec.Struct):
    """What is read here of a report's spec."""

    recipients: tuple[str, ...] = ()


ADD = """
insert into report_letters (tenant_id, export_id, place, email, schedule_id, final, state,
    created_at)
select $1, $2, n, email, $4, $5, 1, $6
from unnest($3::text[]) with ordinality named (email, n)"""


async def begin(connection: Connection, export: Export, now: int, *, final: bool) -> None:
    """Have a report that is done mailed to those its spec names, each in a letter of its own.

    In the transaction that ends the export; nothing of one that names nobody. `final`: whether the
    figures of its file are.
    """
    if export.spec is None:
        return
    mailed = msgspec.json.decode(export.spec, type=_Mailed)
    if not mailed.recipients:
        return
    await connection.execute(
        ADD, export.tenant_id, export.export_id, list(mailed.recipients), schedule_of(export.key),
        final, now,
    )  # fmt: skip
    for place in range(1, len(mailed.recipients) + 1):
        await tasks.add(
            connection, export.tenant_id, tasks.REPORT_LETTER, f"{export.export_id}.{place}", now
        )


def named(task: Task) -> tuple[int, int]:
    """The export and the place that a letter's task names."""
    export_id, _, place = task.key.partition(".")
    return int(export_id), int(place)


COLUMNS: Final = """tenant_id, export_id, place, email, schedule_id, final, state, tried, error,
    created_at, sent_at"""
FIND = f"""
select {COLUMNS} from report_letters where tenant_id = $1 and export_id = $2 and place = $3"""


async def find(
    connection: Connection, tenant_id: int, export_id: int, place: int
) -> ReportLetter | None:
    """One by its name."""
    row = await connection.fetchrow(FIND, tenant_id, export_id, place)
    return None if row is None else _from_row(row)


WANTED = """
select from report_schedules
where tenant_id = $1 and schedule_id = $2 and active and ended_at is null
    and spec -> 'recipients' ? $3"""


async def is_wanted(connection: Connection, letter: ReportLetter) -> bool:
    """Whether it is to go still: its schedule is there, is active, and names its address."""
    if letter.schedule_id is None:
        return True
    found = await connection.fetchrow(WANTED, letter.tenant_id, letter.schedule_id, letter.email)
    return found is not None


TRIED = """
update report_letters set state = $4, error = $5, tried = tried + $6,
    sent_at = $7
where tenant_id = $1 and export_id = $2 and place = $3"""


async def became(
    connection: Connection,
    letter: ReportLetter,
    state: State,
    error: str | None,
    *,
    tries: int = 1,
    now: int,
) -> None:
    """Note what became of a letter, with so many more tries."""
    sent_at = now if state is State.SENT else None
    await connection.execute(
        TRIED, letter.tenant_id, letter.export_id, letter.place, state, error, tries, sent_at
    )


# One statement sees one moment: what is being finished is a letter there, or an export here.
SINCE = """
select (select count(*) from report_letters where tenant_id = $1 and created_at > $2)::integer
    + (
        select coalesce(sum(jsonb_array_length(spec -> 'recipients')), 0) from exports
        where tenant_id = $1 and state in (1, 2) and spec ? 'recipients'
    )::integer as letters,
    (select count(distinct export_id) from report_letters where tenant_id = $1 and state = 1)
        as waiting"""


async def count(connection: Connection, tenant_id: int, since: int) -> tuple[int, int]:
    """How many letters a tenant's reports began after an instant, and how many files they keep.

    Those of reports that are being made are counted as if they had begun; a file is kept by the
    letters that wait to go with it.
    """
    row = await connection.fetchrow(SINCE, tenant_id, since)
    assert row is not None
    return row["letters"], row["waiting"]


OF_EXPORTS = f"""
select {COLUMNS} from report_letters
where (tenant_id, export_id) in (select * from unnest($1::bigint[], $2::bigint[]))
order by tenant_id, export_id, place"""


async def of_exports(
    door: Door, asked: Collection[tuple[int, int]]
) -> dict[tuple[int, int], list[ReportLetter]]:
    """By tenant and export, its letters, as they were named; nothing of one that has none."""
    tenants, numbers = [tenant for tenant, _ in asked], [number for _, number in asked]
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(OF_EXPORTS, tenants, numbers)
    found: dict[tuple[int, int], list[ReportLetter]] = {}
    for row in rows:
        found.setdefault((row["tenant_id"], row["export_id"]), []).append(_from_row(row))
    return found


CLEAR = """
delete from report_letters l
using (
    select tenant_id, export_id, place from report_letters
    where state <> 1 and coalesce(sent_at, created_at) < $1
    order by coalesce(sent_at, created_at)
    limit $2
) old
where l.tenant_id = old.tenant_id and l.export_id = old.export_id and l.place = old.place"""


async def clear(door: Door, before: int, *, limit: int) -> int:
    """Remove up to `limit` letters that were over before an instant; how many.

    One that went was over then; of another, which is tried for little more than a day, it is when
    it began that counts.
    """
    async with door.system_tx("letters with reports of all tenants, long over") as connection:
        done = await connection.execute(CLEAR, before, limit)
    return int(done.split()[-1])


def _from_row(row: Any) -> ReportLetter:
    values = dict(row)
    values["state"] = State(values["state"])
    return ReportLetter(**values)
