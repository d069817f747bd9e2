"""Payloads of mutations."""

from __future__ import annotations

import strawberry

from api.schema.api_key import ApiKey
from api.schema.correction import Adjustment, Refund
from api.schema.number import Number
from api.schema.payload import Payload
from api.schema.price_book import PriceBook
from api.schema.tenant import Tenant
from api.schema.top_up import TopUp
from api.schema.usage_result import UsageResult


@strawberry.type(description="The answer of `tenantCreate`.")
class TenantCreatePayload(Payload):
    tenant: Tenant | None = strawberry.field(description="The new tenant.")


@strawberry.type(description="The answer of `numberCreate`.")
class NumberCreatePayload(Payload):
    number: Number | None = strawberry.field(description="The new number.")


@strawberry.type(description="The answer of `topUpCreate`.")
class TopUpCreatePayload(Payload):
    top_up: TopUp | None = strawberry.field(
        description="The top-up; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type(description="The answer of `adjustmentCreate`.")
class AdjustmentCreatePayload(Payload):
    adjustment: Adjustment | None = strawberry.field(
        description="The adjustment; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type(description="The answer of `refundCreate`.")
class RefundCreatePayload(Payload):
    refund: Refund | None = strawberry.field(
        description="The refund; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type(description="The answer of `apiKeyCreate`.")
class ApiKeyCreatePayload(Payload):
    api_key: ApiKey | None = strawberry.field(description="The new key.")
    secret: str | None = strawberry.field(
        description="What to send as `Authorization: Bearer`. It is shown this once."
    )


@strawberry.type(description="The answer of `apiKeyRevoke`.")
class ApiKeyRevokePayload(Payload):
    api_key: ApiKey | None = strawberry.field(description="The key, with the instant it ended.")


@strawberry.type(description="The answer of `usageRecord`.")
class UsageRecordPayload(Payload):
    results: list[UsageResult] = strawberry.field(
        description="What became of each event, in their order."
    )


@strawberry.type(description="The answer of `priceBookPublish`.")
class PriceBookPublishPayload(Payload):
    price_book: PriceBook | None = strawberry.field(
        description="The book with its new version; of several the first."
    )
    price_books: list[PriceBook] = strawberry.field(description="Every book of the document.")
    warnings: list[str] = strawberry.field(
        description="What the document leaves unrated, though it could be published."
    )
