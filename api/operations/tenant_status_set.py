"""Serve a tenant, or refuse its sends: because it is suspended, or because it owes (OC-1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api.operations.acting import TEXT_LENGTH_MAX
from api.operations.checks import checked_text
from domain.problems import Problem
from persistence import load
from persistence.audit import trace
from persistence.door import Door
from persistence.sending import said, set_status
from persistence.tenants import TenantRecord, find_by_keys

STATUSES = ("active", "suspended", "blocked")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStatusSet:
    tenant: str  #: its key
    status: str  #: of STATUSES
    reason: str


async def run(door: Door, request: TenantStatusSet, *, now: int) -> TenantRecord:
    """The tenant as it now is; the same again changes nothing and leaves no row of the audit."""
    if request.status not in STATUSES:
        raise Problem("INVALID", f"status is one of {', '.join(STATUSES)}", "status")
    reason = checked_text(request.reason, "reason", TEXT_LENGTH_MAX)
    tenant = (await find_by_keys(door, [request.tenant])).get(request.tenant)
    if tenant is None:
        raise Problem("NOT_FOUND", f"there is no tenant {request.tenant[:64]!r}", "tenant")
    async with door.tenant_tx(tenant.tenant_id) as connection:
        await load.lock(connection, [tenant.tenant_id], wait=True)
        _, before = await said(connection, tenant.tenant_id)
        if request.status != before:
            await set_status(connection, tenant.tenant_id, request.status)
            await trace(
                connection, tenant.tenant_id, "tenantStatusSet", f"tnt/{tenant.tenant_id}", at=now,
                before={"status": before},
                after={"status": request.status, "reason": reason},
            )  # fmt: skip
    return replace(tenant, status=request.status)
