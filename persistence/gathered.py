"""Look-ups that are gathered: what is asked for while a statement is under way goes in the next.

Owns when a statement begins and who is answered by it, not what is looked up. However many ask, one
statement of a kind is under way at a time; and nobody is answered by one that began before he
asked, so that what somebody wrote is there when he looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

#: Keys that one statement looks up: some milliseconds of the loop.
AT_A_TIME = 500


class Gathered(Generic[K, V]):
    """The look-ups of one kind in a process."""

    def __init__(self, look: Callable[[list[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._look = look
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """What is found of a key, or None; raises what its statement raises."""
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="look-ups")
        # Who goes away takes nothing with him from the others who ask for the same.
        return await asyncio.shield(answer)

    async def _run(self) -> None:
        batch: dict[K, asyncio.Future[V | None]] = {}
        try:
            while self._waiting:
                batch = {key: self._waiting.pop(key) for key in [*islice(self._waiting, AT_A_TIME)]}
                try:
                    found = await self._look(list(batch))
                except Exception as error:
                    for answer in batch.values():
                        answer.set_exception(error)
                        answer.exception()  # nobody may be left to hear of it
                else:
                    for key, answer in batch.items():
                        answer.set_result(found.get(key))
        finally:
            self._task = None
            # Somebody is left only where the process ends.
            for answer in (*batch.values(), *self._waiting.values()):
                answer.cancel()
