"""Broadcasts: whom each wrote to, and what is known of those messages, in any order.

Owns the bits of what is known of a recipient, which never change meaning, and which facts say it.
Bits are only ever added, so facts give the same in whatever order they come, and however often.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from domain.facts import Fact, Type

SENT, DELIVERED, READ, FAILED = 1, 2, 4, 8

#: What each fact of a message says of its recipient.
STATES = {
    Type.MESSAGE_SENT: SENT,
    Type.MESSAGE_DELIVERED: DELIVERED,
    Type.MESSAGE_READ: READ,
    Type.MESSAGE_PLAYED: READ,
    Type.MESSAGE_FAILED: FAILED,
}

#: A message that was read has reached its contact, whether its delivery was told or not.
REACHED = DELIVERED | READ


class Recipient(NamedTuple):
    """Who was written to: a contact, or a group as one."""

    broadcast: str
    channel: int
    party: str


class Told(NamedTuple):
    """What facts say of broadcasts."""

    recipients: dict[Recipient, int]  #: states
    spans: dict[str, tuple[int, int]]  #: first and last instant, by broadcast


def told_by(facts: Iterable[Fact]) -> Told:
    """What facts say of the broadcasts they name; what contacts answered says nothing."""
    recipients: dict[Recipient, int] = {}
    spans: dict[str, tuple[int, int]] = {}
    for fact in facts:
        name = fact.broadcast
        if not name:
            continue
        state = STATES.get(fact.type)
        if state is None:
            continue
        recipient = Recipient(name, fact.channel.value, fact.party)
        recipients[recipient] = recipients.get(recipient, 0) | state
        known = spans.get(name, (fact.at, fact.at))
        spans[name] = (min(known[0], fact.at), max(known[1], fact.at))
    return Told(recipients, spans)
