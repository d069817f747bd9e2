"""Put a number on another time zone from a month's start on, once per idempotency key (TZ-3)."""

from __future__ import annotations

from dataclasses import dataclass

from api.limits import ZONE_CHANGE_AHEAD_SECONDS
from api.operations.acting import Done, Scene, once
from api.operations.checks import checked_zone
from domain.changing import book, change_zone
from domain.periods import SECOND
from persistence import terms
from persistence.actions import Action, ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show
from persistence.zones import rezone_number, told, write_zone

AHEAD = ZONE_CHANGE_AHEAD_SECONDS * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberTimezoneChange:
    tenant: str  #: its key
    number: int  #: of that tenant
    timezone: str
    idempotency_key: str


async def run(
    door: Door, catalogue: Catalogue, show: Show, request: NumberTimezoneChange, *, now: int
) -> Action:
    """Change the zone, or give the change that the same key made before."""
    checked_zone(request.timezone)

    async def act(scene: Scene) -> Done:
        return await _change(scene, catalogue, request)

    return await once(
        door, catalogue, show, ActionKind.NUMBER_TIMEZONE_CHANGE, request, act, now=now
    )


async def _change(scene: Scene, catalogue: Catalogue, request: NumberTimezoneChange) -> Done:
    own = scene.terms
    before = own.numbers[request.number].zone
    zone = change_zone(before, request.timezone, scene.now + AHEAD)
    await rezone_number(scene.connection, own.tenant_id, request.number, zone)
    (after,) = await terms.by_ids(scene.connection, catalogue, [own.tenant_id])
    await scene.lots(scene.now)
    changes = book(own, after, scene.state, {}, scene.now)
    since, name = zone.changes[-1]
    return Done(
        changes=changes,
        body={
            "number_id": request.number, "timezone": name, "since": since,
            "before": write_zone(before),
        },
        about=(f"num/{request.number}",),
        before=told(before),
        after=told(zone),
    )  # fmt: skip
