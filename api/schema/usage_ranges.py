"""The ranges that dashboards of a tenant show first, as its plan says (TZ-6)."""

from __future__ import annotations

import strawberry
from strawberry.types import Info

from api.context import Context
from api.schema.fields import computed
from api.schema.owner import Owner
from api.schema.range import RangePreset
from persistence.standing import standing_of


@strawberry.type(description="What is shown first where nobody has asked for a range.")
class UsageRanges:
    usage: RangePreset = strawberry.field(description="Of series and summaries of usage.")
    users: RangePreset = strawberry.field(description="Of who used what.")


@strawberry.type
class TenantUsageRanges(Owner):
    """The field of a tenant that gives its default ranges."""

    @computed("The ranges to show first, by the plan in force.")
    def usage_ranges(self, info: Info[Context, None]) -> UsageRanges:
        standing = standing_of(info.context.catalogue, self.record)
        ranges = standing.holding(info.context.now).plan.ranges
        return UsageRanges(
            usage=RangePreset[ranges.usage.name], users=RangePreset[ranges.users.name]
        )
