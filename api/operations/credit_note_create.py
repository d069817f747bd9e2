"""Give back what an issued invoice asked for, line by line, once per idempotency key (IN-4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from api.invoicing import account
from api.operations.accounting import issued_invoice, unmoved
from api.operations.acting import Done, Scene, check_reason, once
from domain.credit_notes import credit_note
from domain.invoices import CREDIT_NOTES
from domain.issuers import PLAN_CREDIT_NOTES
from domain.money import text
from domain.problems import Problem
from persistence import invoices
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNoteCreate:
    tenant: str  #: its key
    invoice: str  #: its number or id
    lines: tuple[tuple[int, int], ...] | None = None
    #: place of each line, from 0, and the micros of it; None: all that is left
    reason: str
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: CreditNoteCreate, *, now: int
) -> Action:
    """Issue the credit note, or give the one that the same key issued before."""
    check_reason(request.reason)
    given = _given(request)

    async def act(scene: Scene) -> Done:
        return await _issue(scene, catalogue, request, given)

    return await once(door, catalogue, show, ActionKind.CREDIT_NOTE, request, act, now=now)


async def _issue(
    scene: Scene,
    catalogue: Catalogue,
    request: CreditNoteCreate,
    given: Mapping[int, int] | None,
) -> Done:
    connection, own, now = scene.connection, scene.terms, scene.now
    record = await issued_invoice(scene, request.invoice, "invoice")
    if record.voided_at is not None:
        message = f"{record.number} is void: there is nothing to give back"
        raise Problem("VOID", message, "invoice")
    before = await invoices.notes(connection, own.tenant_id, record.invoice_id)
    notes = [each.invoice for each in before]
    drawn = credit_note(record.invoice, notes, given, reason=request.reason)
    drawn = replace(drawn, zone=own.zone.name_at(now))  # dated where the tenant is now
    changes = await unmoved(scene)
    draft = await invoices.draft(
        connection, own.tenant_id, drawn, origin=record.origin, at=now, of_id=record.invoice_id
    )
    issuer = catalogue.issuers.get(drawn.issuer.key or "")
    if issuer is None:
        series = CREDIT_NOTES if drawn.issuer.key else PLAN_CREDIT_NOTES
    else:
        series = issuer.credit_notes
    note = await invoices.issue(
        connection, draft, drawn, series=series, terms_days=0, zone=own.zone, at=now
    )
    await account.credited(connection, changes, record, note, now)
    total = note.invoice.total
    return Done(
        changes=changes,
        body={
            "invoice": record.number,
            "number": note.number,
            "amount": total,
            "currency": drawn.currency,
            "reason": request.reason,
            "series": series,
            "note": msgspec.to_builtins(note.invoice),
        },
        about=(f"inv/{record.invoice_id}", f"inv/{note.invoice_id}"),
        after={
            "invoice": record.number,
            "number": note.number,
            "credited": text(total),
            "currency": drawn.currency,
            "reason": request.reason,
        },
    )


def _given(request: CreditNoteCreate) -> dict[int, int] | None:
    """What is given back, by line."""
    if request.lines is None:
        return None
    given = dict(request.lines)
    if len(given) < len(request.lines):
        raise Problem("INVALID", "a line is named twice: add up what is given back", "lines")
    if not given:
        message = "name lines with amounts, or leave them out to give back all that is left"
        raise Problem("INVALID", message, "lines")
    return given
