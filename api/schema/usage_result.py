"""What became of recorded events, as clients see it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import strawberry

from api import intake
from api.context import Context
from api.faults import unavailable
from api.schema.scalars import CloudEvent, Decimal
from api.submissions import Busy, Unavailable


@strawberry.enum(description="What became of an event.")
class UsageStatus(Enum):
    ACCEPTED = strawberry.enum_value("accepted", description="It was kept and rated.")
    DUPLICATE = strawberry.enum_value(
        "duplicate", description="It was kept before; this is its first outcome."
    )
    CONFLICT = strawberry.enum_value(
        "conflict", description="Its source and id came before with other content, which stays."
    )
    REFUSED = strawberry.enum_value("refused", description="It was not kept: see `reason`.")
    UNRATED = strawberry.enum_value(
        "unrated", description="It was kept, and is rated as soon as there is a rate for it."
    )
    ADJUSTED = strawberry.enum_value(
        "adjusted", description="It belongs to a closed period, and the open one pays."
    )


@strawberry.type(description="One leg of what an event cost.")
class UsageCharge:
    balance: str | None = strawberry.field(description="The key of the balance that paid.")
    units: Decimal = strawberry.field(description="What was counted.")
    amount: Decimal = strawberry.field(description="What was taken; 0 where it was free.")
    currency: str | None = strawberry.field(description="Of a money balance; null for units.")
    category: str | None = strawberry.field(description="The message's category.")
    rule: str | None = strawberry.field(
        description="The rule that set the price, or made it free: `BOOK@VALID-FROM/ROW`."
    )


@strawberry.type(description="What became of one event.")
class UsageResult:
    id: str | None = strawberry.field(description="The event's own id.")
    status: UsageStatus = strawberry.field(description="What became of it.")
    reason: str | None = strawberry.field(
        description="Why, by a name that does not change, such as `unknown_number`."
    )
    message: str | None = strawberry.field(description="What is wrong, and what would be right.")
    path: str | None = strawberry.field(description="Where in the event.")
    charges: list[UsageCharge] = strawberry.field(description="What it cost.")


async def record_events(context: Context, events: Sequence[CloudEvent]) -> list[UsageResult]:
    """Hand events to the intake; what it could not keep in time is a fault of the request."""
    try:
        results = await context.intake.record_events(context.caller(), events)
    except (Busy, Unavailable) as error:
        raise unavailable(f"{error}; send it again: what was kept is a duplicate then") from None
    return [from_result(result) for result in results]


def from_result(result: intake.Result) -> UsageResult:
    return UsageResult(
        id=result.id,
        status=UsageStatus(result.status),
        reason=result.reason,
        message=result.message,
        path=result.path,
        charges=[
            UsageCharge(
                balance=charge.balance,
                units=Decimal(charge.units),
                amount=Decimal(charge.amount),
                currency=charge.currency,
                category=charge.category,
                rule=charge.rule,
            )
            for charge in result.charges
        ],
    )
