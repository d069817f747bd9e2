"""Take granted billing access back."""

from __future__ import annotations

from dataclasses import dataclass

from api.operations.billing_access_grant import looked_up_again, names
from api.operations.people import SCOPE, check_reach, find_person
from api.rights import OF_ROLE, BillingRight, Principal, Role
from api.tokens import Tokens
from domain.problems import Problem
from persistence.access import revoke
from persistence.door import Door
from persistence.people import UserRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingAccessRevoke:
    """What is asked for."""

    user: str
    rights: tuple[BillingRight, ...] | None  #: None: all that were granted


async def run(
    door: Door,
    tokens: Tokens | None,
    principal: Principal,
    request: BillingAccessRevoke,
    *,
    now: int,
) -> UserRecord:
    """The person without the rights; what was not granted is not missed."""
    principal.require(SCOPE)
    user = await find_person(door, principal, request.user, "user")
    role = Role(user.role)
    check_reach(principal, role, OF_ROLE[role], "user")
    by_role = {right for right in request.rights or () if right in OF_ROLE[role]}
    if by_role - set(user.granted):
        raise Problem(
            "RIGHT_OF_ROLE",
            f"{names(by_role)}: a {role} may without any grant; give another role instead",
            "rights",
        )
    asked = tuple(BillingRight) if request.rights is None else request.rights
    await revoke(door, user, asked, by=principal.name, now=now)
    return await looked_up_again(door, tokens, user)
