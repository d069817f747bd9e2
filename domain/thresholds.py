"""Thresholds of a tenant's own: which it may set of a balance, and what setting them brings about.

Owns their bounds, what holds beside them, and the edit as a movement (AL-4). Within how many days a
balance must be forecast to run out to be told of stands among them, in days. When a balance is at
one is `watch`'s to say, how they are kept its caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.documents import DocumentError, Fault
from domain.fold import ACTION
from domain.ledger import Ledger
from domain.money import MICRO, text
from domain.state import Changes, State
from domain.terms import Terms
from domain.watch import ALL, DEFAULTS, AlertCause, Measure, Threshold

#: Of every balance, whatever a tenant sets.
ZERO: Final = DEFAULTS[-1]

#: What one balance may be watched for, beside zero.
THRESHOLDS_MAX: Final = 10
#: Micros of a threshold in units: a hundred billion.
UNITS_MAX: Final = 10**17

#: Days within which a balance is told to run out, of every balance until a tenant says otherwise.
RUNNING_OUT_DAYS: Final = 3
RUNNING_OUT_DAYS_MAX: Final = 60

#: The names of the two lists, as clients write them.
FIELDS: Final = ((Measure.PERCENT, "percents", ALL), (Measure.UNITS, "units", UNITS_MAX))


class ThresholdsError(DocumentError):
    """Thresholds that were refused, with every problem found in them."""


def watched(own: Sequence[Threshold] | None) -> tuple[Threshold, ...]:
    """What a balance is watched for as it moves: its own and zero, else what every balance is."""
    lines = of_amounts(own)
    return DEFAULTS if lines is None else (*lines, ZERO)


def of_amounts(own: Sequence[Threshold] | None) -> tuple[Threshold, ...] | None:
    """The lines of a tenant's own that a movement may pass, without zero; None: none is its own."""
    if own is None or {each.measure for each in own} == {Measure.DAYS}:
        return None
    return tuple(each for each in own if each.measure is not Measure.DAYS and each != ZERO)


def days_of(own: Sequence[Threshold] | None) -> int | None:
    """Within how many days a balance is told to run out, as the tenant set it; None: it did not."""
    return next((value // MICRO for measure, value in own or () if measure is Measure.DAYS), None)


def with_days(own: tuple[Threshold, ...] | None, days: int | None) -> tuple[Threshold, ...] | None:
    """The lines of a tenant's own as they are kept, with its days.

    Beside days zero is written where nothing else is watched for; days alone leave the rest as it
    is of every balance.
    """
    if days is None:
        return own
    lines = () if own is None else own or (ZERO,)
    return (*lines, Threshold(Measure.DAYS, days * MICRO))


def check_days(days: int | None) -> list[Fault]:
    """What is wrong with a number of days; 0 is never."""
    if days is None or 0 <= days <= RUNNING_OUT_DAYS_MAX:
        return []
    right = f"write 1 to {RUNNING_OUT_DAYS_MAX} days, or 0: it is never told"
    return [Fault("runningOutDays", f"{days} is out of bounds", right)]


def read_own(percents: Sequence[int], units: Sequence[int]) -> tuple[Threshold, ...] | None:
    """What was written, highest first; None where nothing was: what every balance is watched for.

    In micros; ThresholdsError with every problem. Zero is watched for anyway: alone it says that
    nothing else is.
    """
    problems: list[Fault] = []
    found: dict[Threshold, None] = {}
    for (measure, name, most), written in zip(FIELDS, (percents, units), strict=True):
        for place, value in enumerate(written[: THRESHOLDS_MAX + 1]):
            threshold = Threshold(measure, value)
            wrong = right = ""
            if not 0 <= value <= most:
                wrong = f"{text(value)} is out of bounds"
                right = f"write 0 to {int(text(most)):,}" + " %" * (measure is Measure.PERCENT)
            elif threshold in found:
                wrong, right = f"{text(value)} is there twice", "write it once"
            if wrong:
                problems.append(Fault(f"{name}[{place}]", wrong, right))
            found[threshold] = None
    if len(percents) + len(units) > THRESHOLDS_MAX:
        count = f"{len(percents) + len(units)} thresholds are too many"
        problems.append(Fault("percents", count, f"write {THRESHOLDS_MAX} of a balance at most"))
    if problems:
        raise ThresholdsError("thresholds", problems)
    if not found:
        return None
    above = [threshold for threshold in found if threshold.value]
    return tuple(sorted(above, key=lambda each: (each.measure, -each.value)))


def written(own: Sequence[Threshold]) -> list[list[int]]:
    """Thresholds of one balance as numbers, to be kept: measure and value of each."""
    return [[int(measure), value] for measure, value in own]


def parsed(numbers: Sequence[Sequence[int]]) -> tuple[Threshold, ...]:
    """Thresholds of one balance, from what was kept."""
    return tuple(Threshold(Measure(measure), value) for measure, value in numbers)


def edit(terms: Terms, after: Terms, state: State, balance_id: int, now: int) -> Changes:
    """Watch a balance for other thresholds from now on, and raise what that brings about.

    `terms` are those until now, `after` those from now on.
    """
    changes = Changes(after, state, ACTION)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    ledger.terms = after
    ledger.watch.touch(balance_id)
    ledger.close(AlertCause.THRESHOLDS)
    return changes


def percent(threshold: Threshold) -> str | None:
    """The percentage of a threshold that is one, as a decimal."""
    return text(threshold.value) if threshold.measure is Measure.PERCENT else None


def units(threshold: Threshold) -> str | None:
    """The units of a threshold that is of units, as a decimal."""
    return text(threshold.value) if threshold.measure is Measure.UNITS else None
