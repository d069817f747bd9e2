"""Paying an invoice as clients see it: what is collected, where, and what became of it."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.operations import invoice_pay
from api.operations.invoice_pay import InvoicePay
from api.operations.purchase_create import found_again, welcome
from api.schema.amount import Amount
from api.schema.fields import computed, mutation
from api.schema.invoice import Invoice, invoice_by_id
from api.schema.owner import Owner
from api.schema.payload import Payload, attempt
from api.schema.purchase import (
    PREFIX,
    SCOPE,
    Payment,
    PurchaseStatus,
    page_of,
    payments_of,
    reason_of,
)
from api.schema.scalars import DateTime
from persistence import purchases
from persistence.tenants import TenantRecord


@strawberry.type(description="What is left to pay of an invoice, as it is collected.")
class InvoicePayment:
    id: strawberry.ID = strawberry.field(description="Opaque; names what is collected.")
    status: PurchaseStatus = strawberry.field(description="What became of it.")
    amount: Amount = strawberry.field(
        description="What is asked for: what was left to pay when somebody began to pay it."
    )
    created_at: DateTime = strawberry.field(description="When it began.")
    expires_at: DateTime = strawberry.field(description="Until when it may be paid.")
    record: strawberry.Private[purchases.Purchase]
    tenant: strawberry.Private[TenantRecord]

    @computed("The invoice, as it stands now.")
    async def invoice(self, info: Info[Context, None]) -> Invoice:
        found = await invoice_by_id(info.context, self.tenant, self.record.invoice_id)
        assert found is not None
        return found

    @computed("Each try to collect it, the first one first.")
    async def payments(self, info: Info[Context, None]) -> list[Payment]:
        found = await payments_of(info.context, self.record)
        return [Payment.from_record(each) for each in found]

    @computed(
        "Where the payer pays: an address, or a path of this server where the installation does "
        "not know its own. Null: it is paid or over, or the provider has not said yet: ask for it "
        "again a moment later."
    )
    async def pay_url(self, info: Info[Context, None]) -> str | None:
        return page_of(self.record, await payments_of(info.context, self.record))

    @computed("Why it is not paid, in words; null: nobody said, or it is paid.")
    async def reason(self, info: Info[Context, None]) -> str | None:
        return reason_of(self.record, await payments_of(info.context, self.record))

    @classmethod
    def from_record(cls, record: purchases.Purchase, tenant: TenantRecord) -> InvoicePayment:
        return cls(
            record=record,
            tenant=tenant,
            id=strawberry.ID(ids.encode(PREFIX, record.purchase_id)),
            status=PurchaseStatus(record.state.value),
            amount=Amount.of(record.total, record.currency, tenant.locale),
            created_at=DateTime(record.created_at),
            expires_at=DateTime(record.ends_at),
        )


@strawberry.type
class TenantInvoicePayments(Owner):
    """The field of a tenant that says where the payment of an invoice stands."""

    @computed("What `invoicePay` began, by its id; null: the tenant has none of it.")
    async def invoice_payment(
        self,
        info: Info[Context, None],
        id: Annotated[strawberry.ID, strawberry.argument(description="Its id.")],
    ) -> InvoicePayment | None:
        context = info.context
        context.require(SCOPE)
        number = ids.decode(PREFIX, str(id))
        if number is None:
            return None

        async def load(asked: list[tuple[int, int]]) -> list[purchases.Purchase | None]:
            async with context.door.tenant_tx(*{tenant_id for tenant_id, _ in asked}) as connection:
                return [await purchases.find(connection, *each) for each in asked]

        found = await context.loader("purchase", load).load((self.record.tenant_id, number))
        if found is None or found.kind is not purchases.PurchaseKind.INVOICE:
            return None
        return InvoicePayment.from_record(found, self.record)


@strawberry.input(description="An invoice that is paid at a provider's page.")
class InvoicePayInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    invoice: str = strawberry.field(description="The invoice's number, or its id.")
    return_url: str | None = strawberry.field(
        default=None,
        description="Where the payer goes on from the provider's page: a page of an origin that "
        "the installation names. null: nowhere.",
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this payment: sent again, it asks for nothing more."
    )


@strawberry.type(description="The answer of `invoicePay`.")
class InvoicePayPayload(Payload):
    payment: InvoicePayment | None = strawberry.field(
        description="What is collected, as it stands now; what somebody has begun to pay before, "
        "where that is open."
    )


@strawberry.type
class InvoicePayMutations:
    """The mutation that pays an invoice."""

    @mutation(
        "Pay what is left to pay of an invoice: whoever pays does so at `payUrl`, and the invoice "
        "is paid when that is. By tenants and operators with the scope `billing:write`. Of an "
        "invoice one page is open at a time: who asks again is given that. Once per "
        "`idempotencyKey`."
    )
    async def invoice_pay(
        self,
        info: Info[Context, None],
        input: Annotated[InvoicePayInput, strawberry.argument(description="What to do.")],
    ) -> InvoicePayPayload:
        context = info.context
        request = InvoicePay(
            tenant=input.tenant,
            invoice=input.invoice,
            return_url=input.return_url,
            idempotency_key=input.idempotency_key,
        )
        done, errors = await attempt(
            invoice_pay.run(
                context.door, context.catalogue, context.show, context.caller(), request,
                welcome(context.public_url, context.allowed_origins),
                payable=context.paying.page is not None, now=context.now,
            )
        )  # fmt: skip
        if done is None:
            return InvoicePayPayload(payment=None, user_errors=errors)
        tenant, purchase = done
        number = purchase.purchase_id
        await context.paying.soon(tenant.tenant_id, number)
        found = await found_again(context.door, tenant.tenant_id, number)
        return InvoicePayPayload(
            payment=InvoicePayment.from_record(found, tenant), user_errors=errors
        )
