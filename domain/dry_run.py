"""A dry run: what a refill policy would have charged over a stretch of time that was recorded.

Owns the replay of one balance: what came and went as it was recorded, drawn again in the order of
BA-1 from lots among which are those of the refills. Each would have been paid in the instant that
it was due. What other balances paid stays with them, whatever this one would have held. Posts
nothing; the decision itself is `refill_policy`'s. Amounts are micros of the balance's one unit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from domain.ledger import (
    ADJUST,
    ALLOWANCE_PRIORITY,
    GRANT,
    LAPSE,
    PAY_OFF,
    REFUND,
    TAKE_BACK,
    TOP_UP,
    TOP_UP_PRIORITY,
)
from domain.lots import LotSource
from domain.periods import Zone, period
from domain.refill_policy import IDLE, Refilling, RefillPolicy, decide
from domain.terms import Terms


class Came(NamedTuple):
    """A lot that began, or what was left of one as the stretch began."""

    at: int
    amount: int
    ends_at: int | None
    priority: int
    pays_off: bool = True  #: whether it fills what is owed


class Went(NamedTuple):
    """What was used or withdrawn; negative: what came back."""

    at: int
    amount: int


Movement: TypeAlias = Came | Went


class Charged(NamedTuple):
    """A refill that would have been charged."""

    at: int
    amount: int
    price: int  #: before tax, in micros of the plan's currency


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What would have become of a balance."""

    charges: tuple[Charged, ...]
    capped_at: tuple[int, ...]  #: when a cap kept one from being charged
    lowest: int  #: the least that was there, before what was charged for it
    lowest_at: int

    @property
    def total(self) -> int:
        """What all of them would have cost before tax."""
        return sum(charge.price for charge in self.charges)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pot:
    """What the balance of a dry run is."""

    zone: Zone
    ends: Callable[[int], int | None]  #: of what is bought at an instant (BA-4)
    of_units: bool  #: what units owe ends with its period (BA-11)
    price: Callable[[int], int]  #: of an amount, before tax


class Kept(NamedTuple):
    """A lot of the balance as it stands in the books."""

    lot_id: int
    source: LotSource
    priority: int
    starts_at: int
    ends_at: int | None
    left: int  #: as the stretch began; of an overdraft negative
    of_refill: bool  #: whether a refill brought it within the stretch: it is left out


class Line(NamedTuple):
    """A line of the ledger; an account that is no lot is None."""

    at: int
    debit: int | None
    credit: int | None
    amount: int
    cause: int


def movements(
    lots: Iterable[Kept], lines: Iterable[Line], start: int, *, promotions: bool
) -> tuple[list[Movement], int]:
    """What came and went from a start on, and what was owed then.

    `lines` are in the order in which they were written. What lapsed and what was paid off follows
    from the rest. `promotions` says whether they, too, fill what is owed.
    """
    known, found, owed = dict[int, Kept](), list[Movement](), 0
    for lot in lots:
        known[lot.lot_id] = lot
        if lot.source is LotSource.OVERDRAFT:
            owed -= lot.left
        elif lot.left and not lot.of_refill:
            found.append(_came(lot, max(lot.starts_at, start), lot.left, promotions))
    for line in lines:
        found += _moved(line, known, start, promotions)
    return found, owed


def untouched(
    terms: Terms, balance_id: int, stored: Collection[int], start: int, end: int
) -> list[Movement]:
    """The allowances of a stretch's periods that nothing ever touched: they hold unstored (TZ-7).

    `stored` has the months of those that were.
    """
    found, span, since = list[Movement](), period(terms.zone, start), terms.since or 0
    while span.start < end:
        amount = terms.allowance(balance_id, span)
        if amount and span.label not in stored and since < span.end:
            began = max(span.start, since, start)
            found.append(Came(began, amount, span.end, ALLOWANCE_PRIORITY))
        span = period(terms.zone, span.end)
    return found


def _moved(line: Line, known: dict[int, Kept], start: int, promotions: bool) -> Iterator[Movement]:
    debit, credit = known.get(line.debit or 0), known.get(line.credit or 0)
    lot = debit or credit
    if lot is None or line.cause in (LAPSE, PAY_OFF) or (line.debit and line.credit):
        return
    if lot.of_refill and line.cause in (TOP_UP, REFUND if debit else TOP_UP, TAKE_BACK):
        return  # it came and went as a payment did, which is not made here
    if lot.ends_at is not None and lot.ends_at <= line.at:
        return  # it came too late for a lot that was over
    if credit is None:
        yield Went(line.at, line.amount)
    elif line.cause == GRANT:
        # It holds from its beginning on, whoever looked when (TZ-7).
        yield _came(credit, max(credit.starts_at, start), line.amount, promotions)
    elif line.cause in (TOP_UP, ADJUST):
        yield _came(credit, max(credit.starts_at, line.at), line.amount, promotions)
    else:
        yield Went(line.at, -line.amount)


def _came(lot: Kept, at: int, amount: int, promotions: bool) -> Came:
    pays_off = promotions or lot.source is not LotSource.PROMOTION
    return Came(at, amount, lot.ends_at, lot.priority, pays_off)


def dry_run(
    policy: RefillPolicy,
    pot: Pot,
    movements: Iterable[Movement],
    start: int,
    end: int,
    *,
    owed: int = 0,
) -> DryRun:
    """Replay the movements of `[start, end)` as if the policy had been set at its start.

    What is dated then opens the balance, which owes `owed`. A policy whose caps would be passed
    charges nothing until the day or month is over. Of one instant nothing is charged before all of
    it took place.
    """
    waiting = deque(sorted(movements, key=attrgetter("at")))
    replay = _Replay(policy, pot)
    replay.owe(owed, start)
    now = start
    while now < end:
        replay.lapse(now)
        while waiting and waiting[0].at <= now:
            replay.take(waiting.popleft())
        replay.look(now)
        ahead = [waiting[0].at] if waiting else []
        now = min((*ahead, *replay.edges(now)), default=end)
    return DryRun(
        charges=tuple(replay.charges), capped_at=tuple(replay.capped_at),
        lowest=replay.lowest[0], lowest_at=replay.lowest[1],
    )  # fmt: skip


@dataclass(slots=True)
class _Lot:
    """What is left of a lot."""

    place: tuple[int, bool, int, int]  #: in the order of BA-1
    left: int
    ends_at: int | None


@dataclass(slots=True)
class _Replay:
    policy: RefillPolicy
    pot: Pot
    charges: list[Charged] = field(default_factory=list)
    capped_at: list[int] = field(default_factory=list)
    lowest: tuple[int, int] = (1 << 63, 0)
    _lots: list[_Lot] = field(default_factory=list)
    _owed: int = 0
    _owed_until: int | None = None
    _refilling: Refilling = IDLE
    _count: int = 0

    @property
    def whole(self) -> int:
        """What remains of all lots, less what is owed."""
        return sum(lot.left for lot in self._lots) - self._owed

    def edges(self, now: int) -> list[int]:
        """The later instants at which time alone changes something."""
        found = [lot.ends_at for lot in self._lots if lot.ends_at is not None and lot.left]
        if self._owed and self._owed_until is not None:
            found.append(self._owed_until)
        return [edge for edge in (*found, self._refilling.capped_until) if edge > now]

    def lapse(self, now: int) -> None:
        """Let go of lots that have ended, and of what units owed in a period that has."""
        self._lots = [lot for lot in self._lots if lot.ends_at is None or now < lot.ends_at]
        if self._owed_until is not None and self._owed_until <= now:
            self._owed, self._owed_until = 0, None

    def owe(self, amount: int, at: int) -> None:
        """Owe something; what units owe ends with the period."""
        self._owed += amount
        if self._owed and self.pot.of_units:
            self._owed_until = period(self.pot.zone, at).end

    def take(self, movement: Movement) -> None:
        """Let something come or go."""
        if isinstance(movement, Came):
            self._come(movement)
        elif movement.amount < 0:
            self._come_back(-movement.amount)
        else:
            self._go(movement.at, movement.amount)

    def look(self, now: int) -> None:
        """Charge what is due just now (RF-1, RF-2)."""
        whole, zone = self.whole, self.pot.zone
        if whole < self.lowest[0]:
            self.lowest = whole, now
        if whole > self.policy.minimum or now < self._refilling.capped_until:
            return
        amount, self._refilling = decide(
            self.policy, self._refilling, whole, self.pot.price, zone, now
        )
        if not amount:
            self.capped_at.append(now)
            return
        self.charges.append(Charged(now, amount, self._refilling.price))
        self._refilling = self._refilling.ended(zone, now, paid=True)
        self._come(Came(now, amount, self.pot.ends(now), TOP_UP_PRIORITY))

    def _come(self, came: Came) -> None:
        filled = min(self._owed, came.amount) if came.pays_off else 0
        self._owed -= filled
        self._count += 1
        place = (came.priority, came.ends_at is None, came.ends_at or 0, self._count)
        self._lots.append(_Lot(place, came.amount - filled, came.ends_at))
        self._lots.sort(key=attrgetter("place"))

    def _come_back(self, amount: int) -> None:
        """What comes back fills what is owed first, then the lot that pays last."""
        filled = min(self._owed, amount)
        self._owed -= filled
        if not self._lots and amount > filled:
            self._come(Came(0, amount - filled, None, TOP_UP_PRIORITY))
        elif self._lots:
            self._lots[-1].left += amount - filled

    def _go(self, at: int, amount: int) -> None:
        for lot in self._lots:
            taken = min(lot.left, amount)
            lot.left -= taken
            amount -= taken
        self.owe(amount, at)
