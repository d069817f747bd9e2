"""Migrations: SQL files in dbmate's format, applied in order, each once and in one transaction.

Owns the runner, the table `schema_migrations` and the lock that lets one process migrate while the
others wait. What a migration does stands in its file; the samples are the catalogue's.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from persistence import partitions
from persistence.connection import (
    COMMAND_TIMEOUT_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    Connection,
)

MIGRATIONS = Path(__file__).parent / "migrations"

#: Names the migrations among all the advisory locks of a database ("kuota" in ASCII).
LOCK = 0x6B756F7461
LOCK_POLL_SECONDS = 0.1

#: How long a partition waits for its table, with facts behind it.
MONTHS_LOCK_MILLISECONDS = 500

NAME = re.compile(r"(?P<version>\d+)_\w+")
MARK = re.compile(r"^-- migrate:(up|down)[ \t]*(.*)$", re.MULTILINE)


class MigrationError(Exception):
    """A migration file is not in the format, or the database refused it; one line says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file: its version (the digits its name begins with), its name and its way up."""

    version: str
    name: str
    up: str


async def migrate(owner_url: str, *, folder: Path = MIGRATIONS) -> list[str]:
    """Bring the database up to date as its owner: migrations, months of partitions, samples.

    Gives the names of what was new, nothing when all was there. Run several times at once, one
    works and the others wait for it.
    """
    from persistence.catalogue import load_samples

    conn: Connection = await asyncpg.connect(owner_url)
    try:
        async with alone(conn):
            applied = await apply(conn, folder)
            months = await partitions.ensure(conn, time.time_ns() // 1000)
            return applied + months + await load_samples(conn)
    finally:
        await conn.close()


async def make_months(owner_url: str, now: int) -> list[str]:
    """Make this month's partitions and the next ones beside facts; gives the new ones' names.

    Making one needs the table for itself for a moment, and whoever comes then queues behind it:
    LockNotAvailableError where somebody else keeps it for long; call again later.
    """
    conn: Connection = await asyncpg.connect(
        owner_url,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        server_settings={"lock_timeout": str(MONTHS_LOCK_MILLISECONDS)},
    )
    try:
        async with alone(conn):
            return await partitions.ensure(conn, now)
    finally:
        await conn.close(timeout=CONNECT_TIMEOUT_SECONDS)


async def apply(conn: Connection, folder: Path = MIGRATIONS) -> list[str]:
    """Apply the pending migrations of `folder`, in order, and give their names.

    The caller holds the lock (`alone`). MigrationError leaves those before the failing one applied.
    """
    await conn.execute(TABLE_SQL)
    done = await _recorded(conn)
    names = []
    for migration in read(folder):
        if migration.version in done:
            continue
        try:
            async with conn.transaction():
                await conn.execute(migration.up)
                await conn.execute(RECORD_SQL, migration.version)
        except asyncpg.PostgresError as fault:
            raise MigrationError(f"{migration.name}: {fault}") from fault
        names.append(migration.name)
    return names


# Every role may ask what is open: readiness is the application's to tell.
TABLE_SQL = """
create table if not exists schema_migrations (version text primary key);
grant select on schema_migrations to public;
"""

RECORD_SQL = "insert into schema_migrations (version) values ($1)"


async def pending(conn: Connection, folder: Path = MIGRATIONS) -> list[str]:
    """The names of the migrations the database has not seen, in order."""
    done = await _recorded(conn)
    return [migration.name for migration in read(folder) if migration.version not in done]


async def _recorded(conn: Connection) -> set[str]:
    if await conn.fetchval("select to_regclass('schema_migrations') is null"):
        return set()
    return {row["version"] for row in await conn.fetch("select version from schema_migrations")}


def read(folder: Path) -> list[Migration]:
    """The migrations of a folder in order of version; MigrationError names what is not one."""
    migrations = [parse(path.stem, path.read_text("utf-8")) for path in folder.glob("*.sql")]
    migrations.sort(key=lambda migration: (int(migration.version), migration.name))
    for one, other in itertools.pairwise(migrations):
        if int(one.version) == int(other.version):
            raise MigrationError(f"{one.name} and {other.name} have the same version")
    return migrations


def parse(name: str, text: str) -> Migration:
    """One file's migration: what stands between `-- migrate:up` and `-- migrate:down`."""
    named = NAME.fullmatch(name)
    if named is None:
        raise MigrationError(f"{name}: a migration is called like 0001_what_it_does.sql")
    marks = list(MARK.finditer(text))
    if not marks or marks[0][1] != "up":
        raise MigrationError(f"{name}: a migration begins with the line -- migrate:up")
    if marks[0][2].strip():
        raise MigrationError(f"{name}: options are not supported: {marks[0][2].strip()}")
    end = marks[1].start() if len(marks) > 1 else len(text)
    return Migration(version=named["version"], name=name, up=text[marks[0].end() : end])


@asynccontextmanager
async def alone(conn: Connection) -> AsyncIterator[None]:
    """Be the only one that migrates this database, waiting as long as another does.

    Polled, because waiting inside the lock function would keep a snapshot open, and
    `create index concurrently` waits for every snapshot.
    """
    while not await conn.fetchval("select pg_try_advisory_lock($1)", LOCK):  # noqa: ASYNC110 - another process's
        await asyncio.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        if not conn.is_closed():
            await conn.fetchval("select pg_advisory_unlock($1)", LOCK)
