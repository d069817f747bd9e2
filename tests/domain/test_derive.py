"""Derived books: exact prices from another book's rows, computed once (PR-1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.derive import Formula, derived, own_paths, read_formula, rows_of
from domain.documents import Fault
from domain.money import picos, text


def row(price: str, date: str = "2026-01-01", market: str = "ID", **more: Any) -> dict[str, Any]:
    return {
        "row": f"marketing-{market.lower()}",
        "valid_from": date,
        "channel": "whatsapp",
        "category": "marketing",
        "direction": "out",
        "market": market,
        "basis": "per_message",
        "price": price,
        **more,
    }


def book(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"book": "base", "currency": "USD", "markets": "cards", "rows": list(rows)}


def formula(factor: str, fee: str = "0", decimals: int = 4) -> Formula:
    return Formula(base="base", factor=picos(factor), fee=picos(fee), decimals=decimals)


@pytest.mark.parametrize(
    ("base", "factor", "fee", "decimals", "price"),
    [
        ("0.0411", "1.15", "0.0005", 4, "0.0478"),  # 0.047765
        ("0.02", "1.15", "0.0005", 4, "0.0235"),
        ("586.33", "1.15", "0", 2, "674.28"),  # 674.2795
        ("0.5", "1", "0", 0, "1"),  # half up
        ("0.4999999999", "1", "0", 0, "0"),
        ("2.5", "1", "0", 0, "3"),  # not to even
        ("356.65", "0.9", "0", 12, "320.985"),
        ("0", "1.15", "0.0005", 4, "0"),  # free stays free
        ("0.0001", "0.000000000001", "0", 12, "0"),
        ("999999999999", "1", "0", 12, "999999999999"),
    ],
)
def test_a_price_is_rounded_once_half_up(
    base: str, factor: str, fee: str, decimals: int, price: str
) -> None:
    """PR-1: factor, then fee, then one rounding at the decimals that the document says."""
    assert text(formula(factor, fee, decimals).price(picos(base)), 12) == price


@given(st.integers(1, 10**18), st.integers(1, 10**14), st.integers(0, 10**14), st.integers(0, 12))
def test_no_price_is_further_off_than_half_a_step(
    base: int, factor: int, fee: int, decimals: int
) -> None:
    made = Formula(base="base", factor=factor, fee=fee, decimals=decimals).price(base)
    step = 10 ** (12 - decimals)
    assert made % step == 0
    exact = base * factor + fee * 10**12  # in 10^-24
    assert -step * 10**12 < 2 * (exact - made * 10**12) <= step * 10**12


def test_rows_of_its_own_hold_from_their_date_on() -> None:
    base = book(row("1"), row("2", "2026-06-01"), row("3", market="IN"), row("n/a", market="CL"))
    own = row("5", "2026-06-01")
    given = {"book": "mine", "about": "Ours", "rows": [own]}
    assert derived(given, formula("2"), [base]) == {
        "book": "mine",
        "about": "Ours (base x 2, rounded to 4 decimals)",
        "currency": "USD",
        "markets": "cards",
        "rows": [own, row("2"), row("6", market="IN"), row("n/a", market="CL")],
    }


def test_fields_it_does_not_know_travel_along_and_tiers_are_priced_one_by_one() -> None:
    tiers = [
        row("1", row="a", tier={"above": 0, "up_to": 10}, free_in=["free_entry"]),
        row("0.5", row="b", tier={"above": 10}),
    ]
    made = derived({"book": "mine"}, formula("1", "0.1"), [book(*tiers)])
    assert made["rows"] == [{**tiers[0], "price": "1.1"}, {**tiers[1], "price": "0.6"}]


def test_of_a_base_with_versions_the_last_published_row_counts() -> None:
    """PR-2: of equal dates the last published; its tiers replace the earlier ones together."""
    first = book(row("1", tier={"above": 0, "up_to": 9}), row("2", tier={"above": 9}))
    second = book(row("3"), row("4", "2026-02-01"))
    assert rows_of([first, second]) == [row("3"), row("4", "2026-02-01")]


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        (
            {"derived_from": "bse", "factor": "1", "decimals": 4},
            ["derived_from: there is no book 'bse'; did you mean 'base'?"],
        ),
        (
            {"book": "base", "derived_from": "base", "decimals": 4},
            ["derived_from: is the book itself; give one of the two another key"],
        ),
        (
            {"derived_from": "base", "factor": "0", "fee": "n/a", "decimals": 13},
            [
                'factor: is no factor; write a decimal above 0 in quotes, as "1.15"',
                'fee: is no fee; write a decimal in quotes, as "0.0005"',
                "decimals: 13 does not fit; write a whole number from 0 to 12, without quotes",
            ],
        ),
        (
            {"factor": 1.15},
            [
                "derived_from: is missing; name the book it is derived from",
                "factor: 1.15 is no decimal in quotes; write a decimal in quotes, as "
                '"356.65"; free is "0", no rate is "n/a"',
                "decimals: is missing; write a whole number from 0 to 12, without quotes",
            ],
        ),
    ],
)
def test_everything_wrong_with_a_formula_is_said_at_once(
    given: dict[str, Any], problems: list[str]
) -> None:
    assert [str(each) for each in read_formula(given, {"base"})[1]] == problems


def test_a_fault_of_a_derived_row_is_not_told_of_a_row_that_nobody_wrote() -> None:
    faults = [Fault("rows[0].price", "a", "b"), Fault("rows[1].price", "a", "b")]
    assert [str(each) for each in own_paths(faults, 1, "base")] == [
        "rows[0].price: a; b",
        "rows derived from base.price: a; b",
    ]
