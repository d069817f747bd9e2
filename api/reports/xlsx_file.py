"""A report as XLSX: typed cells under a frozen header, a further sheet where one is full.

Owns what a cell is. Text is text, whatever it begins with; numbers are numbers as long as a
spreadsheet keeps all their digits, which is 15, and text behind that, so none is lost. Rows go to
temporary files beside the file as they come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from xlsxwriter import Workbook  # type: ignore[import-untyped]
from xlsxwriter.utility import xl_col_to_name  # type: ignore[import-untyped]
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]

from api.auditing import RUN
from api.reports.kinds import Column
from api.reports.tables import Row, instant
from domain.money import text
from domain.periods import DAY
from domain.periods import instant as instant_of
from persistence.reports import Shape

#: Rows of a sheet, its header included.
ROWS_MAX: Final = 1_048_576
#: Digits that a spreadsheet keeps of a number.
DIGITS_MAX: Final = 15
#: Day 0 of its calendar, as far as that is right.
_FIRST: Final = datetime(1899, 12, 30, tzinfo=UTC)
_FIRST_AT: Final = instant_of(_FIRST)
#: What would be taken for an escape, and what XML does not know.
_ESCAPE: Final = re.compile("(_x[0-9a-fA-F]{4}_)")
_UNKNOWN: Final = re.compile("[\\x00-\\x08\\x0b-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
_UNCLEAN: Final = re.compile(f"[&<>_]|{_UNKNOWN.pattern}")
#: Characters of a cell; UTF-16 counts them.
CELL_MAX: Final = 32_767

_WIDTHS: Final = {
    Shape.TEXT: 18, Shape.DATE: 12, Shape.INSTANT: 24, Shape.INTEGER: 12, Shape.DECIMAL: 16
}  # fmt: skip
_FORMATS: Final = {Shape.DATE: "yyyy-mm-dd", Shape.INSTANT: "yyyy-mm-dd hh:mm:ss"}


class _Sheet(Worksheet):  # type: ignore[misc]  # it has no types
    """A sheet whose rows are written as they stand in its file.

    A cell at a time costs the library seven microseconds, and of text it takes what looks like
    markup for markup.
    """

    def write_lines(self, lines: str, last: int) -> None:
        """Write rows behind the others; `last` is the number of the last one, from 0."""
        if self.table:
            self._write_single_row()  # the header
        self.row_data_fh.write(lines)
        self.dim_rowmax = last


class XlsxFile:
    """A workbook that is being made."""

    def __init__(self, path: Path, columns: Sequence[Column], title: str, made_at: int) -> None:
        self._columns = columns
        self._title = title
        self._book = Workbook(
            str(path), {"constant_memory": True, "tmpdir": str(path.parent)}
        )  # fmt: skip
        self._book.use_zip64()
        self._book.set_properties(
            {"title": title, "created": instant(made_at).replace(tzinfo=None)}
        )
        self._head = self._book.add_format({"bold": True, "bottom": 1})
        self._shown: dict[Shape, int] = {
            shape: self._style({"num_format": form}) for shape, form in _FORMATS.items()
        }
        # Somebody who edits the cell still has text, and no formula.
        self._quoted = self._style({"quote_prefix": True})
        self._letters = [xl_col_to_name(place) for place in range(len(columns))]
        of_shape: dict[Shape, Callable[[Any], str]] = {
            Shape.TEXT: self._text, Shape.DATE: self._date, Shape.INSTANT: self._instant,
            Shape.INTEGER: _whole, Shape.DECIMAL: _decimal,
        }  # fmt: skip
        self._cells = [of_shape[column.shape] for column in columns]
        self._sheets = 0
        self._begin()

    def _style(self, how: dict[str, Any]) -> int:
        """The number of a look, as cells name it."""
        number: int = self._book.add_format(how)._get_xf_index()
        return number

    def _begin(self) -> None:
        """A further sheet with the columns' names."""
        self._sheets += 1
        name = self._title if self._sheets == 1 else f"{self._title} {self._sheets}"
        self._sheet = self._book.add_worksheet(name, worksheet_class=_Sheet)
        self._sheet.freeze_panes(1, 0)
        for place, column in enumerate(self._columns):
            self._sheet.set_column(place, place, _WIDTHS[column.shape])
        for place, column in enumerate(self._columns):
            self._sheet.write_string(0, place, column.name, self._head)
        self._next = 1

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows behind the others."""
        lines: list[str] = []
        for row in rows:
            if self._next == ROWS_MAX:
                self._sheet.write_lines("".join(lines), self._next - 1)
                lines.clear()
                self._begin()
            number = self._next + 1  # a file counts rows from 1
            cells = [
                f'<c r="{letter}{number}"{cell(value)}</c>'
                for letter, cell, value in zip(self._letters, self._cells, row, strict=True)
                if value is not None and value != ""
            ]
            lines.append(f'<row r="{number}">{"".join(cells)}</row>')
            self._next += 1
        self._sheet.write_lines("".join(lines), self._next - 1)

    def _text(self, value: str) -> str:
        """Text, whatever it looks like."""
        style = f' s="{self._quoted}"' if value.startswith(RUN) else ""
        if len(value) > CELL_MAX // 2:
            value = _cut(value)
        return f'{style} t="inlineStr"><is><t xml:space="preserve">{_escaped(value)}</t></is>'

    def _date(self, value: date) -> str:
        return f' s="{self._shown[Shape.DATE]}"><v>{(value - _FIRST.date()).days}</v>'

    def _instant(self, value: int) -> str:
        days, rest = divmod(value - _FIRST_AT, DAY)
        # Eleven decimals of a day are microseconds.
        return f' s="{self._shown[Shape.INSTANT]}"><v>{days}{f"{rest / DAY:.11f}"[1:]}</v>'

    def end(self) -> None:
        """Finish the file."""
        self._book.close()

    def drop(self) -> None:
        """Let go of it: its temporary files lie in its folder, which is its caller's."""
        self._book.fileclosed = True
        for sheet in self._book.worksheets():
            with suppress(AttributeError, OSError):
                sheet.row_data_fh.close()


def _whole(value: int) -> str:
    return f"><v>{value}</v>"


def _decimal(micros: int) -> str:
    """A number, or text of one that a spreadsheet would shorten."""
    written = text(micros)
    if len(str(abs(micros)).rstrip("0")) > DIGITS_MAX:
        return f' t="inlineStr"><is><t>{written}</t></is>'
    return f"><v>{written}</v>"


def _escaped(value: str) -> str:
    """Text as it stands in a file: characters that XML has not, by their numbers."""
    if _UNCLEAN.search(value) is None:
        return value
    value = _ESCAPE.sub(r"_x005F\1", value)
    value = _UNKNOWN.sub(lambda found: f"_x{ord(found[0]):04X}_", value)
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(value: str) -> str:
    """Text as far as a cell has room for it."""
    return value.encode("utf-16-le")[: 2 * CELL_MAX].decode("utf-16-le", "ignore")
