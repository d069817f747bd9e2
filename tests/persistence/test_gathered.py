"""Look-ups that are gathered: few statements however many ask, and none of them answers early."""

from __future__ import annotations

import asyncio

import pytest

from persistence.door import Door
from persistence.gathered import AT_A_TIME, Gathered
from persistence.tenants import find_by_key, find_by_keys
from tests.persistence.rows import TENANT, rows_of


class Store:
    """Something to look things up in, each time when a test lets it."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.asked: list[list[str]] = []
        self.turns = asyncio.Semaphore(0)

    async def look(self, keys: list[str]) -> dict[str, int]:
        # As a database does: the answer is of when the question came.
        found = {key: self.values[key] for key in keys if key in self.values}
        self.asked.append(keys)
        await self.turns.acquire()
        if "broken" in keys:
            raise ConnectionError("gone")
        return found


async def asked(store: Store, statements: int) -> None:
    """Wait until so many statements are on their way, or were."""
    while len(store.asked) < statements:  # noqa: ASYNC110 - the loop's own turns do it
        await asyncio.sleep(0)


async def test_thousands_who_ask_at_one_moment_are_few_statements() -> None:
    store = Store()
    store.values = {f"k{number}": number for number in range(2 * AT_A_TIME)}
    gathered = Gathered(store.look)
    store.turns.release()
    store.turns.release()
    keys = [f"k{number % (2 * AT_A_TIME)}" for number in range(6 * AT_A_TIME)]
    found = await asyncio.gather(*(gathered.get(key) for key in keys))
    assert found == [store.values[key] for key in keys]
    assert [len(each) for each in store.asked] == [AT_A_TIME, AT_A_TIME]


async def test_who_asks_later_is_not_answered_by_what_began_before() -> None:
    """Somebody writes, and then looks: what he wrote is there."""
    store = Store()
    gathered = Gathered(store.look)
    early = asyncio.create_task(gathered.get("k"))
    await asked(store, 1)
    store.values["k"] = 1
    later = [asyncio.create_task(gathered.get("k")) for _ in range(3)]
    store.turns.release()
    assert await early is None
    await asked(store, 2)
    store.turns.release()
    assert await asyncio.gather(*later) == [1, 1, 1]
    assert store.asked == [["k"], ["k"]]


async def test_a_statement_that_fails_is_its_askers_alone() -> None:
    store = Store()
    store.values["k"] = 1
    gathered = Gathered(store.look)
    broken = [asyncio.create_task(gathered.get("broken")) for _ in range(2)]
    await asked(store, 1)
    whole = asyncio.create_task(gathered.get("k"))
    store.turns.release()
    store.turns.release()
    assert await whole == 1
    for each in broken:
        with pytest.raises(ConnectionError):
            await each


async def test_who_goes_away_takes_it_from_nobody() -> None:
    store = Store()
    store.values["k"] = 1
    gathered = Gathered(store.look)
    gone, stays = (asyncio.create_task(gathered.get("k")) for _ in range(2))
    lost = asyncio.create_task(gathered.get("broken"))
    await asked(store, 1)
    gone.cancel()
    lost.cancel()
    store.turns.release()
    with pytest.raises(ConnectionError):
        # Asked for at one moment, they were one statement.
        await stays
    assert gone.cancelled()
    store.turns.release()
    assert await gathered.get("k") == 1


async def test_tenants_of_a_thousand_sockets(owner_url: str, app_url: str) -> None:
    async with rows_of(owner_url) as rows, Door.open(app_url) as door:
        await rows.tenant()
        keys = [f"tenant-{number % 3}" for number in range(1000)]
        found = await asyncio.gather(*(find_by_key(door, key) for key in keys))
        alone = await find_by_keys(door, keys)
    assert list(alone) == [f"tenant-{TENANT}"]
    assert found == [alone.get(key) for key in keys]
