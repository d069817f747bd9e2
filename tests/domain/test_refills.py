"""Refills: when a balance refills itself, by how much, what caps forbid (RF-1 to RF-3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import charge
from domain.periods import DAY, HOUR, zone
from domain.refill_policy import IDLE, Refilling, RefillPolicy, decide, refill_amount
from domain.refills import edit, give_up, look_again, pay
from domain.state import Changes
from domain.terms import Terms
from domain.watch import AlertKind
from tests.domain.spine import UNIT, at, received
from tests.domain.test_watch import DECEMBER, NOON, Told, of, told

JAKARTA = zone("Asia/Jakarta")
#: Packs of 500 at Rp 300,000: what one refill of visitors costs.
PACK, PRICE = 500 * UNIT, 300_000 * UNIT
MIDNIGHT = at("2026-11-11 00:00")

names = count(1)


def policy(minimum: int = 20, amount: int = 500, **caps: int) -> RefillPolicy:
    """In whole visitors; caps in rupiah."""
    told = {name: cap * UNIT for name, cap in caps.items()}
    return RefillPolicy(True, minimum * UNIT, amount * UNIT, **told)


def refilled(own: RefillPolicy | None, *, terms: Terms | None = None) -> Told:
    """A tenant of 100 visitors that is refilled, watched for nothing but zero."""
    found = terms or of(watched=())
    visitors = found.balance_ids["visitors"]
    return told(replace(found, refills={} if own is None else {visitors: own}))


class Refills:
    """What is told and decided of one tenant's visitors."""

    def __init__(self, own: RefillPolicy | None, *, terms: Terms | None = None) -> None:
        self.of = refilled(own, terms=terms)

    @property
    def known(self) -> Refilling:
        return self.of.tenant.state.refilling.get(self.of.visitors, IDLE)

    def said(self, changes: Changes) -> list[str]:
        """Alerts of refills in lower case, the units of those that begin behind them."""
        begun = [refill.amount // UNIT for refill in changes.refills]
        found = [
            AlertKind(alert.kind).name.lower().removeprefix("refill_")
            for alert in changes.alerts
            if alert.balance_id == self.of.visitors and alert.kind >= AlertKind.REFILL_STARTED
        ]
        return [f"{word} {begun.pop(0)}" if word == "started" else word for word in found]

    def visits(self, number: int, when: int = NOON, *, now: int | None = None) -> list[str]:
        """So many new contacts write, in one commit."""
        before = len(self.of.tenant.commits)
        self.of.load(when if now is None else now)
        facts = [received(when, f"62811{next(names):08d}") for _ in range(number)]
        self.of.tenant.commit(facts, now=now)
        return self.said(self.of.tenant.commits[before])

    def advance(self, now: int) -> list[str]:
        self.of.load(now)
        return self.said(self.of.tenant.advance(now))

    def pay(self, now: int = NOON, *, amount: int = 500, in_flight: bool = True) -> list[str]:
        tenant = self.of.tenant
        self.of.load(now)
        tenant.state.action = f"payment/{next(names)}"
        _, changes = pay(
            tenant.terms, tenant.state, self.of.visitors, amount * UNIT, DECEMBER, now,
            refill=True, in_flight=in_flight,
        )  # fmt: skip
        tenant.state.action = ""
        return self.said(changes)

    def set(self, own: RefillPolicy, now: int = NOON) -> list[str]:
        tenant = self.of.tenant
        self.of.load(now)
        after = replace(tenant.terms, refills={self.of.visitors: own})
        tenant.state.action = f"policy/{next(names)}"
        changes = edit(tenant.terms, after, tenant.state, self.of.visitors, now)
        tenant.terms, tenant.state.action = after, ""
        return self.said(changes)

    def give_up(self, now: int = NOON) -> list[str]:
        tenant = self.of.tenant
        self.of.load(now)
        off = tenant.terms.refills[self.of.visitors]._replace(enabled=False)
        after = replace(tenant.terms, refills={self.of.visitors: off})
        kinds = (AlertKind.REFILL_FAILED, AlertKind.REFILL_OFF)
        changes = give_up(
            tenant.terms, after, tenant.state, self.of.visitors, now, "payment/k", kinds
        )
        tenant.terms = after
        return self.said(changes)


# How much (RF-1)


@pytest.mark.parametrize(
    ("minimum", "amount", "whole", "refill"),
    [
        (20, 500, 20, 500),  # at the minimum already
        (20, 500, 0, 500),
        (20, 500, -480, 1_000),  # 500 would end at 20, which is not above it
        (20, 500, -479, 500),
        (20, 500, -1_000, 1_500),
        (0, 1, 0, 1),
        (0, 1, -7, 8),
        (-10, 5, -10, 5),
    ],
)
def test_one_charge_of_the_smallest_multiple_that_ends_above_the_minimum(
    minimum: int, amount: int, whole: int, refill: int
) -> None:
    """RF-1."""
    assert refill_amount(policy(minimum, amount), whole * UNIT) == refill * UNIT


@given(
    minimum=st.integers(-(10**6), 10**9), amount=st.integers(1, 10**9), below=st.integers(0, 10**12)
)
def test_a_refill_ends_above_the_minimum_and_one_fewer_would_not(
    minimum: int, amount: int, below: int
) -> None:
    """RF-1."""
    own = RefillPolicy(True, minimum, amount)
    refill = refill_amount(own, minimum - below)
    assert refill % amount == 0
    assert minimum - below + refill > minimum >= minimum - below + refill - amount


# When (RF-1, RF-2)


def test_the_fact_that_reaches_the_minimum_refills() -> None:
    """RF-1, AL-5: at or below, decided per fact; once while it is in flight."""
    tenant = Refills(policy())
    assert tenant.visits(79) == []
    assert tenant.visits(1) == ["started 500"]
    assert tenant.known[:2] == (PACK, PRICE)
    assert tenant.visits(30) == []  # RF-2: at most one in flight
    assert tenant.pay() == ["succeeded"]
    assert tenant.known == Refilling(began=NOON, day_spent=PRICE, month_spent=PRICE)
    assert tenant.visits(470) == ["started 500"]


def test_batches_decide_as_single_facts_do() -> None:
    """AL-5: 130 visits in one commit reach the minimum once, at the 80th."""
    tenant = Refills(policy())
    assert tenant.visits(130) == ["started 500"]
    alert = next(
        alert for alert in tenant.of.tenant.commits[-1].alerts
        if alert.kind is AlertKind.REFILL_STARTED
    )  # fmt: skip
    assert (alert.remaining, alert.threshold) == (20 * UNIT, 20 * UNIT)


def test_what_was_used_meanwhile_is_refilled_when_the_first_is_paid() -> None:
    """RF-1: remaining and refills in flight count together; the next begins with the payment."""
    tenant = Refills(policy())
    assert tenant.visits(80) == ["started 500"]
    assert tenant.visits(1_000) == []
    assert tenant.pay() == ["succeeded", "started 1000"]


def test_one_that_failed_is_off_and_a_late_payment_still_credits() -> None:
    """RF-2: off after the last decline; a paid refill always credits."""
    tenant = Refills(policy())
    tenant.visits(80)
    assert tenant.give_up(NOON + 29 * HOUR) == ["failed", "off"]
    assert tenant.known.in_flight == 0
    assert tenant.known.month_spent == 0  # what was not paid does not count to a cap
    assert tenant.visits(50, NOON + 30 * HOUR) == []
    assert tenant.pay(NOON + 31 * HOUR, in_flight=False) == ["succeeded"]


def test_a_suspended_tenant_is_not_refilled_and_is_once_it_is_served_again() -> None:
    """RF-2."""
    terms = replace(of(watched=()), suspended=True)
    tenant = Refills(policy(), terms=terms)
    assert tenant.visits(90) == []
    tenant.of.tenant.terms = replace(tenant.of.tenant.terms, suspended=False)
    changes = look_again(tenant.of.tenant.terms, tenant.of.tenant.state, NOON)
    assert tenant.said(changes) == ["started 500"]


def test_switched_on_below_its_minimum_it_is_refilled_at_once() -> None:
    tenant = Refills(None)
    assert tenant.visits(95) == []
    assert tenant.set(policy()._replace(enabled=False)) == []
    assert tenant.set(policy()) == ["started 500"]
    assert tenant.set(policy(minimum=50)) == []  # one is in flight


def test_a_balance_nothing_was_ever_in_is_refilled_too() -> None:
    terms = of(watched=(), allowance="0")
    tenant = Refills(None, terms=terms)
    assert tenant.set(policy(minimum=0)) == ["started 500"]


def test_a_new_period_decides_afresh() -> None:
    """AL-4: what lapses is a movement: 500 left over end with the month, 0 are allowed."""
    tenant = Refills(policy(), terms=of(watched=(), allowance="0"))
    assert tenant.visits(1) == ["started 500"]
    assert tenant.pay() == ["succeeded"]
    assert tenant.advance(DECEMBER) == ["started 500"]


def test_what_is_dated_in_a_month_that_is_over_refills_nothing() -> None:
    """TZ-7."""
    tenant = Refills(policy())
    assert tenant.visits(95, at("2026-10-30 12:00"), now=NOON) == []


# Caps (RF-2)


def test_a_cap_of_the_day_holds_until_midnight() -> None:
    """RF-2: where the amount would pass it nothing is charged, and it is said once."""
    tenant = Refills(policy(day_cap=300_000))
    assert tenant.visits(80) == ["started 500"]
    assert tenant.pay() == ["succeeded"]
    assert tenant.visits(500) == ["cap"]
    assert tenant.visits(7) == []
    assert tenant.known.capped_until == MIDNIGHT
    assert tenant.advance(MIDNIGHT - 1) == []
    assert tenant.advance(MIDNIGHT) == ["started 500"]


def test_a_cap_of_the_month_holds_until_the_next() -> None:
    """RF-2."""
    tenant = Refills(policy(month_cap=599_999))
    tenant.visits(80)
    tenant.pay()
    assert tenant.visits(500, NOON + 5 * DAY) == ["cap"]
    assert tenant.known.capped_until == DECEMBER


def test_a_cap_below_one_refill_forbids_all() -> None:
    tenant = Refills(policy(day_cap=299_999))
    assert tenant.visits(80) == ["cap"]
    assert tenant.advance(MIDNIGHT) == ["cap"]
    assert tenant.known == Refilling(capped_until=MIDNIGHT + DAY)


def test_another_policy_looks_at_a_cap_anew() -> None:
    tenant = Refills(policy(day_cap=300_000))
    tenant.visits(80)
    tenant.pay()
    assert tenant.visits(500) == ["cap"]
    assert tenant.set(policy(day_cap=600_000)) == ["started 500"]


@given(
    day_cap=st.integers(0, 40), month_cap=st.integers(0, 100),
    steps=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30), st.booleans()), max_size=60),
)  # fmt: skip
def test_caps_hold_whatever_is_used_paid_or_declined(
    day_cap: int, month_cap: int, steps: list[tuple[int, int, bool]]
) -> None:
    """RF-2: what was begun and did not fail in a local day, or month, is never above its cap."""
    own = RefillPolicy(True, 5 * UNIT, 7 * UNIT, day_cap * UNIT, month_cap * UNIT)
    now, whole, known = NOON, 20 * UNIT, IDLE
    spent: list[tuple[int, int]] = []
    for hours, used, paid in steps:
        now += hours * HOUR
        whole -= used * UNIT
        if whole <= own.minimum and not known.in_flight and now >= known.capped_until:
            amount, known = decide(
                own, known, whole, lambda units: charge(3 * 10**12, units * UNIT, 7 * UNIT),
                JAKARTA, now,
            )  # fmt: skip
            if amount:
                assert whole + amount > own.minimum
                spent.append((now, known.price))
        elif known.in_flight:
            whole += known.in_flight if paid else 0
            if not paid:
                spent.pop()
            known = known.ended(JAKARTA, now, paid=paid)
        days: dict[int, int] = {}
        months: dict[int, int] = {}
        for when, price in spent:
            day, month = JAKARTA.date(when), JAKARTA.month(when)
            days[day] = days.get(day, 0) + price
            months[month] = months.get(month, 0) + price
        assert max(days.values(), default=0) <= day_cap * UNIT
        assert max(months.values(), default=0) <= month_cap * UNIT
