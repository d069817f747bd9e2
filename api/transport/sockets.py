"""The websockets of a process: who is let in, how many, and how all of them end.

Owns the handshake and what all connections share: streams, the vigil over credentials, seats. What
is said on one of them is `socket`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterable
from operator import itemgetter
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from strawberry.schema import BaseSchema

from api.core import Core
from api.cors import is_welcome, origins_of
from api.origins import spelt
from api.transport.outcome import Teller
from api.transport.protocol import SUBPROTOCOL, Close, Code
from api.transport.seats import Seats, turn_away
from api.transport.socket import Socket
from api.transport.streams import Streams
from api.transport.vigil import Vigil
from api.transport.wire import EXTENSION, Wire

RESTART = Close(Code.RESTART, "the server ends: come back in a moment")


class Sockets:
    """The websockets of the route `/graphql`."""

    def __init__(self, schema: BaseSchema, core: Core) -> None:
        self.schema = schema
        self.core = core
        self.teller = Teller(core.metrics)
        self.streams = Streams(schema, core, self.teller)
        self.vigil = Vigil(core)
        self.seats = Seats()
        self.open: set[Socket] = set()
        self.skipped = 0  #: states that a newer one took the place of
        self._draining = False
        self._origins = origins_of(core.settings)
        self._measure()

    def _measure(self) -> None:
        for name, description, read_ in (
            ("kuota_sockets", "Open websockets.", lambda: len(self.open)),
            (
                "kuota_socket_operations",
                "Operations that run on websockets.",
                lambda: sum(socket.operations for socket in self.open),
            ),
            (
                "kuota_socket_waiting",
                "Events that wait for slow clients.",
                lambda: sum(socket.waiting for socket in self.open),
            ),
            (
                "kuota_feed_coalesced",
                "States that slow clients were not sent, because a newer one came.",
                lambda: self.skipped,
            ),
            ("kuota_feed_streams", "Streams that are followed.", lambda: len(self.streams.running)),
            ("kuota_feed_events", "Events that streams made.", lambda: self.streams.events),
            (
                "kuota_feed_deliveries",
                "Events given to those who follow.",
                lambda: self.streams.deliveries,
            ),
            (
                "kuota_feed_resumed",
                "Subscriptions that went on from a position.",
                lambda: self.streams.resumed,
            ),
        ):
            self.core.metrics.watch(name, description, read_)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one connection; it goes on when this returns, until either side has enough."""
        await receive()
        headers = Headers(scope=scope)
        page = headers.get("origin")
        ours = is_welcome(headers, self._origins)
        if not ours and not await self._is_of_widgets(page):
            await send({"type": "websocket.close"})  # before accepting: 403
            return
        address = None if scope.get("client") is None else scope["client"][0]
        seat = self.seats.sit(address)
        wire: Wire | None = None
        try:
            if (excess := seat.excess()) is not None:
                await turn_away(scope, send, excess)
                return
            spoken = SUBPROTOCOL in scope["subprotocols"]
            request_id: str = scope["state"]["request_id"]
            accept = {
                "type": "websocket.accept",
                "subprotocol": SUBPROTOCOL if spoken else None,
                "headers": [(b"x-request-id", request_id.encode())],
            }
            # A close before accepting would be an answer without a code.
            with contextlib.suppress(OSError):  # the client left in the middle of the handshake
                await send(accept)
                mine: Wire = scope["extensions"][EXTENSION]
                wire = None if mine.disconnected else mine
        finally:
            if wire is None:
                seat.leave()
        if wire is None:
            return
        socket = Socket(self, wire, request_id, address, seat=seat, page=page, ours=ours)
        wire.take_over(socket)
        socket.begin(self._refusal(spoken=spoken))

    def _refusal(self, *, spoken: bool) -> Close | None:
        """Why nothing is done for a connection that was accepted."""
        if not spoken:
            return Close(Code.SUBPROTOCOL, f"Subprotocol not acceptable: offer {SUBPROTOCOL}")
        if self._draining:
            return RESTART
        if not self.core.ready:
            return Close(Code.TRY_AGAIN_LATER, "the database is away; try again in a moment")
        if self.seats.are_full:
            return Close(Code.TRY_AGAIN_LATER, "this process has no room; try again in a moment")
        return None

    async def _is_of_widgets(self, page: str | None) -> bool:
        """Whether a page of strangers may have a widget on it."""
        origin = None if page is None else spelt(page)
        return origin is not None and await self.core.authenticator.welcomes(origin)

    async def drain(self, seconds: float) -> None:
        """Tell every client to come back, over `seconds`."""
        self._draining = True
        await let_go(self.open, seconds)


class Open(Protocol):
    """Something that stays open until somebody ends it."""

    def close(self, close: Close) -> None: ...


async def let_go(those: Iterable[Open], seconds: float) -> None:
    """Tell all to come back, each at an instant that chance gives it in `seconds`."""
    told = [(random.random() * seconds, each) for each in those]
    told.sort(key=itemgetter(0))
    began = time.monotonic()
    for at, each in told:
        ahead = at - (time.monotonic() - began)
        if ahead > 0:
            await asyncio.sleep(ahead)
        each.close(RESTART)
