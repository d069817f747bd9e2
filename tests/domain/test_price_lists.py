"""Price lists as CSV: lines become rows of books, and faults are told of their lines."""

from __future__ import annotations

import pytest

from domain.book_documents import BookError, parse_book
from domain.price_lists import continued, lists_for, read_price_lists
from persistence.catalogue import written
from tests.domain.test_books import sample

HEADER = "book,valid_from,currency,market,category,unit_price\n"
MARKETS = sample("whatsapp-markets")


def said(text: str) -> list[str]:
    """Every problem of a list and of the books it makes."""
    lists, problems = read_price_lists(text, "whatsapp")
    for each in lists:
        try:
            parse_book({**each.document, "markets": "whatsapp-markets"}, 1, MARKETS)
        except BookError as error:
            problems += each.told(error.problems)
    return [str(each) for each in problems]


def test_lines_become_a_book_each() -> None:
    lists, problems = read_price_lists(
        "\ufeff" + HEADER + "a,2026-01-01,USD,ID,marketing,0.05\r\n\r\n"
        "b,2026-01-01,IDR,rest_of_africa,utility,n/a\r\n",
        "whatsapp",
    )
    assert problems == []
    assert [(each.book, each.lines) for each in lists] == [("a", (2,)), ("b", (4,))]
    assert lists[0].document == {
        "book": "a",
        "currency": "USD",
        "rows": [
            {
                "row": "marketing-id",
                "valid_from": "2026-01-01",
                "channel": "whatsapp",
                "category": "marketing",
                "direction": "out",
                "market": "ID",
                "basis": "per_message",
                "charged_on": "delivered",
                "price": "0.05",
            }
        ],
    }
    book = parse_book({**lists[1].document, "markets": "whatsapp-markets"}, 1, MARKETS)
    assert (book.rows[0].rule, book.rows[0].price) == ("b@2026-01-01/utility-rest_of_africa", None)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "",
            [
                "line 1: '' is not the header; write book,valid_from,currency,market,category,"
                "unit_price"
            ],
        ),
        (HEADER, ["the document: has no lines; write at least one rate"]),
        (
            HEADER + "a,2026-01-01,USD,ID,marketing\n",
            ["line 2: has 5 values; write book,valid_from,currency,market,category,unit_price"],
        ),
        (
            HEADER + "a,2026-02-30,USD,ID,marketing,1\n",
            [
                "line 2.valid_from: '2026-02-30' is no day of the calendar; write a day of the "
                "calendar as 2026-10-01"
            ],
        ),
        (
            HEADER + "a,2026-01-01,USD,XY,marketing,1\n",
            ["line 2.market: 'XY' is on none of the lists; known are "],
        ),
        (
            HEADER + "a,2026-01-01,USD,ID,marketing,N/A\n",
            [
                "line 2.unit_price: 'N/A' is not a number: write digits, such as 586.33; write a "
                'decimal in quotes, as "356.65"; free is "0", no rate is "n/a"'
            ],
        ),
        (
            HEADER + "a,2026-01-01,USD,ID,marketing,1\na,2026-01-01,IDR,ID,utility,1\n",
            [
                "line 3.currency: 'IDR' is not USD of line 2; a book has one currency: write "
                "that, or another book"
            ],
        ),
        (
            HEADER + "a,2026-01-01,USD,ID,marketing,1\n\na,2026-01-01,USD,ID,marketing,2\n",
            ["line 4: says the same as line 2; keep one of the two"],
        ),
        (
            HEADER + "A b,2026-01-01,XXX,ID,marketing,1\n",
            [
                "line 2.book: 'A b' does not fit; name the book in lower case, as "
                '"omnichannel-idr"',
                "line 2.currency: 'XXX' is not known; known are ",
            ],
        ),
    ],
)
def test_everything_wrong_is_told_of_its_line(text: str, lines: list[str]) -> None:
    found = said(text)
    assert len(found) == len(lines), found
    for each, line in zip(found, lines, strict=True):
        assert each == line or (line.endswith("known are ") and each.startswith(line)), each


def test_a_list_keeps_what_it_cannot_say() -> None:
    """Windows, free windows and counts of the rows it follows, and their names."""
    before = written(sample("book-omnichannel-idr"))
    lists, _ = read_price_lists(
        HEADER + "omnichannel-idr,2027-01-01,IDR,ID,marketing,600\n"
        "omnichannel-idr,2027-01-01,IDR,IN,marketing,60\n",
        "whatsapp",
    )
    made = continued(lists[0].document, [before])
    assert (made["windows"], made["markets"]) == (before["windows"], "whatsapp-markets")
    first, second = made["rows"]
    assert (first["row"], first["price"], first["free_in"]) == ("marketing", "600", ["free_entry"])
    assert second["row"] == "marketing-in"
    assert "free_in" not in second
    assert parse_book(made, 2, MARKETS).version == 2


def test_a_new_book_goes_by_the_lists_that_know_its_markets() -> None:
    document = {"rows": [{"market": "ID"}, {"market": "CL"}]}
    assert lists_for(document, {"a": ["ID"], "b": ["ID", "CL"], "c": ["CL", "ID"]}) == "b"
    assert lists_for(document, {}) is None
