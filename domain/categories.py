"""Per-category conversations: which category of a contact is open, and what opens one (CO-3, CO-4).

Owns the windows of categories a contact has, the latest of each. A template opens a conversation
of its category if none of it is open; free text opens one only if none of any category is. A
free-entry window closes the others, and none opens until it ends.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from domain.contacts import Contact
from domain.facts import Fact

#: Numbers of one window in a contact's list: category, opening, end.
WIDTH = 3


class Open(NamedTuple):
    """A conversation of a category that covers a message."""

    opened_at: int
    ends_at: int


def covering(contact: Contact, fact: Fact) -> Open | None:
    """The open conversation that a message falls into: its category's, of free text any."""
    own = _name(fact.category)
    windows = contact.category_windows
    for place in range(0, len(windows), WIDTH):
        name, opened_at, ends_at = windows[place : place + WIDTH]
        if opened_at <= fact.at < ends_at and (name == own or not fact.template):
            return Open(opened_at, ends_at)
    return None


def open_category(contact: Contact, fact: Fact, length: int) -> None:
    """Note that a message opened a conversation of its category, `length` microseconds long."""
    own, at = _name(fact.category), fact.at
    windows = contact.category_windows
    for place in range(0, len(windows), WIDTH):
        if windows[place] == own:
            if windows[place + 1] < at:
                windows[place + 1 : place + WIDTH] = [at, at + length]
            return  # late, in a window of its own that is over
    windows += [own, at, at + length]


def forget_category(contact: Contact, fact: Fact) -> None:
    """Undo what a message opened, so that it can open it: it does not cover itself."""
    own, windows = _name(fact.category), contact.category_windows
    for place in range(0, len(windows), WIDTH):
        if windows[place] == own and windows[place + 1] == fact.at:
            del windows[place : place + WIDTH]
            return


def close_categories(contact: Contact) -> None:
    """Close every category: a free-entry window has opened."""
    contact.category_windows.clear()


def _name(category: str) -> int:
    """A category as a number: the engine knows none by name."""
    return zlib.crc32(category.encode())
