"""Refunds: what a charge took goes back, and what a top-up brought is given back or taken back.

Owns BA-8. The used side of a lot never changes: usage happened, and reports keep it; what comes
back is moved. Amounts are micros of the balance's one unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.fold import ACTION
from domain.ledger import ADJUST, NO_MONTH, REFUND, TAKE_BACK, TOP_UP_PRIORITY, Ledger, Moved
from domain.lots import Lot, LotSource
from domain.money import text
from domain.problems import Problem
from domain.state import Changes, State
from domain.terms import Terms
from domain.watch import AlertCause

#: The account that refunds of charges come from, and the one that top-ups came from.
REFUNDS, TOP_UPS = "refund", "top_up"

#: By overdraft: the lots that paid it off, newest first, and what each has not been given back.
PaidOff = Mapping[int, Sequence[tuple[int, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    """What became of a refund."""

    amount: int  #: micros
    forfeited: int  #: of it, what no lot received: its lot had lapsed, and the plan gives no other
    moves: tuple[Moved, ...]  #: by lot; a lot of a top-up gave
    changes: Changes


def refund_charge(
    terms: Terms,
    state: State,
    balance_id: int,
    legs: Sequence[tuple[int, int]],
    *,
    before: int,
    amount: int | None,
    paid_off: PaidOff,
    now: int,
    again: bool = False,
) -> Refunded:
    """Give `amount` of a charge back to the lots that paid, the last leg first.

    `legs` are (lot, taken) as they were drawn, `before` is what was refunded of them already;
    without an amount all that is left comes back. Folded `again`, a refund stands whatever the
    charge is by now: what it exceeds it by goes where a lapsed lot's share goes.
    """
    left = sum(taken for _, taken in legs) - before
    amount = left if amount is None else amount
    if not again and left <= 0:
        raise Problem("NOTHING_LEFT", "all of this charge was refunded before", "charge")
    if not again and amount > left:
        raise _too_much(left)
    changes = Changes(terms, state, ACTION)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    back = _Back(ledger, balance_id, paid_off)
    rest = amount
    for lot_id, taken in reversed(legs):
        passed = min(before, taken)
        before -= passed
        share = min(rest, taken - passed)
        rest -= share
        back.give(lot_id, share)
    back.lapse(rest)
    forfeited = back.renew()
    ledger.close(AlertCause.REFUND)
    return Refunded(amount=amount, forfeited=forfeited, moves=tuple(back.moves), changes=changes)


def refund_top_up(
    terms: Terms,
    state: State,
    lot: Lot,
    amount: int | None,
    now: int,
    *,
    again: bool = False,
) -> Refunded:
    """Give back what a top-up brought, at most what is left of its lot.

    Folded `again`, the money is gone whatever the lot holds by now: the rest of it is owed.
    """
    changes = Changes(terms, state, ACTION)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    left = max(lot.remaining, 0)
    amount = left if amount is None else amount
    if not again and not left:
        raise Problem("NOTHING_LEFT", "nothing is left of this top-up", "topUp")
    if not again and amount > left:
        raise _too_much(left)
    moves = [Moved(lot, -min(amount, left))]
    ledger.shift(lot.balance_id, lot, TOP_UPS, min(amount, left), REFUND)
    if amount > left:
        overdraft = ledger.overdraft(lot.balance_id, now)
        ledger.shift(lot.balance_id, overdraft, TOP_UPS, amount - left, REFUND)
        moves.append(Moved(overdraft, left - amount))
    ledger.close(AlertCause.REFUND)
    return Refunded(amount=amount, forfeited=0, moves=tuple(moves), changes=changes)


def take_back(terms: Terms, state: State, lot: Lot, refunded: int, now: int) -> Refunded:
    """Take a whole lot away, for its payment was taken back; what was spent of it is owed.

    `refunded` is the money that went back before. What had lapsed of the lot is taken as well: it
    is no longer there to lapse, and nobody owes it.
    """
    changes = Changes(terms, state, ACTION)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    balance_id = lot.balance_id
    unspent = lot.amount - lot.used - lot.moved
    spent = lot.used + lot.moved - refunded
    moves: list[Moved] = []
    if unspent:
        ledger.shift(balance_id, lot, TOP_UPS, unspent, TAKE_BACK)
        moves.append(Moved(lot, -unspent))
    if spent > 0:
        overdraft = ledger.overdraft(balance_id, now)
        ledger.shift(balance_id, overdraft, TOP_UPS, spent, TAKE_BACK)
        moves.append(Moved(overdraft, -spent))
    ledger.close(AlertCause.REFUND)
    return Refunded(
        amount=unspent + max(spent, 0), forfeited=0, moves=tuple(moves), changes=changes
    )


class _Back:
    """What comes back to the lots of one balance."""

    def __init__(self, ledger: Ledger, balance_id: int, paid_off: PaidOff) -> None:
        self._ledger = ledger
        self._balance_id = balance_id
        self._paid_off = paid_off
        self._lots = {lot.lot_id: lot for lot in ledger.state.lots.get(balance_id, ())}
        self._lapsed = 0
        self._invoiced = 0
        self.moves: list[Moved] = []

    def give(self, lot_id: int, amount: int) -> None:
        """Give one leg's share back to its lot, or note that the lot is over."""
        if not amount:
            return
        lot = self._lots.get(lot_id)
        if lot is not None and lot.source is LotSource.OVERDRAFT:
            owed = min(amount, max(-lot.remaining, 0))
            self._shift(lot, owed)
            self._give_payers(lot, amount - owed)
        else:
            self._live(lot, amount)

    def lapse(self, amount: int) -> None:
        """Note what no lot of the charge can receive."""
        self._lapsed += amount

    def _give_payers(self, overdraft: Lot, amount: int) -> None:
        """What an overdraft no longer owes goes to the lots that paid it off, through it."""
        for lot_id, paid in self._paid_off.get(overdraft.lot_id, ()):
            share = min(paid, amount)
            amount -= share
            self._live(self._lots.get(lot_id), share, through=overdraft)
        if overdraft.month == NO_MONTH:
            self._invoiced += amount  # nobody paid it off: an invoice has asked for it (IN-8)
        else:
            self._lapsed += amount

    def _live(self, lot: Lot | None, amount: int, through: Lot | None = None) -> None:
        if lot is None or (lot.ends_at is not None and lot.ends_at <= self._ledger.now):
            self._lapsed += amount
        elif through is None:
            self._shift(lot, amount)
        elif amount:
            self._ledger.shift(self._balance_id, REFUNDS, through, amount, REFUND)
            self._ledger.shift(self._balance_id, through, lot, amount, REFUND)
            self.moves.append(Moved(lot, amount))

    def _shift(self, lot: Lot, amount: int) -> None:
        if amount:
            self._ledger.shift(self._balance_id, REFUNDS, lot, amount, REFUND)
            self.moves.append(Moved(lot, amount))

    def renew(self) -> int:
        """Put what lapsed lots would have received into a lot of the period; gives what is lost.

        What an invoice asked for is nobody's to lose: it comes back in a lot that lasts.
        """
        ledger, amount = self._ledger, self._lapsed
        if self._invoiced:
            self._new_lot(self._invoiced, None, f"action/{ledger.state.action}/invoiced")
        if ledger.terms.balances[self._balance_id].refund_lapsed == "forfeit":
            return amount
        if amount:
            self._new_lot(amount, ledger.span.end, None)
        return 0

    def _new_lot(self, amount: int, ends_at: int | None, origin: str | None) -> None:
        ledger = self._ledger
        lot = ledger.new_lot(
            self._balance_id, LotSource.ADJUSTMENT, amount, ledger.now, ends_at, month=None,
            priority=TOP_UP_PRIORITY, origin=origin,
        )  # fmt: skip
        ledger.move(self._balance_id, REFUNDS, lot.lot_id, amount, ADJUST)
        self.moves.append(Moved(lot, amount))


def _too_much(left: int) -> Problem:
    return Problem("TOO_MUCH", f"at most {text(left)} can be refunded", "amount")
