"""Give a tenant an allowance of its own, from a day on, once per idempotency key (BA-12)."""

from __future__ import annotations

from dataclasses import dataclass

from api.operations.acting import AMOUNT_MAX, Done, Scene, once
from domain.changing import book, set_allowance
from domain.money import text
from domain.periods import date_of, month_name, period
from domain.problems import Problem
from persistence import standing as stored
from persistence import terms
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show

YEARS = range(1970, 2200)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowanceSet:
    tenant: str  #: its key
    balance: str  #: its key
    amount: int | None  #: micros a period; None: the plan's again
    since: int  #: a local date of the tenant
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: AllowanceSet, *, now: int
) -> Action:
    """Set the allowance, or give what the same key set before."""
    if request.amount is not None and not 0 <= request.amount <= AMOUNT_MAX:
        raise Problem("INVALID", "amount is 0 or more, and at most 100,000,000,000", "amount")
    if date_of(request.since).year not in YEARS:
        raise Problem("INVALID", "since is from 1970 to 2199", "since")

    async def act(scene: Scene) -> Done:
        return await _set(scene, catalogue, request)

    return await once(door, catalogue, show, ActionKind.ALLOWANCE_SET, request, act, now=now)


async def _set(scene: Scene, catalogue: Catalogue, request: AllowanceSet) -> Done:
    own = scene.terms
    balance = own.balances[scene.balance(request.balance)]
    since, _ = own.zone.day_bounds(request.since)
    decided = set_allowance(own.standing, request.balance, request.amount, since, scene.now)
    month = own.zone.month(decided.since)
    change = stored.allowance_from(month, request.balance, request.amount)
    await stored.agree(scene.connection, own.tenant_id, change)
    (after,) = await terms.by_ids(scene.connection, catalogue, [own.tenant_id])
    await scene.lots(scene.now)
    changes = book(own, after, scene.state, decided.targets, scene.now)
    body = {
        **change, "since": decided.since, "currency": balance.currency, "targets": decided.targets
    }  # fmt: skip
    month_now = own.zone.month(scene.now)
    was = own.standing.holding(scene.now)
    before = own.standing.under(was, request.balance, period(own.zone, scene.now))
    return Done(
        changes=changes,
        body=body,
        before={
            "balance": request.balance,
            "period": month_name(month_now),
            "allowance": text(before),
        },
        after={
            "balance": request.balance,
            "from": month_name(month),
            "allowance": None if request.amount is None else text(request.amount),
            "currency": balance.currency,
            "thisPeriod": {key: text(amount) for key, amount in decided.targets.items()},
        },
    )
