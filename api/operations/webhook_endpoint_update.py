"""Change an endpoint: where it is, what goes there, and whether anything does."""

from __future__ import annotations

from dataclasses import dataclass, replace

from api.operations.checks import find_tenant
from api.operations.webhook_checks import (
    checked_description,
    checked_url,
    kinds_of,
    locked,
    require,
    subject,
    told,
)
from api.rights import Principal
from api.signing import Signing
from domain.problems import Problem
from domain.watch import AlertKind
from persistence import webhooks
from persistence.audit import trace
from persistence.door import Door
from persistence.webhooks import Endpoint, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpointUpdate:
    """What is asked for; None leaves what there is."""

    tenant: str  #: its key
    id: str
    url: str | None
    kinds: tuple[AlertKind, ...] | None  #: empty: all
    enabled: bool | None
    description: str | None


async def run(
    door: Door,
    signing: Signing,
    principal: Principal,
    request: WebhookEndpointUpdate,
    *,
    now: int,
) -> Endpoint:
    """The endpoint as changed; what was asked before changes nothing and leaves no trace."""
    require(principal)
    tenant = await find_tenant(door, principal, request.tenant)
    tenant_id, url, words = tenant.tenant_id, request.url, request.description
    url = None if url is None else checked_url(url, loopback=signing.is_common)
    words = None if words is None else checked_description(words)
    async with door.tenant_tx(tenant_id) as connection:
        known = await webhooks.locked_of(connection, tenant_id)
        before = await locked(connection, tenant_id, request.id)
        others = (each for each in known if each.endpoint_id != before.endpoint_id)
        if url is not None and any(each.url == url for each in others):
            raise Problem("ALREADY_EXISTS", "another endpoint of the tenant has this url", "url")
        after = replace(
            before,
            url=before.url if url is None else url,
            description=before.description if words is None else words,
            kinds=before.kinds if request.kinds is None else kinds_of(request.kinds),
        )
        if after.url != before.url:
            # What another place did says nothing of this one.
            after = replace(after, failing_since=None, failed_at=None, rests_until=0)
        after = _switched(after, request.enabled, now)
        if after != before:
            await webhooks.keep(connection, after)
            await trace(
                connection, tenant_id, "webhookEndpointUpdate", subject(after), at=now,
                before=told(before), after=told(after),
            )  # fmt: skip
    return after


def _switched(endpoint: Endpoint, enabled: bool | None, now: int) -> Endpoint:
    if enabled is None or enabled is (endpoint.disabled_at is None):
        return endpoint
    if enabled:
        return replace(
            endpoint, disabled_at=None, disabled_reason=None, failing_since=None, failed_at=None,
            rests_until=0,
        )  # fmt: skip
    return replace(endpoint, disabled_at=now, disabled_reason=Reason.ASKED)
