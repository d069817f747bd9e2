"""Adjustments: what an operator corrects of a balance by hand, up or down.

Owns what a correction does to lots. A credit is a lot of its own, which pays off what is owed and
then pays (BA-5); a debit takes from lots as a charge would (BA-1), and what no lot holds is owed.
Neither is usage: no report changes.
"""

from __future__ import annotations

from domain.fold import ACTION
from domain.ledger import ADJUST, TOP_UP_PRIORITY, Ledger, Moved
from domain.lots import LotSource
from domain.state import Changes, State
from domain.terms import Terms
from domain.watch import AlertCause

#: The account that adjustments come from and go to.
ADJUSTMENT = "adjustment"


def adjust(
    terms: Terms, state: State, balance_id: int, amount: int, ends_at: int | None, now: int
) -> tuple[tuple[Moved, ...], Changes]:
    """Add `amount` (negative: take it) at `now`; gives what each lot received or gave.

    A credit lives until `ends_at`, which nothing but a credit has.
    """
    changes = Changes(terms, state, ACTION)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    if amount > 0:
        lot = ledger.new_lot(
            balance_id, LotSource.ADJUSTMENT, amount, now, ends_at, month=None,
            priority=TOP_UP_PRIORITY,
        )  # fmt: skip
        ledger.move(balance_id, ADJUSTMENT, lot.lot_id, amount, ADJUST)
        moves = [Moved(lot, amount)]
    else:
        moves = ledger.withdraw(balance_id, -amount, ADJUSTMENT, ADJUST)
    ledger.close(AlertCause.ADJUSTMENT)
    return tuple(moves), changes
