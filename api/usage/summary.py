"""The sums of a whole range, however long it is (FI-2, FI-4).

Owns what a summary is made of: every measure at once, by category, in one statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.usage.answer import too_much
from api.usage.comparison import change
from api.usage.filters import Only
from api.usage.question import stretches
from domain.periods import Zone
from persistence import usage
from persistence.door import Door
from persistence.usage import Asked, Dimension, Measure, Selection, Total

MEASURES = tuple(Measure)

#: Those that make up the delivered messages: each message is in exactly one (FI-4).
CARDS = (
    Measure.MESSAGES_MARKETING,
    Measure.MESSAGES_UTILITY,
    Measure.MESSAGES_AUTHENTICATION,
    Measure.MESSAGES_SERVICE,
    Measure.MESSAGES_FREE,
)


@dataclass(frozen=True, slots=True)
class Totals:
    """Every measure of a range, in whole things or micros, by the category of its messages."""

    by_category: dict[str, tuple[int, ...]]  #: one value for each of MEASURES

    @classmethod
    def of(cls, *rows: Sequence[Total]) -> Totals:
        """The totals of several parts of a range together."""
        found: dict[str, tuple[int, ...]] = {}
        for total in (total for part in rows for total in part):
            (category,) = total.key
            known = found.get(category)
            found[category] = (
                total.values
                if known is None
                else tuple(a + b for a, b in zip(known, total.values, strict=True))
            )
        return cls(found)

    def sum(self, *measures: Measure) -> int:
        """All categories of these measures together."""
        places = [MEASURES.index(measure) for measure in measures]
        return sum(values[place] for values in self.by_category.values() for place in places)

    def in_category(self, category: str, measure: Measure) -> int:
        """What is of one category, 0 where nothing was."""
        values = self.by_category.get(category)
        return 0 if values is None else values[MEASURES.index(measure)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A sum and, where it is compared, that of the range before: all of it, and by then."""

    measure: Measure  #: says what one is
    now: int
    before: int | None = None
    then: int | None = None

    @property
    def change(self) -> str | None:
        """By how many percent it is more than by then; None where there is nothing to say."""
        return None if self.then is None else change(self.now, self.then)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summed:
    """The totals of a range and, where it is compared, of the range before."""

    now: Totals
    before: Totals | None = None
    then: Totals | None = None  #: of it, what had come when as much of it had passed

    def figure(self, *measures: Measure) -> Figure:
        """These measures of one kind together."""
        return Figure(
            measure=measures[0],
            now=self.now.sum(*measures),
            before=None if self.before is None else self.before.sum(*measures),
            then=None if self.then is None else self.then.sum(*measures),
        )

    def by_category(self, measure: Measure) -> dict[str, Figure]:
        """Each category that has any, ascending."""
        known = {*self.now.by_category, *(self.before.by_category if self.before else ())}
        found = {
            category: Figure(
                measure=measure,
                now=self.now.in_category(category, measure),
                before=None if self.before is None else self.before.in_category(category, measure),
                then=None if self.then is None else self.then.in_category(category, measure),
            )
            for category in sorted(known)
        }
        return {key: figure for key, figure in found.items() if figure.now or figure.before}


def summary_selection(narrowed: Only = ()) -> Selection:
    """What a summary sums: one statement serves all tenants that narrow alike."""
    return Selection(measures=MEASURES, group_by=(Dimension.CATEGORY,), only=narrowed)


def whole(zone: Zone, tenant_id: int, start: int, end: int) -> Asked:
    """What to read of a range from one local hour to another."""
    hours, days = stretches(zone, start, end)
    return Asked(tenant_id=tenant_id, hours=hours, days=days)


async def read_totals(
    door: Door, selection: Selection, asked: Sequence[Asked]
) -> list[list[Total]]:
    """The totals of each one asked for; BAD_USER_INPUT where they are too many."""
    try:
        return await usage.totals(door, selection, asked)
    except OverflowError:
        raise too_much() from None
