"""What a tenant is charged by without anybody present; its token is shown to nobody."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import payment_method_set
from api.operations.payment_method_set import PaymentMethodSet
from api.paying.tokens import Tokens
from api.schema.fields import computed, mutation
from api.schema.owner import Owner
from api.schema.payload import Payload, attempt
from api.schema.scalars import DateTime
from persistence import payment_methods
from persistence.actions import Action

SCOPE = "billing:read"

Input = strawberry.argument(description="What to do.")


@strawberry.type(description="What a tenant is charged by.")
class PaymentMethod:
    provider: str = strawberry.field(description="Who collects by it.")
    label: str = strawberry.field(description="What people call it.")
    created_at: DateTime = strawberry.field(description="When it was set.")

    @classmethod
    def from_record(cls, action: Action) -> PaymentMethod | None:
        provider, label = action.body["provider"], action.body["label"]
        if provider is None:
            return None
        return cls(provider=provider, label=label, created_at=DateTime(action.at))


@strawberry.input(description="What a tenant is charged by; without a token it is by nothing.")
class PaymentMethodSetInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    provider: str | None = strawberry.field(
        default=None, description="Who collects by it, such as `midtrans`."
    )
    token: str | None = strawberry.field(
        default=None,
        description="What the provider knows it by. It is sealed and shown to nobody. Null takes "
        "the method away: a refill that is due then fails, and its policy is switched off.",
    )
    label: str | None = strawberry.field(
        default=None, description="What people call it, such as `Visa 4242`."
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this change: sent again, it changes nothing."
    )


@strawberry.type(description="The answer of `paymentMethodSet`.")
class PaymentMethodSetPayload(Payload):
    payment_method: PaymentMethod | None = strawberry.field(
        description="What was set; the earlier one where its `idempotencyKey` came before. Null: "
        "there is none."
    )


@strawberry.type
class TenantPaymentMethod(Owner):
    """The field of a tenant that says what it is charged by."""

    @computed("What it is charged by without anybody present; null: by nothing.")
    async def payment_method(self, info: Info[Context, None]) -> PaymentMethod | None:
        context = info.context
        context.require(SCOPE)

        async def load(ids: list[int]) -> list[payment_methods.PaymentMethod | None]:
            found = await payment_methods.of_tenants(context.door, ids)
            return [found.get(tenant_id) for tenant_id in ids]

        method = await context.loader("payment methods", load).load(self.record.tenant_id)
        if method is None:
            return None
        return PaymentMethod(
            provider=method.provider, label=method.label, created_at=DateTime(method.created_at)
        )


@strawberry.type
class PaymentMethodMutations:
    """The mutation that sets what a tenant is charged by."""

    @mutation(
        "Say what a tenant is charged by without anybody present, instead of what it was. Once per "
        "`idempotencyKey`. With the scope `billing:write`, by operators and the tenant itself."
    )
    async def payment_method_set(
        self, info: Info[Context, None], input: Annotated[PaymentMethodSetInput, Input]
    ) -> PaymentMethodSetPayload:
        context = info.context
        request = PaymentMethodSet(
            tenant=input.tenant,
            provider=input.provider,
            token=input.token,
            label=input.label,
            idempotency_key=input.idempotency_key,
        )
        action, errors = await attempt(
            payment_method_set.run(
                context.door, context.catalogue, context.show, context.caller(), request,
                Tokens(context.signing), context.paying.providers.keys(), now=context.now,
            )
        )  # fmt: skip
        found = None if action is None else PaymentMethod.from_record(action)
        return PaymentMethodSetPayload(payment_method=found, user_errors=errors)
