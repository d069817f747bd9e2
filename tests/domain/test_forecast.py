"""Forecasts: when a balance runs out, by rhythms as tenants have them, and when that is told."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.forecast import (
    HORIZON_DAYS,
    Confidence,
    Enough,
    Forecast,
    Outlook,
    Part,
    Use,
    enough,
    forecast,
)
from domain.periods import DAY, HOUR, Zone, buckets, instant, zone
from domain.plans import parse_plan
from domain.refill_policy import RefillPolicy
from domain.rhythm import HISTORY_DAYS, LEAST_DAYS, SHAPE_DAYS, Rhythm
from domain.running_out import crossed, tell
from domain.thresholds import RUNNING_OUT_DAYS, days_of, of_amounts, watched, with_days
from domain.watch import DEFAULTS, AlertCause, AlertKind, Mark, Measure, Threshold
from tests.domain.spine import BOOKS, UNIT, Tenant, sample, terms_of

JAKARTA, LONDON = zone("Asia/Jakarta"), zone("Europe/London")
ENDLESS = None
Used = Callable[[int, int, int], float]  #: by days ago, weekday and hour: units


def local(where: Zone, text: str) -> int:
    """The instant of a clock there; of a repeated hour the first."""
    shown = instant(datetime.fromisoformat(f"{text}+00:00"))
    return shown - where.offset(shown - where.offset(shown))


#: A Thursday, midnight.
THURSDAY = local(JAKARTA, "2026-11-19 00:00")
DAYTIME = range(8, 18)


def rhythm_of(
    used: Used, *, at: int = THURSDAY, where: Zone = JAKARTA, days: int = HISTORY_DAYS
) -> Rhythm:
    """What came before an instant, hour by hour."""
    today = where.date(at)
    by_day: dict[int, int] = {}
    hours: dict[int, int] = {}
    for start, end in buckets(where, "hour", where.day_bounds(today - days)[0], at):
        date = where.date(start)
        hour = (start + where.offset(start)) % DAY // HOUR
        units = used(today - date, (date + 3) % 7, hour) * (end - start) / HOUR
        micros = round(units * UNIT)
        day = where.day_start(start)
        by_day[day] = by_day.get(day, 0) + micros
        if today - date <= SHAPE_DAYS:
            hours[start] = micros
    return Rhythm(zone=where, at=at, days=by_day, hours=hours)


def flat(ago: int, weekday: int, hour: int) -> float:
    return 1.0


def office(ago: int, weekday: int, hour: int) -> float:
    return 10.0 if weekday < 5 and hour in DAYTIME else 0.0


def lot(units: float, starts_at: int = 0, ends_at: int | None = ENDLESS) -> Part:
    return Part(round(units * UNIT), starts_at, ends_at)


def told(used: Used, units: float, at: int = THURSDAY, days: int = HISTORY_DAYS) -> Forecast:
    return forecast(rhythm_of(used, at=at, days=days), [lot(units)])


def hours_off(found: Forecast, expected: int) -> float:
    assert found.runs_out_at is not None
    return abs(found.runs_out_at - expected) / HOUR


# Shapes

#: What came, what is left, and when it is used up if that goes on.
SHAPES: list[tuple[str, Used, float, str]] = [
    ("flat", flat, 24 * 5, "2026-11-24 00:00"),
    ("flat, within the day", flat, 6, "2026-11-19 06:00"),
    ("flat, far", flat, 24 * 40.5, "2026-12-29 12:00"),
    ("office hours", office, 50, "2026-11-19 13:00"),
    ("office hours, until the evening", office, 97, "2026-11-19 17:40"),
    ("over a quiet weekend", office, 250, "2026-11-23 13:00"),
    ("two weeks of office hours", office, 1_050, "2026-12-03 13:00"),
    ("one busy day a week", lambda ago, day, hour: 10.0 * (day == 1), 120, "2026-11-24 12:00"),
]


@pytest.mark.parametrize(("used", "units", "expected"), [row[1:] for row in SHAPES],
                         ids=[row[0] for row in SHAPES])  # fmt: skip
def test_it_runs_out_when_the_rhythm_has_used_it(used: Used, units: float, expected: str) -> None:
    """Hour by hour of the local clock and weekday; what is certain has a narrow range."""
    found = told(used, units)
    assert found.outlook is Outlook.RUNS_OUT
    days = (local(JAKARTA, expected) - THURSDAY) / DAY
    # A little of a usual day is mixed into each weekday and hour.
    assert hours_off(found, local(JAKARTA, expected)) <= max(5, days)
    assert found.earliest is not None
    assert found.latest is not None
    assert found.earliest <= (found.runs_out_at or 0) <= found.latest
    assert found.days > HISTORY_DAYS - 7  # from the first use on
    assert found.days_left == ((found.runs_out_at or 0) - THURSDAY) * UNIT // DAY


def test_nothing_runs_out_while_everybody_sleeps() -> None:
    """A rhythm of weekdays and daytime is forecast into them."""
    for units in range(20, 900, 35):
        found = told(office, units + 0.5)
        assert found.runs_out_at is not None
        shown = found.runs_out_at + JAKARTA.offset(found.runs_out_at)
        assert (JAKARTA.date(found.runs_out_at) + 3) % 7 < 5
        assert shown % DAY // HOUR in DAYTIME


@pytest.mark.parametrize(
    ("used", "sooner"),
    [(lambda ago, day, hour: 1.03**-ago, True), (lambda ago, day, hour: 1.03**ago, False)],
    ids=["growing", "shrinking"],
)
def test_the_last_days_count_more(used: Used, sooner: bool) -> None:
    """What grew is used up sooner than the mean of the weeks says."""
    found = told(used, 24 * 7)
    mean = sum(used(ago, 0, 0) for ago in range(1, HISTORY_DAYS + 1)) / HISTORY_DAYS
    by_mean = THURSDAY + int(7 / mean * DAY)
    assert found.runs_out_at is not None
    assert (found.runs_out_at < by_mean) is sooner
    today = THURSDAY + 7 * DAY  # as if nothing changed any more
    assert hours_off(found, today) < 30


@pytest.mark.parametrize(
    ("days", "used", "outlook"),
    [
        (HISTORY_DAYS, lambda ago, day, hour: 0.0, Outlook.UNUSED),
        (LEAST_DAYS - 1, flat, Outlook.TOO_NEW),
        (LEAST_DAYS, flat, Outlook.RUNS_OUT),
        (HISTORY_DAYS, lambda ago, day, hour: float(ago > 7), Outlook.UNUSED),
        (HISTORY_DAYS, lambda ago, day, hour: float(ago > 6), Outlook.RUNS_OUT),
        (HISTORY_DAYS, lambda ago, day, hour: float(ago < 7), Outlook.TOO_NEW),
    ],
    ids=["none", "six days", "a week", "over for a week", "over for six days", "began this week"],
)
def test_where_little_is_known_it_says_so(days: int, used: Used, outlook: Outlook) -> None:
    """Fewer than seven days of use give no figure but why; nothing for a week is over."""
    found = told(used, 24 * 3, days=days)
    assert found.outlook is outlook
    if outlook is not Outlook.RUNS_OUT:
        assert (found.runs_out_at, found.earliest, found.latest, found.confidence) == (None,) * 4
        assert found.days_left is None


def test_a_week_is_little() -> None:
    """With one week the range is wide, and nobody is to trust it."""
    week, weeks = (told(flat, 24 * 3, days=days) for days in (LEAST_DAYS, HISTORY_DAYS))
    assert (week.confidence, weeks.confidence) == (Confidence.POOR, Confidence.GOOD)
    assert week.latest is None or (week.latest - (week.earliest or 0)) > 2 * DAY
    assert (weeks.latest or 0) - (weeks.earliest or 0) < DAY


def test_what_trembles_has_a_wider_range() -> None:
    noise = random.Random("forecast").choices((0.3, 1.0, 2.0), k=HISTORY_DAYS + 1)
    calm, wild = told(flat, 24 * 5), told(lambda ago, day, hour: noise[ago], 24 * 5)
    assert wild.earliest is not None
    assert calm.earliest is not None
    assert wild.earliest < calm.earliest
    assert wild.latest is None or (calm.latest is not None and wild.latest > calm.latest)


def test_the_same_again_is_the_same() -> None:
    """No chance is in it."""
    assert told(office, 777) == told(office, 777)


# Days of 23 and 25 hours


@pytest.mark.parametrize(
    ("midnight", "noon"),
    [("2026-10-25 00:00", "2026-10-25 12:00"), ("2027-03-28 00:00", "2027-03-28 12:00"),
     ("2026-10-24 00:00", "2026-10-25 12:00"), ("2027-03-27 00:00", "2027-03-28 12:00")],
)  # fmt: skip
def test_hours_are_the_local_clocks(midnight: str, noon: str) -> None:
    """TZ-2: a day of 25 or 23 hours takes what its weekday takes, by the clock people live by."""
    at = local(LONDON, midnight)
    rhythm = rhythm_of(lambda ago, day, hour: float(hour in DAYTIME), at=at, where=LONDON)
    days = (LONDON.date(local(LONDON, noon)) - LONDON.date(at)) + 0.4
    found = forecast(rhythm, [lot(10 * days)])
    assert hours_off(found, local(LONDON, noon)) <= 1
    assert found.runs_out_at == LONDON.hour_start(found.runs_out_at or 0)


def test_a_repeated_hour_takes_its_part() -> None:
    """TZ-2: of an even day of 25 hours a 25th falls into each."""
    at = local(LONDON, "2026-10-25 00:00")
    found = forecast(rhythm_of(flat, at=at, where=LONDON), [lot(24 * 0.5)])
    assert hours_off(found, at + 25 * HOUR // 2) <= 1


# What is left


def test_a_lot_that_ends_is_gone_then() -> None:
    """BA-1, BA-3: nothing is forecast beyond the last usable lot, at either bound."""
    rhythm = rhythm_of(flat)
    ends_at = THURSDAY + 2 * DAY
    found = forecast(rhythm, [lot(24 * 9, ends_at=ends_at)])
    assert (found.runs_out_at, found.latest, found.by_end) == (ends_at, ends_at, True)
    # What ends first pays first, and the rest is longer enough.
    found = forecast(rhythm, [lot(24 * 9, ends_at=ends_at), lot(24)])
    assert hours_off(found, ends_at + DAY) <= 2
    assert not found.by_end
    # Drawn last it lapses unused.
    found = forecast(rhythm, [lot(24 * 2.5), lot(24, ends_at=ends_at)])
    assert hours_off(found, THURSDAY + 5 * DAY // 2) <= 2
    # One that begins in time is waited for, one that begins too late is not.
    soon, late = (lot(24, starts_at=THURSDAY + days * DAY) for days in (1, 3))
    assert hours_off(forecast(rhythm, [lot(24 * 2), soon]), THURSDAY + 3 * DAY) <= 2
    assert hours_off(forecast(rhythm, [lot(24 * 2), late]), THURSDAY + 2 * DAY) <= 2


def test_what_is_granted_anew_lasts_the_period() -> None:
    rhythm, resets_at = rhythm_of(flat), local(JAKARTA, "2026-12-01 00:00")
    allowance = lot(24 * 30, ends_at=resets_at)
    found = forecast(rhythm, [allowance], resets_at=resets_at)
    assert (found.outlook, found.until) == (Outlook.LASTS_PERIOD, resets_at)
    assert (found.runs_out_at, found.earliest, found.confidence) == (None, None, None)
    sooner = forecast(rhythm, [allowance._replace(remaining=24 * 4 * UNIT)], resets_at=resets_at)
    assert sooner.outlook is Outlook.RUNS_OUT
    assert hours_off(sooner, THURSDAY + 4 * DAY) <= 3
    # It may be close: then it says how soon it could be.
    close = forecast(
        rhythm, [allowance._replace(remaining=24 * 12 * UNIT + 1)], resets_at=resets_at
    )
    assert close.outlook is Outlook.LASTS_PERIOD
    assert close.earliest is not None
    assert close.earliest < resets_at


def test_it_does_not_look_farther_than_it_can_see() -> None:
    found = told(flat, 24 * (HORIZON_DAYS + 20))
    assert (found.outlook, found.runs_out_at) == (Outlook.LASTS, None)
    assert found.until == JAKARTA.day_bounds(JAKARTA.date(THURSDAY) + HORIZON_DAYS)[0]


def test_what_is_held_or_owed_is_gone_and_credit_is_not() -> None:
    """BA-2: when a send could no longer be paid."""
    rhythm = rhythm_of(flat)
    lots = [lot(24 * 3)]
    assert hours_off(forecast(rhythm, lots, spare=-24 * UNIT), THURSDAY + 2 * DAY) <= 2
    assert hours_off(forecast(rhythm, lots, spare=24 * UNIT), THURSDAY + 4 * DAY) <= 2
    assert forecast(rhythm, lots, spare=-24 * 3 * UNIT).outlook is Outlook.USED_UP
    assert forecast(rhythm, []).outlook is Outlook.USED_UP
    assert forecast(rhythm, [], spare=24 * UNIT).outlook is Outlook.RUNS_OUT


def test_it_says_when_it_would_be_refilled() -> None:
    """RF-1: at the minimum, before it runs out."""
    rhythm = rhythm_of(flat)
    found = forecast(rhythm, [lot(24 * 5)], level=24 * 2 * UNIT)
    assert abs((found.reaches_at or 0) - (THURSDAY + 3 * DAY)) <= 2 * HOUR
    assert forecast(rhythm, [lot(24)], level=24 * UNIT).reaches_at == THURSDAY
    assert forecast(rhythm, [lot(24)]).reaches_at is None


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Rhythm, list[Part], int]:
    """A history of any kind, lots in any order of drawing, and what is owed or lent."""
    days = draw(st.integers(0, HISTORY_DAYS))
    sizes = draw(st.lists(st.integers(0, 400), min_size=days + 1, max_size=days + 1))
    at = THURSDAY + draw(st.integers(0, 7 * 24)) * HOUR + draw(st.integers(0, HOUR - 1))
    rhythm = rhythm_of(lambda ago, day, hour: sizes[min(ago, days)] / 24, at=at, days=days)
    lots = [
        Part(draw(st.integers(0, 2_000 * UNIT)), at + start * DAY,
             draw(st.none() | st.integers(start + 1, 40).map(lambda day: at + day * DAY)))
        for start in draw(st.lists(st.integers(-3, 5), max_size=4))
    ]  # fmt: skip
    return rhythm, lots, draw(st.integers(-100, 100)) * UNIT


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 3), st.integers(1, 500 * UNIT))
def test_more_left_never_runs_out_sooner(
    world: tuple[Rhythm, list[Part], int], place: int, more: int
) -> None:
    """And no instant is beyond the last usable lot, before the present, or out of order."""
    rhythm, lots, spare = world
    less = forecast(rhythm, lots, spare=spare)
    added = [part._replace(remaining=part.remaining + more * (n == place))
             for n, part in enumerate(lots)]  # fmt: skip
    after = forecast(rhythm, added, spare=spare if place < len(lots) else spare + more)
    for name in ("earliest", "runs_out_at", "latest"):
        sooner, later = getattr(less, name), getattr(after, name)
        assert Outlook.USED_UP in (less.outlook, after.outlook) or (
            (sooner if sooner is not None else math.inf)
            <= (later if later is not None else math.inf)
        )
    for found in (less, after):
        instants = [found.earliest, found.runs_out_at, found.latest]
        known = [each for each in instants if each is not None]
        assert known == sorted(known)
        assert instants[len(known) :] == [None] * (3 - len(known))
        assert all(rhythm.at <= each for each in known)
    ends = [part.ends_at for part in lots if part.remaining > 0]
    if less.outlook is Outlook.RUNS_OUT and spare <= 0 and None not in ends:
        last = max(end for end in ends if end is not None)
        assert less.latest is not None
        assert less.latest <= max(last, rhythm.at)


# What it is enough for

DATE = JAKARTA.date(THURSDAY)
SENT = Use("whatsapp", "out", "marketing", "ID", "ID", 9_000 * UNIT, 15)


def test_it_is_enough_for_what_it_was_used_for() -> None:
    """By the price in force, whole ones; of units the units."""
    book = BOOKS["omnichannel-idr"]
    plan = parse_plan(sample("plan-omnichannel-idr"), book)
    money, units = plan.balance("whatsapp"), plan.balance("conversations")
    rare = SENT._replace(category="utility", cost=UNIT)
    received = SENT._replace(direction="in", category="", cost=9**9 * UNIT)
    found = enough(plan, book, money, 706_000 * UNIT, [rare, SENT, received], DATE)
    assert found == Enough(1_204, "message", SENT)  # at 586.33
    assert enough(plan, book, money, 586_329_999, [SENT], DATE) == Enough(0, "message", SENT)
    assert enough(plan, book, money, -5, [SENT], DATE) == Enough(0, "message", SENT)
    assert enough(plan, book, money, 706_000 * UNIT, [SENT._replace(cost=0)], DATE) is None
    assert enough(plan, book, units, 524_900_000, [SENT], DATE) == Enough(524, "conversation")


# What is told

FORECAST = Forecast(outlook=Outlook.LASTS, at=THURSDAY, days=56, until=THURSDAY + 91 * DAY)
SOON_GRANTED = replace(FORECAST, outlook=Outlook.LASTS_PERIOD, until=THURSDAY + DAY)
LINE = Threshold(Measure.DAYS, RUNNING_OUT_DAYS * UNIT)


def runs_out(days: float) -> Forecast:
    return replace(
        FORECAST, outlook=Outlook.RUNS_OUT, runs_out_at=THURSDAY + round(days * 24) * HOUR
    )


#: What was told, what is forecast, and what is told of it: strictly sooner, over a quarter later.
TOLD: list[tuple[bool, Forecast, AlertKind | None]] = [
    (False, runs_out(3), None),
    (False, runs_out(2.9), AlertKind.RUNNING_OUT),
    (True, runs_out(2.9), None),
    (True, runs_out(3.7), None),
    (True, runs_out(3.75), AlertKind.RECOVERED),
    (True, FORECAST, AlertKind.RECOVERED),
    (True, replace(FORECAST, outlook=Outlook.UNUSED), AlertKind.RECOVERED),
    (False, FORECAST, None),
    (False, SOON_GRANTED, None),
    (True, SOON_GRANTED, AlertKind.RECOVERED),
    (True, replace(SOON_GRANTED, earliest=THURSDAY + 20 * HOUR), None),
    (False, replace(FORECAST, outlook=Outlook.USED_UP, until=None), None),
    (True, replace(FORECAST, outlook=Outlook.USED_UP, until=None), None),
    (True, replace(FORECAST, outlook=Outlook.TOO_NEW, until=None), None),
]


@pytest.mark.parametrize(("marked", "found", "kind"), TOLD)
def test_it_is_told_once_and_over_when_it_is_clearly_later(
    marked: bool, found: Forecast, kind: AlertKind | None
) -> None:
    below: set[Mark] = {(2, LINE)} if marked else set()
    said = crossed(terms_of(), below, {2: found})
    assert [each[1] for each in said] == ([] if kind is None else [kind])
    assert crossed(terms_of(), None, {2: found}) == []  # nobody watches while a log comes in


def test_days_are_the_tenants_own() -> None:
    """0 is never; other days end what was told by those before; a refill tells by itself."""
    two = Threshold(Measure.DAYS, 2 * UNIT)
    found = {2: runs_out(1)}
    own = replace(terms_of(), running_out={2: 2})
    assert [each[:2] for each in crossed(own, {(2, LINE)}, found)] == [
        ((2, LINE), AlertKind.RECOVERED), ((2, two), AlertKind.RUNNING_OUT)
    ]  # fmt: skip
    never = replace(terms_of(), running_out={2: 0})
    assert crossed(never, set(), found) == []
    assert [each[1] for each in crossed(never, {(2, LINE)}, found)] == [AlertKind.RECOVERED]
    refilled = replace(terms_of(), refills={2: RefillPolicy(True, UNIT, UNIT)})
    assert crossed(refilled, set(), found) == []
    assert crossed(replace(refilled, refills={2: RefillPolicy(False, UNIT, UNIT)}), set(), found)


def test_what_is_told_says_what_is_left() -> None:
    """AL-2: the mark stands with those of thresholds, and no movement takes it away."""
    tenant = Tenant()
    tenant.state.below = set()
    changes = tell(tenant.terms, tenant.state, {2: runs_out(1)}, THURSDAY)
    (alert,) = changes.alerts
    assert (alert.kind, alert.cause, alert.cause_id) == (
        AlertKind.RUNNING_OUT, AlertCause.FORECAST, f"forecast/{THURSDAY}"
    )  # fmt: skip
    assert (alert.remaining, alert.base) == (1_000 * UNIT, UNIT)
    assert tenant.state.below == {(2, LINE)}
    assert tell(tenant.terms, tenant.state, {2: runs_out(1)}, THURSDAY).alerts == []
    over = tell(tenant.terms, tenant.state, {2: runs_out(9)}, THURSDAY + HOUR)
    assert [each.kind for each in over.alerts] == [AlertKind.RECOVERED]
    assert tenant.state.below == set()


KEPT: Sequence[tuple[tuple[Threshold, ...] | None, int | None]] = [
    (None, None), ((), None), (None, 5), ((), 0), (DEFAULTS[:1], 60), (DEFAULTS[:1], None),
]  # fmt: skip


@pytest.mark.parametrize(("own", "days"), KEPT)
def test_days_stand_among_thresholds_and_change_none(
    own: tuple[Threshold, ...] | None, days: int | None
) -> None:
    """AL-1: what is kept of both says both again."""
    kept = with_days(own, days)
    assert (of_amounts(kept), days_of(kept)) == (own, days)
    assert watched(kept) == watched(own)
