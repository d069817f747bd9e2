"""What people did to a tenant's balances, page by page: top-ups, adjustments, refunds."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.schema.correction import (
    Adjustment,
    AdjustmentConnection,
    AdjustmentEdge,
    Refund,
    RefundConnection,
    RefundEdge,
)
from api.schema.fields import computed
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.top_up import TopUp, TopUpConnection, TopUpEdge
from persistence import actions
from persistence.actions import Action, ActionKind

SCOPE = "billing:read"
PAGE_SIZE = 50

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]


@strawberry.type
class TenantActions(Owner):
    """The fields of a tenant that list what people did."""

    @computed("What was added to balances by hand, newest first.")
    async def top_ups(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> TopUpConnection:
        found, page = await self._page(info.context, ActionKind.TOP_UP, first, after)
        return TopUpConnection(
            edges=[
                TopUpEdge(cursor=_cursor(action), node=TopUp.from_record(self.record, action))
                for action in found
            ],
            page_info=page,
        )

    @computed("Corrections of balances, newest first.")
    async def adjustments(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> AdjustmentConnection:
        found, page = await self._page(info.context, ActionKind.ADJUSTMENT, first, after)
        return AdjustmentConnection(
            edges=[
                AdjustmentEdge(
                    cursor=_cursor(action), node=Adjustment.from_record(self.record, action)
                )
                for action in found
            ],
            page_info=page,
        )

    @computed("What was given back or taken back, newest first.")
    async def refunds(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> RefundConnection:
        found, page = await self._page(info.context, ActionKind.REFUND, first, after)
        return RefundConnection(
            edges=[
                RefundEdge(cursor=_cursor(action), node=Refund.from_record(self.record, action))
                for action in found
            ],
            page_info=page,
        )

    async def _page(
        self, context: Context, kind: ActionKind, first: int, after: str | None
    ) -> tuple[list[Action], PageInfo]:
        """The actions of a page, and where it ends."""
        context.require(SCOPE)
        size = page_size(first)

        async def load(keys: list[actions.Asked]) -> list[list[Action]]:
            return await actions.pages(context.door, keys, limit=size + 1)

        asked = actions.Asked(tenant_id=self.record.tenant_id, kind=kind)
        if after is not None:
            asked = actions.Asked(tenant_id=self.record.tenant_id, kind=kind, before=_place(after))
        found = await context.loader(("actions", size), load).load(asked)
        shown = found[:size]
        end = _cursor(shown[-1]) if shown else None
        return shown, PageInfo(has_next_page=len(found) > size, end_cursor=end)


def _cursor(action: Action) -> str:
    return cursor([ids.encode("act", action.action_id)])


def _place(after: str) -> int:
    (word,) = position(after, str)
    number = ids.decode("act", word)
    if number is None:
        raise Fault("BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came")
    return number
