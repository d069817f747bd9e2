"""Forecasts on a real database: what they go by, who is looked at, and what is told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import asyncpg
import pytest

from api.forecasting import REST, SET_ASIDE, Forecasting
from api.operations import threshold_set
from api.operations.threshold_set import ThresholdSet
from domain.periods import DAY, HOUR, MINUTE
from domain.watch import AlertCause, AlertKind, Measure, Threshold
from persistence import alerts, forecasts, looks
from persistence.connection import Connection
from persistence.door import CONNECTION_LOST
from persistence.forecasts import Asked, Busy, Kind
from tests.conftest import Database, on
from tests.persistence.test_alerts import ACME, UNIT, begin, raised, said, verified, visit
from tests.persistence.test_due import MONTH_END, FragileDoor
from tests.persistence.test_plans_of_queries import (
    LARGE,
    connection,
    explained,
    explained_generic,
    fill,
    read_whole,
)
from tests.scenarios.world import OPERATOR, Json, World

__all__ = ["connection"]

#: Midnight of 3 October in Jakarta.
START = MONTH_END - 29 * DAY
LINE = Threshold(Measure.DAYS, 3 * UNIT)
LOOKED = "select version, looked_at from forecasts where tenant_id = $1"


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    """A tenant with 50 conversations and 20 visitors a month."""
    async with World.open(app_url, redis_url, door=FragileDoor) as world:
        world.clock.at = START
        await begin(world, ACME)
        yield world


def forecasting(world: World) -> Forecasting:
    return Forecasting(world.door, world.catalogue, world.clock.now, world.show)


async def use(world: World, days: int = 8, *, tenant: str = ACME, a_day: int = 2) -> None:
    """Visitors at ten each morning, so many whole days; then it is half past midnight."""
    for day in range(days):
        world.clock.at = START + day * DAY + 10 * HOUR
        events = [visit(day * a_day + n, world.clock.at, tenant) for n in range(a_day)]
        assert {each["status"] for each in await world.send(events)} == {"accepted"}
    world.clock.at = START + days * DAY + 30 * MINUTE


async def below(world: World) -> set[Threshold]:
    head = await world.row(ACME, "select below from tenant_head where tenant_id = $1")
    return {threshold for _, threshold in alerts.marks(head["below"]) or ()}


def running_out(found: list[alerts.Alert]) -> list[tuple[str, str]]:
    return said([each for each in found if each.measure is Measure.DAYS])


def sent(n: int, at: int, category: str) -> Json:
    event = visit(n, at)
    event |= {"type": "message.delivered", "id": f"sent {n}"}
    event["data"] |= {"category": category, "template": "sale"}
    return event


async def test_use_is_read_by_balance_and_day(world: World) -> None:
    """Exactly as the days of lots say, whatever lot paid; hours and kinds of two weeks."""
    await world.top_up(ACME, "whatsapp", 700 * UNIT, key="money")
    await begin_other(world)
    await use(world, 3)
    ten = START + 2 * DAY + 10 * HOUR
    categories = ("marketing", "utility")
    results = await world.send([sent(900 + n, ten, each) for n, each in enumerate(categories)])
    assert [each["status"] for each in results] == ["accepted"] * 2
    acme, other = (world.tenants[each] for each in (ACME, "other"))
    asked = [Asked.of(each.tenant_id, each.zone, world.clock.at) for each in (other, acme)]
    nothing, found = await forecasts.histories(world.door, asked)
    assert (nothing.days, nothing.hours, nothing.kinds) == ({}, {}, [])
    assert found.days["visitors"] == {START + day * DAY: 2 * UNIT for day in range(3)}
    cost = found.days["whatsapp"][START + 2 * DAY]
    assert list(found.days["whatsapp"]) == [START + 2 * DAY]
    assert cost > 700 * UNIT  # the overdraft's days are among them
    assert sorted(found.hours) == [START + day * DAY + 10 * HOUR for day in range(3)]
    assert found.hours[START + 10 * HOUR] == Busy(0, 0, 2, 2 * UNIT)
    assert found.hours[ten].cost == cost
    assert sum(kind.cost for kind in found.kinds) == cost
    assert {kind[:4] for kind in found.kinds} == {
        ("whatsapp", "out", "marketing", "ID"), ("whatsapp", "out", "utility", "ID")
    }  # fmt: skip
    assert all(isinstance(kind, Kind) for kind in found.kinds)


@pytest.mark.parametrize("state", ["empty", "analyzed"])
async def test_histories_go_by_index(
    database: Database, connection: Connection, state: str
) -> None:
    """No table that grows is read whole, nor all of a tenant."""
    if state != "empty":
        await fill(database)
        await on(database.owner_url, "analyze")
    asked = ([1, 2], [5, 5], [19_000, 19_000])
    for plan in (
        await explained(connection, forecasts.HISTORIES, asked),
        await explained_generic(connection, forecasts.HISTORIES, asked),
    ):
        assert set(read_whole(plan)) & LARGE == set()


async def begin_other(world: World) -> None:
    """A tenant to whom nothing happened."""
    await world.tenant("other", plan="college-small")


async def test_a_balance_that_runs_out_is_told_once(world: World) -> None:
    """Two visitors a day of twenty: behind eight days four are left, which is two days."""
    await use(world)
    await forecasting(world).step()
    (alert,) = [each for each in await raised(world) if each.kind is AlertKind.RUNNING_OUT]
    assert (alert.cause, alert.measure, alert.threshold) == (
        AlertCause.FORECAST, Measure.DAYS, 3 * UNIT
    )  # fmt: skip
    assert alert.remaining == 4 * UNIT
    assert UNIT < alert.base < 3 * UNIT  # days
    assert LINE in await below(world)
    head = await world.row(ACME, "select version, alerted from tenant_head where tenant_id = $1")
    assert head["version"] == head["alerted"] == (await world.row(ACME, LOOKED))["version"]
    # Who has not moved is looked at again for what was told, and nothing is told twice.
    for _ in range(3):
        world.clock.at += HOUR
        await forecasting(world).step()
    assert len(running_out(await raised(world))) == 1
    await world.top_up(ACME, "visitors", 5 * UNIT, key="few")
    assert LINE in await below(world)  # a movement leaves it to the forecast
    await world.top_up(ACME, "visitors", 500 * UNIT, key="many")
    world.clock.at += HOUR
    await forecasting(world).step()
    assert running_out(await raised(world)) == [
        ("RUNNING_OUT", "FORECAST"), ("RECOVERED", "FORECAST")
    ]  # fmt: skip
    assert LINE not in await below(world)
    await verified(world)


async def test_who_did_not_move_is_not_looked_at(world: World) -> None:
    """Hourly at most, by what was seen; and everybody rests where nobody is due."""
    await use(world, 4)
    tenant_id = world.tenants[ACME].tenant_id
    looking = forecasting(world)
    assert await looks.due(world.door, world.clock.at) == [tenant_id]
    await looking.step()
    first = await world.row(ACME, LOOKED)
    assert first["looked_at"] == world.clock.at
    assert await looks.due(world.door, world.clock.at) == []
    world.clock.at += 2 * HOUR
    assert await looks.due(world.door, world.clock.at) == []
    await looking.step()
    assert await world.row(ACME, LOOKED) == first
    await world.send([visit(100, world.clock.at)])
    await looking.step()  # it rests
    assert await world.row(ACME, LOOKED) == first
    world.clock.at += REST
    await looking.step()
    assert (await world.row(ACME, LOOKED))["looked_at"] == world.clock.at
    await world.send([visit(101, world.clock.at)])
    assert await looks.due(world.door, world.clock.at - HOUR) == []
    assert await looks.due(world.door, world.clock.at, [tenant_id]) == []


async def test_several_processes_tell_it_once(world: World) -> None:
    """AL-4: it is decided under the tenant's lock; one that is held comes again."""
    await use(world)
    await asyncio.gather(*(forecasting(world).step() for _ in range(4)))
    assert running_out(await raised(world)) == [("RUNNING_OUT", "FORECAST")]
    tenant_id = world.tenants[ACME].tenant_id
    world.clock.at += HOUR
    await world.top_up(ACME, "visitors", 500 * UNIT, key="many")
    looking = forecasting(world)
    async with world.door.tenant_tx(tenant_id) as connection:
        held = "select from tenant_head where tenant_id = $1 for no key update"
        await connection.execute(held, tenant_id)
        await looking.step()
    assert len(running_out(await raised(world))) == 1
    world.clock.at += REST
    await looking.step()
    assert running_out(await raised(world))[1:] == [("RECOVERED", "FORECAST")]


async def test_a_look_that_breaks_at_any_statement_tells_once(world: World) -> None:
    """AL-4: wherever the connection broke, the next look tells what this one did not."""
    await use(world)
    assert isinstance(world.door, FragileDoor)
    for statement in count(1):
        world.door.breaks_after = statement
        try:
            await forecasting(world).step()
        except CONNECTION_LOST:
            assert len(running_out(await raised_after(world))) <= 1
            continue
        finally:
            world.door.breaks_after = None
        break
    assert statement > 6
    world.clock.at += HOUR
    await forecasting(world).step()
    assert running_out(await raised(world)) == [("RUNNING_OUT", "FORECAST")]


async def raised_after(world: World) -> list[alerts.Alert]:
    assert isinstance(world.door, FragileDoor)
    world.door.breaks_after = None
    return await raised(world)


async def test_days_are_the_tenants_own(world: World) -> None:
    """Another number of days ends what was told by the one before; 0 is never told."""

    async def days(number: int | None, key: str) -> None:
        request = ThresholdSet(
            tenant=ACME, balance="visitors", percents=(), units=(), running_out_days=number,
            idempotency_key=key,
        )  # fmt: skip
        await threshold_set.run(
            world.door, world.catalogue, world.show, OPERATOR, request, now=world.clock.now()
        )
        world.clock.at += HOUR
        await forecasting(world).step()

    await use(world)
    await days(0, "never")
    assert running_out(await raised(world)) == []
    await days(7, "week")
    assert running_out(await raised(world)) == [("RUNNING_OUT", "FORECAST")]
    await days(None, "default")
    found = [each for each in await raised(world) if each.measure is Measure.DAYS]
    assert [(each.kind.name, each.threshold) for each in found[1:]] == [
        ("RECOVERED", 7 * UNIT), ("RUNNING_OUT", 3 * UNIT)
    ]  # fmt: skip
    # What is watched for beside it stayed as it is of every balance.
    assert {each.value for each in await below(world)} >= {40 * UNIT}


async def test_one_that_cannot_be_looked_at_stands_in_nobodys_way(
    world: World, database: Database
) -> None:
    await use(world)
    await begin_other(world)
    owner = await asyncpg.connect(database.owner_url)
    other = world.tenants["other"].tenant_id
    await owner.execute("update tenants set plan = 'nowhere' where tenant_id = $1", other)
    await owner.execute("update tenant_head set version = 1 where tenant_id = $1", other)
    await owner.close()
    looking = forecasting(world)
    await looking.step()
    assert running_out(await raised(world)) == [("RUNNING_OUT", "FORECAST")]
    assert looking._aside == {other: world.clock.at + SET_ASIDE}
    assert other not in await looks.due(world.door, world.clock.at, looking._aside)
