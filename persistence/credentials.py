"""API keys and widgets' tokens as they are kept: a prefix to look up, a digest, scopes, an end.

Owns the rows of `api_keys`: a row with origins is a widget's token. A secret never comes here;
`api.auth` makes and judges them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import asyncpg

from domain.periods import iso
from persistence.audit import trace
from persistence.connection import Connection
from persistence.door import Door


@dataclass(frozen=True, slots=True)
class KeyRecord:
    key_id: int
    tenant_id: int | None  #: None: an operator's
    tenant_key: str | None
    name: str
    prefix: str
    digest: bytes  #: BLAKE2b-256 of the whole secret
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int | None  #: exclusive; None: no end
    revoked_at: int | None
    last_used_at: int | None = None  #: to the minute
    origins: tuple[str, ...] | None = None  #: of a widget's pages; None: a key
    documents: tuple[str, ...] | None = None  #: ids of what a widget may ask for


NEW_KEY_SQL = """
insert into api_keys (tenant_id, name, prefix, digest, scopes, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7) returning key_id
"""


async def create_key(
    door: Door,
    tenant_id: int | None,
    *,
    name: str,
    prefix: str,
    digest: bytes,
    scopes: Sequence[str],
    expires_at: int | None,
    now: int,
) -> int:
    """Store a key of a tenant, or of the operator where `tenant_id` is None; its id."""
    async with _of(door, tenant_id) as conn:
        key_id: int = await conn.fetchval(
            NEW_KEY_SQL, tenant_id, name, prefix, digest, list(scopes), now, expires_at
        )
        await trace(
            conn, tenant_id, "apiKeyCreate", f"key/{key_id}", at=now,
            after={
                "name": name, "prefix": prefix, "scopes": list(scopes),
                "expiresAt": None if expires_at is None else iso(expires_at),
            },
        )  # fmt: skip
    return key_id


NEW_WIDGET_SQL = """
insert into api_keys (tenant_id, name, prefix, digest, scopes, created_at, expires_at, origins,
    documents, made_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning key_id
"""


async def create_widget(
    door: Door,
    tenant_id: int,
    *,
    name: str,
    prefix: str,
    digest: bytes,
    scopes: Sequence[str],
    origins: Sequence[str],
    documents: Sequence[str],
    made_by: int | None,
    expires_at: int,
    now: int,
) -> int:
    """Store a widget's token; its id. `made_by` is the key that asked for it, if it was one."""
    async with door.tenant_tx(tenant_id) as conn:
        key_id: int = await conn.fetchval(
            NEW_WIDGET_SQL, tenant_id, name, prefix, digest, list(scopes), now, expires_at,
            list(origins), list(documents), made_by,
        )  # fmt: skip
        await trace(
            conn, tenant_id, "widgetTokenCreate", f"key/{key_id}", at=now,
            after={
                "name": name, "prefix": prefix, "scopes": list(scopes), "origins": list(origins),
                "documents": list(documents), "expiresAt": iso(expires_at),
            },
        )  # fmt: skip
    return key_id


KEYS_SQL = """
select key_id, tenant_id, t.key as tenant_key, k.name, prefix, digest, scopes, k.created_at,
    expires_at, revoked_at, last_used_at, origins, documents
from api_keys k left join tenants t using (tenant_id)
"""


async def find_by_prefix(door: Door, prefix: str) -> KeyRecord | None:
    """The key of a prefix, revoked and ended ones included.

    As many as are asked for at one moment, after a restart, are one statement.
    """
    return await door.gathered(find_by_prefixes).get(prefix)


async def find_by_prefixes(door: Door, prefixes: Sequence[str]) -> dict[str, KeyRecord]:
    """The keys of prefixes in one statement, revoked and ended ones included."""
    async with door.system_tx("a key is looked up before its tenant is known") as conn:
        rows = await conn.fetch(f"{KEYS_SQL} where prefix = any ($1)", list(prefixes))
    return {row["prefix"]: _from_row(row) for row in rows}


async def find_by_id(door: Door, key_id: int, tenant_id: int | None) -> KeyRecord | None:
    """A key by its id; `tenant_id` limits the look to one tenant's, None is an operator's."""
    async with _of(door, tenant_id) as conn:
        row = await conn.fetchrow(
            f"{KEYS_SQL} where key_id = $1 and ($2::bigint is null or k.tenant_id = $2)",
            key_id,
            tenant_id,
        )
    return None if row is None else _from_row(row)


# Tokens of widgets come by the thousand and are gone the next day: they are in no list.
PAGES_SQL = """
select {columns}
from unnest($1::bigint[]) asked (tenant_id)
join tenants t using (tenant_id)
cross join lateral (
    select * from api_keys
    where tenant_id = asked.tenant_id and key_id > $2 and origins is null
    order by key_id limit $3
) k
order by k.tenant_id, k.key_id
"""
COLUMNS = """k.key_id, k.tenant_id, t.key as tenant_key, k.name, k.prefix, k.digest, k.scopes,
    k.created_at, k.expires_at, k.revoked_at, k.last_used_at, k.origins, k.documents"""


async def pages(
    door: Door, tenants: Sequence[int], *, after: int, limit: int
) -> dict[int, list[KeyRecord]]:
    """Of each tenant up to `limit` of its keys behind the key `after`, oldest first."""
    found: dict[int, list[KeyRecord]] = {tenant: [] for tenant in tenants}
    async with door.tenant_tx(*found) as conn:
        rows = await conn.fetch(PAGES_SQL.format(columns=COLUMNS), list(found), after, limit)
    for row in rows:
        found[row["tenant_id"]].append(_from_row(row))
    return found


async def page_of_operators(door: Door, *, after: int, limit: int) -> list[KeyRecord]:
    """Up to `limit` of the operators' own keys behind the key `after`, oldest first."""
    async with door.system_tx("operators' keys are of no tenant") as conn:
        rows = await conn.fetch(
            f"{KEYS_SQL} where tenant_id is null and key_id > $1 order by key_id limit $2",
            after,
            limit,
        )
    return [_from_row(row) for row in rows]


# Who revokes it at the same time waits, and then sees that it was.
HELD_SQL = """
select tenant_id, name, prefix, revoked_at from api_keys
where key_id = $1 and ($2::bigint is null or tenant_id = $2) for no key update
"""

# The first revocation counts; a second leaves its instant. What a key made for widgets goes too.
REVOKE_SQL = """
with revoked as (
    update api_keys set revoked_at = coalesce(revoked_at, $3)
    where (key_id = $1 or made_by = $1) and ($2::bigint is null or tenant_id = $2)
    returning key_id, revoked_at
)
select revoked_at from revoked where key_id = $1
"""


async def revoke_key(door: Door, key_id: int, tenant_id: int | None, *, now: int) -> int | None:
    """End a key and say when it ended; None where there is no such key to be seen."""
    async with _of(door, tenant_id) as conn:
        held = await conn.fetchrow(HELD_SQL, key_id, tenant_id)
        revoked_at: int | None = await conn.fetchval(REVOKE_SQL, key_id, tenant_id, now)
        if held is not None and held["revoked_at"] is None:
            known = {"name": held["name"], "prefix": held["prefix"]}
            await trace(
                conn, held["tenant_id"], "apiKeyRevoke", f"key/{key_id}", at=now,
                before={**known, "revokedAt": None}, after={**known, "revokedAt": iso(now)},
            )  # fmt: skip
    return revoked_at


# A row that somebody holds is passed over: he says the same, or revokes it.
USED_SQL = """
update api_keys k set last_used_at = greatest(k.last_used_at, used.at)
from unnest($1::bigint[], $2::bigint[]) used (key_id, at)
where k.key_id = used.key_id and k.key_id in (
    select key_id from api_keys where key_id = any ($1) for no key update skip locked
)
"""


async def note_uses(door: Door, uses: Mapping[int, int]) -> None:
    """Keep when keys were last taken, in one statement for all of them."""
    async with door.system_tx("keys of all tenants were taken") as conn:
        await conn.execute(USED_SQL, list(uses), list(uses.values()))


WELCOME_SQL = """
select exists (
    select from api_keys
    where origins is not null and origins @> array[$1::text] and revoked_at is null
        and expires_at > $2
)
"""


async def has_widget_of(door: Door, origin: str, *, now: int) -> bool:
    """Whether any tenant has a widget on pages of this origin."""
    async with door.system_tx("a page comes before its widget's tenant is known") as conn:
        found: bool = await conn.fetchval(WELCOME_SQL, origin, now)
    return found


CLEAR_SQL = """
delete from api_keys where key_id in (
    select key_id from api_keys where origins is not null and expires_at <= $1
    order by expires_at limit $2 for update skip locked
)
"""


async def clear_widgets(door: Door, before: int, *, limit: int) -> int:
    """Remove up to `limit` tokens of widgets that had ended before an instant; how many it was."""
    async with door.system_tx("tokens of all tenants that ended") as conn:
        return int((await conn.execute(CLEAR_SQL, before, limit)).split()[-1])


def _of(door: Door, tenant_id: int | None) -> AbstractAsyncContextManager[Connection]:
    """A transaction that sees one tenant's keys, or the operator's."""
    if tenant_id is None:
        return door.system_tx("an operator's keys, and an operator's look at keys")
    return door.tenant_tx(tenant_id)


def _from_row(row: asyncpg.Record) -> KeyRecord:
    lists = {name: _several(row[name]) for name in ("origins", "documents")}
    return KeyRecord(**{**row, **lists, "scopes": tuple(row["scopes"])})


def _several(texts: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if texts is None else tuple(texts)
