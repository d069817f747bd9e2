"""Who may make whom what: the rules that operations on people share.

Nobody makes somebody who may more than himself. Among people the roles stand in an order, and of
one's own role the scopes decide; a key has no role, so its scopes decide alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from api import ids
from api.addresses import email
from api.rights import Principal, Role
from domain.facts import CHANNELS
from domain.problems import Problem
from persistence.door import Door
from persistence.people import UserRecord, find_user

SCOPE = "users:write"

#: The roles, the highest first.
ORDER = tuple(Role)


async def find_person(door: Door, principal: Principal, text: str, field: str) -> UserRecord:
    """Somebody by id, as `principal` sees people: another tenant's do not exist."""
    user_id = ids.decode("usr", text)
    user = None if user_id is None else await find_user(door, user_id, principal.tenant_id)
    if user is None:
        raise Problem("NOT_FOUND", "there is nobody with this id", field)
    return user


def check_role(role: Role, *, of_tenant: bool) -> None:
    """A role is the operator's or a tenant's."""
    if of_tenant == (role is not Role.OPERATOR):
        return
    fitting = ", ".join(ORDER[1:]) if of_tenant else Role.OPERATOR
    whose = "a tenant's people are" if of_tenant else "the operator's people are"
    raise Problem("ROLE_DOES_NOT_FIT", f"{whose} {fitting}", "role")


def check_reach(principal: Principal, role: Role, scopes: Iterable[str], field: str) -> None:
    """Raise unless `principal` may make, change or let in somebody of this role and these scopes.

    Whoever hands out a sign-in link can use it himself: it is the same question.
    """
    if principal.role is not None:
        own, other = ORDER.index(principal.role), ORDER.index(role)
        if other < own:
            raise Problem(
                "ROLE_TOO_HIGH", f"this needs {role}; you are {principal.role} yourself", field
            )
        if other > own:
            return
    if wider := sorted(scope for scope in scopes if not principal.may(scope)):
        raise Problem(
            "SCOPE_TOO_WIDE",
            f"such a person may {', '.join(wider)}, which you may not yourself: "
            "ask somebody who may",
            field,
        )


def checked_email(text: str) -> str:
    """An e-mail address in lower case."""
    try:
        return email(text)
    except ValueError as error:
        raise Problem("INVALID_EMAIL", str(error), "email") from None


def checked_channels(names: Sequence[str]) -> list[int]:
    """Channels by their names, each once, in their own order."""
    for place, name in enumerate(names):
        if name not in CHANNELS:
            near = get_close_matches(name[:64], CHANNELS, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(CHANNELS)}"
            raise Problem(
                "UNKNOWN_CHANNEL",
                f"there is no channel {name[:64]!r}: {hint}",
                f"channels[{place}]",
            )
    return sorted({CHANNELS[name].value for name in names})


def check_of_tenant(tenant_id: int | None, of_facts: str | None, channels: Sequence[str]) -> None:
    """What facts call a person, and its channels, are of a tenant's people alone."""
    if tenant_id is None and (of_facts is not None or channels):
        raise Problem(
            "OF_TENANTS",
            "facts call a tenant's people: leave `externalId` and `channels` out",
            "channels" if of_facts is None else "externalId",
        )
