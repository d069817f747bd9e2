"""Tasks that fail again and again: counted in a row, and named by a checkup with what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping

import pytest

from api.metrics import Metrics
from api.tasks import AT_MOST, Tasks
from domain.periods import MINUTE
from persistence import tasks
from persistence.checkup import tables
from persistence.checkup.finding import State
from persistence.door import Door
from persistence.tasks import Task

NOW = 1_800_000_000_000_000
TENANT = 7
#: Of whom it is told, and how.
SAID = {
    tasks.DUNNING: "overdue invoices wait",
    tasks.ENDING: "endings of subscriptions wait to be told",
    tasks.PAYMENT: "payments wait to be asked for",
    tasks.NOTIFY: "commits' alerts wait to be told",
    tasks.WEBHOOK: "webhooks wait",
    tasks.MAIL: "letters wait",
    tasks.EXPORT: "exports wait",
    tasks.REPORT_LETTER: "letters with reports wait",
    tasks.REPORT_SCHEDULE: "scheduled reports wait",
}
#: Those that stand still when they were tried often: they put themselves off, and fail seldom.
TOLD_BY_TRIES = {tasks.CLOSE, tasks.INVOICE}


class Jobs:
    """The tasks of a process whose handlers fail as often as they are told to."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.now = NOW
        self.failing: set[str] = set()  #: keys
        self.done: Counter[str] = Counter()
        kinds = dict.fromkeys((*SAID, *TOLD_BY_TRIES), self.handle)
        self.tasks = Tasks(door, lambda: self.now, Metrics(), kinds)

    async def handle(self, task: Task) -> None:
        """A look that has more to do in an hour, as dunning has."""
        self.done[task.key] += 1
        if task.key in self.failing:
            raise ZeroDivisionError(task.key)
        async with self.door.tenant_tx(task.tenant_id) as connection:
            assert await tasks.later(connection, task, self.now + 60 * MINUTE)

    async def rounds(self, count: int) -> None:
        """All that is due then, each once a round."""
        for _ in range(count):
            await self.tasks.quiet()
            self.now += AT_MOST

    async def add(self, *named: tuple[str, str]) -> None:
        async with self.door.tenant_tx(TENANT) as connection:
            for kind, key in named:
                await tasks.add(connection, TENANT, kind, key, self.now)

    async def finding(self) -> Mapping[str, str]:
        """What a checkup says of tasks: what it found and what to do."""
        async with self.door.system_tx("a checkup") as connection:
            found = await tables.tasks(connection, self.now - AT_MOST)
        assert (found.state is State.OK) == (found.remedy is None)
        return {"found": found.found, "remedy": found.remedy or ""}


@pytest.fixture
async def jobs(app_url: str) -> AsyncIterator[Jobs]:
    async with Door.open(app_url) as door:
        yield Jobs(door)


async def test_every_kind_that_fails_again_and_again_is_named_with_what_to_do(jobs: Jobs) -> None:
    kinds = {kind for name, kind in vars(tasks).items() if name.isupper() and kind in SAID}
    assert kinds == SAID.keys()
    jobs.failing = {f"{kind} {place}" for kind in SAID for place in range(2)}
    await jobs.add(*((key.partition(" ")[0], key) for key in jobs.failing))
    await jobs.add(*((kind, f"{kind} fine") for kind in SAID))
    await jobs.rounds(tables.TRIES_MAX - 1)
    assert await jobs.finding() == {"found": "none overdue", "remedy": ""}
    await jobs.rounds(2)
    assert set(jobs.done.values()) == {tables.TRIES_MAX + 1}
    told = await jobs.finding()
    for kind, what in SAID.items():
        words = f"2 {what} and fail each time, up to {tables.TRIES_MAX + 1} times in a row"
        assert words in told["found"].split("; ")
        assert f"`a task failed`, kind {kind}" in told["remedy"]
    assert len(told["found"].split("; ")) == len(SAID)


async def test_what_is_taken_often_and_goes_well_is_not_named(jobs: Jobs) -> None:
    """Neither a dunning of many steps that fails now and then, nor one that is mended."""
    await jobs.add((tasks.DUNNING, "many steps"), (tasks.DUNNING, "mended"))
    await jobs.rounds(3 * tables.TRIES_MAX)
    for _ in range(3):
        jobs.failing = {"many steps"}
        await jobs.rounds(tables.TRIES_MAX - 1)
        jobs.failing = set()
        await jobs.rounds(1)
    assert (await jobs.finding())["found"] == "none overdue"
    jobs.failing = {"mended"}
    await jobs.rounds(tables.TRIES_MAX)
    assert "1 overdue invoices wait and fail each time" in (await jobs.finding())["found"]
    # The next try is under way: whether it fails as well is not known yet.
    under_way = await tasks.take(jobs.door, tasks.DUNNING, jobs.now, lease=MINUTE, limit=9)
    assert "mended" in {task.key for task in under_way}
    assert "fail each time" in (await jobs.finding())["found"]
    jobs.failing = set()
    jobs.now += AT_MOST
    await jobs.rounds(2)
    assert (await jobs.finding())["found"] == "none overdue"


async def test_a_failure_of_somebody_who_lost_the_task_counts_nothing(jobs: Jobs) -> None:
    await jobs.add((tasks.ENDING, "a"))
    for place in range(tables.TRIES_MAX + 2):
        (lost,) = await tasks.take(jobs.door, tasks.ENDING, jobs.now, lease=MINUTE, limit=1)
        jobs.now += MINUTE
        (mine,) = await tasks.take(jobs.door, tasks.ENDING, jobs.now, lease=MINUTE, limit=1)
        async with jobs.door.tenant_tx(TENANT) as connection:
            await tasks.failed(connection, lost, jobs.now + 99 * AT_MOST)
            assert await tasks.later(connection, mine, jobs.now + MINUTE), place
        jobs.now += MINUTE
    assert "fail each time" not in (await jobs.finding())["found"]


async def test_who_asked_for_a_longer_lease_and_failed_is_put_off_as_well(jobs: Jobs) -> None:
    """Exports and letters take their lease anew when they have room; what is hurried is due."""
    await jobs.add((tasks.EXPORT, "a"), (tasks.EXPORT, "hurried"))
    for task in await tasks.take(jobs.door, tasks.EXPORT, jobs.now, lease=MINUTE, limit=9):
        async with jobs.door.tenant_tx(TENANT) as connection:
            assert await tasks.later(connection, task, jobs.now + 2 * MINUTE)
            if task.key == "hurried":
                assert await tasks.hurry(connection, TENANT, tasks.EXPORT, task.key, jobs.now)
            await tasks.failed(connection, task, jobs.now + 9 * MINUTE)
    for after, expected in ((0, ["hurried"]), (8, []), (9, ["a"])):
        taken = await tasks.take(
            jobs.door, tasks.EXPORT, jobs.now + after * MINUTE, lease=99 * MINUTE, limit=9
        )
        assert [task.key for task in taken] == expected


async def test_an_invoice_that_stands_still_is_named_once(jobs: Jobs) -> None:
    jobs.failing = {"2026-10"}
    await jobs.add((tasks.INVOICE, "2026-10"))
    await jobs.rounds(tables.TRIES_MAX + 1)
    told = await jobs.finding()
    assert "1 invoices wait to be issued, the first since" in told["found"]
    assert "; " not in told["found"]
