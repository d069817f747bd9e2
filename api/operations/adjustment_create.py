"""Adjust a balance: an operator corrects it by hand, with a reason, once per key (BA-7, BA-8)."""

from __future__ import annotations

from dataclasses import dataclass

from api.operations.acting import AMOUNT_MAX, Done, Scene, check_reason, kept, once
from domain.adjustments import adjust
from domain.money import text
from domain.periods import iso
from domain.problems import Problem
from domain.top_ups import carried_until
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentCreate:
    tenant: str  #: its key
    balance: str  #: its key
    amount: int  #: micros of the balance's unit; negative takes
    reason: str
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: AdjustmentCreate, *, now: int
) -> Action:
    """Adjust, or give the adjustment that the same key made before."""
    if not 0 < abs(request.amount) <= AMOUNT_MAX:
        raise Problem("INVALID", "amount is not 0, and at most 100,000,000,000", "amount")
    check_reason(request.reason)

    async def act(scene: Scene) -> Done:
        balance_id = scene.balance(request.balance)
        await scene.lots(now)
        left = scene.left(balance_id)
        carry, ends_at = scene.terms.balances[balance_id].carry, None
        if request.amount > 0:
            ends_at = carried_until(scene.terms, carry, now)
        moves, changes = adjust(scene.terms, scene.state, balance_id, request.amount, ends_at, now)
        return Done(
            changes=changes,
            body={
                "balance": request.balance,
                "currency": scene.terms.balances[balance_id].currency,
                "amount": request.amount,
                "reason": request.reason,
                "expires_at": ends_at,
                "moves": kept(moves),
            },
            before={"balance": request.balance, "left": left},
            after={
                "balance": request.balance,
                "left": scene.left(balance_id),
                "adjusted": text(request.amount),
                "currency": scene.terms.balances[balance_id].currency,
                "expiresAt": None if ends_at is None else iso(ends_at),
                "reason": request.reason,
            },
        )

    return await once(door, catalogue, show, ActionKind.ADJUSTMENT, request, act, now=now)
