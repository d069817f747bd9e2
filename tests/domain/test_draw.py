"""Drawing: the order of lots, what they can pay, overdrafts, paying off and lapsing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.draw import UNIT, have, lapse, order, overdraw, pay_off, take, whole_units
from domain.lots import Lot, LotSource

NOW = 1_000


def lot(lot_id: int = 1, amount: int = 100, **changes: Any) -> Lot:
    given = {
        "lot_id": lot_id, "balance_id": 1, "source": LotSource.TOP_UP, "priority": 20,
        "month": None, "amount": amount, "starts_at": 0, "ends_at": None, "created_at": 0,
    }  # fmt: skip
    return Lot(**(given | changes))


#: Lots in the order they must be drawn, each by the rule that sets it before the next.
IN_ORDER = [
    lot(9, priority=10, ends_at=2_000, created_at=5),
    lot(4, priority=20, ends_at=1_500, created_at=9),
    lot(3, priority=20, ends_at=2_000, created_at=3),
    lot(5, priority=20, ends_at=2_000, created_at=4),
    lot(1, priority=20, ends_at=None, created_at=2),
    lot(2, priority=20, ends_at=None, created_at=3),
    lot(6, priority=20, ends_at=None, created_at=3),
    lot(7, priority=90, ends_at=1_100, created_at=0),
]


@given(st.permutations(IN_ORDER))
def test_the_order_of_lots(lots: list[Lot]) -> None:
    """BA-1: priority, expiry (none last), created, id."""
    assert order(lots) == IN_ORDER


# BA-1, TZ-4: lots as (amount, used, starts, ends), what is asked at 1,000, what each of them gives.
TAKEN = [
    ("one is enough", [(100, 0, 0, None), (100, 0, 0, None)], 60, [60]),
    ("one to its last", [(100, 0, 0, None), (100, 0, 0, None)], 100, [100]),
    ("the next takes the rest", [(100, 70, 0, None), (100, 0, 0, None)], 60, [30, 30]),
    ("an empty one gives no leg", [(100, 100, 0, None), (100, 0, 0, None)], 60, [None, 60]),
    ("what none held is left", [(10, 0, 0, None), (20, 0, 0, None)], 60, [10, 20]),
    ("not before its start", [(100, 0, 1_001, None), (100, 0, 1_000, None)], 60, [None, 60]),
    ("its end is outside", [(100, 0, 0, 1_000), (100, 0, 0, 1_001)], 60, [None, 60]),
    ("overdrafts pay nothing", [(0, 50, 0, None)], 60, []),
]


@pytest.mark.parametrize(
    ("lots", "asked", "given"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN]
)
def test_what_lots_pay(
    lots: list[tuple[int, int, int, int | None]], asked: int, given: list[int | None]
) -> None:
    """BA-1: lots active at the fact's time pay in turn; each leg is recorded."""
    made = [
        lot(n, amount, used=used, starts_at=starts, ends_at=ends)
        for n, (amount, used, starts, ends) in enumerate(lots)
    ]

    legs = take(made, NOW, asked)

    expected = [(n, taken) for n, taken in enumerate(given) if taken is not None]
    assert [(leg.lot.lot_id, leg.taken) for leg in legs] == expected
    for leg in legs:
        assert leg.lot.used == lots[leg.lot.lot_id][1] + leg.taken


amounts = st.integers(0, 10**12)
some_lots = st.lists(
    st.builds(
        lambda amount, used, moved, starts, ends: lot(
            amount=amount, used=min(used, amount), moved=min(moved, amount - min(used, amount)),
            starts_at=starts, ends_at=ends,
        ),
        amounts, amounts, amounts, st.integers(900, 1_100), st.none() | st.integers(900, 1_100),
    ),
    max_size=6,
)  # fmt: skip


@given(some_lots, st.integers(1, 10**12))
def test_nothing_is_taken_that_is_not_there(lots: list[Lot], asked: int) -> None:
    """BA-1, BA-11: as much as is asked or is there, no lot below 0, none taken in vain."""
    held = sum(have(each, NOW) for each in lots)

    legs = take(lots, NOW, asked)

    assert sum(leg.taken for leg in legs) == min(asked, held)
    assert all(leg.taken > 0 for leg in legs)
    assert all(each.remaining >= 0 for each in lots)


def test_whole_units_alone_pay_a_conversation() -> None:
    """PR-9, BA-11: what is left of a unit pays nothing."""
    lots = [lot(amount=UNIT * 3 // 2), lot(amount=UNIT * 3 // 4), lot(amount=UNIT, ends_at=NOW)]
    assert whole_units(lots, NOW) == 2 * UNIT
    assert whole_units(lots[1:], NOW) == 0


def test_a_lot_knows_the_latest_fact_that_had_a_share() -> None:
    """EV-9: once it is used up, a fact from before that one may have had its share."""
    one = lot(amount=10)
    take([one], NOW + 5, 9)
    take([one], NOW, 1)
    assert one.drawn_at == NOW + 5


def test_an_overdraft_goes_below_zero() -> None:
    """BA-11: usage that happened is always charged."""
    pot = lot(amount=0, source=LotSource.OVERDRAFT)
    leg = overdraw(pot, NOW, 70)
    assert (leg.taken, pot.used, pot.remaining) == (70, 70, -70)


# BA-5: what is owed by pots, what a credit holds; what each pot receives, what the credit keeps.
PAID_OFF = [
    ("all of it", [500], 600, [500], 100),
    ("as far as it reaches", [500], 350, [350], 0),
    ("exactly", [500], 500, [500], 0),
    ("several pots in turn", [100, 0, 300], 350, [100, 250], 0),
    ("nothing owed", [0], 350, [], 350),
    ("nothing there", [500], 0, [], 0),
]


@pytest.mark.parametrize(
    ("owed", "amount", "received", "kept"),
    [row[1:] for row in PAID_OFF], ids=[row[0] for row in PAID_OFF],
)  # fmt: skip
def test_a_credit_pays_off_what_is_owed(
    owed: list[int], amount: int, received: list[int], kept: int
) -> None:
    """BA-5: paying off is a movement, not usage."""
    credit = lot(99, amount)
    pots = [
        lot(n, 0, source=LotSource.OVERDRAFT, priority=90, used=used) for n, used in enumerate(owed)
    ]

    filled = pay_off(credit, pots, NOW)

    assert [moved for _, moved in filled] == received
    assert (credit.remaining, credit.used) == (kept, 0)
    assert [pot.used for pot in pots] == owed
    assert sum(pot.remaining for pot in pots) == sum(received) - sum(owed)


def test_an_overdraft_that_ended_is_not_paid_off() -> None:
    """BA-11: what is left of a unit overdraft at its end is overage."""
    pot = lot(amount=0, source=LotSource.OVERDRAFT, used=3, ends_at=NOW)
    assert pay_off(lot(amount=10), [pot], NOW) == []


def test_a_lot_lapses_once_and_a_late_draw_takes_it_back() -> None:
    """BA-3: resetting twice changes nothing; a late fact draws from its own period's lot."""
    one = lot(amount=100, used=30, ends_at=NOW)

    assert lapse(one, NOW - 1) == 0
    assert lapse(one, NOW) == 70
    assert lapse(one, NOW + 5) == 0
    assert one.remaining == 0
    assert sum(leg.taken for leg in take([one], NOW - 1, 10)) == 10
    assert lapse(one, NOW + 9) == -10
    assert (one.used, one.lapsed, one.remaining) == (40, 60, 0)


def test_what_does_not_lapse() -> None:
    """BA-4, BA-11: a lot without an end, and an overdraft."""
    assert lapse(lot(amount=100), 10**18) == 0
    assert lapse(lot(amount=0, source=LotSource.OVERDRAFT, used=3, ends_at=NOW), NOW) == 0
