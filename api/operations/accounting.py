"""What operations on a tenant's account share: which invoice is meant, and amounts it can have.

Owns no movement: those are `api.invoicing.account`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

from api import ids
from api.operations.acting import AMOUNT_MAX, Scene
from domain.changing import book
from domain.money import shown, text
from domain.problems import Problem
from domain.state import Changes
from persistence import invoices
from persistence.invoices import InvoiceRecord, Kind

#: How ids of invoices and of payments on the account begin.
INVOICE, PAYMENT = "inv", "pay"


async def unmoved(scene: Scene) -> Changes:
    """The commit of something that moves no balance of the tenant."""
    await scene.lots(scene.now)
    return book(scene.terms, scene.terms, scene.state, {}, scene.now)


async def issued_invoice(scene: Scene, name: str, field: str) -> InvoiceRecord:
    """The tenant's issued invoice of a number or an id."""
    found = await _named(scene, [name])
    return _issued(found.get(name), name, field)


async def issued_invoices(scene: Scene, names: Sequence[str], field: str) -> list[InvoiceRecord]:
    """As `issued_invoice`, of several: in their order, a problem with its place in the field."""
    found = await _named(scene, names)
    return [_issued(found.get(name), name, f"{field}[{place}]") for place, name in enumerate(names)]


async def _named(scene: Scene, names: Sequence[str]) -> dict[str, InvoiceRecord]:
    """By the name that was given, those that there are."""
    numbers = {name: ids.decode(INVOICE, name) for name in names}
    rows = await invoices.by_numbers(
        scene.connection,
        scene.terms.tenant_id,
        [name for name, number in numbers.items() if number is None],
        [number for number in numbers.values() if number is not None],
    )
    by_number = {row.number: row for row in rows if row.issued_at is not None}
    by_id = {row.invoice_id: row for row in rows}
    found = {
        name: by_number.get(name) if number is None else by_id.get(number)
        for name, number in numbers.items()
    }
    return {name: row for name, row in found.items() if row is not None}


def _issued(found: InvoiceRecord | None, name: str, field: str) -> InvoiceRecord:
    if found is None:
        raise Problem("NOT_FOUND", f"the tenant has no invoice {name[:40]!r}", field)
    if found.kind is not Kind.INVOICE:
        message = f"{found.number} is a credit note: name the invoice {found.invoice.of}"
        raise Problem("NOT_AN_INVOICE", message, field)
    if found.issued_at is None:
        message = "this is a draft, and has no number: issue it first, or discard it"
        raise Problem("NOT_ISSUED", message, field)
    return found


def check_amount(amount: int, currency: str) -> None:
    """Money on an account is more than nothing, and no finer than its currency is paid in."""
    if not 0 < amount <= AMOUNT_MAX:
        raise Problem("INVALID", "amount is more than 0 and at most 100,000,000,000", "amount")
    rounded = shown(amount, currency)
    if rounded != amount:
        message = f"{text(amount)} is finer than {currency} is paid in: write {text(rounded)}"
        raise Problem("TOO_FINE", message, "amount")
