"""The root of queries. What a caller may not see answers as if it did not exist."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.operations.checks import UNPRINTABLE
from api.rights import Principal
from api.schema.api_key import ApiKey, ApiKeyQueries
from api.schema.audit import AuditQueries
from api.schema.estimate import Estimate, EstimateInput, estimate_of
from api.schema.fields import computed
from api.schema.invoice import document_by_id
from api.schema.node import Node
from api.schema.number import Number
from api.schema.paging import page_size, position
from api.schema.people import PeopleQueries, UserRole, person_of
from api.schema.price_book import PriceBookConnection
from api.schema.report import ReportQueries
from api.schema.simulation import SimulateInput, Simulation, simulation_of
from api.schema.tenant import Tenant, TenantConnection
from api.schema.tenant_subscription import subscription_by_id
from api.schema.verification import Verification, verification_of
from persistence.credentials import find_by_id
from persistence.tenants import TenantRecord, find_by_ids, find_by_key, find_number, page

SEARCH_LENGTH_MAX = 100
PAGE_SIZE = 50

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]
Search = Annotated[
    str | None, strawberry.argument(description="A part of the key or the name, in any case.")
]


@strawberry.enum(description="Who a credential belongs to.")
class ViewerKind(Enum):
    OPERATOR = strawberry.enum_value("operator", description="Who runs this installation.")
    TENANT = strawberry.enum_value("tenant", description="One tenant.")


@strawberry.type(description="Who is asking.")
class Viewer:
    principal: strawberry.Private[Principal]
    kind: ViewerKind = strawberry.field(description="Who the credential belongs to.")
    scopes: list[str] = strawberry.field(description="What it allows, such as `usage:read`.")
    name: str = strawberry.field(description="Of a person as people write it; else the key's.")
    role: UserRole | None = strawberry.field(description="Of a person; null: a key.")
    permissions: list[str] = strawberry.field(
        description="What may be done: the scopes, of a person by role and by grants."
    )

    @computed("The tenant the credential belongs to; null for an operator.")
    async def tenant(self, info: Info[Context, None]) -> Tenant | None:
        key = self.principal.tenant_key
        return None if key is None else await tenant_of(info.context, key)

    @computed("The tenants the viewer may see.")
    async def tenants(
        self,
        info: Info[Context, None],
        first: First = PAGE_SIZE,
        after: After = None,
        search: Search = None,
    ) -> TenantConnection:
        return await tenants_of(info.context, self.principal, first, after, search)


@strawberry.type(description="What can be read.")
class Query(AuditQueries, ApiKeyQueries, PeopleQueries, ReportQueries):
    @computed("Who is asking, and what the credential allows.")
    async def viewer(self, info: Info[Context, None]) -> Viewer:
        principal = info.context.caller()
        scopes = sorted(principal.scopes)
        return Viewer(
            principal=principal,
            kind=ViewerKind(principal.kind),
            scopes=scopes,
            name=principal.full_name or principal.name,
            role=None if principal.role is None else UserRole(principal.role.value),
            permissions=scopes,
        )

    @computed("A tenant by its key; null where there is none to be seen.")
    async def tenant(
        self,
        info: Info[Context, None],
        key: Annotated[str, strawberry.argument(description="The tenant's key.")],
    ) -> Tenant | None:
        info.context.caller()
        return await tenant_of(info.context, key)

    @computed("The tenants the viewer may see, by their keys.")
    async def tenants(
        self,
        info: Info[Context, None],
        first: First = PAGE_SIZE,
        after: After = None,
        search: Search = None,
    ) -> TenantConnection:
        return await tenants_of(info.context, info.context.caller(), first, after, search)

    @computed(
        "What a send would cost, without any effect. It is charged as facts are, to figures that "
        "nobody keeps. Needs `billing:read` or `send:authorize`."
    )
    async def estimate(
        self,
        info: Info[Context, None],
        input: Annotated[EstimateInput, strawberry.argument(description="The send.")],
    ) -> Estimate:
        return await estimate_of(info.context, input)

    @computed(
        "What recorded traffic would have cost under another price book or plan, beside what it "
        "did. Nothing is kept. A query reads at most 20,000 facts, those that must be read from "
        "before the range included; the command `simulate` any number. Needs `billing:read`."
    )
    async def simulate(
        self,
        info: Info[Context, None],
        input: Annotated[
            SimulateInput, strawberry.argument(description="The traffic, and the rules.")
        ],
    ) -> Simulation:
        return await simulation_of(info.context, input)

    @computed(
        "Whether a tenant's books are right, worked out now from its whole log, without a lock; "
        "null where there is no such tenant. A query reads at most 5,000 facts, the command "
        "`verify` any number. For operators."
    )
    async def verification(
        self,
        info: Info[Context, None],
        tenant: Annotated[str, strawberry.argument(description="The tenant's key.")],
        first: Annotated[
            int, strawberry.argument(description="How many findings to give, 1 to 100.")
        ] = PAGE_SIZE,
    ) -> Verification | None:
        return await verification_of(info.context, tenant, first)

    @computed("The price books, by their keys. For operators.")
    async def price_books(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> PriceBookConnection:
        return PriceBookConnection.of(info.context, first, after)

    @computed("Anything by its id; null where there is nothing to be seen.")
    async def node(
        self,
        info: Info[Context, None],
        id: Annotated[strawberry.ID, strawberry.argument(description="The id.")],
    ) -> Node | None:
        context = info.context
        caller = context.caller()
        kind = ids.kind(id)
        number = ids.decode(kind, id)
        if number is None:
            return None
        match kind:
            case "tnt":
                return await tenant_by_id(context, number)
            case "num":
                record = await find_number(context.door, number, caller.tenant_id)
                return None if record is None else Number.from_row(record)
            case "key":
                caller.require("keys:write")
                key = await find_by_id(context.door, number, caller.tenant_id)
                return None if key is None else ApiKey.from_row(key)
            case "sub":
                return await subscription_by_id(context, number)
            case "usr":
                return await person_of(context, number)
            case "inv":
                return await document_by_id(context, number)
        return None


async def tenant_of(context: Context, key: str) -> Tenant | None:
    """The tenant of a key, as the caller sees it."""
    if not context.caller().sees(key):
        return None

    async def load(keys: list[str]) -> list[TenantRecord | None]:
        return await asyncio.gather(*(find_by_key(context.door, key) for key in keys))

    record = await context.loader("tenants by key", load).load(key)
    return None if record is None else Tenant.from_row(record)


async def tenant_by_id(context: Context, tenant_id: int) -> Tenant | None:
    if not context.caller().sees_id(tenant_id):
        return None

    async def load(wanted: list[int]) -> list[TenantRecord | None]:
        found = await find_by_ids(context.door, wanted)
        return [found.get(one) for one in wanted]

    record = await context.loader("tenants by id", load).load(tenant_id)
    return None if record is None else Tenant.from_row(record)


async def tenants_of(
    context: Context, principal: Principal, first: int, after: str | None, search: str | None
) -> TenantConnection:
    """A page of what the principal sees: all tenants, or its own."""
    size = page_size(first)
    behind: str = "" if after is None else position(after, str)[0]
    wanted = (search or "").strip()
    if len(wanted) > SEARCH_LENGTH_MAX:
        raise Fault("BAD_USER_INPUT", f"`search` has at most {SEARCH_LENGTH_MAX} characters")
    if UNPRINTABLE.search(wanted + behind):
        return TenantConnection.from_rows([], size)
    if principal.is_operator:
        records = await page(context.door, after=behind, limit=size + 1, search=wanted or None)
        return TenantConnection.from_rows(records, size)
    own = await tenant_of(context, principal.tenant_key or "")
    records = [] if own is None else [own.record]
    fitting = [
        record
        for record in records
        if record.key > behind
        and any(wanted.casefold() in text.casefold() for text in (record.key, record.name))
    ]
    return TenantConnection.from_rows(fitting, size)
