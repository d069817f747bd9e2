"""Have a balance refill itself, or no longer, once per idempotency key (RF-1, RF-2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from api.operations.acting import AMOUNT_MAX, Done, Scene, once
from api.operations.checks import find_tenant
from api.rights import Principal
from domain.money import text
from domain.offers import MONEY_MAX, quote
from domain.plans import BalancePlan
from domain.problems import Problem
from domain.refill_policy import RefillPolicy, price_of, refill_amount
from domain.refills import edit
from domain.terms import Terms
from persistence import payment_methods, refills, terms
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.refills import OwnPolicy
from persistence.show import Show
from persistence.tenants import TenantRecord

SCOPE = "billing:write"

#: Of a cap that was not spoken of: it stays as it is.
KEPT: Final = "kept"


class RefillPolicyError(Exception):
    """A policy that was refused, with every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(each.message for each in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefillPolicySet:
    tenant: str  #: its key
    balance: str  #: its key
    enabled: bool
    minimum: int | None = None  #: micros; None: the tenant's own, else the plan's
    amount: int | None = None  #: micros; None: the tenant's own, else the plan's
    day_cap: int | Literal["kept"] | None = KEPT  #: micros of the plan's currency; None: no cap
    month_cap: int | Literal["kept"] | None = KEPT
    idempotency_key: str


async def run(
    door: Door,
    catalogue: Catalogue,
    show: Show,
    principal: Principal,
    request: RefillPolicySet,
    *,
    now: int,
) -> Action:
    """Set the policy of one balance, or give what the same key set before.

    RefillPolicyError has every problem of what was asked.
    """
    principal.require(SCOPE)
    tenant = await find_tenant(door, principal, request.tenant)

    async def act(scene: Scene) -> Done:
        return await _set(scene, catalogue, principal, tenant, request)

    return await once(door, catalogue, show, ActionKind.REFILL_POLICY_SET, request, act, now=now)


async def _set(
    scene: Scene,
    catalogue: Catalogue,
    principal: Principal,
    tenant: TenantRecord,
    request: RefillPolicySet,
) -> Done:
    terms_before, tenant_id, connection = scene.terms, scene.terms.tenant_id, scene.connection
    balance_id = scene.balance(request.balance)
    balance = terms_before.balances[balance_id]
    before = terms_before.refills.get(balance_id)
    policy = wanted(request, balance, before)
    problems = checked(policy, balance, terms_before, scene.now)
    if policy.enabled:
        if not principal.is_operator:
            problems += _not_sold(scene, balance)
        if await payment_methods.find(connection, tenant_id) is None:
            message = "there is nothing to charge: set a payment method first (paymentMethodSet)"
            problems.append(Problem("PAYMENT_METHOD_MISSING", message, "enabled"))
    if problems:
        raise RefillPolicyError(problems)
    await refills.set_own(connection, tenant_id, request.balance, OwnPolicy(policy))
    (after,) = await terms.by_ids(connection, catalogue, [tenant_id])
    await scene.lots(scene.now)
    return Done(
        changes=edit(terms_before, after, scene.state, balance_id, scene.now),
        body={
            "balance": request.balance,
            "policy": list(policy),
            "price": price_of(balance, policy.amount),
            "currency": balance.currency,
            "price_currency": terms_before.plan.currency,
        },
        before=_told(request.balance, before),
        after=_told(request.balance, policy),
    )


def wanted(
    request: RefillPolicySet, balance: BalancePlan, before: RefillPolicy | None
) -> RefillPolicy:
    """The policy that is asked for: what was not said is as it was, else as the plan has it."""
    offer = balance.refill
    minimum, amount = request.minimum, request.amount
    if minimum is None:
        minimum = before.minimum if before else offer.minimum if offer else None
    if amount is None:
        amount = before.amount if before else offer.amount if offer else None
    missing = [
        Problem("MISSING", f"the plan says no {name} for {balance.key}: write one", name)
        for name, value in (("minimum", minimum), ("amount", amount))
        if value is None
    ]
    if minimum is None or amount is None:
        raise RefillPolicyError(missing)
    day, month = request.day_cap, request.month_cap
    if day == KEPT:
        day = before.day_cap if before else None
    if month == KEPT:
        month = before.month_cap if before else None
    return RefillPolicy(request.enabled, minimum, amount, day, month)


def checked(policy: RefillPolicy, balance: BalancePlan, own: Terms, now: int) -> list[Problem]:
    """Everything that is wrong with a policy (BA-6); `own` are the terms in force."""
    problems = list[Problem]()
    # Below it nothing is let through any more, and whoever is refused waits for a refill.
    least = -balance.credit_limit
    if not least <= policy.minimum <= AMOUNT_MAX:
        of_credit = " (the credit limit, below 0)" if least else ""
        message = f"minimum is {text(least)}{of_credit} to {int(text(AMOUNT_MAX)):,}"
        problems.append(Problem("INVALID", message, "minimum"))
    if not 0 < policy.amount <= AMOUNT_MAX:
        message = f"amount is more than 0 and at most {int(text(AMOUNT_MAX)):,}"
        return [*problems, Problem("INVALID", message, "amount")]
    try:
        quote(own.plan, balance, policy.amount, own.tax_country, own.zone.date(now), own.taxes)
    except Problem as problem:
        problems.append(problem)
    else:
        # The most that one refill is at its minimum's sake: several amounts in one charge.
        most = refill_amount(policy, -balance.credit_limit)
        if price_of(balance, most) > MONEY_MAX:
            message = f"minimum is so far above amount that one refill would be {text(most)}"
            problems.append(Problem("TOO_MUCH", message, "amount"))
    price = price_of(balance, policy.amount)
    for name, cap in (("dayCap", policy.day_cap), ("monthCap", policy.month_cap)):
        if cap is not None and not price <= cap <= AMOUNT_MAX:
            message = f"{name} is {text(price)}, which one refill costs before tax, or more"
            if cap > AMOUNT_MAX:
                message = f"{name} is at most {int(text(AMOUNT_MAX)):,}; null: there is none"
            problems.append(Problem("INVALID", message, name))
    return problems


def _not_sold(scene: Scene, balance: BalancePlan) -> list[Problem]:
    """Why a tenant may not have a balance refilled itself (AL-6); none: it may."""
    plan = scene.terms.plan
    whom = f"ask {plan.support}" if plan.support else "ask whoever gave you this account"
    if balance.key not in {each.key for each in plan.balances}:
        message = f"{plan.key} does not sell {balance.key}: {whom}"
        return [Problem("NOT_SOLD", message, "balance")]
    if not plan.self_service:
        message = f"tenants of {plan.key} do not set this themselves: {whom}"
        return [Problem("NOT_SELF_SERVICE", message, "balance")]
    return []


def _told(balance: str, policy: RefillPolicy | None) -> dict[str, str | bool | None]:
    """A policy in the words of the audit."""
    if policy is None:
        return {"balance": balance, "enabled": False}
    day, month = policy.day_cap, policy.month_cap
    return {
        "balance": balance,
        "enabled": policy.enabled,
        "minimum": text(policy.minimum),
        "amount": text(policy.amount),
        "dayCap": None if day is None else text(day),
        "monthCap": None if month is None else text(month),
    }
