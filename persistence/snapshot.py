"""A door through which all is seen as it was at one moment, however many statements ask.

Owns the one connection and transaction of a look that takes several statements: the figures of one
answer agree, whatever is committed meanwhile. It writes nothing, and shows tenants' rows alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn

from persistence.connection import Connection
from persistence.door import Door


class Snapshot(Door):
    """What a door shows, of the moment of the first statement; `aclose` ends it."""

    def __init__(self, door: Door) -> None:
        super().__init__(door.url)
        self.epoch = door.epoch
        self._door = door
        self._turn = asyncio.Lock()  # a connection does one thing at a time
        self._look = AsyncExitStack()
        self._connection: Connection | None = None
        self._scope = ""

    @asynccontextmanager
    async def _transaction(self, scope: str) -> AsyncIterator[Connection]:
        async with self._turn:
            if self._connection is None:
                if not self._open:
                    raise RuntimeError("a snapshot was asked for after its end")
                self._connection = await self._look.enter_async_context(self._door.look(scope))
                self._scope = scope
            try:
                if scope != self._scope:
                    await self._connection.execute(scope)
                    self._scope = scope
                yield self._connection
            except BaseException:
                # Whatever stopped it, the transaction may be of no more use: who comes next sees
                # a later moment, and the answer says that something failed.
                await self._end()
                raise

    def system_tx(self, reason: str) -> NoReturn:
        """Not here: what has no tenant is no figure."""
        raise TypeError(f"a snapshot shows what tenants have: {reason}")

    async def aclose(self) -> None:
        """Give the connection back; what is under way is finished before."""
        self._open = False
        async with self._turn:
            await self._end()

    async def _end(self) -> None:
        self._connection = None
        await self._look.aclose()
