"""A websocket server that plays a script: the other end of a watcher, in tests of watching."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeAlias

from websockets.asyncio.server import Request, Response, Server, ServerConnection, serve
from websockets.typing import Subprotocol


class Scripted:
    """The server's end of one connection, as the script of a test sees it."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.credential: object = None
        self.asked: dict[str, dict[str, Any]] = {}

    async def heard(self) -> Any:
        return json.loads(await self.socket.recv())

    async def say(self, **message: object) -> None:
        await self.socket.send(json.dumps(message))

    async def greeted(self, subscriptions: int = 1) -> None:
        """Take the credential and the subscriptions, as a server does that accepts them."""
        first = await self.heard()
        assert first["type"] == "connection_init"
        self.credential = first["payload"]["authorization"]
        await self.say(type="connection_ack")
        for _ in range(subscriptions):
            message = await self.heard()
            assert message["type"] == "subscribe"
            self.asked[message["id"]] = message["payload"]

    async def next(self, position: str, number: str = "1", **more: object) -> None:
        data = {"balanceChanged": {"position": position, **more}}
        await self.say(id=number, type="next", payload={"data": data})


Script: TypeAlias = Callable[[Scripted], Awaitable[None]]


class Peer:
    """Plays `scripts`, one a connection; `refusals` are answers to the first handshakes."""

    def __init__(self, *scripts: Script, refusals: tuple[int, ...] = ()) -> None:
        self.scripts = list(scripts)
        self.refusals = list(refusals)
        self.met: list[Scripted] = []
        self.url = ""

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.request.path == "/graphql"
        scripted = Scripted(socket)
        self.met.append(scripted)
        await self.scripts[len(self.met) - 1](scripted)

    def refuse(self, socket: ServerConnection, request: Request) -> Response | None:
        if not self.refusals:
            return None
        return socket.respond(HTTPStatus(self.refusals.pop(0)), "not now")


@asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[Server]:
    async with serve(
        peer,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol("graphql-transport-ws")],
        process_request=peer.refuse,
    ) as server:
        peer.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield server


async def closing(peer: Scripted, code: int) -> None:
    await peer.socket.close(code, "so it is")
