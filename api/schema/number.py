"""Numbers of a tenant, as clients see them."""

from __future__ import annotations

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.schema.fields import computed
from api.schema.node import Node
from api.schema.owner import Owner
from domain.facts import CHANNEL_NAMES
from persistence.tenants import NumberRecord, numbers_of


@strawberry.type(description="A sender of a tenant: a telephone number, short code or mailbox.")
class Number(Node):
    channel: str = strawberry.field(description="Such as `whatsapp`, `sms`, `email`.")
    address: str = strawberry.field(
        description="In the spelling facts are looked up by: telephone numbers are digits with "
        "country code and without `+`, e-mail addresses lower case."
    )
    timezone: str = strawberry.field(
        description="IANA zone in whose days and months prices and free counts change."
    )

    @classmethod
    def from_row(cls, record: NumberRecord) -> Number:
        return cls(
            id=strawberry.ID(ids.encode("num", record.number_id)),
            channel=CHANNEL_NAMES[record.channel],
            address=record.address,
            timezone=record.timezone,
        )


@strawberry.type
class TenantNumbers(Owner):
    """The field of a tenant that lists its numbers."""

    @computed("The numbers of the tenant, by channel and address.")
    async def numbers(self, info: Info[Context, None]) -> list[Number]:
        context = info.context

        async def load(tenants: list[int]) -> list[list[NumberRecord]]:
            found = await numbers_of(context.door, tenants)
            return [found[tenant] for tenant in tenants]

        records = await context.loader("numbers", load).load(self.record.tenant_id)
        return [Number.from_row(record) for record in records]
