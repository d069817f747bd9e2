"""Valkey as a client: connections that give up soon, and scripts that are there when needed.

Owns how long anybody waits for Valkey and what its absence looks like. Every script may run twice:
what a lost answer hides is simply done again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, NoScriptError, RedisError

#: Seconds for one answer. Nothing that is asked takes a hundredth of it.
ANSWER_SECONDS = 1.0

#: What Valkey's absence looks like, whichever layer noticed.
AWAY = (
    RedisError,
    OSError,
    TimeoutError,
    RuntimeError,  # uvloop's word for writing to a transport that was closed a moment ago
)

#: One script with its keys and arguments.
Call = tuple["Script", Sequence[str], Sequence[Any]]


class Script:
    """A Lua script, known by its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Heeding(AbstractConnection):
    """A connection that heeds a cancellation which comes just as a command was sent, and an end.

    Before Python 3.12 `asyncio.wait_for`, by which redis-py sends, keeps it to itself: who was told
    to end would work on, and who waits for that end would wait for ever.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)  # its answer is not for who comes next
            raise asyncio.CancelledError

    async def can_read(self) -> bool:
        """Say of one that was ended while it rested that it is no good: the pool connects again.

        redis-py takes the end of a stream for something to read, and a reset for nothing.
        """
        reader = self._reader
        if reader is not None and (reader.exception() is not None or reader.at_eof()):
            raise ConnectionError("the connection was ended")
        return await super().can_read()


def client(url: str) -> Redis:
    """A client that never waits long, never repeats a command by itself, and can be cancelled."""
    valkey = Redis.from_url(
        url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
    )
    pool = valkey.connection_pool
    # Of the URL's own kind: plain, with TLS, or a socket of this machine.
    pool.connection_class = type("Connection", (Heeding, pool.connection_class), {})
    return valkey


async def run(valkey: Redis, calls: Sequence[Call]) -> list[Any]:
    """Run scripts in one round trip, in order; their answers. Raises one of AWAY.

    A Valkey that was restarted has forgotten its scripts: they are loaded and all is run again.
    """
    for last in (False, True):
        pipe = valkey.pipeline(transaction=False)
        for script, keys, arguments in calls:
            pipe.evalsha(script.digest, len(keys), *keys, *arguments)
        answers = await pipe.execute(raise_on_error=False)
        if last or not any(isinstance(answer, NoScriptError) for answer in answers):
            break
        for script in {script.digest: script for script, _, _ in calls}.values():
            await valkey.script_load(script.text)
    for answer in answers:
        if isinstance(answer, RedisError):
            raise answer
    return answers
