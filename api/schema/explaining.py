"""Gathering what explains charges: one statement a kind for however many an operation shows.

Owns which windows and counts are asked for and how what is found is put together; the reasons are
`domain.explain`'s, the words `wording`'s. Nothing is kept: an explanation is worked out when asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from api.context import Context
from domain import explain
from domain.books import CUSTOMER_SERVICE, Book, Row, WindowRule
from domain.explain import Why, Window, opening_flag
from domain.facts import CHANNEL_NAMES, GROUP_MARK, Flag
from domain.periods import Zone, month_name
from persistence import explanations, positions
from persistence.charges import ChargeRecord
from persistence.explanations import (
    AskedWindow,
    FactRecord,
    Link,
    LotRecord,
    Place,
    WindowRecord,
)
from persistence.positions import Count

#: Later than every commit: a charge that was settled knows all there is.
EVERY_VERSION = (1 << 63) - 1


class Asked(NamedTuple):
    """A charge of a tenant."""

    tenant_id: int
    record: ChargeRecord

    @property
    def place(self) -> Place:
        return Place(self.tenant_id, self.record.cursor.at, self.record.cursor.key)


class Position(NamedTuple):
    """Where a charge stands in its month's count, in micros."""

    units: int  #: of the fact itself
    number: int  #: of the month, with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A charge with all that explains it."""

    record: ChargeRecord
    why: Why
    book: Book | None  #: None, as the row: no longer known
    row: Row | None
    fact: FactRecord | None
    zone: Zone | None  #: of the number
    window: WindowRecord | None  #: that decided the charge
    prefix: str | None
    position: Position | None
    lots: dict[int, LotRecord]
    links: frozenset[Link]

    @property
    def month(self) -> str | None:
        """The month whose count it is in, at its number."""
        return None if self.zone is None else month_name(self.zone.month(self.record.cursor.at))


async def explained(context: Context, tenant_id: int, record: ChargeRecord) -> Explained:
    """Explain a charge, together with all others that are asked about at the same moment."""

    async def load(keys: list[Asked]) -> list[Explained]:
        return await _gather(context, keys)

    return await context.loader("explained", load).load(Asked(tenant_id, record))


async def _gather(context: Context, asked: Sequence[Asked]) -> list[Explained]:
    door, books = context.door, context.catalogue.books
    places = list(dict.fromkeys(one.place for one in asked))
    facts = await explanations.facts(door, places)
    links = await explanations.links(door, places)
    legs = {(one.tenant_id, leg.lot_id) for one in asked for leg in one.record.legs}
    lots = await explanations.lots(door, legs) if legs else {}
    rows = [_row(one.record, books) for one in asked]

    wanted = [
        window
        for one, (book, row) in zip(asked, rows, strict=True)
        for window in _windows(one, facts.get(one.place), book, row)
    ]
    windows = await explanations.windows(door, list(dict.fromkeys(wanted))) if wanted else {}
    reasons = [
        explain.why(
            row, one.record.amount, one.record.units, one.record.flags,
            [window for window in Window if (one.place, window) in windows],
        )
        for one, (_, row) in zip(asked, rows, strict=True)
    ]  # fmt: skip
    counts = [
        _count(context, one, facts.get(one.place), book, row, why)
        for one, (book, row), why in zip(asked, rows, reasons, strict=True)
    ]
    counted = {
        (count, one.place) for one, count in zip(asked, counts, strict=True) if count is not None
    }
    found = await positions.positions(door, counted) if counted else {}

    answers = []
    for one, (book, row), why, count in zip(asked, rows, reasons, counts, strict=True):
        fact = facts.get(one.place)
        zone_of = None if fact is None else fact.zone
        position = None if count is None else found.get((count, one.place))
        answers.append(
            Explained(
                record=one.record,
                why=why,
                book=book,
                row=row,
                fact=fact,
                zone=zone_of,
                window=_decisive(one, row, why, windows),
                prefix=_prefix(one.record, fact, book, zone_of),
                position=None if position is None else Position(*position),
                lots={
                    leg.lot_id: lots[one.tenant_id, leg.lot_id]
                    for leg in one.record.legs
                    if (one.tenant_id, leg.lot_id) in lots
                },
                links=frozenset(links[one.place]),
            )
        )
    return answers


def _row(record: ChargeRecord, books: dict[str, Book]) -> tuple[Book | None, Row | None]:
    """The book and the row a charge names; the plan may have another book by now."""
    if record.rule is None:
        return None, None
    book = books.get(record.rule.partition("@")[0])
    if book is None:
        return None, None
    return book, explain.row_of(book.rows, record.rule, record.units, record.amount)


def _rule(fact: FactRecord, book: Book) -> WindowRule | None:
    return None if fact.channel is None else book.windows.get(CHANNEL_NAMES[fact.channel])


def _windows(
    one: Asked, fact: FactRecord | None, book: Book | None, row: Row | None
) -> list[AskedWindow]:
    """The windows to look for around a charge's fact."""
    if fact is None or fact.channel is None or book is None or row is None:
        return []
    rule = _rule(fact, book)
    if rule is None:
        return []
    version = EVERY_VERSION if one.record.cursor.revision else fact.version
    return [
        AskedWindow(
            one.place, window, fact.number_id, fact.channel, fact.party, version,
            explain.length(window, rule),
        )
        for window in explain.windows_asked(row, one.record.amount)
    ]  # fmt: skip


_DECISIVE = {
    Why.FREE_ENTRY: Window.ENTRY,
    Why.FREE_IN_WINDOW: Window.SERVICE,
    Why.COVERED: Window.CONVERSATION,
    Why.CONVERSATION_OPENED: Window.CONVERSATION,
    Why.FREE_COUNT: Window.CONVERSATION,
    Why.PRICE_ZERO: Window.CONVERSATION,
}


def _decisive(
    one: Asked, row: Row | None, why: Why, windows: dict[tuple[Place, Window], WindowRecord]
) -> WindowRecord | None:
    """The window that a reason speaks of."""
    window = _DECISIVE.get(why)
    return None if window is None else windows.get((one.place, window))


def _count(
    context: Context,
    one: Asked,
    fact: FactRecord | None,
    book: Book | None,
    row: Row | None,
    why: Why,
) -> Count | None:
    """The count a charge has a place in, if it has one that can be told from what is stored."""
    if fact is None or fact.zone is None or book is None or row is None:
        return None
    rule_ids, month = context.catalogue.rule_ids, fact.zone.month(one.record.cursor.at)
    rule = _rule(fact, book)
    entry = 0 if rule is None else rule.free_entry
    if why is Why.FREE_COUNT and row.free_count is not None:
        if CUSTOMER_SERVICE in row.free_in:
            return None  # what the window let pass looks the same
        of_number = row.free_count.per == "number"
        names = explain.counted_together(book.rows, row)
        return Count(
            tenant_id=one.tenant_id,
            number_id=fact.number_id if of_number else 0,
            rules=tuple(sorted(rule_ids[name] for name in names if name in rule_ids)),
            month=month,
            charged=False,
            kind=None,
            opening=opening_flag(row),
            entry=entry,
        )
    if row.tier is not None and fact.channel is not None and one.record.currency is not None:
        names = explain.tiers_together(book.rows, row)
        return Count(
            tenant_id=one.tenant_id,
            number_id=0,
            rules=tuple(sorted(rule_ids[name] for name in names if name in rule_ids)),
            month=month,
            charged=None if explain.tier_counts_free(row) else True,
            kind=(fact.channel, fact.market, fact.category),
            opening=Flag.NONE,
            entry=entry,
        )
    return None


def _prefix(
    record: ChargeRecord, fact: FactRecord | None, book: Book | None, local: Zone | None
) -> str | None:
    """The calling prefix that named the market; None where it is not the one of the charge."""
    if book is None or fact is None or fact.channel is None or local is None:
        return None
    address = fact.party
    if address.startswith(GROUP_MARK):
        address = "".join(filter(str.isdecimal, fact.address))
    channel, date = CHANNEL_NAMES[fact.channel], local.date(record.cursor.at)
    if book.market(channel, address, date) != record.market:
        return None
    return book.markets.prefix(channel, address, date)
