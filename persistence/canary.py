"""The canary: a message of our own that goes the way of the feed, to prove that the way is open.

Owns the message, who waits for it and how long it took; the subscription that hears it is the
hub's. Of many who ask at once the first sends, and all wait for the same.
"""

from __future__ import annotations

import asyncio
import math
import secrets

from redis.asyncio import Redis

from persistence import keys
from persistence.valkey import AWAY, Script, run

#: Seconds after which it is sent again: a subscription that is just being made misses the first.
AGAIN_SECONDS = 0.2

# In a script, as readings are: who may not run one, or may not publish in it, shows nothing.
SING = Script("return redis.call('PUBLISH', ARGV[1], ARGV[2])")


class Canary:
    """The canary of one process: others' sing on the same channel, and are not listened to."""

    def __init__(self) -> None:
        self._song = secrets.token_bytes(16)
        self._count = 0
        self._sent: dict[bytes, float] = {}  #: by the one flight under way, and when
        self._heard = asyncio.Event()
        self._flight: asyncio.Task[bool] | None = None
        self.seconds = math.nan  #: the last one took from here to here; not a number before it

    async def returns(self, valkey: Redis, patience_seconds: float) -> bool:
        """Whether one that is sent through Valkey is heard here in time."""
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly(valkey, patience_seconds), name="canary")
        flight = self._flight
        # Who asks and goes away takes nothing with it from the others who ask.
        await asyncio.wait({flight})
        return not flight.cancelled() and flight.result()

    def hear(self, message: bytes) -> None:
        """Take what was said on the canaries' channel; what an earlier flight sent is late."""
        sent = self._sent.get(message)
        if sent is not None and not self._heard.is_set():
            self.seconds = asyncio.get_running_loop().time() - sent
            self._heard.set()

    async def stop(self) -> None:
        """Wait for none any more."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    async def _fly(self, valkey: Redis, patience_seconds: float) -> bool:
        clock = asyncio.get_running_loop().time
        self._heard.clear()
        # redis-py may swallow a cancellation: the loop ends by the clock as well.
        end = clock() + patience_seconds
        try:
            async with asyncio.timeout(patience_seconds):
                while not self._heard.is_set() and clock() < end:
                    await self._sing(valkey)
                return self._heard.is_set()
        except AWAY:
            return False
        finally:
            self._sent.clear()
            self._flight = None

    async def _sing(self, valkey: Redis) -> None:
        self._count += 1
        message = self._song + b"%d" % self._count
        self._sent[message] = asyncio.get_running_loop().time()
        await run(valkey, [(SING, [], (keys.CANARY, message))])
        try:
            await asyncio.wait_for(self._heard.wait(), AGAIN_SECONDS)
        except TimeoutError:
            return
