"""A websocket by hand: frames of any kind in packets of any size, and what comes back as words.

Owns no expectation. The words are the same for every server that speaks the protocol.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from websockets.frames import Frame, Opcode

PATIENCE_SECONDS = 40.0
PROTOCOL = "graphql-transport-ws"
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
#: Where what is said after a row's own messages ends.
MARK = {"mark": 1}


def text(value: Any, *, fin: bool = True) -> bytes:
    """A frame of text: JSON of a value, or what is no JSON as it is."""
    data = value if isinstance(value, bytes) else written(value)
    return Frame(Opcode.TEXT, data, fin).serialize(mask=True)


def written(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def binary(value: Any) -> bytes:
    data = value if isinstance(value, bytes) else written(value)
    return Frame(Opcode.BINARY, data).serialize(mask=True)


def rest(data: bytes, *, fin: bool) -> bytes:
    """A frame that goes on with the message begun before."""
    return Frame(Opcode.CONT, data, fin).serialize(mask=True)


def control(opcode: Opcode, data: bytes = b"") -> bytes:
    return Frame(opcode, data).serialize(mask=True)


@dataclass(eq=False)
class Raw:
    """One connection; `heard` is what came, in words."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    subprotocol: str | None
    heard: list[str] = field(default_factory=list)
    closed: bool = False
    marked: bool = False

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, count: int) -> None:
        """Read until so much was heard, or the connection is closed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.heard) < count and not self.closed:
                await self._read()

    async def settle(self) -> None:
        """Read until what was said before now is answered as well."""
        if not self.closed:
            self.write(text({"type": "ping", "payload": MARK}))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (self.marked or self.closed):
                await self._read()

    async def _read(self) -> None:
        try:
            first, second = await self.reader.readexactly(2)
            length = second & 127
            if length > 125:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8))
            data = await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            self.closed = True
            self.heard.append("gone")
            return
        opcode = first & 15
        if opcode == Opcode.CLOSE:
            self.closed = True
            code = int.from_bytes(data[:2]) if data else 1005
            self.heard.append(f"close {code} {data[2:].decode()}".strip())
        elif opcode == Opcode.PONG:
            self.heard.append(f"pong frame {data.decode()}".strip())
        elif opcode == Opcode.TEXT:
            message = json.loads(data)
            if message == {"type": "pong", "payload": MARK}:
                self.marked = True
            else:
                self.heard.append(words_of(message))
        elif opcode != Opcode.PING:
            self.heard.append(f"opcode {opcode}")


def words_of(message: dict[str, Any]) -> str:
    """A message in words, without what servers word themselves."""
    words = [message["type"], *([message["id"]] if "id" in message else [])]
    payload = message.get("payload")
    if isinstance(payload, list):
        assert all(isinstance(error["message"], str) for error in payload)
        words.append(f"errors: {len(payload)}")
    elif payload is not None:
        payload = {name: value for name, value in payload.items() if name != "extensions"}
        if "errors" in payload:
            payload["errors"] = len(payload["errors"])
        words.append(json.dumps(payload))
    return " ".join(words)


async def connected(port: int, path: str, offers: str | None = PROTOCOL) -> Raw:
    """A connection that was accepted, with these subprotocols offered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [
        f"GET {path} HTTP/1.1", "host: x", "connection: upgrade", "upgrade: websocket",
        "sec-websocket-version: 13", f"sec-websocket-key: {KEY}",
    ]  # fmt: skip
    if offers is not None:
        lines.append(f"sec-websocket-protocol: {offers}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(PATIENCE_SECONDS):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.startswith("http/1.1 101 "), head
    chosen = [line.split(": ", 1)[1] for line in head.split("\r\n") if "-protocol: " in line]
    return Raw(reader, writer, chosen[0] if chosen else None)
