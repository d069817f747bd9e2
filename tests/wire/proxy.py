"""A wire that can be disturbed: a TCP proxy in front of a server's socket.

Owns the ways a wire goes wrong: it stalls without a word, it is cut and refuses, it breaks between
any two values of the protocol. What the server does meanwhile is its own affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

CHUNK = 65_536
#: Closing says RST instead of waiting for what was not sent.
ABRUPTLY = struct.pack("ii", 1, 0)


@dataclass(eq=False, slots=True)
class Wire:
    """One connection: the client's end and the server's."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    task: asyncio.Task[object]
    ways: list[asyncio.Task[None]]


@dataclass(eq=False)
class Proxy:
    """Forwards what comes at `port` to a unix socket, until it is told otherwise."""

    port: int
    _place: str
    _values: bool = True  #: whether what goes by is Valkey's; else it is forwarded as it comes
    _wires: set[Wire] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _break: Break | None = None

    @property
    def open(self) -> bool:
        """Whether it takes connections."""
        return self._server is not None

    def stall(self) -> None:
        """Forward nothing any more, and hang up nowhere; new connections are taken, and wait."""
        self._flowing.clear()

    def flow(self) -> None:
        """Forward again, what waited first."""
        self._flowing.set()

    async def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        server, self._server = self._server, None
        if server is not None:
            loop = asyncio.get_running_loop()
            for listening in server.sockets:
                loop.remove_reader(listening.fileno())
            # One that was just accepted becomes a connection first: asyncio would lose it.
            await asyncio.sleep(0)
            server.close()
        wires = list(self._wires)
        for wire in wires:
            for writer in (wire.near, wire.far):
                sock = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
                writer.transport.abort()
            # No end of a connection wakes those that wait for the flow.
            for way in wire.ways:
                way.cancel()
        await asyncio.gather(*(wire.task for wire in wires), return_exceptions=True)

    async def restore(self) -> None:
        """Take connections again."""
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, sock=_bound(self.port))

    def break_after(self, count: int, begins: bytes) -> Break:
        """Close every connection once `count` values went by since one had `begins` in it.

        Counted is what goes either way, on all connections; the first has number 1.
        """
        self._break = Break(count, begins)
        return self._break

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        server = self._server
        try:
            back, far = await asyncio.open_unix_connection(self._place)
        except OSError:
            near.transport.abort()
            return
        if server is None or self._server is not server:  # cut meanwhile
            near.transport.abort()
            far.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        ways = [
            asyncio.create_task(self._forward(reader, far)),
            asyncio.create_task(self._forward(back, near)),
        ]
        wire = Wire(near, far, task, ways)
        self._wires.add(wire)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in (near, far):
                writer.close()
            self._wires.discard(wire)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._flowing.wait()
                values, rest = split(rest + data) if self._values else ([data], b"")
                for value in values:
                    writer.write(value)
                    if self._break is not None and self._break.is_due(value):
                        self._break = None
                        self._hang_up()
                        return
                await writer.drain()

    def _hang_up(self) -> None:
        """Close every connection behind what was already forwarded."""
        for wire in list(self._wires):
            wire.near.close()
            wire.far.close()


@dataclass(eq=False, slots=True)
class Break:
    """Where a wire is to break, and whether it did."""

    count: int
    begins: bytes
    seen: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def is_due(self, value: bytes) -> bool:
        if self.seen or self.begins in value:
            self.seen += 1
        if self.seen == self.count:
            self.done.set()
            return True
        return False


@contextlib.asynccontextmanager
async def before(place: str, *, values: bool = True) -> AsyncIterator[Proxy]:
    """A proxy before the unix socket `place`; its port is its own even while it refuses.

    Without `values` it is of another protocol than Valkey's.
    """
    with _bound(0) as kept:
        proxy = Proxy(kept.getsockname()[1], place, values)
        await proxy.restore()
        try:
            yield proxy
        finally:
            await proxy.cut()


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole values of Valkey's protocol in `data`, and what is left."""
    values = []
    start = 0
    while (end := _end(data, start)) is not None:
        values.append(data[start:end])
        start = end
    return values, data[start:]


def _end(data: bytes, start: int) -> int | None:
    """Where the value that begins at `start` ends; None where it is not all there."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    kind, end = data[start : start + 1], line + 2
    if kind in b"$=!":
        length = int(data[start + 1 : line])
        end += length + 2 if length >= 0 else 0
        return end if end <= len(data) else None
    if kind in b"*~>%":
        inside: int | None = end
        for _ in range(int(data[start + 1 : line]) * (2 if kind == b"%" else 1)):
            inside = None if inside is None else _end(data, inside)
        return inside
    return end
