"""Ranges of time as clients write them, and the two instants they mean in a tenant's zone (TZ-6).

Owns the words of a range. How wide a range may be is for the field that takes it to say.
"""

from __future__ import annotations

from enum import Enum

import strawberry

from api.faults import Fault
from api.schema.scalars import Date, DateTime
from domain import ranges
from domain.periods import Interval, Zone, iso
from domain.ranges import Preset

#: Calendars of all zones have these instants and a month on either side of them.
INSTANT_MIN = 0
INSTANT_MAX = 253_370_764_800_000_000  # 9999-01-01T00:00:00Z

DAYS_MIN = 0
DAYS_MAX = 2_932_531  # 9998-12-31 is the last day


@strawberry.enum(description="Ranges people ask for by name, in the tenant's zone.")
class RangePreset(Enum):
    TODAY = strawberry.enum_value("today", description="The present local day.")
    YESTERDAY = strawberry.enum_value("yesterday", description="The local day before it.")
    THIS_WEEK = strawberry.enum_value(
        "this_week", description="The whole present week, from Monday."
    )
    LAST_WEEK = strawberry.enum_value(
        "last_week", description="The whole week before the present one, from Monday."
    )
    LAST_7_DAYS = strawberry.enum_value(
        "last_7_days", description="7 local days that end with today."
    )
    THIS_MONTH = strawberry.enum_value("this_month", description="The whole present month.")
    LAST_MONTH = strawberry.enum_value(
        "last_month", description="The whole month before the present one."
    )
    LAST_30_DAYS = strawberry.enum_value(
        "last_30_days", description="30 local days that end with today."
    )
    LAST_90_DAYS = strawberry.enum_value(
        "last_90_days", description="90 local days that end with today."
    )


@strawberry.input(description="Local days of the tenant, both included.")
class DateRangeInput:
    from_: Date = strawberry.field(name="from", description="The first day.")
    until: Date = strawberry.field(description="The last day.")


@strawberry.input(description="A stretch of time, its end not included.")
class InstantRangeInput:
    start: DateTime = strawberry.field(description="The first instant.")
    end: DateTime = strawberry.field(description="The first instant after it.")


@strawberry.input(one_of=True, description="A range of time, written in one of three ways.")
class RangeInput:
    preset: RangePreset | None = strawberry.field(
        default=strawberry.UNSET, description="A range with a name."
    )
    dates: DateRangeInput | None = strawberry.field(
        default=strawberry.UNSET, description="Local days of the tenant."
    )
    instants: InstantRangeInput | None = strawberry.field(
        default=strawberry.UNSET, description="Two instants."
    )


def interval(given: RangeInput, zone: Zone, now: int) -> Interval:
    """The instants `[start, end)` of a range; BAD_USER_INPUT where it has no time in it."""
    if given.dates:
        return _interval_of_dates(given.dates, zone)
    if given.instants:
        return _interval_of_instants(given.instants)
    assert given.preset
    return ranges.named(Preset[given.preset.name], zone, now)


def interval_before(given: RangeInput, zone: Zone, now: int) -> Interval:
    """The range before a sound one, of the same kind: what it is compared with.

    BAD_USER_INPUT where that began before 1970, which is before anything.
    """
    if given.preset:
        return ranges.named_before(Preset[given.preset.name], zone, now)
    found = ranges.before(zone, *interval(given, zone, now))
    # By the clocks of UTC or of the tenant, as the range itself may be written in either.
    if found[0] < INSTANT_MIN and zone.date(found[0]) < DAYS_MIN:
        raise Fault(
            "BAD_USER_INPUT",
            "the range is compared with as long a one before it, which would begin before 1970: "
            "write a shorter or a later range, or leave `compare` out",
        )
    return found


def check_instant(at: int, field: str = "at") -> int:
    """`at` itself; BAD_USER_INPUT outside the years 1970 to 9998."""
    if not INSTANT_MIN <= at < INSTANT_MAX:
        raise Fault("BAD_USER_INPUT", f"`{field}` is {iso(at)}: write a year from 1970 to 9998")
    return at


def _interval_of_dates(dates: DateRangeInput, zone: Zone) -> Interval:
    for field, day in (("from", dates.from_), ("until", dates.until)):
        if not DAYS_MIN <= day <= DAYS_MAX:
            raise Fault("BAD_USER_INPUT", f"`{field}` is out of range: write years 1970 to 9998")
    if dates.until < dates.from_:
        raise Fault("BAD_USER_INPUT", "`until` is before `from`: it is the last day of the range")
    start, end = zone.day_bounds(dates.from_)[0], zone.day_bounds(dates.until)[1]
    if start == end:
        raise Fault("BAD_USER_INPUT", f"{zone.name_at(start)} skipped that day: it has no time")
    return start, end


def _interval_of_instants(instants: InstantRangeInput) -> Interval:
    start = check_instant(instants.start, "start")
    end = check_instant(instants.end, "end")
    if end <= start:
        raise Fault("BAD_USER_INPUT", "`end` is not after `start`: it is the first instant after")
    return start, end
