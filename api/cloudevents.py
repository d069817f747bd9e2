"""CloudEvents as bytes or objects in, items with their data by value out.

Owns the envelope of a fact: body shapes, the attributes of an event, canonical data and the two
hashes. Knows no tenant and no rule; what the data must say is checked in `edge`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from api import items
from api.faults import Fault
from api.limits import (
    EVENT_BYTES_MAX,
    EVENT_DIGITS_MAX,
    EVENT_ID_LENGTH_MAX,
    EVENTS_MAX,
    JSON_DEPTH_MAX,
)

UTC_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY_BYTES = 16

BATCH = "application/cloudevents-batch+json"
SINGLE = "application/cloudevents+json"
JSON = "application/json"
LINES = "application/x-ndjson"


class Refusal(NamedTuple):
    """Why one item was not taken: what was wrong, where, and what would be right."""

    reason: str
    message: str
    path: str
    id: str | None = None


class Refused(Exception):  # noqa: N818 - carries a Refusal through a check
    def __init__(self, reason: str, message: str, path: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason, message, path)


class Envelope(msgspec.Struct):
    """An event's attributes as they stand in the JSON; `to_item` checks them."""

    id: str
    source: str
    type: str
    time: str | None = None
    subject: str | None = None
    specversion: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class Item(NamedTuple):
    """One event whose envelope is sound; its data is any JSON object."""

    id: str
    source: str
    type: str
    time: datetime
    subject: str | None
    data: dict[str, Any]
    canonical: bytes  #: the data by value: sorted keys, plain numbers


#: No digit is rounded away: a number with more of them is refused.
_EXACT = Context(
    prec=EVENT_DIGITS_MAX, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[Inexact, InvalidOperation]
)


def _number(text: str) -> int | Decimal:
    """A JSON number by value: 1.0 is 1, 1.50 is 1.5, -0.0 is 0."""
    value = _EXACT.create_decimal(text).normalize(_EXACT)
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and 0 <= exponent < EVENT_DIGITS_MAX:
        return int(value)
    return value


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_envelopes = msgspec.json.Decoder(list[Envelope]).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_data = msgspec.json.Decoder(float_hook=_number).decode
_encode_data = msgspec.json.Encoder(order="sorted", decimal_format="number").encode
_encode_object = msgspec.json.Encoder(decimal_format="number").encode
_FRACTION = re.compile(r"(\.\d{6})\d+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read_body(body: bytes, content_type: str) -> list[Envelope | Refusal]:
    """The events of a request body, each readable or refused on its own (EV-2).

    Raises Fault when the body does not have the shape its content type announces.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == LINES:
        lines = [line for line in body.split(b"\n") if line.strip()]
        _check_count(len(lines))
        return _read_each(lines)
    if kind not in (BATCH, SINGLE, JSON):
        raise Fault(
            "UNSUPPORTED_MEDIA_TYPE",
            f"content type {kind or '(none)'!r} is not taken here; send {SINGLE}, {BATCH}, {JSON} "
            f"or {LINES}",
        )
    start = body.lstrip()[:1]
    if kind != SINGLE and start == b"[":
        return _read_list(body)
    if kind != BATCH and start == b"{":
        return _read_each([body], whole=True)
    _check_json(body)
    right = {SINGLE: "one JSON object", BATCH: "a JSON list of objects"}.get(
        kind, "a JSON object, or a list of them"
    )
    raise Fault("BAD_REQUEST", f"the body is not {right}, as its content type says")


def read_object(event: object) -> Envelope | Refusal:
    """One event from an object that was decoded elsewhere (a GraphQL variable)."""
    try:
        try:
            raw = _encode_object(event)
        except OverflowError:
            raw = _encode_object(_wide(event))
    except (TypeError, ValueError):
        # What has no UTF-8, half of a surrogate pair: written out, the decoder names it.
        raw = json.dumps(event, default=str).encode()
    return read_raw(raw)


def _wide(value: object) -> object:
    """`value` with whole numbers beyond 64 bits as decimals, which have no end."""
    if isinstance(value, dict):
        return {key: _wide(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_wide(inner) for inner in value]
    return Decimal(value) if isinstance(value, int) and value.bit_length() > 63 else value


def _read_list(body: bytes) -> list[Envelope | Refusal]:
    try:
        envelopes = _decode_envelopes(body)
    except _UNREADABLE:
        pass
    else:
        _check_count(len(envelopes))
        if body.count(b'"') == _quotes(envelopes):
            return list(envelopes)
    try:
        raws = [bytes(raw) for raw in _decode_raws(body)]
    except _UNREADABLE as error:
        try:
            raws = list(islice(items.split(body), EVENTS_MAX + 1))
        except ValueError as fault:
            why = fault if isinstance(error, RecursionError) else error
            raise Fault("BAD_REQUEST", f"the body is not JSON: {why}") from None
    _check_count(len(raws))
    return _read_each(raws)


def _read_each(raws: Sequence[bytes], *, whole: bool = False) -> list[Envelope | Refusal]:
    events = [read_raw(raw, whole=whole) for raw in raws]
    quotes = sum([raw.count(b'"') for raw in raws])
    if quotes == _quotes([event for event in events if isinstance(event, Envelope)]):
        return events
    return [_once(event, raw) for event, raw in zip(events, raws, strict=True)]


def _quotes(envelopes: Sequence[Envelope]) -> int:
    """The quotes in the JSON of events that say each of our attributes once and no others.

    A name that stands twice, or that we do not know, makes them more, and nothing makes them fewer.
    """
    texts = [
        3 + (e.time is not None) + (e.subject is not None) + (e.specversion is not None)
        for e in envelopes
    ]
    data = [each for e in envelopes if (each := bytes(e.data))]
    return 4 * sum(texts) + 2 * len(data) + b"".join(data).count(b'"')


def read_raw(raw: bytes, *, whole: bool = False) -> Envelope | Refusal:
    """One event from its bytes; `whole` when they are the request's body and must be JSON."""
    if len(raw) > EVENT_BYTES_MAX:
        return Refusal(
            "too_large",
            f"the event has {len(raw)} bytes; at most {EVENT_BYTES_MAX} are taken",
            "",
        )
    try:
        return _decode_envelope(raw)
    except _UNREADABLE as error:
        if whole:
            _check_json(raw)
        return _explain(raw, error)


def to_item(envelope: Envelope) -> Item | Refusal:
    """Check an envelope and read its data."""
    try:
        return _check(envelope)
    except Refused as refused:
        return refused.refusal._replace(id=envelope.id[:EVENT_ID_LENGTH_MAX])


def _check(envelope: Envelope) -> Item:
    if not is_plain(envelope.id):
        check_text(envelope.id, "id")
    if not is_plain(envelope.source):
        check_text(envelope.source, "source")
    if envelope.specversion is not None and envelope.specversion != "1.0":
        raise Refused(
            "invalid_field", 'specversion is "1.0", or left out for the same', "specversion"
        )
    raw = bytes(envelope.data)
    if raw in (b"", b"null"):
        raise Refused("missing_field", "data is missing: an object that says what happened", "data")
    if len(raw) > EVENT_BYTES_MAX:
        raise Refused(
            "too_large", f"data has {len(raw)} bytes; at most {EVENT_BYTES_MAX} are taken", "data"
        )
    try:
        data = decode_data(raw)
        if not isinstance(data, dict):
            raise Refused("invalid_field", "data is an object", "data")
        if (
            raw.count(b"{") + raw.count(b"[") > JSON_DEPTH_MAX
            and items.depth_of(data) > JSON_DEPTH_MAX
        ):
            raise RecursionError
        canonical = _encode_data(data)
    except (*_UNREADABLE, ArithmeticError) as error:
        raise Refused(*_unreadable("data", error), "data") from None
    if raw.count(b'"') != canonical.count(b'"') or b"\\u0022" in raw:
        # Fewer quotes are left of a key that stood twice; an escaped quote could hide it.
        _check_keys_once(raw)
    return Item(
        envelope.id,
        envelope.source,
        envelope.type,
        read_time(envelope.time),
        envelope.subject,
        data,
        canonical,
    )


def read_time(text: str | None) -> datetime:
    """An RFC 3339 instant with its offset, cut to microseconds."""
    if text is None:
        raise Refused("missing_field", "time is missing: when it happened, with offset", "time")
    if len(text) > 26:
        text = _FRACTION.sub(r"\1", text)
    try:
        time = msgspec.convert(text, datetime)
    except (msgspec.ValidationError, ValueError, OverflowError):
        raise Refused(
            "invalid_field",
            f"time {text[:40]!r} is no date and time; write it as 2026-10-31T17:00:00+07:00",
            "time",
        ) from None
    if time.tzinfo is None:
        raise Refused(
            "time_without_offset",
            f"time {text!r} has no offset; add Z or one such as +07:00",
            "time",
        )
    return time


def is_plain(value: object) -> bool:
    """Whether a value is a text no check could object to: what nearly every text is."""
    return type(value) is str and 0 < len(value) <= EVENT_ID_LENGTH_MAX and value.isprintable()


def check_text(value: str, path: str, limit: int = EVENT_ID_LENGTH_MAX) -> None:
    """Refuse text that is empty, too long or has control characters."""
    if not value:
        raise Refused("invalid_field", f"{path} is empty", path)
    if len(value) > limit:
        raise Refused(
            "too_large", f"{path} has {len(value)} characters; at most {limit} are taken", path
        )
    if not value.isprintable() and _CONTROL.search(value):
        raise Refused("invalid_field", f"{path} has a control character", path)


def key_of(source: str, id: str) -> bytes:
    """The fact's key within its tenant, from what its source calls it."""
    name = source.encode()
    return hashlib.blake2b(
        b"%d:%b%b" % (len(name), name, id.encode()), digest_size=KEY_BYTES
    ).digest()


def content_of(type: str, at: int, subject: str, canonical: bytes) -> bytes:
    """What the fact says, by value: two spellings of one content are one (EV-1)."""
    head = f"{type}\0{at}\0{subject}\0".encode()
    return hashlib.blake2b(head + canonical, digest_size=KEY_BYTES).digest()


def _check_count(count: int) -> None:
    if count > EVENTS_MAX:
        raise Fault("PAYLOAD_TOO_LARGE", f"{count} events in one request; at most {EVENTS_MAX}")


def _check_json(body: bytes) -> None:
    try:
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
        except RecursionError:
            items.check_whole(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Fault("BAD_REQUEST", f"the body is not JSON: {error}") from None


def _once(event: Envelope | Refusal, raw: bytes) -> Envelope | Refusal:
    """The event, unless it says an attribute twice."""
    if isinstance(event, Refusal):
        return event
    text = raw.decode("utf-8", "replace")
    found = set()
    try:
        pairs = json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
    except RecursionError as error:
        return Refusal(*_unreadable("the event", error), "", event.id[:EVENT_ID_LENGTH_MAX])
    for name, _ in pairs:
        if name in found:
            path = name if name in _ATTRIBUTES else ""
            words = f"{name[:64]!r} stands twice in the event"
            return Refusal("invalid_field", words, path, event.id[:EVENT_ID_LENGTH_MAX])
        found.add(name)
    return event


def _check_keys_once(raw: bytes) -> None:
    """Refuse an object that says a thing twice: which of the two was meant is anybody's guess."""

    def once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, value in pairs:
            if name in found:
                raise Refused("invalid_field", f"{name[:64]!r} stands twice in one object", "data")
            found[name] = value
        return found

    json.loads(raw, object_pairs_hook=once)


_ATTRIBUTES = ("id", "source", "type", "time", "subject", "specversion", "data")

#: What decoders raise for bytes they cannot read, or not to the end.
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def _unreadable(what: str, error: Exception) -> tuple[str, str]:
    """The reason and words for what no decoder could read."""
    if isinstance(error, RecursionError):
        return "too_large", f"{what} is nested deeper than {JSON_DEPTH_MAX} levels"
    if isinstance(error, ArithmeticError) or "out of range" in str(error):
        return (
            "number_out_of_range",
            f"{what} has a number of more than {EVENT_DIGITS_MAX} digits, or beyond all measure",
        )
    return "invalid_json", f"{what} is not JSON: {error}"


def _explain(raw: bytes, error: Exception) -> Refusal:
    """Say precisely what keeps an item from being an event."""
    try:
        event = decode_data(raw)
    except (*_UNREADABLE, ArithmeticError) as unreadable:
        return Refusal(*_unreadable("the event", unreadable), "")
    if not isinstance(event, dict):
        return Refusal("invalid_json", "an event is a JSON object", "")
    id = event.get("id")
    known = id[:EVENT_ID_LENGTH_MAX] if isinstance(id, str) else None
    for name in ("id", "source", "type"):
        if name not in event:
            return Refusal("missing_field", f"{name} is missing", name, known)
    for name in _ATTRIBUTES[:-1]:
        if name in event and not isinstance(event[name], str):
            return Refusal("invalid_field", f"{name} is a string", name, known)
    return Refusal(*_unreadable("the event", error), "", known)
