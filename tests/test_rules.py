"""The rule book's ids that are built: each is named by a test that proves it, or stands in OPEN.

The table is written here, so that this repository says by itself what it proves; where the rule
book lies beside it, the two are compared.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
BOOK = TESTS.parents[1] / "shared" / "rules.md"

#: Every id of sections 2 to 9, as (group, last number).
GROUPS = {
    "TZ": 7, "EV": 10, "WI": 2, "CO": 5, "VI": 2, "US": 2, "PR": 10, "SM": 1, "VO": 1, "MT": 1,
    "BA": 12, "OC": 8, "AL": 6, "RF": 3, "IN": 8, "FI": 6, "PE": 1,
}  # fmt: skip
IDS = {f"{group}-{number}" for group, last in GROUPS.items() for number in range(1, last + 1)}

#: Ids that no test proves yet, each with what is missing; one that is named by a test leaves.
OPEN: dict[str, str] = {}

NAMED = re.compile(r"(?<![\w-])[A-Z]{2}-\d{1,2}(?!\d)")


@cache
def proofs() -> dict[str, set[str]]:
    """Ids and the tests and stories that name them."""
    found: dict[str, set[str]] = {}
    for path in [*TESTS.rglob("test_*.py"), *TESTS.rglob("stories/*.txt")]:
        if path != Path(__file__):
            for rule in NAMED.findall(path.read_text("utf-8")):
                found.setdefault(rule, set()).add(path.relative_to(TESTS).as_posix())
    return found


@pytest.mark.parametrize("rule", sorted(IDS - set(OPEN)))
def test_a_rule_is_named_by_a_test(rule: str) -> None:
    assert proofs().get(rule), f"no test names {rule}: write one, or say in OPEN what is missing"


@pytest.mark.parametrize("rule", sorted(OPEN))
def test_an_open_rule_is_named_by_none(rule: str) -> None:
    assert proofs().get(rule, set()) == set(), f"{rule} is proven: take it out of OPEN"


def test_exceptions_are_rules() -> None:
    assert set(OPEN) <= IDS


@pytest.mark.skipif(not BOOK.exists(), reason="the rule book is not beside this repository")
def test_the_table_is_the_rule_book_s() -> None:
    sections = re.findall(r"(?ms)^## (\d+)\. (.*?)(?=^## |\Z)", BOOK.read_text("utf-8"))
    written = {
        rule
        for number, text in sections
        for rule in re.findall(r"(?m)^- ([A-Z]{2}-\d+)", text)
        if 2 <= int(number) <= 10
    }
    assert written == IDS
