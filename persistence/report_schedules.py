"""Report schedules as rows: reports that are made again and again, and what became of the last.

Owns the rows and the task that each active one has, in the transaction that decides when it is
due. A report's spec is kept as text: what stands in it is `api.reports.spec`'s. When a report is
due is `domain.report_schedules`' to say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.report_schedules import Rhythm
from persistence import tasks
from persistence.connection import Connection
from persistence.door import Door

#: What their ids begin with.
PREFIX: Final = "rsc"

#: What begins the key of an export that a schedule made; its number and a stretch's name follow.
#: Nobody else has such a key of an export.
KEYS: Final = "kuota-schedule/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule of a tenant."""

    tenant_id: int
    schedule_id: int
    rhythm: Rhythm
    hour: int
    spec: str  #: as JSON, without its range
    active: bool
    since: int  #: what was due by then is not made
    created_by: str
    changed_by: str  #: who did so last, or created it, as `created_by`: it is theirs
    created_at: int
    ended_at: int | None  #: when it was deleted; None: it is there
    last_export: int | None  #: the last it made
    last_error: str | None  #: why the last was not made; None: it was
    content: str  #: what was asked for when it was created

    def key_of(self, stretch: str) -> str:
        """The key of the export that tells a stretch: there is one of it."""
        return f"{KEYS}{self.schedule_id}/{stretch}"


def schedule_of(key: str) -> int | None:
    """The number of the schedule that made an export of this key; None: somebody asked for it."""
    if not key.startswith(KEYS):
        return None
    return int(key.removeprefix(KEYS).partition("/")[0])


COLUMNS: Final = """tenant_id, schedule_id, rhythm, hour, spec::text as spec, active, since,
    created_by, changed_by, created_at, ended_at, last_export, last_error, content"""

# Who adds schedules to one tenant at the same time does so one after the other.
LOCK = "select from tenants where tenant_id = $1 for no key update"
COUNT = "select count(*) from report_schedules where tenant_id = $1 and ended_at is null"


async def locked(connection: Connection, tenant_id: int) -> int:
    """How many a tenant has; nobody else adds one before the transaction ends."""
    await connection.execute(LOCK, tenant_id)
    found: int = await connection.fetchval(COUNT, tenant_id)
    return found


BY_KEY = f"select {COLUMNS} from report_schedules where tenant_id = $1 and key = $2"


async def by_key(connection: Connection, tenant_id: int, key: str) -> Schedule | None:
    """The one that a key created, ended or not."""
    row = await connection.fetchrow(BY_KEY, tenant_id, key)
    return None if row is None else _from_row(row)


ADD = f"""
insert into report_schedules (tenant_id, key, content, rhythm, hour, spec, active, since,
    created_by, changed_by, created_at)
values ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8, $9, $9, $8)
returning {COLUMNS}"""


async def add(
    connection: Connection,
    tenant_id: int,
    key: str,
    content: str,
    *,
    rhythm: Rhythm,
    hour: int,
    spec: str,
    active: bool,
    created_by: str,
    due_at: int,
    now: int,
) -> Schedule:
    """Keep a new one; its first report is due at `due_at`, if it is active."""
    row = await connection.fetchrow(
        ADD, tenant_id, key, content, rhythm, hour, spec, active, now, created_by
    )
    assert row is not None
    made = _from_row(row)
    await _plan(connection, made, due_at)
    return made


FIND = f"""
select {COLUMNS} from report_schedules
where tenant_id = $1 and schedule_id = $2 and ended_at is null"""


async def find(
    connection: Connection, tenant_id: int, schedule_id: int, *, lock: bool = False
) -> Schedule | None:
    """One that has not ended; locked, nobody else changes it before the transaction ends."""
    statement = f"{FIND} for no key update" if lock else FIND
    row = await connection.fetchrow(statement, tenant_id, schedule_id)
    return None if row is None else _from_row(row)


# What has ended is kept for its key, which needs none of the report.
KEEP = """
update report_schedules
set rhythm = $3, hour = $4, active = $6, since = $7, ended_at = $8,
    spec = case when $8::bigint is null then $5::text::jsonb else '{}' end,
    last_export = $9, last_error = $10, changed_by = $11
where tenant_id = $1 and schedule_id = $2"""


async def keep(connection: Connection, schedule: Schedule) -> None:
    """Keep one as it is now; whoever does so has locked it."""
    await connection.execute(
        KEEP, schedule.tenant_id, schedule.schedule_id, schedule.rhythm, schedule.hour,
        schedule.spec, schedule.active, schedule.since, schedule.ended_at, schedule.last_export,
        schedule.last_error, schedule.changed_by,
    )  # fmt: skip


FAILED = """
update report_schedules set last_error = $3
where tenant_id = $1 and last_export = $2 and ended_at is null"""


async def failed(connection: Connection, tenant_id: int, export_id: int, why: str) -> None:
    """Say why the last report of a schedule could not be made, if a schedule made that export."""
    await connection.execute(FAILED, tenant_id, export_id, why)


async def change(connection: Connection, schedule: Schedule, due_at: int) -> None:
    """Keep one that somebody changed, and have it done anew: at `due_at`, or not any more."""
    await keep(connection, schedule)
    await tasks.drop(
        connection, schedule.tenant_id, tasks.REPORT_SCHEDULE, str(schedule.schedule_id)
    )
    await _plan(connection, schedule, due_at)


async def _plan(connection: Connection, schedule: Schedule, due_at: int) -> None:
    if schedule.active and schedule.ended_at is None:
        await tasks.add(
            connection, schedule.tenant_id, tasks.REPORT_SCHEDULE, str(schedule.schedule_id), due_at
        )


OF_TENANTS = f"""
select {COLUMNS} from report_schedules
where tenant_id = any ($1::bigint[]) and ended_at is null
order by tenant_id, schedule_id"""


async def of_tenants(door: Door, tenants: Sequence[int]) -> list[list[Schedule]]:
    """For each tenant, in order, its schedules, oldest first."""
    found: dict[int, list[Schedule]] = {tenant: [] for tenant in tenants}
    async with door.tenant_tx(*found) as connection:
        for row in await connection.fetch(OF_TENANTS, list(found)):
            found[row["tenant_id"]].append(_from_row(row))
    return [found[tenant] for tenant in tenants]


BY_IDS = f"""
select {COLUMNS} from report_schedules
where (tenant_id, schedule_id) in (select * from unnest($1::bigint[], $2::bigint[]))
    and ended_at is null"""


async def by_ids(door: Door, asked: Collection[tuple[int, int]]) -> dict[tuple[int, int], Schedule]:
    """By tenant and number, those that are there."""
    tenants, numbers = [tenant for tenant, _ in asked], [number for _, number in asked]
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(BY_IDS, tenants, numbers)
    return {(row["tenant_id"], row["schedule_id"]): _from_row(row) for row in rows}


def _from_row(row: Any) -> Schedule:
    values = dict(row)
    values["rhythm"] = Rhythm(values["rhythm"])
    return Schedule(**values)
