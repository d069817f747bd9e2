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


async def test_who_is_cancelled_ends_at_whatever_step(redis_url: str) -> None:
    """Also just as the command was sent; and the next one has an answer of its own."""
    async with client(redis_url) as valkey:
        await valkey.ping()
        for steps in range(40):
            asking = asyncio.create_task(valkey.echo("of who was cancelled"))
            for _ in range(steps):
                await asyncio.sleep(0)
            if asking.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await asking
            assert await valkey.echo("mine") == b"mine"
