"""Add an endpoint that alerts are posted to; its secret is shown once and kept sealed."""

from __future__ import annotations

from dataclasses import dataclass

from api.limits import WEBHOOK_ENDPOINTS_MAX
from api.operations.checks import find_tenant
from api.operations.webhook_checks import (
    checked_description,
    checked_url,
    kinds_of,
    require,
    subject,
    told,
)
from api.reaching.signatures import Seals, new_secret
from api.rights import Principal
from api.signing import Signing
from domain.problems import Problem
from domain.watch import AlertKind
from persistence import webhooks
from persistence.audit import trace
from persistence.door import Door
from persistence.webhooks import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpointCreate:
    tenant: str  #: its key
    url: str
    kinds: tuple[AlertKind, ...] | None  #: None or empty: all, those of later versions too
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """An endpoint and the only time its secret is seen."""

    endpoint: Endpoint
    secret: str


async def run(
    door: Door,
    signing: Signing,
    principal: Principal,
    request: WebhookEndpointCreate,
    *,
    now: int,
) -> NewEndpoint:
    """The new endpoint: on, and told of what is raised from now on."""
    require(principal)
    tenant = await find_tenant(door, principal, request.tenant)
    url = checked_url(request.url, loopback=signing.is_common)
    description, kinds = checked_description(request.description), kinds_of(request.kinds)
    tenant_id, secret = tenant.tenant_id, new_secret()
    async with door.tenant_tx(tenant_id) as connection:
        known = await webhooks.locked_of(connection, tenant_id)
        if any(each.url == url for each in known):
            raise Problem(
                "ALREADY_EXISTS", "the tenant has an endpoint of this url: change that one", "url"
            )
        if len(known) >= WEBHOOK_ENDPOINTS_MAX:
            words = f"a tenant has at most {WEBHOOK_ENDPOINTS_MAX} endpoints: delete one first"
            raise Problem("TOO_MANY", words, "url")
        endpoint = await webhooks.add(
            connection, tenant_id, url=url, description=description, kinds=kinds,
            secret=Seals(signing).seal(tenant_id, secret), now=now,
        )  # fmt: skip
        await trace(
            connection, tenant_id, "webhookEndpointCreate", subject(endpoint), at=now,
            after=told(endpoint),
        )  # fmt: skip
    return NewEndpoint(endpoint=endpoint, secret=secret)
