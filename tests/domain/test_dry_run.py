"""Dry runs: what a refill policy would have charged, with the rule book's numbers (RF-1, RF-2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.dry_run import (
    Came,
    Charged,
    Kept,
    Line,
    Movement,
    Pot,
    Went,
    dry_run,
    movements,
    untouched,
)
from domain.ledger import (
    ADJUST,
    ALLOWANCE_PRIORITY,
    GRANT,
    LAPSE,
    PAY_OFF,
    REFUND,
    TAKE_BACK,
    TOP_UP,
    TOP_UP_PRIORITY,
    USE,
)
from domain.lots import LotSource
from domain.periods import DAY, HOUR, period, zone
from domain.refill_policy import RefillPolicy
from tests.domain.spine import UNIT, at, terms_of

JAKARTA = zone("Asia/Jakarta")
START, END = at("2026-11-01 00:00"), at("2026-12-01 00:00")
PRICE = 500  #: of one


def pot(*, of_units: bool = False, ends: Callable[[int], int | None] = lambda _: None) -> Pot:
    return Pot(zone=JAKARTA, ends=ends, of_units=of_units, price=lambda amount: amount * PRICE)


def policy(
    minimum: int, amount: int, day: int | None = None, month: int | None = None
) -> RefillPolicy:
    """In whole units and, of caps, in refills of one unit."""
    caps = [None if cap is None else cap * UNIT * PRICE for cap in (day, month)]
    return RefillPolicy(True, minimum * UNIT, amount * UNIT, *caps)


def day(number: int, hour: int = 0) -> int:
    return START + (number - 1) * DAY + hour * HOUR


def came(number: int, amount: int, until: int | None = None, **more: bool) -> Came:
    ends_at = None if until is None else day(until)
    return Came(day(number), amount * UNIT, ends_at, TOP_UP_PRIORITY, **more)


def went(number: int, amount: int, hour: int = 0) -> Went:
    return Went(day(number, hour), amount * UNIT)


#: What moves a balance, the policy, and what is charged: (day, hour, amount).
CASES: dict[str, tuple[Sequence[Movement], RefillPolicy, Sequence[tuple[int, int, int]]]] = {
    "above its minimum nothing is": ([came(1, 100), went(2, 89)], policy(10, 50), []),
    "at its minimum it is": ([came(1, 100), went(2, 90)], policy(10, 50), [(2, 0, 50)]),
    "below it too": ([came(1, 100), went(2, 95)], policy(10, 50), [(2, 0, 50)]),
    "each time": (
        [came(1, 100), went(2, 90), went(3, 49), went(4, 1)],
        policy(10, 50), [(2, 0, 50), (4, 0, 50)],
    ),
    "one charge of as many as it takes": (
        [came(1, 100), went(2, 250)], policy(10, 50), [(2, 0, 200)],
    ),
    "exactly at the minimum again is one more": (
        [came(1, 100), went(2, 140)], policy(10, 50), [(2, 0, 100)],
    ),
    "what is there at the start counts": ([came(1, 10)], policy(10, 50), [(1, 0, 50)]),
    "nothing was ever there": ([], policy(0, 50), [(1, 0, 50)]),
    "what comes in the same instant counts": (
        [came(1, 100), went(2, 95), came(2, 20)], policy(10, 50), [],
    ),
    "a lot that ends is a movement": (
        [came(1, 100, until=5), came(1, 5)], policy(10, 50), [(5, 0, 50)],
    ),
    "a reset comes before the look": (
        [came(1, 100, until=5), came(5, 100)], policy(10, 50), [],
    ),
    "what comes back counts": (
        [came(1, 100), went(2, 80), went(3, -30), went(4, 30)], policy(10, 50), [],
    ),
    "a cap of the day": (
        [came(1, 100), went(2, 90), went(2, 50, 1), went(3, 1, 1)],
        policy(10, 50, day=50), [(2, 0, 50), (3, 0, 50)],
    ),
    "a cap of the day is asked again the next day": (
        [came(1, 100), went(2, 90), went(2, 50, 1)], policy(10, 50, day=99),
        [(2, 0, 50), (3, 0, 50)],
    ),
    "a cap that one charge passes": ([came(1, 100), went(2, 95)], policy(10, 50, day=49), []),
    "a cap of the month": (
        [came(1, 100), went(2, 90), went(3, 50), went(4, 50)],
        policy(10, 50, month=149), [(2, 0, 50), (3, 0, 50)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_would_have_been_charged(name: str) -> None:
    """RF-1: at or below the minimum, the smallest multiple; RF-2: never beyond a cap."""
    moved, given_policy, expected = CASES[name]
    found = dry_run(given_policy, pot(), moved, START, END)
    charges = [Charged(day(d, h), n * UNIT, n * UNIT * PRICE) for d, h, n in expected]
    assert list(found.charges) == charges
    assert found.total == sum(n for *_, n in expected) * UNIT * PRICE


def test_it_says_when_a_cap_held_and_how_low_it_got() -> None:
    """RF-2: where the amount would pass a cap nothing is charged, and it is said once."""
    moved: list[Movement] = [
        came(1, 100),
        went(2, 90),
        went(2, 50, 1),
        went(2, 25, 2),
        went(3, 1, 1),
    ]
    found = dry_run(policy(10, 50, day=50), pot(), moved, START, END)
    assert [each.at for each in found.charges] == [day(2), day(3)]
    assert found.capped_at == (day(2, 1),)
    assert (found.lowest, found.lowest_at) == (-15 * UNIT, day(2, 2))


def test_what_refills_brought_ends_as_its_top_ups_do() -> None:
    """BA-4: without carry-over what is left of a refill is gone with its period."""
    ends = [START + 10 * DAY, START + 20 * DAY, END]
    own = pot(of_units=True, ends=lambda now: next(end for end in ends if end > now))
    found = dry_run(policy(0, 50), own, [came(1, 10, until=11), went(2, 10)], START, END)
    assert [(each.at, each.amount) for each in found.charges] == [
        (day(2), 50 * UNIT), (day(11), 50 * UNIT), (day(21), 50 * UNIT),
    ]  # fmt: skip


def test_what_units_owe_ends_with_its_period() -> None:
    """BA-11: a unit overdraft is no longer there in the next period, a money one is."""
    moved: list[Movement] = [came(1, 10), went(2, 40), Went(END + DAY, 5 * UNIT)]
    for of_units, charges in ((True, 0), (False, 1)):
        found = dry_run(policy(-31, 50), pot(of_units=of_units), moved, START, END + 2 * DAY)
        assert len(found.charges) == charges


def test_what_it_owed_is_paid_off_first() -> None:
    """BA-5: every later credit pays off what is owed, promotions only where the plan says so."""
    ends = went(2, 0)
    for pays_off, left in ((True, 20), (False, -30)):
        # The lot ends: what it filled of what was owed stays filled.
        moved: list[Movement] = [came(1, 50, until=2, pays_off=pays_off), ends]
        found = dry_run(policy(-100, 50), pot(), moved, START, END, owed=30 * UNIT)
        assert found.charges == ()
        assert found.lowest == min(left, 0) * UNIT


# The books


def kept(lot_id: int, source: LotSource, left: int, **more: int | bool | None) -> Kept:
    start, end = more.get("starts_at", START - DAY), more.get("ends_at")
    priority = ALLOWANCE_PRIORITY if source is LotSource.ALLOWANCE else TOP_UP_PRIORITY
    return Kept(
        lot_id, source, priority, int(start or 0), end, left * UNIT, bool(more.get("of_refill"))
    )


def line(number: int, debit: int | None, credit: int | None, amount: int, cause: int) -> Line:
    return Line(day(number), debit, credit, amount * UNIT, cause)


ALLOWANCE, BOUGHT, REFILLED, OWED, GIVEN = 1, 2, 3, 4, 5
LOTS = [
    kept(ALLOWANCE, LotSource.ALLOWANCE, 0, starts_at=START, ends_at=END),
    kept(BOUGHT, LotSource.TOP_UP, 20),
    kept(REFILLED, LotSource.TOP_UP, 0, starts_at=day(3), of_refill=True),
    kept(OWED, LotSource.OVERDRAFT, -7, starts_at=0),
    kept(GIVEN, LotSource.PROMOTION, 0, starts_at=day(9)),
]
LINES: list[tuple[Line, list[Movement]]] = [
    # An allowance holds from its beginning on, whoever looked when (TZ-7).
    (line(2, None, ALLOWANCE, 100, GRANT), [Came(START, 100 * UNIT, END, ALLOWANCE_PRIORITY)]),
    (line(2, ALLOWANCE, None, 30, USE), [went(2, 30)]),
    (line(2, None, ALLOWANCE, 3, USE), [went(2, -3)]),
    (line(2, ALLOWANCE, OWED, 7, PAY_OFF), []),
    (line(3, None, REFILLED, 50, TOP_UP), []),
    (line(4, REFILLED, None, 5, USE), [went(4, 5)]),
    (line(4, REFILLED, None, 5, REFUND), []),
    (line(4, None, REFILLED, 5, REFUND), [went(4, -5)]),
    (line(4, REFILLED, None, 5, TAKE_BACK), []),
    (line(5, BOUGHT, None, 4, REFUND), [went(5, 4)]),
    (line(5, BOUGHT, None, 4, TAKE_BACK), [went(5, 4)]),
    (line(5, BOUGHT, None, 4, ADJUST), [went(5, 4)]),
    (line(5, BOUGHT, OWED, 4, REFUND), []),
    (line(6, OWED, None, 9, USE), [went(6, 9)]),
    # Dated ahead, it counts from its beginning on.
    (line(6, None, GIVEN, 8, TOP_UP), [came(9, 8, pays_off=False)]),
    (line(31, ALLOWANCE, None, 1, LAPSE), []),
    (Line(END, ALLOWANCE, None, UNIT, USE), []),
    (line(7, 99, None, 1, USE), []),
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(LINES)))
def test_a_line_of_the_books(place: int) -> None:
    """Refills that really happened are left out; what was used of them is not."""
    given_line, expected = LINES[place]
    found, owed = movements(LOTS, [given_line], START, promotions=False)
    assert found == [came(1, 20), *expected]
    assert owed == 7 * UNIT


def test_promotions_pay_off_where_the_plan_says_so() -> None:
    found, _ = movements(LOTS, [line(6, None, GIVEN, 8, TOP_UP)], START, promotions=True)
    assert found[1] == came(9, 8)


def test_allowances_that_nothing_touched_are_there() -> None:
    """TZ-7: an allowance holds without being stored, from the tenant's beginning on."""
    terms = terms_of(since=day(11))
    visitors = terms.balance_ids["visitors"]
    amount = terms.balances[visitors].allowance
    november, december = (period(JAKARTA, when) for when in (START, END))
    first = Came(day(11), amount, november.end, ALLOWANCE_PRIORITY)
    then = Came(END, amount, december.end, ALLOWANCE_PRIORITY)
    assert untouched(terms, visitors, (), START, END) == [first]
    assert untouched(terms, visitors, (), START, END + 1) == [first, then]
    assert untouched(terms, visitors, {november.label}, START, END + 1) == [then]
    assert untouched(terms, visitors, (), START - DAY, START) == []


# Properties

AMOUNTS = st.integers(min_value=1, max_value=300)
MOVED = st.lists(
    st.one_of(
        st.builds(came, st.integers(1, 30), AMOUNTS),
        st.builds(went, st.integers(1, 30), AMOUNTS, st.integers(0, 23)),
    ),
    max_size=25,
)
CAPS = st.one_of(st.none(), st.integers(1, 600))
POLICIES = st.builds(policy, st.integers(-20, 60), st.integers(1, 90), CAPS, CAPS)


def brute(given_policy: RefillPolicy, moved: Sequence[Movement]) -> list[tuple[int, int]]:
    """The charges, worked out from nothing at every instant: the sums of all that was before it."""
    charges: list[tuple[int, int]] = []
    until = START
    instants = {each.at for each in moved} | {START + days * DAY for days in range(30)}
    for now in sorted(instants):
        there = sum(n for _, n in charges)
        for each in moved:
            if each.at <= now:
                there += each.amount if isinstance(each, Came) else -each.amount
        if there > given_policy.minimum or now < until:
            continue
        amount = 0
        while there + amount <= given_policy.minimum:
            amount += given_policy.amount
        today = sum(n for when, n in charges if (when - START) // DAY == (now - START) // DAY)
        month = sum(n for _, n in charges)
        if given_policy.month_cap is not None and (month + amount) * PRICE > given_policy.month_cap:
            until = END
        elif given_policy.day_cap is not None and (today + amount) * PRICE > given_policy.day_cap:
            until = now + DAY - (now - START) % DAY
        else:
            charges.append((now, amount))
    return charges


@given(POLICIES, MOVED)
def test_it_charges_as_a_sum_over_everything_does(
    given_policy: RefillPolicy, moved: list[Movement]
) -> None:
    """RF-1, RF-2: above the minimum behind each charge, and never above a cap."""
    found = dry_run(given_policy, pot(), moved, START, END)
    assert [(each.at, each.amount) for each in found.charges] == brute(given_policy, moved)
    spent = dict[int, int]()
    for each in found.charges:
        today = JAKARTA.date(each.at)
        spent[today] = spent.get(today, 0) + each.price
        before = sum(
            one.amount if isinstance(one, Came) else -one.amount for one in moved
            if one.at <= each.at
        )  # fmt: skip
        charged = sum(one.amount for one in found.charges if one.at <= each.at)
        assert before + charged > given_policy.minimum
        assert before + charged - given_policy.amount <= given_policy.minimum
    assert given_policy.day_cap is None or max(spent.values(), default=0) <= given_policy.day_cap
    assert given_policy.month_cap is None or found.total <= given_policy.month_cap
