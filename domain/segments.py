"""SMS segments: how many parts a text is sent in (SM-1).

Owns the two alphabets' sizes and what may not be cut. A text of GSM-7 characters has 160 in one
part and 153 in each of several; any other is UCS-2, with 70 and 67 code units. An extension
character is two, a surrogate pair too, and neither is ever split between two parts.
"""

from __future__ import annotations

#: The basic table of GSM 03.38; the last line but one of its seats is the escape.
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: Characters that take an escape and a seat.
EXTENDED = frozenset("\f^{}\\[~]|€")

GSM_ALONE, GSM_EACH = 160, 153
UCS_ALONE, UCS_EACH = 70, 67


def segments(text: str) -> int:
    """The parts a text is sent in; an empty one is one."""
    if BASIC.issuperset(text):
        return _parts([1] * len(text), GSM_ALONE, GSM_EACH)
    if all(character in BASIC or character in EXTENDED for character in text):
        sizes = [2 if character in EXTENDED else 1 for character in text]
        return _parts(sizes, GSM_ALONE, GSM_EACH)
    sizes = [2 if ord(character) > 0xFFFF else 1 for character in text]
    return _parts(sizes, UCS_ALONE, UCS_EACH)


def _parts(sizes: list[int], alone: int, each: int) -> int:
    if sum(sizes) <= alone:
        return 1
    parts, room = 1, each
    for size in sizes:
        if size > room:
            parts, room = parts + 1, each
        room -= size
    return parts
