"""Receipts as clients see them: what was paid, as it was then, and the page that is printed."""

from __future__ import annotations

import strawberry
from strawberry.types import Info

from api.context import Context
from api.links import Link, expiry, path_of
from api.schema.amount import Amount
from api.schema.fields import computed
from api.schema.scalars import DateTime, Decimal
from domain import receipts
from persistence.receipts import Issued
from persistence.tenants import TenantRecord


@strawberry.type(description="What a receipt is for.")
class ReceiptLine:
    balance: str = strawberry.field(description="The balance's key.")
    name: str = strawberry.field(description="The balance's name, as people see it.")
    units: Amount = strawberry.field(description="What was bought, in the balance's unit.")
    packs: int | None = strawberry.field(
        description="How many packs that is; null where any amount of money is sold."
    )
    pack: Amount | None = strawberry.field(
        description="What one pack adds; null: the plan has no offer."
    )
    price: Decimal | None = strawberry.field(
        description="What one pack costs, as the plan says it; null: the plan has no offer."
    )
    exact: Amount = strawberry.field(description="What it costs before tax, exactly.")
    amount: Amount = strawberry.field(
        description="The same, rounded once to what the currency shows: what is asked for."
    )


@strawberry.type(description="A tax on the lines of a receipt.")
class TaxLine:
    name: str = strawberry.field(description="Its name, as people know it.")
    rate: Decimal = strawberry.field(description="In percent of `base`.")
    base: str = strawberry.field(
        description="The part of the price that is taxed, such as `11/12`; `1`: all of it."
    )
    inclusive: bool = strawberry.field(description="Whether the plan's price has it in it.")
    amount: Amount = strawberry.field(
        description="What it comes to, rounded once to what the currency shows."
    )


@strawberry.type(
    description="What was paid, as it was then: it never changes. Lines and taxes come to `total`."
)
class Receipt:
    number: str = strawberry.field(
        description="Its number, such as `R-2026-000001`: without gaps in a local year, of the "
        "whole installation."
    )
    issued_at: DateTime = strawberry.field(description="When it was issued.")
    paid_at: DateTime = strawberry.field(description="When the payment was known to be paid.")
    seller: str = strawberry.field(description="Who was paid: the name of the plan.")
    seller_contact: str | None = strawberry.field(
        description="Whom the plan names to be asked; null: nobody."
    )
    buyer: str = strawberry.field(description="The tenant's name.")
    country: str = strawberry.field(description="The tenant's country, ISO 3166.")
    lines: list[ReceiptLine] = strawberry.field(description="What was bought.")
    taxes: list[TaxLine] = strawberry.field(
        description="The taxes of the tenant's country; empty: it asks for none."
    )
    net: Amount = strawberry.field(description="What the lines come to.")
    tax: Amount = strawberry.field(description="What the taxes come to.")
    total: Amount = strawberry.field(description="What was paid.")
    provider: str = strawberry.field(description="Who collected it.")
    reference: str | None = strawberry.field(
        description="The provider's own name of the payment; null: it gave none."
    )
    expires_at: DateTime | None = strawberry.field(
        description="From when on what was bought no longer pays; null: never."
    )
    taken_back_at: DateTime | None = strawberry.field(
        description="When its payment was taken back, and with it what it had added; null: it was "
        "not. The receipt stays as it was."
    )
    issued: strawberry.Private[Issued]

    @computed(
        "An address under which it is a page to be printed, for five minutes and for whoever has "
        "it, in the tenant's language if that is `en`, `id` or `es`: absolute where the "
        "installation knows its own, otherwise a path of this server."
    )
    def download_url(self, info: Info[Context, None]) -> str:
        context, issued = info.context, self.issued
        link = Link(
            object="receipt", of=issued.payment_key, tenant_id=issued.tenant_id, since=0, until=0,
            format="html", name=f"{issued.number}.html", expires_at=expiry(context.now),
        )  # fmt: skip
        return f"{context.public_url}{path_of(context.signing, link)}"

    @classmethod
    def from_record(cls, issued: Issued, tenant: TenantRecord) -> Receipt:
        of, locale = issued.receipt, tenant.locale

        def money(micros: int) -> Amount:
            return Amount.of(micros, of.currency, locale)

        return cls(
            issued=issued,
            taken_back_at=None if issued.taken_back_at is None else DateTime(issued.taken_back_at),
            number=issued.number,
            issued_at=DateTime(issued.issued_at),
            paid_at=DateTime(of.paid_at),
            seller=of.seller.name,
            seller_contact=of.seller.contact,
            buyer=of.buyer.name,
            country=of.buyer.country,
            lines=[_line(line, of.currency, locale) for line in of.lines],
            taxes=[
                TaxLine(
                    name=tax.name, rate=Decimal(tax.rate), base=tax.base, inclusive=tax.inclusive,
                    amount=money(tax.amount),
                )
                for tax in of.taxes
            ],
            net=money(of.net),
            tax=money(of.tax),
            total=money(of.total),
            provider=of.provider,
            reference=of.reference,
            expires_at=None if of.expires_at is None else DateTime(of.expires_at),
        )  # fmt: skip


def _line(line: receipts.ReceiptLine, currency: str, locale: str) -> ReceiptLine:
    unit = line.unit if line.of_money else None
    return ReceiptLine(
        balance=line.balance,
        name=line.name,
        units=Amount.of(line.units, unit, locale),
        packs=line.packs,
        pack=None if line.pack is None else Amount.of(line.pack, unit, locale),
        price=None if line.price is None else Decimal(line.price),
        exact=Amount.of(line.net, currency, locale),
        amount=Amount.of(line.amount, currency, locale),
    )
