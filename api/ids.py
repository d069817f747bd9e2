"""Ids as clients see them: typed, opaque, saying nothing of tenants or of how many there are.

Owns the spelling alone. An id is a name, no permission: whoever looks one up asks who may see it.
"""

from __future__ import annotations

import base64
import binascii
import struct

# Letters and digits that cannot be taken for one another (Crockford's).
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 13  # 64 bits, 5 a letter
MASK = (1 << 64) - 1
# Neighbouring numbers become distant words; multiplying by the inverse brings them back.
FACTOR = 0x9E3779B97F4A7C15
INVERSE = pow(FACTOR, -1, 1 << 64)


def encode(prefix: str, number: int) -> str:
    """The id of row `number` of the kind `prefix`, such as `tnt_1pqv...`."""
    word = (number * FACTOR) & MASK
    letters = []
    for _ in range(LENGTH):
        letters.append(ALPHABET[word & 31])
        word >>= 5
    return f"{prefix}_{''.join(letters)}"


def decode(prefix: str, text: str) -> int | None:
    """The number behind an id of the kind `prefix`; None for anything else."""
    head, _, letters = text.partition("_")
    if head != prefix or len(letters) != LENGTH:
        return None
    word = 0
    for letter in reversed(letters):
        value = ALPHABET.find(letter)
        if value < 0:
            return None
        word = word << 5 | value
    number = (word * INVERSE) & MASK
    # Rows are counted from 1 in a signed bigint; one spelling for each.
    return number if word <= MASK and 0 < number < 1 << 63 else None


def kind(text: str) -> str:
    """What stands before the underscore."""
    return text.partition("_")[0]


#: A charge has no row of its own: at, key, part, revision, reversal.
CHARGE = struct.Struct(">q16shi?")
ChargePlace = tuple[int, bytes, int, int, bool]


def encode_charge(at: int, key: bytes, part: int, revision: int, reversal: bool) -> str:
    """The id of a charge: `chg_` and its place in the tenant's list."""
    packed = CHARGE.pack(at, key, part, revision, reversal)
    return "chg_" + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_charge(text: str) -> ChargePlace | None:
    """The place behind a charge's id; None for anything else."""
    head, _, letters = text.partition("_")
    if head != "chg" or len(letters) > 64:
        return None
    try:
        packed = base64.b64decode(letters + "=" * (-len(letters) % 4), b"-_", validate=True)
        place: ChargePlace = CHARGE.unpack(packed)
    except (ValueError, binascii.Error, struct.error):
        return None
    return place if encode_charge(*place) == text else None
