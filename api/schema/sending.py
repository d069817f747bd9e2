"""What holds for a tenant's sends, and the mutation that sets its own part of it (OC-1, OC-3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import sending_set
from api.operations.checks import camel_of
from api.operations.sending_set import SendingSet
from api.schema.amount import Amount
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.payload import Payload, UserError, attempt
from api.schema.scalars import Decimal
from api.schema.terms import require_operator
from domain.documents import Fault
from domain.sending import BOUNDS, DEFAULT, merged
from persistence.standing import standing_of
from persistence.tenants import TenantRecord

SCOPE = "billing:read"

Input = strawberry.argument(description="What to do.")


def _whole(name: str, what: str) -> str:
    low, high = BOUNDS[name]
    default = getattr(DEFAULT, name)
    return f"{what}, {low:,} to {high:,}; null: as the plan says, else {default:,}."


@strawberry.input(description="What may be spent of a balance, by the tenant's local time.")
class SendingCapInput:
    balance: str = strawberry.field(description="The balance's key.")
    day: Decimal | None = strawberry.field(
        default=None, description="In a local day, in the balance's unit; null: no cap."
    )
    month: Decimal | None = strawberry.field(
        default=None, description="In a local month, in the balance's unit; null: no cap."
    )


@strawberry.input(description="What may be granted of a balance while nothing can be counted.")
class SendingFailOpenInput:
    balance: str = strawberry.field(description="The balance's key.")
    amount: Decimal = strawberry.field(
        description="How much from the outage's beginning on, in the balance's unit; above 0."
    )


@strawberry.input(
    description="What a tenant says of sending itself. A field that is left out stays as it is, "
    "null takes the tenant's own away, a list replaces the one there was."
)
class SendingSetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    hold_seconds: int | None = strawberry.field(
        default=strawberry.UNSET,
        description=_whole(
            "hold_seconds", "Seconds until a hold expires of which nothing was sent"
        ),
    )
    sent_seconds: int | None = strawberry.field(
        default=strawberry.UNSET,
        description=_whole("sent_seconds", "Seconds until a share of a hold expires that was sent"),
    )
    call_seconds: int | None = strawberry.field(
        default=strawberry.UNSET,
        description=_whole("call_seconds", "Seconds of a call that are authorised at a time"),
    )
    recipients_max: int | None = strawberry.field(
        default=strawberry.UNSET,
        description=_whole("recipients_max", "Recipients of one send at most"),
    )
    caps: list[SendingCapInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description="Caps, a balance each; empty: none, whatever the plan says; null: the plan's.",
    )
    fail_open: list[SendingFailOpenInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description="What an outage may grant, a balance each; empty: nothing, whatever the plan "
        "says; null: the plan's.",
    )
    reason: str = strawberry.field(description="Why, for people: 1 to 1,000 characters.")


@strawberry.type(description="What may be spent of a balance, by the tenant's local time.")
class SendingCap:
    balance: str = strawberry.field(description="The balance's key.")
    day: Amount | None = strawberry.field(
        description="In a local day, in the balance's unit; null: no cap."
    )
    month: Amount | None = strawberry.field(
        description="In a local month, in the balance's unit; null: no cap."
    )


@strawberry.type(description="What may be granted of a balance while nothing can be counted.")
class SendingFailOpen:
    balance: str = strawberry.field(description="The balance's key.")
    amount: Amount = strawberry.field(
        description="How much from the outage's beginning on, in the balance's unit."
    )


@strawberry.type(
    description="What holds for a tenant's sends: field by field what the tenant says itself, "
    "else what the plan in force says, else the default."
)
class Sending:
    hold_seconds: int = strawberry.field(
        description="Seconds until a hold expires of which nothing was sent."
    )
    sent_seconds: int = strawberry.field(
        description="Seconds until a share of a hold expires that was sent."
    )
    call_seconds: int = strawberry.field(
        description="Seconds of a call that are authorised at a time."
    )
    recipients_max: int = strawberry.field(description="Recipients of one send at most.")
    caps: list[SendingCap] = strawberry.field(
        description="What may be spent at most; a balance that is not named has no cap."
    )
    fail_open: list[SendingFailOpen] = strawberry.field(
        description="What an outage may grant; of a balance that is not named nothing is granted."
    )

    @classmethod
    def of(cls, context: Context, tenant: TenantRecord) -> Sending:
        """What holds just now."""
        standing = standing_of(context.catalogue, tenant)
        plan = standing.holding(context.now).plan
        holds = merged(plan.sending, tenant.own_sending)
        currencies = {
            balance.key: balance.currency
            for each in standing.holdings
            for balance in each.plan.balances
        }

        def shown(key: str, amount: int) -> Amount:
            return Amount.of(amount, currencies.get(key), tenant.locale)

        return cls(
            hold_seconds=holds.hold_seconds,
            sent_seconds=holds.sent_seconds,
            call_seconds=holds.call_seconds,
            recipients_max=holds.recipients_max,
            caps=[
                SendingCap(
                    balance=key,
                    day=None if cap.day is None else shown(key, cap.day),
                    month=None if cap.month is None else shown(key, cap.month),
                )
                for key, cap in sorted(holds.caps.items())
            ],
            fail_open=[
                SendingFailOpen(balance=key, amount=shown(key, amount))
                for key, amount in sorted(holds.fail_open.items())
            ],
        )


@strawberry.type(description="The answer of `sendingSet`.")
class SendingSetPayload(Payload):
    sending: Sending | None = strawberry.field(description="What now holds.")


@strawberry.type
class TenantSending(Owner):
    """The field of a tenant that says what holds for its sends."""

    @computed(
        "What holds for its sends: until when holds last, what caps them, and what an outage may "
        "grant. Seconds are whole, amounts in their balance's unit."
    )
    def sending(self, info: Info[Context, None]) -> Sending:
        info.context.require(SCOPE)
        return Sending.of(info.context, self.record)


@strawberry.type
class SendingMutations:
    """The mutation that sets what a tenant says itself."""

    @mutation(
        "Set what a tenant says of sending itself, whatever its plan says. The same again changes "
        "nothing. Operators only."
    )
    async def sending_set(
        self, info: Info[Context, None], input: Annotated[SendingSetInput, Input]
    ) -> SendingSetPayload:
        context = info.context
        require_operator(context)
        request = SendingSet(tenant=input.tenant, fields=_fields(input), reason=input.reason)
        done, errors = await attempt(
            sending_set.run(context.door, context.catalogue, request, now=context.now)
        )
        if done is None:
            return SendingSetPayload(sending=None, user_errors=errors)
        holds = None if done.tenant is None else Sending.of(context, done.tenant)
        return SendingSetPayload(
            sending=holds, user_errors=[_error(each) for each in done.problems]
        )


def _fields(input: SendingSetInput) -> Mapping[str, Any]:
    """What was said, as a plan spells it."""
    caps, fail_open = input.caps, input.fail_open
    fields = {name: getattr(input, name) for name in BOUNDS}
    fields["caps"] = [_cap(each) for each in caps] if caps else caps
    fields["fail_open"] = (
        [{"balance": each.balance, "amount": each.amount} for each in fail_open]
        if fail_open
        else fail_open
    )
    return {name: value for name, value in fields.items() if value is not strawberry.UNSET}


def _cap(cap: SendingCapInput) -> dict[str, str]:
    amounts = {"day": cap.day, "month": cap.month}
    given = {name: amount for name, amount in amounts.items() if amount is not None}
    return {"balance": cap.balance, **given}


def _error(fault: Fault) -> UserError:
    return UserError(
        field=camel_of(fault.path), message=f"{fault.wrong}; {fault.right}", code="INVALID"
    )
