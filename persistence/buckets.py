"""Buckets: the open windows and visitors of a tenant in Valkey, and which versions they have.

Owns the two scripts that change and count a bucket, and how a contact's row becomes its members. A
bucket counts only as far as it says: `upto` is the version up to which everything is in it. A
change comes with its versions; one that arrives before its predecessors waits in `ahead`; what
never arrives leaves a gap that is seen, and is read again from PostgreSQL. Members may be added
twice and in any order: ends of windows only move forward, visitors of a month only grow. Only a
settling takes any away: the buckets are then begun anew, and what was committed before is no member
any more.

A window's start that a late fact moves back from the future is the one thing not shown at once: it
counts from the start shown first, at most the five minutes facts may be ahead.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from domain.periods import SECOND
from persistence import keys
from persistence.valkey import Call, Script

#: Visitors of a month above which a tenant's members are spread, and over how many buckets.
SPREAD_ABOVE = 50_000
SPREAD_OVER = 8

DAY_SECONDS = 86_400

_pack = msgspec.msgpack.Encoder().encode

#: For how long a rebuild that is not heard of keeps others from beginning one.
BUILDER_SILENCE = 5 * SECOND

#: What a script answers first: done; another number of buckets; another rebuild, or a lost one;
#: nothing is known of this epoch.
DONE, OTHER_NUMBER, ABANDONED, UNKNOWN = 1, -1, -2, -3

APPLY = Script("""
local epoch, of, now, p = ARGV[1], ARGV[2], ARGV[3], cmsgpack.unpack(ARGV[4])
local state = redis.call('HMGET', KEYS[1], 'epoch', 'of', 'upto', 'building', 'heard',
    'settled')
if state[1] ~= epoch or (p.begin and state[2] ~= of) then
    redis.call('DEL', unpack(KEYS))
    state = {}
end
local settled = tonumber(state[6] or '0')
local heard = p.heard and string.format('%.0f', p.heard)
if p.begin then
    -- Two processes that took each other's place would never end: the first one goes on.
    if heard and state[4] and string.match(state[4], '^[^:]*') ~= string.match(p.begin, '^[^:]*')
        and math.abs(heard - (tonumber(state[5]) or 0)) < p.silence then return {-2, 0} end
    -- A settling may take members away: those from before it are forgotten, all of them.
    if p.settled and p.settled > settled then
        redis.call('DEL', unpack(KEYS))
        redis.call('HSET', KEYS[1], 'settled', string.format('%.0f', p.settled))
    end
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'of', of, 'building', p.begin)
    if heard then redis.call('HSET', KEYS[1], 'heard', heard) end
    return {1, 0}
end
if state[2] and state[2] ~= of then return {-1, tonumber(state[2])} end
if p.token and p.token ~= state[4] then return {-2, 0} end
if heard then redis.call('HSET', KEYS[1], 'heard', heard) end
local first, last = math.huge, 0
for _, version in ipairs(p.versions) do
    first, last = math.min(first, version), math.max(last, version)
end
-- What was committed before a settling and comes after it says what no longer holds.
if first <= settled and last > settled then return {-2, 0} end
if last > 0 and last <= settled then p.windows, p.visitors = {{}, {}, {}, {}}, {{}, {}} end
local function keep(key, seconds)
    if redis.call('TTL', key) < seconds then redis.call('EXPIRE', key, seconds) end
end
local function add(key, members, command, option)
    if #members == 0 then return end
    for i = 1, #members, 1000 do
        local last = math.min(i + 999, #members)
        if option then
            redis.call(command, key, option, unpack(members, i, last))
        else
            redis.call(command, key, unpack(members, i, last))
        end
    end
    keep(key, p.seconds)
end
for i = 1, 4 do
    add(KEYS[2 + i], p.windows[i], 'ZADD', 'GT')
    redis.call('ZREMRANGEBYSCORE', KEYS[2 + i], '-inf', p.forgotten)
end
add(KEYS[7], p.visitors[1], 'SADD')
add(KEYS[8], p.visitors[2], 'SADD')
local upto = tonumber(state[3] or '0')
if p.base and p.base > upto then
    upto = p.base
    for _, version in ipairs(redis.call('SMEMBERS', KEYS[2])) do
        if tonumber(version) <= upto then redis.call('SREM', KEYS[2], version) end
    end
end
for _, version in ipairs(p.versions) do
    if version == upto + 1 then
        upto = version
    elseif version > upto then
        redis.call('SADD', KEYS[2], string.format('%.0f', version))
        redis.call('EXPIRE', KEYS[2], 3600)
    end
end
while redis.call('SREM', KEYS[2], string.format('%.0f', upto + 1)) == 1 do upto = upto + 1 end
redis.call('HSET', KEYS[1], 'epoch', epoch, 'of', of, 'upto', string.format('%.0f', upto))
if p.base then redis.call('HDEL', KEYS[1], 'building', 'heard') end
return {1, upto}
""")

COUNT = Script("""
local state = redis.call('HMGET', KEYS[1], 'epoch', 'of', 'upto')
if state[1] ~= ARGV[1] then return {-3, 0} end
if state[2] ~= ARGV[2] then return {-1, tonumber(state[2])} end
local after, next = '(' .. ARGV[3], false
local function open(key, from)
    for _, edges in ipairs({key, from}) do
        local first = redis.call('ZRANGEBYSCORE', edges, after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        if first[2] and (not next or tonumber(first[2]) < tonumber(next)) then next = first[2] end
    end
    return redis.call('ZCOUNT', key, after, '+inf') - redis.call('ZCOUNT', from, after, '+inf')
end
local windows, conversations = open(KEYS[3], KEYS[4]), open(KEYS[5], KEYS[6])
local visitors = redis.call('SCARD', KEYS[7])
return {1, tonumber(state[3] or '0'), conversations, windows, visitors, next}
""")


class Counted(NamedTuple):
    """What the buckets of a tenant add up to, at an instant."""

    upto: int  #: the version up to which everything is in it
    conversations: int
    windows: int
    visitors: int
    next_change: int | None  #: when the next window opens or closes


class Members:
    """What contacts add to the buckets of their tenant, as seen at an instant."""

    def __init__(self, of: int, now: int, month: int) -> None:
        self.of = of
        self.month = month
        self._now = now
        self._latest = now
        self._windows: list[tuple[list[Any], ...]] = [([], [], [], []) for _ in range(of)]
        self._visitors: list[tuple[list[str], list[str]]] = [([], []) for _ in range(of)]

    def add(
        self,
        channel: int,
        party: str,
        number_id: int,
        service: tuple[int | None, int | None],
        conversation: tuple[int | None, int | None],
        visited: Iterable[int],
    ) -> None:
        """Add one contact's row; windows as (opened, ends)."""
        bucket = zlib.crc32(party.encode()) % self.of if self.of > 1 else 0
        place = 0
        for opened, ends in (service, conversation):
            if ends is not None and ends > self._now:
                member = f"{number_id}:{party}"
                self._windows[bucket][place].extend((ends, member))
                if ends > self._latest:
                    self._latest = ends
                if opened is not None and opened > self._now:
                    self._windows[bucket][place + 1].extend((opened, member))
            place += 2
        for month in visited:
            if 0 <= month - self.month <= 1:
                self._visitors[bucket][month - self.month].append(f"{channel}:{party}")

    def calls(self, tenant_id: int, epoch: str, **how: Any) -> list[Call]:
        """The script calls that bring the members to Valkey; `how` are the versions and so on."""
        # Kept for two months at least: visitors of the next month are read all through it.
        seconds = (self._latest - self._now) // SECOND + 63 * DAY_SECONDS
        return [
            (
                APPLY,
                keys.bucket(tenant_id, bucket, self.month),
                (
                    epoch,
                    self.of,
                    self._now,
                    _pack(
                        {
                            "windows": self._windows[bucket],
                            "visitors": self._visitors[bucket],
                            "seconds": seconds,
                            "forgotten": self._now - DAY_SECONDS * SECOND,
                            "versions": (),
                            **how,
                        }
                    ),
                ),
            )
            for bucket in range(self.of)
        ]


def begin_calls(
    tenant_id: int,
    epoch: str,
    of: int,
    month: int,
    token: str,
    now: int | None = None,
    settled: int = 0,
) -> list[Call]:
    """The calls that begin a rebuild, to be run in order and only behind one that is done.

    At `now` the first is refused while another process (what a token says before a colon) is heard
    of at its own; without it, and where that one is silent, who begins later takes over. Members of
    buckets that were begun before the version `settled` are forgotten.
    """
    calls: list[Call] = []
    for bucket in range(of):
        how: dict[str, Any] = {"begin": token, "settled": settled}
        if now is not None and bucket == 0:
            how |= {"heard": now, "silence": BUILDER_SILENCE}
        calls.append((APPLY, keys.bucket(tenant_id, bucket, month), (epoch, of, 0, _pack(how))))
    return calls


def count_calls(tenant_id: int, epoch: str, of: int, month: int, at: int) -> list[Call]:
    """The calls that count; their answers are for `counted`."""
    return [(COUNT, keys.bucket(tenant_id, bucket, month), (epoch, of, at)) for bucket in range(of)]


def counted(answers: Iterable[list[Any]]) -> Counted | int:
    """The sum of buckets; where one cannot be counted, the number of buckets it says, or 0."""
    upto: int | None = None
    sums = [0, 0, 0]
    changes: list[int] = []
    for answer in answers:
        if answer[0] == OTHER_NUMBER:
            return int(answer[1])
        if answer[0] != DONE:
            return 0
        upto = answer[1] if upto is None else min(upto, answer[1])
        for place in range(3):
            sums[place] += answer[2 + place]
        if answer[5] is not None:
            changes.append(int(answer[5]))
    assert upto is not None, "a tenant has a bucket"
    conversations, windows, visitors = sums
    return Counted(upto, conversations, windows, visitors, min(changes, default=None))
