"""Figures: what a balance shows of one period at one instant, and the rates that go with it.

Owns the identity of BA-9, the two sides of FI-5 and what is available (BA-2). Does not own where
the sums come from: whoever reads them gives each lot's use before the period and within it.

A lot's end is judged by the instant asked for, never by what a job has booked (TZ-4): at its end
what was left of it has lapsed. Allowances hold without being stored (TZ-7): a period in which
nothing touched one shows it whole. Amounts are micros of the balance's one unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from domain.books import ANY, Book, Row
from domain.ledger import ALLOWANCE_PRIORITY
from domain.lots import LotSource
from domain.money import MICRO
from domain.periods import Period
from domain.plans import BalancePlan, Chain, Plan

#: Of a lot that is not stored: an allowance nothing has touched.
NOT_STORED = 0


class LotUse(NamedTuple):
    """A lot and what was taken from it before a period and within it, up to an instant.

    A tuple, for each event of the feed makes a dozen.
    """

    lot_id: int  #: NOT_STORED for an allowance nothing has touched
    source: LotSource
    priority: int
    month: int | None  #: label of the period an allowance or overdraft belongs to
    amount: int
    starts_at: int  #: inclusive
    ends_at: int | None  #: exclusive; None: no end
    created_at: int
    used_before: int = 0  #: by facts before the period
    used: int = 0  #: by facts of the period, before the instant
    moved_before: int = 0  #: taken by paying off and refunds, not usage; negative: received
    moved: int = 0

    @property
    def used_ever(self) -> int:
        """Taken by usage up to the instant."""
        return self.used_before + self.used

    @property
    def left(self) -> int:
        """What was not taken; of a lot that has ended, what lapsed."""
        return self.amount - self.used_ever - self.moved_before - self.moved

    @property
    def remaining(self) -> int:
        """The same, as lots call it while they are drawn."""
        return self.left

    def ended(self, at: int) -> bool:
        """Whether the lot's end has come; the end instant itself is outside the lot."""
        return self.ends_at is not None and self.ends_at <= at

    def counts(self, period: Period, at: int) -> bool:
        """Whether the lot has begun and was not over, or was drawn by what came a little early."""
        if self.ended(period.start):
            return False
        if self.starts_at <= at and self.starts_at < period.end:
            return True
        return any((self.used_before, self.used, self.moved_before, self.moved))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One side of a balance in a period: opening + granted + adjusted - used - lapsed = remaining.

    `granted` is the allowance on one side, top-ups and promotions on the other.
    """

    opening: int = 0
    granted: int = 0
    adjusted: int = 0
    used: int = 0
    lapsed: int = 0
    remaining: int = 0

    def __add__(self, other: Part) -> Part:
        return Part(
            opening=self.opening + other.opening,
            granted=self.granted + other.granted,
            adjusted=self.adjusted + other.adjusted,
            used=self.used + other.used,
            lapsed=self.lapsed + other.lapsed,
            remaining=self.remaining + other.remaining,
        )


NOTHING = Part()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A balance in a period at an instant."""

    initial: Part  #: allowance lots
    top_up: Part  #: all other lots
    total: Part  #: both; its `granted` is granted + topped up
    held: int
    credit_limit: int
    lots: tuple[LotUse, ...]  #: those with a part in the figures, in drawing order

    @property
    def available(self) -> int:
        """Active lots + credit limit - open holds (BA-2)."""
        return self.total.remaining + self.credit_limit - self.held

    @property
    def percent_used(self) -> int | None:
        """Millionths of a percent, half up; None without a base; over 100 % as it is (BA-9)."""
        total = self.total
        base = max(total.opening, 0) + total.granted
        return None if base == 0 else (200 * MICRO * total.used + base) // (2 * base)


def figures(
    balance: BalancePlan,
    period: Period,
    at: int,
    lots: Sequence[LotUse],
    *,
    since: int | None = None,
    held: int = 0,
    next_due: int | None = None,
) -> Figures:
    """Sum up a balance's `lots` for `period` as it stands at `at`; its allowance is the period's.

    `at` lies in the period or is its end, which gives the period's closing figures. `since` is the
    tenant's: no allowance holds before it. `next_due` is its head's: where that is no later than
    the period's start, what the allowance pays off there (BA-5) is not booked yet, but shown.
    """
    if allowance := _untouched_allowance(balance, period, at, lots, since):
        booked = next_due is None or period.start < next_due
        lots = (*lots, allowance) if booked else _paid_off(allowance, lots)
    initial, top_up = NOTHING, NOTHING
    shown: list[LotUse] = []
    for lot in lots:
        part = _part(lot, period, at)
        if part == NOTHING:
            continue
        shown.append(lot)
        if lot.source is LotSource.ALLOWANCE:
            initial += part
        else:
            top_up += part
    return Figures(
        initial=initial,
        top_up=top_up,
        total=initial + top_up,
        held=held,
        credit_limit=balance.credit_limit,
        lots=tuple(sorted(shown, key=_drawing_order)),
    )


def left(
    balance: BalancePlan, period: Period, at: int, lots: Sequence[LotUse], since: int | None = None
) -> int:
    """What a balance has left at `at`, negative where it is overdrawn; the same as its figures'."""
    if allowance := _untouched_allowance(balance, period, at, lots, since):
        lots = (*lots, allowance)
    return sum(lot.left for lot in lots if not lot.ended(at) and lot.counts(period, at))


def _part(lot: LotUse, period: Period, at: int) -> Part:
    """What one lot adds to its side."""
    if not lot.counts(period, at):
        return NOTHING
    carried = lot.starts_at < period.start
    opening = -lot.used_before - lot.moved_before + (lot.amount if carried else 0)
    granted, adjusted = 0, -lot.moved
    if not carried and lot.source is LotSource.ADJUSTMENT:
        adjusted += lot.amount
    elif not carried:
        granted = lot.amount
    lapsed, remaining = 0, lot.left
    if lot.ended(at):
        # What is left of an overdraft at its end is overage: invoiced or written off, not lapsed.
        if lot.source is LotSource.OVERDRAFT:
            adjusted -= remaining
        else:
            lapsed = remaining
        remaining = 0
    return Part(
        opening=opening,
        granted=granted,
        adjusted=adjusted,
        used=lot.used,
        lapsed=lapsed,
        remaining=remaining,
    )


def _untouched_allowance(
    balance: BalancePlan, period: Period, at: int, lots: Iterable[LotUse], since: int | None
) -> LotUse | None:
    """The period's allowance where none is stored; None where there is one, or none holds."""
    if balance.allowance == 0 or (since is not None and at < since):
        return None
    if any(lot.source is LotSource.ALLOWANCE and lot.month == period.label for lot in lots):
        return None
    return LotUse(
        lot_id=NOT_STORED,
        source=LotSource.ALLOWANCE,
        priority=ALLOWANCE_PRIORITY,
        month=period.label,
        amount=balance.allowance,
        starts_at=period.start,
        ends_at=period.end,
        created_at=period.start,
    )


def _paid_off(allowance: LotUse, lots: Sequence[LotUse]) -> list[LotUse]:
    """Lots as they will be once `allowance` has filled what they owe at its start (BA-5)."""
    left, after = allowance.amount, list[LotUse]()
    for lot in lots:
        filled = 0
        if lot.source is LotSource.OVERDRAFT and lot.starts_at < allowance.starts_at:
            filled = min(max(-lot.left, 0), left)
        left -= filled
        after.append(lot._replace(moved=lot.moved - filled) if filled else lot)
    return [*after, allowance._replace(moved=allowance.amount - left)]


def _drawing_order(lot: LotUse) -> tuple[int, bool, int, int, int]:
    """BA-1: priority, expiry (none last), created, id."""
    return lot.priority, lot.ends_at is None, lot.ends_at or 0, lot.created_at, lot.lot_id


def rates(plan: Plan, book: Book, key: str, date: int) -> list[Row]:
    """The rows of `book` in force on a local date that price what balance `key` pays.

    Sorted by channel, category, direction, basis and market; a price of None is "no rate".
    """
    in_force: dict[tuple[str, str, str, str, str], Row] = {}
    for row in sorted(book.rows, key=lambda row: (row.valid_from, row.published)):
        if row.valid_from <= date and _pays(plan, key, row):
            in_force[row.channel, row.category, row.direction, row.basis, row.market] = row
    return [in_force[place] for place in sorted(in_force)]


def _pays(plan: Plan, key: str, row: Row) -> bool:
    """Whether some chain takes what `row` prices from balance `key`."""
    if ANY not in (row.channel, row.category):
        chain = plan.chain(row.channel, row.category, row.direction)
        chains: tuple[Chain, ...] = () if chain is None else (chain,)
    else:
        chains = tuple(
            chain
            for chain in plan.chains
            if chain.direction == row.direction
            and (ANY in (chain.channel, row.channel) or chain.channel == row.channel)
            and (ANY in (chain.category, row.category) or chain.category == row.category)
        )
    return any(
        step.balance == key and step.basis is row.basis for chain in chains for step in chain.steps
    )
