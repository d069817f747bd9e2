"""The vigil over open sockets: who lost the right to one, or has had it for long, is closed.

Owns when credentials are judged again that let somebody in, how old a socket becomes, and the
closes they end with. One task for all sockets of a process, few look-ups for all their credentials,
one judgement for each; beside it a timer for each credential's own end.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import asyncpg
import structlog

from api.auth import Authenticator, Expired
from api.core import Core
from api.errors import Fault
from api.limits import SOCKET_AGE_JITTER, SOCKET_AGE_SECONDS, SOCKET_JUDGE_SECONDS
from api.logs import Seldom
from api.rights import Principal
from api.transport.protocol import Close, Code
from persistence.door import CONNECTION_LOST

#: Credentials judged in one turn of the loop: a millisecond.
TURN = 100
#: Seconds a timer runs at most; it is wound up again.
TIMER_SECONDS_MAX = 3_600.0

Rest: TypeAlias = Callable[[float], Awaitable[None]]

log = structlog.get_logger("kuota.vigil")


class Watched(Protocol):
    """A socket, as far as its credential goes."""

    @property
    def authorization(self) -> str | None: ...
    def interrupt(self, close: Close) -> None: ...


async def judge(authenticator: Authenticator, authorization: str | None) -> Principal | None:
    """Who is asking, by now; Close where the credential was taken back or has ended."""
    try:
        return await authenticator.authenticate(authorization)
    except Expired:
        raise Close(Code.FORBIDDEN, "the credential has expired") from None
    except Fault as fault:
        if fault.code == "UNAUTHENTICATED":
            raise Close(Code.UNAUTHORIZED, "the credential is not valid any more") from None
        raise


class Vigil:
    """The open sockets of a process that came with a credential."""

    def __init__(self, core: Core, rest: Rest = asyncio.sleep) -> None:
        self._core = core
        self._rest = rest
        self._sockets: dict[Watched, asyncio.TimerHandle | None] = {}
        self._ends: dict[Watched, float] = {}  #: when each has had its time
        self._task: asyncio.Task[None] | None = None
        self._away = Seldom()

    def begin(self, socket: Watched, principal: Principal | None) -> None:
        """Watch over a socket that was let in as `principal`."""
        self._sockets[socket] = None
        age = SOCKET_AGE_SECONDS * (1 - SOCKET_AGE_JITTER * random.random())
        self._ends[socket] = asyncio.get_running_loop().time() + age
        if principal is not None and principal.expires_at is not None:
            self._wind(socket, principal.expires_at)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="vigil")

    def end(self, socket: Watched) -> None:
        """A socket is closed; behind the last one nobody watches."""
        timer = self._sockets.pop(socket, None)
        self._ends.pop(socket, None)
        if timer is not None:
            timer.cancel()
        if not self._sockets and self._task is not None:
            self._task.cancel()
            self._task = None

    async def look(self) -> None:
        """Judge every credential once; who was let in stays in while the database is away."""
        now = asyncio.get_running_loop().time()
        for socket in [socket for socket, end in self._ends.items() if end <= now]:
            socket.interrupt(Close(Code.AGE, "the socket has had its time: come back"))
        groups: dict[str, list[Watched]] = {}
        for socket in self._sockets:
            if socket.authorization is not None:
                groups.setdefault(socket.authorization, []).append(socket)
        authenticator = self._core.authenticator
        await authenticator.refresh(groups)
        for number, (authorization, sockets) in enumerate(groups.items(), 1):
            try:
                await judge(authenticator, authorization)
            except Close as close:
                for socket in sockets:
                    socket.interrupt(close)
            if not number % TURN:
                await asyncio.sleep(0)

    async def _run(self) -> None:
        while True:
            await self._rest(SOCKET_JUDGE_SECONDS)
            try:
                await self.look()
            except (Fault, *CONNECTION_LOST, asyncpg.PostgresError) as error:
                if self._away.due():
                    log.warning("credentials of sockets are not judged", why=repr(error))
            except Exception as error:
                self._core.metrics.failures.labels("vigil").inc()
                log.error("credentials of sockets are not judged", exc_info=error)

    def _wind(self, socket: Watched, ends_at: int) -> None:
        """Close the socket at an instant, by the clock that credentials go by."""
        left = (ends_at - self._core.clock.now()) / 1_000_000
        if left <= 0:
            socket.interrupt(Close(Code.FORBIDDEN, "the credential has expired"))
            return
        loop = asyncio.get_running_loop()
        self._sockets[socket] = loop.call_later(
            min(left, TIMER_SECONDS_MAX), self._wind, socket, ends_at
        )
