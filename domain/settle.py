"""Settling: what was posted as facts arrived, beside what their order comes to (EV-9).

Owns the comparison and the differences that make the one the other: revisions of facts, deltas of
movements, days and lots, and the alerts these bring about. Posts nothing. What only time does, or
nobody touched, is no difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.facts import Flag
from domain.lots import Lot, LotSource
from domain.periods import period
from domain.refold import Movement, Refold
from domain.state import Changes, Charged, Outcome
from domain.watch import AlertCause, Watch

#: What a fact did by its place in the order; every other flag stays as it was first set.
DERIVED = (
    Flag.SERVICE_OPENED | Flag.CONVERSATION_OPENED | Flag.CONVERSATION_PAID | Flag.VISITOR
    | Flag.REPEATED | Flag.ENTRY_OPENED | Flag.CATEGORY_OPENED | Flag.COVERED
)  # fmt: skip

#: Before every instant.
EARLIEST = -(1 << 63)

#: Lots that are made by themselves; unless something was taken from one, it may as well not be.
BY_THEMSELVES = frozenset({LotSource.ALLOWANCE, LotSource.OVERDRAFT})


class Posted(NamedTuple):
    """What became of a fact, as the books have it."""

    status: int
    flags: int
    revision: int
    parts: tuple[Charged, ...]
    came_unrated: int | None = None
    #: the flags it came with, if it was counted then, and adjusted when its rate came


class Difference(NamedTuple):
    """A fact whose revision in the books is to be reversed, and what comes in its place."""

    posted: Posted
    outcome: Outcome

    @property
    def flags(self) -> int:
        """The flags of the new revision."""
        return self.posted.flags & ~DERIVED | self.outcome.flags & DERIVED


def compare(posted: Posted, outcome: Outcome) -> Difference | None:
    """The difference between what is posted of a fact and what its place in the order makes it."""
    if (
        posted.status == outcome.status
        and not (posted.flags ^ outcome.flags) & DERIVED
        and len(posted.parts) == len(outcome.parts)
        and all(
            before.balance_id == now.balance_id
            and before.rule_id == now.rule_id
            and before.units == now.units
            and before.amount == now.amount
            and before.legs == tuple((leg.lot.lot_id, leg.taken) for leg in now.legs)
            for before, now in zip(posted.parts, outcome.parts, strict=True)
        )
    ):
        return None
    return Difference(posted, outcome)


@dataclass(slots=True, kw_only=True)
class Books:
    """What the books have of a tenant's lots, from the opening on."""

    lots: Mapping[int, Lot]
    moved: Mapping[Movement, int]
    lot_days: Mapping[tuple[int, int], tuple[int, int]]  #: used and moved, by lot and local day
    days_from: int = EARLIEST  #: the earliest of those days
    lots_from: int = EARLIEST  #: lots that ended before it are left out


class Delta(NamedTuple):
    """A movement that is missing: `amount` leaves `debit` for `credit`."""

    balance_id: int
    debit: str
    credit: str
    amount: int
    cause: int
    day: int  #: the local day it belongs to; 0: none


@dataclass(slots=True, kw_only=True)
class Corrections:
    """What makes the books agree with the order."""

    lots: list[Lot] = field(default_factory=list)  #: as they are to be
    moved: list[Delta] = field(default_factory=list)
    lot_days: dict[tuple[int, int], list[int]] = field(default_factory=dict)  #: to be added
    drawn: list[Lot] = field(default_factory=list)  #: drawn last by another fact: no figure

    @property
    def none(self) -> bool:
        return not (self.lots or self.moved or self.lot_days)


def corrections(refold: Refold, books: Books) -> Corrections:
    """Compare lots, their days and every movement with what they come to in fact order."""
    ignored = {
        lot_id
        for mine, other in ((refold, books), (books, refold))
        for drawn in [{lot_id for lot_id, _ in mine.lot_days}]
        for lot_id, lot in mine.lots.items()
        if lot_id not in other.lots and _untouched(lot, drawn)
    }
    found = Corrections()
    for lot_id, lot in refold.lots.items():
        known = books.lots.get(lot_id)
        if lot_id not in ignored and _sums(lot) != _sums(known):
            found.lots.append(lot)
        elif known is not None and lot.drawn_at != known.drawn_at:
            found.drawn.append(lot)
    days: dict[tuple[int, int], Sequence[int]] = dict(refold.lot_days)
    for lot_id, lot in books.lots.items():
        if lot_id not in refold.lots and lot_id not in ignored:
            emptied = _emptied(lot)
            if _sums(emptied) != _sums(lot):
                found.lots.append(emptied)
            began = refold.terms.zone.day_start(lot.starts_at)
            if lot.amount and began >= books.days_from:
                days[lot_id, began] = (0, lot.amount)  # it was never there
    for place in days.keys() | books.lot_days.keys():
        used, moved = days.get(place, (0, 0))
        before_used, before_moved = books.lot_days.get(place, (0, 0))
        if (used, moved) != (before_used, before_moved):
            found.lot_days[place] = [used - before_used, moved - before_moved]
    accounts = {f"lot/{lot_id}" for lot_id in ignored} | _forgotten(refold, books)
    net: dict[Movement, int] = {}
    for sign, of_side in ((1, refold.moved), (-1, books.moved)):
        for (balance_id, debit, credit, cause, day), amount in of_side.items():
            if debit in accounts or credit in accounts:
                continue
            ways = (debit, credit) if debit < credit else (credit, debit)
            signed = sign * amount if ways == (debit, credit) else -sign * amount
            place_of = (balance_id, *ways, cause, day)
            net[place_of] = net.get(place_of, 0) + signed
    for (balance_id, debit, credit, cause, day), amount in sorted(net.items()):
        if amount > 0:
            found.moved.append(Delta(balance_id, debit, credit, amount, cause, day))
        elif amount < 0:
            found.moved.append(Delta(balance_id, credit, debit, -amount, cause, day))
    return found


def _forgotten(refold: Refold, books: Books) -> set[str]:
    """The accounts of lots that were over by the latest closing, and that one side never made.

    Nothing was drawn from them: the closing ignored what moved of them, or its figures alone have
    it.
    """
    if books.lots_from == EARLIEST:
        return set()
    folded, posted = (
        {
            account
            for _, *accounts, _, _ in moved
            for account in accounts
            if account.startswith("lot/") and int(account[4:]) not in books.lots
        }
        for moved in (refold.moved, books.moved)
    )
    return (posted - folded) | {each for each in folded if int(each[4:]) not in refold.lots}


def watch(changes: Changes, found: Corrections, now: int) -> None:
    """Raise what corrections bring about: of each balance they are one movement, its net (AL-5).

    The state has the lots as they were before, and has them as they are to be from here on.
    """
    state, span = changes.state, period(changes.terms.zone, now)
    watched = Watch(state, changes, span)
    known = {lot.lot_id: lot for lots in state.lots.values() for lot in lots}
    before: dict[int, tuple[int, int]] = {}  # used and moved on days before the period
    for lot in found.lots:
        was, corrected = known.get(lot.lot_id), copy(lot)
        corrected.used_before = 0 if was is None else was.used_before
        corrected.moved_before = 0 if was is None else was.moved_before
        known[lot.lot_id] = corrected
    for (lot_id, day), (used, moved) in found.lot_days.items():
        if day < span.start and lot_id in known:
            more = before.get(lot_id, (0, 0))
            before[lot_id] = (more[0] + used, more[1] + moved)
    for lot_id, (used, moved) in before.items():
        known[lot_id].used_before += used
        known[lot_id].moved_before += moved
    state.lots = {}
    for lot in known.values():
        state.lots.setdefault(lot.balance_id, []).append(lot)
    for lot_id in {lot.lot_id for lot in found.lots} | before.keys():
        watched.touch(known[lot_id].balance_id)
    watched.look(changes.terms, now, now, AlertCause.SETTLED, f"settled/{state.version + 1}")


def amounts(differences: Iterable[Difference]) -> dict[int, int]:
    """By balance, what was charged too little (negative: too much), in micros."""
    found: dict[int, int] = {}
    for posted, outcome in differences:
        for part in outcome.parts:
            found[part.balance_id] = found.get(part.balance_id, 0) + part.amount
        for before in posted.parts:
            found[before.balance_id] = found.get(before.balance_id, 0) - before.amount
    return {balance_id: amount for balance_id, amount in found.items() if amount}


def _untouched(lot: Lot, drawn: Collection[int]) -> bool:
    """Whether nothing was ever taken; an overdraft that was owed and paid off comes to 0 too."""
    if lot.source is LotSource.OVERDRAFT and lot.lot_id in drawn:
        return False
    return lot.source in BY_THEMSELVES and not lot.used and not lot.moved


def _sums(lot: Lot | None) -> tuple[int, int, int, int] | None:
    return None if lot is None else (lot.amount, lot.used, lot.moved, lot.lapsed)


def _emptied(lot: Lot) -> Lot:
    """The lot without what it paid, and without what brought it."""
    return Lot(
        lot_id=lot.lot_id,
        balance_id=lot.balance_id,
        source=lot.source,
        priority=lot.priority,
        month=lot.month,
        amount=lot.amount,
        moved=lot.amount,
        starts_at=lot.starts_at,
        ends_at=lot.ends_at,
        created_at=lot.created_at,
        origin=lot.origin,
    )
