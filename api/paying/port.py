"""What a provider of payments is to kuota: what it is asked, and what it answers.

Owns the words of both. Who the providers are, and what is done with an answer, stands elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Standing(StrEnum):
    """Where a payment stands at its provider."""

    ABSENT = "absent"  #: the provider knows no such key
    PENDING = "pending"
    PAID = "paid"
    DECLINED = "declined"
    EXPIRED = "expired"
    TAKEN_BACK = "taken_back"  #: paid once, and since then refunded or charged back


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One try to collect a total under a key."""

    key: str  #: the payment key, which the provider knows it by
    total: int  #: micros of the currency, tax included
    currency: str
    description: str
    item: str  #: what kind of thing it is: `top-up` or `invoice`
    customer: str  #: the tenant's name
    email: str | None
    token: str | None  #: of a payment method; None: the payer comes to a page
    return_url: str | None  #: where the payer goes on from that page
    expires_at: int  #: when the page ends, microseconds since 1970 UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Where a payment stands, as its provider says."""

    standing: Standing
    reason: str = ""  #: words for people
    pay_url: str | None = None  #: where the payer pays
    reference: str | None = None  #: the provider's own id of it
    total: int | None = None  #: micros, where the provider says
    currency: str | None = None


class AwayError(Exception):
    """The outcome is unknown (a timeout, a fault of theirs): ask again with the same key."""


class NoticeError(Exception):
    """A notice that is not the provider's, or cannot be read; says which."""


class ForgedError(NoticeError):
    """A notice that can be read, and is not the provider's: its signature is wrong."""


class Provider(Protocol):
    """Who collects."""

    name: str

    async def charge(self, charge: Charge) -> Answer:
        """Collect; the same key again never charges twice and answers where it stands."""

    async def look(self, key: str) -> Answer:
        """Where a payment stands: the truth, whatever notices said."""

    async def cancel(self, key: str) -> Answer:
        """Give a payment up that is not paid; answers where it stands then."""

    def key_of(self, headers: Mapping[str, str], body: bytes) -> str:
        """The payment key a notice is of, or NoticeError."""

    async def close(self) -> None:
        """Let go of connections."""
