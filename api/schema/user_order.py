"""In which order a range's people are listed: by their names, or by what they used.

Owns the words of an order and what the cursor of a sorted page holds. Without one people come in
the order they were added, which is `people`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import strawberry

from api import ids
from api.faults import Fault
from api.schema.paging import cursor, position
from persistence.members import Behind
from persistence.usage import Measure


@strawberry.enum(description="What people are sorted by: a column of a table of them.")
class UserUsageSort(Enum):
    NAME = strawberry.enum_value(
        "name", description="Their names, as they are now, whatever case and accents they have."
    )
    MESSAGES_IN = strawberry.enum_value("messages_in", description="Messages received.")
    MESSAGES_OUT = strawberry.enum_value(
        "messages_out", description="Messages that reached their contact."
    )
    CONVERSATIONS = strawberry.enum_value(
        "conversations", description="Conversations that were opened."
    )
    MINUTES = strawberry.enum_value("minutes", description="Minutes, to the second.")
    COST = strawberry.enum_value(
        "cost", description="What money balances paid. Needs `billing:read`."
    )


#: The figure that each sorts by; who is sorted by name needs none.
MEASURES = {
    UserUsageSort.MESSAGES_IN: Measure.MESSAGES_IN,
    UserUsageSort.MESSAGES_OUT: Measure.MESSAGES_OUT,
    UserUsageSort.CONVERSATIONS: Measure.CONVERSATIONS,
    UserUsageSort.MINUTES: Measure.SECONDS_BILLED,
    UserUsageSort.COST: Measure.COST,
}


@strawberry.enum(description="Which end of an order comes first.")
class SortDirection(Enum):
    ASCENDING = strawberry.enum_value("ascending", description="The least, or `A`, first.")
    DESCENDING = strawberry.enum_value("descending", description="The most, or `Z`, first.")


@strawberry.input(description="In which order people are listed; of equals, who was added first.")
class UserUsageSortInput:
    by: UserUsageSort = strawberry.field(description="What they are sorted by.")
    direction: SortDirection = strawberry.field(
        default=SortDirection.ASCENDING, description="Which end comes first."
    )

    def order(self) -> Order:
        """What it asks for."""
        return Order(by=self.by, direction=self.direction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What people are sorted by, and from which end."""

    by: UserUsageSort
    direction: SortDirection

    @property
    def measure(self) -> Measure | None:
        """The figure it sorts by; None: it sorts by name."""
        return MEASURES.get(self.by)

    @property
    def descending(self) -> bool:
        return self.direction is SortDirection.DESCENDING

    def cursor(self, user_id: int, figure: int) -> str:
        """The place of somebody who has this figure, 0 where it sorts by name."""
        return cursor([self.by.value, self.direction.value, ids.encode("usr", user_id), figure])

    def behind(self, after: str | None) -> Behind | None:
        """Behind whom a page begins; BAD_USER_INPUT for a cursor that is of no page of this order.

        A name has no place in it: it may be longer than a cursor, so that it is looked up.
        """
        if after is None:
            return None
        try:
            by, direction, word, figure = position(after, str, str, str, int)
        except Fault:
            by = direction = word = ""
        user_id = ids.decode("usr", word)
        if user_id is None or (by, direction) != (self.by.value, self.direction.value):
            raise Fault(
                "BAD_USER_INPUT",
                "`after` is no cursor of this order: pass an `endCursor` of the same `sort` as it "
                "came",
            )
        return Behind(user_id=user_id, figure=figure)


@dataclass(frozen=True, slots=True)
class Sorting:
    """An order, and the figures it goes by."""

    order: Order
    figures: Mapping[str, int] | None  #: by what facts call people; None: it sorts by name

    def cursor(self, user_id: int, external_id: str | None) -> str:
        """The place of somebody in it."""
        figure = 0
        if self.figures is not None and external_id is not None:
            figure = self.figures.get(external_id, 0)
        return self.order.cursor(user_id, figure)
