"""GraphQL over websockets: many operations at once on one connection, none in another's way.

Owns the order of messages, the tasks of operations and the end of a socket. An operation holds at
most one message that was not sent, and a subscription is asked for its next event when the last is
on its way: what changes meanwhile becomes one event upstream, and a slow client keeps no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, assert_never

import structlog
from graphql import GraphQLError, OperationType, get_operation_ast
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from strawberry.schema import BaseSchema
from strawberry.types.execution import ExecutionResult, PreExecutionError

from api.context import Context
from api.core import Core
from api.cors import is_welcome, origins_of
from api.errors import Fault, fault_of
from api.limits import (
    QUERY_REFUSED_COST,
    SOCKET_CLOSE_SECONDS,
    SOCKET_INIT_SECONDS,
    SOCKET_OPERATIONS_MAX,
    SOCKET_SEND_SECONDS,
)
from api.origins import spelt
from api.transport import documents
from api.transport.asking import asked, check_page
from api.transport.body import Params
from api.transport.outcome import Teller, formatted, was_refused
from api.transport.protocol import (
    ACK,
    SUBPROTOCOL,
    Close,
    Code,
    Complete,
    Init,
    Ping,
    Pong,
    Subscribe,
    of_operation,
    pong,
    read,
)
from api.transport.seats import Seat, Seats, turn_away
from api.transport.vigil import Vigil, judge

log = structlog.get_logger("kuota.socket")


class Gone(Exception):  # noqa: N818 - it is said of the client
    """The client is not there any more; nobody has to be told."""


class Sockets:
    """The websockets of the route `/graphql`."""

    def __init__(self, schema: BaseSchema, core: Core) -> None:
        self.schema = schema
        self.core = core
        self.teller = Teller(core.metrics)
        self.vigil = Vigil(core)
        self._origins = origins_of(core.settings)
        self._seats = Seats()
        core.metrics.watch("kuota_sockets", "Open websockets.", lambda: float(self._seats.taken))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one connection, from its handshake to its end."""
        await receive()
        headers = Headers(scope=scope)
        page = headers.get("origin")
        ours = is_welcome(headers, self._origins)
        if not ours and not await self._is_of_widgets(page):
            await send({"type": "websocket.close"})  # before accepting: 403
            return
        address = None if scope.get("client") is None else scope["client"][0]
        seat = self._seats.sit(address)
        try:
            if (excess := seat.excess()) is not None:
                await turn_away(scope, send, excess)
                return
            await self._take(scope, receive, send, seat, page=page, ours=ours)
        finally:
            seat.leave()

    async def _take(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        seat: Seat,
        *,
        page: str | None,
        ours: bool,
    ) -> None:
        """Accept a connection and serve it to its end."""
        request_id: str = scope["state"]["request_id"]
        spoken = SUBPROTOCOL in scope["subprotocols"]
        accept = {
            "type": "websocket.accept",
            "subprotocol": SUBPROTOCOL if spoken else None,
            "headers": [(b"x-request-id", request_id.encode())],
        }
        refusal: Close | None = None
        if not spoken:
            refusal = Close(Code.SUBPROTOCOL, f"Subprotocol not acceptable: offer {SUBPROTOCOL}")
        elif not self.core.ready:
            refusal = Close(Code.TRY_AGAIN_LATER, "the database is away; try again in a moment")
        elif self._seats.are_full:
            refusal = Close(Code.TRY_AGAIN_LATER, "this process has no room; try again in a moment")
        try:
            # A close before accepting would be an answer without a code.
            await send(accept)
            address = None if scope.get("client") is None else scope["client"][0]
            socket = Socket(self, send, request_id, address, seat=seat, page=page, ours=ours)
            await socket.run(receive, refusal)
        except OSError:
            pass  # the client left in the middle of the handshake

    async def _is_of_widgets(self, page: str | None) -> bool:
        """Whether a page of strangers may have a widget on it."""
        origin = None if page is None else spelt(page)
        return origin is not None and await self.core.authenticator.welcomes(origin)


class Socket:
    """One connection and its operations."""

    def __init__(
        self,
        sockets: Sockets,
        send: Send,
        request_id: str,
        address: str | None = None,
        *,
        seat: Seat,
        page: str | None = None,
        ours: bool = True,
    ) -> None:
        """`page` is the origin it was opened from; from one that is not `ours` come widgets."""
        self._sockets = sockets
        self._core = sockets.core
        self._asgi_send = send
        self._request_id = request_id
        self._address = address
        self._seat = seat
        self._page = page
        self._ours = ours
        self._greeted = False
        self.authorization: str | None = None
        self._count = 0
        #: Running, by id. One that was told to end leaves this at once, and `_tasks` when it did.
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: Close | None = None
        self._reading = False
        self._patience = asyncio.timeout(SOCKET_INIT_SECONDS)

    async def run(self, receive: Receive, refusal: Close | None = None) -> None:
        """Read until either side has enough; no task and no generator is left behind."""
        try:
            if refusal is not None:
                raise refusal
            async with self._patience:
                self._reading = True
                await self._read(receive)
        except Close as close:
            self._closing = close
        except TimeoutError:
            # An operation cut the patience short, and said why; or there was no `connection_init`.
            if self._closing is None:
                self._closing = Close(Code.INIT_TIMEOUT, "Connection initialisation timeout")
        except Gone:
            pass
        except Exception as error:
            self._core.metrics.failures.labels("socket").inc()
            log.error("socket failed", request_id=self._request_id, exc_info=error)
            self._closing = Close(Code.INTERNAL, "Internal server error")
        finally:
            await self._end()

    async def _end(self) -> None:
        self._reading = False
        self._sockets.vigil.end(self)
        self._operations.clear()
        for task in self._tasks:
            task.cancel()
        if self._closing is not None:
            code, reason = int(self._closing.code), self._closing.reason
            # OSError: the client was faster, or does not read.
            with contextlib.suppress(OSError):
                async with asyncio.timeout(SOCKET_CLOSE_SECONDS):
                    await self._asgi_send(
                        {"type": "websocket.close", "code": code, "reason": reason}
                    )
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _read(self, receive: Receive) -> None:
        """Take messages in turn until the client leaves; Close where one is not as it should be."""
        while (event := await receive())["type"] != "websocket.disconnect":
            text = event.get("text")
            if text is None:
                raise Close(Code.BAD_MESSAGE, "the message is binary: send text")
            match read(text):
                case Init(authorization):
                    await self._greet(authorization)
                case Ping(payload):
                    await self._send(pong(payload))
                case Pong():
                    pass
                case Subscribe(id, params):
                    await self._subscribe(id, params)
                case Complete(id):
                    if task := self._operations.pop(id, None):
                        task.cancel()
                case other:
                    assert_never(other)
            # Thousands of small messages that came as one packet are not one turn.
            await asyncio.sleep(0)

    async def _greet(self, authorization: str | None) -> None:
        if self._greeted:
            raise Close(Code.INIT_TWICE, "Too many initialisation requests")
        self._greeted = True
        self._patience.reschedule(None)
        self.authorization = authorization
        try:
            principal = await self._core.gate.admit(authorization, self._address)
            check_page(principal, self._page)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if fault.code == "UNAUTHENTICATED":
                raise Close(Code.FORBIDDEN, "Forbidden") from None
            if fault.code == "FORBIDDEN":
                raise Close(Code.FORBIDDEN, f"Forbidden: {fault.message}") from None
            raise Close(Code.TRY_AGAIN_LATER, fault.message) from None
        if not self._ours and (principal is None or principal.widget is None):
            raise Close(Code.FORBIDDEN, "Forbidden: pages of this origin have tokens of widgets")
        if principal is not None:
            self._seat.show(principal)
            if (excess := self._seat.excess()) is not None:
                # Coming again soon would not help: such a client is to stop.
                raise Close(Code.TOO_MANY, excess)
        self._sockets.vigil.begin(self, principal)
        await self._send(ACK)

    async def _subscribe(self, id: str, params: Params) -> None:
        if not self._greeted:
            raise Close(Code.UNAUTHORIZED, "Unauthorized: send connection_init first")
        if id in self._operations:
            raise Close(Code.DUPLICATE, f"Subscriber for {id} already exists")
        self._count += 1
        request_id = f"{self._request_id}.{self._count}"
        if len(self._operations) >= SOCKET_OPERATIONS_MAX:
            words = f"{SOCKET_OPERATIONS_MAX} operations are running on this socket: end one first"
            await self._send(refused(id, [wrapped(Fault("RATE_LIMITED", words))], request_id))
            return
        # Those told to end may take a moment. Who starts and ends them in turn waits with them.
        while len(self._tasks) >= 2 * SOCKET_OPERATIONS_MAX:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._operate(id, params, request_id))
        self._operations[id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _operate(self, id: str, params: Params, request_id: str) -> None:
        """Run one operation to its end and say how it ended, unless the client ended it."""
        try:
            errors: Sequence[GraphQLError] | None
            try:
                errors = await self._stream(id, params, request_id)
            except (Close, Gone):
                raise
            except GraphQLError as error:
                errors = [error]
            except Exception as error:
                errors = [wrapped(error)]
            if self._operations.get(id) is not asyncio.current_task():
                return
            # The id is free as soon as the client knows that this is over.
            del self._operations[id]
            self._sockets.teller.tell(errors, request_id)
            await self._send(
                of_operation("complete", id) if errors is None else refused(id, errors, request_id)
            )
        except Close as close:
            self.interrupt(close)
        except Gone:
            pass  # the reader learns of it as well

    async def _stream(
        self, id: str, params: Params, request_id: str
    ) -> Sequence[GraphQLError] | None:
        """Send what the operation gives; its errors if it was refused or broke off."""
        principal = await judge(self._core.authenticator, self.authorization)
        spending = self._core.gate.spending(principal, self._address)
        spending.check()
        params = asked(self._core.stored, principal, params)
        context = self._core.context(principal, request_id, self._address)
        context.spending = spending
        try:
            with context.acting():
                return await self._follow(id, params, context)
        except GraphQLError:
            await spending.settle(QUERY_REFUSED_COST)
            raise

    async def _follow(
        self, id: str, params: Params, context: Context
    ) -> Sequence[GraphQLError] | None:
        lasting = is_subscription(params)
        results: Any = await self._sockets.schema.stream(
            params.query,
            variable_values=params.variables,
            context_value=context,
            operation_name=params.operation_name,
        )
        async with aclosing(results):
            async for result in results:
                if isinstance(result, PreExecutionError) or was_refused(result):
                    return result.errors or ()
                self._sockets.teller.tell(result.errors, context.request_id)
                if lasting:
                    await self._judge_again()
                await self._send(of_operation("next", id, payload_of(result, context.request_id)))
        return None

    async def _judge_again(self) -> None:
        try:
            await judge(self._core.authenticator, self.authorization)
        except Close:
            raise
        except Exception as error:
            # Who was let in stays in: while the database is away, nobody is revoked in it.
            if fault_of(error) is None:
                raise

    def interrupt(self, close: Close) -> None:
        """Close the socket on behalf of somebody else: the reader stops wherever it waits."""
        if self._closing is None and self._reading and not self._patience.expired():
            self._closing = close
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(SOCKET_SEND_SECONDS):
                await self._asgi_send({"type": "websocket.send", "text": text})
        except TimeoutError:
            raise Close(Code.SLOW, "messages are not read fast enough") from None
        except OSError:
            raise Gone from None


def is_subscription(params: Params) -> bool:
    """Whether the operation lasts; a GraphQLError for a document that cannot be read."""
    node = get_operation_ast(documents.read(params.query).node, params.operation_name)
    return node is not None and node.operation is OperationType.SUBSCRIPTION


def payload_of(result: ExecutionResult, request_id: str) -> dict[str, Any]:
    """A result as the payload of a `next`."""
    payload: dict[str, Any] = {"data": result.data}
    if result.errors:
        payload["errors"] = [formatted(error, request_id) for error in result.errors]
    if result.extensions:
        payload["extensions"] = result.extensions
    return payload


def refused(id: str, errors: Sequence[GraphQLError], request_id: str) -> str:
    """The `error` an operation ends with."""
    return of_operation("error", id, [formatted(error, request_id) for error in errors])


def wrapped(error: Exception) -> GraphQLError:
    return GraphQLError(str(error), original_error=error)
