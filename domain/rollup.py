"""Rollups: what one fact adds to the tenant's usage, by its outcome alone.

Owns which columns a fact counts in, in which local hour, and by which dimensions. A fact that is
rated anew adds the difference of two outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add, sub
from typing import Any, Protocol, TypeAlias

from domain.draw import UNIT
from domain.facts import REACHED, Fact, Flag, Status, Type
from domain.lots import Lot, LotSource
from domain.terms import Terms

#: Columns of a usage row, in order.
USAGE = (
    "conversations", "visitors", "messages_in", "messages_out", "messages_free", "segments",
    "seconds", "emails", "sessions", "units", "cost", "initial_units", "top_up_units",
    "initial_cost",
)  # fmt: skip
CONVERSATIONS, VISITORS, MESSAGES_IN, MESSAGES_OUT, MESSAGES_FREE = range(5)
SEGMENTS, SECONDS, EMAILS, SESSIONS, UNITS, COST = range(5, 11)
INITIAL_UNITS, TOP_UP_UNITS, INITIAL_COST = range(11, 14)

#: (number, direction, country, category, agent, broadcast)
Dimensions: TypeAlias = tuple[int, int, str, str, str, str]


class Charged(Protocol):
    """What of a charge is counted."""

    @property
    def balance_id(self) -> int: ...
    @property
    def units(self) -> int: ...
    @property
    def amount(self) -> int: ...
    @property
    def legs(self) -> Sequence[tuple[Any, int]]: ...


def is_initial(lot: Lot) -> bool:
    """Whether what a lot pays is initial usage; what any other source pays is top-up (FI-5)."""
    return lot.source is LotSource.ALLOWANCE


def bucket(terms: Terms, fact: Fact, at: int | None = None) -> tuple[int, Dimensions]:
    """The tenant's local hour a fact counts in, and its dimensions.

    That of its beginning, or of `at`: an adjusted one counts when it came.
    """
    return terms.zone.hour_start(fact.began if at is None else at), (
        fact.number_id, fact.direction, fact.country, fact.category, fact.agent, fact.broadcast,
    )  # fmt: skip


def usage_of(
    fact: Fact,
    status: int,
    flags: int,
    charges: Sequence[Charged],
    is_money: Callable[[int], bool],
    initial: Callable[[Any], bool] = is_initial,
) -> list[int] | None:
    """What a fact with this outcome counts as; None where it is in no row.

    `initial` tells of what a leg names its lot by whether that is an allowance.
    """
    if flags & Flag.REPEATED:
        return None
    kind = fact.type
    usage = [0] * len(USAGE)
    if kind in REACHED or kind is Type.MESSAGE_SENT:
        if not charges and status != Status.UNRATED:
            return None  # its delivery counts
        usage[MESSAGES_OUT] = 1
        usage[SEGMENTS] = fact.segments
        if flags & Flag.CONVERSATION_OPENED:
            usage[CONVERSATIONS] = 1
        paid_for = Flag.COVERED | Flag.CONVERSATION_PAID
        if charges and not flags & paid_for and not any(part.amount for part in charges):
            usage[MESSAGES_FREE] = 1
    elif kind is Type.MESSAGE_RECEIVED:
        usage[MESSAGES_IN] = 1
        usage[SEGMENTS] = fact.segments
        if flags & Flag.VISITOR:
            usage[VISITORS] = 1
    elif kind is Type.CALL_ENDED:
        if fact.answered:
            billed = sum(charge.units for charge in charges) // UNIT
            usage[SECONDS] = billed or fact.seconds
    elif kind is Type.SESSION_ENDED:
        usage[SESSIONS] = 1
        usage[SECONDS] = fact.seconds
    elif kind is Type.EMAIL_SENT:
        usage[EMAILS] = fact.quantity // UNIT
    elif kind is not Type.USAGE_RECORDED:
        return None
    for charge in charges:
        if charge.amount:
            usage[UNITS] += charge.units
            money = is_money(charge.balance_id)
            if money:
                usage[COST] += charge.amount
            for lot, taken in charge.legs:
                if initial(lot):
                    usage[INITIAL_COST if money else INITIAL_UNITS] += taken
                elif not money:
                    usage[TOP_UP_UNITS] += taken
    return usage


def rated_later(
    fact: Fact,
    status: int,
    flags: int,
    charges: Sequence[Charged],
    is_money: Callable[[int], bool],
    initial: Callable[[Any], bool] = is_initial,
) -> list[int] | None:
    """What the rate of a closed period's fact adds to what the fact counted for without: what is
    paid. The message stays on the card where it came, be it that the rate is nothing.
    """
    after = usage_of(fact, status, flags, charges, is_money, initial)
    return after if after is None else [*[0] * UNITS, *after[UNITS:]]


def add_usage(
    sums: dict[tuple[int, Dimensions], list[int]],
    place: tuple[int, Dimensions],
    after: list[int],
    before: list[int] | None = None,
) -> None:
    """Add what a fact counts for, less what it did before, to what is counted at its place."""
    if before is not None:
        after = list(map(sub, after, before))
    known = sums.get(place)
    sums[place] = after if known is None else list(map(add, known, after))
