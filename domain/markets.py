"""Markets: which price list a contact's calling code belongs to (PR-6).

Owns the dated prefix lists of a document and their longest match. Does not own prices, and does not
judge whether an address is a possible telephone number: that was done at the edge.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.documents import KEY, DocumentError, Table, read_sample_marks, shown

ANY_MARKET: Final = "*"
NO_PHONE: Final = "none"
UNLISTED: Final = "other"
ALWAYS: Final = -(1 << 40)  #: a local date before every fact

_CODE: Final = re.compile(r"[A-Z]{2}|[a-z][a-z0-9_]{1,63}")
_PREFIX: Final = re.compile(r"[1-9][0-9]{0,14}")
_HEADS_MAX: Final = 65_536  # remembered heads of addresses, far above what real prefixes make


class MarketsError(DocumentError):
    """Lists of prefixes that were refused, with every problem found in them."""


@dataclass(frozen=True, slots=True)
class _Era:
    """The prefixes between two dates at which a list changes."""

    start: int  #: local date, inclusive
    end: int  #: local date, exclusive
    prefixes: Mapping[str, str]
    known: dict[str, str]  #: heads of addresses that were looked up already


class Markets:
    """Dated lists of calling prefixes, and on which channels an address is a telephone number."""

    __slots__ = ("_era", "_eras", "_longest", "_now", "channels", "codes", "key")

    def __init__(
        self,
        key: str = "",
        channels: frozenset[str] = frozenset(),
        moves: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        """Take, per local date, the market that each prefix belongs to from that date on."""
        self.key = key
        self.channels = channels
        dates = sorted(moves or {})
        in_force: dict[str, str] = {}
        starts = [-(1 << 62), *dates, 1 << 62]
        eras = [_Era(starts[0], starts[1], {}, {})]
        for place, date in enumerate(dates, start=1):
            in_force = {**in_force, **(moves or {})[date]}
            eras.append(_Era(date, starts[place + 1], in_force, {}))
        self._eras = tuple(eras)
        self._longest = max(map(len, in_force), default=1)
        self._turn(dates[-1] if dates else 0)
        #: every market that a list names, at any date
        self.codes = frozenset(code for era in eras for code in era.prefixes.values())

    def market(self, channel: str, address: str, date: int) -> str:
        """Name the market of a contact on a local date; `none` where it has no telephone number."""
        if channel not in self.channels or not address.isdecimal():
            return NO_PHONE
        start, end, known = self._now
        if not start <= date < end:
            known = self._turn(date)
        try:
            return known[address[: self._longest]]
        except KeyError:
            return self._match(address[: self._longest])

    def head(self, market: str, date: int) -> str | None:
        """Digits that make any address a market's on a local date; None where no prefix does."""
        self._turn(date)
        prefixes = [own for own, code in self._era.prefixes.items() if code == market]
        # No prefix begins with 0. Behind one, a longer one of another market may follow.
        for prefix in ["0"] if market == UNLISTED else prefixes:
            for digit in "0123456789":
                head = prefix.ljust(self._longest, digit)
                if self._match(head) == market:
                    return head
        return None

    def prefix(self, channel: str, address: str, date: int) -> str | None:
        """Give the prefix that named the market; None without a telephone number or a match."""
        if channel not in self.channels or not address.isdecimal():
            return None
        prefixes = next(era.prefixes for era in self._eras if era.start <= date < era.end)
        heads = (address[:n] for n in range(min(len(address), self._longest), 0, -1))
        return next((head for head in heads if head in prefixes), None)

    def as_of(self, date: int) -> "Markets":
        """These lists as they stand on a local date, for every date."""
        self._turn(date)
        return Markets(self.key, self.channels, {ALWAYS: self._era.prefixes})

    def _turn(self, date: int) -> dict[str, str]:
        """Make the era of a local date the one that is asked first."""
        era = self._era = next(each for each in self._eras if each.start <= date < each.end)
        self._now = (era.start, era.end, era.known)
        return era.known

    def _match(self, head: str) -> str:
        """Find the longest prefix of the present era, and remember it for this head."""
        era = self._era
        ends = range(len(head), 0, -1)
        prefixes = era.prefixes
        market = next((prefixes[head[:n]] for n in ends if head[:n] in prefixes), UNLISTED)
        if len(era.known) < _HEADS_MAX:
            era.known[head] = market
        return market


def parse_markets(document: Mapping[str, object]) -> Markets:
    """Read lists of prefixes, or raise MarketsError with every problem."""
    top = Table(document)
    key = top.text("markets", 'name the lists in lower case, as "cards-2026"', KEY)
    read_sample_marks(top)
    channels = frozenset(top.texts("channels", "name the channels whose addresses are numbers"))
    for channel in channels:
        if not KEY.fullmatch(channel):
            top.problem("channels", f"{shown(channel)} is no channel", "name it in lower case")
    moves: dict[int, dict[str, str]] = {}
    for table in top.tables("lists", "write [[lists]] with valid_from and [lists.prefixes]"):
        date = table.date("valid_from")
        if table.clean and date in moves:
            table.problem("valid_from", "an earlier list has this date", "join the two lists")
        moves[date] = _read_prefixes(table)
        table.close()
    top.close()
    if top.problems:
        raise MarketsError(f"markets {key}", top.problems)
    return Markets(key, channels, moves)


def _read_prefixes(table: Table) -> dict[str, str]:
    """Read which prefixes each market has; a prefix belongs to one market of a list."""
    prefixes: dict[str, str] = {}
    lists = table.table("prefixes", 'write [lists.prefixes] with lines as ID = ["62"]')
    for code in lists.fields():
        if not _CODE.fullmatch(code) or code == NO_PHONE:
            lists.problem(code, "is no market", "write a country as ID or a region as asia_pacific")
        for prefix in lists.texts(code, 'write calling prefixes without "+", as ["62"]'):
            if not _PREFIX.fullmatch(prefix):
                lists.problem(
                    code, f"{shown(prefix)} is no calling prefix", "write digits without +"
                )
            elif prefix in prefixes:
                other = prefixes[prefix]
                lists.problem(code, f"{prefix!r} belongs to {other} too", "leave it in one market")
            prefixes[prefix] = code
    return prefixes
