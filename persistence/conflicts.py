"""Conflicts: what came under a known key with other content, and was not taken (EV-1).

Owns their rows and their list, for the operator to look at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from domain.facts import Fact
from persistence.bulk import Table, Write
from persistence.connection import Connection
from persistence.door import Door

write_conflicts = Write(
    Table(
        "conflicts",
        "tenant_id bigint, key bytea, content bytea, at bigint, arrived_at bigint, source text,"
        " id text, data text",
        "on conflict do nothing",
    )
)


async def keep(connection: Connection, facts: Iterable[Fact], now: int) -> None:
    """Keep facts that were not taken, for another one has their key."""
    await write_conflicts(connection, [
        (f.tenant_id, f.key, f.content, f.at, now, f.source, f.id, f.data) for f in facts
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class ConflictRecord:
    source: str
    id: str
    at: int  #: when it says it happened
    arrived_at: int
    data: str  #: canonical JSON of what was not taken


# The newest of each tenant; its conflicts are few, or its operator has been looking for long.
NEWEST = """
select asked.tenant_id, c.source, c.id, c.at, c.arrived_at, c.data
from unnest($1::bigint[]) asked (tenant_id),
    lateral (
        select * from conflicts c where c.tenant_id = asked.tenant_id
        order by c.arrived_at desc, c.key
        limit $2
    ) c"""


async def newest(
    door: Door, tenants: Collection[int], limit: int
) -> dict[int, list[ConflictRecord]]:
    """Each tenant's newest conflicts, at most `limit`; a tenant without any has an empty list."""
    found: dict[int, list[ConflictRecord]] = {tenant: [] for tenant in tenants}
    async with door.tenant_tx(*found) as connection:
        for row in await connection.fetch(NEWEST, list(found), limit):
            values = dict(row)
            found[values.pop("tenant_id")].append(ConflictRecord(**values))
    return found
