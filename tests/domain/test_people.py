"""Seats: who takes one, and how many are left (US-1)."""

from __future__ import annotations

import pytest

from domain.people import available, check_seat, takes_seat
from domain.problems import Problem


@pytest.mark.parametrize(
    ("role", "active", "takes"),
    [
        ("agent", True, True), ("supervisor", True, True), ("agent", False, False),
        ("supervisor", False, False), ("admin", True, False), ("super_admin", True, False),
        ("operator", True, False),
    ],
)  # fmt: skip
def test_active_agents_and_supervisors_take_seats(role: str, active: bool, takes: bool) -> None:
    assert takes_seat(role, active) is takes


@pytest.mark.parametrize(("maximum", "used", "left"), [(5, 0, 5), (5, 5, 0), (5, 7, -2), (0, 0, 0)])
def test_one_more_fits_while_something_is_left(maximum: int, used: int, left: int) -> None:
    """US-1: at the limit, and below zero, one more is refused, in words with both figures."""
    assert available(maximum, used) == left
    if left > 0:
        check_seat(maximum, used, "role")
        return
    with pytest.raises(Problem) as refusal:
        check_seat(maximum, used, "role")
    assert (refusal.value.code, refusal.value.field) == ("NO_SEATS", "role")
    assert f"has {maximum} seats" in refusal.value.message
    assert f"{used} are taken" in refusal.value.message
