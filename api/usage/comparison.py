"""A question of usage compared with the range before it (FI-3).

Owns what is read of the range before, and how a change is told: what there is so far beside what
there was when as much of the range before had passed, so that a range that is not over is not
compared with one that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from api.usage.answer import Answer, Key, answer_of
from api.usage.question import Question, stretches
from domain.money import MICRO, text
from domain.periods import Interval, Zone
from domain.ranges import reached
from persistence.usage import Asked, Measure, Sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The range before another one, parted where as much of it had passed."""

    start: int
    end: int
    reach: int  #: the first instant after what `toDate` counts

    def asked(self, zone: Zone, tenant_id: int, *, by_hour: bool = False) -> tuple[Asked, Asked]:
        """What to read of it: what `toDate` counts, and the rest."""
        parts = ((self.start, self.reach), (self.reach, self.end))
        to_date, rest = (
            stretches(zone, *part, by_hour=by_hour) if part[0] < part[1] else ((), ())
            for part in parts
        )
        return (
            Asked(tenant_id=tenant_id, hours=to_date[0], days=to_date[1]),
            Asked(tenant_id=tenant_id, hours=rest[0], days=rest[1]),
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """The answer of a question, that of the range before, and what that had come to by then."""

    now: Answer
    before: Answer
    to_date: dict[tuple[Measure, Key], int]


def before_of(zone: Zone, start: int, end: int, now: int, previous: Interval) -> Before:
    """The range before `[start, end)`, as it compares at an instant."""
    return Before(
        start=previous[0], end=previous[1], reach=reached(zone, (start, end), previous, now)
    )


def compared(
    question: Question, before: Before, found: Sequence[Sum], to_date: Sequence[Sum],
    rest: Sequence[Sum],
) -> Compared:  # fmt: skip
    """Both answers, with a line for whatever occurs in either range."""
    keys = {one.key for rows in (found, to_date, rest) for one in rows}
    earlier = replace(question, start=before.start, end=before.end)
    measures = question.selection.measures
    sums: dict[tuple[Measure, Key], int] = {}
    for one in to_date:
        for measure, value in zip(measures, one.values, strict=True):
            sums[measure, one.key] = sums.get((measure, one.key), 0) + value
    return Compared(
        answer_of(question, found, tuple(keys)),
        answer_of(earlier, [*to_date, *rest], tuple(keys)),
        sums,
    )


def change(now: int, then: int) -> str | None:
    """By how many percent it is more than it was, to 6 decimals; None where that was not above 0.

    Halves are rounded away from zero, so that a rise and a fall of the same size read alike.
    """
    if then <= 0:
        return None
    size = (200 * MICRO * abs(now - then) + then) // (2 * then)
    return text(size if now >= then else -size)
