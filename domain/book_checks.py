"""What is wrong with a book as a whole: between its rows, its versions and the plans it prices.

Owns what no single row shows: tiers that leave holes, markets that lack what others have, versions
that would change what is already rated (PR-2), plans that fit no more. Does not own the form of a
document; a book that comes here was read without a fault.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from domain.books import ANY, Book, Place, Row, place_of
from domain.documents import Fault
from domain.markets import ANY_MARKET, NO_PHONE, UNLISTED
from domain.periods import date_of
from domain.plans import PlanError, parse_plan

#: Rows of a book, each with the path of its table in the document.
Paths = Sequence[tuple[str, Row]]

#: Asked for a category, channel or market that no row names: what `*` alone answers.
_ANY_OTHER: Final = "\0"

#: The status that charges a message of which no row says otherwise (EV-5).
_UNSAID: Final = "delivered"

#: Rates of some countries only: the others have the local one (PR-5).
_OF_SOME: Final = "_international"


def paths_of(book: Book) -> Paths:
    """The rows of a book that was just read, as its document numbers them."""
    return [(f"rows[{number}]", row) for number, row in enumerate(book.rows)]


def check_tiers(rows: Paths) -> list[Fault]:
    """Refuse tiers that do not begin at 0, leave holes, overlap, or end (PR-7)."""
    schedules: dict[tuple[Place, int], list[tuple[str, Row]]] = {}
    for path, row in rows:
        schedules.setdefault((place_of(row), row.valid_from), []).append((path, row))
    problems: list[Fault] = []
    for schedule in schedules.values():
        if any(row.tier for _, row in schedule):
            problems += _check_schedule(schedule)
    return problems


def _check_schedule(schedule: Paths) -> Iterator[Fault]:
    tiers = [(path, row.tier) for path, row in schedule if row.tier]
    for path, row in schedule:
        if not row.tier:
            wrong = f"answers what {tiers[0][0]} answers by tiers"
            yield Fault(f"{path}.tier", wrong, "give it a tier too, or leave it out")
    for (before, lower), (path, upper) in pairwise(tiers):
        if upper.above < lower.above:
            wrong = f"goes down from {lower.above} to {upper.above}"
            yield Fault(f"{path}.tier.above", wrong, f"write it before {before}")
    tiers.sort(key=lambda each: each[1].above)
    path, first = tiers[0]
    if first.above:
        right = f"write above = 0, or a tier up to {first.above}"
        yield Fault(f"{path}.tier.above", f"units 1 to {first.above} have no tier", right)
    for (before, lower), (path, upper) in pairwise(tiers):
        if lower.up_to is None:
            right = f"write up_to = {upper.above}"
            yield Fault(f"{before}.tier", f"has no end, and {path} begins at {upper.above}", right)
        elif lower.up_to < upper.above:
            wrong = f"units {lower.up_to + 1} to {upper.above} have no tier"
            yield Fault(f"{path}.tier.above", wrong, f"write above = {lower.up_to}")
        elif lower.up_to > upper.above:
            wrong = f"units {upper.above + 1} to {lower.up_to} have a tier in {before} too"
            yield Fault(f"{path}.tier.above", wrong, f"write above = {lower.up_to}")
    path, last = tiers[-1]
    if last.up_to is not None:
        wrong = f"units above {last.up_to} have no tier"
        yield Fault(f"{path}.tier.up_to", wrong, "leave it out, or add a tier behind it")


def gaps(book: Book, rows: Paths) -> list[Fault]:
    """What stays unrated, for people to know: markets without a row others have, and `n/a`."""
    found = [
        Fault(
            f"{path}.price",
            f"'n/a' is no rate: {row.category} to {row.market} from "
            f"{date_of(row.valid_from).isoformat()} on stays unrated",
            'write a price, or "0" if it is free',
        )
        for path, row in rows
        if row.price is None
    ]
    kinds: dict[tuple[str, str, str, bool], dict[str, set[str]]] = {}
    for row in book.rows:
        kind = (row.basis, row.channel, row.direction, row.group)
        kinds.setdefault(kind, {}).setdefault(row.category, set()).add(row.market)
    for (basis, channel, direction, group), categories in kinds.items():
        named = sorted({market for markets in categories.values() for market in markets})
        for category in sorted(categories.keys() - {ANY}):
            has = categories[category]
            if ANY_MARKET in has or ANY in categories or category.endswith(_OF_SOME):
                continue
            found += [
                Fault(
                    f"market {market}",
                    f"has no {basis} row of {category}{' for groups' if group else ''} "
                    f"({channel} {direction}), and {min(has)} has one",
                    'add a row; with price = "n/a" it says that there is no rate',
                )
                for market in named
                if market not in has and market not in (ANY_MARKET, NO_PHONE, UNLISTED)
            ]
    return found


def check_version(earlier: Book, later: Book) -> list[Fault]:
    """Refuse a version that the ones before it cannot go with."""
    problems = []
    if later.currency != earlier.currency:
        wrong = f"{later.currency} is not {earlier.currency}, as version {earlier.version} has it"
        right = f"write {earlier.currency}, or give the book another key"
        problems.append(Fault("currency", wrong, right))
    problems += [
        Fault(
            f"windows.{channel}",
            f"is missing: version {earlier.version} has it, and its rows may speak of it",
            "write it again",
        )
        for channel in sorted(earlier.windows.keys() - later.windows.keys())
    ]
    return problems


def rated_before(earlier: Book, later: Book, rows: Paths, today: int) -> list[Fault]:
    """Rows that would change what is rated already, up to and including a local date (PR-2).

    A row may be dated back only to say what no row said, or what was `n/a`. `later` is the whole
    book with the version that `rows` are of.
    """
    every = (*earlier.rows, *later.rows)
    return [
        Fault(
            f"{path}.valid_from",
            f"{date_of(row.valid_from).isoformat()} is not after "
            f"{date_of(today).isoformat()}, and {changed.rule} of version {changed.published} has "
            "rated by then what this row would change",
            f"write {date_of(today + 1).isoformat()} or later, or publish it with rerate",
        )
        for path, row in rows
        if row.valid_from <= today and (changed := _changed(earlier, later, row, every, today))
    ]


def charged_otherwise(earlier: Book, later: Book, rows: Iterable[Row], today: int) -> list[Row]:
    """Rows, valid by a local date, that charge messages on another status than was so before.

    What no row spoke of was charged as it was delivered (EV-5): when it was sent it was nothing to
    charge, so that it does not wait for a rate. `later` is the whole book with `rows`.
    """
    every = (*earlier.rows, *later.rows)
    if all(row.charged_on == _UNSAID for row in every):
        return []
    return [
        row
        for row in rows
        if row.valid_from <= today
        and any(
            _statuses(before) != _statuses(after)
            for before, after in _answers(earlier, later, row, every, today)
        )
    ]


def _changed(earlier: Book, later: Book, row: Row, every: Iterable[Row], today: int) -> Row | None:
    """A row that has rated what another one would answer otherwise, if there is one."""
    for before, after in _answers(earlier, later, row, every, today):
        rated = [each for each in before if each.price is not None]
        if rated and _meaning(before) != _meaning(after):
            return rated[0]
    return None


def _answers(
    earlier: Book, later: Book, row: Row, every: Iterable[Row], today: int
) -> Iterator[tuple[Sequence[Row], Sequence[Row]]]:
    """Wherever a row answers up to a date: what answered without its version, and what now does."""
    dates = {each.valid_from for each in every if row.valid_from <= each.valid_from <= today}
    for channel in _asked(row.channel, {each.channel for each in every}):
        for category in _asked(row.category, {each.category for each in every}):
            for market in _asked(row.market, {each.market for each in every}):
                for date in sorted({row.valid_from, *dates}):
                    asked = (row.basis, channel, category, row.direction, market, date)
                    after = later.schedule(*asked, group=row.group)
                    if row not in after:
                        continue
                    before = earlier.schedule(*asked, group=row.group)
                    if not before and row.group:
                        before = earlier.schedule(*asked)  # each member as a message of its own
                    if not before and category.endswith(_OF_SOME):
                        local = (row.basis, channel, category.removesuffix(_OF_SOME), *asked[3:])
                        before = earlier.schedule(*local)
                    yield before, after


def _statuses(rows: Sequence[Row]) -> set[str]:
    """On which status rows charge a message."""
    return {row.charged_on for row in rows} or {_UNSAID}


def _asked(named: str, known: set[str]) -> list[str]:
    return [named] if named != ANY else sorted({*known - {ANY}, _ANY_OTHER})


def _meaning(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """What rows charge, whatever they are called and whoever published them."""
    return [
        (row.price, row.charged_on, row.free_in, row.free_count, row.tier, row.increments)
        for row in rows
    ]


def check_plans(book: Book, plans: Mapping[str, Mapping[str, Any]]) -> list[Fault]:
    """Refuse a book that a plan cannot be priced by: its currency, its rows, or the plan itself."""
    problems = []
    for name, document in plans.items():
        try:
            parse_plan(document, book)
        except PlanError as error:
            problems += [
                Fault(f"plan {name}: {each.path}", each.wrong, each.right)
                for each in error.problems
            ]
    return problems
