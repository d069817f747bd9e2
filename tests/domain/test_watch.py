"""Thresholds, crossings and what is raised, with the rule book's numbers (AL-1 to AL-3, AL-5)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.adjustments import adjust
from domain.changing import book, set_allowance
from domain.facts import Type
from domain.fold import rate_kept
from domain.lots import LotSource
from domain.periods import DAY, HOUR, MINUTE, period
from domain.plans import PlanError, parse_plan
from domain.refunds import refund_charge, refund_top_up
from domain.settle import Corrections, watch
from domain.state import Changes
from domain.terms import Terms
from domain.top_ups import top_up
from domain.watch import (
    ALL,
    DEFAULTS,
    OWED,
    Alert,
    AlertCause,
    AlertKind,
    Mark,
    Measure,
    Threshold,
    fold,
    level,
)
from tests.domain.spine import BOOKS, UNIT, Tenant, at, fact, received, sample, terms_of

START = at("2026-11-01 00:00")
NOON = at("2026-11-10 12:00")
DECEMBER = at("2026-12-01 00:00")
LOW, ZERO = DEFAULTS
TWENTY = Threshold(Measure.PERCENT, 20 * UNIT)

people = count(1)


def of(*, watched: Sequence[Threshold] = DEFAULTS, **of_visitors: Any) -> Terms:
    """Terms whose visitors are as said: 100 a month, unless `allowance` says otherwise."""
    balances = deepcopy(sample("plan-omnichannel-idr")["balances"])
    for balance in balances:
        if balance["balance"] == "visitors":
            balance |= {"allowance": "100"} | of_visitors
    terms = terms_of(balances=balances)
    return replace(terms, thresholds={terms.balance_ids["visitors"]: tuple(watched)})


@dataclass
class Told:
    """A tenant, and what is raised of its visitors."""

    tenant: Tenant
    heard: list[Alert] = field(default_factory=list)

    @property
    def visitors(self) -> int:
        return self.tenant.terms.balance_ids["visitors"]

    def load(self, now: int) -> None:
        """Tell the use before the month from the use within it, as loading does."""
        state, span = self.tenant.state, period(self.tenant.terms.zone, now)
        if state.period not in (None, span):
            for lot in (lot for lots in state.lots.values() for lot in lots):
                lot.used_before, lot.used_within = lot.used_before + lot.used_within, 0
                lot.moved_before, lot.moved_within = lot.moved_before + lot.moved_within, 0
            state.room.clear()
        state.period = span

    def of(self, changes: Changes) -> list[str]:
        """What changes raise of the visitors, in a word each."""
        own = [alert for alert in changes.alerts if alert.balance_id == self.visitors]
        self.heard += own
        return [said(alert) for alert in own]

    def visits(self, number: int, when: int = NOON, *, now: int | None = None) -> list[str]:
        """So many new contacts write, in one commit."""
        told = len(self.tenant.commits)
        self.load(when if now is None else now)
        facts = [received(when, f"62811{next(people):08d}") for _ in range(number)]
        self.tenant.commit(facts, now=now)
        return self.of(self.tenant.commits[told])

    def adjust(self, amount: int | str, now: int = NOON) -> list[str]:
        """Add, or take, in whole units or as a decimal."""
        self.load(now)
        micros = round(float(amount) * UNIT)
        _, changes = adjust(self.tenant.terms, self.tenant.state, self.visitors, micros, None, now)
        return self.of(changes)

    def top_up(
        self, amount: int, now: int = NOON, *, starts_at: int | None = None, until: int = DECEMBER
    ) -> list[str]:
        self.load(now)
        _, changes = top_up(
            self.tenant.terms, self.tenant.state, self.visitors, amount * UNIT, LotSource.TOP_UP,
            starts_at or now, until, now,
        )  # fmt: skip
        return self.of(changes)

    def advance(self, now: int) -> list[str]:
        self.load(now)
        return self.of(self.tenant.advance(now))


def said(alert: Alert) -> str:
    """An alert in a word: `low`, `20`, `zero`, `owed`, or `+` where it is back there."""
    names = {LOW: "low", TWENTY: "20", ZERO: "zero", OWED: "owed"}
    name = names[Threshold(alert.measure, alert.threshold)]
    kinds = {"zero": AlertKind.EXHAUSTED, "owed": AlertKind.OVERDRAWN}
    if alert.kind is AlertKind.RECOVERED:
        return f"+{name}"
    assert alert.kind is kinds.get(name, AlertKind.THRESHOLD)
    return name


def told(terms: Terms | None = None) -> Told:
    """A tenant of 100 visitors in the middle of its month."""
    return Told(Tenant(terms or of()))


# What is compared (AL-1)


@pytest.mark.parametrize(
    ("threshold", "base", "least"),
    [
        (LOW, 100 * UNIT, 40 * UNIT),
        (LOW, 1, 1),  # a base of a millionth: 0 of it is below, all of it is not
        (LOW, 3, 2),  # 1.2 of 3: 1 is below, 2 is not
        (LOW, 0, None),
        (LOW, -5, None),
        (ZERO, 0, 1),
        (ZERO, 100 * UNIT, 1),
        (Threshold(Measure.PERCENT, ALL // 3), 3 * UNIT, 999_999 + 1),  # 33.333333 %
        (Threshold(Measure.UNITS, 25 * UNIT), 100 * UNIT, 25 * UNIT),
        (Threshold(Measure.UNITS, 25 * UNIT), 0, 25 * UNIT),
        (Threshold(Measure.UNITS, 0), 0, 1),
    ],
)
def test_the_least_that_is_not_below_a_threshold(
    threshold: Threshold, base: int, least: int | None
) -> None:
    """AL-1: strict below in exact integers; zero is reached at zero."""
    assert level(threshold, base) == least


@given(st.integers(0, ALL), st.integers(1, 10**15), st.integers(-(10**15), 10**15))
def test_a_level_says_what_the_fractions_say(value: int, base: int, remains: int) -> None:
    """AL-1: compared exactly, never rounded."""
    below = remains <= 0 if value == 0 else remains * ALL < value * base
    assert (remains < (level(Threshold(Measure.PERCENT, value), base) or 0)) is below


def test_forty_percent_is_not_below_forty_percent() -> None:
    """AL-1: at 40.000 % nothing, at 39.999 % an alert."""
    low = told(of(allowance="100000"))
    assert low.adjust(-60_000) == []
    assert low.adjust(-1) == ["low"]
    (alert,) = low.heard
    assert (alert.remaining, alert.base) == (39_999 * UNIT, 100_000 * UNIT)
    assert alert == Alert(
        low.visitors, AlertKind.THRESHOLD, *LOW, 39_999 * UNIT, 100_000 * UNIT, NOON,
        AlertCause.ADJUSTMENT, alert.cause_id,
    )  # fmt: skip


def test_zero_is_reached() -> None:
    """AL-1: the last unit exhausts; one more overdraws."""
    low = told(of(allowance="3"))
    assert low.visits(2) == ["low"]
    assert low.visits(1) == ["zero"]
    assert low.visits(1) == ["owed"]
    assert low.visits(5) == []


def test_the_base_is_the_allowance_whatever_was_bought() -> None:
    """AL-1: top-ups are no part of a base that is an allowance; they keep it from being owed."""
    low = told()
    assert low.top_up(1_000) == []
    assert low.visits(60) == []
    assert low.visits(1) == ["low"]
    assert low.visits(39) == ["zero"]
    assert low.visits(1_000) == []
    assert low.visits(1) == ["owed"]


def test_without_an_allowance_what_was_bought_is_the_base() -> None:
    """AL-1: carried in and topped up."""
    low = told(of(allowance="0"))
    assert low.top_up(100, until=DECEMBER + 30 * DAY) == []
    assert low.visits(60) == []
    assert low.visits(1) == ["low"]
    # 39 are carried in: all of them are there.
    assert low.advance(DECEMBER) == ["+low"]
    assert (low.heard[-1].remaining, low.heard[-1].base) == (39 * UNIT, 39 * UNIT)
    assert low.visits(23, DECEMBER + DAY) == []
    assert low.visits(1, DECEMBER + DAY) == ["low"]
    # 15 of 39 and 11 more: 26 of 50.
    assert low.top_up(11, DECEMBER + DAY, until=DECEMBER + 30 * DAY) == ["+low"]
    assert (low.heard[-1].remaining, low.heard[-1].base) == (26 * UNIT, 50 * UNIT)


def test_the_base_may_be_all_that_came_in() -> None:
    """AL-1: a setting of the balance: allowance, carried in and topped up together."""
    low = told(of(alert_base="all"))
    low.top_up(100)
    assert low.visits(120) == []
    assert low.visits(1) == ["low"]
    assert (low.heard[-1].remaining, low.heard[-1].base) == (79 * UNIT, 200 * UNIT)
    assert low.visits(79) == ["zero"]
    assert low.visits(1) == ["owed"]


def test_a_plan_says_what_the_base_is() -> None:
    document = sample("plan-omnichannel-idr")
    assert {each.alert_base for each in parse_plan(document, BOOKS[document["book"]]).balances} == {
        "allowance"
    }
    document["balances"][0]["alert_base"] = "allowances"
    with pytest.raises(PlanError, match="alert_base"):
        parse_plan(document, BOOKS[document["book"]])


def test_a_credit_limit_is_not_owed() -> None:
    """AL-1, BA-5: OVERDRAWN is what is owed beyond the limit."""
    low = told(of(allowance="1", credit_limit="2"))
    assert low.visits(1) == ["low", "zero"]
    assert low.visits(2) == []
    assert low.visits(1) == ["owed"]
    assert low.heard[-1].remaining == -3 * UNIT


def test_thresholds_may_be_of_units() -> None:
    """AL-1: in percent or units."""
    few = Threshold(Measure.UNITS, 25 * UNIT)
    low = told(of(watched=(*DEFAULTS, few)))
    changes = low.tenant.commits
    low.tenant.commit([received(NOON, f"62812{n:08d}") for n in range(75)])
    assert [alert.threshold for alert in changes[-1].alerts] == [LOW.value]
    low.tenant.commit([received(NOON, "6281300000001")])
    (alert,) = changes[-1].alerts
    assert (alert.measure, alert.threshold, alert.remaining) == (
        Measure.UNITS, 25 * UNIT, 24 * UNIT
    )  # fmt: skip


# Crossings (AL-2, AL-3)


def test_an_alert_is_raised_on_the_crossing_and_again_when_it_was_back() -> None:
    """AL-2: 41, 39, 38, 45, 39 gives: low, recovered, low."""
    low = told(of(allowance="0"))
    low.top_up(100)
    steps = [low.adjust(amount) for amount in (-59, -2, -1, 7, -6)]
    assert steps == [[], ["low"], [], ["+low"], ["low"]]


def test_it_is_back_at_the_threshold_and_above_zero() -> None:
    """AL-2: re-armed at 40 %, and not at 39.999999 %; of zero only above it."""
    low = told(of(allowance="0"))
    low.top_up(100)
    assert low.adjust(-100) == ["low", "zero"]
    assert low.adjust("0.000001") == ["+zero"]
    assert low.adjust("39.999998") == []
    assert low.adjust("0.000001") == ["+low"]


def test_one_debit_may_pass_several_thresholds() -> None:
    """AL-3: 40, 20 and 0 are three alerts with one cause, and so is their coming back."""
    low = told(of(allowance="0", watched=(ZERO, LOW, TWENTY)))
    low.top_up(100)
    assert low.adjust(-101) == ["low", "20", "zero", "owed"]
    assert low.adjust(101) == ["+owed", "+zero", "+20", "+low"]
    causes = [(alert.cause, alert.cause_id) for alert in low.heard]
    assert len(set(causes)) == 1


def test_facts_and_other_movements_have_causes_of_their_own() -> None:
    """AL-3: what one fact passes has its key, however many facts came with it."""
    low = told(of(allowance="2", watched=(LOW, TWENTY, ZERO)))
    facts = [received(NOON + n, f"62812{n:08d}") for n in range(3)]
    low.tenant.commit(facts)
    low.of(low.tenant.commits[-1])
    by_fact = [(said(alert), alert.cause_id, alert.at) for alert in low.heard]
    assert by_fact == [
        ("low", facts[1].key.hex(), NOON + 1), ("20", facts[1].key.hex(), NOON + 1),
        ("zero", facts[1].key.hex(), NOON + 1), ("owed", facts[2].key.hex(), NOON + 2),
    ]  # fmt: skip
    low.tenant.state.action = "paid"
    assert low.top_up(10) == ["+owed"]
    assert (low.heard[-1].cause, low.heard[-1].cause_id) == (AlertCause.TOP_UP, "paid")


def test_a_reset_decides_afresh() -> None:
    """AL-2: what is full again has recovered, by the reset."""
    low = told()
    assert low.visits(100) == ["low", "zero"]
    assert low.advance(DECEMBER - 1) == []
    assert low.advance(DECEMBER) == ["+zero", "+low"]
    assert {(alert.cause, alert.at) for alert in low.heard[2:]} == {(AlertCause.RESET, DECEMBER)}
    assert len({alert.cause_id for alert in low.heard[2:]}) == 1
    assert low.visits(61, DECEMBER + DAY) == ["low"]


def test_what_is_still_below_at_a_reset_is_told_once_more() -> None:
    """AL-2: still below, one more alert."""
    low = told(of(allowance="0"))
    low.top_up(10)
    assert low.visits(10) == ["low", "zero"]
    # Nothing is carried in: of nothing there is no percentage.
    assert low.advance(DECEMBER) == ["zero"]
    assert low.top_up(10, DECEMBER + DAY, until=DECEMBER + 9 * DAY) == ["+zero", "+low"]


def test_what_a_reset_pays_off_is_gone() -> None:
    """AL-2, BA-5: an allowance that fills what was owed is below again, at once."""
    balances = deepcopy(sample("plan-omnichannel-idr")["balances"])
    for balance in balances:
        if balance["balance"] == "whatsapp":
            balance["allowance"] = "350000"
    tenant = Tenant(terms_of(balances=balances))
    whatsapp = tenant.terms.balance_ids["whatsapp"]
    _, changes = adjust(tenant.terms, tenant.state, whatsapp, -850_000 * UNIT, None, NOON)
    assert [said(alert) for alert in changes.alerts] == ["low", "zero", "owed"]
    reset = tenant.advance(DECEMBER).alerts
    assert [said(alert) for alert in reset if alert.balance_id == whatsapp] == [
        "low", "zero", "owed"
    ]  # fmt: skip
    assert {alert.remaining for alert in reset} == {0, -150_000 * UNIT}
    after = tenant.advance(period(tenant.terms.zone, DECEMBER).end).alerts
    assert [said(alert) for alert in after] == ["+owed", "+zero", "+low"]


def test_a_reset_that_is_booked_late_decides_the_same() -> None:
    """AL-2, TZ-4: by the first fact of the month, before it."""
    low = told()
    low.visits(100)
    assert low.visits(61, DECEMBER + 5 * DAY) == ["+zero", "+low", "low"]
    assert [alert.at for alert in low.heard[2:]] == [DECEMBER, DECEMBER, DECEMBER + 5 * DAY]


def test_of_resets_that_nobody_looked_at_the_present_one_decides() -> None:
    """AL-2, TZ-7: what happened in a month that is over raises nothing."""
    low = told()
    low.visits(100)
    assert low.advance(at("2027-03-09 10:00")) == ["+zero", "+low"]
    assert {alert.at for alert in low.heard[2:]} == {at("2027-03-01 00:00")}


def test_nothing_is_told_of_what_was_never_there() -> None:
    """AL-2: a balance without an allowance that nobody used is no news each month."""
    tenant = Tenant()
    tenant.commit([received(NOON)])
    assert tenant.advance(DECEMBER).alerts == []
    assert tenant.advance(at("2027-01-01 00:00")).alerts == []


# Movements of other kinds


def test_lots_that_begin_and_end_are_movements() -> None:
    """AL-2, AL-4: each at its own instant, however late it is booked."""
    low = told(of(allowance="0"))
    low.top_up(10, until=NOON + DAY)
    low.top_up(90, starts_at=NOON + 2 * DAY)
    assert low.heard == []
    assert low.advance(NOON + 3 * DAY) == ["low", "zero", "+zero", "+low"]
    assert [(alert.cause, alert.at) for alert in low.heard] == [
        *[(AlertCause.TIME, NOON + DAY)] * 2, *[(AlertCause.TIME, NOON + 2 * DAY)] * 2
    ]  # fmt: skip
    assert low.heard[0].base == 10 * UNIT, "what ended was topped up all the same"
    assert low.heard[-1].base == 100 * UNIT


def test_refunds_are_movements() -> None:
    """AL-2, AL-4: of a charge, to the allowance that paid; of a top-up, away from it."""
    low = told(of(allowance="5"))
    assert low.visits(4) == ["low"]
    tenant = low.tenant
    (lot,) = tenant.lots("visitors")
    refunded = refund_charge(
        tenant.terms, tenant.state, low.visitors, [(lot.lot_id, UNIT)], before=0, amount=None,
        paid_off={}, now=NOON,
    )  # fmt: skip
    assert low.of(refunded.changes) == ["+low"]
    assert low.heard[-1].cause is AlertCause.REFUND

    bought = told(of(allowance="0"))
    bought.top_up(10)
    (lot,) = bought.tenant.lots("visitors")
    back = refund_top_up(bought.tenant.terms, bought.tenant.state, lot, 7 * UNIT, NOON)
    assert bought.of(back.changes) == ["low"]


def test_more_of_an_allowance_is_a_movement() -> None:
    """AL-2, AL-4: an upgrade adds to what remains and to the base."""
    low = told()
    assert low.visits(70) == ["low"]
    tenant = low.tenant
    decided = set_allowance(tenant.terms.standing, "visitors", 200 * UNIT, START, NOON)
    after = tenant.terms.dated(decided.standing, {tenant.terms.book.key: tenant.terms.book})
    after = replace(after, thresholds=tenant.terms.thresholds)
    changes = book(tenant.terms, after, tenant.state, decided.targets, NOON)
    assert low.of(changes) == ["+low"]
    assert low.heard[-1].cause is AlertCause.PLAN
    assert (low.heard[-1].remaining, low.heard[-1].base) == (130 * UNIT, 200 * UNIT)


def test_what_is_rated_later_is_a_movement() -> None:
    """AL-4, EV-7: it is drawn when its rate has come."""
    low = told(of(allowance="2"))
    low.visits(1)
    tenant = low.tenant
    one = fact(NOON, Type.MESSAGE_RECEIVED, "6281399999999")
    changes = rate_kept(tenant.terms, tenant.state, [(one, 0, 0)], NOON)
    assert low.of(changes) == ["low", "zero"]
    assert {(alert.cause, alert.cause_id) for alert in low.heard} == {
        (AlertCause.RATED, one.key.hex())
    }


def test_a_settling_is_one_movement() -> None:
    """AL-5: the net of a balance, at the moment of posting."""
    low = told(of(allowance="10"))
    assert low.visits(5) == []
    tenant = low.tenant
    (lot,) = tenant.lots("visitors")
    lot = deepcopy(lot)
    lot.used += 4 * UNIT
    changes = Changes(tenant.terms, tenant.state, 5)
    day = tenant.terms.zone.day(NOON).start
    watch(changes, Corrections(lots=[lot], lot_days={(lot.lot_id, day): [4 * UNIT, 0]}), NOON + 9)
    assert low.of(changes) == ["low"]
    (alert,) = changes.alerts
    assert (alert.cause, alert.at, alert.remaining) == (AlertCause.SETTLED, NOON + 9, UNIT)


def test_settled_days_of_former_months_are_of_the_opening() -> None:
    """AL-1, AL-5: what was used before the period is less carried in, and no part of the base."""
    low = told(of(allowance="0"))
    low.top_up(100, until=DECEMBER + 30 * DAY)
    low.visits(10)
    assert low.advance(DECEMBER) == []
    assert low.visits(45, DECEMBER + DAY) == []  # 45 of 90
    tenant = low.tenant
    (lot,) = tenant.lots("visitors", LotSource.TOP_UP)
    lot = deepcopy(lot)
    lot.used += 16 * UNIT
    changes = Changes(tenant.terms, tenant.state, 5)
    days = {(lot.lot_id, tenant.terms.zone.day(NOON).start): [16 * UNIT, 0]}
    watch(changes, Corrections(lots=[lot], lot_days=days), DECEMBER + 2 * DAY)
    assert low.of(changes) == ["low"]
    assert (low.heard[0].remaining, low.heard[0].base) == (29 * UNIT, 74 * UNIT)


def test_what_is_dated_in_a_month_that_is_over_raises_nothing() -> None:
    """TZ-7, AL-5: the next movement of the present finds what it did."""
    low = told(of(allowance="0"))
    low.top_up(10, until=DECEMBER + 30 * DAY)
    low.advance(DECEMBER)
    assert low.visits(9, DECEMBER - HOUR, now=DECEMBER + HOUR) == []
    assert low.visits(1, DECEMBER + 2 * HOUR) == ["low", "zero"]


def test_nothing_is_raised_where_nobody_watches() -> None:
    """AL-5, EV-9: what is folded again raises nothing."""
    low = told(of(allowance="3"))
    low.tenant.state.below = None
    assert (low.visits(9), low.top_up(4), low.advance(DECEMBER)) == ([], [], [])


def test_marks_are_what_alerts_say() -> None:
    low = told(of(allowance="3"))
    low.visits(9)
    low.top_up(20)
    marks: set[Mark] = set()
    fold(marks, low.heard)
    assert marks == low.tenant.state.below
    assert marks


# Whatever comes in whatever order


@dataclass
class Oracle:
    """What a balance of units holds, in whole units, and which thresholds it is below.

    Its own arithmetic: an allowance, what was bought for the month, what is owed.
    """

    allowance: int
    left: int = 0
    bought: int = 0
    topped_up: int = 0
    owed: int = 0
    below: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = self.allowance

    def take(self, amount: int) -> None:
        for name in ("left", "bought"):
            share = min(getattr(self, name), amount)
            setattr(self, name, getattr(self, name) - share)
            amount -= share
        self.owed += amount

    def buy(self, amount: int) -> None:
        paid = min(self.owed, amount)
        self.owed -= paid
        self.bought += amount - paid
        self.topped_up += amount

    def reset(self) -> None:
        self.left, self.bought, self.topped_up, self.owed = self.allowance, 0, 0, 0

    def look(self, *, reset: bool = False) -> list[str]:
        remains = self.left if self.allowance else self.bought - self.owed
        base = self.allowance or self.topped_up
        whole = self.left + self.bought - self.owed
        if reset and not (base or whole or self.below):
            return []
        is_below = {"low": remains * 100 < base * 40, "zero": remains <= 0, "owed": whole < 0}
        if not base:
            del is_below["low"]
        down = [name for name, is_so in is_below.items() if is_so]
        down = [name for name in down if reset or name not in self.below]
        up = [name for name, is_so in is_below.items() if not is_so and name in self.below]
        self.below |= set(down)
        self.below -= set(up)
        return [*down, *(f"+{name}" for name in reversed(up))]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("visits"), st.integers(1, 6)),
        st.tuples(st.just("take"), st.integers(1, 12)),
        st.tuples(st.just("top up"), st.integers(1, 15)),
        st.tuples(st.just("month"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([0, 1, 7, 10]), STEPS)
def test_each_crossing_is_told_once(allowance: int, steps: list[tuple[str, int]]) -> None:
    """AL-2, AL-3, AL-5: per fact and not per batch, in any order, as the oracle counts."""
    low, oracle, month = told(of(allowance=str(allowance))), Oracle(allowance), START
    terms = low.tenant.terms
    low.advance(START)  # from here on it is due at each month's start
    for n, (step, amount) in enumerate(steps):
        span = period(terms.zone, month)
        now = span.start + (n + 1) * MINUTE
        expected: list[str] = []
        if step == "visits":
            found = low.visits(amount, now)
            for _ in range(amount):
                oracle.take(1)
                expected += oracle.look()
        elif step == "take":
            found = low.adjust(-amount, now)
            oracle.take(amount)
            expected += oracle.look()
        elif step == "top up":
            found = low.top_up(amount, now, until=span.end)
            oracle.buy(amount)
            expected += oracle.look()
        else:
            month = span.end
            found = low.advance(month)
            oracle.reset()
            expected += oracle.look(reset=True)
        assert found == expected, (n, step, amount)
    for name in ("low", "zero", "owed"):
        own = [alert for alert in low.heard if said(alert).lstrip("+") == name]
        assert all(alert.kind is not AlertKind.RECOVERED for alert in own[:1])
        for before, alert in pairwise(own):
            # Only a reset tells once more what is still so.
            assert alert.cause is AlertCause.RESET or said(alert) != said(before)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 12), st.integers(0, 12),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
)  # fmt: skip
def test_it_does_not_matter_how_facts_come_together(
    allowance: int, bought: int, batches: list[int]
) -> None:
    """AL-5: decided per fact, not per batch."""
    facts = [received(NOON + n, f"62812{n:08d}") for n in range(sum(batches))]

    def arriving(sizes: Sequence[int]) -> list[Alert]:
        low = told(of(allowance=str(allowance)))
        low.top_up(bought + 1)
        low.heard.clear()
        rest = list(facts)
        for size in sizes:
            low.tenant.commit(rest[:size])
            del rest[:size]
            low.of(low.tenant.commits[-1])
        return low.heard

    assert arriving([len(facts)]) == arriving(batches) == arriving([1] * len(facts))
