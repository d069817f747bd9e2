"""Tenants whose late facts wait to be settled, and for how long already (EV-9).

Owns the looks over all tenants' heads. The mark is set by `record`, with the commit that took a
late fact in, and is taken off by settling.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from persistence.door import Door


class Look(NamedTuple):
    """What a look over all tenants found."""

    kept: int  #: tenants that are marked
    due: int | None  #: whose turn it is


# Of heads that were marked before the instant was kept nobody knows for how long they wait.
LOOK = """
select
    (select count(*) from tenant_head where unsettled_from is not null) as kept,
    (
        select h.tenant_id from tenant_head h
        where h.unsettled_from is not null and h.tenant_id <> all ($1::bigint[])
            and (h.unsettled_at is null or h.unsettled_at <= $2 or $3 >= (
                select at from commits c where c.tenant_id = h.tenant_id and c.version = h.version
            ))
        order by h.unsettled_at nulls first, h.tenant_id
        limit 1
    ) as due"""

MARKED = """
select t.key from tenant_head h join tenants t using (tenant_id)
where h.unsettled_from is not null
order by h.unsettled_at nulls first, t.key"""


async def look(
    door: Door, *, marked_by: int, quiet_since: int, passed_over: Collection[int] = ()
) -> Look:
    """Who waits longest of those whose turn it is: marked by one instant, or quiet since another.

    Those passed over are left out.
    """
    async with door.system_tx("tenants with late facts are any") as connection:
        row = await connection.fetchrow(LOOK, list(passed_over), marked_by, quiet_since)
    assert row is not None
    return Look(row["kept"], row["due"])


async def marked(door: Door) -> list[str]:
    """The keys of all tenants that wait, the longest first."""
    async with door.system_tx("who has late facts, for an operator") as connection:
        rows = await connection.fetch(MARKED)
    return [row["key"] for row in rows]
