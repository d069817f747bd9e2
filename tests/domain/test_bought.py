"""Invoices of what was bought come to what was quoted, paid and receipted (IN-5, IN-6, IN-8)."""

from __future__ import annotations

from hypothesis import given, settings

from domain.bought import bought
from domain.credit_notes import credit_note
from domain.invoices import Invoice, LineKind, Party, amount_of, issued
from domain.money import micros, text
from domain.offers import Quote, quote
from domain.plans import BalancePlan, Plan
from domain.problems import Problem
from domain.receipts import receipt
from domain.taxes import Tax, Taxes
from tests.domain.test_receipts import SHOP
from tests.domain.test_taxes import PLAN, ROWS, SAMPLE, TODAY, offered

ISSUER = Party(name="Omnichannel", lines=(), country="ID", tax_id=None, email=None, key="kuota")
BUYER = Party(name="The Shop", lines=("Jl. 1",), country="ID", tax_id=None, email=None, key="shop")


def of(priced: Quote, balance: BalancePlan) -> Invoice:
    return bought(priced, balance, issuer=ISSUER, buyer=BUYER, locale="id-ID", zone="Asia/Jakarta")


def test_packs_are_counted_and_taxed_as_they_were_quoted() -> None:
    """IN-6, IN-8: 2 packs of 500 visitors at Rp 300,000, and 12 % of 11/12 of that."""
    balance = PLAN.balance("visitors")
    found = of(quote(PLAN, balance, micros("1000"), "ID", TODAY, SAMPLE), balance)
    (line,) = found.lines
    assert line.kind is LineKind.TOP_UP
    assert (line.description, line.balance) == ("Monthly unique visitors", "visitors")
    assert (line.quantity, line.unit, line.price) == ("2", "500 visitor", "300000")
    assert [text(each) for each in (line.exact, line.amount)] == ["600000", "600000"]
    assert [text(each) for each in (found.net, found.tax, found.total)] == [
        "600000", "66000", "666000",
    ]  # fmt: skip
    assert (found.number, found.of, found.period, found.note) == (None, None, None, "")


def test_money_is_counted_in_its_currency_and_its_rest_is_rounding() -> None:
    """IN-5: what is asked for beyond the exact price is for the rounding account."""
    balance = PLAN.balance("whatsapp")
    found = of(quote(PLAN, balance, micros("50000.4"), "CO", TODAY, SAMPLE), balance)
    (line,) = found.lines
    assert (line.quantity, line.unit, line.price) == ("50000.4", "IDR", None)
    assert (text(line.amount), text(found.rounding), found.taxes) == ("50000", "-0.4", ())


@settings(max_examples=200, deadline=None)
@given(offered(), ROWS)
def test_it_comes_to_the_quote_and_is_given_back_whole(
    offer: tuple[Plan, BalancePlan, int], rows: list[Tax]
) -> None:
    """IN-4, IN-8: net and tax are the receipt's to the last digit, inclusive taxes or not."""
    plan, balance, amount = offer
    try:
        priced = quote(
            plan, balance, amount, "ID", TODAY, Taxes("t", {"ID": tuple(rows)}), refill=True
        )
    except Problem:
        return
    said = receipt(
        priced, plan, balance, SHOP, paid_at=1, zone="UTC", provider="p", reference=None,
        expires_at=2,
    )  # fmt: skip
    found = of(priced, balance)
    assert found.net + found.tax == found.total == priced.total == said.total
    assert (found.net, found.tax, found.taxes) == (said.net, said.tax, said.taxes)
    (line,) = found.lines
    assert line.amount == amount_of(line.kind, line.exact, found.currency)
    assert sum(line.amount for line in found.lines) == found.total - sum(
        tax.amount for tax in found.taxes if not tax.inclusive
    )
    if found.total:
        note = credit_note(issued(found, "INV", 1, TODAY, 0), (), reason="taken back")
        assert (note.net, note.tax, note.total) == (found.net, found.tax, found.total)
