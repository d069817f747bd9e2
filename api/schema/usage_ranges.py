"""The ranges that dashboards of a tenant show first, and how long a chart's is at most, by plan."""

from __future__ import annotations

import strawberry
from strawberry.types import Info

from api.context import Context
from api.schema.fields import computed
from api.schema.owner import Owner
from api.schema.range import RangePreset
from persistence.standing import standing_of


@strawberry.type(
    description="What is shown first where nobody has asked for a range, and what may be asked for."
)
class UsageRanges:
    usage: RangePreset = strawberry.field(description="Of series and summaries of usage.")
    users: RangePreset = strawberry.field(description="Of who used what.")
    chart_days: int = strawberry.field(
        description="Local days that the range of a series or a chart has at most."
    )


@strawberry.type
class TenantUsageRanges(Owner):
    """The field of a tenant that gives its default ranges."""

    @computed("The ranges to show first, and how long they may be, by the plan in force.")
    def usage_ranges(self, info: Info[Context, None]) -> UsageRanges:
        standing = standing_of(info.context.catalogue, self.record)
        plan = standing.holding(info.context.now).plan
        return UsageRanges(
            usage=RangePreset[plan.ranges.usage.name],
            users=RangePreset[plan.ranges.users.name],
            chart_days=plan.chart_days,
        )
