"""Watch a balance for thresholds of the tenant's own, once per idempotency key (AL-1, AL-4)."""

from __future__ import annotations

from dataclasses import dataclass

from api.operations.acting import Done, Scene, once
from api.operations.checks import find_tenant
from api.rights import Principal
from domain.documents import Fault, nearest
from domain.thresholds import (
    RUNNING_OUT_DAYS,
    ThresholdsError,
    check_days,
    days_of,
    edit,
    percent,
    read_own,
    units,
    watched,
    with_days,
    written,
)
from domain.watch import Threshold
from persistence import terms, thresholds
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show

SCOPE = "billing:write"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdSet:
    tenant: str  #: its key
    balance: str  #: its key
    percents: tuple[int, ...]  #: micros
    units: tuple[int, ...]  #: micros; both empty: what every balance is watched for
    running_out_days: int | None = None  #: whole ones; None: as of every balance, 0: never
    idempotency_key: str


async def run(
    door: Door,
    catalogue: Catalogue,
    show: Show,
    principal: Principal,
    request: ThresholdSet,
    *,
    now: int,
) -> Action:
    """Replace the list of one balance, or give what the same key set before.

    ThresholdsError has every problem of what was asked.
    """
    principal.require(SCOPE)
    await find_tenant(door, principal, request.tenant)

    async def act(scene: Scene) -> Done:
        return await _set(scene, catalogue, request)

    return await once(door, catalogue, show, ActionKind.THRESHOLD_SET, request, act, now=now)


async def _set(scene: Scene, catalogue: Catalogue, request: ThresholdSet) -> Done:
    terms_before, tenant_id = scene.terms, scene.terms.tenant_id
    own, balance_id = _checked(scene, request)
    await thresholds.set_own(scene.connection, tenant_id, request.balance, own)
    (after,) = await terms.by_ids(scene.connection, catalogue, [tenant_id])
    await scene.lots(scene.now)
    changes = edit(terms_before, after, scene.state, balance_id, scene.now)
    before = terms_before.thresholds.get(balance_id, watched(None))
    days_before = terms_before.running_out.get(balance_id)
    return Done(
        changes=changes,
        body={
            "balance": request.balance,
            "thresholds": None if own is None else written(own),
        },
        before={"balance": request.balance, **_told(before, days_before)},
        after={"balance": request.balance, **_told(watched(own), days_of(own))},
    )


def _checked(scene: Scene, request: ThresholdSet) -> tuple[tuple[Threshold, ...] | None, int]:
    """What was asked for, or everything that is wrong with it."""
    known, problems = scene.terms.balance_ids, list[Fault]()
    if request.balance not in known:
        wrong = "the tenant has no such balance"
        problems.append(Fault("balance", wrong, nearest(request.balance, known)))
    try:
        own = read_own(request.percents, request.units)
    except ThresholdsError as error:
        problems += error.problems
    problems += check_days(request.running_out_days)
    if problems:
        raise ThresholdsError("thresholds", problems)
    return with_days(own, request.running_out_days), known[request.balance]


def _told(thresholds: tuple[Threshold, ...], days: int | None) -> dict[str, list[str] | int]:
    """Thresholds in the words of the audit."""
    return {
        "percents": [told for each in thresholds if (told := percent(each)) is not None],
        "units": [told for each in thresholds if (told := units(each)) is not None],
        "runningOutDays": RUNNING_OUT_DAYS if days is None else days,
    }
