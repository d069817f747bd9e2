"""Usage of a whole range in figures: every metric, the cards, conversations, costs, balances.

Owns their look. A summary has no longest range (TZ-6), and is one statement for all tenants and
all that is asked of it, costs, balances and what is closed apart (FI-2, FI-4).
"""

from __future__ import annotations

from typing import Annotated, cast

import strawberry
from strawberry.types import Info

from api.context import Context
from api.faults import Fault
from api.schema.amount import Amount
from api.schema.balance_usage import UsageBalance, balance_usage
from api.schema.closing import closed_first
from api.schema.fields import computed
from api.schema.metric import Metric, UsageFilter
from api.schema.owner import Owner
from api.schema.range import RangeInput, interval, interval_before
from api.schema.scalars import DateTime, Decimal
from api.schema.usage import (
    COMPARE,
    COST_SCOPE,
    RANGE_BEFORE,
    SCOPE,
    is_estimate,
    measures_of,
    only_of,
)  # fmt: skip
from api.usage.answer import exact
from api.usage.comparison import Before, before_of
from api.usage.filters import Only
from api.usage.question import check_hours
from api.usage.summary import (
    CARDS,
    Figure,
    Summed,
    Totals,
    read_totals,
    summary_selection,
    whole,
)  # fmt: skip
from persistence.tenants import TenantRecord
from persistence.usage import Asked, Measure, Total

SO_FAR = "The same of the range before when as much of it had passed; null without `compare`."
CHANGE = (
    "By how many percent it is more than `toDate`, to 6 decimals; null where that is not above 0, "
    "and without `compare`."
)
WHOLE = "All of the range before; null without `compare`."


@strawberry.type(description="A figure, and what it is compared with.")
class UsageFigure:
    figure: strawberry.Private[Figure]

    @computed("What was counted, exactly.")
    def value(self) -> Decimal:
        return Decimal(exact(self.figure.measure, self.figure.now))

    @computed(WHOLE)
    def previous(self) -> Decimal | None:
        return self._decimal(self.figure.before)

    @computed(SO_FAR)
    def to_date(self) -> Decimal | None:
        return self._decimal(self.figure.then)

    @computed(CHANGE)
    def change(self) -> Decimal | None:
        return cast(Decimal | None, self.figure.change)

    def _decimal(self, value: int | None) -> Decimal | None:
        return None if value is None else Decimal(exact(self.figure.measure, value))


@strawberry.type(description="One metric of a range.")
class UsageMetric(UsageFigure):
    metric: Metric = strawberry.field(description="What is counted.")
    currency: str | None = strawberry.field(
        description="ISO 4217 code of a cost; null for what is no money."
    )


@strawberry.type(description="Conversations that messages of one category opened.")
class UsageCategory(UsageFigure):
    category: str = strawberry.field(description='The category; `""`: none was said.')


@strawberry.type(
    description="Messages that reached their contact, each in exactly one of marketing, utility, "
    "authentication, service and free: free if it cost nothing and no paid conversation covered "
    "it, else its category."
)
class UsageCards:
    marketing: UsageFigure = strawberry.field(description="Of category marketing.")
    utility: UsageFigure = strawberry.field(description="Of category utility.")
    authentication: UsageFigure = strawberry.field(
        description="Of category authentication, at the international rate too."
    )
    service: UsageFigure = strawberry.field(description="All other, such as free text.")
    free: UsageFigure = strawberry.field(description="Free ones, of any category.")
    delivered: UsageFigure = strawberry.field(description="All five.")


@strawberry.type(description="Conversations of a range, by the message that opened them.")
class UsageConversations:
    total: UsageFigure = strawberry.field(description="service + businessInitiated.")
    service: UsageFigure = strawberry.field(description="User-initiated ones.")
    business_initiated: UsageFigure = strawberry.field(description="All others.")
    by_category: list[UsageCategory] = strawberry.field(
        description="Each category that has any, ascending."
    )


@strawberry.type(description="A cost, and what it is compared with.")
class UsageCost:
    figure: strawberry.Private[Figure]
    record: strawberry.Private[TenantRecord]

    @computed("What money balances paid.")
    def amount(self) -> Amount:
        return Amount.of(self.figure.now, self.record.currency, self.record.locale)

    @computed(WHOLE)
    def previous(self) -> Amount | None:
        return self._amount(self.figure.before)

    @computed(SO_FAR)
    def to_date(self) -> Amount | None:
        return self._amount(self.figure.then)

    @computed(CHANGE)
    def change(self) -> Decimal | None:
        return cast(Decimal | None, self.figure.change)

    def _amount(self, micros: int | None) -> Amount | None:
        if micros is None:
            return None
        return Amount.of(micros, self.record.currency, self.record.locale)


@strawberry.type(description="What money balances paid in a range: initial + topUp = total.")
class UsageCosts:
    total: UsageCost = strawberry.field(description="Both.")
    initial: UsageCost = strawberry.field(description="What their allowances paid.")
    top_up: UsageCost = strawberry.field(description="What everything else paid.")


@strawberry.type(description=f"The range before. {RANGE_BEFORE}.")
class UsageRangeBefore:
    start: DateTime = strawberry.field(description="Its first instant.")
    end: DateTime = strawberry.field(description="The first instant after it.")
    reach: DateTime = strawberry.field(
        description="The first instant after what `toDate` counts: as much of it had passed as "
        "now of the present range, the hour that runs taken whole."
    )


@strawberry.type(description="Usage of a whole range.")
class UsageSummary:
    record: strawberry.Private[TenantRecord]
    summed: strawberry.Private[Summed]
    bounds: strawberry.Private[tuple[int, int]]
    now: strawberry.Private[int]
    narrowed: strawberry.Private[Only]
    start: DateTime = strawberry.field(description="Its first instant.")
    end: DateTime = strawberry.field(description="The first instant after it.")
    complete: bool = strawberry.field(description="Whether it is over; late facts still add.")
    previous: UsageRangeBefore | None = strawberry.field(
        description="What it is compared with; null without `compare`."
    )

    @computed("The instant these figures are of.")
    def as_of(self) -> DateTime:
        return DateTime(self.now)

    @computed(
        "Whether any part of the range is of a period that is not closed, so that figures may "
        "still change."
    )
    async def estimate(self, info: Info[Context, None]) -> bool:
        return await is_estimate(info.context, self.record.tenant_id, self.bounds[1])

    @computed(
        "Metrics, in the order of `only`; without it every one that is no cost. Costs need "
        "`billing:read`."
    )
    def metrics(
        self,
        info: Info[Context, None],
        only: Annotated[list[Metric] | None, strawberry.argument(description="Which ones.")] = None,
    ) -> list[UsageMetric]:
        named = [m for m in Metric if not Measure[m.name].is_money] if only is None else only
        return [
            UsageMetric(
                metric=Metric[measure.name],
                currency=self.record.currency if measure.is_money else None,
                figure=self.summed.figure(measure),
            )
            for measure in dict.fromkeys(measures_of(info.context, named))
        ]

    @computed("The five cards, and what they add up to.")
    def cards(self) -> UsageCards:
        marketing, utility, authentication, service, free = map(self._figure, CARDS)
        return UsageCards(
            marketing=marketing,
            utility=utility,
            authentication=authentication,
            service=service,
            free=free,
            delivered=self._figure(*CARDS),
        )

    @computed("Conversations that opened in the range.")
    def conversations(self) -> UsageConversations:
        return UsageConversations(
            total=self._figure(Measure.CONVERSATIONS),
            service=self._figure(Measure.CONVERSATIONS_SERVICE),
            business_initiated=self._figure(Measure.CONVERSATIONS_BUSINESS),
            by_category=[
                UsageCategory(category=category, figure=figure)
                for category, figure in self.summed.by_category(Measure.CONVERSATIONS).items()
            ],
        )

    @computed("What money balances paid. Needs `billing:read`.")
    def costs(self, info: Info[Context, None]) -> UsageCosts:
        info.context.require(COST_SCOPE)
        return UsageCosts(
            total=self._cost(Measure.COST),
            initial=self._cost(Measure.COST_INITIAL),
            top_up=self._cost(Measure.COST_TOP_UP),
        )

    @computed(
        "What each balance paid; of whole local days, and not narrowed by a filter. Needs "
        "`billing:read`."
    )
    async def balances(self, info: Info[Context, None]) -> list[UsageBalance]:
        info.context.require(COST_SCOPE)
        if self.narrowed:
            raise Fault(
                "BAD_USER_INPUT",
                "balances are not kept by what `filter` narrows to: ask for `balances` in a "
                "`usageSummary` without it",
            )
        return await balance_usage(info.context, self.record, *self.bounds)

    def _figure(self, *measures: Measure) -> UsageFigure:
        return UsageFigure(figure=self.summed.figure(*measures))

    def _cost(self, measure: Measure) -> UsageCost:
        return UsageCost(figure=self.summed.figure(measure), record=self.record)


@strawberry.type
class TenantUsageSummary(Owner):
    """The field of a tenant that sums up its usage."""

    @computed(
        "Usage of a whole range, which may be of any length from one local hour to another. Needs "
        "`usage:read`; costs and balances need `billing:read` too."
    )
    async def usage_summary(
        self,
        info: Info[Context, None],
        range: Annotated[RangeInput, strawberry.argument(description="From when to when.")],
        filter: Annotated[
            UsageFilter | None, strawberry.argument(description="What to count of.")
        ] = None,
        compare: Annotated[bool, strawberry.argument(description=COMPARE)] = False,
    ) -> UsageSummary:
        context, record = info.context, self.record
        context.require(SCOPE)
        narrowed = only_of(filter)
        where = record.zone
        start, end = interval(range, where, context.now)
        check_hours(where, start, end)
        asked = [whole(where, record.tenant_id, start, end)]
        before: Before | None = None
        if compare:
            previous = interval_before(range, where, context.now)
            before = before_of(where, start, end, context.now, previous)
            asked += before.asked(where, record.tenant_id)
        return UsageSummary(
            record=record,
            summed=await _summed(info, narrowed, asked),
            bounds=(start, end),
            now=context.now,
            narrowed=narrowed,
            start=DateTime(start),
            end=DateTime(end),
            complete=end <= context.now,
            previous=None
            if before is None
            else UsageRangeBefore(
                start=DateTime(before.start),
                end=DateTime(before.end),
                reach=DateTime(before.reach),
            ),
        )


async def _summed(info: Info[Context, None], narrowed: Only, asked: list[Asked]) -> Summed:
    selection = summary_selection(narrowed)

    async def load(keys: list[Asked]) -> list[list[Total]]:
        await closed_first(info, [key.tenant_id for key in keys])
        return await read_totals(info.context.figures, selection, keys)

    rows = await info.context.loader(("usage totals", selection), load).load_many(asked)
    if len(rows) == 1:
        return Summed(now=Totals.of(rows[0]))
    now, to_date, rest = rows
    return Summed(now=Totals.of(now), before=Totals.of(to_date, rest), then=Totals.of(to_date))
