"""Metering: which windows, conversations and visits a fact opens or moves.

Owns the rules WI-1, WI-2, CO-1, CO-2, CO-5, VI-1 and VI-2 and nothing of money: opening and
counting never look at a balance. How long a window lasts, and on which channels there are any, is
the book's word.

Live figures follow arrival. A fact older than the window it would have belonged to is met as well
as the present state allows and marked LATE by the fold; settling decides.
"""

from __future__ import annotations

from collections.abc import Iterable

from domain.books import WindowRule
from domain.contacts import Contact
from domain.facts import Flag


def receive(contact: Contact, at: int, rule: WindowRule, *, entry: bool) -> int:
    """Move the customer-service window for an inbound message or call at `at` (WI-1)."""
    opened = Flag.NONE
    ends = at + rule.customer_service
    if contact.in_service(at):
        assert contact.service_ends_at is not None
        contact.service_ends_at = max(contact.service_ends_at, ends)
    elif contact.service_opened_at is None or at > contact.service_opened_at:
        contact.service_opened_at, contact.service_ends_at = at, ends
        opened = Flag.SERVICE_OPENED
    elif ends > contact.service_opened_at:
        contact.service_opened_at = at  # late, and it reaches the window that is known
    else:
        opened = Flag.SERVICE_OPENED  # late, in a window of its own that is over
    if entry and not contact.in_entry(at):
        contact.entry_at = at if contact.entry_at is None else max(contact.entry_at, at)
    return opened


def reach(contact: Contact, at: int, rule: WindowRule) -> int:
    """Open what the business's delivered message opens at `at` (CO-1, WI-2)."""
    opened = Flag.NONE
    if contact.entry_at is not None and contact.entry_at <= at:
        if at < contact.entry_at + rule.customer_service and not contact.in_entry(at):
            contact.entry_opened_at, contact.entry_ends_at = at, at + rule.free_entry
            opened |= Flag.ENTRY_OPENED
        contact.entry_at = None
    if contact.in_conversation(at):
        return opened
    known = contact.conversation_opened_at
    if known is None or at > known:
        contact.conversation_opened_at = at
        contact.conversation_ends_at = at + rule.conversation
        contact.conversation_paid = False
        return opened | Flag.CONVERSATION_OPENED
    if at + rule.conversation <= known:
        return opened | Flag.CONVERSATION_OPENED  # late, one of its own that is over
    return opened  # late, and it overlaps the one already counted


def visit(rows: Iterable[Contact], row: Contact, month: int) -> int:
    """Count a contact once in a period, whichever of the channel's numbers it wrote to (VI-1).

    `rows` are all rows of the contact on the channel, `row` the one of the number written to.
    """
    for known in rows:
        if month in known.visited:
            return Flag.NONE
    row.visited.append(month)
    return Flag.VISITOR
