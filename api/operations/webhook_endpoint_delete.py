"""Forget an endpoint; what was on its way there stops."""

from __future__ import annotations

from dataclasses import dataclass

from api.operations.checks import find_tenant
from api.operations.webhook_checks import locked, require, subject, told
from api.rights import Principal
from persistence import webhooks
from persistence.audit import trace
from persistence.door import Door
from persistence.webhooks import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpointDelete:
    tenant: str  #: its key
    id: str


async def run(
    door: Door, principal: Principal, request: WebhookEndpointDelete, *, now: int
) -> Endpoint:
    """The endpoint as it was; its deliveries stay in the log for as long as any do."""
    require(principal)
    tenant = await find_tenant(door, principal, request.tenant)
    async with door.tenant_tx(tenant.tenant_id) as connection:
        endpoint = await locked(connection, tenant.tenant_id, request.id)
        await webhooks.remove(connection, tenant.tenant_id, endpoint.endpoint_id)
        await trace(
            connection, tenant.tenant_id, "webhookEndpointDelete", subject(endpoint), at=now,
            before=told(endpoint),
        )  # fmt: skip
    return endpoint
