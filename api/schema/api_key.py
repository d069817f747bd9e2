"""API keys and widgets' tokens, as clients see them: never with their secret, nor its digest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.schema.fields import computed
from api.schema.node import Node
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.scalars import DateTime
from persistence import credentials
from persistence.credentials import KeyRecord

SCOPE = "keys:write"
PAGE_SIZE = 50

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]


@strawberry.type(description="A credential of a tenant, or of the operator.")
class ApiKey(Node):
    name: str = strawberry.field(description="What people call it.")
    tenant: str | None = strawberry.field(
        description="The key of the tenant it belongs to; null: the operator's."
    )
    prefix: str = strawberry.field(description="What its secret has after `kuota_`.")
    scopes: list[str] = strawberry.field(description="What it allows, such as `usage:read`.")
    created_at: DateTime = strawberry.field(description="When it was made.")
    expires_at: DateTime | None = strawberry.field(
        description="From when on it is not taken; null: never."
    )
    revoked_at: DateTime | None = strawberry.field(
        description="When it was revoked; null: it was not."
    )
    last_used_at: DateTime | None = strawberry.field(
        description="The minute in which it was last taken, as far as is written yet; an open "
        "socket takes it all the time. Null: never."
    )
    origins: list[str] | None = strawberry.field(
        description="The origins of the pages a widget's token is for; null: it is a key."
    )
    documents: list[strawberry.ID] | None = strawberry.field(
        description="The stored documents a widget's token may ask for; null: it is a key."
    )

    @classmethod
    def from_row(cls, record: KeyRecord) -> ApiKey:
        documents = record.documents
        return cls(
            id=strawberry.ID(ids.encode("key", record.key_id)),
            name=record.name,
            tenant=record.tenant_key,
            prefix=record.prefix,
            scopes=list(record.scopes),
            created_at=DateTime(record.created_at),
            expires_at=None if record.expires_at is None else DateTime(record.expires_at),
            revoked_at=None if record.revoked_at is None else DateTime(record.revoked_at),
            last_used_at=None if record.last_used_at is None else DateTime(record.last_used_at),
            origins=None if record.origins is None else list(record.origins),
            documents=None if documents is None else [strawberry.ID(id) for id in documents],
        )


@strawberry.type(description="A key and its place in the list.")
class ApiKeyEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this key.")
    node: ApiKey = strawberry.field(description="The key.")


@strawberry.type(description="A page of keys, oldest first.")
class ApiKeyConnection:
    edges: list[ApiKeyEdge] = strawberry.field(description="The keys with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The keys alone.")
    def nodes(self) -> list[ApiKey]:
        return [edge.node for edge in self.edges]

    @classmethod
    def from_rows(cls, records: Sequence[KeyRecord], size: int) -> ApiKeyConnection:
        """A page of `size` out of at most one row more, which says that there is more."""
        nodes = [ApiKey.from_row(record) for record in records[:size]]
        edges = [ApiKeyEdge(cursor=cursor([node.id]), node=node) for node in nodes]
        end = edges[-1].cursor if edges else None
        page_info = PageInfo(has_next_page=len(records) > size, end_cursor=end)
        return cls(edges=edges, page_info=page_info)


@strawberry.type
class TenantApiKeys(Owner):
    """The field of a tenant that lists its keys."""

    @computed(
        "The tenant's keys, revoked and ended ones included, oldest first; without the tokens of "
        "widgets. Needs `keys:write`."
    )
    async def api_keys(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> ApiKeyConnection:
        context = info.context
        context.require(SCOPE)
        size, behind = page_size(first), _place(after)

        async def load(tenants: list[int]) -> list[list[KeyRecord]]:
            found = await credentials.pages(context.door, tenants, after=behind, limit=size + 1)
            return [found[tenant] for tenant in tenants]

        loader = context.loader(("api keys", size, behind), load)
        return ApiKeyConnection.from_rows(await loader.load(self.record.tenant_id), size)


@strawberry.type
class ApiKeyQueries:
    """The field of the root that lists operators' keys."""

    @computed(
        "Operators' own keys, revoked and ended ones included, oldest first; a tenant's stand in "
        "`Tenant.apiKeys`. Needs `keys:write`. For operators."
    )
    async def api_keys(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> ApiKeyConnection:
        caller = info.context.require(SCOPE)
        if not caller.is_operator:
            raise Fault("FORBIDDEN", "operators' keys are for operators")
        size = page_size(first)
        records = await credentials.page_of_operators(
            info.context.door, after=_place(after), limit=size + 1
        )
        return ApiKeyConnection.from_rows(records, size)


def _place(after: str | None) -> int:
    """The key behind which a page begins; keys are counted from 1."""
    if after is None:
        return 0
    (word,) = position(after, str)
    number = ids.decode("key", word)
    if number is None:
        raise Fault("BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came")
    return number
