"""A month ends while a process serves: nobody writes, and the new month is there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg

from domain.fold import TIME
from domain.periods import instant, iso
from tests.conftest import Database, ServedFactory
from tests.scenarios.world import World
from tests.wire.client import LOOK_SECONDS, PATIENCE_SECONDS, ask, connected

BOOKED = """
select debit, credit, amount / 1000000 as units, moment(t.at) at time zone 'Asia/Jakarta' as at
from transfers t join commits c using (tenant_id, version) where c.cause = $1 order by line"""


LAST = {
    "id": "1", "source": "s", "type": "message.delivered", "subject": "october",
    "time": "2026-10-31T23:59:50+07:00",
    "data": {"number": "+62 800 0000 0001", "contact": "+62 811 1000 0010"},
}  # fmt: skip


async def test_the_job_turns_the_month(
    served: ServedFactory, database: Database, redis_url: str
) -> None:
    """BA-3, TZ-1: the clock is set two seconds before Jakarta's midnight."""
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = instant(datetime(2026, 10, 31, 16, 59, 55, tzinfo=UTC))
        await world.tenant("october")
        await world.number("october", "wa", "whatsapp", "+62 800 0000 0001")
        (result,) = await world.send([LAST])
        assert result["status"] == "accepted"

    server = await served(KUOTA_CLOCK="2026-10-31T16:59:58Z")
    owner = await asyncpg.connect(database.owner_url)
    async with connected(server) as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (lines := await owner.fetch(BOOKED, TIME)):  # noqa: ASYNC110 - another process's
                await asyncio.sleep(LOOK_SECONDS)

        assert [(row["debit"], row["credit"], row["units"]) for row in lines] == [
            ("lot/1", "lapsed", 999), ("allowance", "lot/2", 1000), ("allowance", "lot/3", 1000),
        ]  # fmt: skip
        assert {row["at"].isoformat() for row in lines} == {"2026-11-01T00:00:00"}
        tenant = (await ask(client, QUERY))["tenant"]
        assert tenant["balance"] == {"used": {"value": "0"}, "remaining": {"value": "1000"}}
        page = (await client.get("/metrics")).text
        assert "kuota_heads_advanced_total 1.0" in page
        assert "kuota_heads_due 0.0" in page
    await owner.close()


QUERY = """{ tenant(key: "october") {
    balance(key: "conversations") { used { value } remaining { value } } } }"""


MOVED = """{ tenant(key: "moves") { timezone timezoneChange { timezone startsAt }
    period { label start end } balance(key: "conversations") { remaining { value } } } }"""


async def test_the_month_turns_into_another_zone(
    served: ServedFactory, database: Database, redis_url: str
) -> None:
    """TZ-3, BA-3: the clock is set two seconds before Jakarta's last midnight of its tenant."""
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = instant(datetime(2026, 10, 31, 16, 50, tzinfo=UTC))
        await world.tenant("moves")
        await world.number("moves", "wa", "whatsapp", "+62 800 0000 0001")
        (result,) = await world.send([LAST | {"subject": "moves", "time": "2026-10-31T16:49:00Z"}])
        assert result["status"] == "accepted"
        await world.change_zone("moves", "America/Bogota", key="z")

    server = await served(KUOTA_CLOCK="2026-10-31T16:59:58Z")
    owner = await asyncpg.connect(database.owner_url)
    async with connected(server) as client:
        before = (await ask(client, MOVED))["tenant"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (lines := await owner.fetch(BOOKED, TIME)):  # noqa: ASYNC110 - another process's
                await asyncio.sleep(LOOK_SECONDS)
        after = (await ask(client, MOVED))["tenant"]
    ends = await owner.fetch("select distinct ends_at from lots order by ends_at")
    await owner.close()

    assert {row["at"].isoformat() for row in lines} == {"2026-11-01T00:00:00"}
    november = {
        "label": "2026-11", "start": "2026-10-31T17:00:00Z", "end": "2026-12-01T05:00:00Z"
    }  # fmt: skip
    if before["timezone"] == "Asia/Jakarta":
        coming = {"timezone": "America/Bogota", "startsAt": "2026-10-31T17:00:00Z"}
        assert before["timezoneChange"] == coming
    assert after == {
        "timezone": "America/Bogota", "timezoneChange": None, "period": november,
        "balance": {"remaining": {"value": "1000"}},
    }  # fmt: skip
    assert [iso(row["ends_at"]) for row in ends] == ["2026-10-31T17:00:00Z", november["end"]]
