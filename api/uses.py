"""When keys were last taken: noted in passing, written by a task, lost in a crash without harm.

Owns how fine an instant is kept and how often it is written, so that a key that is taken a thousand
times a second costs one row a minute. Rows are `persistence.credentials`'.
"""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import structlog

from api.limits import KEY_USES_WRITE_SECONDS
from domain.periods import MINUTE
from persistence.credentials import KeyRecord, note_uses
from persistence.door import CONNECTION_LOST, Door

log = structlog.get_logger("kuota.uses")


class Uses:
    """The uses of keys in one process."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._noted: dict[int, int] = {}  #: the minute a key was last noted in, of the latest ones
        self._unwritten: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, key: KeyRecord, now: int) -> None:
        """A key was taken: once a minute it is something to write."""
        minute = now - now % MINUTE
        if minute > self._noted.get(key.key_id, key.last_used_at or 0):
            self._noted[key.key_id] = self._unwritten[key.key_id] = minute

    async def write(self) -> None:
        """Write what was noted, in one statement."""
        uses, self._unwritten = self._unwritten, {}
        if not uses:
            return
        latest = max(uses.values())
        self._noted = {key: at for key, at in self._noted.items() if at >= latest}
        await note_uses(self._door, uses)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="uses of keys")

    async def stop(self) -> None:
        """Write what is left, and no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await self._try()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(KEY_USES_WRITE_SECONDS)
            await self._try()

    async def _try(self) -> None:
        try:
            await self.write()
        except (*CONNECTION_LOST, asyncpg.PostgresError) as error:
            log.warning("uses of keys are not written", why=repr(error))
