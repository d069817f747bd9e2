"""A process that ends and another that begins: watchers are let go in turn, and all come back.

FI-6: after it, every watcher's last state is what was answered to the facts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import asyncpg
import httpx2
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.api.sockets import end_of, greet, opened, say, subscribe
from tests.conftest import STOP_SECONDS, Database, Served, ServedFactory, said
from tests.test_serve import free_port
from tests.wire.client import Json, connected, operate, until
from tests.wire.feed import Told, Traffic, opened_tenants
from tests.wire.traffic import CLOCK

pytestmark = pytest.mark.slow

RESTART = 1012
#: Far more than a test may take: only who is asked a second time ends sooner.
FOR_LONG = "3000"

BALANCES = """subscription($tenant: String!, $after: StreamPosition) {
  change: balanceChanged(tenant: $tenant, after: $after) {
    position recovered balances { key used { value } } } }"""


@asynccontextmanager
async def greeted(server: Served, count: int) -> AsyncIterator[list[ClientConnection]]:
    """Sockets that stay open as long as the server lets them."""
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(opened(server.url)) for _ in range(count)]
        for socket in sockets:
            await greet(socket)
        yield sockets


async def refused(server: Served) -> None:
    """Return once nobody new is let in."""

    async def attempt() -> bool:
        try:
            async with connected(server) as client:
                await client.get("/healthz")
        except httpx2.TransportError:
            return True
        return False

    await until(attempt, bool)


async def ended(server: Served, *told: signal.Signals) -> None:
    """Wait for the end of a server, which is clean; it is told so now, or was before."""
    for number in told:
        server.process.send_signal(number)
    code = await asyncio.wait_for(server.process.wait(), STOP_SECONDS)
    assert code == 0, said(server.errors)
    assert "Traceback" not in said(server.errors), said(server.errors)


async def readiness(client: httpx2.AsyncClient) -> tuple[int, str]:
    answer = await client.get("/readyz")
    return answer.status_code, answer.json()["status"]


async def test_watchers_are_let_go_in_turn_and_what_is_under_way_is_finished(
    served: ServedFactory,
) -> None:
    # Long enough for what is asked meanwhile, be the machine as slow as it may.
    server = await served(KUOTA_DRAIN_SECONDS="4", KUOTA_CLOCK=CLOCK)
    async with connected(server) as client, connected(server) as other:
        traffic = Traffic(await opened_tenants(client, "f-1"))
        assert await readiness(other) == (200, "ready")
        gone: list[int] = []
        async with greeted(server, 20) as sockets, begun(server, traffic) as finish:

            async def watch(socket: ClientConnection) -> tuple[int, str]:
                end = await end_of(socket)
                gone.append(end[0])
                return end

            ends = [asyncio.create_task(watch(socket)) for socket in sockets]
            server.process.send_signal(signal.SIGTERM)
            await refused(server)
            # Connections that stand are answered once more, those that ask for readiness as well.
            assert await readiness(other) == (503, "draining")
            await traffic.post(client, "f-1")
            for gone_too in (client, other):
                with pytest.raises(httpx2.ConnectError):
                    await gone_too.get("/healthz")
            assert len(gone) < len(sockets), "all were let go at once"
            status, results = await finish()
            assert (status, {result["status"] for result in results}) == (200, {"accepted"})
            for code, reason in await asyncio.gather(*ends):
                assert code == RESTART
                assert "come back" in reason
    await ended(server)


@asynccontextmanager
async def begun(
    server: Served, traffic: Traffic
) -> AsyncIterator[Callable[[], Awaitable[tuple[int, list[Json]]]]]:
    """A request of which the half was sent; what is given sends the rest, and gives the answer."""
    body = json.dumps(traffic.events("f-1")).encode()
    half = len(body) // 2
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    lines = [
        "POST /v1/events HTTP/1.1", "host: x", "content-type: application/json",
        f"authorization: Bearer {server.operator_key}", f"content-length: {len(body)}", "", "",
    ]  # fmt: skip
    writer.write("\r\n".join(lines).encode() + body[:half])

    async def finish() -> tuple[int, list[Json]]:
        writer.write(body[half:])
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        answer = json.loads(await reader.readexactly(int(length[1])))
        return int(head.split()[1]), answer["results"]

    try:
        yield finish
    finally:
        writer.close()


async def test_a_second_signal_ends_all_workers_at_once(served: ServedFactory) -> None:
    """The first is passed on to each, and so is the second."""
    server = await served("--workers", "2", KUOTA_DRAIN_SECONDS=FOR_LONG)
    async with greeted(server, 12) as sockets:
        server.process.send_signal(signal.SIGTERM)
        # The parent's own listening socket is closed too: nobody waits where no worker takes him.
        await refused(server)
        await ended(server, signal.SIGTERM)
        assert {code for code, _ in await asyncio.gather(*map(end_of, sockets))} == {RESTART}
    assert "killing" not in said(server.errors)


TENANTS = [f"f-{number}" for number in range(1, 6)]
WATCHERS = 300


@dataclass(slots=True, kw_only=True)
class Watcher:
    """A client as small as they come: it keeps the last state, and comes back to where it was."""

    url: str
    key: str
    tenant: str
    used: dict[str, Decimal] = field(default_factory=dict)
    position: str | None = None
    ends: list[int] = field(default_factory=list)
    begun: int = 0

    async def run(self) -> None:
        while True:
            with contextlib.suppress(OSError, WebSocketException, EOFError):
                async with opened(self.url) as socket:
                    try:
                        await self._follow(socket)
                    except ConnectionClosed as closed:
                        self.ends.append(1006 if closed.rcvd is None else closed.rcvd.code)
            await asyncio.sleep(random.uniform(0, 0.3))

    async def _follow(self, socket: ClientConnection) -> None:
        await greet(socket, self.key)
        variables = {"tenant": self.tenant, "after": self.position}
        await say(socket, subscribe("1", BALANCES, **variables))
        first = True
        async for frame in socket:
            message = json.loads(frame)
            assert message["type"] == "next", message
            change = message["payload"]["data"]["change"]
            assert change["recovered"] is True
            self.position = change["position"]
            amounts = {each["key"]: Decimal(each["used"]["value"]) for each in change["balances"]}
            self.used = {key: amount for key, amount in amounts.items() if amount}
            self.begun += first
            first = False


@asynccontextmanager
async def all_watching(watchers: Sequence[Watcher]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watcher.run()) for watcher in watchers]
        yield
        for task in tasks:
            task.cancel()


async def see(watchers: Sequence[Watcher], told: dict[str, Told]) -> None:
    """Wait until all have what was answered to the facts."""

    async def behind() -> list[str]:
        return [each.tenant for each in watchers if each.used != told[each.tenant].used]

    await until(behind, lambda tenants: not tenants)


async def begins(watchers: Sequence[Watcher], times: int) -> None:
    async def missing() -> int:
        return sum(each.begun < times for each in watchers)

    await until(missing, lambda count: not count)


async def transactions(owner_url: str) -> int:
    """What was ever begun and ended in the database, by those who have left it."""
    connection = await asyncpg.connect(owner_url)
    try:

        async def others() -> int:
            return int(await connection.fetchval(OTHERS))

        await until(others, lambda count: not count)
        return int(await connection.fetchval(TRANSACTIONS))
    finally:
        await connection.close()


OTHERS = """select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()"""
TRANSACTIONS = """select xact_commit + xact_rollback from pg_stat_database
where datname = current_database()"""


async def test_a_restart_under_many_watchers_loses_nothing_and_asks_the_database_little(
    database: Database, served: ServedFactory
) -> None:
    """What it costs to have all of them back goes by tenants and keys, not by watchers."""
    given = ("--only", "edge,feed", "--port", str(free_port()))
    variables = {"KUOTA_DRAIN_SECONDS": "1", "KUOTA_CLOCK": CLOCK}
    server = await served(*given, **variables)
    async with connected(server) as client:
        told = await opened_tenants(client, *TENANTS)
        traffic = Traffic(told)
        keys = {tenant: await key_of(client, tenant) for tenant in TENANTS}
        watchers = [
            Watcher(url=server.url, key=keys[tenant], tenant=tenant)
            for _ in range(WATCHERS // len(TENANTS))
            for tenant in TENANTS
        ]
        async with all_watching(watchers):
            await begins(watchers, 1)
            await posted(client, traffic)
            await see(watchers, told)

            server.process.send_signal(signal.SIGTERM)
            # They go on through all of it: some watchers are gone when they hear of them.
            posting = asyncio.create_task(posted(client, traffic))
            await ended(server)
            before = await transactions(database.owner_url)

            server = await served(*given, **variables)
            await posting
            await begins(watchers, 2)
            await see(watchers, told)
    await ended(server, signal.SIGTERM)
    assert {code for watcher in watchers for code in watcher.ends} == {RESTART}
    assert await transactions(database.owner_url) - before < WATCHERS


async def posted(client: httpx2.AsyncClient, traffic: Traffic) -> None:
    """Facts of every tenant, each sent until it is answered."""
    for tenant in TENANTS:
        await traffic.post(client, tenant)


async def key_of(client: httpx2.AsyncClient, tenant: str) -> str:
    given = {"tenant": tenant, "name": "of a widget", "scopes": ["billing:read"]}
    return str((await operate(client, "apiKeyCreate", "secret", **given))["secret"])
