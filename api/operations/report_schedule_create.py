"""Have a report made and mailed again and again, once per idempotency key."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import structs

from api import ids
from api.limits import REPORT_SCHEDULES_MAX
from api.operations.acting import check_key
from api.operations.checks import check_storable, find_tenant
from api.operations.report_checks import FIELD, MAILS, checked_recipients
from api.reports import checks
from api.reports import spec as specs
from api.reports.spec import Spec
from api.rights import Principal
from domain.problems import Problem
from domain.report_schedules import HOURS, Rhythm, following, latest
from persistence import report_schedules
from persistence.audit import Words, trace
from persistence.door import Door
from persistence.report_schedules import PREFIX, Schedule
from persistence.tenants import TenantRecord

#: What sees schedules; who handles one may have its report and have letters sent as well.
SCOPE: Final = specs.USAGE_SCOPE

UNKNOWN: Final = (
    "only your issuer knows you here, and nobody can ask it when a report is due: use a key, or "
    "be entered with `userCreate`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportScheduleCreate:
    """What is asked for."""

    tenant: str  #: its key
    spec: Spec  #: without a range; it was checked, but for its recipients
    rhythm: Rhythm
    hour: int
    active: bool = True
    idempotency_key: str


async def run(
    door: Door, principal: Principal, request: ReportScheduleCreate, *, mails: bool, now: int
) -> tuple[TenantRecord, Schedule]:
    """The schedule, or the one that the same key created, as it stands now.

    `mails`: whether this installation has a server of mail. Rights are asked here, and again of
    the same person or key whenever a report is due.
    """
    require(principal, request.spec)
    tenant = await find_tenant(door, principal, request.tenant)
    holder = holder_of(principal)
    check_key(request.idempotency_key)
    spec, hour = checked_spec(request.spec, mails=mails), checked_hour(request.hour)
    check_stretch(tenant, spec, request.rhythm, hour, now)
    tenant_id, key = tenant.tenant_id, request.idempotency_key
    content = _content(spec, request)
    async with door.tenant_tx(tenant_id) as connection:
        held = await report_schedules.locked(connection, tenant_id)
        before = await report_schedules.by_key(connection, tenant_id, key)
        if before is not None:
            if before.content != content:
                message = "this key came before with another request; use a new key for a new one"
                raise Problem("IDEMPOTENCY_KEY_REUSED", message, "idempotencyKey")
            if before.ended_at is not None:
                message = "the schedule of this key was deleted; use a new key for a new one"
                raise Problem("ALREADY_DELETED", message, "idempotencyKey")
            return tenant, before
        if held >= REPORT_SCHEDULES_MAX:
            message = f"a tenant has at most {REPORT_SCHEDULES_MAX} schedules: delete one"
            raise Problem("TOO_MANY", message, "tenant")
        made = await report_schedules.add(
            connection, tenant_id, key, content, rhythm=request.rhythm, hour=hour,
            spec=specs.spelt(spec), active=request.active, created_by=holder,
            due_at=following(tenant.zone, request.rhythm, hour, now).due_at, now=now,
        )  # fmt: skip
        await trace(
            connection, tenant_id, "reportScheduleCreate", f"tnt/{tenant_id}",
            f"{PREFIX}/{made.schedule_id}", at=now, after=told(made),
        )  # fmt: skip
    return tenant, made


def require(principal: Principal, spec: Spec) -> None:
    """Raise FORBIDDEN unless somebody may see schedules, have letters sent, and have a report."""
    for scope in needs(spec):
        principal.require(scope)


def needs(spec: Spec) -> tuple[str, ...]:
    """The scopes that whoever has a report mailed again and again needs all the while."""
    return tuple(dict.fromkeys((SCOPE, MAILS, *specs.scopes(spec))))


def holder_of(principal: Principal) -> str:
    """Whose a schedule is that somebody creates or changes: as `holding` finds them again."""
    known = principal.key_id is not None
    if principal.role is not None:
        known = ids.decode("usr", principal.name.removeprefix("user ")) is not None
    elif principal.key_id is None:
        known = principal.is_operator  # with the key of the environment
    if not known:
        raise Problem("UNKNOWN_PERSON", UNKNOWN)
    return principal.name


def checked_spec(spec: Spec, *, mails: bool) -> Spec:
    """A report that can be made, and is for somebody."""
    check_storable({"report": {"filter": dict(spec.only), "locale": spec.locale}})
    checks.check(spec)
    recipients = checked_recipients(spec.recipients, mails=mails)
    if not recipients:
        message = "`recipients` is empty: name who is to have the report"
        raise Problem("INVALID", message, FIELD)
    return structs.replace(spec, recipients=recipients, start=0, end=0, preset="")


def check_stretch(tenant: TenantRecord, spec: Spec, rhythm: Rhythm, hour: int, now: int) -> None:
    """A report of such stretches can be made; raises BAD_USER_INPUT where it is asked too much."""
    found = latest(tenant.zone, rhythm, hour, now)
    checks.check_range(tenant, structs.replace(spec, start=found.start, end=found.end), now)


def checked_hour(hour: int) -> int:
    """An hour that clocks show."""
    if hour not in HOURS:
        raise Problem("INVALID", "hour is 0 to 23, by the tenant's clock", "hour")
    return hour


def _content(spec: Spec, request: ReportScheduleCreate) -> str:
    """A digest of what was asked for, as it is compared with what comes under the same key.

    It is kept for ever, and a filter may be long.
    """
    asked = specs.spelt(spec), request.rhythm.name, request.hour, request.active
    return sha256(msgspec.json.encode(asked)).hexdigest()


def told(schedule: Schedule) -> Words:
    """A schedule in the words of the audit."""
    words = specs.words(specs.read(schedule.spec))
    del words["start"], words["end"]
    return {
        **words,
        "rhythm": schedule.rhythm.name,
        "hour": schedule.hour,
        "active": schedule.active,
    }
