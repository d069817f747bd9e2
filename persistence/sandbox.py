"""What the sandbox was asked to collect, as rows that every process sees.

Owns the rows of `sandbox_payments` and that of each at most one change is made at a time. They are
of no tenant: the sandbox stands for a provider elsewhere. What its scripts do is
`api.paying.sandbox`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from persistence.door import Door

REASON = "a provider of payments knows keys, and no tenants"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One payment, as the sandbox has it."""

    payment_key: str
    script: str
    standing: str  #: what was decided
    reason: str
    total: int  #: micros
    currency: str
    description: str
    return_url: str | None
    asked: int  #: how often somebody wanted it charged
    collected: int  #: how often money would have moved
    asked_at: int
    expires_at: int | None  #: exclusive; None: it waits for ever
    told_at: int  #: from when on whoever looks is told what was decided


COLUMNS = ", ".join(Kept.__dataclass_fields__)
VALUES = ", ".join(f"${number + 1}" for number in range(len(Kept.__dataclass_fields__)))
ASK = f"""
insert into sandbox_payments ({COLUMNS}) values ({VALUES})
on conflict (payment_key) do update set asked = sandbox_payments.asked + 1
returning {COLUMNS}"""


async def ask(door: Door, wanted: Kept) -> Kept:
    """Keep a payment, or count that it was asked for again: what is kept then."""
    values = [getattr(wanted, name) for name in Kept.__dataclass_fields__]
    async with door.system_tx(REASON) as connection:
        row = await connection.fetchrow(ASK, *values)
    assert row is not None
    return Kept(**row)


async def find(door: Door, key: str) -> Kept | None:
    """The payment of a key."""
    async with door.system_tx(REASON) as connection:
        row = await connection.fetchrow(
            f"select {COLUMNS} from sandbox_payments where payment_key = $1", key
        )
    return None if row is None else Kept(**row)


# One statement: of two who decide at once the later finds it decided.
DECIDE = f"""
update sandbox_payments set standing = $3, reason = $4, told_at = $5, collected = collected + $7
where payment_key = $1 and standing = $2 and coalesce(expires_at > $6, true)
returning {COLUMNS}"""


async def decide(
    door: Door,
    key: str,
    before: str,
    after: str,
    *,
    reason: str,
    now: int,
    unless_ended: bool,
    collected: int = 0,
) -> Kept | None:
    """Move a payment from one standing to another; None: it does not stand there, or has ended."""
    # Every end lies behind this one.
    at = now if unless_ended else -1
    async with door.system_tx(REASON) as connection:
        row = await connection.fetchrow(DECIDE, key, before, after, reason, now, at, collected)
    return None if row is None else Kept(**row)


async def collected(door: Door, keys: Iterable[str] | None = None) -> dict[str, int]:
    """How often money would have moved, by key; of all keys where none are named."""
    wanted = None if keys is None else list(keys)
    async with door.system_tx(REASON) as connection:
        rows = await connection.fetch(
            "select payment_key, collected from sandbox_payments "
            "where $1::text[] is null or payment_key = any($1::text[])",
            wanted,
        )
    return {row["payment_key"]: row["collected"] for row in rows}
