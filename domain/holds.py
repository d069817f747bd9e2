"""Holds: amounts set aside for sends that have not happened yet, and how their shares end.

Owns the id of a hold, which says all that was granted and is signed, and what facts and releases
make of a hold (EV-5, OC-3, OC-4). Does not own what may be granted, nor where open holds are
counted. An expiry is no end that is kept: it follows from the id.
"""

from __future__ import annotations

import base64
import hmac
import json
import struct
from collections.abc import Container, Mapping
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from domain.facts import Flag

#: Amounts above 0 by field, in the order of the fields. A field is `left:BALANCEKEY`, micros of a
#: balance, or `count:NAME:NUMBERID:MONTH`, a free or tier count in the units of its counter.
Vector: TypeAlias = tuple[tuple[str, int], ...]

NUMBER_BYTES = 16
HOLD_ID_BYTES = NUMBER_BYTES + 8
RECIPIENT_BYTES = 16

PREFIX = "hld_"
LEFT, COUNT = "left:", "count:"

_MAC_BYTES = 12
_HEAD = struct.Struct(">B16sQ")  # what follows, number, when it was granted
_ALIKE, _VARIED = 1, 2  # first byte: all shares are the id's own, or some are kept beside it


class End(IntEnum):
    """Why a share or a hold ended; stored, a number never changes meaning."""

    CAPTURED = 1
    FAILED = 2
    RELEASED = 3
    REPLACED = 4


class Hold(NamedTuple):
    """All that the id of a hold says."""

    number: bytes  #: of the key it was asked for under
    granted_at: int
    expires_at: int
    lasts_until: int  #: when the share of a message that was sent expires
    shares: int  #: how many recipients
    share: Vector  #: what is set aside for each recipient that has no share of its own
    total: Vector  #: what is set aside for all of them
    varied: bool  #: some recipients have a share of their own

    @property
    def hold_id(self) -> bytes:
        """Its name among the tenant's holds: a key may be used again once its hold is over."""
        return self.number + self.granted_at.to_bytes(8)


def number_of(key: str) -> bytes:
    """The number of a hold that is asked for under a key of its tenant."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=NUMBER_BYTES).digest()


def recipient_of(address: str) -> bytes:
    """What shares are kept by: nobody reads an address out of it."""
    return blake2b(address.encode("utf-8", "surrogatepass"), digest_size=RECIPIENT_BYTES).digest()


def vector(amounts: Mapping[str, int]) -> Vector:
    """The amounts above 0, in the order of the fields."""
    return tuple(sorted((field, amount) for field, amount in amounts.items() if amount > 0))


def times(share: Vector, shares: int) -> Vector:
    """What so many equal shares set aside."""
    return tuple((field, amount * shares) for field, amount in share)


@lru_cache(maxsize=4_096)
def vector_text(amounts: Vector) -> str:
    """A vector as it is stored: `[["left:whatsapp",356650000]]`."""
    return json.dumps(amounts, separators=(",", ":"))


def read_vector(text: str) -> Vector:
    """What `vector_text` wrote; ValueError for anything else."""
    return tuple((str(field), int(amount)) for field, amount in json.loads(text))


def spelt(hold: Hold, key: bytes) -> str:
    """The id of a hold, signed with its tenant's own key; ValueError without a key."""
    if not key:
        raise ValueError("a hold's id is signed with its tenant's key, and there is none")
    head = _VARIED if hold.varied else _ALIKE
    out = bytearray(_HEAD.pack(head, hold.number, hold.granted_at))
    _put(out, hold.expires_at - hold.granted_at)
    _put(out, hold.lasts_until - hold.granted_at)
    _put(out, hold.shares)
    _put_vector(out, hold.share)
    if hold.varied:
        _put_vector(out, hold.total)
    elif hold.total != times(hold.share, hold.shares):
        raise ValueError("the total of equal shares is their sum")
    signed = bytes(out) + _mac(out, key)
    return PREFIX + base64.urlsafe_b64encode(signed).rstrip(b"=").decode()


def read(text: str, key: bytes) -> Hold | None:
    """What an id says; None if it was altered or another tenant's key signed it. Never raises."""
    if not key or not text.startswith(PREFIX) or not text.isascii():
        return None
    letters = text[len(PREFIX) :]
    try:
        raw = base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
    except ValueError:
        return None
    # One hold has one spelling: decoding passes over foreign characters and over spare bits.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != letters:
        return None
    payload = raw[:-_MAC_BYTES]
    if not hmac.compare_digest(raw[-_MAC_BYTES:], _mac(payload, key)):
        return None
    try:
        return _hold(payload)
    except (ValueError, IndexError, struct.error):
        return None  # signed and yet not ours: of a format that is not known here


class Share:
    """One recipient's part of a hold."""

    __slots__ = ("changed", "ended_at", "ended_by", "own", "sent_at")

    def __init__(
        self,
        own: Vector | None = None,
        sent_at: int | None = None,
        ended_at: int | None = None,
        ended_by: End | None = None,
    ) -> None:
        self.own = own  #: None: as the hold says
        self.sent_at = sent_at  #: when its message was sent, before the hold expired
        self.ended_at = ended_at
        self.ended_by = ended_by
        self.changed = False


class Kept:
    """A hold as it stands in the books, changed in place under its tenant's lock.

    A hold for one recipient has a single share, under `ONE`, whoever was reached.
    """

    __slots__ = (
        "back", "changed", "ended", "ended_at", "ended_by", "hold", "revision", "sent", "shares",
    )  # fmt: skip

    ONE = b""

    def __init__(
        self,
        hold: Hold,
        *,
        ended: int = 0,
        back: Mapping[str, int] | None = None,
        sent: Mapping[str, int] | None = None,
        ended_at: int | None = None,
        ended_by: End | None = None,
        revision: int = 0,
        shares: Mapping[bytes, Share] | None = None,
    ) -> None:
        self.hold = hold
        self.ended = ended  #: how many shares ended
        self.back = dict(back or {})  #: what those had set aside
        self.sent = dict(sent or {})  #: what shares set aside that were sent and have not ended
        self.ended_at = ended_at
        self.ended_by = ended_by
        self.revision = revision  #: counts its changes; 0: it is in no book yet
        self.shares = dict(shares or {})  #: by recipient, as far as somebody asked for them
        self.changed = False

    @property
    def single(self) -> bool:
        """Whether it has one share, which stands in its own row."""
        return self.hold.shares == 1 and not self.hold.varied

    def open_(self) -> tuple[Vector, Vector]:
        """What is still set aside, and how much of it for messages that were sent."""
        if self.ended_at is not None:
            return (), ()
        left = {field: amount - self.back.get(field, 0) for field, amount in self.hold.total}
        return vector(left), vector(self.sent)

    def capture(
        self, recipient: bytes, at: int, now: int, drawn: Mapping[str, int], units: Container[str]
    ) -> int:
        """End the share of what was charged at `at`; gives the flags (OC-3, OC-4).

        `drawn` is what the charge took, by field; `units` has the fields of balances in units.
        """
        share, until = self._share(recipient), self.hold.expires_at
        if share.sent_at is not None:
            until = self.hold.lasts_until
        flags = Flag.LATE_COMMIT if at >= until else Flag.NONE
        ended = self.ended_at is not None or share.ended_by is not None
        if _over(() if ended else self._of(share), drawn, units):
            flags |= Flag.OVER_HOLD
        self._end(share, End.CAPTURED, now)
        return flags

    def fail(self, recipient: bytes, now: int, by: End = End.FAILED) -> None:
        """Give the share of what did not come about back, unless it ended before."""
        self._end(self._share(recipient), by, now)

    def send(self, recipient: bytes, at: int) -> None:
        """Let the share of a message last longer that was sent before the hold expired."""
        share = self._share(recipient)
        if share.sent_at is not None or at >= self.hold.expires_at:
            return
        share.sent_at = at
        self._touch(share)
        if self.ended_at is None and share.ended_by is None:
            for field, amount in self._of(share):
                self.sent[field] = self.sent.get(field, 0) + amount
            self._bound()

    def release(self, now: int, by: End = End.RELEASED) -> bool:
        """End all shares that are open; whether there were any."""
        if self.ended_at is not None:
            return False
        self._close(by, now)
        return True

    def _share(self, recipient: bytes) -> Share:
        if self.single:
            recipient = self.ONE
        share = self.shares.get(recipient)
        if share is None:
            share = self.shares[recipient] = Share()
        return share

    def _of(self, share: Share) -> Vector:
        return self.hold.share if share.own is None else share.own

    def _end(self, share: Share, by: End, now: int) -> None:
        if self.ended_at is not None or share.ended_by is not None:
            return
        share.ended_at, share.ended_by = now, by
        self._touch(share)
        self.ended += 1
        for field, amount in self._of(share):
            self.back[field] = self.back.get(field, 0) + amount
            if share.sent_at is not None:
                self.sent[field] = self.sent.get(field, 0) - amount
        self._bound()
        if self.ended >= self.hold.shares:
            self._close(by, now)

    def _close(self, by: End, now: int) -> None:
        self.ended_at, self.ended_by = now, by
        self.back, self.sent = dict(self.hold.total), {}
        self._touch(None)

    def _bound(self) -> None:
        """Keep to the total: who was reached without having been named ends a share too."""
        total = dict(self.hold.total)
        self.back = {f: min(n, total[f]) for f, n in self.back.items() if f in total}
        left = {f: n - self.back.get(f, 0) for f, n in total.items()}
        self.sent = {f: min(n, left[f]) for f, n in self.sent.items() if f in left and n > 0}

    def _touch(self, share: Share | None) -> None:
        if share is not None:
            share.changed = True
        if not self.changed:
            self.changed = True
            self.revision += 1


def _over(share: Vector, drawn: Mapping[str, int], units: Container[str]) -> bool:
    """Whether a charge took more than its share.

    Units above it are none where the share's money stayed unspent: they were paid in its place.
    """
    have = dict(share)
    above = [field for field, amount in drawn.items() if amount > have.get(field, 0)]
    if not above or any(field not in units for field in above):
        return bool(above)
    return not any(
        drawn.get(field, 0) < amount
        for field, amount in share
        if field.startswith(LEFT) and field not in units
    )


def _mac(payload: bytes | bytearray, key: bytes) -> bytes:
    """No database's number of the tenant is in it: a tenant's log is taken into another one."""
    return blake2b(payload, digest_size=_MAC_BYTES, key=key, person=b"hold").digest()


def _put(out: bytearray, number: int) -> None:
    """Seven bits a byte, the lowest first."""
    if number < 0:
        raise ValueError(f"{number} is below zero")
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _put_vector(out: bytearray, amounts: Vector) -> None:
    _put(out, len(amounts))
    for field, amount in amounts:
        name = field.encode()
        _put(out, len(name))
        out += name
        _put(out, amount)


def _hold(payload: bytes) -> Hold:
    kind, number, granted_at = _HEAD.unpack_from(payload)
    if kind not in (_ALIKE, _VARIED):
        raise ValueError("another format")
    place = _HEAD.size
    lasting, place = _get(payload, place)
    sent, place = _get(payload, place)
    shares, place = _get(payload, place)
    share, place = _get_vector(payload, place)
    varied = kind == _VARIED
    if varied:
        total, place = _get_vector(payload, place)
    else:
        total = share if shares == 1 else times(share, shares)
    if place != len(payload):
        raise ValueError("more than a hold")
    return Hold(
        number, granted_at, granted_at + lasting, granted_at + sent, shares, share, total, varied
    )


def _get(payload: bytes, place: int) -> tuple[int, int]:
    """A number and where it ends."""
    number = shift = 0
    while True:
        byte = payload[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte <= 0x7F:
            return number, place
        shift += 7


def _get_vector(payload: bytes, place: int) -> tuple[Vector, int]:
    count, place = _get(payload, place)
    found = []
    for _ in range(count):
        length, place = _get(payload, place)
        name = payload[place : place + length].decode()
        amount, place = _get(payload, place + length)
        found.append((name, amount))
    return tuple(found), place
