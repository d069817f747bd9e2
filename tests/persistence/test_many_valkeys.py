"""Valkey stays open to be many: with replicas, and as a cluster.

The keys of one script are of one slot, a script touches no other, and what it publishes is heard
wherever somebody listens. What is tried on the cluster is what a process really sent to Valkey.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

import persistence
from api.gate import Gate
from api.metrics import Metrics
from api.rates import Rates
from api.rights import ALL_SCOPES, Principal
from domain.holds import Hold, number_of
from domain.periods import DAY, period
from domain.sums import Bounds
from persistence import held, rebuild
from persistence.held import Item
from persistence.hub import Hub
from persistence.live import Asked, Live
from persistence.open_holds import listed
from persistence.sweep import Sweep
from persistence.valkey import Script, client, run
from tests.persistence.traffic import TENANTS, arrive, settle_in
from tests.persistence.valkeys import SLOTS, clustered, replicated
from tests.scenarios.world import World

SEED, EVENTS = 5, 80
PATIENCE_SECONDS = 40.0

#: Commands of our scripts of which every argument is a key, and those of which the first one is.
ALL_KEYS = {"DEL"}
ONE_KEY = {
    "EXPIRE", "GET", "HDEL", "HGET", "HGETALL", "HINCRBY", "HMGET", "HSET", "PEXPIRE", "SADD",
    "SCARD", "SET", "SMEMBERS", "SREM", "TTL", "ZADD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE",
    "ZRANK", "ZREM", "ZREMRANGEBYSCORE",
}  # fmt: skip


@dataclass(slots=True)
class Sent:
    """One call of a script, and what the script then did."""

    digest: str
    keys: list[bytes]
    arguments: list[bytes]
    inside: list[list[bytes]] = field(default_factory=list)


def scripts() -> dict[str, Script]:
    """Every script there is, by its digest."""
    names = [found.name for found in pkgutil.walk_packages(persistence.__path__, "persistence.")]
    modules = map(importlib.import_module, names)
    found = [each for module in modules for each in vars(module).values()]
    return {each.digest: each for each in found if isinstance(each, Script)}


@asynccontextmanager
async def overheard(redis_url: str) -> AsyncIterator[list[Sent]]:
    """What is sent to Valkey while it lasts, as Valkey tells it; complete behind the end."""
    place, _, number = redis_url.removeprefix("unix://").partition("?db=")
    reader, writer = await asyncio.open_unix_connection(place, limit=1 << 24)
    writer.write(b"MONITOR\r\n")
    assert await reader.readline() == b"+OK\r\n"
    sent: list[Sent] = []
    over = asyncio.create_task(_hear(reader, number.encode(), sent))
    try:
        yield sent
        async with client(redis_url) as valkey:
            await valkey.echo("over")
        await asyncio.wait_for(over, PATIENCE_SECONDS)
    finally:
        over.cancel()
        writer.close()


async def _hear(reader: asyncio.StreamReader, number: bytes, sent: list[Sent]) -> None:
    while True:
        line = await reader.readline()
        found = re.match(rb'\+[\d.]+ \[(\d+) (\S+)\] (".*")\r\n', line)
        assert found is not None, line
        if found[1] != number:
            continue
        words = [_unescaped(word) for word in re.findall(rb'"((?:[^"\\]|\\.)*)"', found[3])]
        name = words[0].upper()
        if found[2] == b"lua":
            sent[-1].inside.append(words)
        elif name == b"EVALSHA":
            count = int(words[2])
            keys, arguments = words[3 : 3 + count], words[3 + count :]
            sent.append(Sent(words[1].decode(), keys, arguments))
        elif words == [b"ECHO", b"over"]:
            return


def _unescaped(word: bytes) -> bytes:
    plain = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}

    def one(found: re.Match[bytes]) -> bytes:
        told = found[1]
        return bytes([int(told[1:], 16)]) if told[:1] == b"x" else plain.get(told, told)

    return re.sub(rb"\\(x..|.)", one, word)


async def everything(world: World, valkey: Redis, redis_url: str) -> None:
    """Send to Valkey all that a process ever sends: each script, of small tenants and of large."""
    live = Live(valkey, world.door, world.rebuild)
    sweep = Sweep(valkey, world.door, world.rebuild, world.clock.now)
    hub = Hub(redis_url, world.door, live, world.clock.now)
    await arrive(world, SEED, EVENTS, 20)
    assert await sweep._mine()
    await sweep._sweep()
    for _ in range(2):
        # The second time it is known that their members are spread.
        ids = [record.tenant_id for record in world.tenants.values()]
        await world.rebuild.tenants(ids)
        await sweep._sweep()
        now = world.clock.now()
        await live.counts(
            [
                Asked(tenant_id=one.tenant_id, at=now, period=period(one.zone, now))
                for one in world.tenants.values()
            ]
        )
    tenant = Principal("tenant", ids[0], TENANTS[0], ALL_SCOPES, 1, name="key abc")
    operator = Principal("operator", None, None, ALL_SCOPES, None)
    gate = Gate(None, Rates(valkey, Metrics()), Metrics(), None)  # type: ignore[arg-type]  # it judges nobody
    for who, address in ((tenant, None), (operator, None), (None, "2001:db8::1")):
        await gate.spending(who, address).charge(1)
    await held_and_ended(world, valkey, ids[0])
    hub.start()
    assert await hub.canary.returns(valkey, PATIENCE_SECONDS)
    await hub.stop()


async def held_and_ended(world: World, valkey: Redis, tenant_id: int) -> None:
    """Grant holds, tell of them, list and end them; one expires, and a page goes on behind it."""
    now, share = world.clock.now(), (("left:whatsapp", 1),)
    holds = [
        Hold(number_of(key), now, now + n, now + DAY, 1, share, share, False)
        for n, key in enumerate("abc", start=1)
    ]
    items = [Item(hold, b"", share, (Bounds("left:whatsapp", None, None),), None, True)
             for hold in holds]  # fmt: skip
    seeds = [("count:free:0:24317", 1, 1)]
    await run(
        valkey,
        [
            held.authorize_call(tenant_id, world.door.epoch, now, items, seeds),
            held.tell_call(tenant_id, now),
        ],
    )
    assert [each.key for each in await listed(valkey, tenant_id, now, after=None, limit=9)]
    ended = [held.Ended(holds[1], 1, share, share), held.Ended(holds[2], 1, (), ())]
    await run(valkey, [held.end_call(tenant_id, now, ended)])
    place = (now + 1, held.key_of(holds[0]))
    (last,) = await listed(valkey, tenant_id, now, after=place, limit=9)
    assert last.key == held.key_of(holds[1])
    found = await held.held(valkey, {tenant_id: now + 5})
    assert found[tenant_id].amounts == {"whatsapp": 1}


@pytest.fixture
async def world(
    app_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(rebuild, "SPREAD_ABOVE", 3)
    async with World.open(app_url, redis_url) as world:
        await settle_in(world)
        yield world


@pytest.fixture
async def sent(world: World, redis_url: str) -> list[Sent]:
    async with client(redis_url) as valkey, overheard(redis_url) as sent:
        await everything(world, valkey, redis_url)
    return sent


@asynccontextmanager
async def listening(world: World, url: str) -> AsyncIterator[Hub]:
    """A hub that listens at one Valkey of many, with somebody who watches every tenant."""
    async with AsyncExitStack() as stack:
        valkey = await stack.enter_async_context(client(url))
        hub = Hub(url, world.door, Live(valkey, world.door, world.rebuild), world.clock.now)
        for one in world.tenants.values():
            stack.enter_context(hub.balances.watch(one.tenant_id, one.zone))
        hub.start()
        stack.push_async_callback(hub.stop)
        yield hub


async def heard(hub: Hub, readings: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while hub.heard < readings:  # noqa: ASYNC110 - what is awaited happens in a server
            await asyncio.sleep(0.01)


def test_every_script_touches_one_slot_and_names_what_it_touches(sent: list[Sent]) -> None:
    assert {call.digest for call in sent} == scripts().keys()
    # Of a tenant that is spread each bucket is another slot: there is more than one in all.
    assert len({key_slot(key) for call in sent for key in call.keys}) > 2 * len(TENANTS)
    for call in sent:
        assert len({key_slot(key) for key in call.keys}) <= 1, call
        for name, *words in call.inside:
            command = name.decode().upper()
            if command == "PUBLISH":
                continue
            assert command in ALL_KEYS | ONE_KEY, call
            touched = words if command in ALL_KEYS else words[:1]
            assert set(touched) <= set(call.keys), call


@pytest.mark.slow
async def test_a_cluster_takes_all_that_is_sent_and_is_heard_at_every_node(
    sent: list[Sent], world: World, scratch: Path
) -> None:
    """Each call goes to the node of its keys; one node hears what was published at all three."""
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(clustered(scratch))
        valkeys = [await stack.enter_async_context(client(node.url)) for node in nodes]
        hub = await stack.enter_async_context(listening(world, nodes[-1].url))
        for valkey in valkeys:
            assert await hub.canary.returns(valkey, PATIENCE_SECONDS)
            for script in scripts().values():
                await valkey.script_load(script.text)
        readings: Counter[int] = Counter()
        for call in sent:
            slot = key_slot(call.keys[0]) if call.keys else 0
            place = slot * len(nodes) // SLOTS
            await valkeys[place].evalsha(call.digest, len(call.keys), *call.keys, *call.arguments)
            readings[place] += any(words[1].startswith(b"kuota:readings:") for words in call.inside)
        await heard(hub, readings.total())
        # Some say something here that they had no need to where they were first sent.
        assert hub.heard >= readings.total() > len(TENANTS)


@pytest.mark.slow
async def test_a_replica_hears_what_scripts_publish_at_the_primary(
    app_url: str, scratch: Path
) -> None:
    async with AsyncExitStack() as stack:
        primary, replica = await stack.enter_async_context(replicated(scratch))
        valkey = await stack.enter_async_context(client(primary.url))
        world = await stack.enter_async_context(World.open(app_url, primary.url))
        await settle_in(world)
        hub = await stack.enter_async_context(listening(world, replica.url))
        assert await hub.canary.returns(valkey, PATIENCE_SECONDS)
        await arrive(world, SEED, 20, 5)
        await heard(hub, len(TENANTS))
