"""SM-1: parts of a text, beside smsutil, which splits it and knows nothing of ours."""

from __future__ import annotations

import pytest
import smsutil
from hypothesis import example, given
from hypothesis import strategies as st

from domain.segments import segments

#: Its own table, as the standard numbers the seats; the escape is no character of a text.
BASIC = smsutil.codecs.GSM_BASIC_CHARSET.replace("\x1b", "")
EXTENDED = smsutil.codecs.GSM_EXT_CHARSET

GSM = st.sampled_from(BASIC) | st.sampled_from(EXTENDED)
PAIRS = st.sampled_from("😀🏳🇮𠮷\U0010ffff")
ANY = (
    GSM | PAIRS | st.sampled_from("ابজ漢字й\u200d\ufe0f") | st.characters(exclude_characters="\x1b")
)

#: Lengths around which one more character is one more part.
EDGES = (1, 69, 70, 71, 133, 134, 135, 159, 160, 161, 305, 306, 307, 458, 459, 460)


def parts(text: str) -> int:
    return len(smsutil.split(text).parts)


@given(st.text(GSM, max_size=700))
def test_gsm_texts_are_cut_as_smsutil_cuts_them(text: str) -> None:
    assert segments(text) == parts(text)


@given(st.text(ANY, max_size=400))
def test_any_text_is_cut_as_smsutil_cuts_it(text: str) -> None:
    assert segments(text) == parts(text)


@given(
    st.sampled_from(EDGES), st.integers(-2, 2), st.lists(st.sampled_from("€[^😀漢"), max_size=4),
    st.randoms(use_true_random=False),
)  # fmt: skip
@example(160, 0, ["€"], None)
@example(70, 0, ["😀"], None)
def test_a_wide_character_at_an_edge_is_never_split(
    length: int, more: int, wide: list[str], chance: object
) -> None:
    """Extension characters and surrogate pairs before, on and behind the edge of a part."""
    text = list("a" * (length + more - len(wide)))
    for character in wide:
        place = chance.randrange(len(text) + 1) if chance else 0  # type: ignore[attr-defined]
        text.insert(place, character)
    assert segments("".join(text)) == parts("".join(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the euro moves over whole: 152 and 154 seats
        ("a" * 152 + "€" + "a" * 151, 2),
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("я" * 134, 2),
        ("я" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 67, 3),  # 33 pairs a part: the 67th code unit stays empty
        ("\x1b" + "a" * 70, 2),  # an escape alone is no character of the alphabet
    ],
)
def test_known_lengths(text: str, expected: int) -> None:
    assert segments(text) == expected
