"""Tasks: taken by one at a time, ended in the transaction of their effect, done again otherwise."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator

import pytest

from api.metrics import Metrics
from api.tasks import TOGETHER_MAX, Handler, Tasks
from domain.periods import MINUTE
from persistence import tasks
from persistence.door import Door
from persistence.tasks import Share, Task

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


# Long ones: others are done beside them


async def due(door: Door, kind: str, *named: tuple[int, str]) -> None:
    """Tasks of tenants that are due one after the other."""
    for place, (tenant, key) in enumerate(named):
        async with door.tenant_tx(tenant) as connection:
            await tasks.add(connection, tenant, kind, key, NOW - 1_000 + place)


async def test_each_tenant_has_its_turn_before_anybody_has_a_second(door: Door) -> None:
    """Whoever has many due, and for longest, holds up nobody; nor does it leave room unused."""
    many = [(7, f"{place:02}") for place in range(20)]
    await due(door, "mail", *many, (8, "a"), (9, "a"), (9, "b"))

    async def fairly(limit: int, *busy: int, most: int = 8) -> list[tuple[int, str]]:
        share = Share(most, [(tenant, "elsewhere") for tenant in busy])
        found = await tasks.take(door, "mail", NOW, lease=MINUTE, limit=limit, share=share)
        return sorted(task[:3:2] for task in found)

    assert await fairly(1, 7, 8) == [(9, "a")]
    assert await fairly(4) == [(7, "00"), (7, "01"), (8, "a"), (9, "b")]
    assert await fairly(3) == [(7, "02"), (7, "03"), (7, "04")]
    assert await fairly(9, 7, most=3) == [(7, "05"), (7, "06")]
    assert await fairly(9, 7, 7, 7, most=3) == []
    assert len(await fairly(100, most=100)) == 13


async def test_what_is_under_way_is_not_taken_by_who_has_it(door: Door) -> None:
    """Not even when its lease has ended because it waits for its turn."""
    await due(door, "mail", (7, "a"), (8, "a"), (8, "b"))
    share = Share(8, [(8, "a")])
    found = await tasks.take(door, "mail", NOW, lease=MINUTE, limit=9, share=share)
    assert sorted(task[:3:2] for task in found) == [(7, "a"), (8, "b")]


async def test_many_takers_take_each_fairly_once(door: Door) -> None:
    await due(door, "mail", *((7 + place % 3, str(place)) for place in range(40)))
    takes = (
        tasks.take(door, "mail", NOW, lease=MINUTE, limit=7, share=Share(100)) for _ in range(12)
    )
    counts = Counter(task[:3] for some in await asyncio.gather(*takes) for task in some)
    assert set(counts.values()) == {1}
    rest = await tasks.take(door, "mail", NOW, lease=MINUTE, limit=100, share=Share(100))
    assert len(counts) + len(rest) == 40


class Slow:
    """A handler of exports that does each until it is told to end it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.begun: list[tuple[int, str]] = []
        self.done: list[str] = []
        self.ends: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.ended: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def handle(self, task: Task) -> None:
        self.begun.append((task.tenant_id, task.key))
        await self.ends[task.key].wait()
        async with self._door.tenant_tx(task.tenant_id) as connection:
            assert await tasks.done(connection, task)
        self.done.append(task.key)
        self.ended[task.key].set()

    async def end(self, key: str) -> None:
        self.ends[key].set()
        await self.ended[key].wait()
        await asyncio.sleep(0.01)  # until whoever waits for it has heard


def doing(door: Door, handle: Handler) -> Tasks:
    return Tasks(door, lambda: NOW, Metrics(), {tasks.EXPORT: handle})


async def test_a_long_task_holds_up_nobody_else_s(door: Door) -> None:
    """Another tenant's is begun beside it; the same tenant's next when it has ended."""
    slow = Slow(door)
    process = doing(door, slow.handle)
    await due(door, tasks.EXPORT, (7, "a"), (7, "b"))
    step = process.steps["tasks export"]
    assert not await step()
    await asyncio.sleep(0)
    assert slow.begun == [(7, "a")]
    await due(door, tasks.EXPORT, (8, "c"))
    assert not await step()
    await asyncio.sleep(0)
    assert slow.begun == [(7, "a"), (8, "c")]
    await slow.end("a")
    await step()
    await asyncio.sleep(0)
    assert slow.begun == [(7, "a"), (8, "c"), (7, "b")]
    for key in "bc":
        await slow.end(key)
    await process.stop()


async def test_no_more_are_under_way_than_may_be(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.tasks.ROOM_SECONDS", 0.01)
    slow = Slow(door)
    process = doing(door, slow.handle)
    await due(door, tasks.EXPORT, *((7 + place, str(place)) for place in range(TOGETHER_MAX + 2)))
    for _ in range(3):
        assert await process.begin(tasks.EXPORT)
    assert len(slow.begun) == TOGETHER_MAX
    await slow.end("3")
    assert await process.begin(tasks.EXPORT)
    assert len(slow.begun) == TOGETHER_MAX + 1
    monkeypatch.setattr("api.tasks.STOP_SECONDS", 0.01)
    await process.stop()


async def test_who_stops_lets_what_was_begun_end(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what takes too long is due again when its lease ends."""
    slow = Slow(door)
    process = doing(door, slow.handle)
    await due(door, tasks.EXPORT, (7, "a"), (8, "b"))
    await process.begin(tasks.EXPORT)
    await asyncio.sleep(0)
    stopping = asyncio.create_task(process.stop())
    await slow.end("a")
    assert not stopping.done()
    await slow.end("b")
    await stopping
    await due(door, tasks.EXPORT, (7, "c"))
    await process.begin(tasks.EXPORT)
    monkeypatch.setattr("api.tasks.STOP_SECONDS", 0.01)
    await process.stop()
    assert slow.done == ["a", "b"]
    later = NOW + 2 * MINUTE
    (again,) = await tasks.take(door, tasks.EXPORT, later, lease=MINUTE, limit=9)
    assert (again.key, again.tries) == ("c", 2)
