"""Closing a period as clients see it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import strawberry
from graphql import FieldNode, SelectionSetNode
from strawberry.dataloader import DataLoader
from strawberry.types import Info

from api.context import Context
from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.payload import Payload, attempt
from api.schema.scalars import BigInt, DateTime
from api.schema.terms import require_operator
from domain.periods import month_label, month_name
from domain.problems import Problem
from persistence import settlements
from persistence.actions import Action

SCOPE = "billing:read"
YEARS = range(1970, 2200)
MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)

Input = strawberry.argument(description="What to do.")


@strawberry.type
class TenantClosing(Owner):
    """The field of a tenant that says what is closed."""

    @computed(
        "The instant before which every period is closed: a fact that comes for one is adjusted, "
        "paid by what is open when it comes. Null: nothing is closed."
    )
    async def closed_until(self, info: Info[Context, None]) -> DateTime | None:
        context = info.context
        context.require(SCOPE)
        found = await closed_until_of(context, self.record.tenant_id)
        return None if found is None else DateTime(found)


async def closed_until_of(context: Context, tenant_id: int) -> int | None:
    """The instant before which everything of a tenant is closed; None: nothing is."""
    return await _closed(context).load(tenant_id)


async def closed_first(info: Info[Context, None], tenants: Iterable[int]) -> None:
    """Look up what is closed, before figures are read of which `estimate` is asked.

    A period may close at any moment, and its last settling changes figures: those that were read
    before it are not the ones that it made final (FI-1). A query sees one moment; the payload of a
    mutation does not.
    """
    nodes = [info.operation, *info._raw_info.fragments.values()]
    if any(_names(node.selection_set, "estimate") for node in nodes):
        await _closed(info.context).load_many(list(tenants))


def _closed(context: Context) -> DataLoader[int, int | None]:
    async def load(keys: list[int]) -> list[int | None]:
        return await settlements.closed_until(context.figures, keys)

    return context.loader("closed", load)


def _names(selections: SelectionSetNode | None, field: str) -> bool:
    """Whether a field of this name is among them, however deep."""
    return selections is not None and any(
        (isinstance(node, FieldNode) and node.name.value == field)
        or _names(getattr(node, "selection_set", None), field)
        for node in selections.selections
    )


@strawberry.input(description="Which period is to take nothing more.")
class PeriodCloseInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    period: str = strawberry.field(
        description="Its month, such as `2026-10`; everything before it is closed with it."
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this closing: sent again, it closes once."
    )


@strawberry.type(description="The answer of `periodClose`.")
class PeriodClosePayload(Payload):
    period: str | None = strawberry.field(description="The month that was closed.")
    closed_until: DateTime | None = strawberry.field(
        description="Its end: what is from before it is adjusted from now on."
    )
    corrected: BigInt | None = strawberry.field(
        description="Facts that were charged otherwise by the settling before it."
    )


@strawberry.type
class ClosingMutations:
    """The mutation that closes."""

    @mutation(
        "Close a period that is over: it is settled, and then stays as it is. A fact that comes "
        "for it later is rated by its own time and paid by the open period. `PERIOD_OPEN` before "
        "its end, `ALREADY_CLOSED` after another closing. Once per `idempotencyKey`. Operators "
        "only."
    )
    async def period_close(
        self, info: Info[Context, None], input: Annotated[PeriodCloseInput, Input]
    ) -> PeriodClosePayload:
        context = info.context
        require_operator(context)
        action, errors = await attempt(_close(context, input))
        body = {} if action is None else action.body
        return PeriodClosePayload(
            period=month_name(body["period"]) if body else None,
            closed_until=DateTime(body["closed_until"]) if body else None,
            corrected=BigInt(body["corrected"]) if body else None,
            user_errors=errors,
        )


async def _close(context: Context, input: PeriodCloseInput) -> Action:
    request = PeriodClose(
        tenant=input.tenant,
        period=label_of(input.period),
        idempotency_key=input.idempotency_key,
    )
    return await period_close.run(context.door, context.settling, request, now=context.now)


def label_of(text: str) -> int:
    """The label of the month that somebody wrote as `2026-10`."""
    written = MONTH.fullmatch(text)
    if written is None or int(written[1]) not in YEARS or not 1 <= int(written[2]) <= 12:
        message = "period is a month from 1970 to 2199, written as 2026-10"
        raise Problem("INVALID", message, "period")
    return month_label(int(written[1]), int(written[2]))
