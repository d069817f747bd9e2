"""What several statements show of one moment, beside whoever goes on writing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import asyncpg
import pytest

from persistence.door import CONNECTION_LOST, READERS_MAX, Door
from persistence.snapshot import Snapshot
from tests.conftest import on
from tests.persistence.rows import NUMBER, TENANT, Rows, rows_of

NUMBERS = "select count(*) from numbers"
OTHER = TENANT + 1


@pytest.fixture
async def rows(owner_url: str) -> AsyncIterator[Rows]:
    async with rows_of(owner_url) as rows:
        await rows.tenant()
        await rows.tenant(OTHER)
        yield rows


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url) as door:
        yield door


async def numbers(door: Door, *tenants: int) -> int:
    async with door.tenant_tx(*tenants) as connection:
        return int(await connection.fetchval(NUMBERS))


async def test_it_stays_as_it_was_at_its_first_statement(rows: Rows, door: Door) -> None:
    async with aclosing(Snapshot(door)) as snapshot:
        await rows.number(NUMBER + 1, address="+628110001")  # before the first statement
        assert await numbers(snapshot, TENANT) == 2
        await rows.number(NUMBER + 2, address="+628110002")
        assert await numbers(door, TENANT) == 3
        assert await numbers(snapshot, TENANT) == 2
    async with aclosing(Snapshot(door)) as snapshot:
        assert await numbers(snapshot, TENANT) == 3


async def test_it_shows_the_tenants_that_are_named_and_no_others(rows: Rows, door: Door) -> None:
    await rows.number(NUMBER + 1, address="+628110001", tenant_id=OTHER)
    async with aclosing(Snapshot(door)) as snapshot:
        assert await numbers(snapshot, TENANT) == 1
        assert await numbers(snapshot, OTHER) == 2
        assert await numbers(snapshot) == 0
        assert await numbers(snapshot, TENANT, OTHER) == 3
        assert await numbers(snapshot, TENANT) == 1
        with pytest.raises(TypeError, match="what tenants have"):
            snapshot.system_tx("a test")


async def test_it_changes_nothing(rows: Rows, door: Door) -> None:
    async with aclosing(Snapshot(door)) as snapshot:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with snapshot.tenant_tx(TENANT) as connection:
                await connection.execute("update numbers set address = '1'")


async def test_what_fails_does_not_stop_who_comes_next(rows: Rows, door: Door) -> None:
    async with aclosing(Snapshot(door)) as snapshot:
        assert await numbers(snapshot, TENANT) == 1
        await rows.number(NUMBER + 1, address="+628110001")
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with snapshot.tenant_tx(TENANT) as connection:
                await connection.fetchval("select 1 / 0")
        assert await numbers(snapshot, TENANT) == 2, "of a later moment, as the answer tells"


async def test_one_whose_connection_is_lost(rows: Rows, door: Door, owner_url: str) -> None:
    """Somebody ends it between two statements: the next fails, and one after it is answered."""
    async with aclosing(Snapshot(door)) as snapshot:
        assert await numbers(snapshot, TENANT) == 1
        await on(owner_url, END_OTHERS)
        with pytest.raises(CONNECTION_LOST):
            await numbers(snapshot, TENANT)
        assert await numbers(snapshot, TENANT) == 1
        await on(owner_url, END_OTHERS)  # and its end has nothing to complain of


END_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and usename = 'kuota_app' and pid <> pg_backend_pid()"""


async def test_fields_of_one_moment_take_turns(rows: Rows, door: Door) -> None:
    async with aclosing(Snapshot(door)) as snapshot:
        asked = (numbers(snapshot, *which) for which in [(TENANT,), (OTHER,), (TENANT, OTHER)] * 20)
        assert await asyncio.gather(*asked) == [1, 1, 2] * 20


async def test_many_at_once_wait_for_each_other_and_never_for_ever(rows: Rows, door: Door) -> None:
    """Each holds a connection while it waits for another, as the fields of a query do."""

    async def query() -> tuple[int, int]:
        async with aclosing(Snapshot(door)) as snapshot:
            first = await numbers(snapshot, TENANT)
            return first, await numbers(door, OTHER)

    found = await asyncio.gather(*(query() for _ in range(5 * READERS_MAX)))
    assert set(found) == {(1, 1)}


async def test_nobody_is_answered_by_one_that_has_ended(rows: Rows, door: Door) -> None:
    snapshot = Snapshot(door)
    assert await numbers(snapshot, TENANT) == 1
    await snapshot.aclose()
    with pytest.raises(RuntimeError, match="after its end"):
        await numbers(snapshot, TENANT)
    await snapshot.aclose()
