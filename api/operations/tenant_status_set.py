"""Serve a tenant, or refuse its sends: because it is suspended, or because it owes (OC-1).

Whoever is served again is refilled again (RF-2): that is looked at in the same commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import asyncpg

from api.operations.acting import TEXT_LENGTH_MAX
from api.operations.checks import checked_text
from domain.problems import Problem
from domain.refills import look_again
from domain.state import Changes
from persistence import load, record, terms
from persistence.audit import trace
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door
from persistence.sending import said, set_status
from persistence.show import Show
from persistence.tenants import TenantRecord, find_by_keys

STATUSES = ("active", "suspended", "blocked")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStatusSet:
    tenant: str  #: its key
    status: str  #: of STATUSES
    reason: str


async def run(
    door: Door, catalogue: Catalogue, show: Show | None, request: TenantStatusSet, *, now: int
) -> TenantRecord:
    """The tenant as it now is; the same again changes nothing and leaves no row of the audit.

    Without a `show` whoever reads the tenant next finds what was refilled.
    """
    if request.status not in STATUSES:
        raise Problem("INVALID", f"status is one of {', '.join(STATUSES)}", "status")
    reason = checked_text(request.reason, "reason", TEXT_LENGTH_MAX)
    tenant = (await find_by_keys(door, [request.tenant])).get(request.tenant)
    if tenant is None:
        raise Problem("NOT_FOUND", f"there is no tenant {request.tenant[:64]!r}", "tenant")
    changes = None
    async with door.tenant_tx(tenant.tenant_id) as connection:
        heads = await load.lock(connection, [tenant.tenant_id], wait=True)
        _, before = await said(connection, tenant.tenant_id)
        if request.status != before:
            await set_status(connection, tenant.tenant_id, request.status)
            await trace(
                connection, tenant.tenant_id, "tenantStatusSet", f"tnt/{tenant.tenant_id}", at=now,
                before={"status": before},
                after={"status": request.status, "reason": reason},
            )  # fmt: skip
            if before == "suspended":
                changes = await _refilled(connection, catalogue, heads[tenant.tenant_id], now)
    if changes is not None and show is not None:
        show.commits([changes], now)
    return replace(tenant, status=request.status)


async def _refilled(
    connection: Connection, catalogue: Catalogue, head: asyncpg.Record, now: int
) -> Changes | None:
    """Refill what ran low while nothing was charged; None: the tenant has nothing refilled."""
    (own,) = await terms.by_ids(connection, catalogue, [head["tenant_id"]])
    if not any(policy.enabled for policy in own.refills.values()):
        return None
    state = load.state_of(head)
    await load.lots(connection, {own.tenant_id: state}, {own.tenant_id: own}, now, now)
    changes = look_again(own.at(now), state, now)
    await record.record(connection, [changes], now)
    return changes
