"""Tenants with facts that no rate covers, and up to which of them somebody has tried (EV-7).

Owns the rows of `unrated` but for their first writing, which is `record`'s. A row is changed under
its tenant's lock; which facts it stands for is `log`'s to read.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from persistence.catalogue import STAMP
from persistence.connection import Connection
from persistence.door import Door

#: Tenants of one look: the others come with the next.
TENANTS_MAX = 50


class Waiting(NamedTuple):
    """A tenant's facts that wait for a rate."""

    since: int  #: none of them is earlier
    tried: str  #: the stamp of the catalogue that has no rate for them; "" before the first try


class Look(NamedTuple):
    """What a look over all tenants found."""

    kept: int  #: tenants with unrated facts
    untried: list[int]  #: of whom something was published since


LOOK = f"""
select
    (select count(*) from unrated) as kept,
    array(
        select tenant_id from unrated
        where tried <> {STAMP} and tenant_id <> all ($1::bigint[])
        order by tenant_id
        limit {TENANTS_MAX}
    ) as untried"""

READ = "select since, tried from unrated where tenant_id = $1"

MOVE = "update unrated set since = $2, tried = coalesce($3, tried) where tenant_id = $1"

DONE = "delete from unrated where tenant_id = $1"


async def look(door: Door, passed_over: Collection[int] = ()) -> Look:
    """Whose unrated facts nobody tried under what is published now, but for those passed over."""
    async with door.system_tx("tenants with unrated facts are any") as connection:
        row = await connection.fetchrow(LOOK, list(passed_over))
    assert row is not None
    return Look(row["kept"], row["untried"])


async def read(connection: Connection, tenant_id: int) -> Waiting | None:
    """What is known of a locked tenant; None where all its facts are rated."""
    row = await connection.fetchrow(READ, tenant_id)
    return None if row is None else Waiting(row["since"], row["tried"])


async def move(
    connection: Connection, tenant_id: int, since: int, tried: str | None = None
) -> None:
    """Note that a locked tenant's unrated facts begin at `since`, and which stamp was tried."""
    await connection.execute(MOVE, tenant_id, since, tried)


async def done(connection: Connection, tenant_id: int) -> None:
    """Note that a locked tenant has no unrated fact any more."""
    await connection.execute(DONE, tenant_id)
