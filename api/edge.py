"""The edge: an event and the terms of its tenant in, a fact or a clear refusal out.

Owns every check that needs no state (EV-3, EV-6, PR-6, PR-10) and the spelling of what is stored.
Waits for nothing. What is checked here once is trusted everywhere behind it.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

from api.addresses import normalise_address, normalise_number
from api.cloudevents import (
    KEY_BYTES,
    UTC_EPOCH,
    Item,
    Refusal,
    Refused,
    check_text,
    content_of,
    decode_data,
    is_plain,
    key_of,
)
from api.limits import (
    DIMENSION_LENGTH_MAX,
    EVENT_AHEAD_SECONDS_MAX,
    EVENT_ID_LENGTH_MAX,
    GROUP_MEMBERS_MAX,
    HOLD_LENGTH_MAX,
)
from domain.facts import CHANNELS, GROUP_MARK, TYPES, Channel, Direction, Fact, Type
from domain.money import MICRO
from domain.segments import segments
from domain.terms import NumberTerms, Terms
from persistence.log import KeptFact

AHEAD_MAX = EVENT_AHEAD_SECONDS_MAX * 1_000_000
SECONDS_MAX = 31_536_000  # a year: no call and no session lasts longer
SEGMENTS_MAX = 1_000
QUANTITY_MAX = 10**12

#: Spellings of its numbers remembered for one tenant.
SPELLINGS_MAX = 1_000

_MESSAGES = frozenset(
    {
        Type.MESSAGE_RECEIVED,
        Type.MESSAGE_SENT,
        Type.MESSAGE_DELIVERED,
        Type.MESSAGE_READ,
        Type.MESSAGE_PLAYED,
        Type.MESSAGE_FAILED,
    }
)
#: Texts of the data and the characters they may have; those that rollups are kept by have fewer.
_TEXTS = {
    "message_id": EVENT_ID_LENGTH_MAX,
    "category": DIMENSION_LENGTH_MAX,
    "template": EVENT_ID_LENGTH_MAX,
    "broadcast": DIMENSION_LENGTH_MAX,
    "user": DIMENSION_LENGTH_MAX,
    "meter": DIMENSION_LENGTH_MAX,
    "hold": HOLD_LENGTH_MAX,
}
_NAMES = {kind: name for name, kind in TYPES.items()}
_QUANTITY = re.compile(r"\d{1,12}(?:\.\d{1,6})?", re.ASCII)
_SIGNED = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)


def to_fact(item: Item, terms: Terms, now: int) -> Fact | Refusal:
    """Check one event against its tenant's terms; `now` is when it arrived."""
    try:
        return _fact(item, terms, now)
    except Refused as refused:
        return refused.refusal._replace(id=item.id)


def _fact(item: Item, terms: Terms, now: int) -> Fact:
    kind = TYPES.get(item.type)
    if kind is None:
        raise Refused(
            "unknown_type", f"type {item.type[:64]!r} is none of {', '.join(TYPES)}", "type"
        )
    at = _instant(item.time, terms, now)
    data = item.data
    for name, value in data.items():
        if is_plain(value) and len(value) <= DIMENSION_LENGTH_MAX:
            continue  # nearly every value is a short plain text
        limit = _TEXTS.get(name)
        if limit is not None and value is not None:
            if not isinstance(value, str):
                _wrong(name, "is a string")
            check_text(value, f"data.{name}", limit)
    number = number_in(data, terms)
    fact = Fact()
    fact.type, fact.at, fact.arrived_at = kind, at, now
    fact.source, fact.id, fact.key = item.source, item.id, key_of(item.source, item.id)
    fact.content = content_of(item.type, at, terms.key, item.canonical)
    fact.data = item.canonical.decode()
    return described(fact, data, number, terms)


def kept(row: KeptFact, terms: Terms) -> Fact:
    """The fact of a kept row, as it was when it came: its number and its party are known."""
    fact = Fact()
    fact.type, fact.at, fact.arrived_at = Type(row.type), row.at, row.arrived_at
    fact.source, fact.id, fact.key = row.source, row.id, row.key
    fact.content = content_of(_NAMES[fact.type], row.at, terms.key, row.data.encode())
    fact.data = row.data
    described(fact, decode_data(row.data), terms.numbers[row.number_id], terms)
    # By the spelling of its time, whatever ours is today.
    fact.party, fact.country, fact.category = row.party, row.country, row.category
    if fact.group is None:
        fact.address = row.party
    return fact


def described(fact: Fact, data: dict[str, Any], number: NumberTerms, terms: Terms) -> Fact:
    """The fact with all that its data says; its type is known."""
    kind = fact.type
    fact.tenant_id = terms.tenant_id
    fact.number_id, fact.channel = number.number_id, number.channel
    fact.agent = data.get("user") or ""
    fact.broadcast = data.get("broadcast") or ""
    fact.hold = data.get("hold")
    message = kind in _MESSAGES
    _contact(fact, data, number.channel, needed=message or kind is Type.CALL_ENDED)
    fact.segments = _segments(data, number.channel) if message else 0
    if message:
        _message(fact, data, kind)
    else:
        _other(fact, data, kind)
    return fact


def _segments(data: dict[str, Any], channel: Channel) -> int:
    """The parts of a message: as the provider counted them, else as its text needs (SM-1)."""
    counted = _whole(data, "segments", SEGMENTS_MAX)
    if counted is not None:
        return counted
    text = data.get("text")
    return segments(text) if channel is Channel.SMS and isinstance(text, str) else 0


def _instant(time: datetime, terms: Terms, now: int) -> int:
    since_epoch = time - UTC_EPOCH
    at = (since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000 + since_epoch.microseconds
    if at > now + AHEAD_MAX:
        raise Refused(
            "time_ahead",
            f"time is {(at - now) // 1_000_000} seconds ahead of our clock; at most "
            f"{EVENT_AHEAD_SECONDS_MAX} are accepted",
            "time",
        )
    if at < 0:
        raise Refused("time_out_of_range", "time is before 1970; write when it happened", "time")
    if terms.since is not None and at < terms.since:
        raise Refused(
            "before_since", "time is before the tenant's first accepted instant (since)", "time"
        )
    return at


def number_in(data: dict[str, Any], terms: Terms) -> NumberTerms:
    address, channel_name = data.get("number"), data.get("channel")
    try:
        return terms.spellings[(channel_name, address)]  # type: ignore[index]
    except (KeyError, TypeError):
        pass
    if address is None:
        raise Refused(
            "missing_field", "number is missing: the tenant's registered address", "data.number"
        )
    if not isinstance(address, str):
        _wrong("number", "is a string: the tenant's registered address")
    channel: Channel | None = None
    if channel_name is not None:
        channel = CHANNELS.get(channel_name) if isinstance(channel_name, str) else None
        if channel is None:
            _wrong("channel", f"is none of {', '.join(CHANNELS)}")
    found: list[NumberTerms] = []
    for candidate in Channel if channel is None else (channel,):
        number = terms.addresses.get((candidate, _spelt(candidate, address)))
        if number is not None:
            found.append(number)
    if len(found) == 1:
        if len(terms.spellings) < SPELLINGS_MAX:
            terms.spellings[(channel_name, address)] = found[0]
        return found[0]
    if found:
        names = ", ".join(number.channel.name.lower() for number in found)
        raise Refused(
            "missing_field", f"the number stands on several channels: name one of {names}",
            "data.channel",
        )  # fmt: skip
    if channel is not None:
        for candidate in Channel:
            if (candidate, _spelt(candidate, address)) in terms.addresses:
                raise Refused(
                    "channel_mismatch",
                    f"the number is registered for {candidate.name.lower()}, not for "
                    f"{channel.name.lower()}",
                    "data.channel",
                )
    raise Refused(
        "unknown_number",
        f"number {address[:64]!r} is not registered for tenant {terms.key!r}; create it first",
        "data.number",
    )


def _spelt(channel: Channel, address: str) -> str:
    try:
        return normalise_number(channel, address)
    except ValueError:
        return ""


def _contact(fact: Fact, data: dict[str, Any], channel: Channel, *, needed: bool) -> None:
    """The contact's address, country and party; a group owns its windows (WI-1)."""
    contact = data.get("contact")
    fact.address, fact.country = "", ""
    if contact is None:
        if needed:
            raise Refused(
                "missing_field", "contact is missing: the address of the other end", "data.contact"
            )
    elif not isinstance(contact, str):
        _wrong("contact", "is a string: the address of the other end", "invalid_contact")
    else:
        try:
            fact.address, fact.country = normalise_address(channel, contact)
        except ValueError as error:
            raise Refused("invalid_contact", str(error), "data.contact") from None
    fact.party, fact.group = fact.address, None
    group = data.get("group")
    if group is not None:
        fact.group = _group(group, channel)
        fact.party = GROUP_MARK + group["id"]


def _group(group: object, channel: Channel) -> tuple[str, ...]:
    if not isinstance(group, dict) or not isinstance(group.get("id"), str):
        _wrong("group", "is an object {id, members}")
    check_text(group["id"], "data.group.id")
    members = group.get("members", [])
    if not isinstance(members, list) or len(members) > GROUP_MEMBERS_MAX:
        _wrong("group.members", f"is a list of at most {GROUP_MEMBERS_MAX} contacts")
    found: list[str] = []
    for place, member in enumerate(members):
        try:
            if not isinstance(member, str):
                raise ValueError("a member is a string: the address of a contact")
            found.append(normalise_address(channel, member)[0])
        except ValueError as error:
            raise Refused("invalid_contact", str(error), f"data.group.members[{place}]") from None
    return tuple(found)


def _message(fact: Fact, data: dict[str, Any], kind: Type) -> None:
    """What a message says of itself: templates name their category, free text is service."""
    direction = Direction.IN if kind is Type.MESSAGE_RECEIVED else Direction.OUT
    fact.direction = direction
    written = data.get("direction")
    if written is not None and written != direction.name.lower():
        _wrong("direction", f'is "{direction.name.lower()}" for this type, or left out')
    message_id = data.get("message_id")
    fact.message = None
    if message_id is not None:
        name = f"{fact.channel.value}\0{message_id}\0{fact.address}"
        fact.message = hashlib.blake2b(name.encode(), digest_size=KEY_BYTES).digest()
    entry = data.get("entry")
    if entry is not None and entry != "ad":
        _wrong("entry", 'is "ad", or left out')
    fact.entry = entry == "ad" and direction is Direction.IN
    fact.template = data.get("template") is not None
    category = data.get("category")
    fact.category = category or ""
    fact.seconds, fact.answered, fact.quantity, fact.meter = 0, False, MICRO, ""
    if direction is Direction.IN:
        return
    if fact.template:
        if category == "service":
            _wrong("category", "is not service for a template; leave template out for free text")
    elif category is None:
        fact.category = "service"
    elif category != "service":
        _wrong(
            "template", f"is missing: a {fact.category[:32]} message is sent by a template's name;"
            " free text has category service, or none",
        )  # fmt: skip


def _other(fact: Fact, data: dict[str, Any], kind: Type) -> None:
    """What a call, a session, a mail or recorded usage says of itself."""
    fact.message, fact.template, fact.entry = None, False, False
    fact.category = data.get("category") or ""
    fact.direction = Direction.OUT if kind is Type.EMAIL_SENT else Direction.NONE
    fact.meter = data.get("meter") or ""
    seconds = _whole(data, "seconds", SECONDS_MAX, up=True)
    if kind is Type.CALL_ENDED:
        written = data.get("direction")
        if written is None:
            raise Refused("missing_field", 'direction is missing: "in" or "out"', "data.direction")
        if written not in ("in", "out"):
            _wrong("direction", 'is "in" or "out"')
        fact.direction = Direction.IN if written == "in" else Direction.OUT
        if seconds is None:
            raise Refused(
                "missing_field",
                "seconds is missing: the answered seconds, 0 if none",
                "data.seconds",
            )
    fact.seconds = seconds or 0
    answered = data.get("answered")
    if answered is not None and not isinstance(answered, bool):
        _wrong("answered", "is true or false")
    fact.answered = fact.seconds > 0 if answered is None else answered
    quantity = data.get("quantity")
    if kind is Type.USAGE_RECORDED:
        if quantity is None:
            raise Refused("missing_field", "quantity is missing: a decimal from 0", "data.quantity")
        if not fact.meter:
            raise Refused("missing_field", "meter is missing: what was used", "data.meter")
    fact.quantity = MICRO if quantity is None else _decimal(quantity)


def _whole(data: dict[str, Any], name: str, limit: int, *, up: bool = False) -> int | None:
    """A whole number from 0; with `up` a fraction counts as the next one (VO-1)."""
    value = data.get(name)
    if value is None:
        return None
    if up and isinstance(value, Decimal) and 0 <= value <= limit:
        value = int(value) + (value != int(value))
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        _wrong(name, "is a whole number from 0")
    if value < 0 or value > limit:
        _wrong(name, f"is a whole number from 0 to {limit}", "number_out_of_range")
    if isinstance(value, Decimal):
        _wrong(name, "is a whole number from 0")
    return value


def _decimal(value: object) -> int:
    """A quantity in micros: from 0, at most 12 digits before and 6 after the point."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < QUANTITY_MAX:
            _wrong("quantity", "is from 0, with at most 12 digits", "number_out_of_range")
        return value * MICRO
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        if not isinstance(exponent, int) or not 0 <= value < QUANTITY_MAX or exponent < -6:
            _wrong(
                "quantity", "is from 0, with at most 12 digits and 6 decimals",
                "number_out_of_range",
            )  # fmt: skip
        return int(value.scaleb(6))
    if isinstance(value, str):
        if not _QUANTITY.fullmatch(value):
            _wrong(
                "quantity", "is a decimal from 0, with at most 12 digits and 6 decimals",
                "number_out_of_range" if _SIGNED.fullmatch(value) else "invalid_field",
            )  # fmt: skip
        return int(Decimal(value).scaleb(6))
    return _wrong("quantity", 'is a decimal from 0, such as 3 or "2.5"')


def _wrong(name: str, right: str, reason: str = "invalid_field") -> NoReturn:
    raise Refused(reason, f"{name} {right}", f"data.{name}")
