"""Issue a draft, or a closed period whose invoice was made void or discarded (IN-3, IN-4, IN-7).

What a draft asks for stays as it was drawn up; who asks, who is asked and the taxes are those of
the day of its issue. Of a void one all is drawn up anew: the usage is that of the closing.
"""

from __future__ import annotations

from dataclasses import dataclass

from api import ids
from api.invoicing import issuing
from api.invoicing.drawing import Drawing
from api.operations.accounting import INVOICE, unmoved
from api.operations.acting import Done, Scene, once
from api.operations.invoice_create import tenant_of
from domain.invoices import Invoice
from domain.periods import month_name
from domain.problems import Problem
from persistence import invoices
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.invoices import InvoiceRecord, Kind
from persistence.show import Show
from persistence.tenants import TenantRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceIssue:
    tenant: str  #: its key
    invoice: str | None = None  #: the draft's id
    period: int | None = None  #: label of the closed month, instead
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: InvoiceIssue, *, now: int
) -> Action:
    """Issue it, or give what the same key issued before."""
    record = await tenant_of(door, request.tenant)
    if (request.invoice is None) == (request.period is None):
        raise Problem(
            "INVALID", "name a draft by its id, or a closed period: one of them", "invoice"
        )

    async def act(scene: Scene) -> Done:
        return await _issue(scene, catalogue, record, request)

    return await once(door, catalogue, show, ActionKind.INVOICE_ISSUE, request, act, now=now)


async def _issue(
    scene: Scene, catalogue: Catalogue, record: TenantRecord, request: InvoiceIssue
) -> Done:
    connection, own, now = scene.connection, scene.terms, scene.now
    drawing = await Drawing.of(connection, catalogue, record, own, now)
    if request.period is None:
        kept = await draft_of(scene, request.invoice or "")
        invoice = drawing.again(kept.invoice)
    else:
        kept, invoice = await _of_period(scene, drawing, request.period)
    changes = await unmoved(scene)
    issued = await issuing.issue(
        connection, changes, kept, invoice, issuer=drawing.issuer, profile=drawing.profile, now=now
    )
    return Done(
        changes=changes,
        body=issuing.body_of(issued, series=drawing.issuer.invoices),
        about=(issuing.row_of(issued),),
        after=issuing.words_of(issued),
    )


async def _of_period(scene: Scene, drawing: Drawing, label: int) -> tuple[InvoiceRecord, Invoice]:
    """The draft of a closed period, drawn up anew where it has none."""
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    there = await invoices.of_period(connection, tenant_id, label)
    if there is not None and there.issued_at is None:
        return there, drawing.again(there.invoice)
    if there is not None:
        message = f"{month_name(label)} has {there.number}: make it void first, or credit it"
        raise Problem("ALREADY_ISSUED", message, "period")
    drawn = await drawing.of_period(label)
    if drawn is None:
        raise Problem("NOTHING_DUE", f"{month_name(label)} has nothing to be invoiced", "period")
    return await drawn.keep(connection, tenant_id, scene.now), drawn.invoice


async def draft_of(scene: Scene, name: str) -> InvoiceRecord:
    """The tenant's draft of an id."""
    number = ids.decode(INVOICE, name)
    found = None
    if number is not None:
        found = await invoices.find(scene.connection, scene.terms.tenant_id, number)
    if found is None or found.kind is not Kind.INVOICE:
        raise Problem("NOT_FOUND", f"the tenant has no draft {name[:40]!r}", "invoice")
    if found.issued_at is not None:
        message = f"{found.number} was issued: what is issued never changes"
        raise Problem("ALREADY_ISSUED", message, "invoice")
    return found
