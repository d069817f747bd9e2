"""The canary: sent through a real Valkey and heard by the hub, unless the way is broken."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from persistence import keys
from persistence.hub import Hub
from persistence.live import Live
from persistence.servers import Servers
from persistence.valkey import client
from tests.scenarios.world import World
from tests.wire.proxy import Proxy, before

#: More than anything takes here, and all the time that a canary which is lost costs.
PATIENCE, LOST = 15.0, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A hub whose subscription goes over a wire that can be disturbed, and a Valkey at hand."""

    hub: Hub
    valkey: Redis
    wire: Proxy

    async def open(self, seconds: float) -> bool:
        """Whether a canary comes back."""
        return await self.hub.canary.returns(self.valkey, seconds)


@pytest.fixture
async def way(servers: Servers, app_url: str, redis_url: str) -> AsyncIterator[Way]:
    async with AsyncExitStack() as exits:
        world = await exits.enter_async_context(World.open(app_url, redis_url))
        valkey = await exits.enter_async_context(client(redis_url))
        place = (servers.addresses.redis_url or "").removeprefix("unix://")
        wire = await exits.enter_async_context(before(place))
        live = Live(valkey, world.door, world.rebuild)
        hub = Hub(f"redis://127.0.0.1:{wire.port}", world.door, live, world.clock.now)
        hub.start()
        exits.push_async_callback(hub.stop)
        yield Way(hub=hub, valkey=valkey, wire=wire)


async def test_it_comes_back_though_nobody_had_subscribed_yet(way: Way) -> None:
    assert math.isnan(way.hub.canary.seconds)
    assert not way.hub.hearing
    assert await way.open(PATIENCE)
    assert 0 < way.hub.canary.seconds < PATIENCE


async def test_many_who_ask_at_once_share_one_and_nothing_stays(way: Way) -> None:
    assert await way.open(PATIENCE)
    async with way.valkey.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe(keys.CANARY)
        assert await heard.get_message(timeout=PATIENCE) is None  # the acknowledgement
        before_them = set(asyncio.all_tasks())
        assert await asyncio.gather(*(way.open(PATIENCE) for _ in range(200))) == [True] * 200
        # What comes after theirs shows that they had no more.
        await way.valkey.publish(keys.CANARY, "over")
        said = [await heard.get_message(timeout=PATIENCE) for _ in range(2)]
    assert [message["data"] == b"over" for message in said if message] == [False, True]
    assert set(asyncio.all_tasks()) == before_them
    assert await way.valkey.dbsize() == 0


async def test_one_who_goes_away_takes_it_from_nobody(way: Way) -> None:
    async with asyncio.TaskGroup() as group:
        gone, stays = (group.create_task(way.open(PATIENCE)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
    assert gone.cancelled()
    assert stays.result()


async def test_a_subscription_that_says_nothing_and_what_it_says_late(way: Way) -> None:
    """The connection stands, and Valkey answers whoever asks: only the canary tells."""
    assert await way.open(PATIENCE)
    way.wire.stall()
    assert not await way.open(LOST)
    assert await way.valkey.ping()
    assert way.hub.hearing
    way.wire.flow()
    assert await way.open(PATIENCE)


async def test_a_subscription_that_was_cut_and_made_again(way: Way) -> None:
    assert await way.open(PATIENCE)
    await way.wire.cut()
    assert not await way.open(LOST)
    await way.wire.restore()
    assert await way.open(PATIENCE)
    assert way.hub.gaps == 1


async def test_a_valkey_that_takes_none(way: Way) -> None:
    async with client("redis://127.0.0.1:1") as nobody:
        assert not await way.hub.canary.returns(nobody, PATIENCE)
    assert await way.open(PATIENCE)
