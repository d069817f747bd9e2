"""Rows of periods: one stands beside every lot of a month, whoever made it, and at each closing.

What time alone came to needs none: readers know a period by its zone as well (TZ-1), and whether a
job looked at its first instant is told by no row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.settling import Cause, Settled
from api.verifying import Verifying
from domain.periods import DAY, HOUR, MINUTE
from persistence.servers import Servers
from tests.conftest import Database, on
from tests.persistence.test_closing import (
    END,
    NOVEMBER,
    OCTOBER,
    TENANT,
    UNIT,
    close,
    message,
    send,
    settling,
)
from tests.scenarios.world import World

ROWS = "select month from periods where tenant_id = $1"
OF_LOTS = "select distinct month from lots where tenant_id = $1 and month > 0"


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    assert servers.addresses.redis_url is not None
    async with World.open(database.app_url, servers.addresses.redis_url) as world:
        world.clock.at = END - 80 * DAY
        await world.tenant(TENANT, timezone="America/Bogota", plan="college-small")
        await world.number(TENANT, "wa", "whatsapp", "+62 800 0000 01")
        yield world


async def findings(world: World) -> list[str]:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    verified = await verifying.verify(world.tenants[TENANT].tenant_id)
    return [str(finding) for finding in verified.findings]


async def settle(world: World) -> Settled:
    return await settling(world).settle(world.tenants[TENANT].tenant_id, Cause.DEMAND)


async def months(world: World, query: str = ROWS) -> set[int]:
    return {row["month"] for row in await world.rows(TENANT, query)}


async def test_a_first_fact_of_a_former_period_brings_the_row_of_that_one_alone(
    world: World,
) -> None:
    """Nothing is of November yet, though the log folded again has come to its first instant."""
    world.clock.at = END + 3 * DAY
    await send(world, message("1", END - 3 * DAY))
    assert await months(world) == {OCTOBER}
    assert await findings(world) == []
    assert (await settle(world)).settlement_id is None
    assert await findings(world) == []
    world.clock.at = END + 40 * DAY
    assert await findings(world) == []
    await settle(world)
    assert await findings(world) == []


async def test_it_is_the_same_where_periods_are_closed(world: World) -> None:
    """EV-3: a closed period has its row, whether anything was of it or not."""
    world.clock.at = END + 3 * DAY
    await send(world, message("august", END - 70 * DAY))
    await close(world, OCTOBER - 2, key="august")
    assert await findings(world) == []
    await send(world, message("late", END - 70 * DAY + HOUR, contact="2"))
    assert await findings(world) == []
    await send(world, message("september", END - 40 * DAY))
    assert await findings(world) == []
    await close(world, OCTOBER - 1, key="september")
    await close(world, OCTOBER, key="october")
    assert await findings(world) == []
    world.clock.at = END + 33 * DAY
    assert await findings(world) == []
    await close(world, NOVEMBER, key="november")
    assert await findings(world) == []
    assert await months(world) >= {OCTOBER - 1, OCTOBER, NOVEMBER}


async def test_a_lot_that_begins_or_lapses_with_time_alone_needs_no_row(world: World) -> None:
    """TZ-4: whether what is owed was paid off, and what a lot began or ended beside it."""
    world.clock.at = END + 3 * DAY
    await world.top_up(
        TENANT, "whatsapp", 5 * UNIT, key="ended", starts_at=END - 2 * DAY, expires_at=END + DAY
    )
    await world.top_up(
        TENANT, "whatsapp", 5 * UNIT, key="begins", source="PROMOTION",
        starts_at=END + 5 * DAY, expires_at=END + 45 * DAY,
    )  # fmt: skip
    assert await findings(world) == []
    ad = message("ad", END - DAY, contact="2", category="marketing", template="t")
    await send(world, ad)
    assert await findings(world) == []
    for days in (6, 33, 50, 100):
        world.clock.at = END + days * DAY
        assert await findings(world) == []
    await settle(world)
    assert await findings(world) == []
    world.clock.at += 40 * DAY
    await world.top_up(TENANT, "whatsapp", 10_000 * UNIT, key="pays off")
    assert await findings(world) == []
    await settle(world)
    assert await findings(world) == []


async def test_a_lot_that_only_settling_makes_brings_the_row_of_its_period(world: World) -> None:
    """November's allowance is granted between two midnights, and drawn from behind the second:
    an earlier answer ends what was free before a message of November."""
    world.clock.at = END + 3 * DAY
    await send(world, message("in", END - 2 * DAY + 9 * HOUR, "received", entry="ad"))
    await send(world, message("answer", END - DAY + 8 * HOUR))
    await send(world, message("free", END + DAY + 12 * HOUR))
    assert await months(world, OF_LOTS) == {OCTOBER}
    await send(world, message("late", END - 2 * DAY + 10 * HOUR))

    assert (await settle(world)).corrected

    assert await months(world, OF_LOTS) == {OCTOBER, NOVEMBER}
    assert await months(world) == {OCTOBER, NOVEMBER}
    assert await findings(world) == []


async def test_a_row_that_a_hand_took_is_missed(world: World, database: Database) -> None:
    """Of a lot as well as of a closing, long closed or not."""
    await send(world, message("august", END - 70 * DAY))
    world.clock.at = END + 3 * DAY
    await close(world, OCTOBER - 2, key="august")
    await close(world, OCTOBER - 1, key="september")
    await send(world, message("november", END + DAY + MINUTE))
    await on(database.owner_url, "delete from periods")
    missing = [each for each in await findings(world) if each.startswith("periods")]
    assert sorted(missing) == [
        f"periods 2026-{month:02} is missing, should be there" for month in (8, 9, 11)
    ]
