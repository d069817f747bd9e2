"""The job that settles who has late facts: when it is whose turn, and who is passed over (EV-9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest

from api.jobs import Jobs
from api.metrics import Metrics
from api.settle_job import SET_ASIDE, SettleJob
from api.settling import Cause, Settling
from domain.periods import HOUR, MINUTE, SECOND
from persistence import unsettled
from tests.conftest import Database, on
from tests.persistence.test_due import at, work
from tests.persistence.test_settling_at_once import Between, outbound
from tests.scenarios.world import World

TEN = at("2026-10-20 10:00")
WITHIN = 900
names = count()


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    async with World.open(app_url, redis_url) as world:
        world.clock.at = TEN
        for tenant in ("acme", "beta"):
            await world.tenant(tenant)
            await world.number(tenant, "wa", "whatsapp", "+62 800 0000 01")
        yield world


def settling(world: World, **how: object) -> Settling:
    return Settling(world.door, world.catalogue, world.clock.now, world.show, **how)  # type: ignore[arg-type]


def job(world: World, metrics: Metrics | None = None) -> SettleJob:
    return SettleJob(world.door, settling(world), world.clock.now, metrics or Metrics(), WITHIN)


async def answer(world: World, when: int, tenant: str = "acme", contact: int = 1) -> None:
    event = {**outbound(next(names), when, contact=contact), "subject": tenant}
    (result,) = await world.send([event])
    assert result["status"] == "accepted"


async def late(world: World, tenant: str = "acme") -> None:
    """An answer now, and one of two hours ago that comes behind it."""
    await answer(world, world.clock.at, tenant)
    await answer(world, world.clock.at - 2 * HOUR, tenant)


async def waiting(world: World) -> list[str]:
    return await unsettled.marked(world.door)


async def causes(world: World, tenant: str = "acme") -> list[int]:
    rows = await world.rows(tenant, "select cause from settlements where tenant_id = $1")
    return [row["cause"] for row in rows]


async def test_nobody_is_settled_who_has_no_late_facts(world: World) -> None:
    await answer(world, TEN)
    world.clock.at = TEN + HOUR

    assert not await job(world).step()
    assert await waiting(world) == []


async def test_who_came_to_rest_is_settled_soon(world: World) -> None:
    """EV-9: within the time that is set; a tenth of it without a commit is rest."""
    metrics = Metrics()
    step = job(world, metrics).step
    await late(world)
    world.clock.at = TEN + WITHIN * SECOND // 10 - 1
    assert not await step()
    assert b"kuota_unsettled_tenants 1.0" in metrics.page()[0]

    world.clock.at += 1
    assert await step()

    assert (await waiting(world), await causes(world)) == ([], [Cause.LATE])
    assert not await step()
    told = await world.rows(
        "acme",
        "select what, actor, actor_kind, after ->> 'corrected' as corrected from audit"
        " where tenant_id = $1 order by audit_id desc",
    )
    assert tuple(told[0]) == ("settle", "job settle", "job", "2")
    assert [row["what"] for row in told].count("settle") == 1
    page = metrics.page()[0]
    assert b"kuota_unsettled_tenants 0.0" in page
    assert b"kuota_facts_settled_total 2.0" in page
    assert b"kuota_facts_corrected_total 2.0" in page


async def test_who_never_rests_is_settled_in_time(world: World) -> None:
    """EV-9: by the first mark, however many follow; half of the time is left for the work."""
    step = job(world).step
    await late(world)
    settled_at = []
    for minute in range(1, 12):
        world.clock.at = TEN + minute * MINUTE
        await answer(world, world.clock.at, contact=9)
        await answer(world, world.clock.at - HOUR, contact=9 + minute)
        if await step():
            settled_at.append(minute)
    assert settled_at == [8]


async def test_the_longest_waiting_comes_first(world: World) -> None:
    await late(world, "beta")
    world.clock.at += MINUTE
    await late(world, "acme")
    assert await waiting(world) == ["beta", "acme"]
    world.clock.at += HOUR

    assert await job(world).step()
    assert await waiting(world) == ["acme"]


async def test_who_is_settled_by_another_process_is_passed_over(world: World) -> None:
    """EV-9: others go on, and it has its turn again once nobody else is left."""
    await late(world, "acme")
    await late(world, "beta")
    world.clock.at += HOUR
    mine = job(world)
    steps: list[bool] = []

    async def meanwhile() -> None:
        steps.extend([await mine.step(), await mine.step(), await mine.step()])

    other = settling(world, rest=Between(meanwhile))
    await other.settle(world.tenants["acme"].tenant_id, Cause.DEMAND)

    assert steps == [True, True, False]  # passed over, the other one settled, nobody left
    assert await causes(world, "beta") == [Cause.LATE]
    assert await causes(world, "acme") == [Cause.DEMAND]


async def test_who_cannot_be_settled_is_set_aside(world: World, database: Database) -> None:
    """EV-9: for five minutes, and the others have their turn."""
    await late(world, "acme")
    await late(world, "beta")
    world.clock.at += HOUR
    await on(
        database.owner_url,
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'not this one'; end $$",
        "create trigger refuse before insert on settlements for each row"
        f" when (new.tenant_id = {world.tenants['acme'].tenant_id}) execute function refuse()",
    )
    metrics = Metrics()
    step = job(world, metrics).step
    first = [await step() for _ in range(3)]

    assert first == [True, True, False]
    assert await waiting(world) == ["acme"]
    assert b'kuota_failures_total{where="settling"} 1.0' in metrics.page()[0]

    await on(database.owner_url, "drop trigger refuse on settlements")
    world.clock.at += SET_ASIDE - 1
    assert not await step()
    world.clock.at += 1
    assert await step()
    assert await waiting(world) == []


async def test_a_mark_from_before_the_instant_was_kept_is_due(
    world: World, database: Database
) -> None:
    """Nobody knows for how long it waits."""
    await late(world)
    await on(database.owner_url, "update tenant_head set unsettled_at = null")

    assert await job(world).step()
    assert await waiting(world) == []


async def test_the_jobs_of_a_process_settle(world: World) -> None:
    """EV-9: at the pace of the others, again and again."""
    done = asyncio.Event()

    async def rest(seconds: float) -> None:
        if await causes(world):
            done.set()

    jobs = Jobs(
        world.door, world.catalogue, world.clock.now, world.show, None, Metrics(),
        rest=rest, settle=job(world).step,
    )  # fmt: skip
    await late(world)
    world.clock.at += HOUR
    await work(jobs, done)

    assert await waiting(world) == []
