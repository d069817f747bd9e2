"""`book check` and `book publish`: what people type and what they are told."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from api.cli import main
from persistence.catalogue import SAMPLES
from tests.conftest import ROOT, Database

Typed: TypeAlias = Callable[..., tuple[int, str, str]]

#: Rates as third parties read them; the file is not part of the project.
RATES = ROOT.parent / "shared" / "data" / "whatsapp-rates.csv"

BOOK = """
book = "mine"
currency = "USD"
markets = "whatsapp-markets"
[[rows]]
row = "marketing-id"
valid_from = 2026-01-01
channel = "whatsapp"
category = "marketing"
direction = "out"
market = "ID"
basis = "per_message"
price = "0.0411"
"""
DERIVED = """
book = "ours"
derived_from = "mine"
factor = "1.15"
fee = "0.0005"
decimals = 4
[[rows]]
row = "marketing-in"
valid_from = 2026-01-01
channel = "whatsapp"
category = "marketing"
direction = "out"
market = "IN"
basis = "per_message"
price = "n/a"
"""


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: Database
) -> Iterator[Typed]:
    """Commands on the test's database, in this process."""
    handler = signal.getsignal(signal.SIGTERM)
    for name in [name for name in os.environ if name.startswith("KUOTA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KUOTA_DATABASE_URL", database.app_url)
    monkeypatch.setenv("KUOTA_DATABASE_OWNER_URL", database.owner_url)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


Written: TypeAlias = Callable[[str, str], Path]


def test_a_book_is_checked_then_published_then_derived_from(typed: Typed, written: Written) -> None:
    """PR-1: a derived book's prices are computed and printed before anybody is charged by them."""
    mine, ours = written("mine.toml", BOOK), written("ours.toml", DERIVED)
    code, out, err = typed("book", "check", mine)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "mine version 1, USD",
        "row           from        channel   direction  category   market  basis         price",
        "marketing-id  2026-01-01  whatsapp  out        marketing  ID      per_message  0.0411",
    ]
    assert typed("book", "publish", mine) == (0, "book mine 1\n", "")
    assert typed("book", "publish", mine) == (0, "book mine: version 1 says the same\n", "")

    code, out, err = typed("book", "check", ours)
    assert (code, err) == (0, "")
    assert out.splitlines()[2:] == [
        "marketing-id  2026-01-01  whatsapp  out        marketing  ID      per_message  0.0478",
        "marketing-in  2026-01-01  whatsapp  out        marketing  IN      per_message     n/a",
    ]
    code, out, _ = typed("book", "publish", ours, "--json")
    assert code == 0
    assert json.loads(out)["books"] == [{"book": "ours", "version": 1, "published": True}]


def test_all_that_is_wrong_is_said_a_line_each(typed: Typed, written: Written) -> None:
    broken = BOOK.replace('"ID"', '"IX"').replace('"0.0411"', "0.0411")
    broken = broken.replace("2026-01-01", '"2026-02-30"')
    for verb in ("check", "publish"):
        code, out, err = typed("book", verb, written("mine.toml", broken))
        assert (code, out) == (1, "")
        assert [line.split("; ")[0] for line in err.splitlines()] == [
            "wrong    rows[0].valid_from: '2026-02-30' is no day of the calendar",
            "wrong    rows[0].price: 0.0411 is no decimal in quotes",
            "wrong    rows[0].market: 'IX' is on none of the lists",
        ]
    code, out, _ = typed("book", "check", written("mine.toml", broken), "--json")
    assert code == 1
    assert [each["path"] for each in json.loads(out)["problems"]] == [
        "rows[0].valid_from",
        "rows[0].price",
        "rows[0].market",
    ]


def test_plans_are_held_against_a_book(typed: Typed, written: Written) -> None:
    """Its currency and its chains, of a plan that is published or one that is to be."""
    text = (SAMPLES / "plan-omnichannel-idr.toml").read_text("utf-8")
    plan = written(
        "plan.toml", text.replace('balance = "whatsapp", basis', 'balance = "wa", basis')
    )
    book = SAMPLES / "book-omnichannel-idr.toml"
    code, _, err = typed("book", "check", book, "--plan", "omnichannel-idr")
    assert (code, "wrong" in err) == (0, False)
    code, _, err = typed("book", "check", book, "--plan", plan)
    assert code == 1
    assert f"plan {plan}: chains[0].steps[0].balance: 'wa' is no balance of the plan" in err
    dollars = written("book.toml", book.read_text("utf-8").replace('"IDR"', '"USD"', 1))
    code, _, err = typed("book", "check", dollars)
    assert code == 1
    assert err.startswith("wrong    currency: USD is not IDR, as version 1 has it; write IDR, or")


@pytest.mark.parametrize(
    ("name", "text", "code", "words"),
    [
        ("book.txt", "", 2, "its name ends in none of .toml, .json, .csv"),
        ("absent.toml", None, 1, "cannot be read: No such file or directory"),
        ("book.json", "[]", 1, "the document: is no table"),
    ],
)
def test_what_is_no_book(
    typed: Typed,
    written: Written,
    tmp_path: Path,
    name: str,
    text: str | None,
    code: int,
    words: str,
) -> None:
    file = tmp_path / name if text is None else written(name, text)
    found, out, err = typed("book", "check", file)
    assert (found, out) == (code, "")
    assert words in err


def test_rates_of_public_cards_are_taken_as_they_are(typed: Typed) -> None:
    """The csv of the sample data: a book for each of its names, and nothing to complain of."""
    if not RATES.exists():
        pytest.skip("the sample rates are not on this machine")
    assert typed("book", "check", RATES)[::2] == (0, "")
    published = ["book meta-idr 1", "book meta-inr 1", "book meta-usd 1", "book meta-clp 1"]
    code, out, err = typed("book", "publish", RATES)
    assert (code, out.splitlines(), err) == (0, published, "")


ISSUER = """
issuer = "kuota"
name = "PT Kuota"
country = "ID"
"""


def test_in_3_an_issuer_is_published_as_a_book_is(typed: Typed, written: Written) -> None:
    """The same again changes nothing; what is wrong comes a line each, and nothing is stored."""
    mine = written("issuer.toml", ISSUER)
    assert typed("book", "check", mine) == (0, "issuer kuota is right\n", "")
    assert typed("book", "publish", mine) == (0, "issuer kuota is published\n", "")
    assert typed("book", "publish", mine) == (0, "issuer kuota says the same\n", "")
    code, out, _ = typed("book", "publish", mine, "--json")
    assert json.loads(out) == {"problems": [], "issuers": [{"issuer": "kuota", "published": False}]}

    other = ISSUER.replace('"kuota"', '"other"').replace('"ID"', '"Indonesia"') + "terms = 3\n"
    code, out, err = typed("book", "publish", written("other.toml", other))
    assert (code, out) == (1, "")
    assert [line.split("; ")[0] for line in err.splitlines()] == [
        "wrong    country: 'Indonesia' does not fit",
        "wrong    terms: is not a known field",
    ]
    code, _, err = typed("book", "check", written("twice.toml", ISSUER.replace("kuota", "other")))
    assert code == 1
    assert "'INV' is a series of the issuer kuota; write one of its own, as OTHER" in err
