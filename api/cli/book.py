"""`book check` and `book publish`; what a book or an issuer must be is its operation's to say."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from api.cli.operating import operate
from api.cli.options import AsJson, Data
from api.cli.terminal import Failure, note, result, settings
from api.operations import issuer_publish
from api.operations.issuer_publish import IssuerPublished, issuer_in
from api.operations.price_book_publish import (
    FORMATS,
    Checked,
    Draft,
    PriceBookPublish,
    Published,
    run,
)
from api.operations.price_book_publish import check as checked_against
from api.settings import Clock, Settings
from domain.documents import NO_RATE, Fault
from domain.money import PICO_DIGITS, text
from domain.periods import date_of
from persistence.catalogue import Document, written
from persistence.door import Door
from persistence.publishing import Shelf

File: TypeAlias = Annotated[
    Path,
    Parameter(
        help="A book as TOML or JSON, or prices as CSV, told by the end of its name; "
        "or an issuer as TOML."
    ),
]


def check(
    file: File,
    /,
    *,
    plan: Annotated[
        list[str] | None,
        Parameter(
            help="A plan that shall fit, by its key or as a file; default: those that use the book."
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> int:
    """Say everything that is wrong with a price book, or print the prices it would give."""
    given = settings()
    request = request_of(file, rerate=False)
    if (issuer := _issuer(request)) is not None:
        return _publish_issuer(given, data, issuer, as_json=as_json, dry=True)
    now = Clock.starting(given.clock).now()

    async def act(door: Door) -> Checked:
        async with door.system_tx("a price book is of no tenant") as connection:
            shelf = await Shelf.read(connection)
        plans = None if plan is None else {name: _plan(shelf, name) for name in plan}
        return checked_against(shelf, request, now=now, plans=plans)

    found = operate(given, data, act)
    if not as_json:
        _tell(found.problems, found.warnings)
    shown = {
        "problems": [_shown(each) for each in found.problems],
        "warnings": [_shown(each) for each in found.warnings],
        "books": [
            {"book": draft.rows.key, "version": draft.rows.version, "rows": _prices(draft)}
            for draft in found.drafts
        ],
    }
    tables = [_table(draft) for draft in found.drafts]
    result("" if found.problems else "\n\n".join(tables), shown, as_json=as_json)
    return 1 if found.problems else 0


def publish(
    file: File,
    /,
    *,
    rerate: Annotated[
        bool,
        Parameter(help="Let open periods be settled under rows that are dated back.", negative=()),
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> int:
    """Publish a price book as its next version; the same content again changes nothing."""
    given = settings()
    request = request_of(file, rerate=rerate)
    if (issuer := _issuer(request)) is not None:
        return _publish_issuer(given, data, issuer, as_json=as_json)
    now = Clock.starting(given.clock).now()

    async def act(door: Door) -> Published:
        return await run(door, None, request, now=now)

    done = operate(given, data, act)
    if not as_json:
        _tell(done.problems, done.warnings)
    lines = [
        f"book {key} {version}" if new else f"book {key}: version {version} says the same"
        for key, version, new in done.books
    ]
    shown = {
        "problems": [_shown(each) for each in done.problems],
        "warnings": [_shown(each) for each in done.warnings],
        "books": [
            {"book": key, "version": version, "published": new} for key, version, new in done.books
        ],
    }
    result("\n".join(lines), shown, as_json=as_json)
    return 1 if done.problems else 0


def _issuer(request: PriceBookPublish) -> Document | None:
    """The issuer that a file is; None: it is a book."""
    return issuer_in(request.document) if request.format == "TOML" else None


def _publish_issuer(
    given: Settings, data: Path | None, document: Document, *, as_json: bool, dry: bool = False
) -> int:
    """Publish an issuer, or say what is wrong with it."""
    now = Clock.starting(given.clock).now()

    async def act(door: Door) -> IssuerPublished:
        return await issuer_publish.run(door, None, document, now=now, dry=dry)

    done = operate(given, data, act)
    if not as_json:
        _tell(done.problems, ())
    word = "is right" if dry else "is published" if done.new else "says the same"
    shown = {
        "problems": [_shown(each) for each in done.problems],
        "issuers": [] if done.problems else [{"issuer": done.key, "published": done.new}],
    }
    result("" if done.problems else f"issuer {done.key} {word}", shown, as_json=as_json)
    return 1 if done.problems else 0


def request_of(file: Path, *, rerate: bool = False) -> PriceBookPublish:
    """What a file asks for; Failure where it cannot be read."""
    kind = file.suffix.removeprefix(".").upper()
    if kind not in FORMATS:
        raise Failure(f"{file}: its name ends in none of .toml, .json, .csv", code=2)
    return PriceBookPublish(document=_read(file), format=kind, rerate=rerate)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as fault:
        raise Failure(f"{file} cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise Failure(f"{file} is no UTF-8: byte {fault.start + 1}") from fault


def _plan(shelf: Shelf, name: str) -> Document:
    """A plan by its key, or from a file."""
    file = Path(name)
    if file.suffix not in (".toml", ".json"):
        if name not in shelf.plans:
            known = ", ".join(sorted(shelf.plans))
            raise Failure(f"there is no plan {name!r}: known are {known}")
        return shelf.plans[name]
    try:
        found = tomllib.loads(_read(file)) if file.suffix == ".toml" else json.loads(_read(file))
    except (ValueError, RecursionError) as fault:
        raise Failure(f"{name}: {fault}") from fault
    if not isinstance(found, dict):
        raise Failure(f"{name}: is no table")
    return dict(written(found))


def _tell(problems: Iterable[Fault], warnings: Iterable[Fault]) -> None:
    for each in problems:
        note(f"wrong    {each}")
    for each in warnings:
        note(f"unrated  {each}")


def _shown(fault: Fault) -> dict[str, str]:
    return {"path": fault.path, "wrong": fault.wrong, "right": fault.right}


def _prices(draft: Draft) -> list[dict[str, str]]:
    """What each row of a version would charge, in the order people look for it."""
    rows = sorted(
        draft.rows.rows,
        key=lambda row: (row.channel, row.direction, row.category, row.market, row.valid_from),
    )
    return [
        {
            "row": row.row,
            "from": date_of(row.valid_from).isoformat(),
            "channel": row.channel,
            "direction": row.direction,
            "category": row.category,
            "market": row.market,
            "basis": row.basis.value,
            "price": NO_RATE if row.price is None else text(row.price, PICO_DIGITS),
        }
        for row in rows
    ]


def _table(draft: Draft) -> str:
    """The prices as a table with a line each."""
    book, rows = draft.rows, _prices(draft)
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    told = [
        "  ".join(
            cell.rjust(width) if place == len(widths) - 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([f"{book.key} version {book.version}, {book.currency}", *told])
