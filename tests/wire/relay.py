"""A TCP relay before a served process: what a client's connections go through, and are lost on.

Owns bytes alone. What is said on the connections is nobody's business here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

CHUNK = 65_536
#: Closing says RST instead of waiting for what was not sent.
ABRUPTLY = struct.pack("ii", 1, 0)


class Relay:
    """Forwards what comes at `port` to a place that may change."""

    def __init__(self, kept: socket.socket, to: int) -> None:
        self._kept = kept
        self.to = to  #: the port behind it
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._kept.getsockname()[1]}"

    async def open(self) -> None:
        """Take connections."""
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(self._kept.getsockname())
        self._server = await asyncio.start_server(self._serve, sock=bound)

    def stall(self) -> None:
        """Forward nothing any more, and hang up nowhere; new connections are taken, and wait."""
        self._flowing.clear()

    def flow(self) -> None:
        """Forward again, what waited first."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones until it is opened again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._ends:
            with contextlib.suppress(OSError, AttributeError):
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            back, far = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            near.transport.abort()
            return
        self._ends |= {near, far}
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._forward(reader, far))
                ways.create_task(self._forward(back, near))
        finally:
            self._ends -= {near, far}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes, and that it has ended."""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def relayed(url: str) -> AsyncIterator[Relay]:
    """A relay before the server at `url`; its port is its own even while it refuses."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))
        relay = Relay(kept, int(url.rpartition(":")[2]))
        await relay.open()
        try:
            yield relay
        finally:
            relay.flow()
            relay.cut()
