"""Whose a schedule is: the person or key that created or last changed it, and what they may now.

Owns how they are found again by the name that a schedule keeps. Nobody is asked for a credential:
a person who is not active any more, and a key that was revoked or has ended, may nothing.
"""

from __future__ import annotations

from typing import Final

from api import auth, ids, tokens
from api.faults import Fault
from api.rights import ALL_SCOPES
from persistence.credentials import find_by_prefix
from persistence.door import Door
from persistence.people import find_user

NOBODY: Final[frozenset[str]] = frozenset()


async def scopes_of(door: Door, tenant_id: int, name: str, now: int) -> frozenset[str]:
    """What `name`, as `Principal.name` tells it, may at an instant of a tenant."""
    kind, _, of = name.partition(" ")
    if kind == "user":
        user_id = ids.decode("usr", of)
        user = None if user_id is None else await find_user(door, user_id, None)
        if user is None or user.tenant_id not in (None, tenant_id):
            return NOBODY
        try:
            return tokens.principal_of(user, now).scopes
        except Fault:  # not active any more
            return NOBODY
    if kind == "key":
        key = await find_by_prefix(door, of)
        if key is None or key.tenant_id not in (None, tenant_id) or key.revoked_at is not None:
            return NOBODY
        ended = key.expires_at is not None and key.expires_at <= now
        return NOBODY if ended else auth.principal_of(key).scopes
    # The key of the environment is whoever runs this.
    return ALL_SCOPES if name == "operator" else NOBODY
