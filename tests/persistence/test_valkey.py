"""What Valkey's absence looks like to who talks to it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvloop

from persistence.valkey import AWAY, client


async def test_writing_to_a_connection_that_was_just_lost_is_an_absence(redis_url: str) -> None:
    """On the loop that serves: it has a word of its own for a transport that is closed."""

    async def write() -> None:
        async with client(redis_url) as valkey:
            connection = await valkey.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            assert connection._writer is not None
            connection._writer.transport.abort()
            with pytest.raises(AWAY):
                await connection.send_command("PING", check_health=False)

    with ThreadPoolExecutor(1) as thread:
        await asyncio.wrap_future(thread.submit(uvloop.run, write()))
