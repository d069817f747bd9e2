"""Reload: a process learns of books and plans that were published elsewhere.

Owns when it looks. Facts do not wait for it: a lane that finds a tenant's terms changed reads what
was published by itself, under the tenant's lock. This is for what nobody locks: rates that are
read, plans that new tenants are put on.
"""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import structlog

from persistence.catalogue import STAMP, Catalogue
from persistence.door import CONNECTION_LOST, Door

#: Seconds between two looks: one indexed statement each.
LOOK_SECONDS = 2.0

log = structlog.get_logger("kuota.reload")


class Reload:
    """The looks of one process at what is published."""

    def __init__(self, door: Door, catalogue: Catalogue) -> None:
        self._door = door
        self._catalogue = catalogue
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="reload")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> bool:
        """Take over what was published since the last look; True where there was something."""
        async with self._door.system_tx("the catalogue is of no tenant") as conn:
            if await conn.fetchval(f"select {STAMP}") == self._catalogue.stamp:
                return False
            await self._catalogue.refresh(conn)
        log.info("the catalogue was read again", stamp=self._catalogue.stamp[:16])
        return True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
                log.warning("no look at the catalogue", why=repr(error))
            except Exception:
                # A book of a later release: what is known stays until this process is replaced.
                log.exception("the catalogue cannot be read again")
