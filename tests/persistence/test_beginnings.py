"""Beginnings that are disturbed: a rebuild by two processes, a watcher whose first read fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from domain.periods import SECOND, zone
from persistence.board import Board, Wanted
from persistence.buckets import ABANDONED, BUILDER_SILENCE, DONE, Members, begin_calls
from persistence.valkey import client, run

TENANT = 7
EPOCH = "7-00000001-1"
MONTH = 2026 * 12 + 10
NOW = 1_795_000_000_000_000


@pytest.fixture
async def valkey(redis_url: str) -> AsyncIterator[Redis]:
    async with client(redis_url) as valkey:
        yield valkey


async def begin(valkey: Redis, token: str, now: int) -> int:
    ((code, _),) = await run(valkey, begin_calls(TENANT, EPOCH, 1, MONTH, token, now))
    return int(code)


async def page(valkey: Redis, token: str, now: int, **how: Any) -> int:
    calls = Members(1, NOW, MONTH).calls(TENANT, EPOCH, token=token, heard=now, **how)
    ((code, _),) = await run(valkey, calls)
    return int(code)


async def test_of_two_processes_the_first_rebuilds_as_long_as_it_is_heard_of(valkey: Redis) -> None:
    later = NOW + BUILDER_SILENCE
    assert await begin(valkey, "a:1", NOW) == DONE
    assert await begin(valkey, "b:1", NOW + SECOND) == ABANDONED
    assert await page(valkey, "a:1", NOW + 2 * SECOND) == DONE
    assert await begin(valkey, "b:2", later) == ABANDONED
    assert await page(valkey, "a:1", later, base=3) == DONE
    assert await begin(valkey, "b:3", later) == DONE


async def test_a_rebuild_whose_process_ended_is_taken_over(valkey: Redis) -> None:
    assert await begin(valkey, "a:1", NOW) == DONE
    assert await begin(valkey, "b:1", NOW + BUILDER_SILENCE) == DONE
    assert await page(valkey, "a:1", NOW + BUILDER_SILENCE) == ABANDONED


async def test_a_process_begins_its_own_rebuild_again_at_once(valkey: Redis) -> None:
    """What it began before Valkey did not answer keeps nobody but others away."""
    assert await begin(valkey, "a:1", NOW) == DONE
    assert await begin(valkey, "a:2", NOW) == DONE
    assert await page(valkey, "a:1", NOW, base=3) == ABANDONED
    assert await page(valkey, "a:2", NOW, base=3) == DONE


@dataclass(frozen=True, slots=True)
class Figure:
    version: int = 1
    at: int = NOW
    valid_until: int = NOW + SECOND


async def test_a_watcher_whose_first_read_fails_begins_with_a_later_look() -> None:
    """A mistake of ours in one read must not leave anybody without a present."""
    failing = True
    read = asyncio.Event()

    async def load(wanted: Sequence[Wanted]) -> Sequence[Figure]:
        read.set()
        if failing:
            raise ZeroDivisionError("a mistake of ours")
        return [Figure() for _ in wanted]

    board: Board[Figure] = Board(load, lambda: EPOCH)
    running = asyncio.create_task(board.run())
    try:
        with board.watch(TENANT, zone("Asia/Jakarta")) as first:
            await asyncio.wait_for(read.wait(), 5)
            failing = False
            board.look(NOW)
            assert (await asyncio.wait_for(first.news(), 5)).state == Figure()
            failing = True
            read.clear()
            with board.watch(TENANT, zone("Asia/Jakarta")) as second:
                await asyncio.wait_for(read.wait(), 5)
                failing = False
                board.look(NOW)
                assert (await asyncio.wait_for(second.news(), 5)).state == Figure()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
