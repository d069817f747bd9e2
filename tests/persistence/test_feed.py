"""The feed on a real database and a real Valkey: readings, live counters, and their way back."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis

from domain.figures import figures
from domain.fold import ACTION, FACTS
from domain.holds import Hold, number_of
from domain.periods import DAY, HOUR, MINUTE, iso, period
from domain.reading import Pot, Reading
from persistence import feed, held, keys, rebuild
from persistence.balances import Asked, readings
from persistence.board import Watcher
from persistence.held import Item
from persistence.hub import Hub
from persistence.live import Asked as CountsAsked
from persistence.live import Counts, Live
from persistence.sweep import Sweep
from persistence.valkey import client, run
from tests.persistence.traffic import NOW, TENANTS, TopUp, arrive, settle_in, traffic
from tests.scenarios.world import World

SEED, EVENTS = 5, 130

T = TypeVar("T")


@dataclass
class Feed:
    """One process's way in and its way out."""

    world: World
    valkey: Redis
    live: Live
    hub: Hub
    sweep: Sweep

    def id(self, tenant: str) -> int:
        return self.world.tenants[tenant].tenant_id

    async def reading(self, tenant: str, at: int) -> Reading:
        """What the database says."""
        where = self.world.tenants[tenant].zone
        asked = Asked(tenant_id=self.id(tenant), at=at, period=period(where, at), day=None)
        (found,) = await readings(self.world.door, [asked])
        assert found is not None
        return found

    def asked(self, tenant: str, at: int | None = None) -> CountsAsked:
        at = self.world.clock.now() if at is None else at
        where = self.world.tenants[tenant].zone
        return CountsAsked(tenant_id=self.id(tenant), at=at, period=period(where, at))

    async def counts(self, tenant: str) -> Counts:
        (found,) = await self.live.counts([self.asked(tenant)])
        return found

    async def whole(self, tenant: str) -> bool:
        """Whether Valkey alone can count the tenant, at its present version."""
        asked = self.asked(tenant)
        wanted = {asked.tenant_id: (await self.reading(tenant, asked.at)).version}
        (found,) = await self.live._in_valkey([asked], wanted)
        return isinstance(found, Counts)


@pytest.fixture
async def fed(app_url: str, redis_url: str) -> AsyncIterator[Feed]:
    async with AsyncExitStack() as exits:
        world = await exits.enter_async_context(World.open(app_url, redis_url))
        await settle_in(world)
        valkey = await exits.enter_async_context(client(redis_url))
        live = Live(valkey, world.door, world.rebuild)
        hub = Hub(redis_url, world.door, live, world.clock.now)
        hub.start()
        exits.push_async_callback(hub.stop)
        await until(lambda: _true(hub.hearing))
        yield Feed(world, valkey, live, hub, Sweep(valkey, world.door, world.rebuild, NOW.__int__))


def batched(steps: Iterable[T], size: int) -> Iterator[list[T]]:
    """The steps in lists of `size`."""
    taken = iter(steps)
    while batch := list(islice(taken, size)):
        yield batch


async def _true(value: bool) -> bool:
    return value


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    """Wait for something that happens by itself."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what changes is in a server
            await asyncio.sleep(0.02)


def pots(reading: Reading) -> dict[str, Pot]:
    """The pots in an order of their own."""
    return {
        key: replace(pot, lots=sorted(pot.lots, key=lambda lot: lot.lot_id))
        for key, pot in reading.pots.items()
    }


async def test_what_is_published_is_what_the_database_says(fed: Feed) -> None:
    """A lane tells each reading from memory: lots, their use before and within the period, with
    late facts, top-ups dated back and a month's end in between."""
    wanted = {fed.id(tenant): tenant for tenant in TENANTS}
    compared = 0
    last: dict[int, Reading] = {}
    async with fed.valkey.pubsub() as heard:
        await heard.psubscribe("kuota:readings:*")
        await heard.get_message(timeout=5)  # the acknowledgement
        for turn, steps in enumerate(batched(traffic(SEED, 360), 12)):
            # The clock runs over a month's end while traffic from before it still comes.
            fed.world.clock.at = NOW + turn * 28 * HOUR
            for step in steps:
                if isinstance(step, TopUp):
                    await step.make(fed.world)
            await fed.world.send([step for step in steps if not isinstance(step, TopUp)])
            for tenant_id, name in wanted.items():
                version = (await fed.reading(name, fed.world.clock.now())).version
                while version > (last[tenant_id].version if tenant_id in last else 0):
                    message = await heard.get_message(ignore_subscribe_messages=True, timeout=5)
                    assert message is not None, "every version is published, or one after it"
                    found = feed.decode(message["data"], wanted)
                    assert found is not None
                    assert found.reading is not None
                    last[found.tenant_id] = found.reading
            for tenant_id, reading in last.items():
                told = await fed.reading(wanted[tenant_id], reading.at)
                if told.version == reading.version:
                    compared += 1
                    found_held = replace(reading, pots=pots(reading), held_at=0)
                    assert found_held == replace(told, pots=pots(told))
    assert compared > 40


async def test_valkey_holds_what_is_left_of_each_balance(fed: Feed) -> None:
    """For the question before a send: epoch, version, valid_until, and micros per balance."""
    await arrive(fed.world, SEED, EVENTS, 20)
    for tenant in TENANTS:
        reading = await fed.reading(tenant, fed.world.clock.now())
        key = keys.balances(fed.id(tenant))
        await until(lambda key=key, reading=reading: shows(fed.valkey, key, reading.version))  # type: ignore[misc]
        found: dict[Any, Any] = await fed.valkey.hgetall(key)
        stored = {k.decode(): v.decode() for k, v in found.items() if not k.startswith(b"low:")}

        plan, since = fed.world.plan(tenant), fed.world.tenants[tenant].since
        at = int(stored["at"])
        left = {
            f"left:{balance.key}": str(
                figures(
                    balance, reading.period, at, reading.pots[balance.key].lots, since=since
                ).total.remaining
            )
            for balance in plan.balances
        }
        assert stored == {
            "epoch": fed.world.door.epoch,
            "version": str(reading.version),
            "at": stored["at"],
            "valid_until": str((await fed.reading(tenant, at)).valid_until),
            **left,
        }


async def shows(valkey: Redis, key: str, version: int) -> bool:
    return await valkey.hget(key, "version") == str(version).encode()


async def test_live_counters_are_those_of_the_contacts(fed: Feed) -> None:
    """Whether Valkey counts or PostgreSQL: the same figures, at any instant."""
    await arrive(fed.world, SEED, EVENTS, 20)
    for tenant in TENANTS:
        await until(lambda tenant=tenant: fed.whole(tenant))  # type: ignore[misc]
        for at in (NOW, NOW + HOUR, NOW + 7 * HOUR, NOW + 20 * HOUR, NOW + 2 * DAY):
            asked = fed.asked(tenant, at)
            (counted,) = await fed.live.counts([asked])
            (exact,) = await fed.live._in_postgres([asked])

            assert replace(counted, seated=None) == exact
    assert fed.live.counted_in_postgres == 0


async def test_every_key_is_declared(fed: Feed) -> None:
    """What `persistence.keys` does not know of is not in Valkey."""
    await arrive(fed.world, SEED, EVENTS, 20)
    await fed.sweep._mine()
    await fed.sweep._sweep()
    await until(lambda: fed.whole(TENANTS[0]))
    await set_aside(fed, TENANTS[0], own_hold(fed, 1, "a"))

    found: set[str] = set()
    async for name in fed.valkey.scan_iter():
        kind = (await fed.valkey.type(name)).decode()
        known = [
            key
            for key in keys.ALL
            if fnmatch.fnmatch(name.decode(), key.pattern) and key.type == kind
        ]
        assert known, f"{name!r}, a {kind}, is not declared"
        found.update(key.pattern for key in known)
    assert {keys.HELD.pattern, keys.HOLDS.pattern, keys.ENDS.pattern} <= found
    assert {keys.BALANCES.pattern, keys.LIVE.pattern, keys.WINDOWS.pattern} <= found


async def test_a_flushed_valkey_is_right_at_once_and_whole_soon(fed: Feed) -> None:
    await arrive(fed.world, SEED, EVENTS, 20)
    before = [await fed.counts(tenant) for tenant in TENANTS]
    await fed.valkey.flushdb()

    at_once = [await fed.counts(tenant) for tenant in TENANTS]

    assert at_once == before
    for tenant in TENANTS:
        await until(lambda tenant=tenant: fed.whole(tenant))  # type: ignore[misc]
        key = keys.balances(fed.id(tenant))
        version = (await fed.reading(tenant, NOW)).version
        await until(lambda key=key, version=version: shows(fed.valkey, key, version))  # type: ignore[misc]


async def test_the_sweep_brings_everybody_back(fed: Feed) -> None:
    """A Valkey without the mark has lost what it had: nobody needs to ask first."""
    await arrive(fed.world, SEED, EVENTS, 20)
    await fed.valkey.flushdb()

    assert await fed.sweep._mine()
    await fed.sweep._sweep()

    for tenant in TENANTS:
        assert await fed.whole(tenant)
    assert await fed.valkey.get("kuota:swept") == f"{fed.world.door.epoch} {NOW}".encode()


async def test_the_sweep_finds_what_was_never_shown(fed: Feed) -> None:
    """A process that died between commit and publish leaves a version that nobody showed."""
    await arrive(fed.world, SEED, EVENTS, 20)
    await fed.sweep._sweep()
    for tenant in TENANTS:
        await until(lambda tenant=tenant: fed.whole(tenant))  # type: ignore[misc]
    await fed.world.show.stop()
    await arrive(fed.world, SEED + 1, 40, 20)
    unshown = [tenant for tenant in TENANTS if not await fed.whole(tenant)]

    await fed.sweep._sweep()

    assert unshown == list(TENANTS)
    for tenant in TENANTS:
        await until(lambda tenant=tenant: fed.whole(tenant))  # type: ignore[misc]
    assert fed.sweep.found == 3


async def test_one_process_sweeps_at_a_time(fed: Feed) -> None:
    other = Sweep(fed.valkey, fed.world.door, fed.world.rebuild, lambda: NOW)

    assert (await fed.sweep._mine(), await other._mine(), await fed.sweep._mine()) == (
        True, False, True,
    )  # fmt: skip


async def test_a_large_tenant_is_spread_over_buckets(
    fed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its visitors pass the limit; commits go on, and the counters stay right."""
    tenant = TENANTS[0]
    await arrive(fed.world, SEED, EVENTS, 20)
    monkeypatch.setattr(rebuild, "SPREAD_ABOVE", 2)
    fed.world.rebuild.soon([fed.id(tenant)])
    await until(lambda: _true(fed.world.rebuild.buckets.get(fed.id(tenant)) == 8))
    await until(lambda: fed.whole(tenant))
    await arrive(fed.world, SEED + 1, 120, 20)

    (exact,) = await fed.live._in_postgres([fed.asked(tenant)])
    await until(lambda: fed.whole(tenant))
    assert replace(await fed.counts(tenant), seated=None) == exact
    assert await fed.valkey.exists(*(k[0] for k in (
        keys.bucket(fed.id(tenant), bucket, 0) for bucket in range(8)))) == 8  # fmt: skip


async def seen(watcher: Watcher[Reading]) -> Reading:
    return (await asyncio.wait_for(watcher.news(), 10)).state


async def test_a_watcher_hears_of_facts_and_of_what_people_do(fed: Feed) -> None:
    tenant = TENANTS[1]
    where = fed.world.tenants[tenant].zone
    with fed.hub.balances.watch(fed.id(tenant), where) as watcher:
        first = await seen(watcher)
        await fed.world.send([event(tenant, "1", "message.received")])
        of_facts = await seen(watcher)
        await fed.world.top_up(tenant, "whatsapp", 5_000_000, key="k")
        of_action = await seen(watcher)

    assert [r.version for r in (first, of_facts, of_action)] == [0, 1, 2]
    assert (of_facts.cause, of_action.cause) == (FACTS, ACTION)


async def test_a_window_that_ends_by_itself_is_told(fed: Feed) -> None:
    """FI-6: without a fact, once its end has come."""
    tenant = TENANTS[1]
    where = fed.world.tenants[tenant].zone
    await fed.world.send([event(tenant, "1", "message.received")])
    with fed.hub.usage.watch(fed.id(tenant), where) as watcher:
        before = (await asyncio.wait_for(watcher.news(), 10)).state
        fed.world.clock.at = before.valid_until - 1
        fed.hub.usage.look(fed.world.clock.now())
        fed.world.clock.at = before.valid_until
        after = (await asyncio.wait_for(watcher.news(), 10)).state

    assert before.valid_until == NOW + DAY
    assert (before.windows, after.windows) == (1, 0)
    assert (before.visitors, after.visitors) == (1, 1)


async def test_the_month_turns_without_a_fact(fed: Feed) -> None:
    """BA-3: what a watcher sees is the new period, whether a job has run or not."""
    tenant = TENANTS[1]
    where = fed.world.tenants[tenant].zone
    await fed.world.send([event(tenant, "1", "message.received")])
    with (
        fed.hub.balances.watch(fed.id(tenant), where) as balances,
        fed.hub.usage.watch(fed.id(tenant), where) as usage,
    ):
        before = await seen(balances)
        visitors = (await asyncio.wait_for(usage.news(), 10)).state.visitors
        fed.world.clock.at = before.period.end
        after = await seen(balances)
        counts = (await asyncio.wait_for(usage.news(), 10)).state

    assert (after.version, after.period.start) == (before.version, before.period.end)
    assert (visitors, counts.visitors) == (1, 0)


async def test_a_watcher_sees_the_month_of_another_zone(fed: Feed) -> None:
    """TZ-3: who watches since before the change was agreed is given the tenant's new months."""
    tenant = TENANTS[1]
    where = fed.world.tenants[tenant].zone
    await fed.world.send([event(tenant, "1", "message.received")])
    with (
        fed.hub.balances.watch(fed.id(tenant), where) as balances,
        fed.hub.usage.watch(fed.id(tenant), where) as usage,
    ):
        before = await seen(balances)
        assert (await asyncio.wait_for(usage.news(), 10)).state.visitors == 1
        await fed.world.change_zone(tenant, "Asia/Jakarta", key="z")
        after = fed.world.tenants[tenant].zone
        of_balances = fed.hub.balances._watched[fed.id(tenant)]
        of_usage = fed.hub.usage._watched[fed.id(tenant)]
        await until(lambda: _true(of_balances.zone is of_usage.zone is after))
        for _ in range(2):
            fed.world.clock.at = before.period.end
            turned = await seen(balances)
            while turned.at < fed.world.clock.at:
                turned = await seen(balances)
            assert turned.period == period(after, before.period.end)
            before = turned
        counts = (await asyncio.wait_for(usage.news(), 10)).state
        while counts.at < fed.world.clock.at:
            counts = (await asyncio.wait_for(usage.news(), 10)).state

    assert turned.period.start < where.next_month(where.next_month(NOW))
    assert (counts.visitors, counts.valid_until) == (0, turned.period.end)


async def test_without_valkey_a_watcher_hears_through_the_heads(app_url: str, fed: Feed) -> None:
    """Valkey only makes the feed fast."""
    tenant = TENANTS[2]
    where = fed.world.tenants[tenant].zone
    nowhere = "redis://127.0.0.1:1"
    async with client(nowhere) as away:
        live = Live(away, fed.world.door, fed.world.rebuild)
        hub = Hub(nowhere, fed.world.door, live, fed.world.clock.now)
        hub.start()
        try:
            with (
                hub.balances.watch(fed.id(tenant), where) as balances,
                hub.usage.watch(fed.id(tenant), where) as usage,
            ):
                await seen(balances)
                await asyncio.wait_for(usage.news(), 10)
                await fed.world.send([event(tenant, "1", "message.received")])
                reading = await seen(balances)
                counts = (await asyncio.wait_for(usage.news(), 10)).state
        finally:
            await hub.stop()

    assert reading.version == 1
    assert (counts.windows, counts.visitors) == (1, 1)


def own_hold(fed: Feed, amount: int, key: str, lasts: int = 10 * MINUTE) -> Hold:
    """A hold of money, granted now."""
    now, share = fed.world.clock.now(), (("left:whatsapp", amount),)
    return Hold(number_of(key), now, now + lasts, now + DAY, 1, share, share, False)


async def set_aside(fed: Feed, tenant: str, *holds: Hold) -> None:
    """Grant holds, and tell who watches."""
    tenant_id, now = fed.id(tenant), fed.world.clock.now()
    key = keys.balances(tenant_id)
    if not await fed.valkey.exists(key):
        await fed.world.rebuild.tenants([tenant_id])
    items = [Item(hold, b"", hold.total, (), None, True) for hold in holds]
    calls = [
        held.authorize_call(tenant_id, fed.world.door.epoch, now, items),
        held.tell_call(tenant_id, now),
    ]
    answer, _ = await run(fed.valkey, calls)
    assert held.decided(answer).results == [1] * len(holds)


async def held_now(watcher: Watcher[Reading], amount: int) -> Reading:
    """The next reading that has so much set aside."""
    while (reading := await seen(watcher)).pots["whatsapp"].held != amount:
        pass
    return reading


async def test_a_watcher_hears_of_holds_without_a_commit(fed: Feed) -> None:
    """OC-2: when something is set aside, given back, and when a hold expires by itself."""
    tenant = TENANTS[1]
    with fed.hub.balances.watch(fed.id(tenant), fed.world.tenants[tenant].zone) as watcher:
        before = await held_now(watcher, 0)
        first, second = own_hold(fed, 300, "a"), own_hold(fed, 7, "b", MINUTE)
        await set_aside(fed, tenant, first, second)
        both = await held_now(watcher, 307)
        await fed.world.send([event(tenant, "1", "message.received")])
        of_facts = await held_now(watcher, 307)
        ended = held.Ended(first, 1, (), ())
        await run(fed.valkey, [held.end_call(fed.id(tenant), fed.world.clock.now(), [ended])])
        given_back = await held_now(watcher, 7)
        fed.world.clock.at = second.expires_at
        expired = await held_now(watcher, 0)

    assert [each.version for each in (before, both, of_facts, given_back, expired)] == [
        0, 0, 1, 1, 1,
    ]  # fmt: skip
    assert before.at < both.at <= of_facts.at < given_back.at < expired.at
    assert (both.held_until, expired.held_until) == (second.expires_at, None)


async def test_a_valkey_that_lost_its_holds_is_heard_of(fed: Feed) -> None:
    """Nothing is counted by anybody then, and nobody goes on showing it."""
    tenant = TENANTS[1]
    with fed.hub.balances.watch(fed.id(tenant), fed.world.tenants[tenant].zone) as watcher:
        await set_aside(fed, tenant, own_hold(fed, 300, "a"))
        await held_now(watcher, 300)
        await fed.valkey.flushdb()
        fed.world.clock.at += MINUTE
        await fed.world.rebuild.tenants([fed.id(tenant)])

        await held_now(watcher, 0)


async def test_what_was_read_without_holds_is_read_again_with_them(
    fed: Feed, redis_url: str
) -> None:
    """A Valkey that did not answer a reader while the subscription stood."""
    tenant = TENANTS[1]
    await set_aside(fed, tenant, own_hold(fed, 300, "a"))
    fed.live.holds._rest()
    with fed.hub.balances.watch(fed.id(tenant), fed.world.tenants[tenant].zone) as watcher:
        first = await seen(watcher)
        then = await held_now(watcher, 300)

    assert (first.pots["whatsapp"].held, first.held_at) == (0, 0)
    assert then.held_until == NOW + 10 * MINUTE


async def test_a_hub_ends_at_whatever_step_it_is(fed: Feed, redis_url: str) -> None:
    """A cancellation that comes just as a command was sent to Valkey is heeded as any other."""
    tenant = TENANTS[1]
    where = fed.world.tenants[tenant].zone
    await fed.world.send([event(tenant, "1", "message.received")])
    await until(lambda: fed.whole(tenant))
    for steps in range(24):
        hub = Hub(redis_url, fed.world.door, fed.live, fed.world.clock.now)
        hub.start()
        with hub.usage.watch(fed.id(tenant), where) as watcher:
            await asyncio.wait_for(watcher.news(), 10)
            hub.usage.want(fed.id(tenant), 1)
            for _ in range(steps):
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await hub.stop()


def event(tenant: str, id: str, type: str, minutes: int = 0) -> dict[str, object]:

    data = {"number": "+62800000001", "contact": "+6281100000099"}
    return {"id": id, "source": "feed", "type": type, "subject": tenant,
            "time": iso(NOW + minutes * MINUTE), "data": data}  # fmt: skip
