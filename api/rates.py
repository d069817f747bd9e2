"""Rate limits by cost: buckets shared by all processes, spent mostly without asking.

Owns leases, the answer in headers, and what a process does while Valkey is away: it counts by
itself, in buckets of the same size. What is charged and to whom is `gate`'s.

A process takes a hundredth of a minute's quota at once and spends it alone. So nearly no request
waits for Valkey, and a bucket is spent beyond its quota by at most that much for each process.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import structlog
from redis.asyncio import Redis

from api.limits import (
    RATE_ANSWER_SECONDS,
    RATE_AWAY_SECONDS,
    RATE_LEASES,
    RATE_REMEMBERED_MAX,
)
from api.logs import Seldom
from api.metrics import Metrics
from domain.periods import SECOND
from persistence.rates import WINDOW, Bucket, Taken, filled, take
from persistence.valkey import AWAY

log = structlog.get_logger("kuota.rates")


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand after a charge, or a refusal."""

    buckets: tuple[Bucket, ...]
    left: tuple[int, ...]  #: what could be spent at once, of each
    retry_seconds: int | None = None  #: of a refusal: when the same would pass

    def headers(self) -> dict[str, str]:
        """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-11).

        `t` is how long the bucket takes to be full again.
        """
        if not self.buckets:
            return {}
        stands = ", ".join(
            f'"{bucket.policy}";r={left};t={full_after(bucket, left)}'
            for bucket, left in zip(self.buckets, self.left, strict=True)
        )
        return {"ratelimit-policy": policies(self.buckets), "ratelimit": stands}


WINDOW_SECONDS = WINDOW // SECOND
UNLIMITED = Standing((), ())


def full_after(bucket: Bucket, left: int) -> int:
    """Seconds until a bucket is full again, if nobody spends of it."""
    return -(-(bucket.quota - left) * WINDOW_SECONDS // bucket.quota)


@lru_cache(maxsize=64)
def _policies(named: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f'"{name}";q={quota};w={WINDOW_SECONDS};qu="cost"' for name, quota in named)


def policies(buckets: Sequence[Bucket]) -> str:
    """The limits themselves, as RateLimit-Policy says them."""
    return _policies(tuple((bucket.policy, bucket.quota) for bucket in buckets))


def wait_for(buckets: Sequence[Bucket], left: Sequence[float], need: int) -> float:
    """Microseconds until there is as much in each bucket, if nobody spends of it."""
    return max(
        (min(need, bucket.quota) - holds) * WINDOW / bucket.quota
        for bucket, holds in zip(buckets, left, strict=True)
    )


class Held:
    """What a process knows of some buckets that are charged together."""

    __slots__ = ("asking", "at", "lease", "left", "refused_cost", "refused_until")

    def __init__(self) -> None:
        self.lease = 0  #: taken, and not spent yet
        self.left: tuple[float, ...] = ()  #: in the buckets, when they were last asked
        self.at = 0
        self.refused_cost = 0
        self.refused_until = 0
        #: One asks; the others go on with what it brings.
        self.asking = asyncio.Lock()


def _present() -> int:
    return time.time_ns() // 1000


class Rates:
    """The buckets as one process sees them; `now` gives microseconds since 1970."""

    def __init__(self, valkey: Redis, metrics: Metrics, now: Callable[[], int] = _present) -> None:
        self._valkey = valkey
        self._metrics = metrics
        self._now = now
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._away_until = 0
        self._away = Seldom()
        #: What is left by this process's own count, while Valkey is away: (left, at).
        self._own: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def spend(self, buckets: tuple[Bucket, ...], cost: int) -> Standing:
        """Take `cost` from all of the buckets, or nothing where one of them has not so much."""
        if not buckets:
            return UNLIMITED
        held = self._held_of(buckets)
        if held.lease >= cost:
            held.lease -= cost
            return self._standing(buckets, held)
        async with held.asking:
            if held.lease >= cost:
                held.lease -= cost
                return self._standing(buckets, held)
            if (known := self._known(buckets, held, cost)) is not None:
                return known
            return await self._spend(buckets, held, cost)

    def refused(self, buckets: tuple[Bucket, ...]) -> Standing | None:
        """The refusal of whatever is asked next, where it is known; asks nobody."""
        held = self._held.get(buckets[0].key) if buckets else None
        if held is None or held.lease >= 1:
            return None
        return self._known(buckets, held, 1)

    async def _spend(self, buckets: tuple[Bucket, ...], held: Held, cost: int) -> Standing:
        need = cost - held.lease
        now = self._now()
        taken = await self._take(buckets, now, need, need + buckets[0].quota // RATE_LEASES)
        held.left, held.at = taken.left, now
        if taken.granted:
            held.lease += taken.granted - cost
            return self._standing(buckets, held)
        held.refused_cost = cost
        held.refused_until = now + round(wait_for(buckets, taken.left, need))
        return self._refusal(buckets, held, cost, now)

    def _known(self, buckets: tuple[Bucket, ...], held: Held, cost: int) -> Standing | None:
        now = self._now()
        if cost < held.refused_cost or now >= held.refused_until:
            return None
        return self._refusal(buckets, held, cost, now)

    def _refusal(self, buckets: tuple[Bucket, ...], held: Held, cost: int, now: int) -> Standing:
        left = [
            filled(left, held.at, now, bucket.quota)
            for bucket, left in zip(buckets, held.left, strict=True)
        ]
        wait = wait_for(buckets, left, cost - held.lease)
        # Rounded up: who comes back then is not early.
        return self._standing(buckets, held, max(1, math.ceil(wait / SECOND)))

    async def _take(self, buckets: tuple[Bucket, ...], now: int, need: int, wish: int) -> Taken:
        if now >= self._away_until:
            try:
                async with asyncio.timeout(RATE_ANSWER_SECONDS):
                    return await take(self._valkey, buckets, now=now, need=need, wish=wish)
            except AWAY as error:
                self._away_until = now + round(RATE_AWAY_SECONDS * SECOND)
                if self._away.due():
                    log.warning("limits are counted by this process alone", why=repr(error))
        self._metrics.rates_alone.inc()
        return self._take_alone(buckets, now, need)

    def _take_alone(self, buckets: tuple[Bucket, ...], now: int, need: int) -> Taken:
        """As the script, in buckets of this process; no more than is needed at the moment."""
        left = []
        for bucket in buckets:
            before, at = self._own.get(bucket.key, (bucket.quota, now))
            left.append(filled(before, at, now, bucket.quota))
        pairs = list(zip(buckets, left, strict=True))
        if any(holds < min(need, bucket.quota) for bucket, holds in pairs):
            return Taken(0, tuple(left))
        for bucket, holds in pairs:
            self._own[bucket.key] = (holds - need, now)
            self._own.move_to_end(bucket.key)
        while len(self._own) > RATE_REMEMBERED_MAX:
            self._own.popitem(last=False)
        return Taken(need, tuple(holds - need for holds in left))

    def _held_of(self, buckets: tuple[Bucket, ...]) -> Held:
        held = self._held.get(buckets[0].key)
        if held is None:
            held = self._held[buckets[0].key] = Held()
            if len(self._held) > RATE_REMEMBERED_MAX:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(buckets[0].key)
        return held

    def _standing(
        self, buckets: tuple[Bucket, ...], held: Held, retry_seconds: int | None = None
    ) -> Standing:
        now = self._now()
        left = tuple(
            max(0, min(bucket.quota, int(filled(left, held.at, now, bucket.quota)) + held.lease))
            for bucket, left in zip(buckets, held.left, strict=True)
        )
        return Standing(buckets, left, retry_seconds)
