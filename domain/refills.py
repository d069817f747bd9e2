"""What becomes of refills and other purchases: paid, given up, switched on or off (RF-2, RF-3).

Owns what each of them does to a tenant's figures and which alerts say so. When a balance is
refilled is `refill_policy`'s to say, how its price is collected is no matter of figures.
"""

from __future__ import annotations

from collections.abc import Iterable

from domain.fold import ACTION, TIME
from domain.ledger import TOP_UP, TOP_UP_PRIORITY, Ledger
from domain.lots import Lot, LotSource
from domain.refill_policy import IDLE
from domain.state import Changes, State
from domain.terms import Terms
from domain.watch import Alert, AlertCause, AlertKind, Measure, held


def pay(
    terms: Terms,
    state: State,
    balance_id: int,
    amount: int,
    ends_at: int | None,
    now: int,
    *,
    refill: bool,
    in_flight: bool,
    price: int = 0,
) -> tuple[Lot, Changes]:
    """Add what was paid for; a refill that is still in flight no longer is.

    Where what remains is at the refill's minimum all the same, the next one is decided at once. One
    that was given up before its payment came is not in flight, and credits as any other; its price
    counts to the caps of the day it was paid on.
    """
    changes = Changes(terms, state, ACTION)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    if in_flight:
        _ended(ledger, balance_id, paid=True)
    elif refill:
        known = state.refilling.get(balance_id, IDLE)
        state.refilling[balance_id] = known.counting(terms.zone, now, price)
    lot = ledger.new_lot(
        balance_id, LotSource.TOP_UP, amount, now, ends_at, month=None, priority=TOP_UP_PRIORITY
    )
    ledger.move(balance_id, "top_up", lot.lot_id, amount, TOP_UP)
    kind = AlertKind.REFILL_SUCCEEDED if refill else AlertKind.TOPPED_UP
    said = _alert(ledger, balance_id, kind, AlertCause.TOP_UP, state.action)
    ledger.close(AlertCause.TOP_UP)
    changes.alerts.insert(0, said)
    return lot, changes


def give_up(
    terms: Terms,
    after: Terms,
    state: State,
    balance_id: int,
    now: int,
    cause_id: str,
    kinds: Iterable[AlertKind],
    *,
    in_flight: bool = True,
) -> Changes:
    """End a refill that is not paid, under the terms of `after`; alerts of `kinds` say so.

    Where none is `in_flight`, what was paid is taken back, and nothing is refilled any more.
    """
    changes = Changes(terms, state, TIME)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    ledger.terms = after
    if in_flight:
        _ended(ledger, balance_id, paid=False)
    changes.alerts += [
        _alert(ledger, balance_id, kind, AlertCause.PAYMENT, cause_id, terms) for kind in kinds
    ]
    ledger.close()
    return changes


def edit(terms: Terms, after: Terms, state: State, balance_id: int, now: int) -> Changes:
    """Refill a balance by another policy from now on: one that is at its minimum at once.

    A cap that was reached by the one before is looked at anew.
    """
    return _look_again(terms, after, state, [balance_id], now, ACTION)


def look_again(terms: Terms, state: State, now: int) -> Changes:
    """Look at every balance that is refilled, for its tenant may be charged again."""
    return _look_again(terms, terms, state, sorted(terms.refills), now, TIME)


def _look_again(
    terms: Terms, after: Terms, state: State, balances: Iterable[int], now: int, cause: int
) -> Changes:
    changes = Changes(terms, state, cause)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    ledger.terms = after
    for balance_id in balances:
        known = state.refilling.get(balance_id)
        if known is not None:
            state.refilling[balance_id] = known._replace(capped_until=0)
        ledger.watch.touch(balance_id)
    ledger.close(AlertCause.REFILLS)
    return changes


def _ended(ledger: Ledger, balance_id: int, *, paid: bool) -> None:
    """Note that nothing is in flight to a balance any more, and have it looked at."""
    known = ledger.state.refilling
    before = known.get(balance_id, IDLE)
    known[balance_id] = before.ended(ledger.terms.zone, ledger.now, paid=paid)
    ledger.watch.touch(balance_id)


def _alert(
    ledger: Ledger,
    balance_id: int,
    kind: AlertKind,
    cause: AlertCause,
    cause_id: str,
    terms: Terms | None = None,
) -> Alert:
    """What is told of a purchase, with what the balance has as it is told."""
    own = terms or ledger.terms
    policy = own.refills.get(balance_id)
    lots = ledger.state.lots.get(balance_id, ())
    allowance = own.allowance(balance_id, ledger.span)
    found = held(own.at(ledger.now).balances[balance_id], lots, allowance, ledger.span, ledger.now)
    minimum = 0 if policy is None or kind is AlertKind.TOPPED_UP else policy.minimum
    return Alert(
        balance_id, kind, Measure.WHOLE, minimum, found.whole, found.base, ledger.now, cause,
        cause_id,
    )  # fmt: skip
