"""Put a tenant on another plan, or end its subscription, once per idempotency key (BA-12)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api.invoicing.subscribing import still_ends
from api.operations.acting import Done, Scene, once
from api.operations.checks import checked_plan
from domain.changing import book, change_plan
from domain.money import text
from domain.periods import iso
from domain.problems import Problem
from persistence import standing as stored
from persistence import terms
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChange:
    tenant: str  #: its key
    plan: str | None  #: its key; None ends the subscription
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: PlanChange, *, now: int
) -> Action:
    """Change the plan, or give the change that the same key made before."""

    async def act(scene: Scene) -> Done:
        return await _change(scene, catalogue, request)

    return await once(door, catalogue, show, ActionKind.PLAN_CHANGE, request, act, now=now)


async def _change(scene: Scene, catalogue: Catalogue, request: PlanChange) -> Done:
    own = scene.terms
    to = None if request.plan is None else checked_plan(catalogue, request.plan)
    if to is not None and to.currency != own.currency:
        raise Problem(
            "CURRENCY_MISMATCH",
            f"the plan {to.key} is in {to.currency}, the tenant in {own.currency}: choose a plan "
            "in that",
            "plan",
        )
    decided = change_plan(own.standing, to, scene.now)
    holding = decided.standing.holding(decided.since)
    change = stored.plan_from(decided.since, holding.plan.key, grants=holding.grants)
    new = [balance for balance in holding.plan.balances if balance.key not in own.balance_ids]
    await stored.add_balances(scene.connection, own.tenant_id, new)
    await stored.agree(scene.connection, own.tenant_id, change)
    plans = [] if to is None else await still_ends(scene, decided.standing)
    (after,) = await terms.by_ids(scene.connection, catalogue, [own.tenant_id])
    await scene.lots(scene.now)
    before = replace(own, balance_ids=after.balance_ids)
    changes = book(before, after, scene.state, decided.targets, scene.now)
    body = {**change, "currency": own.currency, "targets": decided.targets, "plans": plans}
    return Done(
        changes=changes,
        body=body,
        before={"plan": own.standing.holding(scene.now).plan.key},
        after={
            "plan": request.plan,
            "from": iso(decided.since),
            "thisPeriod": {key: text(amount) for key, amount in decided.targets.items()},
        },
    )
