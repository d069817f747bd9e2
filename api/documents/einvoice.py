"""E-invoices: an invoice or a credit note as EN 16931 says it, for programs of whoever pays.

Owns what of a document becomes which of the standard's terms, and which documents it cannot say:
they have no XML rather than a wrong one, and `refusal` tells why. The XML says what the printed
page says; how it comes into the PDF is `embedding`'s.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

from domain.invoice_words import WORDS
from domain.invoices import Invoice, Line, LineKind, Party
from domain.money import MICRO_DIGITS, text
from domain.periods import date_of
from domain.problems import Problem
from domain.sentences import Language, say
from domain.tax_ids import PREFIXES, eu_vat_id

if TYPE_CHECKING:
    from pycheval.model import EN16931Invoice, EN16931LineItem, IncludedNote, TradeParty
    from pycheval.money import Money

#: The name that readers look for in a PDF (Factur-X 1.0, ZUGFeRD 2).
FILE_NAME: Final = "factur-x.xml"
#: Of amounts; prices have as many as they have.
_DECIMALS_MAX: Final = 2
_ADDRESS_LINES: Final = 3
#: What no XML can have in it.
_UNSAYABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def refusal(invoice: Invoice) -> str | None:
    """Why a document has no XML, for people; None: it has one."""
    if not invoice.issuer.e_invoice:
        return "its issuer does not send e-invoices"
    if eu_vat_id(invoice.issuer.tax_id) is None:
        return "its issuer has no id for value added tax of the European Union"
    if invoice.number is None:
        return "it is a draft"
    return _of_amounts(invoice) or _of_taxes(invoice)


def xml(invoice: Invoice) -> bytes:
    """The document as EN 16931 in the syntax of UN/CEFACT; Problem where that cannot say it."""
    why = refusal(invoice)
    if why is not None:
        raise Problem("NO_E_INVOICE", f"there is no e-invoice of this document: {why}")
    from xml.etree import ElementTree

    from pycheval.generate import generate_et

    root = generate_et(_model(invoice))
    # The library writes links where the standard has addresses for mail.
    for address in root.iter("ram:URIID"):
        address.text = (address.text or "").removeprefix("mailto:")
    return bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True))


def _of_taxes(invoice: Invoice) -> str | None:
    if not invoice.taxes:
        # Exempt, outside of its scope, the buyer's to pay: each is said with its reason.
        return "it asks for no tax, and EN 16931 wants to know by which rule"
    if len(invoice.taxes) > 1:
        return "it has several taxes on one sum, and EN 16931 knows one"
    (tax,) = invoice.taxes
    if invoice.buyer.country not in PREFIXES:
        return f"{tax.name} of {invoice.buyer.country} is no value added tax of the European Union"
    if tax.base != "1":
        return f"{tax.name} is asked of a part of the price, and EN 16931 knows it of all of it"
    if tax.inclusive:
        return f"its prices have {tax.name} in them, and EN 16931 adds it"
    cents = Decimal(1).scaleb(-_DECIMALS_MAX)
    wanted = (_decimal(invoice.net) * Decimal(tax.rate) / 100).quantize(cents, ROUND_HALF_UP)
    if wanted != _decimal(tax.amount):
        told = f"{text(tax.amount)}, and EN 16931 makes it {wanted}"
        return f"its {tax.name} is rounded here to {told} {invoice.currency}"
    return None


def _of_amounts(invoice: Invoice) -> str | None:
    amounts = [invoice.total, invoice.net, invoice.tax, *(line.amount for line in invoice.lines)]
    if any(amount % 10 ** (MICRO_DIGITS - _DECIMALS_MAX) for amount in amounts):
        return f"amounts of {invoice.currency} have more than {_DECIMALS_MAX} decimals here"
    return None


def _model(invoice: Invoice) -> EN16931Invoice:
    from pycheval.model import EN16931Invoice, PaymentTerms, Tax
    from pycheval.type_codes import DocumentTypeCode

    assert invoice.number is not None
    assert invoice.issued_on is not None
    of_invoice = invoice.kind == "invoice"
    (tax,) = invoice.taxes
    rate = Decimal(tax.rate)
    net, tax_amount, total = (
        _money(amount, invoice.currency) for amount in (invoice.net, tax.amount, invoice.total)
    )
    return EN16931Invoice(
        _text(invoice.number),
        DocumentTypeCode.INVOICE if of_invoice else DocumentTypeCode.CREDIT_NOTE,
        date_of(invoice.issued_on),
        _party(invoice.issuer),
        _party(invoice.buyer),
        invoice.currency,
        line_items=[
            _line(place, line, rate, invoice) for place, line in enumerate(invoice.lines, 1)
        ],
        line_total_amount=net,
        tax_basis_total_amount=net,
        tax_total_amounts=[tax_amount],
        grand_total_amount=total,
        due_payable_amount=total,
        tax=[Tax(tax_amount, net, rate)],
        buyer_reference=_text(invoice.buyer.reference or "") or None,
        billing_period=_days(invoice.period),
        notes=_notes(invoice),
        # Of what is given back it is said instead that it is.
        payment_terms=PaymentTerms(due_date=date_of(invoice.due_on))
        if invoice.due_on is not None
        else PaymentTerms(description=_said("credited", invoice.locale)),
        preceding_invoices=[] if invoice.of is None else [(_text(invoice.of), None)],
    )


def _party(party: Party) -> TradeParty:
    from pycheval.model import PostalAddress, TradeParty

    lines = [_text(line) for line in party.lines]
    head, rest = lines[: _ADDRESS_LINES - 1], lines[_ADDRESS_LINES - 1 :]
    first, second, third = [*head, *[""] * (_ADDRESS_LINES - 1 - len(head)), ", ".join(rest)]
    address = PostalAddress(party.country, line_one=first, line_two=second, line_three=third)
    return TradeParty(
        _text(party.name),
        address,
        email=_text(party.email or "") or None,
        vat_id=eu_vat_id(party.tax_id),
    )


def _line(place: int, line: Line, rate: Decimal, invoice: Invoice) -> EN16931LineItem:
    from pycheval.model import EN16931LineItem, IncludedNote
    from pycheval.quantities import QuantityCode
    from pycheval.type_codes import TaxCategoryCode

    quantity, price = _priced(line)
    said = [_said("covered", invoice.locale)] if line.kind is LineKind.COVERED else []
    said += [] if line.rule is None else [_text(line.rule)]
    return EN16931LineItem(
        str(place),
        _text(line.description) or line.kind.value,
        _priced_in(price, invoice.currency),
        (quantity, QuantityCode.ONE),
        _money(line.amount, invoice.currency),
        rate,
        TaxCategoryCode.STANDARD_RATE,
        description=_text(line.unit) or None,
        note=IncludedNote("; ".join(said)) if said else None,
        billing_period=_days(line.period),
    )


def _priced(line: Line) -> tuple[Decimal, Decimal]:
    """A quantity and a price of one that come to what a line asks for.

    What was paid before costs nothing here; what has no one price, or is rounded another way, is
    one thing. A price is never below zero: then there are fewer than none.
    """
    quantity, amount = Decimal(line.quantity), _decimal(line.amount)
    if line.kind is LineKind.COVERED:
        return quantity, Decimal(0)
    if line.price is not None:
        price = Decimal(line.price)
        if price >= 0 and abs(price * quantity - amount) <= Decimal("0.005"):
            return quantity, price
    return (Decimal(-1) if amount < 0 else Decimal(1)), abs(amount)


def _notes(invoice: Invoice) -> list[IncludedNote]:
    from pycheval.model import IncludedNote

    return [IncludedNote(said) for line in invoice.note.splitlines() if (said := _text(line))]


def _days(period: tuple[int, int] | None) -> tuple[date, date] | None:
    return None if period is None else (date_of(period[0]), date_of(period[1]))


def _said(word: str, locale: str) -> str:
    """A word in a language there is, else in English."""
    language = locale.partition("-")[0]
    known = language if language in set(Language) else Language.ENGLISH.value
    return say(WORDS[word], Language(known))


def _text(written: str) -> str:
    """A line of text as XML can have it."""
    return _UNSAYABLE.sub("\ufffd", written).strip()


def _decimal(micros: int) -> Decimal:
    return Decimal(text(micros))


def _money(micros: int, currency: str) -> Money:
    from pycheval.money import Money

    return Money(_decimal(micros), currency)


def _priced_in(price: Decimal, currency: str) -> Money:
    from pycheval.money import Money

    return Money(price, currency)
