"""`user create` and `user link`: people who sign in, made from the machine itself."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from api import ids
from api.cli.operating import OPERATOR, operate
from api.cli.options import AsJson, Data
from api.cli.terminal import Failure, result, settings
from api.issuer import LOOPBACK
from api.operations import sign_in_link_create, user_create
from api.operations.sign_in_link_create import SignInLink, SignInLinkCreate
from api.operations.user_create import UserCreate
from api.rights import Role
from api.settings import Clock
from domain.periods import iso
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.people import UserRecord


def create(
    *,
    operator: Annotated[bool, Parameter(help="One of the operator's people.", negative=())] = False,
    tenant: Annotated[str | None, Parameter(help="One of this tenant's people.")] = None,
    name: Annotated[str, Parameter(help="The name people see.")],
    email: Annotated[str, Parameter(help="The e-mail address.")],
    role: Annotated[str | None, Parameter(help="super_admin, admin, supervisor or agent.")] = None,
    subject: Annotated[
        str | None, Parameter(help="What tokens of KUOTA_JWT_ISSUER have as `sub`.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Create a person and print the id, which `user link` takes."""
    if operator == (tenant is not None):
        raise Failure("say whose person it is: either --operator or --tenant KEY", code=2)
    given = settings()
    request = UserCreate(
        tenant=tenant, name=name, email=email, role=role_of(role, operator), subject=subject
    )

    async def act(door: Door) -> UserRecord:
        now = Clock.starting(given.clock).now()
        async with door.system_tx("the catalogue is of no tenant") as connection:
            catalogue = await Catalogue.load(connection)
        return await user_create.run(door, catalogue, given.jwt_issuer, OPERATOR, request, now=now)

    user = operate(given, data, act)
    shown = {
        "id": ids.encode("usr", user.user_id),
        "tenant": user.tenant_key,
        "name": user.name,
        "email": user.email,
        "role": user.role,
        "createdAt": iso(user.created_at),
    }
    result(str(shown["id"]), shown, as_json=as_json)


def link(
    id: Annotated[str, Parameter(help="The person's id, such as usr_...")],
    /,
    *,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print a link by which a person signs in: once, within 15 minutes."""
    given = settings()

    async def act(door: Door) -> SignInLink:
        now = Clock.starting(given.clock).now()
        address = given.public_url or LOOPBACK
        request = SignInLinkCreate(user=id)
        return await sign_in_link_create.run(door, address, OPERATOR, request, now=now)

    made = operate(given, data, act)
    result(made.url, {"url": made.url, "expiresAt": iso(made.expires_at)}, as_json=as_json)


def role_of(text: str | None, operator: bool) -> Role:
    """The role that was named; the operator's people have but one."""
    if text is None and operator:
        return Role.OPERATOR
    try:
        return Role((text or "").strip().lower().replace("-", "_"))
    except ValueError:
        words = ", ".join(Role)
        raise Failure(f"--role is {text or 'missing'}: it is one of {words}", code=2) from None
