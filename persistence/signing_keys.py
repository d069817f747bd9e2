"""The keys our own tokens are signed with, as they are kept: sealed, and of no tenant.

Owns the rows of `signing_keys`, not what opens them: that is `api.issuer`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from persistence.door import Door


@dataclass(frozen=True, slots=True)
class SealedKey:
    kid: str
    sealed: str
    created_at: int


async def sealed_keys(door: Door) -> list[SealedKey]:
    """All there are, the newest last."""
    async with door.system_tx("signing keys are of no tenant") as conn:
        rows = await conn.fetch(
            "select kid, sealed, created_at from signing_keys order by created_at, kid"
        )
    return [SealedKey(**row) for row in rows]


async def keep_key(door: Door, key: SealedKey, *, ended_before: int) -> None:
    """Keep a new key, and forget those made before an instant."""
    async with door.system_tx("signing keys are of no tenant") as conn:
        await conn.execute(
            "insert into signing_keys (kid, sealed, created_at) values ($1, $2, $3)",
            key.kid,
            key.sealed,
            key.created_at,
        )
        await conn.execute("delete from signing_keys where created_at < $1", ended_before)
