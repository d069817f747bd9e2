"""Changes of people: who is added, changed, let in, and granted billing access."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api import rights as granted
from api.context import Context
from api.operations import (
    billing_access_grant,
    billing_access_revoke,
    sign_in_link_create,
    user_create,
    user_update,
)
from api.operations.billing_access_grant import BillingAccessGrant
from api.operations.billing_access_revoke import BillingAccessRevoke
from api.operations.sign_in_link_create import SignInLinkCreate
from api.operations.user_create import UserCreate
from api.operations.user_update import UserUpdate
from api.schema.fields import mutation
from api.schema.payload import Payload, attempt
from api.schema.people import BillingRight, TenantUser, UserRole
from api.schema.scalars import DateTime
from persistence.people import UserRecord

Input = strawberry.argument(description="What to do.")


@strawberry.input(description="A new person.")
class UserCreateInput:
    tenant: str | None = strawberry.field(
        default=None, description="The tenant's key; null adds one of the operator's people."
    )
    name: str = strawberry.field(description="The name people see.")
    email: str = strawberry.field(description="An e-mail address that nobody else here has.")
    role: UserRole = strawberry.field(description="What the person is; never above your own.")
    external_id: str | None = strawberry.field(
        default=None,
        description="What facts call the person in `user`; null: the e-mail address. Nobody else "
        "here has it, or ever had.",
    )
    channels: list[str] | None = strawberry.field(
        default=None,
        description="The channels it works on, such as `whatsapp`; null or empty: all.",
    )
    subject: str | None = strawberry.field(
        default=None,
        description="What tokens of the configured issuer (`KUOTA_JWT_ISSUER`) have as `sub`; "
        "null: the person signs in by links. Operators only.",
    )


@strawberry.input(description="What to change of a person; null leaves what there is.")
class UserUpdateInput:
    id: strawberry.ID = strawberry.field(description="The person's id.")
    name: str | None = strawberry.field(default=None, description="Another name.")
    email: str | None = strawberry.field(default=None, description="Another e-mail address.")
    role: UserRole | None = strawberry.field(
        default=None, description="Another role; never above your own."
    )
    active: bool | None = strawberry.field(
        default=None, description="False: the person is let in no more, within seconds."
    )
    external_id: str | None = strawberry.field(
        default=None,
        description="Another name in facts, which nobody else here ever had; what was counted "
        "under the one before stays there, and is in `unassigned` of `userUsage` from then on.",
    )
    channels: list[str] | None = strawberry.field(
        default=None, description="Other channels it works on; empty: all."
    )


@strawberry.input(description="Whom to let in.")
class SignInLinkCreateInput:
    user: strawberry.ID = strawberry.field(description="The person's id.")


@strawberry.input(description="What to grant, and to whom.")
class BillingAccessGrantInput:
    user: strawberry.ID = strawberry.field(description="The person's id.")
    rights: list[BillingRight] = strawberry.field(
        description="None that you do not have yourself; what is granted already stays."
    )


@strawberry.input(description="What to take back, and of whom.")
class BillingAccessRevokeInput:
    user: strawberry.ID = strawberry.field(description="The person's id.")
    rights: list[BillingRight] | None = strawberry.field(
        default=None, description="Null: all that was granted."
    )


@strawberry.type(description="The answer of `userCreate`.")
class UserCreatePayload(Payload):
    user: TenantUser | None = strawberry.field(description="The new person.")


@strawberry.type(description="The answer of `userUpdate`.")
class UserUpdatePayload(Payload):
    user: TenantUser | None = strawberry.field(description="The person as changed.")


@strawberry.type(description="The answer of `signInLinkCreate`.")
class SignInLinkCreatePayload(Payload):
    url: str | None = strawberry.field(
        description="Where the person signs in: once. It is shown this once."
    )
    expires_at: DateTime | None = strawberry.field(
        description="From when on it does not work any more: after 15 minutes."
    )


@strawberry.type(description="The answer of `billingAccessGrant`.")
class BillingAccessGrantPayload(Payload):
    user: TenantUser | None = strawberry.field(description="The person, with the rights.")


@strawberry.type(description="The answer of `billingAccessRevoke`.")
class BillingAccessRevokePayload(Payload):
    user: TenantUser | None = strawberry.field(description="The person, without the rights.")


@strawberry.type
class PeopleMutations:
    """The mutations that say who is let in, and what each may."""

    @mutation(
        "Add a person, who then signs in by a link or by tokens of the configured issuer. An agent "
        "or supervisor takes a seat of the plan: `NO_SEATS` where none is left. Needs "
        "`users:write`; never with a role above your own."
    )
    async def user_create(
        self, info: Info[Context, None], input: Annotated[UserCreateInput, Input]
    ) -> UserCreatePayload:
        context = info.context
        request = UserCreate(
            tenant=input.tenant,
            name=input.name,
            email=input.email,
            role=granted.Role[input.role.name],
            subject=input.subject,
            external_id=input.external_id,
            channels=tuple(input.channels or ()),
        )
        tokens = context.authenticator.tokens
        issuer = None if tokens is None else tokens.elsewhere
        record, errors = await attempt(
            user_create.run(
                context.door,
                context.catalogue,
                issuer,
                context.caller(),
                request,
                now=context.now,
            )
        )
        return UserCreatePayload(user=shown(record), user_errors=errors)

    @mutation(
        "Change a person: within seconds it holds everywhere, on open sockets too. The last active "
        "super-admin of a tenant stays one, unless an operator says otherwise. Who becomes an "
        "agent or supervisor, or active again as one, takes a seat of the plan: `NO_SEATS` where "
        "none is left. Needs `users:write`."
    )
    async def user_update(
        self, info: Info[Context, None], input: Annotated[UserUpdateInput, Input]
    ) -> UserUpdatePayload:
        context = info.context
        request = UserUpdate(
            id=input.id,
            name=input.name,
            email=input.email,
            role=None if input.role is None else granted.Role[input.role.name],
            active=input.active,
            external_id=input.external_id,
            channels=None if input.channels is None else tuple(input.channels),
        )
        record, errors = await attempt(
            user_update.run(
                context.door,
                context.catalogue,
                context.authenticator.tokens,
                context.caller(),
                request,
                now=context.now,
            )
        )
        return UserUpdatePayload(user=shown(record), user_errors=errors)

    @mutation(
        "Make a link by which a person signs in: once, within 15 minutes. For somebody who may no "
        "more than you. Needs `users:write`."
    )
    async def sign_in_link_create(
        self, info: Info[Context, None], input: Annotated[SignInLinkCreateInput, Input]
    ) -> SignInLinkCreatePayload:
        context = info.context
        tokens = context.authenticator.tokens
        assert tokens is not None
        made, errors = await attempt(
            sign_in_link_create.run(
                context.door,
                tokens.issuer.address,
                context.caller(),
                SignInLinkCreate(user=input.user),
                now=context.now,
            )
        )
        return SignInLinkCreatePayload(
            url=None if made is None else made.url,
            expires_at=None if made is None else DateTime(made.expires_at),
            user_errors=errors,
        )

    @mutation(
        "Grant billing access. By super-admins for their tenant, by operators for all; never more "
        "than you have. Needs `users:write`."
    )
    async def billing_access_grant(
        self, info: Info[Context, None], input: Annotated[BillingAccessGrantInput, Input]
    ) -> BillingAccessGrantPayload:
        context = info.context
        request = BillingAccessGrant(
            user=input.user,
            rights=tuple(granted.BillingRight[right.name] for right in input.rights),
        )
        record, errors = await attempt(
            billing_access_grant.run(
                context.door,
                context.authenticator.tokens,
                context.caller(),
                request,
                now=context.now,
            )
        )
        return BillingAccessGrantPayload(user=shown(record), user_errors=errors)

    @mutation(
        "Take granted billing access back: within seconds it holds everywhere. What a role has "
        "stays with the role. Needs `users:write`."
    )
    async def billing_access_revoke(
        self, info: Info[Context, None], input: Annotated[BillingAccessRevokeInput, Input]
    ) -> BillingAccessRevokePayload:
        context = info.context
        rights = None
        if input.rights is not None:
            rights = tuple(granted.BillingRight[right.name] for right in input.rights)
        record, errors = await attempt(
            billing_access_revoke.run(
                context.door,
                context.authenticator.tokens,
                context.caller(),
                BillingAccessRevoke(user=input.user, rights=rights),
                now=context.now,
            )
        )
        return BillingAccessRevokePayload(user=shown(record), user_errors=errors)


def shown(record: UserRecord | None) -> TenantUser | None:
    return None if record is None else TenantUser.from_row(record)
