"""Put a tenant on another time zone from a period's start on, once per idempotency key (TZ-3)."""

from __future__ import annotations

from dataclasses import dataclass

from api.limits import ZONE_CHANGE_AHEAD_SECONDS
from api.operations.acting import Done, Scene, once
from api.operations.checks import checked_zone
from domain.changing import book, change_zone
from domain.entitling import redated
from domain.periods import SECOND
from persistence import dunning, subscriptions, terms
from persistence import standing as stored
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show
from persistence.zones import rezone_tenant, told, write_zone

AHEAD = ZONE_CHANGE_AHEAD_SECONDS * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class TimezoneChange:
    tenant: str  #: its key
    timezone: str
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: TimezoneChange, *, now: int
) -> Action:
    """Change the zone, or give the change that the same key made before."""
    checked_zone(request.timezone)

    async def act(scene: Scene) -> Done:
        return await _change(scene, catalogue, request)

    return await once(door, catalogue, show, ActionKind.TIMEZONE_CHANGE, request, act, now=now)


async def _change(scene: Scene, catalogue: Catalogue, request: TimezoneChange) -> Done:
    own = scene.terms
    zone = change_zone(own.zone, request.timezone, scene.now + AHEAD)
    await rezone_tenant(scene.connection, own.tenant_id, zone)
    plans = [
        stored.plan_from(each.since, each.plan.key, grants=each.grants)
        for each in redated(own.standing, zone, scene.now)
    ]
    for plan in plans:
        await stored.agree(scene.connection, own.tenant_id, plan)
    await subscriptions.look_again(scene.connection, own.tenant_id, scene.now)
    await dunning.hurry(scene.connection, own.tenant_id, scene.now)
    (after,) = await terms.by_ids(scene.connection, catalogue, [own.tenant_id])
    await scene.lots(scene.now)
    changes = book(own, after, scene.state, {}, scene.now)
    since, name = zone.changes[-1]
    return Done(
        changes=changes,
        body={
            "timezone": name,
            "since": since,
            "before": write_zone(own.zone),
            "plans": plans,
        },
        before=told(own.zone),
        after=told(zone),
    )
