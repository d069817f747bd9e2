"""Who is told to end just as its connection is lost ends, and does not take it for an outage."""

from __future__ import annotations

import asyncio

import pytest

from persistence.door import CONNECTION_LOST, Door
from persistence.servers import Servers
from tests.conftest import Database
from tests.wire.proxy import before

PATIENCE_SECONDS = 40.0


async def keep_reading(door: Door, reading: asyncio.Event) -> None:
    """Read again and again, whatever becomes of the connection."""
    while True:
        try:
            async with door.tenant_tx(1) as connection:
                reading.set()
                await connection.fetch("select pg_sleep(10)")
        except CONNECTION_LOST:
            await asyncio.sleep(0)


@pytest.mark.parametrize("cut_first", [False, True], ids=["told first", "cut first"])
async def test_a_cancellation_is_heeded_though_the_wire_is_cut(
    servers: Servers, database: Database, cut_first: bool
) -> None:
    """However few turns of the loop are between the two."""
    folder = (servers.addresses.app_url or "").partition("?host=")[2]
    async with before(f"{folder}/.s.PGSQL.5432", values=False) as wire:
        url = f"postgresql://kuota_app@127.0.0.1:{wire.port}/{database.name}?sslmode=disable"
        async with Door.open(url) as door:
            for turns in range(8):
                reading = asyncio.Event()
                task = asyncio.create_task(keep_reading(door, reading))
                await asyncio.wait_for(reading.wait(), PATIENCE_SECONDS)
                cutting = asyncio.create_task(wire.cut()) if cut_first else None
                if cutting is None:
                    task.cancel()
                for _ in range(turns):
                    await asyncio.sleep(0)
                if cutting is None:
                    await wire.cut()
                else:
                    task.cancel()
                    await cutting
                await wire.restore()
                _, running = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
                task.cancel()
                assert not running, f"it goes on, {turns} turns between the two"
