"""The model's refunds of charges: what a charge took goes back to whoever paid (BA-8).

Owns the way back, lot by lot, and what becomes of the share of a lot that is over. Imports nothing
of the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.simulation.account import Account, Lot

Leg = list[Any]  #: [lot, amount]


def give_back(
    account: Account, key: str, legs: Sequence[Leg], before: int, amount: int, name: str, at: int
) -> None:
    """The last leg first; `before` was given back already. What no lot can take is a new one.

    What was answered stands: where the charge is less by now, or another's, the rest is new too.
    """
    lots = {lot.name: lot for lot in account.lots[key]}
    payers = list(reversed(account.paid_off.items()))
    lapsed = 0
    for lot_name, taken in reversed(legs):
        passed = min(before, taken)
        before -= passed
        share = min(amount, taken - passed)
        amount -= share
        lot = lots[lot_name]
        if lot.kind != "overdraft":
            lapsed += _to(lot, share, at)
            continue
        owed = min(share, max(-lot.left, 0))
        if owed:
            lot.take(at, moved=-owed)
        share -= owed
        for (debt, number), paid in payers:  # whoever paid it off, the latest first
            part = min(paid, share) if debt == lot.number else 0
            if part > 0:
                share -= part
                payer = next(each for each in account.lots[key] if each.number == number)
                lost = _to(payer, part, at)
                lapsed += lost
                if not lost:
                    account.note(lot, payer, -part)
        lapsed += share
    if lapsed + amount:
        end = account.zone.bounds(account.zone.month(at))[1]
        lot = account.new_lot(
            key, name, "adjustment", lapsed + amount, starts=at, ends=end, created=at
        )


def _to(lot: Lot, share: int, at: int) -> int:
    """Give a lot its share; gives what it can no longer take."""
    if lot.over(at):
        return share
    if share:
        lot.take(at, moved=-share)
    return 0
