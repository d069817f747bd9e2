"""Drawing: which lots pay, in which order, and what is left when they do not suffice.

Owns BA-1, BA-3, BA-11 and paying off. Amounts are micros of the balance's one unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from domain.lots import Lot, LotSource

#: One whole product unit in micros.
UNIT = 1_000_000


class Leg(NamedTuple):
    """What one lot paid of one charge."""

    lot: Lot
    taken: int


def order(lots: Iterable[Lot]) -> list[Lot]:
    """Lots in the order debits take them: priority, expiry (none last), created, id (BA-1)."""
    return sorted(lots, key=_place)


def have(lot: Lot, at: int) -> int:
    """What `lot` can pay for something that happened at `at`.

    A lapse booked since does not count: lots are chosen by the fact's time (TZ-4).
    """
    return max(lot.amount - lot.used - lot.moved, 0) if lot.active(at) else 0


def whole_units(lots: Iterable[Lot], at: int) -> int:
    """Whole units the lots can pay at `at`, in micros; what is left of a unit pays nothing."""
    available = sum(have(lot, at) for lot in lots)
    return available - available % UNIT


def take(lots: Iterable[Lot], at: int, amount: int) -> list[Leg]:
    """Draw up to `amount` from `lots`, given in order; what no lot held is not in the legs."""
    legs: list[Leg] = []
    for lot in lots:
        held = lot.amount - lot.used - lot.moved
        if held > 0 and lot.active(at):
            taken = held if held < amount else amount
            lot.used += taken
            if lot.drawn_at is None or lot.drawn_at < at:
                lot.drawn_at = at
            elif lot.drawn_at == at:
                lot.tied_at = at
            legs.append(Leg(lot, taken))
            amount -= taken
            if not amount:
                break
    return legs


def overdraw(overdraft: Lot, at: int, amount: int) -> Leg:
    """Draw what no lot held: usage that happened is always charged (BA-11)."""
    overdraft.used += amount
    overdraft.drawn_at = max(overdraft.drawn_at or at, at)
    return Leg(overdraft, amount)


def pay_off(credit: Lot, overdrafts: Iterable[Lot], at: int) -> list[tuple[Lot, int]]:
    """Fill negative parts of a balance from a lot that just came, as far as it reaches.

    Gives each overdraft with what it received. Not usage: only `moved` changes.
    """
    filled: list[tuple[Lot, int]] = []
    for lot in overdrafts:
        amount = min(max(-lot.remaining, 0), have(credit, at))
        if lot.source is LotSource.OVERDRAFT and lot.active(at) and amount > 0:
            credit.moved += amount
            lot.moved -= amount
            filled.append((lot, amount))
    return filled


def lapse(lot: Lot, now: int) -> int:
    """Bring `lapsed` to what it must be at `now`; gives the difference (BA-3).

    Negative when a late fact drew from a lot that had lapsed. Overdrafts do not lapse: what is
    left of one at its end is overage.
    """
    if lot.ends_at is None or now < lot.ends_at or lot.source is LotSource.OVERDRAFT:
        return 0
    difference = lot.amount - lot.used - lot.moved - lot.lapsed
    lot.lapsed += difference
    return difference


def _place(lot: Lot) -> tuple[int, bool, int, int, int]:
    return (lot.priority, lot.ends_at is None, lot.ends_at or 0, lot.created_at, lot.lot_id)
