"""Tasks: taken by one at a time, ended in the transaction of their effect, done again otherwise."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from domain.periods import MINUTE
from persistence import tasks
from persistence.door import Door
from persistence.tasks import Task

NOW = 1_800_000_000_000_000
TENANT = 7


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url) as door:
        yield door


async def add(door: Door, *keys: str, due_at: int = NOW, tenant: int = TENANT) -> None:
    async with door.tenant_tx(tenant) as connection:
        for key in keys:
            await tasks.add(connection, tenant, "payment", key, due_at, {"of": key})


async def taken(door: Door, now: int = NOW, *, limit: int = 10) -> list[Task]:
    return await tasks.take(door, "payment", now, lease=MINUTE, limit=limit)


async def test_a_task_is_one_taker_s_until_its_lease_ends(door: Door) -> None:
    await add(door, "a")
    assert await taken(door, NOW - 1) == []
    (task,) = await taken(door)
    assert task == Task(TENANT, "payment", "a", NOW + MINUTE, 1, {"of": "a"})
    assert await taken(door, NOW + MINUTE - 1) == []
    (again,) = await taken(door, NOW + MINUTE)
    assert again.tries == 2


async def test_others_of_its_kind_are_taken_beside_it_and_other_kinds_are_not(door: Door) -> None:
    await add(door, "a", "b", "c")
    async with door.tenant_tx(TENANT) as connection:
        await tasks.add(connection, TENANT, "mail", "a", NOW)
    first, second = await asyncio.gather(taken(door, limit=2), taken(door, limit=2))
    assert sorted(task.key for task in (*first, *second)) == ["a", "b", "c"]


async def test_many_takers_at_once_take_each_task_once(door: Door) -> None:
    await add(door, *(str(number) for number in range(40)))
    found = await asyncio.gather(*(taken(door, limit=7) for _ in range(12)))
    counts = Counter(task.key for some in found for task in some)
    assert set(counts.values()) == {1}
    rest = [task.key for task in await taken(door, limit=100)]
    assert len(counts) + len(rest) == 40


async def test_what_is_done_is_gone_with_its_effect_and_stays_without_it(door: Door) -> None:
    await add(door, "a")
    (task,) = await taken(door)

    async def fail() -> None:
        async with door.tenant_tx(TENANT) as connection:
            assert await tasks.done(connection, task)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    (again,) = await taken(door, NOW + MINUTE)
    async with door.tenant_tx(TENANT) as connection:
        assert not await tasks.done(connection, task)  # who took it first has lost it
        assert not await tasks.later(connection, task, NOW)
        assert await tasks.done(connection, again)
        assert not await tasks.done(connection, again)
    assert await taken(door, NOW + 10 * MINUTE) == []


async def test_later_hurried_and_named_twice(door: Door) -> None:
    await add(door, "a")
    (task,) = await taken(door)
    async with door.tenant_tx(TENANT) as connection:
        assert await tasks.later(connection, task, NOW + 60 * MINUTE)
    await add(door, "a", due_at=NOW + 90 * MINUTE)  # the earlier instant holds
    assert await taken(door, NOW + 59 * MINUTE) == []
    async with door.tenant_tx(TENANT) as connection:
        assert await tasks.hurry(connection, TENANT, "payment", "a", NOW + MINUTE)
        assert not await tasks.hurry(connection, TENANT, "payment", "b", NOW)
    assert [task.key for task in await taken(door, NOW + MINUTE)] == ["a"]


@pytest.mark.parametrize("end", ["done", "later"])
async def test_who_is_hurried_while_it_is_done_is_done_once_more(door: Door, end: str) -> None:
    """What was heard of after the look is not lost with the look."""
    await add(door, "a")
    (task,) = await taken(door)
    await add(door, "a", due_at=NOW + 1)
    async with door.tenant_tx(TENANT) as connection:
        if end == "done":
            assert await tasks.done(connection, task)
        else:
            assert await tasks.later(connection, task, NOW + 60 * MINUTE)
    (again,) = await taken(door, NOW + 1)
    assert (again.key, again.tries) == ("a", 2)


async def test_tenants_have_tasks_of_one_name_apart(door: Door) -> None:
    await add(door, "a")
    await add(door, "a", tenant=8)
    found = {task.tenant_id: task for task in await taken(door)}
    assert found.keys() == {7, 8}
    async with door.tenant_tx(7) as connection:
        assert not await tasks.done(connection, found[8])  # another tenant's row is not seen
        assert await tasks.done(connection, found[7])
    async with door.tenant_tx(8) as connection:
        one = await tasks.take_one(connection, 8, "payment", "a", NOW, lease=MINUTE)
        assert one is None  # somebody has it
        one = await tasks.take_one(connection, 8, "payment", "a", NOW + MINUTE, lease=MINUTE)
    assert one is not None
    assert (one.tries, one.due_at) == (2, NOW + 2 * MINUTE)
