"""Ranges with names and what they are compared with, in zones whose days are not all alike."""

from __future__ import annotations

from datetime import datetime
from itertools import product

import pytest

from domain.documents import Fault, Table
from domain.periods import DAY, HOUR, Interval, Zone, instant, iso, zone, zones
from domain.ranges import (
    DEFAULT_RANGES,
    DefaultRanges,
    Preset,
    before,
    named,
    named_before,
    reached,
    read_ranges,
)

LONDON, NEW_YORK = zone("Europe/London"), zone("America/New_York")
LORD_HOWE, KATHMANDU = zone("Australia/Lord_Howe"), zone("Asia/Kathmandu")
APIA, JAKARTA = zone("Pacific/Apia"), zone("Asia/Jakarta")


def at(text: str) -> int:
    """An instant of UTC, written as 2026-10-25 12:00."""
    return instant(datetime.fromisoformat(text + "+00:00"))


#: Jakarta until its November, from then on Bogota: 1 November has 36 hours (TZ-3).
MOVED = zones(((None, "Asia/Jakarta"), (at("2026-10-31 17:00"), "America/Bogota")))

#: The zone, now, the range, its two instants, and the first instant of the range before it.
NAMED = [
    # Kathmandu's days begin at 18:15Z.
    (KATHMANDU, "2026-11-10 10:00", Preset.TODAY, "2026-11-09 18:15", "2026-11-10 18:15",
     "2026-11-08 18:15"),
    (KATHMANDU, "2026-11-10 18:14", Preset.YESTERDAY, "2026-11-08 18:15", "2026-11-09 18:15",
     "2026-11-07 18:15"),
    # The day the clocks go back has 25 hours, its month 745.
    (LONDON, "2026-10-25 12:00", Preset.TODAY, "2026-10-24 23:00", "2026-10-26 00:00",
     "2026-10-23 23:00"),
    (LONDON, "2026-10-26 12:00", Preset.YESTERDAY, "2026-10-24 23:00", "2026-10-26 00:00",
     "2026-10-23 23:00"),
    (LONDON, "2026-10-25 12:00", Preset.THIS_WEEK, "2026-10-18 23:00", "2026-10-26 00:00",
     "2026-10-11 23:00"),
    (LONDON, "2026-10-26 00:00", Preset.LAST_WEEK, "2026-10-18 23:00", "2026-10-26 00:00",
     "2026-10-11 23:00"),
    (LONDON, "2026-10-25 12:00", Preset.THIS_MONTH, "2026-09-30 23:00", "2026-11-01 00:00",
     "2026-08-31 23:00"),
    (LONDON, "2026-11-02 12:00", Preset.LAST_MONTH, "2026-09-30 23:00", "2026-11-01 00:00",
     "2026-08-31 23:00"),
    # In spring a day has 23 hours.
    (NEW_YORK, "2026-03-08 15:00", Preset.TODAY, "2026-03-08 05:00", "2026-03-09 04:00",
     "2026-03-07 05:00"),
    (NEW_YORK, "2026-03-08 15:00", Preset.LAST_7_DAYS, "2026-03-02 05:00", "2026-03-09 04:00",
     "2026-02-23 05:00"),
    (NEW_YORK, "2026-03-08 15:00", Preset.LAST_30_DAYS, "2026-02-07 05:00", "2026-03-09 04:00",
     "2026-01-08 05:00"),
    (NEW_YORK, "2026-03-08 15:00", Preset.LAST_90_DAYS, "2025-12-09 05:00", "2026-03-09 04:00",
     "2025-09-10 04:00"),
    (NEW_YORK, "2026-03-31 15:00", Preset.LAST_MONTH, "2026-02-01 05:00", "2026-03-01 05:00",
     "2026-01-01 05:00"),
    # Lord Howe's clocks go back by half an hour.
    (LORD_HOWE, "2026-04-05 00:00", Preset.TODAY, "2026-04-04 13:00", "2026-04-05 13:30",
     "2026-04-03 13:00"),
    # Samoa had no 30 December 2011: a day before it is the 29th, seven days have six in them.
    (APIA, "2011-12-31 00:00", Preset.TODAY, "2011-12-30 10:00", "2011-12-31 10:00",
     "2011-12-29 10:00"),
    (APIA, "2011-12-31 00:00", Preset.YESTERDAY, "2011-12-29 10:00", "2011-12-30 10:00",
     "2011-12-28 10:00"),
    (APIA, "2011-12-31 00:00", Preset.LAST_7_DAYS, "2011-12-25 10:00", "2011-12-31 10:00",
     "2011-12-18 10:00"),
    # Who moved from Jakarta to Bogota had one long day.
    (MOVED, "2026-11-01 12:00", Preset.TODAY, "2026-10-31 17:00", "2026-11-02 05:00",
     "2026-10-30 17:00"),
    (MOVED, "2026-11-20 12:00", Preset.THIS_MONTH, "2026-10-31 17:00", "2026-12-01 05:00",
     "2026-09-30 17:00"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "now", "preset", "start", "end", "earlier"), NAMED)
def test_ranges_with_names_and_those_before_them(
    where: Zone, now: str, preset: Preset, start: str, end: str, earlier: str
) -> None:
    """TZ-6: today, this week from Monday, this month, and n days that end with today."""
    assert [*map(iso, named(preset, where, at(now)))] == [iso(at(start)), iso(at(end))]
    assert [*map(iso, named_before(preset, where, at(now)))] == [iso(at(earlier)), iso(at(start))]


@pytest.mark.parametrize(
    ("where", "preset"), [*product((LONDON, LORD_HOWE, APIA, MOVED), Preset)], ids=str
)
def test_a_range_is_whole_days_and_the_one_before_ends_where_it_begins(
    where: Zone, preset: Preset
) -> None:
    """TZ-6: at whatever instant one asks; without a gap, and never without any time in it."""
    for day in ("2011-12-25 09:59", "2026-04-01 00:00", "2026-10-20 12:00"):
        for step in range(60):
            now = at(day) + step * 7 * HOUR
            start, end = named(preset, where, now)
            earlier, until = named_before(preset, where, now)
            assert earlier < until == start < end
            assert all(where.day_start(edge) == edge for edge in (earlier, start, end))


BEFORE = [
    # Whole local days: as many before, however long they are.
    (LONDON, "2026-10-24 23:00", "2026-10-27 00:00", "2026-10-22 23:00"),
    (NEW_YORK, "2026-03-08 05:00", "2026-03-09 04:00", "2026-03-07 05:00"),
    (APIA, "2011-12-30 10:00", "2011-12-31 10:00", "2011-12-29 10:00"),
    # Other instants: as long before, from the start of a local hour on.
    (LONDON, "2026-10-25 10:00", "2026-10-25 22:00", "2026-10-24 22:00"),
    (LORD_HOWE, "2026-04-05 15:30", "2026-04-05 17:30", "2026-04-05 13:30"),
    (LORD_HOWE, "2026-04-04 15:30", "2026-04-04 17:30", "2026-04-04 13:00"),
]


@pytest.mark.parametrize(("where", "start", "end", "earlier"), BEFORE)
def test_what_was_before_dates_and_instants(
    where: Zone, start: str, end: str, earlier: str
) -> None:
    """TZ-6, FI-3: comparisons are of days with days, and never cut an hour."""
    assert [*map(iso, before(where, at(start), at(end)))] == [iso(at(earlier)), iso(at(start))]


NOVEMBER, OCTOBER = JAKARTA.month_bounds(2026 * 12 + 10), JAKARTA.month_bounds(2026 * 12 + 9)
MARCH, FEBRUARY = JAKARTA.month_bounds(2026 * 12 + 2), JAKARTA.month_bounds(2026 * 12 + 1)

#: The zone, the range, the one before it (None: the day before), now, and what was reached.
REACHED: list[tuple[Zone, Interval | str, Interval | None, str, str]] = [
    # On the 10th at 10:30 in Jakarta the hour that runs ends at 11:00, of 10 October too.
    (JAKARTA, NOVEMBER, OCTOBER, "2026-11-10 03:30", "2026-10-10 04:00"),
    (JAKARTA, NOVEMBER, OCTOBER, "2026-11-10 03:00", "2026-10-10 03:00"),
    (JAKARTA, NOVEMBER, OCTOBER, "2026-11-30 15:30", "2026-10-30 16:00"),
    # Not begun, over, or in its last hour.
    (JAKARTA, NOVEMBER, OCTOBER, "2026-10-31 17:00", "2026-09-30 17:00"),
    (JAKARTA, NOVEMBER, OCTOBER, "2026-11-30 16:30", "2026-10-31 17:00"),
    (JAKARTA, NOVEMBER, OCTOBER, "2026-12-24 00:00", "2026-10-31 17:00"),
    # A month that had no such day had passed.
    (JAKARTA, MARCH, FEBRUARY, "2026-03-30 03:30", "2026-02-28 17:00"),
    # 14 hours of a day of 25 are 14 hours of the day before it.
    (LONDON, "2026-10-25 12:10", None, "2026-10-25 12:10", "2026-10-24 13:00"),
    (NEW_YORK, "2026-03-08 15:00", None, "2026-03-08 15:00", "2026-03-07 15:00"),
    # Two hours and a half of Lord Howe's long day would cut an hour of the day before it.
    (LORD_HOWE, "2026-04-04 15:10", None, "2026-04-04 15:10", "2026-04-03 16:00"),
    # Noon of 31 December is compared with noon of the 29th in Samoa.
    (APIA, "2011-12-30 22:00", None, "2011-12-30 22:00", "2011-12-29 22:00"),
]


@pytest.mark.parametrize(("where", "current", "previous", "now", "then"), REACHED)
def test_how_far_the_range_before_had_come(
    where: Zone, current: Interval | str, previous: Interval | None, now: str, then: str
) -> None:
    """FI-3: what is not over is compared with as much of what was before it."""
    if isinstance(current, str):
        previous = named_before(Preset.TODAY, where, at(current))
        current = named(Preset.TODAY, where, at(current))
    assert previous is not None
    assert iso(reached(where, current, previous, at(now))) == iso(at(then))


def test_ranges_of_instants_are_compared_by_the_time_since_they_began() -> None:
    """FI-3: two hours from 10:00 have come as far as two hours from 08:00 had."""
    start = at("2026-11-10 03:00")
    current = (start, start + 2 * HOUR)
    previous = before(JAKARTA, *current)
    assert previous == (start - 2 * HOUR, start)
    assert reached(JAKARTA, current, previous, start + HOUR // 2) == start - HOUR


def test_what_was_reached_never_goes_back_and_always_begins_an_hour() -> None:
    """FI-3: through every half hour of ranges with odd days in them."""
    for where, day, preset in product(
        (LONDON, LORD_HOWE, APIA, MOVED),
        ("2011-12-29 08:00", "2026-04-03 12:00", "2026-10-24 12:00", "2026-10-31 10:00"),
        (Preset.TODAY, Preset.THIS_WEEK, Preset.THIS_MONTH),
    ):
        current = named(preset, where, at(day))
        previous = named_before(preset, where, at(day))
        until = min(current[1], current[0] + 5 * DAY)
        reaches = [
            reached(where, current, previous, now)
            for now in range(current[0], until + HOUR, HOUR // 2)
        ]
        assert reaches == sorted(reaches)
        assert {where.hour_start(reach) - reach for reach in reaches} == {0}
        assert previous[0] == reaches[0]
        assert max(reaches) <= previous[1]


def read(values: dict[str, object]) -> tuple[DefaultRanges, list[Fault]]:
    top = Table(values)
    found = read_ranges(top)
    top.close()
    return found, top.problems


def test_default_ranges_are_a_plans_to_say() -> None:
    """TZ-6: usage of the last 7 days and users of today, where a plan says nothing else."""
    assert read({}) == (DEFAULT_RANGES, [])
    assert (DEFAULT_RANGES.usage, DEFAULT_RANGES.users) == (Preset.LAST_7_DAYS, Preset.TODAY)
    found, problems = read({"ranges": {"usage": "this_month"}})
    assert (found.usage, found.users, problems) == (Preset.THIS_MONTH, Preset.TODAY, [])


def test_a_range_nobody_knows_is_refused_with_its_place() -> None:
    _, problems = read({"ranges": {"usage": "last_8_days", "user": "today"}})
    assert {problem.path for problem in problems} == {"ranges.usage", "ranges.user"}
    assert "last_7_days" in " ".join(map(str, problems))
