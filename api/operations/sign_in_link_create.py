"""Make a link by which a person signs in, once; its secret is shown this once and never kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from api.auth import SECRET_BYTES, digest_of
from api.limits import SIGN_IN_LINK_SECONDS
from api.operations.people import SCOPE, check_reach, find_person
from api.rights import Principal, Role
from api.tokens import scopes_of
from domain.problems import Problem
from persistence.access import keep_link
from persistence.door import Door

SECOND = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLinkCreate:
    """What is asked for."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLink:
    url: str
    expires_at: int  #: exclusive


async def run(
    door: Door, address: str, principal: Principal, request: SignInLinkCreate, *, now: int
) -> SignInLink:
    """The link, under `address`: for somebody who may no more than who asks."""
    principal.require(SCOPE)
    user = await find_person(door, principal, request.user, "user")
    check_reach(principal, Role(user.role), scopes_of(user), "user")
    if not user.active:
        raise Problem("NOT_ACTIVE", "this person is not active: activate first", "user")
    if user.issuer is not None:
        raise Problem("SIGNS_IN_ELSEWHERE", f"this person signs in at {user.issuer}", "user")
    code = secrets.token_urlsafe(SECRET_BYTES)
    expires_at = now + SIGN_IN_LINK_SECONDS * SECOND
    await keep_link(door, user, digest_of(code.encode()), expires_at=expires_at, now=now)
    return SignInLink(url=f"{address}/sign-in?code={code}", expires_at=expires_at)
