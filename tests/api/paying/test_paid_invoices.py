"""Invoices paid at a provider's page: what comes in is on the account once (IN-2, BA-7, BA-8)."""

from __future__ import annotations

import asyncio

import pytest

from api.paying.port import Standing
from domain.money import text
from domain.periods import DAY, HOUR
from domain.problems import Problem
from persistence.invoices import InvoiceRecord
from tests.api.paying.owed import came, give_back, owe, void
from tests.api.paying.test_collecting import till
from tests.api.paying.test_trouble import far
from tests.api.paying.till import Till, names
from tests.conftest import Database, on

__all__ = ["till"]


async def owing(till: Till, amount: str = "250000") -> tuple[str, InvoiceRecord]:
    """A tenant and its open invoice."""
    key = f"t{next(names)}"
    await till.world.tenant(key)
    return key, await owe(till, key, amount)


async def stands(till: Till, key: str, number: int) -> tuple[str, str, str]:
    """Where a purchase and its payment stand, and what the account comes to."""
    purchase, payment = await till.collecting(key, number)
    balance = (await till.books(key)).account.balance
    return purchase.state.name, payment.state.name, text(balance)


async def test_what_is_paid_pays_the_invoice(till: Till) -> None:
    """IN-2: on its page, all that is left; no lot and no receipt, and no list of top-ups has it."""
    key, invoice = await owing(till)
    await owe(till, key, "99000")
    number = await till.pay_invoice(key, invoice.number)
    purchase, payment = await till.collecting(key, number)
    assert (text(purchase.total), purchase.balance, purchase.invoice) == (
        "250000", "", invoice.number,
    )  # fmt: skip
    assert payment.pay_url is not None
    kept = await till.sandbox.find(payment.payment_key)
    assert kept is not None
    assert kept.description == f"Invoice {invoice.number}"
    before = await till.remaining(key, "visitors")
    await till.sandbox.decide(payment.payment_key, Standing.PAID)
    await till.quiet()
    assert await stands(till, key, number) == ("PAID", "PAID", "99000")
    books = await till.books(key)
    assert [each[2] for each in books.bills] == ["0", "99000"]
    (paid,) = books.account.payments
    assert (paid.key, paid.names) == (payment.payment_key, (invoice.number,))
    assert books.entries[-1] == f"PAYMENT {payment.payment_key}"
    assert (await till.told_of_invoices(key))[-1] == f"INVOICE_PAID {invoice.number}"
    assert await till.told(key) == []
    assert await till.remaining(key, "visitors") == before
    assert await till.purchases(key) == []


@pytest.mark.parametrize(
    ("decided", "looks"),
    [
        ([Standing.DECLINED], [("FAILED", "DECLINED", "250000")]),
        ([Standing.EXPIRED], [("EXPIRED", "EXPIRED", "250000")]),
        ([Standing.PAID, Standing.PAID], [("PAID", "PAID", "0"), ("PAID", "PAID", "0")]),
        ([Standing.PAID, Standing.TAKEN_BACK, Standing.TAKEN_BACK],
         [("PAID", "PAID", "0"), *[("TAKEN_BACK", "TAKEN_BACK", "250000")] * 2]),
        # Out of order: a late notice that it was declined says nothing of what was paid.
        ([Standing.PAID, Standing.DECLINED], [("PAID", "PAID", "0"), ("PAID", "PAID", "0")]),
    ],
)  # fmt: skip
async def test_what_a_provider_says_counts_once(
    till: Till, decided: list[Standing], looks: list[tuple[str, str, str]]
) -> None:
    """BA-7, BA-8: declined or expired, nothing that is owed changes; taken back, it is owed."""
    key, invoice = await owing(till)
    number = await till.pay_invoice(key, invoice.number)
    _, payment = await till.collecting(key, number)
    for standing, expected in zip(decided, looks, strict=True):
        await till.sandbox.decide(payment.payment_key, standing)
        await till.quiet()
        await till.paying.hurry(payment.payment_key)
        await till.quiet()
        assert await stands(till, key, number) == expected
    paid = Standing.PAID in decided
    back = Standing.TAKEN_BACK in decided
    books = await till.books(key)
    assert len(books.entries) == 1 + paid + back
    assert len(await till.told_of_invoices(key)) == 1 + paid
    assert await till.told(key) == []


async def test_what_is_paid_late_counts_all_the_same(till: Till, database: Database) -> None:
    """BA-7: after a day it was given up; then the money is here."""
    key, invoice = await owing(till)
    number = await till.pay_invoice(key, invoice.number)
    till.world.clock.at += DAY + HOUR
    await till.quiet()
    assert await stands(till, key, number) == ("EXPIRED", "EXPIRED", "250000")
    await on(
        database.owner_url,
        "update sandbox_payments set standing = 'paid', collected = 1, expires_at = null",
    )
    _, payment = await till.collecting(key, number)
    await till.paying.hurry(payment.payment_key)
    await till.quiet()
    assert await stands(till, key, number) == ("PAID", "PAID", "0")


@pytest.mark.parametrize("what", ["came", "given back", "void"])
async def test_money_that_is_no_longer_owed_is_credit(till: Till, what: str) -> None:
    """IN-2: the invoice was paid by hand, given back or void while its page stood open."""
    key, invoice = await owing(till)
    number = await till.pay_invoice(key, invoice.number)
    if what == "came":
        await came(till, key, "250000")
    elif what == "void":
        await void(till, key, invoice)
    else:
        await give_back(till, key, invoice)
    _, payment = await till.collecting(key, number)
    await till.sandbox.decide(payment.payment_key, Standing.PAID)
    await till.quiet()
    assert await stands(till, key, number) == ("PAID", "PAID", "-250000")
    await owe(till, key, "250000")  # the next invoice takes it
    account = (await till.books(key)).account
    assert (account.balance, account.credit) == (0, 0)


async def test_what_is_taken_back_is_owed_where_it_was_used(till: Till) -> None:
    """BA-8: what was over had paid another invoice."""
    key, invoice = await owing(till)
    number = await till.pay_invoice(key, invoice.number)
    await give_back(till, key, invoice, "150000")
    other = await owe(till, key, "80000")
    _, payment = await till.collecting(key, number)
    for standing, left in ((Standing.PAID, ["0", "0", "0"]),
                           (Standing.TAKEN_BACK, ["100000", "0", "80000"])):  # fmt: skip
        await till.sandbox.decide(payment.payment_key, standing)
        await till.quiet()
        assert [each[2] for each in (await till.books(key)).bills] == left
    assert await stands(till, key, number) == ("TAKEN_BACK", "TAKEN_BACK", "180000")
    assert f"INVOICE_PAID {other.number}" in await till.told_of_invoices(key)


# Asking


async def test_of_an_invoice_one_page_is_open(till: Till) -> None:
    """BA-7: whoever asks again, or at the same time, is given the page that is open."""
    key, invoice = await owing(till)
    found = await asyncio.gather(
        *(till.pay_invoice(key, invoice.number, key=f"at-once-{each}") for each in range(4))
    )
    assert len(set(found)) == 1
    assert await till.pay_invoice(key, invoice.number, key="at-once-0") == found[0]
    await give_back(till, key, invoice, "50000")
    with pytest.raises(Problem, match=r"250000 IDR of .* is asked for on a page until") as error:
        await till.pay_invoice(key, invoice.number)
    assert error.value.code == "PAYING"
    _, payment = await till.collecting(key, found[0])
    await till.sandbox.decide(payment.payment_key, Standing.DECLINED)
    await till.quiet()
    again = await till.pay_invoice(key, invoice.number)
    assert again != found[0]
    purchase, _ = await till.collecting(key, again)
    assert text(purchase.total) == "200000"


async def test_both_pages_may_be_paid(till: Till, database: Database) -> None:
    """BA-7: the first was declined and stood open; the second sum of money is credit."""
    key, invoice = await owing(till)
    numbers = []
    for _ in range(2):
        numbers.append(await till.pay_invoice(key, invoice.number))
        _, payment = await till.collecting(key, numbers[-1])
        await till.sandbox.decide(payment.payment_key, Standing.DECLINED)
        await till.quiet()
    await on(database.owner_url, "update sandbox_payments set standing = 'paid', collected = 1")
    for number in numbers:
        _, payment = await till.collecting(key, number)
        await till.paying.hurry(payment.payment_key)
        await till.quiet()
    assert await stands(till, key, numbers[1]) == ("PAID", "PAID", "-250000")


async def test_nobody_is_asked_for_what_is_paid_by_then(till: Till) -> None:
    """IN-2: the provider was away, and money came by hand meanwhile."""
    key, invoice = await owing(till)
    road = far(till)
    road.closed = True
    number = await till.pay_invoice(key, invoice.number)
    await came(till, key, "50000")
    road.closed = False
    till.world.clock.at += HOUR
    await till.quiet()
    purchase, payment = await till.collecting(key, number)
    assert (purchase.state.name, payment.state.name) == ("FAILED", "DECLINED")
    assert payment.reason == f"200000 IDR is left to pay of {invoice.number} by now"
    assert await till.sandbox.find(payment.payment_key) is None


@pytest.mark.parametrize(
    ("what", "code"),
    [("paid", "NOTHING_TO_PAY"), ("void", "VOID"), ("other", "NOT_FOUND"), ("\0", "INVALID")],
)
async def test_what_cannot_be_paid_is_told(till: Till, what: str, code: str) -> None:
    """IN-2: in words, and nothing is begun."""
    key, invoice = await owing(till)
    name = invoice.number
    if what == "paid":
        await came(till, key, "250000")
    elif what == "void":
        await void(till, key, invoice)
    else:
        name = what
    with pytest.raises(Problem) as error:
        await till.pay_invoice(key, name)
    assert error.value.code == code
