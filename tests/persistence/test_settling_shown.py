"""What a settling took away is counted no more, and watchers hear of it once (EV-10, FI-6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from api.settling import Cause, Settling
from domain.fold import FACTS, SETTLED
from domain.periods import DAY, HOUR, period
from domain.reading import Reading
from persistence.board import Watcher
from persistence.buckets import ABANDONED, DONE, Counted, begin_calls
from persistence.hub import Hub
from persistence.live import Asked, Counts, Live
from persistence.sweep import Sweep
from persistence.valkey import client, run
from tests.persistence.test_buckets import EPOCH, MONTH, NOW, Row, apply, count, tenants
from tests.persistence.test_settling_at_once import ACME, TEN, arrive, late, outbound
from tests.scenarios.world import World


@pytest.fixture
async def valkey(redis_url: str) -> AsyncIterator[Redis]:
    async with client(redis_url) as valkey:
        yield valkey


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    async with World.open(app_url, redis_url) as world:
        world.clock.at = TEN
        await world.tenant(ACME)
        await world.number(ACME, "wa", "whatsapp", "+62 800 0000 01")
        yield world


def settling(world: World, *, shown: bool = True) -> Settling:
    show = world.show if shown else None
    return Settling(world.door, world.catalogue, world.clock.now, show)


async def counts(world: World, live: Live) -> Counts:
    owner, now = world.tenants[ACME], world.clock.now()
    asked = Asked(tenant_id=owner.tenant_id, at=now, period=period(owner.zone, now))
    (found,) = await live.counts([asked])
    return found


async def counted_by_valkey(world: World, live: Live) -> Counts:
    """The counters as soon as Valkey alone can give them."""
    async with asyncio.timeout(15):
        while True:
            before = live.counted_in_postgres
            found = await counts(world, live)
            if live.counted_in_postgres == before:
                return found
            await asyncio.sleep(0.05)


async def joined(world: World) -> None:
    """Two answers; the late one opens a conversation that covers the other, and ends before now."""
    await arrive(world, outbound(1, TEN))
    world.clock.at = TEN + 2 * HOUR
    await arrive(world, outbound(2, TEN - 23 * HOUR))


async def test_a_conversation_that_is_no_longer_there_is_counted_no_more(
    world: World, valkey: Redis
) -> None:
    """EV-9, FI-6: by PostgreSQL at once, and by Valkey as soon as its sets were made anew."""
    live = Live(valkey, world.door, world.rebuild)
    await joined(world)
    before = await counted_by_valkey(world, live)
    assert before.conversations == 1

    settled = await settling(world).settle(world.tenants[ACME].tenant_id, Cause.DEMAND)

    assert settled.corrected == 2
    assert (await counts(world, live)).conversations == 0
    after = await counted_by_valkey(world, live)
    assert (after.conversations, after.version) == (0, before.version + 1)
    await arrive(world, outbound(3, world.clock.at))
    assert (await counted_by_valkey(world, live)).conversations == 1


async def test_what_was_settled_without_showing_it_is_found(world: World, valkey: Redis) -> None:
    """EV-10: a command that settles, or a process that ends behind its commit."""
    live = Live(valkey, world.door, world.rebuild)
    await joined(world)
    assert (await counted_by_valkey(world, live)).conversations == 1

    await settling(world, shown=False).settle(world.tenants[ACME].tenant_id, Cause.DEMAND)

    sweep = Sweep(valkey, world.door, world.rebuild, world.clock.now)
    sweep.start()
    found = await counted_by_valkey(world, live)
    await sweep.stop()
    assert found.conversations == 0


async def test_what_moves_no_window_leaves_the_sets_alone(world: World, valkey: Redis) -> None:
    """A settling that only pays otherwise is one more version of the same sets."""
    live = Live(valkey, world.door, world.rebuild)
    await arrive(world, outbound(1, TEN))
    before = await counted_by_valkey(world, live)
    await world.top_up(ACME, "conversations", 5_000_000, key="a", starts_at=TEN - DAY)

    settled = await settling(world).settle(world.tenants[ACME].tenant_id, Cause.DEMAND)

    rebuilt = world.rebuild.rebuilt
    after = await counted_by_valkey(world, live)
    assert settled.corrected == 0
    assert (after.conversations, world.rebuild.rebuilt) == (before.conversations, rebuilt)


async def heard(watcher: Watcher[Reading], version: int) -> Reading:
    """The first reading of a version or a later one."""
    async with asyncio.timeout(15):
        while (reading := (await watcher.news()).state).version < version:
            pass
    return reading


async def test_a_watcher_hears_of_a_settling_once(
    world: World, valkey: Redis, redis_url: str
) -> None:
    """EV-10, AL-5: one reading with all that it posted, by its own cause."""
    hub = Hub(redis_url, world.door, Live(valkey, world.door, world.rebuild), world.clock.now)
    hub.start()
    await late(world)
    version, owner = (await world.reading(ACME)).version, world.tenants[ACME]
    with hub.balances.watch(owner.tenant_id, owner.zone) as watcher:
        before = await heard(watcher, version)

        await settling(world).settle(owner.tenant_id, Cause.DEMAND)

        settled = await heard(watcher, version + 1)
        await arrive(world, outbound(200, world.clock.at, contact=77))
        following = await heard(watcher, version + 2)
    await hub.stop()
    assert [each.cause for each in (before, settled, following)] == [FACTS, SETTLED, FACTS]
    assert [each.version - version for each in (before, settled, following)] == [0, 1, 2]


async def begin(valkey: Redis, tenant: int, token: str, settled: int) -> None:
    await run(valkey, begin_calls(tenant, EPOCH, 1, MONTH, token, None, settled))


async def test_sets_forget_what_was_there_before_a_settling(valkey: Redis) -> None:
    """What is in them from before a settling goes when they are begun anew, and not otherwise."""
    tenant = next(tenants)
    rows = [Row(party, (NOW, NOW + DAY), None, True) for party in "ab"]
    await apply(valkey, tenant, rows, versions=[1, 2])
    await begin(valkey, tenant, "t", 0)
    await apply(valkey, tenant, rows[:1], token="t", base=2)
    assert await count(valkey, tenant) == Counted(2, 0, 2, 2, NOW + DAY)

    await begin(valkey, tenant, "u", 3)
    assert await apply(valkey, tenant, rows[:1], token="u", base=3) == DONE

    assert await count(valkey, tenant) == Counted(3, 0, 1, 1, NOW + DAY)


async def test_what_comes_from_before_a_settling_is_not_added(valkey: Redis) -> None:
    """A process that shows its commit late brings back nothing; what is mixed is read anew."""
    tenant = next(tenants)
    gone, there = Row("a", (NOW, NOW + DAY), None, True), Row("b", None, None, True)
    await begin(valkey, tenant, "t", 5)
    assert await apply(valkey, tenant, [gone], versions=[4]) == DONE
    assert await apply(valkey, tenant, [gone], versions=[4, 6]) == ABANDONED
    assert await apply(valkey, tenant, [], token="t", base=5) == DONE
    assert await apply(valkey, tenant, [gone], versions=[3, 5]) == DONE
    assert await apply(valkey, tenant, [there], versions=[6]) == DONE

    assert await count(valkey, tenant) == Counted(6, 0, 0, 1, None)
