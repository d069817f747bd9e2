"""Price lists: rates per delivered message as a CSV, read into documents of books.

Owns the columns, and that a fault of a document made of lines is told of its line. Does not own
what a book may say: the documents are read like any other.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.derive import place, rows_of
from domain.documents import Fault, shown
from domain.markets import ANY_MARKET

COLUMNS: Final = ("book", "valid_from", "currency", "market", "category", "unit_price")

_UNFIT: Final = re.compile(r"[^a-z0-9_.-]")
_ROW: Final = re.compile(r"rows\[([0-9]+)\]")
_LINE: Final = re.compile(r"line ([0-9]+)")
#: What a price list cannot say, and a row takes from the one it follows.
_KEPT: Final = ("charged_on", "free_in", "free_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """One book's lines."""

    book: str
    document: dict[str, Any]  #: a book as people write it, without markets and windows
    lines: tuple[int, ...]  #: of each row, from 1

    def told(self, problems: Sequence[Fault]) -> list[Fault]:
        """Problems of the document in words of the list: by line, and by the names of columns."""
        return [
            Fault(self._path(each.path), self._text(each.wrong), self._text(each.right))
            for each in problems
        ]

    def _path(self, path: str) -> str:
        if path in ("book", "currency"):
            return f"line {self.lines[0]}.{path}"
        return self._text(path).replace(".price", ".unit_price")

    def _text(self, text: str) -> str:
        return _ROW.sub(lambda found: f"line {self.lines[int(found[1])]}", text)


def read_price_lists(text: str, channel: str) -> tuple[list[PriceList], list[Fault]]:
    """Read lines of rates for messages sent on a channel: a list for each book, and what is wrong.

    A line that is wrong as a line is in no list; whether its values fit is the book's to say.
    """
    reader = csv.reader(text.removeprefix("\ufeff").splitlines())
    header = tuple(next(reader, ()))
    if header != COLUMNS:
        wrong = f"{shown(','.join(header))} is not the header"
        return [], [Fault("line 1", wrong, "write " + ",".join(COLUMNS))]
    problems: list[Fault] = []
    lists: dict[str, list[tuple[int, dict[str, str]]]] = {}
    try:
        for cells in reader:
            line = reader.line_num
            if len(cells) == len(COLUMNS):
                values = dict(zip(COLUMNS, map(str.strip, cells), strict=True))
                lists.setdefault(values["book"], []).append((line, values))
            elif cells:
                wrong = f"has {len(cells)} values"
                problems.append(Fault(f"line {line}", wrong, "write " + ",".join(COLUMNS)))
    except csv.Error as error:
        problems.append(Fault(f"line {reader.line_num}", str(error), "write it as plain CSV"))
    if not lists and not problems:
        problems.append(Fault("the document", "has no lines", "write at least one rate"))
    found = []
    for book, lines in lists.items():
        first, currency = lines[0][0], lines[0][1]["currency"]
        problems += [
            Fault(
                f"line {line}.currency",
                f"{shown(values['currency'])} is not {currency} of line {first}",
                "a book has one currency: write that, or another book",
            )
            for line, values in lines
            if values["currency"] != currency
        ]
        found.append(
            PriceList(
                book=book,
                document={
                    "book": book,
                    "currency": currency,
                    "rows": [_row(values, channel) for _, values in lines],
                },
                lines=tuple(line for line, _ in lines),
            )
        )
    return found, problems


def line_of(fault: Fault) -> int:
    """The line a fault is told of, to sort by; what is told of no line comes behind."""
    found = _LINE.match(fault.path)
    return int(found[1]) if found else 1 << 62


def _row(values: Mapping[str, str], channel: str) -> dict[str, Any]:
    name = _UNFIT.sub("", f"{values['category']}-{values['market']}".lower())
    return {
        "row": name[:64].lstrip("_.-") or "row",
        "valid_from": values["valid_from"],
        "channel": channel,
        "category": values["category"],
        "direction": "out",
        "market": values["market"],
        "basis": "per_message",
        "charged_on": "delivered",
        "price": values["unit_price"],
    }


def continued(document: Mapping[str, Any], versions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The next version of a book: a list's prices under the rules of the rows they follow.

    What stands in the newest version's markets and windows stays. A row takes the free windows, the
    free count and the status it is charged on from the row in force before it: its market's, else
    the one of every market. The first also gives its name.
    """
    before = rows_of(versions)
    rows = []
    for row in document["rows"]:
        own = _in_force(before, row, row["market"])
        other = own or _in_force(before, row, ANY_MARKET)
        kept = {field: other[field] for field in _KEPT if other and field in other}
        rows.append({**row, **kept, "row": own["row"] if own else row["row"]})
    newest = versions[-1]
    taken = {field: newest[field] for field in ("markets", "windows") if field in newest}
    return {**taken, **document, "rows": rows}


def _in_force(
    rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any], market: str
) -> Mapping[str, Any] | None:
    wanted = place({**row, "market": market})
    found = [
        each for each in rows if place(each) == wanted and each["valid_from"] <= row["valid_from"]
    ]
    return found[-1] if found else None


def lists_for(document: Mapping[str, Any], markets: Mapping[str, Sequence[str]]) -> str | None:
    """The key of the lists of prefixes that know most of a document's markets, if there are any."""
    named = {row["market"] for row in document["rows"]}
    return max(sorted(markets), key=lambda key: len(named & set(markets[key])), default=None)
