"""The model's rule book: its own reading of price book, plans, markets and calendar.

Owns which row and which chain speak, the local calendar, and how a charge is rounded. Imports
nothing of the product. Amounts are whole millionths, instants microseconds since 1970, months are
written 2026-10.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import floor
from typing import Any
from zoneinfo import ZoneInfo

Json = dict[str, Any]
Asked = tuple[str, str, str, str, date]  #: channel, category, direction, market, local date

UNIT = 1_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def instant(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // MICROSECOND


def written(at: int) -> str:
    return (EPOCH + at * MICROSECOND).isoformat()


def micros(text: str) -> int:
    return int(Decimal(text) * UNIT)


def charge(price: Fraction, units: int, divisor: int = 1) -> int:
    """IN-5: a charge is rounded once, half up, to a millionth."""
    return floor(price * units / divisor + Fraction(1, 2))


class Calendar:
    """The local calendar of a tenant or a number, whose zone may change at a month's start (TZ-3).

    Dates never go back: after a change to the west the new month's first day is a long one.
    """

    def __init__(self, name: str) -> None:
        #: From when on, in which zone, and the local date that had begun by then.
        self.parts: list[tuple[int, str, date]] = [(-(2**62), name, date.min)]

    def part(self, at: int) -> tuple[int, str, date]:
        return next(part for part in reversed(self.parts) if part[0] <= at)

    def date(self, at: int) -> date:
        _, name, reached = self.part(at)
        return max(_local(name, at).date(), reached)

    def month(self, at: int) -> str:
        return self.date(at).isoformat()[:7]

    def bounds(self, month: str) -> tuple[int, int]:
        """The first instant of a local month and of the next (TZ-1)."""
        year, number = map(int, month.split("-"))
        following = date(year + number // 12, number % 12 + 1, 1)
        return self._start(date(year, number, 1)), self._start(following)

    def _start(self, first: date) -> int:
        for since, name, reached in reversed(self.parts):
            if reached == first:
                return since
            if (midnight := _midnight(name, first)) >= since:
                return midnight
        raise AssertionError("the first part is from ever")

    def hour(self, at: int) -> int:
        """When the local hour began; a change of the clocks or of the zone cuts it (TZ-2)."""
        since, name, _ = self.part(at)
        offset = _local(name, at).utcoffset() or timedelta()
        begin = at - (at + offset // MICROSECOND) % HOUR
        while _local(name, begin).utcoffset() != offset:
            begin += MINUTE  # clocks change at a full minute
        return max(begin, since)

    def change(self, name: str, at: int) -> None:
        """Another zone from the next month on, by a clock that facts may be ahead of."""
        since = self.bounds(self.month(at + 6 * MINUTE))[1]
        self.parts = [part for part in self.parts if part[0] < since]
        if self.parts[-1][1] != name:
            self.parts.append((since, name, self.date(since)))


@lru_cache(maxsize=1024)
def _local(name: str, at: int) -> datetime:
    return (EPOCH + at * MICROSECOND).astimezone(ZoneInfo(name))


@lru_cache(maxsize=1024)
def _midnight(name: str, day: date) -> int:
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(name))
    return (local.astimezone(UTC) - EPOCH) // MICROSECOND


def price_of(row: Json) -> Fraction | None:
    return None if row["price"] == "n/a" else Fraction(row["price"])


class Rulebook:
    """The documents of a book, its plans and its markets, as people wrote them."""

    def __init__(self, documents: Json, versions: Sequence[Json] = ()) -> None:
        """`versions` are those of the book that were published since, in order."""
        self.documents = documents
        self.book: Json = documents["book"]
        books = [self.book, *versions]
        self.version_of = [
            (version, row) for version, book in enumerate(books) for row in book["rows"]
        ]
        self.plans: Json = documents["plans"]
        self.markets: Json = documents["markets"]
        self.countries: Json = documents["countries"]["prefixes"]
        self.known: dict[tuple[str, Asked], list[Json]] = {}

    def rule(self, row: Json) -> str:
        return f"{self.book['book']}@{row['valid_from']}/{row['row']}"

    def rows(self, basis: str, asked: Asked) -> list[Json]:
        """PR-2, PR-6: the row in force, or its tiers in order; the exact one goes before `*`."""
        if (basis, asked) not in self.known:
            self.known[basis, asked] = self._find(basis, *asked)
        return self.known[basis, asked]

    def _find(
        self, basis: str, channel: str, category: str, direction: str, market: str, day: date
    ) -> list[Json]:
        for own_category in (category, "*"):
            for own_channel in (channel, "*"):
                for own_market in (market, "*"):
                    place = [basis, own_channel, own_category, direction, own_market]
                    names = ("basis", "channel", "category", "direction", "market")
                    rows = [
                        (row["valid_from"], version, row)
                        for version, row in self.version_of
                        if [row[name] for name in names] == place and row["valid_from"] <= day
                    ]
                    if rows:
                        latest = max(each[:2] for each in rows)
                        found = [row for *when, row in rows if tuple(when) == latest]
                        return sorted(found, key=lambda row: row.get("tier", {}).get("above", 0))
        return []

    def speaks_of(
        self, channel: str, category: str, direction: str, bases: Collection[str]
    ) -> bool:
        """Whether some row, of whatever date and market, is about such units."""
        return any(
            row["basis"] in bases
            and row["direction"] == direction
            and row["channel"] in (channel, "*")
            and (category == "*" or row["category"] in (category, "*"))
            for _, row in self.version_of
        )

    def market(self, channel: str, address: str) -> str:
        """PR-6: the longest prefix; `none` without a telephone number, `other` on no list."""
        if channel not in self.markets["channels"] or not address.isdecimal():
            return "none"
        (prefixes,) = (each["prefixes"] for each in self.markets["lists"])
        owners = {prefix: code for code, own in prefixes.items() for prefix in own}
        return _longest(owners, address) or "other"

    def country(self, address: str) -> str:
        return _longest({prefix: code for code, prefix in self.countries.items()}, address)

    def chain(self, plan: str, channel: str, category: str, direction: str) -> list[Json]:
        """Who pays, in order; the category's own chain before `*`, then the channel's."""
        for place in ((channel, category), ("*", category), (channel, "*"), ("*", "*")):
            for chain in self.plans[plan]["chains"]:
                mine = chain["channel"] == place[0] and place[1] in chain["categories"]
                if mine and chain["direction"] == direction:
                    return list(chain["steps"])
        return []

    def balance(self, plan: str, key: str) -> Json:
        return next(each for each in self.plans[plan]["balances"] if each["balance"] == key)


def _longest(owners: dict[str, str], address: str) -> str:
    matches = [prefix for prefix in owners if address.startswith(prefix)]
    return owners[max(matches, key=len)] if matches else ""
