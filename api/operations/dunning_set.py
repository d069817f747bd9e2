"""Set what happens with a tenant's unpaid invoices, once per idempotency key.

What holds is brought to the new steps in the same commit: a block that they do not have is lifted
at once, and steps whose day has passed are done as soon as somebody looks, which is right away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.operations.acting import Done, Scene, once
from domain.changing import book
from domain.documents import Fault
from domain.dunning import DunningError, Policy, parse_dunning, written
from persistence import dunning, terms
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show


@dataclass(frozen=True, slots=True, kw_only=True)
class DunningSet:
    tenant: str  #: its key
    #: Spelt as `domain.dunning` writes them; None: as everybody's, empty: nothing happens.
    steps: Sequence[Mapping[str, Any]] | None
    idempotency_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDunning:
    """What became of it: the action, or every fault of what was asked."""

    action: Action | None
    problems: Sequence[Fault] = ()


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: DunningSet, *, now: int
) -> SetDunning:
    """Set the steps, or give what the same key set before."""
    policy: Policy | None = None
    if request.steps is not None:
        try:
            policy = parse_dunning({"steps": list(request.steps)})
        except DunningError as error:
            return SetDunning(action=None, problems=error.problems)

    async def act(scene: Scene) -> Done:
        connection, tenant_id = scene.connection, scene.terms.tenant_id
        before = await dunning.of_locked(connection, tenant_id)
        await set_policy(scene, policy)
        (after,) = await terms.by_ids(connection, catalogue, [tenant_id])
        await scene.lots(scene.now)
        return Done(
            changes=book(scene.terms, after, scene.state, {}, scene.now),
            body={"dunning": None if policy is None else written(policy)},
            before=written(before.policy) if before.own else {"steps": None},
            after={"steps": None} if policy is None else written(policy),
        )

    action = await once(door, catalogue, show, ActionKind.DUNNING_SET, request, act, now=now)
    return SetDunning(action=action)


async def set_policy(scene: Scene, policy: Policy | None) -> None:
    """Keep a policy, bring what holds to it, and have the invoices looked at."""
    connection, tenant_id = scene.connection, scene.terms.tenant_id
    await dunning.set_policy(connection, tenant_id, policy)
    await dunning.lift(connection, tenant_id, scene.now)
    await dunning.hurry(connection, tenant_id, scene.now)
