"""Broadcasts as clients see them: whom each wrote to, what became of it, and what it cost.

Owns who may see which of it. Counts are of the whole broadcast, whatever range its list is asked
for: it is in the list of the range in which it began.
"""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.faults import Fault
from api.limits import DIMENSION_LENGTH_MAX
from api.schema.amount import Amount
from api.schema.fields import computed
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.range import RangeInput, interval
from api.schema.scalars import DateTime
from persistence import broadcasts
from persistence.broadcasts import NEWEST, Asked, BroadcastRecord, Figures, Taken
from persistence.tenants import TenantRecord

SCOPE = "usage:read"
COST_SCOPE = "billing:read"
PAGE_SIZE = 50

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]
Id = Annotated[strawberry.ID, strawberry.argument(description="Its name, as facts have it.")]


@strawberry.type(description="What a broadcast took of one category.")
class BroadcastCategory:
    figures: strawberry.Private[Figures]
    record: strawberry.Private[TenantRecord]
    category: str = strawberry.field(description='Such as `marketing`; `""` where none was given.')
    messages: int = strawberry.field(description="Messages that reached their contact.")
    conversations: int = strawberry.field(description="Conversations that they opened.")

    @computed("What money balances paid for it. Needs `billing:read`.")
    def cost(self, info: Info[Context, None]) -> Amount:
        return _cost(info.context, self.record, self.figures)

    @classmethod
    def of(cls, category: str, figures: Figures, record: TenantRecord) -> BroadcastCategory:
        return cls(
            figures=figures, record=record, category=category, messages=figures.messages,
            conversations=figures.conversations,
        )  # fmt: skip


@strawberry.type(description="What a broadcast took of the contacts of one country.")
class BroadcastCountry:
    figures: strawberry.Private[Figures]
    record: strawberry.Private[TenantRecord]
    country: str = strawberry.field(
        description='ISO 3166 code of the contacts\' numbers; `""` where they have none.'
    )
    messages: int = strawberry.field(description="Messages that reached their contact.")
    conversations: int = strawberry.field(description="Conversations that they opened.")

    @computed("What money balances paid for it. Needs `billing:read`.")
    def cost(self, info: Info[Context, None]) -> Amount:
        return _cost(info.context, self.record, self.figures)

    @classmethod
    def of(cls, country: str, figures: Figures, record: TenantRecord) -> BroadcastCountry:
        return cls(
            figures=figures, record=record, country=country, messages=figures.messages,
            conversations=figures.conversations,
        )  # fmt: skip


@strawberry.type(
    description="Messages that were sent under one name, all in all as of `asOf`: facts that are "
    "still to come add to it."
)
class Broadcast:
    told: strawberry.Private[BroadcastRecord]
    record: strawberry.Private[TenantRecord]
    id: strawberry.ID = strawberry.field(description="Its name, as facts have it in `broadcast`.")
    started_at: DateTime = strawberry.field(description="The earliest instant of its messages.")
    last_at: DateTime = strawberry.field(
        description="The latest one: when something was last sent, delivered, read or failed."
    )
    recipients: int = strawberry.field(
        description="Contacts it wrote to, each once; a group is one. They are delivered, failed "
        "or pending."
    )
    delivered: int = strawberry.field(description="Of them, those whom a message reached.")
    read: int = strawberry.field(description="Of those delivered, who read or played it.")
    failed: int = strawberry.field(description="Whom none reached, for at least one failed.")
    pending: int = strawberry.field(
        description="Of whom nothing is known but that they were written to."
    )

    @computed("The instant these figures are of.")
    def as_of(self, info: Info[Context, None]) -> DateTime:
        return DateTime(info.context.now)

    @computed(
        "Always true: a late fact or a rate that comes later adds to the whole broadcast, also "
        "where the periods of its messages are closed. What is final is `usageSummary` of a closed "
        "range, with a filter of this broadcast."
    )
    def estimate(self) -> bool:
        return True

    @computed(
        "Messages that reached their contact: where one got several, more than `delivered`. As "
        "usage counts them."
    )
    async def messages(self, info: Info[Context, None]) -> int:
        return (await self._taken(info.context)).total.messages

    @computed("Conversations that they opened: a contact with an open one adds none.")
    async def conversations(self, info: Info[Context, None]) -> int:
        return (await self._taken(info.context)).total.conversations

    @computed(
        "What money balances paid for it, in the tenant's currency; units of other balances are "
        "not in it. Needs `billing:read`."
    )
    async def cost(self, info: Info[Context, None]) -> Amount:
        info.context.require(COST_SCOPE)
        return _cost(info.context, self.record, (await self._taken(info.context)).total)

    @computed("The same by the messages' own categories, the largest first.")
    async def by_category(self, info: Info[Context, None]) -> list[BroadcastCategory]:
        taken = await self._taken(info.context)
        return [BroadcastCategory.of(*share, self.record) for share in taken.by_category]

    @computed("The same by the contacts' countries, the largest first.")
    async def by_country(self, info: Info[Context, None]) -> list[BroadcastCountry]:
        taken = await self._taken(info.context)
        return [BroadcastCountry.of(*share, self.record) for share in taken.by_country]

    async def _taken(self, context: Context) -> Taken:
        """What it took: of all broadcasts of an answer, one statement."""

        async def load(asked: list[tuple[int, str]]) -> list[Taken]:
            return await broadcasts.taken(context.figures, asked)

        asked = (self.record.tenant_id, self.told.name)
        return await context.loader("taken by broadcasts", load).load(asked)

    @classmethod
    def of(cls, told: BroadcastRecord, record: TenantRecord) -> Broadcast:
        return cls(
            told=told,
            record=record,
            id=strawberry.ID(told.name),
            started_at=DateTime(told.first_at),
            last_at=DateTime(told.last_at),
            recipients=told.recipients,
            delivered=told.delivered,
            read=told.read,
            failed=told.failed,
            pending=told.pending,
        )


@strawberry.type(description="A broadcast and its place in the list.")
class BroadcastEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: Broadcast = strawberry.field(description="The broadcast.")


@strawberry.type(
    description="A page of broadcasts, the last begun first; new ones move none in it."
)
class BroadcastConnection:
    edges: list[BroadcastEdge] = strawberry.field(description="The broadcasts with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The broadcasts alone.")
    def nodes(self) -> list[Broadcast]:
        return [edge.node for edge in self.edges]


@strawberry.input(description="Narrows a list of broadcasts.")
class BroadcastFilter:
    search: str | None = strawberry.field(
        default=None, description="A part of the name, in whatever case; default: all."
    )


@strawberry.type
class TenantBroadcasts(Owner):
    """The fields of a tenant that show what it sent to many at once."""

    @computed(
        "Its broadcasts that began in a range, the last begun first. The range has no longest "
        "length. Needs `usage:read`; costs in it need `billing:read` too."
    )
    async def broadcasts(
        self,
        info: Info[Context, None],
        range: Annotated[RangeInput, strawberry.argument(description="When they began.")],
        first: First = PAGE_SIZE,
        after: After = None,
        filter: Annotated[
            BroadcastFilter | None, strawberry.argument(description="Only these; default: all.")
        ] = None,
    ) -> BroadcastConnection:
        context, tenant_id = info.context, self.record.tenant_id
        context.require(SCOPE)
        size = page_size(first)
        start, end = interval(range, self.record.zone, context.now)
        asked = Asked(
            tenant_id=tenant_id,
            start=start,
            end=end,
            before=NEWEST if after is None else _place(after),
            search=None if filter is None else _name(filter.search, "search"),
        )

        async def load(keys: list[Asked]) -> list[list[BroadcastRecord]]:
            return await broadcasts.pages(context.figures, keys, limit=size + 1)

        found = await context.loader(("broadcasts", size), load).load(asked)
        edges = [
            BroadcastEdge(
                cursor=cursor([each.first_at, each.name]), node=Broadcast.of(each, self.record)
            )
            for each in found[:size]
        ]
        ends = PageInfo(
            has_next_page=len(found) > size, end_cursor=edges[-1].cursor if edges else None
        )
        return BroadcastConnection(edges=edges, page_info=ends)

    @computed("A broadcast by its name; null: the tenant has none of it. Needs `usage:read`.")
    async def broadcast(self, info: Info[Context, None], id: Id) -> Broadcast | None:
        context = info.context
        context.require(SCOPE)
        name = _name(str(id), "id")

        async def load(keys: list[tuple[int, str]]) -> list[BroadcastRecord | None]:
            return await broadcasts.by_names(context.figures, keys)

        if not name:
            return None
        found = await context.loader("broadcast", load).load((self.record.tenant_id, name))
        return None if found is None else Broadcast.of(found, self.record)


def _cost(context: Context, record: TenantRecord, figures: Figures) -> Amount:
    context.require(COST_SCOPE)
    return Amount.of(figures.cost, record.currency, record.locale)


def _name(written: str | None, field: str) -> str | None:
    """A name, or a part of one, as it may be kept."""
    if not written:
        return None
    if len(written) > DIMENSION_LENGTH_MAX or "\0" in written:
        raise Fault(
            "BAD_USER_INPUT",
            f"`{field}` is no broadcast's name: write at most {DIMENSION_LENGTH_MAX} characters, "
            "no NUL among them",
        )
    return written.encode("utf-8", "replace").decode()


def _place(after: str) -> tuple[int, str]:
    at, name = position(after, int, str)
    return at, name.encode("utf-8", "replace").decode()
