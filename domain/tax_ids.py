"""Tax ids: how they look where that is well known, and what to write instead.

Owns the shapes. Whether an id was given to anybody is for registers to say, which nobody asks here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

#: The union's ids for value added tax by their prefix: what follows it, and one that fits.
EU: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    prefix: (re.compile(rest), prefix + sample)
    for prefix, rest, sample in (
        ("AT", r"U[0-9]{8}", "U12345678"),
        ("BE", r"[01][0-9]{9}", "0123456789"),
        ("BG", r"[0-9]{9,10}", "123456789"),
        ("CY", r"[0-9]{8}[A-Z]", "12345678X"),
        ("CZ", r"[0-9]{8,10}", "12345678"),
        ("DE", r"[0-9]{9}", "123456789"),
        ("DK", r"[0-9]{8}", "12345678"),
        ("EE", r"[0-9]{9}", "123456789"),
        ("EL", r"[0-9]{9}", "123456789"),
        ("ES", r"[A-Z0-9][0-9]{7}[A-Z0-9]", "B12345678"),
        ("FI", r"[0-9]{8}", "12345678"),
        ("FR", r"[A-Z0-9]{2}[0-9]{9}", "12345678901"),
        ("HR", r"[0-9]{11}", "12345678901"),
        ("HU", r"[0-9]{8}", "12345678"),
        ("IE", r"[0-9][A-Z0-9+*][0-9]{5}[A-Z]{1,2}", "1234567A"),
        ("IT", r"[0-9]{11}", "12345678901"),
        ("LT", r"[0-9]{9}|[0-9]{12}", "123456789"),
        ("LU", r"[0-9]{8}", "12345678"),
        ("LV", r"[0-9]{11}", "12345678901"),
        ("MT", r"[0-9]{8}", "12345678"),
        ("NL", r"[0-9]{9}B[0-9]{2}", "123456789B01"),
        ("PL", r"[0-9]{10}", "1234567890"),
        ("PT", r"[0-9]{9}", "123456789"),
        ("RO", r"[0-9]{2,10}", "12345678"),
        ("SE", r"[0-9]{12}", "123456789001"),
        ("SI", r"[0-9]{8}", "12345678"),
        ("SK", r"[0-9]{10}", "1234567890"),
        ("XI", r"[0-9]{9}|[0-9]{12}|(GD|HA)[0-9]{3}", "123456789"),
    )
}
#: Countries of the union; Greece alone has another prefix than its country code.
PREFIXES: Final = {("GR" if prefix == "EL" else prefix): prefix for prefix in EU if prefix != "XI"}

#: Countries whose ids are digits: how many there may be, and how one is written.
_DIGITS_OF: Final[Mapping[str, tuple[frozenset[int], str]]] = {
    "ID": (frozenset((15, 16)), "the NPWP's 15 or 16 digits, as 01.234.567.8-901.000"),
}

#: What people write between the parts of an id, for the eye.
_BETWEEN: Final = re.compile(r"[ .\-]")


def compact(tax_id: str) -> str:
    """An id without what stands in it for the eye alone."""
    return _BETWEEN.sub("", tax_id)


def eu_vat_id(tax_id: str | None) -> str | None:
    """The id as the union's registers write it; None: it is none of theirs."""
    found = compact(tax_id or "")
    shape = EU.get(found[:2])
    return found if shape is not None and shape[0].fullmatch(found[2:]) else None


def misshapen(country: str, tax_id: str) -> str | None:
    """What to write instead of an id that a country's cannot be; None: it may be one."""
    if country in PREFIXES:
        # Who sells in several countries has an id of each, and writes one of them.
        if eu_vat_id(tax_id) is None:
            prefix = PREFIXES[country]
            own = EU.get(tax_id[:2], EU[prefix])
            return f"write an id for value added tax with its prefix, as {own[1]}"
        return None
    if country in _DIGITS_OF:
        lengths, right = _DIGITS_OF[country]
        digits = compact(tax_id)
        if not (digits.isascii() and digits.isdecimal() and len(digits) in lengths):
            return f"write {right}"
    return None
