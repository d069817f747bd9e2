"""What the invoices of a subscription ask for, as tables and for any life of one (IN-1, IN-5)."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date
from fractions import Fraction
from functools import cache
from itertools import count

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.fees import Component, Fees, SetupFee
from domain.invoices import LineKind, rounding_of
from domain.money import MICRO, micros, text
from domain.periods import DAY, date_number, date_of, month_label, period, zone, zones
from domain.recurring import Ask, asked, in_force, line, rate_on
from domain.subscriptions import (
    Cancel,
    Change,
    Deed,
    Pause,
    Renew,
    Resume,
    SetQuantity,
    Subscription,
    SwitchPlan,
    days_of,
    known,
    month_of,
)

NOVEMBER = month_label(2026, 11)


def component(key: str, price: str, quantity: str = "1") -> Component:
    return Component(
        key=key, name=key.capitalize(), unit=key, price=micros(price), quantity=micros(quantity)
    )


ONBOARDING = SetupFee(key="onboarding", name="Onboarding", price=micros("500000"))
TRAINING = SetupFee(key="training", name="Training", price=micros("250000"))
START = Fees(
    plan="start", name="Start", currency="IDR",
    components=(component("base", "1000000"), component("seats", "300000", "10")),
    setup=(ONBOARDING,),
)  # fmt: skip
GROWTH = Fees(
    plan="growth", name="Growth", currency="IDR",
    components=(component("base", "2000000"), component("seats", "250000", "5")),
    setup=(ONBOARDING, TRAINING),
)  # fmt: skip
SEATS = Fees(plan="seats", name="Seats", currency="IDR", components=(component("seats", "300000"),))


def day(written: str) -> int:
    """A day of 2026 from 16.11, of another year from 16.11.2027."""
    at, month, *year = map(int, written.split("."))
    return date_number(date(year[0] if year else 2026, month, at))


_places = count()


def change(on: str, deed: Deed, agreed_on: str | None = None) -> Change:
    place = next(_places)
    agreed = day(agreed_on or on)
    return Change(
        key=f"c{place}", day=day(on), agreed_on=agreed, agreed_at=agreed * DAY + place, deed=deed
    )


def seats(on: str, quantity: int, agreed_on: str | None = None) -> Change:
    return change(on, SetQuantity("seats", quantity * MICRO), agreed_on)


def subscribed(start: str, *changes: Change, fees: Fees = SEATS) -> Subscription:
    quantities = {"seats": 10 * MICRO} if fees is SEATS else {}
    return Subscription(
        key="main", fees=fees, start=day(start), term=fees.term, quantities=quantities,
        changes=changes,
    )  # fmt: skip


def lines(asks: tuple[Ask, ...]) -> list[tuple[str, str, str]]:
    written = [line(ask, "IDR") for ask in asks]
    return [(each.kind.value, each.description, text(each.exact)) for each in written]


def invoiced(of: Subscription, first: int, last: int) -> dict[int, tuple[Ask, ...]]:
    """Each month's invoice, drawn on its third day with what was agreed by then."""
    made: dict[int, tuple[Ask, ...]] = {}
    before: list[Ask] = []
    for month in range(first, last + 1):
        then = replace(of, changes=known(of, days_of(month)[0] + 2))
        made[month] = asked(then, month, before, month - 1 if made else None)
        before += made[month]
    return made


# What the rule book says


def test_one_more_seat_on_the_16th_of_november() -> None:
    """IN-1: 300,000 x 15 / 30 = 150,000, on the next invoice where November's has gone out."""
    of = subscribed("1.10", seats("16.11", 11))
    made = invoiced(of, NOVEMBER - 1, NOVEMBER + 1)
    assert lines(made[NOVEMBER]) == [("recurring", "Seats", "3000000")]
    assert lines(made[NOVEMBER + 1]) == [
        ("adjustment", "Seats, 1 more from 16 November 2026 (15 of 30 days)", "150000"),
        ("recurring", "Seats", "3300000"),
    ]
    extra, whole = (line(ask, "IDR") for ask in made[NOVEMBER + 1])
    assert (extra.quantity, extra.unit, extra.price) == ("1", "seats", "300000")
    assert extra.period == (day("16.11"), day("30.11"))
    assert (whole.quantity, whole.price, whole.period) == ("11", "300000", days_of(NOVEMBER + 1))


def test_what_is_known_when_a_month_is_invoiced_stands_on_its_invoice() -> None:
    """IN-1: in advance, with the day from which it counts."""
    of = subscribed("1.11", seats("16.11", 11, "20.10"))
    assert lines(asked(of, NOVEMBER)) == [
        ("recurring", "Seats", "3000000"),
        ("recurring", "Seats, 1 more from 16 November 2026 (15 of 30 days)", "150000"),
    ]


def test_a_sign_up_on_the_31st() -> None:
    """IN-1: one day of 31, then months of 28 and 31 days in full; the set-up is asked for once."""
    of = subscribed("31.1", fees=START)
    made = invoiced(of, month_label(2026, 1), month_label(2026, 3))
    assert [ask.exact for ask in made[month_label(2026, 2)]] == [micros("1000000"), 3 * 10**12]
    first = asked(of, month_label(2026, 2))
    assert lines(first) == [
        ("setup", "Onboarding", "500000"),
        ("recurring", "Base from 31 January 2026 (1 of 31 days)", "32258.064516"),
        ("recurring", "Seats from 31 January 2026 (1 of 31 days)", "96774.193548"),
        ("recurring", "Base", "1000000"),
        ("recurring", "Seats", "3000000"),
    ]
    written = [line(ask, "IDR") for ask in first]
    assert written[0].period is None
    assert [text(each.amount) for each in written[1:3]] == ["32258", "96774"]
    assert rounding_of(written) == -micros("0.258064")
    assert sum(ask.exact for ask in made[month_label(2026, 3)]) == micros("4000000")


#: The day of one more seat of 310,800, and what is asked for of its month.
SHARES = [
    ("1.2", "310800"),
    ("2.2", "299700"),
    ("28.2", "11100"),
    ("29.2.2028", "10717.241379"),
    ("1.4", "310800"),
    ("30.4", "10360"),
    ("16.11", "155400"),
    ("31.12", "10025.806452"),
    ("17.12", "150387.096774"),
]


@pytest.mark.parametrize(("on", "exact"), SHARES)
def test_a_change_counts_its_own_day_and_those_left(on: str, exact: str) -> None:
    """IN-1, IN-5: of 28 to 31 days, rounded once to a micro."""
    fees = replace(SEATS, components=(component("seats", "310800"),))
    of = Subscription(
        key="main", fees=fees, start=day("1.1"), term=fees.term, changes=(seats(on, 2),)
    )
    month = month_of(day(on))
    before = asked(replace(of, changes=()), month)
    (ask,) = asked(of, month, before, month)
    assert (ask.kind, text(ask.exact)) == (LineKind.ADJUSTMENT, exact)


@pytest.mark.parametrize(
    ("old", "new"),
    [("Asia/Jakarta", "America/Bogota"), ("America/Bogota", "Asia/Jakarta"),
     ("Pacific/Pago_Pago", "Pacific/Kiritimati"), ("Pacific/Kiritimati", "Pacific/Pago_Pago")],
)  # fmt: skip
def test_days_are_dates_also_where_a_zone_is_exchanged(old: str, new: str) -> None:
    """TZ-3, IN-1: a first day of 36 hours is one day of thirty, a short or skipped one too."""
    exchanged, _ = zone(old).month_bounds(NOVEMBER)
    both = zones(((None, old), (exchanged, new)))
    span = period(both, exchanged)
    assert span.label == NOVEMBER
    whole = subscribed("1.10")
    for hour in range(0, 24, 6):
        on = both.date(exchanged + hour * DAY // 24)
        assert on in (day("1.11"), day("2.11"))
        grown = replace(
            whole,
            changes=(Change(
                key="c", day=on, agreed_on=on, agreed_at=exchanged,
                deed=SetQuantity("seats", 11 * MICRO),
            ),),
        )  # fmt: skip
        (ask,) = asked(grown, NOVEMBER, asked(whole, NOVEMBER), NOVEMBER)
        assert ask.exact == micros("300000") * (days_of(NOVEMBER)[1] - on + 1) // 30
    assert month_of(both.date(span.end - 1)) == NOVEMBER


# Less, up and down, several at once: what October's to December's invoices come to, from ten seats
# at 300,000 that November's invoice had

TIMES: list[tuple[str, list[Change], list[str]]] = [
    ("less acts in the next month", [seats("16.11", 8)], ["3000000", "2400000", "2400000"]),
    ("of its last day too", [seats("30.11", 8)], ["3000000", "2400000", "2400000"]),
    ("said before, from the first of a month on", [seats("1.11", 8, "31.10")],
     ["2400000", "2400000", "2400000"]),
    ("said on the first, it is the month's", [seats("1.11", 8)], ["3000000", "2400000", "2400000"]),
    ("said before, in the midst of a month", [seats("16.11", 8, "20.10")],
     ["3000000", "2400000", "2400000"]),
    ("down and up again", [seats("10.11", 8), seats("20.11", 10)],
     ["3000000", "3000000", "3000000"]),
    ("up, down and up again", [seats("16.11", 11), seats("20.11", 9), seats("25.11", 11)],
     ["3000000", "150000 3300000", "3300000"]),
    ("up, down and higher up", [seats("16.11", 11), seats("20.11", 9), seats("26.11", 12)],
     ["3000000", "150000 50000 3600000", "3600000"]),
    ("twice up", [seats("16.11", 11), seats("21.11", 13)],
     ["3000000", "150000 200000 3900000", "3900000"]),
    ("up and down on one day", [seats("16.11", 20), seats("16.11", 10)],
     ["3000000", "3000000", "3000000"]),
    ("three times on one day", [seats("16.11", 9), seats("16.11", 13), seats("16.11", 12)],
     ["3000000", "300000 3600000", "3600000"]),
    ("dated back, more", [seats("16.10", 12, "20.11")],
     ["3000000", "309677.419355 600000 3600000", "3600000"]),
    ("dated back, less", [seats("16.10", 8, "20.11")], ["3000000", "2400000", "2400000"]),
    ("dated back before another", [seats("16.11", 11), seats("11.11", 12, "5.12")],
     ["3000000", "150000 3300000", "250000 3300000"]),
    ("to come, then called off in time", [seats("16.12", 12, "20.11"), seats("16.12", 10, "21.11")],
     ["3000000", "3000000", "3000000"]),
    ("paused", [change("16.11", Pause())], ["3000000", "", ""]),
    ("paused and resumed in time", [change("10.11", Pause()), change("20.11", Resume())],
     ["3000000", "3000000", "3000000"]),
    ("resumed in a later month", [change("10.11", Pause()), change("17.12", Resume())],
     ["3000000", "", "1451612.903226 3000000"]),
    ("resumed with more", [change("10.11", Pause()), change("20.11", Resume()), seats("21.11", 11)],
     ["3000000", "100000 3300000", "3300000"]),
    ("cancelled by its month", [change("16.11", Cancel(None))], ["3000000", "", ""]),
    ("cancelled by a day", [change("16.11", Cancel(day("20.11")))], ["3000000", "", ""]),
    ("cancelled by a day of a month to come", [change("16.11", Cancel(day("17.12")))],
     ["3000000", "1645161.290323", ""]),
    ("cancelled and withdrawn", [change("16.11", Cancel(None)), change("20.11", Renew())],
     ["3000000", "3000000", "3000000"]),
    ("withdrawn when half a month was invoiced",
     [change("16.11", Cancel(day("17.12"))), change("10.12", Renew())],
     ["3000000", "1645161.290323", "1354838.709677 3000000"]),
    ("more, and cancelled", [seats("16.11", 11), change("20.11", Cancel(None))],
     ["3000000", "150000", ""]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in TIMES],
                         ids=[row[0] for row in TIMES])  # fmt: skip
def test_more_counts_from_its_day_and_less_from_the_next_month(
    changes: list[Change], expected: list[str]
) -> None:
    """IN-1: as tables; November, December and January."""
    made = invoiced(subscribed("1.10", *changes), NOVEMBER - 1, NOVEMBER + 2)
    found = [" ".join(text(ask.exact) for ask in made[NOVEMBER + place]) for place in range(3)]
    assert found == expected


def test_what_takes_the_place_of_something_invoiced_says_so() -> None:
    of = subscribed("1.10", seats("16.11", 11), seats("11.11", 12, "5.12"))
    made = invoiced(of, NOVEMBER - 1, NOVEMBER + 2)
    assert lines(made[NOVEMBER + 2])[0] == (
        "adjustment",
        "Seats, 2 more from 11 November 2026 (20 of 30 days); less what was invoiced: "
        "Seats, 1 more from 16 November 2026 (15 of 30 days)",
        "250000",
    )
    written = line(made[NOVEMBER + 2][0], "IDR")
    assert (written.quantity, written.price) == ("1", "250000")
    assert written.period == (day("11.11"), day("30.11"))


def test_an_end_in_the_midst_of_a_month_is_said() -> None:
    of = subscribed("1.10", change("20.10", Cancel(day("20.11"))))
    assert lines(asked(of, NOVEMBER))[1:] == [
        ("recurring", "Seats from 1 November 2026 to 20 November 2026 (20 of 30 days)", "2000000")
    ]
    assert asked(of, NOVEMBER + 1, asked(of, NOVEMBER), NOVEMBER) == ()


def test_what_is_added_on_the_last_day_served_is_for_that_day() -> None:
    of = subscribed("1.10", change("20.10", Cancel(day("20.11"))), seats("20.11", 11, "20.10"))
    assert [text(ask.exact) for ask in asked(of, NOVEMBER)][1:] == ["2000000", "10000"]
    assert lines(asked(of, NOVEMBER))[-1][1] == (
        "Seats, 1 more from 20 November 2026 to 20 November 2026 (1 of 30 days)"
    )


def test_what_was_asked_for_too_early_is_not_given_back() -> None:
    """IN-4: that is a credit note's to do; what comes later counts beside what was asked for."""
    twenty = replace(subscribed("16.11"), quantities={"seats": 20 * MICRO})
    early = asked(twenty, NOVEMBER)
    lowered = replace(twenty, changes=(seats("16.11", 8, "10.11"),))
    assert asked(lowered, NOVEMBER, early, NOVEMBER) == ()
    (more,) = asked(
        replace(lowered, changes=(*lowered.changes, seats("21.11", 40))), NOVEMBER, early, NOVEMBER
    )
    # 8 seats and 32 more are 4,400,000 of which 3,000,000 were asked for.
    assert text(more.exact) == "1400000"


def test_more_and_an_end_of_one_day_ask_for_no_day_twice() -> None:
    """IN-1: the whole month was asked for; the seat is for the days served."""
    of = subscribed("1.10", seats("16.11", 11), change("16.11", Cancel(day("20.11"))))
    made = invoiced(of, NOVEMBER - 1, NOVEMBER + 1)
    assert sum(ask.exact for ask in made[NOVEMBER + 1]) == micros("50000")


# Plans


def test_an_upgrade_is_the_difference_from_its_day_on() -> None:
    """IN-1: 4,500,000 for 4,000,000, half a month of it; its own set-up, what both have once."""
    of = subscribed("1.10", change("16.11", SwitchPlan(GROWTH)), fees=START)
    made = invoiced(of, NOVEMBER - 1, NOVEMBER + 1)
    assert lines(made[NOVEMBER + 1]) == [
        ("setup", "Training", "250000"),
        ("adjustment", "Start > Growth from 16 November 2026 (15 of 30 days)", "250000"),
        ("recurring", "Base", "2000000"),
        ("recurring", "Seats", "2500000"),
    ]
    plan = line(made[NOVEMBER + 1][1], "IDR")
    assert (plan.quantity, plan.unit, plan.price) == ("1", "", "500000")


def test_a_downgrade_waits_and_more_of_the_present_plan_does_not() -> None:
    """IN-1: an eleventh seat of the plan that is in force, then eleven of the other one."""
    of = subscribed(
        "1.10", change("10.11", SwitchPlan(START)), seats("16.11", 6), fees=GROWTH
    )  # fmt: skip
    made = invoiced(of, NOVEMBER - 1, NOVEMBER + 1)
    assert lines(made[NOVEMBER + 1]) == [
        ("adjustment", "Seats, 1 more from 16 November 2026 (15 of 30 days)", "125000"),
        ("recurring", "Base", "1000000"),
        ("recurring", "Seats", "1800000"),
    ]


def test_up_down_and_up_again_between_plans_is_paid_once() -> None:
    of = subscribed(
        "1.10",
        change("16.11", SwitchPlan(GROWTH)),
        change("18.11", SwitchPlan(START)),
        change("24.11", SwitchPlan(GROWTH)),
        fees=START,
    )
    made = invoiced(of, NOVEMBER - 1, NOVEMBER + 1)
    assert sum(ask.exact for ask in made[NOVEMBER + 1]) == micros("5000000")


def test_more_after_an_upgrade_is_at_the_new_price() -> None:
    of = subscribed("1.10", change("16.11", SwitchPlan(GROWTH)), seats("21.11", 12), fees=START)
    found = lines(invoiced(of, NOVEMBER - 1, NOVEMBER + 1)[NOVEMBER + 1])
    assert found[2] == (
        "adjustment", "Seats, 2 more from 21 November 2026 (10 of 30 days)", "166666.666667",
    )  # fmt: skip


def test_a_plan_that_costs_the_same_waits() -> None:
    """IN-1: with its set-up."""
    same = replace(START, plan="same", name="Same", setup=(TRAINING,))
    of = subscribed("1.10", change("16.11", SwitchPlan(same)), fees=START)
    assert {since.terms and since.terms.fees for since in in_force(of, NOVEMBER)} == {START}
    made = invoiced(of, NOVEMBER - 1, NOVEMBER + 1)
    assert [(ask.kind, text(ask.exact)) for ask in made[NOVEMBER + 1]] == [
        (LineKind.SETUP, "250000"),
        (LineKind.RECURRING, "1000000"),
        (LineKind.RECURRING, "3000000"),
    ]


def test_a_plan_whose_prices_rise_says_so() -> None:
    dearer = replace(START, components=(START.components[0], component("seats", "330000", "10")))
    of = subscribed("1.10", change("16.11", SwitchPlan(dearer)), fees=START)
    found = lines(invoiced(of, NOVEMBER - 1, NOVEMBER + 1)[NOVEMBER + 1])
    assert found[0] == (
        "adjustment", "Start > Start from 16 November 2026 (15 of 30 days)", "150000",
    )  # fmt: skip


# Once


def test_a_set_up_is_asked_for_once_also_after_a_pause() -> None:
    """IN-1: and under another plan that has it, and back."""
    of = subscribed(
        "15.10",
        change("20.10", Pause()),
        change("10.12", Resume()),
        change("1.1.2027", SwitchPlan(GROWTH), "31.12"),
        change("1.2.2027", SwitchPlan(START), "31.1.2027"),
        fees=START,
    )
    made = invoiced(of, NOVEMBER, NOVEMBER + 5)
    found = [
        (month - NOVEMBER, ask.pieces[0].name)
        for month, asks in made.items()
        for ask in asks
        if ask.kind is LineKind.SETUP
    ]
    assert found == [(0, "Onboarding"), (2, "Training")]


def test_an_invoice_that_is_void_is_asked_for_again() -> None:
    """IN-4: it is left out of what was asked for; what was credited is not."""
    of = subscribed("1.10", fees=START)
    first = asked(of, NOVEMBER)
    assert asked(of, NOVEMBER, first, NOVEMBER) == ()
    again = asked(of, NOVEMBER, (), NOVEMBER)
    assert [ask.exact for ask in again] == [ask.exact for ask in first]
    # What a later invoice put in the place of its lines is only the difference.
    grown = subscribed("1.10", seats("16.11", 11), seats("11.11", 12, "5.12"))
    made = invoiced(grown, NOVEMBER - 1, NOVEMBER + 2)
    kept = [ask for month, asks in made.items() if month != NOVEMBER + 1 for ask in asks]
    missing = asked(grown, NOVEMBER + 2, kept, NOVEMBER + 2)
    assert sum(ask.exact for ask in missing) == sum(ask.exact for ask in made[NOVEMBER + 1])


def test_nothing_before_its_first_day_and_what_costs_nothing_is_listed_once() -> None:
    free = replace(SEATS, components=(component("seats", "0"),))
    of = Subscription(key="main", fees=free, start=day("16.11"), term=free.term)
    assert asked(of, NOVEMBER - 1) == ()
    made = asked(of, NOVEMBER)
    assert lines(made) == [("recurring", "Seats from 16 November 2026 (15 of 30 days)", "0")]
    assert asked(replace(of, changes=(seats("20.11", 9),)), NOVEMBER, made, NOVEMBER) == ()


# Any life of one

FIRST = day("1.11.2027")  # a February of 29 days follows
PRICES = st.integers(1, 10**12).map(lambda price: price * 31)


@st.composite
def fees_of(draw: st.DrawFn, name: str) -> Fees:
    keys = draw(st.lists(st.sampled_from(["base", "seats", "bots"]), unique=True, min_size=1))
    return Fees(
        plan=name, name=name, currency="IDR",
        components=tuple(
            Component(key=key, name=key, unit=key, price=draw(PRICES),
                      quantity=draw(st.integers(0, 5)) * MICRO)
            for key in keys
        ),
        setup=tuple(SetupFee(key=key, name=key, price=draw(PRICES))
                    for key in draw(st.sets(st.sampled_from("xyz"), max_size=2))),
    )  # fmt: skip


@st.composite
def lives(draw: st.DrawFn, *, changes_max: int = 8) -> Subscription:
    plans = [draw(fees_of(name)) for name in ("a", "b", "c")]
    start = FIRST + draw(st.integers(0, 40))
    of_day = st.integers(start, start + 130)
    quantities = st.builds(
        SetQuantity, st.sampled_from(["base", "seats", "bots"]),
        st.integers(0, 8).map(lambda quantity: quantity * MICRO // 2),
    )  # fmt: skip
    deeds: st.SearchStrategy[Deed] = st.one_of(
        quantities, quantities, st.sampled_from(plans).map(SwitchPlan), st.just(Pause()),
        st.just(Resume()), st.builds(Cancel, st.none() | of_day), st.just(Renew()),
    )  # fmt: skip
    changes = [
        Change(key=f"c{place}", day=draw(of_day), agreed_on=(on := draw(of_day)),
               agreed_at=on * DAY + draw(st.integers(0, 1)), deed=draw(deeds))
        for place in range(draw(st.integers(0, changes_max)))
    ]  # fmt: skip
    return Subscription(
        key="main", fees=plans[0], start=start, term=plans[0].term, changes=tuple(changes)
    )


@settings(max_examples=75, deadline=None)
@given(lives(), st.lists(st.integers(0, 27), min_size=8, max_size=8))
def test_a_life_is_billed_for_what_its_days_cost(of: Subscription, drawn_on: list[int]) -> None:
    """IN-1, IN-5: whenever its invoices are drawn; to half a micro a line, and never below zero."""
    before: list[Ask] = []
    last: int | None = None
    months = range(month_of(FIRST), month_of(FIRST) + 8)
    for month, late in zip(months, drawn_on, strict=True):
        drawn = days_of(month)[0] + late
        if drawn < of.start:
            continue
        before += asked(replace(of, changes=known(of, drawn)), month, before, last)
        last = month
    assert all(ask.exact >= 0 for ask in before)
    setup = [ask for ask in before if ask.kind is LineKind.SETUP]
    assert len({ask.pieces[0].key for ask in setup}) == len(setup)
    billed = sum(ask.exact for ask in before) - sum(ask.exact for ask in setup)
    days = range(of.start, days_of(months[-1])[1] + 1)
    assert abs(billed - sum((rate_on(of, each) for each in days), Fraction())) <= Fraction(
        len(before) + len(months), 2
    )
    written = [line(ask, "IDR") for ask in before]
    assert sum(each.amount - each.exact for each in written) == rounding_of(written)
    assert msgspec.json.decode(msgspec.json.encode(before), type=list[Ask]) == before


@settings(max_examples=100, deadline=None)
@given(lives(), st.randoms(use_true_random=False))
def test_the_order_in_which_changes_arrive_does_not_matter(
    of: Subscription, chance: random.Random
) -> None:
    """IN-1: the same changes with the same dates ask for the same."""
    changes = list(of.changes)
    chance.shuffle(changes)
    month = month_of(FIRST) + 7
    assert asked(replace(of, changes=tuple(changes)), month) == asked(of, month)


@settings(max_examples=50, deadline=None)
@given(lives(), st.data())
def test_what_is_agreed_later_gives_nothing_back(of: Subscription, data: st.DataObject) -> None:
    """IN-1: less, a pause or an end leaves every day of the present month as it was, and before."""
    today = max([of.start, *(each.agreed_on for each in of.changes)])
    deeds: list[Deed] = [
        SetQuantity("seats", 0), SetQuantity("base", 0), Pause(), Cancel(today),
    ]  # fmt: skip
    deed = data.draw(st.sampled_from(deeds))
    later = Change(
        key="z", day=data.draw(st.integers(of.start, today)), agreed_on=today + 1,
        agreed_at=(today + 1) * DAY, deed=deed,
    )  # fmt: skip
    less = replace(of, changes=(*of.changes, later))
    for each in range(of.start, days_of(month_of(today + 1))[1] + 1):
        if isinstance(deed, Cancel):  # of one that had ended: it ends later
            assert rate_on(less, each) >= rate_on(of, each)
        else:
            assert rate_on(less, each) == rate_on(of, each)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 120), st.integers(0, 20), st.integers(1, 9), PRICES)
def test_splitting_a_change_never_changes_the_sum(
    after: int, more: int, parts: int, price: int
) -> None:
    """IN-1: by seats on one day, and by the days from which they count."""
    fees = replace(SEATS, components=(replace(SEATS.components[0], price=price),))
    of = Subscription(key="main", fees=fees, start=FIRST, term=fees.term)
    on = FIRST + after
    month = month_of(on)

    def grown(*quantities: int) -> Subscription:
        return replace(of, changes=tuple(
            Change(key=f"c{place}", day=on, agreed_on=on, agreed_at=on * DAY + place,
                   deed=SetQuantity("seats", MICRO + quantity * MICRO))
            for place, quantity in enumerate(quantities)
        ))  # fmt: skip

    whole = asked(grown(more), month)
    steps = [more * place // parts for place in range(1, parts + 1)]
    assert asked(grown(*steps), month) == whole
    first, last = days_of(month)
    added = [ask for ask in whole if ask.pieces[0].first == on and ask.pieces[0].key == "seats"]
    days = sum(Fraction(price * more, last - first + 1) for _ in range(on, last + 1))
    if on > first and on != FIRST and more:
        assert added[-1].pieces[0].share == days


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 29), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29),
                                              st.integers(0, 9)), max_size=6))  # fmt: skip
def test_it_is_what_a_plain_count_of_seats_a_day_says(
    start: int, made: list[tuple[int, int, int]]
) -> None:
    """IN-1: on a day a month has the most it had, or was known to have, from its opening on."""
    changes = tuple(
        Change(key=f"c{place}", day=FIRST + on, agreed_on=FIRST + agreed, agreed_at=place,
               deed=SetQuantity("seats", quantity * MICRO))
        for place, (on, agreed, quantity) in enumerate(made)
    )  # fmt: skip
    of = Subscription(
        key="main", fees=SEATS, start=FIRST + start, term=SEATS.term,
        quantities={"seats": 5 * MICRO}, changes=changes,
    )  # fmt: skip

    @cache
    def wanted(on: int, knowing: int) -> int:
        quantity = 5
        for at, _, place in sorted((at, place, place) for place, (at, _, _) in enumerate(made)):
            if at <= on and made[place][1] <= knowing:
                quantity = made[place][2]
        return quantity

    for on in range(30):
        most = max(
            (wanted(at, knowing) for at in range(start, on + 1) for knowing in range(start, 30)),
            default=0,
        )
        assert rate_on(of, FIRST + on) == Fraction(most * micros("300000"), 30)


def test_what_a_month_has_is_dated_by_its_changes() -> None:
    of = subscribed("1.10", seats("16.11", 11), seats("1.1.2027", 3, "2.12"))
    assert [date_of(since.day).day for since in in_force(of, NOVEMBER)] == [1, 16]
    assert in_force(of, NOVEMBER - 2) == ()
    assert rate_on(of, day("30.9")) == 0
