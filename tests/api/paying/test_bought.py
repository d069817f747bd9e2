"""What is bought has its own invoice, paid as it is issued, and gone with its payment (IN-8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.paying.port import Standing
from domain.invoices import LineKind
from domain.money import text
from domain.periods import HOUR
from persistence import billing
from persistence.invoices import Kind, Origin
from tests.api.paying.owed import came, give_back, owe
from tests.api.paying.test_collecting import bought, tenant, till, use
from tests.api.paying.till import Till, names

__all__ = ["till"]


async def paid(till: Till, key: str) -> str:
    """Buy 500 visitors and pay; gives the payment's key."""
    record = till.world.tenants.get(key) or await till.world.tenant(key)
    await till.paying.soon(record.tenant_id, await bought(till, key))
    _, tries = (await till.purchases(key))[-1]
    await till.sandbox.decide(tries[-1].payment_key, Standing.PAID)
    await till.quiet()
    return tries[-1].payment_key


async def test_what_is_paid_is_invoiced_and_paid_at_once(till: Till) -> None:
    """IN-8, IN-6: 500 visitors for Rp 300,000 and 12 % of 11/12 of it, as the receipt says."""
    key = f"t{next(names)}"
    payment = await paid(till, key)
    books = await till.books(key)
    (record,) = books.documents
    invoice = record.invoice
    number = "I-2026-000001"
    assert (record.kind, record.origin, record.period) == (Kind.INVOICE, Origin.TOP_UP, None)
    assert books.bills == [(number, "333000", "0")]
    (line,) = invoice.lines
    assert (line.kind, line.balance, line.quantity, line.unit, line.price) == (
        LineKind.TOP_UP, "visitors", "1", "500 visitor", "300000",
    )  # fmt: skip
    assert (text(invoice.net), text(invoice.tax), invoice.taxes[0].base) == (
        "300000", "33000", "11/12",
    )  # fmt: skip
    assert (invoice.issuer.name, invoice.buyer.key) == ("Omnichannel", key)
    assert invoice.issued_on == invoice.due_on
    (paying,) = books.account.payments
    assert (paying.key, paying.names, text(paying.amount)) == (payment, (number,), "333000")
    assert (books.account.balance, books.account.credit) == (0, 0)
    assert books.entries == [f"INVOICE {number}", f"PAYMENT {payment}"]
    assert await till.told(key) == ["TOPPED_UP"]
    assert await till.told_of_invoices(key) == [
        f"INVOICE_ISSUED {number}", f"INVOICE_PAID {number}"
    ]  # fmt: skip
    assert len([each for each in await till.receipts(key) if each]) == 1


async def test_it_is_of_whom_the_tenant_says_it_is(till: Till) -> None:
    """IN-4: the profile of the day on which it was paid."""
    key = f"t{next(names)}"
    record = await till.world.tenant(key)
    async with till.world.door.tenant_tx(record.tenant_id) as connection:
        profile = replace(billing.read_billing("{}"), name="PT Toko Sepatu", lines=("Jl. 1",))
        await billing.set_profile(connection, record.tenant_id, profile)
    await paid(till, key)
    ((buyer),) = [each.invoice.buyer for each in (await till.books(key)).documents]
    assert (buyer.name, buyer.lines, buyer.key) == ("PT Toko Sepatu", ("Jl. 1",), key)


async def test_it_takes_no_credit_and_pays_no_other_invoice(till: Till) -> None:
    """IN-8: what was paid for it is its own, whatever else there is to pay or to have."""
    key = f"t{next(names)}"
    await till.world.tenant(key)
    await owe(till, key, "100000")
    await paid(till, key)
    assert [each[1:] for each in (await till.books(key)).bills] == [
        ("100000", "100000"), ("333000", "0"),
    ]  # fmt: skip
    rich = f"t{next(names)}"
    await till.world.tenant(rich)
    await came(till, rich, "50000")
    await paid(till, rich)
    books = await till.books(rich)
    assert [text(each.credit) for each in books.account.payments] == ["50000", "0"]


@pytest.mark.parametrize("script", ["twice", "out_of_order", "away", "late"])
async def test_a_refill_is_invoiced_once_whatever_is_told(till: Till, script: str) -> None:
    """IN-8, RF-3: one invoice and one payment of it, with the one credit."""
    key = await tenant(till, script)
    await use(till, key, 990)
    for _ in range(3):
        await till.quiet()
        till.world.clock.at += HOUR
    books = await till.books(key)
    assert [each[1:] for each in books.bills] == [("333000", "0")]
    assert len(books.entries) == 2


@pytest.mark.parametrize("script", ["declines", "pending"])
async def test_what_nobody_pays_is_not_invoiced(till: Till, script: str) -> None:
    key = await tenant(till, script)
    await use(till, key, 990)
    await till.quiet()
    till.world.clock.at += HOUR
    await till.quiet()
    assert (await till.books(key)).documents == []


async def test_what_is_taken_back_is_given_back_whole(till: Till) -> None:
    """BA-8, IN-4: no lot, no payment, and nothing left of the invoice: nothing is asked for."""
    key = f"t{next(names)}"
    payment = await paid(till, key)
    for _ in range(2):  # told twice, it is taken back once
        await till.sandbox.decide(payment, Standing.TAKEN_BACK)
        await till.quiet()
    books = await till.books(key)
    invoice, note = books.documents
    assert (note.kind, note.of_id, note.number) == (
        Kind.CREDIT_NOTE, invoice.invoice_id, "C-2026-000001"
    )  # fmt: skip
    assert (note.invoice.net, note.invoice.tax, note.invoice.total) == (
        invoice.invoice.net, invoice.invoice.tax, invoice.invoice.total
    )  # fmt: skip
    assert note.invoice.note == "taken back at the sandbox"
    assert (books.account.balance, books.account.credit, invoice.balance) == (0, 0, 0)
    assert books.entries[2:] == [f"TAKEN_BACK {payment}", f"CREDIT_NOTE {note.number}"]
    # That it is at 0 once more is no news: nobody has paid it.
    assert len(await till.told_of_invoices(key)) == 2


async def test_what_it_paid_beside_its_own_invoice_is_owed_again(till: Till) -> None:
    """IN-2: an operator gave back a part, which paid another invoice; then all is taken back."""
    key = f"t{next(names)}"
    payment = await paid(till, key)
    (record,) = (await till.books(key)).documents
    await give_back(till, key, record, "100000")
    other = await owe(till, key, "80000")
    assert [each[1:] for each in (await till.books(key)).bills] == [
        ("333000", "0"), ("111000", "0"), ("80000", "0"),
    ]  # fmt: skip
    await till.sandbox.decide(payment, Standing.TAKEN_BACK)
    await till.quiet()
    books = await till.books(key)
    assert [each[1:] for each in books.bills] == [
        ("333000", "0"), ("111000", "0"), ("80000", "80000"), ("222000", "0"),
    ]  # fmt: skip
    assert (text(books.account.balance), books.account.credit) == ("80000", 0)
    assert (await till.told_of_invoices(key))[-1] == f"INVOICE_PAID {other.number}"


async def test_an_invoice_that_was_given_back_before_has_no_second_note(till: Till) -> None:
    key = f"t{next(names)}"
    payment = await paid(till, key)
    (record,) = (await till.books(key)).documents
    await give_back(till, key, record)
    await till.sandbox.decide(payment, Standing.TAKEN_BACK)
    await till.quiet()
    books = await till.books(key)
    assert [each[1:] for each in books.bills] == [("333000", "0"), ("333000", "0")]
    assert (books.account.balance, books.account.credit) == (0, 0)


async def test_numbers_have_no_gap_where_many_are_paid_at_once(till: Till) -> None:
    """IN-3: of several tenants, each number once."""
    keys = [await tenant(till) for _ in range(4)]
    for key in keys:
        await use(till, key, 990)
    await till.quiet()
    found = [number for key in keys for number, *_ in (await till.books(key)).bills]
    assert sorted(found) == [f"I-2026-{place:06d}" for place in range(1, 5)]
