"""Buckets in Valkey: what each key, tenant and address may still spend, for all processes at once.

Owns the script that takes from several buckets or from none of them, and how a bucket fills. How
large a bucket is, and what anything costs, is `api.rates`'. A bucket that is missing is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from domain.periods import SECOND
from persistence.valkey import Script, run

#: Microseconds in which an empty bucket fills.
WINDOW = 60 * SECOND


class Bucket(NamedTuple):
    """One bucket: a quota that fills evenly within `WINDOW`, and holds no more than that."""

    policy: str  #: what it is called to clients
    key: str  #: in Valkey
    quota: int


class Taken(NamedTuple):
    """What became of a wish."""

    granted: int  #: 0: refused, and nothing was taken from any bucket
    left: tuple[float, ...]  #: in each bucket now; below 0 after something dearer than a quota


# Something dearer than a whole bucket needs a full one, and leaves it in debt: it passes, seldom.
# A process whose clock is behind fills nothing; one that was a window ahead is not believed.
TAKE = Script("""
local now, need, wish, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]),
    tonumber(ARGV[4])
local left, at, least, granted = {}, {}, math.huge, wish
for i, key in ipairs(KEYS) do
    local quota = tonumber(ARGV[4 + i])
    local state = redis.call('HMGET', key, 'left', 'at')
    left[i], at[i] = tonumber(state[1]) or quota, tonumber(state[2]) or now
    if at[i] > now + window then left[i], at[i] = quota, now end
    left[i] = math.min(quota, left[i] + math.max(0, now - at[i]) * quota / window)
    at[i] = math.max(at[i], now)
    least = math.min(least, left[i])
    if left[i] < math.min(need, quota) then granted = 0 end
end
if granted > 0 then
    granted = math.max(need, math.min(wish, math.floor(least)))
    for i, key in ipairs(KEYS) do
        local quota = tonumber(ARGV[4 + i])
        left[i] = left[i] - granted
        redis.call('HSET', key, 'left', string.format('%.6f', left[i]),
            'at', string.format('%.0f', at[i]))
        -- Full again by then, as it is when it is missing.
        redis.call('PEXPIRE', key, math.ceil((quota - left[i]) / quota * window / 1000) + 1000)
    end
end
local answer = {granted}
for i = 1, #KEYS do answer[i + 1] = string.format('%.6f', left[i]) end
return answer
""")


async def take(
    valkey: Redis, buckets: Sequence[Bucket], *, now: int, need: int, wish: int
) -> Taken:
    """Take `need` from all buckets, or up to `wish` if there is so much; one round trip.

    `now` is in microseconds. Raises one of `persistence.valkey.AWAY`.
    """
    arguments = (now, need, wish, WINDOW, *(bucket.quota for bucket in buckets))
    (answer,) = await run(valkey, [(TAKE, [bucket.key for bucket in buckets], arguments)])
    return Taken(int(answer[0]), tuple(float(left) for left in answer[1:]))


def filled(left: float, at: int, now: int, quota: int) -> float:
    """What a bucket holds at `now`, having held `left` at the instant `at`."""
    return min(quota, left + max(0, now - at) * quota / WINDOW)
