"""The live feed under trouble: whatever dies or stalls, watchers end with the right figures.

Everywhere the same is claimed once traffic is over: each watcher's last state is what a query
answers and the sum of what was answered to the facts, no version went back, no fact was refused
and no charge changed. FI-1, FI-6.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from persistence.buckets import APPLY
from persistence.servers import Servers, running
from tests.conftest import (
    OPERATOR_KEY,
    Database,
    Served,
    ServedFactory,
    named,
    numbers,
    on,
    run_served,
)
from tests.wire.client import Json, connected, operate
from tests.wire.feed import (
    SOON_SECONDS,
    Feed,
    Told,
    Traffic,
    opened_tenants,
    reaching,
    soon,
    watching,
)
from tests.wire.proxy import Proxy, before
from tests.wire.traffic import CLOCK

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """A served process whose way to Valkey leads through a proxy."""

    feed: Feed
    proxy: Proxy

    @property
    def server(self) -> Served:
        return self.feed.server

    async def tenants(self, *keys: str) -> dict[str, Told]:
        return await opened_tenants(self.feed.client, *keys)


@pytest.fixture(scope="module")
async def standing(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Wired]:
    """The process some of these tests share; it must end with 0 and without a traceback."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    assert addresses.redis_url is not None
    name, place = f"test_{next(numbers)}", 1 + next(numbers) % 63
    owner_url, redis_url = named(addresses.owner_url, name), f"{addresses.redis_url}?db={place}"
    await on(addresses.owner_url, f"create database {name} template {template}")
    async with before(addresses.redis_url.removeprefix("unix://")) as proxy:
        server = await run_served(
            variables={
                "KUOTA_DATABASE_URL": named(addresses.app_url, name),
                "KUOTA_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/{place}",
                "KUOTA_OPERATOR_KEY": OPERATOR_KEY,
                "KUOTA_CLOCK": CLOCK,
            },
            errors=tmp_path_factory.mktemp("feed") / "served.log",
        )
        async with reaching(server, owner_url, redis_url) as feed:
            try:
                yield Wired(feed=feed, proxy=proxy)
            finally:
                await server.stop()
                await feed.valkey.flushdb()
    await on(addresses.owner_url, f"drop database if exists {name} with (force)")


@pytest.fixture
async def wired(standing: Wired) -> Wired:
    """The shared process, on an undisturbed wire."""
    if not standing.proxy.open:
        await standing.proxy.restore()
    standing.proxy.flow()
    return standing


async def test_valkey_flushed_again_and_again_under_load(wired: Wired) -> None:
    """All that Valkey holds is lost eight times: nobody is told anything wrong, and it fills."""
    told = await wired.tenants("f-1", "f-2", "f-3")
    traffic = Traffic(told)
    async with watching(wired.server, *told) as one, watching(wired.server, *told) as other:
        async with traffic.flowing(wired.server):
            for _ in range(8):
                await wired.feed.valkey.flushdb()
                await traffic.more(40)
        await wired.feed.agree(told, one, other)
        await wired.feed.whole(told)


async def test_facts_do_not_wait_for_a_valkey_that_stalls(wired: Wired) -> None:
    """It takes connections and answers nothing: facts are answered, watchers told, all the same."""
    told = await wired.tenants("f-11", "f-12")
    traffic = Traffic(told)
    gaps = await wired.feed.gaps()
    async with watching(wired.server, *told) as watcher:
        async with traffic.flowing(wired.server):
            wired.proxy.stall()
            await traffic.more(60)
        await wired.feed.agree(told, watcher)
        # It goes on saying nothing, until its subscription is given up.
        await soon(wired.feed.gaps, lambda now: now > gaps, "the subscription stands")
        async with traffic.flowing(wired.server):
            await traffic.more(20)
            wired.proxy.flow()
            await traffic.more(60)
        await wired.feed.agree(told, watcher)
        await wired.feed.whole(told)


async def test_watchers_come_and_go_on_while_valkey_is_cut_off(wired: Wired) -> None:
    """Connections are reset and refused: PostgreSQL alone keeps everybody right."""
    told = await wired.tenants("f-21", "f-22")
    traffic = Traffic(told)
    async with watching(wired.server, *told) as watcher:
        async with traffic.flowing(wired.server):
            await wired.proxy.cut()
            await traffic.more(60)
        async with watching(wired.server, *told) as late:
            await wired.feed.agree(told, watcher, late)
            for tenant in told:
                await traffic.post(wired.feed.client, tenant)
            await wired.feed.agree(told, watcher, late)
            assert late.causes["f-21"][0] == "SNAPSHOT"
            async with traffic.flowing(wired.server):
                await wired.proxy.restore()
                await traffic.more(40)
            await wired.feed.agree(told, watcher, late)
        await wired.feed.whole(told)


@pytest.mark.parametrize("count", range(1, 9))
async def test_the_wire_breaks_after_any_value_of_a_showing(wired: Wired, count: int) -> None:
    """Two commands, their answers, what is published, a count and its answer, and then nothing."""
    told = await wired.tenants(f"f-{100 + count}")
    traffic = Traffic(told)
    (tenant,) = told
    async with watching(wired.server, tenant) as watcher:
        await traffic.post(wired.feed.client, tenant)
        await wired.feed.agree(told, watcher)
        broken = wired.proxy.break_after(count, APPLY.digest.encode())
        await traffic.post(wired.feed.client, tenant)
        async with asyncio.timeout(SOON_SECONDS):
            await broken.done.wait()
        await wired.feed.agree(told, watcher)
        await wired.feed.whole(told)


async def test_valkey_killed_and_started_again_empty(
    served: ServedFactory, database: Database, scratch: Path
) -> None:
    """SIGKILL under load, twice."""
    with Servers(scratch / "feed-valkey", postgres=False) as own:
        assert own.addresses.redis_url is not None
        server = await served(KUOTA_REDIS_URL=own.addresses.redis_url, KUOTA_CLOCK=CLOCK)
        async with reaching(server, database.owner_url, own.addresses.redis_url) as feed:
            told = await opened_tenants(feed.client, "f-1", "f-2")
            traffic = Traffic(told)
            async with watching(server, *told) as watcher:
                async with traffic.flowing(server):
                    killed: int | None = None
                    for _ in range(2):
                        # Facts do not wait for it, so it may not have been started again yet.
                        killed = await another(own, killed)
                        os.kill(killed, signal.SIGKILL)
                        await traffic.more(60)
                await feed.agree(told, watcher)
                await feed.whole(told)
        await server.stop()


async def another(own: Servers, killed: int | None) -> int:
    """The process of Valkey, once it is not the one that was killed."""

    async def pid() -> int | None:
        (present,) = own.pids
        return present

    found = await soon(pid, lambda now: now not in (None, killed), "Valkey is not started again")
    assert found is not None
    return found


async def test_postgres_restarted_while_watched(data: Path, tmp_path: Path) -> None:
    """Sockets stay open over it, and what is committed afterwards arrives on them."""
    server = await run_served(
        *("--data", str(data)),
        variables={"KUOTA_OPERATOR_KEY": OPERATOR_KEY, "KUOTA_CLOCK": CLOCK},
        errors=tmp_path / "served.log",
    )
    try:
        own = running(data)
        assert own is not None
        addresses = own.addresses
        assert addresses.owner_url is not None
        assert addresses.redis_url is not None
        async with connected(server) as client:
            told = await opened_tenants(client, "f-1", "f-2")
        traffic = Traffic(told)
        async with watching(server, *told) as watcher:
            async with traffic.flowing(server):
                await traffic.more(20)
                postmaster = int((data / "postgres" / "postmaster.pid").read_text().split()[0])
                os.kill(postmaster, signal.SIGKILL)
                await traffic.more(60)
            async with reaching(server, addresses.owner_url, addresses.redis_url) as feed:
                await feed.agree(told, watcher)
                for tenant in told:
                    await traffic.post(feed.client, tenant)
                await feed.agree(told, watcher)
                await feed.whole(told)
        await server.stop()
    except BaseException:
        if server.process.returncode is None:
            await server.kill()
        raise


async def test_a_tenant_watched_from_its_first_fact_on(wired: Wired) -> None:
    """A tenant without any commit has states; its first fact and a top-up change them."""
    told = await wired.tenants("f-31")
    async with watching(wired.server, "f-31") as watcher:
        assert told["f-31"].agrees(watcher.state("f-31"))
        await Traffic(told).post(wired.feed.client, "f-31")
        await wired.feed.agree(told, watcher)
        await operate(
            wired.feed.client, "topUpCreate", "topUp { id }", tenant="f-31", balance="whatsapp",
            amount="1000", idempotencyKey="first",
        )  # fmt: skip
        await watcher.sees("f-31", topped_up, "topped up")
        await wired.feed.agree(told, watcher)
        assert watcher.causes["f-31"] == ["SNAPSHOT", "FACTS", "ACTION"]


def topped_up(state: Json) -> bool:
    return any(Decimal(each["toppedUp"]["value"]) == 1000 for each in state["balances"])
