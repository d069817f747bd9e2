"""The status of an invoice: what it is called at an instant, by its tenant's clock (IN-2).

Owns the six words and when one follows another by time alone. Does not own what is paid of an
invoice and whether it may be void (allocations), and what is done about an overdue one.
"""

from __future__ import annotations

from enum import StrEnum

from domain.invoices import Invoice
from domain.periods import Zone


class InvoiceStatus(StrEnum):
    """What an invoice is called; the first that holds, in this order but for posted."""

    DRAFT = "draft"  #: not issued: it has no number
    VOID = "void"
    PAID = "paid"  #: nothing is left to pay, whoever paid it or gave it back
    POSTED = "posted"  #: issued, before its due day
    UNPAID = "unpaid"  #: on its due day
    OVERDUE = "overdue"  #: after it


def status(
    invoice: Invoice, balance: int, zone: Zone, now: int, *, void: bool = False
) -> InvoiceStatus:
    """What an invoice of which `balance` is left to pay is called in a zone at an instant."""
    if invoice.kind != "invoice":
        raise ValueError(f"a {invoice.kind} has no status")
    return called(invoice.due_on, balance, zone.date(now), void=void)


def called(due_on: int | None, balance: int, today: int, *, void: bool = False) -> InvoiceStatus:
    """What one that is due on a local day, None: that is a draft, is called on another."""
    if due_on is None:
        return InvoiceStatus.DRAFT
    if void:
        return InvoiceStatus.VOID
    if balance <= 0:
        return InvoiceStatus.PAID
    if today < due_on:
        return InvoiceStatus.POSTED
    return InvoiceStatus.UNPAID if today == due_on else InvoiceStatus.OVERDUE


def changes_at(
    invoice: Invoice, balance: int, zone: Zone, now: int, *, void: bool = False
) -> int | None:
    """The next instant at which it is called something else though nobody does anything."""
    if invoice.due_on is None or void or balance <= 0:
        return None
    return next((at for at in zone.day_bounds(invoice.due_on) if at > now), None)
