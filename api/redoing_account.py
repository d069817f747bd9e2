"""Actions on a tenant's account done once more, from an imported log.

Owns what becomes of payments, refunds, credit notes and voids. Documents have the numbers and say
what they said; what a movement pays follows from the account here, which is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from api.invoicing import account
from domain.invoices import Invoice
from persistence import invoices
from persistence.accounts import Method, New
from persistence.invoices import InvoiceRecord

if TYPE_CHECKING:
    from api.redoing import Redoing, Redone


async def payment_record(redoing: Redoing) -> Redone:
    scene, body = redoing.scene, redoing.body
    new = New(
        key=body["payment"], amount=body["amount"], names=tuple(body["names"]),
        received_on=body["received_on"], method=Method(body["method"]),
        reference=body["reference"], provider=body["provider"], note=body["note"],
    )  # fmt: skip
    redone = await redoing.dated()
    await account.paid(scene.connection, redone.changes, new, scene.now)
    return redone


async def payment_refund(redoing: Redoing) -> Redone:
    scene, redone = redoing.scene, await redoing.dated()
    await account.refunded(scene.connection, redone.changes, redoing.body["amount"], scene.now)
    return redone


async def payment_take_back(redoing: Redoing) -> Redone:
    scene, redone = redoing.scene, await redoing.dated()
    await account.taken_back(scene.connection, redone.changes, redoing.body["payment"], scene.now)
    return redone


async def credit_note(redoing: Redoing) -> Redone:
    scene, body = redoing.scene, redoing.body
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    record, redone = await _invoice(redoing), await redoing.dated()
    done = msgspec.convert(body["note"], Invoice)
    draft = await invoices.draft(
        connection, tenant_id, done, origin=record.origin, at=scene.now, of_id=record.invoice_id
    )
    note = await invoices.restore(connection, draft, done, series=body["series"], at=scene.now)
    await account.credited(connection, redone.changes, record, note, scene.now)
    return redone


async def invoice_void(redoing: Redoing) -> Redone:
    scene, record = redoing.scene, await _invoice(redoing)
    redone = await redoing.dated()
    await account.voided(scene.connection, redone.changes, record, scene.now)
    return redone


async def _invoice(redoing: Redoing) -> InvoiceRecord:
    """The invoice that an action speaks of, as it is here."""
    scene, number = redoing.scene, redoing.body["invoice"]
    found = await invoices.by_numbers(scene.connection, scene.terms.tenant_id, [number])
    if not found:
        raise LookupError(f"{redoing.line.key}: there is no invoice {number}")
    return found[0]
