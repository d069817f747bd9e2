"""Usage as series over time, in buckets of the tenant's zone (FI-3, TZ-6).

Owns how buckets are put together: whole local days from the rollup by day, what a range cuts off
from the rollup by hour.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, cast

import strawberry
from strawberry.types import Info

from api.addresses import spellings
from api.context import Context
from api.faults import Fault
from api.schema.fields import computed
from api.schema.metric import Bucket, Dimension, Metric, UsageFilter, Values
from api.schema.owner import Owner
from api.schema.range import RangeInput, interval
from api.schema.scalars import DateTime, Decimal
from domain.facts import CHANNELS
from domain.money import MICRO, text
from domain.periods import Interval, Unit, Zone, buckets, iso
from persistence import usage
from persistence.usage import Asked, Measure, Selection, Sum

SCOPE = "usage:read"
COST_SCOPE = "billing:read"

#: Local days of a chart's range at most: a quarter, at whatever end of it one stands (TZ-6).
SERIES_DAYS_MAX = 92
#: Points of one answer at most: what the executor completes in a third of a second.
SERIES_POINTS_MAX = 100_000
SERIES_DIMENSIONS_MAX = 2
FILTER_VALUES_MAX = 1_000


@strawberry.type(description="A value of a dimension.")
class UsageKey:
    dimension: Dimension = strawberry.field(description="The dimension.")
    value: str = strawberry.field(description='The value; `""` where a fact had none.')


@strawberry.type(description="One bucket, clipped to the range.")
class UsagePoint:
    start: DateTime = strawberry.field(description="Its first instant.")
    end: DateTime = strawberry.field(description="The first instant after it.")
    value: Decimal | None = strawberry.field(
        description="What was counted; 0 where nothing was, null where it is still to come."
    )
    complete: bool = strawberry.field(description="Whether it is over; late facts still add.")


@strawberry.type(description="The same points as two lists, for long ranges.")
class UsageCompact:
    starts: list[DateTime] = strawberry.field(description="The first instant of each bucket.")
    values: list[Decimal | None] = strawberry.field(description="Its value, as in `points`.")


@dataclass(frozen=True, slots=True)
class Frame:
    """The buckets all series of one answer share, and the instant that parts past and future."""

    cuts: list[Interval]
    now: int

    def place(self, at: int) -> int:
        """The bucket an instant of the range falls in."""
        return bisect_right(self.cuts, at, key=lambda cut: cut[0]) - 1


@strawberry.type(description="One metric over time, of one combination of what it is split by.")
class UsageSeries:
    frame: strawberry.Private[Frame]
    sums: strawberry.Private[list[int]]
    metric: Metric = strawberry.field(description="What is counted.")
    currency: str | None = strawberry.field(
        description="ISO 4217 code of a cost; null for what is no money."
    )
    key: list[UsageKey] = strawberry.field(
        description="The values it is of, in the order of `groupBy`; empty without one."
    )

    @computed("Every bucket of the range, in order, empty ones too.")
    def points(self) -> list[UsagePoint]:
        now = self.frame.now
        return [
            UsagePoint(start=DateTime(start), end=DateTime(end), value=value, complete=end <= now)
            for (start, end), value in zip(self.frame.cuts, self._values(), strict=True)
        ]

    @computed("The points as two lists.")
    def compact(self) -> UsageCompact:
        starts = [DateTime(start) for start, _ in self.frame.cuts]
        return UsageCompact(starts=starts, values=self._values())

    def _values(self) -> list[Decimal | None]:
        scale = 1 if Measure[self.metric.name].in_micros else MICRO
        return [
            Decimal(text(value * scale)) if start < self.frame.now else None
            for (start, _), value in zip(self.frame.cuts, self.sums, strict=True)
        ]


@strawberry.type
class TenantUsage(Owner):
    """The field of a tenant that shows its usage over time."""

    @computed(
        "Series of usage in buckets of the tenant's zone, one for each metric and, with `groupBy`, "
        "each combination of values that occurs. A range has at most 92 local days. Needs "
        "`usage:read`; the metric `COST` needs `billing:read` too."
    )
    async def usage_series(
        self,
        info: Info[Context, None],
        metrics: Annotated[list[Metric], strawberry.argument(description="What to count.")],
        range: Annotated[RangeInput, strawberry.argument(description="From when to when.")],
        bucket: Annotated[
            Bucket, strawberry.argument(description="The length of a bucket.")
        ] = Bucket.DAY,
        filter: Annotated[
            UsageFilter | None, strawberry.argument(description="What to count of.")
        ] = None,
        group_by: Annotated[
            list[Dimension] | None,
            strawberry.argument(description="What to split by: one dimension, or two."),
        ] = None,
    ) -> list[UsageSeries]:
        context = info.context
        context.require(SCOPE)
        if Metric.COST in metrics:
            context.require(COST_SCOPE)
        wanted = list(dict.fromkeys(metrics))
        split = list(dict.fromkeys(group_by or ()))
        selection = _selection(wanted, split, filter)
        where = self.record.zone
        start, end = interval(range, where, context.now)
        _check_range(where, start, end)
        frame = Frame(buckets(where, cast(Unit, bucket.value), start, end), context.now)
        hours, days = stretches(where, start, end, bucket)
        asked = Asked(tenant_id=self.record.tenant_id, hours=hours, days=days)

        async def load(keys: list[Asked]) -> list[list[Sum]]:
            return await usage.sums(context.door, selection, keys)

        try:
            found = await context.loader(("usage", selection), load).load(asked)
        except OverflowError:
            raise _too_much() from None
        return _series(self.record.currency, wanted, split, frame, found)


def stretches(
    where: Zone, start: int, end: int, bucket: Bucket
) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
    """What of `[start, end)` to read hour by hour and what day by day."""
    if bucket is Bucket.HOUR:
        return ((start, end),), ()
    first = start if where.day_start(start) == start else where.next_day(start)
    last = where.day_start(end)
    if first >= last:
        return ((start, end),), ()
    edges = ((start, first), (last, end))
    return tuple(edge for edge in edges if edge[0] < edge[1]), ((first, last),)


def _selection(
    metrics: Sequence[Metric], split: Sequence[Dimension], given: UsageFilter | None
) -> Selection:
    if not metrics:
        raise Fault("BAD_USER_INPUT", "`metrics` is empty: name at least one")
    if len(split) > SERIES_DIMENSIONS_MAX:
        raise Fault("BAD_USER_INPUT", f"`groupBy` has {len(split)} dimensions: name one or two")
    return Selection(
        measures=tuple(Measure[metric.name] for metric in metrics),
        group_by=tuple(usage.Dimension[dimension.name] for dimension in split),
        only=() if given is None else tuple(_only(given)),
    )


def _only(given: UsageFilter) -> list[tuple[usage.Dimension, tuple[str, ...]]]:
    """The filter as dimensions and values; BAD_USER_INPUT for a channel or direction of no name."""
    fields: dict[usage.Dimension, Values] = {
        usage.Dimension.NUMBER: given.numbers,
        usage.Dimension.CHANNEL: given.channels,
        usage.Dimension.COUNTRY: given.countries,
        usage.Dimension.DIRECTION: given.directions,
        usage.Dimension.CATEGORY: given.categories,
        usage.Dimension.USER: given.users,
        usage.Dimension.BROADCAST: given.broadcasts,
    }
    if sum(len(values or ()) for values in fields.values()) > FILTER_VALUES_MAX:
        raise Fault("BAD_USER_INPUT", f"`filter` names more than {FILTER_VALUES_MAX} values")
    if any("\0" in value for values in fields.values() for value in values or ()):
        raise Fault("BAD_USER_INPUT", "`filter` has a NUL character: leave it out")
    _check_names("channels", given.channels, list(CHANNELS))
    _check_names("directions", given.directions, ["in", "out"])
    if given.numbers is not None:
        fields[usage.Dimension.NUMBER] = [
            form for number in given.numbers for form in spellings(number)
        ]
    return [
        (dimension, tuple(sorted(set(values))))
        for dimension, values in fields.items()
        if values is not None
    ]


def _check_names(field: str, values: Values, known: Sequence[str]) -> None:
    for value in values or ():
        if value not in known:
            raise Fault(
                "BAD_USER_INPUT", f"`{field}` names {value[:40]!r}: write one of {', '.join(known)}"
            )


def _check_range(where: Zone, start: int, end: int) -> None:
    days = where.date(end - 1) - where.date(start) + 1
    if days > SERIES_DAYS_MAX:
        raise Fault(
            "BAD_USER_INPUT",
            f"the range has {days} local days: a chart has at most {SERIES_DAYS_MAX}, "
            "ask for less at a time",
        )
    floor = where.hour_start(start)
    ceiling = end if where.hour_start(end) == end else where.next_hour(end)
    if (floor, ceiling) != (start, end):
        raise Fault(
            "BAD_USER_INPUT",
            f"the range cuts an hour of {where.name_at(end)}, usage is kept by whole ones: "
            f"write {iso(floor)} to {iso(ceiling)}",
        )


def _series(
    currency: str,
    metrics: Sequence[Metric],
    split: Sequence[Dimension],
    frame: Frame,
    found: Sequence[Sum],
) -> list[UsageSeries]:
    keys = sorted({one.key for one in found}) if split else [()]
    if len(keys) * len(metrics) * len(frame.cuts) > SERIES_POINTS_MAX:
        raise _too_much()
    values = {key: [[0] * len(frame.cuts) for _ in metrics] for key in keys}
    for one in found:
        place = frame.place(one.bucket)
        for series, value in zip(values[one.key], one.values, strict=True):
            series[place] += value
    return [
        UsageSeries(
            frame=frame,
            sums=values[key][n],
            metric=metric,
            currency=currency if metric is Metric.COST else None,
            key=[
                UsageKey(dimension=dimension, value=value)
                for dimension, value in zip(split, key, strict=True)
            ],
        )
        for n, metric in enumerate(metrics)
        for key in keys
    ]


def _too_much() -> Fault:
    return Fault(
        "BAD_USER_INPUT",
        f"the answer has more than {SERIES_POINTS_MAX} points: narrow the range or the filter, "
        "choose a longer bucket, or split by less",
    )
