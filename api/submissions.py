"""Submissions: facts on their way through a lane, and the verdicts that come back.

Owns how a request waits for its facts. Nothing here commits anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from domain.facts import Fact, Status
from domain.state import Part


class Unavailable(Exception):  # noqa: N818
    """The database did not answer in time: nothing is known to be kept, send it again."""


class Busy(Exception):  # noqa: N818
    """More is waiting than this process takes: send it again a little later."""


class Verdict(NamedTuple):
    """What became of one fact; a lane formats nothing."""

    status: Status
    parts: tuple[Part, ...] = ()
    refusal: str = ""


class Submission:
    """The facts of one request on one lane, and their verdicts once all are there."""

    __slots__ = ("done", "missing", "since", "verdicts")

    def __init__(self, count: int) -> None:
        self.verdicts: list[Verdict | None] = [None] * count
        self.missing = count
        self.since = asyncio.get_running_loop().time()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, place: int, verdict: Verdict) -> None:
        if self.verdicts[place] is None:
            self.verdicts[place] = verdict
            self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # the request may be gone: nobody must ask for it


#: Tenant and key.
FactName = tuple[int, bytes]


class Waiting(NamedTuple):
    """One fact on its way, and where its verdict goes."""

    fact: Fact
    submission: Submission
    place: int


def still_waiting(skipped: Iterable[Waiting], patience_seconds: float) -> list[Waiting]:
    """Those passed over that may wait longer; the others are told that their tenant is held."""
    kept: list[Waiting] = []
    begun_since = asyncio.get_running_loop().time() - patience_seconds
    for waiting in skipped:
        if waiting.submission.since < begun_since:
            waiting.submission.fail(Unavailable("another transaction holds the tenant"))
        else:
            kept.append(waiting)
    return kept
