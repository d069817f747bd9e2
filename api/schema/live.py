"""Live counters of a tenant, as clients see them."""

from __future__ import annotations

import strawberry
from strawberry.types import Info

from api.context import Context
from api.schema.fields import computed
from api.schema.owner import Owner
from api.schema.scalars import BigInt, DateTime
from domain.people import available
from domain.periods import period
from domain.standing import Standing
from persistence.live import Asked, Counts
from persistence.standing import standing_of

SCOPE = "usage:read"


@strawberry.type(description="What is open at an instant, and who came in its period.")
class LiveUsage:
    open_conversations: int = strawberry.field(
        description="Conversations that are open, of any category."
    )
    open_windows: int = strawberry.field(description="Customer-service windows that are open.")
    visitors: int = strawberry.field(description="Unique visitors of the period.")
    available_users: int = strawberry.field(
        description="Agents and supervisors that the plan still has room for; negative where it "
        "has fewer seats than are taken."
    )
    version: BigInt = strawberry.field(
        description="Of the tenant's figures: everything up to it is counted."
    )
    as_of: DateTime = strawberry.field(description="The instant these figures are of.")

    @classmethod
    def of(cls, counts: Counts, standing: Standing) -> LiveUsage:
        """The counters of a tenant with the seats of the plan in force."""
        return cls(
            open_conversations=counts.conversations,
            open_windows=counts.windows,
            visitors=counts.visitors,
            available_users=available_users(counts, standing),
            version=BigInt(counts.version),
            as_of=DateTime(counts.at),
        )


@strawberry.type
class TenantLive(Owner):
    """The field of a tenant that shows what is going on."""

    @computed("What is open now, and who came this period.")
    async def live(self, info: Info[Context, None]) -> LiveUsage:
        context = info.context
        context.require(SCOPE)
        asked = Asked(
            tenant_id=self.record.tenant_id,
            at=context.now,
            period=period(self.record.zone, context.now),
        )
        counts = await context.loader("live", context.live.counts).load(asked)
        return LiveUsage.of(counts, standing_of(context.catalogue, self.record))


def available_users(counts: Counts, standing: Standing) -> int:
    """Seats of the plan in force that nobody has taken (US-1)."""
    assert counts.seated is not None, "whoever shows counters has read the seats"
    return available(standing.holding(counts.at).plan.seats, counts.seated)
