"""Scheduling: reports that are made again and again, each stretch of days once.

Owns what happens when one is due: an export is begun, under a key that names the schedule and the
stretch, in the commit that says when the next one is. Of those that were missed the latest is
made; whoever was away for a month is not sent thirty letters. Whosever schedule it is must still
be allowed to have its report: else it is paused, and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog
from msgspec import structs

from api import ids
from api.operations import export_create, report_checks
from api.operations.report_schedule_create import needs, told
from api.reaching.mail import LostError
from api.reports import holding
from api.reports import spec as specs
from domain.periods import HOUR, MINUTE
from domain.problems import Problem
from domain.report_schedules import Stretch, following, latest
from persistence import exports, report_schedules, tasks
from persistence.audit import trace
from persistence.connection import Connection
from persistence.door import Door
from persistence.letters import tenant_of
from persistence.report_schedules import PREFIX, Schedule
from persistence.tasks import Task
from persistence.tenants import TenantRecord

#: How long a report waits for others of its tenant to be finished, and for fewer letters.
ROOM: Final = MINUTE
FEWER_LETTERS: Final = HOUR

log = structlog.get_logger("kuota.reports")


class Scheduling:
    """What begins scheduled reports, in one process."""

    def __init__(self, door: Door, now: Callable[[], int]) -> None:
        self._door = door
        self._now = now

    async def handle(self, task: Task) -> None:
        """Begin the report of a schedule that a task names, if one is due."""
        try:
            while not await self._done(task):
                pass  # it is somebody else's since
        except LostError:
            log.info("a schedule was done by somebody else", tenant=task.tenant_id, key=task.key)

    async def _done(self, task: Task) -> bool:
        """Do a task with what the one may whose schedule it is; False: it is another's by now."""
        async with self._door.tenant_tx(task.tenant_id) as connection:
            found = await report_schedules.find(connection, task.tenant_id, int(task.key))
        holder = "" if found is None else found.changed_by
        # They may be the operator's, whom no tenant sees, so this is outside of its transaction.
        scopes = await holding.scopes_of(self._door, task.tenant_id, holder, self._now())
        async with self._door.tenant_tx(task.tenant_id) as connection:
            return await self._handle(connection, task, holder, scopes)

    async def _handle(
        self, connection: Connection, task: Task, holder: str, scopes: frozenset[str]
    ) -> bool:
        now = self._now()
        schedule = await report_schedules.find(
            connection, task.tenant_id, int(task.key), lock=True
        )  # fmt: skip
        if schedule is None or not schedule.active:
            await tasks.done(connection, task)
            return True
        if schedule.changed_by != holder:
            return False
        tenant = await tenant_of(connection, task.tenant_id)
        asked = tenant.zone, schedule.rhythm, schedule.hour, now
        next_at, due = following(*asked).due_at, latest(*asked)
        if due.due_at > schedule.since:
            lost = [each for each in needs(specs.read(schedule.spec)) if each not in scopes]
            if lost:
                await _pause(connection, schedule, lost, now)
                if not await tasks.done(connection, task):
                    raise LostError
                return True
            try:
                # What refuses does so before anything is written.
                schedule = await _begin(connection, tenant, schedule, due, now)
            except Problem as problem:
                many, of_letters = problem.code == "TOO_MANY", problem.field == report_checks.FIELD
                if many:
                    next_at = min(next_at, now + (FEWER_LETTERS if of_letters else ROOM))
                if of_letters or not many:
                    schedule = replace(schedule, last_error=problem.message)
                name = ids.encode(PREFIX, schedule.schedule_id)
                log.warning("a report is not made", schedule=name, why=problem.message)
            await report_schedules.keep(connection, schedule)
        if not await tasks.later(connection, task, next_at):
            raise LostError
        return True


async def _pause(connection: Connection, schedule: Schedule, lost: list[str], now: int) -> None:
    """Make nothing more of a schedule whose holder may not have its report any more."""
    message = (
        f"{schedule.changed_by} may not have it any more (it needs {', '.join(lost)}), so it is "
        "paused: somebody who may have it can switch it on again"
    )
    after = replace(schedule, active=False, last_error=message)
    await report_schedules.keep(connection, after)
    await trace(
        connection, schedule.tenant_id, "reportScheduleUpdate", f"tnt/{schedule.tenant_id}",
        f"{PREFIX}/{schedule.schedule_id}", at=now, before=told(schedule), after=told(after),
    )  # fmt: skip
    name = ids.encode(PREFIX, schedule.schedule_id)
    log.warning("a report is not made", schedule=name, why=message)


async def _begin(
    connection: Connection, tenant: TenantRecord, schedule: Schedule, due: Stretch, now: int
) -> Schedule:
    """Have a stretch's report made, if it is not yet; gives the schedule as it is then."""
    key = schedule.key_of(due.name)
    export = await exports.by_key(connection, tenant.tenant_id, key)
    if export is None:
        spec = structs.replace(specs.read(schedule.spec), start=due.start, end=due.end)
        export = await export_create.begin(connection, tenant, spec, key, now)
    return replace(schedule, last_export=export.export_id, last_error=None)
