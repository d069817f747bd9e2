"""What was looked up a moment ago: once however many ask, and never longer than it is believed."""

from __future__ import annotations

import asyncio

import pytest

from api.recent import Recent


class Store:
    """Something to look up, when a test lets it."""

    def __init__(self) -> None:
        self.value = 1
        self.looks = 0
        self.turn = asyncio.Event()

    async def look(self) -> int:
        found, self.looks = self.value, self.looks + 1
        await self.turn.wait()
        if found < 0:
            raise ConnectionError("gone")
        return found


async def begun(recent: Recent[str, int], store: Store, askers: int) -> list[asyncio.Task[int]]:
    """Those who ask, once they all wait."""
    looks = store.looks
    tasks = [asyncio.create_task(recent.get("k", store.look)) for _ in range(askers)]
    while store.looks == looks:  # noqa: ASYNC110 - the loop's own turns do it
        await asyncio.sleep(0)
    return tasks


async def test_after_a_restart_the_first_looks_for_all() -> None:
    store, recent = Store(), Recent[str, int](60, 10)
    tasks = await begun(recent, store, 100)
    store.turn.set()
    assert await asyncio.gather(*tasks) == [1] * 100
    assert await recent.get("k", store.look) == 1
    assert store.looks == 1


async def test_a_look_that_fails_is_nothing_to_believe() -> None:
    store, recent = Store(), Recent[str, int](60, 10)
    store.value = -1
    tasks = await begun(recent, store, 3)
    tasks[0].cancel()
    store.turn.set()
    for task in tasks[1:]:
        with pytest.raises(ConnectionError):
            await task
    store.value = 2
    assert not recent.has("k")
    assert await recent.get("k", store.look) == 2


async def test_what_is_forgotten_while_it_is_looked_up_is_looked_up_again() -> None:
    """Somebody is revoked here while somebody else's look is under way."""
    store, recent = Store(), Recent[str, int](60, 10)
    early = await begun(recent, store, 1)
    store.value = 2
    recent.forget("k")
    late = await begun(recent, store, 1)
    store.turn.set()
    assert (await early[0], await late[0]) == (1, 2)
    assert recent.peek("k") == 2
