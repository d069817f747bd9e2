"""Invoices by hand: lines that an operator writes, checked and worked out (IN-5).

Owns what such a line may say. How lines come to a total is `domain.invoices`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.invoices import Line, LineKind, amount_of
from domain.money import MICRO, text
from domain.problems import Problem

LINES_MAX: Final = 200
#: Micros that no line passes: far from what a column holds, whatever else is on the invoice.
LINE_MAX: Final = 10**17


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A line as somebody wrote it."""

    description: str
    quantity: int  #: millionths of the unit, above zero
    unit: str
    price: int  #: micros of the invoice's currency, of one unit; below zero: it is taken off


def lines_of(written: Sequence[Written], currency: str) -> tuple[Line, ...]:
    """The lines of an invoice in a currency; Problem for one that cannot stand there."""
    if not 0 < len(written) <= LINES_MAX:
        raise Problem("INVALID", f"an invoice by hand has 1 to {LINES_MAX} lines", "lines")
    return tuple(_line(each, place, currency) for place, each in enumerate(written))


def _line(written: Written, place: int, currency: str) -> Line:
    field = f"lines[{place}]"
    if written.quantity <= 0:
        raise Problem(
            "INVALID", "quantity is more than 0: take off by the price", f"{field}.quantity"
        )
    exact = product(written.quantity, written.price)
    if abs(exact) > LINE_MAX:
        message = f"a line comes to at most {text(LINE_MAX)} {currency}"
        raise Problem("INVALID", message, field)
    return Line(
        kind=LineKind.OTHER, description=written.description, balance=None, category=None,
        market=None, rule=None, quantity=text(written.quantity), unit=written.unit,
        price=text(written.price), exact=exact, amount=amount_of(LineKind.OTHER, exact, currency),
        period=None,
    )  # fmt: skip


def product(quantity: int, price: int) -> int:
    """Micros that a quantity costs, rounded half away from zero to a millionth of the currency."""
    whole = (2 * quantity * abs(price) + MICRO) // (2 * MICRO)
    return whole if price >= 0 else -whole
