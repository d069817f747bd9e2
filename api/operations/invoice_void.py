"""Make an issued invoice void, while nothing of it is paid or given back (IN-4).

Once per idempotency key. It keeps its number; a draft is discarded instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.invoicing import account
from api.operations.accounting import issued_invoice, unmoved
from api.operations.acting import Done, Scene, check_reason, once
from domain.money import text
from domain.problems import Problem
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceVoid:
    tenant: str  #: its key
    invoice: str  #: its number or id
    reason: str
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: InvoiceVoid, *, now: int
) -> Action:
    """Make it void, or give what the same key did before."""
    check_reason(request.reason)

    async def act(scene: Scene) -> Done:
        return await _void(scene, request)

    return await once(door, catalogue, show, ActionKind.INVOICE_VOID, request, act, now=now)


async def _void(scene: Scene, request: InvoiceVoid) -> Done:
    record = await issued_invoice(scene, request.invoice, "invoice")
    if record.voided_at is not None:
        raise Problem("VOID", f"{record.number} is void", "invoice")
    changes = await unmoved(scene)
    await account.voided(scene.connection, changes, record, scene.now)
    total, currency = record.invoice.total, record.invoice.currency
    return Done(
        changes=changes,
        body={
            "invoice": record.number,
            "amount": total,
            "currency": currency,
            "reason": request.reason,
        },
        about=(f"inv/{record.invoice_id}",),
        before={"invoice": record.number, "asked": text(total), "currency": currency},
        after={"invoice": record.number, "asked": "0", "reason": request.reason},
    )
