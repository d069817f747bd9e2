"""Receipts: what they say of a payment, and that it comes to what was paid (RF-3, IN-5, IN-6)."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from hypothesis import given, settings

from domain.money import MICRO, micros, text
from domain.offers import quote
from domain.plans import BalancePlan, Plan
from domain.problems import Problem
from domain.receipts import Buyer, Receipt, Seller, TaxLine, number, receipt
from domain.taxes import Tax, Taxes
from tests.domain.test_taxes import PLAN, ROWS, SAMPLE, TODAY, offered

SHOP = Buyer(key="shop", name="The Shop", country="ID")


def paid(balance: str, amount: str, taxes: Taxes = SAMPLE, buyer: Buyer = SHOP) -> Receipt:
    of = PLAN.balance(balance)
    priced = quote(PLAN, of, micros(amount), buyer.country, TODAY, taxes)
    return receipt(
        priced, PLAN, of, buyer, paid_at=1, zone="Asia/Jakarta", provider="sandbox",
        reference="r-1", expires_at=None,
    )  # fmt: skip


def test_it_says_what_was_paid_for_by_whom_and_with_which_tax() -> None:
    """RF-3, IN-6: with the tax as it was that day."""
    found = paid("visitors", "1000")
    assert found.seller == Seller(name="Omnichannel", contact="billing@omnichannel.example")
    assert found.buyer == SHOP
    (line,) = found.lines
    assert (line.balance, line.name, line.unit, line.of_money) == (
        "visitors", "Monthly unique visitors", "visitor", False,
    )  # fmt: skip
    assert (text(line.units), line.packs, text(line.pack or 0), line.price) == (
        "1000", 2, "500", "300000",
    )  # fmt: skip
    assert found.taxes == (
        TaxLine(name="PPN", rate="12", base="11/12", inclusive=False, amount=66_000 * MICRO),
    )
    assert [text(each) for each in (found.net, found.tax, found.total)] == [
        "600000", "66000", "666000",
    ]  # fmt: skip


def test_where_no_tax_is_asked_for_it_has_none() -> None:
    found = paid("whatsapp", "50000.4", buyer=replace(SHOP, country="CO"))
    assert (found.taxes, found.tax, text(found.total)) == ((), 0, "50000")
    assert (text(found.lines[0].net), found.lines[0].packs) == ("50000.4", None)


@settings(max_examples=200, deadline=None)
@given(offered(), ROWS)
def test_lines_and_taxes_come_to_the_total(
    of: tuple[Plan, BalancePlan, int], rows: list[Tax]
) -> None:
    """IN-5: whatever is bought, and whatever the taxes are; kept and read, it says the same."""
    plan, balance, amount = of
    taxes = Taxes("t", {"ID": tuple(rows)})
    try:
        priced = quote(plan, balance, amount, "ID", TODAY, taxes, refill=True)
    except Problem:
        return
    found = receipt(
        priced, plan, balance, SHOP, paid_at=1, zone="UTC", provider="p", reference=None,
        expires_at=2,
    )  # fmt: skip
    assert found.net + found.tax == found.total == priced.total
    assert msgspec.json.decode(msgspec.json.encode(found), type=Receipt) == found


def test_numbers_are_spelt_alike() -> None:
    """IN-3: what sorts as text is in the order in which it was given, up to a million a year."""
    assert number("R", 2026, 1) == "R-2026-000001"
    assert number("R", 2026, 1_234_567) == "R-2026-1234567"
