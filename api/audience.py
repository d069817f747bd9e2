"""Whom the events of a subscription are for: many follow one stream, and each begins in its turn.

Owns what a source says of its events to the transport that sends them on; neither of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum


class Feed(Enum):
    """What a subscription's events are."""

    STATES = "states"  #: whole: the newest says all
    ALERTS = "alerts"  #: each of them counts, in order


#: A number that nobody is beyond.
EVERYBODY = 1 << 62


@dataclass(slots=True)
class Audience:
    """Whom an event of a shared stream is for: those who follow it, by the numbers they came with.

    A source that can be shared says so by `join` before its first event.
    """

    join: Callable[[], int] | None = None  #: gives the number of one who comes now
    after: int = 0  #: those with a larger number
    upto: int = 1  #: and none beyond this one
    at: int | None = None  #: the instant of the commit that the event shows, where it is news

    def parts(self, known: int, begun: int, at: int, *, changed: bool) -> Iterator[bool]:
        """Aim at those up to number `known`, if it changed for them, then at those who begin.

        Gives whether it is their beginning.
        """
        if known and changed:
            self.after, self.upto, self.at = 0, known, at
            yield False
        if known < begun:
            self.after, self.upto, self.at = known, begun, None
            yield True
