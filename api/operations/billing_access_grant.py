"""Grant billing access: what somebody may beyond his role (PE-1)."""

from __future__ import annotations

from dataclasses import dataclass

from api.operations.people import SCOPE, check_reach, find_person
from api.rights import OF_OPERATORS, OF_ROLE, BillingRight, Principal, Role
from api.tokens import Tokens
from domain.problems import Problem
from persistence.access import grant
from persistence.door import Door
from persistence.people import UserRecord, find_user


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingAccessGrant:
    """What is asked for."""

    user: str
    rights: tuple[BillingRight, ...]


async def run(
    door: Door,
    tokens: Tokens | None,
    principal: Principal,
    request: BillingAccessGrant,
    *,
    now: int,
) -> UserRecord:
    """The person with the rights: none that the granter has not, and none twice."""
    principal.require(SCOPE)
    user = await find_person(door, principal, request.user, "user")
    role = Role(user.role)
    check_reach(principal, role, OF_ROLE[role], "user")
    if not request.rights:
        raise Problem(
            "NO_RIGHTS", f"name at least one of {', '.join(r.name for r in BillingRight)}", "rights"
        )
    if role is not Role.OPERATOR and (wrong := names(set(request.rights) & OF_OPERATORS)):
        raise Problem("RIGHT_OF_OPERATORS", f"{wrong}: only the operator's people may", "rights")
    if wider := names({right for right in request.rights if not principal.may(right)}):
        raise Problem("SCOPE_TOO_WIDE", f"you do not have {wider} yourself", "rights")
    await grant(door, user, request.rights, by=principal.name, now=now)
    return await looked_up_again(door, tokens, user)


async def looked_up_again(door: Door, tokens: Tokens | None, user: UserRecord) -> UserRecord:
    """Somebody whose grants changed: at once in this process, within seconds in every other."""
    if tokens is not None:
        tokens.forget(user)
    found = await find_user(door, user.user_id, user.tenant_id)
    assert found is not None
    return found


def names(rights: set[BillingRight]) -> str:
    """Rights as clients write them, in their order."""
    return ", ".join(right.name for right in BillingRight if right in rights)
