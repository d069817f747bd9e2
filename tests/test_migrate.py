"""Migrations run in order, once, by one of many, and leave nothing half done."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest

from persistence.migrate import (
    MIGRATIONS,
    MigrationError,
    alone,
    apply,
    migrate,
    parse,
    pending,
    read,
)
from tests.conftest import Database

GOOD = {
    "0001_one.sql": "-- migrate:up\ncreate table one (n int);\ninsert into one values (1);\n"
    "-- migrate:down\ndrop table one;\n",
    "0002_two.sql": "-- migrate:up\ninsert into one values (2);\n",
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder


async def test_a_fresh_database_gets_everything_and_a_second_run_nothing(
    empty_database: Database,
) -> None:
    url = empty_database.owner_url
    first = await migrate(url)
    assert first[0].startswith("0001_")
    assert any(line.startswith("plan omnichannel-idr ") for line in first)
    assert await migrate(url) == []


async def test_ten_at_once_apply_each_file_once(empty_database: Database) -> None:
    results = await asyncio.gather(*(migrate(empty_database.owner_url) for _ in range(10)))
    assert sorted(bool(result) for result in results) == [False] * 9 + [True]


async def test_the_application_role_sees_what_is_pending(database: Database) -> None:
    conn = await asyncpg.connect(database.app_url)
    try:
        assert await pending(conn) == []
    finally:
        await conn.close()


async def test_only_the_way_up_is_run_and_in_order(
    empty_database: Database, tmp_path: Path
) -> None:
    folder = written(tmp_path, GOOD)
    conn = await asyncpg.connect(empty_database.owner_url)
    try:
        assert await pending(conn, folder) == ["0001_one", "0002_two"]
        assert await apply(conn, folder) == ["0001_one", "0002_two"]
        assert await pending(conn, folder) == []
        assert [row["n"] for row in await conn.fetch("select n from one order by n")] == [1, 2]
    finally:
        await conn.close()


async def test_a_failing_file_leaves_nothing_of_itself_and_all_before_it(
    empty_database: Database, tmp_path: Path
) -> None:
    bad = "-- migrate:up\ninsert into one values (3);\nselect nonsense;\n"
    folder = written(tmp_path, {**GOOD, "0003_bad.sql": bad})
    conn = await asyncpg.connect(empty_database.owner_url)
    try:
        with pytest.raises(MigrationError, match='0003_bad: column "nonsense" does not exist'):
            await apply(conn, folder)
        assert await pending(conn, folder) == ["0003_bad"]
        assert await conn.fetchval("select max(n) from one") == 2
    finally:
        await conn.close()


async def test_a_second_one_waits_until_the_first_lets_go(empty_database: Database) -> None:
    one = await asyncpg.connect(empty_database.owner_url)
    other = await asyncpg.connect(empty_database.owner_url)
    order: list[str] = []

    async def follow() -> None:
        async with alone(other):
            order.append("second")

    try:
        async with alone(one):
            waiting = asyncio.create_task(follow())
            await other_has_asked(one)
            order.append("first")
        await waiting
        assert order == ["first", "second"]
    finally:
        await one.close()
        await other.close()


async def other_has_asked(conn: asyncpg.Connection) -> None:
    """Return once another connection of this database has tried for the lock."""
    asked = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and pid <> pg_backend_pid() and query like '%pg_try_advisory_lock%'"
    )
    while not await conn.fetchval(asked):  # noqa: ASYNC110 - another connection's doing
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("one", "-- migrate:up\n", "a migration is called like"),
        ("0001_a", "create table a ();", "begins with the line -- migrate:up"),
        ("0001_a", "-- migrate:down\n", "begins with the line -- migrate:up"),
        ("0001_a", "-- migrate:up transaction:false\n", "options are not supported"),
    ],
)
def test_a_file_in_another_format_is_named(name: str, text: str, complaint: str) -> None:
    with pytest.raises(MigrationError, match=complaint):
        parse(name, text)


def test_two_files_of_one_version_are_refused(tmp_path: Path) -> None:
    written(tmp_path, {"0001_a.sql": "-- migrate:up\n", "001_b.sql": "-- migrate:up\n"})
    with pytest.raises(MigrationError, match="0001_a and 001_b have the same version"):
        read(tmp_path)


OWN_ALLOWANCE = [
    {"since": 1793466000000000, "plan": "college-small", "grants": True},
    {"since": 1793466000000000, "balance": "visitors", "amount": 5},
]  # 2026-11-01 in Jakarta


async def test_a_zone_becomes_one_that_may_be_exchanged_and_back(
    empty_database: Database, tmp_path: Path
) -> None:
    """TZ-3: by an owner that is subject to policies; own allowances hold from a month on."""
    files = {path.name: path.read_text("utf-8") for path in MIGRATIONS.glob("*.sql")}
    zones = files["0007_zones.sql"]
    folder = written(tmp_path, {name: text for name, text in files.items() if name < "0007"})
    conn = await asyncpg.connect(empty_database.owner_url)
    try:
        await apply(conn, folder)
        for table, names in (("tenants", OLD_TENANT), ("numbers", OLD_NUMBER)):
            await conn.execute(f"insert into {table} {names}")
        await conn.execute("update tenants set changes = $1", json.dumps(OWN_ALLOWANCE))
        before = await conn.fetch("select * from tenants")

        await apply(conn, written(folder, {"0007_zones.sql": zones}))

        row = await conn.fetchrow("select zones::text, changes::text from tenants")
        number = await conn.fetchval("select zones::text from numbers")
        assert row is not None
        assert (row["zones"], number) == ('[[null, "Asia/Jakarta"]]', '[[null, "UTC"]]')
        plan, own = json.loads(row["changes"])
        assert plan == OWN_ALLOWANCE[0]
        assert own == {"month": 2026 * 12 + 10, "balance": "visitors", "amount": 5}
        await conn.execute(zones.partition("-- migrate:down")[2])
        assert [dict(row) for row in await conn.fetch("select * from tenants")] == list(
            map(dict, before)
        )
        assert await conn.fetchval("select timezone from numbers") == "UTC"
    finally:
        await conn.close()


OLD_TENANT = """(tenant_id, key, name, timezone, currency, country, locale, plan, created_at)
    values (1, 'one', 'One', 'Asia/Jakarta', 'IDR', 'ID', 'id', 'college-small', 0)"""
OLD_NUMBER = """(tenant_id, channel, address, timezone, created_at) values (1, 1, 'x', 'UTC', 0)"""
