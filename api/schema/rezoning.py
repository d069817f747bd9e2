"""Changing the time zone of a tenant or of a number (TZ-3)."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.operations import number_timezone_change, timezone_change
from api.operations.number_timezone_change import NumberTimezoneChange
from api.operations.timezone_change import TimezoneChange
from api.schema.fields import mutation
from api.schema.number import Number
from api.schema.payload import Payload, UserError, attempt
from api.schema.scalars import DateTime
from api.schema.tenant import Tenant
from api.schema.terms import require_operator
from persistence.actions import Action
from persistence.tenants import find_by_ids, find_by_keys, find_number

Input = strawberry.argument(description="What to do.")
STARTS_AT = (
    "From when on it holds; null: it always has. What has passed says that it is in force, and "
    "that nothing else is to come."
)


@strawberry.input(description="Another time zone for a tenant.")
class TimezoneChangeInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    timezone: str = strawberry.field(
        description="An IANA zone such as `America/Bogota`; the present one takes back what was "
        "agreed for later."
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this change: sent again, it changes nothing."
    )


@strawberry.input(description="Another time zone for a number.")
class NumberTimezoneChangeInput:
    number: strawberry.ID = strawberry.field(description="The number's id.")
    timezone: str = strawberry.field(
        description="An IANA zone such as `America/Bogota`; the present one takes back what was "
        "agreed for later."
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this change: sent again, it changes nothing."
    )


@strawberry.type(description="The answer of `timezoneChange`.")
class TimezoneChangePayload(Payload):
    tenant: Tenant | None = strawberry.field(description="The tenant, as it is now.")
    timezone: str | None = strawberry.field(
        description="The zone as it was agreed; the earlier one where its `idempotencyKey` came "
        "before."
    )
    starts_at: DateTime | None = strawberry.field(description=STARTS_AT)


@strawberry.type(description="The answer of `numberTimezoneChange`.")
class NumberTimezoneChangePayload(Payload):
    number: Number | None = strawberry.field(description="The number, as it is now.")
    timezone: str | None = strawberry.field(
        description="The zone as it was agreed; the earlier one where its `idempotencyKey` came "
        "before."
    )
    starts_at: DateTime | None = strawberry.field(description=STARTS_AT)


@strawberry.type
class RezoningMutations:
    """The mutations that change zones."""

    @mutation(
        "Put a tenant on another time zone from its next period start on. Periods leave no gap and "
        "do not overlap: the first one in the new zone is the longer or the shorter for it. A "
        "change that has not begun yet is replaced. A period that begins within six minutes counts "
        "as begun, for its facts may have come. The tenant's numbers keep their zones. Once per "
        "`idempotencyKey`. Operators only."
    )
    async def timezone_change(
        self, info: Info[Context, None], input: Annotated[TimezoneChangeInput, Input]
    ) -> TimezoneChangePayload:
        context = info.context
        require_operator(context)
        request = TimezoneChange(
            tenant=input.tenant, timezone=input.timezone, idempotency_key=input.idempotency_key
        )
        action, errors = await attempt(
            timezone_change.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        tenant = None
        if action is not None:
            found = await find_by_keys(context.door, [input.tenant])
            tenant = Tenant.from_row(found[input.tenant])
        return TimezoneChangePayload(
            tenant=tenant, timezone=_timezone(action), starts_at=_starts_at(action),
            user_errors=errors,
        )  # fmt: skip

    @mutation(
        "Put a number on another time zone from its next month start on, by the zone it has: free "
        "counts and tiers of a month are those of that month's name. Otherwise as "
        "`timezoneChange`. Once per `idempotencyKey`. Operators only."
    )
    async def number_timezone_change(
        self, info: Info[Context, None], input: Annotated[NumberTimezoneChangeInput, Input]
    ) -> NumberTimezoneChangePayload:
        context = info.context
        require_operator(context)
        number_id = ids.decode("num", input.number)
        record = None if number_id is None else await find_number(context.door, number_id, None)
        if record is None:
            missing = UserError(field="number", code="NOT_FOUND", message="there is no such number")
            return NumberTimezoneChangePayload(
                number=None, timezone=None, starts_at=None, user_errors=[missing]
            )
        owner = (await find_by_ids(context.door, [record.tenant_id]))[record.tenant_id]
        request = NumberTimezoneChange(
            tenant=owner.key,
            number=record.number_id,
            timezone=input.timezone,
            idempotency_key=input.idempotency_key,
        )
        action, errors = await attempt(
            number_timezone_change.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        number = None
        if action is not None:
            changed = await find_number(context.door, record.number_id, record.tenant_id)
            number = Number.from_row(changed or record)
        return NumberTimezoneChangePayload(
            number=number, timezone=_timezone(action), starts_at=_starts_at(action),
            user_errors=errors,
        )  # fmt: skip


def _timezone(action: Action | None) -> str | None:
    return None if action is None else action.body["timezone"]


def _starts_at(action: Action | None) -> DateTime | None:
    since = None if action is None else action.body["since"]
    return None if since is None else DateTime(since)
