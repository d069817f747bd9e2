"""Alerts of invoices and subscriptions, the words they are told by, and lines by hand (IN-5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import billing_alerts
from domain.billing_notices import LABELS, NOTICES, SINCE
from domain.by_hand import LINES_MAX, Written, lines_of, product
from domain.invoices import LineKind
from domain.money import MICRO, micros, text
from domain.problems import Problem
from domain.sentences import OF_NOTICES, Words, needs
from domain.watch import AlertCause, AlertKind, Mark, Measure, fold

WORDS = [
    (f"{table} {name}", words)
    for table, each in (("notice", NOTICES), ("label", LABELS), ("since", SINCE))
    for name, words in each.items()
]


@pytest.mark.parametrize(("name", "words"), WORDS, ids=[name for name, _ in WORDS])
def test_every_sentence_is_there_in_each_language_with_the_same_figures(
    name: str, words: Words
) -> None:
    assert set(words) == OF_NOTICES
    assert len({frozenset(needs(each)) for each in words.values()}) == 1


def test_an_alert_of_no_balance_passes_no_threshold() -> None:
    """What is left of its total is told; no mark is set or taken away by it."""
    marks: set[Mark] = set()
    told = [
        billing_alerts.invoice(kind, "INV-2026-000001", 3, 5, 7)
        for kind in sorted(billing_alerts.OF_INVOICES)
    ]
    told.append(billing_alerts.subscription_ending("growth", 20_000, 7))
    fold(marks, told)
    assert marks == set()
    assert {(each.balance_id, each.measure, each.threshold) for each in told} == {
        (0, Measure.NONE, 0)
    }
    *bills, end = told
    assert {(each.remaining, each.base, each.cause, each.cause_id) for each in bills} == {
        (3, 5, AlertCause.INVOICE, "INV-2026-000001")
    }
    assert (end.base, end.cause, end.cause_id) == (20_000, AlertCause.SUBSCRIPTION, "growth")
    with pytest.raises(ValueError, match="raised of no invoice"):
        billing_alerts.invoice(AlertKind.EXHAUSTED, "INV-2026-000001", 3, 5, 7)


def written(quantity: str, price: str) -> Written:
    return Written(
        description="Training", quantity=micros(quantity), unit="hour",
        price=micros(price, signed=True),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("quantity", "price", "currency", "exact", "amount"),
    [
        ("960", "17.6584", "CLP", "16952.064", "16952"),
        ("2.5", "0.01", "USD", "0.025", "0.03"),
        ("2.5", "-0.01", "USD", "-0.025", "-0.03"),
        ("0.000001", "0.5", "USD", "0.000001", "0"),
        ("0.000001", "-0.5", "USD", "-0.000001", "0"),
        ("3", "1.1115", "KWD", "3.3345", "3.335"),
    ],
)
def test_a_line_by_hand_is_exact_and_rounded_once(
    quantity: str, price: str, currency: str, exact: str, amount: str
) -> None:
    """IN-5: half away from zero, to a millionth and then to what the currency shows."""
    (line,) = lines_of([written(quantity, price)], currency)
    assert (line.kind, line.quantity, line.price) == (LineKind.OTHER, quantity, price)
    assert (text(line.exact), text(line.amount)) == (exact, amount)


@given(st.integers(1, 10**12), st.integers(-(10**12), 10**12))
def test_a_product_is_as_near_as_a_millionth_can_be(quantity: int, price: int) -> None:
    found = product(quantity, price)
    assert abs(found * MICRO - quantity * price) * 2 <= MICRO
    assert product(quantity, -price) == -found


def test_what_cannot_be_a_line_is_refused_with_its_place() -> None:
    for lines in ([], [written("1", "1")] * (LINES_MAX + 1)):
        with pytest.raises(Problem) as caught:
            lines_of(lines, "IDR")
        assert caught.value.field == "lines"
    with pytest.raises(Problem) as caught:
        lines_of([written("1", "1"), written("0", "1")], "IDR")
    assert caught.value.field == "lines[1].quantity"
