"""Boards of states with a part that is told alone, too: the newest of each, in either order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from domain.periods import zone
from persistence.board import Board, Part, Wanted, Watcher

JAKARTA = zone("Asia/Jakarta")
TENANT = 7


@dataclass(frozen=True, slots=True)
class Figure:
    version: int
    at: int
    held: int
    valid_until: int = 1_000


HELD: Part[Figure] = Part(
    at=lambda figure: figure.held,
    of=lambda figure: figure.held,
    put=lambda figure, held: replace(figure, held=held),
    until=lambda figure: figure.valid_until,
)


@dataclass
class Database:
    figure: Figure = Figure(1, 100, 50)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    reads: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    async def load(self, wanted: Sequence[Wanted]) -> Sequence[Figure]:
        figure = self.figure
        self.reads.put_nowait(None)
        await self.may_end.wait()
        return [figure for _ in wanted]


@pytest.fixture
async def database() -> Database:
    return Database()


@pytest.fixture
async def board(database: Database) -> AsyncIterator[Board[Figure]]:
    board: Board[Figure] = Board(database.load, lambda: "one", HELD)
    task = asyncio.create_task(board.run())
    yield board
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def news(watcher: Watcher[Figure]) -> Figure:
    return (await asyncio.wait_for(watcher.news(), 5)).state


async def test_what_is_told_during_the_first_read_is_not_lost(
    board: Board[Figure], database: Database
) -> None:
    with board.watch(TENANT, JAKARTA) as watcher:
        await asyncio.wait_for(database.reads.get(), 5)
        board.amend(TENANT, 60, 60)
        database.may_end.set()

        assert await news(watcher) == Figure(1, 100, 60)


async def test_each_kind_is_the_newest_in_either_order(
    board: Board[Figure], database: Database
) -> None:
    database.may_end.set()
    with board.watch(TENANT, JAKARTA) as watcher:
        await news(watcher)
        board.amend(TENANT, 120, 120)
        assert await news(watcher) == Figure(1, 120, 120)
        board.amend(TENANT, 110, 110)
        board.tell(TENANT, Figure(2, 125, 115))
        assert await news(watcher) == Figure(2, 125, 120)
        board.tell(TENANT, Figure(1, 110, 121))
        assert await news(watcher) == Figure(2, 126, 121), "its older figures are not taken"
        board.tell(TENANT, Figure(1, 111, 121))
        assert not watcher._event.is_set()


async def test_an_amended_state_stays_before_what_time_changes(
    board: Board[Figure], database: Database
) -> None:
    """Its figures are those of before; the look at the clock brings the others."""
    database.may_end.set()
    with board.watch(TENANT, JAKARTA) as watcher:
        await news(watcher)
        board.amend(TENANT, 2_000, 2_000)

        assert await news(watcher) == Figure(1, 999, 2_000)


async def test_where_nobody_knows_it_counts_for_nothing_until_it_is_told(
    board: Board[Figure], database: Database
) -> None:
    database.may_end.set()
    with board.watch(TENANT, JAKARTA) as watcher:
        await news(watcher)
        database.figure = Figure(1, 130, 0)
        board.want(TENANT)
        assert await news(watcher) == Figure(1, 130, 0)
        board.amend(TENANT, 50, 50)
        assert await news(watcher) == Figure(1, 131, 50)
