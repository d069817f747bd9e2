"""Close a period: settle it, and take nothing more into it, once per idempotency key (EV-3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.invoicing.scheduling import follow
from api.operations.acting import check_key, earlier
from api.settling import BusyError, Cause, Close, ClosedError, Settled, Settling
from domain.periods import iso, month_name
from domain.problems import Problem
from persistence import actions, closed_usage, load
from persistence.actions import Action, ActionKind
from persistence.connection import Connection
from persistence.door import Door
from persistence.tenants import TenantRecord, find_by_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodClose:
    tenant: str  #: its key
    period: int  #: label of its month
    idempotency_key: str


async def run(
    door: Door,
    settling: Settling,
    request: PeriodClose,
    *,
    now: int,
    ours: bool = False,
    invoiced: bool | None = None,
) -> Action:
    """Close the period and every one before it, or give what the same key closed.

    Of a tenant that is invoiced one period after the other is closed: each has its invoice. A key
    that is `ours` nobody else has; `invoiced` says what an imported log says: whether what it left
    unpaid was asked for.
    """
    key = request.idempotency_key
    if not ours:
        check_key(key)
    tenant = (await find_by_keys(door, [request.tenant])).get(request.tenant)
    if tenant is None:
        raise Problem("NOT_FOUND", f"there is no tenant {request.tenant[:64]!r}", "tenant")
    tenant_id = tenant.tenant_id
    content = actions.content_of(
        ActionKind.PERIOD_CLOSE, {"tenant": request.tenant, "period": request.period}
    )
    async with door.tenant_tx(tenant_id) as connection:
        before = await actions.find(connection, tenant_id, key)
        if before is not None:
            return earlier(before, content)
        head = (await load.heads(connection, [tenant_id]))[tenant_id]
        first = await closed_usage.next_period(connection, tenant_id)
    if first is not None and first < month_name(request.period):
        message = f"{first} is not closed, and has an invoice of its own: close it first"
        raise Problem("EARLIER_OPEN", message, "period")
    end = _end(tenant, request.period, head["closed_until"], now)
    done: list[Action] = []

    async def keep(connection: Connection, settled: Settled, version: int) -> None:
        asked = await closed_usage.find(connection, tenant_id, request.period)
        await follow(connection, tenant_id, tenant.zone, request.period, now)
        body: dict[str, Any] = {
            "tenant_id": tenant_id, "version": version, "period": request.period,
            "closed_until": end, "corrected": settled.corrected,
            "settlement_id": settled.settlement_id, "invoiced": asked is not None,
        }  # fmt: skip
        done.append(
            await actions.keep(
                connection, tenant_id, key, ActionKind.PERIOD_CLOSE, content, at=now,
                version=version, body=body,
            )
        )  # fmt: skip

    try:
        await settling.settle(tenant_id, Cause.CLOSE, keep, close=Close(end, invoiced))
    except BusyError:
        raise Problem(
            "SETTLING", "somebody else settles this tenant just now; look again in a moment",
            "tenant",
        ) from None  # fmt: skip
    except ClosedError:
        raise _closed(request.period) from None
    return done[-1]


def _end(tenant: TenantRecord, label: int, closed_until: int | None, now: int) -> int:
    """The end of a period that may be closed."""
    _, end = tenant.zone.month_bounds(label)
    if closed_until is not None and end <= closed_until:
        raise _closed(label)
    if now < end:
        message = f"{month_name(label)} ends at {iso(end)}; close it after that"
        raise Problem("PERIOD_OPEN", message, "period")
    return end


def _closed(label: int) -> Problem:
    message = f"{month_name(label)} is closed: what comes for it is an adjustment"
    return Problem("ALREADY_CLOSED", message, "period")
