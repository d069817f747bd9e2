"""Give an endpoint a new secret; the one before signs beside it for a day."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api.limits import WEBHOOK_SECRET_HOURS
from api.operations.checks import find_tenant
from api.operations.webhook_checks import locked, require, subject
from api.operations.webhook_endpoint_create import NewEndpoint
from api.reaching.signatures import SealError, Seals, new_secret
from api.rights import Principal
from api.signing import Signing
from domain.periods import HOUR, iso
from domain.problems import Problem
from persistence import webhooks
from persistence.audit import trace
from persistence.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSecretRotate:
    tenant: str  #: its key
    id: str


async def run(
    door: Door, signing: Signing, principal: Principal, request: WebhookSecretRotate, *, now: int
) -> NewEndpoint:
    """The endpoint with its new secret; not while the one before the last still signs."""
    require(principal)
    tenant = await find_tenant(door, principal, request.tenant)
    tenant_id, secret, seals = tenant.tenant_id, new_secret(), Seals(signing)
    async with door.tenant_tx(tenant_id) as connection:
        before = await locked(connection, tenant_id, request.id)
        if before.secret_until is not None and now < before.secret_until:
            message = (
                f"it was rotated lately: both secrets sign until {iso(before.secret_until)}, and a"
                " third would leave out whichever the receiver knows; rotate it after that"
            )
            raise Problem("ROTATED_LATELY", message, "id")
        kept: str | None = before.secret
        try:
            seals.open(tenant_id, before.secret)
        except SealError:
            kept = None  # sealed by another secret of the installation: it signs nothing any more
        until = now + WEBHOOK_SECRET_HOURS * HOUR
        after = replace(
            before,
            secret=seals.seal(tenant_id, secret),
            secret_before=kept,
            secret_until=None if kept is None else until,
        )
        await webhooks.keep(connection, after)
        words = {"oldSignsUntil": None if kept is None else iso(until)}
        await trace(
            connection, tenant_id, "webhookSecretRotate", subject(after), at=now, after=words
        )
    return NewEndpoint(endpoint=after, secret=secret)
