"""Several processes and the live feed: one dies, two take turns, and time passes in them alone.

The claim is that of `feed`: watchers end with what a query answers, and both with the sum of what
was answered to the facts. FI-6.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from operator import eq

import pytest

from domain.periods import instant
from persistence.servers import Servers
from tests.conftest import (
    Database,
    Served,
    ServedFactory,
)
from tests.wire.client import Json, connected
from tests.wire.feed import (
    AT,
    Feed,
    Traffic,
    opened_tenants,
    reaching,
    watching,
)
from tests.wire.proxy import before
from tests.wire.traffic import CLOCK

pytestmark = pytest.mark.slow


FeedFactory = Callable[[Served, str], Awaitable[Feed]]


@pytest.fixture
async def feed_of(database: Database) -> AsyncIterator[FeedFactory]:
    """`await feed_of(server, redis_url)` gives the ways to a server on the test's database."""
    async with AsyncExitStack() as stack:

        async def make(server: Served, redis_url: str) -> Feed:
            return await stack.enter_async_context(reaching(server, database.owner_url, redis_url))

        yield make


async def test_a_process_killed_between_commit_and_showing(
    servers: Servers, served: ServedFactory, feed_of: FeedFactory, redis_url: str
) -> None:
    """What it answered is kept, and others find it: for whoever watches, and for Valkey."""
    assert servers.addresses.redis_url is not None
    number = redis_url.rpartition("=")[2]
    # The one that is killed does not sweep: nobody waits until its turn is over.
    other = await served(KUOTA_CLOCK=CLOCK)
    async with before(servers.addresses.redis_url.removeprefix("unix://")) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/{number}"
        killed = await served(KUOTA_REDIS_URL=url, KUOTA_CLOCK=CLOCK)
        feed = await feed_of(other, redis_url)
        told = await opened_tenants(feed.client, "f-1", "f-2")
        traffic = Traffic(told)
        async with watching(other, "f-1") as watcher:
            for tenant in told:
                await traffic.post(feed.client, tenant)
            await feed.agree(told)
            proxy.stall()
            async with connected(killed) as client:
                for tenant in told:
                    await traffic.post(client, tenant)
            await killed.kill()
            await feed.whole(told)
            await feed.agree({"f-1": told["f-1"]}, watcher)
            await feed.agree(told)


async def test_time_alone_turns_a_period_and_ends_a_window(
    served: ServedFactory, feed_of: FeedFactory, redis_url: str
) -> None:
    """FI-6, TZ-1: the month ends in Jakarta and a window its 24 hours later, without any fact."""
    turn = datetime.fromisoformat("2026-10-31T17:00:00Z")
    early = await served(KUOTA_CLOCK="2026-10-31T16:00:00Z")
    feed = await feed_of(early, redis_url)
    told = await opened_tenants(feed.client, "f-3", "f-9", "f-30")
    for tenant in told:
        traffic = Traffic(told, at=turn - timedelta(hours=24, seconds=-1))
        await traffic.post(feed.client, tenant, 2)
    await early.stop()
    # The first that begins in time tells; where starting takes long, that is a later one.
    for tenant in told:
        margin = timedelta(seconds=int(tenant.partition("-")[2]))
        server = await served(KUOTA_CLOCK=(turn - margin).isoformat())
        feed = await feed_of(server, redis_url)
        async with watching(server, tenant) as watcher:
            if told[tenant].agrees(watcher.state(tenant)):
                await watcher.sees(
                    tenant, lambda state: state["live"]["visitors"] == 0, "without visitors"
                )
                await watcher.sees(
                    tenant, lambda state: state["live"]["openWindows"] == 0, "without windows"
                )
                await watcher.sees(tenant, begins_anew, "as it begins anew")
                present = await feed.present(tenant)
                await watcher.sees(tenant, partial(eq, present), str(present))
                assert present["live"] == {
                    "openConversations": 0, "openWindows": 0, "visitors": 0,
                    "availableUsers": watcher.live[tenant]["availableUsers"],
                }  # fmt: skip
                assert watcher.causes[tenant][0] == "SNAPSHOT"
                assert set(watcher.causes[tenant][1:]) == {"TIME"}
                assert await feed.charges(tenant) == told[tenant].charges
                return
        await server.stop()
    raise AssertionError("no process was there before the month ended")


def begins_anew(state: Json) -> bool:
    """Whether every allowance is granted, and nothing is used of it."""
    return all(
        Decimal(each["used"]["value"]) == 0
        and (each["key"] == "whatsapp" or Decimal(each["granted"]["value"]) == 1000)
        for each in state["balances"]
    )


async def test_two_processes_show_the_same_tenants(
    served: ServedFactory, feed_of: FeedFactory, redis_url: str
) -> None:
    """Their commits take turns, and reach Valkey in any order."""
    servers = [await served(KUOTA_CLOCK=CLOCK), await served(KUOTA_CLOCK=CLOCK)]
    feed = await feed_of(servers[0], redis_url)
    await taken_in_turn(feed, servers)


async def test_two_workers_show_the_same_tenants(
    served: ServedFactory, feed_of: FeedFactory, redis_url: str
) -> None:
    server = await served("--workers", "2", KUOTA_CLOCK=CLOCK)
    feed = await feed_of(server, redis_url)
    await taken_in_turn(feed, [server, server])


async def taken_in_turn(feed: Feed, servers: list[Served]) -> None:
    """Facts of the same tenants to all of them at once, and watchers at each."""
    told = await opened_tenants(feed.client, "f-1", "f-2", "f-3")
    async with AsyncExitStack() as stack:
        watchers = [
            await stack.enter_async_context(watching(server, *told))
            for server in servers
            for _ in range(2)
        ]
        async with AsyncExitStack() as flowing:
            for source, server in enumerate(servers):
                traffic = Traffic(told, source)
                await flowing.enter_async_context(traffic.flowing(server))
            await traffic.more(150)
        await feed.agree(told, *watchers)
        await feed.whole(told)


def has_windows(count: int, state: Json) -> bool:
    return bool(state["live"]["openWindows"] == count)


#: Open windows of contacts that nobody else knows of.
CONTACTS = """
insert into contacts (tenant_id, channel, party, number_id, last_at, service_opened_at,
    service_ends_at, conversation_paid, visited)
select tenant_id, 0, '62899' || n, 1, $2, $2, $2 + 86400000000, false, '{}'
from tenants, generate_series(1, $3) n where key = $1"""
MANY = 40_000


async def test_two_processes_make_valkey_whole_of_one_large_tenant(
    served: ServedFactory, feed_of: FeedFactory, redis_url: str
) -> None:
    """Both begin at once, and one of them must come to the end of it."""
    one, other = await served(KUOTA_CLOCK=CLOCK), await served(KUOTA_CLOCK=CLOCK)
    feed = await feed_of(one, redis_url)
    told = await opened_tenants(feed.client, "f-1")
    traffic = Traffic(told)
    await traffic.post(feed.client, "f-1")
    await feed.owner.execute(CONTACTS, "f-1", instant(AT), MANY)
    async with watching(one, "f-1") as here, watching(other, "f-1") as there:
        for count in range(2, 5):
            await feed.valkey.flushdb()
            await traffic.post(feed.client, "f-1")
            for watcher in (here, there):
                await watcher.sees("f-1", partial(has_windows, MANY + count), "exactly")
            await feed.whole(told, windows=MANY)
