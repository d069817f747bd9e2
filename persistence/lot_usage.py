"""What usage took from the lots of balances over local days, allowances and others apart (FI-5).

Owns the reading; `lot_days` are kept by whole local days of the tenant, so the bounds are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.lots import LotSource
from persistence.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the local days wanted of it, `[start, end)`."""

    tenant_id: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What usage took from one balance, in millionths of its unit."""

    balance: str
    unit: str
    currency: str | None
    initial: int  #: from allowance lots
    top_up: int  #: from all others


# One walk of an index a lot, however long the range: the days of a lot lie beside each other.
TAKEN = f"""
select a.n, b.key, b.unit, b.currency,
    coalesce(sum(d.used) filter (where l.source = {LotSource.ALLOWANCE.value}), 0)::bigint
        as initial,
    coalesce(sum(d.used) filter (where l.source <> {LotSource.ALLOWANCE.value}), 0)::bigint
        as top_up
from unnest($1::bigint[], $2::bigint[], $3::bigint[])
    with ordinality a (tenant_id, starts_at, ends_at, n)
join balances b on b.tenant_id = a.tenant_id
left join lots l on l.tenant_id = b.tenant_id and l.balance_id = b.balance_id
left join lateral (
    select sum(used) as used from lot_days
    where tenant_id = l.tenant_id and lot_id = l.lot_id and day >= a.starts_at and day < a.ends_at
    offset 0
) d on true
group by a.n, b.balance_id, b.key, b.unit, b.currency
order by a.n, b.balance_id"""


async def taken(door: Door, asked: Sequence[Asked]) -> list[list[Taken]]:
    """Every balance of each tenant asked for, in order, with what was taken of it in its days."""
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(
            TAKEN,
            [one.tenant_id for one in asked],
            [one.start for one in asked],
            [one.end for one in asked],
        )
    found: list[list[Taken]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(
            Taken(
                balance=row["key"], unit=row["unit"], currency=row["currency"],
                initial=row["initial"], top_up=row["top_up"],
            )
        )  # fmt: skip
    return found
