"""Invoices: what is asked of a tenant, by whom, for what, as it was when it was issued (IN-4 to 6).

Owns what an invoice and its lines say, how lines and taxes come to a total, and how numbers are
spelt. Does not own which lines a period has (subscriptions, usage lines), what is paid of it
(allocations), what it is called today (invoice_status), and who gives the numbers.

Amounts are micros of the invoice's currency, days are local dates of its buyer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from domain.money import shown, text
from domain.periods import date_of
from domain.problems import Problem
from domain.receipts import TaxLine, number, tax_line
from domain.taxes import Taxes, taxed

#: The series of invoices and of credit notes, where an issuer names none.
INVOICES: Final = "INV"
CREDIT_NOTES: Final = "CN"
#: Local days after its issue that an invoice is due on, where an issuer says nothing else.
TERMS_DAYS: Final = 14


class LineKind(StrEnum):
    """Why a line is there."""

    RECURRING = "recurring"  #: a component of a subscription, in advance
    SETUP = "setup"  #: a fee asked for once
    USAGE = "usage"  #: used of a postpaid balance, or asked for by the unit
    OVERAGE = "overage"  #: used beyond what a period's units were
    TOP_UP = "top_up"  #: bought, and paid at once
    COVERED = "covered"  #: paid before, from an allowance or a top-up: nothing to pay
    ADJUSTMENT = "adjustment"  #: for a period that was invoiced before; may be below zero
    CREDIT = "credit"  #: given back by a credit note
    OTHER = "other"  #: written by hand; may be below zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who asks, or who is asked, as it was called then."""

    name: str
    lines: tuple[str, ...]  #: of the address
    country: str  #: ISO 3166 code, two letters
    tax_id: str | None
    email: str | None
    key: str | None = None  #: a tenant's, or an issuer's
    reference: str | None = None  #: what a buyer's accountants look for, such as a purchase order
    e_invoice: bool = False  #: whether an issuer's documents have EN 16931 in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one thing comes to, before the taxes that prices have not in them."""

    kind: LineKind
    description: str
    balance: str | None  #: its key; None: of no balance
    category: str | None
    market: str | None
    rule: str | None  #: `BOOK@VALID-FROM/ROW`; None: no book priced it
    quantity: str  #: a decimal
    unit: str
    price: str | None  #: a decimal of the currency, of one unit; None: it has no one price
    exact: int  #: what it comes to, not rounded to what is shown; covered: what was paid before
    amount: int  #: what is asked for: the exact one rounded once; covered: 0
    period: tuple[int, int] | None  #: first and last local day
    of: int | None = None  #: by a credit note: which line of the invoice, from 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """All that an invoice or a credit note says; once issued it never changes (IN-4).

    A credit note's amounts are what it gives back, above zero like an invoice's.
    """

    kind: Literal["invoice", "credit_note"]
    number: str | None  #: None: a draft
    issuer: Party
    buyer: Party
    currency: str
    locale: str
    zone: str  #: in whose days it is dated
    issued_on: int | None  #: None: a draft
    due_on: int | None  #: None: a draft, or a credit note
    period: tuple[int, int] | None  #: first and last local day; None: of no period
    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]  #: empty: the buyer's country asks for none
    net: int  #: without any tax
    tax: int  #: all of them, those that prices have in them included
    total: int  #: net and tax
    rounding: int  #: what is asked for in lines beyond their exact amounts
    of: str | None  #: by a credit note: the invoice's number
    note: str  #: to be printed; empty: nothing


def amount_of(kind: LineKind, exact: int, currency: str) -> int:
    """What a line asks for, rounded half away from zero to what its currency shows (IN-5, IN-8)."""
    return 0 if kind is LineKind.COVERED else shown(exact, currency)


def rounding_of(lines: Iterable[Line]) -> int:
    """What lines ask for beyond their exact amounts, of what is not covered: for the books."""
    return sum(line.amount - line.exact for line in lines if line.kind is not LineKind.COVERED)


def drawn_up(
    lines: Iterable[Line],
    *,
    issuer: Party,
    buyer: Party,
    currency: str,
    locale: str,
    zone: str,
    taxes: Taxes,
    day: int,
    period: tuple[int, int] | None = None,
    note: str = "",
) -> Invoice:
    """A draft of these lines, with the taxes that the buyer's country asks for on a local day.

    Problem where there is no line, or where they come to less than nothing: that is given back by
    a credit note. ValueError for a line that asks for something else than its exact amount rounded.
    """
    own = tuple(lines)
    if not own:
        raise Problem("NO_LINES", "there is nothing to put on an invoice", "lines")
    for line in own:
        if line.amount != amount_of(line.kind, line.exact, currency):
            raise ValueError(f"{line.description!r} asks for {text(line.amount)}: round it once")
    asked = sum(line.amount for line in own)
    if asked < 0:
        message = f"lines come to {text(asked)} {currency}: give it back by a credit note"
        raise Problem("BELOW_ZERO", message, "lines")
    due = tuple(map(tax_line, taxed(asked, taxes.of(buyer.country, day), currency)))
    net = asked - sum(each.amount for each in due if each.inclusive)
    tax = sum(each.amount for each in due)
    return Invoice(
        kind="invoice",
        number=None,
        issuer=issuer,
        buyer=buyer,
        currency=currency,
        locale=locale,
        zone=zone,
        issued_on=None,
        due_on=None,
        period=period,
        lines=own,
        taxes=due,
        net=net,
        tax=tax,
        total=net + tax,
        rounding=rounding_of(own),
        of=None,
        note=note,
    )


def issued(draft: Invoice, series: str, place: int, day: int, terms: int = TERMS_DAYS) -> Invoice:
    """The draft as it is issued on a local day, with the number of its place in its series' year.

    Due `terms` local days later; a credit note never is. ValueError for what was issued before.
    """
    if draft.number is not None:
        raise ValueError(f"{draft.number} was issued before: what is issued never changes")
    if terms < 0:
        raise ValueError(f"{terms} days would be due before its issue: write 0 or more")
    return replace(
        draft,
        number=number(series, date_of(day).year, place),
        issued_on=day,
        due_on=day + terms if draft.kind == "invoice" else None,
    )
