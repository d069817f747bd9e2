"""Thresholds of a tenant's own: what may be set, and what setting them raises (AL-1, AL-4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.adjustments import adjust
from domain.lots import Lot, LotSource
from domain.periods import MINUTE, period
from domain.refunds import refund_top_up
from domain.state import Changes
from domain.thresholds import THRESHOLDS_MAX, UNITS_MAX, ThresholdsError, edit, read_own, watched
from domain.top_ups import top_up
from domain.watch import (
    ALL,
    DEFAULTS,
    OWED,
    Alert,
    AlertCause,
    AlertKind,
    Measure,
    Threshold,
    fold,
)
from tests.domain.spine import UNIT, Tenant
from tests.domain.test_watch import NOON, START, Told, of

LOW, ZERO = DEFAULTS


def percents(*values: float) -> tuple[Threshold, ...]:
    return tuple(Threshold(Measure.PERCENT, round(value * UNIT)) for value in values)


def units(*values: float) -> tuple[Threshold, ...]:
    return tuple(Threshold(Measure.UNITS, round(value * UNIT)) for value in values)


# What may be set


def test_what_is_set_is_watched_for_beside_zero() -> None:
    """AL-1: highest first; nothing said is what every balance is watched for."""
    own = read_own([20 * UNIT, 50 * UNIT], [5 * UNIT])
    assert own == (*percents(50, 20), *units(5))
    assert watched(own) == (*percents(50, 20), *units(5), ZERO)
    assert read_own([], []) is None
    assert watched(None) == DEFAULTS
    assert (read_own([0], []), read_own([], [0])) == ((), ())
    assert watched(()) == (ZERO,)
    assert read_own([ALL], [UNITS_MAX]) == (*percents(100), *units(UNITS_MAX // UNIT))


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ThresholdsError) as refused:
        read_own([-1, ALL + 1, 7, 7], [UNITS_MAX + 1, *range(THRESHOLDS_MAX)])
    assert [(each.path, each.wrong, each.right) for each in refused.value.problems] == [
        ("percents[0]", "-0.000001 is out of bounds", "write 0 to 100 %"),
        ("percents[1]", "100.000001 is out of bounds", "write 0 to 100 %"),
        ("percents[3]", "0.000007 is there twice", "write it once"),
        ("units[0]", "100000000000.000001 is out of bounds", "write 0 to 100,000,000,000"),
        ("percents", "15 thresholds are too many", "write 10 of a balance at most"),
    ]


# What setting them raises


class Set(Told):
    """A tenant whose thresholds are set by whatever name."""

    def of_visitors(self, changes: Changes) -> list[Alert]:
        """What changes raise of the visitors."""
        own = [alert for alert in changes.alerts if alert.balance_id == self.visitors]
        self.heard += own
        return own

    def of(self, changes: Changes) -> list[str]:
        return [alert.kind.name for alert in self.of_visitors(changes)]


def begun(**of_visitors: Any) -> Set:
    return Set(Tenant(of(**of_visitors)))


def set_to(of_whom: Set, own: Sequence[Threshold] | None, now: int = NOON) -> list[Alert]:
    """Set other thresholds of the visitors; what is raised."""
    before = of_whom.tenant.terms
    after = replace(before, thresholds={of_whom.visitors: watched(own)})
    of_whom.load(now)
    of_whom.tenant.state.action = f"edit {now}"
    changes = edit(before, after, of_whom.tenant.state, of_whom.visitors, now)
    of_whom.tenant.state.action = ""
    of_whom.tenant.terms = after
    return of_whom.of_visitors(changes)


def words(raised: Sequence[Alert]) -> list[tuple[str, int]]:
    return [(alert.kind.name, alert.threshold) for alert in raised]


def test_an_edit_is_a_movement() -> None:
    """AL-4: what it brings about is raised now, once, under a cause of its own."""
    low = begun()
    low.visits(70)
    assert words(low.heard) == [("THRESHOLD", 40 * UNIT)]
    raised = set_to(low, percents(50, 20))
    assert words(raised) == [("THRESHOLD", 50 * UNIT), ("RECOVERED", 40 * UNIT)]
    assert {(each.cause, each.cause_id) for each in raised} == {
        (AlertCause.THRESHOLDS, f"edit {NOON}")
    }
    assert {(each.remaining, each.base, each.at) for each in raised} == {
        (30 * UNIT, 100 * UNIT, NOON)
    }
    assert set_to(low, percents(50, 20)) == []
    assert low.tenant.state.below == {(low.visitors, percents(50)[0])}
    # One below what is left waits for its crossing.
    assert low.visits(10) == []
    assert low.visits(1) == ["THRESHOLD"]
    assert set_to(low, None)[0].kind is AlertKind.THRESHOLD


def test_thresholds_may_be_units_that_stand_among_percentages() -> None:
    """AL-1, AL-3: in the order in which a debit passes them."""
    low = begun()
    assert set_to(low, (*percents(50, 10), *units(30))) == []
    passed = [(each.measure, each.threshold) for each in debit(low, 95)]
    assert passed == [*percents(50), *units(30), *percents(10)]


def debit(low: Set, amount: int) -> list[Alert]:
    low.load(NOON)
    _, changes = adjust(
        low.tenant.terms, low.tenant.state, low.visitors, -amount * UNIT, None, NOON
    )
    return low.of_visitors(changes)


def test_zero_cannot_be_taken_away() -> None:
    """AL-1: EXHAUSTED is told whatever is set, and is not told again by an edit."""
    low = begun()
    set_to(low, ())
    assert [each.kind for each in debit(low, 100)] == [AlertKind.EXHAUSTED]
    assert words(set_to(low, units(1))) == [("THRESHOLD", UNIT)]
    assert (low.visitors, ZERO) in (low.tenant.state.below or ())


def test_a_percentage_of_nothing_is_kept_where_it_is_watched_for() -> None:
    """AL-1: nothing can be said of it, so nothing is."""
    low = begun(allowance="0")
    low.tenant.state.below = {(low.visitors, percents(30)[0]), (low.visitors, ZERO)}
    assert set_to(low, percents(30, 10)) == []
    assert (low.visitors, percents(30)[0]) in low.tenant.state.below


def test_nothing_is_told_of_what_was_never_there() -> None:
    """AL-2: an edit crosses nothing there; the first that comes is told of."""
    low = begun(allowance="0")
    assert set_to(low, units(10)) == []
    assert low.top_up(5) == ["THRESHOLD"]


# Whatever comes in whatever order


@dataclass
class Model:
    """A balance in whole units, and which of what it is watched for it is below."""

    allowance: int
    left: int = 0
    bought: int = 0
    owed: int = 0
    came: int = 0
    lines: set[Threshold] = field(default_factory=lambda: set(DEFAULTS))
    below: set[Threshold] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = self.allowance

    def take(self, amount: int) -> None:
        for name in ("left", "bought"):
            share = min(getattr(self, name), amount)
            setattr(self, name, getattr(self, name) - share)
            amount -= share
        self.owed += amount

    def come(self, amount: int) -> None:
        paid = min(self.owed, amount)
        self.owed -= paid
        self.bought += amount - paid

    def look(self, *, reset: bool = False, edit: bool = False) -> set[tuple[str, Threshold]]:
        """What has to be told, each once."""
        remains = self.left if self.allowance else self.bought - self.owed
        base = self.allowance or self.came
        whole = self.left + self.bought - self.owed
        if (reset or edit) and not (base or whole or self.below):
            return set()
        gone = self.below - self.lines - {OWED}
        told = {("up", each) for each in gone}
        self.below -= gone
        for each in (*self.lines, OWED):
            if each == OWED:
                is_so = whole < 0
            elif each == ZERO:
                is_so = remains <= 0
            elif each.measure is Measure.UNITS:
                is_so = remains * UNIT < each.value
            elif base:
                is_so = remains * 100 * UNIT < base * each.value
            else:
                continue
            if is_so and (reset or each not in self.below):
                told.add(("down", each))
                self.below.add(each)
            elif not is_so and each in self.below:
                told.add(("up", each))
                self.below.discard(each)
        return told


LISTS = st.one_of(
    st.none(),
    st.tuples(
        st.lists(st.sampled_from([5, 20, 40, 50, 99.5, 100]), unique=True, max_size=3),
        st.lists(st.sampled_from([1, 3, 9, 0.5]), unique=True, max_size=2),
    ).map(lambda both: (*percents(*both[0]), *units(*both[1]))),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["visits", "take", "give", "top up", "refund", "month"]),
                  st.integers(1, 9)),
        st.tuples(st.just("set"), LISTS),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.sampled_from([0, 1, 7, 10]), STEPS)
def test_each_crossing_is_told_once(allowance: int, steps: list[tuple[str, object]]) -> None:
    """AL-2 to AL-4: debits, top-ups, resets, refunds, adjustments and edits, as a model says."""
    low, model, month = begun(allowance=str(allowance)), Model(allowance), START
    terms = low.tenant.terms
    low.advance(START)
    low.heard.clear()
    bought: list[Lot] = []
    for n, (step, what) in enumerate(steps):
        span = period(terms.zone, month)
        now = span.start + (n + 1) * MINUTE
        heard = len(low.heard)
        expected: list[tuple[str, Threshold]] = []
        amount = what if isinstance(what, int) else 0
        match step:
            case "visits":
                low.visits(amount, now)
                for _ in range(amount):
                    model.take(1)
                    expected += sorted(model.look())
            case "take":
                low.adjust(-amount, now)
                model.take(amount)
                expected += model.look()
            case "give":
                low.load(now)
                _, changes = adjust(
                    low.tenant.terms, low.tenant.state, low.visitors, amount * UNIT, span.end, now
                )
                low.of_visitors(changes)
                model.come(amount)
                expected += model.look()
            case "top up":
                low.load(now)
                lot, changes = top_up(
                    low.tenant.terms, low.tenant.state, low.visitors, amount * UNIT,
                    LotSource.TOP_UP, now, span.end, now,
                )  # fmt: skip
                low.of_visitors(changes)
                bought.append(lot)
                model.come(amount)
                model.came += amount
                expected += model.look()
            case "refund":
                if not bought or bought[-1].remaining <= 0:
                    continue
                low.load(now)
                left = bought.pop()
                model.bought -= left.remaining // UNIT
                back = refund_top_up(low.tenant.terms, low.tenant.state, left, None, now)
                low.of_visitors(back.changes)
                expected += model.look()
            case "month":
                month = span.end
                bought.clear()
                low.advance(month)
                model = replace(
                    model, left=model.allowance, bought=0, owed=0, came=0,
                    lines=model.lines, below=model.below,
                )  # fmt: skip
                expected += model.look(reset=True)
            case _:
                own = what if isinstance(what, tuple) else None
                set_to(low, own, now)
                model.lines = set(watched(own))
                expected += model.look(edit=True)
        found = [_said(alert) for alert in low.heard[heard:]]
        assert sorted(found) == sorted(expected), (n, step, what)
        assert low.tenant.state.below is not None
        own_marks = {mark for of_whom, mark in low.tenant.state.below if of_whom == low.visitors}
        assert own_marks == model.below
        marks = set[tuple[int, Threshold]]()
        fold(marks, low.heard)
        assert {mark for _, mark in marks} == model.below


def _said(alert: Alert) -> tuple[str, Threshold]:
    way = "up" if alert.kind is AlertKind.RECOVERED else "down"
    return way, Threshold(alert.measure, alert.threshold)
