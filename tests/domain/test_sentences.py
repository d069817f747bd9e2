"""Sentences in every language: nothing is missing, and each template is filled as it asks."""

from __future__ import annotations

import pytest

from domain.explain import Why
from domain.facts import Type
from domain.lots import LotSource
from domain.notices import NOTICES
from domain.sentences import (
    LOTS,
    OF_CHARGES,
    OF_NOTICES,
    PHRASES,
    REASONS,
    SUBJECTS,
    Language,
    Words,
    needs,
    phrase,
    say,
)

TABLES: list[tuple[str, Words]] = [
    *((f"reason {why}", words) for why, words in REASONS.items()),
    *((f"subject {kind.name}", words) for kind, words in SUBJECTS.items()),
    *((f"lot {source.name}", words) for source, words in LOTS.items()),
    *((f"phrase {name}", words) for name, words in PHRASES.items()),
]


def test_every_reason_type_and_lot_has_its_words() -> None:
    assert set(REASONS) == set(Why)
    assert set(SUBJECTS) == set(Type)
    assert set(LOTS) == set(LotSource)


@pytest.mark.parametrize(("name", "words"), TABLES, ids=[name for name, _ in TABLES])
def test_every_template_says_the_same_in_each_language(name: str, words: Words) -> None:
    """In both languages, with the same values, and not left in one of them."""
    assert set(words) == OF_CHARGES
    english, indonesian = words["en"], words["id"]
    assert needs(english) == needs(indonesian)
    told = say(words, Language.ENGLISH, **dict.fromkeys(needs(english), "X"))
    assert "{" not in told
    if any(letter.isalpha() for letter in told.replace("X", "")):
        assert english != indonesian


@pytest.mark.parametrize(("name", "words"), NOTICES.items(), ids=NOTICES)
def test_alerts_are_told_in_every_language(name: str, words: Words) -> None:
    """With the same values, and not left in another language."""
    assert set(words) == OF_NOTICES
    assert len({frozenset(needs(template)) for template in words.values()}) == 1
    told = {language: say(words, language, **dict.fromkeys(needs(words["en"]), "X"))
            for language in Language}  # fmt: skip
    assert "{" not in "".join(told.values())
    if name != "percent":
        assert len(set(told.values())) == len(Language)
        assert all(each.endswith(".") for each in told.values())


def test_reasons_are_whole_sentences() -> None:
    """They begin with their subject, end with a full stop, and leave room for notes before it."""
    for why, words in REASONS.items():
        for language in OF_CHARGES:
            template = words[language]
            assert template.startswith("{subject} "), (why, language)
            assert template.endswith("{notes}."), (why, language)


SAID = [
    ("market_by_prefix", {"market": "ID", "prefix": "62"}, ", market ID by prefix +62",
     ", pasar ID menurut prefiks +62"),
    ("tier", {"above": "1,000", "number": "1,001", "month": "2026-11"},
     ", in the tier above 1,000 as number 1,001 of 2026-11",
     ", di tingkat di atas 1,000 sebagai nomor 1,001 pada 2026-11"),
    ("share", {"lot": "a top-up", "amount": "USD 5"}, "a top-up (USD 5)", "a top-up (USD 5)"),
    ("group", {"member": "+62811", "group": "g1"}, "+62811 in group g1", "+62811 di grup g1"),
    ("rounded", {"amount": "$0.066667"}, ", rounded to $0.066667",
     ", dibulatkan menjadi $0.066667"),
    ("over_hold", {"hold": "h1"}, "; it cost more than its share of hold h1",
     "; biayanya melebihi bagiannya dari penahanan h1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "english", "indonesian"), SAID)
def test_phrases(name: str, values: dict[str, str], english: str, indonesian: str) -> None:
    assert phrase(name, Language.ENGLISH, **values) == english
    assert phrase(name, Language.INDONESIAN, **values) == indonesian
