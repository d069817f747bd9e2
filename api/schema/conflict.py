"""Conflicts of a tenant's facts, as an operator sees them (EV-1)."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.errors import Fault
from api.limits import PAGE_SIZE_MAX
from api.schema.fields import computed
from api.schema.owner import Owner
from api.schema.paging import page_size
from api.schema.scalars import DateTime
from persistence.conflicts import ConflictRecord, newest

SCOPE = "billing:read"


@strawberry.type(
    description="An event whose source and id came before with other content. The first stays "
    "and is charged; this one was kept aside and counts nowhere."
)
class Conflict:
    source: str = strawberry.field(description="The source both name.")
    fact_id: str = strawberry.field(description="The id both have, as charges show it.")
    at: DateTime = strawberry.field(description="When this one says it happened.")
    arrived_at: DateTime = strawberry.field(description="When it came.")
    data: str = strawberry.field(description="Its data as canonical JSON.")

    @classmethod
    def from_row(cls, record: ConflictRecord) -> Conflict:
        return cls(
            source=record.source,
            fact_id=record.id,
            at=DateTime(record.at),
            arrived_at=DateTime(record.arrived_at),
            data=record.data,
        )


@strawberry.type
class TenantConflicts(Owner):
    """The field of a tenant that lists what was not taken for its fact's content."""

    @computed("The newest events that came under a known id with other content. For operators.")
    async def conflicts(
        self,
        info: Info[Context, None],
        first: Annotated[
            int, strawberry.argument(description=f"How many, at most {PAGE_SIZE_MAX}.")
        ] = 50,
    ) -> list[Conflict]:
        context = info.context
        if not context.caller().is_operator:
            raise Fault("FORBIDDEN", "only an operator may look at conflicts")
        context.require(SCOPE)
        size = page_size(first)

        async def load(tenants: list[int]) -> list[list[ConflictRecord]]:
            found = await newest(context.door, tenants, size)
            return [found[tenant] for tenant in tenants]

        records = await context.loader(("conflicts", size), load).load(self.record.tenant_id)
        return [Conflict.from_row(record) for record in records]
