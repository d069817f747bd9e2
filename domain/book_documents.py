"""Reading price books: a document in, a book out, or every problem of it at once (PR-1).

Owns the fields of a row as people write them and what may not stand beside what. What a row means
is `books`' to say.
"""

from collections.abc import Iterable, Mapping
from typing import Final, cast

from domain.books import (
    ANY,
    CUSTOMER_SERVICE,
    FREE_ENTRY,
    Basis,
    Book,
    ChargedOn,
    Direction,
    FreeCount,
    Increments,
    Per,
    Row,
    Tier,
    WindowRule,
    place_of,
)
from domain.documents import KEY, DocumentError, Fault, Table, nearest, read_sample_marks, shown
from domain.markets import ANY_MARKET, NO_PHONE, UNLISTED, Markets, MarketsError, parse_markets
from domain.money import DISPLAY_DIGITS
from domain.periods import date_of

_HOUR: Final = 3_600_000_000
_HOURS_MAX: Final = 8_760  # a window longer than a year is a slip of the pen
_UNITS_MAX: Final = 1_000_000_000
_SECONDS_MAX: Final = 3_600


class BookError(DocumentError):
    """A price book that was refused, with every problem found in it."""


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
        _check_market(table, row, markets)
        if table.clean:
            rows.append((table, row))
    top.close()
    _check_once(rows)
    for table, row in rows:
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
        tier=_read_tier(table),
        increments=_read_increments(table),
        group=table.flag("group"),
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


def _read_tier(row: Table) -> Tier | None:
    if not row.has("tier"):
        return None
    table = row.table("tier", "write { above = 0, up_to = 1000 }, the last one without up_to")
    above = table.whole("above", 0, _UNITS_MAX)
    up_to = table.whole("up_to", 1, _UNITS_MAX) if table.has("up_to") else None
    if table.clean and up_to is not None and up_to <= above:
        table.problem("up_to", f"{up_to} is not above {above}", f"write {above + 1} or more")
    table.close()
    return Tier(above=above, up_to=up_to)


def _read_increments(row: Table) -> Increments | None:
    if not row.has("increments"):
        return None
    table = row.table("increments", "write { first = 60, step = 6 }, in seconds")
    increments = Increments(
        first=table.whole("first", 1, _SECONDS_MAX), step=table.whole("step", 1, _SECONDS_MAX)
    )
    table.close()
    if table.clean and not row.same("basis", Basis.PER_MINUTE):
        row.problem("increments", "are for seconds", 'write basis = "per_minute", or leave it out')
    return increments


def _check_once(rows: Iterable[tuple[Table, Row]]) -> None:
    """Refuse rows that answer the same question, rules of one name and counts that disagree."""
    seen: dict[tuple[object, ...], Table] = {}
    names: dict[str, Table] = {}
    counts: dict[tuple[str, int], FreeCount] = {}
    for table, row in rows:
        same = (place_of(row), row.valid_from, row.tier and row.tier.above)
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
    special = ("", ANY_MARKET, NO_PHONE, UNLISTED)  # an empty one was told before
    if markets is None or row.market in markets.codes or row.market in special:
        return
    wrong = f"{shown(row.market)} is on none of the lists"
    table.problem("market", wrong, nearest(row.market, {*markets.codes, *special} - {""}))


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
