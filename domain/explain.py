"""Explaining: why a charge is what it is, told from its row and from what was open at its instant.

Owns the reasons and how they follow from what is stored. Decides nothing about money: a reason is
read back from a charge that was made, never used to make one. Sentences are in `sentences`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from domain.books import ANY, CUSTOMER_SERVICE, FREE_ENTRY, Basis, Row, WindowRule
from domain.facts import Flag, Status
from domain.money import PICO, PICO_DIGITS, charge, text
from domain.tariffs import INTERNATIONAL
from domain.units import COUNTED, MINUTE_SECONDS


class Why(StrEnum):
    """Why a fact cost what it did."""

    CHARGED = "charged"
    CONVERSATION_OPENED = "conversation_opened"
    VISITOR = "visitor"
    COVERED = "covered"
    FREE_IN_WINDOW = "free_in_window"
    FREE_ENTRY = "free_entry"
    FREE_COUNT = "free_count"
    PRICE_ZERO = "price_zero"
    NOTHING_COUNTED = "nothing_counted"
    REPEATED = "repeated"
    UNRATED = "unrated"
    NO_CHARGE = "no_charge"


class Window(StrEnum):
    """The kinds of windows; the values of the first two are what rows call them in `free_in`."""

    SERVICE = CUSTOMER_SERVICE
    ENTRY = FREE_ENTRY
    CONVERSATION = "conversation"


#: The flag of the fact that opened a window.
OPENED_BY = {
    Window.SERVICE: Flag.SERVICE_OPENED,
    Window.ENTRY: Flag.ENTRY_OPENED,
    Window.CONVERSATION: Flag.CONVERSATION_OPENED,
}


def length(window: Window, rule: WindowRule) -> int:
    """How long a window lasts, in microseconds."""
    match window:
        case Window.SERVICE:
            return rule.customer_service
        case Window.ENTRY:
            return rule.free_entry
        case Window.CONVERSATION:
            return rule.conversation


def windows_asked(row: Row, amount: int) -> tuple[Window, ...]:
    """The windows that may have decided a charge: what it fell in is looked up for these alone."""
    if row.basis is Basis.PER_CONVERSATION:
        return (Window.CONVERSATION,)
    if amount or row.price == 0:
        return ()
    return tuple(window for window in (Window.ENTRY, Window.SERVICE) if window in row.free_in)


def opening_flag(row: Row) -> int:
    """The flag of facts that opened what a row per conversation prices; NONE of other rows."""
    if row.basis is not Basis.PER_CONVERSATION:
        return Flag.NONE
    return Flag.CONVERSATION_OPENED if row.category == ANY else Flag.CATEGORY_OPENED


def why(row: Row | None, amount: int, units: int, flags: int, inside: Collection[Window]) -> Why:
    """The reason of a charge, from its row and the windows that were open around its fact.

    `inside` has those of `windows_asked` that were found open. In the order of rating: what is free
    anyway, then by free entry, then in the service window, then by count.
    """
    if row is None:
        return Why.CHARGED if amount else Why.NOTHING_COUNTED
    if row.basis is Basis.PER_VISITOR:
        return Why.VISITOR
    if row.basis is Basis.PER_CONVERSATION:
        if amount:
            return Why.CONVERSATION_OPENED
        if not flags & opening_flag(row):
            return Why.COVERED
    if amount:
        return Why.CHARGED
    if row.price == 0:
        return Why.PRICE_ZERO
    if not units:
        return Why.NOTHING_COUNTED
    if Window.ENTRY in inside:
        return Why.FREE_ENTRY
    if Window.SERVICE in inside:
        return Why.FREE_IN_WINDOW
    if row.free_count is not None:
        return Why.FREE_COUNT
    # The window that freed it was not found: it lies further back than anybody looks.
    if CUSTOMER_SERVICE in row.free_in:
        return Why.FREE_IN_WINDOW
    return Why.FREE_ENTRY if FREE_ENTRY in row.free_in else Why.NOTHING_COUNTED


def why_not_charged(status: int, flags: int) -> Why:
    """The reason of a fact that has no charge at all."""
    if status == Status.UNRATED:
        return Why.UNRATED
    return Why.REPEATED if flags & Flag.REPEATED else Why.NO_CHARGE


def divisor(row: Row) -> int:
    """The units that one price is for: a minute is counted in seconds."""
    return MINUTE_SECONDS if row.basis is Basis.PER_MINUTE else 1


def row_of(rows: Iterable[Row], rule: str, units: int, amount: int) -> Row | None:
    """The row a charge names, of the book's latest version whose price gives its amount.

    A later version may have brought a row of the same name with another price (PR-2).
    """
    named = sorted((row for row in rows if row.rule == rule), key=lambda row: -row.published)
    for row in named:
        if row.price is not None and charge(row.price, units, divisor(row)) == amount:
            return row
    return named[0] if named else None


def counted_together(rows: Iterable[Row], row: Row) -> set[str]:
    """The rules that share the free count of a row."""
    count = row.free_count
    return {
        other.rule
        for other in rows
        if count is not None and other.free_count and other.free_count.name == count.name
    }


def tiers_together(rows: Iterable[Row], row: Row) -> set[str]:
    """The rules of tiers that share one count; authentication shares its with its kinds (PR-7)."""
    category = row.category.removesuffix(INTERNATIONAL)
    return {
        other.rule
        for other in rows
        if other.tier is not None
        and (other.basis, other.direction) == (row.basis, row.direction)
        and other.category.removesuffix(INTERNATIONAL) == category
    }


def tier_counts_free(row: Row) -> bool:
    """Whether a tier that costs nothing is counted like the others: of counted things it is."""
    return row.basis in COUNTED and row.free_count is None


def is_rounded(row: Row, units: int) -> bool:
    """Whether units (micros) times the row's price has more digits than a charge keeps (IN-5)."""
    return row.price is not None and row.price * units % (PICO * divisor(row)) != 0


def arithmetic(row: Row, units: int) -> str | None:
    """The sum of a charge in plain digits, as `36 x 0.0125 / 60 = 0.0075`; None without a price."""
    if row.price is None:
        return None
    per = divisor(row)
    amount = text(charge(row.price, units, per))
    by = "" if per == 1 else f" / {per}"
    rounded = ", rounded half up" if is_rounded(row, units) else ""
    return f"{text(units)} x {text(row.price, PICO_DIGITS)}{by} = {amount}{rounded}"
