"""The root of mutations: each takes one input and answers its own payload. Owns no rule."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import (
    api_key_create,
    api_key_revoke,
    number_create,
    tenant_create,
    top_up_create,
)
from api.operations.api_key_create import ApiKeyCreate
from api.operations.api_key_revoke import ApiKeyRevoke
from api.operations.number_create import NumberCreate
from api.operations.tenant_create import TenantCreate
from api.operations.top_up_create import TopUpCreate
from api.schema import inputs, payloads
from api.schema.api_key import ApiKey
from api.schema.fields import mutation
from api.schema.number import Number
from api.schema.payload import attempt
from api.schema.tenant import Tenant
from api.schema.top_up import TopUp
from api.schema.usage_result import record_events
from domain.money import micros

Input = strawberry.argument(description="What to do.")


@strawberry.type(description="What can be changed.")
class Mutation:
    @mutation("Create a tenant; what is not said is taken from its plan. Operators only.")
    async def tenant_create(
        self, info: Info[Context, None], input: Annotated[inputs.TenantCreateInput, Input]
    ) -> payloads.TenantCreatePayload:
        context = info.context
        context.caller().require_operator()
        request = TenantCreate(
            key=input.key,
            name=input.name,
            timezone=input.timezone,
            currency=input.currency,
            country=input.country,
            locale=input.locale,
            plan=input.plan,
            since=input.since,
        )
        record, errors = await attempt(
            tenant_create.run(context.door, context.catalogue, request, now=context.now)
        )
        tenant = None if record is None else Tenant.from_row(record)
        return payloads.TenantCreatePayload(tenant=tenant, user_errors=errors)

    @mutation("Register a number of a tenant. Operators only.")
    async def number_create(
        self, info: Info[Context, None], input: Annotated[inputs.NumberCreateInput, Input]
    ) -> payloads.NumberCreatePayload:
        context = info.context
        caller = context.caller()
        caller.require_operator()
        request = NumberCreate(
            tenant=input.tenant,
            channel=input.channel.lower(),
            address=input.address,
            timezone=input.timezone,
        )
        record, errors = await attempt(
            number_create.run(context.door, caller, request, now=context.now)
        )
        number = None if record is None else Number.from_row(record)
        return payloads.NumberCreatePayload(number=number, user_errors=errors)

    @mutation(
        "Add to a balance. The same `idempotencyKey` with the same content gives the same top-up, "
        "with other content the code `IDEMPOTENCY_KEY_REUSED`. Operators only."
    )
    async def top_up_create(
        self, info: Info[Context, None], input: Annotated[inputs.TopUpCreateInput, Input]
    ) -> payloads.TopUpCreatePayload:
        context = info.context
        caller = context.caller()
        caller.require_operator()
        caller.require("billing:write")
        request = TopUpCreate(
            tenant=input.tenant,
            balance=input.balance,
            amount=micros(input.amount, signed=True),
            source=input.source.name,
            starts_at=input.starts_at,
            expires_at=input.expires_at,
            # A lone half of a character, which Postgres cannot keep, becomes a question mark.
            note=(input.note or "").encode("utf-8", "replace").decode(),
            idempotency_key=input.idempotency_key,
        )
        record, errors = await attempt(
            top_up_create.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        if record is None:
            return payloads.TopUpCreatePayload(top_up=None, user_errors=errors)
        found = await TopUp.from_record(context, request.tenant, record)
        return payloads.TopUpCreatePayload(top_up=found, user_errors=errors)

    @mutation(
        "Create an API key. By an operator, or with `keys:write` for the key's own tenant; never "
        "with more scopes than the creator has."
    )
    async def api_key_create(
        self, info: Info[Context, None], input: Annotated[inputs.ApiKeyCreateInput, Input]
    ) -> payloads.ApiKeyCreatePayload:
        context = info.context
        request = ApiKeyCreate(
            tenant=input.tenant,
            name=input.name,
            scopes=tuple(input.scopes),
            expires_at=input.expires_at,
        )
        made, errors = await attempt(
            api_key_create.run(context.door, context.caller(), request, now=context.now)
        )
        return payloads.ApiKeyCreatePayload(
            api_key=None if made is None else ApiKey.from_row(made.key),
            secret=None if made is None else made.secret,
            user_errors=errors,
        )

    @mutation("Revoke an API key: within seconds nothing takes it any more.")
    async def api_key_revoke(
        self, info: Info[Context, None], input: Annotated[inputs.ApiKeyRevokeInput, Input]
    ) -> payloads.ApiKeyRevokePayload:
        context = info.context
        record, errors = await attempt(
            api_key_revoke.run(
                context.door,
                context.authenticator,
                context.caller(),
                ApiKeyRevoke(id=input.id),
                now=context.now,
            )
        )
        key = None if record is None else ApiKey.from_row(record)
        return payloads.ApiKeyRevokePayload(api_key=key, user_errors=errors)

    @mutation(
        "Record what happened, as `POST /v1/events` does: one result for each event, in order; a "
        "bad event never rejects the others."
    )
    async def usage_record(
        self, info: Info[Context, None], input: Annotated[inputs.UsageRecordInput, Input]
    ) -> payloads.UsageRecordPayload:
        context = info.context
        results = await record_events(context, input.events)
        return payloads.UsageRecordPayload(results=results, user_errors=[])
