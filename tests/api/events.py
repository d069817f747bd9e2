"""A plain client of server-sent events for these tests, and a server inside a test to ask."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from api import logs
from api.core import Core
from api.serve import listen
from api.transport.connection import Connection
from api.transport.envelope import Envelope
from api.transport.sockets import Sockets
from api.transport.sse import EventStreams
from api.transport.view import View
from tests.api.sockets import SCHEMA, Json, Quiet
from tests.conftest import OPERATOR_KEY

PATH = "/graphql/stream"
ACCEPT = {"accept": "text/event-stream"}
BEARER = {"authorization": f"Bearer {OPERATOR_KEY}"}
PATIENCE_SECONDS = 40.0


def streams_of(core: Core) -> EventStreams:
    """The event streams of the tests' own schema."""
    return EventStreams(View(SCHEMA, core), Sockets(SCHEMA, core))


@contextlib.asynccontextmanager
async def running(app: Starlette, port: int = 0) -> AsyncIterator[str]:
    """The URL at which an app is served in this process."""
    listening = listen("127.0.0.1", port)
    options: dict[str, Any] = {"lifespan": "off", "log_config": None}
    server = Quiet(uvicorn.Config(app, http=Connection, timeout_graceful_shutdown=5, **options))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def streaming(streams: EventStreams) -> AsyncIterator[str]:
    """The URL of a server of event streams."""
    logs.configure()
    envelope = Middleware(Envelope, metrics=streams.core.metrics, routes=frozenset({PATH}))
    async with running(Starlette(routes=[Route(PATH, streams)], middleware=[envelope])) as url:
        yield url


class Response:
    """A response that may go on: its head, and what comes of its body."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.text = ""  #: all that came
        self._chunks = response.aiter_text()
        self._unread = ""

    async def part(self) -> str:
        """The next comment or event, as it came; empty at the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "\n\n" not in self._unread:
                chunk = await anext(self._chunks, "")
                if not chunk:
                    rest, self._unread = self._unread, ""
                    return rest
                self.text += chunk
                self._unread += chunk
        found, _, self._unread = self._unread.partition("\n\n")
        return found

    async def next(self) -> Json:
        """The payload of the next event, which is a `next`; comments are skipped."""
        while (part := await self.part()).startswith(":"):
            pass
        event, data = part.split("\n")
        assert event == "event: next", part
        assert data.startswith("data: {")
        return dict(json.loads(data.removeprefix("data: ")))

    async def rest(self) -> list[str]:
        """What comes until the end of the response."""
        parts = []
        while part := await self.part():
            parts.append(part)
        return parts

    async def json(self) -> Json:
        """The whole body, of a response that has no events."""
        parts = await self.rest()
        return dict(json.loads("".join(parts)))


@contextlib.asynccontextmanager
async def asked(
    url: str,
    query: str | None = None,
    /,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    content: bytes | None = None,
    **members: Any,
) -> AsyncIterator[Response]:
    """Ask by the operator, as one who takes events."""
    body = members if query is None else {"query": query, **members}
    given: dict[str, Any] = {"headers": ACCEPT | BEARER | (headers or {})}
    if method == "GET":
        given["params"] = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in body.items()
        }
    elif content is None:
        given["json"] = body
    else:
        given["content"] = content
    async with (
        httpx2.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as client,
        client.stream(method, url + PATH, **given) as response,
    ):
        yield Response(response)
