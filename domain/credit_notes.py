"""Credit notes: what an issued invoice asked for and is given back, line by line (IN-4).

Owns how much of a line may be given back and the taxes of a note. Does not own what becomes of
money that was paid already and which invoice may be void instead (allocations), nor the numbers of
notes. Amounts are micros of the invoice's currency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from domain.invoices import Invoice, Line, LineKind, rounding_of
from domain.money import micros, shown, text
from domain.problems import Problem
from domain.receipts import TaxLine, tax_line
from domain.taxes import Tax, taxed

#: What a part of a line is counted in: it is an amount, not a number of units.
PART: Final = "part"


def left_of(invoice: Invoice, notes: Sequence[Invoice]) -> tuple[int, ...]:
    """What each line of an invoice asks for that none of its notes has given back."""
    left = [line.amount for line in invoice.lines]
    for note in notes:
        for line in note.lines:
            if line.of is not None:
                left[line.of] -= line.amount
    return tuple(left)


def credit_note(
    invoice: Invoice,
    notes: Sequence[Invoice],
    given: Mapping[int, int] | None = None,
    *,
    reason: str,
) -> Invoice:
    """A draft that gives back `given`, amounts by line, of an issued invoice with these notes.

    Without amounts it gives back all that is left. A line below zero is given back below zero. The
    taxes are what the invoice's come to on all that is given back so far, without what earlier
    notes gave: however an invoice is given back, its taxes are given back once and wholly.
    """
    if invoice.kind != "invoice" or invoice.number is None:
        raise Problem("NOT_ISSUED", "only an issued invoice is given back by a credit note", "of")
    if any(note.of != invoice.number for note in notes):
        raise ValueError(f"not all of these are credit notes of {invoice.number}")
    left = left_of(invoice, notes)
    asked = dict(enumerate(left)) if given is None else given
    for place in asked:
        if not 0 <= place < len(left):
            message = f"{invoice.number} has no line {place}: its lines are 0 to {len(left) - 1}"
            raise Problem("NO_SUCH_LINE", message, "lines")
    lines = tuple(
        _line(invoice, notes, place, asked[place], left[place])
        for place in sorted(asked)
        if given is not None or asked[place]
    )
    amount = sum(line.amount for line in lines)
    if not lines or amount <= 0:
        code, message = "NOTHING_TO_GIVE", f"lines come to {text(amount)}: nothing to give back"
        raise Problem(code, message, "lines")
    if amount > sum(left):
        message = f"{text(amount)} is more than {text(sum(left))}, which is left of all lines"
        raise Problem("TOO_MUCH", message, "lines")
    before = sum(line.amount for note in notes for line in note.lines)
    taxes = _taxes(invoice, before, amount)
    net = amount - sum(each.amount for each in taxes if each.inclusive)
    tax = sum(each.amount for each in taxes)
    return replace(
        invoice,
        kind="credit_note",
        number=None,
        issued_on=None,
        due_on=None,
        lines=lines,
        taxes=taxes,
        net=net,
        tax=tax,
        total=net + tax,
        rounding=rounding_of(lines),
        of=invoice.number,
        note=reason,
    )


def _line(invoice: Invoice, notes: Sequence[Invoice], place: int, amount: int, left: int) -> Line:
    """The line that gives back an amount of another."""
    line = invoice.lines[place]
    field = f"lines[{place}]"
    if shown(amount, invoice.currency) != amount:
        message = f"{text(amount)} is finer than {invoice.currency} is asked for"
        raise Problem("TOO_FINE", message, field)
    if amount * left <= 0 or abs(amount) > abs(left):
        message = f"{text(amount)} of {line.description!r} is not within {text(left)}, what is left"
        raise Problem("TOO_MUCH", message, field)
    before = [each for note in notes for each in note.lines if each.of == place]
    if amount == line.amount:
        return replace(line, kind=LineKind.CREDIT, of=place)
    # The last part takes what rounding left, so that parts come to the exact amount together.
    exact = line.exact - sum(each.exact for each in before) if amount == left else amount
    return replace(
        line,
        kind=LineKind.CREDIT,
        quantity="1",
        unit=PART,
        price=text(amount),
        exact=exact,
        amount=amount,
        of=place,
    )


def _taxes(invoice: Invoice, before: int, amount: int) -> tuple[TaxLine, ...]:
    """What the invoice's taxes on `amount` come to beyond those on what was given back before."""
    rows = tuple(_row(invoice, each) for each in invoice.taxes)
    was = taxed(before, rows, invoice.currency)
    now = taxed(before + amount, rows, invoice.currency)
    return tuple(
        tax_line(replace(after, amount=after.amount - earlier.amount))
        for earlier, after in zip(was, now, strict=True)
    )


def _row(invoice: Invoice, line: TaxLine) -> Tax:
    """The row that a tax of an invoice was computed by."""
    numerator, _, denominator = line.base.partition("/")
    return Tax(
        country=invoice.buyer.country,
        name=line.name,
        rate=micros(line.rate),
        numerator=int(numerator),
        denominator=int(denominator or 1),
        inclusive=line.inclusive,
        valid_from=invoice.issued_on or 0,
    )
