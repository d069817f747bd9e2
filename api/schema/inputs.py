"""Inputs of mutations. Checked by the operations they are handed to."""

from __future__ import annotations

from enum import Enum

import strawberry

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
    starts_at: DateTime | None = strawberry.field(
        default=None, description="From when on it pays, in the past too; default: now."
    )
    expires_at: DateTime | None = strawberry.field(
        default=None, description="From when on it no longer pays; default: as the plan says."
    )
    note: str | None = strawberry.field(default=None, description="A note for people.")


@strawberry.input(description="A new API key.")
class ApiKeyCreateInput:
    tenant: str | None = strawberry.field(
        default=None, description="The tenant's key; null asks for an operator's key."
    )
    name: str = strawberry.field(description="What people call it.")
    scopes: list[str] = strawberry.field(
        description="Of `events:write`, `usage:read`, `billing:read`, `billing:write`, "
        "`send:authorize` and `keys:write`."
    )
    expires_at: DateTime | None = strawberry.field(
        default=None, description="From when on it is not taken; default: never."
    )


@strawberry.input(description="The API key to revoke.")
class ApiKeyRevokeInput:
    id: strawberry.ID = strawberry.field(description="Its id.")


@strawberry.input(description="What happened.")
class UsageRecordInput:
    events: list[CloudEvent] = strawberry.field(description="The facts, as CloudEvents.")
