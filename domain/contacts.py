"""What is remembered of a contact on a number: its windows as they stand and its visits.

Owns the memory alone; when a window opens and what it means is decided in `meter`.
"""

from __future__ import annotations

#: What says which windows a contact has, but for those of categories.
WINDOWS = (
    "last_at", "service_opened_at", "service_ends_at", "conversation_opened_at",
    "conversation_ends_at", "conversation_paid", "entry_at", "entry_opened_at", "entry_ends_at",
)  # fmt: skip


class Contact:
    """A contact's (or group's) state on one number; slots, changed in place by the fold."""

    __slots__ = (
        "category_windows", "channel", "conversation_ends_at", "conversation_opened_at",
        "conversation_paid", "dirty",
        "entry_at", "entry_ends_at", "entry_opened_at", "last_at", "number_id", "party",
        "service_ends_at", "service_opened_at", "visited",
    )  # fmt: skip

    def __init__(self, channel: int, party: str, number_id: int) -> None:
        self.channel = channel
        self.party = party
        self.number_id = number_id
        self.last_at = 0  #: the latest fact's instant
        self.service_opened_at: int | None = None
        self.service_ends_at: int | None = None
        self.conversation_opened_at: int | None = None
        self.conversation_ends_at: int | None = None
        self.conversation_paid = False  #: it covers the messages of its category inside it
        self.entry_at: int | None = None  #: an ad brought the contact, no answer yet
        self.entry_opened_at: int | None = None
        self.entry_ends_at: int | None = None
        self.category_windows: list[int] = []  #: triples of category, opening and end
        self.visited: list[int] = []  #: months in which this row was counted as a visitor
        self.dirty = False

    def in_service(self, at: int) -> bool:
        """Whether the customer-service window is open at `at`; its end is outside (WI-1)."""
        return (
            self.service_ends_at is not None
            and self.service_opened_at is not None
            and self.service_opened_at <= at < self.service_ends_at
        )

    def in_conversation(self, at: int) -> bool:
        """Whether an any-category conversation is open at `at` (CO-1)."""
        return (
            self.conversation_ends_at is not None
            and self.conversation_opened_at is not None
            and self.conversation_opened_at <= at < self.conversation_ends_at
        )

    def in_entry(self, at: int) -> bool:
        """Whether a free-entry window is open at `at` (WI-2)."""
        return (
            self.entry_ends_at is not None
            and self.entry_opened_at is not None
            and self.entry_opened_at <= at < self.entry_ends_at
        )
