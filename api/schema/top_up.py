"""Top-ups, as clients see them."""

from __future__ import annotations

from typing import Any

import strawberry

from api import ids
from api.schema.amount import Amount
from api.schema.fields import computed
from api.schema.inputs import TopUpSource
from api.schema.lot import lot_id
from api.schema.paging import PageInfo
from api.schema.scalars import DateTime
from domain.lots import LotSource
from persistence.actions import Action
from persistence.tenants import TenantRecord


@strawberry.type(description="What was added to a balance by hand.")
class TopUp:
    id: strawberry.ID = strawberry.field(description="Opaque; names the top-up.")
    lot: strawberry.ID = strawberry.field(
        description="The id of the lot it made, as balances and charges show it."
    )
    balance: str = strawberry.field(description="The balance's key.")
    amount: Amount = strawberry.field(description="What was added.")
    price: Amount | None = strawberry.field(
        description="What the plan asks for it, before tax; null where it was not bought as the "
        "plan offers it."
    )
    source: TopUpSource = strawberry.field(description="Where it came from.")
    starts_at: DateTime = strawberry.field(description="From when on it pays.")
    expires_at: DateTime | None = strawberry.field(
        description="From when on it no longer pays; null: never."
    )
    note: str = strawberry.field(description="A note for people; empty where there is none.")
    created_at: DateTime = strawberry.field(description="When it was recorded.")

    @classmethod
    def from_record(cls, tenant: TenantRecord, action: Action) -> TopUp:
        body: dict[str, Any] = action.body
        price, source = body.get("price"), LotSource[body["source"]]
        return cls(
            id=strawberry.ID(ids.encode("top", action.action_id)),
            lot=lot_id(body["lot_id"], source, None, body["balance"]),
            balance=body["balance"],
            amount=Amount.of(body["amount"], body.get("currency"), tenant.locale),
            price=None
            if price is None
            else Amount.of(price, body["price_currency"], tenant.locale),
            source=TopUpSource(body["source"]),
            starts_at=DateTime(body["starts_at"]),
            expires_at=None if body["expires_at"] is None else DateTime(body["expires_at"]),
            note=body.get("note", ""),
            created_at=DateTime(action.at),
        )


@strawberry.type(description="A top-up and its place in the list.")
class TopUpEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: TopUp = strawberry.field(description="The top-up.")


@strawberry.type(description="A page of top-ups, newest first.")
class TopUpConnection:
    edges: list[TopUpEdge] = strawberry.field(description="The top-ups with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The top-ups alone.")
    def nodes(self) -> list[TopUp]:
        return [edge.node for edge in self.edges]
