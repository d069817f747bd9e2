"""Report schedules: what a report tells and when it is due, over odd days, weeks and months."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.periods import DAY, HOUR, date_of, instant, iso, zone, zones
from domain.report_schedules import Rhythm, Stretch, following, latest

JAKARTA = zone("Asia/Jakarta")


def at(text: str) -> int:
    return instant(datetime.fromisoformat(text))


def told(found: Stretch) -> tuple[str, str, str, str]:
    """Its name, its days, and when it is due, in UTC."""
    first, last = date_of(found.first).isoformat(), date_of(found.last).isoformat()
    return found.name, first, last, iso(found.due_at)


def test_a_day_is_told_at_an_hour_of_the_next() -> None:
    """At seven in Jakarta, which is midnight in UTC."""
    assert told(latest(JAKARTA, Rhythm.DAILY, 7, at("2026-11-23T00:00:00Z"))) == (
        "2026-11-22", "2026-11-22", "2026-11-22", "2026-11-23T00:00:00Z"
    )  # fmt: skip
    before = at("2026-11-23T00:00:00Z") - 1
    assert latest(JAKARTA, Rhythm.DAILY, 7, before).name == "2026-11-21"
    assert following(JAKARTA, Rhythm.DAILY, 7, before).name == "2026-11-22"
    assert following(JAKARTA, Rhythm.DAILY, 7, before + 1).name == "2026-11-23"


def test_a_week_is_told_on_monday_from_monday_on() -> None:
    monday = at("2026-11-23T09:00:00+07:00")
    assert told(latest(JAKARTA, Rhythm.WEEKLY, 9, monday)) == (
        "2026-W47", "2026-11-16", "2026-11-22", "2026-11-23T02:00:00Z"
    )  # fmt: skip
    assert latest(JAKARTA, Rhythm.WEEKLY, 9, monday - 1).name == "2026-W46"
    assert latest(JAKARTA, Rhythm.WEEKLY, 9, monday + 6 * DAY).name == "2026-W47"


def test_a_week_over_new_year_has_one_name() -> None:
    """ISO 8601: the week with the year's first Thursday is its first."""
    found = latest(JAKARTA, Rhythm.WEEKLY, 0, at("2027-01-04T12:00:00+07:00"))
    assert told(found)[:3] == ("2026-W53", "2026-12-28", "2027-01-03")


@pytest.mark.parametrize(
    ("now", "name", "first", "last"),
    [
        ("2026-03-01T06:00:00+07:00", "2026-02", "2026-02-01", "2026-02-28"),
        ("2028-03-01T06:00:00+07:00", "2028-02", "2028-02-01", "2028-02-29"),
        ("2027-01-01T06:00:00+07:00", "2026-12", "2026-12-01", "2026-12-31"),
        ("2026-12-01T05:59:59+07:00", "2026-10", "2026-10-01", "2026-10-31"),
        ("2026-12-31T23:00:00+07:00", "2026-11", "2026-11-01", "2026-11-30"),
    ],
)
def test_a_month_is_told_on_the_next_ones_first(now: str, name: str, first: str, last: str) -> None:
    assert told(latest(JAKARTA, Rhythm.MONTHLY, 6, at(now)))[:3] == (name, first, last)


def test_an_hour_that_clocks_skip_is_due_as_soon_as_they_are_past_it() -> None:
    """Berlin, 2026-03-29: two o'clock is three; the day told has 24 hours, the next one 23."""
    berlin = zone("Europe/Berlin")
    found = following(berlin, Rhythm.DAILY, 2, at("2026-03-28T12:00:00+01:00"))
    assert told(found) == ("2026-03-28", "2026-03-28", "2026-03-28", "2026-03-29T01:00:00Z")
    after = following(berlin, Rhythm.DAILY, 2, found.due_at)
    assert told(after)[3] == "2026-03-30T00:00:00Z"
    assert after.end - after.start == 23 * HOUR


def test_an_hour_that_comes_twice_is_due_once() -> None:
    """Berlin, 2026-10-25: at the first of the two."""
    berlin = zone("Europe/Berlin")
    found = following(berlin, Rhythm.DAILY, 2, at("2026-10-24T12:00:00+02:00"))
    assert told(found)[3] == "2026-10-25T00:00:00Z"
    assert following(berlin, Rhythm.DAILY, 2, found.due_at).name == "2026-10-25"
    assert latest(berlin, Rhythm.DAILY, 2, found.due_at + HOUR).name == "2026-10-24"


def test_a_midnight_that_clocks_skip_is_due_when_the_day_begins() -> None:
    """Santiago, 2026-09-06 begins at one."""
    santiago = zone("America/Santiago")
    found = following(santiago, Rhythm.DAILY, 0, at("2026-09-05T12:00:00-04:00"))
    assert told(found) == ("2026-09-05", "2026-09-05", "2026-09-05", "2026-09-06T04:00:00Z")


def test_half_hours_are_hours_of_the_clock() -> None:
    kathmandu = zone("Asia/Kathmandu")
    found = following(kathmandu, Rhythm.DAILY, 8, at("2026-11-22T00:00:00Z"))
    assert told(found)[3] == "2026-11-22T02:15:00Z"


def test_a_day_that_a_zone_skips_is_not_told() -> None:
    """Apia had no 2011-12-30: the 29th is told on the 31st, and the week and month have it not."""
    apia = zone("Pacific/Apia")
    found = following(apia, Rhythm.DAILY, 6, at("2011-12-29T12:00:00-10:00"))
    assert told(found) == ("2011-12-29", "2011-12-29", "2011-12-29", "2011-12-30T16:00:00Z")
    assert following(apia, Rhythm.DAILY, 6, found.due_at).name == "2011-12-31"
    month = latest(apia, Rhythm.MONTHLY, 6, at("2012-01-15T00:00:00Z"))
    assert told(month)[:3] == ("2011-12", "2011-12-01", "2011-12-31")


def test_a_tenant_that_moves_has_each_day_told_once() -> None:
    """From Jakarta to Los Angeles and its clocks 15 hours back."""
    moved = at("2026-11-10T12:00:00+07:00")
    both = zones(((None, "Asia/Jakarta"), (moved, "America/Los_Angeles")))
    names, now = list[str](), moved - 3 * DAY
    for _ in range(6):
        found = following(both, Rhythm.DAILY, 9, now)
        names.append(found.name)
        now = found.due_at
    assert names == sorted(set(names))
    assert names == [f"2026-11-{day:02d}" for day in range(7, 13)]


NAMES = (
    "Asia/Jakarta", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Pacific/Apia",
    "Asia/Kathmandu", "Africa/Casablanca", "America/St_Johns", "UTC",
)  # fmt: skip


@given(
    name=st.sampled_from(NAMES),
    rhythm=st.sampled_from(Rhythm),
    hour=st.integers(0, 23),
    now=st.integers(at("2011-01-01T00:00:00Z"), at("2040-01-01T00:00:00Z")),
)
def test_stretches_follow_each_other_without_gap_and_are_due_behind_their_end(
    name: str, rhythm: Rhythm, hour: int, now: int
) -> None:
    own = zone(name)
    was, then = latest(own, rhythm, hour, now), following(own, rhythm, hour, now)
    assert was.due_at <= now < then.due_at
    assert was.end == then.start
    assert was.name < then.name
    assert own.day_bounds(was.first)[0] == was.start
    for each in (was, then):
        assert each.end <= each.due_at <= each.end + 26 * HOUR
        assert own.date(each.due_at) in (each.last + 1, each.last + 2)
        shown = (each.due_at + own.offset(each.due_at)) % DAY
        assert shown >= hour * HOUR
        assert latest(own, rhythm, hour, each.due_at) == each
        assert latest(own, rhythm, hour, each.due_at - 1).end == each.start
