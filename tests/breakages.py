"""Ways to break a database or its Valkey, what `doctor` says of each, and applying its remedies."""

from __future__ import annotations

import asyncio
import re
import shlex
from typing import NamedTuple

import redis

from persistence.checkup.finding import OWNER, SUPERUSER, State
from tests.commands import command
from tests.conftest import Database, on


def sql(url: str, *statements: str) -> None:
    """Run statements, from outside any loop."""
    asyncio.run(on(url, *statements))


def healed(remedy: str, database: Database, redis_url: str) -> None:
    """Apply a remedy as an operator would: our command, statements, or one of Valkey's."""
    for part in re.split(rf"(?={OWNER}|{SUPERUSER})|; (?=python -m api )", remedy):
        if part.startswith((OWNER, SUPERUSER)):
            sql(database.owner_url, part.removeprefix(OWNER).removeprefix(SUPERUSER).rstrip("; "))
        elif part.startswith("valkey-cli "):
            words = shlex.split(part.partition(",")[0])[1:]
            with redis.Redis.from_url(redis_url) as client:
                client.execute_command(" ".join(words[:2]), *words[2:])
        elif part.startswith("python -m api migrate"):
            asyncio.run(migrated(database))
        elif part:
            raise AssertionError(f"nobody can apply {part!r}")


async def migrated(database: Database) -> None:
    """Run `migrate`."""
    code, _, err = await command(
        "migrate",
        KUOTA_DATABASE_URL=database.app_url,
        KUOTA_DATABASE_OWNER_URL=database.owner_url,
    )
    assert code == 0, err


class Breakage(NamedTuple):
    """Statements (or a wish to Valkey) that break something, and what the checkup then says."""

    by: str
    check: str
    state: State
    says: str


def month(ahead: int) -> str:
    """The name of a month's partition of facts, counted from the present one."""
    return f"to_char(now() at time zone 'utc' + interval '{ahead} months', 'YYYY_MM')"


def dynamic(statement: str, name: str) -> str:
    """A statement on a table whose name is worked out."""
    return f"do $$ begin execute format('{statement}', {name}); end $$"


FACT = (
    "insert into facts_default (tenant_id, at, key, version, arrived_at, number_id, type, status,"
    " flags, source, id, party, data) values (1, {at}, '\\x01', 1, 1, 1, 1, 1, 0, 's', 'i', 'p',"
    " '{{}}')"
)
NOW = "(extract(epoch from now()) * 1000000)::bigint"
BREAKAGES = {
    "rls off": Breakage(
        "alter table facts disable row level security",
        *("row-level security", State.BROKEN, "facts is not secured"),
    ),
    "rls not forced": Breakage(
        "alter table lots no force row level security",
        *("row-level security", State.BROKEN, "lots is not secured"),
    ),
    "policy gone": Breakage(
        "drop policy of_tenant on contacts",
        *("row-level security", State.BROKEN, "contacts has no policy"),
    ),
    "policy too wide": Breakage(
        'create policy "see all" on charges to public using (true)',
        *("row-level security", State.BROKEN, 'policy "see all" on charges'),
    ),
    "open partition": Breakage(
        "grant select on facts_default to public",
        *("row-level security", State.BROKEN, "facts_default is open"),
    ),
    "table without policies": Breakage(
        "create table notes (tenant_id bigint, note text);"
        " grant select, insert on notes to kuota_app",
        *("row-level security", State.BROKEN, "notes is not secured"),
    ),
    "this month's partition": Breakage(
        dynamic("drop table %I", f"'facts_' || {month(0)}"),
        *("partitions", State.BROKEN, "facts has no partition for"),
    ),
    "a later month's partition": Breakage(
        dynamic("drop table %I", f"'charges_' || {month(3)}"),
        *("partitions", State.WARNING, "charges has no partition for"),
    ),
    "a detached partition": Breakage(
        dynamic("alter table facts detach partition %I", f"'facts_' || {month(1)}"),
        *("partitions", State.WARNING, "facts has no partition for"),
    ),
    "no default partition": Breakage(
        "drop table charges_default",
        *("partitions", State.BROKEN, "charges has no default partition"),
    ),
    "unsafe commits": Breakage(
        dynamic("alter database %I set synchronous_commit = off", "current_database()"),
        *("durability", State.BROKEN, "synchronous_commit is off"),
    ),
    "powerful role": Breakage(
        "alter role kuota_app bypassrls createdb",
        *("app role", State.BROKEN, "kuota_app has the right bypassrls, createdb"),
    ),
    "owning role": Breakage(
        "alter table lots owner to kuota_app",
        *("app role", State.BROKEN, "kuota_app owns 1 tables (lots)"),
    ),
    "inheriting role": Breakage(
        "grant kuota_system to kuota_app with inherit true",
        *("app role", State.BROKEN, "whose policies show it every tenant"),
    ),
    "role of another": Breakage(
        "grant pg_read_all_data to kuota_app",
        *("app role", State.BROKEN, "kuota_app is also pg_read_all_data"),
    ),
    "evicting valkey": Breakage(
        "valkey-cli config set maxmemory-policy allkeys-lru",
        *("valkey memory", State.BROKEN, "maxmemory-policy is allkeys-lru"),
    ),
}
