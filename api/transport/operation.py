"""An operation of a websocket: a subscription lasts, others answer once.

Owns what is kept for a client that is slow: the newest state alone, and a bounded number of events
that may not be skipped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from graphql import GraphQLError
from strawberry.types.execution import ExecutionResult, PreExecutionError

from api.context import Context
from api.limits import QUERY_REFUSED_COST, SOCKET_EVENTS_MAX
from api.transport.asking import asked
from api.transport.body import Params
from api.transport.outcome import formatted, was_refused
from api.transport.protocol import Close, Code, before_payload, of_operation
from api.transport.streams import Event
from api.transport.subscribing import Refused, is_subscription
from api.transport.vigil import judge

if TYPE_CHECKING:
    from api.transport.socket import Socket


class Operation:
    """An operation of a socket: a subscription lasts, others answer once."""

    __slots__ = (
        "_events",
        "_head",
        "_leave",
        "_request_id",
        "_socket",
        "_state",
        "_wire",
        "id",
        "task",
    )

    def __init__(self, socket: Socket, id: str, request_id: str) -> None:
        self._socket = socket
        self._wire = socket.wire
        self._request_id = request_id
        self._head = b""
        self._leave: Callable[[], None] | None = None
        self._state: Event | None = None
        self._events: deque[Event] | None = None
        self.id = id
        self.task: asyncio.Task[None] | None = None  #: until it runs by itself

    @property
    def authorization(self) -> str | None:
        return self._socket.authorization

    @property
    def waiting(self) -> int:
        return (self._state is not None) + len(self._events or ())

    async def run(self, params: Params) -> None:
        """Answer, or begin to follow, and say how it ended unless the client ended it."""
        errors: Sequence[GraphQLError] | None
        try:
            errors = await self._run(params)
            if errors is None and self._leave is not None:
                return
        except Close as close:
            self._socket.close(close)
            return
        except Refused as refusal:
            errors = refusal.errors
        except GraphQLError as error:
            errors = [error]
        except Exception as error:
            errors = [wrapped(error)]
        finally:
            self.task = None
        self._socket.sockets.teller.tell(errors, self._request_id)
        await self._socket.ready()
        self.finish(errors)

    async def _run(self, params: Params) -> Sequence[GraphQLError] | None:
        """Do it; its errors if it was refused or broke off."""
        socket, sockets = self._socket, self._socket.sockets
        principal = await judge(sockets.core.authenticator, socket.authorization)
        context = socket.context(principal, self._request_id)
        spending = context.spending
        assert spending is not None, "a socket's context is charged"
        spending.check()
        try:
            params = asked(sockets.core.stored, principal, params)
            if is_subscription(params):
                self._head = before_payload(self.id)
                leave = await sockets.streams.follow(params, context, self)
                if socket.has(self):
                    self._leave = leave
                else:
                    leave()
                return None
            with context.acting():
                return await self._answer(params, context)
        except (GraphQLError, Refused):
            await spending.settle(QUERY_REFUSED_COST)
            raise

    async def _answer(self, params: Params, context: Context) -> Sequence[GraphQLError] | None:
        """Execute a query or a mutation."""
        sockets = self._socket.sockets
        results: Any = await sockets.schema.stream(
            params.query,
            variable_values=params.variables,
            context_value=context,
            operation_name=params.operation_name,
        )
        async with aclosing(results):
            async for result in results:
                if isinstance(result, PreExecutionError) or was_refused(result):
                    return result.errors or ()
                sockets.teller.tell(result.errors, self._request_id)
                payload = payload_of(result, self._request_id)
                await self._socket.say(of_operation("next", self.id, payload))
        return None

    def stop(self) -> None:
        """The client has enough, or is gone."""
        if self._leave is not None:
            self._leave()
            self._leave = None
        if self.task is not None:
            self.task.cancel()

    def deliver(self, event: Event) -> None:
        """Send an event, or keep it until the client has read."""
        wire = self._wire
        if wire.is_writable and not self._events:
            wire.say(self._head, event.payload, b"}")
        elif event.state:
            if self._state is not None:
                self._socket.skip()
            self._state = event
        else:
            if self._events is None:
                self._events = deque()
            self._events.append(event)
            if len(self._events) > SOCKET_EVENTS_MAX:
                self.close(Close(Code.SLOW, "messages are not read fast enough"))

    def resume(self) -> bool:
        """Send what was kept; False where there is no more room."""
        wire = self._wire
        while self._events and wire.is_writable:
            wire.say(self._head, self._events.popleft().payload, b"}")
        if self._state is not None and wire.is_writable:
            event, self._state = self._state, None
            wire.say(self._head, event.payload, b"}")
        return wire.is_writable

    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        """It is over; the client is told, unless it ended it."""
        self._leave = None
        if not self._socket.over(self):
            return
        # What was kept comes before the end.
        for event in (*(self._events or ()), *([self._state] if self._state else ())):
            self._wire.say(self._head, event.payload, b"}")
        text = (
            of_operation("complete", self.id)
            if errors is None
            else refused(self.id, errors, self._request_id)
        )
        self._wire.say(text.encode())

    def close(self, close: Close) -> None:
        self._socket.close(close)


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
