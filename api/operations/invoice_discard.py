"""Discard a draft that is not to be issued, once per idempotency key.

A period whose draft is discarded has no invoice; `invoice_issue` draws it up anew. What
subscriptions were asked for by it is asked for by the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.invoicing import issuing
from api.operations.accounting import unmoved
from api.operations.acting import Done, Scene, once
from api.operations.invoice_issue import draft_of
from domain.money import text
from persistence import invoices
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDiscard:
    tenant: str  #: its key
    invoice: str  #: the draft's id
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: InvoiceDiscard, *, now: int
) -> Action:
    """Remove it, or give what the same key removed before."""

    async def act(scene: Scene) -> Done:
        return await _discard(scene, request)

    return await once(door, catalogue, show, ActionKind.INVOICE_DISCARD, request, act, now=now)


async def _discard(scene: Scene, request: InvoiceDiscard) -> Done:
    record = await draft_of(scene, request.invoice)
    await invoices.discard(scene.connection, scene.terms.tenant_id, record.invoice_id)
    invoice = record.invoice
    return Done(
        changes=await unmoved(scene),
        body={"total": invoice.total, "currency": invoice.currency},
        about=(issuing.row_of(record),),
        before={"total": text(invoice.total), "currency": invoice.currency},
    )
