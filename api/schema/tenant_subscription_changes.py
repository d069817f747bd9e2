"""The mutations that agree on subscriptions. Owns no rule."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, TypeVar

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import subscription_change, subscription_create
from api.operations.subscription_change import SubscriptionChange
from api.operations.subscription_create import AskedFees, SubscriptionCreate
from api.schema.fields import mutation
from api.schema.payload import Payload, UserError, attempt
from api.schema.scalars import Date, Decimal
from api.schema.tenant_subscription import TenantSubscription
from api.schema.terms import require_operator
from domain.documents import DocumentError, Fault
from domain.fees import TERM_MAX
from domain.money import micros
from persistence import subscriptions
from persistence.actions import Action
from persistence.subscriptions import DeedKind
from persistence.tenants import find_by_keys

Input = strawberry.argument(description="What to do.")
KEY = "A name of your own for this change: sent again, it changes nothing."
MAIN = "The subscription's key."
DAY = "The local day it counts from, today by default."


@strawberry.input(description="Something that is paid each month, in advance.")
class SubscriptionComponentInput:
    key: str = strawberry.field(description="The name programs use, in lower case, as `seats`.")
    name: str = strawberry.field(description="The name people see, on invoices too.")
    unit: str = strawberry.field(description="What is counted, in lower case, as `seat`.")
    quantity: Decimal = strawberry.field(default=Decimal("1"), description="How much of it.")
    price: Decimal = strawberry.field(
        description="Of one, for a whole month, in the tenant's currency and before tax."
    )


@strawberry.input(description="A fee that is asked for once.")
class SubscriptionSetupFeeInput:
    key: str = strawberry.field(
        description="The name programs use, in lower case, as `onboarding`: the same key is never "
        "asked for again."
    )
    name: str = strawberry.field(description="The name people see, on invoices too.")
    price: Decimal = strawberry.field(description="In the tenant's currency, before tax.")


@strawberry.input(description="How long a subscription is agreed for.")
class SubscriptionTermInput:
    months: int = strawberry.field(description=f"Months of a commitment, 1 to {TERM_MAX}.")
    renews: bool = strawberry.field(
        default=True, description="Whether another one follows by itself; false: it ends then."
    )


@strawberry.input(description="What a tenant is to pay regularly.")
class SubscriptionCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    key: str = strawberry.field(
        default="main", description="The subscription's own name, in lower case."
    )
    plan: str | None = strawberry.field(
        default=None,
        description="The key of the plan whose allowances come with it: the tenant is put on it, "
        "and when the subscription ends nothing more is granted. Null: it changes no allowance.",
    )
    name: str = strawberry.field(description="The name people see, such as `Growth`.")
    start: Date | None = strawberry.field(
        default=None,
        description="The first local day it serves, today by default. A plan comes with the first "
        "period that begins on it or later, and at once where it has come.",
    )
    term: SubscriptionTermInput | None = strawberry.field(
        default=None, description="How long it is agreed for; null: from month to month."
    )
    components: list[SubscriptionComponentInput] | None = strawberry.field(
        default=None, description="What it pays each month; at most 50."
    )
    setup: list[SubscriptionSetupFeeInput] | None = strawberry.field(
        default=None, description="What it pays once; at most 50."
    )
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="Another quantity of a component. Less counts from the next month.")
class SubscriptionQuantitySetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    subscription: str = strawberry.field(default="main", description=MAIN)
    component: str = strawberry.field(description="The component's key.")
    quantity: Decimal = strawberry.field(description="How much of it there is from then on.")
    since: Date | None = strawberry.field(name="from", default=None, description=DAY)
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(
    description="Other fees, of another plan. Components of the same key keep their quantity."
)
class SubscriptionPlanSwitchInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    subscription: str = strawberry.field(default="main", description=MAIN)
    plan: str | None = strawberry.field(
        default=None,
        description="The key of the plan whose allowances come with it from now on; null: those "
        "there are stay.",
    )
    name: str = strawberry.field(description="The name people see, such as `Growth`.")
    components: list[SubscriptionComponentInput] | None = strawberry.field(
        default=None, description="What it pays each month; at most 50."
    )
    setup: list[SubscriptionSetupFeeInput] | None = strawberry.field(
        default=None, description="What it pays once, and was not asked for before; at most 50."
    )
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="A pause: from the next month on nothing is asked for or granted.")
class SubscriptionPauseInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    subscription: str = strawberry.field(default="main", description=MAIN)
    since: Date | None = strawberry.field(name="from", default=None, description=DAY)
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="The end of a pause.")
class SubscriptionResumeInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    subscription: str = strawberry.field(default="main", description=MAIN)
    since: Date | None = strawberry.field(
        name="from",
        default=None,
        description=f"{DAY} Allowances are there again with the first period that begins on it or "
        "later, and at once where it has come.",
    )
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="The end of a subscription.")
class SubscriptionCancelInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    subscription: str = strawberry.field(default="main", description=MAIN)
    last_day: Date | None = strawberry.field(
        default=None,
        description="The last local day it serves; by default the last of the month, or of the "
        "term it is agreed for.",
    )
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="A subscription that goes on after all.")
class SubscriptionRenewInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    subscription: str = strawberry.field(default="main", description=MAIN)
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.interface(description="The answer of a mutation of a subscription.")
class SubscriptionPayload(Payload):
    subscription: TenantSubscription | None = strawberry.field(
        description="The subscription as it now is."
    )


P = TypeVar("P", bound=SubscriptionPayload)


@strawberry.type(description="The answer of `subscriptionCreate`.")
class SubscriptionCreatePayload(SubscriptionPayload):
    pass


@strawberry.type(description="The answer of `subscriptionQuantitySet`.")
class SubscriptionQuantitySetPayload(SubscriptionPayload):
    pass


@strawberry.type(description="The answer of `subscriptionPlanSwitch`.")
class SubscriptionPlanSwitchPayload(SubscriptionPayload):
    pass


@strawberry.type(description="The answer of `subscriptionPause`.")
class SubscriptionPausePayload(SubscriptionPayload):
    pass


@strawberry.type(description="The answer of `subscriptionResume`.")
class SubscriptionResumePayload(SubscriptionPayload):
    pass


@strawberry.type(description="The answer of `subscriptionCancel`.")
class SubscriptionCancelPayload(SubscriptionPayload):
    pass


@strawberry.type(description="The answer of `subscriptionRenew`.")
class SubscriptionRenewPayload(SubscriptionPayload):
    pass


@strawberry.type
class SubscriptionMutations:
    """The mutations that agree on what tenants pay regularly."""

    @mutation(
        "Agree on what a tenant pays regularly. From its start on it is invoiced, and the tenant's "
        "periods are closed by themselves. All that is wrong is told at once. Once per "
        "`idempotencyKey`. Operators only."
    )
    async def subscription_create(
        self, info: Info[Context, None], input: Annotated[SubscriptionCreateInput, Input]
    ) -> SubscriptionCreatePayload:
        context = info.context
        require_operator(context)
        term = input.term
        request = SubscriptionCreate(
            tenant=input.tenant,
            key=_plain(input.key),
            plan=input.plan,
            fees=_fees(input.name, input.components, input.setup),
            start=input.start,
            months=None if term is None else term.months,
            renews=True if term is None else term.renews,
            idempotency_key=input.idempotency_key,
        )
        run = subscription_create.run(
            context.door, context.catalogue, context.show, request, now=context.now
        )
        return await _answer(context, input.tenant, request.key, run, SubscriptionCreatePayload)

    @mutation(
        "Set the quantity of a component. More is asked for from its day on, by days; less from "
        "the next month on. Once per `idempotencyKey`. Operators only."
    )
    async def subscription_quantity_set(
        self, info: Info[Context, None], input: Annotated[SubscriptionQuantitySetInput, Input]
    ) -> SubscriptionQuantitySetPayload:
        request = SubscriptionChange(
            tenant=input.tenant, subscription=input.subscription, kind=DeedKind.QUANTITY,
            since=input.since, component=_plain(input.component),
            quantity=micros(input.quantity, signed=True), idempotency_key=input.idempotency_key,
        )  # fmt: skip
        return await _changed(info.context, request, SubscriptionQuantitySetPayload)

    @mutation(
        "Switch a subscription to other fees. Where they are higher they count from today, by "
        "days, else from the next month on; so do the plan's allowances. Once per "
        "`idempotencyKey`. Operators only."
    )
    async def subscription_plan_switch(
        self, info: Info[Context, None], input: Annotated[SubscriptionPlanSwitchInput, Input]
    ) -> SubscriptionPlanSwitchPayload:
        request = SubscriptionChange(
            tenant=input.tenant, subscription=input.subscription, kind=DeedKind.PLAN,
            plan=input.plan, fees=_fees(input.name, input.components, input.setup),
            idempotency_key=input.idempotency_key,
        )  # fmt: skip
        return await _changed(info.context, request, SubscriptionPlanSwitchPayload)

    @mutation(
        "Pause a subscription: what was asked for and granted stays, and from the next month on "
        "nothing is, until it is resumed. Once per `idempotencyKey`. Operators only."
    )
    async def subscription_pause(
        self, info: Info[Context, None], input: Annotated[SubscriptionPauseInput, Input]
    ) -> SubscriptionPausePayload:
        request = SubscriptionChange(
            tenant=input.tenant, subscription=input.subscription, kind=DeedKind.PAUSE,
            since=input.since, idempotency_key=input.idempotency_key,
        )  # fmt: skip
        return await _changed(info.context, request, SubscriptionPausePayload)

    @mutation(
        "Resume a subscription: the days that are left of the month are asked for, and its plan's "
        "allowances are there again. Once per `idempotencyKey`. Operators only."
    )
    async def subscription_resume(
        self, info: Info[Context, None], input: Annotated[SubscriptionResumeInput, Input]
    ) -> SubscriptionResumePayload:
        request = SubscriptionChange(
            tenant=input.tenant, subscription=input.subscription, kind=DeedKind.RESUME,
            since=input.since, idempotency_key=input.idempotency_key,
        )  # fmt: skip
        return await _changed(info.context, request, SubscriptionResumePayload)

    @mutation(
        "Have a subscription end. From the first period after its last day on nothing is granted; "
        "usage goes on, and top-ups keep their expiry. Once per `idempotencyKey`. Operators only."
    )
    async def subscription_cancel(
        self, info: Info[Context, None], input: Annotated[SubscriptionCancelInput, Input]
    ) -> SubscriptionCancelPayload:
        request = SubscriptionChange(
            tenant=input.tenant, subscription=input.subscription, kind=DeedKind.CANCEL,
            last_day=input.last_day, idempotency_key=input.idempotency_key,
        )  # fmt: skip
        return await _changed(info.context, request, SubscriptionCancelPayload)

    @mutation(
        "Have a subscription go on that was to end, until its last day is over. Once per "
        "`idempotencyKey`. Operators only."
    )
    async def subscription_renew(
        self, info: Info[Context, None], input: Annotated[SubscriptionRenewInput, Input]
    ) -> SubscriptionRenewPayload:
        request = SubscriptionChange(
            tenant=input.tenant, subscription=input.subscription, kind=DeedKind.RENEW,
            idempotency_key=input.idempotency_key,
        )  # fmt: skip
        return await _changed(info.context, request, SubscriptionRenewPayload)


async def _changed(context: Context, request: SubscriptionChange, payload: type[P]) -> P:
    require_operator(context)
    run = subscription_change.run(
        context.door, context.catalogue, context.show, request, now=context.now
    )
    return await _answer(context, request.tenant, request.subscription, run, payload)


async def _answer(
    context: Context, tenant: str, key: str, run: Awaitable[Action], payload: type[P]
) -> P:
    try:
        action, errors = await attempt(run)
    except DocumentError as error:
        errors = [_error(each) for each in error.problems]
        return payload(subscription=None, user_errors=errors)
    found = None
    if action is not None:
        record = (await find_by_keys(context.door, [tenant]))[tenant]
        async with context.door.tenant_tx(record.tenant_id) as connection:
            kept = await subscriptions.find(connection, record.tenant_id, key)
        if kept is not None:
            found = TenantSubscription.of(record, kept, context.now)
    return payload(subscription=found, user_errors=errors)


def _error(fault: Fault) -> UserError:
    message = f"{fault.wrong}; {fault.right}"
    return UserError(field=fault.path or None, message=message, code="INVALID")


def _fees(
    name: str,
    components: list[SubscriptionComponentInput] | None,
    setup: list[SubscriptionSetupFeeInput] | None,
) -> AskedFees:
    return AskedFees(
        name=_plain(name),
        components=[
            {
                "key": _plain(each.key), "name": _plain(each.name), "unit": _plain(each.unit),
                "quantity": each.quantity, "price": each.price,
            }
            for each in components or ()
        ],
        setup=[
            {"key": _plain(each.key), "name": _plain(each.name), "price": each.price}
            for each in setup or ()
        ],
    )  # fmt: skip


def _plain(text: str) -> str:
    """A lone half of a character, which nothing can keep, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
