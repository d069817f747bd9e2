"""Who is asking: keys made, hashed, looked up and turned into principals.

Owns the form of a secret and for how long a look-up is believed, tokens of widgets included. What
somebody may do is `rights`'; rows are `persistence.credentials`'.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import asyncpg

from api.faults import Fault, unauthenticated, unavailable
from api.limits import KEY_CACHE_ENTRIES_MAX, KEY_CACHE_SECONDS, KEYS_LOOKED_UP_MAX
from api.recent import Recent
from api.rights import ALL_SCOPES, Principal, Widget
from api.settings import Clock
from api.uses import Uses
from persistence.credentials import KeyRecord, find_by_prefix, find_by_prefixes, has_widget_of
from persistence.door import CONNECTION_LOST, Door

if TYPE_CHECKING:
    from api.tokens import Tokens

SECRET_BYTES = 24
SECRET = re.compile(rb"kuota_([a-z2-7]{8})_[A-Za-z0-9_-]{32}")

WRONG = "the credential is not valid: it is unknown, revoked or past its end"


class Expired(Fault):
    """A credential that is past its end; another would be taken from the same caller."""


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

    def __init__(
        self, door: Door, operator_key: str | None, clock: Clock, tokens: Tokens | None = None
    ) -> None:
        self.tokens = tokens  #: of people
        self._door = door
        self._clock = clock
        self._operator = None if operator_key is None else digest_of(operator_key.encode())
        # Prefix to (when it was looked up, what was found); unknown prefixes are remembered too.
        self._known: OrderedDict[str, tuple[float, KeyRecord | None]] = OrderedDict()
        self._origins: Recent[str, bool] = Recent(KEY_CACHE_SECONDS, KEY_CACHE_ENTRIES_MAX)
        self.uses = Uses(door)
        self._forgotten = 0

    async def authenticate(self, header: str | None) -> Principal | None:
        """Who sends this header; None without one.

        A wrong one raises UNAUTHENTICATED, an `Expired` where time alone made it wrong.
        """
        if header is None:
            return None
        secret = secret_in(header)
        if not secret:
            raise unauthenticated("write the credential as: Authorization: Bearer KEY")
        digest = digest_of(secret)
        if self._operator is not None and hmac.compare_digest(digest, self._operator):
            return Principal("operator", None, None, ALL_SCOPES, None)
        if self.tokens is not None and secret.count(b".") == 2:
            return await self.tokens.principal(secret)
        form = SECRET.fullmatch(secret)
        record = None if form is None else await self._find(form[1].decode())
        if record is None or not hmac.compare_digest(digest, record.digest):
            raise unauthenticated(WRONG)
        if record.revoked_at is not None:
            raise unauthenticated(WRONG)
        now = self._clock.now()
        if record.expires_at is not None and record.expires_at <= now:
            wrong = unauthenticated(WRONG)
            raise Expired(wrong.code, wrong.message, wrong.headers)
        self.uses.note(record, now)
        return principal_of(record)

    async def refresh(self, headers: Iterable[str]) -> None:
        """Look up again, many in one statement, what these headers send and is not fresh."""
        now = time.monotonic()
        secrets_sent = [secret_in(header) for header in headers]
        if self.tokens is not None:
            await self.tokens.refresh(one for one in secrets_sent if one.count(b".") == 2)
        forms = (SECRET.fullmatch(secret) for secret in secrets_sent)
        prefixes = {form[1].decode() for form in forms if form is not None}
        late = [prefix for prefix in prefixes if not is_fresh(self._known.get(prefix), now)]
        for start in range(0, len(late), KEYS_LOOKED_UP_MAX):
            some = late[start : start + KEYS_LOOKED_UP_MAX]
            found = await find_by_prefixes(self._door, some)
            for prefix in some:
                self._known[prefix] = (now, found.get(prefix))

    async def welcomes(self, origin: str) -> bool:
        """Whether some tenant has a widget on pages of this origin; believed as a look-up is."""
        look = partial(has_widget_of, self._door, origin, now=self._clock.now())
        try:
            return await self._origins.get(origin, look)
        except (*CONNECTION_LOST, asyncpg.PostgresError):
            return False

    async def _find(self, prefix: str) -> KeyRecord | None:
        now = time.monotonic()
        known = self._known.get(prefix)
        if known is not None and is_fresh(known, now):
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
        self._forgotten += 1

    @property
    def forgotten(self) -> int:
        """How often a credential was changed here: what was judged before is judged again."""
        return self._forgotten + (0 if self.tokens is None else self.tokens.forgotten)

    def expect(self, origins: Iterable[str]) -> None:
        """Look these origins up again: a widget on their pages was just made here."""
        for origin in origins:
            self._origins.forget(origin)


def is_fresh(known: tuple[float, object] | None, now: float) -> bool:
    """Whether what was looked up is still believed; `now` is the monotonic clock's, in seconds."""
    return known is not None and now - known[0] < KEY_CACHE_SECONDS


def secret_in(header: str) -> bytes:
    """The credential in an `Authorization` header; empty where it has another form."""
    scheme, _, credential = header.strip().partition(" ")
    return credential.strip().encode("latin-1", "replace") if scheme.lower() == "bearer" else b""


def principal_of(record: KeyRecord) -> Principal:
    widget = None
    if record.origins is not None:
        documents = frozenset(record.documents or ())
        widget = Widget(origins=frozenset(record.origins), documents=documents)
    return Principal(
        "operator" if record.tenant_id is None else "tenant",
        record.tenant_id,
        record.tenant_key,
        frozenset(record.scopes) & ALL_SCOPES,
        record.key_id,
        name=f"{'key' if widget is None else 'widget'} {record.prefix}",
        expires_at=record.expires_at,
        widget=widget,
    )
