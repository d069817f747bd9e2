"""Holds as PostgreSQL has them: rows of those that facts or people made something of.

Owns the statements and the digests of rows. That a hold was granted stands in its id and in Valkey
(`held`); here is what became of it, written under its tenant's lock. A share has a row of its own
only where the hold is for several recipients.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
import msgspec

from domain.facts import Fact
from domain.holds import (
    NUMBER_BYTES,
    End,
    Hold,
    Kept,
    Share,
    Vector,
    read,
    read_vector,
    recipient_of,
    vector,
    vector_text,
)
from domain.state import State
from domain.terms import Terms
from persistence.bulk import Columns, Row, Table, Write
from persistence.connection import Connection
from persistence.door import Door

_pack = msgspec.msgpack.Encoder().encode

DIGEST_BYTES = 16

#: Rows that a cursor brings at a time.
FETCHED = 1_000

HOLDS = Table(
    "holds",
    "tenant_id bigint, hold_id bytea, expires_at bigint, lasts_until bigint, shares integer,"
    " share text, total text, varied boolean, ended integer, back text, sent text, sent_at bigint,"
    " ended_at bigint, ended_by smallint, revision integer, version bigint, digest bytea",
    "on conflict (tenant_id, hold_id) do update set ended = excluded.ended, back = excluded.back,"
    " sent = excluded.sent, sent_at = excluded.sent_at, ended_at = excluded.ended_at,"
    " ended_by = excluded.ended_by, revision = excluded.revision, version = excluded.version,"
    " digest = excluded.digest",
)
SHARES = Table(
    "hold_shares",
    "tenant_id bigint, hold_id bytea, recipient bytea, share text?, sent_at bigint,"
    " ended_at bigint, ended_by smallint, digest bytea",
    "on conflict (tenant_id, hold_id, recipient) do update set sent_at = excluded.sent_at,"
    " ended_at = excluded.ended_at, ended_by = excluded.ended_by, digest = excluded.digest",
)
#: A hold as it is granted; one that is there already stays as it is.
GRANTS = Table("holds", HOLDS.written + ", answer bytea", "on conflict do nothing")

write_holds = Write(HOLDS)
write_grants = Write(GRANTS)
write_shares = Write(SHARES)


def columns(table: Table) -> list[str]:
    """The columns that a row's digest is over, in its order."""
    return [pair.split()[0] for pair in table.written.split(",")][:-1]


def digest_of(row: Sequence[Any]) -> bytes:
    """A digest of all the other columns of a row; no commit's digest has it."""
    return hashlib.blake2b(_pack(list(row)), digest_size=DIGEST_BYTES).digest()


_IDS = Columns("tenant_id bigint, hold_id bytea")
BY_ID = f"""
select h.*
from ({_IDS.source}) asked,
    lateral (
        select * from holds h
        where h.tenant_id = asked.tenant_id and h.hold_id = asked.hold_id
        offset 0
    ) h"""

_NAMED = Columns("tenant_id bigint, hold_id bytea, recipient bytea")
BY_RECIPIENT = f"""
select s.*
from ({_NAMED.source}) asked,
    lateral (
        select * from hold_shares s
        where s.tenant_id = asked.tenant_id and s.hold_id = asked.hold_id
            and s.recipient = asked.recipient
        offset 0
    ) s"""


async def load(
    connection: Connection,
    own: Mapping[int, Terms],
    states: Mapping[int, State],
    facts: Iterable[Fact],
) -> None:
    """Load the holds that `facts` name, with the shares of those they reached.

    What a state knew of holds before is forgotten: a share may be written beside its commits.
    """
    for state in states.values():
        state.holds = {}
    found: dict[tuple[int, bytes], Kept] = {}
    named: dict[tuple[int, bytes, bytes], None] = {}
    for fact in facts:
        if fact.hold is None:
            continue
        tenant_id = fact.tenant_id
        known = states[tenant_id].holds
        assert known is not None
        if fact.hold not in known:
            hold = read(fact.hold, own[tenant_id].hold_key)
            kept = known[fact.hold] = None if hold is None else Kept(hold)
            if kept is not None:
                found[tenant_id, kept.hold.hold_id] = kept
        kept = known[fact.hold]
        if kept is not None and not kept.single:
            named[tenant_id, kept.hold.hold_id, recipient_of(fact.address)] = None
    if not found:
        return
    for row in await connection.fetch(BY_ID, *_IDS.parameters(list(found))):
        _fill(found[row["tenant_id"], row["hold_id"]], row)
    if named:
        for row in await connection.fetch(BY_RECIPIENT, *_NAMED.parameters(list(named))):
            found[row["tenant_id"], row["hold_id"]].shares[row["recipient"]] = _share(row)


OPEN = """
select * from holds
where tenant_id = $1 and ended_at is null and lasts_until > $2
    and (expires_at > $2 or sent <> '[]')
order by hold_id"""


async def open_holds(
    connection: Connection, tenant_id: int, now: int
) -> AsyncIterator[tuple[Kept, bytes | None]]:
    """The holds that set something aside at an instant, and what was told of each."""
    async for row in connection.cursor(OPEN, tenant_id, now, prefetch=FETCHED):
        yield kept_of(row), answer_of(row)


async def find(connection: Connection, tenant_id: int, hold: Hold) -> Kept:
    """A hold as it stands, for who ends all of it; without the shares of its recipients."""
    kept = Kept(hold)
    rows = await connection.fetch(BY_ID, *_IDS.parameters([(tenant_id, hold.hold_id)]))
    for row in rows:
        _fill(kept, row)
    return kept


async def grant(connection: Connection, granted: Iterable[tuple[int, int, Hold, bytes]]) -> None:
    """Keep holds that were granted: tenant, version, hold, and what whoever asked is told."""
    rows = [
        (*_row(tenant_id, version, Kept(hold)), _sealed(hold.hold_id, answer))
        for tenant_id, version, hold, answer in granted
    ]
    await write_grants(connection, rows)


def _sealed(hold_id: bytes, answer: bytes) -> bytes:
    return hashlib.blake2b(hold_id + answer, digest_size=DIGEST_BYTES).digest() + answer


def answer_of(row: asyncpg.Record) -> bytes | None:
    """What whoever asked was told; None where that is not known, as in a copy."""
    sealed: bytes | None = row["answer"]
    return None if sealed is None else sealed[DIGEST_BYTES:]


# What nobody used, and its time is over.
CLEAR = """
delete from holds where (tenant_id, hold_id) in (
    select tenant_id, hold_id from holds
    where ended_at is null and ended = 0 and lasts_until < $1
    limit $2
)
returning tenant_id, hold_id, shares"""

CLEAR_SHARES = """
delete from hold_shares s
using unnest($1::bigint[], $2::bytea[]) gone (tenant_id, hold_id)
where s.tenant_id = gone.tenant_id and s.hold_id = gone.hold_id"""


async def clear(door: Door, before: int, *, limit: int) -> int:
    """Remove up to `limit` holds that were over before an instant and never used; how many."""
    async with door.system_tx("holds of all tenants that nobody used") as connection:
        rows = await connection.fetch(CLEAR, before, limit)
        several = [(row["tenant_id"], row["hold_id"]) for row in rows if row["shares"] > 1]
        if several:
            await connection.execute(CLEAR_SHARES, *map(list, zip(*several, strict=True)))
    return len(rows)


async def write(connection: Connection, changed: Iterable[tuple[int, int, Sequence[Kept]]]) -> None:
    """Write holds that changed, by tenant and the version they changed in."""
    holds: list[Row] = []
    shares: list[Row] = []
    for tenant_id, version, kept_ones in changed:
        for kept in kept_ones:
            holds.append(_row(tenant_id, version, kept))
            kept.changed = False
            for recipient, share in kept.shares.items():
                if share.changed and not kept.single:
                    shares.append(_share_row(tenant_id, kept.hold.hold_id, recipient, share))
                share.changed = False
    await write_holds(connection, holds)
    await write_shares(connection, shares)


async def keep_shares(
    connection: Connection, tenant_id: int, hold_id: bytes, own: Mapping[bytes, Vector]
) -> None:
    """Keep the shares of a varied hold that are not as its id says, by recipient."""
    rows = [
        _share_row(tenant_id, hold_id, recipient, Share(share)) for recipient, share in own.items()
    ]
    await write_shares(connection, rows)


async def restore(
    connection: Connection,
    tenant_id: int,
    version: int,
    kept: Iterable[Mapping[str, Any]],
    shares: Iterable[Mapping[str, Any]],
) -> None:
    """Keep rows of another database as it had them, at a version of this one; ids are hex."""
    of_tenant = {"tenant_id": tenant_id, "version": version}
    for write_rows, table, named in ((write_holds, HOLDS, kept), (write_shares, SHARES, shares)):
        rows: list[Row] = []
        for one in named:
            said = {**one, **of_tenant, "hold_id": bytes.fromhex(one["hold"])}
            if "recipient" in one:
                said["recipient"] = bytes.fromhex(one["recipient"])
            row = tuple(said[name] for name in columns(table))
            rows.append((*row, digest_of(row)))
        await write_rows(connection, rows)


_THERE = "select hold_id from holds where tenant_id = $1 and hold_id = any ($2::bytea[])"


async def there(connection: Connection, tenant_id: int, hold_ids: Collection[bytes]) -> set[bytes]:
    """Which of these holds have a row."""
    rows = await connection.fetch(_THERE, tenant_id, list(hold_ids))
    return {row["hold_id"] for row in rows}


_ENDED = """
select h.hold_id, h.ended, s.ended as right
from holds h, lateral (
    select count(*)::integer as ended from hold_shares
    where tenant_id = h.tenant_id and hold_id = h.hold_id and ended_at is not null
) s
where h.tenant_id = $1 and (h.shares > 1 or h.varied) and h.ended <> s.ended
order by h.hold_id"""


class Wrong(NamedTuple):
    """A row that says something else than was written."""

    table: str
    row: str
    column: str
    found: str
    right: str


async def wrong(connection: Connection, tenant_id: int) -> AsyncIterator[Wrong]:
    """Rows of a tenant's holds and their shares that somebody changed, in order."""
    for table, by in ((HOLDS, "hold_id"), (SHARES, "hold_id, recipient")):
        query = f"select {', '.join(columns(table))}, digest from {table.name}"
        query += f" where tenant_id = $1 order by {by}"
        async for row in connection.cursor(query, tenant_id, prefetch=FETCHED):
            *said, digest = row
            right = digest_of(said)
            if digest != right:
                name = " of ".join(row[each].hex() for each in reversed(by.split(", ")))
                says = f"{right.hex()} by what it says"
                yield Wrong(table.name, name, "digest", digest.hex(), says)
    query = "select hold_id, answer from holds where tenant_id = $1 and answer is not null"
    async for row in connection.cursor(query + " order by hold_id", tenant_id, prefetch=FETCHED):
        hold_id, sealed = row
        right = _sealed(hold_id, sealed[DIGEST_BYTES:])
        if sealed != right:
            says = f"{right[:DIGEST_BYTES].hex()} by what it says"
            found = sealed[:DIGEST_BYTES].hex()
            yield Wrong("holds", hold_id.hex(), "answer", found, says)
    async for row in connection.cursor(_ENDED, tenant_id, prefetch=FETCHED):
        by_shares = f"{row['right']} by its shares"
        yield Wrong("holds", row["hold_id"].hex(), "ended", str(row["ended"]), by_shares)


def kept_of(row: asyncpg.Record) -> Kept:
    """A hold from its row, without the shares of its recipients."""
    hold_id: bytes = row["hold_id"]
    hold = Hold(
        number=hold_id[:NUMBER_BYTES],
        granted_at=int.from_bytes(hold_id[NUMBER_BYTES:]),
        expires_at=row["expires_at"],
        lasts_until=row["lasts_until"],
        shares=row["shares"],
        share=read_vector(row["share"]),
        total=read_vector(row["total"]),
        varied=row["varied"],
    )
    kept = Kept(hold)
    _fill(kept, row)
    return kept


def _fill(kept: Kept, row: asyncpg.Record) -> None:
    kept.ended, kept.revision = row["ended"], row["revision"]
    kept.back, kept.sent = dict(read_vector(row["back"])), dict(read_vector(row["sent"]))
    kept.ended_at, kept.ended_by = row["ended_at"], _end(row["ended_by"])
    if kept.single:
        kept.shares[Kept.ONE] = Share(None, row["sent_at"], kept.ended_at, kept.ended_by)


def _share(row: asyncpg.Record) -> Share:
    own = None if row["share"] is None else read_vector(row["share"])
    return Share(own, row["sent_at"], row["ended_at"], _end(row["ended_by"]))


def _end(number: int | None) -> End | None:
    return None if number is None else End(number)


def _row(tenant_id: int, version: int, kept: Kept) -> Row:
    hold = kept.hold
    only = kept.shares.get(Kept.ONE) if kept.single else None
    row = (
        tenant_id, hold.hold_id, hold.expires_at, hold.lasts_until, hold.shares,
        vector_text(hold.share), vector_text(hold.total), hold.varied, kept.ended,
        vector_text(vector(kept.back)), vector_text(vector(kept.sent)),
        None if only is None else only.sent_at, kept.ended_at, kept.ended_by, kept.revision,
        version,
    )  # fmt: skip
    return (*row, digest_of(row))


def _share_row(tenant_id: int, hold_id: bytes, recipient: bytes, share: Share) -> Row:
    own = None if share.own is None else vector_text(share.own)
    row = (tenant_id, hold_id, recipient, own, share.sent_at, share.ended_at, share.ended_by)
    return (*row, digest_of(row))
