"""Have nothing mailed to an address any more."""

from __future__ import annotations

from dataclasses import dataclass

from api import ids
from api.operations.checks import find_tenant
from api.operations.mailbox_set import SCOPE, told
from api.rights import Principal
from domain.problems import Problem
from persistence import mailboxes
from persistence.audit import trace
from persistence.door import Door
from persistence.mailboxes import Mailbox

PREFIX = "mbx"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxRemove:
    """What is asked for."""

    tenant: str  #: its key
    id: str  #: the mailbox's


async def run(door: Door, principal: Principal, request: MailboxRemove, *, now: int) -> Mailbox:
    """The mailbox as it was; what was on its way there is not sent."""
    principal.require(SCOPE)
    tenant = await find_tenant(door, principal, request.tenant)
    number = ids.decode(PREFIX, request.id)
    found = None
    if number is not None:
        async with door.tenant_tx(tenant.tenant_id) as connection:
            found = await mailboxes.remove(connection, tenant.tenant_id, number)
            if found is not None:
                await trace(
                    connection, tenant.tenant_id, "mailboxRemove", f"mbx/{number}", at=now,
                    before=told(found),
                )  # fmt: skip
    if found is None:
        raise Problem("NOT_FOUND", f"the tenant has no mailbox {request.id[:64]!r}", "id")
    return found
