"""Draw up an invoice by hand, as a draft: it is issued or discarded by another operation (IN-4).

Drafts ask for nothing and stand in no exported log: what somebody issues of them does, whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from api.invoicing import issuing
from api.invoicing.drawing import Drawing, Drawn
from api.operations.accounting import unmoved
from api.operations.acting import AMOUNT_MAX, Done, Scene, once
from api.operations.checks import checked_text
from domain.by_hand import Written, lines_of
from domain.money import text
from domain.problems import Problem
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.invoices import Origin
from persistence.show import Show
from persistence.tenants import TenantRecord, find_by_keys

DESCRIPTION_LENGTH_MAX = 200
UNIT_LENGTH_MAX = 40
NOTE_LENGTH_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceCreate:
    tenant: str  #: its key
    lines: tuple[Written, ...]
    note: str = ""  #: to be printed above what the issuer says; empty: nothing
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: InvoiceCreate, *, now: int
) -> Action:
    """Keep the draft, or give the one that the same key drew up."""
    record = await tenant_of(door, request.tenant)
    lines = tuple(
        replace(
            each,
            description=checked_text(
                each.description, f"lines[{place}].description", DESCRIPTION_LENGTH_MAX
            ),
            unit=checked_text(each.unit, f"lines[{place}].unit", UNIT_LENGTH_MAX),
        )
        for place, each in enumerate(request.lines)
    )
    note = checked_text(request.note, "note", NOTE_LENGTH_MAX) if request.note.strip() else ""

    async def act(scene: Scene) -> Done:
        return await _draw(scene, catalogue, record, lines, note)

    return await once(door, catalogue, show, ActionKind.INVOICE_CREATE, request, act, now=now)


async def _draw(
    scene: Scene, catalogue: Catalogue, record: TenantRecord, lines: tuple[Written, ...], note: str
) -> Done:
    connection, own, now = scene.connection, scene.terms, scene.now
    drawing = await Drawing.of(connection, catalogue, record, own, now)
    invoice = drawing.draft(lines_of(lines, own.currency))
    invoice = replace(invoice, note="\n".join(each for each in (note, invoice.note) if each))
    if invoice.total > AMOUNT_MAX:
        message = f"an invoice comes to at most {text(AMOUNT_MAX)} {own.currency}"
        raise Problem("INVALID", message, "lines")
    drawn = Drawn(invoice=invoice, origin=Origin.BY_HAND)
    kept = await drawn.keep(connection, own.tenant_id, now)
    return Done(
        changes=await unmoved(scene),
        body={"invoice_id": kept.invoice_id},
        about=(issuing.row_of(kept),),
        after={
            "lines": [each.description for each in lines],
            "total": text(invoice.total),
            "currency": invoice.currency,
        },
    )


async def tenant_of(door: Door, key: str) -> TenantRecord:
    """The tenant of a key, whoever asks."""
    record = (await find_by_keys(door, [key])).get(key)
    if record is None:
        raise Problem("NOT_FOUND", f"there is no tenant {key[:64]!r}", "tenant")
    return record
