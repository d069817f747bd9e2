"""Facts: one thing that happened, as it arrived, checked and normalised.

Owns the vocabulary (types, channels, sources of lots, outcomes) and its stored numbers, which never
change meaning. Knows nothing of JSON, of rows, or of what a fact costs.
"""

from __future__ import annotations

from enum import IntEnum


class Type(IntEnum):
    """What happened; the value is what is stored, the wire name is lower case with a dot."""

    MESSAGE_RECEIVED = 1
    MESSAGE_SENT = 2
    MESSAGE_DELIVERED = 3
    MESSAGE_READ = 4
    MESSAGE_PLAYED = 5
    MESSAGE_FAILED = 6
    CALL_ENDED = 7
    SESSION_ENDED = 8
    EMAIL_SENT = 9
    USAGE_RECORDED = 10


TYPES: dict[str, Type] = {t.name.lower().replace("_", ".", 1): t for t in Type}

#: EV-5: the statuses that say a message reached its contact.
REACHED = frozenset({Type.MESSAGE_DELIVERED, Type.MESSAGE_READ, Type.MESSAGE_PLAYED})


class Channel(IntEnum):
    WHATSAPP = 1
    INSTAGRAM = 2
    MESSENGER = 3
    TELEGRAM = 4
    LINE = 5
    LIVECHAT = 6
    SMS = 7
    EMAIL = 8
    VOICE = 9
    VIDEO = 10
    VOICEMAIL = 11
    BOT = 12
    AI_AGENT = 13
    SPEECH_TO_TEXT = 14


CHANNELS: dict[str, Channel] = {c.name.lower(): c for c in Channel}
CHANNEL_NAMES: dict[int, str] = {c.value: c.name.lower() for c in Channel}

#: Channels whose contacts are phone numbers.
PHONE_CHANNELS = frozenset({Channel.WHATSAPP, Channel.SMS, Channel.VOICE, Channel.VOICEMAIL})

#: What a group's party begins with: a character no contact's address may contain.
GROUP_MARK = "\x1f"


class Direction(IntEnum):
    NONE = 0
    IN = 1
    OUT = 2


class Status(IntEnum):
    """What became of an item; the first three are stored with their fact."""

    ACCEPTED = 1
    UNRATED = 2
    ADJUSTED = 3
    DUPLICATE = 4
    CONFLICT = 5
    REFUSED = 6


class Flag:
    """What a fact did beside its charge: bits of one int.

    Plain ints, because enum's flags cost a microsecond an operation and are iterable, which the
    driver takes for an array.
    """

    NONE = 0
    SERVICE_OPENED = 1  #: opened a customer-service window
    CONVERSATION_OPENED = 2  #: opened an any-category conversation
    CONVERSATION_PAID = 4  #: and that conversation covers what comes inside it
    VISITOR = 8  #: was a contact's first of the period
    OVERDRAWN = 16  #: drew more than its chain held (BA-11)
    LATE = 32  #: came after what it shares a figure with had moved on (EV-9)
    REPEATED = 64  #: a further status of a message charged before (EV-5)
    FURTHER = 128  #: has rows in `charges`
    ENTRY_OPENED = 256  #: opened a free-entry window
    LATE_COMMIT = 512
    OVER_HOLD = 1024
    UNKNOWN_HOLD = 2048
    CATEGORY_OPENED = 4096  #: opened a conversation of its category (CO-3)
    COVERED = 8192  #: a paid conversation paid for it (PR-9, CO-3)


class Fact:
    """One fact of one tenant. Slots, not a frozen value: creating one costs 0.3 microseconds."""

    __slots__ = (
        "address", "agent", "answered", "arrived_at", "at", "broadcast", "category", "channel",
        "content", "country", "data", "direction", "entry", "group", "hold", "id", "key",
        "message", "meter", "number_id", "party", "quantity", "seconds", "segments", "source",
        "template", "tenant_id", "type",
    )  # fmt: skip

    tenant_id: int
    key: bytes  #: BLAKE2b-128 of (source, id)
    content: bytes  #: BLAKE2b-128 of type, instant, subject and data by value (EV-1)
    source: str
    id: str
    type: Type
    at: int  #: the instant it happened
    arrived_at: int
    number_id: int
    channel: Channel
    direction: Direction
    address: str  #: the contact, normalised; a group's member who wrote or was reached
    party: str  #: whose windows it moves: the contact, or GROUP_MARK + group id
    country: str  #: ISO code of the contact's number, "" without one
    category: str  #: the message's own; "" where none was given
    template: bool
    message: bytes | None  #: BLAKE2b-128 of (channel, message id, contact); None: the fact's key
    entry: bool  #: the contact came from an ad
    group: tuple[str, ...] | None
    agent: str
    broadcast: str
    segments: int
    seconds: int
    answered: bool
    meter: str
    quantity: int  #: micros
    hold: str | None
    data: str  #: canonical JSON of what came, unknown fields kept

    @property
    def began(self) -> int:
        """The instant that row, lots and period go by: a call's start (VO-1)."""
        return self.at - self.seconds * 1_000_000 if self.type is Type.CALL_ENDED else self.at
