"""API keys as they are kept: a prefix to look up, a digest to compare, scopes, and when they end.

Owns the rows of `api_keys`. A secret never comes here; `api.auth` makes and judges them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from persistence.connection import Connection
from persistence.door import Door


@dataclass(frozen=True, slots=True)
class KeyRecord:
    key_id: int
    tenant_id: int | None  #: None: an operator's
    tenant_key: str | None
    name: str
    prefix: str
    digest: bytes  #: BLAKE2b-256 of the whole secret
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int | None  #: exclusive; None: no end
    revoked_at: int | None


NEW_KEY_SQL = """
insert into api_keys (tenant_id, name, prefix, digest, scopes, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7) returning key_id
"""


async def create_key(
    door: Door,
    tenant_id: int | None,
    *,
    name: str,
    prefix: str,
    digest: bytes,
    scopes: Sequence[str],
    expires_at: int | None,
    now: int,
) -> int:
    """Store a key of a tenant, or of the operator where `tenant_id` is None; its id."""
    async with _of(door, tenant_id) as conn:
        key_id: int = await conn.fetchval(
            NEW_KEY_SQL, tenant_id, name, prefix, digest, list(scopes), now, expires_at
        )
    return key_id


KEYS_SQL = """
select key_id, tenant_id, t.key as tenant_key, k.name, prefix, digest, scopes, k.created_at,
    expires_at, revoked_at
from api_keys k left join tenants t using (tenant_id)
"""


async def find_by_prefix(door: Door, prefix: str) -> KeyRecord | None:
    """The key of a prefix, revoked and ended ones included."""
    async with door.system_tx("a key is looked up before its tenant is known") as conn:
        row = await conn.fetchrow(f"{KEYS_SQL} where prefix = $1", prefix)
    return None if row is None else KeyRecord(**{**row, "scopes": tuple(row["scopes"])})


async def find_by_id(door: Door, key_id: int, tenant_id: int | None) -> KeyRecord | None:
    """A key by its id; `tenant_id` limits the look to one tenant's, None is an operator's."""
    async with _of(door, tenant_id) as conn:
        row = await conn.fetchrow(
            f"{KEYS_SQL} where key_id = $1 and ($2::bigint is null or k.tenant_id = $2)",
            key_id,
            tenant_id,
        )
    return None if row is None else KeyRecord(**{**row, "scopes": tuple(row["scopes"])})


# The first revocation counts; a second leaves its instant.
REVOKE_SQL = """
update api_keys set revoked_at = coalesce(revoked_at, $3)
where key_id = $1 and ($2::bigint is null or tenant_id = $2)
returning revoked_at
"""


async def revoke_key(door: Door, key_id: int, tenant_id: int | None, *, now: int) -> int | None:
    """End a key and say when it ended; None where there is no such key to be seen."""
    async with _of(door, tenant_id) as conn:
        revoked_at: int | None = await conn.fetchval(REVOKE_SQL, key_id, tenant_id, now)
    return revoked_at


def _of(door: Door, tenant_id: int | None) -> AbstractAsyncContextManager[Connection]:
    """A transaction that sees one tenant's keys, or the operator's."""
    if tenant_id is None:
        return door.system_tx("an operator's keys, and an operator's look at keys")
    return door.tenant_tx(tenant_id)
