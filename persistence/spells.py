"""Spells of people: what they were, and when they were let in (US-2).

Owns the writing of `user_spells`: half-open, one after the other without a gap, the last one open.
A change is written with it, under the tenant's lock (`persistence.seats`).
"""

from __future__ import annotations

from persistence.connection import Connection

BEGIN = """
insert into user_spells (tenant_id, user_id, since, role, active) values ($1, $2, $3, $4, $5)"""

OPEN = "select since from user_spells where tenant_id = $1 and user_id = $2 and until is null"

# Of two changes at one instant the later one holds: a spell without time is none.
REPLACE = """
update user_spells set role = $3, active = $4
where tenant_id = $1 and user_id = $2 and until is null"""

END = "update user_spells set until = $3 where tenant_id = $1 and user_id = $2 and until is null"


async def begin(
    connection: Connection, tenant_id: int, user_id: int, role: str, active: bool, now: int
) -> None:
    """Begin a spell of one of a tenant's people, who has none that is open."""
    await connection.execute(BEGIN, tenant_id, user_id, now, role, active)


async def change(
    connection: Connection, tenant_id: int, user_id: int, role: str, active: bool, now: int
) -> None:
    """End the open spell of somebody, and begin the next, in a locked tenant."""
    since: int | None = await connection.fetchval(OPEN, tenant_id, user_id)
    if since is not None and since >= now:
        await connection.execute(REPLACE, tenant_id, user_id, role, active)
        return
    await connection.execute(END, tenant_id, user_id, now)
    await begin(connection, tenant_id, user_id, role, active, now)
