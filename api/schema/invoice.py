"""Invoices and credit notes as clients see them: what they say, and what became of them since.

Owns the two types and how one is found by its id. Their parts are `invoice_parts`', lists
`invoice_list`'s, and what changes them the mutations'.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Annotated, Any, Self

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.limits import INVOICE_LINES_MAX
from api.schema.amount import Amount
from api.schema.download import INVOICE as PREFIX
from api.schema.download import Download, FileFormat, invoice_link
from api.schema.fields import computed
from api.schema.invoice_parts import InvoiceAllocation, InvoiceLine, InvoicePeriod, Party, tax_line
from api.schema.node import Node
from api.schema.receipt import TaxLine
from api.schema.scalars import Date, DateTime
from domain.invoice_status import changes_at, status
from domain.invoices import Line
from domain.money import DISPLAY_DIGITS
from domain.periods import month_name
from persistence import invoice_lists, invoices
from persistence.invoice_lists import Paying
from persistence.invoices import InvoiceRecord, Kind
from persistence.tenants import TenantRecord, find_by_ids

SCOPE = "billing:read"

LINES = 200
#: Decimals that EN 16931 has.
EN_DIGITS = 2
#: More lines than any document has: a place that PostgreSQL can count to.
PLACE_MAX = 1_000_000_000

Format = Annotated[FileFormat, strawberry.argument(description="What it is downloaded as.")]
FirstLines = Annotated[
    int, strawberry.argument(description=f"How many to give, 1 to {INVOICE_LINES_MAX}.")
]
AfterLines = Annotated[
    int, strawberry.argument(description="How many to leave out before them; default: none.")
]


@strawberry.enum(
    description="What an invoice is called, by its tenant's clock; the first that holds, of a "
    "draft, one that is void, one that is paid, and the rest."
)
class InvoiceStatus(Enum):
    DRAFT = strawberry.enum_value(
        "draft", description="It was not issued: it has no number, and asks for nothing."
    )
    POSTED = strawberry.enum_value("posted", description="It was issued; its due day is to come.")
    UNPAID = strawberry.enum_value(
        "unpaid", description="It is due today, and something is left to pay."
    )
    OVERDUE = strawberry.enum_value(
        "overdue", description="Its due day is over, and something is left to pay."
    )
    PAID = strawberry.enum_value("paid", description="Nothing is left to pay.")
    VOID = strawberry.enum_value(
        "void", description="It asks for nothing any more; it keeps its number."
    )


@strawberry.enum(description="How an invoice came about.")
class InvoiceOrigin(Enum):
    PERIOD = strawberry.enum_value(invoices.Origin.PERIOD.value, description="A period was closed.")
    START = strawberry.enum_value(invoices.Origin.START.value, description="A subscription began.")
    TOP_UP = strawberry.enum_value(
        invoices.Origin.TOP_UP.value, description="A top-up or a refill was paid."
    )
    BY_HAND = strawberry.enum_value(
        invoices.Origin.BY_HAND.value, description="An operator wrote its lines."
    )


@strawberry.type
class Document(Node):
    """What invoices and credit notes have in common."""

    issuer: Party = strawberry.field(description="Who asks.")
    buyer: Party = strawberry.field(description="Who is asked.")
    currency: str = strawberry.field(description="ISO 4217 code of all its amounts.")
    timezone: str = strawberry.field(description="IANA zone in whose days it is dated.")
    issued_on: Date | None = strawberry.field(
        description="The local day of its issue; null: it was not issued."
    )
    issued_at: DateTime | None = strawberry.field(
        description="The instant of its issue; null: it was not issued."
    )
    created_at: DateTime = strawberry.field(description="When it was drawn up.")
    taxes: list[TaxLine] = strawberry.field(
        description="The taxes of the buyer's country; empty: it asks for none."
    )
    net: Amount = strawberry.field(description="What the lines come to, without any tax.")
    tax: Amount = strawberry.field(description="What the taxes come to.")
    total: Amount = strawberry.field(description="Net and tax.")
    rounding: Amount = strawberry.field(
        description="What the lines' rounded amounts are beyond their exact ones."
    )
    note: str | None = strawberry.field(description="What is printed at its end; null: nothing.")
    kept: strawberry.Private[InvoiceRecord]
    tenant: strawberry.Private[TenantRecord]

    @computed("What it is for, as far as it is asked for: `lineCount` says how much there is.")
    async def lines(
        self, info: Info[Context, None], first: FirstLines = LINES, after: AfterLines = 0
    ) -> list[InvoiceLine]:
        if not 1 <= first <= INVOICE_LINES_MAX:
            message = f"`first` is {first}: write 1 to {INVOICE_LINES_MAX}"
            raise Fault("BAD_USER_INPUT", message)
        if not 0 <= after <= PLACE_MAX:
            raise Fault("BAD_USER_INPUT", f"`after` is {after}: write 0 to {PLACE_MAX}")
        found = await _lines(info.context, self.kept, after, after + first - 1)
        currency, locale = self.kept.invoice.currency, self.tenant.locale
        return [InvoiceLine.of_line(line, currency, locale) for line in found]

    @computed("How many lines it has.")
    async def line_count(self, info: Info[Context, None]) -> int:
        context = info.context

        async def load(keys: list[tuple[int, int]]) -> list[int]:
            return await invoice_lists.line_counts(context.figures, keys)

        name = (self.kept.tenant_id, self.kept.invoice_id)
        return await context.loader("line counts", load).load(name)

    @computed(
        "A link to its file, which works for five minutes; null: it has none of this form. The "
        "file says what was issued, and is the same bytes each time."
    )
    async def download(
        self, info: Info[Context, None], format: Format = FileFormat.PDF
    ) -> Download | None:
        context, kept = info.context, self.kept
        if format is FileFormat.XML and DISPLAY_DIGITS[kept.invoice.currency] > EN_DIGITS:
            # Its total may be one that EN 16931 can say, and one of its lines is not.
            lines = await _lines(context, kept, 0, PLACE_MAX)
            kept = replace(kept, invoice=replace(kept.invoice, lines=lines))
        return await invoice_link(context, kept, format)

    @classmethod
    def _of(cls, kept: InvoiceRecord, tenant: TenantRecord, **more: Any) -> Self:
        says, locale = kept.invoice, tenant.locale

        def money(micros: int) -> Amount:
            return Amount.of(micros, says.currency, locale)

        return cls(
            kept=kept,
            tenant=tenant,
            id=strawberry.ID(ids.encode(PREFIX, kept.invoice_id)),
            issuer=Party.of(says.issuer),
            buyer=Party.of(says.buyer),
            currency=says.currency,
            timezone=says.zone,
            issued_on=_day(says.issued_on),
            issued_at=_instant(kept.issued_at),
            created_at=DateTime(kept.created_at),
            taxes=[tax_line(tax, says.currency, locale) for tax in says.taxes],
            net=money(says.net),
            tax=money(says.tax),
            total=money(says.total),
            rounding=money(says.rounding),
            note=says.note or None,
            **more,
        )


@strawberry.type(
    description="What a tenant is asked for. What it says never changes once it is issued; what is "
    "paid of it and given back stands beside."
)
class Invoice(Document):
    number: str | None = strawberry.field(
        description="Its number, such as `INV-2026-000001`: without gaps in a local year of its "
        "issuer's series. Null: a draft."
    )
    origin: InvoiceOrigin = strawberry.field(description="How it came about.")
    due_on: Date | None = strawberry.field(
        description="The local day on which it is due; null: it was not issued."
    )
    period: InvoicePeriod | None = strawberry.field(
        description="The local days of the closed period it is of; null: it is of none."
    )
    month: str | None = strawberry.field(
        description="The closed period it is of, such as `2026-11`; null: it is of none."
    )
    credited: Amount = strawberry.field(description="What credit notes have given back of it.")
    paid: Amount = strawberry.field(description="What payments have paid of it.")
    balance: Amount = strawberry.field(
        description="The balance due: what is left to pay. Nothing of one that is void."
    )
    voided_at: DateTime | None = strawberry.field(
        description="When it became void; null: it is not."
    )

    @computed("What it is called as of `asOf`, by the tenant's clock.")
    def status(self, info: Info[Context, None]) -> InvoiceStatus:
        kept = self.kept
        void = kept.voided_at is not None
        called = status(kept.invoice, kept.balance, self.tenant.zone, info.context.now, void=void)
        return InvoiceStatus(called.value)

    @computed("The instant that `status` is of.")
    def as_of(self, info: Info[Context, None]) -> DateTime:
        return DateTime(info.context.now)

    @computed(
        "When `status` is next another one though nobody does anything; null: it stays as it is."
    )
    def status_changes_at(self, info: Info[Context, None]) -> DateTime | None:
        kept, now = self.kept, info.context.now
        void = kept.voided_at is not None
        return _instant(changes_at(kept.invoice, kept.balance, self.tenant.zone, now, void=void))

    @computed("What has paid of it, in the order in which it came.")
    async def payments(self, info: Info[Context, None]) -> list[InvoiceAllocation]:
        context = info.context

        async def load(keys: list[tuple[int, int]]) -> list[list[Paying]]:
            return await invoice_lists.payments_of(context.figures, keys)

        kept = self.kept
        name = (kept.tenant_id, kept.invoice_id)
        found = await context.loader("payments of invoices", load).load(name)
        locale = self.tenant.locale
        return [InvoiceAllocation.of(each, kept.invoice.currency, locale) for each in found]

    @computed("What was given back of it, in the order in which it was.")
    async def credit_notes(self, info: Info[Context, None]) -> list[CreditNote]:
        context = info.context

        async def load(keys: list[tuple[int, int]]) -> list[list[InvoiceRecord]]:
            return await invoice_lists.notes_of(context.figures, keys)

        name = (self.kept.tenant_id, self.kept.invoice_id)
        found = await context.loader("credit notes", load).load(name)
        return [CreditNote.of(note, self.tenant) for note in found]

    @classmethod
    def of(cls, kept: InvoiceRecord, tenant: TenantRecord) -> Invoice:
        """An invoice of a tenant."""
        says, locale = kept.invoice, tenant.locale
        return cls._of(
            kept,
            tenant,
            number=says.number,
            origin=InvoiceOrigin(kept.origin.value),
            due_on=_day(says.due_on),
            period=InvoicePeriod.of(says.period),
            month=None if kept.period is None else month_name(kept.period),
            credited=Amount.of(kept.credited, says.currency, locale),
            paid=Amount.of(kept.paid, says.currency, locale),
            balance=Amount.of(kept.balance, says.currency, locale),
            voided_at=_instant(kept.voided_at),
        )


@strawberry.type(
    description="What is given back of an invoice, in a series of its own. Amounts are above zero: "
    "they are taken off what is left to pay, or become credit."
)
class CreditNote(Document):
    number: str = strawberry.field(
        description="Its number, such as `CN-2026-000001`: without gaps in a local year of its "
        "issuer's series."
    )
    invoice_number: str = strawberry.field(description="The number of its invoice.")

    @computed("Its invoice, as it is now.")
    async def invoice(self, info: Info[Context, None]) -> Invoice | None:
        return await invoice_by_id(info.context, self.tenant, self.kept.of_id)

    @classmethod
    def of(cls, kept: InvoiceRecord, tenant: TenantRecord) -> CreditNote:
        """A credit note of a tenant."""
        number = kept.invoice.of or ""
        return cls._of(kept, tenant, number=kept.number, invoice_number=number)


async def invoice_by_id(
    context: Context, tenant: TenantRecord, invoice_id: int | None
) -> Invoice | None:
    """An invoice of a tenant by its number in the database; None: there is none."""
    if invoice_id is None:
        return None
    kept = await _found(context, tenant.tenant_id, invoice_id)
    return None if kept is None or kept.kind is not Kind.INVOICE else Invoice.of(kept, tenant)


async def document_by_id(context: Context, invoice_id: int) -> Invoice | CreditNote | None:
    """What has this number in the database, as far as the caller may see it."""
    caller = context.caller()
    caller.require(SCOPE)
    tenant_id = caller.tenant_id
    if tenant_id is None:
        tenant_id = await invoice_lists.whose(context.door, invoice_id)
        if tenant_id is None:
            return None
    kept = await _found(context, tenant_id, invoice_id)
    if kept is None or not (kept.number or caller.is_operator):
        return None
    tenant = (await find_by_ids(context.door, [tenant_id]))[tenant_id]
    of = Invoice.of if kept.kind is Kind.INVOICE else CreditNote.of
    return of(kept, tenant)


async def _found(context: Context, tenant_id: int, invoice_id: int) -> InvoiceRecord | None:
    async def load(keys: list[tuple[int, int]]) -> list[InvoiceRecord | None]:
        return await invoice_lists.by_ids(context.figures, keys)

    return await context.loader("invoices by id", load).load((tenant_id, invoice_id))


async def _lines(context: Context, kept: InvoiceRecord, first: int, last: int) -> tuple[Line, ...]:
    async def load(keys: list[tuple[int, int]]) -> list[tuple[Line, ...]]:
        return await invoice_lists.lines_of(context.figures, keys, first, last)

    loader = context.loader(("lines of documents", first, last), load)
    return await loader.load((kept.tenant_id, kept.invoice_id))


def _day(day: int | None) -> Date | None:
    return None if day is None else Date(day)


def _instant(at: int | None) -> DateTime | None:
    return None if at is None else DateTime(at)
