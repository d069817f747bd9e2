"""The built-in issuer: signs tokens for people of installations that have no other.

Owns the keys, their seals and their turns: each signs for 30 days and is believed until the last
token it signed has ended. Whose token it is, and what that person may, is `tokens`'.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from api import ids
from api.limits import (
    KEY_CACHE_SECONDS,
    SIGNING_KEY_SECONDS,
    SIGNING_KEYS_LOOK_SECONDS,
    TOKEN_SECONDS,
)
from api.settings import Clock
from api.signing import Signing
from persistence.door import Door
from persistence.signing_keys import SealedKey, keep_key, sealed_keys

if TYPE_CHECKING:
    from joserfc.jwk import OctKey, OKPKey

#: `iss` where no public address is set.
NAME = "kuota"
#: Where links lead where no public address is set: `serve`'s own default.
LOOPBACK = "http://127.0.0.1:8000"
PURPOSE = "signing keys"
ALGORITHM: Final = "Ed25519"
SECOND = 1_000_000

log = structlog.get_logger("kuota.issuer")


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    key: OKPKey
    created_at: int

    @property
    def signs_until(self) -> int:
        return self.created_at + SIGNING_KEY_SECONDS * SECOND

    @property
    def ends_at(self) -> int:
        """The end of the last token it may have signed."""
        return self.signs_until + TOKEN_SECONDS * SECOND


class Issuer:
    """Makes tokens, and finds the keys that they are verified with."""

    def __init__(self, door: Door, signing: Signing, clock: Clock, public_url: str | None) -> None:
        self._door = door
        self._secret = signing.key(PURPOSE)
        self._clock = clock
        self.name = public_url or NAME
        self.audience = self.name
        self.address = public_url or LOOPBACK  #: where sign-in links lead
        self._keys: Mapping[str, SigningKey] = {}
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()

    async def find(self, kid: str) -> OKPKey | None:
        """The key of a name, until its last token has ended."""
        keys = await self._at_most(KEY_CACHE_SECONDS)
        if kid not in keys:
            # Another process may have begun to sign with it.
            keys = await self._at_most(SIGNING_KEYS_LOOK_SECONDS)
        found = keys.get(kid)
        return None if found is None or found.ends_at <= self._clock.now() else found.key

    async def published(self) -> dict[str, object]:
        """The public halves, as a JWKS."""
        keys = await self._at_most(KEY_CACHE_SECONDS)
        now = self._clock.now()
        return {
            "keys": [
                found.key.as_dict(private=False, kid=found.kid, use="sig", alg=ALGORITHM)
                for found in keys.values()
                if found.ends_at > now
            ]
        }

    async def ready(self) -> SigningKey:
        """The key that signs now; made where the last one's turn is over."""
        now = self._clock.now()
        keys = await self._at_most(SIGNING_KEYS_LOOK_SECONDS)
        newest = max(keys.values(), key=lambda key: (key.created_at, key.kid), default=None)
        if newest is not None and now < newest.signs_until:
            return newest
        # Two processes that do so at once have made two: both are good.
        return await self._new(now)

    def sign(self, key: SigningKey, user_id: int, now: int) -> tuple[str, int]:
        """A token of a user, and when it ends: exclusive, in microseconds, a whole second."""
        from joserfc import jwt

        ends = now // SECOND + TOKEN_SECONDS
        claims = {
            "iss": self.name,
            "aud": self.audience,
            "sub": ids.encode("usr", user_id),
            "iat": now // SECOND,
            "exp": ends,
            "jti": secrets.token_urlsafe(12),
        }
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}
        return jwt.encode(header, claims, key.key, algorithms=[ALGORITHM]), ends * SECOND

    async def _at_most(self, seconds: float) -> Mapping[str, SigningKey]:
        """The keys as they were at most so long ago; one look at a time."""
        async with self._looking:
            now = time.monotonic()
            if self._looked_at is None or now - self._looked_at >= seconds:
                opened = [self._opened(row) for row in await sealed_keys(self._door)]
                self._keys = {key.kid: key for key in opened if key is not None}
                self._looked_at = now
            return self._keys

    async def _new(self, now: int) -> SigningKey:
        from joserfc import jwe
        from joserfc.jwk import OKPKey

        key = OKPKey.generate_key(ALGORITHM)
        kid = key.thumbprint()
        # The name is sealed with it: what is kept under one name opens under no other.
        header = {"alg": "dir", "enc": "A256GCM", "kid": kid}
        private = msgspec.json.encode(key.as_dict(private=True))
        sealed = jwe.encrypt_compact(header, private, self._seal())
        made = SigningKey(kid, key, now)
        ended_before = now - (SIGNING_KEY_SECONDS + TOKEN_SECONDS) * SECOND
        await keep_key(self._door, SealedKey(kid, sealed, now), ended_before=ended_before)
        self._keys = {**self._keys, kid: made}
        log.info("a new key signs tokens", kid=kid)
        return made

    def _opened(self, row: SealedKey) -> SigningKey | None:
        """A key as it signs; None for one that another secret sealed, whose tokens are no more."""
        from joserfc import jwe
        from joserfc.errors import JoseError
        from joserfc.jwk import OKPKey

        if known := self._keys.get(row.kid):
            return known
        try:
            opened = jwe.decrypt_compact(row.sealed, self._seal())
            if opened.protected.get("kid") != row.kid or opened.plaintext is None:
                raise ValueError("it was kept under another name")
            key = OKPKey.import_key(msgspec.json.decode(opened.plaintext))
        except (JoseError, ValueError) as error:
            log.warning("a signing key was not sealed by KUOTA_SECRET", kid=row.kid, why=str(error))
            return None
        return SigningKey(row.kid, key, row.created_at)

    def _seal(self) -> OctKey:
        from joserfc.jwk import OctKey

        return OctKey.import_key(self._secret)
