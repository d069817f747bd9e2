"""Changing what was agreed with a tenant: its plan, and allowances of its own (BA-12)."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.faults import Fault
from api.operations import allowance_set, plan_change
from api.operations.allowance_set import AllowanceSet
from api.operations.plan_change import PlanChange
from api.schema.amount import Amount
from api.schema.fields import mutation
from api.schema.payload import Payload, attempt
from api.schema.scalars import Date, DateTime, Decimal
from domain.money import micros
from persistence.actions import Action
from persistence.tenants import find_by_keys

Input = strawberry.argument(description="What to do.")


@strawberry.input(description="Another plan for a tenant.")
class PlanChangeInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    plan: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The plan's key; null ends the subscription: nothing is granted from the next "
        "period on, and usage goes on.",
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this change: sent again, it changes nothing."
    )


@strawberry.input(description="An allowance of a tenant's own, instead of its plan's.")
class AllowanceSetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    balance: str = strawberry.field(description="The balance's key.")
    amount: Decimal | None = strawberry.field(
        default=strawberry.UNSET,
        description="A period's allowance, in the balance's unit; null: the plan's again.",
    )
    since: Date = strawberry.field(
        description="A local day: the first period that begins on it or later. If it has come, "
        "what is more than before is added to the present period at once."
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this change: sent again, it changes nothing."
    )


@strawberry.type(description="A change of plan as it was agreed.", name="PlanChange")
class AgreedPlan:
    plan: str = strawberry.field(description="The plan's key.")
    grants: bool = strawberry.field(description="Whether it grants allowances; false at its end.")
    since: DateTime = strawberry.field(description="From when on it holds.")
    created_at: DateTime = strawberry.field(description="When it was agreed.")

    @classmethod
    def from_record(cls, action: Action) -> AgreedPlan:
        return cls(
            plan=action.body["plan"],
            grants=action.body["grants"],
            since=DateTime(action.body["since"]),
            created_at=DateTime(action.at),
        )


@strawberry.type(description="An allowance of a tenant's own.", name="OwnAllowance")
class AgreedAllowance:
    balance: str = strawberry.field(description="The balance's key.")
    amount: Amount | None = strawberry.field(
        description="What each period is granted; null: what the plan says."
    )
    since: DateTime = strawberry.field(description="The start of the first period it is for.")
    created_at: DateTime = strawberry.field(description="When it was agreed.")

    @classmethod
    def from_record(cls, action: Action, locale: str) -> AgreedAllowance:
        amount = action.body["amount"]
        shown = None if amount is None else Amount.of(amount, action.body["currency"], locale)
        return cls(
            balance=action.body["balance"],
            amount=shown,
            since=DateTime(action.body["since"]),
            created_at=DateTime(action.at),
        )


@strawberry.type(description="The answer of `planChange`.")
class PlanChangePayload(Payload):
    plan_change: AgreedPlan | None = strawberry.field(
        description="The change; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type(description="The answer of `allowanceSet`.")
class AllowanceSetPayload(Payload):
    allowance: AgreedAllowance | None = strawberry.field(
        description="The allowance; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type
class TermsMutations:
    """The mutations that change what was agreed."""

    @mutation(
        "Put a tenant on another plan. One that allows more of something and less of nothing holds "
        "at once, with the difference added; any other holds from the next period on. What was "
        "granted stays. Once per `idempotencyKey`. Operators only."
    )
    async def plan_change(
        self, info: Info[Context, None], input: Annotated[PlanChangeInput, Input]
    ) -> PlanChangePayload:
        context = info.context
        require_operator(context)
        require_said(input.plan, "plan")
        request = PlanChange(
            tenant=input.tenant, plan=input.plan, idempotency_key=input.idempotency_key
        )
        action, errors = await attempt(
            plan_change.run(context.door, context.catalogue, context.show, request, now=context.now)
        )
        found = None if action is None else AgreedPlan.from_record(action)
        return PlanChangePayload(plan_change=found, user_errors=errors)

    @mutation(
        "Give a tenant an allowance of its own, whatever its plan says. Once per "
        "`idempotencyKey`. Operators only."
    )
    async def allowance_set(
        self, info: Info[Context, None], input: Annotated[AllowanceSetInput, Input]
    ) -> AllowanceSetPayload:
        context = info.context
        require_operator(context)
        require_said(input.amount, "amount")
        request = AllowanceSet(
            tenant=input.tenant,
            balance=input.balance,
            amount=None if input.amount is None else micros(input.amount, signed=True),
            since=input.since,
            idempotency_key=input.idempotency_key,
        )
        action, errors = await attempt(
            allowance_set.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        found = None
        if action is not None:
            tenant = (await find_by_keys(context.door, [input.tenant]))[input.tenant]
            found = AgreedAllowance.from_record(action, tenant.locale)
        return AllowanceSetPayload(allowance=found, user_errors=errors)


def require_said(value: object, field: str) -> None:
    """Null has a meaning of its own here: leaving the field out has none."""
    if value is strawberry.UNSET:
        raise Fault("BAD_USER_INPUT", f"`{field}` is missing: write null if you mean it")


def require_operator(context: Context) -> None:
    caller = context.caller()
    caller.require_operator()
    caller.require("billing:adjust")
