"""The websocket of uvicorn with other ends: every client learns why, and none keeps memory.

Owns frames and how a connection ends below the application: by a missed pong, a message too large
or no text, a client that does not read. uvicorn's own code for the first, 1011, keeps clients away
for good. Once a socket has taken a connection over, no task waits for its messages: they are handed
to it as they come, and what it says is written at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
from typing import TYPE_CHECKING, Protocol, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from api.limits import SOCKET_BUFFER_BYTES, SOCKET_CLOSE_SECONDS, SOCKET_SEND_SECONDS
from api.transport.protocol import Close, Code

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

#: Where an application finds the wire in its scope.
EXTENSION = "kuota.wire"

#: Seconds a client has to finish what it is sending when it is hung up on.
LISTEN_SECONDS = 0.2

#: Seconds it has to answer a close when the server ends: less than that waits for connections.
SHUTDOWN_SECONDS = 1.0

SHORT, MEDIUM = 126, 1 << 16
TEXT = 0x81  #: a whole message of text
MEDIUM_HEAD, LARGE_HEAD = bytes((TEXT, SHORT)), bytes((TEXT, SHORT + 1))


class Socket(Protocol):
    """Who takes a connection over."""

    def hear(self, text: str) -> None:
        """A message came."""

    def resume(self) -> None:
        """The client has read what was waiting for it."""

    def lose(self, code: int) -> None:
        """The connection is over; 1006 where nobody closed it."""

    def close(self, close: Close) -> None:
        """It has to end, for this reason."""


class Nowhere:
    """The queue of a connection that was taken over: nobody waits for what it is told."""

    def put_nowait(self, event: ASGIReceiveEvent) -> None:
        """Forget it."""


NOWHERE = cast("asyncio.Queue[ASGIReceiveEvent]", Nowhere())


class Wire(WebSocketsSansIOProtocol):
    """One connection."""

    socket: Socket | None = None
    slow: asyncio.TimerHandle | None = None
    is_writable = True
    sent = 0  #: messages

    def take_over(self, socket: Socket) -> None:
        """Give the accepted connection to a socket; the application may return then."""
        self.socket = socket
        self.transport.set_write_buffer_limits(high=SOCKET_BUFFER_BYTES)
        raw = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            # Or else the kernel keeps megabytes for a client that reads nothing.
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        # Needed for the handshake alone, and half of what a connection weighs.
        self.queue = NOWHERE
        del self.scope, self.request, self.response

    def say(self, text: bytes, payload: bytes = b"", rest: bytes = b"") -> None:
        """Send a message of text, in parts that follow each other; nothing on a closed one."""
        if self.close_sent or self.disconnected:
            return
        size = len(text) + len(payload) + len(rest)
        if size < SHORT:
            head = bytes((TEXT, size))
        elif size < MEDIUM:
            head = MEDIUM_HEAD + size.to_bytes(2, "big")
        else:
            head = LARGE_HEAD + size.to_bytes(8, "big")
        self.sent += 1
        self.transport.write(b"".join((head, text, payload, rest)))

    def end(self, close: Close) -> None:
        """Close the connection; a client that does not answer is cut."""
        if self.close_sent or self.disconnected:
            return
        self.close_sent = True
        if not self.transport.is_closing():
            self.conn.send_close(int(close.code), close.reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.stop_keepalive()
        self.hear_again()
        self._cut_later()

    def hear_no_more(self) -> None:
        """Read nothing until what came is dealt with."""
        if not self.read_paused and not self.disconnected:
            self.read_paused = True
            self.transport.pause_reading()

    def hear_again(self) -> None:
        if self.read_paused and not self.disconnected:
            self.read_paused = False
            self.transport.resume_reading()

    async def run_asgi(self) -> None:
        self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]
        scope = self.scope
        try:
            await self.app(scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application\n")
            self.send_500_response()
        if self.socket is None and self.close_timer is None:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # A handshake nobody can read, such as one with endless headers, is answered as well.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        is_text = self.curr_msg_data_type == "text"
        if self.socket is None:
            if is_text and self._text() is None:
                self.frames = []
                return
            super().send_receive_event_to_app()
            return
        # What is sent as binary is read as text, as the reference server does it.
        text = self._text() if is_text else b"".join(self.frames).decode("utf-8", "replace")
        self.frames = []
        if text is not None and not self.close_sent:
            self.socket.hear(text)

    def _text(self) -> str | None:
        """What was sent, where it is text."""
        try:
            return b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self._fail(1007, "text is UTF-8")
            return None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_writable = False
        if self.socket is not None and self.slow is None:
            self.slow = self.loop.call_later(SOCKET_SEND_SECONDS, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.is_writable = True
        self._stop_waiting()
        if self.socket is not None and not self.close_sent:
            self.socket.resume()

    def _give_up(self) -> None:
        self.slow = None
        if self.socket is not None:
            self.socket.close(Close(Code.SLOW, "messages are not read fast enough"))

    def _stop_waiting(self) -> None:
        if self.slow is not None:
            self.slow.cancel()
            self.slow = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        self._tell(1006)

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        close = self.conn.close_rcvd
        self._tell(1005 if close is None else close.code)

    def _tell(self, code: int) -> None:
        """Let the socket know, once, that this is over."""
        if self.socket is not None:
            socket, self.socket = self.socket, None
            socket.lose(code)

    def keepalive_timeout(self) -> None:
        self.pong_timer = None
        self._fail(Code.NO_PONG, "no pong came in time")

    def handle_parser_exception(self) -> None:
        self._hang_up()

    async def send(self, message: ASGISendEvent) -> None:
        if self.close_sent:
            raise ClientDisconnected
        if message["type"] == "websocket.close":
            # A few bytes that end the connection do not wait behind those nobody reads.
            self.writable.set()
        await super().send(message)
        if self.close_timer is not None:
            self._cut_later()

    def shutdown(self) -> None:
        if self.socket is not None and not self.close_sent:
            self.socket.close(Close(Code.RESTART, "the server ends: come back in a moment"))
        super().shutdown()
        self._cut_later(SHUTDOWN_SECONDS)

    def _fail(self, code: int, reason: str) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.conn.fail(code, reason)
            self._hang_up()

    def _hang_up(self) -> None:
        """Say the close, then read on and forget: an early end could overtake what was said."""
        if self.close_sent:
            return
        self.close_sent = True
        close = self.conn.close_sent
        code, reason = (1006, "") if close is None else (close.code, close.reason)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.loop.call_later(LISTEN_SECONDS, self._write_eof)
        self.hear_again()
        self._cut_later()
        self._tell(code)

    def _write_eof(self) -> None:
        if not self.disconnected and self.transport.can_write_eof():
            self.transport.write_eof()

    def _cut_later(self, seconds: float = SOCKET_CLOSE_SECONDS) -> None:
        """Give the client a moment to answer a close; then its connection is cut."""
        if self.close_timer is not None:
            self.close_timer.cancel()
        if not self.disconnected:
            self.close_timer = self.loop.call_later(seconds, self.transport.abort)
