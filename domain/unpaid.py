"""Unpaid: what a period leaves behind that nothing has paid, as it is taken out of its lots (IN-8).

Owns what a closing moves at the end of a period of a tenant that is invoiced: what a postpaid
balance owes is asked for, so that the next period starts at 0; units beyond what there was end as
overage, or are written off where the plan has no price for them (BA-11). A prepaid balance's
overdraft stays: credits pay it off (BA-5). Which lines an invoice makes of it is `usage_lines`'s.

It stands behind everything of the period, a microsecond before its end: before the next allowance
could pay it off.
"""

from __future__ import annotations

from domain.fold import CLOSED
from domain.ledger import INVOICED, NO_MONTH, OVERAGE, WRITTEN_OFF, Ledger
from domain.lots import Lot, LotSource
from domain.plans import BalancePlan
from domain.state import Changes, State
from domain.terms import Terms

#: The accounts that it goes to, by cause.
ACCOUNTS = {INVOICED: "invoiced", OVERAGE: "overage", WRITTEN_OFF: "written_off"}


def postpaid(balance: BalancePlan) -> bool:
    """Whether what a balance owes is asked for by the invoices of its periods."""
    return balance.kind == "money" and balance.credit_limit > 0


def cause_of(balance: BalancePlan) -> int | None:
    """What becomes of what a balance owes at a period's end; None: it stays owed."""
    if balance.kind == "money":
        return INVOICED if postpaid(balance) else None
    return WRITTEN_OFF if balance.overage_price is None else OVERAGE


def leave(terms: Terms, state: State, since: int, end: int) -> Changes:
    """Take out of the lots what is unpaid at a period's end; everything before it was done.

    Units of a call that ended behind its period's end are taken with the next one: of lots that
    ended from `since` on.
    """
    changes = Changes(terms, state, CLOSED)
    ledger = Ledger(terms, state, changes, end - 1)
    for balance_id, lots in list(state.lots.items()):
        cause = cause_of(terms.balances[balance_id])
        if cause is None:
            continue
        for lot in lots:
            if _owes(lot, since, end):
                ledger.shift(balance_id, ACCOUNTS[cause], lot, -lot.remaining, cause)
    return changes


def _owes(lot: Lot, since: int, end: int) -> bool:
    """Whether a lot is an overdraft that lasts, or is over by then, and something is owed of it."""
    if lot.source is not LotSource.OVERDRAFT or lot.remaining >= 0:
        return False
    return lot.month == NO_MONTH or (lot.ends_at is not None and since <= lot.ends_at <= end)
