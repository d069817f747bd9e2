"""Usage as series over time, in buckets of the tenant's zone (FI-1, FI-3, TZ-6).

Owns the look of a series; the same question asked by a chart or a report is `api.usage`'s to
answer.
"""

from __future__ import annotations

from typing import Annotated, cast

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.types import Info

from api.context import Context
from api.schema.closing import closed_first, closed_until_of
from api.schema.fields import computed
from api.schema.metric import Bucket, Dimension, Metric, UsageFilter
from api.schema.owner import Owner
from api.schema.range import RangeInput, interval, interval_before
from api.schema.scalars import DateTime, Decimal
from api.usage.answer import Answer, Line, answer_of, exact, read
from api.usage.comparison import Before, before_of, change, compared
from api.usage.filters import Only, only, selection_of
from api.usage.question import Frame, Question, question_of
from domain.periods import Unit
from persistence import usage
from persistence.standing import standing_of
from persistence.tenants import TenantRecord
from persistence.usage import Asked, Measure, Selection, Sum

SCOPE = "usage:read"
COST_SCOPE = "billing:read"

COMPARE = "Whether to compare with the range before, of the same kind."
RANGE_BEFORE = (
    "A preset is compared with the one before it, a month with a month; local days with as many "
    "days before, two instants with as long a time before"
)


@strawberry.type(description="A value of a dimension.")
class UsageKey:
    dimension: Dimension = strawberry.field(description="The dimension.")
    value: str = strawberry.field(description='The value; `""` where a fact had none.')


@strawberry.type(description="One bucket, clipped to the range.")
class UsagePoint:
    start: DateTime = strawberry.field(description="Its first instant.")
    end: DateTime = strawberry.field(description="The first instant after it.")
    value: Decimal | None = strawberry.field(
        description="What was counted; 0 where nothing was, null where that is still to come: it "
        "has not begun, and no sender whose clock is ahead has told of it."
    )
    complete: bool = strawberry.field(description="Whether it is over; late facts still add.")


@strawberry.type(description="The same points as two lists, for long ranges.")
class UsageCompact:
    starts: list[DateTime] = strawberry.field(description="The first instant of each bucket.")
    values: list[Decimal | None] = strawberry.field(description="Its value, as in `points`.")


@strawberry.type(description="A line of values over time.")
class UsageLine:
    frame: strawberry.Private[Frame]
    line: strawberry.Private[Line]

    @computed("Every bucket of the range, in order, empty ones too.")
    def points(self) -> list[UsagePoint]:
        now = self.frame.now
        cuts = cast("list[tuple[DateTime, DateTime]]", self.frame.cuts)
        values = cast("list[Decimal | None]", self.line.values(self.frame))
        return [
            UsagePoint(start=start, end=end, value=value, complete=end <= now)
            for (start, end), value in zip(cuts, values, strict=True)
        ]

    @computed("The points as two lists.")
    def compact(self) -> UsageCompact:
        starts = [DateTime(start) for start, _ in self.frame.cuts]
        values = cast(list[Decimal | None], self.line.values(self.frame))
        return UsageCompact(starts=starts, values=values)

    @computed(
        "All of the range together: what a summary of the same range says, to the last digit."
    )
    def total(self) -> Decimal:
        return Decimal(self.line.total())


@strawberry.type(description=f"A series of the range before. {RANGE_BEFORE}.")
class UsagePrevious(UsageLine):
    now: strawberry.Private[int]  #: what the present range has come to
    then: strawberry.Private[int]  #: what this one had come to by then
    start: DateTime = strawberry.field(description="Its first instant.")
    end: DateTime = strawberry.field(description="The first instant after it.")

    @computed(
        "What of it had come when as much of it had passed as now of the present range; the hour "
        "that runs counts whole. All of it once the present range is over."
    )
    def to_date(self) -> Decimal:
        return Decimal(exact(self.line.measure, self.then))

    @computed(
        "By how many percent the present range has more than `toDate`, to 6 decimals; null where "
        "that is not above 0."
    )
    def change(self) -> Decimal | None:
        return cast(Decimal | None, change(self.now, self.then))


@strawberry.type(description="One metric over time, of one combination of what it is split by.")
class UsageSeries(UsageLine):
    question: strawberry.Private[Question]
    metric: Metric = strawberry.field(description="What is counted.")
    currency: str | None = strawberry.field(
        description="ISO 4217 code of a cost; null for what is no money."
    )
    key: list[UsageKey] = strawberry.field(
        description="The values it is of, in the order of `groupBy`; empty without one."
    )
    previous: UsagePrevious | None = strawberry.field(
        description="The same of the range before; null without `compare`."
    )

    @computed("The instant these figures are of.")
    def as_of(self) -> DateTime:
        return DateTime(self.frame.now)

    @computed(
        "Whether any part of the range is of a period that is not closed, so that figures may "
        "still change."
    )
    async def estimate(self, info: Info[Context, None]) -> bool:
        return await is_estimate(info.context, self.question.tenant_id, self.question.end)


@strawberry.type
class TenantUsage(Owner):
    """The field of a tenant that shows its usage over time."""

    @computed(
        "Series of usage in buckets of the tenant's zone, one for each metric and, with `groupBy`, "
        "each combination of values that occurs, with `compare` also in the range before only. A "
        "range has at most `usageRanges.chartDays` local days. Needs `usage:read`; "
        "costs need `billing:read` too."
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
        compare: Annotated[bool, strawberry.argument(description=COMPARE)] = False,
    ) -> list[UsageSeries]:
        context = info.context
        measures = measures_of(context, metrics)
        split = [usage.Dimension[dimension.name] for dimension in group_by or ()]
        where = self.record.zone
        start, end = interval(range, where, context.now)
        question = question_of(
            zone=where,
            tenant_id=self.record.tenant_id,
            now=context.now,
            start=start,
            end=end,
            bucket=cast(Unit, bucket.value),
            selection=selection_of(measures, split, only_of(filter)),
            days_max=chart_days(context, self.record),
        )
        if not compare:
            found = await rows_loader(info, question.selection).load(question.asked())
            return _series(self.record.currency, question, answer_of(question, found), {})
        before = before_of(
            where, start, end, context.now, interval_before(range, where, context.now)
        )
        return await self._compared(info, question, before)

    async def _compared(
        self, info: Info[Context, None], question: Question, before: Before
    ) -> list[UsageSeries]:
        parts = before.asked(question.zone, question.tenant_id, by_hour=question.bucket == "hour")
        loader = rows_loader(info, question.selection)
        found, to_date, rest = await loader.load_many([question.asked(), *parts])
        both = compared(question, before, found, to_date, rest)
        previous = {
            (line.measure, line.key): UsagePrevious(
                frame=both.before.frame,
                line=line,
                now=sum(present.sums),
                then=both.to_date.get((line.measure, line.key), 0),
                start=DateTime(before.start),
                end=DateTime(before.end),
            )
            for line, present in zip(both.before.lines, both.now.lines, strict=True)
        }
        return _series(self.record.currency, question, both.now, previous)


def measures_of(context: Context, metrics: list[Metric]) -> list[Measure]:
    """What metrics sum; FORBIDDEN where the caller may not see it."""
    context.require(SCOPE)
    measures = [Measure[metric.name] for metric in metrics]
    if any(measure.is_money for measure in measures):
        context.require(COST_SCOPE)
    return measures


def chart_days(context: Context, record: TenantRecord) -> int:
    """How many local days a chart's range has at most, by the plan in force (TZ-6)."""
    return standing_of(context.catalogue, record).holding(context.now).plan.chart_days


def only_of(given: UsageFilter | None) -> Only:
    """A filter as clients write it, checked."""
    if given is None:
        return ()
    return only(
        numbers=given.numbers,
        channels=given.channels,
        countries=given.countries,
        directions=given.directions,
        categories=given.categories,
        users=given.users,
        broadcasts=given.broadcasts,
    )


async def is_estimate(context: Context, tenant_id: int, end: int) -> bool:
    """Whether anything before `end` may still change: its period is not closed (FI-1)."""
    closed = await closed_until_of(context, tenant_id)
    return closed is None or closed < end


def rows_loader(info: Info[Context, None], selection: Selection) -> DataLoader[Asked, list[Sum]]:
    """The operation's loader of what sums the same: one statement for all that ask."""

    async def load(keys: list[Asked]) -> list[list[Sum]]:
        await closed_first(info, [key.tenant_id for key in keys])
        return await read(info.context.figures, selection, keys)

    return info.context.loader(("usage", selection), load)


def _series(
    currency: str,
    question: Question,
    answer: Answer,
    previous: dict[tuple[Measure, tuple[str, ...]], UsagePrevious],
) -> list[UsageSeries]:
    split = [Dimension[dimension.name] for dimension in question.selection.group_by]
    return [
        UsageSeries(
            frame=answer.frame,
            line=line,
            question=question,
            metric=Metric[line.measure.name],
            currency=currency if line.measure.is_money else None,
            key=[
                UsageKey(dimension=dimension, value=value)
                for dimension, value in zip(split, line.key, strict=True)
            ],
            previous=previous.get((line.measure, line.key)),
        )
        for line in answer.lines
    ]
