"""`key create`: prints a new key's secret, alone and once."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from api.cli.operating import OPERATOR, operate
from api.cli.options import AsJson, Data
from api.cli.terminal import Failure, result, settings
from api.operations.api_key_create import ApiKeyCreate, NewKey, run
from api.settings import Clock, instant_of
from domain.periods import iso
from persistence.door import Door


def create(
    *,
    operator: Annotated[bool, Parameter(help="A key that sees every tenant.", negative=())] = False,
    tenant: Annotated[str | None, Parameter(help="A key that sees this tenant alone.")] = None,
    scope: Annotated[str, Parameter(help="What it may do, such as events:write,usage:read.")],
    name: Annotated[str, Parameter(help="What the list of keys calls it.")] = "command line",
    expires_at: Annotated[
        str | None, Parameter(help="When it ends, such as 2027-01-01T00:00:00Z; default: never.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print its secret, which is shown this once and never kept."""
    if operator == (tenant is not None):
        raise Failure("say whose key it is: either --operator or --tenant KEY", code=2)
    given = settings()
    scopes = tuple(word.strip() for word in scope.split(",") if word.strip())
    try:
        end = None if expires_at is None else instant_of(expires_at)
    except ValueError as fault:
        raise Failure(f"--expires-at {fault}", code=2) from None
    request = ApiKeyCreate(tenant=tenant, name=name, scopes=scopes, expires_at=end)

    async def act(door: Door) -> NewKey:
        return await run(door, OPERATOR, request, now=Clock.starting(given.clock).now())

    new = operate(given, data, act)
    shown = {
        "secret": new.secret,
        "prefix": new.key.prefix,
        "tenant": tenant,
        "name": new.key.name,
        "scopes": list(new.key.scopes),
        "createdAt": iso(new.key.created_at),
        "expiresAt": None if end is None else iso(end),
    }
    result(new.secret, shown, as_json=as_json)
