"""Mutations of a tenant's account: payments, refunds, credit notes and voids. Owns no rule."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import (
    credit_note_create,
    invoice_void,
    payment_record,
    payment_refund,
    payment_take_back,
)
from api.operations.credit_note_create import CreditNoteCreate
from api.operations.invoice_void import InvoiceVoid
from api.operations.payment_record import PaymentRecord
from api.operations.payment_refund import PaymentRefund
from api.operations.payment_take_back import PaymentTakeBack
from api.schema.account import AccountPayment, PaymentChannel
from api.schema.amount import Amount
from api.schema.fields import mutation
from api.schema.invoice import CreditNote, Invoice
from api.schema.payload import Payload, attempt
from api.schema.scalars import Date, DateTime, Decimal
from domain.money import micros
from persistence import account_payments, invoices
from persistence.account_payments import PaymentRow
from persistence.actions import Action
from persistence.invoices import InvoiceRecord
from persistence.tenants import TenantRecord, find_by_keys

SCOPE = "billing:write"

Input = strawberry.argument(description="What to do.")
KEY = "A name of your own for this: sent again, it does nothing more."
REASON = "Why; people read it."


@strawberry.input(description="Money that came in on a tenant's account.")
class PaymentRecordInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    amount: Decimal = strawberry.field(
        description="What came in, no finer than its currency is paid in."
    )
    currency: str | None = strawberry.field(
        default=None, description="ISO 4217 code, the tenant's; default: that."
    )
    method: PaymentChannel = strawberry.field(description="How it came.")
    reference: str | None = strawberry.field(
        default=None, description="What whoever paid it or the bank calls it; default: nothing."
    )
    received_on: Date = strawberry.field(
        description="The tenant's local day on which it came, which is not to come."
    )
    invoices: list[str] = strawberry.field(
        default_factory=list,
        description="Numbers or ids of the invoices that it is for, in the order in which it pays "
        "them; what is beyond them pays the oldest, and is credit then.",
    )
    note: str | None = strawberry.field(
        default=None, description="A note for people; default: none."
    )
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="Credit of a tenant that is paid back to it.")
class PaymentRefundInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    amount: Decimal = strawberry.field(description="At most the credit that there is.")
    reason: str = strawberry.field(description=REASON)
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="A payment that was taken back by whoever made it.")
class PaymentTakeBackInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    payment: strawberry.ID = strawberry.field(description="The payment's id.")
    reason: str = strawberry.field(description=REASON)
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="What is given back of one line of an invoice.")
class CreditNoteLineInput:
    line: int = strawberry.field(description="The line's place, from 0.")
    amount: Decimal = strawberry.field(
        description="Before taxes that are added; at most what is left of the line. Of a line "
        "below zero it is below zero."
    )


@strawberry.input(description="What is given back of an issued invoice.")
class CreditNoteCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    invoice: str = strawberry.field(description="The invoice's number, or its id.")
    lines: list[CreditNoteLineInput] | None = strawberry.field(
        default=None, description="What of which lines; null: all that is left."
    )
    reason: str = strawberry.field(description="Why; it is printed on the credit note.")
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.input(description="An issued invoice that is to ask for nothing.")
class InvoiceVoidInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    invoice: str = strawberry.field(description="The invoice's number, or its id.")
    reason: str = strawberry.field(description=REASON)
    idempotency_key: str = strawberry.field(description=KEY)


@strawberry.type(description="The answer of `paymentRecord`.")
class PaymentRecordPayload(Payload):
    payment: AccountPayment | None = strawberry.field(
        description="The payment as it stands now; the earlier one where its `idempotencyKey` came "
        "before."
    )


@strawberry.type(description="What was paid back of a tenant's credit.")
class AccountRefund:
    amount: Amount = strawberry.field(description="How much.")
    reason: str = strawberry.field(description="Why.")
    created_at: DateTime = strawberry.field(description="When it was recorded.")


@strawberry.type(description="The answer of `paymentRefund`.")
class PaymentRefundPayload(Payload):
    refund: AccountRefund | None = strawberry.field(
        description="What was paid back; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type(description="The answer of `paymentTakeBack`.")
class PaymentTakeBackPayload(Payload):
    payment: AccountPayment | None = strawberry.field(description="The payment as it stands now.")


@strawberry.type(description="The answer of `creditNoteCreate`.")
class CreditNoteCreatePayload(Payload):
    credit_note: CreditNote | None = strawberry.field(
        description="The credit note; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type(description="The answer of `invoiceVoid`.")
class InvoiceVoidPayload(Payload):
    invoice: Invoice | None = strawberry.field(description="The invoice as it stands now.")


@strawberry.type
class AccountMutations:
    """What operators do to a tenant's account."""

    @mutation(
        "Record money that came in. It pays the invoices it names, then the oldest; what is beyond "
        "all of them is credit, which the next invoice takes. Once per `idempotencyKey`. Operators "
        "only."
    )
    async def payment_record(
        self, info: Info[Context, None], input: Annotated[PaymentRecordInput, Input]
    ) -> PaymentRecordPayload:
        context = _required(info)
        request = PaymentRecord(
            tenant=input.tenant,
            amount=micros(input.amount, signed=True),
            currency=input.currency,
            method=input.method.name.lower(),
            reference=input.reference or "",
            received_on=input.received_on,
            invoices=tuple(input.invoices),
            note=input.note or "",
            idempotency_key=input.idempotency_key,
        )
        door, catalogue, show = context.door, context.catalogue, context.show
        action, errors = await attempt(
            payment_record.run(door, catalogue, show, request, now=context.now)
        )
        found = None if action is None else await _payment(context, input.tenant, action)
        return PaymentRecordPayload(payment=found, user_errors=errors)

    @mutation(
        "Record that credit is paid back to a tenant, of its newest payments first. Once per "
        "`idempotencyKey`. Operators only."
    )
    async def payment_refund(
        self, info: Info[Context, None], input: Annotated[PaymentRefundInput, Input]
    ) -> PaymentRefundPayload:
        context = _required(info)
        request = PaymentRefund(
            tenant=input.tenant,
            amount=micros(input.amount, signed=True),
            reason=input.reason,
            idempotency_key=input.idempotency_key,
        )
        door, catalogue, show = context.door, context.catalogue, context.show
        action, errors = await attempt(
            payment_refund.run(door, catalogue, show, request, now=context.now)
        )
        found = None
        if action is not None:
            locale = (await _tenant(context, input.tenant)).locale
            body = action.body
            found = AccountRefund(
                amount=Amount.of(body["amount"], body["currency"], locale),
                reason=body["reason"],
                created_at=DateTime(action.at),
            )
        return PaymentRefundPayload(refund=found, user_errors=errors)

    @mutation(
        "Record that a payment was taken back by whoever made it: what it paid is to be paid "
        "again. Once per `idempotencyKey`. Operators only."
    )
    async def payment_take_back(
        self, info: Info[Context, None], input: Annotated[PaymentTakeBackInput, Input]
    ) -> PaymentTakeBackPayload:
        context = _required(info)
        request = PaymentTakeBack(
            tenant=input.tenant,
            payment=str(input.payment),
            reason=input.reason,
            idempotency_key=input.idempotency_key,
        )
        door, catalogue, show = context.door, context.catalogue, context.show
        action, errors = await attempt(
            payment_take_back.run(door, catalogue, show, request, now=context.now)
        )
        found = None if action is None else await _payment(context, input.tenant, action)
        return PaymentTakeBackPayload(payment=found, user_errors=errors)

    @mutation(
        "Give back what an issued invoice asked for, line by line, by a credit note with a number "
        "of its own. What was paid beyond the rest pays other invoices, and is credit then. Once "
        "per `idempotencyKey`. Operators only."
    )
    async def credit_note_create(
        self, info: Info[Context, None], input: Annotated[CreditNoteCreateInput, Input]
    ) -> CreditNoteCreatePayload:
        context, given = _required(info), input.lines
        request = CreditNoteCreate(
            tenant=input.tenant,
            invoice=input.invoice,
            lines=None
            if given is None
            else tuple((each.line, micros(each.amount, signed=True)) for each in given),
            reason=input.reason,
            idempotency_key=input.idempotency_key,
        )
        door, catalogue, show = context.door, context.catalogue, context.show
        action, errors = await attempt(
            credit_note_create.run(door, catalogue, show, request, now=context.now)
        )
        if action is None:
            return CreditNoteCreatePayload(credit_note=None, user_errors=errors)
        tenant, record = await _document(context, input.tenant, action.body["number"])
        return CreditNoteCreatePayload(
            credit_note=CreditNote.of(record, tenant), user_errors=errors
        )

    @mutation(
        "Make an issued invoice void while nothing of it is paid or given back: it keeps its "
        "number, and asks for nothing. Once per `idempotencyKey`. Operators only."
    )
    async def invoice_void(
        self, info: Info[Context, None], input: Annotated[InvoiceVoidInput, Input]
    ) -> InvoiceVoidPayload:
        context = _required(info)
        request = InvoiceVoid(
            tenant=input.tenant,
            invoice=input.invoice,
            reason=input.reason,
            idempotency_key=input.idempotency_key,
        )
        door, catalogue, show = context.door, context.catalogue, context.show
        action, errors = await attempt(
            invoice_void.run(door, catalogue, show, request, now=context.now)
        )
        if action is None:
            return InvoiceVoidPayload(invoice=None, user_errors=errors)
        tenant, record = await _document(context, input.tenant, action.body["invoice"])
        return InvoiceVoidPayload(invoice=Invoice.of(record, tenant), user_errors=errors)


def _required(info: Info[Context, None]) -> Context:
    """The context of an operator who may do this."""
    caller = info.context.caller()
    caller.require_operator()
    caller.require(SCOPE)
    return info.context


async def _tenant(context: Context, key: str) -> TenantRecord:
    """A tenant that something was done to: it is there."""
    return (await find_by_keys(context.door, [key]))[key]


async def _payment(context: Context, key: str, action: Action) -> AccountPayment:
    tenant = await _tenant(context, key)
    async with context.door.tenant_tx(tenant.tenant_id) as connection:
        found: PaymentRow | None = await account_payments.of_key(
            connection, tenant.tenant_id, action.body["payment"]
        )
    assert found is not None
    return AccountPayment.from_row(found, tenant.locale)


async def _document(context: Context, key: str, number: str) -> tuple[TenantRecord, InvoiceRecord]:
    tenant = await _tenant(context, key)
    async with context.door.tenant_tx(tenant.tenant_id) as connection:
        (record,) = await invoices.by_numbers(connection, tenant.tenant_id, [number])
    return tenant, record
