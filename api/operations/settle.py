"""Settle a tenant on demand: put its facts into their order, and correct what differs (EV-9)."""

from __future__ import annotations

from dataclasses import dataclass

from api.operations.acting import check_key, earlier
from api.settling import BusyError, Cause, Settled, Settling
from domain.problems import Problem
from persistence import actions
from persistence.actions import ActionKind
from persistence.connection import Connection
from persistence.door import Door
from persistence.tenants import find_by_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    tenant: str  #: its key
    idempotency_key: str | None = None  #: None: what it finds is remembered under no name


async def run(door: Door, settling: Settling, request: Settle, *, now: int) -> Settled:
    """Settle, or give what the same key found; SETTLING while somebody else does it."""
    key = request.idempotency_key
    if key is not None:
        check_key(key)
    tenant = (await find_by_keys(door, [request.tenant])).get(request.tenant)
    if tenant is None:
        raise Problem("NOT_FOUND", f"there is no tenant {request.tenant[:64]!r}", "tenant")
    content = actions.content_of(ActionKind.SETTLE, {"tenant": request.tenant})
    if key is not None:
        async with door.tenant_tx(tenant.tenant_id) as connection:
            before = await actions.find(connection, tenant.tenant_id, key)
        if before is not None:
            body = earlier(before, content).body
            return Settled(
                tenant=request.tenant, facts=body["facts"], corrected=body["corrected"],
                differences=body["differences"], settlement_id=body["settlement_id"],
            )  # fmt: skip

    async def keep(connection: Connection, settled: Settled, version: int) -> None:
        assert key is not None
        await actions.keep(
            connection, tenant.tenant_id, key, ActionKind.SETTLE, content, at=now, version=version,
            body={
                "tenant_id": tenant.tenant_id, "version": version, "facts": settled.facts,
                "corrected": settled.corrected, "differences": settled.differences,
                "settlement_id": settled.settlement_id,
            },
        )  # fmt: skip

    try:
        return await settling.settle(tenant.tenant_id, Cause.DEMAND, None if key is None else keep)
    except BusyError:
        raise Problem(
            "SETTLING", "somebody else settles this tenant just now; look again in a moment",
            "tenant",
        ) from None  # fmt: skip
