"""Instants, local dates, and the hours, days, weeks and months of a time zone.

Owns: how an instant is written, what hour, day or month it falls in somewhere, and the two
instants that bound each of them, also where the zone itself is exchanged for another (TZ-3). Does
not own: the clock, when a tenant or a number changes its zone, and what happens when a period
starts.

Instants are int microseconds since 1970 UTC, local dates int days since 1970-01-01, a month label
is year*12 + (month-1). Intervals are half-open. Years 1 to 9999.

Local dates never go back. Where a clock is set back across midnight (St John's at 00:01, until
2011) the repeated end of the old day belongs to the new one, so that a day, and with it a month, is
one unbroken interval. So it is where a zone is exchanged: Bogota after Jakarta shows 31 October for
twelve more hours, which belong to 1 November; the other way round a day is short, or skipped.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones, reset_tzpath

# Zones are the tzdata package's, not the machine's: two machines agree on when a month ends.
reset_tzpath(())

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

Unit = Literal["hour", "day", "week", "month"]
Interval = tuple[int, int]

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
#: Python cannot name a local time outside years 1 to 9999: beyond these an offset stays as it is.
_EARLIEST = (datetime(1, 1, 3, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST = (datetime(9999, 12, 29, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_CHUNK = 128 * DAY
#: Names in the zone directory that depend on the machine or name no place.
_NO_PLACE = frozenset({"localtime", "Factory"})


def instant(at: datetime) -> int:
    """Microseconds since 1970 UTC; ValueError for a datetime without an offset."""
    if at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} has no offset: write one, such as Z or +07:00")
    return (at - _EPOCH) // _MICROSECOND


def moment(us: int) -> datetime:
    """The instant as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def iso(us: int) -> str:
    """The instant as 2026-10-31T17:00:00Z, with microseconds only where there are any."""
    return moment(us).replace(tzinfo=None).isoformat() + "Z"


def date_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH_ORDINAL


def date_of(number: int) -> date:
    """The date that many days after 1970-01-01."""
    return date.fromordinal(number + _EPOCH_ORDINAL)


def month_label(year: int, month: int) -> int:
    """The label of a month, 1 to 12; labels of neighbours differ by one."""
    if not 1 <= month <= 12:
        raise ValueError(f"{month} is not a month: months are 1 to 12")
    return year * 12 + month - 1


def month_name(label: int) -> str:
    """The month as 2026-11."""
    return f"{label // 12:04d}-{label % 12 + 1:02d}"


def month_of_name(name: str) -> int:
    """The label of a month's name, such as 2026-11."""
    year, _, month = name.partition("-")
    return month_label(int(year), int(month))


@lru_cache(maxsize=4096)
def _month_of(number: int) -> int:
    day = date_of(number)
    return month_label(day.year, day.month)


def _first_of(label: int) -> int:
    return date_number(date(label // 12, label % 12 + 1, 1))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A time without a change of offset or zone."""

    start: int
    end: int
    since: int  #: the last change, or too long ago to matter to an hour or a day
    until: int  #: the next one, or too far ahead to matter
    offset: int
    reached: int  #: the local date that was reached before `since`, or at a change of zone


@dataclass(frozen=True, slots=True)
class Day:
    """One local day of a zone, `[start, end)`."""

    start: int
    end: int
    date: int  #: local date
    month: int  #: label of its month


#: The names of a zone, each from an instant on; the first from ever.
ZoneChanges = tuple[tuple[int | None, str], ...]


class Zone:
    """A time zone: what its clocks and calendars show, and when its hours, days and months start.

    It may be several IANA zones, one after the other. Compared by identity: `zones` gives one Zone
    the same names.
    """

    __slots__ = (
        "_cuts", "_days", "_first", "_infos", "_last", "_last_day", "_stretches", "changes",
    )  # fmt: skip

    def __init__(self, changes: ZoneChanges) -> None:
        self.changes = changes
        self._cuts = [since for since, _ in changes if since is not None]
        self._infos = [ZoneInfo(name) for _, name in changes]
        self._stretches = lru_cache(maxsize=256)(self._find_stretches)
        self._first = lru_cache(maxsize=4096)(self._find_first)
        self._days = lru_cache(maxsize=1024)(self._find_day)
        self._last = self._stretches(0)[0]
        self._last_day = self._days(0)

    def __repr__(self) -> str:
        return f"Zone({self.changes!r})"

    def name_at(self, us: int) -> str:
        """The IANA name in force."""
        return self.changes[bisect_right(self._cuts, us)][1]

    def offset(self, us: int) -> int:
        """Local time minus UTC, in microseconds."""
        return self._stretch(us).offset

    def date(self, us: int) -> int:
        """The local date."""
        stretch = self._stretch(us)
        shown = (us + stretch.offset) // DAY
        return shown if shown > stretch.reached else stretch.reached

    def day(self, us: int) -> Day:
        """The local day: its bounds, date and month at the price of two comparisons."""
        last = self._last_day
        if last.start <= us < last.end:
            return last
        found = self._last_day = self._days(self.date(us))
        return found

    def month(self, us: int) -> int:
        """The label of the local month."""
        return _month_of(self.date(us))

    def hour_start(self, us: int) -> int:
        """When the local hour began; an hour is cut where the offset changes within it."""
        stretch = self._stretch(us)
        start = us - (us + stretch.offset) % HOUR
        return start if start > stretch.since else stretch.since

    def next_hour(self, us: int) -> int:
        """When the next local hour begins."""
        stretch = self._stretch(us)
        end = us - (us + stretch.offset) % HOUR + HOUR
        return end if end < stretch.until else stretch.until

    def day_start(self, us: int) -> int:
        """When the local day began: midnight, or the first instant after one that was skipped."""
        return self._first(self.date(us))

    def next_day(self, us: int) -> int:
        """When the next local day that has any time in it begins."""
        return self._first(self.date(us) + 1)

    def next_week(self, us: int) -> int:
        """When the next local week begins; weeks begin on Monday."""
        day = self.date(us)
        return self._first(day - (day + 3) % 7 + 7)  # day 0 was a Thursday

    def next_month(self, us: int) -> int:
        """When the next local month begins."""
        return self._first(_first_of(self.month(us) + 1))

    def day_bounds(self, date: int) -> Interval:
        """The first instant of a local date and of the next; equal if the zone skipped the date."""
        return self._first(date), self._first(date + 1)

    def month_bounds(self, label: int) -> Interval:
        """The first instant of a local month and of the next."""
        return self._first(_first_of(label)), self._first(_first_of(label + 1))

    def _stretch(self, us: int) -> _Stretch:
        last = self._last
        if last.start <= us < last.end:
            return last
        found = next(s for s in self._stretches(us // _CHUNK) if us < s.end)
        self._last = found
        return found

    def _find_stretches(self, chunk: int) -> tuple[_Stretch, ...]:
        """Cut a chunk of time where the offset or the zone changes.

        No two changes of one zone's offset are ever a day apart.
        """
        start, end = chunk * _CHUNK, (chunk + 1) * _CHUNK
        days = range(start - 2 * DAY, end + 3 * DAY, DAY)
        exchanged = [cut for cut in self._cuts if days[0] < cut < days[-1]]
        edges = [days[0]]
        for begins, ends in pairwise(sorted({*days, *exchanged})):
            found = self._change(begins, ends)
            edges += [] if found is None else [found]
            edges += [ends] if ends in exchanged and ends != found else []
        stretches = []
        reached = (days[0] - 1 + self._look_up(days[0] - 1)) // DAY
        for since, until in pairwise([*edges, days[-1]]):
            # At a change of zone the date is the one the old zone begins there.
            last = since if since in exchanged else since - 1
            reached = max(reached, (last + self._look_up(last, since - 1)) // DAY)
            if since < end and until > start:
                stretches.append(
                    _Stretch(
                        start=max(since, start),
                        end=min(until, end),
                        since=since,
                        until=until,
                        offset=self._look_up(since),
                        reached=reached,
                    )
                )
        return tuple(stretches)

    def _change(self, start: int, end: int) -> int | None:
        """The instant in (start, end] from which the zone of the start has another offset."""
        before = self._look_up(start)
        if self._look_up(end, start) == before:
            return None
        span = range(start, end + 1)
        return span[bisect_left(span, True, key=lambda us: self._look_up(us, start) != before)]

    def _find_day(self, date: int) -> Day:
        return Day(self._first(date), self._first(date + 1), date, _month_of(date))

    def _find_first(self, date: int) -> int:
        """The first instant whose local date is not before this one; dates never go back."""
        span = range((date - 2) * DAY, (date + 2) * DAY)
        return span[bisect_left(span, date, key=self.date)]

    def _look_up(self, us: int, of: int | None = None) -> int:
        """The offset at an instant, by the zone in force then or at the instant `of`."""
        info = self._infos[bisect_right(self._cuts, us if of is None else of)]
        at = moment(min(max(us, _EARLIEST), _LATEST)).astimezone(info)
        return (at.utcoffset() or timedelta()) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Period:
    """One calendar month of a zone, `[start, end)`."""

    label: int
    start: int
    end: int


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_PLACE


def zone(name: str) -> Zone:
    """The IANA zone of that name; ValueError, with names like it, if there is none."""
    return zones(((None, name),))


@lru_cache(maxsize=1024)
def zones(changes: ZoneChanges) -> Zone:
    """Several IANA zones as one, each from an instant on, the first from ever.

    ValueError for a name that is none, and for instants that do not ascend.
    """
    for _, name in changes:
        if name not in _names():
            wrong = name[:64]
            near = ", ".join(get_close_matches(wrong, sorted(_names())))
            raise ValueError(
                f"{wrong!r} is not a time zone: "
                + (f"did you mean {near}?" if near else "write an IANA name, such as Asia/Jakarta")
            )
    first, *cuts = (since for since, _ in changes)
    if first is not None or cuts != sorted({cut for cut in cuts if cut is not None}):
        raise ValueError(f"a zone begins without an instant, the next ones later: {changes!r}")
    return Zone(changes)


@lru_cache(maxsize=4096)
def _period(zone: Zone, label: int) -> Period:
    return Period(label, *zone.month_bounds(label))


def period(zone: Zone, us: int) -> Period:
    """The period an instant falls in, its two instants computed once (TZ-1)."""
    return _period(zone, zone.month(us))


def buckets(zone: Zone, unit: Unit, start: int, end: int) -> list[Interval]:
    """The local hours, days, weeks or months of `[start, end)`, in order, clipped to it."""
    following: dict[Unit, Callable[[int], int]] = {
        "hour": zone.next_hour,
        "day": zone.next_day,
        "week": zone.next_week,
        "month": zone.next_month,
    }
    cuts = [start]
    while cuts[-1] < end:
        cuts.append(min(following[unit](cuts[-1]), end))
    return list(pairwise(cuts))
