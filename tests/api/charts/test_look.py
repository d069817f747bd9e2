"""What eyes can tell apart: contrast, colours for who lacks a kind of cone, room for texts."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from api.charts.look import LOOKS, Look, Theme, cut, family, width

Rgb = tuple[float, float, float]

#: What is left of colours where no red, green or blue is seen (Machado and others, 2009).
SEEN = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "no green": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "no blue": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip
#: Of OKLab: five times what is just seen where two surfaces touch.
APART = 0.05


def linear(colour: str) -> Rgb:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return straight(red), straight(green), straight(blue)


def straight(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 has it."""
    weights = (0.2126, 0.7152, 0.0722)
    first, second = (
        sum(part * weight for part, weight in zip(linear(each), weights, strict=True)) + 0.05
        for each in (one, other)
    )
    return max(first, second) / min(first, second)


def perceived(colour: str, eyes: str) -> Rgb:
    """The colour in OKLab, as these eyes see it."""
    light = linear(colour)
    red, green, blue = (
        max(0.0, sum(a * b for a, b in zip(row, light, strict=True))) for row in SEEN[eyes]
    )
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_texts_and_lines_stand_out_from_their_ground(look: Look) -> None:
    """WCAG: 4.5 to 1 for texts, 3 to 1 for what shows a figure."""
    assert min(contrast(each, look.ground) for each in (look.ink, look.muted)) >= 4.5
    assert min(contrast(each, look.ground) for each in (*look.lines, look.others)) >= 3


@pytest.mark.parametrize("eyes", SEEN)
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_colours_differ_for_all_eyes(look: Look, eyes: str) -> None:
    seen = [perceived(each, eyes) for each in (*look.lines, look.others)]
    assert min(math.dist(one, other) for one, other in combinations(seen, 2)) >= APART


def test_both_themes_have_as_many_colours() -> None:
    assert len({len(look.lines) for look in LOOKS.values()}) == 1
    assert set(LOOKS) == set(Theme)


def test_a_text_is_cut_where_its_room_ends() -> None:
    assert cut("Kopi Senja", 14, 200) == "Kopi Senja"
    shorter = cut("PT Kopi Senja Nusantara", 14, 90)
    assert shorter.endswith("…")
    assert width(shorter, 14) <= 90
    assert cut("Kopi", 14, 1) == "…"


def test_a_text_has_the_font_that_has_all_its_letters() -> None:
    assert family("Kopi Senja") == "Noto Sans"
    assert family("咖啡店") == "Noto Sans CJK SC"
    assert family("متجر") == "Noto Sans Arabic"
