"""Seats of tenants: how many the plan has and how many are taken, and the lock behind that (US-1).

Owns `tenant_head.seated`, which is counted anew by whatever changes who takes one: whoever watches
a tenant looks at its head every second, and so is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.people import SEATED
from persistence import terms
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door

# A change of plan takes the same lock, so what is counted is held against the plan in force.
LOCK = "select from tenant_head where tenant_id = $1 for no key update"

COUNT = """
update tenant_head set seated = (
    select count(*) from users where tenant_id = $1 and active and role = any ($2::text[])
)
where tenant_id = $1 returning seated"""

USED = "select tenant_id, seated from tenant_head where tenant_id = any ($1::bigint[])"


async def lock(connection: Connection, tenant_id: int) -> None:
    """Be the only one who changes the tenant's people until the transaction ends."""
    await connection.execute(LOCK, tenant_id)


async def count(connection: Connection, tenant_id: int) -> int:
    """Count the seats that are taken in a locked tenant, and keep the figure."""
    return await connection.fetchval(COUNT, tenant_id, sorted(SEATED)) or 0


async def maximum(connection: Connection, catalogue: Catalogue, tenant_id: int, now: int) -> int:
    """The seats that the plan in force gives a locked tenant."""
    (own,) = await terms.by_ids(connection, catalogue, [tenant_id])
    return own.standing.holding(now).plan.seats


async def used(door: Door, tenants: Sequence[int]) -> list[int]:
    """How many seats are taken in each tenant, in order."""
    async with door.tenant_tx(*tenants) as connection:
        rows = await connection.fetch(USED, list(tenants))
    found = {row["tenant_id"]: row["seated"] for row in rows}
    return [found.get(tenant_id, 0) for tenant_id in tenants]
