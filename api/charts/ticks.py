"""Where the marks of a chart's two scales stand, and what is written at them.

Owns round numbers, and which buckets are named when there is no room for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from api.charts.chart import SHORT_FROM, Chart, Scale
from api.charts.look import width
from domain.periods import DAY

#: Marks of the scale of values at most, the one at zero among them.
MARKS_MAX: Final = 6
#: Pixels between two texts beside one another.
GAP: Final = 14

#: Days of which hours may be named.
HOURS_OF_DAYS_MAX: Final = 7

_STEPS: Final = (1, 2, 5)
_HOURS: Final = (1, 2, 3, 6, 12)
_DAYS: Final = (1, 2, 7, 14, 28)
_WEEKS: Final = (1, 2, 4)
_MONTHS: Final = (1, 3)

#: A bucket's place and its text.
Mark = tuple[int, str]


def values(chart: Chart, low: int, high: int) -> tuple[int, int, list[int]]:
    """The ends of the scale of values, with 0 and some room in it, and its round marks."""
    low, high = min(low, 0), max(high, 0)
    for step in _steps(chart):
        floor, ceiling = low // step, -(-high // step)
        if ceiling - floor < MARKS_MAX:
            break
    # Where the next round value is far away, there is none at the end.
    room = (high - low) // 12 or step
    bottom, top = low - room if low else 0, high + room
    return (
        bottom,
        top,
        [place * step for place in range(floor, ceiling + 2) if bottom <= place * step <= top],
    )


def _steps(chart: Chart) -> Iterator[int]:
    # What is counted is whole; of money and minutes there are parts.
    step = chart.per if chart.scale is Scale.COUNT else chart.per // 1_000
    while True:
        yield from (step * each for each in _STEPS)
        step *= 10


def value_texts(chart: Chart, marks: list[int]) -> list[str]:
    """What is written at values: in as few letters as tell them apart."""
    large = max(map(abs, marks)) >= SHORT_FROM * chart.per
    for digits in range(4):
        texts = [chart.short(mark, digits, large=large) for mark in marks]
        if len(set(texts)) == len(marks) and _exact(chart, marks, digits):
            return texts
    return [chart.plain(mark, 6) for mark in marks]


def _exact(chart: Chart, marks: list[int], digits: int) -> bool:
    """Whether so many decimals of thousands, millions and so on round none of the marks."""
    for mark in marks:
        whole = abs(mark) // chart.per
        power = 1
        while whole >= power * 1_000:
            power *= 1_000
        if whole >= 1_000 and whole * 10**digits % power:
            return False
    return True


def buckets(chart: Chart, slot: float, size: float) -> list[Mark]:
    """The buckets that are named, as many as have room where each is `slot` pixels wide."""
    found: list[Mark] = []
    for found in _candidates(chart):
        room = all(
            (after - before) * slot >= (width(one, size) + width(other, size)) / 2 + GAP
            for (before, one), (after, other) in pairwise(found)
        )
        if room:
            return found
    return found[:1]


def _candidates(chart: Chart) -> Iterator[list[Mark]]:
    match chart.bucket:
        case "hour":
            yield from _of_hours(chart)
            yield from _of_days(chart)
        case "day":
            yield from _of_days(chart)
        case "week":
            yield from (_every(chart, n, _day) for n in _WEEKS)
        case "month":
            yield from (_every(chart, n, _month) for n in _MONTHS)


def _of_hours(chart: Chart) -> Iterator[list[Mark]]:
    # Of many days no hour has room for its name.
    for n in _HOURS if _days(chart) <= HOURS_OF_DAYS_MAX else ():
        marks: list[Mark] = []
        for place, (start, _) in enumerate(chart.cuts):
            begins = chart.zone.day_start(start) == start
            if begins and _days(chart) > 1:
                marks.append((place, _day(chart, place)))
            elif chart.local(start).minute == 0 and chart.local(start).hour % n == 0:
                marks.append((place, _hour(chart, place)))
        yield marks


def _of_days(chart: Chart) -> Iterator[list[Mark]]:
    begins = [
        (place, chart.zone.date(start))
        for place, (start, _) in enumerate(chart.cuts)
        if chart.bucket == "day" or chart.zone.day_start(start) == start
    ]
    for n in _DAYS:
        # Every seventh day is a Monday: day 0 was a Thursday.
        yield [(place, _day(chart, place)) for place, day in begins if (day + 3) % n == 0]
    yield [(0, _day(chart, 0))]


def _every(chart: Chart, n: int, told: Callable[[Chart, int], str]) -> list[Mark]:
    return [(place, told(chart, place)) for place in range(0, len(chart.cuts), n)]


def _days(chart: Chart) -> int:
    return -(-(chart.cuts[-1][1] - chart.cuts[0][0]) // (DAY + DAY // 12))


def _hour(chart: Chart, place: int) -> str:
    from babel.dates import format_time

    start = chart.local(chart.cuts[place][0])
    return str(format_time(start.time(), "short", locale=chart.locale))


def _day(chart: Chart, place: int) -> str:
    from babel.dates import format_skeleton

    day = chart.day(chart.cuts[place][0])
    return str(format_skeleton("MMMd", day, locale=chart.locale))


def _month(chart: Chart, place: int) -> str:
    from babel.dates import format_skeleton

    day = chart.day(chart.cuts[place][0])
    return str(format_skeleton("yMMM", day, locale=chart.locale))
