"""Adjustments and refunds, as clients see them."""

from __future__ import annotations

import strawberry

from api import ids
from api.schema.amount import Amount
from api.schema.fields import computed
from api.schema.lot import lot_id
from api.schema.paging import PageInfo
from api.schema.scalars import DateTime
from domain.lots import LotSource
from persistence.actions import Action
from persistence.tenants import TenantRecord


@strawberry.type(description="What one lot received, or gave, without any usage.")
class LotMove:
    lot: strawberry.ID = strawberry.field(description="The id of the lot.")
    amount: Amount = strawberry.field(description="What it received; negative: what it gave.")


def _moves(tenant: TenantRecord, action: Action) -> list[LotMove]:
    body = action.body
    return [
        LotMove(
            lot=lot_id(number, LotSource(source), month, body["balance"]),
            amount=Amount.of(amount, body["currency"], tenant.locale),
        )
        for number, source, month, amount in body["moves"]
    ]


@strawberry.type(description="A correction of a balance by an operator. It is no usage.")
class Adjustment:
    id: strawberry.ID = strawberry.field(description="Opaque; names the adjustment.")
    balance: str = strawberry.field(description="The balance's key.")
    amount: Amount = strawberry.field(description="What was added; negative: what was taken.")
    reason: str = strawberry.field(description="Why.")
    lots: list[LotMove] = strawberry.field(
        description="The lots it changed, before anything owed was paid off."
    )
    created_at: DateTime = strawberry.field(description="When it was recorded.")

    @classmethod
    def from_record(cls, tenant: TenantRecord, action: Action) -> Adjustment:
        body = action.body
        return cls(
            id=strawberry.ID(ids.encode("adj", action.action_id)),
            balance=body["balance"],
            amount=Amount.of(body["amount"], body["currency"], tenant.locale),
            reason=body["reason"],
            lots=_moves(tenant, action),
            created_at=DateTime(action.at),
        )


@strawberry.type(
    description="What was given back of a charge or of a top-up, or a top-up whose payment was "
    "taken back. Usage stays in every report."
)
class Refund:
    id: strawberry.ID = strawberry.field(description="Opaque; names the refund.")
    charge: strawberry.ID | None = strawberry.field(
        description="The charge that was refunded; null for a top-up."
    )
    top_up: strawberry.ID | None = strawberry.field(
        description="The top-up that was given back; null for a charge."
    )
    taken_back: bool = strawberry.field(description="Whether the top-up's payment was taken back.")
    balance: str = strawberry.field(description="The balance's key.")
    amount: Amount = strawberry.field(
        description="What was refunded of the charge, or left the balance with the top-up."
    )
    forfeited: Amount = strawberry.field(
        description="Of the amount, what came back to nobody: its lot had ended, and the plan "
        "gives no other for it."
    )
    reason: str = strawberry.field(description="Why.")
    lots: list[LotMove] = strawberry.field(
        description="The lots it changed, before anything owed was paid off."
    )
    created_at: DateTime = strawberry.field(description="When it was recorded.")

    @classmethod
    def from_record(cls, tenant: TenantRecord, action: Action) -> Refund:
        body = action.body
        return cls(
            id=strawberry.ID(ids.encode("ref", action.action_id)),
            charge=body["charge"],
            top_up=body["top_up"],
            taken_back=body["taken_back"],
            balance=body["balance"],
            amount=Amount.of(body["amount"], body["currency"], tenant.locale),
            forfeited=Amount.of(body["forfeited"], body["currency"], tenant.locale),
            reason=body["reason"],
            lots=_moves(tenant, action),
            created_at=DateTime(action.at),
        )


@strawberry.type(description="An adjustment and its place in the list.")
class AdjustmentEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: Adjustment = strawberry.field(description="The adjustment.")


@strawberry.type(description="A page of adjustments, newest first.")
class AdjustmentConnection:
    edges: list[AdjustmentEdge] = strawberry.field(description="The adjustments with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The adjustments alone.")
    def nodes(self) -> list[Adjustment]:
        return [edge.node for edge in self.edges]


@strawberry.type(description="A refund and its place in the list.")
class RefundEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: Refund = strawberry.field(description="The refund.")


@strawberry.type(description="A page of refunds, newest first.")
class RefundConnection:
    edges: list[RefundEdge] = strawberry.field(description="The refunds with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The refunds alone.")
    def nodes(self) -> list[Refund]:
        return [edge.node for edge in self.edges]
