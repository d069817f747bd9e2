"""People: who signs in, and what each may; `people_changes` has the mutations that say so."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api import rights as granted
from api.context import Context
from api.faults import Fault
from api.schema.fields import computed
from api.schema.node import Node
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.scalars import DateTime
from api.tokens import scopes_of
from domain.facts import CHANNEL_NAMES
from persistence.people import UserRecord, find_user, page_of_operators, pages

SCOPE = "users:write"
PAGE_SIZE = 50

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
    external_id: str | None = strawberry.field(
        description="What facts call the person in `user`, so what its usage is counted by: what "
        "was counted by an earlier one is nobody's; null: one of the operator's."
    )
    channels: list[str] = strawberry.field(
        description="The channels it works on, such as `whatsapp`; empty: all."
    )
    created_at: DateTime = strawberry.field(description="When the person was added.")
    rights: strawberry.Private[frozenset[str]]

    @computed("What the person may of billing, by role and by grants. Needs `users:write`.")
    def billing_rights(self, info: Info[Context, None]) -> list[BillingRight]:
        info.context.require(SCOPE)
        return [BillingRight(right.value) for right in granted.BillingRight if right in self.rights]

    @classmethod
    def from_row(cls, record: UserRecord) -> TenantUser:
        return cls(
            id=strawberry.ID(ids.encode("usr", record.user_id)),
            tenant=record.tenant_key,
            name=record.name,
            email=record.email,
            role=UserRole(record.role),
            active=record.active,
            external_id=record.external_id,
            channels=[CHANNEL_NAMES[channel] for channel in record.channels],
            created_at=DateTime(record.created_at),
            rights=scopes_of(record),
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
