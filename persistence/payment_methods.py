"""Payment methods: what of a tenant is charged without anybody present, one at most.

Owns the rows. A token comes and goes sealed: what opens it is `api.paying.tokens`'. It is shown to
nobody, and stands in no log and no audit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from persistence.connection import Connection
from persistence.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethod:
    """One tenant's."""

    tenant_id: int
    provider: str  #: who knows the token
    token: str = field(repr=False)  #: sealed
    label: str  #: what people call it
    created_at: int


COLUMNS = "tenant_id, provider, token, label, created_at"

FIND = f"select {COLUMNS} from payment_methods where tenant_id = any ($1::bigint[])"


async def find(connection: Connection, tenant_id: int) -> PaymentMethod | None:
    """What a tenant is charged by; None: nothing was set."""
    row = await connection.fetchrow(FIND, [tenant_id])
    return None if row is None else PaymentMethod(**row)


async def of_tenants(door: Door, tenant_ids: Iterable[int]) -> dict[int, PaymentMethod]:
    """By tenant, what it is charged by."""
    ids = list(tenant_ids)
    async with door.tenant_tx(*ids) as connection:
        rows = await connection.fetch(FIND, ids)
    return {row["tenant_id"]: PaymentMethod(**row) for row in rows}


PUT = f"""
insert into payment_methods ({COLUMNS}) values ($1, $2, $3, $4, $5)
on conflict (tenant_id) do update set
    provider = excluded.provider, token = excluded.token, label = excluded.label,
    created_at = excluded.created_at"""


async def put(connection: Connection, method: PaymentMethod) -> None:
    """Charge a locked tenant by this from now on."""
    await connection.execute(
        PUT, method.tenant_id, method.provider, method.token, method.label, method.created_at
    )


REMOVE = "delete from payment_methods where tenant_id = $1"


async def remove(connection: Connection, tenant_id: int) -> None:
    """Charge a locked tenant by nothing any more."""
    await connection.execute(REMOVE, tenant_id)
