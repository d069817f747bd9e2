"""A question of usage: of whom, from when to when, in which buckets, and what to sum (FI-3, TZ-6).

Owns how buckets are put together: whole local days from the rollup by day, what a range cuts off
from the rollup by hour; and the refusal of a chart's range that is too long.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from api.faults import Fault
from domain.periods import Interval, Unit, Zone, buckets, iso
from domain.ranges import CHART_DAYS
from persistence.usage import Asked, Selection


@dataclass(frozen=True, slots=True)
class Frame:
    """The buckets all lines of one answer share, and the instant that parts past and future."""

    cuts: list[Interval]
    now: int

    def place(self, at: int) -> int:
        """The bucket an instant of the range falls in."""
        return bisect_right(self.cuts, at, key=lambda cut: cut[0]) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody wants to know of one tenant's usage; build it by `question_of`."""

    zone: Zone
    tenant_id: int
    now: int
    start: int
    end: int
    bucket: Unit
    selection: Selection

    def frame(self) -> Frame:
        """Every bucket of the range, clipped to it, empty ones too."""
        return Frame(buckets(self.zone, self.bucket, self.start, self.end), self.now)

    def asked(self) -> Asked:
        """What to read for it."""
        hours, days = stretches(self.zone, self.start, self.end, by_hour=self.bucket == "hour")
        return Asked(tenant_id=self.tenant_id, hours=hours, days=days)


def question_of(
    *,
    zone: Zone,
    tenant_id: int,
    now: int,
    start: int,
    end: int,
    bucket: Unit,
    selection: Selection,
    days_max: int | None = CHART_DAYS,
) -> Question:
    """A question over `[start, end)`; BAD_USER_INPUT where that is too long, or cuts an hour.

    Only charts have a longest range, which the plan says: None for `days_max` is any.
    """
    if days_max is not None:
        check_days(zone, start, end, days_max)
    check_hours(zone, start, end)
    return Question(
        zone=zone, tenant_id=tenant_id, now=now, start=start, end=end, bucket=bucket,
        selection=selection,
    )  # fmt: skip


def check_days(zone: Zone, start: int, end: int, most: int) -> None:
    """Raise BAD_USER_INPUT for a range of more local days than a chart has."""
    days = zone.date(end - 1) - zone.date(start) + 1
    if days > most:
        raise Fault(
            "BAD_USER_INPUT",
            f"the range has {days} local days: a chart has at most {most}, ask for less at a time",
        )


def check_hours(zone: Zone, start: int, end: int) -> None:
    """Raise BAD_USER_INPUT for a range that does not begin and end with a local hour."""
    floor = zone.hour_start(start)
    ceiling = end if zone.hour_start(end) == end else zone.next_hour(end)
    if (floor, ceiling) != (start, end):
        raise Fault(
            "BAD_USER_INPUT",
            f"the range cuts an hour of {zone.name_at(end)}, usage is kept by whole ones: "
            f"write {iso(floor)} to {iso(ceiling)}",
        )


def stretches(
    zone: Zone, start: int, end: int, *, by_hour: bool = False
) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """What of `[start, end)` to read hour by hour and what day by day."""
    if by_hour:
        return ((start, end),), ()
    first = start if zone.day_start(start) == start else zone.next_day(start)
    last = zone.day_start(end)
    if first >= last:
        return ((start, end),), ()
    edges = ((start, first), (last, end))
    return tuple(edge for edge in edges if edge[0] < edge[1]), ((first, last),)
