"""Ranges of time that have names, and the range before another one (TZ-6).

Owns what "this week" and "last 7 days" are in a zone, what such a range is compared with, and how a
plan says which are shown first and how long a chart's may be. Does not own how clients write one.
"""

from dataclasses import dataclass
from enum import Enum, auto

from domain.documents import Table
from domain.periods import Interval, Zone


class Preset(Enum):
    """A range with a name, at an instant."""

    TODAY = auto()
    YESTERDAY = auto()
    THIS_WEEK = auto()
    LAST_WEEK = auto()
    LAST_7_DAYS = auto()
    THIS_MONTH = auto()
    LAST_MONTH = auto()
    LAST_30_DAYS = auto()
    LAST_90_DAYS = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultRanges:
    """What is shown first where nobody has asked for a range; a plan says so."""

    usage: Preset = Preset.LAST_7_DAYS
    users: Preset = Preset.TODAY


DEFAULT_RANGES = DefaultRanges()

#: Local days of a chart's range at most, where a plan says nothing else: a quarter, at whatever end
#: of it one stands (TZ-6).
CHART_DAYS = 92
#: What a plan may say: a month has room in every chart, and a year in the widest.
CHART_DAYS_MIN, CHART_DAYS_MAX = 31, 366

LAST_DAYS = {Preset.LAST_7_DAYS: 7, Preset.LAST_30_DAYS: 30, Preset.LAST_90_DAYS: 90}


def read_ranges(top: Table) -> DefaultRanges:
    """Read the `ranges` of a plan, which may leave out each of them, or all."""
    if not top.has("ranges"):
        return DEFAULT_RANGES
    table = top.table("ranges", 'write { usage = "last_7_days", users = "today" }')
    words = {preset.name.lower(): preset for preset in Preset}
    found = {
        field: words.get(table.choice(field, words, default=default.name.lower()), default)
        for field, default in (("usage", DEFAULT_RANGES.usage), ("users", DEFAULT_RANGES.users))
    }
    table.close()
    return DefaultRanges(**found)


def read_chart_days(top: Table) -> int:
    """Read the `chart_days` of a plan, which may leave it out."""
    if not top.has("chart_days"):
        return CHART_DAYS
    return top.whole("chart_days", CHART_DAYS_MIN, CHART_DAYS_MAX)


def named(preset: Preset, zone: Zone, now: int) -> Interval:
    """The two instants of a range with a name."""
    today = zone.date(now)
    monday = today - (today + 3) % 7  # day 0 was a Thursday
    match preset:
        case Preset.TODAY:
            return zone.day_bounds(today)
        case Preset.YESTERDAY:
            return _day_before(zone, zone.day_start(now))
        case Preset.THIS_WEEK:
            return _days(zone, monday, 7)
        case Preset.LAST_WEEK:
            return _days(zone, monday - 7, 7)
        case Preset.THIS_MONTH:
            return zone.month_bounds(zone.month(now))
        case Preset.LAST_MONTH:
            return zone.month_bounds(zone.month(now) - 1)
        case _:
            return _days(zone, today - LAST_DAYS[preset] + 1, LAST_DAYS[preset])


def named_before(preset: Preset, zone: Zone, now: int) -> Interval:
    """The range of the same kind before one with a name: a month before a month."""
    start, end = named(preset, zone, now)
    if preset in (Preset.THIS_MONTH, Preset.LAST_MONTH):
        return zone.month_bounds(zone.month(start) - 1)
    return days_before(zone, start, end)


def before(zone: Zone, start: int, end: int) -> Interval:
    """The range before another one: as many days before whole local days, else as long a time.

    It ends where the other begins, and begins with a local hour.
    """
    if zone.day_start(start) == start and zone.day_start(end) == end:
        return days_before(zone, start, end)
    return zone.hour_start(start - (end - start)), start


def days_before(zone: Zone, start: int, end: int) -> Interval:
    """As many local days as there are in `[start, end)`, before them.

    Where the zone skipped all of those, the last day before that had any time in it.
    """
    count = zone.date(end - 1) - zone.date(start) + 1
    first = zone.day_bounds(zone.date(start) - count)[0]
    return (first, start) if first < start else _day_before(zone, start)


def reached(zone: Zone, current: Interval, previous: Interval, now: int) -> int:
    """Up to where the range before had come when as much of it had passed as of the present one.

    The hour that runs counts whole. Of ranges of whole days, the day and the time since it began
    are the same; of others, the time since they began.
    """
    start, end = current
    if now <= start:
        return previous[0]
    until = now if zone.hour_start(now) == now else zone.next_hour(now)
    if until >= end:
        return previous[1]
    if zone.day_start(start) == start and zone.day_start(previous[0]) == previous[0]:
        today = zone.date(until - 1)
        midnight, next_one = zone.day_bounds(zone.date(previous[0]) + today - zone.date(start))
        then = min(midnight + until - zone.day_bounds(today)[0], next_one)
    else:
        then = previous[0] + until - start
    if zone.hour_start(then) != then:
        then = zone.next_hour(then)
    return min(then, previous[1])


def _days(zone: Zone, first: int, count: int) -> Interval:
    return zone.day_bounds(first)[0], zone.day_bounds(first + count - 1)[1]


def _day_before(zone: Zone, midnight: int) -> Interval:
    return zone.day_start(midnight - 1), midnight
