"""Answers to questions of usage: lines of exact sums over shared buckets (FI-2, FI-3).

Owns how rows of the rollups become lines, and how many points an answer has at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.faults import Fault
from api.usage.question import Frame, Question
from domain.money import MICRO, text
from persistence import usage
from persistence.door import Door
from persistence.usage import Measure, Selection, Sum

#: Points of one answer at most: what the executor completes in a third of a second.
POINTS_MAX = 100_000

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One measure over time, of one combination of values of the dimensions split by."""

    measure: Measure
    key: Key  #: in the order of the selection's `group_by`
    sums: list[int]  #: one a bucket of the frame, 0 where nothing was, also in the future

    def counted(self, frame: Frame) -> list[int | None]:
        """The sums; null where a bucket has not begun.

        Clocks of senders may be minutes ahead: what they said of a bucket before it began counts,
        in every total too.
        """
        return [
            value if value or start < frame.now else None
            for (start, _), value in zip(frame.cuts, self.sums, strict=True)
        ]

    def values(self, frame: Frame) -> list[str | None]:
        """What was counted as exact decimals."""
        # What is counted whole is written as it is: of many points it is most of the time.
        write = text if self.measure.in_micros else str
        return [None if value is None else write(value) for value in self.counted(frame)]

    def total(self) -> str:
        """The sum of all buckets as an exact decimal."""
        return exact(self.measure, sum(self.sums))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question was answered: line by line, measure by measure, keys ascending."""

    frame: Frame
    lines: list[Line]


def exact(measure: Measure, value: int) -> str:
    """A sum of a measure as people write it: cost and units have millionths."""
    return text(value if measure.in_micros else value * MICRO)


async def ask(door: Door, questions: Sequence[Question]) -> list[Answer]:
    """The answers, in order: one statement for all questions that sum the same.

    BAD_USER_INPUT where an answer has too many points.
    """
    found: dict[Question, Answer] = {}
    by_selection: dict[Selection, list[Question]] = {}
    for question in questions:
        by_selection.setdefault(question.selection, []).append(question)
    for selection, alike in by_selection.items():
        rows = await read(door, selection, [question.asked() for question in alike])
        for question, sums in zip(alike, rows, strict=True):
            found[question] = answer_of(question, sums)
    return [found[question] for question in questions]


async def read(door: Door, selection: Selection, asked: Sequence[usage.Asked]) -> list[list[Sum]]:
    """The rows of each one asked for; BAD_USER_INPUT where they are too many."""
    try:
        return await usage.sums(door, selection, asked)
    except OverflowError:
        raise too_much() from None


def answer_of(question: Question, found: Sequence[Sum], keys: Sequence[Key] = ()) -> Answer:
    """The lines that rows make up; each of `keys` has its lines, whether it occurs or not."""
    frame = question.frame()
    measures = question.selection.measures
    split = question.selection.group_by
    wanted = sorted({*keys, *(one.key for one in found)}) if split else [()]
    if len(wanted) * len(measures) * len(frame.cuts) > POINTS_MAX:
        raise too_much()
    sums = {key: [[0] * len(frame.cuts) for _ in measures] for key in wanted}
    for one in found:
        place = frame.place(one.bucket)
        for line, value in zip(sums[one.key], one.values, strict=True):
            line[place] += value
    return Answer(
        frame,
        [Line(measure, key, sums[key][n]) for n, measure in enumerate(measures) for key in wanted],
    )


def too_much() -> Fault:
    """The refusal of an answer that nobody could look at."""
    return Fault(
        "BAD_USER_INPUT",
        f"the answer has more than {POINTS_MAX} points: narrow the range or the filter, "
        "choose a longer bucket, or split by less",
    )
