"""What was looked up a moment ago: believed for a while, looked up once however many ask.

Owns for how long, not what. Nothing is believed longer because it is asked for often.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, each for `seconds` after its look-up; at most `most`, the oldest go first."""

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._looking: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, look: Callable[[], Awaitable[V]]) -> V:
        """What is believed of a key, or what `look` gives."""
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None:
            if now - known[0] < self._seconds:
                return known[1]
            # A thousand sockets of one person ask at once: the first looks, the others go on.
            self._known[key] = (now, known[1])
        looking = self._looking.get(key)
        if looking is None:
            # After a restart nothing is known: the first looks, and the others wait for it.
            looking = self._looking[key] = asyncio.create_task(self._look(key, look, now))
        return await asyncio.shield(looking)

    async def _look(self, key: K, look: Callable[[], Awaitable[V]], now: float) -> V:
        mine = asyncio.current_task()
        try:
            value = await look()
        except BaseException:
            self._known.pop(key, None)
            raise
        else:
            if self._looking.get(key) is mine:
                self.put(key, value, now)
            return value
        finally:
            if self._looking.get(key) is mine:
                del self._looking[key]

    def peek(self, key: K) -> V | None:
        """What is believed of a key; None where it has to be looked up."""
        return self._known[key][1] if self.has(key) else None

    def has(self, key: K) -> bool:
        """Whether something is believed of a key, if it is that there is nothing."""
        known = self._known.get(key)
        return known is not None and time.monotonic() - known[0] < self._seconds

    def put(self, key: K, value: V, now: float | None = None) -> None:
        """Believe a value from `now` on."""
        self._known[key] = (time.monotonic() if now is None else now, value)
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def forget(self, key: K) -> None:
        """Look a key up again at its next use: what is being looked up may be of before."""
        self._known.pop(key, None)
        self._looking.pop(key, None)
