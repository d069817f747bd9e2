"""What was bought, as an invoice says it: a top-up or refill, taxed as it was quoted (IN-8).

Owns the one line of such an invoice. What is asked for was quoted when the purchase began and was
collected since: nothing is rounded or taxed anew, so invoice, receipt and payment come to the same.
Amounts are micros of the quote's currency.
"""

from __future__ import annotations

from domain.invoices import Invoice, Line, LineKind, Party, rounding_of
from domain.money import text
from domain.offers import Quote
from domain.plans import BalancePlan
from domain.receipts import tax_line


def bought(
    priced: Quote,
    balance: BalancePlan,
    *,
    issuer: Party,
    buyer: Party,
    locale: str,
    zone: str,
) -> Invoice:
    """The draft of the invoice of what was quoted and paid."""
    line = _line(priced, balance)
    return Invoice(
        kind="invoice",
        number=None,
        issuer=issuer,
        buyer=buyer,
        currency=priced.currency,
        locale=locale,
        zone=zone,
        issued_on=None,
        due_on=None,
        period=None,
        lines=(line,),
        taxes=tuple(map(tax_line, priced.taxes)),
        net=priced.line,
        tax=priced.tax,
        total=priced.total,
        rounding=rounding_of((line,)),
        of=None,
        note="",
    )


def _line(priced: Quote, balance: BalancePlan) -> Line:
    """The line, with whatever taxes prices have in them, as lines of invoices are."""
    held = sum(due.amount for due in priced.taxes if due.tax.inclusive)
    unit = balance.currency or balance.unit
    quantity, price = text(priced.units), None
    if priced.packs is not None and priced.pack is not None:
        quantity, price = str(priced.packs), priced.price
        unit = f"{text(priced.pack)} {unit}"
    return Line(
        kind=LineKind.TOP_UP,
        description=balance.name,
        balance=balance.key,
        category=None,
        market=None,
        rule=None,
        quantity=quantity,
        unit=unit,
        price=price,
        exact=priced.net + held,
        amount=priced.line + held,
        period=None,
    )
