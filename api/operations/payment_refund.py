"""Pay back what a tenant's account has too much, once per idempotency key (IN-2).

Owns no transfer: it records that money goes back, of the newest payments first.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.invoicing import account
from api.operations.accounting import check_amount, unmoved
from api.operations.acting import Done, Scene, check_reason, once
from domain.money import text
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefund:
    tenant: str  #: its key
    amount: int  #: micros of the tenant's currency
    reason: str
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: PaymentRefund, *, now: int
) -> Action:
    """Record the refund, or give the one that the same key recorded before."""
    check_reason(request.reason)

    async def act(scene: Scene) -> Done:
        return await _refund(scene, request)

    return await once(door, catalogue, show, ActionKind.PAYMENT_REFUND, request, act, now=now)


async def _refund(scene: Scene, request: PaymentRefund) -> Done:
    currency = scene.terms.currency
    check_amount(request.amount, currency)
    changes = await unmoved(scene)
    refunds = await account.refunded(scene.connection, changes, request.amount, scene.now)
    return Done(
        changes=changes,
        body={
            "amount": request.amount,
            "currency": currency,
            "reason": request.reason,
            "refunds": [[each.payment, each.amount] for each in refunds],
        },
        after={"refunded": text(request.amount), "currency": currency, "reason": request.reason},
    )
