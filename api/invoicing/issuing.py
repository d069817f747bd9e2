"""Issuing: a draft gets its number, is entered in the account, and is told (IN-2, IN-3, IN-4).

Owns the order of what one commit does, of a locked tenant and last in its transaction: others wait
for their numbers until that is over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from api import ids
from api.invoicing import account
from api.invoicing.parties import terms_of
from domain import billing_alerts
from domain.billing_profiles import Profile
from domain.invoices import Invoice
from domain.issuers import Issuer
from domain.money import text
from domain.periods import date_of
from domain.state import Changes
from domain.watch import AlertKind
from persistence import accounts, invoices, tasks
from persistence.accounts import New
from persistence.audit import Words
from persistence.connection import Connection
from persistence.invoices import InvoiceRecord

PREFIX = "inv"


async def issue(
    connection: Connection,
    changes: Changes,
    drafted: InvoiceRecord,
    invoice: Invoice,
    *,
    issuer: Issuer,
    profile: Profile,
    now: int,
    paid_by: New | None = None,
) -> InvoiceRecord:
    """Issue a draft as `invoice` says it on the tenant's local day; its alerts go to `changes`.

    `paid_by` came with it: it is due on its day then, and pays it at once.
    """
    own = changes.terms
    # Others wait for their numbers from the moment that this one is taken: what can be read before
    # it is read before.
    before = await accounts.load(connection, own.tenant_id)
    done = await invoices.issue(
        connection, drafted, invoice, series=issuer.invoices, zone=own.zone, at=now,
        terms_days=0 if paid_by is not None else terms_of(issuer, profile),
    )  # fmt: skip
    told = len(changes.alerts)  # that it is issued comes before that it is paid
    paid = await account.invoiced(
        connection, own.tenant_id, done, changes, now, before=before, paid_by=paid_by
    )
    kept = replace(done, paid=paid, balance=done.balance - paid)
    issued = billing_alerts.invoice(
        AlertKind.INVOICE_ISSUED, kept.number, kept.balance, kept.invoice.total, now
    )
    changes.alerts.insert(told, issued)
    if kept.balance:
        assert kept.invoice.due_on is not None
        ends_at = own.zone.day_bounds(kept.invoice.due_on)[1]
        await tasks.add(
            connection, own.tenant_id, tasks.DUNNING, str(kept.invoice_id), ends_at
        )  # fmt: skip
    return kept


def body_of(record: InvoiceRecord, *, series: str) -> dict[str, Any]:
    """All of an issued invoice that its action keeps, so that a log has it."""
    return {
        "invoice_id": record.invoice_id,
        "series": series,
        "origin": record.origin.name,
        "period": record.period,
        "asked_month": record.asked_month,
        "asks": msgspec.to_builtins(record.asks),
        "invoice": msgspec.to_builtins(record.invoice),
        "created_at": record.created_at,
    }


def words_of(record: InvoiceRecord) -> Words:
    """What the audit says of an issued invoice."""
    invoice = record.invoice
    assert invoice.issued_on is not None
    return {
        "number": invoice.number,
        "total": text(invoice.total),
        "currency": invoice.currency,
        "issuedOn": date_of(invoice.issued_on).isoformat(),
        "dueOn": None if invoice.due_on is None else date_of(invoice.due_on).isoformat(),
    }


def row_of(record: InvoiceRecord) -> str:
    """What the audit names an invoice by."""
    return f"{PREFIX}/{record.invoice_id}"


def id_of(invoice_id: int) -> str:
    """What clients name an invoice by."""
    return ids.encode(PREFIX, invoice_id)
