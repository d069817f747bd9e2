"""Who is asking: keys made, hashed, looked up and turned into principals.

Owns the form of a secret, the scopes there are and for how long a look-up is believed. Owns no row:
`persistence.credentials` does.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import asyncpg

from api.faults import Fault, unauthenticated, unavailable
from api.limits import KEY_CACHE_ENTRIES_MAX, KEY_CACHE_SECONDS
from api.settings import Clock
from persistence.credentials import KeyRecord, find_by_prefix
from persistence.door import Door

#: What a key may allow, with the words that describe it.
SCOPES = {
    "events:write": "send facts",
    "usage:read": "read live figures, series and windows",
    "billing:read": "read balances, charges and invoices",
    "billing:write": "top up, refill and pay",
    "send:authorize": "ask before a send",
    "keys:write": "create and revoke keys",
}
ALL_SCOPES = frozenset(SCOPES)
WRITING = frozenset({"billing:write", "keys:write"})

SECRET_BYTES = 24
SECRET = re.compile(rb"kuota_([a-z2-7]{8})_[A-Za-z0-9_-]{32}")

WRONG = "the credential is not valid: it is unknown, revoked or past its end"


class Expired(Fault):
    """A credential that is past its end; another would be taken from the same caller."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose credential was right."""

    kind: Literal["operator", "tenant"]
    tenant_id: int | None
    tenant_key: str | None
    scopes: frozenset[str]
    key_id: int | None  #: None: the operator's key of the environment

    @property
    def is_operator(self) -> bool:
        return self.kind == "operator"

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    def sees(self, tenant_key: str) -> bool:
        """Whether a tenant exists as far as this principal is told."""
        return self.is_operator or tenant_key == self.tenant_key

    def sees_id(self, tenant_id: int) -> bool:
        return self.is_operator or tenant_id == self.tenant_id

    def require(self, scope: str) -> None:
        """Raise FORBIDDEN unless the key has the scope."""
        if scope not in self.scopes:
            raise Fault("FORBIDDEN", f"this needs a key with the scope {scope} ({SCOPES[scope]})")

    def require_operator(self) -> None:
        """Raise FORBIDDEN unless it is an operator whose key may change something."""
        if not self.is_operator:
            raise Fault("FORBIDDEN", "only an operator may do this")
        if not self.scopes & WRITING:
            raise Fault("FORBIDDEN", "this operator's key only reads")


@dataclass(frozen=True, slots=True)
class Secret:
    """A new key: the text is shown once, the rest is kept."""

    text: str
    prefix: str
    digest: bytes


def new_secret() -> Secret:
    """A key nobody can guess: 192 random bits behind a prefix to look it up by."""
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    prefix = "".join(letters[byte & 31] for byte in secrets.token_bytes(8))
    text = f"kuota_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return Secret(text, prefix, digest_of(text.encode()))


def digest_of(secret: bytes) -> bytes:
    """What is kept of a secret. One round is enough: it has too many bits to try."""
    return hashlib.blake2b(secret, digest_size=32).digest()


class Authenticator:
    """Turns an `Authorization` header into a principal; remembers a look-up for 5 seconds."""

    def __init__(self, door: Door, operator_key: str | None, clock: Clock) -> None:
        self._door = door
        self._clock = clock
        self._operator = None if operator_key is None else digest_of(operator_key.encode())
        # Prefix to (when it was looked up, what was found); unknown prefixes are remembered too.
        self._known: OrderedDict[str, tuple[float, KeyRecord | None]] = OrderedDict()

    async def authenticate(self, header: str | None) -> Principal | None:
        """Who sends this header; None without one.

        A wrong one raises UNAUTHENTICATED, an `Expired` where time alone made it wrong.
        """
        if header is None:
            return None
        scheme, _, credential = header.strip().partition(" ")
        secret = credential.strip().encode("latin-1", "replace")
        if scheme.lower() != "bearer" or not secret:
            raise unauthenticated("write the credential as: Authorization: Bearer KEY")
        digest = digest_of(secret)
        if self._operator is not None and hmac.compare_digest(digest, self._operator):
            return Principal("operator", None, None, ALL_SCOPES, None)
        form = SECRET.fullmatch(secret)
        record = None if form is None else await self._find(form[1].decode())
        if record is None or not hmac.compare_digest(digest, record.digest):
            raise unauthenticated(WRONG)
        if record.revoked_at is not None:
            raise unauthenticated(WRONG)
        if record.expires_at is not None and record.expires_at <= self._clock.now():
            wrong = unauthenticated(WRONG)
            raise Expired(wrong.code, wrong.message, wrong.headers)
        return principal_of(record)

    async def _find(self, prefix: str) -> KeyRecord | None:
        now = time.monotonic()
        known = self._known.get(prefix)
        if known is not None and now - known[0] < KEY_CACHE_SECONDS:
            return known[1]
        if known is not None:
            # A thousand sockets with one key ask at once: the first looks, the others go on.
            self._known[prefix] = (now, known[1])
        try:
            record = await find_by_prefix(self._door, prefix)
        except BaseException as error:
            self._known.pop(prefix, None)
            if isinstance(error, asyncpg.PostgresError):
                # Nothing of the request is in the statement but a checked prefix: the database is
                # away, not made yet or not migrated.
                raise unavailable() from error
            raise
        self._known[prefix] = (now, record)
        self._known.move_to_end(prefix)
        if len(self._known) > KEY_CACHE_ENTRIES_MAX:
            self._known.popitem(last=False)
        return record

    def forget(self, prefix: str) -> None:
        """Look a key up again at its next use: it was just revoked here."""
        self._known.pop(prefix, None)


def principal_of(record: KeyRecord) -> Principal:
    return Principal(
        "operator" if record.tenant_id is None else "tenant",
        record.tenant_id,
        record.tenant_key,
        frozenset(record.scopes) & ALL_SCOPES,
        record.key_id,
    )
