"""The root of subscriptions: states of a tenant as they change, the present one first.

Owns when an event is worth sending: a state that shows the same as the one before is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from enum import Enum
from functools import partial
from sys import intern
from typing import Annotated

import asyncpg
import strawberry
import structlog
from strawberry.types import Info

from api.audience import EVERYBODY, Feed
from api.context import Context
from api.faults import Fault
from api.schema.alert import AlertEvent, Kinds
from api.schema.balance import SCOPE as BALANCES_SCOPE
from api.schema.balance import Balance, balances_of
from api.schema.fields import subscription
from api.schema.live import SCOPE as USAGE_SCOPE
from api.schema.live import LiveUsage, available_users
from api.schema.position import StreamPosition, place_of, position_of
from api.schema.query import tenant_of
from domain.figures import Figures
from domain.fold import ACTION, CLOSED, FACTS, RATED, SETTLED, TIME
from domain.periods import period
from domain.reading import Reading
from domain.watch import AlertKind
from persistence.board import Seen
from persistence.door import CONNECTION_LOST
from persistence.following import follow
from persistence.standing import standing_of
from persistence.tenants import TenantRecord

log = structlog.get_logger("kuota.feed")

RETRY_SECONDS = 0.3

TenantKey = Annotated[str, strawberry.argument(description="The tenant's key.")]
After = Annotated[
    StreamPosition | None,
    strawberry.argument(
        description="The last position you got. States need none: the first event has the present."
    ),
]


@strawberry.enum(description="Why balances were sent.")
class ChangeCause(Enum):
    SNAPSHOT = strawberry.enum_value("snapshot", description="The present, to begin with.")
    FACTS = strawberry.enum_value("facts", description="Facts came in.")
    ACTION = strawberry.enum_value("action", description="Somebody did something: a top-up.")
    TIME = strawberry.enum_value("time", description="A lot began or ended, or a period.")
    RATED = strawberry.enum_value(
        "rated", description="Facts were rated that had come before their rate."
    )
    HELD = strawberry.enum_value(
        "held", description="Something was set aside for a send, or given back, also by time."
    )
    SETTLED = strawberry.enum_value(
        "settled", description="Late facts were put into their order, and charges corrected."
    )
    CLOSED = strawberry.enum_value("closed", description="A period was closed.")


CAUSES = {
    FACTS: ChangeCause.FACTS,
    ACTION: ChangeCause.ACTION,
    RATED: ChangeCause.RATED,
    SETTLED: ChangeCause.SETTLED,
    CLOSED: ChangeCause.CLOSED,
}


@strawberry.type(description="Balances of a tenant after a change, whole: apply the newest.")
class BalanceChange:
    position: StreamPosition = strawberry.field(description="Where this event stands in the feed.")
    recovered: bool = strawberry.field(
        description="Whether nothing was missed; of states always true, for this one is whole."
    )
    balances: list[Balance] = strawberry.field(
        description="The balances asked for, in the plan's order."
    )
    cause: ChangeCause = strawberry.field(
        description="Why it was sent; of several changes at once, the last one's."
    )


@strawberry.type(description="Live counters of a tenant after a change, whole: apply the newest.")
class UsageChange:
    position: StreamPosition = strawberry.field(description="Where this event stands in the feed.")
    recovered: bool = strawberry.field(
        description="Whether nothing was missed; of states always true, for this one is whole."
    )
    live: LiveUsage = strawberry.field(description="The counters.")


@strawberry.type(description="What can be watched, over a websocket or as server-sent events.")
class Subscription:
    @subscription(
        "Alerts of the tenant as they are raised, each once and in order. Come back with the "
        "`position` of the last one, or of `Tenant.alerts`, as `after`, and none is missed or "
        "repeated; without it those come that are raised from now on.",
        Feed.ALERTS,
    )
    async def alert_raised(
        self,
        info: Info[Context, None],
        tenant: TenantKey,
        kinds: Kinds = None,
        after: Annotated[
            StreamPosition | None,
            strawberry.argument(description="The last position you got: what came since follows."),
        ] = None,
    ) -> AsyncIterator[AlertEvent]:
        context = info.context
        context.require(BALANCES_SCOPE)
        record = await watched(context, tenant)
        if kinds is not None and not kinds:
            raise Fault("BAD_USER_INPUT", "`kinds` is empty: name some, or leave it out")
        wanted = None if kinds is None else tuple(AlertKind[kind.name] for kind in kinds)
        place, audience = None if after is None else place_of(after), context.audience
        with context.hub.balances.watch(record.tenant_id, record.zone) as watcher:
            audience.join, audience.upto = watcher.join, EVERYBODY
            async for alert, epoch, recovered in follow(
                context.door, record.tenant_id, watcher, place, wanted
            ):
                position = position_of(epoch, alert.version, alert.line)
                yield AlertEvent.of(alert, record, position=position, recovered=recovered)

    @subscription(
        "The balances of a tenant whenever one of them changes, also by time alone. Changes in "
        "quick succession may come as one.",
        Feed.STATES,
    )
    async def balance_changed(
        self,
        info: Info[Context, None],
        tenant: TenantKey,
        keys: Annotated[
            list[str] | None, strawberry.argument(description="Only these; default: all.")
        ] = None,
        after: After = None,
    ) -> AsyncIterator[BalanceChange]:
        context = info.context
        context.require(BALANCES_SCOPE)
        record = await watched(context, tenant)
        check_keys(context, record, keys)
        before: Seen[Reading] | None = None
        shown: list[Figures] = []
        everything: Sequence[Balance] = ()
        known_by = ""
        known, audience = 0, context.audience
        with context.hub.balances.watch(record.tenant_id, record.zone) as watcher:
            audience.join = watcher.join
            while True:
                seen = await watcher.news()
                begun, reading = watcher.begun, seen.state
                if before is not None and (
                    reading.cause in (ACTION, TIME)
                    or watcher.agreed
                    or reading.period != before.state.period
                ):
                    # Another plan or zone may have been agreed, or be in force from this period on;
                    # a refill that was given up switches its policy off.
                    watcher.agreed = False
                    record = await still_watched(context, tenant)
                # Of all who watch the tenant, those that know the same of it share what is made.
                agreed = intern(record.zones + record.changes + record.refills)
                before_it = everything if agreed is known_by else ()
                make = partial(balances_of, context, record, reading, before_it)
                everything, known_by = seen.shared(agreed, make), agreed
                balances = [each for each in everything if keys is None or each.balance.key in keys]
                figures = [balance.figures for balance in balances]
                for begins in audience.parts(known, begun, reading.at, changed=figures != shown):
                    yield BalanceChange(
                        position=position_of(seen.epoch, reading.version),
                        recovered=True,
                        balances=balances,
                        cause=ChangeCause.SNAPSHOT if begins else cause_of(before, reading),
                    )
                before, shown, known = seen, figures, max(known, begun)

    @subscription(
        "The live counters of a tenant whenever one of them changes, also when a window ends by "
        "itself or a seat is taken. Changes in quick succession may come as one.",
        Feed.STATES,
    )
    async def usage_changed(
        self, info: Info[Context, None], tenant: TenantKey, after: After = None
    ) -> AsyncIterator[UsageChange]:
        context = info.context
        context.require(USAGE_SCOPE)
        record = await watched(context, tenant)
        standing = standing_of(context.catalogue, record)
        shown: tuple[int, ...] | None = None
        known, audience = 0, context.audience
        with context.hub.usage.watch(record.tenant_id, record.zone) as watcher:
            audience.join = watcher.join
            while True:
                seen = await watcher.news()
                begun, counts = watcher.begun, seen.state
                if watcher.agreed:
                    watcher.agreed = False
                    # Another plan may have been agreed, with other seats.
                    record = await still_watched(context, tenant)
                    standing = standing_of(context.catalogue, record)
                seats = available_users(counts, standing)
                figures = counts.conversations, counts.windows, counts.visitors, seats
                for _ in audience.parts(known, begun, counts.at, changed=figures != shown):
                    yield UsageChange(
                        position=position_of(seen.epoch, counts.version),
                        recovered=True,
                        live=LiveUsage.of(counts, standing),
                    )
                shown, known = figures, max(known, begun)


def cause_of(before: Seen[Reading] | None, reading: Reading) -> ChangeCause:
    """Why a reading is news to who has the one before."""
    if before is not None and before.state.version == reading.version:
        held = before.state.held_at != reading.held_at
        return ChangeCause.HELD if held else ChangeCause.TIME
    return CAUSES.get(reading.cause, ChangeCause.TIME)


async def watched(context: Context, key: str) -> TenantRecord:
    """The tenant to watch; one the caller may not see is not there."""
    found = await tenant_of(context, key)
    if found is None:
        raise Fault("NOT_FOUND", f"there is no tenant {key[:64]!r} for this credential")
    return found.record


async def still_watched(context: Context, key: str) -> TenantRecord:
    """The same in the middle of a stream: it waits for a database that is away."""
    while True:
        try:
            return await watched(context, key)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
            log.info("a stream waits for the database", why=repr(error))
            await asyncio.sleep(RETRY_SECONDS)
            context.renew()


def check_keys(context: Context, record: TenantRecord, keys: list[str] | None) -> None:
    """Refuse keys of balances the tenant does not have."""
    if keys is None:
        return
    span = period(record.zone, context.now)
    known = [
        each.key for each in standing_of(context.catalogue, record).balances(span, context.now)
    ]
    wrong = [key for key in keys if key not in known]
    if wrong or not keys:
        what = f"{wrong[0][:64]!r} is no balance of this tenant" if wrong else "`keys` is empty"
        raise Fault("BAD_USER_INPUT", f"{what}: it has {', '.join(known)}")
