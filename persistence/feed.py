"""A tenant's reading in Valkey: the fields that are stored, and the bytes that are published.

Owns their forms. In what is published the tenant stands in front in plain digits, so that who does
not watch it reads no further; then what is held, as the script found it in that moment; then the
reading, or nothing where holds alone have changed.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from domain import watch
from domain.figures import LotUse, left
from domain.lots import LotSource
from domain.periods import Period
from domain.reading import Pot, Reading
from domain.terms import Terms
from persistence import keys
from persistence.held import Ended, Held, ends, read
from persistence.held_scripts import SHOW
from persistence.valkey import Call

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
SOURCES = {int(source): source for source in LotSource}


class Published(NamedTuple):
    """What is held of a tenant, with the reading and the database it is of where that changed."""

    tenant_id: int
    held: Held
    epoch: str = ""
    reading: Reading | None = None


class Beside(NamedTuple):
    """What a commit changed beside balances: all that authorisations go by."""

    ends: Sequence[Ended] = ()
    counts: Sequence[tuple[str, int, int]] = ()  #: field, version, value
    anew: bool = False  #: other counts than these are not known any more


NOTHING = Beside()


def encode(epoch: str, reading: Reading) -> bytes:
    span = reading.period
    return _pack(
        (
            epoch, reading.version, reading.cause, reading.at, span.label, span.start, span.end,
            reading.closed, reading.next_due, reading.alerted,
            {key: pot.lots for key, pot in reading.pots.items()},
        )
    )  # fmt: skip


def show_call(epoch: str, terms: Terms, reading: Reading, beside: Beside = NOTHING) -> Call:
    """The call that stores and publishes a reading, unless a newer one is there.

    What stands `beside` it is applied either way, each where it is newer.
    """
    tenant_id = terms.tenant_id
    fields: list[str | int] = ["valid_until", reading.valid_until]
    for balance in terms.standing.balances(reading.period, reading.at):
        pot = reading.pots.get(balance.key)
        lots = () if pot is None else pot.lots
        amount = left(balance, reading.period, reading.at, lots, terms.since)
        fields += (f"left:{balance.key}", amount)
        # What a send leaves is compared with it: `authorize` says `low` by what is available.
        allowance = 0 if terms.since is not None and reading.at < terms.since else balance.allowance
        base = watch.held(balance, lots, allowance, reading.period, reading.at).base
        thresholds = terms.thresholds.get(terms.balance_ids.get(balance.key, 0), watch.DEFAULTS)
        levels = [watch.level(each, base) for each in thresholds if each.value]
        if (low := max((each for each in levels if each is not None), default=0)) > 0:
            fields += (f"low:{balance.key}", low)
    packed: bytes = b""
    if any(beside):
        counts = [(field, version, str(value)) for field, version, value in beside.counts]
        packed = _pack((ends(beside.ends), counts, beside.anew))
    return (
        SHOW,
        keys.standing(tenant_id),
        (
            epoch, reading.version, reading.at, keys.channel(tenant_id), b"%d " % tenant_id,
            encode(epoch, reading), packed, *fields,
        ),
    )  # fmt: skip


def decode(message: bytes, wanted: Container[int]) -> Published | None:
    """What was published, where it is of a tenant that is wanted; no reading is a ValueError."""
    head, _, rest = message.partition(b" ")
    tenant_id = int(head)
    if tenant_id not in wanted:
        return None
    told, _, body = rest.partition(b" ")
    held = read(told)
    if not body:
        return Published(tenant_id, held)
    epoch, version, cause, at, label, start, end, closed, next_due, alerted, pots = _unpack(body)
    reading = Reading(
        version=version,
        cause=cause,
        at=at,
        period=Period(label, start, end),
        closed=closed,
        next_due=next_due,
        alerted=alerted,
        pots={key: Pot(lots=[_to_domain(lot) for lot in lots]) for key, lots in pots.items()},
    )
    return Published(tenant_id, held, epoch, holding(reading, held))


def holding(reading: Reading, held: Held) -> Reading:
    """A reading with what holds set aside of its balances."""
    pots = {
        key: pot if pot.held == held.amounts.get(key, 0)
        else Pot(lots=pot.lots, held=held.amounts.get(key, 0))
        for key, pot in reading.pots.items()
    }  # fmt: skip
    return replace(reading, pots=pots, held_at=held.at, held_until=held.until)


def held_of(reading: Reading) -> Held:
    """What a reading says is held."""
    amounts = {key: pot.held for key, pot in reading.pots.items() if pot.held}
    return Held(reading.held_at, reading.held_until, amounts)


def _to_domain(values: list[Any]) -> LotUse:
    values[1] = SOURCES[values[1]]
    return LotUse._make(values)
