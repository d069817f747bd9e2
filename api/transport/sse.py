"""Server-sent events: what a websocket gives, one operation a response, over plain HTTP.

Owns the letter of `text/event-stream` as the protocol of `graphql-sse` has it for distinct
connections, and the life of such a response. Who is let in, and what is asked, are the view's.

A response that is cut short says no `complete`: clients take that for a lost connection, and come
back. So ends every stream that is not over: revoked, expired, too old, too slow, or drained.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog
from graphql import GraphQLError, OperationType, get_operation_ast
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from strawberry.types import ExecutionResult

from api.context import Context
from api.errors import Fault, unavailable
from api.limits import (
    RETRY_AFTER_SECONDS,
    SOCKET_EVENTS_MAX,
    SOCKET_SEND_SECONDS,
    STREAM_COMMENT_SECONDS,
)
from api.transport.body import Params
from api.transport.connection import EXTENSION, Connection
from api.transport.documents import read
from api.transport.outcome import formatted, without_operation
from api.transport.protocol import Close, Code, written
from api.transport.seats import Seat
from api.transport.sockets import Sockets, let_go
from api.transport.streams import Event
from api.transport.subscribing import Refused
from api.transport.view import GRAPHQL_JSON, Guest, View, answer, faulty

MEDIA_TYPE = "text/event-stream"
HEADERS = {
    # What lies between may neither keep nor change it, and is not to wait for more of it.
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}
#: Seconds a client has to take what is said last, when it was not itself that ended.
LAST_SECONDS = 1.0
GONE, DONE = 1006, 1000
COMMENT = b":\n\n"
COMPLETE = b"event: complete\ndata:\n\n"

TOO_SLOW = Close(Code.SLOW, "events are not read fast enough")

log = structlog.get_logger("kuota.sse")


class EventStreams:
    """The route `/graphql/stream`."""

    def __init__(self, view: View, sockets: Sockets) -> None:
        self.view = view
        self.core = view.core
        self.open: set[EventStream] = set()
        self._sockets = sockets
        self.core.metrics.watch(
            "kuota_event_streams", "Open responses of events.", lambda: float(len(self.open))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, from its head to the end of its events."""
        request = Request(scope, receive)
        request_id: str = scope["state"]["request_id"]
        try:
            check_accept(request.headers.get("accept"))
            guest = await self.view.admit(request)
            seat = self._sockets.seats.sit(guest.address)
            try:
                self._check_room(seat, guest)
                await self._take(request, guest, send)
            finally:
                seat.leave()
        except Fault as fault:
            await faulty(fault, request_id, GRAPHQL_JSON)(scope, receive, send)

    async def drain(self, seconds: float) -> None:
        """End every response so that its client comes back, over `seconds`."""
        await let_go(self.open, seconds)

    def _check_room(self, seat: Seat, guest: Guest) -> None:
        """Raise the Fault there is where this would be one response too many."""
        if self.core.draining:
            raise unavailable("this process ends; connect again")
        if guest.principal is not None:
            seat.show(guest.principal)
        if (excess := seat.excess()) is not None:
            raise Fault("RATE_LIMITED", excess, {"retry-after": str(RETRY_AFTER_SECONDS)})
        if self._sockets.seats.are_full:
            raise unavailable("this process has no room; try again in a moment")

    async def _take(self, request: Request, guest: Guest, send: Send) -> None:
        """Run what is asked; a Fault says that no events will come of it."""
        followed: EventStream | None = None
        async with guest.charged():
            params, context = await self.view.read(request, guest)
            try:
                operation = operation_of(params)
            except GraphQLError as error:
                response = answer(ExecutionResult(None, [error]), context.request_id, GRAPHQL_JSON)
            else:
                if operation is OperationType.SUBSCRIPTION:
                    followed = await self._follow(params, context, guest)
                else:
                    response = await self._answered(params, context, request.method)
        if followed is None:
            await response(request.scope, request.receive, send)
        else:
            await self._run(followed, guest, request, send)

    async def _answered(self, params: Params, context: Context, method: str) -> Response:
        """A query or a mutation as one event; as JSON where the client is to come again."""
        result = await self.view.run(params, context, method)
        self.view.teller.tell(result.errors, context.request_id)
        response = answer(result, context.request_id, GRAPHQL_JSON)
        if response.status_code not in (200, 400):
            return response
        content = next_of(bytes(response.body)) + COMPLETE
        return Response(content, 200, HEADERS, f"{MEDIA_TYPE}; charset=utf-8")

    async def _follow(self, params: Params, context: Context, guest: Guest) -> EventStream:
        """A stream that has begun, or that was refused and says so; a Fault is a matter of HTTP."""
        stream = EventStream(guest.authorization, context.request_id)
        try:
            stream.leave = await self._sockets.streams.follow(params, context, stream)
        except Refused as refused:
            stream.finish(refused.errors)
        except GraphQLError as error:
            stream.finish([error])
        return stream

    async def _run(self, stream: EventStream, guest: Guest, request: Request, send: Send) -> None:
        """Send what comes, until either side has enough; nothing is followed any more behind it."""
        extension = request.scope.get("extensions", {}).get(EXTENSION)
        connection = None if extension is None else extension["connection"]
        started = time.perf_counter()
        self.open.add(stream)
        try:
            self._sockets.vigil.begin(stream, guest.principal)
            await stream.run(request.receive, send, connection)
        finally:
            stream.leave()
            self._sockets.vigil.end(stream)
            self._sockets.skipped += stream.skipped
            self.open.discard(stream)
            log.info(
                "event stream ended",
                request_id=stream.request_id,
                code=stream.code,
                seconds=round(time.perf_counter() - started, 3),
                events=stream.sent,
            )


class EventStream:
    """One response: a subscription, followed until it or the connection ends."""

    def __init__(self, authorization: str | None, request_id: str) -> None:
        self.authorization = authorization
        self.request_id = request_id
        self.leave: Callable[[], None] = nothing
        self.sent = 0
        self.skipped = 0  #: states that a newer one took the place of
        self.code = GONE  #: how it ended, as a websocket would say it
        self._waiting: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._last: bytes | None = None  #: what is said behind all that waits, once that is known
        self._over = False  #: it was said, or nobody is there to hear it
        self._connection: Connection | None = None
        self._cutting: asyncio.TimerHandle | None = None

    def deliver(self, event: Event) -> None:
        """Keep an event until the client has taken those before it; of states, the newest alone."""
        if self._last is not None:
            return
        if event.state:
            kept = [each for each in self._waiting if not each.state]
            self.skipped += len(self._waiting) - len(kept)
            self._waiting = deque(kept)
        elif len(self._waiting) >= SOCKET_EVENTS_MAX:
            self.close(TOO_SLOW)
            return
        self._waiting.append(event)
        self._wake.set()

    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        """Say behind what waits that the stream is over; and why, where it broke off."""
        said = COMPLETE
        if errors is not None:
            shown = [formatted(error, self.request_id) for error in errors]
            said = next_of(written({"errors": shown}).encode()) + COMPLETE
        self._end(DONE, said)

    def close(self, close: Close) -> None:
        """End the response; what waits is not sent, and the client comes back if it may."""
        self.leave()
        if self._last is None:
            self._waiting.clear()
            # Clients skip comments; people read them.
            self._end(int(close.code), f": {int(close.code)} {close.reason}\n\n".encode())
        if self._connection is not None and self._cutting is None:
            cut = self._connection.cut
            self._cutting = asyncio.get_running_loop().call_later(LAST_SECONDS, cut)

    def interrupt(self, close: Close) -> None:
        """As the vigil over credentials says it."""
        self.close(close)

    async def run(self, receive: Receive, send: Send, connection: Connection | None) -> None:
        """Send events and, where none come for long, comments; return when it is over."""
        self._connection = connection
        if connection is not None:
            connection.narrow()
        listening = asyncio.create_task(self._listen(receive), name="event stream")
        headers = {"content-type": f"{MEDIA_TYPE}; charset=utf-8", **HEADERS}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            await say(send, {"type": "http.response.start", "status": 200, "headers": raw})
            # Some browsers take no stream for begun before something of it came.
            text: bytes | None = COMMENT
            while text is not None:
                await say(send, {"type": "http.response.body", "body": text, "more_body": True})
                text = await self._next()
            await say(send, {"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            self.code = int(Code.SLOW)
            if connection is not None:
                connection.cut()
        finally:
            if self._cutting is not None:
                self._cutting.cancel()
            listening.cancel()
            await asyncio.wait({listening})

    async def _next(self) -> bytes | None:
        """What is to be sent: all that waits, or a comment after a while; None: that was all."""
        while not (self._waiting or self._over or self._last is not None):
            self._wake.clear()
            try:
                async with asyncio.timeout(STREAM_COMMENT_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                return COMMENT
        if self._over:
            return None
        if self._waiting:
            text = b"".join(next_of(event.payload) for event in self._waiting)
            self.sent += len(self._waiting)
            self._waiting.clear()
            return text
        self._over = True
        return self._last

    async def _listen(self, receive: Receive) -> None:
        """Wait until the client leaves."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._over = True
        self._wake.set()

    def _end(self, code: int, said: bytes) -> None:
        if self._last is None:
            self.code, self._last = code, said
            self._wake.set()


def nothing() -> None:
    """There is no stream to leave."""


async def say(send: Send, message: Message) -> None:
    """Send a part of a response; TimeoutError where the client takes nothing for too long."""
    async with asyncio.timeout(SOCKET_SEND_SECONDS):
        await send(message)


def next_of(payload: bytes) -> bytes:
    """An event of the stream; JSON has no line ends of its own."""
    return b"event: next\ndata: " + payload + b"\n\n"


def operation_of(params: Params) -> OperationType:
    """What is to be run; a GraphQLError for a document that cannot be read."""
    node = get_operation_ast(read(params.query).node, params.operation_name)
    if node is None:
        raise Fault("BAD_REQUEST", without_operation(params.operation_name))
    return node.operation


def check_accept(accept: str | None) -> None:
    """Raise NOT_ACCEPTABLE where events are nothing to the client."""
    kinds = {part.partition(";")[0].strip().lower() for part in (accept or "*/*").split(",")}
    if kinds.isdisjoint({MEDIA_TYPE, "text/*", "*/*"}):
        raise Fault(
            "NOT_ACCEPTABLE", f"this is answered as {MEDIA_TYPE}: accept it, or ask /graphql"
        )
