"""Quiet hours: the part of each local day in which nobody is written to.

Owns how they are written, when something may go that is due at an instant, and what need not wait.
They are what clocks show: where a zone skips or repeats some of it, so do quiet hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from domain.periods import DAY, MINUTE, Zone
from domain.watch import AlertKind

#: What somebody has to do something about: sends are refused, or soon will be.
URGENT = frozenset(
    {AlertKind.EXHAUSTED, AlertKind.OVERDRAWN, AlertKind.REFILL_FAILED, AlertKind.REFILL_OFF}
)

WRITTEN = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
HOUR_MINUTES = 60


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A stretch of the local day, `[start, end)` in minutes, over midnight where it ends first."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError("quiet hours that end when they begin are none: leave both out")

    def left(self, shown: int) -> int:
        """Microseconds until their end, by what a clock shows of the day; 0: it is not quiet."""
        length = (self.end - self.start) * MINUTE % DAY
        since = (shown - self.start * MINUTE) % DAY
        return length - since if since < length else 0


def minute_of(text: str) -> int:
    """The minute of the day that `22:00` names; ValueError for anything else."""
    found = WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:20]!r} is no time of the day: write one from 00:00 to 23:59")
    return int(found[1]) * HOUR_MINUTES + int(found[2])


def written(minute: int) -> str:
    """A minute of the day, as `22:00`."""
    return f"{minute // HOUR_MINUTES:02d}:{minute % HOUR_MINUTES:02d}"


def goes_at(quiet: QuietHours | None, zone: Zone, due_at: int) -> int:
    """The first instant, from `due_at` on, that is not in quiet hours."""
    at = due_at
    while quiet is not None and (left := quiet.left((at + zone.offset(at)) % DAY)):
        # No clock is changed within a local hour: it ends there.
        at = min(at + left, zone.next_hour(at))
    return at
