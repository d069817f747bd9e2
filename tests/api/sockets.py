"""A plain websocket client for these tests, and a schema of streams that tests steer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from strawberry.types import Info
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from api import logs
from api.context import Context
from api.core import Core
from api.faults import Fault
from api.limits import SOCKET_MESSAGE_BYTES_MAX
from api.schema.root import Schema
from api.serve import listen
from api.transport.envelope import Envelope
from api.transport.executor import Executor
from api.transport.extension import Documents
from api.transport.sockets import Sockets
from api.transport.wire import Wire
from persistence.servers import Servers
from tests.conftest import OPERATOR_KEY, Database, named, numbers, on

Json = dict[str, Any]

PROTOCOL = Subprotocol("graphql-transport-ws")
INIT = {"type": "connection_init", "payload": {"authorization": f"Bearer {OPERATOR_KEY}"}}
ACK = {"type": "connection_ack"}
PATIENCE_SECONDS = 40.0

HANDSHAKE = {
    "host": "x",
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "sec-websocket-protocol": PROTOCOL,
}


def opened(url: str, **options: Any) -> connect:
    """A connection to the sockets of a served process at `url`."""
    place = url.replace("http://", "ws://") + "/graphql"
    return connect(
        place, **{"subprotocols": [PROTOCOL], "compression": None, "proxy": None} | options
    )


async def shake(
    url: str, **headers: str
) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """A handshake by hand: the answer's first line, and the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    given = HANDSHAKE | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items()]
    writer.write("\r\n".join(["GET /graphql HTTP/1.1", *lines, "", ""]).encode())
    return await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS), reader, writer


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Look until it is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await seen():  # noqa: ASYNC110 - what is awaited happens in another process
            await asyncio.sleep(0.01)


async def say(socket: ClientConnection, *messages: Json) -> None:
    for message in messages:
        await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> Json:
    """The next message, which is text."""
    frame = await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)
    assert isinstance(frame, str)
    return dict(json.loads(frame))


async def end_of(socket: ClientConnection) -> tuple[int, str]:
    """How the socket is closed, whatever comes before."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                await socket.recv()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def greet(socket: ClientConnection, key: str = OPERATOR_KEY) -> None:
    await say(socket, {"type": "connection_init", "payload": {"authorization": f"Bearer {key}"}})
    assert await hear(socket) == ACK


def subscribe(id: str, query: str, **variables: Any) -> Json:
    payload = {"query": query, "variables": variables}
    return {"type": "subscribe", "id": id, "payload": payload}


class Steered:
    """What runs in the streams of a test, and what makes them go on."""

    def __init__(self) -> None:
        self.ticks: dict[str, asyncio.Queue[int]] = {}
        self.running: set[str] = set()
        self.ended: dict[str, asyncio.Event] = {}

    def end_of(self, name: str) -> asyncio.Event:
        return self.ended.setdefault(name, asyncio.Event())

    def tick(self, name: str, number: int) -> None:
        self.ticks.setdefault(name, asyncio.Queue()).put_nowait(number)

    @contextlib.contextmanager
    def under(self, name: str) -> Any:
        self.running.add(name)
        try:
            yield
        finally:
            self.running.remove(name)
            self.end_of(name).set()


steered = Steered()


@strawberry.type
class Tick:
    number: int

    @strawberry.field
    async def looked_up(self, info: Info[Context, None]) -> list[int]:
        """How many were looked up at once, by loaders that remember."""
        sizes: list[int] = []

        async def load(keys: list[int]) -> list[int]:
            sizes.append(len(keys))
            return keys

        await info.context.loader("ticks", load).load(1)
        return sizes

    @strawberry.field
    async def now(self, info: Info[Context, None]) -> str:
        return str(info.context.now)

    @strawberry.field
    async def broken(self) -> int | None:
        raise RuntimeError("a secret of ours")


@strawberry.type
class Query:
    @strawberry.field
    async def hello(self, info: Info[Context, None]) -> str:
        info.context.caller()
        return "world"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def say(self, word: str) -> str:
        return word


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self, name: str) -> AsyncGenerator[Tick, None]:
        queue = steered.ticks.setdefault(name, asyncio.Queue())
        with steered.under(name):
            while (number := await queue.get()) >= 0:
                yield Tick(number=number)

    @strawberry.subscription
    async def failing(self, after: int) -> AsyncGenerator[Tick, None]:
        for number in range(after):
            yield Tick(number=number)
        raise RuntimeError("a secret of ours")

    @strawberry.subscription
    async def hidden(self) -> AsyncGenerator[Tick, None]:
        raise Fault("NOT_FOUND", "there is no such tenant")
        yield

    @strawberry.subscription
    async def flood(self, name: str) -> AsyncGenerator[str, None]:
        with steered.under(name):
            while True:
                yield "x" * 50_000


SCHEMA = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    extensions=[Documents],
    execution_context_class=Executor,
)


class Quiet(uvicorn.Server):
    """A server inside a test: signals are the test's own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def cloned(servers: Servers, template: str) -> AsyncIterator[Database]:
    """A migrated database for all tests of a module."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    name = f"test_{next(numbers)}"
    await on(addresses.owner_url, f"create database {name} template {template} strategy file_copy")
    app_url, owner_url = named(addresses.app_url, name), named(addresses.owner_url, name)
    yield Database(name=name, owner_url=owner_url, app_url=app_url)
    await on(addresses.owner_url, f"drop database {name} with (force)")


@contextlib.asynccontextmanager
async def serving(
    core: Core, *, sockets: Sockets | None = None, **options: Any
) -> AsyncIterator[str]:
    """The URL of a server of these streams, or of `sockets`; `options` are uvicorn's."""
    logs.configure()
    app = Starlette(
        routes=[WebSocketRoute("/graphql", sockets or Sockets(SCHEMA, core))],
        middleware=[Middleware(Envelope, metrics=core.metrics, routes=frozenset[str]())],
    )
    config = uvicorn.Config(
        app, ws=Wire, ws_max_size=SOCKET_MESSAGE_BYTES_MAX, ws_per_message_deflate=False,
        lifespan="off", log_config=None, timeout_graceful_shutdown=5, **options,
    )  # fmt: skip
    listening = listen("127.0.0.1", 0)
    server = Quiet(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
