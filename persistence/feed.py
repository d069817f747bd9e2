"""A tenant's reading in Valkey: the fields that are stored, and the bytes that are published.

Owns their forms. In what is published the tenant stands in front in plain digits, so that who does
not watch it reads no further.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, NamedTuple

import msgspec

from domain.figures import LotUse, left
from domain.lots import LotSource
from domain.periods import Period
from domain.reading import Pot, Reading
from domain.terms import Terms
from persistence import keys
from persistence.valkey import Call, Script

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
SOURCES = {int(source): source for source in LotSource}


# A reading takes the place of an older one, of the same version at an earlier instant too.
BALANCES = Script("""
local held = redis.call('HMGET', KEYS[1], 'epoch', 'version', 'at')
if held[1] == ARGV[1] then
    local newer = tonumber(ARGV[2]) - tonumber(held[2])
    if newer < 0 or (newer == 0 and tonumber(ARGV[3]) <= tonumber(held[3])) then return 0 end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', ARGV[2], 'at', ARGV[3], unpack(ARGV, 6))
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
""")


class Published(NamedTuple):
    """A reading and the database it is of."""

    tenant_id: int
    epoch: str
    reading: Reading


def encode(published: Published) -> bytes:
    tenant_id, epoch, reading = published
    span = reading.period
    return b"%d " % tenant_id + _pack(
        (
            epoch, reading.version, reading.cause, reading.at, span.label, span.start, span.end,
            reading.closed, reading.next_due, reading.alerted,
            {key: (pot.held, pot.lots) for key, pot in reading.pots.items()},
        )
    )  # fmt: skip


def show_call(epoch: str, terms: Terms, reading: Reading) -> Call:
    """The call that stores and publishes a reading, unless a newer one is there."""
    tenant_id = terms.tenant_id
    message = encode(Published(tenant_id, epoch, reading))
    fields: list[str | int] = ["valid_until", reading.valid_until]
    for balance in terms.standing.balances(reading.period, reading.at):
        pot = reading.pots.get(balance.key)
        lots = () if pot is None else pot.lots
        amount = left(balance, reading.period, reading.at, lots, terms.since)
        fields += (f"left:{balance.key}", amount)
    return (
        BALANCES,
        [keys.balances(tenant_id)],
        (epoch, reading.version, reading.at, keys.channel(tenant_id), message, *fields),
    )


def decode(message: bytes, wanted: Container[int]) -> Published | None:
    """What was published, where it is of a tenant that is wanted; no reading is a ValueError."""
    head, _, body = message.partition(b" ")
    tenant_id = int(head)
    if tenant_id not in wanted:
        return None
    epoch, version, cause, at, label, start, end, closed, next_due, alerted, pots = _unpack(body)
    reading = Reading(
        version=version,
        cause=cause,
        at=at,
        period=Period(label, start, end),
        closed=closed,
        next_due=next_due,
        alerted=alerted,
        pots={
            key: Pot(held=held, lots=[_to_domain(lot) for lot in lots])
            for key, (held, lots) in pots.items()
        },
    )
    return Published(tenant_id, epoch, reading)


def _to_domain(values: list[Any]) -> LotUse:
    values[1] = SOURCES[values[1]]
    return LotUse._make(values)
