"""Change a person: name, address, role, and whether he is let in at all."""

from __future__ import annotations

from dataclasses import dataclass

from api.limits import DIMENSION_LENGTH_MAX, NAME_LENGTH_MAX
from api.operations.checks import checked_text
from api.operations.people import (
    SCOPE,
    check_of_tenant,
    check_reach,
    check_role,
    checked_channels,
    checked_email,
    find_person,
)
from api.rights import OF_ROLE, Principal, Role
from api.tokens import Tokens, scopes_of
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.people import UserRecord, update_user


@dataclass(frozen=True, slots=True, kw_only=True)
class UserUpdate:
    """What is asked for; None leaves what there is."""

    id: str
    name: str | None = None
    email: str | None = None
    role: Role | None = None
    active: bool | None = None
    external_id: str | None = None
    channels: tuple[str, ...] | None = None


async def run(
    door: Door,
    catalogue: Catalogue,
    tokens: Tokens | None,
    principal: Principal,
    request: UserUpdate,
    *,
    now: int,
) -> UserRecord:
    """The person as changed; other processes know within seconds, this one at once.

    Who becomes an agent or supervisor, or active as one, takes a seat: `NO_SEATS` without one
    (US-1). Nobody is asked for the seat he has.
    """
    principal.require(SCOPE)
    user = await find_person(door, principal, request.id, "id")
    check_reach(principal, Role(user.role), scopes_of(user), "id")
    if request.role is not None:
        check_role(request.role, of_tenant=user.tenant_id is not None)
        check_reach(principal, request.role, OF_ROLE[request.role], "role")
    name, address, of_facts = request.name, request.email, request.external_id
    check_of_tenant(user.tenant_id, of_facts, request.channels or ())
    changed = await update_user(
        door,
        user,
        name=None if name is None else checked_text(name, "name", NAME_LENGTH_MAX),
        email=None if address is None else checked_email(address),
        role=request.role,
        active=request.active,
        external_id=None
        if of_facts is None
        else checked_text(of_facts, "externalId", DIMENSION_LENGTH_MAX),
        channels=None if request.channels is None else checked_channels(request.channels),
        catalogue=catalogue,
        # Nobody of the tenant locks it out of itself; an operator may have a reason to.
        keep_super_admin=not principal.is_operator,
        now=now,
    )
    if tokens is not None:
        tokens.forget(changed)
    return changed
