"""Have a year of documents put in one file, once per idempotency key; a task makes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from api.limits import EXPORTS_KEPT_MAX, EXPORTS_UNFINISHED_MAX
from api.operations.acting import check_key
from api.operations.checks import find_tenant
from api.rights import Principal
from domain.periods import Zone, date_of
from domain.problems import Problem
from persistence import exports, tasks
from persistence.audit import trace
from persistence.door import Door
from persistence.exports import ExportRecord, span_of
from persistence.tenants import TenantRecord

SCOPE = "billing:read"
PREFIX = "exp"
YEAR_MIN = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportCreate:
    """What is asked for."""

    tenant: str  #: its key
    year: int
    kinds: tuple[str, ...] = (exports.INVOICES,)
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
        unfinished = await exports.locked(connection, tenant_id)
        before = await exports.by_key(connection, tenant_id, key)
        if before is not None:
            if (before.year, before.kinds) != (request.year, kinds):
                message = "this key came before with another request; use a new key for a new one"
                raise Problem("IDEMPOTENCY_KEY_REUSED", message, "idempotencyKey")
            return tenant, before
        if unfinished >= EXPORTS_UNFINISHED_MAX:
            message = f"{unfinished} exports of the tenant are not finished: wait for one of them"
            raise Problem("TOO_MANY", message, "tenant")
        await exports.make_room(connection, tenant_id, keep=EXPORTS_KEPT_MAX - 1 - unfinished)
        span = span_of(tenant_id, request.year, tenant.zone, now)
        total = await exports.count(connection, span)
        export = await exports.begin(
            connection, tenant_id, key, year=request.year, kinds=kinds, total=total, at=now
        )
        await tasks.add(connection, tenant_id, tasks.EXPORT, str(export.export_id), now)
        await trace(
            connection, tenant_id, "exportCreate", f"tnt/{tenant_id}",
            f"{PREFIX}/{export.export_id}", at=now,
            after={"year": request.year, "kinds": [kind.upper() for kind in kinds]},
        )  # fmt: skip
    return tenant, export


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
