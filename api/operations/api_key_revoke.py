"""Revoke an API key: at once in this process, within seconds in every other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api import ids
from api.auth import Authenticator
from api.rights import Principal
from domain.problems import Problem
from persistence.credentials import KeyRecord, find_by_id, revoke_key
from persistence.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRevoke:
    """What is asked for."""

    id: str


async def run(
    door: Door,
    authenticator: Authenticator,
    principal: Principal,
    request: ApiKeyRevoke,
    *,
    now: int,
) -> KeyRecord:
    """The key with the instant it ended at; revoking twice leaves the first."""
    principal.require("keys:write")
    key_id = ids.decode("key", request.id)
    tenant_id = principal.tenant_id
    key = None if key_id is None else await find_by_id(door, key_id, tenant_id)
    if key is None:
        raise Problem("NOT_FOUND", "there is no key with this id", "id")
    revoked_at = await revoke_key(door, key.key_id, tenant_id, now=now)
    authenticator.forget(key.prefix)
    return replace(key, revoked_at=revoked_at)
