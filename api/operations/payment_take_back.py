"""Record that a payment was taken back by whoever made it, once per idempotency key (IN-2)."""

from __future__ import annotations

from dataclasses import dataclass

from api import ids
from api.invoicing import account
from api.operations.accounting import PAYMENT, unmoved
from api.operations.acting import Done, Scene, check_reason, once
from domain.money import text
from domain.problems import Problem
from persistence import account_payments
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTakeBack:
    tenant: str  #: its key
    payment: str  #: its id
    reason: str
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: PaymentTakeBack, *, now: int
) -> Action:
    """Record it, or give what the same key recorded before."""
    check_reason(request.reason)

    async def act(scene: Scene) -> Done:
        return await _take_back(scene, request)

    return await once(door, catalogue, show, ActionKind.PAYMENT_TAKE_BACK, request, act, now=now)


async def _take_back(scene: Scene, request: PaymentTakeBack) -> Done:
    connection, currency = scene.connection, scene.terms.currency
    number = ids.decode(PAYMENT, request.payment)
    key = None
    if number is not None:
        key = await account_payments.key_of(connection, scene.terms.tenant_id, number)
    if key is None:
        message = "there is no such payment on the tenant's account"
        raise Problem("NOT_FOUND", message, "payment")
    changes = await unmoved(scene)
    gone = await account.taken_back(connection, changes, key, scene.now)
    if not gone:
        message = "nothing is left of this payment: it was taken back, or refunded wholly"
        raise Problem("NOTHING_LEFT", message, "payment")
    return Done(
        changes=changes,
        body={"payment": key, "amount": gone, "currency": currency, "reason": request.reason},
        about=(f"pay/{number}",),
        after={"takenBack": text(gone), "currency": currency, "reason": request.reason},
    )
