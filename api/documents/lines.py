"""The lines of an invoice as a file for spreadsheets and programs (RFC 4180, UTF-8).

Owns its columns. Figures are plain decimals with a point, whatever the tenant's locale; what came
from people is a cell that a spreadsheet shows and does not run.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

from api.auditing import escaped
from domain.invoices import Invoice, Line
from domain.money import DISPLAY_DIGITS, MICRO_DIGITS, text
from domain.periods import date_of

COLUMNS: Final = (
    "document", "number", "line", "kind", "description", "balance", "category", "market", "rule",
    "from", "to", "quantity", "unit", "price", "exact", "amount", "currency",
)  # fmt: skip

_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def lines_csv(invoice: Invoice) -> bytes:
    """The lines, each with what it comes to exactly and what is asked for."""
    return rows([COLUMNS]) + lines_of(invoice)


def lines_of(invoice: Invoice) -> bytes:
    """The lines without the names of their columns, for a file of several documents."""
    return rows(_cells(invoice, place, line) for place, line in enumerate(invoice.lines, 1))


def rows(rows: Iterable[Iterable[str]]) -> bytes:
    """Rows of cells as they stand in a file."""
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode("utf-8", "backslashreplace")


def _cells(invoice: Invoice, place: int, line: Line) -> list[str]:
    first, last = line.period or (None, None)
    return [
        invoice.kind,
        escaped(invoice.number or ""),
        str(place),
        line.kind.value,
        escaped(line.description),
        escaped(line.balance or ""),
        escaped(line.category or ""),
        escaped(line.market or ""),
        escaped(line.rule or ""),
        day_text(first),
        day_text(last),
        _decimal(line.quantity),
        escaped(line.unit),
        _decimal(line.price or ""),
        text(line.exact),
        fixed(line.amount, DISPLAY_DIGITS[invoice.currency]),
        invoice.currency,
    ]


def day_text(day: int | None) -> str:
    """A local day as a cell; none is empty."""
    return "" if day is None else date_of(day).isoformat()


def _decimal(written: str) -> str:
    """A decimal as it is; what is none is shown, not run."""
    return written if _DECIMAL.fullmatch(written) else escaped(written)


def fixed(amount: int, digits: int) -> str:
    """An amount with the decimals of its currency, which is rounded to no finer."""
    whole, _, decimals = text(amount, MICRO_DIGITS).partition(".")
    return f"{whole}.{decimals:0<{digits}}" if digits else whole
