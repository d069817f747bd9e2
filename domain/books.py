"""Price books: dated rows that turn what happened into units and prices (PR-1, PR-2, PR-6).

Owns the rows, the lengths of windows and which row is in force for a fact. Does not own what a
tenant's plan pays from, nor arithmetic with prices. All knowledge of a channel's rules is in the
documents; a row that is not written does not exist.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, cast

from domain.documents import KEY, DocumentError, Fault, Table, nearest, read_sample_marks, shown
from domain.markets import ANY_MARKET, NO_PHONE, UNLISTED, Markets, MarketsError, parse_markets
from domain.money import DISPLAY_DIGITS
from domain.periods import date_of

ANY: Final = "*"
CUSTOMER_SERVICE: Final = "customer_service"
FREE_ENTRY: Final = "free_entry"

Direction = Literal["in", "out"]
ChargedOn = Literal["delivered", "sent"]
Per = Literal["number", "tenant"]

_HOUR: Final = 3_600_000_000
_HOURS_MAX: Final = 8_760  # a window longer than a year is a slip of the pen
_ROWS_KNOWN_MAX: Final = 16_384  # remembered look-ups; categories come from outside


class BookError(DocumentError):
    """A price book that was refused, with every problem found in it."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRule:
    """How long a channel's windows last, in microseconds."""

    customer_service: int
    conversation: int
    free_entry: int


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
    _dated: dict[tuple[str, str, str, str, str], tuple[list[int], list[Row]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _known: dict[tuple[str, str, str, str, str, int], Row | None] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "market", self.markets.market)
        for row in sorted(self.rows, key=lambda row: (row.valid_from, row.published)):
            place = (row.basis, row.channel, row.category, row.direction, row.market)
            dates, rows = self._dated.setdefault(place, ([], []))
            dates.append(row.valid_from)
            rows.append(row)

    def row(
        self, basis: Basis, channel: str, category: str, direction: str, market: str, date: int
    ) -> Row | None:
        """Pick the row in force on a local date, or None where the book says nothing.

        The category's own row comes before `*`, then the channel's, then the market's; a row whose
        price is None is an answer ("no rate") and hides the `*` row behind it.
        """
        key = (basis, channel, category, direction, market, date)
        try:
            return self._known[key]
        except KeyError:
            pass
        if len(self._known) >= _ROWS_KNOWN_MAX:
            self._known.clear()
        found = self._known[key] = self._find(basis, channel, category, direction, market, date)
        return found

    def _find(
        self, basis: str, channel: str, category: str, direction: str, market: str, date: int
    ) -> Row | None:
        for own_category in (category, ANY):
            for own_channel in (channel, ANY):
                for own_market in (market, ANY_MARKET):
                    place = (basis, own_channel, own_category, direction, own_market)
                    dates, rows = self._dated.get(place, ([], []))
                    if after := bisect_right(dates, date):
                        return rows[after - 1]
        return None

    def prices(self, basis: Basis, channel: str, category: str, direction: str) -> bool:
        """True if some row, of any market and date, speaks of these units."""
        return any(
            row.basis == basis
            and row.direction == direction
            and row.channel in (channel, ANY)
            and (category == ANY or row.category in (category, ANY))
            for row in self.rows
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


def parse_book(
    document: Mapping[str, object],
    published: int,
    markets_document: Mapping[str, object] | None = None,
) -> Book:
    """Read one version of a book, or raise BookError with every problem of it and its markets."""
    top = Table(document)
    key = top.text("book", 'name the book in lower case, as "omnichannel-idr"', KEY)
    currency = top.choice("currency", DISPLAY_DIGITS)
    read_sample_marks(top)
    markets = _read_markets(top, markets_document)
    windows = _read_windows(top)
    rows: list[tuple[Table, Row]] = []
    for table in top.tables("rows", "write at least one [[rows]]"):
        row = _read_row(table, key, published)
        table.close()
        if table.clean:
            rows.append((table, row))
    top.close()
    _check_once(rows)
    for table, row in rows:
        _check_market(table, row, markets)
        _check_windows(table, row, windows)
    if top.problems:
        raise BookError(f"book {key}", top.problems)
    return Book(
        key=key,
        version=published,
        currency=currency,
        rows=tuple(row for _, row in rows),
        windows=windows,
        markets=markets or Markets(),
    )


def _read_markets(top: Table, document: Mapping[str, object] | None) -> Markets | None:
    """Read the lists that the book names; None where they cannot be judged."""
    if not top.has("markets"):
        return Markets()
    name = top.text("markets", "name the lists of prefixes, as in their document", KEY)
    if not name:
        return None
    if document is None:
        top.problem("markets", f"{name!r} was not given", "give its document, or leave this out")
        return None
    try:
        markets = parse_markets(document)
    except MarketsError as error:
        top.problems.extend(
            Fault(f"{name}:{each.path}", each.wrong, each.right) for each in error.problems
        )
        return None
    if markets.key != name:
        top.problem("markets", f"{name!r} was not given", f"the lists given are {markets.key!r}")
        return None
    return markets


def _read_windows(top: Table) -> dict[str, WindowRule]:
    windows: dict[str, WindowRule] = {}
    if not top.has("windows"):
        return windows
    channels = top.table("windows", "write [windows.CHANNEL] with the hours of its windows")
    for channel in channels.fields():
        table = channels.table(channel, "write the hours of its windows")
        if not KEY.fullmatch(channel):
            table.problem("", "is no channel", "name the channel in lower case")
        windows[channel] = WindowRule(
            customer_service=table.whole("customer_service_hours", 1, _HOURS_MAX) * _HOUR,
            conversation=table.whole("conversation_hours", 1, _HOURS_MAX) * _HOUR,
            free_entry=table.whole("free_entry_hours", 1, _HOURS_MAX) * _HOUR,
        )
        table.close()
    return windows


def _read_row(table: Table, book: str, published: int) -> Row:
    name = table.text("row", "name the row in lower case", KEY)
    valid_from = table.date("valid_from")
    windows = table.texts("free_in", "name windows, or leave it out", default=())
    for place, window in enumerate(windows):
        if window not in (CUSTOMER_SERVICE, FREE_ENTRY):
            right = nearest(window, (CUSTOMER_SERVICE, FREE_ENTRY))
            table.problem(f"free_in[{place}]", f"{shown(window)} is no window", right)
    return Row(
        rule=f"{book}@{date_of(valid_from).isoformat()}/{name}",
        row=name,
        channel=table.word("channel"),
        category=table.word("category"),
        direction=cast(Direction, table.choice("direction", ("in", "out"))),
        market=table.text("market", 'write a market of the lists, "*", "none" or "other"'),
        valid_from=valid_from,
        published=published,
        basis=Basis(table.choice("basis", tuple(Basis)) or Basis.PER_UNIT),
        charged_on=cast(ChargedOn, table.choice("charged_on", ("delivered", "sent"), "delivered")),
        price=table.price("price"),
        free_in=frozenset(windows),
        free_count=_read_free_count(table),
    )


def _read_free_count(row: Table) -> FreeCount | None:
    if not row.has("free_count"):
        return None
    table = row.table("free_count", "write { name, count, per }")
    count = FreeCount(
        name=table.text("name", "name the count in lower case", KEY),
        count=table.whole("count", 1, 1_000_000_000),
        per=cast(Per, table.choice("per", ("number", "tenant"))),
    )
    table.close()
    return count


def _check_once(rows: Iterable[tuple[Table, Row]]) -> None:
    """Refuse rows that answer the same question, rules of one name and counts that disagree."""
    seen: dict[tuple[object, ...], Table] = {}
    names: dict[str, Table] = {}
    counts: dict[tuple[str, int], FreeCount] = {}
    for table, row in rows:
        same = (row.basis, row.channel, row.category, row.direction, row.market, row.valid_from)
        first = seen.setdefault(same, table)
        if first is not table:
            table.problem("", f"says the same as {first.path}", "keep one of the two")
        first = names.setdefault(row.rule, table)
        if first is not table and seen[same] is table:
            table.problem("row", f"{row.rule} is {first.path} too", "give it a name of its own")
        if (count := row.free_count) and counts.setdefault(
            (count.name, row.valid_from), count
        ) != count:
            right = "rows that share a count have the same one"
            table.problem("free_count", f"{count.name!r} has another size or scope before", right)


def _check_market(table: Table, row: Row, markets: Markets | None) -> None:
    special = (ANY_MARKET, NO_PHONE, UNLISTED)
    if markets is None or row.market in markets.codes or row.market in special:
        return
    wrong = f"{shown(row.market)} is on none of the lists"
    table.problem("market", wrong, nearest(row.market, {*markets.codes, *special}))


def _check_windows(table: Table, row: Row, windows: Mapping[str, WindowRule]) -> None:
    """Refuse rows that speak of windows where the book has none."""
    right = f"write [windows.{row.channel}], or leave this out"
    if row.channel == ANY:
        right = "name a channel"
    if row.channel in windows:
        return
    if row.basis is Basis.PER_CONVERSATION:
        table.problem("basis", f"channel {row.channel!r} has no windows in this book", right)
    if row.free_in:
        table.problem("free_in", f"channel {row.channel!r} has no windows in this book", right)
