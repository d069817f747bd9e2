"""A receiver of webhooks: an HTTP server that answers, fails, stalls, redirects or closes, as told.

Owns nothing of what is tested. Each request is kept as it came, and answered with what was put for
it, or with 200. It lives in a thread with a loop of its own: it answers whoever else dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request is answered with."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    stalls: bool = False  #: nothing is answered while the server is there
    stalls_inside: bool = False  #: nothing comes behind the beginning of the body
    closes: bool = False  #: the connection ends without a word


OK = Answer()
STALL = Answer(stalls=True)
HALF = Answer(stalls_inside=True)
CLOSE = Answer(closes=True)


def redirect(to: str) -> Answer:
    return Answer(status=302, headers={"location": to}, body=b"")


def busy(retry_after: str, status: int = 429) -> Answer:
    return Answer(status=status, headers={"retry-after": retry_after}, body=b"later")


class Receiver:
    """A server on a free port of loopback."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Request] = []
        self.answers: deque[Answer] = deque()  #: to the next requests, in order
        self.always: Answer = OK  #: to those behind them
        self.keeps = False  #: a connection is open for another request
        self.open = 0  #: requests that are not answered yet
        self.most = 0  #: the most that were at one moment
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Condition()
        self._over = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    async def came(self, count: int) -> None:
        """Wait until so many requests have come."""

        async def wait() -> None:
            async with self._changed:
                enough = self._changed.wait_for(lambda: len(self.requests) >= count)
                await asyncio.wait_for(enough, 10.0)

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(wait(), self._loop))

    def run(self, tls: ssl.SSLContext | None, ready: threading.Event) -> None:
        """Serve until it is told to end."""
        self._loop.run_until_complete(self._serve(tls, ready))
        self._loop.close()

    def end(self) -> None:
        """Let go of what stalls, and end."""
        self._loop.call_soon_threadsafe(self._over.set)

    async def _serve(self, tls: ssl.SSLContext | None, ready: threading.Event) -> None:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._over.wait()
        server.close()
        await server.wait_closed()
        while rest := asyncio.all_tasks() - {asyncio.current_task()}:
            for each in rest if self.keeps else ():
                each.cancel()
            await asyncio.wait(rest)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
                while self.keeps:
                    await self._answer(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        answer = self.answers.popleft() if self.answers else self.always
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            async with self._changed:
                self.requests.append(Request(path=first.split(" ")[1], headers=headers, body=body))
                self._changed.notify_all()
            await self._say(answer, reader, writer)
        finally:
            self.open -= 1

    async def _say(
        self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if answer.closes:
            return
        if answer.stalls:
            await self._gone(reader)
            return
        length = len(answer.body) + (1 if answer.stalls_inside else 0)
        words = [f"HTTP/1.1 {answer.status} Said", f"content-length: {length}"]
        words += [f"{name}: {value}" for name, value in answer.headers.items()]
        writer.write(("\r\n".join(words) + "\r\n\r\n").encode() + answer.body)
        await writer.drain()
        if answer.stalls_inside:
            await self._gone(reader)

    async def _gone(self, reader: asyncio.StreamReader) -> None:
        """Wait until the other end has gone, or the server ends."""
        waits = [asyncio.create_task(reader.read(1)), asyncio.create_task(self._over.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver, for as long as it is entered."""
    receiver, ready = Receiver(), threading.Event()
    thread = threading.Thread(target=receiver.run, args=(tls, ready), name="receiver")
    thread.start()
    try:
        await asyncio.to_thread(ready.wait)
        yield receiver
    finally:
        receiver.end()
        await asyncio.to_thread(thread.join)
