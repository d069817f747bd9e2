"""Webhook endpoints: where a tenant's alerts are posted to, as they are kept.

Owns the rows. Secrets come and go sealed: what opens them is `api.reaching.signatures`'. Which
deliveries there are stands in `deliveries`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import asyncpg

from domain.watch import AlertKind
from persistence.connection import Connection
from persistence.door import Door

#: What their ids begin with.
PREFIX = "whe"


class Reason(StrEnum):
    """Why an endpoint is off; stored."""

    ASKED = "asked"  #: somebody turned it off
    GONE = "gone"  #: it answered 410
    FAILING = "failing"  #: nothing was taken for days


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint of a tenant."""

    tenant_id: int
    endpoint_id: int
    url: str
    description: str
    kinds: Sequence[AlertKind]  #: empty: all
    secret: str  #: sealed
    secret_before: str | None  #: sealed
    secret_until: int | None  #: until when the one before signs as well
    created_at: int
    disabled_at: int | None  #: None: it is on
    disabled_reason: Reason | None
    failing_since: int | None  #: the first try that failed since one was taken; None: none did
    failed_at: int | None  #: the latest of them
    rests_until: int  #: it asked not to be tried before

    def wants(self, kind: AlertKind) -> bool:
        """Whether alerts of a kind go there while it is on."""
        return not self.kinds or kind in self.kinds

    def sealed(self, now: int) -> list[str]:
        """The secrets that sign now, the newest first."""
        if self.secret_before is None or now >= (self.secret_until or 0):
            return [self.secret]
        return [self.secret, self.secret_before]


COLUMNS = """tenant_id, endpoint_id, url, description, kinds, secret, secret_before, secret_until,
    created_at, disabled_at, disabled_reason, failing_since, failed_at, rests_until"""

ADD = f"""
insert into webhook_endpoints (tenant_id, url, description, kinds, secret, created_at)
values ($1, $2, $3, $4, $5, $6)
returning {COLUMNS}"""


async def add(
    connection: Connection,
    tenant_id: int,
    *,
    url: str,
    description: str,
    kinds: Sequence[AlertKind],
    secret: str,
    now: int,
) -> Endpoint:
    """Keep a new endpoint."""
    row = await connection.fetchrow(ADD, tenant_id, url, description, list(kinds), secret, now)
    assert row is not None
    return _from_row(row)


FIND = f"select {COLUMNS} from webhook_endpoints where tenant_id = $1 and endpoint_id = $2"


async def find(
    connection: Connection, tenant_id: int, endpoint_id: int, *, lock: bool = False
) -> Endpoint | None:
    """An endpoint of a tenant; locked, nobody else changes it before the transaction ends."""
    statement = f"{FIND} for no key update" if lock else FIND
    row = await connection.fetchrow(statement, tenant_id, endpoint_id)
    return None if row is None else _from_row(row)


OF_TENANTS = f"""
select {COLUMNS} from webhook_endpoints
where tenant_id = any ($1::bigint[])
order by tenant_id, endpoint_id"""


async def of_tenant(connection: Connection, tenant_id: int) -> list[Endpoint]:
    """The endpoints of a tenant, oldest first."""
    return [_from_row(row) for row in await connection.fetch(OF_TENANTS, [tenant_id])]


# Who adds endpoints to one tenant at the same time does so one after the other.
LOCK = "select from tenants where tenant_id = $1 for no key update"


async def locked_of(connection: Connection, tenant_id: int) -> list[Endpoint]:
    """As `of_tenant`; nobody else adds one before the transaction ends."""
    await connection.execute(LOCK, tenant_id)
    return await of_tenant(connection, tenant_id)


async def of_tenants(door: Door, tenants: Sequence[int]) -> list[list[Endpoint]]:
    """For each tenant, in order, its endpoints, oldest first."""
    found: dict[int, list[Endpoint]] = {tenant: [] for tenant in tenants}
    async with door.tenant_tx(*found) as connection:
        for row in await connection.fetch(OF_TENANTS, list(found)):
            found[row["tenant_id"]].append(_from_row(row))
    return [found[tenant] for tenant in tenants]


SET = """
update webhook_endpoints
set url = $3, description = $4, kinds = $5, disabled_at = $6, disabled_reason = $7,
    failing_since = $8, failed_at = $9, rests_until = $10, secret = $11, secret_before = $12,
    secret_until = $13
where tenant_id = $1 and endpoint_id = $2"""


async def keep(connection: Connection, endpoint: Endpoint) -> None:
    """Keep an endpoint as it is now; whoever does so has locked it."""
    await connection.execute(
        SET, endpoint.tenant_id, endpoint.endpoint_id, endpoint.url, endpoint.description,
        list(endpoint.kinds), endpoint.disabled_at, endpoint.disabled_reason,
        endpoint.failing_since, endpoint.failed_at, endpoint.rests_until, endpoint.secret,
        endpoint.secret_before, endpoint.secret_until,
    )  # fmt: skip


REMOVE = "delete from webhook_endpoints where tenant_id = $1 and endpoint_id = $2"


async def remove(connection: Connection, tenant_id: int, endpoint_id: int) -> None:
    """Forget an endpoint; its deliveries stop when they are next tried."""
    await connection.execute(REMOVE, tenant_id, endpoint_id)


def _from_row(row: asyncpg.Record) -> Endpoint:
    values: dict[str, Any] = dict(row.items())
    values["kinds"] = tuple(AlertKind(kind) for kind in values["kinds"])
    if values["disabled_reason"] is not None:
        values["disabled_reason"] = Reason(values["disabled_reason"])
    return Endpoint(**values)
