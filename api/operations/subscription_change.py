"""Agree on something else of a subscription, once per idempotency key (IN-1, BA-12).

Owns what each agreement is asked with and what follows from it at once. What may be agreed is
`domain.subscriptions`'s to say, when its fees count `domain.recurring`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.invoicing.subscribing import (
    NOTHING,
    check_day,
    entitled,
    found,
    plan_of,
    see_to_ending,
)
from api.operations.acting import AMOUNT_MAX, Done, Scene, once
from api.operations.subscription_create import AskedFees, read_fees, told
from domain.entitling import Entitled, entitle
from domain.money import text
from domain.periods import date_of
from domain.plans import Plan
from domain.problems import Problem
from domain.subscriptions import (
    Cancel,
    Change,
    Deed,
    Pause,
    Renew,
    Resume,
    SetQuantity,
    SwitchPlan,
    agreed,
    known,
    last_day,
)
from persistence import subscriptions
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show
from persistence.subscriptions import DeedKind, Kept, written_change

#: What the audit calls each: the mutation's name.
NAMES: Final[Mapping[DeedKind, str]] = {
    DeedKind.QUANTITY: "subscriptionQuantitySet",
    DeedKind.PLAN: "subscriptionPlanSwitch",
    DeedKind.PAUSE: "subscriptionPause",
    DeedKind.RESUME: "subscriptionResume",
    DeedKind.CANCEL: "subscriptionCancel",
    DeedKind.RENEW: "subscriptionRenew",
}
#: Of one subscription: each is read whenever it is invoiced.
CHANGES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionChange:
    tenant: str  #: its key
    subscription: str = "main"  #: its key
    kind: DeedKind
    since: int | None = None  #: local day; None: today, or its first one
    component: str = ""  #: whose quantity changes
    quantity: int = 0  #: micros
    fees: AskedFees | None = None  #: of another plan
    plan: str | None = None  #: whose allowances come with it from now on; None: those there are
    last_day: int | None = None  #: None: of the month, or of its commitment
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: SubscriptionChange, *, now: int
) -> Action:
    """Agree, or give what the same key agreed before.

    DocumentError has every problem of other fees.
    """

    async def act(scene: Scene) -> Done:
        return await _change(scene, catalogue, request)

    return await once(door, catalogue, show, ActionKind.SUBSCRIPTION_CHANGE, request, act, now=now)


async def _change(scene: Scene, catalogue: Catalogue, request: SubscriptionChange) -> Done:
    own, connection = scene.terms, scene.connection
    kept = await found(scene, request.subscription)
    today = own.zone.date(scene.now)
    change = Change(
        key=request.idempotency_key,
        day=max(today, kept.subscription.start)
        if request.since is None
        else check_day(request.since, today, "from"),
        agreed_on=today,
        agreed_at=scene.now,
        deed=_deed(request, kept, today),
    )
    try:
        changed = agreed(kept.subscription, change)
    except Problem as problem:
        field = "from" if problem.field == "day" else problem.field
        if field == "from" and request.kind not in (
            DeedKind.QUANTITY, DeedKind.PAUSE, DeedKind.RESUME
        ):  # fmt: skip
            field = None
        raise Problem(problem.code, problem.message, field) from None
    if len(changed.changes) > CHANGES_MAX:
        message = f"a subscription changes {CHANGES_MAX} times at most: agree on a new one"
        raise Problem("TOO_MANY", message, None)
    decided, plan = NOTHING, request.plan or kept.plan
    if plan is not None and request.kind is not DeedKind.QUANTITY:
        to = await _plan(scene, catalogue, request, kept)
        if to is not None or request.kind is not DeedKind.PLAN:
            decided = entitle(own.standing, changed, scene.now, to=to)
    after = await subscriptions.add_change(connection, kept, change, plan=request.plan)
    changes, body = await entitled(scene, catalogue, decided)
    await see_to_ending(connection, after, own.zone)
    return Done(
        changes=changes,
        body={
            "subscription": kept.subscription.key,
            "change": written_change(change, request.plan),
            **body,
        },
        about=(f"sub/{kept.subscription_id}",),
        what=NAMES[request.kind],
        before={"subscription": kept.subscription.key, **_state(kept)},
        after={**_told(change), **_state(after), **_granted(decided)},
    )


def _deed(request: SubscriptionChange, kept: Kept, today: int) -> Deed:
    match request.kind:
        case DeedKind.QUANTITY:
            if abs(request.quantity) > AMOUNT_MAX:
                raise Problem("TOO_MUCH", f"quantity is at most {text(AMOUNT_MAX)}", "quantity")
            return SetQuantity(request.component, request.quantity)
        case DeedKind.PLAN:
            assert request.fees is not None
            before = kept.subscription.fees
            plan = request.plan or kept.plan or before.plan
            return SwitchPlan(read_fees(request.fees, plan, before.currency))
        case DeedKind.PAUSE:
            return Pause()
        case DeedKind.RESUME:
            return Resume()
        case DeedKind.CANCEL:
            if request.last_day is not None:
                check_day(request.last_day, today, "lastDay")
            return Cancel(request.last_day)
        case DeedKind.RENEW:
            return Renew()


async def _plan(
    scene: Scene, catalogue: Catalogue, request: SubscriptionChange, kept: Kept
) -> Plan | None:
    """The plan whose allowances are there at once where they are more than the present ones."""
    if request.plan is not None:
        others = await subscriptions.of_tenant(scene.connection, scene.terms.tenant_id)
        return plan_of(scene, catalogue, request.plan, kept.subscription, others)
    if request.kind is DeedKind.RESUME:
        # What was agreed while it was paused, too.
        return scene.terms.standing.holdings[-1].plan
    return None


def _state(kept: Kept) -> dict[str, Any]:
    """A subscription's end and plan, as the audit tells them."""
    last = last_day(kept.subscription, known(kept.subscription, None))
    return {"plan": kept.plan, "lastDay": None if last is None else str(date_of(last))}


def _told(change: Change) -> dict[str, Any]:
    """A change as the audit tells it."""
    words: dict[str, Any] = {"change": type(change.deed).__name__, "from": str(date_of(change.day))}
    match change.deed:
        case SetQuantity(component, quantity):
            words |= {"component": component, "quantity": text(quantity)}
        case SwitchPlan(fees):
            words["fees"] = told(fees)
        case _:
            pass
    return words


def _granted(decided: Entitled) -> dict[str, Any]:
    if not decided.targets:
        return {}
    return {"thisPeriod": {key: text(amount) for key, amount in decided.targets.items()}}
