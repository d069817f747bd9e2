"""Seats of a tenant, as clients see them (US-1)."""

from __future__ import annotations

import strawberry
from strawberry.types import Info

from api.context import Context
from api.schema.fields import computed
from api.schema.owner import Owner
from domain.people import available
from persistence import seats
from persistence.standing import standing_of

SCOPE = "usage:read"


@strawberry.type(description="The seats of the plan for agents and supervisors; admins take none.")
class Seats:
    maximum: int = strawberry.field(description="That the plan in force has.")
    used: int = strawberry.field(
        description="That active agents and supervisors take, whoever was there before the plan."
    )
    available: int = strawberry.field(
        description="What is left, `maximum - used`; negative after a change to a smaller plan: "
        "nobody is removed."
    )


@strawberry.type
class TenantSeats(Owner):
    """The field of a tenant that says how many people it may have."""

    @computed("Seats for agents and supervisors. Needs `usage:read`.")
    async def seats(self, info: Info[Context, None]) -> Seats:
        context = info.context
        context.require(SCOPE)

        async def load(tenants: list[int]) -> list[int]:
            return await seats.used(context.door, tenants)

        used = await context.loader("seats", load).load(self.record.tenant_id)
        plan = standing_of(context.catalogue, self.record).holding(context.now).plan
        return Seats(maximum=plan.seats, used=used, available=available(plan.seats, used))
