"""Subscribe a tenant to fees, with a plan's allowances or without, once per idempotency key (IN-1).

Owns how what was asked becomes a document, whose problems all come at once, and what begins with a
subscription: its invoices, the closing of periods, and the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.invoicing.scheduling import schedule
from api.invoicing.subscribing import (
    NOTHING,
    check_day,
    entitled,
    plan_of,
    see_to_ending,
)
from api.operations.acting import Done, Scene, once
from domain.documents import KEY, DocumentError, Fault
from domain.entitling import entitle
from domain.fees import Fees, FeesError, parse_fees
from domain.money import text
from domain.periods import date_of
from domain.problems import Problem
from domain.subscriptions import Subscription, month_of, parse_subscription
from persistence import subscriptions, tasks
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show
from persistence.subscriptions import written_first

#: What a tenant has at most, and components or set-up fees of one subscription.
SUBSCRIPTIONS_MAX: Final = 100
PARTS_MAX: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFees:
    """Fees as they were asked for; prices and quantities are decimals in words."""

    name: str
    components: Sequence[Mapping[str, str]]  #: key, name, unit, price, and quantity
    setup: Sequence[Mapping[str, str]] = ()  #: key, name, price


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionCreate:
    tenant: str  #: its key
    key: str = "main"
    plan: str | None = None  #: whose allowances come with it; None: no plan's
    fees: AskedFees
    start: int | None = None  #: local day; None: today
    months: int | None = None  #: of a commitment; None: from month to month
    renews: bool = True
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: SubscriptionCreate, *, now: int
) -> Action:
    """Subscribe the tenant, or give what the same key did before.

    DocumentError has every problem of what was asked.
    """

    async def act(scene: Scene) -> Done:
        return await _create(scene, catalogue, request)

    return await once(door, catalogue, show, ActionKind.SUBSCRIPTION_CREATE, request, act, now=now)


async def _create(scene: Scene, catalogue: Catalogue, request: SubscriptionCreate) -> Done:
    own, connection = scene.terms, scene.connection
    today = own.zone.date(scene.now)
    subscription = _read(request, own.currency, today)
    check_day(subscription.start, today, "start")
    there = await subscriptions.of_tenant(connection, own.tenant_id)
    if any(each.subscription.key == subscription.key for each in there):
        message = f"the tenant has a subscription {subscription.key}: use another key"
        raise Problem("ALREADY_EXISTS", message, "key")
    if len(there) >= SUBSCRIPTIONS_MAX:
        raise Problem("TOO_MANY", f"a tenant has {SUBSCRIPTIONS_MAX} at most", None)
    decided = NOTHING
    if request.plan is not None:
        to = plan_of(scene, catalogue, request.plan, subscription, there)
        decided = entitle(own.standing, subscription, scene.now, to=to)
    kept = await subscriptions.insert(
        connection, own.tenant_id, subscription, plan=request.plan, at=scene.now
    )
    await subscriptions.begin_invoicing(connection, own.tenant_id)
    changes, body = await entitled(scene, catalogue, decided)
    await _begin(scene, subscription)
    await see_to_ending(connection, kept, own.zone)
    return Done(
        changes=changes,
        body={"subscription": written_first(subscription, request.plan), **body},
        about=(f"sub/{kept.subscription_id}",),
        after={
            "subscription": subscription.key,
            "plan": request.plan,
            "fees": told(subscription.fees),
            "start": str(date_of(subscription.start)),
            "months": subscription.term.months or None,
        },
    )


async def _begin(scene: Scene, subscription: Subscription) -> None:
    """Have it invoiced from its first day on, and the periods closed that it is served in."""
    own, connection = scene.terms, scene.connection
    first, _ = own.zone.day_bounds(subscription.start)
    await tasks.add(connection, own.tenant_id, tasks.INVOICE, f"start/{subscription.key}", first)
    await schedule(connection, own, month_of(subscription.start), scene.now)


def _read(request: SubscriptionCreate, currency: str, today: int) -> Subscription:
    problems: list[Fault] = []
    # A name that does not fit is told of where it is the subscription's own, or the plan's.
    named = request.plan or request.key
    plan = named if KEY.fullmatch(named) else "main"
    fees = Fees(plan=plan, name="-", currency=currency, components=())
    try:
        fees = read_fees(request.fees, plan, currency)
    except DocumentError as error:
        problems += error.problems
    start = today if request.start is None else request.start
    document: dict[str, Any] = {
        "subscription": request.key, "fees": plan, "start": str(date_of(start)), "term": "monthly",
    }  # fmt: skip
    if request.months is not None:
        document["term"] = {"months": request.months, "renews": request.renews}
    try:
        subscription = parse_subscription(document, {plan: fees})
    except DocumentError as error:
        problems += [_named(each, {"subscription": "key"}) for each in error.problems]
    if problems:
        raise DocumentError("subscription", problems)
    return subscription


def read_fees(asked: AskedFees, plan: str, currency: str) -> Fees:
    """The fees that were asked for, or DocumentError with every problem by its field."""
    document: dict[str, Any] = {"fees": plan, "name": asked.name, "currency": currency}
    for field, key, parts in (
        ("components", "component", asked.components), ("setup", "fee", asked.setup),
    ):  # fmt: skip
        if len(parts) > PARTS_MAX:
            problem = Fault(field, f"{len(parts)} are too many", f"write {PARTS_MAX} at most")
            raise DocumentError("fees", [problem])
        if parts:
            document[field] = [
                {key if name == "key" else name: value for name, value in part.items()}
                for part in parts
            ]
    try:
        return parse_fees(document)
    except FeesError as error:
        names = {"component": "key", "fee": "key"}
        raise DocumentError("fees", [_named(each, names) for each in error.problems]) from None


def _named(fault: Fault, names: Mapping[str, str]) -> Fault:
    """A fault of a document as one of what was asked."""
    if fault.path == "the document":
        return Fault("", "it asks for nothing", "give it a component or a set-up fee")
    head, dot, last = fault.path.rpartition(".")
    return Fault(head + dot + names.get(last, last), fault.wrong, fault.right)


def told(fees: Fees) -> dict[str, Any]:
    """Fees as the audit tells them."""
    return {
        "name": fees.name,
        "components": {
            each.key: f"{text(each.quantity)} x {text(each.price)}" for each in fees.components
        },
        "setup": {each.key: text(each.price) for each in fees.setup},
    }
