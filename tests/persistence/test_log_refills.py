"""Refills in a tenant's log: elsewhere they are the top-ups they became, charging nobody (EV-8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.periods import DAY, HOUR
from persistence import payment_methods
from persistence.refills import IMPORTED
from tests.api.paying.till import Till
from tests.conftest import Database
from tests.domain.spine import UNIT
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
async def till(database: Database, redis_url: str) -> AsyncIterator[Till]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = START
        await world.tenant(TENANT)
        yield Till.of(world)


async def use(till: Till, units: int, name: str) -> None:
    till.world.clock.at += DAY
    await till.world.adjust(TENANT, "visitors", -units * UNIT, key=name)
    await till.quiet()


async def test_refills_come_back_as_the_top_ups_they_became(
    till: Till, other: World, elsewhere: Database, tmp_path: Path
) -> None:
    """EV-8: the same figures and alerts; policies come back disabled, and say why."""
    world = till.world
    await till.method(TENANT, "succeeds", key="card")
    await till.policy(TENANT, "visitors", 20, 500, month_cap=900_000)
    await use(till, 985, "a")
    await use(till, 700, "b")
    await till.method(TENANT, "pending", key="another card")
    await use(till, 600, "c")
    assert [each.state.name for each, _ in await till.purchases(TENANT)] == [
        "PAID", "PAID", "OPEN"
    ]  # fmt: skip
    await till.method(TENANT, "declines", key="a third card")
    await till.policy(TENANT, "conversations", 1_000, 2_000)
    for hours in (0, 1, 4, 24):
        world.clock.at += hours * HOUR
        await till.quiet()
    assert (await till.told(TENANT))[-2:] == ["REFILL_FAILED", "REFILL_OFF"]
    world.clock.at = NOW
    assert await wrong(world) == ([], 0, ())
    path = await exported(world, tmp_path / "amber.log")
    assert b"sandbox:" not in path.read_bytes()

    done = await imported(elsewhere, path)

    assert done.differences == {}
    await same(world, other)
    assert await wrong(other) == ([], 0, ())
    tenant = other.tenants[TENANT]
    policies = tenant.own_refills
    assert policies.keys() == {"visitors", "conversations"}
    own = policies["visitors"]
    assert (own.policy.minimum, own.policy.month_cap) == (20 * UNIT, 900_000 * UNIT)
    for each in policies.values():
        assert (each.policy.enabled, each.off_reason) == (False, IMPORTED)
    async with other.door.tenant_tx(tenant.tenant_id) as connection:
        assert await payment_methods.find(connection, tenant.tenant_id) is None
    assert await other.rows(TENANT, "select 1 from purchases where tenant_id = $1") == []
    assert await other.rows(TENANT, "select 1 from tasks where tenant_id = $1") == []
    head = await other.row(TENANT, "select refilling from tenant_head where tenant_id = $1")
    assert head["refilling"] == "[]"
    other.clock.at = NOW + DAY
    await other.adjust(TENANT, "visitors", -9 * UNIT, key="later")
    assert await other.rows(TENANT, "select 1 from purchases where tenant_id = $1") == []
