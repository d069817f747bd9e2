"""Receipts: what was paid, by whom, for what, as it was at that instant (RF-3, IN-4).

Owns what a receipt says and how its number is spelt. Numbers are given by `persistence.receipts`;
the words around the figures are their reader's. Amounts are micros of the receipt's currency,
`units` of the balance's unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.offers import Quote
from domain.plans import BalancePlan, Plan
from domain.taxes import TaxDue

#: The series of receipts for what was bought.
SERIES: Final = "R"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """Who was paid, as the plan names it."""

    name: str
    contact: str | None  #: None: the plan names nobody to ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    """The tenant, as it was called then."""

    key: str
    name: str
    country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptLine:
    """What was bought."""

    balance: str  #: its key
    name: str  #: as people see it
    unit: str  #: of the balance; its currency where it is of money
    of_money: bool
    units: int
    packs: int | None  #: None: any amount of money
    pack: int | None  #: what one adds
    price: str | None  #: a decimal of the currency, of a pack; None: there was no offer
    net: int  #: exact, without taxes
    amount: int  #: the same, rounded to what the currency shows


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxLine:
    """What one tax came to."""

    name: str
    rate: str  #: a decimal, in percent
    base: str  #: the part of the price that is taxed, as `11/12`; `1`: all of it
    inclusive: bool  #: whether the plan's price had it in it
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """All that a receipt says beside its number; lines and taxes come to its total."""

    seller: Seller
    buyer: Buyer
    lines: tuple[ReceiptLine, ...]
    taxes: tuple[TaxLine, ...]  #: empty: the buyer's country asks for none
    total: int
    currency: str
    paid_at: int
    zone: str  #: in whose days it is dated
    provider: str
    reference: str | None  #: the provider's own name of the payment
    expires_at: int | None  #: when what was bought ends; None: never

    @property
    def net(self) -> int:
        """What its lines come to."""
        return sum(line.amount for line in self.lines)

    @property
    def tax(self) -> int:
        """What its taxes come to."""
        return sum(tax.amount for tax in self.taxes)


def receipt(
    quote: Quote,
    plan: Plan,
    balance: BalancePlan,
    buyer: Buyer,
    *,
    paid_at: int,
    zone: str,
    provider: str,
    reference: str | None,
    expires_at: int | None,
) -> Receipt:
    """The receipt of a payment that collected what was quoted."""
    line = ReceiptLine(
        balance=balance.key,
        name=balance.name,
        unit=balance.unit,
        of_money=balance.kind == "money",
        units=quote.units,
        packs=quote.packs,
        pack=quote.pack,
        price=quote.price,
        net=quote.net,
        amount=quote.line,
    )
    return Receipt(
        seller=Seller(name=plan.name, contact=plan.support),
        buyer=buyer,
        lines=(line,),
        taxes=tuple(map(tax_line, quote.taxes)),
        total=quote.total,
        currency=quote.currency,
        paid_at=paid_at,
        zone=zone,
        provider=provider,
        reference=reference,
        expires_at=expires_at,
    )


def tax_line(due: TaxDue) -> TaxLine:
    """What a document keeps of a tax and what it came to."""
    tax = due.tax
    return TaxLine(
        name=tax.name, rate=tax.percent, base=tax.base, inclusive=tax.inclusive, amount=due.amount
    )


def number(series: str, year: int, place: int) -> str:
    """The number of a receipt, such as `R-2026-000001`."""
    return f"{series}-{year}-{place:06d}"
