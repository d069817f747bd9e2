"""Reasons read back from charges, and the arithmetic that is shown of them."""

from __future__ import annotations

from typing import Any

import pytest

from domain import explain
from domain.books import Basis, FreeCount, Row, Tier
from domain.explain import Why, Window
from domain.facts import Flag, Status
from domain.markets import Markets
from domain.money import micros, picos

ONE = micros("1")
OPENED, NONE = Flag.CONVERSATION_OPENED, Flag.NONE


def row(**change: Any) -> Row:
    """A row per message at 356.65."""
    values: dict[str, Any] = {
        "rule": "book@2026-10-01/row", "row": "row", "channel": "whatsapp", "category": "service",
        "direction": "out", "market": "ID", "valid_from": 0, "published": 1,
        "basis": Basis.PER_MESSAGE, "charged_on": "delivered", "price": picos("356.65"),
        "free_in": frozenset(), "free_count": None,
    }  # fmt: skip
    return Row(**(values | change))


COUNT = FreeCount(name="service", count=1000, per="number")
FREE = row(free_in=frozenset({"customer_service", "free_entry"}), free_count=COUNT)
CONVERSATION = row(basis=Basis.PER_CONVERSATION, price=None, category="*")

BY_CATEGORY = row(basis=Basis.PER_CONVERSATION, free_count=COUNT)

REASONS = [
    # row, amount, flags, windows open -> why
    (row(), 356_650_000, NONE, (), Why.CHARGED),
    (FREE, 356_650_000, NONE, (), Why.CHARGED),
    (FREE, 0, NONE, (Window.SERVICE,), Why.FREE_IN_WINDOW),
    (FREE, 0, NONE, (Window.SERVICE, Window.ENTRY), Why.FREE_ENTRY),
    (FREE, 0, NONE, (), Why.FREE_COUNT),
    (row(price=0, free_in=FREE.free_in), 0, NONE, (Window.ENTRY,), Why.PRICE_ZERO),
    (row(free_in=frozenset({"customer_service"})), 0, NONE, (), Why.FREE_IN_WINDOW),
    (row(free_in=frozenset({"free_entry"})), 0, NONE, (), Why.FREE_ENTRY),
    (CONVERSATION, ONE, OPENED, (Window.CONVERSATION,), Why.CONVERSATION_OPENED),
    (CONVERSATION, 0, NONE, (Window.CONVERSATION,), Why.COVERED),
    (row(basis=Basis.PER_CONVERSATION, price=0, category="*"), 0, OPENED, (), Why.PRICE_ZERO),
    (BY_CATEGORY, 0, OPENED, (), Why.COVERED),
    (BY_CATEGORY, 0, OPENED | Flag.CATEGORY_OPENED, (), Why.FREE_COUNT),
    (row(basis=Basis.PER_VISITOR, price=None), ONE, Flag.VISITOR, (), Why.VISITOR),
    (None, ONE, NONE, (), Why.CHARGED),
]


@pytest.mark.parametrize(("of", "amount", "flags", "inside", "why"), REASONS)
def test_why(of: Row | None, amount: int, flags: int, inside: tuple[Window, ...], why: Why) -> None:
    """PR-1, PR-4, PR-9, WI-2: in the order in which rating lets a message pass."""
    assert explain.why(of, amount, ONE, flags, inside) is why


def test_why_nothing_was_counted() -> None:
    assert explain.why(row(), 0, 0, NONE, ()) is Why.NOTHING_COUNTED


@pytest.mark.parametrize(
    ("status", "flags", "why"),
    [
        (Status.UNRATED, NONE, Why.UNRATED),
        (Status.ACCEPTED, Flag.REPEATED, Why.REPEATED),
        (Status.ACCEPTED, NONE, Why.NO_CHARGE),
    ],
)
def test_why_there_is_no_charge(status: Status, flags: int, why: Why) -> None:
    """EV-5, EV-7."""
    assert explain.why_not_charged(status, flags) is why


def test_windows_are_looked_for_where_they_decide() -> None:
    assert explain.windows_asked(FREE, 0) == (Window.ENTRY, Window.SERVICE)
    assert explain.windows_asked(FREE, ONE) == ()
    assert explain.windows_asked(row(price=0, free_in=FREE.free_in), 0) == ()
    assert explain.windows_asked(CONVERSATION, 0) == (Window.CONVERSATION,)


def test_the_row_is_the_latest_that_gives_the_amount() -> None:
    """PR-2: two versions of a book may have rows of one name."""
    first, second = row(), row(published=2, price=picos("400"))
    rows = [first, second, row(rule="another")]

    assert explain.row_of(rows, first.rule, ONE, micros("356.65")) is first
    assert explain.row_of(rows, first.rule, ONE, micros("400")) is second
    assert explain.row_of(rows, first.rule, ONE, 0) is second
    assert explain.row_of(rows, "none", ONE, 0) is None


SUMS = [
    (row(), "1", "1 x 356.65 = 356.65", False),
    (row(basis=Basis.PER_MINUTE, price=picos("0.0125")), "36", "36 x 0.0125 / 60 = 0.0075", False),
    (
        row(basis=Basis.PER_MINUTE, price=picos("0.1")), "40",
        "40 x 0.1 / 60 = 0.066667, rounded half up", True,
    ),
    (
        row(basis=Basis.PER_SEGMENT, price=picos("0.0000005")), "3",
        "3 x 0.0000005 = 0.000002, rounded half up", True,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("of", "units", "told", "rounded"), SUMS)
def test_arithmetic(of: Row, units: str, told: str, rounded: bool) -> None:
    """IN-5, VO-1: the exact sum, and whether a charge keeps all its digits."""
    assert explain.arithmetic(of, micros(units)) == told
    assert explain.is_rounded(of, micros(units)) is rounded


def test_no_price_no_arithmetic() -> None:
    assert explain.arithmetic(CONVERSATION, ONE) is None


def test_rules_that_share_a_count() -> None:
    """PR-4, PR-7: one count for all countries; authentication shares its with its kinds."""
    elsewhere = row(rule="elsewhere", free_count=COUNT, market="*")
    other = row(rule="other", free_count=FreeCount(name="other", count=1, per="tenant"))
    assert explain.counted_together([FREE, elsewhere, other, row()], FREE) == {
        FREE.rule, "elsewhere",
    }  # fmt: skip
    tier = Tier(above=0, up_to=None)
    local = row(rule="local", category="authentication", tier=tier)
    abroad = row(rule="abroad", category="authentication_international", tier=tier)
    utility = row(rule="utility", category="utility", tier=tier)
    assert explain.tiers_together([local, abroad, utility, row()], abroad) == {"local", "abroad"}


def test_the_prefix_that_named_a_market() -> None:
    """PR-6: the longest match, in force on the day; none for what has no number or no list."""
    markets = Markets(
        "lists", frozenset({"sms"}), {10: {"1": "north_america"}, 20: {"1809": "other_america"}}
    )
    assert markets.prefix("sms", "18095550100", 19) == "1"
    assert markets.prefix("sms", "18095550100", 20) == "1809"
    assert markets.prefix("sms", "12125550100", 20) == "1"
    assert markets.prefix("sms", "628111", 20) is None
    assert markets.prefix("sms", "1", 9) is None
    assert markets.prefix("email", "18095550100", 20) is None
    assert markets.prefix("sms", "ann@example.com", 20) is None
