"""Refund a charge or a top-up, or take away a top-up whose payment was taken back (BA-8).

Owns which of them is asked for and who may have it. What it does to lots is `domain.refunds`'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api import ids
from api.invoicing import top_ups
from api.operations.acting import AMOUNT_MAX, Done, Scene, check_reason, kept, once
from domain.lots import Lot, LotSource
from domain.money import text
from domain.problems import Problem
from domain.refunds import Refunded, refund_charge, refund_top_up, take_back
from persistence import actions, charges
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.charges import Cursor
from persistence.door import Door
from persistence.show import Show

#: Kept of a refund that gives back no invoice.
NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundCreate:
    tenant: str  #: its key
    charge: str | None = None  #: its id; this or `top_up`
    top_up: str | None = None
    amount: int | None = None  #: micros; None: all that is left
    taken_back: bool = False  #: the payment of the top-up was: its whole lot goes
    reason: str
    idempotency_key: str


async def run(
    door: Door,
    catalogue: Catalogue,
    show: Show,
    request: RefundCreate,
    *,
    now: int | Callable[[], int],
    ours: bool = False,
) -> Action:
    """Refund, or give the refund that the same key made before; as `once` has `now` and `ours`."""
    _check(request)
    act = _charge if request.top_up is None else _top_up

    async def done(scene: Scene) -> Done:
        return await act(scene, catalogue, request)

    return await once(door, catalogue, show, ActionKind.REFUND, request, done, now=now, ours=ours)


async def _charge(scene: Scene, catalogue: Catalogue, request: RefundCreate) -> Done:
    """Back to the lots that paid, leg by leg."""
    terms, tenant_id = scene.terms, scene.terms.tenant_id
    place = ids.decode_charge(request.charge or "")
    found = None
    if place is not None:
        found = await charges.find(scene.connection, tenant_id, Cursor(*place))
    if place is None or found is None:
        raise Problem("NOT_FOUND", "the tenant has no such charge", "charge")
    if found.reversed:
        message = "settling took this charge back and made another: refund its next revision"
        raise Problem("REVERSED", message, "charge")
    if not found.amount:
        raise Problem("NOTHING_LEFT", "this charge cost nothing", "charge")
    at, key, part, _, _ = place
    subject = actions.of_charge(at, key, part)
    before = await actions.about(scene.connection, tenant_id, subject)
    await scene.lots(at)
    lots = scene.state.lots.get(found.balance_id, [])
    left = scene.left(found.balance_id)
    overdrafts = {lot.lot_id for lot in lots if lot.source is LotSource.OVERDRAFT}
    refunded = refund_charge(
        terms, scene.state, found.balance_id, found.legs,
        before=sum(action.body["amount"] for action in before), amount=request.amount,
        paid_off=await actions.paid_off(
            scene.connection, tenant_id, found.balance_id,
            overdrafts & {lot_id for lot_id, _ in found.legs},
        ),
        now=scene.now,
    )  # fmt: skip
    return _done(scene, request, found.balance_id, refunded, subject, left)


async def _top_up(scene: Scene, catalogue: Catalogue, request: RefundCreate) -> Done:
    """What is left of its lot, or all of it where the payment was taken back, with its invoice."""
    number = ids.decode("top", request.top_up or "")
    found = None
    if number is not None:
        found = await actions.top_up(scene.connection, scene.terms.tenant_id, number)
    if number is None or found is None:
        raise Problem("NOT_FOUND", "the tenant has no such top-up", "topUp")
    if found.body["source"] != LotSource.TOP_UP.name:
        raise Problem("NOT_MONEY", "this was given, not bought: it never becomes money", "topUp")
    subject = actions.of_top_up(number)
    before = await actions.about(scene.connection, scene.terms.tenant_id, subject)
    if any(action.body["taken_back"] for action in before):
        raise Problem("NOTHING_LEFT", "the payment of this top-up was taken back", "topUp")
    balance_id = scene.balance(found.body["balance"])
    expires_at = found.body["expires_at"]
    # A lot that has ended is there when what happened before its end is asked for.
    await scene.lots(scene.now if expires_at is None else expires_at - 1)
    lot = _lot(scene, balance_id, found.body["lot_id"])
    left = scene.left(balance_id)
    if request.taken_back:
        returned = sum(action.body["amount"] for action in before)
        refunded = take_back(scene.terms, scene.state, lot, returned, scene.now)
    else:
        refunded = refund_top_up(scene.terms, scene.state, lot, request.amount, scene.now)
    given_back = NOTHING
    if request.taken_back and (invoice := found.body.get("invoice")) is not None:
        given_back = await top_ups.take_back(
            scene.connection, catalogue, refunded.changes, invoice, found.body["payment"],
            reason=request.reason, now=scene.now,
        )  # fmt: skip
    return _done(scene, request, balance_id, refunded, subject, left, given_back)


def _lot(scene: Scene, balance_id: int, lot_id: int) -> Lot:
    lots = scene.state.lots[balance_id]
    return next(lot for lot in lots if lot.lot_id == lot_id)


def _done(
    scene: Scene,
    request: RefundCreate,
    balance_id: int,
    refunded: Refunded,
    subject: str,
    left: str,
    given_back: Mapping[str, Any] = NOTHING,
) -> Done:
    balance = scene.terms.balances[balance_id]
    return Done(
        changes=refunded.changes,
        subject=subject,
        body={
            "charge": request.charge,
            "top_up": request.top_up,
            "taken_back": request.taken_back,
            "balance": balance.key,
            "currency": balance.currency,
            "amount": refunded.amount,
            "forfeited": refunded.forfeited,
            "reason": request.reason,
            "moves": kept(refunded.moves),
            **given_back,
        },
        about=(request.charge or request.top_up or "",),
        before={"balance": balance.key, "left": left},
        after={
            "balance": balance.key,
            "left": scene.left(balance_id),
            "refunded": text(refunded.amount),
            "forfeited": text(refunded.forfeited),
            "currency": balance.currency,
            "takenBack": request.taken_back,
            "reason": request.reason,
        },
    )


def _check(request: RefundCreate) -> None:
    if (request.charge is None) == (request.top_up is None):
        raise Problem("INVALID", "name a charge or a top-up, and not both", None)
    if request.taken_back and request.top_up is None:
        raise Problem("INVALID", "only the payment of a top-up is taken back", "takenBack")
    if request.taken_back and request.amount is not None:
        message = "a payment is taken back whole: leave the amount out"
        raise Problem("INVALID", message, "amount")
    if request.amount is not None and not 0 < request.amount <= AMOUNT_MAX:
        raise Problem("INVALID", "amount is more than 0 and at most 100,000,000,000", "amount")
    check_reason(request.reason)
