"""When a balance refills itself and by how much, on plain figures (RF-1, RF-2)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.periods import DAY, HOUR, zone
from domain.refill_policy import (
    IDLE,
    Refilling,
    RefillPolicy,
    decide,
    price_of,
    refill_amount,
)
from tests.domain.spine import UNIT, at, terms_of

JAKARTA = zone("Asia/Jakarta")
NOON = at("2026-11-10 12:00")
MIDNIGHT = at("2026-11-11 00:00")
DECEMBER = at("2026-12-01 00:00")

#: The minimum, the amount, what is there, and what is charged.
AMOUNTS = [
    (10, 50, 10, 50),
    (10, 50, 0, 50),
    (10, 50, -39, 50),
    # Ending at the minimum is not above it.
    (10, 50, -40, 100),
    (10, 50, -90, 150),
    (0, 1, 0, 1),
    (-5, 10, -5, 10),
    (100, 10, 95, 10),
    (100, 10, 90, 20),
]


@pytest.mark.parametrize(("minimum", "amount", "whole", "expected"), AMOUNTS)
def test_the_smallest_multiple_that_ends_above(
    minimum: int, amount: int, whole: int, expected: int
) -> None:
    """RF-1: one charge, however far below it is."""
    assert refill_amount(RefillPolicy(True, minimum, amount), whole) == expected


@given(st.integers(-1000, 1000), st.integers(1, 500), st.integers(0, 5000))
def test_it_ends_above_and_one_less_would_not(minimum: int, amount: int, below: int) -> None:
    whole = minimum - below
    added = refill_amount(RefillPolicy(True, minimum, amount), whole)
    assert added % amount == 0
    assert whole + added > minimum >= whole + added - amount


#: Caps of day and month, what was spent of each, what one costs, and until when it is forbidden.
CAPS = [
    (None, None, 900, 900, 100, 0),
    (100, None, 0, 0, 100, 0),
    (99, None, 0, 0, 100, MIDNIGHT),
    (150, None, 50, 50, 100, 0),
    (150, None, 51, 51, 100, MIDNIGHT),
    (None, 150, 0, 50, 100, 0),
    (None, 150, 0, 51, 100, DECEMBER),
    # Where both forbid it, the later end counts.
    (99, 99, 0, 0, 100, DECEMBER),
]


@pytest.mark.parametrize(("day", "month", "today", "before", "price", "until"), CAPS)
def test_a_cap_is_never_passed(
    day: int | None, month: int | None, today: int, before: int, price: int, until: int
) -> None:
    """RF-2: where the amount would pass one nothing is charged, until its day or month is over."""
    known = Refilling(began=NOON - HOUR, day_spent=today, month_spent=before)
    policy = RefillPolicy(True, 0, 10, day, month)
    amount, after = decide(policy, known, 0, lambda amount: amount * price // 10, JAKARTA, NOON)
    assert (amount, after.capped_until) == (0 if until else 10, until)
    spent = (today, before) if until else (today + price, before + price)
    assert (after.day_spent, after.month_spent) == spent
    assert after.in_flight == amount


def test_what_was_spent_counts_for_its_own_day_and_month() -> None:
    known = Refilling(began=NOON, day_spent=7, month_spent=9)
    assert known.spent(JAKARTA, MIDNIGHT - 1) == (7, 9)
    assert known.spent(JAKARTA, MIDNIGHT) == (0, 9)
    assert known.spent(JAKARTA, DECEMBER) == (0, 0)
    assert IDLE.spent(JAKARTA, NOON) == (0, 0)


@pytest.mark.parametrize("paid", [True, False])
def test_what_was_not_paid_does_not_count(paid: bool) -> None:
    """RF-2: a refill that failed leaves its caps as they were."""
    policy = RefillPolicy(True, 0, 10, 100, 200)
    _, known = decide(policy, IDLE, 0, lambda amount: amount * 6, JAKARTA, NOON)
    ended = known.ended(JAKARTA, NOON + HOUR, paid=paid)
    assert (ended.in_flight, ended.price) == (0, 0)
    assert ended.spent(JAKARTA, NOON + HOUR) == ((60, 60) if paid else (0, 0))
    later = known.ended(JAKARTA, NOON + DAY, paid=paid)
    assert later.spent(JAKARTA, NOON + DAY) == ((0, 60) if paid else (0, 0))


def test_what_it_costs() -> None:
    """BA-6: packs by their price; money that no offer sells costs what it is."""
    by_key = {each.key: each for each in terms_of().plan.balances}
    assert price_of(by_key["visitors"], 1_000 * UNIT) == 600_000 * UNIT
    assert price_of(by_key["whatsapp"], 1_000 * UNIT) == 1_000 * UNIT
    unsold = replace(by_key["whatsapp"], top_up=None)
    assert price_of(unsold, 7 * UNIT) == 7 * UNIT
