"""One HTTP/1.1 connection over a bare socket, so light that the server is what is measured.

Owns the framing of one request in flight. Does not own redirects, TLS, pools or retries.
"""

import asyncio


class WireError(Exception):
    """The server closed the connection, or answered in a way this client does not read."""


class Wire(asyncio.Protocol):
    """A kept-alive connection; `send` takes a whole request and gives (status, body)."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._body_from = 0
        self._body_until = -1
        self._status = 0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def connect(cls, host: str, port: int) -> "Wire":
        _, wire = await asyncio.get_running_loop().create_connection(cls, host, port)
        return wire

    async def send(self, request: bytes) -> tuple[int, bytes]:
        assert self._answer is None, "one request in flight"
        if self._transport is None:
            raise WireError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WireError(f"the server closed the connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._body_until < 0 and not self._read_head():
            return
        if len(self._received) < self._body_until:
            return
        body = bytes(self._received[self._body_from : self._body_until])
        del self._received[: self._body_until]
        self._body_until = -1
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result((self._status, body))

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._received[:end]).lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            self._fail(WireError("an answer without content-length"))
            return False
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        self._status = int(head[9:12])
        self._body_from = end + 4
        self._body_until = self._body_from + length
        return True

    def _fail(self, error: WireError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()


def post(path: str, key: str, content_type: str, body: bytes) -> bytes:
    """A whole POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
