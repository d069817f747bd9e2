"""Publish a price book: a document is read, held against all there is, and kept as a version.

A document says one book, a list of prices (CSV) several; all of them are published, or none. What
is wrong comes all at once. What was published is never edited: the same content again changes
nothing, other content is the next version (PR-2).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from domain.book_checks import (
    charged_otherwise,
    check_plans,
    check_tiers,
    check_version,
    gaps,
    paths_of,
    rated_before,
)
from domain.book_documents import BookError, parse_book
from domain.books import Book
from domain.derive import derived, is_derived, own_paths, read_formula
from domain.documents import Fault
from domain.facts import CHANNEL_NAMES, Channel
from domain.periods import DAY
from domain.price_lists import continued, line_of, lists_for, read_price_lists
from persistence.audit import trace
from persistence.catalogue import Catalogue, Document, written
from persistence.connection import Connection
from persistence.door import Door
from persistence.publishing import Shelf, alone, put_book

FORMATS = ("TOML", "JSON", "CSV")
#: What the prices of a CSV are for.
LIST_CHANNEL = CHANNEL_NAMES[Channel.WHATSAPP]

Told: TypeAlias = Callable[[Sequence[Fault]], list[Fault]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBookPublish:
    """What is asked for."""

    document: str
    format: str  #: one of FORMATS
    rerate: bool = False  #: whether open periods are settled under what is dated back


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One book of a document as it would be stored."""

    document: Document
    rows: Book  #: what this version says
    whole: Book  #: with all versions before
    derived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a document says, or what is wrong with it; warnings stand in nobody's way."""

    drafts: tuple[Draft, ...]
    problems: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of a document: nothing is stored where there are problems."""

    books: tuple[tuple[str, int, bool], ...]  #: key, version, and whether it is new
    problems: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


async def run(
    door: Door, catalogue: Catalogue | None, request: PriceBookPublish, *, now: int
) -> Published:
    """Publish what is right, and let the catalogue of this process know it."""
    async with door.system_tx("a price book is of no tenant") as connection:
        await alone(connection)
        shelf = await Shelf.read(connection)
        checked = check(shelf, request, now=now)
        books = []
        for draft in () if checked.problems else checked.drafts:
            key = draft.rows.key
            version = await put_book(
                connection, draft.rows, draft.document, shelf.plans_on(key), now=now,
                rerate_from=_rerated_from(shelf, draft, request, now),
            )  # fmt: skip
            books.append((key, version or shelf.books[key][-1][0], version is not None))
        if published := [(key, version) for key, version, new in books if new]:
            await _trace(connection, shelf, request, published, now)
    if catalogue is not None and any(new for _, _, new in books):
        async with door.system_tx("the catalogue is of no tenant") as connection:
            await catalogue.refresh(connection)
    return Published(
        books=tuple(books),
        problems=checked.problems,
        warnings=() if not books else checked.warnings,
    )


async def _trace(
    connection: Connection,
    shelf: Shelf,
    request: PriceBookPublish,
    published: Sequence[tuple[str, int]],
    now: int,
) -> None:
    """Say which versions are the latest now, and which were."""
    before = {key: shelf.books[key][-1][0] for key, _ in published if shelf.books.get(key)}
    await trace(
        connection, None, "priceBookPublish", *(f"book {key}" for key, _ in published), at=now,
        before={"versions": before},
        after={"versions": dict(published), "rerate": request.rerate},
    )  # fmt: skip


def check(
    shelf: Shelf,
    request: PriceBookPublish,
    *,
    now: int,
    plans: Mapping[str, Document] | None = None,
    published: bool = True,
) -> Checked:
    """What would be published; `plans` are held against it, by default those that name its book.

    Not to be `published`, rows may say what others have rated.
    """
    drafts: list[Draft] = []
    problems: list[Fault] = []
    warnings: list[Fault] = []
    for document, told in _read(shelf, request, problems):
        found: list[Fault] = []
        draft = _draft(shelf, document, found)
        if draft is not None:
            paths = paths_of(draft.rows)
            found += check_tiers(paths)
            on = shelf.plans_on(draft.rows.key)
            held = {key: shelf.plans[key] for key in on} if plans is None else plans
            found += check_plans(draft.whole, held)
            found += _dated_back(shelf, draft, now) if published and not request.rerate else []
            drafts.append(draft)
            warnings += told(gaps(draft.whole, [] if draft.derived else paths))
        problems += told(found)
    if request.format == "CSV":
        problems.sort(key=line_of)
    return Checked(drafts=tuple(drafts), problems=tuple(problems), warnings=tuple(warnings))


def _read(
    shelf: Shelf, request: PriceBookPublish, problems: list[Fault]
) -> list[tuple[Document, Told]]:
    """The documents of books in a text, each with how its faults are told."""
    if request.format == "CSV":
        found: list[tuple[Document, Told]] = []
        lists, faults = read_price_lists(request.document, LIST_CHANNEL)
        problems += faults
        for each in lists:
            document = each.document
            if versions := shelf.books.get(each.book):
                document = continued(document, [body for _, body in versions])
            elif key := lists_for(document, _codes(shelf)):
                document = {**document, "markets": key}
            found.append((document, each.told))
        return found
    try:
        if request.format == "TOML":
            parsed = written(tomllib.loads(request.document))
        else:
            parsed = json.loads(
                request.document, object_pairs_hook=_once, parse_constant=_no_number
            )
    except (ValueError, RecursionError) as error:
        why = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        problems.append(Fault("the document", why, f"write a book as {request.format}"))
        return []
    if not isinstance(parsed, dict):
        problems.append(Fault("the document", "is no table", "write a book as an object"))
        return []
    return [(parsed, list)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} stands twice in one object")
        found[key] = value
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _codes(shelf: Shelf) -> dict[str, list[str]]:
    """The markets that each of the stored lists of prefixes knows."""
    return {
        key: [code for era in document["lists"] for code in era["prefixes"]]
        for key, document in shelf.markets.items()
    }


def _draft(shelf: Shelf, document: Document, problems: list[Fault]) -> Draft | None:
    """The book of a document with its earlier versions; None where it cannot be read."""
    own = len(document["rows"]) if isinstance(document.get("rows"), list) else 0
    base = ""
    if is_derived(document):
        formula, faults = read_formula(document, shelf.books.keys())
        problems += faults
        base = formula.base
        if not base:
            return None
        document = derived(document, formula, [body for _, body in shelf.books[base]])
    key, markets = document.get("book"), document.get("markets")
    versions = shelf.books.get(key, []) if isinstance(key, str) else []
    version = versions[-1][0] + 1 if versions else 1
    try:
        book = parse_book(
            document, version, shelf.markets.get(markets) if isinstance(markets, str) else None
        )
    except BookError as error:
        problems += own_paths(error.problems, own, base) if base else error.problems
        return None
    whole = book
    if earlier := earlier_of(shelf, book.key):
        problems += check_version(earlier, book)
        if earlier.currency != book.currency:
            return None
        whole = earlier.with_version(book)
    return Draft(document=document, rows=book, whole=whole, derived=bool(base))


def earlier_of(shelf: Shelf, key: str) -> Book | None:
    """A book in the versions that are published; None where there is none."""
    found: Book | None = None
    for version, body in shelf.books.get(key, []):
        book = parse_book(body, version, shelf.markets.get(body.get("markets", "")))
        found = book if found is None else found.with_version(book)
    return found


def _dated_back(shelf: Shelf, draft: Draft, now: int) -> list[Fault]:
    """Rows that would change what somebody was charged, wherever it is latest (PR-2)."""
    if (before := _in_use(shelf, draft, now)) is None:
        return []
    earlier, today = before
    return rated_before(earlier, draft.whole, paths_of(draft.rows), today)


def _in_use(shelf: Shelf, draft: Draft, now: int) -> tuple[Book, int] | None:
    """A book that somebody may have been rated by, and the date it is where it is latest."""
    earlier = earlier_of(shelf, draft.rows.key)
    if earlier is None or draft.rows.key not in shelf.used or not shelf.zones:
        return None
    return earlier, max(zone.date(now) for zone in shelf.zones)


def _rerated_from(shelf: Shelf, draft: Draft, request: PriceBookPublish, now: int) -> int | None:
    """The instant from which open periods are to be settled under a version, if from any.

    What only adds missing rows rates what is unrated, and that is all; unless it charges on another
    status than no row does: what was sent is to be charged then, and waits for no rate.
    """
    if (before := _in_use(shelf, draft, now)) is None:
        return None
    earlier, today = before
    if request.rerate and rated_before(earlier, draft.whole, paths_of(draft.rows), today):
        rows = draft.rows.rows
    else:
        rows = tuple(charged_otherwise(earlier, draft.whole, draft.rows.rows, today))
    # That day begins somewhere before it does in UTC.
    return min((row.valid_from * DAY - DAY for row in rows), default=None)
