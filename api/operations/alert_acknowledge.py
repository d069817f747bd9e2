"""Say that an alert was seen: the first to say so stays, and stands in the audit."""

from __future__ import annotations

from dataclasses import dataclass

from api import ids
from api.operations.checks import find_tenant
from api.rights import Principal
from domain.money import text
from domain.periods import iso
from domain.problems import Problem
from persistence import alerts
from persistence.alerts import Alert
from persistence.audit import trace
from persistence.door import Door
from persistence.tenants import TenantRecord

#: What it takes: to see alerts, and to answer for what they speak of.
SCOPES = ("billing:read", "billing:write")
PREFIX = "alt"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAcknowledge:
    tenant: str  #: its key
    id: str  #: the alert's


async def run(
    door: Door, principal: Principal, request: AlertAcknowledge, *, now: int
) -> tuple[TenantRecord, Alert]:
    """The alert as it now is; said again it is the same."""
    for scope in SCOPES:
        principal.require(scope)
    tenant = await find_tenant(door, principal, request.tenant)
    number = ids.decode(PREFIX, request.id)
    found, first = None, False
    if number is not None:
        async with door.tenant_tx(tenant.tenant_id) as connection:
            found, first = await alerts.see(connection, tenant.tenant_id, number, now)
            if found is not None and first:
                await trace(
                    connection, tenant.tenant_id, "alertAcknowledge", f"alt/{number}", at=now,
                    before={"acknowledgedAt": None},
                    after={
                        "alert": found.kind.name, "balance": found.balance,
                        "threshold": text(found.threshold), "raisedAt": iso(found.at),
                        "acknowledgedAt": iso(now),
                    },
                )  # fmt: skip
    if found is None:
        raise Problem("NOT_FOUND", f"the tenant has no alert {request.id[:64]!r}", "id")
    return tenant, found
