"""Have a year of documents, or a report, put in one file, once per idempotency key.

Owns how an export begins, whoever wants it; a task makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from msgspec import structs

from api import ids
from api.limits import EXPORTS_KEPT_MAX, EXPORTS_UNFINISHED_MAX
from api.operations.acting import check_key
from api.operations.checks import find_tenant
from api.operations.report_checks import MAILS, check_letters, checked_recipients
from api.reports import spec as specs
from api.reports.checks import check, check_range
from api.reports.spec import Spec
from api.rights import Principal
from domain.periods import Interval, Zone, date_of
from domain.problems import Problem
from domain.ranges import CHART_DAYS
from persistence import exports, tasks
from persistence.audit import Words, trace
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door
from persistence.exports import ExportRecord, span_of
from persistence.report_schedules import KEYS
from persistence.standing import standing_of
from persistence.tenants import TenantRecord

SCOPE = "billing:read"
PREFIX = "exp"
YEAR_MIN = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportCreate:
    """What is asked for: a year of documents."""

    tenant: str  #: its key
    year: int
    kinds: tuple[str, ...] = (exports.INVOICES,)
    idempotency_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCreate:
    """What is asked for: a report."""

    tenant: str  #: its key
    spec: Spec  #: without a range
    range: Callable[[Zone, int], Interval]  #: what it means in a zone at an instant
    idempotency_key: str


async def run(
    door: Door, principal: Principal, request: ExportCreate, *, now: int
) -> tuple[TenantRecord, ExportRecord]:
    """The export, or the one that the same key began, as it stands now."""
    principal.require(SCOPE)
    tenant = await find_tenant(door, principal, request.tenant)
    kinds = _checked(request, tenant.zone, now)
    tenant_id, key = tenant.tenant_id, request.idempotency_key
    async with door.tenant_tx(tenant_id) as connection:
        before = await _room(connection, tenant_id, key, now)
        if before is not None:
            if (before.year, before.kinds) != (request.year, kinds):
                raise _reused()
            return tenant, before
        span = span_of(tenant_id, request.year, tenant.zone, now)
        total = await exports.count(connection, span)
        export = await exports.begin(
            connection, tenant_id, key, year=request.year, kinds=kinds, total=total, at=now
        )
        after = {"year": request.year, "kinds": [kind.upper() for kind in kinds]}
        await _begun(connection, export, after, now)
    return tenant, export


async def run_report(
    door: Door,
    principal: Principal,
    request: ReportCreate,
    *,
    mails: bool,
    now: int,
    catalogue: Catalogue | None = None,
) -> tuple[TenantRecord, ExportRecord]:
    """The report's export, or the one that the same key began, as it stands now.

    `mails`: whether this installation has a server of mail. `catalogue` knows how long the plan
    lets a chart's range be; None: as long as one that says nothing. Who has it mailed writes to
    people in the tenant's name, and needs more than who reads it.
    """
    for scope in specs.scopes(request.spec):
        principal.require(scope)
    if request.spec.recipients:
        principal.require(MAILS)
    tenant = await find_tenant(door, principal, request.tenant)
    _check_key(request.idempotency_key)
    start, end = request.range(tenant.zone, now)
    recipients = checked_recipients(request.spec.recipients, mails=mails)
    spec = structs.replace(request.spec, start=start, end=end, recipients=recipients)
    check(spec)
    days = CHART_DAYS
    if catalogue is not None:
        days = standing_of(catalogue, tenant).holding(now).plan.chart_days
    check_range(tenant, spec, now, chart_days=days)
    async with door.tenant_tx(tenant.tenant_id) as connection:
        return tenant, await begin(connection, tenant, spec, request.idempotency_key, now)


async def begin(
    connection: Connection, tenant: TenantRecord, spec: Spec, key: str, now: int
) -> ExportRecord:
    """Have a report made, in the caller's transaction; or the one that the same key began.

    The spec was checked, and whether whoever wants it may have it. A Problem where the tenant has
    as many exports that are not finished as it may have, or too many letters; nothing is written
    then.
    """
    tenant_id, spelt = tenant.tenant_id, specs.spelt(spec)
    money = specs.BILLING_SCOPE in specs.scopes(spec)
    before = await _room(
        connection, tenant_id, key, now, money=money, recipients=spec.recipients
    )  # fmt: skip
    if before is not None:
        earlier = None if before.spec is None else specs.read(before.spec)
        if earlier is not None and specs.moved(earlier, spec):
            raise _moved(spec)
        if earlier != spec:
            raise _reused()
        return before
    export = await exports.begin(
        connection, tenant_id, key, year=None, kinds=(), total=0, at=now, spec=spelt,
        money=money,
    )  # fmt: skip
    await _begun(connection, export, specs.words(spec), now)
    return export


async def _room(
    connection: Connection,
    tenant_id: int,
    key: str,
    now: int,
    *,
    money: bool = True,
    recipients: tuple[str, ...] = (),
) -> ExportRecord | None:
    """The export that a key began; None: there is none, and room for it and its letters."""
    unfinished = await exports.locked(connection, tenant_id, money=money)
    before = await exports.by_key(connection, tenant_id, key)
    if before is not None:
        return before
    if len(unfinished) >= EXPORTS_UNFINISHED_MAX:
        names = ", ".join(ids.encode(PREFIX, each) for each in unfinished)
        message = (
            f"at most {EXPORTS_UNFINISHED_MAX} exports of a tenant are made at a time, and so many "
            f"are not finished: wait for one of {names}"
        )
        raise Problem("TOO_MANY", message, "tenant")
    await check_letters(connection, tenant_id, recipients, now)
    keep = EXPORTS_KEPT_MAX - 1 - len(unfinished)
    await exports.make_room(connection, tenant_id, money=money, keep=keep)
    return None


async def _begun(connection: Connection, export: ExportRecord, after: Words, now: int) -> None:
    """Have an export made that was just begun, and say who wanted it."""
    await tasks.add(connection, export.tenant_id, tasks.EXPORT, str(export.export_id), now)
    await trace(
        connection, export.tenant_id, "exportCreate", f"tnt/{export.tenant_id}",
        f"{PREFIX}/{export.export_id}", at=now, after=after,
    )  # fmt: skip


def _check_key(key: str) -> None:
    """An idempotency key that no schedule makes."""
    check_key(key)
    if key.startswith(KEYS):
        message = f"idempotencyKey does not begin with {KEYS}: what schedules make does"
        raise Problem("INVALID", message, "idempotencyKey")


def _moved(spec: Spec) -> Problem:
    """The same words on another day: what was made is of other days than are meant now."""
    message = (
        f"this key came before, when {spec.preset} meant other days: put the day into the key "
        "where a new report is wanted each day"
    )
    return Problem("IDEMPOTENCY_KEY_REUSED", message, "idempotencyKey")


def _reused() -> Problem:
    message = "this key came before with another request; use a new key for a new one"
    return Problem("IDEMPOTENCY_KEY_REUSED", message, "idempotencyKey")


def _checked(request: ExportCreate, zone: Zone, now: int) -> tuple[str, ...]:
    """What is to be in it, each kind once."""
    _check_key(request.idempotency_key)
    this: date = date_of(zone.date(now))
    if not YEAR_MIN <= request.year <= this.year:
        message = f"year is {YEAR_MIN} to {this.year}, by the tenant's clock"
        raise Problem("INVALID", message, "year")
    if not request.kinds:
        raise Problem("INVALID", "`kinds` is empty: name some, or leave it out", "kinds")
    return tuple(sorted(set(request.kinds)))
