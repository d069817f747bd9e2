"""Price books: dated rows that turn what happened into units and prices (PR-1, PR-2, PR-6).

Owns the rows, the lengths of windows and which row is in force for a fact. Does not own what a
tenant's plan pays from, nor arithmetic with prices. All knowledge of a channel's rules is in the
documents; a row that is not written does not exist.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from typing import Final, Literal

from domain.markets import ALWAYS, ANY_MARKET, Markets
from domain.money import MICRO

ANY: Final = "*"
CUSTOMER_SERVICE: Final = "customer_service"
FREE_ENTRY: Final = "free_entry"

Direction = Literal["in", "out"]
ChargedOn = Literal["delivered", "sent"]
Per = Literal["number", "tenant"]

_ROWS_KNOWN_MAX: Final = 16_384  # remembered look-ups; categories come from outside


class Basis(StrEnum):
    """What one unit of a row is."""

    PER_MESSAGE = "per_message"
    PER_CONVERSATION = "per_conversation"
    PER_VISITOR = "per_visitor"
    PER_SEGMENT = "per_segment"
    PER_MINUTE = "per_minute"
    PER_UNIT = "per_unit"


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeCount:
    """The first units of a month that cost nothing."""

    name: str  #: rows with one name share one count
    count: int  #: whole units per month of the number's zone
    per: Per


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """The charged units of a month that a row prices, one of several (PR-7)."""

    above: int  #: whole units charged before, exclusive
    up_to: int | None  #: inclusive; None: no end


@dataclass(frozen=True, slots=True, kw_only=True)
class Increments:
    """How seconds are billed: the first ones whole, then step by step (VO-1)."""

    first: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One dated price rule."""

    rule: str  #: as people see it: BOOK@VALID-FROM/ROW
    row: str
    channel: str  #: or `*`
    category: str  #: or `*`
    direction: Direction
    market: str  #: a code, `*`, `none` or `other`
    valid_from: int  #: local date, inclusive
    published: int  #: version of the book that brought it; the higher one wins
    basis: Basis
    charged_on: ChargedOn
    price: int | None  #: 10^-12 of the currency unit; None is "no rate", never free
    free_in: frozenset[str]  #: windows in which a unit costs nothing
    free_count: FreeCount | None
    tier: Tier | None = None
    increments: Increments | None = None  #: of rows per minute; None: each second as it is
    group: bool = False  #: whether it prices a group's messages, per member reached (PR-8)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """How long a channel's windows last, in microseconds."""

    customer_service: int
    conversation: int
    free_entry: int


#: What a row answers for: basis, channel, category, direction, market, and whether of groups.
Place = tuple[str, str, str, str, str, bool]


def place_of(row: Row) -> Place:
    """What a row answers for, whatever its date and tier."""
    return row.basis, row.channel, row.category, row.direction, row.market, row.group


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Every row of a book in all its published versions."""

    key: str
    version: int  #: the last published
    currency: str
    rows: tuple[Row, ...]
    windows: Mapping[str, WindowRule]  #: by channel; a channel without one has no windows
    markets: Markets
    #: (channel, address, local date) -> market, as `Markets.market` (PR-6); bound here once because
    #: every fact asks for it
    market: Callable[[str, str, int], str] = field(init=False, repr=False, compare=False)
    #: By name of a free count, where it changes what is charged; of all tiers together.
    limits: Mapping[str, tuple[int, ...]] = field(init=False, repr=False, compare=False)
    tier_limits: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _dated: dict[Place, tuple[list[int], list[tuple[Row, ...]]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _known: dict[tuple[object, ...], tuple[Row, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "market", self.markets.market)
        limits: dict[str, set[int]] = {}
        tiers: set[int] = set()
        for row in self.rows:
            if row.free_count is not None:
                limits.setdefault(row.free_count.name, set()).add(row.free_count.count)
            if row.tier is not None and row.tier.up_to is not None:
                tiers.add(row.tier.up_to * MICRO)  # tiers are counted in units' micros
        object.__setattr__(self, "limits", {name: tuple(sorted(s)) for name, s in limits.items()})
        object.__setattr__(self, "tier_limits", tuple(sorted(tiers)))
        order = sorted(
            self.rows,
            key=lambda row: (row.valid_from, row.published, row.tier.above if row.tier else 0),
        )
        for (valid_from, _), same in groupby(order, lambda row: (row.valid_from, row.published)):
            schedules: dict[Place, list[Row]] = {}
            for row in same:
                schedules.setdefault(place_of(row), []).append(row)
            for place, rows in schedules.items():
                dates, dated = self._dated.setdefault(place, ([], []))
                dates.append(valid_from)
                dated.append(tuple(rows))

    def row(
        self, basis: Basis, channel: str, category: str, direction: str, market: str, date: int
    ) -> Row | None:
        """Pick the row in force on a local date, or None; of tiers the first, as `schedule`."""
        found = self.schedule(basis, channel, category, direction, market, date)
        return found[0] if found else None

    def schedule(
        self,
        basis: Basis,
        channel: str,
        category: str,
        direction: str,
        market: str,
        date: int,
        *,
        group: bool = False,
    ) -> tuple[Row, ...]:
        """Pick the row in force on a local date, or its tiers in order; () where there is none.

        The category's own row comes before `*`, then the channel's, then the market's; a row whose
        price is None is an answer ("no rate") and hides the `*` row behind it.
        """
        key = (basis, channel, category, direction, market, date, group)
        try:
            return self._known[key]
        except KeyError:
            pass
        if len(self._known) >= _ROWS_KNOWN_MAX:
            self._known.clear()
        found = self._known[key] = self._find(
            basis, channel, category, direction, market, date, group
        )
        return found

    def _find(
        self,
        basis: str,
        channel: str,
        category: str,
        direction: str,
        market: str,
        date: int,
        group: bool,
    ) -> tuple[Row, ...]:
        for own_category in (category, ANY):
            for own_channel in (channel, ANY):
                for own_market in (market, ANY_MARKET):
                    place = (basis, own_channel, own_category, direction, own_market, group)
                    dates, schedules = self._dated.get(place, ([], []))
                    if after := bisect_right(dates, date):
                        return schedules[after - 1]
        return ()

    def prices(self, basis: Basis, channel: str, category: str, direction: str) -> bool:
        """True if some row, of any market and date, speaks of these units."""
        return any(
            row.basis == basis
            and row.direction == direction
            and row.channel in (channel, ANY)
            and (category == ANY or row.category in (category, ANY))
            for row in self.rows
        )

    def as_of(self, date: int) -> "Book":
        """This book as it stands on a local date, for every date: later rows are not there."""
        rows: dict[Place, tuple[Row, ...]] = {}
        for place, (dates, schedules) in self._dated.items():
            if after := bisect_right(dates, date):
                rows[place] = schedules[after - 1]
        return Book(
            key=self.key,
            version=self.version,
            currency=self.currency,
            rows=tuple(
                replace(row, valid_from=ALWAYS) for schedule in rows.values() for row in schedule
            ),
            windows=self.windows,
            markets=self.markets.as_of(date),
        )

    def with_version(self, later: "Book") -> "Book":
        """Add a later version's rows; its windows, markets and number are taken over."""
        if (later.key, later.currency) != (self.key, self.currency):
            raise ValueError(
                f"{later.key} in {later.currency} is no version of {self.key} in {self.currency}"
            )
        if later.version <= self.version:
            raise ValueError(f"version {later.version} of {self.key} is not after {self.version}")
        return Book(
            key=self.key,
            version=later.version,
            currency=self.currency,
            rows=self.rows + later.rows,
            windows=later.windows,
            markets=later.markets,
        )
