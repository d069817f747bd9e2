"""Taxes: what is asked for beside a price, by country and local day (IN-6).

Owns the dated rows, how their documents are read, and the tax they make of a sum. Which sum that
is, and whose country and day, is for those to say who ask. Amounts are micros of a currency.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Final

from domain.documents import KEY, DocumentError, Fault, Table, read_sample_marks
from domain.money import DISPLAY_DIGITS, MICRO, text

_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_BASE: Final = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")
#: Micros of a percentage that are all of it.
_ALL: Final = 100 * MICRO


class TaxesError(DocumentError):
    """A table of taxes that was refused, with every problem found in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tax:
    """One row: a rate of a country, from a local day on."""

    country: str  #: ISO 3166 code, two letters
    name: str  #: as people know it; a later row of that name takes its place
    rate: int  #: micros of a percentage; 0: no longer asked for
    numerator: int  #: of the part of the price that is taxed
    denominator: int
    inclusive: bool  #: whether prices have it in them
    valid_from: int  #: local date

    @property
    def part(self) -> Fraction:
        """What it makes of a price without taxes."""
        return Fraction(self.rate, _ALL) * Fraction(self.numerator, self.denominator)

    @property
    def percent(self) -> str:
        """Its rate as people write it, without the sign."""
        return text(self.rate)

    @property
    def base(self) -> str:
        """The part of the price that is taxed, as `11/12`; `1` where that is all of it."""
        whole = self.numerator == self.denominator
        return "1" if whole else f"{self.numerator}/{self.denominator}"


@dataclass(frozen=True, slots=True)
class TaxDue:
    """What one tax comes to, rounded to what its currency shows."""

    tax: Tax
    amount: int


@dataclass(frozen=True, slots=True)
class Taxes:
    """A document's rows, by country, each country's in the order of its document."""

    key: str
    rows: Mapping[str, tuple[Tax, ...]]

    def of(self, country: str, day: int) -> tuple[Tax, ...]:
        """The taxes of a country that are asked for on a local day; empty: none is."""
        latest: dict[str, Tax] = {}
        for tax in self.rows.get(country, ()):
            before = latest.get(tax.name)
            if tax.valid_from <= day and (before is None or before.valid_from < tax.valid_from):
                latest[tax.name] = tax
        return tuple(tax for tax in latest.values() if tax.rate)


NONE: Final = Taxes("none", {})


def joined(tables: Iterable[Taxes]) -> Taxes:
    """Several documents as one; TaxesError where two of them speak of one country."""
    rows: dict[str, tuple[Tax, ...]] = {}
    whose: dict[str, str] = {}
    for table in tables:
        twice = [
            Fault(country, f"stands in {whose[country]} too", "leave it in one table")
            for country in table.rows
            if country in rows
        ]
        if twice:
            raise TaxesError(f"taxes {table.key}", twice)
        rows.update(table.rows)
        whose.update(dict.fromkeys(table.rows, table.key))
    return Taxes("all", rows)


def taxed(total: int, taxes: Iterable[Tax], currency: str) -> tuple[TaxDue, ...]:
    """What each tax comes to on a sum of lines, which has the inclusive ones in it.

    The part that is taxed is not rounded, the tax is, once, half away from zero.
    """
    own = tuple(taxes)
    held = Fraction(1) + sum((tax.part for tax in own if tax.inclusive), Fraction())
    net = Fraction(total) / held
    return tuple(TaxDue(tax, _rounded(net * tax.part, currency)) for tax in own)


def _rounded(amount: Fraction, currency: str) -> int:
    """Micros, rounded half away from zero to the digits of their currency."""
    step = MICRO // int(10 ** DISPLAY_DIGITS[currency])
    rounded = floor(abs(amount) / step + Fraction(1, 2)) * step
    return -rounded if amount < 0 else rounded


def parse_taxes(document: Mapping[str, object]) -> Taxes:
    """Read a table of taxes, or raise TaxesError with every problem."""
    top = Table(document)
    key = top.text("taxes", 'name the table in lower case, as "value-added"', KEY)
    read_sample_marks(top)
    rows: dict[str, list[Tax]] = {}
    for table in top.tables("rows", "write at least one [[rows]]"):
        tax = _read_row(table)
        table.close()
        if not table.clean:
            continue
        own = rows.setdefault(tax.country, [])
        for earlier in own:
            if (earlier.name, earlier.valid_from) == (tax.name, tax.valid_from):
                wrong = f"{tax.name} of {tax.country} has a row of this day before"
                table.problem("valid_from", wrong, "keep one of the two")
        own.append(tax)
    top.close()
    if top.problems:
        raise TaxesError(f"taxes {key}", top.problems)
    return Taxes(key, {country: tuple(own) for country, own in rows.items()})


def _read_row(table: Table) -> Tax:
    country = table.text("country", "write two capital letters, as ID", _COUNTRY)
    name = table.text("name", 'name the tax as people know it, as "PPN"')
    rate = table.amount("rate")
    if rate > _ALL:
        table.problem("rate", f"{text(rate)} is more than 100", "write a percentage")
    right = 'write the part of the price that is taxed, as "11/12"'
    base = table.text("base", right, _BASE) if table.has("base") else "1/1"
    parts = _BASE.fullmatch(base)
    numerator, denominator = (int(parts[1]), int(parts[2])) if parts else (1, 1)
    if numerator > denominator:
        table.problem("base", f"{base} is more than all of it", right)
    return Tax(
        country=country,
        name=name,
        rate=rate,
        numerator=numerator,
        denominator=denominator,
        inclusive=table.flag("inclusive"),
        valid_from=table.date("valid_from"),
    )
