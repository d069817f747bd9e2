"""Purchases as clients see them: what was asked for, each try to collect it, and its receipt."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.operations import purchase_create
from api.operations.purchase_create import PurchaseCreate, found_again, welcome
from api.schema.amount import Amount
from api.schema.fields import computed, mutation
from api.schema.invoice import Invoice, invoice_by_id
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.payload import Payload, attempt
from api.schema.receipt import Receipt
from api.schema.scalars import DateTime, Decimal
from api.schema.top_up import TopUp
from domain.money import micros
from persistence import actions, purchases, receipts
from persistence.actions import Action
from persistence.purchases import PaymentState, PurchaseState, credit_key
from persistence.receipts import Issued
from persistence.tenants import TenantRecord

SCOPE = "billing:read"
PREFIX = "pur"
PAGE_SIZE = 50
#: Payments that were paid, whatever became of that.
PAID = frozenset({PaymentState.PAID, PaymentState.TAKEN_BACK})

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]


@strawberry.enum(description="Who wanted a purchase.")
class PurchaseKind(Enum):
    BOUGHT = strawberry.enum_value(
        purchases.PurchaseKind.BOUGHT.value, description="Somebody, by `purchaseCreate`."
    )
    REFILL = strawberry.enum_value(
        purchases.PurchaseKind.REFILL.value, description="The balance's refill policy."
    )


@strawberry.enum(description="What became of a purchase.")
class PurchaseStatus(Enum):
    OPEN = strawberry.enum_value(PurchaseState.OPEN.value, description="It is not paid yet.")
    PAID = strawberry.enum_value(
        PurchaseState.PAID.value, description="It is paid, and was added to the balance."
    )
    FAILED = strawberry.enum_value(
        PurchaseState.FAILED.value, description="The payment was declined, or is not tried again."
    )
    EXPIRED = strawberry.enum_value(PurchaseState.EXPIRED.value, description="Nobody paid in time.")
    TAKEN_BACK = strawberry.enum_value(
        PurchaseState.TAKEN_BACK.value,
        description="It was paid, and the payment was taken back since; so was what it added.",
    )


@strawberry.enum(description="What is known of a payment.")
class PaymentStatus(Enum):
    WAITING = strawberry.enum_value(
        PaymentState.WAITING.value, description="The provider was not asked yet."
    )
    ASKED = strawberry.enum_value(
        PaymentState.ASKED.value, description="The provider was asked; the outcome is not known."
    )
    PENDING = strawberry.enum_value(
        PaymentState.PENDING.value, description="The provider waits for the payer or a bank."
    )
    PAID = strawberry.enum_value(PaymentState.PAID.value, description="It is paid.")
    DECLINED = strawberry.enum_value(PaymentState.DECLINED.value, description="It was declined.")
    EXPIRED = strawberry.enum_value(PaymentState.EXPIRED.value, description="It was not paid.")
    TAKEN_BACK = strawberry.enum_value(
        PaymentState.TAKEN_BACK.value, description="It was paid, and taken back since."
    )


Status = Annotated[
    PurchaseStatus | None, strawberry.argument(description="Only those; default: all.")
]


@strawberry.type(description="One try to collect what a purchase costs.")
class Payment:
    key: str = strawberry.field(description="The key that the provider knows it by.")
    number: int = strawberry.field(description="Which try it is; 1 is the first.")
    status: PaymentStatus = strawberry.field(description="What is known of it.")
    provider: str | None = strawberry.field(
        description="Who collects it; null: nobody was asked yet."
    )
    reference: str | None = strawberry.field(
        description="The provider's own name of it; null: it gave none."
    )
    reason: str | None = strawberry.field(description="Why it is not paid; null: nobody said.")
    due_at: DateTime = strawberry.field(description="When it is tried.")
    asked_at: DateTime | None = strawberry.field(
        description="When the provider was asked; null: not yet."
    )
    ended_at: DateTime | None = strawberry.field(description="When it ended; null: not yet.")

    @classmethod
    def from_record(cls, payment: purchases.Payment) -> Payment:
        return cls(
            key=payment.payment_key,
            number=payment.number,
            status=PaymentStatus(payment.state.value),
            provider=payment.provider or None,
            reference=payment.reference,
            reason=payment.reason or None,
            due_at=DateTime(payment.due_at),
            asked_at=_instant(payment.asked_at),
            ended_at=_instant(payment.ended_at),
        )


@strawberry.type(description="A top-up that a tenant pays for.")
class Purchase:
    id: strawberry.ID = strawberry.field(description="Opaque; names the purchase.")
    kind: PurchaseKind = strawberry.field(description="Who wanted it.")
    status: PurchaseStatus = strawberry.field(description="What became of it.")
    balance: str = strawberry.field(description="The key of the balance it is for.")
    amount: Amount = strawberry.field(description="What it adds to the balance.")
    net: Amount = strawberry.field(description="What it costs before tax, exactly.")
    tax: Amount = strawberry.field(description="The taxes of the tenant's country.")
    total: Amount = strawberry.field(description="What is asked for.")
    created_at: DateTime = strawberry.field(description="When it began.")
    expires_at: DateTime = strawberry.field(description="Until when its first payment is open.")
    record: strawberry.Private[purchases.Purchase]
    tenant: strawberry.Private[TenantRecord]

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

    @computed("When it was known to be paid; null: it was not.")
    async def paid_at(self, info: Info[Context, None]) -> DateTime | None:
        credited = await self._credited(info.context)
        return None if credited is None else DateTime(credited.at)

    @computed("What it added to the balance; null: it is not paid.")
    async def top_up(self, info: Info[Context, None]) -> TopUp | None:
        credited = await self._credited(info.context)
        return None if credited is None else TopUp.from_record(self.tenant, credited)

    @computed("Its invoice, which was paid as it was issued; null: it is not paid.")
    async def invoice(self, info: Info[Context, None]) -> Invoice | None:
        credited = await self._credited(info.context)
        issued = {} if credited is None else credited.body.get("issued", {})
        return await invoice_by_id(info.context, self.tenant, issued.get("invoice_id"))

    @computed("Its receipt; null: it is not paid.")
    async def receipt(self, info: Info[Context, None]) -> Receipt | None:
        context, payment = info.context, await self._paid(info.context)
        if payment is None:
            return None

        async def load(keys: list[tuple[int, str]]) -> list[Issued | None]:
            return await receipts.of_payments(context.door, keys)

        name = (payment.tenant_id, payment.payment_key)
        issued = await context.loader("receipts", load).load(name)
        return None if issued is None else Receipt.from_record(issued, self.tenant)

    async def _paid(self, context: Context) -> purchases.Payment | None:
        """The payment that was paid, if one was."""
        found = [each for each in await payments_of(context, self.record) if each.state in PAID]
        return found[0] if found else None

    async def _credited(self, context: Context) -> Action | None:
        """What was done of its payment."""
        payment = await self._paid(context)
        if payment is None:
            return None

        async def load(keys: list[tuple[int, str]]) -> list[Action | None]:
            return await actions.of_keys(context.door, keys)

        name = (payment.tenant_id, credit_key(payment.payment_key))
        return await context.loader("credits", load).load(name)

    @classmethod
    def from_record(cls, record: purchases.Purchase, tenant: TenantRecord) -> Purchase:
        locale = tenant.locale

        def money(micros: int) -> Amount:
            return Amount.of(micros, record.currency, locale)

        return cls(
            record=record,
            tenant=tenant,
            id=strawberry.ID(ids.encode(PREFIX, record.purchase_id)),
            kind=PurchaseKind(record.kind.value),
            status=PurchaseStatus(record.state.value),
            balance=record.balance,
            amount=Amount.of(record.amount, record.unit_currency, locale),
            net=money(record.net),
            tax=money(record.tax),
            total=money(record.total),
            created_at=DateTime(record.created_at),
            expires_at=DateTime(record.ends_at),
        )


async def payments_of(context: Context, record: purchases.Purchase) -> list[purchases.Payment]:
    """Each try to collect a purchase, the first one first."""

    async def load(names: list[tuple[int, int]]) -> list[list[purchases.Payment]]:
        found = await purchases.payments_of(context.door, names)
        return [found[name] for name in names]

    name = (record.tenant_id, record.purchase_id)
    return await context.loader("payments", load).load(name)


def page_of(record: purchases.Purchase, tries: list[purchases.Payment]) -> str | None:
    """Where its payer pays; None: nowhere, or the provider has not said yet."""
    if record.state is not PurchaseState.OPEN or not tries:
        return None
    return tries[-1].pay_url if tries[-1].state is PaymentState.PENDING else None


def reason_of(record: purchases.Purchase, tries: list[purchases.Payment]) -> str | None:
    """Why a purchase is not paid, in words; None: nobody said, or it is paid."""
    said: str | None = record.body.get("reason")
    if said is not None or record.state is PurchaseState.PAID:
        return said
    return next((each.reason for each in reversed(tries) if each.reason), None)


def _instant(at: int | None) -> DateTime | None:
    return None if at is None else DateTime(at)


@strawberry.type(description="A purchase and its place in the list.")
class PurchaseEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: Purchase = strawberry.field(description="The purchase.")


@strawberry.type(description="A page of purchases, newest first.")
class PurchaseConnection:
    edges: list[PurchaseEdge] = strawberry.field(description="The purchases with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The purchases alone.")
    def nodes(self) -> list[Purchase]:
        return [edge.node for edge in self.edges]


@strawberry.type
class TenantPurchases(Owner):
    """The fields of a tenant that say what it bought."""

    @computed("What it bought or was refilled with, whatever became of it, newest first.")
    async def purchases(
        self,
        info: Info[Context, None],
        first: First = PAGE_SIZE,
        after: After = None,
        status: Status = None,
    ) -> PurchaseConnection:
        context = info.context
        context.require(SCOPE)
        size = page_size(first)
        states = None if status is None else (PurchaseState[status.name],)

        async def load(asked: list[tuple[int, int]]) -> list[list[purchases.Purchase]]:
            return await purchases.pages(context.door, asked, states=states, limit=size + 1)

        before = purchases.NEWEST if after is None else _place(after)
        loader = context.loader(("purchases", size, states), load)
        found = await loader.load((self.record.tenant_id, before))
        edges = [
            PurchaseEdge(
                cursor=cursor([ids.encode(PREFIX, each.purchase_id)]),
                node=Purchase.from_record(each, self.record),
            )
            for each in found[:size]
        ]
        ends = PageInfo(
            has_next_page=len(found) > size, end_cursor=edges[-1].cursor if edges else None
        )
        return PurchaseConnection(edges=edges, page_info=ends)

    @computed("A purchase by its id; null: the tenant has none of it.")
    async def purchase(
        self,
        info: Info[Context, None],
        id: Annotated[strawberry.ID, strawberry.argument(description="The purchase's id.")],
    ) -> Purchase | None:
        context = info.context
        context.require(SCOPE)
        number = ids.decode(PREFIX, str(id))
        if number is None:
            return None

        async def load(asked: list[tuple[int, int]]) -> list[purchases.Purchase | None]:
            async with context.door.tenant_tx(*{tenant_id for tenant_id, _ in asked}) as connection:
                return [await purchases.find(connection, *each) for each in asked]

        found = await context.loader("purchase", load).load((self.record.tenant_id, number))
        if found is None or found.kind is purchases.PurchaseKind.INVOICE:
            return None
        return Purchase.from_record(found, self.record)


def _place(after: str) -> int:
    (word,) = position(after, str)
    number = ids.decode(PREFIX, word)
    if number is None:
        raise Fault("BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came")
    return number


@strawberry.input(description="A top-up that a tenant pays for.")
class PurchaseCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    balance: str = strawberry.field(description="The balance's key.")
    amount: Decimal = strawberry.field(
        description="In the balance's unit or currency; whole packs, as `howToTopUp` says."
    )
    return_url: str | None = strawberry.field(
        default=None,
        description="Where the payer goes on from the provider's page: a page of an origin that "
        "the installation names. null: nowhere.",
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this purchase: sent again, it buys nothing more."
    )


@strawberry.type(description="The answer of `purchaseCreate`.")
class PurchaseCreatePayload(Payload):
    purchase: Purchase | None = strawberry.field(
        description="The purchase as it stands now; the earlier one where its `idempotencyKey` "
        "came before."
    )


@strawberry.type
class PurchaseMutations:
    """The mutation that buys."""

    @mutation(
        "Buy a top-up: whoever pays does so at `payUrl`, and the balance has it when that is paid. "
        "By tenants whose plan sells the balance to them, and by operators, with the scope "
        "`billing:write`. Once per `idempotencyKey`."
    )
    async def purchase_create(
        self,
        info: Info[Context, None],
        input: Annotated[PurchaseCreateInput, strawberry.argument(description="What to do.")],
    ) -> PurchaseCreatePayload:
        context = info.context
        request = PurchaseCreate(
            tenant=input.tenant,
            balance=input.balance,
            amount=micros(input.amount, signed=True),
            return_url=input.return_url,
            idempotency_key=input.idempotency_key,
        )
        done, errors = await attempt(
            purchase_create.run(
                context.door, context.catalogue, context.show, context.caller(), request,
                welcome(context.public_url, context.allowed_origins),
                payable=context.paying.page is not None, now=context.now,
            )
        )  # fmt: skip
        if done is None:
            return PurchaseCreatePayload(purchase=None, user_errors=errors)
        tenant, purchase = done
        number = purchase.purchase_id
        await context.paying.soon(tenant.tenant_id, number)
        found = await found_again(context.door, tenant.tenant_id, number)
        return PurchaseCreatePayload(
            purchase=Purchase.from_record(found, tenant), user_errors=errors
        )
