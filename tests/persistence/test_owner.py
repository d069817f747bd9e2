"""Migrations run by an owner who is no superuser: what they fill in, they fill in for him too.

Row security is forced on the tables of tenants, so that an owner without more rights sees none of
their rows, and says nothing of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from api.settling import Cause, Settling
from domain.periods import HOUR, MINUTE, iso, month_label, zone
from persistence.connection import Connection
from persistence.migrate import MARK, MIGRATIONS, apply
from persistence.people import create_user
from tests.conftest import Database
from tests.persistence.test_rating import INDIA, JAKARTA, TEN, marketing, priced
from tests.scenarios.world import Json, World

#: The first migration that fills in what facts had said; all from it on are run again.
SINCE = "0036"

OWNED = """
do $$
declare
    name text;
begin
    if not exists (select from pg_roles where rolname = 'plain_owner') then
        create role plain_owner;
    end if;
    alter schema public owner to plain_owner;
    for name in
        select oid::regclass::text from pg_class
        where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace
    loop
        execute format('alter table %s owner to plain_owner', name);
    end loop;
end $$"""

#: What those migrations fill, or would fill if it were not there.
FILLED = {
    "usage_hour": "to_jsonb(t)",
    "usage_day": "to_jsonb(t)",
    "broadcast_recipients": "to_jsonb(t)",
    "broadcasts": "to_jsonb(t)",
    "user_activity": "to_jsonb(t)",
    "users": "external_id",
    "user_spells": "to_jsonb(t)",
    "tenant_head": "seated",
    "unrated": "t.tenant_id",
}


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = TEN
        await world.tenant("acme")
        await world.number("acme", "wa", "whatsapp", "+62 800 0000 01")
        yield world


def service(when: int) -> Json:
    data = {"number": "+62 800 0000 01", "contact": INDIA.format(7), "message_id": "s1"}
    return {
        "id": "s1", "source": "test", "type": "message.delivered", "subject": "acme",
        "time": iso(when), "data": data,
    }  # fmt: skip


async def kept(owner: Connection) -> dict[str, list[str]]:
    return {
        table: sorted(
            row["row"] for row in await owner.fetch(f"select ({what})::text as row from {table} t")
        )
        for table, what in FILLED.items()
    }


async def test_an_owner_who_is_no_superuser_fills_in_the_same(
    world: World, database: Database
) -> None:
    """Whatever the migrations from `SINCE` on fill, they fill in as the work of every day had."""
    tenant_id = world.tenants["acme"].tenant_id
    start, _ = zone("Asia/Jakarta").month_bounds(month_label(2026, 10))
    await world.top_up("acme", "conversations", 10_000_000, key="t", starts_at=start)
    told = marketing(1, JAKARTA)
    told["data"] |= {"broadcast": "sale", "user": "ana@example.com"}
    await priced(world, "100", "ID")
    # The later message came first, so that settling finds one that has no rate.
    await world.send([told, service(TEN), marketing(7, INDIA, TEN - HOUR)])
    await create_user(
        world.door, tenant_id, issuer=None, subject=None, name="Ana", email="ana@example.com",
        role="agent", catalogue=world.catalogue, now=TEN - MINUTE,
    )  # fmt: skip
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    await settling.settle(tenant_id, Cause.DEMAND)

    owner = await asyncpg.connect(database.owner_url)
    try:
        before = await kept(owner)
        assert all(before.values()), before
        files = [file for file in sorted(MIGRATIONS.glob("*.sql")) if file.name >= SINCE]
        for file in reversed(files):
            await owner.execute(MARK.split(file.read_text("utf-8"))[-1])
        await owner.execute("delete from schema_migrations where version >= $1", SINCE)
        await owner.execute("delete from unrated")
        await owner.execute(OWNED)
        await owner.execute("set role plain_owner")

        assert await apply(owner) == [file.stem for file in files]

        await owner.execute("reset role")
        assert await kept(owner) == before
    finally:
        await owner.close()
