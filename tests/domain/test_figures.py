"""Figures of a balance: the identity, the two sides, what lapses, and the rates beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.books import Basis, Book, Row
from domain.figures import NOT_STORED, LotUse, Part, figures, rates
from domain.lots import LotSource
from domain.markets import Markets
from domain.money import micros, picos
from domain.periods import DAY, HOUR, Period, month_label, period, zone
from domain.plans import BalancePlan, Carry, Chain, Plan, Step

JAKARTA = zone("Asia/Jakarta")
NOVEMBER = Period(month_label(2026, 11), *JAKARTA.month_bounds(month_label(2026, 11)))
OCTOBER = Period(month_label(2026, 10), *JAKARTA.month_bounds(month_label(2026, 10)))
NOON = NOVEMBER.start + 9 * DAY + 12 * HOUR


def balance(allowance: str = "0", kind: str = "unit", credit_limit: str = "0") -> BalancePlan:
    money = kind == "money"
    return BalancePlan(
        key="whatsapp" if money else "conversations",
        name="Balance",
        kind="money" if money else "unit",
        unit="IDR" if money else "conversation",
        currency="IDR" if money else None,
        allowance=micros(allowance),
        carry=Carry(kind="always", periods=0),
        credit_limit=micros(credit_limit),
        overage_price=None,
        top_up=None,
    )


def lot(
    source: LotSource,
    amount: str = "0",
    *,
    starts_at: int = NOVEMBER.start,
    ends_at: int | None = None,
    used_before: str = "0",
    used: str = "0",
    moved_before: str = "0",
    moved: str = "0",
    lot_id: int = 1,
    priority: int = 20,
) -> LotUse:
    allowance = source is LotSource.ALLOWANCE
    return LotUse(
        lot_id=lot_id,
        source=source,
        priority=10 if allowance else priority,
        month=JAKARTA.month(starts_at) if allowance else None,
        amount=micros(amount),
        starts_at=starts_at,
        ends_at=ends_at,
        created_at=starts_at,
        used_before=micros(used_before, signed=True),
        used=micros(used, signed=True),
        moved_before=micros(moved_before, signed=True),
        moved=micros(moved, signed=True),
    )


def shown(part: Part) -> dict[str, int]:
    """The parts that are not 0, in whole units."""
    values = {name: getattr(part, name) for name in Part.__slots__}
    assert not any(value % 1_000_000 for value in values.values())
    return {name: value // 1_000_000 for name, value in values.items() if value}


def holds(part: Part) -> bool:
    total = part.opening + part.granted + part.adjusted - part.used - part.lapsed
    return total == part.remaining


amounts = st.integers(-(10**15), 10**15)
instants = st.integers(NOVEMBER.start - 90 * DAY, NOVEMBER.end + 40 * DAY)
lots = st.builds(
    LotUse,
    lot_id=st.integers(1, 50),
    source=st.sampled_from(LotSource),
    priority=st.integers(0, 90),
    month=st.sampled_from([None, OCTOBER.label, NOVEMBER.label]),
    amount=st.integers(0, 10**15),
    starts_at=instants,
    ends_at=st.none() | instants,
    created_at=instants,
    used_before=amounts,
    used=amounts,
    moved_before=amounts,
    moved=amounts,
)


@given(
    st.lists(lots, max_size=8),
    st.integers(NOVEMBER.start, NOVEMBER.end),
    st.sampled_from(["0", "1000"]),
    st.none() | instants,
)
def test_what_came_and_what_went_is_what_remains(
    some: list[LotUse], at: int, allowance: str, since: int | None
) -> None:
    """BA-9, FI-5: the identity holds on both sides and together, whatever the lots did."""
    found = figures(balance(allowance), NOVEMBER, at, some, since=since)

    assert holds(found.initial)
    assert holds(found.top_up)
    assert holds(found.total)
    assert found.total.remaining == sum(lot.left for lot in found.lots if not lot.ended(at))


@given(
    st.lists(st.integers(0, 59), max_size=12),
    st.integers(1, 1000),
    st.integers(0, 59),
    st.none() | st.integers(1, 70),
)
def test_a_period_opens_with_what_the_one_before_closed_with(
    days: list[int], amount: int, start: int, length: int | None
) -> None:
    """BA-9: a lot drawn over two months lapses once and is carried once."""
    first = OCTOBER.start + start * DAY
    last = None if length is None else first + length * DAY
    used_on = [
        at
        for day in days
        if first <= (at := OCTOBER.start + day * DAY) and (last is None or at < last)
    ][:amount]

    def figures_of(period: Period) -> Part:
        one = lot(LotSource.TOP_UP, str(amount), starts_at=first, ends_at=last)._replace(
            used_before=sum(micros("1") for at in used_on if at < period.start),
            used=sum(micros("1") for at in used_on if period.start <= at < period.end),
        )
        return figures(balance(), period, period.end, [one]).total

    october, november = figures_of(OCTOBER), figures_of(NOVEMBER)

    assert november.opening == october.remaining
    assert october.lapsed == 0 or november.lapsed == 0


def test_an_untouched_allowance_is_shown_whole() -> None:
    """TZ-7: any period has its allowance, whether or not anything was recorded in it."""
    found = figures(balance("1000"), NOVEMBER, NOON, [])

    assert shown(found.initial) == {"granted": 1000, "remaining": 1000}
    assert [each.lot_id for each in found.lots] == [NOT_STORED]
    assert (found.lots[0].starts_at, found.lots[0].ends_at) == (NOVEMBER.start, NOVEMBER.end)


def test_no_allowance_holds_before_the_tenant_began() -> None:
    """TZ-7: the first plan holds from `since`; BA-12: from then on its first period is whole."""
    since = NOON

    before = figures(balance("1000"), NOVEMBER, NOON - 1, [], since=since)
    after = figures(balance("1000"), NOVEMBER, NOON, [], since=since)

    assert shown(before.total) == {}
    assert shown(after.total) == {"granted": 1000, "remaining": 1000}


def test_a_stored_allowance_is_not_shown_twice() -> None:
    """TZ-7, FI-5."""
    stored = lot(LotSource.ALLOWANCE, "1000", used="3", ends_at=NOVEMBER.end)

    found = figures(balance("1000"), NOVEMBER, NOON, [stored])

    assert shown(found.initial) == {"granted": 1000, "used": 3, "remaining": 997}
    assert found.lots == (stored,)


def test_an_allowance_lapses_at_the_end_of_its_period_and_not_before() -> None:
    """BA-3, TZ-4: by time, whatever a job booked; the end instant itself is outside."""
    stored = lot(LotSource.ALLOWANCE, "1000", used="40", ends_at=NOVEMBER.end)

    last = figures(balance("1000"), NOVEMBER, NOVEMBER.end - 1, [stored])
    closing = figures(balance("1000"), NOVEMBER, NOVEMBER.end, [stored])
    december = period(JAKARTA, NOVEMBER.end)
    opened = figures(balance("1000"), december, december.start, [stored])

    assert shown(last.initial) == {"granted": 1000, "used": 40, "remaining": 960}
    assert shown(closing.initial) == {"granted": 1000, "used": 40, "lapsed": 960}
    assert shown(opened.initial) == {"granted": 1000, "remaining": 1000}


def test_sides_are_shown_apart_and_together() -> None:
    """FI-5, BA-4: top-ups carried in open the period, those that end in it lapse."""
    found = figures(
        balance("1000"),
        NOVEMBER,
        NOON,
        [
            lot(LotSource.ALLOWANCE, "1000", used="1000", ends_at=NOVEMBER.end, lot_id=1),
            lot(LotSource.TOP_UP, "500", starts_at=OCTOBER.start, used_before="100", used="50",
                lot_id=2),
            lot(LotSource.PROMOTION, "20", starts_at=NOVEMBER.start + DAY, used="5",
                ends_at=NOON, lot_id=3),
            lot(LotSource.ADJUSTMENT, "7", starts_at=NOVEMBER.start + DAY, lot_id=4),
            lot(LotSource.TOP_UP, "90", starts_at=NOON + 1, lot_id=5),
            lot(LotSource.TOP_UP, "60", starts_at=OCTOBER.start, ends_at=NOVEMBER.start, lot_id=6),
        ],
    )  # fmt: skip

    assert shown(found.initial) == {"granted": 1000, "used": 1000}
    assert shown(found.top_up) == {
        "opening": 400, "granted": 20, "adjusted": 7, "used": 55, "lapsed": 15, "remaining": 357
    }  # fmt: skip
    assert shown(found.total)["remaining"] == 357
    assert [each.lot_id for each in found.lots] == [1, 3, 2, 4]


def test_an_overdraft_shows_what_was_used_beyond_everything() -> None:
    """BA-11: 1,001 visitors of 1,000 leave -1, and 500 more leave 499."""
    allowance = lot(LotSource.ALLOWANCE, "1000", used="1000", ends_at=NOVEMBER.end)
    overdraft = lot(LotSource.OVERDRAFT, used="1", ends_at=NOVEMBER.end, priority=90, lot_id=2)
    top_up = lot(LotSource.TOP_UP, "500", moved="1", starts_at=NOON, lot_id=3)
    paid = overdraft._replace(moved=micros("-1", signed=True))

    before = figures(balance("1000"), NOVEMBER, NOON - 1, [allowance, overdraft])
    after = figures(balance("1000"), NOVEMBER, NOON, [allowance, paid, top_up])

    assert shown(before.total) == {"granted": 1000, "used": 1001, "remaining": -1}
    assert before.percent_used == micros("100.1")
    assert shown(after.total) == {"granted": 1500, "used": 1001, "remaining": 499}


def test_overage_is_neither_carried_nor_lapsed() -> None:
    """BA-11: a unit overdraft ends with its period."""
    overdraft = lot(LotSource.OVERDRAFT, used="7", ends_at=NOVEMBER.end, priority=90)
    december = period(JAKARTA, NOVEMBER.end)

    closing = figures(balance(), NOVEMBER, NOVEMBER.end, [overdraft])
    opened = figures(balance(), december, december.start, [overdraft])

    assert shown(closing.total) == {"used": 7, "adjusted": 7}
    assert shown(opened.total) == {}


@pytest.mark.parametrize(
    ("allowance", "debt", "left"),
    [("350000", "-150000", "0"), ("500000", "0", "0"), ("600000", "0", "100000")],
)
def test_paying_off_is_no_usage(allowance: str, debt: str, left: str) -> None:
    """BA-5: -500,000 meets an allowance at the period's first instant; nothing is used."""
    paid = min(micros(allowance), micros("500000"))
    owed = lot(LotSource.OVERDRAFT, used_before="500000", starts_at=0, priority=90)
    overdraft = owed._replace(moved=-paid)
    granted = lot(LotSource.ALLOWANCE, allowance, ends_at=NOVEMBER.end)._replace(moved=paid)

    found = figures(balance(allowance, "money"), NOVEMBER, NOVEMBER.start, [granted, overdraft])

    assert found.top_up.remaining == micros(debt, signed=True)
    assert found.initial.remaining == micros(left)
    assert found.total.adjusted == 0
    assert found.total.used == 0
    assert found.total.opening == micros("-500000", signed=True)


@pytest.mark.parametrize(
    ("carried", "granted", "used", "percent"),
    [
        ("900000", "0", "90000", "10"),
        ("0", "1000", "1", "0.1"),
        ("0", "3", "1", "33.333333"),
        ("0", "3", "2", "66.666667"),
        ("0", "1000", "1300", "130"),
        ("0", "0", "0", None),
        ("0", "0", "5", None),
    ],
)
def test_percentage_used(carried: str, granted: str, used: str, percent: str | None) -> None:
    """BA-9: of what came in; no base, no figure; over 100 % as it is."""
    some = [
        lot(LotSource.TOP_UP, carried, starts_at=OCTOBER.start, lot_id=1),
        lot(LotSource.TOP_UP, granted, lot_id=2),
        lot(LotSource.OVERDRAFT, used=used, starts_at=0, lot_id=3),
    ]

    found = figures(balance(), NOVEMBER, NOON, some)

    assert found.percent_used == (None if percent is None else micros(percent))


def test_a_debt_carried_in_is_no_part_of_the_base() -> None:
    """BA-9: opening counts only if positive."""
    debt = lot(LotSource.OVERDRAFT, used_before="500", used="50", starts_at=0)
    top_up = lot(LotSource.TOP_UP, "100", starts_at=NOON, lot_id=2)

    assert figures(balance(), NOVEMBER, NOON, [debt, top_up]).percent_used == micros("50")


def test_available_counts_credit_and_holds() -> None:
    """BA-2, OC-2: active lots + credit limit - open holds; it may be negative."""
    top_up = lot(LotSource.TOP_UP, "100", used="30")

    found = figures(balance(credit_limit="50"), NOVEMBER, NOON, [top_up], held=micros("130"))

    assert found.total.remaining == micros("70")
    assert found.available == micros("-10", signed=True)


def test_what_came_a_little_early_is_not_lost() -> None:
    """EV-3: a lot that pays a fact five minutes ahead of the clock shows what it paid."""
    early = lot(LotSource.OVERDRAFT, used="2", starts_at=NOON + HOUR)

    assert shown(figures(balance(), NOVEMBER, NOON, [early]).total) == {
        "used": 2, "remaining": -2
    }  # fmt: skip


def row(name: str, valid_from: int, price: str | None, **changed: object) -> Row:
    values: dict[str, object] = {
        "rule": f"book@{valid_from}/{name}",
        "row": name,
        "channel": "chat",
        "category": "marketing",
        "direction": "out",
        "market": "ID",
        "valid_from": valid_from,
        "published": 1,
        "basis": Basis.PER_MESSAGE,
        "charged_on": "delivered",
        "price": None if price is None else picos(price),
        "free_in": frozenset(),
        "free_count": None,
    }
    return Row(**(values | changed))  # type: ignore[arg-type]


def test_rates_are_the_rows_in_force_that_a_chain_pays_from_the_balance() -> None:
    """FI-5, PR-2: the latest row not after the date, of what the balance's chains pay."""
    rows = (
        row("marketing", 100, "500"),
        row("marketing", 200, "586.33"),
        row("marketing", 300, "600"),
        row("marketing-again", 200, "590", published=2),
        row("service", 100, None, category="service"),
        row("utility", 100, "1", category="utility"),
        row("conversation", 100, "356.65", category="*", basis=Basis.PER_CONVERSATION),
        row("visit", 100, "1", channel="*", category="visitor", direction="in", market="*",
            basis=Basis.PER_VISITOR),
    )  # fmt: skip
    step = Step(balance="money", basis=Basis.PER_MESSAGE)
    conversation = Step(balance="units", basis=Basis.PER_CONVERSATION)
    visitor = Step(balance="visitors", basis=Basis.PER_VISITOR)
    plan = Plan(
        key="plan", version=1, name="Plan", book="book", currency="IDR", timezone="Asia/Jakarta",
        country="ID", locale="id", seats=1, balances=(),
        chains=(
            Chain(channel="chat", category="*", direction="out", steps=(step,)),
            Chain(channel="chat", category="service", direction="out",
                  steps=(conversation, step)),
            Chain(channel="chat", category="utility", direction="out", steps=(conversation,)),
            Chain(channel="*", category="visitor", direction="in", steps=(visitor,)),
        ),
    )  # fmt: skip
    book = Book(key="book", version=2, currency="IDR", rows=rows, windows={}, markets=Markets())

    def named(key: str, date: int) -> list[str]:
        return [row.rule for row in rates(plan, book, key, date)]

    assert named("money", 250) == ["book@200/marketing-again", "book@100/service"]
    assert named("money", 300) == ["book@300/marketing", "book@100/service"]
    assert named("money", 99) == []
    assert named("units", 250) == ["book@100/conversation"]
    assert named("visitors", 250) == ["book@100/visit"]
