"""Close a period: settle it, and take nothing more into it, once per idempotency key (EV-3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.operations.acting import check_key, earlier
from api.settling import BusyError, Cause, Settled, Settling
from domain.periods import iso, month_name
from domain.problems import Problem
from persistence import actions, load
from persistence.actions import Action, ActionKind
from persistence.connection import Connection
from persistence.door import Door
from persistence.tenants import TenantRecord, find_by_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodClose:
    tenant: str  #: its key
    period: int  #: label of its month
    idempotency_key: str


async def run(door: Door, settling: Settling, request: PeriodClose, *, now: int) -> Action:
    """Close the period and every one before it, or give what the same key closed."""
    key = request.idempotency_key
    check_key(key)
    tenant = (await find_by_keys(door, [request.tenant])).get(request.tenant)
    if tenant is None:
        raise Problem("NOT_FOUND", f"there is no tenant {request.tenant[:64]!r}", "tenant")
    tenant_id = tenant.tenant_id
    asked = {"tenant": request.tenant, "period": request.period}
    content = actions.content_of(ActionKind.PERIOD_CLOSE, asked)
    async with door.tenant_tx(tenant_id) as connection:
        before = await actions.find(connection, tenant_id, key)
        if before is not None:
            return earlier(before, content)
        head = (await load.heads(connection, [tenant_id]))[tenant_id]
    end = _end(tenant, request.period, head["closed_until"], now)
    done: list[Action] = []

    async def keep(connection: Connection, settled: Settled, version: int) -> None:
        body: dict[str, Any] = {
            "tenant_id": tenant_id, "version": version, "period": request.period,
            "closed_until": end, "corrected": settled.corrected,
            "settlement_id": settled.settlement_id,
        }  # fmt: skip
        done.append(
            await actions.keep(
                connection, tenant_id, key, ActionKind.PERIOD_CLOSE, content, at=now,
                version=version, body=body,
            )
        )  # fmt: skip

    try:
        await settling.settle(tenant_id, Cause.CLOSE, keep, close=end)
    except BusyError:
        raise Problem(
            "SETTLING", "somebody else settles this tenant just now; look again in a moment",
            "tenant",
        ) from None  # fmt: skip
    return done[-1]


def _end(tenant: TenantRecord, label: int, closed_until: int | None, now: int) -> int:
    """The end of a period that may be closed."""
    _, end = tenant.zone.month_bounds(label)
    if closed_until is not None and end <= closed_until:
        message = f"{month_name(label)} is closed: what comes for it is an adjustment"
        raise Problem("ALREADY_CLOSED", message, "period")
    if now < end:
        message = f"{month_name(label)} ends at {iso(end)}; close it after that"
        raise Problem("PERIOD_OPEN", message, "period")
    return end
