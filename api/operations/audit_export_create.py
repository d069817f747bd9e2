"""Give a link to the audit of a range: a file, for five minutes; that it was given is traced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from api.auditing import Format
from api.faults import Fault
from api.links import Link, expiry, path_of
from api.operations.checks import find_tenant
from api.rights import Principal
from api.signing import Signing
from domain.periods import Interval, Zone, iso, zone
from persistence.audit import trace
from persistence.connection import Connection
from persistence.door import Door

SCOPE = "audit:read"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditExportCreate:
    """What is asked for."""

    tenant: str | None  #: its key; None: everything, for operators
    span: Callable[[Zone], Interval]  #: the range, in the tenant's zone
    format: Format


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditExport:
    """A link and when it ends."""

    path: str
    expires_at: int


async def run(
    door: Door, signing: Signing, principal: Principal, request: AuditExportCreate, *, now: int
) -> AuditExport:
    """The link: to nothing that its maker may not read, and to what was there when it was made."""
    link = await export_of(door, principal, request, now=now)
    await tell(door, link, now=now)
    return AuditExport(path=path_of(signing, link), expires_at=link.expires_at)


async def export_of(
    door: Door, principal: Principal, request: AuditExportCreate, *, now: int
) -> Link:
    """What would be exported, as far as `principal` may."""
    principal.require(SCOPE)
    if request.tenant is None and not principal.is_operator:
        raise Fault("FORBIDDEN", "only an operator reads everybody's audit: name your tenant")
    tenant = None if request.tenant is None else await find_tenant(door, principal, request.tenant)
    since, until = request.span(zone("UTC") if tenant is None else tenant.zone)
    whose = "everybody" if tenant is None else tenant.key
    return Link(
        object="audit", tenant_id=None if tenant is None else tenant.tenant_id,
        since=since, until=min(until, now + 1), format=request.format.value,
        name=f"audit-{whose}.{request.format.value}", expires_at=expiry(now),
    )  # fmt: skip


async def tell(door: Door, link: Link, *, now: int) -> None:
    """Leave in the audit who takes which part of it."""
    tenant_id = link.tenant_id
    about = () if tenant_id is None else (f"tnt/{tenant_id}",)
    async with _scope(door, tenant_id) as connection:
        await trace(
            connection, tenant_id, "auditExportCreate", *about, at=now,
            after={
                "from": iso(link.since), "until": iso(link.until), "format": link.format,
                "expiresAt": iso(link.expires_at),
            },
        )  # fmt: skip


def _scope(door: Door, tenant_id: int | None) -> AbstractAsyncContextManager[Connection]:
    if tenant_id is None:
        return door.system_tx("that everybody's audit is exported is of no tenant")
    return door.tenant_tx(tenant_id)
