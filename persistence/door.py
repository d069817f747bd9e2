"""The one door to tenant data: transactions that name the tenants they may see.

Owns connections, roles and `app.tenants`; no statement of its own beyond those. Whoever opens
`tenant_tx` sees the rows of the named tenants and no others, whatever it asks; what has no tenant
(key look-up, operator lists, due heads) goes through `system_tx`, which says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Self, TypeVar

import asyncpg

from persistence.connection import Connection, Pool, connect, open_pool
from persistence.gathered import Gathered

K = TypeVar("K")
V = TypeVar("V")

#: Connections a process keeps for readers and operations; lanes have their own.
READERS_MAX = 8

#: What sees one moment over several statements. Who holds a connection for it may wait for another
#: one meanwhile, so half of them at most are held.
ONE_MOMENT = "isolation level repeatable read, read only"

#: Connections that wait to be somebody's again, and seconds in which one ends.
RESTING_MAX = 8
END_SECONDS = 5.0


class Door:
    """A pool of connections as the app's role."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.epoch = ""  #: of the database as the newest connection found it; "" before the first
        self._pool: Pool
        self._gathered: dict[Callable[..., Any], Gathered[Any, Any]] = {}
        self._resting: list[Connection] = []
        self._looks: asyncio.Semaphore
        self._open = True

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, size: int = READERS_MAX) -> AsyncIterator[Self]:
        """Open a door on `url`; a role that may do more than the app's is lowered to it."""
        door = cls(url)
        door._pool = await open_pool(url, size, door._opened)
        door._looks = asyncio.Semaphore(max(1, size // 2))
        try:
            yield door
        finally:
            door._open = False
            while door._resting:
                await door._resting.pop().close(timeout=END_SECONDS)
            await door._pool.close()

    @asynccontextmanager
    async def tenant_tx(self, *tenants: int) -> AsyncIterator[Connection]:
        """A transaction that sees `tenants` and nothing else; committed unless its body raises."""
        async with self._transaction(tenant_scope(tenants)) as connection:
            yield connection

    @asynccontextmanager
    async def system_tx(self, reason: str) -> AsyncIterator[Connection]:
        """A transaction of the system role, for what has no tenant; `reason` says which that is."""
        if not reason:
            raise ValueError("a system transaction says why it needs no tenant")
        async with self._transaction("set local role kuota_system") as connection:
            yield connection

    @asynccontextmanager
    async def look(self, scope: str) -> AsyncIterator[Connection]:
        """A transaction that sees one moment, and changes nothing: what a `Snapshot` shows."""
        async with self._looks, self._pool.acquire() as pooled:
            connection: Connection = pooled  # type: ignore[assignment]  # it has its face
            try:
                await connection.execute(f"begin {ONE_MOMENT}; {scope}")
                yield connection
            finally:
                await _undo(connection)

    @asynccontextmanager
    async def _transaction(self, scope: str) -> AsyncIterator[Connection]:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            async with self._pool.acquire() as pooled:
                connection: Connection = pooled  # type: ignore[assignment]  # it has its face
                try:
                    # One round trip: begin and scope travel together. Who is cancelled while it is
                    # on its way may have begun, so it is undone too.
                    await connection.execute(f"begin; {scope}")
                    yield connection
                except BaseException:
                    await _undo(connection)
                    raise
                await connection.execute("commit")
        except CONNECTION_LOST:
            # Who is told to end just as the connection is lost ends, and does not try again.
            if task and task.cancelling() > before:
                raise asyncio.CancelledError from None
            raise

    def gathered(self, look: Callable[[Door, list[K]], Awaitable[Mapping[K, V]]]) -> Gathered[K, V]:
        """The look-ups by `look` at this door: of those of one moment one statement is made."""
        if look not in self._gathered:
            self._gathered[look] = Gathered(partial(look, self))
        return self._gathered[look]

    async def lane(self) -> Connection:
        """A connection of its own for a lane; the caller closes it."""
        return await connect(self.url, self._opened)

    async def session(self) -> Connection:
        """A connection of its own for a while: the caller closes it, or gives it to `rest`."""
        while self._resting:
            connection = self._resting.pop()
            if await _answers(connection, "select 1"):  # it may have been lost while it rested
                return connection
        return await self.lane()

    async def rest(self, connection: Connection) -> None:
        """Have a session, outside a transaction, be the next one's; its locks are given back.

        What it remembers of statements took longer to find out than most of them.
        """
        if not await _answers(connection, "select pg_advisory_unlock_all()"):
            return
        if self._open and len(self._resting) < RESTING_MAX:
            self._resting.append(connection)
        else:
            await connection.close(timeout=END_SECONDS)

    def _opened(self, epoch: str) -> None:
        self.epoch = epoch

    async def ping(self) -> None:
        """Raise unless the database answers."""
        async with self._pool.acquire() as connection:
            await connection.execute("select 1")


async def _answers(connection: Connection, statement: str) -> bool:
    """Run a statement; False, and given up, where the connection is lost."""
    try:
        await connection.execute(statement)
    except BaseException as error:
        connection.terminate()
        if isinstance(error, CONNECTION_LOST):
            return False
        raise
    return True


async def _undo(connection: Connection) -> None:
    """Roll back, or give the connection up where it no longer answers."""
    try:
        if not connection.is_closed():
            await connection.execute("rollback")
    except CONNECTION_LOST:
        with suppress(*CONNECTION_LOST):  # the pool may have noticed before
            connection.terminate()


def tenant_scope(tenants: Iterable[int]) -> str:
    """The statement that lets the current transaction see `tenants` (ids, so nothing to quote)."""
    ids = ",".join(str(int(tenant)) for tenant in tenants)
    return f"set local app.tenants = '{{{ids}}}'"


#: What a lost or refused connection looks like, whichever layer noticed.
CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # the driver's own confusion when a server dies between two calls
    OSError,
    TimeoutError,
)
