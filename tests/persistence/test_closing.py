"""Closed periods: what comes for them is adjusted, and they stay as they are (EV-3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.settling import Cause, Settling
from domain.facts import Status
from domain.periods import DAY, HOUR, MINUTE, instant, iso, month_label
from domain.problems import Problem
from persistence.actions import Action
from persistence.servers import Servers
from tests.conftest import Database
from tests.persistence.test_settling import BOOKS, books
from tests.scenarios.world import Json, World

TENANT = "college"
OCTOBER, NOVEMBER = month_label(2026, 10), month_label(2026, 11)
END = instant(datetime.fromisoformat("2026-11-01T00:00:00-05:00"))
UNIT = 1_000_000


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    assert servers.addresses.redis_url is not None
    async with World.open(database.app_url, servers.addresses.redis_url) as world:
        world.clock.at = END - 20 * DAY
        await world.tenant(TENANT, timezone="America/Bogota", plan="college-small")
        await world.number(TENANT, "wa", "whatsapp", "+62 800 0000 01")
        yield world


def settling(world: World, page_facts: int = 2_000) -> Settling:
    return Settling(world.door, world.catalogue, world.clock.now, world.show, page_facts=page_facts)


async def close(world: World, label: int = OCTOBER, *, key: str = "close") -> Action:
    request = PeriodClose(tenant=TENANT, period=label, idempotency_key=key)
    return await period_close.run(world.door, settling(world), request, now=world.clock.now())


def message(id: str, at: int, kind: str = "delivered", contact: str = "1", **more: str) -> Json:
    data: Json = {"number": "+62 800 0000 01", "contact": f"+62 811 0000 00{contact:0>2}"} | more
    if kind == "delivered":
        data |= {"category": "service"} | more
    return {
        "id": id, "source": "s", "type": f"message.{kind}", "time": iso(at), "subject": TENANT,
        "data": data,
    }  # fmt: skip


async def send(world: World, *events: Json) -> list[str]:
    for event in events:
        at = instant(datetime.fromisoformat(event["time"]))
        world.clock.at = max(world.clock.at, at)
    return [result["status"] for result in await world.send(list(events))]


async def october(world: World) -> None:
    """A month with a paid conversation, a visitor and marketing; it is over."""
    await send(world, message("in", END - 3 * DAY, "received"))
    await send(world, message("out", END - 3 * DAY + MINUTE))
    await send(world, message("ad", END - 2 * DAY, contact="2", category="marketing", template="t"))
    world.clock.at = END + 2 * DAY


async def charges(world: World, id: str) -> list[tuple[int, str, int, str]]:
    """A fact's charges as they hold: status, balance, amount, the first lot that paid."""
    rows = await books(world, TENANT)
    return [
        (status, balance, amount, legs[0].split()[0] if legs else "")
        for found, status, _, _, balance, _, amount, legs in rows["charges"]
        if found == id and balance is not None
    ]


async def test_what_comes_for_a_closed_period_is_paid_by_the_open_one(world: World) -> None:
    """EV-3: rated by its own time, paid by what is open, counted when it came."""
    await october(world)
    closed = await close(world)
    assert closed.body["closed_until"] == END
    before = await books(world, TENANT)

    late = [
        message("late", END - 3 * DAY + HOUR),  # inside the paid conversation
        message("new", END - 10 * DAY, contact="3"),
        message("visit", END - 9 * DAY, "received", contact="3"),
        message("visit2", END - 8 * DAY, "received", contact="3"),
        message("ad2", END - DAY, contact="2", category="marketing", template="t"),
    ]
    assert await send(world, *late) == ["adjusted"] * 5

    assert await charges(world, "late") == [(Status.ADJUSTED, "conversations", 0, "")]
    (one,) = await charges(world, "new")
    assert one == (Status.ADJUSTED, "conversations", UNIT, "allowance/2026-11")
    assert await charges(world, "visit") == [
        (Status.ADJUSTED, "visitors", UNIT, "allowance/2026-11")
    ]
    assert await charges(world, "visit2") == []
    (one,) = await charges(world, "ad2")
    assert one[1] == "whatsapp"
    after = await books(world, TENANT)
    kept = {row[0]: row for row in before["charges"]}
    assert kept.items() <= {row[0]: row for row in after["charges"]}.items()
    assert [row for row in after["usage"] if row[0] < END] == before["usage"]
    days = [row for row in after["days"] if row[2] < END]
    assert days == before["days"]


async def test_folding_again_begins_at_the_closing(world: World) -> None:
    """EV-3, EV-9: after a closing nothing of before is read; adjusted facts keep their place."""
    await october(world)
    await send(world, message("nov", END + DAY, contact="4"))
    world.clock.at = END + 2 * DAY
    await close(world)
    await send(world, message("new", END - 10 * DAY, contact="3"))
    await send(world, message("visit", END - 9 * DAY, "received", contact="3"))
    await send(world, message("open", world.clock.at + MINUTE, contact="5"))
    world.clock.at += HOUR
    before = await books(world, TENANT)

    tenant_id = world.tenants[TENANT].tenant_id
    settled = await settling(world, 2).settle(tenant_id, Cause.DEMAND)

    assert settled.settlement_id is None, settled
    assert settled.facts == 4
    after = await books(world, TENANT)
    for name in BOOKS:
        assert after[name] == before[name], name


async def test_what_is_late_in_the_open_period_is_settled_beside_it(world: World) -> None:
    """EV-4, EV-9: a conversation over the closing goes on; a late message of November is put in."""
    await october(world)
    await send(world, message("over", END - HOUR, contact="6"))
    world.clock.at = END + 2 * DAY
    await close(world)
    world.clock.at = END + 3 * DAY
    await send(world, message("second", END + 30 * HOUR, contact="7"))
    await send(world, message("first", END + 29 * HOUR, contact="7"))
    await send(world, message("inside", END + 2 * HOUR, contact="6"))

    tenant_id = world.tenants[TENANT].tenant_id
    settled = await settling(world).settle(tenant_id, Cause.DEMAND)

    assert settled.corrected == 2
    (first,) = await charges(world, "first")
    assert first[1:] == ("conversations", UNIT, "allowance/2026-11")
    (second,) = await charges(world, "second")
    assert second[2] == 0
    (inside,) = await charges(world, "inside")
    assert inside[2] == 0
    assert (await settling(world).settle(tenant_id, Cause.DEMAND)).settlement_id is None


async def test_a_period_is_closed_when_it_is_over_and_once(world: World) -> None:
    """EV-3: the clock closes nothing; a key closes once; what is closed stays so."""
    await october(world)
    with pytest.raises(Problem, match="2026-11 ends at") as problem:
        await close(world, NOVEMBER)
    assert problem.value.code == "PERIOD_OPEN"
    first = await close(world)
    assert await close(world) == first
    with pytest.raises(Problem) as problem:
        await close(world, key="another")
    assert problem.value.code == "ALREADY_CLOSED"
    with pytest.raises(Problem) as problem:
        await close(world, OCTOBER - 1, key="close")
    assert problem.value.code == "IDEMPOTENCY_KEY_REUSED"
    world.clock.at = END + 40 * DAY
    second = await close(world, NOVEMBER, key="november")
    assert second.body["closed_until"] > END
    rows = await world.rows(
        TENANT, "select month, closed_at is not null from periods where tenant_id = $1 order by 1"
    )
    assert dict(map(tuple, rows))[NOVEMBER] is True
    assert (await world.reading(TENANT, END - MINUTE)).closed


async def test_a_contact_may_be_open_at_two_closings(world: World) -> None:
    """EV-3: the second closing begins with the windows of the first, and keeps its own."""
    await send(world, message("oct", END - HOUR))
    world.clock.at = END + 2 * DAY
    await close(world)
    end = END + 30 * DAY
    await send(world, message("nov", end - HOUR))
    world.clock.at = end + 2 * DAY
    closed = await close(world, NOVEMBER, key="november")
    assert closed.body["closed_until"] == end
    await send(world, message("inside", end + HOUR))
    tenant_id = world.tenants[TENANT].tenant_id
    assert (await settling(world).settle(tenant_id, Cause.DEMAND)).settlement_id is None
    (inside,) = await charges(world, "inside")
    assert inside[2] == 0


async def test_a_call_over_the_end_of_a_closed_period_stays_what_it_was(world: World) -> None:
    """EV-3, VO-1: what was there when its period was closed is not adjusted, whenever it ended."""
    await send(world, called("there", END + MINUTE))
    world.clock.at = END + 2 * DAY
    await close(world)
    tenant_id = world.tenants[TENANT].tenant_id
    assert (await settling(world).settle(tenant_id, Cause.DEMAND)).settlement_id is None
    assert await send(world, called("late", END + MINUTE)) == ["adjusted"]
    world.clock.at += DAY
    assert (await settling(world).settle(tenant_id, Cause.DEMAND)).settlement_id is None


def called(id: str, at: int) -> Json:
    data = {"number": "+62 800 0000 01", "contact": "+62 811 0000 0009", "direction": "in"}
    return message(id, at) | {"type": "call.ended", "data": data | {"seconds": 120}}


async def test_what_is_adjusted_between_an_end_and_its_closing_is_kept(world: World) -> None:
    """EV-3: it came after October's end, so it is in no figures that October was closed with."""
    world.clock.at = END - 20 * DAY
    await close(world, OCTOBER - 1, key="september")
    await send(world, message("oct", END - 3 * DAY))
    world.clock.at = END + HOUR
    september = END - 40 * DAY
    assert await send(world, message("new", september, contact="3")) == ["adjusted"]
    (before,) = await charges(world, "new")
    assert before[2:] == (UNIT, "allowance/2026-11")
    world.clock.at = END + 2 * DAY
    await close(world)
    world.clock.at += HOUR
    tenant_id = world.tenants[TENANT].tenant_id
    assert (await settling(world).settle(tenant_id, Cause.DEMAND)).settlement_id is None
    assert await charges(world, "new") == [before]
