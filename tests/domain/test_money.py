"""Amounts and prices, as tables."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.money import DISPLAY_DIGITS, charge, micros, picos, shown, shown_down, text


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("0", 0),
        ("1", 1_000_000),
        ("586.33", 586_330_000),
        ("356.65", 356_650_000),
        ("0.000001", 1),
        ("007.10", 7_100_000),
        ("999999999999.999999", 10**18 - 1),
    ],
)
def test_an_amount_is_read_in_millionths(written: str, amount: int) -> None:
    assert micros(written) == amount
    assert micros(written, signed=True) == amount


@pytest.mark.parametrize(
    ("written", "amount"), [("-150000", -150_000_000_000), ("+0.5", 500_000), ("-0", 0)]
)
def test_a_sign_is_read_only_where_it_may_stand(written: str, amount: int) -> None:
    assert micros(written, signed=True) == amount
    with pytest.raises(ValueError, match="has a sign"):
        micros(written)


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("356.65", 356_650_000_000_000),
        ("17.6584", 17_658_400_000_000),
        ("0.000000000001", 1),
        ("0", 0),
    ],
)
def test_a_price_has_up_to_twelve_decimals(written: str, price: int) -> None:
    assert picos(written) == price
    assert text(price, 12) == written


@pytest.mark.parametrize(
    ("written", "why"),
    [
        *(
            (wrong, "is not a number")
            for wrong in (
                "", " ", "1 ", " 1", "1\n", "1 000", "1_000", "1,000", "1e3", "1E+2", "NaN", "nan",
                "inf", "-Infinity", ".5", "5.", ".", "-", "--1", "+-1", "0x1f", "1.2.3", "٣", "½",
            )
        ),
        ("1000000000000", "is too large: write at most 12 digits"),
        ("0000000000000", "is too large"),
        ("9" * 10_000, "is too large"),
        ("0.0000001", "is too fine: write at most 6 decimals"),
    ],
)  # fmt: skip
def test_anything_but_a_plain_number_is_refused(written: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        micros(written, signed=True)
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize("written", ["-1", "+1", "0.0000000000001", "1e-12"])
def test_a_price_is_unsigned_and_has_at_most_twelve_decimals(written: str) -> None:
    with pytest.raises(ValueError, match=r"has a sign|is too fine|is not a number"):
        picos(written)


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (586_330_000, "586.33"),
        (1_000_000_000, "1000"),
        (0, "0"),
        (1, "0.000001"),
        (-1, "-0.000001"),
        (-942_980_000, "-942.98"),
        (10**24, "1000000000000000000"),
    ],
)
def test_an_amount_is_written_in_fixed_point(amount: int, written: str) -> None:
    assert text(amount) == written


@settings(deadline=None)
@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_what_is_written_is_read_back(amount: int) -> None:
    assert micros(text(amount), signed=True) == amount


@pytest.mark.parametrize(
    ("units", "price", "cost"),
    [
        ("960", "17.6584", "16952.064"),
        ("1", "356.65", "356.65"),
        ("8", "356.65", "2853.2"),
        ("1", "0", "0"),
        ("0", "586.33", "0"),
        ("1", "0.000000499999", "0"),
        ("1", "0.0000005", "0.000001"),
        ("3", "0.0000005", "0.000002"),
        ("0.000001", "0.5", "0.000001"),
        ("0.6", "0.0125", "0.0075"),
        ("1000000", "0.000000000001", "0.000001"),
        ("999999999999", "999999999999.999999999999", "999999999998999999999999"),
    ],
)
def test_a_charge_is_rounded_once_half_up(units: str, price: str, cost: str) -> None:
    """IN-5: to a millionth of the unit, with rates of 12 decimals."""
    assert text(charge(picos(price), micros(units))) == cost


@pytest.mark.parametrize(
    ("amount", "currency", "line", "left"),
    [
        ("16952.064", "CLP", "16952", "16952"),
        ("356.65", "IDR", "357", "356"),
        ("0.5", "IDR", "1", "0"),
        ("-0.5", "IDR", "-1", "-1"),
        ("-0.4", "COP", "0", "-1"),
        ("0.499999", "JPY", "0", "0"),
        ("2853.205", "USD", "2853.21", "2853.2"),
        ("-2853.205", "INR", "-2853.21", "-2853.21"),
        ("1.0005", "KWD", "1.001", "1"),
        ("7", "KWD", "7", "7"),
    ],
)
def test_a_figure_is_rounded_to_the_digits_of_its_currency(
    amount: str, currency: str, line: str, left: str
) -> None:
    """IN-5: a line half away from zero, what remains or is available down."""
    exact = micros(amount, signed=True)
    assert text(shown(exact, currency)) == line
    assert text(shown_down(exact, currency)) == left


def test_the_display_digits_are_our_own() -> None:
    """IN-5: the currencies the rule names."""
    named = {"IDR": 0, "COP": 0, "CLP": 0, "JPY": 0, "USD": 2, "INR": 2, "KWD": 3}
    assert {currency: DISPLAY_DIGITS[currency] for currency in named} == named


@pytest.mark.parametrize("currency", ["XXX", "usd", ""])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="is not a currency"):
        shown(1, currency)
    with pytest.raises(ValueError, match="is not a currency"):
        shown_down(1, currency)
