"""Rhythms: what a usual day takes of a balance, by weekday and hour, and how far that was off.

Owns the statistics behind `forecast`: the week, the level, the hours of a day in the tenant's zone
(days of 23 and 25 hours take what their weekday takes), and the range, which is what forecasts of
the same history were off by. Nothing is random, and nothing is asked but the history given.

Floats are of these statistics alone: what a rhythm takes is a guess, and no amount that is stored
or charged is made of it. The constants are the back-test's, `tests/bench/forecast.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Final, NamedTuple, TypeAlias

from domain.money import MICRO
from domain.periods import DAY, HOUR, Zone, buckets

#: Whole local days that are looked back at: eight weeks.
HISTORY_DAYS: Final = 56
#: Of them, those by whose hours a day is spread.
SHAPE_DAYS: Final = 14
#: Of the latest days: where nothing at all was used in them, use is taken to be over.
QUIET_DAYS: Final = 7
#: Days before the first one that is forecast to look how far off that would have been.
LEAST_DAYS: Final = 7

#: Usual days that are mixed into each weekday, and usual weeks into the hours of one.
WEEK_PRIOR: Final = 0.5
SHAPE_PRIOR: Final = 1.0 / 7
#: A trickle in every hour, of all that was used: no hour is taken to be impossible.
SHAPE_LEAST: Final = 1e-5

#: Days after which a day counts half, of each memory the level is mixed from.
HALF_LIVES: Final = (1.5, 3.0, 6.0, 12.0)
#: Days ahead at which memories are compared; after how many days a comparison counts half.
COMPARED_AT: Final = (2, 4, 7)
COMPARED_HALF_LIFE: Final = 20.0
#: A memory that is off twice as far counts a sixteenth.
TRUST_POWER: Final = 4.0

#: Horizons in days at which the range is known; between them it goes straight.
KNOTS: Final = (1, 2, 4, 7, 14, 28)
#: Its bounds: of ten truths one is below, one above.
LOW, HIGH = 0.1, 0.9
#: Looks back of which a share is taken at least, and the range where there are fewer.
LOOKS_LEAST: Final = 6
UNKNOWN: Final = (0.4, 2.5)
#: Looks back overlap, so they say less than as many apart: wider at all, and with few weeks.
WIDER, WIDER_BY_WEEK = 1.15, 1.0
#: The least a range is to either side.
NARROWEST: Final = 0.02

#: What a day's weekday takes, beside 1 on average, and what was used on it.
Day: TypeAlias = tuple[float, float]
#: Beside 1 that is usual, what comes at the lower and at the upper bound.
Bounds: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """What was used of a balance, and when its tenant's days are busy."""

    zone: Zone
    at: int  #: the present; what is later is not in it
    days: Mapping[int, int]  #: micros used, by when the local day began; today's up to now
    hours: Mapping[int, int]  #: how busy local hours were, by when they began


class Usual:
    """What is usual, worked out of a rhythm."""

    __slots__ = ("_bounds", "_level", "_shape", "_week", "_zone", "at", "days", "quiet")

    def __init__(self, rhythm: Rhythm) -> None:
        zone = self._zone = rhythm.zone
        self.at = rhythm.at
        self._shape = _shape(rhythm)
        today = zone.date(rhythm.at)
        used = _history(rhythm, today)
        self.days = len(used)  #: whole local days since the first use
        self._week = _week(used)
        start, end = zone.day_bounds(today)
        so_far = max(rhythm.days.get(start, 0), 0) / MICRO
        share = self._share(start, end, rhythm.at) * self._week[_weekday(today)]
        latest = sum(x for date, x in used if date >= today - QUIET_DAYS)
        self.quiet = latest + so_far <= 0  #: whether nothing was used of late
        looks = _look_back([(self._week[_weekday(date)], x) for date, x in used], (share, so_far))
        levels = _mixed(looks)
        self._level = levels[-1]
        self._bounds = _bounds(looks, levels)

    def taken(self, until: Sequence[int]) -> list[float]:
        """What is usually taken from now until each of some instants, ascending, in units."""
        found: list[float] = []
        day, sum_ = self._zone.day(self.at), 0.0
        begun = self._share(day.start, day.end, self.at)
        for instant in until:
            while instant > day.end:
                sum_ += self._of(day.date) * (1 - begun)
                day, begun = self._zone.day(day.end), 0.0
            share = self._share(day.start, day.end, instant)
            found.append(sum_ + self._of(day.date) * max(share - begun, 0.0))
        return found

    def bound(self, days: float, upper: bool) -> float:
        """Beside 1 that is usually taken over some days, what is taken at a bound of the range."""
        place, (first, nearest) = int(upper), self._bounds[0]
        if days <= first:  # less of a day evens out less
            return 1 + (nearest[place] - 1) * min(sqrt(first / max(days, 0.01)), 2.0)
        for (before, low), (after, high) in pairwise(self._bounds):
            if days <= after:
                way = (days - before) / (after - before)
                return low[place] + (high[place] - low[place]) * way
        last, farthest = self._bounds[-1]
        wider = min(sqrt(days / last), 2.0) if upper else 1.0
        return 1 + (farthest[place] - 1) * wider

    def instant(self, start: int, end: int, share: float) -> int:
        """When a share of what `[start, end)` of one day takes is taken, by its hours."""
        day = self._zone.day(start)
        parts = [
            (max(since, start), min(until, end), weight / (until - since))
            for since, until, weight in self._hours(day.start, day.end)
            if until > start and since < end
        ]
        left = share * sum(dense * (until - since) for since, until, dense in parts)
        for since, until, dense in parts:
            weight = dense * (until - since)
            if left <= weight:
                return since + int(left / dense)
            left -= weight
        return end

    def _of(self, date: int) -> float:
        return self._level * self._week[_weekday(date)]

    def _hours(self, start: int, end: int) -> list[tuple[int, int, float]]:
        """The hours of a local day with their weights; a repeated one weighs twice (TZ-2)."""
        zone = self._zone
        shape = self._shape[_weekday(zone.date(start))]
        return [
            (since, until, shape[(since + zone.offset(since)) % DAY // HOUR] * (until - since))
            for since, until in buckets(zone, "hour", start, end)
        ]

    def _share(self, start: int, end: int, at: int) -> float:
        """How much of a day's use falls before an instant."""
        if at <= start:
            return 0.0
        if at >= end:
            return 1.0
        before = whole = 0.0
        for since, until, weight in self._hours(start, end):
            whole += weight
            if since < at:
                before += weight * (min(until, at) - since) / (until - since)
        return before / whole


def _weekday(date: int) -> int:
    """0 is Monday; day 0 was a Thursday."""
    return (date + 3) % 7


def _history(rhythm: Rhythm, today: int) -> list[tuple[int, float]]:
    """Whole local days from the first use on, oldest first, in units."""
    found: list[tuple[int, float]] = []
    for date in range(today - HISTORY_DAYS, today):
        start, end = rhythm.zone.day_bounds(date)
        used = max(rhythm.days.get(start, 0), 0)
        if start < end and (used or found):
            found.append((date, used / MICRO))
    return found


def _shape(rhythm: Rhythm) -> list[list[float]]:
    """By weekday, how busy each hour of the local clock is; all alike where nothing is known."""
    zone, since = rhythm.zone, rhythm.at - SHAPE_DAYS * DAY
    cells = [[0.0] * 24 for _ in range(7)]
    for start, busy in rhythm.hours.items():
        if since <= start <= rhythm.at and busy > 0:
            hour = (start + zone.offset(start)) % DAY // HOUR
            cells[_weekday(zone.date(start))][hour] += busy
    clock = [sum(cell[hour] for cell in cells) for hour in range(24)]
    whole = sum(clock)
    if whole <= 0:
        return [[1.0] * 24 for _ in range(7)]
    least = SHAPE_LEAST * whole
    return [
        [cell[hour] + SHAPE_PRIOR * clock[hour] + least for hour in range(24)] for cell in cells
    ]


def _week(used: Sequence[tuple[int, float]]) -> list[float]:
    """What each weekday takes, 1 on average; all alike where each was not seen twice."""
    mean = sum(x for _, x in used) / max(len(used), 1)
    if len(used) < 2 * LEAST_DAYS or mean <= 0:
        return [1.0] * 7
    sums, counts = [WEEK_PRIOR * mean] * 7, [WEEK_PRIOR] * 7
    for date, x in used:
        sums[_weekday(date)] += x
        counts[_weekday(date)] += 1
    week = [x / count for x, count in zip(sums, counts, strict=True)]
    return [each * 7 / sum(week) for each in week]


class _Looks(NamedTuple):
    """What was known before each day of the history, and of today."""

    shares: list[float]  #: what the weekdays before it come to
    sums: list[float]  #: what was used before it
    levels: list[list[float]]  #: by memory, what a usual day took


def _look_back(days: Sequence[Day], today: Day) -> _Looks:
    """Look from before each day; from today with what it brought, as far as it went."""
    shares, sums = [0.0], [0.0]
    for share, x in days:
        shares.append(shares[-1] + share)
        sums.append(sums[-1] + x)
    levels: list[list[float]] = []
    for half_life in HALF_LIVES:
        fade = 0.5 ** (1 / half_life)
        expected = came = 0.0
        seen: list[float] = []
        for share, x in days:
            seen.append(came / expected if expected > 0 else 0.0)
            expected, came = expected * fade + share, came * fade + x
        expected, came = expected + today[0], came + today[1]
        levels.append([*seen, came / expected if expected > 0 else 0.0])
    return _Looks(shares, sums, levels)


def _mixed(looks: _Looks) -> list[float]:
    """What a usual day took: of all memories, those most that were off least (see TRUST_POWER)."""
    shares, sums, levels = looks
    last = len(sums) - 1
    off = [1e-9] * len(levels)
    for ahead in COMPARED_AT:
        for first in range(LEAST_DAYS, last - ahead + 1):
            weight = 0.5 ** ((last - first) / COMPARED_HALF_LIFE)
            share = shares[first + ahead] - shares[first]
            came = sums[first + ahead] - sums[first]
            for place, seen in enumerate(levels):
                off[place] += weight * abs(came - seen[first] * share)
    least = min(off)
    trust = [(least / each) ** TRUST_POWER for each in off]
    whole = sum(trust)
    return [
        sum(part * level for part, level in zip(trust, each, strict=True)) / whole
        for each in zip(*levels, strict=True)
    ]


def _bounds(looks: _Looks, levels: Sequence[float]) -> list[tuple[int, Bounds]]:
    """By horizon, what came in place of 1 that was usual, one time in ten less and more."""
    shares, sums, _ = looks
    last = len(sums) - 1
    wider = WIDER + WIDER_BY_WEEK / max(last / 7 - 1, 1)
    found: list[tuple[int, Bounds]] = []
    for ahead in KNOTS:
        ratios = sorted(
            (sums[first + ahead] - sums[first]) / usual
            for first in range(LEAST_DAYS, last - ahead + 1)
            if (usual := levels[first] * (shares[first + ahead] - shares[first])) > 0
        )
        if len(ratios) < LOOKS_LEAST:
            break
        low = 1 + min((_quantile(ratios, LOW) - 1) * wider, -NARROWEST)
        high = 1 + max((_quantile(ratios, HIGH) - 1) * wider, NARROWEST)
        found.append((ahead, (max(low, 0.0), high)))
    return found or [(KNOTS[0], UNKNOWN)]


def _quantile(ascending: Sequence[float], part: float) -> float:
    place = part * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (ascending[above] - ascending[below]) * (place - below)
