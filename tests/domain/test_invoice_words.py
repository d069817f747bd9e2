"""Words of invoices: the same figures in every language."""

from __future__ import annotations

import pytest

from domain.invoice_words import LINES, MONTHS, TITLES, UNITS, WORDS
from domain.sentences import Language, Words, needs, say

TABLES = TITLES | WORDS | UNITS | {f"line {name}": words for name, words in LINES.items()}


@pytest.mark.parametrize("words", TABLES.values(), ids=TABLES)
def test_every_language_says_it_with_the_same_values(words: Words) -> None:
    assert set(words) == set(Language)
    assert len({frozenset(needs(template)) for template in words.values()}) == 1
    values = dict.fromkeys(needs(words["en"]), "X")
    assert all("{" not in say(words, language, **values) for language in Language)
    assert {len(MONTHS[language].split()) for language in Language} == {12}
