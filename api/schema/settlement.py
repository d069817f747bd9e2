"""Settling as clients see it: what was corrected, from when on it is not, and doing it now."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.operations import settle
from api.operations.settle import Settle
from api.schema.amount import Amount
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.payload import Payload, attempt
from api.schema.scalars import BigInt, DateTime
from api.schema.terms import require_operator
from api.settling import Cause
from domain.periods import month_name
from persistence import settlements
from persistence.settlements import SettlementRecord
from persistence.tenants import find_by_keys

SCOPE = "billing:read"
PAGE_SIZE = 50
PREFIX = "stl"

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]
Input = strawberry.argument(description="What to do.")


@strawberry.enum(description="Why a tenant was settled.")
class SettlementCause(Enum):
    LATE = strawberry.enum_value(Cause.LATE.value, description="A fact had come late.")
    DEMAND = strawberry.enum_value(Cause.DEMAND.value, description="Somebody asked for it.")
    CLOSE = strawberry.enum_value(Cause.CLOSE.value, description="A period was to be closed.")
    BOOK = strawberry.enum_value(
        Cause.BOOK.value, description="A price book was published to rate open periods anew."
    )


@strawberry.type(description="What a settling changed of one balance.")
class BalanceDifference:
    balance: str = strawberry.field(description="The balance's key.")
    amount: Amount = strawberry.field(
        description="What is charged since, less what was charged before; negative: less is."
    )


@strawberry.type(
    description="A tenant's facts put into the order of their own times, and charges corrected: "
    "each as a reversal and a new charge."
)
class Settlement:
    id: strawberry.ID = strawberry.field(description="Opaque; names the settlement.")
    period: str = strawberry.field(
        description="The first period of which something was corrected, such as `2026-11`; later "
        "ones follow from it."
    )
    cause: SettlementCause = strawberry.field(description="Why it was made.")
    corrected: BigInt = strawberry.field(
        description="Facts of which the charge, or what they opened, is another one since."
    )
    differences: list[BalanceDifference] = strawberry.field(
        description="What is charged otherwise, by balance; one whose charges only moved between "
        "facts or lots is not among them."
    )
    started_at: DateTime = strawberry.field(description="When its reading began.")
    settled_at: DateTime = strawberry.field(description="When it was posted.")
    version: BigInt = strawberry.field(description="Of the tenant's figures, with it posted.")

    @classmethod
    def from_record(cls, record: SettlementRecord, locale: str) -> Settlement:
        return cls(
            id=strawberry.ID(ids.encode(PREFIX, record.settlement_id)),
            period=month_name(record.month),
            cause=SettlementCause(record.cause),
            corrected=BigInt(record.facts),
            differences=[
                BalanceDifference(balance=key, amount=Amount.of(amount, currency, locale))
                for key, currency, amount in record.differences
            ],
            started_at=DateTime(record.started_at),
            settled_at=DateTime(record.settled_at),
            version=BigInt(record.version),
        )


@strawberry.type(description="A settlement and its place in the list.")
class SettlementEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: Settlement = strawberry.field(description="The settlement.")


@strawberry.type(description="A page of settlements, newest first.")
class SettlementConnection:
    edges: list[SettlementEdge] = strawberry.field(description="The settlements with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The settlements alone.")
    def nodes(self) -> list[Settlement]:
        return [edge.node for edge in self.edges]


@strawberry.type
class TenantSettlements(Owner):
    """The fields of a tenant that say what was settled, and what is not yet."""

    @computed("The settlings that corrected anything, newest first.")
    async def settlements(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> SettlementConnection:
        context = info.context
        context.require(SCOPE)
        size = page_size(first)
        asked = settlements.Asked(tenant_id=self.record.tenant_id)
        if after is not None:
            asked = settlements.Asked(tenant_id=self.record.tenant_id, before=_place(after))

        async def load(keys: list[settlements.Asked]) -> list[list[SettlementRecord]]:
            return await settlements.pages(context.door, keys, limit=size + 1)

        found = await context.loader(("settlements", size), load).load(asked)
        edges = [
            SettlementEdge(
                cursor=cursor([ids.encode(PREFIX, record.settlement_id)]),
                node=Settlement.from_record(record, self.record.locale),
            )
            for record in found[:size]
        ]
        page = PageInfo(
            has_next_page=len(found) > size, end_cursor=edges[-1].cursor if edges else None
        )
        return SettlementConnection(edges=edges, page_info=page)

    @computed(
        "The instant from which on charges may still be corrected, for a fact came late; null: "
        "everything that came is settled."
    )
    async def unsettled_from(self, info: Info[Context, None]) -> DateTime | None:
        context = info.context
        context.require(SCOPE)

        async def load(keys: list[int]) -> list[int | None]:
            return await settlements.unsettled_from(context.door, keys)

        found = await context.loader("unsettled", load).load(self.record.tenant_id)
        return None if found is None else DateTime(found)


def _place(after: str) -> int:
    (word,) = position(after, str)
    number = ids.decode(PREFIX, word)
    if number is None:
        raise Fault("BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came")
    return number


@strawberry.input(description="Whose facts are to be put into their order.")
class SettleInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A name of your own for this settling: sent again, it answers what that found. "
        "Without one, what is settled again finds nothing more.",
    )


@strawberry.type(description="The answer of `settle`.")
class SettlePayload(Payload):
    facts: BigInt | None = strawberry.field(description="How many facts were read.")
    corrected: BigInt | None = strawberry.field(
        description="Of them, those that are charged otherwise since."
    )
    differences: list[BalanceDifference] = strawberry.field(
        description="What is charged otherwise, by balance."
    )
    settlement: Settlement | None = strawberry.field(
        description="What was posted; null: nothing had to be."
    )


@strawberry.type
class SettlementMutations:
    """The mutation that settles."""

    @mutation(
        "Put a tenant's facts into the order of their own times now, and correct what is charged "
        "otherwise by it. `SETTLING` where somebody else does it just now. Operators only."
    )
    async def settle(
        self, info: Info[Context, None], input: Annotated[SettleInput, Input]
    ) -> SettlePayload:
        context = info.context
        require_operator(context)
        request = Settle(tenant=input.tenant, idempotency_key=input.idempotency_key)
        settled, errors = await attempt(
            settle.run(context.door, context.settling, request, now=context.now)
        )
        settlement = None
        if settled is not None and settled.settlement_id is not None:
            tenant = (await find_by_keys(context.door, [input.tenant]))[input.tenant]
            asked = settlements.Asked(tenant_id=tenant.tenant_id, before=settled.settlement_id + 1)
            ((record,),) = await settlements.pages(context.door, [asked], limit=1)
            settlement = Settlement.from_record(record, tenant.locale)
        return SettlePayload(
            facts=None if settled is None else BigInt(settled.facts),
            corrected=None if settled is None else BigInt(settled.corrected),
            differences=[] if settlement is None else settlement.differences,
            settlement=settlement,
            user_errors=errors,
        )
