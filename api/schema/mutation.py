"""The root of mutations: each takes one input and answers its own payload. Owns no rule."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import (
    adjustment_create,
    api_key_create,
    api_key_revoke,
    number_create,
    price_book_publish,
    refund_create,
    tenant_create,
    top_up_create,
)
from api.operations.adjustment_create import AdjustmentCreate
from api.operations.api_key_create import ApiKeyCreate
from api.operations.api_key_revoke import ApiKeyRevoke
from api.operations.number_create import NumberCreate
from api.operations.price_book_publish import PriceBookPublish
from api.operations.refund_create import RefundCreate
from api.operations.tenant_create import TenantCreate
from api.operations.top_up_create import TopUpCreate
from api.schema import inputs, payloads
from api.schema.account_changes import AccountMutations
from api.schema.alert import AlertMutations
from api.schema.api_key import ApiKey
from api.schema.audit import AuditMutations
from api.schema.authorize import AuthorizeMutations
from api.schema.billing import BillingMutations
from api.schema.closing import ClosingMutations
from api.schema.correction import Adjustment, Refund
from api.schema.dunning import DunningMutations
from api.schema.export import ExportMutations
from api.schema.fields import mutation
from api.schema.international import InternationalMutations
from api.schema.invoice_changes import InvoiceMutations
from api.schema.invoice_pay import InvoicePayMutations
from api.schema.mailbox import MailboxMutations
from api.schema.number import Number
from api.schema.payload import attempt
from api.schema.payment_method import PaymentMethodMutations
from api.schema.people_changes import PeopleMutations
from api.schema.price_book import PriceBook, errors_of
from api.schema.purchase import PurchaseMutations
from api.schema.refill import RefillMutations
from api.schema.report_schedule import ReportScheduleMutations
from api.schema.rezoning import RezoningMutations
from api.schema.sending import SendingMutations
from api.schema.settlement import SettlementMutations
from api.schema.status import StatusMutations
from api.schema.tenant import Tenant
from api.schema.tenant_subscription_changes import SubscriptionMutations
from api.schema.terms import TermsMutations
from api.schema.threshold import ThresholdMutations
from api.schema.top_up import TopUp
from api.schema.usage_result import record_events
from api.schema.webhook_changes import WebhookMutations
from api.schema.widget import WidgetMutations
from domain.money import micros
from persistence.tenants import TenantRecord, find_by_keys

Input = strawberry.argument(description="What to do.")


@strawberry.type(description="What can be changed.")
class Mutation(
    TermsMutations, InternationalMutations, RezoningMutations, SettlementMutations,
    ClosingMutations, AuditMutations, WidgetMutations, PeopleMutations, SendingMutations,
    PurchaseMutations, InvoicePayMutations,
    RefillMutations, PaymentMethodMutations,
    AccountMutations,
    StatusMutations, AuthorizeMutations, ThresholdMutations, AlertMutations,
    DunningMutations,
    ExportMutations, ReportScheduleMutations,
    SubscriptionMutations,
    MailboxMutations, WebhookMutations,
    InvoiceMutations,
    BillingMutations,
):  # fmt: skip
    @mutation("Create a tenant; what is not said is taken from its plan. Operators only.")
    async def tenant_create(
        self, info: Info[Context, None], input: Annotated[inputs.TenantCreateInput, Input]
    ) -> payloads.TenantCreatePayload:
        context = info.context
        context.caller().require_operator()
        request = TenantCreate(
            key=input.key,
            name=input.name,
            timezone=input.timezone,
            currency=input.currency,
            country=input.country,
            locale=input.locale,
            plan=input.plan,
            since=input.since,
        )
        record, errors = await attempt(
            tenant_create.run(context.door, context.catalogue, request, now=context.now)
        )
        tenant = None if record is None else Tenant.from_row(record)
        return payloads.TenantCreatePayload(tenant=tenant, user_errors=errors)

    @mutation("Register a number of a tenant. Operators only.")
    async def number_create(
        self, info: Info[Context, None], input: Annotated[inputs.NumberCreateInput, Input]
    ) -> payloads.NumberCreatePayload:
        context = info.context
        caller = context.caller()
        caller.require_operator()
        request = NumberCreate(
            tenant=input.tenant,
            channel=input.channel.lower(),
            address=input.address,
            timezone=input.timezone,
        )
        record, errors = await attempt(
            number_create.run(context.door, caller, request, now=context.now)
        )
        number = None if record is None else Number.from_row(record)
        return payloads.NumberCreatePayload(number=number, user_errors=errors)

    @mutation(
        "Add to a balance. The same `idempotencyKey` with the same content gives the same top-up, "
        "with other content the code `IDEMPOTENCY_KEY_REUSED`. Operators only."
    )
    async def top_up_create(
        self, info: Info[Context, None], input: Annotated[inputs.TopUpCreateInput, Input]
    ) -> payloads.TopUpCreatePayload:
        context = info.context
        _require_operator(context, "billing:write")
        request = TopUpCreate(
            tenant=input.tenant,
            balance=input.balance,
            amount=micros(input.amount, signed=True),
            source=input.source.name,
            as_offered=input.as_offered,
            starts_at=input.starts_at,
            expires_at=input.expires_at,
            note=_storable(input.note or ""),
            idempotency_key=input.idempotency_key,
        )
        action, errors = await attempt(
            top_up_create.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        found = None
        if action is not None:
            found = TopUp.from_record(await _tenant(context, input.tenant), action)
        return payloads.TopUpCreatePayload(top_up=found, user_errors=errors)

    @mutation(
        "Correct a balance by hand. What is added pays off what is owed first; what is taken comes "
        "from the lots in their order, the rest is owed. Once per `idempotencyKey`. Operators only."
    )
    async def adjustment_create(
        self, info: Info[Context, None], input: Annotated[inputs.AdjustmentCreateInput, Input]
    ) -> payloads.AdjustmentCreatePayload:
        context = info.context
        _require_operator(context, "billing:adjust")
        request = AdjustmentCreate(
            tenant=input.tenant,
            balance=input.balance,
            amount=micros(input.amount, signed=True),
            reason=_storable(input.reason),
            idempotency_key=input.idempotency_key,
        )
        action, errors = await attempt(
            adjustment_create.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        found = None
        if action is not None:
            found = Adjustment.from_record(await _tenant(context, input.tenant), action)
        return payloads.AdjustmentCreatePayload(adjustment=found, user_errors=errors)

    @mutation(
        "Give back what a charge took, or a top-up as far as it is left; or take a top-up away "
        "whose payment was taken back. Once per `idempotencyKey`. Operators only."
    )
    async def refund_create(
        self, info: Info[Context, None], input: Annotated[inputs.RefundCreateInput, Input]
    ) -> payloads.RefundCreatePayload:
        context = info.context
        _require_operator(context, "billing:adjust")
        request = RefundCreate(
            tenant=input.tenant,
            charge=input.charge,
            top_up=input.top_up,
            amount=None if input.amount is None else micros(input.amount, signed=True),
            taken_back=input.taken_back,
            reason=_storable(input.reason),
            idempotency_key=input.idempotency_key,
        )
        action, errors = await attempt(
            refund_create.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        found = None
        if action is not None:
            found = Refund.from_record(await _tenant(context, input.tenant), action)
        return payloads.RefundCreatePayload(refund=found, user_errors=errors)

    @mutation(
        "Create an API key. By an operator, or with `keys:write` for the key's own tenant; never "
        "with more scopes than the creator has."
    )
    async def api_key_create(
        self, info: Info[Context, None], input: Annotated[inputs.ApiKeyCreateInput, Input]
    ) -> payloads.ApiKeyCreatePayload:
        context = info.context
        request = ApiKeyCreate(
            tenant=input.tenant,
            name=input.name,
            scopes=tuple(input.scopes),
            expires_at=input.expires_at,
        )
        made, errors = await attempt(
            api_key_create.run(context.door, context.caller(), request, now=context.now)
        )
        return payloads.ApiKeyCreatePayload(
            api_key=None if made is None else ApiKey.from_row(made.key),
            secret=None if made is None else made.secret,
            user_errors=errors,
        )

    @mutation(
        "Publish a price book as its next version, or none of the document where anything is wrong "
        "with it. The same content again changes nothing. Operators only."
    )
    async def price_book_publish(
        self, info: Info[Context, None], input: Annotated[inputs.PriceBookPublishInput, Input]
    ) -> payloads.PriceBookPublishPayload:
        context = info.context
        caller = context.caller()
        caller.require_operator()
        caller.require("prices:publish")
        request = PriceBookPublish(
            document=input.document, format=input.format.name, rerate=input.rerate
        )
        done = await price_book_publish.run(
            context.door, context.catalogue, request, now=context.now
        )
        books = [PriceBook.of(context, key) for key, _, _ in done.books]
        return payloads.PriceBookPublishPayload(
            price_book=books[0] if books else None,
            price_books=books,
            warnings=[str(each) for each in done.warnings],
            user_errors=errors_of(done.problems),
        )

    @mutation("Revoke an API key: within seconds nothing takes it any more.")
    async def api_key_revoke(
        self, info: Info[Context, None], input: Annotated[inputs.ApiKeyRevokeInput, Input]
    ) -> payloads.ApiKeyRevokePayload:
        context = info.context
        record, errors = await attempt(
            api_key_revoke.run(
                context.door,
                context.authenticator,
                context.caller(),
                ApiKeyRevoke(id=input.id),
                now=context.now,
            )
        )
        key = None if record is None else ApiKey.from_row(record)
        return payloads.ApiKeyRevokePayload(api_key=key, user_errors=errors)

    @mutation(
        "Record what happened, as `POST /v1/events` does: one result for each event, in order; a "
        "bad event never rejects the others."
    )
    async def usage_record(
        self, info: Info[Context, None], input: Annotated[inputs.UsageRecordInput, Input]
    ) -> payloads.UsageRecordPayload:
        context = info.context
        results = await record_events(context, input.events)
        return payloads.UsageRecordPayload(results=results, user_errors=[])


def _require_operator(context: Context, scope: str) -> None:
    """Only an operator changes balances by hand."""
    caller = context.caller()
    caller.require_operator()
    caller.require(scope)


async def _tenant(context: Context, key: str) -> TenantRecord:
    return (await find_by_keys(context.door, [key]))[key]


def _storable(text: str) -> str:
    """A lone half of a character, which Postgres cannot keep, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
