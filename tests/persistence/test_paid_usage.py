"""What lots paid, apart by their source: as rolled up, by their days, and as a migration fills it.

The worlds come weeks late, are closed, settled, rated anew and adjusted; their hours are held
against the model elsewhere.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import asyncpg
import pytest

from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.settling import Cause, Settling
from api.verifying import Verifying
from domain.facts import Status
from domain.money import micros
from domain.periods import DAY, month_label, zone
from persistence.migrate import MIGRATIONS
from persistence.servers import Servers
from tests.conftest import Database
from tests.persistence.test_rating import PRICE, TEN, marketing, publish, rating, run_out, world
from tests.scenarios.world import World
from tests.simulation.acting import Acting, opened
from tests.simulation.world import world as seeded

__all__ = ["world"]

STEPS = 200
#: The book changes in 12, and 21 is restless.
SEEDS = (9, 12, 21)

COLUMNS = ("initial_units", "top_up_units", "initial_cost", "top_up_cost")

ROLLED_UP = """
select bucket as day, sum(initial_units)::bigint as initial_units,
    sum(top_up_units)::bigint as top_up_units, sum(initial_cost)::bigint as initial_cost,
    sum(cost - initial_cost)::bigint as top_up_cost
from usage_day where tenant_id = $1 group by 1"""

DRAWN = """
select d.day, l.source, b.currency, sum(d.used)::bigint as used
from lot_days d join lots l using (tenant_id, lot_id)
join balances b using (tenant_id, balance_id)
where d.tenant_id = $1 group by 1, 2, 3"""

EMPTY = """
update usage_hour set initial_units = 0, top_up_units = 0, initial_cost = 0;
update usage_day set initial_units = 0, top_up_units = 0, initial_cost = 0"""
OF_EACH = """
select to_jsonb(u)::text as row from {table} u where tenant_id = $1
order by bucket, number_id, direction, country, category, agent, broadcast"""

OF_THE_WORLD = """
select count(*) filter (where f.status = 3 and f.lot_id is not null) as adjusted,
    count(*) filter (where exists (
        select from revisions r where r.tenant_id = f.tenant_id and r.at = f.at and r.key = f.key
    )) as revised
from facts f where tenant_id = $1"""


def fill() -> str:
    """How the migration fills what is there already."""
    text = (MIGRATIONS / "0036_paid_usage.sql").read_text("utf-8")
    _, _, behind = text.partition("-- filling:")
    statements, mark, _ = behind.partition("-- filled")
    assert mark
    return "--" + statements


async def rolled_up(world: World, tenant: str) -> dict[str, list[str]]:
    return {
        table: [row["row"] for row in await world.rows(tenant, OF_EACH.format(table=table))]
        for table in ("usage_hour", "usage_day")
    }


@pytest.mark.parametrize("number", SEEDS)
async def test_what_lots_paid_is_apart_by_their_source(
    database: Database, servers: Servers, number: int
) -> None:
    """FI-5: of every local day initial and top-up usage are what their lots paid on it, and a
    database from before they were kept apart is filled with the same, to the last digit."""
    of = seeded(number, tenants=1, steps=STEPS, whole=True)
    (tenant,) = of.tenants
    name = tenant.setup["tenant"]
    async with opened(database.owner_url, database.app_url, servers) as world:
        acting = Acting(world, tenant, name)
        await acting.begin()
        chance = Random(f"{number} paid")
        for batch in of.arrivals(tenant, "weeks"):
            await acting.take([batch])
            if chance.random() < 0.02:
                await acting.settle()
        world.clock.at = of.end
        await check(world, database, name)
        await acting.settle()
        await check(world, database, name)

        met = await world.row(name, OF_THE_WORLD)
        assert met["adjusted"]
        assert met["revised"]


async def test_what_was_rated_after_its_closing_counts_where_it_is_paid(
    world: World, database: Database
) -> None:
    """EV-3, EV-7: what is taken is counted when the rate came, settled too; what was counted in the
    closed period stays there."""
    (result,) = await world.send([marketing(1)])
    assert result["status"] == "unrated"
    jakarta = zone("Asia/Jakarta")
    october = jakarta.month_bounds(month_label(2026, 10))
    amount, since = micros("100"), jakarta.date(october[1])
    await world.allow("acme", "whatsapp", amount, since=since, key="own")
    world.clock.at = october[1] + 5 * DAY
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    request = PeriodClose(tenant="acme", period=month_label(2026, 10), idempotency_key="close")
    await period_close.run(world.door, settling, request, now=world.clock.at)
    world.clock.at += DAY
    await publish(world)
    await run_out(rating(world))
    (charge,) = await world.charges("acme")
    assert charge.status == Status.ADJUSTED

    await check(world, database, "acme")
    await settling.settle(world.tenants["acme"].tenant_id, Cause.DEMAND)
    await check(world, database, "acme")
    counted = await world.rows(
        "acme",
        "select bucket, conversations, messages_out, cost, initial_cost from usage_day"
        " where tenant_id = $1 order by bucket",
    )
    assert [tuple(row) for row in counted] == [
        (jakarta.day_start(TEN), 1, 1, 0, 0), (october[1], 0, 0, micros(PRICE), amount)
    ]  # fmt: skip


async def check(world: World, database: Database, tenant: str) -> None:
    """Hold the days against the lots, empty the columns, fill them and look for a difference."""
    days: dict[int, Counter[str]] = {}
    for row in await world.rows(tenant, DRAWN):
        side = "initial" if row["source"] == 1 else "top_up"
        kind = "units" if row["currency"] is None else "cost"
        days.setdefault(row["day"], Counter())[f"{side}_{kind}"] += row["used"]
    summed = {
        row["day"]: +Counter({column: row[column] for column in COLUMNS})
        for row in await world.rows(tenant, ROLLED_UP)
    }
    assert {day: each for day, each in summed.items() if each} == {
        day: +each for day, each in days.items() if +each
    }
    kept = await rolled_up(world, tenant)
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute(EMPTY)
        assert await rolled_up(world, tenant) != kept
        await owner.execute(fill())
    finally:
        await owner.close()
    assert await rolled_up(world, tenant) == kept
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    found = await verifying.verify(world.tenants[tenant].tenant_id)
    assert not found.wrong, "\n".join(map(str, found.findings))
