"""Delete a report's schedule: nothing of it is made any more, nor mailed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api.operations.checks import find_tenant
from api.operations.report_checks import MAILS
from api.operations.report_schedule_create import SCOPE, told
from api.operations.report_schedule_update import locked
from api.rights import Principal
from persistence import report_schedules
from persistence.audit import trace
from persistence.door import Door
from persistence.report_schedules import PREFIX, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportScheduleDelete:
    """What is asked for."""

    tenant: str  #: its key
    id: str  #: the schedule's


async def run(
    door: Door, principal: Principal, request: ReportScheduleDelete, *, now: int
) -> Schedule:
    """The schedule as it was; letters of it that wait are not sent."""
    principal.require(SCOPE)
    principal.require(MAILS)
    tenant = await find_tenant(door, principal, request.tenant)
    async with door.tenant_tx(tenant.tenant_id) as connection:
        found = await locked(connection, principal, tenant, request.id)
        await report_schedules.change(connection, replace(found, ended_at=now), now)
        await trace(
            connection, tenant.tenant_id, "reportScheduleDelete", f"tnt/{tenant.tenant_id}",
            f"{PREFIX}/{found.schedule_id}", at=now, before=told(found),
        )  # fmt: skip
    return found
