"""Open holds as clients see them: what is set aside for sends that have not happened yet."""

from __future__ import annotations

from typing import Annotated

import msgspec
import strawberry
from strawberry.types import Info

from api.context import Context
from api.faults import Fault
from api.schema.amount import Amount
from api.schema.fields import computed
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.scalars import DateTime
from domain.holds import read
from domain.periods import period
from domain.sums import LEFT
from persistence.open_holds import Open
from persistence.standing import standing_of
from persistence.tenants import TenantRecord

SCOPE = "billing:read"
PAGE_SIZE = 50

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]

#: Of the answer that is kept with a hold, its id alone.
_answer = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_id = msgspec.msgpack.Decoder(str).decode


@strawberry.type(description="What a hold sets aside of one balance.")
class HeldAmount:
    balance: str = strawberry.field(description="The balance's key.")
    amount: Amount = strawberry.field(description="What is still set aside.")


@strawberry.type(
    description="What was set aside for a send, until the send is charged, fails or is given up, "
    "or the hold expires."
)
class Hold:
    id: strawberry.ID = strawberry.field(description="As `authorize` gave it.")
    granted_at: DateTime = strawberry.field(description="When it was granted.")
    expires_at: DateTime = strawberry.field(
        description="When it next gives something back by itself."
    )
    recipients: int = strawberry.field(description="For how many it was granted.")
    amounts: list[HeldAmount] = strawberry.field(
        description="What it still sets aside; nothing where it only reserves free counts."
    )


@strawberry.type(description="A hold and its place in the list.")
class HoldEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: Hold = strawberry.field(description="The hold.")


@strawberry.type(description="A page of open holds, those that end first first.")
class HoldConnection:
    edges: list[HoldEdge] = strawberry.field(description="The holds with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The holds alone.")
    def nodes(self) -> list[Hold]:
        return [edge.node for edge in self.edges]


@strawberry.type
class TenantHolds(Owner):
    """The field of a tenant that lists its open holds."""

    @computed("Open holds, those that end first first; of a moment ago, for they come and go.")
    async def holds(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> HoldConnection:
        context, record = info.context, self.record
        context.require(SCOPE)
        size = page_size(first)
        found = await context.live.holds.listed(
            record.tenant_id,
            context.now,
            after=None if after is None else _place(after),
            limit=size + 1,
        )
        nodes = await _nodes(context, record, found[:size])
        edges = [
            HoldEdge(cursor=cursor([each.ends_at, each.key.hex()]), node=node)
            for each, node in zip(found, nodes, strict=False)
        ]
        ends = PageInfo(
            has_next_page=len(found) > size, end_cursor=edges[-1].cursor if edges else None
        )
        return HoldConnection(edges=edges, page_info=ends)


async def _nodes(context: Context, record: TenantRecord, found: list[Open]) -> list[Hold]:
    """Holds with what their ids say, which the tenant's own key has signed."""
    if not found:
        return []

    async def load(keys: list[int]) -> list[bytes | None]:
        known = await context.live.holds.keys(keys)
        return [known.get(key) for key in keys]

    signs = await context.loader("hold keys", load).load(record.tenant_id) or b""
    span = period(record.zone, context.now)
    standing = standing_of(context.catalogue, record)
    balances = standing.balances(span, context.now)
    currencies = {each.key: each.currency for each in balances}
    return [_node(each, record, signs, currencies) for each in found]


def _node(each: Open, record: TenantRecord, key: bytes, currencies: dict[str, str | None]) -> Hold:
    spelt = _id(_answer(each.answer)[0])
    hold = read(spelt, key)
    assert hold is not None, "ids are signed with the key of their tenant"
    amounts = []
    for name, micros in each.parts:
        balance = name.removeprefix(LEFT)
        if balance != name:
            amount = Amount.of(micros, currencies.get(balance), record.locale)
            amounts.append(HeldAmount(balance=balance, amount=amount))
    return Hold(
        id=strawberry.ID(spelt),
        granted_at=DateTime(hold.granted_at),
        expires_at=DateTime(each.ends_at),
        recipients=hold.shares,
        amounts=amounts,
    )


def _place(after: str) -> tuple[int, bytes]:
    ends_at, key = position(after, int, str)
    try:
        return ends_at, bytes.fromhex(key)
    except ValueError:
        raise Fault(
            "BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came"
        ) from None
