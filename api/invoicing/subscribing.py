"""Subscribing: what all agreements on a subscription have in common, under the tenant's lock.

Owns how allowances follow a subscription in the books, when its end is looked at again, and that a
tenant has one subscription at most that comes with a plan. What is agreed is its operation's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from api.operations.acting import Scene
from api.operations.checks import checked_plan
from domain.changing import book
from domain.documents import nearest
from domain.entitling import Entitled, entitle
from domain.periods import Zone, date_of
from domain.plans import Plan
from domain.problems import Problem
from domain.standing import Standing
from domain.state import Changes
from domain.subscriptions import Subscription, ending, known, last_day
from persistence import standing as stored
from persistence import subscriptions, tasks, terms
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.subscriptions import Kept

#: Days from today on which something may be agreed for: a calendar ends somewhere.
AHEAD_MAX: Final = 3_660
#: Days before today: whoever comes late is asked for that much at once.
BACK_MAX: Final = 366

NOTHING: Final = Entitled((), {})


def check_day(day: int, today: int, field: str) -> int:
    """A day that something may be agreed for."""
    if not -BACK_MAX <= day - today <= AHEAD_MAX:
        first, last = date_of(today - BACK_MAX), date_of(today + AHEAD_MAX)
        raise Problem("INVALID", f"{date_of(day)} is not from {first} to {last}", field)
    return day


async def found(scene: Scene, key: str) -> Kept:
    """The subscription of a key."""
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    kept = await subscriptions.find(connection, tenant_id, key)
    if kept is None:
        there = [each.subscription.key for each in await subscriptions.of_tenant(
            connection, tenant_id
        )]  # fmt: skip
        right = nearest(key, there) if there else "it has none"
        message = f"the tenant has no subscription {key[:64]!r}: {right}"
        raise Problem("NOT_FOUND", message, "subscription")
    return kept


def plan_of(
    scene: Scene, catalogue: Catalogue, key: str, subscription: Subscription, others: list[Kept]
) -> Plan:
    """The plan that a subscription is to come with, or why it cannot."""
    plan, currency = checked_plan(catalogue, key), scene.terms.currency
    if plan.currency != currency:
        message = f"the plan {plan.key} is in {plan.currency}, the tenant in {currency}: choose a "
        raise Problem("CURRENCY_MISMATCH", message + "plan in that", "plan")
    first = max(subscription.start, scene.terms.zone.date(scene.now))
    for kept in others:
        other = kept.subscription
        if kept.plan is not None and other.key != subscription.key:
            last = last_day(other, known(other, None))
            if last is None or last >= first:
                message = (
                    f"its subscription {other.key} comes with the plan {kept.plan}: switch that, "
                    "or leave the plan out here"
                )
                raise Problem("HAS_PLAN", message, "plan")
    return plan


async def entitled(
    scene: Scene, catalogue: Catalogue, decided: Entitled
) -> tuple[Changes, dict[str, Any]]:
    """Have the tenant's allowances follow; gives what changed, and what the log keeps of it.

    Also where nothing was decided of them: the tenant's terms are read again.
    """
    own, connection = scene.terms, scene.connection
    plans = [
        stored.plan_from(each.since, each.plan.key, grants=each.grants) for each in decided.holdings
    ]
    balances = {
        balance.key: balance
        for each in decided.holdings
        for balance in each.plan.balances
        if balance.key not in own.balance_ids
    }
    await stored.add_balances(connection, own.tenant_id, list(balances.values()))
    for change in plans:
        await stored.agree(connection, own.tenant_id, change)
    (after,) = await terms.by_ids(connection, catalogue, [own.tenant_id])
    await scene.lots(scene.now)
    before = replace(own, balance_ids=after.balance_ids)
    changes = book(before, after, scene.state, decided.targets, scene.now)
    return changes, {"plans": plans, "targets": decided.targets}


async def still_ends(scene: Scene, standing: Standing) -> list[dict[str, Any]]:
    """Have another plan granted no longer than the subscription that plans come with serves.

    What was to come of it was dropped with the change of plan; gives what was decided anew.
    """
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    today = scene.terms.zone.date(scene.now)
    plans: list[dict[str, Any]] = []
    for kept in await subscriptions.of_tenant(connection, tenant_id):
        last = last_day(kept.subscription, known(kept.subscription, None))
        if kept.plan is None or (last is not None and last < today):
            continue
        for each in entitle(standing, kept.subscription, scene.now).holdings:
            plans.append(stored.plan_from(each.since, each.plan.key, grants=each.grants))
            await stored.agree(connection, tenant_id, plans[-1])
            standing = standing.change(each)
    return plans


async def see_to_ending(connection: Connection, kept: Kept, zone: Zone) -> None:
    """Have the end of a subscription looked at on the day on which its coming is to be said."""
    coming = ending(kept.subscription)
    if coming is not None and coming.last_day != kept.said_for:
        at, _ = zone.day_bounds(coming.say_on)
        await tasks.add(connection, kept.tenant_id, tasks.ENDING, kept.subscription.key, at)
