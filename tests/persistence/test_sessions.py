"""Connections that are somebody's for a while and rest between: whole, unlocked, or given up."""

from __future__ import annotations

import pytest

from persistence.connection import Connection
from persistence.door import RESTING_MAX, Door
from persistence.settling import ALONE
from tests.conftest import Database, on


async def test_one_that_rested_is_used_again_without_its_locks(database: Database) -> None:
    async with Door.open(database.app_url) as door:
        first = await door.session()
        assert await first.fetchval(ALONE, 1)
        other = await door.session()
        assert not await other.fetchval(ALONE, 1)
        await door.rest(first)
        assert await other.fetchval(ALONE, 1)
        assert await door.session() is first
        await door.rest(other)
        await door.rest(first)
    assert first.is_closed()
    assert other.is_closed()


async def test_one_that_was_lost_while_it_rested_is_given_to_nobody(database: Database) -> None:
    async with Door.open(database.app_url) as door:
        first = await door.session()
        lost = first.get_server_pid()
        await door.rest(first)
        await on(database.owner_url, f"select pg_terminate_backend({lost})")
        next_one = await door.session()
        assert await next_one.fetchval("select pg_backend_pid()") != lost
        await on(database.owner_url, f"select pg_terminate_backend({next_one.get_server_pid()})")
        await door.rest(next_one)
        assert next_one.is_closed()


@pytest.mark.parametrize("opened", [RESTING_MAX, RESTING_MAX + 2])
async def test_so_many_rest_and_none_behind_a_closed_door(database: Database, opened: int) -> None:
    async with Door.open(database.app_url) as door:
        sessions: list[Connection] = [await door.session() for _ in range(opened)]
        late = await door.session()
        for session in sessions:
            await door.rest(session)
        assert sum(not session.is_closed() for session in sessions) == RESTING_MAX
    assert all(session.is_closed() for session in sessions)
    await door.rest(late)
    assert late.is_closed()
