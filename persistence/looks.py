"""Looks ahead: whose forecasts are due, and when each tenant was looked at, at which version.

Owns the look over all tenants' heads: those that moved since they were looked at last, and those
that were told that a balance runs out. What is done at a look is its caller's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from domain.watch import Measure
from persistence.connection import Connection
from persistence.door import Door

#: Tenants of one look.
LOOKED_MAX = 50

#: The mark of a balance that is told to run out, as a head spells it.
TOLD = rf"\[[0-9]+,{Measure.DAYS.value},"

# Those that were never looked at come first. Heads are many, so nobody looks each second.
DUE = f"""
select h.tenant_id from tenant_head h
left join forecasts f using (tenant_id)
where h.below is not null and (f.looked_at is null or f.looked_at <= $1)
    and (h.version > coalesce(f.version, 0) or h.below ~ '{TOLD}')
    and h.tenant_id <> all ($2::bigint[])
order by f.looked_at nulls first
limit {LOOKED_MAX}"""


async def due(door: Door, before: int, passed_over: Collection[int] = ()) -> list[int]:
    """Tenants last looked at by an instant that moved since, or were told that one runs out."""
    async with door.system_tx("whose forecasts are due, of any tenant") as connection:
        rows = await connection.fetch(DUE, before, list(passed_over))
    return [row["tenant_id"] for row in rows]


LOOKED = """
insert into forecasts as f (tenant_id, version, looked_at)
select *, $3 from unnest($1::bigint[], $2::bigint[])
on conflict (tenant_id) do update set version = greatest(f.version, excluded.version),
    looked_at = greatest(f.looked_at, excluded.looked_at)"""


async def looked(connection: Connection, versions: Sequence[tuple[int, int]], now: int) -> None:
    """Note at which version tenants were looked at, in a transaction that names them."""
    if versions:
        await connection.execute(LOOKED, *map(list, zip(*versions, strict=True)), now)
