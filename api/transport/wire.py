"""The websocket of uvicorn with other ends: every client learns why, and none keeps memory.

Owns how a connection ends below the application: by a missed pong, a message too large or no text,
a client that does not read. uvicorn's own code for the first, 1011, keeps clients away for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from api.limits import SOCKET_CLOSE_SECONDS
from api.transport.protocol import Code

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

#: Seconds a client has to finish what it is sending when it is hung up on.
LISTEN_SECONDS = 0.2

#: Seconds it has to answer a close when the server ends: less than that waits for connections.
SHUTDOWN_SECONDS = 1.0


class Wire(WebSocketsSansIOProtocol):
    """One connection."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # A handshake nobody can read, such as one with endless headers, is answered as well.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self._fail(1007, "text is UTF-8")
                return
        super().send_receive_event_to_app()

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
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._cut_later()

    def _write_eof(self) -> None:
        if not self.disconnected and self.transport.can_write_eof():
            self.transport.write_eof()

    def _cut_later(self, seconds: float = SOCKET_CLOSE_SECONDS) -> None:
        """Give the client a moment to answer a close; then its connection is cut."""
        if self.close_timer is not None:
            self.close_timer.cancel()
        if not self.disconnected:
            self.close_timer = self.loop.call_later(seconds, self.transport.abort)
