"""Subscriptions in a tenant's log: elsewhere they are what was agreed, and granted (EV-8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.periods import DAY
from persistence import subscriptions
from persistence.subscriptions import DeedKind, Kept
from tests.api.subscribing import ONBOARDING, SEATS, Agreements, fees
from tests.conftest import Database
from tests.persistence.test_log_file import (
    TENANT,
    elsewhere,
    exported,
    imported,
    other,
    same,
    wrong,
)
from tests.persistence.traffic import NOW, START
from tests.scenarios.world import World

__all__ = ["elsewhere", "other"]


@pytest.fixture
async def desk(database: Database, redis_url: str) -> AsyncIterator[Agreements]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = START
        await world.tenant(TENANT, plan="whatsapp-idr")
        yield Agreements(world)


async def kept(world: World) -> list[Kept]:
    """A tenant's subscriptions without its number, which each database gives anew."""
    tenant_id = world.tenants[TENANT].tenant_id
    async with world.door.tenant_tx(tenant_id) as connection:
        found = await subscriptions.of_tenant(connection, tenant_id)
    return [replace(each, tenant_id=0, subscription_id=place) for place, each in enumerate(found)]


async def test_subscriptions_are_elsewhere_what_was_agreed(
    desk: Agreements, other: World, elsewhere: Database, tmp_path: Path
) -> None:
    """EV-8: the same rows, plans, zones and alerts; nothing is closed or invoiced by itself."""
    world = desk.world
    days = iter(range(1, 99))

    def later() -> None:
        world.clock.at = START + next(days) * 2 * DAY

    await desk.create(TENANT, asked=fees(setup=[ONBOARDING]), months=3, plan="omnichannel-idr")
    later()
    await desk.create(TENANT, key="extra", plan=None)
    later()
    await desk.change(TENANT, DeedKind.QUANTITY, component="seats", quantity="6.5")
    await desk.change(TENANT, DeedKind.CANCEL, subscription="extra")
    await desk.tasks.quiet()
    later()
    await desk.change(TENANT, DeedKind.PAUSE)
    later()
    await world.change_zone(TENANT, "Asia/Tokyo", key="zone")
    await desk.change(TENANT, DeedKind.RESUME)
    later()
    switched = fees(SEATS, name="Large")
    await desk.change(TENANT, DeedKind.PLAN, fees=switched, plan="omnichannel-mcc-idr")
    await desk.change(TENANT, DeedKind.CANCEL)
    await world.change_plan(TENANT, "omnichannel-idr", key="by hand")
    await desk.change(TENANT, DeedKind.RENEW)
    world.clock.at = NOW
    await world.adjust(TENANT, "visitors", -1_000_000, key="used")
    told = await desk.told(TENANT)
    assert [key for key, _ in told] == ["extra"]
    assert (await wrong(world))[1:] == (0, ())
    path = await exported(world, tmp_path / "amber.log")

    done = await imported(elsewhere, path)

    assert done.differences == {}
    await same(world, other)
    assert await kept(other) == await kept(world)
    assert (await wrong(other))[1:] == (0, ())
    assert await other.rows(TENANT, "select 1 from tasks where tenant_id = $1") == []
    assert await Agreements(other).told(TENANT) == told
    row = await other.row(TENANT, "select invoicing from tenants where tenant_id = $1")
    assert row["invoicing"]
