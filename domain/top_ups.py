"""Top-ups: what a bought or given lot is, and how long it lives.

Owns what can be bought and what it costs (BA-6), BA-4 for the lots that are added by hand, and the
ledger lines that bring them in.
"""

from __future__ import annotations

from domain.fold import ACTION
from domain.ledger import TOP_UP, TOP_UP_PRIORITY, Ledger
from domain.lots import Lot, LotSource
from domain.money import MICRO, charge, text
from domain.periods import period
from domain.plans import BalancePlan, Carry
from domain.problems import Problem
from domain.state import Changes, State
from domain.terms import Terms
from domain.watch import AlertCause


def price_of(balance: BalancePlan, amount: int) -> int | None:
    """What `amount` costs before tax, in micros of the plan's currency; None: it is not sold.

    Whole packs of units, any amount of money; what is below the plan's minimum is refused, and the
    minimum is on the price.
    """
    offer = balance.top_up
    if offer is None:
        return None
    packs, rest = divmod(amount, offer.pack)
    if rest and balance.kind == "unit":
        below, above = text(packs * offer.pack), text((packs + 1) * offer.pack)
        right = f"{below} or {above}" if packs else above
        message = f"{balance.key} is sold in packs of {text(offer.pack)}: write {right}"
        raise Problem("NOT_WHOLE_PACKS", message, "amount")
    price = charge(offer.price, amount * MICRO, offer.pack)
    if price < offer.minimum:
        least = text(offer.minimum)
        message = f"{text(amount)} costs {text(price)}, and a top-up costs at least {least}"
        raise Problem("BELOW_MINIMUM", message, "amount")
    return price


def carried_until(terms: Terms, carry: Carry, starts_at: int) -> int | None:
    """The instant a top-up ends by its balance's carry-over policy; None: it never does."""
    if carry.kind == "always":
        return None
    end = period(terms.zone, starts_at).end
    for _ in range(carry.periods):
        end = period(terms.zone, end).end
    return end


def top_up(
    terms: Terms,
    state: State,
    balance_id: int,
    amount: int,
    source: LotSource,
    starts_at: int,
    ends_at: int | None,
    now: int,
) -> tuple[Lot, Changes]:
    """Add a lot; what its balance owes is paid off by it at once, promotions apart (BA-5)."""
    changes = Changes(terms, state, ACTION)
    ledger = Ledger(terms, state, changes, now)
    ledger.advance()
    if starts_at < now:
        # A late input like any other: what happened since is settled (EV-4).
        state.unsettle(starts_at)
    lot = ledger.new_lot(
        balance_id, source, amount, starts_at, ends_at, month=None, priority=TOP_UP_PRIORITY
    )
    ledger.move(balance_id, source.name.lower(), lot.lot_id, amount, TOP_UP)
    ledger.close(AlertCause.TOP_UP)
    return lot, changes
