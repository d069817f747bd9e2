"""Due heads: tenants of whom something changes by time alone, whichever comes first.

Owns the look over all tenants' heads and the putting off of one of whom nothing changed. What is
done with a due head, and in which transaction, is its caller's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from persistence.connection import Connection
from persistence.door import Door

#: Heads of one look, and so of one commit: what it locks, facts must wait for.
HEADS_MAX = 50

# Ties in no order: sorting them would read all tenants of one midnight at every look.
DUE = f"""
select tenant_id from tenant_head
where next_due <= $1 and tenant_id <> all ($2::bigint[])
order by next_due
limit {HEADS_MAX}"""

OVERDUE = "select count(*) from tenant_head where next_due <= $1"

PUT_OFF = """
update tenant_head set next_due = asked.next_due
from unnest($1::bigint[], $2::bigint[]) asked (tenant_id, next_due)
where tenant_head.tenant_id = asked.tenant_id"""


async def look(door: Door, now: int, passed_over: Collection[int] = ()) -> list[int]:
    """The tenants that have been due for longest, HEADS_MAX at most, and not those passed over."""
    async with door.system_tx("due heads are of any tenant") as connection:
        rows = await connection.fetch(DUE, now, list(passed_over))
    return [row["tenant_id"] for row in rows]


async def count(door: Door, now: int) -> int:
    """How many tenants are due at `now`."""
    async with door.system_tx("how many heads are due, of any tenant") as connection:
        found: int = await connection.fetchval(OVERDUE, now)
    return found


async def put_off(connection: Connection, heads: Sequence[tuple[int, int]]) -> None:
    """Move when locked tenants are due, which is no version: nothing of them changed."""
    if heads:
        tenants, instants = zip(*heads, strict=True)
        await connection.execute(PUT_OFF, tenants, instants)
