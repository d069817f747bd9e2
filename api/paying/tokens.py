"""Tokens of payment methods as they are kept: sealed, so that who reads the rows charges nobody.

Owns the seal. What a token means is its provider's to say.
"""

from __future__ import annotations

from api.signing import Signing

PURPOSE = "payment methods"


class SealError(Exception):
    """A token was sealed by an installation with another `KUOTA_SECRET`, or for another tenant."""


class Tokens:
    """What seals tokens, and opens them."""

    def __init__(self, signing: Signing) -> None:
        self._signing = signing

    def seal(self, tenant_id: int, token: str) -> str:
        """A token as it is kept."""
        from joserfc import jwe
        from joserfc.jwk import OctKey

        # The tenant is sealed with it: what is kept of one opens for no other.
        header = {"alg": "dir", "enc": "A256GCM", "kid": _name(tenant_id)}
        key = OctKey.import_key(self._signing.key(PURPOSE))
        return jwe.encrypt_compact(header, token.encode(), key)

    def open(self, tenant_id: int, sealed: str) -> str:
        """A token as its provider knows it; SealError where it was sealed elsewhere."""
        from joserfc import jwe
        from joserfc.errors import JoseError
        from joserfc.jwk import OctKey

        key = OctKey.import_key(self._signing.key(PURPOSE))
        try:
            opened = jwe.decrypt_compact(sealed, key)
            if opened.protected.get("kid") != _name(tenant_id) or opened.plaintext is None:
                raise ValueError("it was kept for another tenant")
            return opened.plaintext.decode()
        except (JoseError, ValueError) as error:
            raise SealError(str(error)) from None

    def digest(self, token: str) -> str:
        """What tells two tokens apart, and says nothing of either."""
        return self._signing.sign(PURPOSE, token)


def _name(tenant_id: int) -> str:
    return f"tnt/{tenant_id}"
