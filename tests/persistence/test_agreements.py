"""What is agreed with a tenant, on a real database: told as it is stored, whenever the job runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from redis.asyncio.client import PubSub

from domain.fold import ACTION
from domain.periods import DAY, HOUR, zone
from persistence.actions import Action
from persistence.valkey import client
from tests.persistence.test_actions import told
from tests.persistence.test_feed import pots
from tests.persistence.traffic import NOW, TENANTS, TopUp, settle_in, traffic
from tests.scenarios.world import World

TENANT = TENANTS[0]
UNIT = 1_000_000


@pytest.fixture
async def listened(app_url: str, redis_url: str) -> AsyncIterator[tuple[World, PubSub]]:
    """A world, and what its process publishes."""
    async with AsyncExitStack() as exits:
        world = await exits.enter_async_context(World.open(app_url, redis_url))
        await settle_in(world)
        valkey = await exits.enter_async_context(client(redis_url))
        pubsub = await exits.enter_async_context(valkey.pubsub())
        await pubsub.psubscribe("kuota:readings:*")
        await pubsub.get_message(timeout=5)  # the acknowledgement
        yield world, pubsub


@pytest.mark.parametrize("jobs", [True, False])
async def test_changes_are_told_as_they_are_stored(
    listened: tuple[World, PubSub], jobs: bool
) -> None:
    """BA-12, BA-9: allowances, plans and an end among facts, for months."""
    world, pubsub = listened
    wanted = {world.tenants[TENANT].tenant_id: TENANT}
    events = [step for step in traffic(7, 260) if not isinstance(step, TopUp)]
    mine = [event for event in events if event["subject"] == TENANT]
    for turn in range(18):
        world.clock.at = NOW + turn * 5 * DAY
        if jobs:
            while await world.jobs().advance_due():
                pass
        await world.send(mine[turn * 8 : turn * 8 + 8])
        before = (await world.reading(TENANT)).version
        await act(world, turn)
        reading = await told(pubsub, wanted, before + 1)
        stored = await world.reading(TENANT)
        assert replace(reading, pots=pots(reading), held_at=0) == replace(
            stored, pots=pots(stored), at=reading.at
        )
        assert reading.cause == ACTION
        for balance in ("conversations", "visitors", "whatsapp"):
            total = (await world.figures(TENANT, balance)).total
            assert total.remaining == (
                total.opening + total.granted + total.adjusted - total.used - total.lapsed
            )
    settings = await world.row(TENANT, "select settings from tenant_head where tenant_id = $1")
    assert settings["settings"] > 18


async def act(world: World, turn: int) -> Action:
    """Change what is agreed, in a way that differs by the turn."""
    key = f"act {turn}"
    kind = ("money", "own", "plan", "end", "again", "less")[turn % 6]
    today = world.tenants[TENANT].zone.date(world.clock.now())
    if kind == "plan":
        return await world.change_plan(TENANT, "omnichannel-mcc-idr", key=key)
    if kind == "end":
        return await world.change_plan(TENANT, None, key=key)
    if kind == "again":
        return await world.change_plan(TENANT, "omnichannel-idr", key=key)
    balance, amount = ("whatsapp", 900) if kind == "money" else ("visitors", 40 * turn)
    return await world.allow(TENANT, balance, amount * UNIT, since=today - turn % 2, key=key)


async def test_an_upgrade_pays_off_what_money_owes(listened: tuple[World, PubSub]) -> None:
    """BA-5, BA-12: what an upgrade adds is a credit; the next month's allowance pays the rest."""
    world, _ = listened
    world.clock.at = NOW
    await world.tenant("owes-money")
    await world.number("owes-money", "wa", "whatsapp", "+62 800 0000 01")
    await world.adjust("owes-money", "whatsapp", -500 * UNIT, key="debt")
    today = zone("Asia/Jakarta").date(NOW)

    await world.allow("owes-money", "whatsapp", 350 * UNIT, since=today, key="own")

    now = await world.figures("owes-money", "whatsapp")
    assert (now.top_up.remaining, now.initial.remaining) == (-150 * UNIT, 0)
    assert now.total.used == 0
    world.clock.at = (await world.reading("owes-money")).period.end + HOUR
    late = await world.figures("owes-money", "whatsapp")
    while await world.jobs().advance_due():
        pass
    booked = await world.figures("owes-money", "whatsapp")
    assert (booked.top_up, booked.initial) == (late.top_up, late.initial)
    assert (booked.top_up.remaining, booked.initial.remaining) == (0, 200 * UNIT)
