"""Boards: a watcher begins with the present, gets every newer state, and never an older one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from domain.periods import zone
from persistence.board import Board, Wanted, Watcher

JAKARTA = zone("Asia/Jakarta")
TENANT = 7


@dataclass(frozen=True, slots=True)
class Figure:
    version: int
    at: int
    valid_until: int = 1 << 60


@dataclass
class Database:
    """What a read finds; a read that is `held` ends when the test lets it."""

    figure: Figure = Figure(1, 100)
    epoch: str = "one"
    reads: int = 0
    fails: int = 0
    held: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def load(self, wanted: Sequence[Wanted]) -> Sequence[Figure | None]:
        figure = self.figure
        self.reads += 1
        if self.fails:
            self.fails -= 1
            raise ConnectionError("away")
        self.begun.set()
        if self.held is not None:
            await self.held.wait()
        return [figure if one.tenant_id == TENANT else None for one in wanted]


@pytest.fixture
async def database() -> Database:
    return Database()


@pytest.fixture
async def board(database: Database) -> AsyncIterator[Board[Figure]]:
    board: Board[Figure] = Board(database.load, lambda: database.epoch)
    task = asyncio.create_task(board.run())
    yield board
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def version(watcher: Watcher[Figure]) -> int:
    return (await asyncio.wait_for(watcher.news(), 5)).state.version


async def quiet(watcher: Watcher[Figure]) -> bool:
    """Whether nothing waits for it, once everything ready to run has run."""
    for _ in range(10):
        await asyncio.sleep(0)
    return not watcher._event.is_set()


async def test_the_present_comes_first_and_then_what_is_newer(
    board: Board[Figure], database: Database
) -> None:
    with board.watch(TENANT, JAKARTA) as watcher:
        first = await version(watcher)
        board.tell(TENANT, Figure(2, 101))
        second = await version(watcher)
        board.tell(TENANT, Figure(1, 105))
        board.tell(TENANT, Figure(2, 101))
        older_are_skipped = await quiet(watcher)

        assert (first, second, older_are_skipped) == (1, 2, True)


async def test_states_coalesce(board: Board[Figure], database: Database) -> None:
    """Who is slow gets the newest alone."""
    with board.watch(TENANT, JAKARTA) as watcher:
        await version(watcher)
        for n in range(2, 500):
            board.tell(TENANT, Figure(n, 100 + n))

        assert await version(watcher) == 499
        assert await quiet(watcher)


async def test_what_was_published_before_a_watcher_came_is_not_its_beginning(
    board: Board[Figure], database: Database
) -> None:
    """A late message about the past must not be the first a newcomer sees: it knows of more."""
    with board.watch(TENANT, JAKARTA) as first:
        await version(first)
        database.figure = Figure(9, 109)
        database.held = asyncio.Event()
        database.begun.clear()
        with board.watch(TENANT, JAKARTA) as second:
            await asyncio.wait_for(database.begun.wait(), 5)
            board.tell(TENANT, Figure(8, 108))

            assert await version(first) == 8
            assert await quiet(second)
            database.held.set()
            assert await version(second) == 9
            assert await version(first) == 9


async def test_a_read_that_began_before_a_watcher_came_is_not_its_beginning(
    board: Board[Figure], database: Database
) -> None:
    database.held = asyncio.Event()
    with board.watch(TENANT, JAKARTA) as first:
        await asyncio.wait_for(database.begun.wait(), 5)
        database.figure = Figure(5, 105)
        with board.watch(TENANT, JAKARTA) as second:
            database.held.set()

            assert await version(second) == 5
            assert await version(first) == 5


async def test_a_database_that_is_away_is_asked_again(
    board: Board[Figure], database: Database
) -> None:
    database.fails = 2
    with board.watch(TENANT, JAKARTA) as watcher:
        assert await version(watcher) == 1
        assert database.reads == 3


async def test_heads_show_what_was_missed(board: Board[Figure], database: Database) -> None:
    """With patience for what is on its way: a look ago it was missing, and it still is."""
    with board.watch(TENANT, JAKARTA) as watcher:
        await version(watcher)
        database.figure = Figure(4, 104)
        board.heads({TENANT: 4}, patient=True)
        on_its_way = board.healed
        board.heads({TENANT: 5}, patient=True)

        assert on_its_way == 0
        assert await version(watcher) == 4
        database.figure = Figure(5, 105)
        board.heads({TENANT: 5}, patient=False)
        assert await version(watcher) == 5
        assert board.healed == 2


async def test_time_alone_is_a_change(board: Board[Figure], database: Database) -> None:
    """The same version at a later instant, once what was shown is no longer valid."""
    database.figure = Figure(3, 100, valid_until=200)
    with board.watch(TENANT, JAKARTA) as watcher:
        await version(watcher)
        board.look(199)
        valid = await quiet(watcher)
        database.figure = Figure(3, 200)
        board.look(200)
        seen = await asyncio.wait_for(watcher.news(), 5)

        assert valid
        assert (seen.state.version, seen.state.at) == (3, 200)


async def test_what_is_shown_never_goes_back_in_time(
    board: Board[Figure], database: Database
) -> None:
    """A commit bears the instant it began at: a moment before what was read meanwhile."""
    database.figure = Figure(3, 300)
    with board.watch(TENANT, JAKARTA) as watcher:
        await version(watcher)
        board.tell(TENANT, Figure(4, 290))

        assert (await asyncio.wait_for(watcher.news(), 5)).state == Figure(4, 300)


async def test_a_commit_from_before_a_boundary_is_read_again_behind_it(
    board: Board[Figure], database: Database
) -> None:
    """It began in the month before, and tells that month's figures: they are over."""
    database.figure = Figure(3, 300)
    with board.watch(TENANT, JAKARTA) as watcher:
        await version(watcher)
        database.figure = Figure(4, 301)
        board.tell(TENANT, Figure(4, 290, valid_until=295))

        assert (await asyncio.wait_for(watcher.news(), 5)).state == Figure(4, 301)


async def test_another_epoch_takes_the_place_of_a_higher_version(
    board: Board[Figure], database: Database
) -> None:
    """After a restore versions go back: the position's epoch says why."""
    with board.watch(TENANT, JAKARTA) as watcher:
        board.tell(TENANT, Figure(90, 190))
        await version(watcher)
        database.epoch, database.figure = "two", Figure(40, 200)
        board.heads({TENANT: 40}, patient=True)
        seen = await asyncio.wait_for(watcher.news(), 5)

        assert (seen.epoch, seen.state.version) == ("two", 40)


async def test_a_read_that_an_epoch_ended_under_is_made_again(
    board: Board[Figure], database: Database
) -> None:
    """A state of one database with the name of another would be a position of no history."""
    database.held = asyncio.Event()
    with board.watch(TENANT, JAKARTA) as watcher:
        await asyncio.wait_for(database.begun.wait(), 5)
        database.epoch = "two"
        database.held.set()
        seen = await asyncio.wait_for(watcher.news(), 5)

        assert (seen.epoch, database.reads) == ("two", 2)


async def test_who_joins_while_a_read_runs_begins_with_the_next(
    board: Board[Figure], database: Database
) -> None:
    with board.watch(TENANT, JAKARTA) as watcher:
        await version(watcher)
        held = database.held = asyncio.Event()
        database.begun.clear()
        second = watcher.join()
        await asyncio.wait_for(database.begun.wait(), 5)
        database.figure = Figure(2, 101)
        third = watcher.join()
        database.held = asyncio.Event()
        held.set()

        assert (await version(watcher), watcher.begun) == (1, second)
        database.held.set()
        assert (await version(watcher), watcher.begun) == (2, third)


async def test_nobody_is_remembered_after_leaving(board: Board[Figure]) -> None:
    with board.watch(TENANT, JAKARTA), board.watch(TENANT, JAKARTA):
        assert (board.watchers, TENANT in board) == (2, True)

    assert (board.watchers, TENANT in board) == (0, False)


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_comes_when_the_last_state_is_the_newest(
    board: Board[Figure], database: Database, seed: int
) -> None:
    """Messages lost, repeated and out of order, watchers who come and go, reads at any time."""
    chance = random.Random(seed)
    newest = 1
    with ExitStack() as stack:
        watchers: dict[Watcher[Figure], int] = {}
        for _ in range(120):
            match chance.randrange(6):
                case 0 if len(watchers) < 5:
                    watchers[stack.enter_context(board.watch(TENANT, JAKARTA))] = 0
                case 1 | 2:
                    newest += 1
                    database.figure = Figure(newest, 100 + newest)
                    if chance.random() < 0.6:
                        board.tell(TENANT, Figure(newest, 100 + newest))
                case 3:
                    old = chance.randint(1, newest)
                    board.tell(TENANT, Figure(old, 100 + old))
                case 4:
                    board.heads({TENANT: newest}, patient=chance.random() < 0.5)
                case 5:
                    await asyncio.sleep(0)
            for watcher, seen in watchers.items():
                if watcher._event.is_set() and chance.random() < 0.5:
                    watchers[watcher] = await version(watcher)
                    assert watchers[watcher] >= seen
        for _ in range(2):
            board.heads({TENANT: newest}, patient=True)
        for watcher, seen in watchers.items():
            while seen < newest:
                seen = await version(watcher)
            assert seen == newest
