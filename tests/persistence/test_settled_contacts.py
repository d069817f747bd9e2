"""Contacts after settling: whose message it was is told by the order, and may be somebody else's.

One message may come for a contact alone, in a group and on two numbers; it is charged once (EV-5),
and moves the windows of one of them.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.settling import Cause, Settled, Settling
from api.verifying import Verifying
from domain.periods import DAY, HOUR, MINUTE, instant, iso, month_label
from tests.conftest import Database
from tests.scenarios.world import Json, World

TENANT = "college"
OCTOBER = month_label(2026, 10)
END = instant(datetime.fromisoformat("2026-11-01T00:00:00-05:00"))
CONTACT, OTHER = "628110000001", "628110000002"

ROWS = """
select party, n.address, last_at, service_ends_at, conversation_opened_at, conversation_paid,
    category_windows, visited
from contacts c join numbers n using (tenant_id, number_id)
where c.tenant_id = $1
order by 1, 2"""


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = END - 20 * DAY
        for tenant in (TENANT, "in-order"):
            await world.tenant(tenant, timezone="America/Bogota", plan="college-small")
            await world.number(tenant, "wa", "whatsapp", "+62 800 0000 01")
            await world.number(tenant, "wa2", "whatsapp", "+62 800 0000 02")
        yield world


def message(
    id: str, at: int, kind: str = "delivered", *, contact: str = CONTACT, group: str = "",
    number: int = 1, message_id: str = "m", tenant: str = TENANT,
) -> Json:  # fmt: skip
    data: Json = {"number": f"+62 800 0000 0{number}", "contact": f"+{contact}"}
    if group:
        data["group"] = {"id": group, "members": []}
    if kind != "received":
        data |= {"category": "service", "message_id": message_id}
    return {
        "id": id, "source": "s", "type": f"message.{kind}", "time": iso(at), "subject": tenant,
        "data": data,
    }  # fmt: skip


async def send(world: World, *events: Json) -> None:
    for result in await world.send(list(events)):
        assert result["status"] in ("accepted", "adjusted", "unrated"), result


def settling(world: World, page_facts: int = 2_000) -> Settling:
    return Settling(world.door, world.catalogue, world.clock.now, world.show, page_facts=page_facts)


async def settle(world: World, page_facts: int = 2_000) -> Settled:
    tenant_id = world.tenants[TENANT].tenant_id
    return await settling(world, page_facts).settle(tenant_id, Cause.DEMAND)


async def close(world: World, label: int = OCTOBER) -> None:
    request = PeriodClose(tenant=TENANT, period=label, idempotency_key=f"close {label}")
    await period_close.run(world.door, settling(world), request, now=world.clock.now())


async def findings(world: World) -> list[str]:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    verified = await verifying.verify(world.tenants[TENANT].tenant_id)
    return [str(finding) for finding in verified.findings]


async def contacts(world: World, tenant: str = TENANT) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await world.rows(tenant, ROWS)]


@pytest.mark.parametrize("other", [{"group": "g"}, {"number": 2}], ids=("group", "number"))
async def test_a_message_that_was_somebody_elses_moves_no_window(
    world: World, other: dict[str, Any]
) -> None:
    """The later one came first: the contact of the earlier one gets its row, that one keeps none,
    and whatever comes next finds them as if they had come in order."""
    at = END - 10 * DAY
    world.clock.at = at + HOUR
    later, earlier = message("2", at + MINUTE, **other), message("1", at)
    await send(world, later)
    await send(world, earlier)
    before = await contacts(world)

    settled = await settle(world)

    assert settled.corrected == 2
    after = await contacts(world)
    assert ([row[2] for row in before], [row[2] for row in after]) == ([at + MINUTE], [at])
    assert (after[0][0], after[0][1]) == (CONTACT, "62800000001")
    assert await findings(world) == []
    await settle(world)
    assert await findings(world) == []

    following = [
        message("3", at + 2 * MINUTE, message_id="n", **other),
        message("4", at + 3 * MINUTE, message_id="o"),
    ]
    await send(world, *following)
    assert not (await settle(world)).corrected
    assert await findings(world) == []
    for event in (earlier, later, *following):
        await send(world, event | {"subject": "in-order"})
    assert await contacts(world) == await contacts(world, tenant="in-order")


async def test_after_a_closing_and_from_a_midnight_it_is_the_same(world: World) -> None:
    """What is known of closed periods stays, of who has nothing else as well (EV-3)."""
    world.clock.at = END - DAY
    await send(
        world,
        message("in", END - 9 * DAY, "received", contact=OTHER),
        message("group", END - 9 * DAY, "received", group="g"),
    )
    world.clock.at = END + 2 * DAY
    await close(world)
    known = await contacts(world)
    assert await findings(world) == []

    at = END + DAY
    await send(world, message("2", at + MINUTE, group="g"))
    await send(world, message("2o", at + MINUTE, contact=OTHER, number=1, message_id="p"))
    await send(world, message("1", at), message("1o", at, contact=OTHER, number=2, message_id="p"))
    await settle(world)
    assert await findings(world) == []
    visited = {row[:2]: row[-1] for row in await contacts(world)}
    assert visited.items() >= {row[:2]: row[-1] for row in known}.items()

    world.clock.at = at = END + 5 * DAY
    await settle(world)  # passes midnights
    await send(world, message("4", at - MINUTE, group="g", message_id="q"))
    await send(world, message("3", at - HOUR, number=2, message_id="q"))
    settled = await settle(world)
    assert settled.facts == 2, "it began at a midnight"
    assert await findings(world) == []

    world.clock.at = END + 32 * DAY
    await close(world, OCTOBER + 1)
    assert await findings(world) == []


@pytest.mark.parametrize("seed", range(4))
async def test_whosever_it_is_settling_leaves_nothing_to_be_found(world: World, seed: int) -> None:
    """Few messages, each alone, in groups and on two numbers, days late, with a closing."""
    chance = random.Random(seed)
    world.clock.at = END + 3 * DAY
    events = []
    for n in range(120):
        at = END + chance.randrange(-4 * DAY, 3 * DAY) // MINUTE * MINUTE
        events.append(
            message(
                str(n), at, chance.choice(("delivered", "read", "sent", "received", "failed")),
                contact=f"62812000{chance.randrange(12):04}", group=chance.choice(("", *"abcdef")),
                number=chance.choice((1, 2)), message_id=f"m{chance.randrange(3)}",
            )
        )  # fmt: skip
    closed_at = chance.randrange(100)
    for n, event in enumerate(events):
        await send(world, event)
        if n == closed_at:
            await close(world)
        if chance.random() < 0.06:
            world.clock.at += chance.choice((MINUTE, HOUR, DAY))
            await settle(world, chance.choice((2, 7, 2_000)))
            assert await findings(world) == []
    await settle(world)
    assert await findings(world) == []
