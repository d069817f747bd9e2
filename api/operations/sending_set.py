"""Set what a tenant says of sending itself, whatever its plan says: holds, caps, outages (OC-1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from api.operations.acting import TEXT_LENGTH_MAX
from api.operations.checks import camel_of, checked_text
from domain.documents import Fault
from domain.problems import Problem
from domain.sending import OwnSending, SendingError, parse_sending, written
from persistence import load
from persistence.audit import trace
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.sending import said, say, write_own
from persistence.standing import standing_of
from persistence.tenants import TenantRecord, find_by_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingSet:
    tenant: str  #: its key
    #: The fields that change, spelt as in a plan; None takes the tenant's own away.
    fields: Mapping[str, Any]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSending:
    """What became of it: the tenant as it now is, or every fault of what was asked."""

    tenant: TenantRecord | None
    problems: Sequence[Fault] = ()


async def run(door: Door, catalogue: Catalogue, request: SendingSet, *, now: int) -> SetSending:
    """Set the fields; the same again changes nothing and leaves no row of the audit."""
    reason = checked_text(request.reason, "reason", TEXT_LENGTH_MAX)
    tenant = (await find_by_keys(door, [request.tenant])).get(request.tenant)
    if tenant is None:
        raise Problem("NOT_FOUND", f"there is no tenant {request.tenant[:64]!r}", "tenant")
    asked = {name: value for name, value in request.fields.items() if value is not None}
    try:
        own = parse_sending(asked, _balances(catalogue, tenant))
    except SendingError as error:
        return SetSending(tenant=None, problems=error.problems)
    async with door.tenant_tx(tenant.tenant_id) as connection:
        await load.lock(connection, [tenant.tenant_id], wait=True)
        before, _ = await said(connection, tenant.tenant_id)
        after = replace(before, **{name: getattr(own, name) for name in request.fields})
        if after != before:
            await say(connection, tenant.tenant_id, after)
            await trace(
                connection, tenant.tenant_id, "sendingSet", f"tnt/{tenant.tenant_id}", at=now,
                before=_told(before), after={**_told(after), "reason": reason},
            )  # fmt: skip
    return SetSending(tenant=replace(tenant, sending=write_own(after)))


def _balances(catalogue: Catalogue, tenant: TenantRecord) -> list[str]:
    """The balances of every plan that was agreed: what a later one has may be capped before."""
    holdings = standing_of(catalogue, tenant).holdings
    return sorted({balance.key for each in holdings for balance in each.plan.balances})


def _told(own: OwnSending) -> dict[str, object]:
    """What a tenant says, in the words of the audit."""
    return {camel_of(name): value for name, value in written(own).items()}
