"""Who used what in a range: a tenant's people with their figures, and what nobody of them did.

Owns how usage is put beside people (US-2): figures are those of `usageSeries` with the same filter,
split by user, and what no row has is in `unassigned`, so that nothing is missing from the sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.limits import NAME_LENGTH_MAX
from api.rights import Role
from api.schema.amount import Amount
from api.schema.closing import closed_first
from api.schema.fields import computed
from api.schema.metric import UsageFilter
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size
from api.schema.people import TenantUser, UserRole, place_of
from api.schema.range import RangeInput, interval
from api.schema.scalars import BigInt, DateTime, Decimal
from api.schema.usage import COST_SCOPE, is_estimate, only_of
from api.schema.user_order import Sorting, UserUsageSort, UserUsageSortInput
from api.usage.filters import Only, selection_of
from api.usage.question import check_hours, stretches
from api.usage.summary import read_totals
from domain.money import MICRO, text
from domain.ranges import named
from persistence import activity, members, usage
from persistence.members import Behind, Census, Member, Ranked, Wanted
from persistence.standing import standing_of
from persistence.tenants import TenantRecord
from persistence.usage import Measure

SCOPE = "usage:read"
PAGE_SIZE = 50
#: Seconds of a minute.
MINUTE = 60

MEASURES = (
    Measure.MESSAGES_IN,
    Measure.MESSAGES_OUT,
    Measure.CONVERSATIONS,
    Measure.SECONDS_BILLED,
    Measure.COST,
)
NOTHING = (0,) * len(MEASURES)

NOT_FINAL = (
    "That a message was read, played or failed is not the sender's doing. A late fact still moves "
    "it, in a closed period too."
)

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One question: of whom, from when to when, and which of usage and people."""

    record: TenantRecord
    range: members.Asked
    only: Only
    wanted: Wanted

    async def figures(self, info: Info[Context, None]) -> dict[str, tuple[int, ...]]:
        """Sums of the range by what facts call people: one statement for all who ask alike."""
        selection = selection_of(MEASURES, [usage.Dimension.USER], self.only)
        hours, days = stretches(self.record.zone, self.range.start, self.range.end)

        async def load(keys: list[usage.Asked]) -> list[dict[str, tuple[int, ...]]]:
            await closed_first(info, [key.tenant_id for key in keys])
            found = await read_totals(info.context.figures, selection, keys)
            return [{total.key[0]: total.values for total in each} for each in found]

        asked = usage.Asked(tenant_id=self.record.tenant_id, hours=hours, days=days)
        return await info.context.loader(("usage of users", selection), load).load(asked)

    async def census(self, context: Context) -> Census:
        """How many people the range has: one statement for all who ask alike."""

        async def load(keys: list[members.Asked]) -> list[Census]:
            return await members.census(context.figures, keys, self.wanted)

        return await context.loader(("census", self.wanted), load).load(self.range)

    async def page(self, context: Context, *, after: int, limit: int) -> list[Member]:
        async def load(keys: list[members.Asked]) -> list[list[Member]]:
            return await members.pages(
                context.figures, keys, self.wanted, after=after, limit=limit
            )  # fmt: skip

        return await context.loader(("members", self.wanted, after, limit), load).load(self.range)

    async def ranked(
        self, context: Context, sorting: Sorting, *, behind: Behind | None, limit: int
    ) -> list[Member]:
        """A page in an order: one statement for all who ask alike."""
        order = sorting.order

        async def load(keys: list[Ranked]) -> list[list[Member]]:
            return await members.ranked(
                context.figures, keys, self.wanted, descending=order.descending, behind=behind,
                limit=limit,
            )  # fmt: skip

        name = ("members in order", self.wanted, self.only, order, behind, limit)
        return await context.loader(name, load).load(Ranked(self.range, sorting.figures))


@dataclass(frozen=True, slots=True)
class Page:
    """The people of one page, whose activity is read together."""

    scene: Scene
    names: tuple[str, ...]  #: what facts call them

    async def activity(self, context: Context, name: str) -> tuple[int, int] | None:
        async def load(keys: list[activity.Asked]) -> list[dict[str, tuple[int, int]]]:
            return await activity.spans(context.figures, keys)

        of = self.scene.range
        found = await context.loader("activity", load).load(
            (of.tenant_id, self.names, of.start, of.end)
        )
        return found.get(name)


@strawberry.type(description="What somebody used, as `usageSeries` counts it.")
class UserFigures:
    record: strawberry.Private[TenantRecord]
    micros: strawberry.Private[int]
    messages_in: BigInt = strawberry.field(description="Messages received.")
    messages_out: BigInt = strawberry.field(description="Messages that reached their contact.")
    conversations: BigInt = strawberry.field(description="Conversations that were opened.")
    seconds: BigInt = strawberry.field(
        description="Seconds of calls that were charged for, or all of one without a charge, and "
        "of sessions, as `SECONDS_BILLED` counts them."
    )
    minutes: Decimal = strawberry.field(
        description="A sixtieth of `seconds`, rounded half up to 6 decimals."
    )

    @computed("What money balances paid, in the tenant's currency. Needs `billing:read`.")
    def cost(self, info: Info[Context, None]) -> Amount:
        info.context.require(COST_SCOPE)
        return Amount.of(self.micros, self.record.currency, self.record.locale)

    @classmethod
    def of(cls, record: TenantRecord, values: Iterable[int]) -> UserFigures:
        received, sent, conversations, seconds, micros = values
        return cls(
            record=record,
            micros=micros,
            messages_in=BigInt(received),
            messages_out=BigInt(sent),
            conversations=BigInt(conversations),
            seconds=BigInt(seconds),
            minutes=Decimal(text((seconds * MICRO + MINUTE // 2) // MINUTE)),
        )


@strawberry.type(description="Somebody who was active at some instant of the range.")
class UserUsage:
    page: strawberry.Private[Page]
    user: TenantUser = strawberry.field(description="The person, as it is now.")
    role: UserRole = strawberry.field(description="The last role in the range.")
    active: bool = strawberry.field(
        description="Whether the person was let in at the range's end, or is so far."
    )

    @computed(
        "What was used in the range under the `externalId` that the person has now, of what "
        "`filter` leaves."
    )
    async def figures(self, info: Info[Context, None]) -> UserFigures:
        scene = self.page.scene
        found = await scene.figures(info)
        return UserFigures.of(scene.record, found.get(self.user.external_id or "", NOTHING))

    @computed(
        "The first thing that the person did in the range, by facts that name it, whatever "
        f"`filter` says. {NOT_FINAL}"
    )
    async def first_activity(self, info: Info[Context, None]) -> DateTime | None:
        span = await self.page.activity(info.context, self.user.external_id or "")
        return None if span is None else DateTime(span[0])

    @computed(
        "The last thing that the person did in the range, by facts that name it, whatever `filter` "
        f"says. {NOT_FINAL}"
    )
    async def last_activity(self, info: Info[Context, None]) -> DateTime | None:
        span = await self.page.activity(info.context, self.user.external_id or "")
        return None if span is None else DateTime(span[1])


@strawberry.type(description="How many of a range's people had a role last.")
class RoleCount:
    role: UserRole = strawberry.field(description="The last role in the range.")
    count: int = strawberry.field(description="People, each once.")


@strawberry.type(description="Somebody and the place in the list.")
class UserUsageEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this person.")
    node: UserUsage = strawberry.field(description="The person, and what was used.")


@strawberry.type(
    description="A page of a range's people, in the order they were added, or that of `sort`."
)
class UserUsageConnection:
    scene: strawberry.Private[Scene]
    edges: list[UserUsageEdge] = strawberry.field(description="The people with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")
    start: DateTime = strawberry.field(description="The first instant of the range.")
    end: DateTime = strawberry.field(description="The first instant after it.")

    @computed("The people alone.")
    def nodes(self) -> list[UserUsage]:
        return [edge.node for edge in self.edges]

    @computed("The instant these figures are of.")
    def as_of(self, info: Info[Context, None]) -> DateTime:
        return DateTime(info.context.now)

    @computed(
        "Whether any part of the range is of a period that is not closed, so that figures may "
        "still change; activity may all the same."
    )
    async def estimate(self, info: Info[Context, None]) -> bool:
        return await is_estimate(info.context, self.scene.record.tenant_id, self.scene.range.end)

    @computed(
        "How many people the range has by their last role in it, whatever `roles`, `search` and "
        "`filter` say; only roles that somebody had."
    )
    async def by_role(self, info: Info[Context, None]) -> list[RoleCount]:
        counted = (await self.scene.census(info.context)).by_role
        return [
            RoleCount(role=UserRole(role.value), count=counted[role])
            for role in Role
            if role in counted
        ]

    @computed("How many people all pages have.")
    async def total_count(self, info: Info[Context, None]) -> int:
        return (await self.scene.census(info.context)).total

    @computed(
        "What none of the range's people used: facts that name nobody, somebody unknown, or "
        "somebody who was not active in it, and what is counted under an `externalId` that "
        "somebody had before. With the figures of all pages without `roles` and `search` it "
        "adds up to what `usageSeries` counts."
    )
    async def unassigned(self, info: Info[Context, None]) -> UserFigures:
        found = await self.scene.figures(info)
        known = (await self.scene.census(info.context)).known
        rest = [values for name, values in found.items() if name not in known]
        return UserFigures.of(
            self.scene.record, (sum(column) for column in zip(NOTHING, *rest, strict=True))
        )


@strawberry.type
class TenantUserUsage(Owner):
    """The field of a tenant that shows who used what."""

    @computed(
        "The tenant's people who were active at any instant of a range, each once and under the "
        "last role in it, with what they used. The range has no longest length. Needs "
        "`usage:read`; costs in it need `billing:read` too."
    )
    async def user_usage(
        self,
        info: Info[Context, None],
        range: Annotated[
            RangeInput | None,
            strawberry.argument(description="From when to when; default: `usageRanges.users`."),
        ] = None,
        filter: Annotated[
            UsageFilter | None,
            strawberry.argument(
                description="What to count of; its `users` are the only ones listed."
            ),
        ] = None,
        first: First = PAGE_SIZE,
        after: After = None,
        roles: Annotated[
            list[UserRole] | None,
            strawberry.argument(description="Only who had one of these last; default: all."),
        ] = None,
        search: Annotated[
            str | None,
            strawberry.argument(
                description="A part of the name, the e-mail address or what facts call them, in "
                "whatever case."
            ),
        ] = None,
        sort: Annotated[
            UserUsageSortInput | None,
            strawberry.argument(
                description="In which order to list them; default: as they were added. A page goes "
                "on behind the figure that its cursor was given for: whose own changes between two "
                "pages may come twice, or not at all."
            ),
        ] = None,
    ) -> UserUsageConnection:
        context, record = info.context, self.record
        context.require(SCOPE)
        order = None if sort is None else sort.order()
        if order is not None and order.by is UserUsageSort.COST:
            context.require(COST_SCOPE)
        size = page_size(first)
        if range is None:
            plan = standing_of(context.catalogue, record).holding(context.now).plan
            start, end = named(plan.ranges.users, record.zone, context.now)
        else:
            start, end = interval(range, record.zone, context.now)
        check_hours(record.zone, start, end)
        narrowed = only_of(filter)
        scene = Scene(
            record=record,
            range=members.Asked(tenant_id=record.tenant_id, start=start, end=end),
            only=narrowed,
            wanted=Wanted(
                roles=None
                if roles is None
                else tuple(sorted({Role[role.name].value for role in roles})),
                search=searched(search),
                users=dict(narrowed).get(usage.Dimension.USER),
            ),
        )
        if order is None:
            found = await scene.page(context, after=place_of(after), limit=size + 1)
            return connection_of(scene, found, size)
        behind = order.behind(after)
        figures = None
        if order.measure is not None:
            place = MEASURES.index(order.measure)
            sums = await scene.figures(info)
            figures = {name: values[place] for name, values in sums.items()}
        sorting = Sorting(order, figures)
        found = await scene.ranked(context, sorting, behind=behind, limit=size + 1)
        return connection_of(scene, found, size, sorting)


def connection_of(
    scene: Scene, found: list[Member], size: int, sorting: Sorting | None = None
) -> UserUsageConnection:
    """A page of `size` out of at most one row more, which says that there is more."""
    names = (member.user.external_id for member in found[:size])
    page = Page(scene, tuple(name for name in names if name is not None))
    edges = [
        UserUsageEdge(
            cursor=cursor([ids.encode("usr", member.user.user_id)])
            if sorting is None
            else sorting.cursor(member.user.user_id, member.user.external_id),
            node=UserUsage(
                page=page,
                user=TenantUser.from_row(member.user),
                role=UserRole(member.role),
                active=member.active,
            ),
        )
        for member in found[:size]
    ]
    return UserUsageConnection(
        scene=scene,
        edges=edges,
        page_info=PageInfo(
            has_next_page=len(found) > size, end_cursor=edges[-1].cursor if edges else None
        ),
        start=DateTime(scene.range.start),
        end=DateTime(scene.range.end),
    )


def searched(text: str | None) -> str | None:
    """A part of a name as it may be kept; None: nothing is searched for."""
    if not text:
        return None
    if len(text) > NAME_LENGTH_MAX or "\0" in text:
        raise Fault(
            "BAD_USER_INPUT",
            f"`search` is no part of a name: write at most {NAME_LENGTH_MAX} characters, no NUL "
            "among them",
        )
    return text.encode("utf-8", "replace").decode()
