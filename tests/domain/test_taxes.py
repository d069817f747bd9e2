"""Taxes and what a purchase costs with them (BA-6, IN-5, IN-6): the rule book's numbers and any."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from domain.book_documents import parse_book
from domain.documents import Fault
from domain.money import DISPLAY_DIGITS, MICRO, PICO, micros, text
from domain.offers import MONEY_MAX, Quote, quote
from domain.periods import DAY, date_number, zone
from domain.plans import BalancePlan, Plan, TopUpOffer, parse_plan
from domain.problems import Problem
from domain.taxes import NONE, Tax, Taxes, TaxesError, joined, parse_taxes, taxed
from persistence.catalogue import SAMPLES

RUPIAHS = st.integers(1, 10**12)
LAST_OF_2024 = date_number(date(2024, 12, 31))
TODAY = date_number(date(2026, 11, 22))


def sample(name: str) -> dict[str, Any]:
    return tomllib.loads((SAMPLES / f"{name}.toml").read_text("utf-8"))


SAMPLE = parse_taxes(sample("taxes"))
BOOK = parse_book(sample("book-omnichannel-idr"), 1, sample("whatsapp-markets"))
PLAN = parse_plan(sample("plan-omnichannel-idr"), BOOK)


def tax(rate: str, base: str = "1/1", *, inclusive: bool = False, name: str = "VAT") -> Tax:
    numerator, denominator = map(int, base.split("/"))
    return Tax(
        country="ID", name=name, rate=micros(rate), numerator=numerator, denominator=denominator,
        inclusive=inclusive, valid_from=0,
    )  # fmt: skip


def due(total: str, *rows: Tax, currency: str = "IDR") -> list[str]:
    return [text(each.amount) for each in taxed(micros(total), rows, currency)]


# The table


def test_the_rule_books_own_numbers() -> None:
    """IN-6: 12 % on 11/12 of the price; the part that is taxed is not rounded, the tax is."""
    rows = SAMPLE.of("ID", TODAY)
    assert [(row.name, row.percent, row.base) for row in rows] == [("PPN", "12", "11/12")]
    assert due("10200000", *rows) == ["1122000"]
    assert due("186", *rows) == ["20"]
    held = tuple(replace(row, inclusive=True) for row in rows)
    assert due("11322000", *held) == ["1122000"]


def test_a_row_holds_from_its_local_day_on() -> None:
    """IN-6: Indonesia asked for 11 % until the end of 2024; the day is the tenant's own."""
    before, since = SAMPLE.of("ID", LAST_OF_2024), SAMPLE.of("ID", LAST_OF_2024 + 1)
    assert [(row.percent, row.base) for row in before] == [("11", "1")]
    assert [(row.percent, row.base) for row in since] == [("12", "11/12")]
    midnight, _ = zone("Asia/Jakarta").day_bounds(LAST_OF_2024 + 1)
    assert zone("Asia/Jakarta").date(midnight - 1) == LAST_OF_2024
    assert zone("America/Bogota").date(midnight) == LAST_OF_2024
    assert midnight % DAY != 0  # not UTC's


def test_a_country_without_rows_asks_for_none() -> None:
    assert SAMPLE.of("CO", TODAY) == ()
    assert NONE.of("ID", TODAY) == ()
    assert taxed(MICRO, (), "IDR") == ()


def test_a_rate_of_nothing_ends_a_tax() -> None:
    ended = replace(tax("0"), valid_from=TODAY)
    rows = Taxes("t", {"ID": (tax("10"), ended, tax("2", name="city"))})
    assert [row.name for row in rows.of("ID", TODAY - 1)] == ["VAT", "city"]
    assert [row.name for row in rows.of("ID", TODAY)] == ["city"]


@pytest.mark.parametrize(
    ("total", "rate", "currency", "found"),
    [
        ("5", "10", "IDR", "1"),  # a half goes up
        ("4", "10", "IDR", "0"),
        ("0.05", "10", "USD", "0.01"),
        ("0.045", "10", "KWD", "0.005"),
        ("4.999999", "10", "IDR", "0"),
    ],
)
def test_it_is_rounded_once_half_away_from_zero(
    total: str, rate: str, currency: str, found: str
) -> None:
    """IN-5, IN-6: to the digits of its currency."""
    assert due(total, tax(rate), currency=currency) == [found]
    assert taxed(-micros(total), [tax(rate)], currency)[0].amount == -micros(found)


def test_a_tie_of_micros_is_none_in_full() -> None:
    """IN-6: a third of what is taxed is not rounded before its tax is: 33.3 % of 3/2 is no half."""
    # 1.5 x 1/3 is a half; with a rate a millionth lower it is not.
    assert due("1", tax("50", "1/1")) == ["1"]
    assert due("1", tax("49.999999", "1/1")) == ["0"]
    assert due("3", tax("50", "1/3")) == ["1"]


@given(RUPIAHS, st.integers(1, 100 * MICRO), st.integers(1, 12), st.integers(0, 12))
def test_an_inclusive_tax_is_what_the_rest_is_taxed_with(
    total: int, rate: int, numerator: int, more: int
) -> None:
    """IN-6: what is left without it, taxed, gives it again, but for the rounding."""
    row = replace(tax("1"), rate=rate, numerator=numerator, denominator=numerator + more)
    (held,) = taxed(total * MICRO, [replace(row, inclusive=True)], "IDR")
    exact = Fraction(total * MICRO) * row.part / (1 + row.part)
    assert abs(held.amount - exact) <= Fraction(MICRO, 2)
    assert 0 <= held.amount <= total * MICRO
    (again,) = taxed(total * MICRO - held.amount, [row], "IDR")
    assert abs(again.amount - held.amount) <= MICRO * (1 + row.part)


# Documents


def faults(rows: list[dict[str, Any]], **more: Any) -> list[Fault]:
    with pytest.raises(TaxesError) as caught:
        parse_taxes({"taxes": "t", "rows": rows, **more})
    return list(caught.value.problems)


def test_every_problem_of_a_document_is_told_at_once() -> None:
    good = {"country": "ID", "name": "PPN", "rate": "12", "valid_from": "2025-01-01"}
    found = faults(
        [
            good,
            {**good, "rate": "11"},
            {**good, "country": "id", "rate": "101", "base": "11/0", "valid_from": "soon"},
            {**good, "name": "", "rate": 12, "base": "12/11", "kind": "x"},
        ],
        extra=1,
    )
    assert [fault.path for fault in found] == [
        "rows[1].valid_from", "rows[2].country", "rows[2].rate", "rows[2].base",
        "rows[2].valid_from", "rows[3].name", "rows[3].rate", "rows[3].base", "rows[3].kind",
        "extra",
    ]  # fmt: skip
    assert faults([])[0].path == "rows"


def test_a_country_stands_in_one_table() -> None:
    one = Taxes("one", {"ID": (tax("10"),)})
    assert joined([one, Taxes("two", {"CO": ()})]).rows.keys() == {"ID", "CO"}
    with pytest.raises(TaxesError, match="stands in one too"):
        joined([one, Taxes("two", {"ID": ()})])


# What a purchase costs


def priced(balance: str, amount: str, taxes: Taxes = SAMPLE, country: str = "ID") -> Quote:
    return quote(PLAN, PLAN.balance(balance), micros(amount), country, TODAY, taxes)


def test_whole_packs_at_their_price_and_its_tax() -> None:
    """BA-6, IN-6: 1,000 visitors are two packs, Rp 600,000, and Rp 66,000 of tax."""
    found = priced("visitors", "1000")
    assert (found.packs, text(found.pack or 0), found.price) == (2, "500", "300000")
    assert [text(each) for each in (found.net, found.line, found.tax, found.total)] == [
        "600000", "600000", "66000", "666000",
    ]  # fmt: skip
    assert found.currency == "IDR"


@pytest.mark.parametrize(
    ("balance", "amount", "code", "words"),
    [
        ("visitors", "750", "NOT_WHOLE_PACKS", "sold in packs of 500: write 500 or 1000"),
        ("conversations", "1999", "BELOW_MINIMUM", "costs 999500, .* at least 1000000"),
        ("whatsapp", "0.4", "NOTHING_TO_PAY", "nothing that can be paid"),
        ("conversations", "100000000000", "TOO_MUCH", "more than one purchase may"),
    ],
)
def test_what_is_not_sold_says_why(balance: str, amount: str, code: str, words: str) -> None:
    """BA-6: with what would be right."""
    with pytest.raises(Problem, match=words) as caught:
        priced(balance, amount)
    assert (caught.value.code, caught.value.field) == (code, "amount")


def test_the_minimum_is_on_the_price_before_tax() -> None:
    """BA-6: 2,000 conversations cost Rp 1,000,000, which is enough."""
    assert text(priced("conversations", "2000").total) == "1110000"


def test_a_refill_is_not_held_to_the_minimum() -> None:
    """RF-1: its amount is the policy's; whole packs it is all the same."""
    balance = PLAN.balance("conversations")
    found = quote(PLAN, balance, micros("25"), "ID", TODAY, SAMPLE, refill=True)
    assert text(found.total) == "13875"
    with pytest.raises(Problem, match="packs of 500"):
        quote(PLAN, PLAN.balance("visitors"), micros("25"), "ID", TODAY, SAMPLE, refill=True)


def test_money_that_has_no_offer_costs_what_it_is() -> None:
    """BA-6: a money balance names an amount; units without a price are not sold."""
    money = replace(PLAN.balance("whatsapp"), top_up=None)
    found = quote(PLAN, money, micros("50000"), "CO", TODAY, SAMPLE)
    assert (found.packs, found.pack, found.price) == (None, None, None)
    assert (text(found.net), text(found.total), found.taxes) == ("50000", "50000", ())
    units = replace(PLAN.balance("visitors"), top_up=None)
    with pytest.raises(Problem, match="says no price for visitors"):
        quote(PLAN, units, micros("500"), "ID", TODAY, SAMPLE)


def test_the_exact_price_stays_beside_the_rounded_one() -> None:
    """IN-5: 960 at 17.6584 are 16,952.064, asked for as 16,952."""
    plan = replace(PLAN, currency="CLP")
    offer = TopUpOffer(pack=MICRO, price=17_658_400_000_000, minimum=0)
    units = replace(PLAN.balance("conversations"), top_up=offer)
    found = quote(plan, units, micros("960"), "CL", TODAY, SAMPLE)
    assert [text(each) for each in (found.net, found.line, found.total)] == [
        "16952.064", "16952", "16952",
    ]  # fmt: skip


CURRENCIES = st.sampled_from(["IDR", "USD", "KWD", "CLP"])
ROWS = st.lists(
    st.builds(
        tax,
        st.integers(1, 100 * MICRO).map(text),
        st.sampled_from(["1/1", "11/12", "1/3", "2/7"]),
        inclusive=st.booleans(),
        name=st.sampled_from("abc"),
    ),
    max_size=3,
    unique_by=lambda row: row.name,
)


@st.composite
def offered(draw: st.DrawFn) -> tuple[Plan, BalancePlan, int]:
    """A plan, a balance of it, and an amount of whole packs."""
    kind: Literal["unit", "money"] = draw(st.sampled_from(["unit", "money"]))
    currency = draw(CURRENCIES)
    pack = draw(st.integers(1, 10**9))
    offer = TopUpOffer(pack=pack, price=draw(st.integers(1, 10**6 * PICO)), minimum=0)
    balance = replace(PLAN.balance("visitors"), kind=kind, top_up=offer)
    return replace(PLAN, currency=currency), balance, pack * draw(st.integers(1, 10**5))


@settings(max_examples=200, deadline=None)
@given(offered(), ROWS)
def test_the_line_and_its_taxes_come_to_the_total(
    of: tuple[Plan, BalancePlan, int], rows: list[Tax]
) -> None:
    """IN-5, IN-6: for any pack and any taxes, in what the currency shows; and never by much."""
    plan, balance, amount = of
    try:
        found = quote(plan, balance, amount, "ID", TODAY, Taxes("t", {"ID": tuple(rows)}))
    except Problem:
        reject()  # nothing that can be paid, or more than anybody pays
    step = MICRO // int(10 ** DISPLAY_DIGITS[plan.currency])
    assert found.line + found.tax == found.total
    assert found.total % step == found.line % step == found.tax % step == 0
    assert abs(found.line - found.net) * 2 <= step
    assert 0 <= found.line <= found.total <= MONEY_MAX * 400
    assert [due.tax for due in found.taxes] == rows
    held = sum(due.amount for due in found.taxes if due.tax.inclusive)
    exact = Fraction(balance.top_up.price if balance.top_up else 0, MICRO) * (
        Fraction(amount, balance.top_up.pack if balance.top_up else 1)
    )
    assert abs(found.net + held - exact) <= Fraction(1, 2)
