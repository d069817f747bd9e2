"""Report schedules: which stretch of a tenant's days a report tells, and when it is due.

Owns the arithmetic. What is told is a whole local day, a week that begins on Monday, or a month
that is over; it is due at an hour of the first local day behind it. A stretch has a name, by which
a report of it is made once, whatever clocks and zones do meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from domain.periods import DAY, HOUR, Zone, date_of, month_name

HOURS: Final = range(24)


class Rhythm(IntEnum):
    """How often a report is made; stored."""

    DAILY = 1
    WEEKLY = 2
    MONTHLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Whole local days, `[start, end)`, and when their report is due."""

    name: str  #: `2026-11-22`, `2026-W47` or `2026-11`: no two of a rhythm share one
    first: int  #: local dates, both inclusive
    last: int
    start: int
    end: int
    due_at: int


def latest(zone: Zone, rhythm: Rhythm, hour: int, now: int) -> Stretch:
    """The last one whose report is due by now."""
    found = _before(zone, rhythm, hour, now)
    while found.due_at > now:
        found = _before(zone, rhythm, hour, found.start)
    return found


def following(zone: Zone, rhythm: Rhythm, hour: int, now: int) -> Stretch:
    """The first one whose report is due after now."""
    found = latest(zone, rhythm, hour, now)
    while found.due_at <= now:
        found = _before(zone, rhythm, hour, _NEXT[rhythm](zone, found.end))
    return found


_NEXT: Final[dict[Rhythm, Callable[[Zone, int], int]]] = {
    Rhythm.DAILY: Zone.next_day,
    Rhythm.WEEKLY: Zone.next_week,
    Rhythm.MONTHLY: Zone.next_month,
}


def _before(zone: Zone, rhythm: Rhythm, hour: int, at: int) -> Stretch:
    """The last one that was over at an instant."""
    this = zone.date(at)
    if rhythm is Rhythm.DAILY:
        behind = this
    elif rhythm is Rhythm.WEEKLY:
        behind = this - (this + 3) % 7  # day 0 was a Thursday
    else:
        behind = this - date_of(this).day + 1
    # The instant before belongs to the last day there was: a zone may have skipped one.
    end = zone.day_bounds(behind)[0]
    last = zone.date(end - 1)
    day = date_of(last)
    if rhythm is Rhythm.DAILY:
        first, name = last, day.isoformat()
    elif rhythm is Rhythm.WEEKLY:
        first = last - (last + 3) % 7
        name = "{}-W{:02d}".format(*day.isocalendar()[:2])
    else:
        first, name = last - day.day + 1, month_name(zone.month(end - 1))
    start = zone.day_bounds(first)[0]
    return Stretch(
        name=name, first=first, last=last, start=start, end=end, due_at=_at_hour(zone, end, hour)
    )


def _at_hour(zone: Zone, start: int, hour: int) -> int:
    """When clocks first show an hour of the local day that begins at an instant.

    An hour that is skipped is reached as soon as clocks are past it; one that comes twice when it
    comes first; one that the day ends before, with its end.
    """
    date, end = zone.date(start), zone.next_day(start)
    at = start
    while at < end and at + zone.offset(at) - date * DAY < hour * HOUR:
        at = zone.next_hour(at)
    return min(at, end)
