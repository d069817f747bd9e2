"""How Postgres runs what a lane asks: by index, whether tables are new, full, or measured.

Every statement of a commit is taken as a lane runs it, with its parameters, and explained as the
app's role under its tenants: no table that grows may be read from end to end.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from persistence import audit
from persistence.audit import Asked
from persistence.connection import Connection, connect
from persistence.door import tenant_scope
from persistence.servers import Servers
from tests.conftest import Database, named, on
from tests.persistence.traffic import arrive, arrive_held, settle_in
from tests.scenarios.world import RecordingDoor, World

#: Tables with a row a fact, a contact or a message: reading one of them whole is never right.
LARGE = frozenset({
    "fact_keys", "facts", "charges", "messages", "contacts", "conflicts", "transfers", "commits",
    "lot_days", "usage_hour", "usage_day", "holds", "hold_shares",
    "broadcast_recipients", "broadcasts", "user_activity",
})  # fmt: skip

#: Few rows a tenant: a new database may read them whole, one with many tenants may not.
SMALL = frozenset({"lots", "counters", "periods", "tenant_head"})

#: Rows of other tenants, so that the statistics have something to say.
FILLED = 20_000
FILLING = (
    "insert into fact_keys select t, decode(md5(t || ' ' || n), 'hex'), '\\x00', n, 1",
    "insert into messages select t, decode(md5(t || ' ' || n), 'hex'), '\\x00', n",
    "insert into contacts (tenant_id, channel, party, number_id, last_at, conversation_paid,"
    " visited) select t, 1, (62811000000 + n)::text, 1, n, false, '{}'",
    "insert into facts (tenant_id, at, key, version, arrived_at, number_id, type, status, flags,"
    " source, id, party, data)"
    " select t, n, decode(md5(t || ' ' || n), 'hex'), n, n, 1, 3, 1, 0, 's', n::text, 'p', '{}'",
    "insert into charges (tenant_id, at, key, part, revision, reversal, version, booked_at, units,"
    " amount, lots, taken, flags)"
    " select t, n, decode(md5(t || ' ' || n), 'hex'), 0, 0, false, n, n, 1, 1, '{1}', '{1}', 0",
    "insert into commits select t, n, n, 1, 1, '\\x00'",
    "insert into transfers select t, n, 0, n, 1, 'a', 'b', 1, 2",
    "insert into lots select t, n, 1, 2, 20, null, 5, 0, 0, 5, 0, n, 0, null, 'lot/' || n",
    "insert into lot_days select t, n, 0, 1, 0",
    "insert into counters select t, 'service', n, 24000, 1, null",
    "insert into usage_hour select t, n, 1, 2, 'ID', '', '', '', 1,1,1,1,1,1,1,1,1,1,1",
    "insert into usage_day select t, n, 1, 2, 'ID', '', '', '', 1,1,1,1,1,1,1,1,1,1,1",
    "insert into broadcast_recipients select t, 'b' || n % 9, 1, (62811000000 + n)::text, 1",
    "insert into broadcasts select t, 'b' || n, n, n, 1, 1, 1, 0",
    "insert into user_activity select t, 'u' || n % 9, n * 900000000::bigint, n, n",
    "insert into conflicts"
    " select t, decode(md5(t || ' ' || n), 'hex'), '\\x00', n, n, 's', 'i', ''",
    "insert into periods select t, 100 + n, n, n + 1",
    "insert into holds select t, decode(md5(t || ' ' || n), 'hex'), n, n, 1, '[]', '[]', false, 1,"
    " '[]', '[]', null, n, 1, 1, 1, '\\x00'",
    "insert into hold_shares select t, decode(md5(t || ' ' || n), 'hex'), '\\x00', null, n, n, 1,"
    " '\\x00'",
)
TENANTS = 20

Statement = tuple[Any, ...]  #: its parameters

#: What partitions and primary keys add to their table's name.
PARTITION = re.compile(r"(_default|_\d{4}_\d\d)?(_pkey)?$")


@pytest.fixture(scope="module")
async def heard(servers: Servers, template: str) -> AsyncIterator[dict[str, Statement]]:
    """Each statement that lanes ran for some traffic, with the parameters of its longest run."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    assert addresses.redis_url is not None
    await on(addresses.owner_url, f"create database heard template {template} strategy file_copy")
    app_url = named(addresses.app_url, "heard")
    found: dict[str, Statement] = {}
    async with World.open(app_url, addresses.redis_url, door=RecordingDoor) as world:
        await settle_in(world)
        await arrive(world, 11, 400, 40)
        await arrive_held(world)
        assert isinstance(world.door, RecordingDoor)
        for ran in world.door.heard:
            longest = len(repr(found.get(ran.query, ())))
            if ran.args and "pg_catalog" not in ran.query and len(repr(ran.args)) > longest:
                found[ran.query] = tuple(ran.args)
    yield found
    await on(addresses.owner_url, "drop database heard with (force)")


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    """A connection as lanes have it, in a transaction that names some tenants."""
    connection = await connect(database.app_url)
    await connection.execute(f"begin; {tenant_scope((1, 2, 3))}")
    yield connection
    await connection.close()


async def test_the_lanes_were_heard(heard: dict[str, Statement]) -> None:
    """What is explained below is all there is: some statement speaks of each table."""
    words = " ".join(heard)

    assert [table for table in LARGE | SMALL if table not in words] == []


async def test_every_statement_of_a_commit_goes_by_index(
    database: Database, connection: Connection, heard: dict[str, Statement]
) -> None:
    """Nothing between lock and commit reads a growing table whole, on a new database (whose plans
    are kept while it grows) or a full one, planned for these parameters or for any."""
    for state in ("empty", "filled", "analyzed"):
        if state == "filled":
            await fill(database)
        if state == "analyzed":
            await on(database.owner_url, "analyze")
        forbidden = LARGE if state == "empty" else LARGE | SMALL

        wrong = [
            (name, sorted(scanned), query)
            for query, arguments in heard.items()
            for name, plan in (
                ("these", await explained(connection, query, arguments)),
                ("any", await explained_generic(connection, query, arguments)),
            )
            if (scanned := set(read_whole(plan)) & forbidden)
        ]

        assert wrong == [], state


async def test_reading_all_of_a_tenant_is_seen(connection: Connection) -> None:
    """What finds such plans finds these; the policy's own condition is no excuse."""
    for query in ("select count(*) from facts", "select * from messages where charged_by = 'x'"):
        assert set(read_whole(await explained(connection, query, ()))) & LARGE


#: Pages of the audit: of a tenant and of everybody, whole and narrowed, from either end.
AUDITS = [
    (text, asked, oldest_first)
    for text in (audit.OF_TENANTS, audit.OF_ALL)
    for asked in (Asked(), Asked(actor="a", what="x"), Asked(behind=(5, 0), ahead_of=(9, 0)))
    for oldest_first in (False, True)
]


async def test_pages_of_the_audit_go_by_index(database: Database, connection: Connection) -> None:
    """A page is where it is asked for: neither a table nor a tenant is read whole, or sorted."""
    tenants = f" from generate_series(1, {TENANTS}) t, generate_series(1, {FILLED // TENANTS}) n"
    rows = "insert into audit (tenant_id, at, actor, actor_kind, what, subject)"
    owner = "insert into tenants (tenant_id, key, name, zones, currency, country, locale, plan, "
    owner += "created_at) overriding system value select n, n::text, '', '[]', '', '', '', '', 0 "
    await on(
        database.owner_url, f"{owner} from generate_series(1, {TENANTS}) n",
        f"{rows} select t, n, 'a', 'key', 'x', '{{}}' {tenants}", "analyze",
    )  # fmt: skip
    wrong = []
    for text, asked, oldest_first in AUDITS:
        given = ([3], 51) if text == audit.OF_TENANTS else (51,)
        query, arguments = audit.statement(text, asked, *given, oldest_first=oldest_first)
        if text == audit.OF_ALL:
            await connection.execute("set local role kuota_system")
        for plan in (
            await explained(connection, query, tuple(arguments)),
            await explained_generic(connection, query, tuple(arguments)),
        ):
            scans = [scan for scan in scans_of(plan) if scan["Relation Name"] == "audit"]
            by_index = [scan for scan in scans if "ROW(at, audit_id)" in scan.get("Index Cond", "")]
            if not scans or by_index != scans or any(scan["behind a sort"] for scan in scans):
                wrong.append((query, plan))
    assert wrong == []


def scans_of(plan: Any, *, behind_a_sort: bool = False) -> Iterator[dict[str, Any]]:
    """The scans of a plan; a limit needs all of what is sorted, so it is no page."""
    if isinstance(plan, list):
        for each in plan:
            yield from scans_of(each, behind_a_sort=behind_a_sort)
    if not isinstance(plan, dict):
        return
    kind = plan.get("Node Type", "")
    if kind == "Limit":
        behind_a_sort = False
    elif "Sort" in kind and plan.get("Parent Relationship") == "Outer":
        behind_a_sort = True
    if "Relation Name" in plan:
        yield {**plan, "behind a sort": behind_a_sort}
    for value in plan.values():
        yield from scans_of(value, behind_a_sort=behind_a_sort)


async def fill(database: Database) -> None:
    """Rows of other tenants in every table that grows."""
    each = FILLED // TENANTS
    tenants = f" from generate_series(1001, {1000 + TENANTS}) t, generate_series(1, {each}) n"
    heads = f"insert into tenant_head select n from generate_series(1, {FILLED}) n"
    await on(database.owner_url, heads, *(statement + tenants for statement in FILLING))


async def explained(connection: Connection, query: str, arguments: tuple[Any, ...]) -> Any:
    """The plan for these very parameters."""
    return json.loads(await connection.fetchval(f"explain (format json) {query}", *arguments))


async def explained_generic(connection: Connection, query: str, arguments: tuple[Any, ...]) -> Any:
    """The plan for any parameters, as a connection makes it after some runs."""
    await connection.execute("set local plan_cache_mode = force_generic_plan")
    await connection.execute(f"prepare asked as {query}")
    written = ", ".join(map(literal, arguments))
    try:
        return json.loads(
            await connection.fetchval(f"explain (format json) execute asked ({written})")
        )
    finally:
        await connection.execute("deallocate asked; set local plan_cache_mode = auto")


def literal(value: Any) -> str:
    """A parameter as SQL writes it, its type left to the statement."""
    if value is None:
        return "null"
    return "'" + _text(value).replace("'", "''") + "'"


def _text(value: Any) -> str:
    match value:
        case bytes():
            return f"\\x{value.hex()}"
        case int():
            return str(int(value))
        case str():
            return value
        case _:
            return "{" + ",".join(json.dumps(_text(each)) for each in value) + "}"


def read_whole(plan: Any) -> Iterator[str]:
    """Tables that a plan reads from end to end, or a whole tenant of."""
    if isinstance(plan, list):
        for each in plan:
            yield from read_whole(each)
    if not isinstance(plan, dict):
        return
    table = PARTITION.sub("", str(plan.get("Relation Name", plan.get("Index Name", ""))))
    match plan.get("Node Type"):
        case "Seq Scan":
            yield table
        case "Index Scan" | "Index Only Scan" | "Bitmap Index Scan":
            # Each key begins with the tenant: a condition on it alone is the policy's.
            if table in LARGE and " AND " not in plan.get("Index Cond", ""):
                yield table
    for value in plan.values():
        yield from read_whole(value)
