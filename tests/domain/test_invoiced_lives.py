"""Months of any subscription and usage, as invoices and on an account: sums agree (IN-2 to 6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import allocations
from domain.allocations import Account
from domain.credit_notes import credit_note, left_of
from domain.invoices import Invoice, LineKind, drawn_up, issued
from domain.lots import LotSource
from domain.recurring import Ask, asked, line
from domain.subscriptions import Subscription, days_of, known, month_of
from domain.taxes import Taxes
from domain.usage_lines import Drawn, Overdraft, to_lines, usage_lines
from tests.domain.test_invoices import CURRENCIES, SHOP, TAXES
from tests.domain.test_recurring import FIRST, lives
from tests.domain.test_usage_lines import DRAWN, balance, units

#: The pot of what nothing covered, of each balance.
POTS = {"main": 101, "texts": 102, "visitors": 103, "calls": 104}


@settings(max_examples=60, deadline=None)
@given(
    lives(), st.lists(DRAWN, min_size=5, max_size=5), TAXES, st.sampled_from(CURRENCIES),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_what_is_asked_given_back_and_paid_is_the_balance(
    of: Subscription, used: list[list[Drawn]], taxes: Taxes, currency: str, chance: Any
) -> None:
    account, documents, paid = Account(), list[Invoice](), 0
    for invoice in months(of, used, taxes, currency):
        adds_up(invoice)
        documents.append(invoice)
        assert invoice.number is not None
        account = allocations.invoiced(account, invoice.number, invoice.total)
        if chance.random() < 0.7:
            amount = chance.randint(1, 2 * invoice.total + 1)
            paid += amount
            account = allocations.paid(account, f"p{len(documents)}", amount, ())
        if invoice.net and chance.random() < 0.5:
            documents += given_back(invoice, chance)
            for note in documents[documents.index(invoice) + 1 :]:
                adds_up(note)
                account = allocations.credited(account, invoice.number, note.total)
        total = sum(-each.total if each.of else each.total for each in documents)
        assert account.balance == total - paid
        assert account.credit == 0 or not any(bill.balance for bill in account.bills)


def months(of: Subscription, used: list[list[Drawn]], taxes: Taxes, currency: str) -> list[Invoice]:
    """Five months' usage, each with what is asked for of the next one in advance."""
    balances = {
        "main": balance(credit="1", currency=currency), "texts": balance("texts"),
        "visitors": units(overage="0.123456789012"), "calls": units("calls"),
    }  # fmt: skip
    found: list[Invoice] = []
    before: list[Ask] = []
    last: int | None = None
    for place, drawn in enumerate(used):
        month = month_of(FIRST) + place + 1
        today = days_of(month)[0] + 3
        asks: tuple[Ask, ...] = ()
        if of.start <= today:
            asks = asked(replace(of, changes=known(of, today)), month, before, last)
            before, last = [*before, *asks], month
        lines = to_lines(usage_lines(*closed(drawn), balances, {}), currency, days_of(month - 1))
        lines += tuple(line(ask, currency) for ask in asks)
        if not lines:
            continue
        draft = drawn_up(
            lines, issuer=SHOP, buyer=SHOP, currency=currency, locale="id", zone="Asia/Jakarta",
            taxes=taxes, day=today,
        )  # fmt: skip
        found.append(issued(draft, "INV", place + 1, today))
    return found


def closed(drawn: list[Drawn]) -> tuple[list[Drawn], list[Overdraft]]:
    """What lots paid in a month, and what is owed beyond them as it is closed."""
    own = [
        replace(one, lot_id=POTS[one.balance]) if one.source is LotSource.OVERDRAFT else one
        for one in drawn
    ]
    pots = []
    for key, lot_id in POTS.items():
        used = sum(one.taken for one in own if one.lot_id == lot_id)
        pots.append(Overdraft(balance=key, lot_id=lot_id, before=0, used=used, moved=0, asked=used))
    return own, pots


def given_back(invoice: Invoice, chance: Any) -> list[Invoice]:
    """Credit notes of parts of an invoice, and then of all that is left of it."""
    notes: list[Invoice] = []
    places = [place for place, left in enumerate(left_of(invoice, notes)) if left > 0]
    first = {
        place: invoice.lines[place].amount
        for place in chance.sample(places, chance.randint(1, len(places)))
    }
    for given_now in (first, None):
        if sum(left_of(invoice, notes)) > 0:
            note = credit_note(invoice, notes, given_now, reason="a mistake")
            notes.append(issued(note, "CN", len(notes) + 1, invoice.issued_on or 0))
    assert sum(note.total for note in notes) == invoice.total
    asked_for = [each for each in invoice.lines if each.amount]  # what came to 0 is not given back
    assert sum(note.rounding for note in notes) == sum(
        each.amount - each.exact for each in asked_for
    )
    return notes


def adds_up(invoice: Invoice) -> None:
    """Lines and taxes come to the total; exact amounts and rounding to what lines ask for."""
    asked_for = sum(each.amount for each in invoice.lines)
    beside = sum(each.amount for each in invoice.taxes if not each.inclusive)
    assert asked_for + beside == invoice.net + invoice.tax == invoice.total
    billed = [each for each in invoice.lines if each.kind is not LineKind.COVERED]
    assert sum(each.exact for each in billed) + invoice.rounding == asked_for
