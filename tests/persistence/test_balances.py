"""Balances at any instant, from lots, their days, and the facts of one day."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from domain.figures import LotUse, figures
from domain.ledger import PAY_OFF, USE
from domain.lots import LotSource
from domain.periods import DAY, HOUR, Period, month_label, period, zone
from domain.plans import BalancePlan, Carry
from domain.reading import Reading
from persistence.balances import Asked, readings
from persistence.door import Door
from tests.persistence.rows import CONVERSATIONS, TENANT, UNIT, Rows, rows_of

JAKARTA = zone("Asia/Jakarta")
NOVEMBER = Period(month_label(2026, 11), *JAKARTA.month_bounds(month_label(2026, 11)))
TENTH = NOVEMBER.start + 9 * DAY
NOON = TENTH + 12 * HOUR
NOW = TENTH + 20 * DAY + HOUR

PLAN = BalancePlan(
    key="conversations", name="Conversations", kind="unit", unit="conversation", currency=None,
    allowance=1000 * UNIT, carry=Carry(kind="always", periods=0), credit_limit=0,
    overage_price=None, top_up=None,
)  # fmt: skip


@pytest.fixture
async def rows(owner_url: str) -> AsyncIterator[Rows]:
    async with rows_of(owner_url) as rows:
        await rows.tenant()
        yield rows


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url, size=1) as door:
        yield door


def asked(at: int, *, explicit: bool = True, tenant_id: int = TENANT) -> Asked:
    day = JAKARTA.day_start(at) if explicit else None
    return Asked(tenant_id=tenant_id, at=at, period=period(JAKARTA, at), day=day)


async def reading(door: Door, at: int, *, explicit: bool = True) -> Reading:
    (found,) = await readings(door, [asked(at, explicit=explicit)])
    assert found is not None
    return found


async def uses(door: Door, at: int, *, explicit: bool = True) -> dict[int, tuple[int, ...]]:
    """Each lot's (used before, used, moved before, moved) in whole units."""
    found = await reading(door, at, explicit=explicit)
    return {lot.lot_id: whole(lot) for lot in found.pots["conversations"].lots}


def whole(lot: LotUse) -> tuple[int, ...]:
    sums = (lot.used_before, lot.used, lot.moved_before, lot.moved)
    assert not any(amount % UNIT for amount in sums)
    return tuple(amount // UNIT for amount in sums)


async def test_whole_days_and_the_part_of_one(rows: Rows, door: Door) -> None:
    """TZ-4: up to an instant is days before its local day and that day's earlier facts."""
    await rows.lot(1, LotSource.TOP_UP, 100, starts_at=NOVEMBER.start - 40 * DAY, used=20)
    await rows.lot_day(1, NOVEMBER.start - 30 * DAY, 5)
    await rows.lot_day(1, NOVEMBER.start - DAY, 3)
    await rows.lot_day(1, NOVEMBER.start, 4)
    await rows.lot_day(1, TENTH - DAY, 2)
    await rows.lot_day(1, TENTH, 3)
    await rows.lot_day(1, TENTH + DAY, 3)
    await rows.fact(b"a", TENTH, lot_id=1, amount=1)
    await rows.fact(b"b", NOON - 1, lot_id=1, amount=1)
    await rows.fact(b"c", NOON, lot_id=1, amount=1)
    await rows.fact(b"free", TENTH + 1, amount=0)

    assert await uses(door, TENTH) == {1: (8, 6, 0, 0)}
    assert await uses(door, NOON) == {1: (8, 8, 0, 0)}
    assert await uses(door, NOON + 1) == {1: (8, 9, 0, 0)}
    assert await uses(door, TENTH + DAY) == {1: (8, 9, 0, 0)}
    assert await uses(door, NOVEMBER.start) == {1: (8, 0, 0, 0)}
    assert await uses(door, NOVEMBER.end - 1) == {1: (8, 12, 0, 0)}
    assert await uses(door, NOVEMBER.end) == {1: (20, 0, 0, 0)}
    assert await uses(door, NOVEMBER.start - 1) == {1: (0, 5, 0, 0)}


async def test_now_is_everything_recorded(rows: Rows, door: Door) -> None:
    """EV-3: a fact a few minutes ahead of the clock counts in what is shown now."""
    await rows.lot(1, LotSource.TOP_UP, 100, starts_at=NOVEMBER.start, used=5)
    await rows.lot_day(1, TENTH, 3)
    await rows.lot_day(1, TENTH + DAY, 1)
    await rows.lot_day(1, NOVEMBER.end, 1)

    assert await uses(door, NOON, explicit=False) == {1: (0, 4, 0, 0)}


async def test_legs_beside_the_fact_count_and_reversals_take_back(rows: Rows, door: Door) -> None:
    """EV-9, BA-1: a charge of several lots, and one undone and made anew."""
    await rows.lot(1, LotSource.TOP_UP, 10, starts_at=NOVEMBER.start, used=10)
    await rows.lot(2, LotSource.TOP_UP, 10, starts_at=NOVEMBER.start, used=4)
    await rows.lot_day(1, TENTH, 10)
    await rows.lot_day(2, TENTH, 4)
    await rows.fact(b"a", TENTH + 1)
    await rows.charge(b"a", TENTH + 1, 0, {1: 9, 2: 2})
    await rows.fact(b"b", TENTH + 2, lot_id=1, amount=1)
    await rows.charge(b"b", TENTH + 2, 0, {1: 1}, reversal=True)
    await rows.charge(b"b", TENTH + 2, 0, {2: 1}, revision=1)

    assert await uses(door, TENTH + 2) == {1: (0, 9, 0, 0), 2: (0, 2, 0, 0)}
    assert await uses(door, NOON) == {1: (0, 9, 0, 0), 2: (0, 3, 0, 0)}


async def test_paying_off_counts_from_its_own_instant(rows: Rows, door: Door) -> None:
    """BA-5: moved is not used; what came at the very instant is there."""
    await rows.lot(1, LotSource.OVERDRAFT, 0, starts_at=0, used=7, moved=-5)
    await rows.lot(2, LotSource.TOP_UP, 5, starts_at=NOON, moved=5)
    await rows.lot_day(1, TENTH - 20 * DAY, 7)
    await rows.lot_day(1, TENTH, 0, -5)
    await rows.lot_day(2, TENTH, 0, 5)
    await rows.transfer(3, NOON, "lot/2", "lot/1", 5, PAY_OFF)
    await rows.transfer(4, NOON, "lot/2", "usage", 1, USE)

    assert await uses(door, NOON - 1) == {1: (7, 0, 0, 0), 2: (0, 0, 0, 0)}
    assert await uses(door, NOON) == {1: (7, 0, 0, -5), 2: (0, 0, 0, 5)}
    assert await uses(door, TENTH + DAY) == {1: (7, 0, 0, -5), 2: (0, 0, 0, 5)}
    assert await uses(door, NOVEMBER.end) == {1: (7, 0, -5, 0), 2: (0, 0, 5, 0)}


async def test_lots_that_ended_before_the_period_are_left_out(rows: Rows, door: Door) -> None:
    """BA-3: an ended lot has no part in a later period, one that starts later none in this."""
    await rows.lot(1, LotSource.TOP_UP, 5, starts_at=0, ends_at=NOVEMBER.start)
    await rows.lot(2, LotSource.TOP_UP, 5, starts_at=0, ends_at=NOVEMBER.start + 1)
    await rows.lot(3, LotSource.TOP_UP, 5, starts_at=NOVEMBER.end)

    assert set(await uses(door, NOON)) == {2}


async def test_a_stored_period_goes_before_the_zone(rows: Rows, door: Door) -> None:
    """TZ-1, TZ-3: the two instants stand as they were computed once."""
    end = NOVEMBER.end + 12 * HOUR
    await rows.add(
        "periods", tenant_id=TENANT, month=NOVEMBER.label, starts_at=NOVEMBER.start, ends_at=end,
        closed_at=end,
    )  # fmt: skip

    found = await reading(door, NOVEMBER.end + 1)
    computed = await reading(door, NOVEMBER.start - 1)

    assert (found.period, found.closed) == (Period(NOVEMBER.label, NOVEMBER.start, end), True)
    assert (computed.period.end, computed.closed) == (NOVEMBER.start, False)


async def test_many_tenants_and_instants_in_one_statement(rows: Rows, door: Door) -> None:
    """Answers stand in the order asked; a tenant that is not there has none."""
    await rows.tenant(2)
    await rows.lot(1, LotSource.TOP_UP, 10, starts_at=0, used=1, tenant_id=1)
    await rows.lot(1, LotSource.TOP_UP, 20, starts_at=0, used=2, tenant_id=2)
    await rows.lot_day(1, TENTH, 1, tenant_id=1)
    await rows.lot_day(1, TENTH, 2, tenant_id=2)

    found = await readings(
        door,
        [
            asked(NOW, tenant_id=2, explicit=False),
            asked(NOW, tenant_id=99),
            asked(NOW, tenant_id=1),
            asked(TENTH, tenant_id=2),
        ],
    )

    assert [each and each.version for each in found] == [12, None, 12, 12]
    pots = [each.pots["conversations"].lots for each in found if each is not None]
    assert [[whole(lot) for lot in lots] for lots in pots] == [
        [(0, 2, 0, 0)], [(0, 1, 0, 0)], [(0, 0, 0, 0)]
    ]  # fmt: skip


async def test_a_tenant_nobody_named_is_not_read(rows: Rows, door: Door) -> None:
    """The statement filters by tenant, and the policy is the net behind it."""
    await rows.tenant(2)
    await rows.lot(5, LotSource.TOP_UP, 20, starts_at=0, tenant_id=2)

    assert await uses(door, NOON) == {}


async def test_the_figures_of_a_balance_from_its_rows(rows: Rows, door: Door) -> None:
    """BA-9, FI-5: 1,003 conversations of an allowance of 1,000 and a top-up of 500."""
    await rows.lot(
        1, LotSource.ALLOWANCE, 1000, starts_at=NOVEMBER.start, ends_at=NOVEMBER.end,
        month=NOVEMBER.label, used=1000, balance_id=CONVERSATIONS,
    )  # fmt: skip
    await rows.lot(2, LotSource.TOP_UP, 500, starts_at=NOVEMBER.start - DAY, used=3)
    await rows.lot_day(1, TENTH, 1000)
    await rows.lot_day(2, TENTH, 3)

    found = await reading(door, NOW)
    shown = figures(PLAN, found.period, NOON + DAY, found.pots["conversations"].lots)

    assert shown.total.remaining == 497 * UNIT
    assert shown.initial.used == 1000 * UNIT
    assert (shown.top_up.opening, shown.top_up.used) == (500 * UNIT, 3 * UNIT)
