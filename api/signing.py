"""Keys for what this installation signs or seals itself, all derived from one secret.

Owns the derivation: a key for one purpose says nothing of another's. Where `KUOTA_SECRET` is not
set everybody knows the secret, so `serve` listens on loopback alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

#: The secret of installations that have none: known to all.
NO_SECRET = "kuota on loopback"


class Signing:
    """What is derived from an installation's secret."""

    def __init__(self, secret: str | None) -> None:
        self._secret = (secret or NO_SECRET).encode()
        self.is_common = not secret  #: everybody knows it, so only this machine is served

    def key(self, purpose: str) -> bytes:
        """The 32 bytes of a purpose."""
        return hashlib.blake2b(purpose.encode(), key=self._shortened(), digest_size=32).digest()

    def sign(self, purpose: str, text: str) -> str:
        """A signature of a text, in characters that URLs have."""
        made = hashlib.blake2b(text.encode(), key=self.key(purpose), digest_size=24).digest()
        return base64.urlsafe_b64encode(made).decode()

    def is_right(self, purpose: str, text: str, signature: str) -> bool:
        """Whether a signature is of this text and purpose."""
        made = self.sign(purpose, text)
        return hmac.compare_digest(made.encode(), signature.encode("utf-8", "replace"))

    def _shortened(self) -> bytes:
        # BLAKE2b takes keys of at most 64 bytes.
        return hashlib.blake2b(self._secret, digest_size=64).digest()
