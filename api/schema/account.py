"""A tenant's account as clients see it: what is to be paid, its payments, and its statement.

Owns the types and how pages are read. What moves the account is `account_changes`'.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.documents.statement import reference_of
from api.faults import Fault
from api.operations.accounting import PAYMENT
from api.schema.amount import Amount
from api.schema.download import Download, statement_link
from api.schema.fields import computed
from api.schema.invoice import Invoice, invoice_by_id
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.range import DAYS_MAX, DAYS_MIN
from api.schema.scalars import Date, DateTime
from domain import statements
from domain.periods import date_of
from persistence import account_payments, journal
from persistence.account_payments import NEWEST, Figures, PaymentRow
from persistence.accounts import Method
from persistence.journal import OLDEST, Asked, Entered, Page
from persistence.tenants import TenantRecord

SCOPE = "billing:read"
PAGE_SIZE = 50
#: The last day that a statement may have.
LAST = date_of(DAYS_MAX).isoformat()

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
PaymentId = Annotated[strawberry.ID, strawberry.argument(description="The payment's id.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]
From = Annotated[
    Date | None,
    strawberry.argument(
        name="from",
        description="The first local day, 1970-01-01 at the earliest; default: the first of the "
        "month of `until`, at the latest of the present one.",
    ),
]
Until = Annotated[
    Date | None,
    strawberry.argument(description=f"The last local day, {LAST} at the latest; default: today."),
]


@strawberry.enum(description="How money came.")
class PaymentChannel(Enum):
    BANK_TRANSFER = strawberry.enum_value(Method.BANK_TRANSFER.value, description="Through a bank.")
    CARD = strawberry.enum_value(Method.CARD.value, description="By a card.")
    CASH = strawberry.enum_value(Method.CASH.value, description="In notes and coins.")
    OTHER = strawberry.enum_value(
        Method.OTHER.value, description="In another way, such as a provider's own."
    )


@strawberry.enum(description="What moved an account.")
class StatementEntryKind(Enum):
    INVOICE = strawberry.enum_value(
        statements.EntryKind.INVOICE.value, description="An invoice was issued: more is to be paid."
    )
    CREDIT_NOTE = strawberry.enum_value(
        statements.EntryKind.CREDIT_NOTE.value, description="Something was given back: less is."
    )
    PAYMENT = strawberry.enum_value(
        statements.EntryKind.PAYMENT.value, description="Money came in: less is."
    )
    REFUND = strawberry.enum_value(
        statements.EntryKind.REFUND.value, description="Credit was paid back: it is gone."
    )
    TAKEN_BACK = strawberry.enum_value(
        statements.EntryKind.TAKEN_BACK.value,
        description="A payment was taken back by whoever made it: more is.",
    )
    VOID = strawberry.enum_value(
        statements.EntryKind.VOID.value, description="An invoice became void: less is."
    )


@strawberry.type(description="What a payment pays of one invoice.")
class PaidInvoice:
    number: str = strawberry.field(description="The invoice's number.")
    amount: Amount = strawberry.field(description="What the payment pays of it now.")


@strawberry.type(description="Money that came in on a tenant's account.")
class AccountPayment:
    id: strawberry.ID = strawberry.field(description="Opaque; names the payment.")
    amount: Amount = strawberry.field(description="What came in.")
    used: Amount = strawberry.field(description="What of it pays invoices.")
    refunded: Amount = strawberry.field(description="What of it was paid back.")
    taken_back: Amount = strawberry.field(
        description="What of it was taken back by whoever made it."
    )
    credit: Amount = strawberry.field(description="What of it pays nothing yet.")
    method: PaymentChannel = strawberry.field(description="How it came.")
    reference: str | None = strawberry.field(
        description="What whoever paid it, a bank or a provider calls it; null: nothing."
    )
    provider: str | None = strawberry.field(
        description="Who collected it; null: an operator recorded it."
    )
    note: str = strawberry.field(description="A note for people; empty where there is none.")
    received_on: Date = strawberry.field(description="The local day on which it came.")
    created_at: DateTime = strawberry.field(description="When it was recorded.")
    row: strawberry.Private[PaymentRow]
    locale: strawberry.Private[str]

    @computed("The invoices that it pays, in the order in which it began to.")
    async def invoices(self, info: Info[Context, None]) -> list[PaidInvoice]:
        context = info.context

        async def load(keys: list[tuple[int, int]]) -> list[list[tuple[str, int]]]:
            return await account_payments.paid_by(context.figures, keys)

        name = (self.row.tenant_id, self.row.payment_id)
        found = await context.loader("invoices of payments", load).load(name)
        return [
            PaidInvoice(number=number, amount=Amount.of(paid, self.row.currency, self.locale))
            for number, paid in found
        ]

    @classmethod
    def from_row(cls, row: PaymentRow, locale: str) -> AccountPayment:
        def money(micros: int) -> Amount:
            return Amount.of(micros, row.currency, locale)

        return cls(
            row=row,
            locale=locale,
            id=strawberry.ID(ids.encode(PAYMENT, row.payment_id)),
            amount=money(row.amount),
            used=money(row.used),
            refunded=money(row.refunded),
            taken_back=money(row.taken_back),
            credit=money(row.credit),
            method=PaymentChannel(row.method.value),
            reference=row.reference or None,
            provider=row.provider,
            note=row.note,
            received_on=Date(row.received_on),
            created_at=DateTime(row.created_at),
        )


@strawberry.type(description="A payment and its place in the list.")
class AccountPaymentEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: AccountPayment = strawberry.field(description="The payment.")


@strawberry.type(description="A page of payments, newest first.")
class AccountPaymentConnection:
    edges: list[AccountPaymentEdge] = strawberry.field(
        description="The payments with their places."
    )
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The payments alone.")
    def nodes(self) -> list[AccountPayment]:
        return [edge.node for edge in self.edges]


@strawberry.type(description="What moved an account once.")
class StatementEntry:
    day: Date = strawberry.field(description="The local day on which it did.")
    at: DateTime = strawberry.field(description="The instant at which it did.")
    kind: StatementEntryKind = strawberry.field(description="What it was.")
    reference: str | None = strawberry.field(
        description="Of an invoice or a credit note its number; of a payment, also one that is "
        "refunded or taken back, what whoever paid it calls it: null where that is nothing."
    )
    amount: Amount = strawberry.field(
        description="What it adds to what is to be paid; below zero: what it takes from that."
    )
    balance: Amount = strawberry.field(
        description="What was to be paid after it; below zero: the tenant's credit."
    )
    payment: strawberry.ID | None = strawberry.field(
        description="The id of the payment that it is of; null: it is of a document."
    )
    entered: strawberry.Private[Entered]
    tenant: strawberry.Private[TenantRecord]

    @computed("The invoice that it is of, as it is now; null: it is of something else.")
    async def invoice(self, info: Info[Context, None]) -> Invoice | None:
        return await invoice_by_id(info.context, self.tenant, self.entered.invoice_id)

    @classmethod
    def of(cls, entered: Entered, tenant: TenantRecord) -> StatementEntry:
        currency, locale, payment = tenant.currency, tenant.locale, entered.payment_id
        return cls(
            entered=entered,
            tenant=tenant,
            day=Date(tenant.zone.date(entered.at)),
            at=DateTime(entered.at),
            kind=StatementEntryKind(entered.kind.value),
            reference=reference_of(entered) or None,
            amount=Amount.of(entered.moved, currency, locale),
            balance=Amount.of(entered.balance, currency, locale),
            payment=None if payment is None else strawberry.ID(ids.encode(PAYMENT, payment)),
        )


@strawberry.type(description="An entry and its place in the statement.")
class StatementEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: StatementEntry = strawberry.field(description="The entry.")


@strawberry.type(description="A page of a statement of account, oldest first.")
class StatementConnection:
    opening: Amount = strawberry.field(
        description="What was to be paid before its first day; below zero: credit."
    )
    closing: Amount = strawberry.field(
        description="What is to be paid at the end of its last day, as far as that has come."
    )
    edges: list[StatementEdge] = strawberry.field(description="The entries with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")
    days: strawberry.Private[tuple[int, int]]
    tenant: strawberry.Private[TenantRecord]

    @computed("The entries alone.")
    def nodes(self) -> list[StatementEntry]:
        return [edge.node for edge in self.edges]

    @computed("A link to all of it as CSV, which works for five minutes.")
    async def download(self, info: Info[Context, None]) -> Download:
        return await statement_link(info.context, self.tenant, *self.days)


@strawberry.type(description="What a tenant was asked for, has paid, and is left to pay.")
class Account:
    open: Amount = strawberry.field(description="What is left to pay of all its invoices.")
    overdue: Amount = strawberry.field(
        description="Of it, what is left to pay of invoices whose due day is over."
    )
    credit: Amount = strawberry.field(
        description="What was paid and pays nothing yet: the next invoice takes it."
    )
    balance: Amount = strawberry.field(
        description="`open` less `credit`; below zero: more was paid than is asked for."
    )
    tenant: strawberry.Private[TenantRecord]

    @computed("What moved it on local days of the tenant, oldest first, with the running balance.")
    async def statement(
        self,
        info: Info[Context, None],
        from_: From = None,
        until: Until = None,
        first: First = PAGE_SIZE,
        after: After = None,
    ) -> StatementConnection:
        context, tenant = info.context, self.tenant
        size, place = page_size(first), OLDEST if after is None else _entry(after)
        days = _days(tenant, context.now, from_, until)
        start, end = tenant.zone.day_bounds(days[0])[0], tenant.zone.day_bounds(days[1])[1]

        async def load(asked: list[Asked]) -> list[Page]:
            return await journal.pages(context.figures, asked, limit=size + 1)

        asked = Asked(tenant_id=tenant.tenant_id, start=start, end=end, after=place)
        found = await context.loader(("statement", size), load).load(asked)
        edges = [
            StatementEdge(
                cursor=cursor([each.at, each.entry_id]), node=StatementEntry.of(each, tenant)
            )
            for each in found.entries[:size]
        ]
        ends = PageInfo(
            has_next_page=len(found.entries) > size,
            end_cursor=edges[-1].cursor if edges else None,
        )
        return StatementConnection(
            opening=Amount.of(found.opening, tenant.currency, tenant.locale),
            closing=Amount.of(found.closing, tenant.currency, tenant.locale),
            edges=edges,
            page_info=ends,
            days=days,
            tenant=tenant,
        )

    @computed("What came in on it, newest first.")
    async def payments(
        self, info: Info[Context, None], first: First = PAGE_SIZE, after: After = None
    ) -> AccountPaymentConnection:
        context, tenant = info.context, self.tenant
        size, before = page_size(first), NEWEST if after is None else _payment(after)

        async def load(asked: list[tuple[int, int]]) -> list[list[PaymentRow]]:
            return await account_payments.pages(context.figures, asked, limit=size + 1)

        loader = context.loader(("payments on the account", size), load)
        found = await loader.load((tenant.tenant_id, before))
        edges = [
            AccountPaymentEdge(
                cursor=cursor([ids.encode(PAYMENT, row.payment_id)]),
                node=AccountPayment.from_row(row, tenant.locale),
            )
            for row in found[:size]
        ]
        ends = PageInfo(
            has_next_page=len(found) > size, end_cursor=edges[-1].cursor if edges else None
        )
        return AccountPaymentConnection(edges=edges, page_info=ends)

    @computed("A payment on it by its id; null: it has none of it.")
    async def payment(self, info: Info[Context, None], id: PaymentId) -> AccountPayment | None:
        context, tenant = info.context, self.tenant
        number = ids.decode(PAYMENT, str(id))
        if number is None:
            return None

        async def load(asked: list[tuple[int, int]]) -> list[PaymentRow | None]:
            return await account_payments.by_ids(context.figures, asked)

        loader = context.loader("payments on the account by id", load)
        found = await loader.load((tenant.tenant_id, number))
        return None if found is None else AccountPayment.from_row(found, tenant.locale)


@strawberry.type
class TenantAccount(Owner):
    """The field of a tenant that says what it is left to pay."""

    @computed("What it was asked for, has paid, and is left to pay, as of now.")
    async def account(self, info: Info[Context, None]) -> Account:
        context, tenant = info.context, self.record
        context.require(SCOPE)

        async def load(asked: list[tuple[int, int]]) -> list[Figures]:
            return await account_payments.figures(context.figures, asked)

        today = tenant.zone.date(context.now)
        found = await context.loader("accounts", load).load((tenant.tenant_id, today))

        def money(micros: int) -> Amount:
            return Amount.of(micros, tenant.currency, tenant.locale)

        return Account(
            open=money(found.open),
            overdue=money(found.overdue),
            credit=money(found.credit),
            balance=money(found.open - found.credit),
            tenant=tenant,
        )


def _days(tenant: TenantRecord, now: int, first: Date | None, last: Date | None) -> tuple[int, int]:
    """The first and the last local day that are asked for; BAD_USER_INPUT for none."""
    today = tenant.zone.date(now)
    last = Date(today) if last is None else last
    if first is None:
        first = Date(min(today, last) - date_of(min(today, last)).day + 1)
    if not DAYS_MIN <= first <= last <= DAYS_MAX:
        raise Fault(
            "BAD_USER_INPUT",
            f"`from` is a day of 1970 or later, `until` that day or a later one, {LAST} at the "
            "latest",
        )
    return first, last


def _entry(after: str) -> tuple[int, int]:
    at, entry_id = position(after, int, int)
    return at, entry_id


def _payment(after: str) -> int:
    (word,) = position(after, str)
    number = ids.decode(PAYMENT, word)
    if number is None:
        raise Fault("BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came")
    return number
