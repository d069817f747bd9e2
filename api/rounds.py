"""Rounds: who waits for a decision, what all rounds work with, and what is on its way to be told.

Owns the forms alone: the order of work is `deciding`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from redis.asyncio import Redis

from api.directory import Directory
from api.grants import Answer
from api.outage import Outage
from api.sends import Question
from domain.holds import Hold, Vector
from persistence.door import Door
from persistence.held import Ended, Item, Snapshot
from persistence.rebuild import Rebuild


class Overwhelmed(Exception):  # noqa: N818 - an answer, not a fault
    """More is asked than this process decides: ask again a little later."""


@dataclass(slots=True)
class Waiting:
    """A question and who waits for its answer."""

    question: Question
    answer: asyncio.Future[Answer]

    def tell(self, answer: Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # nobody may be left to hear of it


@dataclass(slots=True, kw_only=True)
class Tools:
    """What all rounds of a process work with."""

    valkey: Redis
    door: Door
    directory: Directory
    rebuild: Rebuild
    outage: Outage
    now: Callable[[], int]
    snapshots: dict[int, Snapshot] = field(default_factory=dict)  #: by tenant, a moment old
    untold: set[int] = field(default_factory=set)  #: tenants of whom more is held than was told
    again: int = 0  #: rounds that did not stand because something moved
    rest_until: float = 0.0  #: of the loop's clock: till then a Valkey that was away is not asked


class Plan(NamedTuple):
    """What is to be taken for a question, and what is told if the script takes it."""

    item: Item
    answer: Answer
    shares: Mapping[bytes, Vector] = MappingProxyType({})  #: that are not as the hold's id says
    replaces: Hold | None = None


@dataclass(slots=True)
class Done:
    """What the scripts decided, on its way to be kept and told."""

    told: list[tuple[Waiting, Answer]] = field(default_factory=list)
    rows: list[tuple[int, int, Hold, bytes]] = field(default_factory=list)
    shares: list[tuple[int, bytes, Mapping[bytes, Vector]]] = field(default_factory=list)
    replaced: list[tuple[int, Hold]] = field(default_factory=list)
    given_up: list[tuple[int, Ended]] = field(default_factory=list)
