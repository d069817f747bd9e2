"""Numbers of a tenant, as clients see them."""

from __future__ import annotations

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.schema.fields import computed
from api.schema.node import Node
from api.schema.owner import Owner
from api.schema.timezone import TimezoneChange
from domain.facts import CHANNEL_NAMES
from persistence.tenants import NumberRecord, numbers_of


@strawberry.type(description="A sender of a tenant: a telephone number, short code or mailbox.")
class Number(Node):
    record: strawberry.Private[NumberRecord]
    channel: str = strawberry.field(description="Such as `whatsapp`, `sms`, `email`.")
    address: str = strawberry.field(
        description="In the spelling facts are looked up by: telephone numbers are digits with "
        "country code and without `+`, e-mail addresses lower case."
    )

    @computed(
        "IANA zone in whose days and months prices and free counts change: its own, whatever "
        "becomes of the tenant's."
    )
    def timezone(self, info: Info[Context, None]) -> str:
        return self.record.zone.name_at(info.context.now)

    @computed("The zone that was agreed for later; null: it keeps the one it has.")
    def timezone_change(self, info: Info[Context, None]) -> TimezoneChange | None:
        return TimezoneChange.of(self.record.zone, info.context.now)

    @classmethod
    def from_row(cls, record: NumberRecord) -> Number:
        return cls(
            record=record,
            id=strawberry.ID(ids.encode("num", record.number_id)),
            channel=CHANNEL_NAMES[record.channel],
            address=record.address,
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
