"""What open holds set aside, in Valkey: the scripts that take, give back and tell.

Owns the form of an open hold there and the one place where it is decided whether there is enough:
a script per tenant, over what is left, what is held and what is counted. What a hold is worth is
decided before (`domain.asking`), and its end in PostgreSQL (`holds`); here both are only applied,
as absolute states, once. Amounts are micros, whole beyond what a Lua number can tell apart: two
numbers each, millions and the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from domain.holds import Hold, Kept, Vector
from domain.sums import Bounds
from persistence import keys
from persistence.held_scripts import AUTHORIZE, END, READ, TELL
from persistence.valkey import Call, run

MILLION = 1_000_000

#: Keys of open holds that are looked at together.
KEYS_AT_A_TIME = 1_000

#: Of a hold's number, the bytes that are its key's; the rest is the request's.
KEY_BYTES = 10

_pack = msgspec.msgpack.Encoder().encode
_unpack_texts = msgspec.msgpack.Decoder(list[list[str]]).decode


def _raw(value: bytes) -> msgspec.Raw:
    """Bytes as the script's reader takes them: it knows the older form alone, that of texts."""
    size = len(value)
    if size < 32:
        head = bytes([0xA0 | size])
    elif size < 1 << 16:
        head = b"\xda" + size.to_bytes(2)
    else:
        head = b"\xdb" + size.to_bytes(4)
    return msgspec.Raw(head + value)


#: What stands among the sums without being one.
_OF_HELD = frozenset({"at", "building", "whole"})


class Held(NamedTuple):
    """What open holds set aside of a tenant's balances."""

    at: int  #: when it last changed; only grows; 0: never
    until: int | None  #: when something next goes back by itself
    amounts: Mapping[str, int]  #: micros by balance key, without those of which nothing is held


NOTHING = Held(0, None, {})


class Snapshot(NamedTuple):
    """What authorisations of a tenant go by, as it stood a moment ago."""

    version: int
    left: dict[str, int]  #: by field: what is left less what is held
    low: dict[str, int]  #: by field: below how much available it is low
    held: dict[str, int]  #: by field
    counts: dict[str, int]  #: by field: what is counted and held


class Item(NamedTuple):
    """One decision on its way to the script; `takes` is empty where it is a refusal."""

    hold: Hold
    answer: bytes  #: what a retry is given
    takes: Vector
    guards: tuple[Bounds, ...]
    replaces: bytes | None
    granted: bool


class Decided(NamedTuple):
    """What the script made of the items."""

    status: str  #: done, changed, missing (a count), gone (what it replaces), stale
    results: list[Any]  #: in order: 1 granted, 0 refused, 2 another request, bytes: a retry
    snapshot: Snapshot | None


class Ended(NamedTuple):
    """A hold as PostgreSQL has it by now."""

    hold: Hold
    revision: int
    parts: Vector  #: still set aside
    sent: Vector  #: of them, by shares that were sent
    restored: bytes | None = None  #: the answer of one that is to be there again


def key_of(hold: Hold) -> bytes:
    """Under what an open hold is found: the key it was asked for under."""
    return hold.number[:KEY_BYTES]


def content_of(hold: Hold) -> bytes:
    """What tells the request from another one under the same key."""
    return hold.number[KEY_BYTES:]


def _parts(vector: Iterable[tuple[str, int]]) -> list[tuple[str, int, int]]:
    return [(field, *divmod(amount, MILLION)) for field, amount in vector]


def _bound(amount: int | None) -> tuple[int, int] | None:
    return None if amount is None else divmod(amount, MILLION)


def authorize_call(
    tenant_id: int,
    epoch: str,
    now: int,
    items: Sequence[Item],
    seeds: Iterable[tuple[str, int, int]] = (),
) -> Call:
    """The call that decides items in order; `seeds` are counts with the version they are of."""
    packed = _pack(
        (
            [(field, version, str(value)) for field, version, value in seeds],
            [
                (
                    _raw(key_of(item.hold)), _raw(content_of(item.hold)), _raw(item.answer),
                    item.hold.granted_at, item.hold.expires_at, item.hold.lasts_until,
                    _parts(item.takes),
                    [(g.field, _bound(g.low) or False, _bound(g.high) or False)
                     for g in item.guards],
                    _raw(item.replaces) if item.replaces else False, item.granted,
                )
                for item in items
            ],
        )
    )  # fmt: skip
    return (AUTHORIZE, keys.standing(tenant_id), (epoch, now, packed))


def decided(answer: list[Any]) -> Decided:
    """What the script answered."""
    status = answer[0].decode()
    if status == "stale":
        return Decided(status, [], None)
    _, results, packed = answer
    own, aside, counted = (
        dict(zip(pairs[::2], pairs[1::2], strict=True)) for pairs in _unpack_texts(packed)
    )
    sums = {field: int(amount) for field, amount in aside.items() if field not in _OF_HELD}
    return Decided(
        status,
        results,
        Snapshot(
            version=int(own["version"]),
            left={
                field: int(amount) - sums.get(field, 0)
                for field, amount in own.items()
                if field.startswith("left:")
            },
            low={
                f"left:{field[4:]}": int(amount)
                for field, amount in own.items()
                if field.startswith("low:")
            },
            held=sums,
            counts={
                field: int(value.partition(" ")[2]) + sums.get(field, 0)
                for field, value in counted.items()
                if field != "floor"
            },
        ),
    )


def of_kept(kept: Kept) -> Ended:
    """A hold as its row has it, for Valkey."""
    # It is there again where Valkey ended it and the books did not: a message that was sent in time
    # is told of late.
    return Ended(kept.hold, kept.revision, *kept.open_(), b"")


def restored(kept: Kept, answer: bytes | None) -> Ended:
    """The same of one that Valkey may have lost; what was told of it stands in its row."""
    return of_kept(kept)._replace(restored=answer or b"")


def ends(ended: Iterable[Ended]) -> list[tuple[Any, ...]]:
    """Ends as the scripts take them."""
    return [
        (
            _raw(key_of(one.hold)), one.hold.granted_at, one.revision, _parts(one.parts),
            _parts(one.sent), _next(one), _restored(one),
        )
        for one in ended
    ]  # fmt: skip


def _next(one: Ended) -> int | bool:
    """When something next goes back by itself; False: nothing is open."""
    if not one.parts:
        return False
    return one.hold.lasts_until if one.parts == one.sent else one.hold.expires_at


def _restored(one: Ended) -> tuple[Any, ...] | bool:
    if one.restored is None:
        return False
    return (
        _raw(content_of(one.hold)), _raw(one.restored), one.hold.expires_at, one.hold.lasts_until
    )  # fmt: skip


def end_call(
    tenant_id: int,
    now: int,
    ended: Iterable[Ended],
    *,
    whole: str = "",
    token: str = "",
    epoch: str = "",
) -> Call:
    """The call that applies ends.

    `epoch`: holds that Valkey has of any other are forgotten. `whole`: every open hold of this
    epoch is there, if the `token` still is that was brought before the first of them.
    """
    told = (keys.channel(tenant_id), b"%d " % tenant_id, whole, token, epoch)
    return (END, keys.standing(tenant_id), (now, _pack(ends(ended)), *told))


def tell_call(tenant_id: int, now: int) -> Call:
    """The call that tells watchers what is held by now."""
    return (
        TELL, keys.standing(tenant_id), (now, keys.channel(tenant_id), b"%d " % tenant_id)
    )  # fmt: skip


def read(told: bytes) -> Held:
    """What is held, as it is published; a ValueError where it is none."""
    at, until, *amounts = told.decode().split(";")
    found: dict[str, int] = {}
    for each in amounts:
        field, _, amount = each.partition("=")
        if field:
            found[field.removeprefix("left:")] = int(amount)
    return Held(int(at), int(until) if until else None, found)


async def held(valkey: Redis, asked: Mapping[int, int]) -> dict[int, Held]:
    """What is held of tenants at an instant each; raises one of AWAY."""
    found: dict[int, Held] = {}
    rest = list(asked)
    while rest:
        calls: list[Call] = [(READ, keys.standing(tenant), (asked[tenant],)) for tenant in rest]
        answers = await run(valkey, calls)
        found.update((tenant, read(told)) for tenant, (_, told) in zip(rest, answers, strict=True))
        rest = [tenant for tenant, (more, _) in zip(rest, answers, strict=True) if more]
    return found


async def open_keys(valkey: Redis, tenant_id: int) -> AsyncIterator[list[bytes]]:
    """The keys of a tenant's open holds, some at a time; raises one of AWAY."""
    name = keys.standing(tenant_id)[2]
    cursor = -1
    while cursor:
        cursor, found = await valkey.hscan(name, max(cursor, 0), count=KEYS_AT_A_TIME)
        if found:
            yield [key for key in found if isinstance(key, bytes)]
