"""What invoices and credit notes are made of, as clients see it: parties, lines, what paid them."""

from __future__ import annotations

from enum import Enum

import strawberry

from api import ids
from api.schema.amount import Amount
from api.schema.receipt import TaxLine
from api.schema.scalars import Date, Decimal
from domain import invoices
from domain.money import text
from domain.receipts import TaxLine as Tax
from persistence.invoice_lists import Paying

#: How ids of payments on the account begin.
PAYMENT = "pay"


@strawberry.enum(description="Why a line is there.")
class InvoiceLineKind(Enum):
    RECURRING = strawberry.enum_value(
        "recurring", description="A component of a subscription, asked for in advance."
    )
    SETUP = strawberry.enum_value("setup", description="A fee that is asked for once.")
    USAGE = strawberry.enum_value(
        "usage", description="What was used of a balance that is paid afterwards."
    )
    OVERAGE = strawberry.enum_value(
        "overage", description="What was used beyond the period's units, at the plan's price."
    )
    TOP_UP = strawberry.enum_value("top_up", description="What was bought and paid at once.")
    COVERED = strawberry.enum_value(
        "covered",
        description="Usage that an allowance or a top-up had paid before: nothing to pay.",
    )
    ADJUSTMENT = strawberry.enum_value(
        "adjustment",
        description="For a period that was invoiced before; it may be below zero.",
    )
    CREDIT = strawberry.enum_value("credit", description="What a credit note gives back.")
    OTHER = strawberry.enum_value(
        "other", description="What somebody wrote by hand; it may be below zero."
    )


@strawberry.type(description="Who asks or is asked, as it was called when it was issued.")
class Party:
    name: str = strawberry.field(description="Its name.")
    lines: list[str] = strawberry.field(description="The lines of its address.")
    country: str = strawberry.field(description="ISO 3166 code, two letters.")
    tax_id: str | None = strawberry.field(description="Its tax number; null: it named none.")
    email: str | None = strawberry.field(description="Where it is written to; null: nowhere.")
    key: str | None = strawberry.field(
        description="The tenant's key, or the issuer's; null: it has none."
    )
    reference: str | None = strawberry.field(
        description="What a buyer's accountants look for, such as a purchase order; null: nothing."
    )

    @classmethod
    def of(cls, party: invoices.Party) -> Party:
        """A party of a document."""
        return cls(
            name=party.name, lines=list(party.lines), country=party.country, tax_id=party.tax_id,
            email=party.email, key=party.key, reference=party.reference,
        )  # fmt: skip


@strawberry.type(description="A stretch of local days.")
class InvoicePeriod:
    from_: Date = strawberry.field(name="from", description="The first day.")
    until: Date = strawberry.field(description="The last day.")

    @classmethod
    def of(cls, days: tuple[int, int] | None) -> InvoicePeriod | None:
        """The first and the last day."""
        return None if days is None else cls(from_=Date(days[0]), until=Date(days[1]))


@strawberry.type(description="What one thing comes to, before the taxes that are added.")
class InvoiceLine:
    kind: InvoiceLineKind = strawberry.field(description="Why it is there.")
    description: str = strawberry.field(description="What it is, for people.")
    balance: str | None = strawberry.field(
        description="The key of the balance whose usage it is; null: it is of none."
    )
    category: str | None = strawberry.field(
        description="Of usage its category; null: it is of none."
    )
    market: str | None = strawberry.field(description="Of usage its market; null: it is of none.")
    rule: str | None = strawberry.field(
        description="Of usage the rule that priced it, `BOOK@VALID-FROM/ROW`; null: no book did."
    )
    quantity: Decimal = strawberry.field(description="How much.")
    unit: str = strawberry.field(description="Of what.")
    price: Decimal | None = strawberry.field(
        description="What one unit costs, in the document's currency; null: it has no one price."
    )
    exact: Decimal = strawberry.field(
        description="What it comes to with all its digits; of what is covered, what was paid "
        "before."
    )
    amount: Amount = strawberry.field(
        description="What is asked for: `exact`, rounded once to what the currency shows; nothing "
        "of what is covered."
    )
    period: InvoicePeriod | None = strawberry.field(
        description="The local days that it is for; null: it is for none."
    )
    of: int | None = strawberry.field(
        description="Of a credit note's line: which line of the invoice it gives back, from 0; "
        "null: it is an invoice's."
    )

    @classmethod
    def of_line(cls, line: invoices.Line, currency: str, locale: str) -> InvoiceLine:
        """A line of a document."""
        return cls(
            kind=InvoiceLineKind(line.kind.value), description=line.description,
            balance=line.balance, category=line.category, market=line.market, rule=line.rule,
            quantity=Decimal(line.quantity), unit=line.unit,
            price=None if line.price is None else Decimal(line.price),
            exact=Decimal(text(line.exact)), amount=Amount.of(line.amount, currency, locale),
            period=InvoicePeriod.of(line.period), of=line.of,
        )  # fmt: skip


@strawberry.type(description="What a payment on the account has paid of an invoice.")
class InvoiceAllocation:
    id: strawberry.ID = strawberry.field(description="The payment's id: `Account.payment` has it.")
    amount: Amount = strawberry.field(description="What it has paid of this invoice.")
    received_on: Date = strawberry.field(description="The local day on which it came.")

    @classmethod
    def of(cls, paying: Paying, currency: str, locale: str) -> InvoiceAllocation:
        """A payment in part or in whole."""
        return cls(
            id=strawberry.ID(ids.encode(PAYMENT, paying.payment_id)),
            amount=Amount.of(paying.amount, currency, locale), received_on=Date(paying.received_on),
        )  # fmt: skip


def tax_line(tax: Tax, currency: str, locale: str) -> TaxLine:
    """A tax of a document."""
    return TaxLine(
        name=tax.name, rate=Decimal(tax.rate), base=tax.base, inclusive=tax.inclusive,
        amount=Amount.of(tax.amount, currency, locale),
    )  # fmt: skip
