"""Signatures of webhooks, as Standard Webhooks 1.0 has them, and the secrets they are made with.

Owns the headers, the form of a secret, and its seal: who reads the database reads no secret. Which
of an endpoint's secrets sign at an instant is the endpoint's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING

from api.signing import Signing
from domain.periods import SECOND

if TYPE_CHECKING:
    from joserfc.jwk import OctKey

PREFIX = "whsec_"
#: Random bytes of a secret; the standard wants 24 to 64.
SECRET_BYTES = 32
PURPOSE = "webhook secrets"


class SealError(Exception):
    """A secret was sealed by an installation with another `KUOTA_SECRET`, or for another tenant."""


def new_secret() -> str:
    """A secret as its owner is shown it, once."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed(event: str, body: bytes, keys: Iterable[str], now: int) -> dict[str, str]:
    """The headers of one try: a signature by each secret, which holds for minutes from now on."""
    stamp = str(now // SECOND)
    text = f"{event}.{stamp}.".encode() + body
    return {
        "webhook-id": event,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{_signature(key, text)}" for key in keys),
    }


def _signature(key: str, text: bytes) -> str:
    secret = base64.b64decode(key.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()


class Seals:
    """What seals the secrets of endpoints, and opens them."""

    def __init__(self, signing: Signing) -> None:
        self._key = signing.key(PURPOSE)

    def seal(self, tenant_id: int, secret: str) -> str:
        """A secret as it is kept."""
        from joserfc import jwe

        # The tenant is sealed with it: what is kept of one opens for no other.
        header = {"alg": "dir", "enc": "A256GCM", "kid": _name(tenant_id)}
        return jwe.encrypt_compact(header, secret.encode(), self._opener())

    def open(self, tenant_id: int, sealed: str) -> str:
        """A secret as it signs; SealError where it was sealed elsewhere."""
        from joserfc import jwe
        from joserfc.errors import JoseError

        try:
            opened = jwe.decrypt_compact(sealed, self._opener())
            if opened.protected.get("kid") != _name(tenant_id) or opened.plaintext is None:
                raise ValueError("it was kept for another tenant")
            return opened.plaintext.decode()
        except (JoseError, ValueError) as error:
            raise SealError(str(error)) from None

    def _opener(self) -> OctKey:
        from joserfc.jwk import OctKey

        return OctKey.import_key(self._key)


def _name(tenant_id: int) -> str:
    return f"tnt/{tenant_id}"
