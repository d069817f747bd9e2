"""Clients that people use, as they come: they ask, watch, lose their connections and go on.

They run in Node with the packages of `KUOTA_NODE_MODULES`; the README's own program among them.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from api.transport.protocol import Code
from tests.conftest import ROOT, Served, ServedFactory, numbers
from tests.wire.client import Json, connected, open_tenant, operate
from tests.wire.conftest import House
from tests.wire.node import Program, packages, program, script
from tests.wire.relay import Relay, relayed

MILLION = Decimal(1_000_000)


@contextlib.asynccontextmanager
async def running(folder: Path, name: str, *arguments: str) -> AsyncIterator[Program]:
    """A program that lies beside the tests."""
    modules = packages(*NEEDS[name])
    (folder / "operations.mjs").write_text(script("operations.mjs"), "utf-8")
    async with program(folder, modules, script(name), *arguments, name=name) as running:
        yield running


NEEDS = {
    "apollo.mjs": ("@apollo/client", "graphql", "graphql-ws", "rxjs", "ws"),
    "urql.mjs": ("@urql/core", "graphql", "graphql-ws", "ws"),
    "resuming.mjs": ("graphql", "graphql-sse", "graphql-ws", "ws"),
    "codes.mjs": ("graphql", "graphql-ws", "ws"),
}


async def opened(client: Any) -> str:
    """A new tenant with nothing topped up."""
    tenant = f"clients-{next(numbers)}"
    await open_tenant(client, tenant, [])
    return tenant


def topped(amount: str) -> Json:
    added = {"__typename": "TopUp", "amount": {"__typename": "Amount", "value": amount}}
    payload = {"__typename": "TopUpCreatePayload", "topUp": added, "userErrors": []}
    return {"topUpCreate": payload}


async def test_apollo_asks_changes_watches_and_is_told_of_errors(
    house: House, tmp_path: Path
) -> None:
    packages(*NEEDS["apollo.mjs"])
    tenant = await opened(house.client)
    bearer = house.server.headers["Authorization"]
    url = f"{house.server.url}/graphql"
    async with running(tmp_path, "apollo.mjs", url, bearer, tenant) as apollo:
        assert await apollo.tells() == {"tenant": {"__typename": "Tenant", "key": tenant}}
        assert await apollo.tells() == "GRAPHQL_VALIDATION_FAILED"
        assert await apollo.tells() == topped("2000000")
        assert await apollo.tells() == ["0", "2000000"]
        assert await apollo.tells() == "NOT_FOUND"
        assert await apollo.tells() == "UNAUTHENTICATED"
        assert await apollo.tells() == "status 401"
        await apollo.ends()


async def test_urql_does_so_over_both_transports(house: House, tmp_path: Path) -> None:
    packages(*NEEDS["urql.mjs"])
    tenant = await opened(house.client)
    bearer = house.server.headers["Authorization"]
    url = f"{house.server.url}/graphql"
    async with running(tmp_path, "urql.mjs", url, bearer, tenant) as urql:
        for before in (0, 3_000_000):
            assert await urql.tells() == {"tenant": {"__typename": "Tenant", "key": tenant}}
            assert await urql.tells() == "GRAPHQL_VALIDATION_FAILED"
            assert await urql.tells() == topped("3000000")
            assert await urql.tells() == [str(before), str(before + 3_000_000)]
            assert await urql.tells() == "NOT_FOUND"
            assert await urql.tells() == "UNAUTHENTICATED"
            assert await urql.tells() == "status 401"
        await urql.ends()


class Tenant:
    """A tenant whose balance is topped up by one million after the other, and its key."""

    def __init__(self, server: Served, key: str, bearer: str, id: str) -> None:
        self.server = server
        self.key = key
        self.bearer = bearer
        self._id = id
        self._millions = 0

    @property
    def topped_up(self) -> str:
        return str(self._millions * MILLION)

    async def top_up(self) -> None:
        self._millions += 1
        async with connected(self.server) as client:
            await operate(
                client, "topUpCreate", "topUp { id }", tenant=self.key, balance="whatsapp",
                amount=str(MILLION), asOffered=False, idempotencyKey=str(self._millions),
            )  # fmt: skip

    async def revoke(self) -> None:
        """Take the client's own key back."""
        async with connected(self.server) as client:
            await operate(client, "apiKeyRevoke", "apiKey { id }", id=self._id)

    async def resumed(self) -> int:
        """How often a position was sent along since the server began."""
        async with connected(self.server) as client:
            page = (await client.get("/metrics")).text
        return int(float(page.partition("\nkuota_feed_resumed ")[2].split()[0]))


async def made(server: Served) -> Tenant:
    async with connected(server) as client:
        key = await opened(client)
        given = {"tenant": key, "name": "a watcher", "scopes": ["billing:read"]}
        answer = await operate(client, "apiKeyCreate", "apiKey { id } secret", **given)
    return Tenant(server, key, f"Bearer {answer['secret']}", answer["apiKey"]["id"])


@pytest.fixture
async def tenant(house: House) -> Tenant:
    return await made(house.server)


@contextlib.asynccontextmanager
async def resuming(
    folder: Path, way: str, url: str, tenant: Tenant, attempts: str
) -> AsyncIterator[Program]:
    """A client that watches the tenant, and tries so often to find a server again."""
    given = (way, url, tenant.bearer, tenant.key, attempts)
    async with running(folder, "resuming.mjs", *given) as client:
        yield client


async def told(client: Program, name: str) -> Any:
    """The next of what a client tells under this name; other news are passed over."""
    while name not in (told := await client.tells()):
        assert "error" not in told, told
        assert "complete" not in told
    return told[name]


async def shown(client: Program, wanted: str) -> None:
    """The client is told a state, be it at once or after one before."""
    while await told(client, "toppedUp") != wanted:
        pass


async def lose_and_find(client: Program, relay: Relay, tenant: Tenant) -> None:
    """Lose the connection, let something happen, and let the client connect again."""
    relay.cut()
    await tenant.top_up()
    # It tries again in vain before it finds somebody.
    assert await told(client, "again")
    assert await told(client, "again")
    await relay.open()
    await shown(client, tenant.topped_up)


@pytest.mark.parametrize("way", ["sockets", "events"])
async def test_a_client_goes_on_where_it_was(
    tenant: Tenant, house: House, tmp_path: Path, way: str
) -> None:
    packages(*NEEDS["resuming.mjs"])
    async with relayed(house.server.url) as relay:
        url = f"{relay.url}/graphql"
        async with resuming(tmp_path, way, url, tenant, "20") as client:
            assert await client.tells() == {"toppedUp": "0", "recovered": True}
            await tenant.top_up()
            assert await client.tells() == {"toppedUp": "1000000", "recovered": True}
            before = await tenant.resumed()
            await lose_and_find(client, relay, tenant)
            assert await tenant.resumed() == before + 1
            await lose_and_find(client, relay, tenant)
            await tenant.top_up()
            await shown(client, tenant.topped_up)
            await tenant.revoke()
            if way == "sockets":
                assert await client.tells() == {"closed": Code.UNAUTHORIZED}
                assert await client.tells() == {"error": Code.UNAUTHORIZED}
            else:
                while "error" not in (news := await client.tells()):
                    assert news == {"again": True}
                assert news == {"error": 401}
            await client.ends()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sockets", "events"])
async def test_a_client_finds_the_server_that_was_started_again(
    served: ServedFactory, tmp_path: Path, way: str
) -> None:
    packages(*NEEDS["resuming.mjs"])
    server = await served(KUOTA_DRAIN_SECONDS="0")
    tenant = await made(server)
    async with relayed(server.url) as relay:
        url = f"{relay.url}/graphql"
        async with resuming(tmp_path, way, url, tenant, "1000") as client:
            await shown(client, "0")
            await server.stop()
            if way == "sockets":
                assert await told(client, "closed") == Code.RESTART
            assert await told(client, "again")
            tenant.server = await served(KUOTA_DRAIN_SECONDS="0")
            await tenant.top_up()
            relay.to = int(tenant.server.url.rpartition(":")[2])
            await shown(client, tenant.topped_up)
            # Without any warning, in the middle of the feed.
            await tenant.server.kill()
            tenant.server = await served(KUOTA_DRAIN_SECONDS="0")
            await tenant.top_up()
            relay.to = int(tenant.server.url.rpartition(":")[2])
            await shown(client, tenant.topped_up)


#: As the README says it.
FATAL = [1011, 4400, 4401, 4406, 4409, 4429, 4500]
RETRIED = [1000, 1001, 1012, 1013, 4403, 4408, 4508, 4509, 4510]


async def test_clients_come_back_after_the_closes_we_say(tmp_path: Path) -> None:
    """What stock clients do decides which codes we close with."""
    packages(*NEEDS["codes.mjs"])
    closed: set[str] = set()

    async def take(socket: ServerConnection) -> None:
        assert socket.request is not None
        code = socket.request.path.strip("/")
        await socket.recv()
        await socket.send('{"type":"connection_ack"}')
        subscribe = json.loads(await socket.recv())
        if code not in closed:
            closed.add(code)
            await socket.close(int(code), "as the test wants it")
        else:
            await socket.send(json.dumps({"type": "complete", "id": subscribe["id"]}))
            await socket.wait_closed()

    protocols = [Subprotocol("graphql-transport-ws")]
    async with serve(take, "127.0.0.1", 0, subprotocols=protocols, compression=None) as server:
        (listening,) = server.sockets
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}"
        codes = [str(code) for code in (*FATAL, *RETRIED)]
        found = {}
        async with running(tmp_path, "codes.mjs", url, *codes) as client:
            for _ in codes:
                code, connections, error = await client.tells()
                found[int(code)] = (connections, error)
    assert found == {
        **{code: (1, code) for code in FATAL}, **dict.fromkeys(RETRIED, (2, None))
    }  # fmt: skip
    assert {int(code) for code in Code} <= set(found)


def program_of_the_readme() -> str:
    """The fenced block that shows a client which reconnects and goes on."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = [
        block
        for block in re.findall(r"(?ms)^```js\n(.*?)^```$", text)
        if 'from "graphql-ws"' in block
    ]
    if not found:
        pytest.skip("the README has no client in JavaScript")
    return str(found[0])


@pytest.mark.slow
async def test_the_readmes_program_goes_on_where_it_was(
    tenant: Tenant, house: House, tmp_path: Path
) -> None:
    modules = packages("graphql", "graphql-ws", "ws")
    source = program_of_the_readme()
    for patience in ("10_000", "5_000"):
        assert source.count(patience) == 1
        source = source.replace(patience, "300")
    secret = tenant.bearer.removeprefix("Bearer ")
    async with relayed(house.server.url) as relay:
        url = f"{relay.url.replace('http', 'ws')}/graphql"
        async with program(tmp_path, modules, source, url, secret, tenant.key) as client:
            await client.says("whatsapp 0")
            before = await tenant.resumed()
            relay.cut()
            await tenant.top_up()
            await relay.open()
            await client.says("whatsapp 1000000")
            # Its patience is short here: where the machine is slow it may have come back twice.
            assert await tenant.resumed() > before
            # A network that swallows everything: nothing is closed, and nothing comes.
            relay.stall()
            await tenant.top_up()
            await client.complains("not live", times=2)
            relay.flow()
            await client.says("whatsapp 2000000")
            await tenant.top_up()
            await client.says("whatsapp 3000000")
            await tenant.revoke()
            await client.complains("over: 4401")
            await client.ends()
