"""Invoices: lines and taxes come to the total, numbers and due days (IN-2 to IN-6, IN-8)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.invoices import (
    CREDIT_NOTES,
    INVOICES,
    Invoice,
    Line,
    LineKind,
    Party,
    amount_of,
    drawn_up,
    issued,
)
from domain.money import DISPLAY_DIGITS, MICRO, charge, micros, picos, text
from domain.periods import date_number
from domain.problems import Problem
from domain.taxes import NONE, Tax, Taxes
from tests.domain.test_taxes import LAST_OF_2024, SAMPLE, TODAY, tax

ISSUER = Party(
    name="Omnichannel", lines=("Jalan Satu 1", "Jakarta"), country="ID", tax_id="01.234", email=None
)
SHOP = Party(name="The Shop", lines=(), country="ID", tax_id=None, email="a@b.example", key="shop")
#: By display digits.
CURRENCIES = ("CLP", "IDR", "USD", "KWD")


def step_of(currency: str) -> int:
    return MICRO // int(10 ** DISPLAY_DIGITS[currency])


def line(exact: int, currency: str = "IDR", kind: LineKind = LineKind.RECURRING) -> Line:
    return Line(
        kind=kind, description="Seats", balance=None, category=None, market=None, rule=None,
        quantity="1", unit="seat", price=text(exact), exact=exact,
        amount=amount_of(kind, exact, currency), period=None,
    )  # fmt: skip


def of(*rows: Tax) -> Taxes:
    return Taxes("t", {"ID": rows})


def draft(*lines: Line, currency: str = "IDR", taxes: Taxes = NONE, **more: Any) -> Invoice:
    given = {"issuer": ISSUER, "buyer": SHOP, "locale": "id", "zone": "Asia/Jakarta", "day": TODAY}
    return drawn_up(lines, currency=currency, taxes=taxes, **{**given, **more})


def rupiahs(*amounts: str, taxes: Taxes = NONE) -> Invoice:
    return draft(*(line(micros(each, signed=True)) for each in amounts), taxes=taxes)


def figures(found: Invoice) -> list[str]:
    return [text(each) for each in (found.net, found.tax, found.total, found.rounding)]


# Lines (IN-5, IN-8)


def test_the_rule_books_own_line() -> None:
    """IN-5: 960 x CLP 17.6584 are 16,952.064, asked for as 16,952 and not 960 x 18 = 17,280."""
    one = line(charge(picos("17.6584"), micros("960")), "CLP")
    assert (text(one.exact), text(one.amount)) == ("16952.064", "16952")
    found = draft(one, currency="CLP", buyer=replace(SHOP, country="CL"))
    assert figures(found) == ["16952", "0", "16952", "-0.064"]


@pytest.mark.parametrize(
    ("exact", "currency", "amount"),
    [
        ("0.5", "IDR", "1"),
        ("0.499999", "IDR", "0"),
        ("-0.5", "IDR", "-1"),
        ("-2.5", "IDR", "-3"),
        ("1.005", "USD", "1.01"),
        ("1.004999", "USD", "1"),
        ("-1.005", "INR", "-1.01"),
        ("0.0005", "KWD", "0.001"),
        ("0.000499", "KWD", "0"),
    ],
)
def test_a_line_is_rounded_half_away_from_zero(exact: str, currency: str, amount: str) -> None:
    """IN-5: to what its currency shows, of 0, 2 or 3 digits."""
    assert text(line(micros(exact, signed=True), currency).amount) == amount


def test_lines_are_rounded_one_by_one_and_the_difference_is_told() -> None:
    """IN-5: three lines of 0.5 are asked for as 3; 1.5 of it is rounding, for its account."""
    assert figures(rupiahs("0.5", "0.5", "0.5")) == ["3", "0", "3", "1.5"]
    assert figures(rupiahs("0.4", "0.4", "-0.1")) == ["0", "0", "0", "-0.7"]


def test_a_line_that_was_rounded_otherwise_is_refused() -> None:
    """IN-5: once, and so: 0.45 is 0, not 0.5 and then 1."""
    with pytest.raises(ValueError, match=r"'Seats' asks for 1: round it once"):
        draft(replace(line(450_000), amount=MICRO))


def test_what_was_paid_before_is_listed_and_not_asked_for() -> None:
    """IN-8: covered, 0 to pay, and no rounding: it keeps what it was worth to the last digit."""
    covered = line(micros("1234.567891"), kind=LineKind.COVERED)
    found = draft(covered, line(micros("10.4")), taxes=of(tax("10")))
    assert (covered.amount, found.lines[0]) == (0, covered)
    assert figures(found) == ["10", "1", "11", "-0.4"]
    assert figures(draft(covered)) == ["0", "0", "0", "0"]
    with pytest.raises(ValueError, match="round it once"):
        draft(replace(covered, amount=micros("1235")))


def test_nothing_is_no_invoice_and_less_than_nothing_is_a_credit_note() -> None:
    with pytest.raises(Problem) as none:
        draft()
    with pytest.raises(Problem, match="-5 IDR: give it back by a credit note") as below:
        rupiahs("10", "-15")
    assert (none.value.code, below.value.code) == ("NO_LINES", "BELOW_ZERO")
    assert figures(rupiahs("10", "-10")) == ["0", "0", "0", "0"]
    assert figures(rupiahs("10", "-4")) == ["6", "0", "6", "0"]


# Taxes (IN-6)


def test_the_rule_books_own_taxes() -> None:
    """IN-6: Indonesia's 12 % on 11/12 of the price, the base unrounded, the tax rounded once."""
    found = rupiahs("10000000", "200000", taxes=SAMPLE)
    assert figures(found) == ["10200000", "1122000", "11322000", "0"]
    (ppn,) = found.taxes
    assert (ppn.name, ppn.rate, ppn.base, ppn.inclusive) == ("PPN", "12", "11/12", False)
    assert figures(rupiahs("186", taxes=SAMPLE)) == ["186", "20", "206", "0"]


def test_prices_may_have_their_tax_in_them() -> None:
    """IN-6: inclusive 11,322,000 holds 1,122,000; the lines say what the prices say."""
    row = replace(SAMPLE.of("ID", TODAY)[0], inclusive=True)
    found = rupiahs("11322000", taxes=of(row))
    assert figures(found) == ["10200000", "1122000", "11322000", "0"]
    assert text(found.lines[0].amount) == "11322000"


def test_a_tax_is_of_the_sum_and_not_of_each_line() -> None:
    """IN-6: a tenth of three lines of 5 is 1.5, asked for as 2; line by line it would be 3."""
    assert figures(rupiahs("5", "5", "5", taxes=of(tax("10")))) == ["15", "2", "17", "0"]


def test_a_tax_is_of_what_is_asked_for() -> None:
    """IN-5, IN-6: of the lines as they are printed: a tenth of 1 + 1 + 1 + 1 + 1, not of 2.5."""
    assert figures(rupiahs(*["0.5"] * 5, taxes=of(tax("10")))) == ["5", "1", "6", "2.5"]


def test_each_tax_row_is_rounded_by_itself() -> None:
    """IN-6: two rows of a twentieth of 10 are 0.5 each, so 1 each; one inclusive, one not."""
    rows = of(tax("5"), tax("5", name="city"))
    assert figures(rupiahs("10", taxes=rows)) == ["10", "2", "12", "0"]
    mixed = of(tax("10", inclusive=True), tax("5", name="city"))
    assert figures(rupiahs("110", taxes=mixed)) == ["100", "15", "115", "0"]


def test_taxes_are_of_the_buyers_country_and_the_day() -> None:
    """IN-6: a dated table; a country without rows asks for none."""
    assert draft(line(MICRO), taxes=SAMPLE, day=LAST_OF_2024).taxes[0].rate == "11"
    assert draft(line(MICRO), taxes=SAMPLE, day=LAST_OF_2024 + 1).taxes[0].rate == "12"
    assert draft(line(MICRO), taxes=SAMPLE, buyer=replace(SHOP, country="CO")).taxes == ()


LINES = st.lists(
    st.tuples(st.integers(-(10**12), 10**13), st.sampled_from(LineKind)), min_size=1, max_size=8
)
TAXES = st.lists(
    st.builds(
        tax,
        st.integers(1, 30 * MICRO).map(text),
        st.sampled_from(["1/1", "11/12", "1/3"]),
        inclusive=st.booleans(),
        name=st.sampled_from("abc"),
    ),
    max_size=3,
    unique_by=lambda row: row.name,
).map(lambda rows: of(*rows))


@st.composite
def drafts(draw: st.DrawFn) -> Invoice:
    """An invoice of any lines, taxes and currency that comes to nothing or more."""
    currency = draw(st.sampled_from(CURRENCIES))
    lines = [line(exact, currency, kind) for exact, kind in draw(LINES)]
    short = sum(each.amount for each in lines)
    lines += [line(-short, currency)] if short < 0 else []
    return draft(*lines, currency=currency, taxes=draw(TAXES))


@settings(max_examples=150, deadline=None)
@given(drafts(), st.randoms(use_true_random=False))
def test_lines_and_taxes_come_to_the_total(found: Invoice, random: Any) -> None:
    """IN-5, IN-6: for any lines, taxes and currency, in what it shows, in any order of lines."""
    step = step_of(found.currency)
    asked = sum(each.amount for each in found.lines)
    beside = sum(each.amount for each in found.taxes if not each.inclusive)
    assert asked + beside == found.net + found.tax == found.total
    assert found.tax == sum(each.amount for each in found.taxes)
    assert all(each % step == 0 for each in (found.net, found.tax, found.total))
    assert 0 <= found.net <= found.total
    billed = [each for each in found.lines if each.kind is not LineKind.COVERED]
    assert asked - sum(each.exact for each in billed) == found.rounding
    assert 2 * abs(found.rounding) <= step * len(billed)
    lines = list(found.lines)
    random.shuffle(lines)
    rows = []
    for each in found.taxes:
        base = each.base if "/" in each.base else "1/1"
        rows.append(tax(each.rate, base, inclusive=each.inclusive, name=each.name))
    again = draft(*lines, currency=found.currency, taxes=of(*rows))
    assert replace(again, lines=found.lines) == found


@settings(max_examples=50, deadline=None)
@given(drafts())
def test_what_is_kept_is_read_as_it_was(found: Invoice) -> None:
    """IN-4: a snapshot."""
    kept = issued(found, INVOICES, 1, TODAY)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Invoice) == kept


# Numbers and days (IN-2, IN-3, IN-4)


def test_a_draft_has_no_number_and_is_not_due() -> None:
    """IN-3: the number is given when it is issued."""
    found = rupiahs("1")
    assert (found.number, found.issued_on, found.due_on, found.of) == (None, None, None, None)


def test_it_is_due_some_days_after_it_is_issued() -> None:
    """IN-2: 14 local days, unless the issuer says otherwise; 0: on its own day."""
    found = issued(rupiahs("1"), INVOICES, 7, TODAY)
    assert (found.number, found.issued_on) == ("INV-2026-000007", TODAY)
    assert found.due_on == date_number(date(2026, 12, 6))
    assert issued(rupiahs("1"), INVOICES, 7, TODAY, 0).due_on == TODAY
    with pytest.raises(ValueError, match="-1 days would be due before its issue"):
        issued(rupiahs("1"), INVOICES, 7, TODAY, -1)
    note = replace(rupiahs("1"), kind="credit_note", of=found.number)
    assert issued(note, CREDIT_NOTES, 1, TODAY).due_on is None


def test_numbers_are_spelt_by_series_and_the_local_year() -> None:
    """IN-3: 1 to 100 in a row, sorted as text as they were given; each year has its own."""
    numbers = [issued(rupiahs("1"), INVOICES, place, TODAY).number for place in range(1, 101)]
    assert [numbers[0], numbers[99]] == ["INV-2026-000001", "INV-2026-000100"]
    assert numbers == sorted(set(map(str, numbers)))
    new_year = date_number(date(2027, 1, 1))
    assert issued(rupiahs("1"), "ACME", 1, new_year - 1).number == "ACME-2026-000001"
    assert issued(rupiahs("1"), "ACME", 1, new_year).number == "ACME-2027-000001"


def test_what_is_issued_never_changes() -> None:
    """IN-4: nor is it issued again; all but its number and days is as it was drawn up."""
    before = rupiahs("10", taxes=SAMPLE)
    found = issued(before, INVOICES, 1, TODAY)
    assert replace(found, number=None, issued_on=None, due_on=None) == before
    with pytest.raises(ValueError, match="INV-2026-000001 was issued before"):
        issued(found, INVOICES, 2, TODAY)
    with pytest.raises(FrozenInstanceError):
        found.total = 0  # type: ignore[misc]
