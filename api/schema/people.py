"""People: who signs in, what each may, and the mutations that say so."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api import rights as granted
from api.context import Context
from api.faults import Fault
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
from api.schema.fields import computed, mutation
from api.schema.node import Node
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.payload import Payload, attempt
from api.schema.scalars import DateTime
from api.tokens import scopes_of
from persistence.people import UserRecord, find_user, page_of_operators, pages

SCOPE = "users:write"
PAGE_SIZE = 50

Input = strawberry.argument(description="What to do.")
First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]


@strawberry.enum(description="What a person is: the operator's, or something in one tenant.")
class UserRole(Enum):
    OPERATOR = strawberry.enum_value("operator", description="Of who runs this installation.")
    SUPER_ADMIN = strawberry.enum_value(
        "super_admin", description="Has billing access, and grants it; looks after users and keys."
    )
    ADMIN = strawberry.enum_value("admin", description="Reads usage; billing by grant.")
    SUPERVISOR = strawberry.enum_value("supervisor", description="Reads usage; billing by grant.")
    AGENT = strawberry.enum_value("agent", description="Reads usage; billing by grant.")


@strawberry.enum(description="What billing access is granted to do.")
class BillingRight(Enum):
    VIEW = strawberry.enum_value("billing:read", description="See balances, charges and invoices.")
    TOP_UP = strawberry.enum_value("billing:write", description="Top up, refill and pay.")
    ADJUST = strawberry.enum_value(
        "billing:adjust", description="Adjust, refund, agree terms, close. The operator's people."
    )
    PUBLISH_PRICES = strawberry.enum_value(
        "prices:publish", description="Publish price books. The operator's people."
    )
    READ_AUDIT = strawberry.enum_value("audit:read", description="Read who changed what.")


@strawberry.type(description="A person who signs in: one of a tenant's people, or the operator's.")
class TenantUser(Node):
    tenant: str | None = strawberry.field(
        description="The key of the tenant; null: one of the operator's people."
    )
    name: str = strawberry.field(description="The name people see.")
    email: str = strawberry.field(description="The e-mail address, in lower case.")
    role: UserRole = strawberry.field(description="What the person is.")
    active: bool = strawberry.field(description="Whether the person is let in.")
    billing_rights: list[BillingRight] = strawberry.field(
        description="What the person may of billing, by role and by grants."
    )
    created_at: DateTime = strawberry.field(description="When the person was added.")

    @classmethod
    def from_row(cls, record: UserRecord) -> TenantUser:
        scopes = scopes_of(record)
        return cls(
            id=strawberry.ID(ids.encode("usr", record.user_id)),
            tenant=record.tenant_key,
            name=record.name,
            email=record.email,
            role=UserRole(record.role),
            active=record.active,
            billing_rights=[
                BillingRight(right.value) for right in granted.BillingRight if right in scopes
            ],
            created_at=DateTime(record.created_at),
        )


@strawberry.type(description="A person and the place in the list.")
class TenantUserEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this person.")
    node: TenantUser = strawberry.field(description="The person.")


@strawberry.type(description="A page of people, in the order they were added.")
class TenantUserConnection:
    edges: list[TenantUserEdge] = strawberry.field(description="The people with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The people alone.")
    def nodes(self) -> list[TenantUser]:
        return [edge.node for edge in self.edges]

    @classmethod
    def from_rows(cls, records: list[UserRecord], size: int) -> TenantUserConnection:
        """A page of `size` out of at most one row more, which says that there is more."""
        edges = [
            TenantUserEdge(
                cursor=cursor([ids.encode("usr", record.user_id)]),
                node=TenantUser.from_row(record),
            )
            for record in records[:size]
        ]
        return cls(
            edges=edges,
            page_info=PageInfo(
                has_next_page=len(records) > size,
                end_cursor=edges[-1].cursor if edges else None,
            ),
        )


@strawberry.type
class TenantUsers(Owner):
    """The field of a tenant that lists its people."""

    @computed("The tenant's people, in the order they were added. Needs `users:write`.")
    async def users(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> TenantUserConnection:
        context = info.context
        context.require(SCOPE)
        size, behind = page_size(first), place_of(after)

        async def load(tenants: list[int]) -> list[list[UserRecord]]:
            found = await pages(context.door, tenants, after=behind, limit=size + 1)
            return [found[tenant] for tenant in tenants]

        loader = context.loader(("users", size, behind), load)
        return TenantUserConnection.from_rows(await loader.load(self.record.tenant_id), size)


@strawberry.type
class PeopleQueries:
    """The queries of people who are of no tenant."""

    @computed("The operator's people, in the order they were added. For operators.")
    async def operator_users(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> TenantUserConnection:
        context = info.context
        if not context.caller().is_operator:
            raise Fault("FORBIDDEN", "only an operator may look at the operator's people")
        context.require(SCOPE)
        size = page_size(first)
        records = await page_of_operators(context.door, after=place_of(after), limit=size + 1)
        return TenantUserConnection.from_rows(records, size)


async def person_of(context: Context, user_id: int) -> TenantUser | None:
    """Somebody by number, as the caller sees people."""
    caller = context.require(SCOPE)
    record = await find_user(context.door, user_id, caller.tenant_id)
    return None if record is None else TenantUser.from_row(record)


def place_of(after: str | None) -> int:
    """The user a page begins behind; 0 for the first one."""
    if after is None:
        return 0
    (word,) = position(after, str)
    return ids.decode("usr", word) or 0


@strawberry.input(description="A new person.")
class UserCreateInput:
    tenant: str | None = strawberry.field(
        default=None, description="The tenant's key; null adds one of the operator's people."
    )
    name: str = strawberry.field(description="The name people see.")
    email: str = strawberry.field(description="An e-mail address that nobody else here has.")
    role: UserRole = strawberry.field(description="What the person is; never above your own.")
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
        "Add a person, who then signs in by a link or by tokens of the configured issuer. Needs "
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
        )
        tokens = context.authenticator.tokens
        issuer = None if tokens is None else tokens.elsewhere
        record, errors = await attempt(
            user_create.run(context.door, issuer, context.caller(), request, now=context.now)
        )
        return UserCreatePayload(user=shown(record), user_errors=errors)

    @mutation(
        "Change a person: within seconds it holds everywhere, on open sockets too. The last active "
        "super-admin of a tenant stays one, unless an operator says otherwise. Needs `users:write`."
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
        )
        record, errors = await attempt(
            user_update.run(
                context.door,
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
