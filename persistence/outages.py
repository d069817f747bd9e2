"""Outages: what was granted of tenants while Valkey was away, since it went.

Owns the rows. There is one as long as somebody granted something without Valkey and its holds are
not there yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from domain.holds import Vector, read_vector, vector, vector_text
from persistence.connection import Connection
from persistence.door import Door

GRANTED = "select granted from outages where tenant_id = $1"

NOTE = """
insert into outages (tenant_id, began_at, granted) values ($1, $2, $3)
on conflict (tenant_id) do update set granted = excluded.granted"""


async def granted(connection: Connection, tenant_id: int) -> Vector:
    """What was granted since the outage began, under the tenant's lock."""
    spelt = await connection.fetchval(GRANTED, tenant_id)
    return () if spelt is None else read_vector(spelt)


async def note(
    connection: Connection, tenant_id: int, now: int, amounts: Mapping[str, int]
) -> None:
    """Note what is granted by now in all."""
    await connection.execute(NOTE, tenant_id, now, vector_text(vector(amounts)))


async def under_way(door: Door) -> dict[int, str]:
    """Tenants that were granted something without Valkey, and how much by now."""
    async with door.system_tx("tenants of an outage are any") as connection:
        rows = await connection.fetch(
            "select tenant_id, granted from outages order by tenant_id limit 500"
        )
    return {row["tenant_id"]: row["granted"] for row in rows}


OVER = """
delete from outages o using unnest($1::bigint[], $2::text[]) brought (tenant_id, granted)
where o.tenant_id = brought.tenant_id and o.granted = brought.granted"""


async def over(door: Door, brought: Mapping[int, str]) -> None:
    """Forget outages whose holds are in Valkey by now; one that went on meanwhile stays."""
    if brought:
        async with door.tenant_tx(*brought) as connection:
            await connection.execute(OVER, list(brought), list(brought.values()))
