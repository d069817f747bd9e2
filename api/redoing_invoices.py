"""Invoices of an exported log issued once more, as they were (EV-8, IN-3, IN-4).

Owns what becomes of those actions. An invoice has the number and says what it said; what credit
pays of it follows from the account here. Drafts that were drawn up and discarded are nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from api.invoicing import account
from domain.invoices import Invoice
from domain.recurring import Ask
from persistence import invoices
from persistence.invoices import Origin

if TYPE_CHECKING:
    from api.redoing import Redoing, Redone


async def issue(redoing: Redoing) -> Redone:
    """What was done about it since are actions of their own."""
    scene, body = redoing.scene, redoing.body
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    done = msgspec.convert(body["invoice"], Invoice)
    draft = await invoices.draft(
        connection, tenant_id, done, origin=Origin[body["origin"]], at=body["created_at"],
        period=body["period"], asked_month=body["asked_month"],
        asks=msgspec.convert(body["asks"], dict[str, tuple[Ask, ...]]),
    )  # fmt: skip
    record = await invoices.restore(connection, draft, done, series=body["series"], at=scene.now)
    redone = await redoing.dated()
    await account.invoiced(connection, tenant_id, record, redone.changes, scene.now)
    return redone._replace(body={"invoice_id": record.invoice_id})


async def drafted(redoing: Redoing) -> Redone:
    """A draft asks for nothing: who goes on here draws it up again."""
    return await redoing.dated()
