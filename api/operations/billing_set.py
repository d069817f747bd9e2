"""Set what a tenant says of itself for its invoices, and whether it has some, once per key (IN-4).

What a tenant writes itself is replaced as a whole; of what is agreed with it, which operators write
alone, what is left out stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api.invoicing.scheduling import schedule
from api.operations.acting import Done, Scene, once
from api.operations.checks import camel_of, find_tenant
from api.rights import Principal
from domain.billing_profiles import OF_OPERATORS, Profile, ProfileError, parse_profile, written
from domain.changing import book
from domain.problems import Problem
from persistence import billing, terms
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show
from persistence.tenants import TenantRecord

SCOPE: Final = "billing:write"
INVOICING: Final = "invoicing"


class BillingError(Exception):
    """A profile that was refused, with every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(each.message for each in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingSet:
    tenant: str  #: its key
    #: What it says of itself, spelt as in its document; what is not there it does not say.
    party: Mapping[str, Any]
    #: What is agreed with it, and `invoicing`: of these what is not there stays; None: the default.
    agreed: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str


async def run(
    door: Door,
    catalogue: Catalogue,
    show: Show,
    principal: Principal,
    request: BillingSet,
    *,
    now: int,
) -> Action:
    """Set it, or give what the same key set before.

    BillingError has every problem of what was asked.
    """
    principal.require(SCOPE)
    tenant = await find_tenant(door, principal, request.tenant)
    if request.agreed and not principal.is_operator:
        raise BillingError([_of_operators(name) for name in request.agreed])

    async def act(scene: Scene) -> Done:
        return await _set(scene, catalogue, tenant, request)

    return await once(door, catalogue, show, ActionKind.BILLING_SET, request, act, now=now)


async def _set(
    scene: Scene, catalogue: Catalogue, tenant: TenantRecord, request: BillingSet
) -> Done:
    own, connection = scene.terms, scene.connection
    before, invoiced = await billing.said(connection, own.tenant_id)
    after = _checked(catalogue, tenant, before, request)
    wanted = request.agreed.get(INVOICING)
    invoicing = invoiced if wanted is None else bool(wanted)
    await billing.set_profile(connection, own.tenant_id, after)
    await billing.set_invoicing(connection, own.tenant_id, invoicing)
    if wanted:
        # Said once more it is scheduled once more, which changes nothing unless it was not.
        await schedule(connection, own, own.zone.month(scene.now), scene.now)
    (later,) = await terms.by_ids(connection, catalogue, [own.tenant_id])
    await scene.lots(scene.now)
    return Done(
        changes=book(own, later.at(scene.now), scene.state, {}, scene.now),
        body={"profile": written(after), INVOICING: invoicing},
        before=_told(before, invoiced),
        after=_told(after, invoicing),
    )


def _checked(
    catalogue: Catalogue, tenant: TenantRecord, before: Profile, request: BillingSet
) -> Profile:
    """What was asked for, or everything that is wrong with it."""
    stays = {name: value for name, value in written(before).items() if name in OF_OPERATORS}
    asked = {**stays, **request.party, **request.agreed}
    asked.pop(INVOICING, None)
    document = {name: value for name, value in asked.items() if value is not None}
    # What was agreed before is not asked for anew, whatever is published by now.
    issuers = list(catalogue.issuers) if "issuer" in request.agreed else None
    try:
        return parse_profile(document, issuers=issuers, country=tenant.country)
    except ProfileError as error:
        raise BillingError(
            [
                Problem("INVALID", f"{each.wrong}; {each.right}", camel_of(each.path))
                for each in error.problems
            ]
        ) from None


def _of_operators(name: str) -> Problem:
    message = "is agreed with whoever invoices you: ask them, and leave it out here"
    return Problem("OPERATORS_ONLY", message, camel_of(name))


def _told(profile: Profile, invoicing: bool) -> dict[str, Any]:
    """What is said, in the words of the audit."""
    told = {camel_of(name): value for name, value in written(profile).items()}
    return {**told, INVOICING: invoicing}
