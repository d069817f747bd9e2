"""Zones that are exchanged for others: TZ-3's example, the odd exchanges, what holds of any two."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.changing import change_zone
from domain.periods import (
    DAY,
    HOUR,
    MINUTE,
    Zone,
    buckets,
    date_of,
    instant,
    iso,
    month_label,
    month_name,
    period,
    zone,
    zones,
)
from tests.domain.test_periods import ODD_DAYS, ZONES

JAKARTA, BOGOTA = "Asia/Jakarta", "America/Bogota"
FAR = ["Pacific/Midway", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu"]

#: A zone, the one it is exchanged for, the month; then that month's and the one before's bounds.
EXCHANGES = [
    (JAKARTA, BOGOTA, "2026-11", "2026-10-31T17:00:00Z", "2026-12-01T05:00:00Z"),
    (BOGOTA, JAKARTA, "2026-11", "2026-11-01T05:00:00Z", "2026-11-30T17:00:00Z"),
    (JAKARTA, "Asia/Bangkok", "2026-11", "2026-10-31T17:00:00Z", "2026-11-30T17:00:00Z"),
    ("Pacific/Midway", "Pacific/Kiritimati", "2026-11", "2026-11-01T11:00:00Z",
     "2026-11-30T10:00:00Z"),
    ("Pacific/Kiritimati", "Pacific/Midway", "2026-11", "2026-10-31T10:00:00Z",
     "2026-12-01T11:00:00Z"),
    ("America/New_York", "Europe/London", "2026-11", "2026-11-01T04:00:00Z",
     "2026-12-01T00:00:00Z"),
]  # fmt: skip


def at(written: str) -> int:
    return instant(datetime.fromisoformat(written))


def label(written: str) -> int:
    year, month = written.split("-")
    return month_label(int(year), int(month))


def exchanged(before: str, after: str, month: int) -> tuple[Zone, int]:
    """Two zones as one, and the instant between them: the start of a month in the first."""
    starts_at, _ = zone(before).month_bounds(month)
    return zones(((None, before), (starts_at, after))), starts_at


@pytest.mark.parametrize(("before", "after", "month", "start", "end"), EXCHANGES)
def test_a_period_begins_in_the_old_zone_and_ends_in_the_new(
    before: str, after: str, month: str, start: str, end: str
) -> None:
    """TZ-3: periods never overlap and leave no gap."""
    both, starts_at = exchanged(before, after, label(month))

    found = period(both, starts_at)

    assert (month_name(found.label), iso(found.start), iso(found.end)) == (month, start, end)
    assert period(both, starts_at - 1) == period(zone(before), starts_at - 1)
    assert period(both, found.end) == period(zone(after), found.end)


def test_the_first_day_is_the_longer_for_it() -> None:
    """TZ-3: twelve more hours of Bogota's 31 October belong to 1 November."""
    both, starts_at = exchanged(JAKARTA, BOGOTA, label("2026-11"))

    days = buckets(both, "day", starts_at - DAY, starts_at + 3 * DAY)

    found = [(date_of(both.date(start)).isoformat(), (end - start) // HOUR) for start, end in days]
    assert found == [
        ("2026-10-31", 24), ("2026-11-01", 36), ("2026-11-02", 24), ("2026-11-03", 12)
    ]  # fmt: skip
    assert both.name_at(starts_at - 1) == JAKARTA
    assert both.name_at(starts_at) == BOGOTA


def test_a_day_may_be_short_or_skipped() -> None:
    """TZ-3: from Midway to Kiritimati there is no 1 November, and November begins all the same."""
    short, starts_at = exchanged(BOGOTA, JAKARTA, label("2026-11"))
    assert short.day_bounds(short.date(starts_at)) == (starts_at, starts_at + 12 * HOUR)

    skipping, starts_at = exchanged("Pacific/Midway", "Pacific/Kiritimati", label("2026-11"))
    dates = [date_of(skipping.date(us)).isoformat() for us in (starts_at - 1, starts_at)]
    assert dates == ["2026-10-31", "2026-11-02"]
    assert skipping.next_day(starts_at - 1) == starts_at
    first = skipping.date(starts_at) - 1
    assert skipping.day_bounds(first) == (starts_at, starts_at)


def test_an_hour_is_cut_where_the_zone_is_exchanged() -> None:
    """TZ-3, TZ-2: Kathmandu's hours begin at a quarter past; so usage of the two is kept apart."""
    both, starts_at = exchanged("Asia/Kathmandu", BOGOTA, label("2026-11"))

    hours = buckets(both, "hour", starts_at - HOUR, starts_at + 2 * HOUR)

    minutes = [(end - start) // MINUTE for start, end in hours]
    assert (minutes, starts_at % HOUR) == ([60, 45, 60, 15], 15 * MINUTE)


def test_a_zone_of_several_is_made_once_and_is_written_in_order() -> None:
    assert zones(((None, JAKARTA),)) is zone(JAKARTA)
    assert zones(((None, JAKARTA), (7, BOGOTA))) is zones(((None, JAKARTA), (7, BOGOTA)))
    for wrong in (
        ((7, JAKARTA),),
        ((None, JAKARTA), (None, BOGOTA)),
        ((None, JAKARTA), (7, BOGOTA), (7, JAKARTA)),
        ((None, JAKARTA), (8, BOGOTA), (7, JAKARTA)),
    ):
        with pytest.raises(ValueError, match="a zone begins without an instant"):
            zones(wrong)
    with pytest.raises(ValueError, match="did you mean America/Bogota"):
        zones(((None, JAKARTA), (7, "America/Bogot")))


names = st.sampled_from([*ZONES, *FAR])
months = st.one_of(
    st.integers(month_label(1950, 1), month_label(2090, 1)),
    st.sampled_from([int(day[:4]) * 12 + int(day[5:7]) - 1 for day in ODD_DAYS if day > "195"]),
)


@given(before=names, after=names, month=months)
def test_periods_of_any_two_zones_leave_no_gap(before: str, after: str, month: int) -> None:
    """TZ-3: labels ascend by one; before the exchange all is the old zone's, then the new."""
    both, starts_at = exchanged(before, after, month)

    spans = [both.month_bounds(each) for each in range(month - 3, month + 4)]

    assert all(first[1] == second[0] for first, second in pairwise(spans))
    assert all(start < end for start, end in spans)
    assert [both.month(start) for start, _ in spans] == [*range(month - 3, month + 4)]
    assert [both.month(end - 1) for _, end in spans] == [*range(month - 3, month + 4)]
    assert spans[3][0] == starts_at
    assert spans[:3] == [zone(before).month_bounds(each) for each in range(month - 3, month)]
    assert spans[4:] == [zone(after).month_bounds(each) for each in range(month + 1, month + 4)]


@settings(max_examples=50)
@given(before=names, after=names, month=months)
def test_days_and_hours_of_any_two_zones_leave_no_gap(before: str, after: str, month: int) -> None:
    """TZ-3: dates never go back, each day is bounded where its date begins and ends."""
    both, starts_at = exchanged(before, after, month)
    start, end = starts_at - 3 * DAY, starts_at + 4 * DAY

    days = buckets(both, "day", start, end)
    hours = buckets(both, "hour", start, end)

    assert all(begins < ends for begins, ends in (*days, *hours))
    dates = [both.date(begins) for begins, _ in days]
    assert dates == sorted(set(dates))
    assert starts_at in [begins for begins, _ in days]
    assert starts_at in [begins for begins, _ in hours]
    for begins, ends in days[1:-1]:
        assert both.day_bounds(both.date(begins)) == (begins, ends)
        assert both.day(ends - 1).start == both.day_start(ends - 1) == begins
        assert both.date(ends - 1) == both.date(begins)
    for begins, ends in hours[1:-1]:
        assert both.hour_start(ends - 1) == begins
        assert both.next_hour(begins) == ends
        assert both.day_start(ends - 1) <= begins


@given(before=names, after=names, month=months, moved=st.integers(-40 * DAY, 40 * DAY))
def test_a_clock_shows_what_the_zone_in_force_says(
    before: str, after: str, month: int, moved: int
) -> None:
    """TZ-3: but for the first day and what is left of it, nothing knows of the exchange."""
    both, starts_at = exchanged(before, after, month)
    us = starts_at + moved
    own = zone(before if us < starts_at else after)

    assert both.offset(us) == own.offset(us)
    assert both.date(us) >= both.date(us - HOUR)
    if us < starts_at or us >= starts_at + 3 * DAY:
        for read in (Zone.date, Zone.month, Zone.hour_start, Zone.day_start):
            assert read(both, us) == read(own, us)
    if us >= starts_at + 3 * DAY:
        for read in (Zone.next_hour, Zone.next_day, Zone.next_week, Zone.next_month):
            assert read(both, us) == read(own, us)


NOVEMBER, DECEMBER = at("2026-10-31T17:00Z"), at("2026-11-30T17:00Z")
IN_OCTOBER = at("2026-10-20T00:00Z")

#: What was agreed so far, what is asked for and when, and what is agreed then.
AGREED = [
    # the next start; a period that begins just now has begun
    (((None, JAKARTA),), BOGOTA, IN_OCTOBER, ((None, JAKARTA), (NOVEMBER, BOGOTA))),
    (((None, JAKARTA),), BOGOTA, NOVEMBER - 1, ((None, JAKARTA), (NOVEMBER, BOGOTA))),
    (((None, JAKARTA),), BOGOTA, NOVEMBER, ((None, JAKARTA), (DECEMBER, BOGOTA))),
    # what was to come is replaced, or taken back
    (((None, JAKARTA), (NOVEMBER, BOGOTA)), "UTC", IN_OCTOBER,
     ((None, JAKARTA), (NOVEMBER, "UTC"))),
    (((None, JAKARTA), (NOVEMBER, BOGOTA)), JAKARTA, IN_OCTOBER, ((None, JAKARTA),)),
    (((None, JAKARTA), (NOVEMBER, BOGOTA)), BOGOTA, IN_OCTOBER,
     ((None, JAKARTA), (NOVEMBER, BOGOTA))),
    # what has come stays, and the next start is Bogota's
    (((None, JAKARTA), (NOVEMBER, BOGOTA)), JAKARTA, NOVEMBER,
     ((None, JAKARTA), (NOVEMBER, BOGOTA), (at("2026-12-01T05:00Z"), JAKARTA))),
    (((None, JAKARTA),), JAKARTA, IN_OCTOBER, ((None, JAKARTA),)),
]  # fmt: skip


@pytest.mark.parametrize(("agreed", "to", "after", "then"), AGREED)
def test_another_zone_holds_from_the_next_month_start(
    agreed: tuple[tuple[int | None, str], ...],
    to: str,
    after: int,
    then: tuple[tuple[int | None, str], ...],
) -> None:
    """TZ-3: of two changes before one start the later decided holds."""
    assert change_zone(zones(agreed), to, after) is zones(then)
