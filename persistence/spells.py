"""Spells of people: what they were, how facts called them, and when they were let in (US-2).

Owns the writing of `user_spells`: half-open, one after the other without a gap, the last one open.
A change is written with it, under the tenant's lock (`persistence.seats`).
"""

from __future__ import annotations

from persistence.connection import Connection

# What facts call the person is of its own row, which is written before.
BEGIN = """
insert into user_spells (tenant_id, user_id, since, role, active, external_id)
values ($1, $2, $3, $4, $5, (
    select external_id from users where tenant_id = $1 and user_id = $2
))"""

OPEN = """
select since, s.external_id <> u.external_id as renamed
from user_spells s join users u using (tenant_id, user_id)
where tenant_id = $1 and user_id = $2 and until is null"""

# Of two changes at one instant the later one holds: a spell without time is none.
REPLACE = """
update user_spells set role = $3, active = $4
where tenant_id = $1 and user_id = $2 and until is null"""

END = "update user_spells set until = $3 where tenant_id = $1 and user_id = $2 and until is null"

CALLED = """
select exists (
    select from user_spells where tenant_id = $1 and external_id = $2 and user_id <> $3
)"""


async def begin(
    connection: Connection, tenant_id: int, user_id: int, role: str, active: bool, now: int
) -> None:
    """Begin a spell of one of a tenant's people, who has none that is open."""
    await connection.execute(BEGIN, tenant_id, user_id, now, role, active)


async def change(
    connection: Connection, tenant_id: int, user_id: int, role: str, active: bool, now: int
) -> None:
    """End the open spell of somebody, and begin the next, in a locked tenant."""
    spell = await connection.fetchrow(OPEN, tenant_id, user_id)
    if spell is not None and spell["since"] >= now:
        if not spell["renamed"]:
            await connection.execute(REPLACE, tenant_id, user_id, role, active)
            return
        # What facts called somebody stays known, however short it was so.
        now = spell["since"] + 1
    await connection.execute(END, tenant_id, user_id, now)
    await begin(connection, tenant_id, user_id, role, active, now)


async def called_so(connection: Connection, tenant_id: int, name: str, user_id: int) -> bool:
    """Whether facts call, or ever called, somebody else of a locked tenant by this name."""
    found: bool = await connection.fetchval(CALLED, tenant_id, name, user_id)
    return found
