"""GraphQL over websockets: many operations at once on one connection, none in another's way.

Owns the order of messages, the operations of a connection and its end. An idle socket has no task:
what a client sends is handled as it comes, and events are written as they are made.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, assert_never

import structlog

from api.context import Context
from api.errors import Fault, fault_of
from api.limits import SOCKET_INIT_SECONDS, SOCKET_OPERATIONS_MAX
from api.rights import Principal
from api.transport.asking import check_page
from api.transport.body import Params
from api.transport.operation import Operation, refused, wrapped
from api.transport.protocol import (
    ACK,
    Close,
    Code,
    Complete,
    Init,
    Message,
    Ping,
    Pong,
    Subscribe,
    pong,
    read,
)
from api.transport.seats import Seat
from api.transport.wire import Wire

if TYPE_CHECKING:
    from api.transport.sockets import Sockets

log = structlog.get_logger("kuota.socket")


class Socket:
    """One connection and its operations."""

    __slots__ = (
        "_address", "_began", "_counted", "_ended", "_greeted", "_inbox", "_init", "_operations",
        "_ours", "_page", "_reader", "_request_id", "_seat", "_sockets", "_tasks", "_who",
        "authorization", "skipped", "wire",
    )  # fmt: skip

    def __init__(
        self,
        sockets: Sockets,
        wire: Wire,
        request_id: str,
        address: str | None = None,
        *,
        seat: Seat,
        page: str | None = None,
        ours: bool = True,
    ) -> None:
        """`page` is the origin it was opened from; from one that is not `ours` come widgets."""
        self._sockets = sockets
        self.wire = wire
        self._request_id = request_id
        self._address = address
        self._seat = seat
        self._page = page
        self._ours = ours
        self._began = time.monotonic()
        self._greeted = False
        self._ended = False
        self._who: str | None = None
        self._counted = 0
        self._inbox: deque[str] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._init: asyncio.TimerHandle | None = None
        #: Running, by id. One that was told to end leaves this at once, and `_tasks` when it did.
        self._operations: dict[str, Operation] = {}
        self._tasks: set[asyncio.Task[None]] | None = None
        self.authorization: str | None = None
        self.skipped = 0

    @property
    def operations(self) -> int:
        return len(self._operations)

    @property
    def waiting(self) -> int:
        """Events that wait until the client has read."""
        return sum(operation.waiting for operation in self._operations.values())

    def begin(self, refusal: Close | None) -> None:
        """Wait for the client's first message, or close at once and say why."""
        self._sockets.open.add(self)
        if refusal is not None:
            self.close(refusal)
            return
        late = Close(Code.INIT_TIMEOUT, "Connection initialisation timeout")
        loop = asyncio.get_running_loop()
        self._init = loop.call_later(SOCKET_INIT_SECONDS, self.close, late)

    def hear(self, text: str) -> None:
        """A message came: messages are handled in turn, and no more are read meanwhile."""
        if self._ended:
            return
        if self._inbox is None:
            self._inbox = deque((text,))
            self.wire.hear_no_more()
            self._reader = asyncio.create_task(self._read(self._inbox), name="Socket")
        else:
            self._inbox.append(text)

    def resume(self) -> None:
        """The client has read what was waiting: what was kept for it follows."""
        for operation in list(self._operations.values()):
            if not operation.resume():
                return

    def lose(self, code: int) -> None:
        """The connection is over."""
        self._end(code, "")

    def close(self, close: Close) -> None:
        """End the connection and say why."""
        self.wire.end(close)
        self._end(int(close.code), close.reason)

    interrupt = close

    def _end(self, code: int, reason: str) -> None:
        """Let go of everything, once; no stream and no task is left behind."""
        if self._ended:
            return
        self._ended = True
        if self._init is not None:
            self._init.cancel()
        self._sockets.open.discard(self)
        self._sockets.vigil.end(self)
        self._seat.leave()
        operations = list(self._operations.values())
        self._operations.clear()
        for operation in operations:
            operation.stop()
        for task in (*(self._tasks or ()), self._reader):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._sockets.core.metrics.closes.labels(str(code)).inc()
        log.info(
            "socket ended", request_id=self._request_id, code=code, why=reason or None,
            who=self._who, seconds=round(time.monotonic() - self._began, 3),
            operations=self._counted, sent=self.wire.sent, coalesced=self.skipped or None,
        )  # fmt: skip

    async def _read(self, inbox: deque[str]) -> None:
        """Handle what has come, in turn, with others between; then wait for more without a task."""
        try:
            while inbox and not self._ended:
                text = inbox.popleft()
                await self._handle(read(text))
                # Thousands of small messages that came as one packet are not one turn.
                await asyncio.sleep(0)
        except Close as close:
            self.close(close)
        except Exception as error:
            self._sockets.core.metrics.failures.labels("socket").inc()
            log.error("socket failed", request_id=self._request_id, exc_info=error)
            self.close(Close(Code.INTERNAL, "Internal server error"))
        finally:
            self._inbox = self._reader = None
            self.wire.hear_again()

    async def _handle(self, message: Message) -> None:
        match message:
            case Init(authorization):
                await self._greet(authorization)
            case Ping(payload):
                await self.say(pong(payload))
            case Pong():
                pass
            case Subscribe(id, params):
                await self._subscribe(id, params)
            case Complete(id):
                if operation := self._operations.pop(id, None):
                    operation.stop()
            case other:
                assert_never(other)

    async def _greet(self, authorization: str | None) -> None:
        if self._greeted:
            raise Close(Code.INIT_TWICE, "Too many initialisation requests")
        self._greeted = True
        if self._init is not None:
            self._init.cancel()
            self._init = None
        self.authorization = authorization
        try:
            principal = await self._sockets.core.gate.admit(authorization, self._address)
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
        self._admit(principal)
        await self.say(ACK)

    def _admit(self, principal: Principal | None) -> None:
        """Give somebody whose credential was right a place, or Close."""
        if self._ended:
            return
        if not self._ours and (principal is None or principal.widget is None):
            raise Close(Code.FORBIDDEN, "Forbidden: pages of this origin have tokens of widgets")
        if principal is not None:
            self._who = principal.name
            self._seat.show(principal)
            if (excess := self._seat.excess()) is not None:
                # Coming again soon would not help: such a client is to stop.
                raise Close(Code.TOO_MANY, excess)
        self._sockets.vigil.begin(self, principal)

    async def _subscribe(self, id: str, params: Params) -> None:
        if not self._greeted:
            raise Close(Code.UNAUTHORIZED, "Unauthorized: send connection_init first")
        if id in self._operations:
            raise Close(Code.DUPLICATE, f"Subscriber for {id} already exists")
        self._counted += 1
        request_id = f"{self._request_id}.{self._counted}"
        if len(self._operations) >= SOCKET_OPERATIONS_MAX:
            words = f"{SOCKET_OPERATIONS_MAX} operations are running on this socket: end one first"
            await self.say(refused(id, [wrapped(Fault("RATE_LIMITED", words))], request_id))
            return
        if self._tasks is None:
            self._tasks = set()
        # Those told to end may take a moment. Who starts and ends them in turn waits with them.
        while len(self._tasks) >= 2 * SOCKET_OPERATIONS_MAX:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        operation = Operation(self, id, request_id)
        self._operations[id] = operation
        task = operation.task = asyncio.create_task(operation.run(params), name="Socket operation")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        assert self._tasks is not None
        self._tasks.discard(task)
        if not self._tasks:
            self._tasks = None

    def context(self, principal: Principal | None, request_id: str) -> Context:
        core = self._sockets.core
        context = core.context(principal, request_id, self._address)
        context.spending = core.gate.spending(principal, self._address)
        return context

    def over(self, operation: Operation) -> bool:
        """An operation has come to its end: its id is free; False where the client ended it."""
        if self._operations.get(operation.id) is not operation:
            return False
        del self._operations[operation.id]
        return True

    async def say(self, text: str) -> None:
        """Send a message once the client has read what is before it."""
        await self.ready()
        self.wire.say(text.encode())

    async def ready(self) -> None:
        """Wait until the client has read what is before, or is gone."""
        await self.wire.writable.wait()

    def has(self, operation: Operation) -> bool:
        """Whether an operation still runs."""
        return self._operations.get(operation.id) is operation

    def skip(self) -> None:
        """Count a state that was not sent, for a newer one came."""
        self.skipped += 1
        self._sockets.skipped += 1

    @property
    def sockets(self) -> Sockets:
        return self._sockets
