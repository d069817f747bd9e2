"""Mailboxes: where a tenant's alerts are mailed to, as they are kept.

Owns the rows, and to which of them an alert goes and when. What stands in a letter is
`api.reaching.letters`' to say, which alerts go together `letters`'.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg

from domain.periods import Zone
from domain.quiet_hours import URGENT, QuietHours, goes_at
from domain.watch import AlertKind
from persistence.connection import Connection
from persistence.door import Door
from persistence.zones import read_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One mailbox of a tenant."""

    tenant_id: int
    mailbox_id: int
    email: str
    locale: str
    kinds: Sequence[AlertKind]  #: those that go there
    quiet: QuietHours | None
    urgent_anyway: bool  #: what is urgent goes in quiet hours as well
    created_at: int
    last_sent_at: int | None
    last_error: str | None  #: why the latest letter did not go; None: it did

    def goes_at(self, zone: Zone, kinds: Collection[AlertKind], due_at: int) -> int:
        """When a letter may go that tells these kinds and is due at an instant."""
        if self.urgent_anyway and not URGENT.isdisjoint(kinds):
            return due_at
        return goes_at(self.quiet, zone, due_at)


class Told(Protocol):
    """What is asked of an alert."""

    @property
    def kind(self) -> AlertKind: ...


COLUMNS = """m.tenant_id, m.mailbox_id, m.email, m.locale, m.kinds, m.quiet_from, m.quiet_until,
    m.urgent_anyway, m.created_at, m.last_sent_at, m.last_error"""

WANTING = f"""
select {COLUMNS}, t.zones::text as zones from mailboxes m join tenants t using (tenant_id)
where m.tenant_id = $1 and $2 = any (m.kinds)
order by m.mailbox_id"""


async def due_for(
    connection: Connection, tenant_id: int, alert: Told, now: int
) -> list[tuple[int, int]]:
    """The mailboxes that an alert goes to, each with when its letter is due."""
    rows = await connection.fetch(WANTING, tenant_id, int(alert.kind))
    return [
        (row["mailbox_id"], _mailbox(row).goes_at(read_zone(row["zones"]), (alert.kind,), now))
        for row in rows
    ]


ALL = f"""
select {COLUMNS}, t.zones::text as zones from mailboxes m join tenants t using (tenant_id)
where m.tenant_id = $1
order by m.mailbox_id"""


async def due_for_notice(connection: Connection, tenant_id: int, now: int) -> list[tuple[int, int]]:
    """Every mailbox of a tenant, for what is of no alert, each with when its letter is due."""
    rows = await connection.fetch(ALL, tenant_id)
    return [
        (row["mailbox_id"], _mailbox(row).goes_at(read_zone(row["zones"]), (), now)) for row in rows
    ]


# Who adds mailboxes to one tenant at the same time does so one after the other.
LOCK = "select from tenants where tenant_id = $1 for no key update"
HELD = f"select {COLUMNS} from mailboxes m where m.tenant_id = $1 and m.email = $2"
COUNT = "select count(*) from mailboxes where tenant_id = $1"
SET = f"""
insert into mailboxes as m (
    tenant_id, email, locale, kinds, quiet_from, quiet_until, urgent_anyway, created_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (tenant_id, email) do update
set locale = excluded.locale, kinds = excluded.kinds, quiet_from = excluded.quiet_from,
    quiet_until = excluded.quiet_until, urgent_anyway = excluded.urgent_anyway
returning {COLUMNS}"""


async def put(
    connection: Connection,
    tenant_id: int,
    *,
    email: str,
    locale: str,
    kinds: Sequence[AlertKind],
    quiet: QuietHours | None,
    urgent_anyway: bool,
    most: int,
    now: int,
) -> tuple[Mailbox | None, Mailbox | None]:
    """Keep a mailbox, or change what the one of its address has: as it was, and as it is.

    Neither where it would be new and the tenant has `most` of them.
    """
    await connection.execute(LOCK, tenant_id)
    held = await connection.fetchrow(HELD, tenant_id, email)
    if held is None and await connection.fetchval(COUNT, tenant_id) >= most:
        return None, None
    start, end = (None, None) if quiet is None else (quiet.start, quiet.end)
    row = await connection.fetchrow(
        SET, tenant_id, email, locale, list(kinds), start, end, urgent_anyway, now
    )
    assert row is not None
    return None if held is None else _mailbox(held), _mailbox(row)


FIND = f"select {COLUMNS} from mailboxes m where m.tenant_id = $1 and m.mailbox_id = $2"


async def find(
    connection: Connection, tenant_id: int, mailbox_id: int, *, lock: bool = False
) -> Mailbox | None:
    """A mailbox of a tenant; locked, nobody else writes to it before the transaction ends."""
    statement = f"{FIND} for no key update" if lock else FIND
    row = await connection.fetchrow(statement, tenant_id, mailbox_id)
    return None if row is None else _mailbox(row)


REMOVE = f"""
delete from mailboxes m where m.tenant_id = $1 and m.mailbox_id = $2 returning {COLUMNS}"""


async def remove(connection: Connection, tenant_id: int, mailbox_id: int) -> Mailbox | None:
    """Forget a mailbox; what is on its way to it stops when its time comes. None: there is none."""
    row = await connection.fetchrow(REMOVE, tenant_id, mailbox_id)
    return None if row is None else _mailbox(row)


OF_TENANTS = f"""
select {COLUMNS} from mailboxes m where m.tenant_id = any ($1::bigint[])
order by m.tenant_id, m.mailbox_id"""


async def of_tenants(door: Door, tenants: Sequence[int]) -> list[list[Mailbox]]:
    """For each tenant, in order, its mailboxes, oldest first."""
    found: dict[int, list[Mailbox]] = {tenant: [] for tenant in tenants}
    async with door.tenant_tx(*found) as connection:
        for row in await connection.fetch(OF_TENANTS, list(found)):
            found[row["tenant_id"]].append(_mailbox(row))
    return [found[tenant] for tenant in tenants]


SENT = """
update mailboxes set last_sent_at = $3, last_error = null
where tenant_id = $1 and mailbox_id = $2"""
UNSENT = "update mailboxes set last_error = $3 where tenant_id = $1 and mailbox_id = $2"


async def sent(connection: Connection, tenant_id: int, mailbox_id: int, now: int) -> None:
    """Note that a letter went there."""
    await connection.execute(SENT, tenant_id, mailbox_id, now)


async def unsent(connection: Connection, tenant_id: int, mailbox_id: int, why: str) -> None:
    """Note why a letter did not."""
    await connection.execute(UNSENT, tenant_id, mailbox_id, why)


def _mailbox(row: asyncpg.Record) -> Mailbox:
    values: dict[str, Any] = {name: value for name, value in row.items() if name != "zones"}
    start, end = values.pop("quiet_from"), values.pop("quiet_until")
    values["kinds"] = tuple(AlertKind(kind) for kind in values["kinds"])
    return Mailbox(**values, quiet=None if start is None else QuietHours(start, end))
