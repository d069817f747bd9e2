"""Send an endpoint something that says nothing, to see whether it is taken."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from api import ids
from api.operations.checks import find_tenant
from api.operations.webhook_checks import locked, require, subject
from api.reaching.bodies import TEST, spelt
from api.rights import Principal
from domain.problems import Problem
from persistence import deliveries
from persistence.audit import trace
from persistence.deliveries import Channel, Delivery, New
from persistence.door import Door

PREFIX = "tst"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTest:
    tenant: str  #: its key
    id: str  #: the endpoint's


async def run(door: Door, principal: Principal, request: WebhookTest, *, now: int) -> Delivery:
    """The delivery of the test, which is on its way: tried again, and logged, as any other."""
    require(principal)
    tenant = await find_tenant(door, principal, request.tenant)
    tenant_id = tenant.tenant_id
    async with door.tenant_tx(tenant_id) as connection:
        endpoint = await locked(connection, tenant_id, request.id)
        check_on(endpoint.disabled_at)
        event = ids.encode(PREFIX, secrets.randbits(62) + 1)
        body = spelt(TEST, now, {"tenant": tenant.key, "endpoint": request.id})
        (number,) = await deliveries.insert(
            connection, tenant_id,
            [
                New(
                    channel=Channel.WEBHOOK, target_id=endpoint.endpoint_id, event=event,
                    kind=TEST, body=body, address=endpoint.url, due_at=now,
                )
            ],
            now,
        )  # fmt: skip
        await trace(
            connection, tenant_id, "webhookTest", subject(endpoint), at=now, after={"event": event}
        )
        found = await deliveries.find(connection, tenant_id, number)
    assert found is not None
    return found


def check_on(disabled_at: int | None) -> None:
    """Nothing goes to an endpoint that is off."""
    if disabled_at is not None:
        words = "the endpoint is off: switch it on first (webhookEndpointUpdate, enabled: true)"
        raise Problem("ENDPOINT_OFF", words, "id")
