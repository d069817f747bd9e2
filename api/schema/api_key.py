"""API keys, as clients see them: never with their secret."""

from __future__ import annotations

import strawberry

from api import ids
from api.schema.node import Node
from api.schema.scalars import DateTime
from persistence.credentials import KeyRecord


@strawberry.type(description="A credential of a tenant, or of the operator.")
class ApiKey(Node):
    name: str = strawberry.field(description="What people call it.")
    tenant: str | None = strawberry.field(
        description="The key of the tenant it belongs to; null: the operator's."
    )
    prefix: str = strawberry.field(description="What its secret has after `kuota_`.")
    scopes: list[str] = strawberry.field(description="What it allows, such as `usage:read`.")
    created_at: DateTime = strawberry.field(description="When it was made.")
    expires_at: DateTime | None = strawberry.field(
        description="From when on it is not taken; null: never."
    )
    revoked_at: DateTime | None = strawberry.field(
        description="When it was revoked; null: it was not."
    )

    @classmethod
    def from_row(cls, record: KeyRecord) -> ApiKey:
        return cls(
            id=strawberry.ID(ids.encode("key", record.key_id)),
            name=record.name,
            tenant=record.tenant_key,
            prefix=record.prefix,
            scopes=list(record.scopes),
            created_at=DateTime(record.created_at),
            expires_at=None if record.expires_at is None else DateTime(record.expires_at),
            revoked_at=None if record.revoked_at is None else DateTime(record.revoked_at),
        )
