"""Invoices of top-ups: issued and paid as the payment is credited, given back with it (IN-8, BA-8).

Owns whose invoice it is and that it and its payment stand on the account from one commit on, and
leave it in one. What the line says is `domain.bought`'s, what was collected its provider's word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from api.invoicing import account, issuing
from api.invoicing.parties import buyer_party, issuer_of, issuer_party
from domain import allocations
from domain.bought import bought
from domain.credit_notes import credit_note, left_of
from domain.invoices import Invoice
from domain.issuers import Issuer, named_after_plan
from domain.offers import Quote
from domain.plans import BalancePlan
from domain.problems import Problem
from domain.state import Changes
from domain.statements import EntryKind
from domain.terms import Terms
from persistence import accounts, billing, dunning, invoices, journal
from persistence.accounts import Method, New
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.invoices import InvoiceRecord, Origin
from persistence.tenants import TenantRecord


async def issue_paid(
    connection: Connection,
    catalogue: Catalogue,
    tenant: TenantRecord,
    changes: Changes,
    priced: Quote,
    balance: BalancePlan,
    *,
    payment_key: str,
    provider: str,
    reference: str | None,
    now: int,
) -> dict[str, Any]:
    """Issue the invoice of what was paid, and take the payment to its account; last in the act.

    Gives what its action keeps of it. Nothing that was agreed or published since the payment began
    is in its way: the money is here.
    """
    own = changes.terms
    profile, _ = await billing.said(connection, own.tenant_id)
    try:
        issuer = issuer_of(catalogue, profile, own.plan)
    except Problem:
        issuer = named_after_plan(own.plan.name, own.plan.support, own.plan.country)
    invoice = bought(
        priced, balance, issuer=issuer_party(issuer), buyer=buyer_party(tenant, profile),
        locale=tenant.locale, zone=own.zone.name_at(now),
    )  # fmt: skip
    draft = await invoices.draft(connection, own.tenant_id, invoice, origin=Origin.TOP_UP, at=now)
    new = New(
        key=payment_key, amount=priced.total, received_on=own.zone.date(now),
        method=Method.OTHER, reference=reference or "", provider=provider,
    )  # fmt: skip
    record = await issuing.issue(
        connection, changes, draft, invoice, issuer=issuer, profile=profile, now=now, paid_by=new
    )
    return {
        "invoice": record.number,
        "issued": issuing.body_of(record, series=issuer.invoices),
        "provider": provider,
        "reference": reference,
    }


async def take_back(
    connection: Connection,
    catalogue: Catalogue,
    changes: Changes,
    number: str,
    payment_key: str,
    *,
    reason: str,
    now: int,
) -> dict[str, Any]:
    """Take a top-up's payment from the account, and give back what is left of its invoice.

    So nothing is asked for what was taken away. Gives what its action keeps of the credit note,
    which there is none of where others have given all of it back.
    """
    own = changes.terms
    (record,) = await invoices.by_numbers(connection, own.tenant_id, [number])
    notes = [each.invoice for each in await _notes(connection, record)]
    issued, kept = None, None
    if record.voided_at is None and any(left_of(record.invoice, notes)):
        note = credit_note(record.invoice, notes, reason=reason)
        note = replace(note, zone=own.zone.name_at(now))  # dated where the tenant is now
        draft = await invoices.draft(
            connection, own.tenant_id, note, origin=record.origin, at=now, of_id=record.invoice_id
        )
        series = _issuer(catalogue, own, record).credit_notes
        issued = await invoices.issue(
            connection, draft, note, series=series, terms_days=0, zone=own.zone, at=now
        )
        kept = issuing.body_of(issued, series=series)
    await _left(connection, changes, record, issued, payment_key, now)
    return {"invoice": number, "payment": payment_key, "credit_note": kept}


async def issued_again(
    connection: Connection, changes: Changes, body: dict[str, Any], at: int
) -> dict[str, Any]:
    """Issue the invoice of a top-up of an imported log, with its number and its payment.

    Gives what its action's body says otherwise here.
    """
    tenant_id = changes.terms.tenant_id
    record = await _restored(connection, tenant_id, body["issued"], None, at)
    assert record.invoice.issued_on is not None
    new = New(
        key=body["payment"], amount=record.invoice.total, received_on=record.invoice.issued_on,
        method=Method.OTHER, reference=body["reference"] or "", provider=body["provider"],
    )  # fmt: skip
    await account.invoiced(connection, tenant_id, record, changes, at, paid_by=new)
    return {"issued": {**body["issued"], "invoice_id": record.invoice_id}}


async def taken_back_again(
    connection: Connection, changes: Changes, body: dict[str, Any], at: int
) -> dict[str, Any]:
    """Give back the invoice of a top-up that was taken back, of an imported log; gives the same."""
    own = changes.terms
    (record,) = await invoices.by_numbers(connection, own.tenant_id, [body["invoice"]])
    kept, issued = body["credit_note"], None
    if kept is not None:
        issued = await _restored(connection, own.tenant_id, kept, record.invoice_id, at)
    await _left(connection, changes, record, issued, body["payment"], at)
    if kept is None or issued is None:
        return {}
    return {"credit_note": {**kept, "invoice_id": issued.invoice_id}}


async def _restored(
    connection: Connection, tenant_id: int, kept: dict[str, Any], of_id: int | None, at: int
) -> InvoiceRecord:
    """A document of an imported log, with the number it has had."""
    done = msgspec.convert(kept["invoice"], Invoice)
    draft = await invoices.draft(
        connection, tenant_id, done, origin=Origin.TOP_UP, at=at, of_id=of_id
    )
    return await invoices.restore(connection, draft, done, series=kept["series"], at=at)


async def _left(
    connection: Connection,
    changes: Changes,
    record: InvoiceRecord,
    note: InvoiceRecord | None,
    payment_key: str,
    at: int,
) -> None:
    """Take both from the account in one step: in between nothing was to be paid."""
    own = changes.terms
    before = await accounts.load(
        connection, own.tenant_id, numbers=[record.number], payments=[payment_key]
    )
    after = allocations.taken_back(before, payment_key)
    gone = _taken(after, payment_key) - _taken(before, payment_key)
    if note is not None:
        after = allocations.credited(after, record.number, note.invoice.total)
    await accounts.save(connection, own.tenant_id, before, after, currency=own.currency, at=at)
    if gone:
        numbers = await accounts.payment_ids(connection, own.tenant_id, [payment_key])
        await journal.enter(
            connection, own.tenant_id, EntryKind.TAKEN_BACK, payment_key,
            -journal.of_payment(gone), at=at, payment_id=numbers[payment_key],
        )  # fmt: skip
    if note is not None:
        await journal.enter(
            connection, own.tenant_id, EntryKind.CREDIT_NOTE, note.number,
            -journal.of_invoice(note.invoice), at=at, invoice_id=note.invoice_id,
        )  # fmt: skip
    # What of it had paid other invoices is to be paid again.
    await dunning.lift(connection, own.tenant_id, at)


async def _notes(connection: Connection, record: InvoiceRecord) -> list[InvoiceRecord]:
    return await invoices.notes(connection, record.tenant_id, record.invoice_id)


def _issuer(catalogue: Catalogue, own: Terms, record: InvoiceRecord) -> Issuer:
    """Who issued an invoice, with the series it has by now."""
    known = catalogue.issuers.get(record.invoice.issuer.key or "")
    return known or named_after_plan(own.plan.name, own.plan.support, own.plan.country)


def _taken(account: allocations.Account, key: str) -> int:
    return next((each.taken_back for each in account.payments if each.key == key), 0)
