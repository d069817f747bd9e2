"""What moves a tenant's account, in the commit that does it: rows, journal, and who is told.

Owns the order of the three, and INVOICE_PAID. What a movement pays is `domain.allocations`' to
decide; who may ask for one, and what it is called, is its operation's. All of it is of a locked
tenant, and is done again in the same way from an imported log.
"""

from __future__ import annotations

from collections.abc import Mapping

from domain import allocations, billing_alerts
from domain.allocations import Account, Refund
from domain.state import Changes
from domain.statements import EntryKind
from domain.watch import AlertKind
from persistence import accounts, dunning, journal
from persistence.accounts import NO_NEWS, New
from persistence.connection import Connection
from persistence.invoices import InvoiceRecord


async def invoiced(
    connection: Connection,
    tenant_id: int,
    record: InvoiceRecord,
    changes: Changes,
    at: int,
    *,
    before: Account | None = None,
    paid_by: New | None = None,
) -> int:
    """An invoice was given its number: what credit there is pays it; gives how much was paid.

    `before` is the account where it was loaded before that. `paid_by` came with it, and pays it
    before credit does. ValueError for another currency.
    """
    invoice, number = record.invoice, record.number
    if invoice.currency != changes.terms.currency:
        message = f"{number} is in {invoice.currency}, the account in {changes.terms.currency}"
        raise ValueError(message)
    if before is None:
        before = await accounts.load(connection, tenant_id)
    # Its row is there already; nothing is decided of it yet.
    others = tuple(bill for bill in before.bills if bill.number != number)
    before = Account(bills=others, payments=before.payments, moves=before.moves)
    sides = journal.of_invoice(invoice)
    await journal.enter(
        connection, tenant_id, EntryKind.INVOICE, number, sides, at=at,
        invoice_id=record.invoice_id,
    )  # fmt: skip
    if paid_by is None:
        after = allocations.invoiced(before, number, invoice.total)
        await _keep(connection, changes, before, after, at)
        return _paid(after, number)
    after = allocations.bought(before, number, invoice.total, paid_by.key, paid_by.amount)
    named = New(
        key=paid_by.key, amount=paid_by.amount, names=(number,), received_on=paid_by.received_on,
        method=paid_by.method, reference=paid_by.reference, provider=paid_by.provider,
        note=paid_by.note,
    )  # fmt: skip
    await _keep(connection, changes, before, after, at, {named.key: named})
    await _came(connection, tenant_id, named, at)
    return _paid(after, number)


async def paid(connection: Connection, changes: Changes, new: New, at: int) -> int:
    """A payment came in: it pays what it names, then the oldest; gives its number in the database.

    The same again changes nothing; Problem as `allocations.paid` has it.
    """
    tenant_id = changes.terms.tenant_id
    before = await accounts.load(connection, tenant_id, numbers=new.names, payments=[new.key])
    after = allocations.paid(before, new.key, new.amount, new.names)
    if after is not before:
        await _keep(connection, changes, before, after, at, {new.key: new})
        return await _came(connection, tenant_id, new, at)
    return (await accounts.payment_ids(connection, tenant_id, [new.key]))[new.key]


async def refunded(
    connection: Connection, changes: Changes, amount: int, at: int
) -> tuple[Refund, ...]:
    """Credit was paid back, of the newest payments first; Problem for more than there is."""
    tenant_id = changes.terms.tenant_id
    before = await accounts.load(connection, tenant_id)
    after, refunds = allocations.refunded(before, amount)
    await _keep(connection, changes, before, after, at)
    ids = await accounts.payment_ids(connection, tenant_id, [each.payment for each in refunds])
    for refund in refunds:
        await journal.enter(
            connection, tenant_id, EntryKind.REFUND, refund.payment,
            -journal.of_payment(refund.amount), at=at, payment_id=ids[refund.payment],
        )  # fmt: skip
    return refunds


async def taken_back(connection: Connection, changes: Changes, key: str, at: int) -> int:
    """A payment was taken back: what it paid is to be paid again; gives how much was.

    0: it was before. Problem where there is no such payment.
    """
    tenant_id = changes.terms.tenant_id
    before = await accounts.load(connection, tenant_id, payments=[key])
    after = allocations.taken_back(before, key)
    gone = _taken(after, key) - _taken(before, key)
    if gone:
        await _keep(connection, changes, before, after, at)
        ids = await accounts.payment_ids(connection, tenant_id, [key])
        await journal.enter(
            connection, tenant_id, EntryKind.TAKEN_BACK, key, -journal.of_payment(gone), at=at,
            payment_id=ids[key],
        )  # fmt: skip
    return gone


async def credited(
    connection: Connection, changes: Changes, record: InvoiceRecord, note: InvoiceRecord, at: int
) -> None:
    """A credit note of an invoice was given its number: what was paid beyond the rest is free."""
    tenant_id = changes.terms.tenant_id
    before = await accounts.load(connection, tenant_id, numbers=[record.number])
    after = allocations.credited(before, record.number, note.invoice.total)
    await _keep(connection, changes, before, after, at)
    await journal.enter(
        connection, tenant_id, EntryKind.CREDIT_NOTE, note.number,
        -journal.of_invoice(note.invoice), at=at, invoice_id=note.invoice_id,
    )  # fmt: skip


async def voided(connection: Connection, changes: Changes, record: InvoiceRecord, at: int) -> None:
    """An invoice asks for nothing any more; Problem where anything is paid of it or given back."""
    tenant_id = changes.terms.tenant_id
    before = await accounts.load(connection, tenant_id, numbers=[record.number])
    after = allocations.voided(before, record.number)
    await _keep(connection, changes, before, after, at)
    await journal.enter(
        connection, tenant_id, EntryKind.VOID, record.number, -journal.of_invoice(record.invoice),
        at=at, invoice_id=record.invoice_id,
    )  # fmt: skip


async def _keep(
    connection: Connection,
    changes: Changes,
    before: Account,
    after: Account,
    at: int,
    news: Mapping[str, New] = NO_NEWS,
) -> None:
    """Write what was decided, say which invoices are paid by it, and bring dunning up to date."""
    terms = changes.terms
    await accounts.save(
        connection, terms.tenant_id, before, after, currency=terms.currency, at=at, news=news
    )
    was = {bill.number: bill for bill in before.bills}
    watched = changes.state.below is not None  # a log that is taken in has its alerts with it
    for bill in after.bills:
        left = was[bill.number].balance if bill.number in was else bill.total
        if watched and left > 0 and bill.balance == 0 and not bill.void:
            changes.alerts.append(
                billing_alerts.invoice(AlertKind.INVOICE_PAID, bill.number, 0, bill.total, at)
            )
    if any(bill.number in was and bill != was[bill.number] for bill in after.bills):
        await dunning.lift(connection, terms.tenant_id, at)


async def _came(connection: Connection, tenant_id: int, new: New, at: int) -> int:
    """Enter a payment that has its row."""
    number = (await accounts.payment_ids(connection, tenant_id, [new.key]))[new.key]
    await journal.enter(
        connection, tenant_id, EntryKind.PAYMENT, new.key, journal.of_payment(new.amount), at=at,
        payment_id=number,
    )  # fmt: skip
    return number


def _taken(account: Account, key: str) -> int:
    return next((each.taken_back for each in account.payments if each.key == key), 0)


def _paid(account: Account, number: str) -> int:
    return next(bill.paid for bill in account.bills if bill.number == number)
