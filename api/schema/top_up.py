"""Top-ups, as clients see them."""

from __future__ import annotations

import strawberry

from api import ids
from api.context import Context
from api.operations import top_up_create
from api.schema.amount import Amount
from api.schema.inputs import TopUpSource
from api.schema.lot import lot_id
from api.schema.scalars import DateTime
from domain.lots import LotSource
from persistence.tenants import find_by_keys


@strawberry.type(description="What was added to a balance by hand.")
class TopUp:
    id: strawberry.ID = strawberry.field(description="Opaque; names the top-up.")
    lot: strawberry.ID = strawberry.field(
        description="The id of the lot it made, as balances and charges show it."
    )
    balance: str = strawberry.field(description="The balance's key.")
    amount: Amount = strawberry.field(description="What was added.")
    source: TopUpSource = strawberry.field(description="Where it came from.")
    starts_at: DateTime = strawberry.field(description="From when on it pays.")
    expires_at: DateTime | None = strawberry.field(
        description="From when on it no longer pays; null: never."
    )
    created_at: DateTime = strawberry.field(description="When it was recorded.")

    @classmethod
    async def from_record(
        cls, context: Context, tenant_key: str, record: top_up_create.TopUp
    ) -> TopUp:
        tenant = (await find_by_keys(context.door, [tenant_key]))[tenant_key]
        balance = context.catalogue.plans[tenant.plan].balance(record.balance)
        source = LotSource[record.source]
        return cls(
            id=strawberry.ID(ids.encode("top", record.id)),
            lot=lot_id(record.lot_id, source, None, record.balance),
            balance=record.balance,
            amount=Amount.of(record.amount, balance.currency, tenant.locale),
            source=TopUpSource(record.source),
            starts_at=DateTime(record.starts_at),
            expires_at=None if record.expires_at is None else DateTime(record.expires_at),
            created_at=DateTime(record.created_at),
        )
