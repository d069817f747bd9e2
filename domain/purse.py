"""The purse: what rating asks of a tenant's figures, and how an amount is taken from them.

Owns the taking of one amount or count and what is noted when a later fact was there before (EV-9).
What is to be paid is said by `rate` and `counted`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from domain.books import FreeCount
from domain.draw import UNIT, Leg, overdraw, take
from domain.facts import Flag
from domain.lots import Lot
from domain.state import Counter, Part
from domain.terms import NumberTerms
from domain.units import TierPrice


class Purse(Protocol):
    """What rating asks of the figures: lots that may pay, the pot for the rest, counts."""

    def paid_at(self, at: int) -> int: ...
    def lots(self, balance_id: int, at: int) -> list[Lot]: ...
    def overdraft(self, balance_id: int, at: int) -> Lot: ...
    def counter(self, name: str, number_id: int, month: int) -> Counter: ...


class Rated(NamedTuple):
    """What a fact costs; no part at all says that no rate covers it (EV-7)."""

    parts: tuple[Part, ...]
    flags: int
    at_boundary: bool  #: a later fact had already used up a count or a lot this one touches
    covered: bool = False  #: a paid conversation paid for it


UNRATED = Rated((), Flag.NONE, False)


def pay(
    purse: Purse,
    balances: tuple[int, ...],
    rule_id: int,
    at: int,
    amount: int,
    units: int = UNIT,
) -> Rated:
    """Take `amount` from the balances in turn; the last one takes what none held (BA-11)."""
    parts: list[Part] = []
    left, crossed, flags = amount, False, Flag.NONE
    paid_at = purse.paid_at(at)
    for balance_id in balances:
        lots = purse.lots(balance_id, at)
        legs = take(lots, paid_at, left)
        for leg in legs:
            left -= leg.taken
        crossed |= was_crossed(lots, paid_at, legs)
        if left and balance_id == balances[-1]:
            legs.append(overdraw(purse.overdraft(balance_id, at), paid_at, left))
            flags, left = Flag.OVERDRAWN, 0
        if legs:
            parts.append(Part(balance_id, rule_id, units, _sum(legs), tuple(legs)))
            units = 0  # counted once, whoever else has a share
        if not left:
            break
    return Rated(tuple(parts), flags, crossed)


def was_crossed(lots: list[Lot], at: int, legs: Sequence[Leg] = ()) -> bool:
    """Whether one of the lots is used up and another fact, at `at` or later, had a share of it.

    `legs` are the share that the fact itself had just now. Of one instant, names decide who comes
    first (EV-4), and nobody remembers those.
    """
    return any(
        lot.amount - lot.used - lot.moved < UNIT
        and lot.drawn_at is not None
        and at <= lot.drawn_at
        and (at < lot.drawn_at or _is_tied(lot, at, legs))
        for lot in lots
    )


def _is_tied(lot: Lot, at: int, legs: Sequence[Leg]) -> bool:
    """Whether another fact of the same instant had a share of what there was to have."""
    return lot.amount > 0 and (lot.tied_at == at or all(leg.lot is not lot for leg in legs))


def take_free(
    count: FreeCount, number: NumberTerms, month: int, at: int, units: int, purse: Purse
) -> tuple[int, bool]:
    """Let a free count take whole units; what is left to pay, and whether it may be free in order.

    It might where a fact that is no earlier had some.
    """
    counter = purse.counter(count.name, number.number_id if count.per == "number" else 0, month)
    late = counter.counted_at is not None and at <= counter.counted_at
    free = min(max(count.count - counter.value, 0), units // UNIT)
    if free:
        counter.value += free
        counter.counted_at = max(counter.counted_at or at, at)
    left = units - free * UNIT
    return left, late and left > 0


def position(
    name: str, tiers: tuple[TierPrice, ...], month: int, at: int, units: int, purse: Purse
) -> tuple[int, bool]:
    """Where a month's count of charged units stood, `units` counted now; all numbers share it.

    The second says whether a fact that is no earlier was counted before and a tier was crossed.
    """
    counter = purse.counter(name, 0, month)
    before = counter.value
    late = counter.counted_at is not None and at <= counter.counted_at
    counter.value += units
    counter.counted_at = max(counter.counted_at or at, at)
    first = tiers[0].tier
    end = None if first is None or first.up_to is None else first.up_to * UNIT
    return before, late and end is not None and counter.value > end


def _sum(legs: list[Leg]) -> int:
    return legs[0].taken if len(legs) == 1 else sum(leg.taken for leg in legs)
