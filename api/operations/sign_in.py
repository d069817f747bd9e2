"""Sign in: the code of a link against a token, once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from api.auth import digest_of
from api.issuer import Issuer
from domain.problems import Problem
from persistence.access import use_link
from persistence.audit import Actor
from persistence.door import Door

#: What a link has for a code.
CODE = re.compile(r"[A-Za-z0-9_-]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    token: str
    expires_at: int  #: exclusive


async def run(
    door: Door, issuer: Issuer, code: str, *, actor: Callable[[int], Actor], now: int
) -> SignedIn:
    """A token of the link's person; `WRONG_CODE` says no more than that the code is no good.

    What is compared is a digest, by the database: how long it takes says nothing of a secret.
    """
    # Before the link is used: nobody loses one because there was no key to sign with.
    key = await issuer.ready()
    user_id = None
    if CODE.fullmatch(code):
        user_id = await use_link(door, digest_of(code.encode()), actor=actor, now=now)
    if user_id is None:
        raise Problem(
            "WRONG_CODE",
            "the code is wrong, was used, or is older than 15 minutes: ask for a new link",
            "code",
        )
    token, expires_at = issuer.sign(key, user_id, now)
    return SignedIn(token=token, expires_at=expires_at)
