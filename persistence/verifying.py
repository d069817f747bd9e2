"""What verifying reads: the rows of each commit, and tables beside tables of what they should be.

Owns statements alone. Everything is read in one snapshot of a transaction that has become read
only; what is worked out again stands in temporary tables of the connection, so that memory is a
page whatever the log holds. What differs is the caller's to say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec

from domain.facts import Fact
from domain.rollup import USAGE
from persistence import activity, broadcasts, record
from persistence.bulk import Row, Table, Write
from persistence.catalogue import digest_of
from persistence.connection import Connection
from persistence.record import CONTACT_COLUMNS

#: Rows that a cursor brings at a time.
FETCHED = 1_000

#: A whole log may be sorted before its first row comes; the other statements read by an index.
SORT_SECONDS = 3_600.0

# The tables are of the session. What follows is read only: nothing is posted, whoever made a
# mistake; temporary tables may be written all the same.
OPEN = """
create temp table if not exists usage_hour_again (like usage_hour including indexes);
create temp table if not exists usage_day_again (like usage_day including indexes);
create temp table if not exists messages_again (like messages including indexes);
create temp table if not exists broadcast_recipients_again
    (like broadcast_recipients including indexes);
create temp table if not exists broadcasts_again (like broadcasts including indexes);
create temp table if not exists user_activity_again (like user_activity including indexes);
truncate usage_hour_again, usage_day_again, messages_again, broadcast_recipients_again,
    broadcasts_again, user_activity_again;
set transaction read only"""


async def begin(connection: Connection) -> None:
    """Open the tables of what is worked out again; from here on nothing else can be written."""
    await connection.execute(OPEN)


def _again(table: Table) -> Write:
    return Write(Table(f"{table.name}_again", table.written, table.conflict, alias=table.alias))


add_hours = _again(record.USAGE_HOUR)
add_days = _again(record.USAGE_DAY)
#: The first that comes stays: give messages in the order of their facts.
add_messages = Write(
    Table(
        "messages_again",
        "tenant_id bigint, message bytea, charged_by bytea, charged_at bigint",
        "on conflict do nothing",
    )
)
add_activity = _again(activity.USER_ACTIVITY)
ADD_BROADCASTS = broadcasts.writing("_again")


async def add_named(connection: Connection, tenant_id: int, facts: Sequence[Fact]) -> None:
    """Add what facts say of broadcasts and of users."""
    await broadcasts.write(connection, [(tenant_id, facts)], ADD_BROADCASTS)
    await add_activity(connection, activity.rows_of(tenant_id, facts))


COMMITS = """
select tenant_id, version, at, cause, facts, digest from commits where tenant_id = $1
order by version"""


def _columns(table: Table) -> list[str]:
    """The columns of a table as they are in a digest: arrays as they travel."""
    pairs = [column.split() for column in table.written.split(",")]
    return [f"f.{name}::text" if kind.endswith("[]") else f"f.{name}" for name, kind in pairs]


def _by_version(table: Table, key: str, *more: str) -> str:
    """Rows of a partitioned table by version: places are sorted, rows are looked up by them."""
    same = " and ".join(f"f.{name.strip()} = o.{name.strip()}" for name in key.split(","))
    return f"""
select {", ".join((*_columns(table), *more))}
from (
    select version, {key} from {table.name} where tenant_id = $1 order by version, {key} offset 0
) o, lateral (
    select * from {table.name} f where f.tenant_id = $1 and {same} offset 0
) f
order by o.version, {", ".join(f"o.{name.strip()}" for name in key.split(","))}"""


FACTS = _by_version(record.FACTS, "at, key")
# Of one fact, what is taken back comes before what replaces it.
CHARGES = _by_version(record.CHARGES, "at, key, revision, part, reversal", "f.hold_id")
REVISIONS = _by_version(record.REVISIONS, "at, key, revision")
TRANSFERS = f"""
select {", ".join(_columns(record.TRANSFERS))} from transfers f where tenant_id = $1
order by version, line"""
ALERTS = f"""
select {", ".join(_columns(record.ALERTS))} from alerts f where tenant_id = $1
order by version, line"""

#: Where a row of each has its version.
VERSION = {
    table.name: [pair.split()[0] for pair in table.written.split(",")].index("version")
    for table in (record.FACTS, record.CHARGES, record.REVISIONS, record.TRANSFERS, record.ALERTS)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCommit:
    """A commit and the rows it wrote, as they now stand."""

    version: int
    at: int
    cause: int
    counted: int  #: facts, as the commit says
    digest: bytes
    rows: dict[str, list[Row]]  #: by table, in the order of the digest
    digest_is: bytes  #: by the rows, on top of the digest before
    holds: list[Row] = field(default_factory=list)  #: charges that name a hold
    strays: dict[str, list[Row]] = field(default_factory=dict)  #: rows of versions in between


class _Stream:
    """The rows of one table, version by version."""

    def __init__(self, connection: Connection, table: str, query: str, tenant_id: int) -> None:
        self._place = VERSION[table]
        self._rows = aiter(
            connection.cursor(query, tenant_id, prefetch=FETCHED, timeout=SORT_SECONDS)
        )
        self._next: Row | None = None
        self._over = False

    async def of(self, version: int) -> tuple[list[Row], list[Row]]:
        """The rows of a version, and those before it that are of none."""
        own: list[Row] = []
        strays: list[Row] = []
        while True:
            if self._next is None and not self._over:
                found = await anext(self._rows, None)
                self._next, self._over = (None if found is None else tuple(found)), found is None
            if self._next is None or self._next[self._place] > version:
                return own, strays
            (own if self._next[self._place] == version else strays).append(self._next)
            self._next = None


async def commits(connection: Connection, tenant_id: int) -> AsyncIterator[KeptCommit]:
    """A tenant's commits from the first, with their rows; the digest is worked out again.

    Each goes by the digest that stands before it, so that one changed row breaks one commit. Rows
    behind the last commit come with a commit of no digest, if there are any.
    """
    streams = {
        table: _Stream(connection, table, query, tenant_id)
        for table, query in (
            ("facts", FACTS), ("charges", CHARGES), ("transfers", TRANSFERS),
            ("revisions", REVISIONS), ("alerts", ALERTS),
        )
    }  # fmt: skip
    before = b""
    async for row in connection.cursor(COMMITS, tenant_id, prefetch=FETCHED):
        kept = await _commit(streams, before, tuple(row))
        before = row["digest"]
        yield kept
    behind = {table: (await stream.of((1 << 63) - 1))[1] for table, stream in streams.items()}
    if any(behind.values()):
        yield KeptCommit(
            version=0, at=0, cause=0, counted=0, digest=b"", digest_is=b"", rows={}, strays=behind
        )


async def _commit(streams: Mapping[str, _Stream], before: bytes, commit: Row) -> KeptCommit:
    tenant_id, version, at, cause, counted, digest = commit
    rows: dict[str, list[Row]] = {}
    strays: dict[str, list[Row]] = {}
    for table, stream in streams.items():
        rows[table], before_it = await stream.of(version)
        if before_it:
            strays[table] = before_it
    holds = [row for row in rows["charges"] if row[-1] is not None]
    rows["charges"] = [row[:-1] for row in rows["charges"]]
    seldom = [rows[table] for table in ("revisions", "alerts") if rows[table]]
    return KeptCommit(
        version=version, at=at, cause=cause, counted=counted, digest=digest, rows=rows,
        holds=holds, strays=strays,
        digest_is=record.digest_of(
            before, [(tenant_id, version, at, cause)], rows["facts"], rows["charges"],
            rows["transfers"], *seldom,
        ),
    )  # fmt: skip


ACTIONS = """
select action_id, idempotency_key, kind, content, at, version, body::text as body, subject, digest
from actions where tenant_id = $1 order by action_id"""


async def actions(connection: Connection, tenant_id: int) -> AsyncIterator[dict[str, Any]]:
    """What was done, as it is kept, in order; `body` is decoded."""
    async for row in connection.cursor(ACTIONS, tenant_id, prefetch=FETCHED):
        yield {**row, "body": msgspec.json.decode(row["body"])}


KEYS = """
select key, content, at, version from fact_keys where tenant_id = $1 and key = any ($2::bytea[])"""


async def keys(
    connection: Connection, tenant_id: int, asked: Sequence[bytes]
) -> dict[bytes, tuple[bytes, int, int]]:
    """Content, instant and version of the keys of facts."""
    rows = await connection.fetch(KEYS, tenant_id, asked)
    return {row["key"]: (row["content"], row["at"], row["version"]) for row in rows}


LONELY_KEYS = """
select k.key, k.at, k.version from fact_keys k
where k.tenant_id = $1 and not exists (
    select from facts f where f.tenant_id = $1 and f.at = k.at and f.key = k.key offset 0
)
limit $2"""


async def lonely_keys(
    connection: Connection, tenant_id: int, facts: int, limit: int
) -> list[asyncpg.Record]:
    """Keys of facts that are not there, looked for where there are not as many as `facts`."""
    count = await connection.fetchval(
        "select count(*) from fact_keys where tenant_id = $1", tenant_id, timeout=SORT_SECONDS
    )
    if count == facts:
        return []
    return await connection.fetch(LONELY_KEYS, tenant_id, limit, timeout=SORT_SECONDS)


def _beside(
    table: str, key: str, columns: Sequence[str], *, read: Sequence[str] = (), same: str = "{}"
) -> str:
    """Rows that differ from their table of what they should be; each side as JSON, or null.

    `read` is how columns are read where it is not by their names, `same` what is compared of each.
    """
    names = [name.strip() for name in key.split(",")]
    found = ", ".join((key, *(read or columns)))
    on = " and ".join(f"f.{name} = r.{name}" for name in names)
    at = ", ".join(f"coalesce(f.{name}, r.{name}) as {name}" for name in names)
    sides = [", ".join(same.format(f"{side}.{name}") for name in columns) for side in "fr"]
    return f"""
select {at}, to_jsonb(f)::text as found, to_jsonb(r)::text as right
from (select {found} from {table} where tenant_id = $1) f
full join (select {found} from {table}_again where tenant_id = $1) r on {on}
where ({sides[0]}) is distinct from ({sides[1]})"""


_USAGE_KEY = "bucket, number_id, direction, country, category, agent, broadcast"
BESIDE = {
    # Which month was visited first is nobody's question.
    "contacts": _beside(
        "contacts", "channel, party, number_id", CONTACT_COLUMNS,
        read=[
            "array(select m from unnest(visited) m where m >= $2 order by 1) as visited"
            if name == "visited" else name
            for name in CONTACT_COLUMNS
        ],
    ),
    "messages": _beside("messages", "message", ("charged_by", "charged_at")),
    # A row of nothing is as good as none: what was counted there was taken back.
    "usage_hour": _beside("usage_hour", _USAGE_KEY, USAGE, same="coalesce({}, 0)"),
    "usage_day": _beside("usage_day", _USAGE_KEY, USAGE, same="coalesce({}, 0)"),
    "broadcast_recipients": _beside(
        "broadcast_recipients", "broadcast, channel, party", ("states",)
    ),
    "broadcasts": _beside(
        "broadcasts", "broadcast",
        ("first_at", "last_at", "recipients", "delivered", "read", "failed"),
    ),
    "user_activity": _beside("user_activity", "agent, quarter", ("first_at", "last_at")),
}  # fmt: skip


async def differing(
    connection: Connection, tenant_id: int, table: str, since: int
) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]]:
    """Rows of a table that are not what they should be: key, what is there, what should be.

    `since` is the first month whose visitors were worked out again.
    """
    given = (tenant_id, since) if table == "contacts" else (tenant_id,)
    query = BESIDE[table]
    async for row in connection.cursor(query, *given, prefetch=FETCHED, timeout=SORT_SECONDS):
        found, right = row["found"], row["right"]
        yield (
            dict(row),
            None if found is None else msgspec.json.decode(found),
            None if right is None else msgspec.json.decode(right),
        )


_REST = {
    "head": """
        select version, digest, last_lot, next_due, unsettled_from, closed_until from tenant_head
        where tenant_id = $1""",
    "periods": "select month, starts_at, ends_at, closed_at from periods where tenant_id = $1",
    "unrated": "select since from unrated where tenant_id = $1",
    "settlements": """
        select settlement_id, month, cause, facts, differences::text as differences, version
        from settlements where tenant_id = $1 order by settlement_id""",
    "conflicts": "select key, source, id from conflicts where tenant_id = $1",
    "facts": "select coalesce(sum(facts), 0)::bigint as facts from commits where tenant_id = $1",
}


async def rest(connection: Connection, tenant_id: int, what: str) -> list[asyncpg.Record]:
    """The rows of what a tenant has few of."""
    return await connection.fetch(_REST[what], tenant_id)


def decoded(spelt: str) -> dict[str, Any]:
    """A JSON object as it is kept."""
    found: dict[str, Any] = msgspec.json.decode(spelt)
    return found


async def catalogue(connection: Connection) -> list[str]:
    """Books, plans, lists of markets and taxes whose bodies are not what was published, by name."""
    wrong = []
    for table, name in (
        ("books", "book || ' version ' || version"), ("plans", "plan || ' version ' || version"),
        ("markets", "markets"), ("taxes", "taxes"),
    ):  # fmt: skip
        query = f"select {name} as name, body::text as body, digest from {table} order by 1"
        for row in await connection.fetch(query):
            if digest_of(msgspec.json.decode(row["body"])) != row["digest"]:
                wrong.append(f"{table} {row['name']}")
    return wrong
