"""Showing what was committed: versions of tenants in Valkey, after the commit and beside it.

Owns the connection to Valkey of the way in. Nothing waits for it and nothing is lost with it: what
it could not show is counted, and the next commit shows a later version.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from persistence import keys


class Show:
    """Brings versions to Valkey in the background, the newest of each tenant at a time."""

    def __init__(self, valkey: Redis) -> None:
        self._valkey = valkey
        self._pending: dict[int, int] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.lost = 0  #: versions that could not be shown

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="show")

    async def stop(self) -> None:
        if self._task is not None:
            # redis-py takes a cancellation in the middle of a command for its own timeout and
            # swallows it: the flag ends the task then.
            self._stopping = True
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def bump(self, versions: Iterable[tuple[int, int]]) -> None:
        """Note committed versions, to be shown soon."""
        for tenant_id, version in versions:
            self._pending[tenant_id] = max(version, self._pending.get(tenant_id, 0))
        self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = self._pending, {}
            if not pending:
                continue
            try:
                await self._valkey.mset({keys.version(t): v for t, v in pending.items()})
            except (RedisError, OSError):
                self.lost += len(pending)
