"""uvicorn's connection for HTTP, with what responses need that last: little memory, and an end.

Owns how a response reaches the connection below it. Nothing here is about what is said on it.
"""

from __future__ import annotations

import contextlib
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.limits import SOCKET_BUFFER_BYTES

#: Where an application finds its connection in the scope.
EXTENSION = "kuota.connection"


class Connection(HttpToolsProtocol):
    """One connection; its requests come one after the other."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"connection": self}}

    def narrow(self) -> None:
        """Keep little for a client that reads slowly: what waits for it is known to the sender."""
        self.transport.set_write_buffer_limits(high=SOCKET_BUFFER_BYTES)
        raw = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            # Or else the kernel keeps megabytes for a client that reads nothing.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)

    def cut(self) -> None:
        """End it at once, with all that was not sent."""
        self.transport.abort()
