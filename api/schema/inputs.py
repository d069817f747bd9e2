"""Inputs of mutations. Checked by the operations they are handed to."""

from __future__ import annotations

from enum import Enum

import strawberry

from api.rights import SCOPES
from api.schema.scalars import CloudEvent, DateTime, Decimal


@strawberry.input(description="A new tenant.")
class TenantCreateInput:
    key: str = strawberry.field(
        description="1 to 64 lower-case letters, digits, hyphens and underscores."
    )
    plan: str = strawberry.field(description="The key of its plan, such as `omnichannel-idr`.")
    name: str | None = strawberry.field(
        default=None, description="The name people see; default: the key."
    )
    timezone: str | None = strawberry.field(
        default=None, description="IANA zone such as `Asia/Jakarta`; default: the plan's."
    )
    currency: str | None = strawberry.field(
        default=None, description="ISO 4217 code, the plan's; default: that."
    )
    country: str | None = strawberry.field(
        default=None, description="ISO 3166 code, two letters; default: the plan's."
    )
    locale: str | None = strawberry.field(
        default=None, description="Language tag such as `id`; default: the plan's."
    )
    since: DateTime | None = strawberry.field(
        default=None,
        description="From when on its plan holds; earlier facts are refused. Default: the "
        "beginning of time.",
    )


@strawberry.input(description="A new number of a tenant.")
class NumberCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    channel: str = strawberry.field(
        description="`whatsapp`, `instagram`, `messenger`, `telegram`, `line`, `livechat`, `sms`, "
        "`email`, `voice`, `video`, `voicemail`, `bot`, `ai_agent` or `speech_to_text`."
    )
    address: str = strawberry.field(
        description="A telephone number with country code, a short code, an e-mail address, or "
        "whatever names the sender on its channel."
    )
    timezone: str | None = strawberry.field(
        default=None, description="IANA zone; default: the tenant's."
    )


@strawberry.enum(description="Where what a top-up adds comes from.")
class TopUpSource(Enum):
    TOP_UP = strawberry.enum_value("TOP_UP", description="Bought.")
    PROMOTION = strawberry.enum_value("PROMOTION", description="Given; it never becomes money.")


@strawberry.input(description="An addition to a balance.")
class TopUpCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    balance: str = strawberry.field(description="The balance's key.")
    amount: Decimal = strawberry.field(description="How much, in the balance's unit; above 0.")
    idempotency_key: str = strawberry.field(
        description="A name of your own for this addition: sent again, it adds nothing."
    )
    source: TopUpSource = strawberry.field(
        default=TopUpSource.TOP_UP, description="Where it comes from."
    )
    as_offered: bool = strawberry.field(
        default=True,
        description="Whether what the plan does not sell is refused: packs that are not whole, a "
        "price below its minimum. With false any amount is added, without a price.",
    )
    starts_at: DateTime | None = strawberry.field(
        default=None, description="From when on it pays, in the past too; default: now."
    )
    expires_at: DateTime | None = strawberry.field(
        default=None, description="From when on it no longer pays; default: as the plan says."
    )
    note: str | None = strawberry.field(default=None, description="A note for people.")


@strawberry.input(description="A correction of a balance.")
class AdjustmentCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    balance: str = strawberry.field(description="The balance's key.")
    amount: Decimal = strawberry.field(
        description="How much to add, in the balance's unit; negative takes."
    )
    reason: str = strawberry.field(description="Why, for people: 1 to 1,000 characters.")
    idempotency_key: str = strawberry.field(
        description="A name of your own for this adjustment: sent again, it changes nothing."
    )


@strawberry.input(description="What to give back: of a charge, or of a top-up.")
class RefundCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    charge: strawberry.ID | None = strawberry.field(
        default=None, description="The id of a charge: what it took goes back to its lots."
    )
    top_up: strawberry.ID | None = strawberry.field(
        default=None, description="The id of a top-up: what is left of its lot leaves the balance."
    )
    amount: Decimal | None = strawberry.field(
        default=None, description="How much, in the balance's unit; default: all that is left."
    )
    taken_back: bool = strawberry.field(
        default=False,
        description="The payment of the top-up was taken back: its whole lot goes, and what was "
        "spent of it is owed.",
    )
    reason: str = strawberry.field(description="Why, for people: 1 to 1,000 characters.")
    idempotency_key: str = strawberry.field(
        description="A name of your own for this refund: sent again, it gives nothing back."
    )


@strawberry.input(description="A new API key.")
class ApiKeyCreateInput:
    tenant: str | None = strawberry.field(
        default=None, description="The tenant's key; null asks for an operator's key."
    )
    name: str = strawberry.field(description="What people call it.")
    scopes: list[str] = strawberry.field(
        description=f"Of {', '.join(f'`{name}`' for name in SCOPES)}."
    )
    expires_at: DateTime | None = strawberry.field(
        default=None, description="From when on it is not taken; default: never."
    )


@strawberry.input(description="The API key to revoke.")
class ApiKeyRevokeInput:
    id: strawberry.ID = strawberry.field(description="Its id.")


@strawberry.enum(description="How a document is written.")
class DocumentFormat(Enum):
    TOML = strawberry.enum_value("TOML", description="As the samples are.")
    JSON = strawberry.enum_value("JSON", description="The same document as JSON.")
    CSV = strawberry.enum_value(
        "CSV",
        description="Prices per delivered WhatsApp message, a line each, under the header "
        "`book,valid_from,currency,market,category,unit_price`; of one book or several.",
    )


@strawberry.input(description="A price book to publish.")
class PriceBookPublishInput:
    document: str = strawberry.field(description="The document itself.")
    format: DocumentFormat = strawberry.field(description="How it is written.")
    rerate: bool = strawberry.field(
        default=False,
        description="Whether rows may be dated back over what was rated: open periods are settled "
        "under them soon after, closed ones never.",
    )


@strawberry.input(description="What happened.")
class UsageRecordInput:
    events: list[CloudEvent] = strawberry.field(description="The facts, as CloudEvents.")
