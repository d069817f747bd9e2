"""What an import writes beside facts and actions: the catalogue, the tenant, and how far it came.

Owns statements alone. Books and plans are published as the database's owner, as `migrate` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from domain.book_documents import parse_book
from domain.sending import OwnSending
from persistence.catalogue import (
    Catalogue,
    Document,
    canonical,
    digest_of,
    lists_of,
    put_in_place,
    put_rules,
    put_version,
)
from persistence.connection import Connection
from persistence.sending import write_own


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A version of a book or a plan as another database has it, or a list of markets."""

    kind: str  #: book, plan or markets
    key: str
    version: int
    published_at: int
    body: Document


KNOWN = {
    "book": "select version, digest from books where book = $1 order by version",
    "plan": "select version, digest from plans where plan = $1 order by version",
    "markets": "select 0 as version, digest from markets where markets = $1",
}


async def known(connection: Connection, kind: str, key: str) -> dict[int, bytes]:
    """Digests of what is published here under a key, by version."""
    return {row["version"]: row["digest"] for row in await connection.fetch(KNOWN[kind], key)}


def digests(documents: Sequence[Published]) -> dict[tuple[str, str], dict[int, bytes]]:
    """Digests by kind and key, by version."""
    found: dict[tuple[str, str], dict[int, bytes]] = {}
    for each in documents:
        found.setdefault((each.kind, each.key), {})[each.version] = digest_of(each.body)
    return found


FORGET = {
    "book": "delete from books where book = $1",
    "plan": "delete from plans where plan = $1",
    "markets": "delete from markets where markets = $1",
}


async def publish(
    owner_url: str,
    documents: Sequence[Published],
    wanted: Collection[tuple[str, str]],
    replaced: Collection[tuple[str, str]],
) -> None:
    """Publish of `documents` what is `wanted` by kind and key, in the versions it has there.

    What stands here under `replaced` goes first. All of it or nothing: a catalogue that could not
    be read again raises what reading it raises.
    """
    connection: Connection = await asyncpg.connect(owner_url)
    try:
        async with connection.transaction():
            await connection.execute(
                "lock table books, plans, markets, rules in share row exclusive mode"
            )
            for kind, key in replaced:
                await connection.execute(FORGET[kind], key)
            markets = {each.key: each.body for each in documents if each.kind == "markets"}
            for each in documents:
                if (each.kind, each.key) in wanted:
                    await _put(connection, each, markets)
            await Catalogue.load(connection)
    finally:
        await connection.close(timeout=5)


async def _put(connection: Connection, each: Published, markets: Mapping[str, Document]) -> None:
    if each.kind == "markets":
        await put_in_place(connection, each.kind, each.key, each.body)
        return
    version = await put_version(connection, each.kind, each.key, each.body, each.published_at)
    if version != each.version:
        raise ValueError(f"{each.kind} {each.key} {each.version} would be {version} here")
    if each.kind == "book":
        book = parse_book(each.body, each.version, lists_of(each.body, dict(markets)))
        await put_rules(connection, book)


NEW_TENANT = """
insert into tenants (tenant_id, key, name, zones, currency, country, locale, plan, status, since,
    created_at, sending, hold_key)
values ($1, $2, $3, $4::text::jsonb, $5, $6, $7, $8, $9, $10, $11, $12::text::jsonb,
    coalesce($13::bytea, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))"""

NEW_BALANCES = """
insert into balances (tenant_id, balance_id, key, unit, currency)
select $1, * from unnest($2::smallint[], $3::text[], $4::text[], $5::text[])"""

NEW_NUMBER = """
insert into numbers (tenant_id, channel, address, zones, created_at)
values ($1, $2, $3, $4::text::jsonb, $5)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNumber:
    channel: int
    address: str
    timezone: str  #: its first one
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTenant:
    """A tenant as it began."""

    key: str
    name: str
    timezone: str  #: its first one
    currency: str
    country: str
    locale: str
    plan: str  #: its first one
    status: str
    since: int | None
    created_at: int
    balances: Sequence[tuple[str, str, str | None]]  #: key, unit, currency
    numbers: Sequence[NewNumber]
    sending: OwnSending
    hold_key: bytes  #: signs the ids of its holds; empty: it gets one of its own


async def next_tenant(connection: Connection) -> int:
    """The number of a tenant that will be."""
    tenant_id: int = await connection.fetchval("select nextval('tenants_tenant_id_seq')")
    return tenant_id


async def begin(
    connection: Connection, tenant_id: int, tenant: NewTenant, log: bytes, *, now: int
) -> None:
    """Make a tenant to which nothing happened yet, and note from which log it comes."""
    await connection.execute(
        NEW_TENANT, tenant_id, tenant.key, tenant.name, _zones(tenant.timezone), tenant.currency,
        tenant.country, tenant.locale, tenant.plan, tenant.status, tenant.since, tenant.created_at,
        write_own(tenant.sending), tenant.hold_key or None,
    )  # fmt: skip
    columns: list[list[Any]] = [list(column) for column in zip(*tenant.balances, strict=True)]
    await connection.execute(
        NEW_BALANCES, tenant_id, list(range(1, len(tenant.balances) + 1)), *columns
    )
    for number in tenant.numbers:
        await connection.execute(
            NEW_NUMBER, tenant_id, number.channel, number.address, _zones(number.timezone),
            number.created_at,
        )  # fmt: skip
    since = tenant.since
    due = since if since is not None and since > tenant.created_at else None
    await connection.execute(
        "insert into tenant_head (tenant_id, next_due, below) values ($1, $2, null)",
        tenant_id,
        due,
    )
    await connection.execute(
        "insert into imports (tenant_id, log, begun_at) values ($1, $2, $3)", tenant_id, log, now
    )


def _zones(timezone: str) -> str:
    return canonical([[None, timezone]])


@dataclass(frozen=True, slots=True)
class Import:
    """An import that was begun."""

    log: bytes
    finished_at: int | None


async def find(connection: Connection, tenant_id: int) -> Import | None:
    """The import a tenant came by; None: it was created here."""
    row = await connection.fetchrow(
        "select log, finished_at from imports where tenant_id = $1", tenant_id
    )
    return None if row is None else Import(row["log"], row["finished_at"])


async def finish(connection: Connection, tenant_id: int, now: int) -> None:
    """Note that a log was read to its end."""
    await connection.execute(
        "update imports set finished_at = $2 where tenant_id = $1", tenant_id, now
    )
