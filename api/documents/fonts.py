"""The fonts of documents: which there are, and what text becomes that none of them can show.

Owns the list of fonts, which letters they have, and the mark in the place of one they have not:
its Unicode number, as [U+1F600], where a printer would leave a box that says nothing. How letters
are shaped and put in lines is the printer's.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

#: Families in the order they are asked for a letter, and where each lies; a new script is a package
#: with a line here, or documents would differ by what else a machine has.
FAMILIES: Final[dict[str, tuple[str, str]]] = {
    "Noto Sans": ("fontpkg_noto_sans", "files/NotoSans[wdth,wght].ttf"),
    "Noto Sans Arabic": ("fontpkg_noto_sans_arabic", "files/NotoSansArabic[wdth,wght].ttf"),
    "Noto Sans Thai": ("fontpkg_noto_sans_thai", "files/NotoSansThai[wdth,wght].ttf"),
    "Noto Sans CJK SC": ("noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc"),
}

#: Joiners shape their neighbours and need no glyph.
_JOINERS: Final = frozenset("\u200c\u200d")
#: What shows nothing: soft hyphens, spaces of no width, and which of its looks a letter has.
_UNSEEN: Final = re.compile("[\u00ad\u200b\u2060\ufeff\ufe00-\ufe0f\U000e0100-\U000e01ef]")
#: Which way their neighbours run; others of their category turn round all that follows.
_WAYS: Final = frozenset("\u061c\u200e\u200f")
#: Line ends, tabs and other controls in what is one line.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
#: A run longer than a column is wide that has no place to be cut of its own, as Chinese has.
_LONG: Final = re.compile("[^\\s\\-\u2e80-\uffef\U00020000-\U0003ffff]{21,}")
_LEFTWARD: Final = frozenset(("R", "AL", "AN"))
_ISOLATE: Final = "\u2068"  #: in the order of its first letter
_END: Final = "\u2069"
_CUT: Final = "\u200b"  #: none of it comes with a text, and `invoice.typ` prints none


def paths() -> list[Path]:
    """The font files, in the order of their families."""
    return [Path(str(files(package))) / name for package, name in FAMILIES.values()]


@lru_cache(maxsize=1)
def letters() -> Mapping[str, int]:
    """Every letter with the fonts that have a glyph for it, a bit each."""
    found: dict[str, int] = {}
    for place, path in enumerate(paths()):
        for code in _mapped(path.read_bytes()):
            found[chr(code)] = found.get(chr(code), 0) | 1 << place
    return found


def printable(text: str) -> tuple[str, bool]:
    """A line of text as the fonts can show it, and whether a mark stands in it for a letter."""
    told: list[str] = []
    lacking: list[str] = []
    marked = False
    have = 0  # the fonts that have the letter before, with all that stands above and below it
    for letter in _CONTROLS.sub(" ", _UNSEEN.sub("", text)).strip():
        if letter in _JOINERS or letter in _WAYS:
            told += [] if lacking else [letter]
            continue
        above = unicodedata.category(letter)[0] == "M"
        # What stands above or below a letter is drawn with it, by one font, or not at all.
        fits = 0 if _turns(letter) else letters().get(letter, 0)
        fits &= 0 if above and lacking else have if above else -1
        if fits:
            told += [*_mark(lacking), letter]
            have = fits
        else:
            lacking.append(letter)
            marked = True
    line = _LONG.sub(_with_cuts, "".join([*told, *_mark(lacking)]))
    # A line from right to left keeps its own order, whatever it stands in.
    if any(unicodedata.bidirectional(letter) in _LEFTWARD for letter in line):
        line = f"{_ISOLATE}{line}{_END}"
    return line, marked


def plain(line: str) -> str:
    """A printable line as it is told outside of lines: without its cuts and order."""
    return line.translate(dict.fromkeys(map(ord, (_CUT, _ISOLATE, _END))))


def _turns(letter: str) -> bool:
    """Whether it is an instruction to whoever prints, such as to go on from right to left."""
    return unicodedata.category(letter) == "Cf"


def _mark(lacking: list[str]) -> list[str]:
    """One pair of brackets around the numbers of neighbours, which are taken from the list."""
    numbers = " ".join(f"U+{ord(letter):04X}" for letter in lacking)
    lacking.clear()
    return [f"[{numbers}]"] if numbers else []


def _with_cuts(run: re.Match[str]) -> str:
    """The run with places where its line may end: never before a mark of the letter before."""
    told: list[str] = []
    for place, letter in enumerate(run[0]):
        after = run[0][place - 1] if place else None
        joined = letter in _JOINERS or after in _JOINERS or unicodedata.category(letter)[0] == "M"
        if place % 4 == 0 and place and not joined:
            told.append(_CUT)
        told.append(letter)
    return "".join(told)


def _mapped(font: bytes) -> Iterator[int]:
    """The code points a font file has glyphs for, of a collection's first font."""
    (start,) = struct.unpack_from(">I", font, 12) if font[:4] == b"ttcf" else (0,)
    (tables,) = struct.unpack_from(">H", font, start + 4)
    for place in range(start + 12, start + 12 + 16 * tables, 16):
        tag, _, table, _ = struct.unpack_from(">4sIII", font, place)
        if tag == b"cmap":
            yield from _mapped_by(font, table)


def _mapped_by(font: bytes, table: int) -> Iterator[int]:
    """The code points of a font's character map, in the two forms that fonts of today have."""
    (count,) = struct.unpack_from(">H", font, table + 2)
    for place in range(table + 4, table + 4 + 8 * count, 8):
        _, _, offset = struct.unpack_from(">HHI", font, place)
        at = table + offset
        (form,) = struct.unpack_from(">H", font, at)
        if form == 12:
            (groups,) = struct.unpack_from(">I", font, at + 12)
            for first, last, glyph in struct.iter_unpack(">III", font[at + 16 :][: 12 * groups]):
                yield from range(first if glyph else first + 1, last + 1)
        elif form == 4:
            yield from _segments(font, at)


def _segments(font: bytes, at: int) -> Iterator[int]:
    (double,) = struct.unpack_from(">H", font, at + 6)
    count = double // 2
    ends = struct.unpack_from(f">{count}H", font, at + 14)
    starts = struct.unpack_from(f">{count}H", font, at + 16 + double)
    deltas = struct.unpack_from(f">{count}H", font, at + 16 + 2 * double)
    ranges_at = at + 16 + 3 * double
    for place, (first, last, delta) in enumerate(zip(starts, ends, deltas, strict=True)):
        here = ranges_at + 2 * place
        (skip,) = struct.unpack_from(">H", font, here)
        for code in range(first, min(last, 0xFFFE) + 1):
            if skip:
                (glyph,) = struct.unpack_from(">H", font, here + skip + 2 * (code - first))
            else:
                glyph = (code + delta) & 0xFFFF
            if glyph:
                yield code
