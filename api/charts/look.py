"""How charts look: colours, sizes, and how much room a text takes.

Owns the two themes. Colours of lines keep 3:1 against their ground (WCAG 1.4.11), texts 4.5:1, and
differ for who sees no red, green or blue apart; a test holds them to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from api.documents import fonts


class Theme(StrEnum):
    """What a chart stands on."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The colours of a theme."""

    ground: str
    ink: str  #: what is read first
    muted: str  #: what is read beside it
    grid: str
    axis: str
    others: str  #: the line of all that have none of their own
    lines: tuple[str, ...]  #: in the order of their totals


LOOKS: Final[dict[Theme, Look]] = {
    Theme.LIGHT: Look(
        ground="#ffffff", ink="#16202c", muted="#55606e", grid="#e6e9ed", axis="#9aa3ae",
        others="#767c86",
        lines=("#1f5fbf", "#ed5e1a", "#08a45d", "#70113a", "#c065da", "#455e05", "#4d03a1"),
    ),
    Theme.DARK: Look(
        ground="#151a22", ink="#f2f5f8", muted="#aab4c0", grid="#2a323d", axis="#5d6876",
        others="#8a93a0",
        lines=("#6aa9ff", "#e5a526", "#4ad5cb", "#d72c3a", "#83f37a", "#894fdb", "#f7736c"),
    ),
}  # fmt: skip

#: Pixels of a chart: as a slide is wide where nobody says otherwise, and what can still be read.
WIDTH, HEIGHT = 960, 540
WIDTHS, HEIGHTS = range(480, 1921), range(320, 1201)
#: Pixels of a picture for each of these: slides are shown large.
SCALE: Final = 2.0

#: Where texts end, on every side.
MARGIN: Final = 32

#: What a bold text has around its letters: the font has one weight here.
BOLD_STROKE: Final = 0.5

_FAMILIES: Final = tuple(fonts.FAMILIES)
#: Thousandths of the font's size that letters from the space to the tilde are wide.
_ASCII: Final = (
    260, 269, 408, 646, 572, 831, 732, 225, 300, 300, 551, 572, 268, 322, 268, 372, 572, 572, 572,
    572, 572, 572, 572, 572, 572, 572, 268, 268, 572, 572, 572, 434, 899, 639, 650, 632, 730, 556,
    519, 728, 741, 339, 273, 619, 524, 907, 760, 781, 605, 781, 622, 549, 556, 731, 600, 930, 586,
    566, 572, 329, 372, 329, 572, 444, 281, 561, 615, 480, 615, 564, 344, 615, 618, 258, 258, 534,
    258, 935, 618, 605, 615, 615, 413, 479, 361, 618, 508, 786, 529, 510, 470, 380, 551, 380, 572,
)  # fmt: skip
_FULL, _USUAL, _SPACE = 1000, 600, 260
#: From here on letters are as wide as high, mostly: Chinese, Japanese, Korean.
_WIDE_FROM: Final = "\u2e80"


def width(text: str, size: float) -> float:
    """About how many pixels a text takes, rather more than less."""
    return sum(map(_thousandths, text)) * size / 1000


def cut(text: str, size: float, room: float) -> str:
    """The text, or as much of it as there is room for with an ellipsis behind it."""
    if width(text, size) <= room:
        return text
    kept = text
    while kept and width(kept + "…", size) > room:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def line(text: str) -> str:
    """A text as one line of letters the fonts have."""
    return fonts.plain(fonts.printable(text)[0])


def family(text: str) -> str:
    """The first font that has all letters of a text; what none has is taken from the others."""
    have = -1
    for letter in text:
        have &= fonts.letters().get(letter, 0)
    return next((name for place, name in enumerate(_FAMILIES) if have >> place & 1), _FAMILIES[0])


def _thousandths(letter: str) -> int:
    if " " <= letter <= "~":
        return _ASCII[ord(letter) - 32]
    if letter >= _WIDE_FROM:
        return _FULL
    return _SPACE if letter in "\u00a0\u202f·" else _USUAL
