"""Tokens for widgets, as clients ask for them."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import widget_token_create
from api.operations.widget_token_create import WidgetTokenCreate
from api.schema.api_key import ApiKey
from api.schema.fields import mutation
from api.schema.payload import Payload, attempt
from api.schema.scalars import DateTime

Input = strawberry.argument(description="What to do.")


@strawberry.input(description="A token for a widget on a page of a tenant's customer.")
class WidgetTokenCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    documents: list[strawberry.ID] = strawberry.field(
        description="The stored documents it may ask for, 1 to 50, by their ids: `sha256:...`. "
        "None of them has a mutation."
    )
    origins: list[str] = strawberry.field(
        description="The origins of the pages it is taken from, 1 to 10, in full: "
        "`https://shop.example`."
    )
    scopes: list[str] | None = strawberry.field(
        default=None,
        description="Of `usage:read` and `billing:read`; default: those that the creator has.",
    )
    expires_in: int | None = strawberry.field(
        default=None,
        description="Seconds it lives, 1 to 3,600; default: 900. It ends before its creator does.",
    )


@strawberry.type(description="The answer of `widgetTokenCreate`.")
class WidgetTokenCreatePayload(Payload):
    token: str | None = strawberry.field(
        description="What the page sends as `Authorization: Bearer`. It is shown this once."
    )
    expires_at: DateTime | None = strawberry.field(description="From when on it is not taken.")
    api_key: ApiKey | None = strawberry.field(
        description="The token without its secret; `apiKeyRevoke` takes its id."
    )


@strawberry.type
class WidgetMutations:
    """The mutation that makes tokens for widgets."""

    @mutation(
        "Make a token for a widget: of one tenant, short-lived, taken from pages of the named "
        "origins alone, for the named stored documents alone. It reads, and never more than its "
        "creator may. Revoking the key that made it revokes it too. Needs `keys:write`."
    )
    async def widget_token_create(
        self, info: Info[Context, None], input: Annotated[WidgetTokenCreateInput, Input]
    ) -> WidgetTokenCreatePayload:
        context = info.context
        request = WidgetTokenCreate(
            tenant=input.tenant,
            documents=tuple(input.documents),
            origins=tuple(input.origins),
            scopes=None if input.scopes is None else tuple(input.scopes),
            expires_in=input.expires_in,
        )
        made, errors = await attempt(
            widget_token_create.run(
                context.door, context.authenticator, context.stored, context.caller(), request,
                now=context.now,
            )
        )  # fmt: skip
        if made is None or made.key.expires_at is None:
            return WidgetTokenCreatePayload(
                token=None, expires_at=None, api_key=None, user_errors=errors
            )
        return WidgetTokenCreatePayload(
            token=made.secret,
            expires_at=DateTime(made.key.expires_at),
            api_key=ApiKey.from_row(made.key),
            user_errors=[],
        )
