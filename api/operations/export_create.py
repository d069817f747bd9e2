"""Have a year of documents, or a report, put in one file, once per idempotency key.

Owns how an export begins, whoever wants it; a task makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from msgspec import structs

from api.limits import EXPORTS_KEPT_MAX, EXPORTS_UNFINISHED_MAX
from api.operations.acting import check_key
from api.operations.checks import find_tenant
from api.operations.report_checks import check_letters, checked_recipients
from api.reports import spec as specs
from api.reports.checks import check, check_range
from api.reports.spec import Spec
from api.rights import Principal
from domain.periods import Interval, Zone, date_of
from domain.problems import Problem
from persistence import exports, tasks
from persistence.audit import Words, trace
from persistence.connection import Connection
from persistence.door import Door
from persistence.exports import ExportRecord, span_of
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
        before = await _room(connection, tenant_id, key)
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
    door: Door, principal: Principal, request: ReportCreate, *, mails: bool, now: int
) -> tuple[TenantRecord, ExportRecord]:
    """The report's export, or the one that the same key began, as it stands now.

    `mails`: whether this installation has a server of mail.
    """
    for scope in specs.scopes(request.spec):
        principal.require(scope)
    tenant = await find_tenant(door, principal, request.tenant)
    check_key(request.idempotency_key)
    start, end = request.range(tenant.zone, now)
    try:
        recipients = checked_recipients(request.spec.recipients, mails=mails)
    except Problem as problem:
        raise Problem(problem.code, problem.message, f"report.{problem.field}") from None
    spec = structs.replace(request.spec, start=start, end=end, recipients=recipients)
    check(spec)
    check_range(tenant, spec, now)
    async with door.tenant_tx(tenant.tenant_id) as connection:
        if await exports.by_key(connection, tenant.tenant_id, request.idempotency_key) is None:
            await check_letters(connection, tenant.tenant_id, recipients, now)
        return tenant, await begin(connection, tenant, spec, request.idempotency_key, now)


async def begin(
    connection: Connection, tenant: TenantRecord, spec: Spec, key: str, now: int
) -> ExportRecord:
    """Have a report made, in the caller's transaction; or the one that the same key began.

    The spec was checked, and whether whoever wants it may have it. A Problem where the tenant has
    as many exports that are not finished as it may have.
    """
    tenant_id, spelt = tenant.tenant_id, specs.spelt(spec)
    before = await _room(connection, tenant_id, key)
    if before is not None:
        if before.spec is None or not specs.same(specs.read(before.spec), spec):
            raise _reused()
        return before
    export = await exports.begin(
        connection, tenant_id, key, year=None, kinds=(), total=0, at=now, spec=spelt,
        money=specs.BILLING_SCOPE in specs.scopes(spec),
    )  # fmt: skip
    await _begun(connection, export, specs.words(spec), now)
    return export


async def _room(connection: Connection, tenant_id: int, key: str) -> ExportRecord | None:
    """The export that a key began; None: there is none, and room for it."""
    unfinished = await exports.locked(connection, tenant_id)
    before = await exports.by_key(connection, tenant_id, key)
    if before is not None:
        return before
    if unfinished >= EXPORTS_UNFINISHED_MAX:
        message = f"{unfinished} exports of the tenant are not finished: wait for one of them"
        raise Problem("TOO_MANY", message, "tenant")
    await exports.make_room(connection, tenant_id, keep=EXPORTS_KEPT_MAX - 1 - unfinished)
    return None


async def _begun(connection: Connection, export: ExportRecord, after: Words, now: int) -> None:
    """Have an export made that was just begun, and say who wanted it."""
    await tasks.add(connection, export.tenant_id, tasks.EXPORT, str(export.export_id), now)
    await trace(
        connection, export.tenant_id, "exportCreate", f"tnt/{export.tenant_id}",
        f"{PREFIX}/{export.export_id}", at=now, after=after,
    )  # fmt: skip


def _reused() -> Problem:
    message = "this key came before with another request; use a new key for a new one"
    return Problem("IDEMPOTENCY_KEY_REUSED", message, "idempotencyKey")


def _checked(request: ExportCreate, zone: Zone, now: int) -> tuple[str, ...]:
    """What is to be in it, each kind once."""
    check_key(request.idempotency_key)
    this: date = date_of(zone.date(now))
    if not YEAR_MIN <= request.year <= this.year:
        message = f"year is {YEAR_MIN} to {this.year}, by the tenant's clock"
        raise Problem("INVALID", message, "year")
    if not request.kinds:
        raise Problem("INVALID", "`kinds` is empty: name some, or leave it out", "kinds")
    return tuple(sorted(set(request.kinds)))
