"""Settlements as they were recorded, and from when on a tenant is not settled (EV-9, EV-10).

Owns the reading; what writes them is `settling`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from persistence.door import Door

NEWEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the stretch of its list that is wanted."""

    tenant_id: int
    before: int = NEWEST  #: the number of the last one seen


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementRecord:
    """What one settling posted."""

    settlement_id: int
    month: int  #: the first period of which something was corrected
    cause: int  #: an `api.settling.Cause`
    facts: int  #: that are charged otherwise since
    differences: tuple[tuple[str, str | None, int], ...]  #: balance, currency, micros
    started_at: int
    settled_at: int
    version: int  #: of the commit that posted it


# A page for each one asked for; each walks the primary key backwards.
PAGES = """
select a.n, found.*
from unnest($1::bigint[], $2::bigint[]) with ordinality a (tenant_id, before, n)
cross join lateral (
    select s.settlement_id, s.month, s.cause, s.facts, s.started_at, s.version,
        c.at as settled_at, (
            select coalesce(jsonb_agg(
                jsonb_build_array(b.key, b.currency, d.value) order by b.balance_id
            ), '[]')
            from jsonb_each(s.differences) d
            join balances b on b.tenant_id = s.tenant_id and b.key = d.key
        )::text as differences
    from settlements s
    join commits c on c.tenant_id = s.tenant_id and c.version = s.version
    where s.tenant_id = a.tenant_id and s.settlement_id < a.before
    order by s.settlement_id desc
    limit $3
) found
order by a.n, found.settlement_id desc"""


async def pages(door: Door, asked: Sequence[Asked], *, limit: int) -> list[list[SettlementRecord]]:
    """For each one asked for, up to `limit` settlements, newest first."""
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(
            PAGES, [one.tenant_id for one in asked], [one.before for one in asked], limit
        )
    found: list[list[SettlementRecord]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(_from_row(row))
    return found


def _from_row(row: asyncpg.Record) -> SettlementRecord:
    values = dict(row)
    del values["n"]
    differences: list[list[Any]] = msgspec.json.decode(values.pop("differences"))
    return SettlementRecord(**values, differences=tuple((k, c, a) for k, c, a in differences))


UNSETTLED_FROM = """
select tenant_id, unsettled_from from tenant_head where tenant_id = any ($1::bigint[])"""


async def unsettled_from(door: Door, tenant_ids: Iterable[int]) -> list[int | None]:
    """From when on each tenant is not settled, in order; None: all of it is."""
    ids = list(tenant_ids)
    async with door.tenant_tx(*ids) as connection:
        rows = await connection.fetch(UNSETTLED_FROM, ids)
    found = {row["tenant_id"]: row["unsettled_from"] for row in rows}
    return [found[tenant_id] for tenant_id in ids]


CLOSED = "select tenant_id, closed_until from tenant_head where tenant_id = any ($1::bigint[])"


async def closed_until(door: Door, tenant_ids: Sequence[int]) -> list[int | None]:
    """The instants before which everything of the tenants is closed; None: nothing is."""
    async with door.tenant_tx(*tenant_ids) as connection:
        rows = await connection.fetch(CLOSED, list(tenant_ids))
    found = {row["tenant_id"]: row["closed_until"] for row in rows}
    return [found.get(tenant_id) for tenant_id in tenant_ids]
