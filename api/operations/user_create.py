"""Create a person: one of a tenant's people, or of the operator's."""

from __future__ import annotations

from dataclasses import dataclass

from api.faults import Fault
from api.limits import DIMENSION_LENGTH_MAX, NAME_LENGTH_MAX, SUBJECT_LENGTH_MAX
from api.operations.checks import checked_text, find_tenant
from api.operations.people import (
    SCOPE,
    check_of_tenant,
    check_reach,
    check_role,
    checked_channels,
    checked_email,
)
from api.rights import OF_ROLE, Principal, Role
from domain.problems import Problem
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.people import UserRecord, create_user


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCreate:
    """What is asked for."""

    tenant: str | None  #: its key; None: one of the operator's people
    name: str
    email: str
    role: Role
    subject: str | None = None  #: how tokens of the configured issuer name the person
    external_id: str | None = None  #: how facts do; None: by the address
    channels: tuple[str, ...] = ()  #: that the person works on; (): all


async def run(
    door: Door,
    catalogue: Catalogue,
    issuer: str | None,
    principal: Principal,
    request: UserCreate,
    *,
    now: int,
) -> UserRecord:
    """The new person, without any grant; `issuer` is the configured one, None without one.

    An agent or supervisor takes a seat of the tenant's plan: `NO_SEATS` without one (US-1).
    """
    principal.require(SCOPE)
    if request.tenant is None and not principal.is_operator:
        raise Fault("FORBIDDEN", "only an operator creates the operator's people: name your tenant")
    tenant = None if request.tenant is None else await find_tenant(door, principal, request.tenant)
    check_role(request.role, of_tenant=tenant is not None)
    check_reach(principal, request.role, OF_ROLE[request.role], "role")
    subject = checked_subject(principal, issuer, request.subject)
    of_facts = request.external_id
    check_of_tenant(None if tenant is None else tenant.tenant_id, of_facts, request.channels)
    return await create_user(
        door,
        None if tenant is None else tenant.tenant_id,
        issuer=None if subject is None else issuer,
        subject=subject,
        name=checked_text(request.name, "name", NAME_LENGTH_MAX),
        email=checked_email(request.email),
        role=request.role,
        external_id=None
        if of_facts is None
        else checked_text(of_facts, "externalId", DIMENSION_LENGTH_MAX),
        channels=checked_channels(request.channels),
        catalogue=catalogue,
        now=now,
    )


def checked_subject(principal: Principal, issuer: str | None, subject: str | None) -> str | None:
    """How tokens name the person; an operator says so, for one issuer speaks of all tenants."""
    if subject is None:
        return None
    if not principal.is_operator:
        raise Fault("FORBIDDEN", "only an operator says how an issuer's tokens name somebody")
    if issuer is None:
        raise Problem(
            "NO_ISSUER",
            "KUOTA_JWT_ISSUER is not set: leave `subject` out, and hand out a sign-in link",
            "subject",
        )
    return checked_text(subject, "subject", SUBJECT_LENGTH_MAX)
