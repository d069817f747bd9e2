"""The mutations on webhooks: endpoints, their secrets, tests and what is sent once more.

A secret is shown once, by the mutation that makes it.
"""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.limits import WEBHOOK_ENDPOINTS_MAX, WEBHOOK_SECRET_HOURS
from api.operations import (
    webhook_endpoint_create,
    webhook_endpoint_delete,
    webhook_endpoint_update,
    webhook_replay,
    webhook_secret_rotate,
    webhook_test,
)
from api.operations.webhook_endpoint_create import WebhookEndpointCreate
from api.operations.webhook_endpoint_delete import WebhookEndpointDelete
from api.operations.webhook_endpoint_update import WebhookEndpointUpdate
from api.operations.webhook_replay import WebhookReplay
from api.operations.webhook_secret_rotate import WebhookSecretRotate
from api.operations.webhook_test import WebhookTest
from api.schema.alert_kind import AlertKind
from api.schema.fields import mutation
from api.schema.payload import Payload, attempt
from api.schema.webhook import WebhookDelivery, WebhookEndpoint
from domain import watch
from persistence.webhooks import Endpoint

Input = strawberry.argument(description="What to do.")


@strawberry.input(description="An endpoint to add.")
class WebhookEndpointCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    url: str = strawberry.field(description="Where alerts are posted to; begins with https://.")
    kinds: list[AlertKind] | None = strawberry.field(
        default=None, description="Alerts that go there; null or empty: all."
    )
    description: str = strawberry.field(default="", description="What people call it.")


@strawberry.input(description="What is changed of an endpoint; what is left out stays.")
class WebhookEndpointUpdateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    id: strawberry.ID = strawberry.field(description="The endpoint's id.")
    url: str | None = strawberry.field(default=None, description="Another place.")
    kinds: list[AlertKind] | None = strawberry.field(
        default=None, description="Alerts that go there; empty: all."
    )
    enabled: bool | None = strawberry.field(
        default=None, description="Whether anything goes there."
    )
    description: str | None = strawberry.field(default=None, description="What people call it.")


@strawberry.input(description="An endpoint that is deleted.")
class WebhookEndpointDeleteInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    id: strawberry.ID = strawberry.field(description="The endpoint's id.")


@strawberry.input(description="An endpoint that gets a new secret.")
class WebhookSecretRotateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    id: strawberry.ID = strawberry.field(description="The endpoint's id.")


@strawberry.input(description="An endpoint that is tried out.")
class WebhookTestInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    id: strawberry.ID = strawberry.field(description="The endpoint's id.")


@strawberry.input(description="What is sent once more.")
class WebhookReplayInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    delivery: strawberry.ID = strawberry.field(description="The delivery's id.")


@strawberry.type(description="The answer of `webhookEndpointCreate`.")
class WebhookEndpointCreatePayload(Payload):
    endpoint: WebhookEndpoint | None = strawberry.field(description="The new endpoint.")
    secret: str | None = strawberry.field(
        description="What checks its signatures, as Standard Webhooks has it. It is shown this "
        "once."
    )


@strawberry.type(description="The answer of `webhookEndpointUpdate`.")
class WebhookEndpointUpdatePayload(Payload):
    endpoint: WebhookEndpoint | None = strawberry.field(description="The endpoint as changed.")


@strawberry.type(description="The answer of `webhookEndpointDelete`.")
class WebhookEndpointDeletePayload(Payload):
    endpoint: WebhookEndpoint | None = strawberry.field(description="The endpoint as it was.")


@strawberry.type(description="The answer of `webhookSecretRotate`.")
class WebhookSecretRotatePayload(Payload):
    endpoint: WebhookEndpoint | None = strawberry.field(description="The endpoint.")
    secret: str | None = strawberry.field(description="The new secret. It is shown this once.")


@strawberry.type(description="The answer of `webhookTest`.")
class WebhookTestPayload(Payload):
    delivery: WebhookDelivery | None = strawberry.field(
        description="What is on its way; the log says what came of it."
    )


@strawberry.type(description="The answer of `webhookReplay`.")
class WebhookReplayPayload(Payload):
    delivery: WebhookDelivery | None = strawberry.field(
        description="The delivery, on its way again."
    )


@strawberry.type
class WebhookMutations:
    """The mutations that say where alerts are posted to."""

    @mutation(
        "Add an endpoint that alerts are posted to, signed as Standard Webhooks 1.0 has it; at "
        f"most {WEBHOOK_ENDPOINTS_MAX} of a tenant. With the scopes `billing:read` and "
        "`billing:write`, as all that follows."
    )
    async def webhook_endpoint_create(
        self, info: Info[Context, None], input: Annotated[WebhookEndpointCreateInput, Input]
    ) -> WebhookEndpointCreatePayload:
        context = info.context
        request = WebhookEndpointCreate(
            tenant=input.tenant,
            url=input.url,
            kinds=_kinds(input.kinds),
            description=input.description,
        )
        made, errors = await attempt(
            webhook_endpoint_create.run(
                context.door, context.signing, context.caller(), request, now=context.now
            )
        )
        return WebhookEndpointCreatePayload(
            endpoint=None if made is None else _shown(made.endpoint, context),
            secret=None if made is None else made.secret,
            user_errors=errors,
        )

    @mutation(
        "Change an endpoint, or switch it on or off. What was on its way to one that is off stops; "
        "that, and what is raised meanwhile, is sent with `webhookReplay` once it is on again."
    )
    async def webhook_endpoint_update(
        self, info: Info[Context, None], input: Annotated[WebhookEndpointUpdateInput, Input]
    ) -> WebhookEndpointUpdatePayload:
        context = info.context
        request = WebhookEndpointUpdate(
            tenant=input.tenant,
            id=str(input.id),
            url=input.url,
            kinds=_kinds(input.kinds),
            enabled=input.enabled,
            description=input.description,
        )
        changed, errors = await attempt(
            webhook_endpoint_update.run(
                context.door, context.signing, context.caller(), request, now=context.now
            )
        )
        found = None if changed is None else _shown(changed, context)
        return WebhookEndpointUpdatePayload(endpoint=found, user_errors=errors)

    @mutation("Delete an endpoint; what was on its way there stops.")
    async def webhook_endpoint_delete(
        self, info: Info[Context, None], input: Annotated[WebhookEndpointDeleteInput, Input]
    ) -> WebhookEndpointDeletePayload:
        context = info.context
        request = WebhookEndpointDelete(tenant=input.tenant, id=str(input.id))
        gone, errors = await attempt(
            webhook_endpoint_delete.run(context.door, context.caller(), request, now=context.now)
        )
        found = None if gone is None else _shown(gone, context)
        return WebhookEndpointDeletePayload(endpoint=found, user_errors=errors)

    @mutation(
        "Give an endpoint a new secret. For "
        f"{WEBHOOK_SECRET_HOURS} hours the one before signs beside it: who checks either is "
        "right. Not again before they are over (`ROTATED_LATELY`)."
    )
    async def webhook_secret_rotate(
        self, info: Info[Context, None], input: Annotated[WebhookSecretRotateInput, Input]
    ) -> WebhookSecretRotatePayload:
        context = info.context
        request = WebhookSecretRotate(tenant=input.tenant, id=str(input.id))
        made, errors = await attempt(
            webhook_secret_rotate.run(
                context.door, context.signing, context.caller(), request, now=context.now
            )
        )
        return WebhookSecretRotatePayload(
            endpoint=None if made is None else _shown(made.endpoint, context),
            secret=None if made is None else made.secret,
            user_errors=errors,
        )

    @mutation("Send an endpoint an event of the type `webhook.test`, which says nothing.")
    async def webhook_test(
        self, info: Info[Context, None], input: Annotated[WebhookTestInput, Input]
    ) -> WebhookTestPayload:
        context = info.context
        request = WebhookTest(tenant=input.tenant, id=str(input.id))
        begun, errors = await attempt(
            webhook_test.run(context.door, context.caller(), request, now=context.now)
        )
        found = None if begun is None else WebhookDelivery.from_row(begun)
        return WebhookTestPayload(delivery=found, user_errors=errors)

    @mutation(
        "Send a delivery once more, whatever became of it: the same body under the same "
        "`webhook-id`, tried as often as a new one."
    )
    async def webhook_replay(
        self, info: Info[Context, None], input: Annotated[WebhookReplayInput, Input]
    ) -> WebhookReplayPayload:
        context = info.context
        request = WebhookReplay(tenant=input.tenant, delivery=str(input.delivery))
        begun, errors = await attempt(
            webhook_replay.run(context.door, context.caller(), request, now=context.now)
        )
        found = None if begun is None else WebhookDelivery.from_row(begun)
        return WebhookReplayPayload(delivery=found, user_errors=errors)


def _kinds(kinds: list[AlertKind] | None) -> tuple[watch.AlertKind, ...] | None:
    return None if kinds is None else tuple(watch.AlertKind[kind.name] for kind in kinds)


def _shown(endpoint: Endpoint, context: Context) -> WebhookEndpoint:
    return WebhookEndpoint.from_row(endpoint, context.now)
