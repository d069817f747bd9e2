"""Top up a balance: an operator adds a lot by hand, once per idempotency key (BA-4, BA-6, BA-7)."""

from __future__ import annotations

from dataclasses import dataclass

from api.operations.acting import AMOUNT_MAX, TEXT_LENGTH_MAX, Done, Scene, once
from domain.lots import LotSource
from domain.money import text
from domain.periods import iso
from domain.problems import Problem
from domain.top_ups import carried_until, price_of, top_up
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show

SOURCES = {"TOP_UP": LotSource.TOP_UP, "PROMOTION": LotSource.PROMOTION}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpCreate:
    tenant: str  #: its key
    balance: str  #: its key
    amount: int  #: micros of the balance's unit
    source: str = "TOP_UP"  #: or PROMOTION
    as_offered: bool = True  #: what the plan does not sell is refused; a promotion is never sold
    starts_at: int | None = None  #: None: now; an operator may date it back
    expires_at: int | None = None  #: None: by the balance's carry-over policy
    note: str = ""
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: TopUpCreate, *, now: int
) -> Action:
    """Add the lot, or give the top-up that the same key made before."""
    _check(request, now)

    async def act(scene: Scene) -> Done:
        return await _add(scene, request)

    return await once(door, catalogue, show, ActionKind.TOP_UP, request, act, now=now)


async def _add(scene: Scene, request: TopUpCreate) -> Done:
    own, now = scene.terms, scene.now
    balance_id = scene.balance(request.balance)
    balance = own.balances[balance_id]
    source = SOURCES[request.source]
    price = None
    if source is LotSource.TOP_UP and request.as_offered:
        price = price_of(balance, request.amount)
    starts_at = now if request.starts_at is None else request.starts_at
    ends_at = request.expires_at
    if ends_at is None:
        ends_at = carried_until(own, balance.carry, starts_at)
    await scene.lots(starts_at)
    left = scene.left(balance_id)
    lot, changes = top_up(
        own, scene.state, balance_id, request.amount, source, starts_at, ends_at, now
    )
    return Done(
        changes=changes,
        body={
            "lot_id": lot.lot_id,
            "balance": request.balance,
            "currency": balance.currency,
            "amount": request.amount,
            "price": price,
            "price_currency": own.plan.currency,
            "source": request.source,
            "starts_at": starts_at,
            "expires_at": ends_at,
            "note": request.note,
        },
        before={"balance": request.balance, "left": left},
        after={
            "balance": request.balance,
            "left": scene.left(balance_id),
            "added": text(request.amount),
            "currency": balance.currency,
            "price": None if price is None else text(price),
            "source": request.source,
            "startsAt": iso(starts_at),
            "expiresAt": None if ends_at is None else iso(ends_at),
            "note": request.note,
        },
    )


def _check(request: TopUpCreate, now: int) -> None:
    if not 0 < request.amount <= AMOUNT_MAX:
        raise Problem("INVALID", "amount is more than 0 and at most 100,000,000,000", "amount")
    if request.source not in SOURCES:
        raise Problem("INVALID", f"source is one of {', '.join(SOURCES)}", "source")
    if len(request.note) > TEXT_LENGTH_MAX or "\0" in request.note:
        raise Problem("INVALID", f"note has at most {TEXT_LENGTH_MAX} characters", "note")
    if request.starts_at is not None and request.starts_at < 0:
        raise Problem("INVALID", "startsAt is 1970 or later", "startsAt")
    starts_at = now if request.starts_at is None else request.starts_at
    if request.expires_at is not None and request.expires_at <= starts_at:
        raise Problem("INVALID", "expiresAt is after startsAt", "expiresAt")
