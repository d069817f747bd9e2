"""Change a report's schedule: what is made, for whom and when, or whether it is at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api import ids
from api.operations.checks import find_tenant
from api.operations.report_checks import MAILS
from api.operations.report_schedule_create import (
    SCOPE,
    check_stretch,
    checked_hour,
    checked_spec,
    holder_of,
    require,
    told,
)
from api.reports import spec as specs
from api.reports.spec import Spec
from api.rights import Principal
from domain.problems import Problem
from domain.report_schedules import Rhythm, following
from persistence import report_schedules
from persistence.audit import trace
from persistence.connection import Connection
from persistence.door import Door
from persistence.report_schedules import PREFIX, Schedule
from persistence.tenants import TenantRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportScheduleUpdate:
    """What is asked for; None leaves as it is."""

    tenant: str  #: its key
    id: str  #: the schedule's
    spec: Spec | None = None  #: without a range; it was checked, but for its recipients
    rhythm: Rhythm | None = None
    hour: int | None = None
    active: bool | None = None


async def run(
    door: Door, principal: Principal, request: ReportScheduleUpdate, *, mails: bool, now: int
) -> tuple[TenantRecord, Schedule]:
    """The schedule as it now is; the same again changes nothing.

    Whoever changes one must be allowed to have the report it was for, and the one it is for then:
    it is theirs from then on. What was due while it was paused is not made when it goes on.
    """
    principal.require(SCOPE)
    principal.require(MAILS)
    if request.spec is not None:
        require(principal, request.spec)
    tenant = await find_tenant(door, principal, request.tenant)
    async with door.tenant_tx(tenant.tenant_id) as connection:
        before = await locked(connection, principal, tenant, request.id)
        after = before
        if request.spec is not None:
            spec = specs.spelt(checked_spec(request.spec, mails=mails))
            if specs.read(spec) != specs.read(before.spec):
                after = replace(after, spec=spec, last_error=None)
        if request.rhythm is not None:
            after = replace(after, rhythm=request.rhythm)
        if request.hour is not None:
            after = replace(after, hour=checked_hour(request.hour))
        if request.active is not None:
            goes_on = request.active and not before.active
            error = None if goes_on else after.last_error
            after = replace(after, active=request.active, last_error=error)
        if after == before:
            return tenant, before
        after = replace(after, changed_by=holder_of(principal))
        check_stretch(tenant, specs.read(after.spec), after.rhythm, after.hour, now)
        timing = after.rhythm, after.hour, after.active
        if timing == (before.rhythm, before.hour, before.active):
            # What is due stays due.
            await report_schedules.keep(connection, after)
        else:
            after = replace(after, since=now)
            due_at = following(tenant.zone, after.rhythm, after.hour, now).due_at
            await report_schedules.change(connection, after, due_at)
        await trace(
            connection, tenant.tenant_id, "reportScheduleUpdate", f"tnt/{tenant.tenant_id}",
            f"{PREFIX}/{after.schedule_id}", at=now, before=told(before), after=told(after),
        )  # fmt: skip
    return tenant, after


async def locked(
    connection: Connection, principal: Principal, tenant: TenantRecord, name: str
) -> Schedule:
    """The schedule of an id, which nobody else changes before the transaction ends."""
    number = ids.decode(PREFIX, name)
    found = None
    if number is not None:
        found = await report_schedules.find(connection, tenant.tenant_id, number, lock=True)
    if found is None:
        raise Problem("NOT_FOUND", f"the tenant has no schedule {name[:64]!r}", "id")
    require(principal, specs.read(found.spec))
    return found
