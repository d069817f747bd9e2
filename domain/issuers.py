"""Issuers: who asks for money in its own name, as its document says (IN-3).

Owns the fields, their defaults and bounds, and how a document is read. Which of several asks a
tenant is `api.invoicing.parties`'; the numbers of its series are given by `persistence.invoices`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from domain.documents import KEY, DocumentError, Fault, Table, read_sample_marks, shown
from domain.invoices import CREDIT_NOTES, INVOICES, TERMS_DAYS
from domain.receipts import SERIES as RECEIPTS
from domain.tax_ids import eu_vat_id, misshapen

#: Local days that may pass until an invoice is due; 0: it is due on its day.
TERMS_DAYS_MAX: Final = 365
#: Lines of an address, and of the words on how to pay.
LINES_MAX: Final = 6

COUNTRY: Final = re.compile(r"[A-Z]{2}")
EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
SERIES: Final = re.compile(r"[A-Z0-9](-?[A-Z0-9]){0,15}")

#: The series of who is named after a plan; nobody who is published has one of them, or of receipts.
PLAN_INVOICES: Final = "I"
PLAN_CREDIT_NOTES: Final = "C"
TAKEN: Final = frozenset((PLAN_INVOICES, PLAN_CREDIT_NOTES, RECEIPTS))


class IssuerError(DocumentError):
    """An issuer that was refused, with every problem found in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who issues invoices and credit notes, and how."""

    key: str  #: empty: nobody who is published, but whoever a plan names
    name: str
    lines: tuple[str, ...] = ()  #: of the address
    country: str = ""  #: ISO 3166 code, two letters; empty: nobody says
    tax_id: str | None = None
    email: str | None = None
    invoices: str = INVOICES  #: the series of its invoices' numbers
    credit_notes: str = CREDIT_NOTES
    terms_days: int = TERMS_DAYS  #: local days after its issue that an invoice is due on
    pay: str = ""  #: how to pay, printed on invoices, line by line
    e_invoice: bool = False  #: whether its documents have EN 16931 in them

    @property
    def series(self) -> tuple[str, str]:
        """The series of its invoices and of its credit notes."""
        return self.invoices, self.credit_notes


def named_after_plan(name: str, contact: str | None, country: str) -> Issuer:
    """Who issues where nobody is published: whoever the plan names, as on receipts."""
    return Issuer(
        key="",
        name=name,
        lines=() if contact is None else (contact,),
        country=country,
        invoices=PLAN_INVOICES,
        credit_notes=PLAN_CREDIT_NOTES,
    )


def parse_issuer(document: Mapping[str, object]) -> Issuer:
    """Read an issuer, or raise IssuerError with every problem."""
    top = Table(document)
    key = top.text("issuer", 'name the issuer in lower case, as "kuota"', KEY)
    read_sample_marks(top)
    name = top.text("name", "write the name that stands on its invoices")
    lines = read_lines(top, "lines")
    country = top.text("country", "write two capital letters, as ID", COUNTRY)
    tax_id = read_tax_id(top, country)
    email = read_email(top)
    issuer = Issuer(
        key=key,
        name=name,
        lines=lines,
        country=country,
        tax_id=tax_id,
        email=email,
        invoices=_read_series(top, "invoices", INVOICES),
        credit_notes=_read_series(top, "credit_notes", CREDIT_NOTES),
        terms_days=top.whole("terms_days", 0, TERMS_DAYS_MAX)
        if top.has("terms_days")
        else TERMS_DAYS,
        pay=top.paragraph("pay", LINES_MAX) if top.has("pay") else "",
        e_invoice=top.flag("e_invoice"),
    )
    if issuer.invoices and issuer.invoices == issuer.credit_notes:
        wrong = f"{shown(issuer.credit_notes)} is the series of its invoices"
        top.problem("credit_notes", wrong, "write another one, as CN: notes have their own numbers")
    if issuer.e_invoice and eu_vat_id(tax_id) is None and not top.wrong("tax_id"):
        wrong = "needs an id for value added tax of the European Union"
        top.problem("e_invoice", wrong, "write tax_id, or leave it out")
    top.close()
    if top.problems:
        raise IssuerError(f"issuer {key}", top.problems)
    return issuer


def shared_series(issuer: Issuer, others: Iterable[tuple[str, str]]) -> list[Fault]:
    """Where series of an issuer are another's, given as series and key.

    A tenant that both issue to would have a number twice.
    """
    whose = {series: key for series, key in sorted(others) if key != issuer.key}
    return [
        Fault(
            field,
            f"{shown(series)} is a series of the issuer {whose[series]}",
            f"write one of its own, as {_own(issuer, field)}",
        )
        for field, series in zip(("invoices", "credit_notes"), issuer.series, strict=True)
        if series in whose
    ]


def _own(issuer: Issuer, field: str) -> str:
    own = re.sub("[^A-Z0-9]+", "-", issuer.key.upper())[:8].strip("-")
    return f"{own}-CN" if field == "credit_notes" else own


def _read_series(top: Table, field: str, default: str) -> str:
    if not top.has(field):
        return default
    right = f"write up to 16 capital letters, digits and hyphens, as {default}"
    series = top.text(field, right, SERIES)
    if len(series) > 16 or series in TAKEN:
        wrong = f"{shown(series)} " + ("is too long" if len(series) > 16 else "is not free")
        top.problem(field, wrong, right)
    return series


def read_lines(top: Table, field: str) -> tuple[str, ...]:
    """Read the lines of an address, which may be left out."""
    right = f'write up to {LINES_MAX} lines, as ["Jl. Sudirman 1", "Jakarta 10220"]'
    lines = tuple(top.texts(field, right, ()))
    if len(lines) > LINES_MAX:
        top.problem(field, f"has {len(lines)} lines", right)
    return lines


def read_tax_id(top: Table, country: str) -> str | None:
    """Read the tax id of somebody in a country; None where it is left out."""
    if not top.has("tax_id"):
        return None
    tax_id = top.text("tax_id", "write the id as its owner writes it, or leave it out")
    if tax_id and (right := misshapen(country, tax_id)) is not None:
        top.problem("tax_id", f"{shown(tax_id)} is no tax id of {country}", right)
    return tax_id


def read_email(top: Table) -> str | None:
    """Read an address for mail; None where it is left out."""
    if not top.has("email"):
        return None
    return top.text("email", "write an address, as billing@example.com, or leave it out", EMAIL)
