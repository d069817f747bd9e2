"""Sends: what is asked before one, checked and put as the facts it would become; and the answer.

Owns the spelling of `authorize`, over HTTP and GraphQL alike. What a send costs and whether it may
be is decided behind the `desk`; nothing here waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import msgspec

from api.addresses import shown
from api.cloudevents import Refused, check_text
from api.edge import described, number_in
from api.limits import EVENT_ID_LENGTH_MAX
from domain.asking import Limit
from domain.facts import Channel, Direction, Fact, Type
from domain.holds import Hold, number_of, read
from domain.money import MICRO
from domain.terms import NumberTerms, Terms
from persistence.held import KEY_BYTES

#: Members a group may have for a send to it (PR-8).
MEMBERS_MAX = 8

#: What is sent on a channel that knows no messages.
KINDS: Mapping[Channel, Type] = {
    Channel.EMAIL: Type.EMAIL_SENT,
    Channel.VOICE: Type.CALL_ENDED,
    Channel.VIDEO: Type.SESSION_ENDED,
    Channel.VOICEMAIL: Type.SESSION_ENDED,
    Channel.BOT: Type.SESSION_ENDED,
    Channel.AI_AGENT: Type.SESSION_ENDED,
    Channel.SPEECH_TO_TEXT: Type.SESSION_ENDED,
}
#: Of these `units` are seconds, authorised some at a time.
BY_SECONDS = frozenset({Channel.VOICE, Channel.VIDEO, Channel.VOICEMAIL, Channel.AI_AGENT,
                        Channel.SPEECH_TO_TEXT})  # fmt: skip
UNITS_MAX = 1_000_000


class Group(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A group and its members: each is charged."""

    id: str
    members: list[str]


class Send(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is asked before a send; one of contact, recipients and group."""

    key: str
    number: str
    tenant: str | None = None
    channel: str | None = None
    contact: str | None = None
    recipients: list[str] | None = None
    group: Group | None = None
    category: str | None = None
    text: str | None = None
    units: int | None = None
    allow_partial: bool = False
    hold: str | None = None


class Charge(msgspec.Struct, array_like=True):
    """What of a price a balance would pay by one rule; amounts in micros."""

    balance: str
    rule_id: int
    units: int
    amount: int


class Granted(msgspec.Struct, array_like=True):
    """What a key was granted; kept with the hold, so that a retry is told the same."""

    hold: str
    expires_at: int
    recipients: int
    charges: list[Charge]
    category: str
    balance: str | None  #: the one the price is in
    remaining: int | None  #: behind this hold; None where only the books know of it
    low: bool | None


class NotAskedError(Exception):
    """A send that is none: what is wrong with it, where, and what would be right."""

    def __init__(self, reason: str, message: str, path: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.path = path


@dataclass(slots=True, kw_only=True)
class Question:
    """A send on its way to the desk."""

    terms: Terms
    number: NumberTerms
    hold_number: bytes  #: of the key and of the request
    facts: Sequence[Fact]
    places: Sequence[int]  #: of the recipients in the request, by fact
    partial: bool
    replaces: Hold | None
    limit: Limit | None = None  #: how many it may reach


_decode = msgspec.json.Decoder(Send).decode
_skip = msgspec.json.Decoder(msgspec.Raw).decode
_ENCODED = tuple(msgspec.structs.fields(Send))
_OF_GROUP = tuple(msgspec.structs.fields(Group))
#: Of a name that nobody knows, the characters that are told again.
NAME_LENGTH_MAX = 64


def read_send(raw: bytes) -> Send | NotAskedError:
    """One send from JSON; what is wrong with it, and where, otherwise."""
    try:
        try:
            return _decode(raw)
        except msgspec.ValidationError as error:
            _skip(raw)  # what is not JSON further on is that first of all
            return _explained(str(error))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return NotAskedError("invalid_json", str(error), "")


def _explained(words: str) -> NotAskedError:
    """What a decoder found, in the words of answers."""
    what, _, place = words.partition(" - at `$")
    path = place.rstrip("`").removeprefix(".")
    if what.startswith("Object missing required field"):
        name = what.split("`")[1]
        where = f"{path}.{name}" if path else name
        return NotAskedError("missing_field", f"{where} is missing", where)
    if what.startswith("Object contains unknown field"):
        name = what.split("`")[1][:NAME_LENGTH_MAX]
        known = [each.encode_name for each in (_OF_GROUP if path else _ENCODED)]
        near = get_close_matches(name, known, 1)
        right = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        where = f"{path}.{name}" if path else name
        return NotAskedError("invalid_field", f"there is no field {shown(name)}: {right}", where)
    return NotAskedError("invalid_field", f"{path or 'the send'}: {what}", path)


def recipients_of(send: Send) -> int:
    """How many a send names, at least one."""
    return len(send.recipients or (send.group and send.group.members) or ()) or 1


def digest(send: Send) -> bytes:
    """What tells one request from another under the same key of a tenant."""
    asked = (
        send.number, send.channel, send.contact, send.recipients,
        send.group and (send.group.id, send.group.members), send.category, send.text, send.units,
        send.allow_partial, send.hold,
    )  # fmt: skip
    try:
        return hashlib.blake2b(msgspec.msgpack.encode(asked), digest_size=16).digest()
    except UnicodeEncodeError:
        raise NotAskedError(
            "invalid_field", "half a character is no text: send each one whole", ""
        ) from None


def question(send: Send, terms: Terms, now: int) -> tuple[Question, Iterator[tuple[int, Fact]]]:
    """Check a send; the facts of its recipients come one by one, for there may be many, each with
    the recipient's place in the request.

    Raises NotAskedError, from the iterator too.
    """
    if not 0 < len(send.key) <= EVENT_ID_LENGTH_MAX or not send.key.isprintable():
        raise NotAskedError(
            "invalid_field", f"key has 1 to {EVENT_ID_LENGTH_MAX} printable characters", "key"
        )
    data: dict[str, Any] = {"number": send.number, "channel": send.channel}
    try:
        for name in ("number", "channel", "category", "contact"):
            value = getattr(send, name)
            if value is not None:
                check_text(value, f"data.{name}", EVENT_ID_LENGTH_MAX)
        number = number_in(data, terms)
    except Refused as refused:
        raise _refused(refused, "") from None
    replaces = _replaced(send, terms, number)
    data.update(_units(send, number, terms, replaces))
    category = send.category or "service"
    if number.channel not in KINDS:
        data["category"] = category
        if category != "service":
            data["template"] = "authorize"
    elif send.category is not None:
        data["category"] = send.category
    kind = KINDS.get(number.channel, Type.MESSAGE_DELIVERED)
    if kind is Type.CALL_ENDED:
        data["direction"] = "out"
    found = Question(
        terms=terms,
        number=number,
        hold_number=number_of(send.key)[:KEY_BYTES] + digest(send)[: 16 - KEY_BYTES],
        facts=(),
        places=(),
        partial=send.allow_partial,
        replaces=replaces,
    )
    return found, _facts(send, data, number, terms, kind, now)


def _facts(
    send: Send, data: dict[str, Any], number: NumberTerms, terms: Terms, kind: Type, now: int
) -> Iterator[tuple[int, Fact]]:
    """The facts of the recipients, each once (CO-2), with the recipient's place."""
    named = [name for name in ("contact", "recipients", "group") if getattr(send, name) is not None]
    if len(named) != 1:
        raise NotAskedError(
            "missing_field" if not named else "invalid_field",
            "name one of contact, recipients and group: who is to be reached",
            named[1] if named else "contact",
        )
    recipients, path = _recipients(send, terms)
    if send.group is not None:
        data["group"] = {"id": send.group.id, "members": send.group.members}
    seen: set[str] = set()
    for place, recipient in enumerate(recipients):
        data["contact"] = recipient
        fact = Fact()
        fact.type, fact.at, fact.arrived_at = kind, now, now
        fact.source = fact.id = fact.data = ""
        fact.key = fact.content = b""
        try:
            described(fact, data, number, terms)
        except Refused as refused:
            raise _refused(refused, path.format(place)) from None
        if fact.seconds:
            fact.at = now + fact.seconds * MICRO  # it would begin now
        if fact.direction is Direction.NONE:
            fact.direction = Direction.OUT
        if fact.address not in seen:
            seen.add(fact.address)
            yield place, fact


def _recipients(send: Send, terms: Terms) -> tuple[Sequence[str], str]:
    """Who is to be reached, and where that stands in the request."""
    if send.contact is not None:
        return (send.contact,), "contact"
    found = send.recipients if send.group is None else send.group.members
    path = "recipients" if send.group is None else "group.members"
    if not found:
        raise NotAskedError("invalid_field", f"{path} names at least one contact", path)
    return found, path + "[{}]"


def _units(send: Send, number: NumberTerms, terms: Terms, replaces: Hold | None) -> dict[str, Any]:
    """How much is asked for, as a fact of the channel says it."""
    units, channel = send.units, number.channel
    if units is not None and not 0 < units <= UNITS_MAX:
        raise NotAskedError("number_out_of_range", f"units is from 1 to {UNITS_MAX:,}", "units")
    if channel in BY_SECONDS:
        if replaces is not None and units is None:
            raise NotAskedError(
                "missing_field", "units is missing: the seconds the call may last in all", "units"
            )
        return {"seconds": units or terms.sending.call_seconds, "answered": True}
    if channel is Channel.EMAIL:
        return {"quantity": units or 1}
    if channel is Channel.SMS:
        return {"text": send.text} if units is None else {"segments": units}
    if units not in (None, 1):
        raise NotAskedError(
            "invalid_field", f"a message on {number.channel_name} is one: leave units out", "units"
        )
    return {}


def _replaced(send: Send, terms: Terms, number: NumberTerms) -> Hold | None:
    """The hold of a call that goes on."""
    if send.hold is None:
        return None
    if number.channel not in BY_SECONDS:
        raise NotAskedError(
            "invalid_field", "hold goes on with a call or session: leave it out here", "hold"
        )
    hold = read(send.hold, terms.hold_key)
    if hold is None or hold.shares != 1:
        raise NotAskedError(
            "invalid_field", f"{shown(send.hold)} is no hold of one call of this tenant", "hold"
        )
    return hold


def _refused(refused: Refused, path: str) -> NotAskedError:
    refusal = refused.refusal
    where = refusal.path.removeprefix("data.")
    if where.startswith(("contact", "group.members")):
        where = path or where  # the recipient's place in the request
    return NotAskedError(refusal.reason, refusal.message, where)
