"""Send a delivery once more: the same body under the same id, on a schedule that begins anew."""

from __future__ import annotations

from dataclasses import dataclass

from api import ids
from api.operations.checks import find_tenant
from api.operations.webhook_checks import require
from api.operations.webhook_test import check_on
from api.rights import Principal
from domain.problems import Problem
from persistence import deliveries, webhooks
from persistence.audit import trace
from persistence.deliveries import PREFIX, Channel, Delivery
from persistence.door import Door


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReplay:
    tenant: str  #: its key
    delivery: str


async def run(door: Door, principal: Principal, request: WebhookReplay, *, now: int) -> Delivery:
    """The delivery as it is now: one that was under way is tried at once."""
    require(principal)
    tenant = await find_tenant(door, principal, request.tenant)
    tenant_id, number = tenant.tenant_id, ids.decode(PREFIX, request.delivery)
    async with door.tenant_tx(tenant_id) as connection:
        found = None
        if number is not None:
            found = await deliveries.find(connection, tenant_id, number, lock=True)
        if found is None or found.channel is not Channel.WEBHOOK:
            words = f"the tenant has no delivery {request.delivery[:64]!r}"
            raise Problem("NOT_FOUND", words, "delivery")
        endpoint = await webhooks.find(connection, tenant_id, found.target_id)
        if endpoint is None:
            raise Problem("NOT_FOUND", "its endpoint was deleted", "delivery")
        check_on(endpoint.disabled_at)
        await deliveries.again(connection, found, now)
        await trace(
            connection, tenant_id, "webhookReplay", f"{PREFIX}/{number}", at=now,
            after={"event": found.event, "url": endpoint.url.partition("?")[0]},
        )  # fmt: skip
        after = await deliveries.find(connection, tenant_id, found.delivery_id)
    assert after is not None
    return after
