"""Create an API key; its secret is shown once and never kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from api.auth import new_secret
from api.faults import Fault
from api.limits import NAME_LENGTH_MAX
from api.operations.checks import checked_text, find_tenant
from api.rights import SCOPES, Principal
from domain.problems import Problem
from persistence.credentials import KeyRecord, create_key
from persistence.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyCreate:
    """What is asked for."""

    tenant: str | None  #: its key; None asks for an operator's key
    name: str
    scopes: tuple[str, ...]
    expires_at: int | None  #: exclusive; None: no end


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key and the only time its secret is seen."""

    key: KeyRecord
    secret: str


async def run(door: Door, principal: Principal, request: ApiKeyCreate, *, now: int) -> NewKey:
    """The new key: never wider than the creator's own, never another tenant's."""
    principal.require("keys:write")
    if request.tenant is None and not principal.is_operator:
        raise Fault("FORBIDDEN", "only an operator makes an operator's key: name your tenant")
    tenant = None if request.tenant is None else await find_tenant(door, principal, request.tenant)
    scopes = checked_scopes(request.scopes)
    if wider := [scope for scope in scopes if not principal.may(scope)]:
        raise Problem("SCOPE_TOO_WIDE", f"your own key does not have {', '.join(wider)}", "scopes")
    if request.expires_at is not None and request.expires_at <= now:
        raise Problem("ALREADY_EXPIRED", "the key would have ended already", "expiresAt")
    name = checked_text(request.name, "name", NAME_LENGTH_MAX)
    tenant_id = None if tenant is None else tenant.tenant_id
    secret = new_secret()
    key_id = await create_key(
        door,
        tenant_id,
        name=name,
        prefix=secret.prefix,
        digest=secret.digest,
        scopes=scopes,
        expires_at=request.expires_at,
        now=now,
    )
    key = KeyRecord(
        key_id,
        tenant_id,
        None if tenant is None else tenant.key,
        name,
        secret.prefix,
        secret.digest,
        scopes,
        now,
        request.expires_at,
        None,
    )
    return NewKey(key=key, secret=secret.text)


def checked_scopes(names: Iterable[str]) -> tuple[str, ...]:
    """Known scopes, each once and in the order of the list of all."""
    wanted = set(names)
    for name in sorted(wanted - SCOPES.keys()):
        near = get_close_matches(name[:64], SCOPES, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(SCOPES)}"
        raise Problem("UNKNOWN_SCOPE", f"there is no scope {name[:64]!r}: {hint}", "scopes")
    if not wanted:
        raise Problem("NO_SCOPES", f"name at least one scope of {', '.join(SCOPES)}", "scopes")
    return tuple(scope for scope in SCOPES if scope in wanted)
