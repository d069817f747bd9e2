"""Raw statements of the application's role that try to reach another tenant's rows: none does.

What a role may reach by grants and policies is looked up in the catalogue; what it can be tricked
into is tried. A tenant that is named is 7, the other one 8.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from graphql import GraphQLError

from api.faults import MASKED
from api.transport.outcome import formatted
from persistence.connection import Connection
from persistence.door import Door
from persistence.servers import Servers
from tests.api.sockets import cloned
from tests.conftest import Database
from tests.persistence.rows import rows_of
from tests.persistence.test_isolation import fill, tables_of_tenants

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
async def filled(servers: Servers, template: str) -> AsyncIterator[Database]:
    """A database with a row of tenants 7 and 8 in every table of tenants, and statistics."""
    async with cloned(servers, template) as database:
        async with rows_of(database.owner_url) as rows:
            await fill(rows.connection, 7)
            await fill(rows.connection, 8)
            await rows.connection.execute("analyze")
        yield database


@pytest.fixture
async def owner(filled: Database) -> AsyncIterator[Connection]:
    async with rows_of(filled.owner_url) as rows:
        yield rows.connection


@pytest.fixture
async def app(filled: Database) -> AsyncIterator[Connection]:
    """A connection as the application's role, behind no door."""
    async with rows_of(filled.app_url) as rows:
        yield rows.connection


async def seen(connection: Connection, table: str = "facts") -> list[int]:
    """The tenants of whom rows are seen."""
    rows = await connection.fetch(f"select distinct tenant_id from {table} order by 1")
    return [row["tenant_id"] for row in rows]


# What a transaction names, and for how long


async def test_a_savepoint_takes_back_whom_it_named(app: Connection) -> None:
    async with app.transaction():
        await app.execute("set local app.tenants = '{7}'")
        inner = app.transaction()
        await inner.start()
        await app.execute("set local app.tenants = '{8}'")
        assert await seen(app) == [8]
        await inner.rollback()
        assert await seen(app) == [7]


async def test_a_savepoint_that_is_kept_names_until_the_transaction_ends(app: Connection) -> None:
    """So nobody but the door names tenants, and it does so once in a transaction."""
    async with app.transaction():
        await app.execute("set local app.tenants = '{7}'")
        async with app.transaction():
            await app.execute("set local app.tenants = '{8}'")
        assert await seen(app) == [8]
    assert await seen(app) == []
    naming = {
        str(path.relative_to(ROOT))
        for layer in ("api", "persistence", "domain")
        for path in (ROOT / layer).rglob("*.py")
        if re.search(r"app\.tenants'?\s*[=,]", path.read_text("utf-8"))
    }
    assert naming == {"persistence/door.py"}


@pytest.mark.parametrize("naming", ["set app.tenants = '{8}'", "set session app.tenants = '{7,8}'"])
async def test_a_connection_that_comes_back_has_forgotten_whom_it_saw(
    filled: Database, naming: str
) -> None:
    """Whatever the one before it did, and however it ended: the pool has one connection."""
    async with Door.open(filled.app_url, size=1) as door:
        async with door.tenant_tx(8) as connection:
            await connection.execute(naming)
            assert 8 in await seen(connection)
        async with door.tenant_tx() as connection:
            assert await seen(connection) == []
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with door.tenant_tx(8) as connection:
                await connection.execute("select 1 / 0")
        async with door.tenant_tx(7) as connection:
            assert await seen(connection) == [7]


async def test_who_is_cancelled_leaves_no_transaction_behind(
    filled: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """At whichever step: the driver says so aloud where it has to end one itself."""
    async with Door.open(filled.app_url, size=1) as door:

        async def look() -> None:
            async with door.tenant_tx(8) as connection:
                await seen(connection)

        await look()
        for steps in range(40):
            looking = asyncio.create_task(look())
            for _ in range(steps):
                await asyncio.sleep(0)
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            async with door.tenant_tx(7) as connection:
                assert await seen(connection) == [7]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("named", ["", "{}", "{NULL}", "{0}", "{-8}", "8", "{8", "all", "{7}x"])
async def test_what_is_no_list_of_tenants_shows_nobody(app: Connection, named: str) -> None:
    async with app.transaction():
        await app.execute("select set_config('app.tenants', $1, true)", named)
        try:
            async with app.transaction():
                assert await seen(app) == []
        except asyncpg.InvalidTextRepresentationError:
            pass  # refused is not shown


async def test_security_is_not_switched_off(app: Connection) -> None:
    async with app.transaction():
        await app.execute("set local app.tenants = '{7}'")
        await app.execute("set local row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await app.fetch("select 1 from facts")


# Other roles, other ways in


async def test_no_other_role_is_taken_on(app: Connection, owner: Connection) -> None:
    """But the system's, whose grants are few: `test_isolation` lists them."""
    roles = [row["rolname"] for row in await owner.fetch("select rolname from pg_roles")]
    assert len(roles) > 10
    taken = set()
    for role in roles:
        try:
            async with app.transaction():
                await app.execute(f'set local role "{role}"')
                taken.add(role)
        except asyncpg.InsufficientPrivilegeError:
            pass
        if role != "kuota_app":
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(f'set session authorization "{role}"')
    assert taken == {"kuota_app", "kuota_system"}


STATEMENTS = [
    "alter table facts disable row level security",
    "alter table facts no force row level security",
    "drop policy of_tenant on facts",
    "create policy everybody on facts using (true)",
    "alter role kuota_app bypassrls",
    "create role another bypassrls",
    "grant pg_read_all_data to kuota_app",
    "alter table facts owner to kuota_app",
    "create table public.kept as select * from facts",
    "create view public.kept as select * from facts",
    "create function public.f() returns int language sql security definer return 1",
    "create or replace function app_tenants() returns bigint[] language sql return '{8}'",
    "truncate facts",
    "do $$ begin lock table facts in access exclusive mode; end $$",
    "copy facts to '/tmp/kuota-facts'",
    "copy (select 1) to program 'cat'",
    "select pg_read_file('postgresql.conf')",
    "select lo_import('/etc/passwd')",
    "select * from pg_statistic",
    "select * from pg_authid",
    "create extension dblink",
    "alter system set row_security = off",
    "alter database kuota set row_security = off",
    "do $$ begin execute 'set session authorization kuota_system'; end $$",
    "set session_replication_role = replica",
]


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_what_the_role_may_not_do(app: Connection, statement: str) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidCatalogNameError)):
        await app.execute(statement)


async def test_partitions_are_reached_through_their_parents_alone(
    app: Connection, owner: Connection
) -> None:
    rows = await owner.fetch(
        "select oid::regclass::text as name from pg_class "
        "where relispartition and relkind = 'r' and relnamespace = 'public'::regnamespace"
    )
    assert rows
    for row in rows:
        async with app.transaction():
            await app.execute("set local app.tenants = '{7}'")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with app.transaction():
                    await app.execute(f"select * from {row['name']}")


async def test_nothing_of_ours_runs_with_rights_of_others(owner: Connection) -> None:
    """Views would read as their owner, and such functions run as theirs."""
    views = await owner.fetch(
        "select relname, reloptions from pg_class "
        "where relkind in ('v', 'm') and relnamespace = 'public'::regnamespace"
    )
    assert [
        view["relname"]
        for view in views
        if "security_invoker=true" not in (view["reloptions"] or [])
    ] == []
    functions = await owner.fetch(
        "select proname from pg_proc where prosecdef and pronamespace = 'public'::regnamespace"
    )
    assert functions == []
    granted = await owner.fetch(
        """
        select c.oid::regclass::text as name from pg_class c, unnest(array[
            'truncate', 'references', 'trigger']) as what
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
            and (has_table_privilege('kuota_app', c.oid, what)
                or has_table_privilege('kuota_system', c.oid, what))
        """
    )
    assert granted == []


async def test_copy_gives_what_is_seen_and_takes_nothing(app: Connection) -> None:
    async with app.transaction():
        await app.execute("set local app.tenants = '{7}'")
        given: list[bytes] = []

        async def keep(part: bytes) -> None:
            given.append(part)

        await app.copy_from_query("select tenant_id from facts", output=keep)
        await app.copy_from_table("numbers", output=keep, columns=["tenant_id"])
        assert b"".join(given) == b"7\n7\n"
        with pytest.raises(asyncpg.FeatureNotSupportedError, match="row-level security"):
            await app.copy_records_to_table("numbers", records=[(8,)], columns=["tenant_id"])


# What may be learned without seeing a row


async def test_statistics_show_nobodys_values(app: Connection, owner: Connection) -> None:
    tables = await tables_of_tenants(owner)
    assert await owner.fetchval(
        "select count(*) from pg_stats where schemaname = 'public' and tablename = any ($1)", tables
    )
    async with app.transaction():
        await app.execute("set local app.tenants = '{7}'")
        for view in ("pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"):
            rows = await app.fetch(f"select distinct tablename from {view}")
            shown = {row["tablename"] for row in rows}
            assert not {name for name in shown if name in tables or name.startswith("facts")}


async def test_conditions_are_tried_on_seen_rows_alone(app: Connection) -> None:
    """Else a function, or an error, would tell of the others."""
    told: list[str] = []
    app.add_log_listener(lambda _, message: told.append(str(message)))
    async with app.transaction():
        await app.execute(
            "create function pg_temp.tell(bigint) returns bool language plpgsql cost 0.0001 as "
            "$$ begin raise notice 'saw %', $1; return true; end $$"
        )
        await app.execute("set local app.tenants = '{7}'")
        await app.execute("select 1 from tenants where pg_temp.tell(tenant_id)")
        await app.execute("select 1 from tenants where 1 / (tenant_id - 8) < 5")
        await app.execute("select 1 from facts where pg_temp.tell(tenant_id)")
    assert {re.sub(r".*(saw \d+).*", r"\1", each) for each in told} == {"saw 7"}


#: An insert for tenant 7 whose unique name is tenant 8's, for each index that two tenants share.
TAKEN = {
    "actions_action_id_key": "insert into actions (tenant_id, action_id, idempotency_key, kind, "
    "content, at, version, body) values (7, 8, 'other', 1, '\\x02', 1, 1, '{}')",
    "api_keys_prefix_key": "insert into api_keys (tenant_id, name, prefix, digest, scopes, "
    "created_at) values (7, 'x', 'prefix-8', '\\x02', '{}', 1)",
    "users_pkey": "insert into users (user_id, tenant_id, name, email, role, created_at) "
    "overriding system value values (8, 7, 'x', 'other', 'agent', 1)",
    "sign_in_links_pkey": "insert into sign_in_links (digest, tenant_id, user_id, created_at, "
    "expires_at) values ('8', 7, 7, 1, 1)",
}


@pytest.mark.parametrize("key", TAKEN)
async def test_a_name_that_another_has_tells_nothing_of_it(app: Connection, key: str) -> None:
    """Neither its row nor its tenant: no detail, nothing returned, nothing updated."""
    async with app.transaction():
        await app.execute("set local app.tenants = '{7}'")
        with pytest.raises(asyncpg.UniqueViolationError) as taken:
            async with app.transaction():
                await app.execute(TAKEN[key])
        assert (taken.value.constraint_name, taken.value.detail) == (key, None)
        assert await app.fetch(f"{TAKEN[key]} on conflict do nothing returning *") == []
        table = TAKEN[key].split()[2]
        update = f"do update set tenant_id = {table}.tenant_id returning *"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.fetch(f"{TAKEN[key]} on conflict on constraint {key} {update}")


async def test_foreign_keys_see_one_tenant(app: Connection, owner: Connection) -> None:
    """A check reads as the table's owner, so each carries the tenant along."""
    rows = await owner.fetch(
        """
        select k.conname as name,
            array(select a.attname::text from pg_attribute a
                where a.attrelid = k.conrelid and a.attnum = any (k.conkey)) as columns
        from pg_constraint k
        join pg_attribute t on t.attrelid = k.confrelid and t.attname = 'tenant_id'
        where k.contype = 'f' and k.connamespace = 'public'::regnamespace
        """
    )
    assert rows
    assert [row["name"] for row in rows if "tenant_id" not in row["columns"]] == []
    said = []
    for user in (8, 9):  # somebody else's, and nobody
        async with app.transaction():
            await app.execute("set local app.tenants = '{7}'")
            with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
                async with app.transaction():
                    await app.execute(
                        "insert into sign_in_links (digest, tenant_id, user_id, created_at, "
                        "expires_at) values ('x', 7, $1, 1, 1)",
                        user,
                    )
        said.append((str(refused.value), refused.value.detail))
    assert said[0] == said[1]


def test_what_the_database_says_never_reaches_a_client() -> None:
    error = asyncpg.UniqueViolationError("duplicate key value violates unique constraint")
    given: dict[str, Any] = {"detail": "Key (email)=(ann@example.com) already exists."}
    for name, value in given.items():
        setattr(error, name, value)
    shown = formatted(GraphQLError(str(error), original_error=error), "r")
    assert shown["message"] == MASKED
    assert shown["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "r"}
    assert "duplicate" not in str(shown)
    assert "ann@" not in str(shown)
