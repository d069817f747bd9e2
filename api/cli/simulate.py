"""`simulate`: what a tenant's recorded traffic would have cost by other rules.

Owns what people and programs are shown; what may be asked is the operation's to say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from api.cli.book import request_of
from api.cli.operating import OPERATOR, operate
from api.cli.options import AsJson, Data
from api.cli.progress import progress
from api.cli.terminal import Failure, note, result, settings
from api.operations import simulate as operation
from api.operations.price_book_publish import FORMATS
from api.operations.simulate import Progress, Simulated, last_month
from api.settings import Clock
from domain.facts import CHANNEL_NAMES
from domain.money import text
from domain.periods import Interval, Zone, date_number, date_of, month_name
from domain.problems import Problem
from domain.simulate import Drawn, Line
from persistence.catalogue import Catalogue
from persistence.door import Door

#: Columns a table may have: a terminal breaks a long line, but no figure is cut.
WIDTH = 500


def simulate(
    tenant: Annotated[str, Parameter(help="The tenant's key.")],
    /,
    *,
    from_: Annotated[
        str | None,
        Parameter(
            name="--from", help="The first local day; default: of --to's month, or of the last one."
        ),
    ] = None,
    to: Annotated[
        str | None, Parameter(help="The last local day, included; default: of --from's month.")
    ] = None,
    book: Annotated[
        str | None,
        Parameter(
            help="A published price book by its key, or another as a file; default: the plan's."
        ),
    ] = None,
    plan: Annotated[
        str | None, Parameter(help="A plan by its key; default: those the tenant was on.")
    ] = None,
    as_of: Annotated[
        str | None,
        Parameter(help="The local day whose rules hold for all facts; default: each one's own."),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> int:
    """Say what recorded traffic would have cost under another book or plan; keeps nothing."""
    given = settings()
    now = Clock.starting(given.clock).now()
    file = None if book is None or not _is_file(book) else Path(book)
    request = operation.Simulate(
        tenant=tenant,
        range=_range(_day("--from", from_), _day("--to", to)),
        book=book if file is None else None,
        document=None if file is None else request_of(file),
        plan=plan,
        as_of=_day("--as-of", as_of),
    )

    async def act(door: Door) -> Simulated:
        async with door.system_tx("the catalogue is of no tenant") as connection:
            catalogue = await Catalogue.load(connection)
        with contextlib.ExitStack() as exits:
            bar = _Bar(exits)
            return await operation.run(door, catalogue, OPERATOR, request, now=now, progress=bar)

    found = operate(given, data, act)
    if not found.settled and not as_json:
        note("late facts wait to be settled: what was charged is not final")
    result("" if as_json else _told(found), _shown(found), as_json=as_json)
    return 0


class _Bar(Progress):
    """A bar on a terminal, once it is known how much there is; it goes with `exits`."""

    def __init__(self, exits: contextlib.ExitStack) -> None:
        self._exits = exits
        self._show: Callable[[int, int], None]

    def begin(self, total: int) -> None:
        self._show = self._exits.enter_context(progress("simulate", total))

    def done(self, facts: int) -> None:
        self._show(facts, facts)


def _is_file(book: str) -> bool:
    return Path(book).suffix.removeprefix(".").upper() in FORMATS


def _day(option: str, written: str | None) -> int | None:
    if written is None:
        return None
    try:
        return date_number(date.fromisoformat(written))
    except ValueError as fault:
        raise Failure(f"{option}: {written!r} is no day; write it as 2026-09-01", code=2) from fault


def _range(first: int | None, last: int | None) -> operation.Range:
    """The local days of a tenant, both included; without one of them its month is meant."""

    def span(zone: Zone, now: int) -> Interval:
        if first is None and last is None:
            return last_month(zone, now)
        start = end = None
        if first is not None:
            start = zone.day_bounds(first)[0]
        if last is not None:
            end = zone.day_bounds(last)[1]
        if start is None:
            assert end is not None
            start = zone.month_bounds(zone.month(end - 1))[0]
        if end is None:
            end = zone.month_bounds(zone.month(start))[1]
        if end <= start:
            raise Problem("INVALID", "the last day is before the first", "--to")
        return start, end

    return span


def _shown(found: Simulated) -> dict[str, object]:
    """The result for programs; amounts are decimals in quotes."""
    charged, simulated = found.money
    zone = found.own.zone
    return {
        "tenant": found.own.key,
        "from": date_of(zone.date(found.range[0])).isoformat(),
        "to": date_of(zone.date(found.range[1] - 1)).isoformat(),
        "asOf": None if found.as_of is None else date_of(found.as_of).isoformat(),
        "plans": found.plans,
        "books": found.books,
        "currency": found.terms.currency,
        "settled": found.settled,
        "facts": found.sums.facts,
        "count": sum(line.count for line in found.lines),
        "charged": text(charged),
        "simulated": text(simulated),
        "difference": text(simulated - charged),
        "unrated": sum(line.simulated.unrated for line in found.lines),
        "chargedUnrated": sum(line.charged.unrated for line in found.lines),
        "rows": [_row(found, line) for line in found.lines],
        "balances": [
            {
                "balance": balance.key,
                "unit": balance.unit,
                "charged": _drawn(total.charged, balance.kind == "unit"),
                "simulated": _drawn(total.simulated, balance.kind == "unit"),
                "difference": text(total.simulated.total - total.charged.total),
            }
            for balance in found.balances
            if (total := found.sums.totals.get(balance.key)) is not None
        ],
    }


def _row(found: Simulated, line: Line) -> dict[str, object]:
    number = found.terms.numbers[line.place.number_id]
    before, after = line.charged, line.simulated
    return {
        "month": month_name(line.place.month),
        "number": number.address,
        "channel": CHANNEL_NAMES[number.channel],
        "market": line.place.market,
        "category": line.place.category,
        "count": line.count,
        "units": text(after.units),
        "free": after.free,
        "chargedFree": before.free,
        "unrated": after.unrated,
        "chargedUnrated": before.unrated,
        "charged": text(before.money),
        "simulated": text(after.money),
        "difference": text(after.money - before.money),
        "balances": [
            {
                "balance": balance.key,
                "charged": text(before.taken.get(balance.key, 0)),
                "simulated": text(after.taken.get(balance.key, 0)),
            }
            for balance in found.balances
            if balance.key in before.taken or balance.key in after.taken
        ],
    }


def _drawn(drawn: Drawn, units: bool) -> dict[str, str]:
    shown = {"total": text(drawn.total)}
    if units:
        shown["allowance"] = text(drawn.allowance)
        shown["bought"] = text(drawn.bought)
        shown["beyond"] = text(drawn.beyond)
    return shown


def _told(found: Simulated) -> str:
    """The result for people."""
    from rich.console import Console
    from rich.table import Table

    shown = _shown(found)
    rules = f"book {', '.join(found.books)}"
    rules += "" if found.as_of is None else f" as of {shown['asOf']}"
    head = (
        f"{found.own.key}, {shown['from']} to {shown['to']}, plan {', '.join(found.plans)}, "
        f"{rules}: {found.sums.facts:,} facts, amounts in {found.terms.currency}"
    )
    rows = Table("month", "number", "market", "category", box=None, pad_edge=False)
    for name in ("count", "charged", "free", "simulated", "free", "difference"):
        rows.add_column(name, justify="right")
    for line in found.lines:
        number = found.terms.numbers[line.place.number_id]
        before, after = line.charged, line.simulated
        rows.add_row(
            month_name(line.place.month), number.address, line.place.market, line.place.category,
            f"{line.count:,}", grouped(before.money), f"{before.free:,}", grouped(after.money),
            f"{after.free:,}", grouped(after.money - before.money),
        )  # fmt: skip
    charged, simulated = found.money
    rows.add_row(
        "all", "", "", "", f"{sum(line.count for line in found.lines):,}",
        grouped(charged), f"{sum(line.charged.free for line in found.lines):,}",
        grouped(simulated), f"{sum(line.simulated.free for line in found.lines):,}",
        grouped(simulated - charged),
    )  # fmt: skip
    units = Table("balance", "unit", box=None, pad_edge=False)
    for name in ("charged", "beyond", "simulated", "beyond"):
        units.add_column(name, justify="right")
    for balance in found.balances:
        total = found.sums.totals.get(balance.key)
        if total is not None and balance.kind == "unit":
            units.add_row(
                balance.key, balance.unit, grouped(total.charged.total),
                grouped(total.charged.beyond), grouped(total.simulated.total),
                grouped(total.simulated.beyond),
            )  # fmt: skip
    unrated = [
        f"no rate: {line.simulated.unrated:,} {line.place.category} to {line.place.market}"
        for line in found.lines
        if line.simulated.unrated
    ]
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(rows)
        if units.row_count:
            console.print()
            console.print(units)
    told = "\n".join(line.rstrip() for line in capture.get().splitlines())
    return "\n".join([head, "", told, *unrated])


def grouped(micros: int) -> str:
    """An amount with thousands apart: 1,234.5."""
    whole, point, rest = text(abs(micros)).partition(".")
    return f"{'-' if micros < 0 else ''}{int(whole):,}{point}{rest}"
