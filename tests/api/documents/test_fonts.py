"""What a line of text becomes where fonts cannot show all of it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.documents import fonts
from api.documents.fonts import plain, printable

SHOWN = {
    "Latin": "PT Señor Ñandú & Søn, Việt Nam",
    "Cyrillic": "Компания",
    "Greek": "Εταιρεία",
    "Devanagari": "नमस्ते",
    "Arabic": "شركة الاتصالات",
    "Thai": "สวัสดีครับ",
    "Chinese": "张三的客户服务",
    "Japanese": "かな カナ 日本語",
    "Korean": "한국어",
    "joined": "می\u200cخواهم",
}

MARKED = {
    "emoji": ("Toko \U0001f600", "Toko [U+1F600]"),
    "a family of them": ("\U0001f468\u200d\U0001f469", "[U+1F468 U+1F469]"),
    "Hebrew": ("שלום", "[U+05E9 U+05DC U+05D5 U+05DD]"),
    "Amharic and Latin": ("ሰA", "[U+1230]A"),
    "an order turned round": ("a\u202egnp.exe", "a[U+202E]gnp.exe"),
    "half a letter": ("a\udc00", "a[U+DC00]"),
    "for private use": ("\ue000", "[U+E000]"),
    "above a letter of another font": ("↗\u0318", "↗[U+0318]"),
}

CHANGED = {
    "lines": ("one\r\ntwo\u2028three", "one two three"),
    "controls": ("a\x00b\x1b[31m", "a b [31m"),
    "unseen": ("in\u00advi\u200bsi\u2060ble\ufeff", "invisible"),
    "looks": ("✓\ufe0f", "✓"),
}


@pytest.mark.parametrize("text", SHOWN.values(), ids=SHOWN)
def test_a_script_the_fonts_have_is_shown_as_it_is(text: str) -> None:
    told, marked = printable(text)
    assert (plain(told), marked) == (text, False)


@pytest.mark.parametrize(("text", "told"), MARKED.values(), ids=MARKED)
def test_a_letter_they_have_not_is_given_by_its_number(text: str, told: str) -> None:
    assert (plain(printable(text)[0]), printable(text)[1]) == (told, True)


@pytest.mark.parametrize(("text", "told"), CHANGED.values(), ids=CHANGED)
def test_a_line_stays_one_line(text: str, told: str) -> None:
    assert printable(text) == (told, False)


def test_a_line_from_right_to_left_keeps_its_own_order() -> None:
    assert printable("شركة 25%")[0] == "\u2068شركة 25%\u2069"


def test_a_long_run_may_be_cut_and_never_between_a_letter_and_what_stands_above_it() -> None:
    told, _ = printable("e\u0301" * 30)
    pieces = told.split("\u200b")
    assert len(pieces) > 5
    assert not any(unicodedata.combining(piece[0]) for piece in pieces)
    assert printable("x" * 20)[0] == "x" * 20


@given(st.text())
def test_what_is_told_is_printable_whatever_was_written(text: str) -> None:
    known = fonts.letters().keys() | set("\u200b\u200c\u200d\u200e\u200f\u061c\u2068\u2069")
    assert set(printable(text)[0]) <= known


def test_every_family_has_its_letters() -> None:
    bits = 0
    for fonts_of_letter in fonts.letters().values():
        bits |= fonts_of_letter
    assert bits == (1 << len(fonts.FAMILIES)) - 1
    assert all(path.is_file() for path in fonts.paths())
