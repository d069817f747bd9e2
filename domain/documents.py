"""Strict reading of the documents people edit: books, plans and market lists.

Owns how a field of a table is read, what a fault says, and that *all* faults of a document come
together. Does not own what a book or a plan means, and opens no file: a document is the plain
dictionary that a TOML reader gave.
"""

import datetime
import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.money import micros, picos
from domain.periods import date_number

NO_RATE: Final = "n/a"
KEY: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

_TEXT_MAX: Final = 300  # characters of a name or a sentence
_SHOWN_MAX: Final = 60  # characters of a wrong value that a fault repeats


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a document."""

    path: str  #: where, as `rows[3].price`
    wrong: str
    right: str  #: what to write instead

    def __str__(self) -> str:
        return f"{self.path}: {self.wrong}; {self.right}"


class DocumentError(ValueError):
    """A document that was refused, with every problem found in it."""

    def __init__(self, what: str, problems: Sequence[Fault]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
        super().__init__("\n  ".join([f"{what}: {count}", *map(str, problems)]))


def nearest(word: str, known: Collection[str]) -> str:
    """Say which of the known names was probably meant, or name them all."""
    words = sorted(map(str, known))
    close = difflib.get_close_matches(word[:_SHOWN_MAX], words, n=1)
    return f"did you mean {close[0]!r}?" if close else "known are " + ", ".join(words)


def shown(value: object) -> str:
    """Repeat a wrong value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= _TEXT_MAX and text.isprintable() and not text.isspace()


class Table:
    """One table of a document, read field by field.

    A field that is wrong adds a problem and answers a value of the right type, so that reading goes
    on; `clean` says whether what was read from this table may be used.
    """

    __slots__ = ("_before", "_read", "_values", "path", "problems")

    def __init__(
        self, values: Mapping[str, object], path: str = "", problems: list[Fault] | None = None
    ) -> None:
        self._values = values
        self._read: set[str] = set()
        self.path = path
        self.problems: list[Fault] = [] if problems is None else problems
        self._before = len(self.problems)

    @property
    def clean(self) -> bool:
        """True while no problem was found since this table was opened."""
        return len(self.problems) == self._before

    def wrong(self, field: str) -> bool:
        """True where a problem of the field was found."""
        return any(each.path == self.at(field) for each in self.problems)

    def at(self, field: str) -> str:
        """Name a field by its whole path."""
        return f"{self.path}.{field}" if self.path and field else self.path or field

    def problem(self, field: str, wrong: str, right: str) -> None:
        """Add a fault of one field, or of the table itself where the field is empty."""
        self.problems.append(Fault(self.at(field) or "the document", wrong, right))

    def has(self, field: str) -> bool:
        """True if the field is written."""
        self._read.add(field)
        return field in self._values

    def same(self, field: str, value: object) -> bool:
        """True if the field is written and holds just this value."""
        return self.has(field) and self._values[field] == value

    def has_table(self, field: str) -> bool:
        """True if the field is written and holds a table."""
        return self.has(field) and isinstance(self._values[field], dict)

    def word(self, field: str) -> str:
        """Read a name in lower case, or `*` for every one."""
        if self.same(field, "*"):
            return "*"
        return self.text(field, f'name the {field} in lower case, or "*" for every one', KEY)

    def _get(self, field: str, right: str) -> object:
        value = self._values[field] if self.has(field) else None
        if value is None:
            self.problem(field, "is missing", right)
        return value

    def close(self) -> None:
        """Refuse every field that nobody asked for."""
        for field in self._values:
            if field not in self._read:
                self.problem(field, "is not a known field", nearest(field, self._read))

    def text(self, field: str, right: str, like: re.Pattern[str] | None = None) -> str:
        """Read a short printable text that matches the pattern as a whole."""
        value = self._get(field, right)
        if isinstance(value, str) and _is_plain(value) and (not like or like.fullmatch(value)):
            return value
        if value is not None:
            self.problem(field, f"{shown(value)} does not fit", right)
        return ""

    def paragraph(self, field: str, most: int) -> str:
        """Read a text of up to `most` lines."""
        right = f"write a text of up to {most} lines"
        value = self._get(field, right)
        if isinstance(value, str):
            lines = value.strip().splitlines()
            if 0 < len(lines) <= most and all(map(_is_plain, lines)):
                return "\n".join(lines)
        if value is not None:
            self.problem(field, f"{shown(value)} does not fit", right)
        return ""

    def choice(self, field: str, known: Collection[str], default: str | None = None) -> str:
        """Read one of the known words."""
        if default is not None and not self.has(field):
            return default
        value = self._get(field, "write one of " + ", ".join(sorted(known)))
        if isinstance(value, str) and value in known:
            return value
        if value is not None:
            right = nearest(value if isinstance(value, str) else "", known)
            self.problem(field, f"{shown(value)} is not known", right)
        return ""

    def texts(self, field: str, right: str, default: tuple[str, ...] | None = None) -> list[str]:
        """Read a list of different texts; a wrong member is left out."""
        if default is not None and not self.has(field):
            return list(default)
        value = self._get(field, right)
        if value is None:
            return []
        if not isinstance(value, list) or (not value and default is None):
            self.problem(field, f"{shown(value)} is not a list with members", right)
            return []
        words: list[str] = []
        for place, word in enumerate(value):
            if not isinstance(word, str) or not _is_plain(word):
                self.problem(f"{field}[{place}]", f"{shown(word)} is no short text", right)
            elif word in words:
                self.problem(f"{field}[{place}]", f"{shown(word)} is there twice", "write it once")
            else:
                words.append(word)
        return words

    def whole(self, field: str, low: int, high: int) -> int:
        """Read a whole number from low to high, both included."""
        right = f"write a whole number from {low} to {high}, without quotes"
        value = self._get(field, right)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        if value is not None:
            self.problem(field, f"{shown(value)} does not fit", right)
        return low

    def flag(self, field: str) -> bool:
        """Read true or false; a field that is not written is false."""
        value = self._values[field] if self.has(field) else False
        if not isinstance(value, bool):
            self.problem(field, f"{shown(value)} does not fit", "write true or false")
        return value is True

    def date(self, field: str) -> int:
        """Read a calendar day, as days since 1970-01-01."""
        right = "write a day of the calendar as 2026-10-01"
        value = self._get(field, right)
        if isinstance(value, str):
            try:
                value = datetime.date.fromisoformat(value)
            except ValueError:
                self.problem(field, f"{shown(value)} is no day of the calendar", right)
                return 0
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            return date_number(value)
        if value is not None:
            self.problem(field, f"{shown(value)} is no day", right)
        return 0

    def _number(self, field: str, read: Callable[[str], int], right: str) -> int:
        value = self._get(field, right)
        if isinstance(value, str):
            try:
                return read(value)
            except ValueError as error:
                self.problem(field, str(error), right)
        elif value is not None:
            self.problem(field, f"{shown(value)} is no decimal in quotes", right)
        return 0

    def amount(self, field: str, default: int | None = None) -> int:
        """Read an amount of money or units, in millionths."""
        if default is not None and not self.has(field):
            return default
        return self._number(field, micros, 'write a decimal in quotes, as "1000" or "0.5"')

    def price(self, field: str) -> int | None:
        """Read a price, in 10^-12 of the currency unit; None for `n/a`, which is no rate."""
        if self.same(field, NO_RATE):
            return None
        right = f'write a decimal in quotes, as "356.65"; free is "0", no rate is "{NO_RATE}"'
        return self._number(field, picos, right)

    def table(self, field: str, right: str) -> "Table":
        """Open a table inside this one; an empty one where it is missing or wrong."""
        value = self._get(field, right)
        if value is not None and not isinstance(value, dict):
            self.problem(field, f"{shown(value)} is not a table", right)
        values = value if isinstance(value, dict) else {}
        return Table(values, self.at(field), self.problems)

    def tables(self, field: str, right: str) -> list["Table"]:
        """Open the tables of a list with at least one."""
        value = self._get(field, right)
        if value is not None and (not isinstance(value, list) or not value):
            self.problem(field, f"{shown(value)} is not a list of tables", right)
        members = value if isinstance(value, list) else []
        for place, member in enumerate(members):
            if not isinstance(member, dict):
                self.problem(f"{field}[{place}]", f"{shown(member)} is not a table", right)
        return [
            Table(member, self.at(f"{field}[{place}]"), self.problems)
            for place, member in enumerate(members)
            if isinstance(member, dict)
        ]

    def fields(self) -> list[str]:
        """Name the fields that are written, for tables whose keys are names of things."""
        return list(self._values)


def read_sample_marks(table: Table) -> None:
    """Read what only people need: what the document is, and whether it is a sample and of when."""
    if table.has("about"):
        table.text("about", "say in a sentence what this is")
    if table.flag("sample") or table.has("dated"):
        table.date("dated")
