"""A month ends while a process serves: nobody writes, and the new month is there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg

from domain.fold import TIME
from domain.periods import instant
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
