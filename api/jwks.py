"""Keys that tokens are verified with: read from an issuer's documents, and found by their names.

Owns which algorithms are taken, which key fits which, and how often an issuer is asked: at most
once a minute, whatever tokens come, and what it gave goes on while it is away. What a token must
say beside its signature is `tokens`'.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import msgspec
import structlog

from api.faults import unavailable
from api.limits import (
    JWKS_BYTES_MAX,
    JWKS_KEYS_MAX,
    JWKS_LIFETIME_SECONDS,
    JWKS_REFRESH_SECONDS,
    JWKS_TIMEOUT_SECONDS,
)

if TYPE_CHECKING:
    import httpx2
    from joserfc.jwk import Key

#: Algorithms that are taken, all asymmetric, with the name the library has for each: a token's
#: older word for Ed25519 signatures means any curve of Edwards, and here that one alone.
ALGORITHMS = {
    "RS256": "RS256",
    "PS256": "PS256",
    "ES256": "ES256",
    "EdDSA": "Ed25519",
    "Ed25519": "Ed25519",
}
RSA_BITS_MIN = 2048

log = structlog.get_logger("kuota.jwks")


class Source(Protocol):
    """An issuer whose tokens are taken."""

    @property
    def name(self) -> str: ...  # what its tokens have as `iss`
    @property
    def audience(self) -> str: ...  # what they have as `aud`
    async def find(self, kid: str) -> Key | None: ...


class Unusable(Exception):  # noqa: N818 - said of what an issuer answered
    """What an issuer answered cannot be used."""


def keys_of(document: object) -> dict[str, Key]:
    """The keys of a JWKS by their names, those left out that no algorithm of ours fits."""
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    kinds: Mapping[object, type[RSAKey | ECKey | OKPKey]] = {
        "RSA": RSAKey, "EC": ECKey, "OKP": OKPKey,
    }  # fmt: skip
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise Unusable("is no JWKS: it has no list `keys`")
    found: dict[str, Key] = {}
    for entry in listed[:JWKS_KEYS_MAX]:
        if not isinstance(entry, dict):
            continue
        kind, kid = kinds.get(entry.get("kty")), entry.get("kid")
        if kind is None or not isinstance(kid, str) or entry.get("use", "sig") != "sig":
            continue
        words = dict(entry)
        if words.get("alg") == "EdDSA":
            words["alg"] = ALGORITHMS["EdDSA"]
        try:
            # What the library only warns of is not taken.
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                key = kind.import_key(words)
        except Exception as error:  # whatever is wrong with one key, the others are good
            log.warning("a key of the issuer cannot be used", kid=kid[:64], why=str(error))
            continue
        if not (isinstance(key, RSAKey) and key.public_key.key_size < RSA_BITS_MIN):
            found[kid] = key
    return found


def is_signed(algorithm: str, key: Key, text: bytes, signature: bytes) -> bool:
    """Whether a signature is of this text, by this key, with an algorithm that fits the key."""
    from joserfc.errors import JoseError
    from joserfc.jws import JWSRegistry

    model = JWSRegistry.algorithms[ALGORITHMS[algorithm]]
    try:
        model.check_key(key)
        return model.verify(text, signature, key)
    except (JoseError, ValueError):
        return False


class Jwks:
    """The keys of an issuer elsewhere."""

    def __init__(self, issuer: str, audience: str, url: str | None) -> None:
        self.name = issuer
        self.audience = audience
        self._url = url  #: of the JWKS; None: the issuer's configuration says
        self._keys: Mapping[str, Key] = {}
        self._fetched_at: float | None = None  #: when the keys came
        self._asked_at: float | None = None  #: when the issuer was asked last
        self._asking: asyncio.Task[None] | None = None
        self._client: httpx2.AsyncClient | None = None

    async def find(self, kid: str) -> Key | None:
        """The key of a name; None where the issuer has none. 503 if it never answered."""
        key = self._keys.get(kid)
        now = time.monotonic()
        stale = self._fetched_at is None or now - self._fetched_at >= JWKS_LIFETIME_SECONDS
        if (key is None or stale) and self._may_ask(now):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        if key is None and self._asking is not None and not self._asking.done():
            # Shielded: who gives up waiting does not end it for the others.
            await asyncio.shield(self._asking)
            key = self._keys.get(kid)
        if key is None and self._fetched_at is None:
            raise unavailable(f"the keys of the issuer {self.name} cannot be had; try again later")
        return key

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _may_ask(self, now: float) -> bool:
        if self._asking is not None and not self._asking.done():
            return False
        return self._asked_at is None or now - self._asked_at >= JWKS_REFRESH_SECONDS

    async def _ask(self) -> None:
        """Replace the keys by what the issuer has now; keep them where it does not say."""
        import httpx2

        try:
            if self._client is None:
                # Kept: reading what certificates are trusted takes longer than asking.
                self._client = httpx2.AsyncClient(follow_redirects=False)
            async with asyncio.timeout(JWKS_TIMEOUT_SECONDS):
                url = self._url or await self._address(self._client)
                keys = keys_of(await document_at(self._client, url))
            if not keys:
                raise Unusable("has no key that an algorithm of ours fits")
        except Exception as error:  # whatever it was, the keys that are there go on
            why = str(error) or type(error).__name__
            log.warning("the issuer's keys cannot be had", issuer=self.name, why=why)
            return
        self._keys = keys
        self._fetched_at = time.monotonic()

    async def _address(self, client: httpx2.AsyncClient) -> str:
        """Where the issuer's own configuration says that its keys are."""
        url = f"{self.name.rstrip('/')}/.well-known/openid-configuration"
        told: Any = await document_at(client, url)
        if not isinstance(told, dict) or told.get("issuer") != self.name:
            raise Unusable(f"{url} is not the configuration of {self.name}")
        address = told.get("jwks_uri")
        # Keys that came by an open road could be anybody's.
        if not isinstance(address, str) or (
            urlsplit(address).scheme != "https" and not self.name.startswith("http:")
        ):
            raise Unusable(f"{url} names no `jwks_uri` that begins with https://")
        return address


async def document_at(client: httpx2.AsyncClient, url: str) -> object:
    """A JSON document of bounded size; Unusable for anything else."""
    body = bytearray()
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code != 200:
            raise Unusable(f"{url} answers {response.status_code}")
        # As it came: what an encoded body unfolds to has no announced size.
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > JWKS_BYTES_MAX:
                raise Unusable(f"{url} has more than {JWKS_BYTES_MAX} bytes")
    try:
        document: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unusable(f"{url} is no JSON") from None
    return document
