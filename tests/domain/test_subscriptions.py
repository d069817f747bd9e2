"""What was agreed with a tenant: its fees, changes, end, and what cannot be agreed (IN-1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fees import MONTHLY, Component, Fees, FeesError, SetupFee, Term, parse_fees
from domain.money import MICRO, micros
from domain.periods import DAY, date_number, date_of, month_label
from domain.problems import Problem
from domain.subscriptions import (
    Cancel,
    Change,
    Deed,
    Ending,
    Pause,
    Renew,
    Resume,
    SetQuantity,
    Subscription,
    SubscriptionError,
    SwitchPlan,
    agreed,
    days_of,
    ending,
    known,
    last_day,
    month_of,
    parse_subscription,
    term_end,
    terms,
)

GROWTH: dict[str, Any] = {
    "fees": "growth",
    "name": "Growth",
    "currency": "IDR",
    "components": [
        {"component": "base", "name": "Base", "unit": "plan", "price": "2000000"},
        {"component": "seats", "name": "Seats", "unit": "seat", "price": "250000", "quantity": "5"},
    ],
    "setup": [{"fee": "onboarding", "name": "Onboarding", "price": "500000"}],
    "term": {"months": 12, "renews": True},
}
FEES = parse_fees(GROWTH)
PLAIN = replace(FEES, plan="plain", name="Plain", components=FEES.components[:1], term=MONTHLY)


def day(written: str) -> int:
    return date_number(date.fromisoformat(written))


def change(on: str, deed: Deed, agreed_on: str | None = None, key: str = "c1") -> Change:
    said = day(agreed_on or on)
    return Change(key=key, day=day(on), agreed_on=said, agreed_at=said * DAY, deed=deed)


def subscribed(start: str, *changes: Change, term: Term = MONTHLY) -> Subscription:
    return Subscription(key="main", fees=FEES, start=day(start), term=term, changes=changes)


YEARLY, ONE_YEAR = Term(months=12, renews=True), Term(months=12, renews=False)


# Documents


def test_fees_are_read_as_they_are_written() -> None:
    expected = Fees(
        plan="growth",
        name="Growth",
        currency="IDR",
        components=(
            Component(
                key="base", name="Base", unit="plan", price=micros("2000000"), quantity=MICRO
            ),
            Component(
                key="seats", name="Seats", unit="seat", price=micros("250000"), quantity=5 * MICRO
            ),
        ),
        setup=(SetupFee(key="onboarding", name="Onboarding", price=micros("500000")),),
        term=YEARLY,
    )
    assert expected == FEES
    assert parse_fees({**GROWTH, "term": "monthly"}).term == MONTHLY
    only = {key: value for key, value in GROWTH.items() if key not in ("components", "term")}
    assert (parse_fees(only).components, parse_fees(only).term) == ((), MONTHLY)


def test_every_problem_of_fees_is_told_at_once() -> None:
    seat = GROWTH["components"][1]
    with pytest.raises(FeesError) as caught:
        parse_fees(
            {
                "fees": "Growth",
                "name": "Growth",
                "currency": "IDX",
                "components": [
                    seat,
                    seat,
                    {**seat, "component": "b", "price": 5, "quantity": "-1", "colour": "red"},
                    {**seat, "component": "c", "price": "100000000000", "quantity": "2"},
                ],
                "setup": [GROWTH["setup"][0], {**GROWTH["setup"][0], "price": "free"}],
                "term": {"months": 0},
                "more": 1,
            }
        )
    assert [fault.path for fault in caught.value.problems] == [
        "fees", "currency", "components[1].component", "components[2].price",
        "components[2].quantity", "components[2].colour", "components[3].price",
        "setup[1].price", "setup[1].fee", "term.months", "more",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({"components": [], "setup": []}, "components"),
        ({"term": 12}, "term"),
        ({"term": {"months": 121}}, "term.months"),
        ({"setup": [{"fee": "x", "name": "X", "price": "999999999999"}]}, "setup[0].price"),
    ],
)
def test_fees_that_cannot_be(extra: dict[str, object], path: str) -> None:
    with pytest.raises(FeesError) as caught:
        parse_fees({**GROWTH, **extra})
    assert caught.value.problems[0].path == path


def test_fees_that_ask_for_nothing_are_none() -> None:
    with pytest.raises(FeesError, match="the document: asks for nothing"):
        parse_fees({"fees": "none", "name": "None", "currency": "IDR"})


def test_a_subscription_is_read_with_its_own_quantities_and_term() -> None:
    document = {"subscription": "main", "fees": "growth", "start": "2026-01-31"}
    plain = parse_subscription(document, {"growth": FEES})
    assert plain == subscribed("2026-01-31", term=YEARLY)
    own = {**document, "term": "monthly", "quantities": {"seats": "12"}}
    found = parse_subscription(own, {"growth": FEES})
    assert found == replace(plain, term=MONTHLY, quantities={"seats": micros("12")})
    present = terms(found, found.start, ())
    assert present is not None
    assert (present.quantities, present.quantity("seats")) == ((MICRO, 12 * MICRO), 12 * MICRO)
    assert present.rate == micros("5000000") * MICRO


def test_every_problem_of_a_subscription_is_told_at_once() -> None:
    with pytest.raises(SubscriptionError) as caught:
        parse_subscription(
            {
                "subscription": "",
                "fees": "growth",
                "start": "2026-02-30",
                "term": {"months": 12, "renew": True},
                "quantities": {"seat": "1", "base": "many", "seats": "999999999"},
                "end": "2026-03-01",
            },
            {"growth": FEES},
        )
    assert [fault.path for fault in caught.value.problems] == [
        "subscription", "start", "term.renew", "quantities.seat", "quantities.base",
        "quantities.seats", "end",
    ]  # fmt: skip
    with pytest.raises(SubscriptionError, match="did you mean 'growth'"):
        parse_subscription(
            {
                "subscription": "main",
                "fees": "grwth",
                "start": "2026-01-01",
                "quantities": {"a": "1"},
            },
            {"growth": FEES},
        )


def test_fees_kept_and_read_again_are_the_same() -> None:
    assert msgspec.json.decode(msgspec.json.encode(FEES), type=Fees) == FEES


# Days and terms


@given(st.integers(0, 60_000))
def test_a_day_is_in_its_month(on: int) -> None:
    first, last = days_of(month_of(on))
    assert first <= on <= last
    assert (month_of(first - 1), month_of(last + 1)) == (month_of(on) - 1, month_of(on) + 1)
    assert (date_of(first).day, date_of(last + 1).day) == (1, 1)


#: The first day, months of the commitment, a day of it, and its last one.
TERM_ENDS = [
    ("2026-01-31", 0, "2026-02-03", "2026-02-28"),
    ("2026-01-31", 0, "2028-02-29", "2028-02-29"),
    ("2026-11-16", 12, "2026-11-16", "2027-11-15"),
    ("2026-11-16", 12, "2027-11-15", "2027-11-15"),
    ("2026-11-16", 12, "2027-11-16", "2028-11-15"),
    ("2026-11-01", 12, "2026-12-24", "2027-10-31"),
    # A 31st is a month's last day where it has none, and a 31st again where it has.
    ("2026-01-31", 1, "2026-02-01", "2026-02-27"),
    ("2026-01-31", 1, "2026-02-28", "2026-03-30"),
    ("2026-01-31", 1, "2026-04-01", "2026-04-29"),
    ("2028-02-29", 12, "2028-03-01", "2029-02-27"),
    ("2028-02-29", 12, "2029-02-28", "2030-02-27"),
    ("2028-02-29", 48, "2028-03-01", "2032-02-28"),
]


@pytest.mark.parametrize(("start", "months", "on", "expected"), TERM_ENDS)
def test_a_commitment_ends_on_the_day_before_its_day(
    start: str, months: int, on: str, expected: str
) -> None:
    """IN-1: counted from the first day, never from a shorter month's."""
    of = subscribed(start, term=Term(months=months, renews=True))
    assert date_of(term_end(of, day(on))).isoformat() == expected


def later(on: str, deed: Deed, key: str, agreed_on: str | None = None) -> Change:
    return change(on, deed, agreed_on, key)


#: The term, what was agreed, the last day served, and from which day on it is said.
ENDS: list[tuple[str, Term, list[Change], tuple[str, str] | None]] = [
    ("month to month", MONTHLY, [], None),
    ("a year, and another", YEARLY, [], None),
    ("a year", ONE_YEAR, [], ("2027-01-30", "2026-12-31")),
    ("by its month", MONTHLY, [change("2026-11-16", Cancel(None))], ("2026-11-30", "2026-11-16")),
    ("by a day", MONTHLY, [change("2026-11-16", Cancel(day("2027-02-10")))],
     ("2027-02-10", "2027-01-11")),
    ("by its year", YEARLY, [change("2026-11-16", Cancel(None))], ("2027-01-30", "2026-12-31")),
    ("by its second year", YEARLY, [change("2027-01-31", Cancel(None))],
     ("2028-01-30", "2027-12-31")),
    ("withdrawn", MONTHLY, [change("2026-11-16", Cancel(None)), later("2026-11-20", Renew(), "c2")],
     None),
    ("a year, renewed", ONE_YEAR, [change("2026-11-16", Renew())], None),
    ("renewed and cancelled", ONE_YEAR,
     [change("2026-11-16", Renew()), later("2027-01-10", Cancel(None), "c2")],
     ("2027-01-30", "2027-01-10")),
    ("cancelled for another day", MONTHLY,
     [change("2026-11-16", Cancel(day("2027-03-31"))),
      later("2026-11-20", Cancel(day("2026-12-31")), "c2")], ("2026-12-31", "2026-12-01")),
    ("what was agreed last holds, whatever its day", MONTHLY,
     [change("2026-11-01", Renew(), "2026-11-20"),
      later("2026-11-16", Cancel(None), "c2")], None),
    ("the same end again is not said later", MONTHLY,
     [change("2026-11-16", Cancel(None)), later("2026-11-20", Cancel(day("2026-11-30")), "c2")],
     ("2026-11-30", "2026-11-16")),
]  # fmt: skip


@pytest.mark.parametrize(("term", "changes", "expected"), [row[1:] for row in ENDS],
                         ids=[row[0] for row in ENDS])  # fmt: skip
def test_when_it_ends_and_from_when_on_that_is_said(
    term: Term, changes: list[Change], expected: tuple[str, str] | None
) -> None:
    """IN-1: SUBSCRIPTION_ENDING thirty days before, or when it is known."""
    for order in (changes, changes[::-1]):
        found = ending(subscribed("2026-01-31", *order, term=term))
        assert found == (None if expected is None else Ending(*map(day, expected)))


def test_how_long_before_is_a_setting() -> None:
    of = subscribed("2026-01-31", term=ONE_YEAR)
    assert ending(of, 0) == Ending(day("2027-01-30"), day("2027-01-30"))
    assert ending(of, 7) == Ending(day("2027-01-30"), day("2027-01-23"))
    assert ending(of, 1000) == Ending(day("2027-01-30"), of.start)


def test_what_was_known_on_a_day() -> None:
    of = subscribed("2026-01-31", change("2026-11-01", Cancel(None), "2026-11-16"))
    assert last_day(of, known(of, day("2026-11-15"))) is None
    assert last_day(of, known(of, day("2026-11-16"))) == days_of(month_label(2026, 11))[1]


# What holds on a day


def seats(on: str, quantity: int, key: str, at: int = 0) -> Change:
    made = later(on, SetQuantity("seats", quantity * MICRO), key)
    return replace(made, agreed_at=made.agreed_at + at)


def test_the_later_day_holds_and_of_one_day_the_later_agreed() -> None:
    of = subscribed(
        "2026-01-31", seats("2026-11-16", 8, "a", 2), seats("2026-11-16", 9, "b", 1),
        seats("2026-11-10", 7, "c"), seats("2026-11-20", 6, "e"), seats("2026-11-20", 5, "d"),
    )  # fmt: skip
    found = [
        present.quantity("seats") // MICRO
        for on in (9, 10, 15, 16, 19, 20)
        if (present := terms(of, day(f"2026-11-{on:02}"), known(of, None))) is not None
    ]
    assert found == [5, 7, 7, 8, 8, 6]


def test_a_plan_keeps_quantities_by_key() -> None:
    bots = Component(key="bots", name="Bots", unit="bot", price=MICRO, quantity=3 * MICRO)
    other = replace(FEES, plan="other", components=(FEES.components[1], bots))
    of = subscribed(
        "2026-01-31", seats("2026-02-01", 8, "a"), later("2026-03-01", SwitchPlan(other), "b"),
        later("2026-04-01", Pause(), "c"), later("2026-05-01", Resume(), "d"),
        later("2026-04-10", SetQuantity("bots", MICRO), "e"),
    )  # fmt: skip
    found = [terms(of, day(f"2026-{month:02}-01"), known(of, None)) for month in (3, 4, 5)]
    assert [present and present.quantities for present in found] == [
        (8 * MICRO, 3 * MICRO), None, (8 * MICRO, MICRO),
    ]  # fmt: skip
    assert found[0] is not None
    assert (found[0].quantity("bots"), found[0].quantity("base")) == (3 * MICRO, 0)


# What cannot be agreed

PAUSED = later("2026-11-01", Pause(), "p")
REFUSED: list[tuple[str, Term, list[Change], Change]] = [
    ("BEFORE_START", MONTHLY, [], seats("2026-01-30", 2, "x")),
    ("ENDED", ONE_YEAR, [], change("2027-01-31", Renew())),
    ("ENDED", ONE_YEAR, [], change("2027-01-30", Renew(), "2027-01-31")),
    ("UNKNOWN_COMPONENT", MONTHLY, [], change("2026-11-16", SetQuantity("seat", MICRO))),
    ("UNKNOWN_COMPONENT", MONTHLY, [later("2026-11-16", SwitchPlan(PLAIN), "p")],
     seats("2026-11-16", 2, "x")),
    ("INVALID", MONTHLY, [], change("2026-11-16", SetQuantity("seats", -1))),
    ("TOO_MUCH", MONTHLY, [], change("2026-11-16", SetQuantity("seats", 10**12))),
    ("CURRENCY_MISMATCH", MONTHLY, [],
     change("2026-11-16", SwitchPlan(replace(PLAIN, currency="USD")))),
    ("PAUSED", MONTHLY, [PAUSED], change("2026-11-16", Pause())),
    ("NOT_PAUSED", MONTHLY, [], change("2026-11-16", Resume())),
    ("NOT_PAUSED", MONTHLY, [PAUSED], change("2026-10-31", Resume(), "2026-11-16")),
    ("INVALID", MONTHLY, [], change("2026-11-16", Cancel(day("2026-11-15")))),
    ("INVALID", MONTHLY, [], change("2026-10-16", Cancel(None), "2026-11-16")),
    ("INVALID", MONTHLY, [], change("2026-02-01", Cancel(day("2026-01-30")), "2025-12-01")),
    ("COMMITTED", YEARLY, [], change("2026-11-16", Cancel(day("2026-12-31")))),
    ("NOT_ENDING", MONTHLY, [], change("2026-11-16", Renew())),
    ("IDEMPOTENCY_KEY_REUSED", MONTHLY, [PAUSED], later("2026-11-02", Pause(), "p")),
]  # fmt: skip


@pytest.mark.parametrize(("code", "term", "before", "refused"), REFUSED)
def test_what_cannot_be_agreed(
    code: str, term: Term, before: list[Change], refused: Change
) -> None:
    of = subscribed("2026-01-31", *before, term=term)
    with pytest.raises(Problem) as caught:
        agreed(of, refused)
    assert caught.value.code == code
    assert of.changes == tuple(before)


ALLOWED: list[tuple[Term, list[Change], Change]] = [
    (MONTHLY, [], seats("2026-01-31", 2, "x")),
    (MONTHLY, [], change("2026-10-16", SetQuantity("seats", 0), "2026-11-16")),
    (ONE_YEAR, [], change("2027-01-30", Renew())),
    (MONTHLY, [PAUSED], change("2026-11-01", Resume())),
    (MONTHLY, [PAUSED], seats("2026-11-16", 2, "x")),
    (MONTHLY, [], change("2026-11-16", Cancel(day("2026-11-16")))),
    (YEARLY, [], change("2026-11-16", Cancel(day("2028-01-30")))),
    (MONTHLY, [], change("2026-11-16", SwitchPlan(PLAIN))),
]


@pytest.mark.parametrize(("term", "before", "asked"), ALLOWED)
def test_what_can_be_agreed(term: Term, before: list[Change], asked: Change) -> None:
    of = subscribed("2026-01-31", *before, term=term)
    after = agreed(of, asked)
    assert after.changes == (*before, asked)
    # Again, be it later: the same one is no change.
    again = replace(asked, agreed_on=asked.agreed_on + 1, agreed_at=asked.agreed_at + DAY)
    assert agreed(after, again) is after
