"""Change a person: name, address, role, and whether he is let in at all."""

from __future__ import annotations

from dataclasses import dataclass

from api.limits import NAME_LENGTH_MAX
from api.operations.checks import checked_text
from api.operations.people import SCOPE, check_reach, check_role, checked_email, find_person
from api.rights import OF_ROLE, Principal, Role
from api.tokens import Tokens, scopes_of
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


async def run(
    door: Door, tokens: Tokens | None, principal: Principal, request: UserUpdate, *, now: int
) -> UserRecord:
    """The person as changed; other processes know within seconds, this one at once."""
    principal.require(SCOPE)
    user = await find_person(door, principal, request.id, "id")
    check_reach(principal, Role(user.role), scopes_of(user), "id")
    if request.role is not None:
        check_role(request.role, of_tenant=user.tenant_id is not None)
        check_reach(principal, request.role, OF_ROLE[request.role], "role")
    name, address = request.name, request.email
    changed = await update_user(
        door,
        user,
        name=None if name is None else checked_text(name, "name", NAME_LENGTH_MAX),
        email=None if address is None else checked_email(address),
        role=request.role,
        active=request.active,
        # Nobody of the tenant locks it out of itself; an operator may have a reason to.
        keep_super_admin=not principal.is_operator,
        now=now,
    )
    if tokens is not None:
        tokens.forget(changed)
    return changed
