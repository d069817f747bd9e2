"""What lots paid, apart by their source: as rolled up, by their days, and as a migration fills it.

The worlds come weeks late, are closed, settled, rated anew and adjusted; their hours are held
against the model elsewhere.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.settling import Cause, Settling
from api.verifying import Verifying
from domain.facts import Status
from domain.money import micros
from domain.periods import DAY, HOUR, MINUTE, month_label, zone
from persistence.migrate import MIGRATIONS
from persistence.servers import Servers
from tests.conftest import Database, on
from tests.persistence.test_rating import (
    JAKARTA,
    PRICE,
    TEN,
    marketing,
    priced,
    publish,
    rating,
    run_out,
    world,
)
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
update usage_hour set initial_units = 0, top_up_units = 0, initial_cost = 0, messages_free = 7;
update usage_day set initial_units = 0, top_up_units = 0, initial_cost = 0, messages_free = 7"""
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


async def test_what_turns_out_to_be_free_later_stays_on_its_card(
    world: World, database: Database
) -> None:
    """FI-4: a message without a rate in a closed October is marketing; a rate of nothing takes it
    off no card of November, and puts it on none."""
    await world.send([marketing(1)])
    jakarta = zone("Asia/Jakarta")
    october = jakarta.month_bounds(month_label(2026, 10))
    world.clock.at = october[1] + 5 * DAY
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    request = PeriodClose(tenant="acme", period=month_label(2026, 10), idempotency_key="close")
    await period_close.run(world.door, settling, request, now=world.clock.at)
    world.clock.at += DAY
    await priced(world, "0")
    await run_out(rating(world))
    tenant_id = world.tenants["acme"].tenant_id
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    for step in ("rated", "settled"):
        if step == "settled":
            await settling.settle(tenant_id, Cause.DEMAND)
        assert await of_cards(world) == {(jakarta.day_start(TEN), 1, 0)}
        found = await verifying.verify(tenant_id)
        assert not found.wrong, "\n".join(map(str, found.findings))
    await refilled(database)
    assert await of_cards(world) == {(jakarta.day_start(TEN), 1, 0)}


#: Where clocks change in the weeks of these tests, and by how much: an hour, or half of one.
CLOCKS = {
    "Australia/Lord_Howe": "2026-10-04 02:00", "America/New_York": "2026-11-01 01:30",
    "America/Santiago": "2026-09-06 00:00", "Asia/Kathmandu": "2026-10-20 10:00",
}  # fmt: skip


@pytest.mark.parametrize("name", CLOCKS)
async def test_what_was_paid_is_filled_into_the_hour_that_counted_it(
    world: World, database: Database, name: str
) -> None:
    """FI-5: where clocks change too, and of each hour and day what it paid itself."""
    shown = datetime.fromisoformat(CLOCKS[name]).replace(tzinfo=ZoneInfo(name))
    change = int(shown.timestamp()) * 1_000_000
    world.clock.at = change - DAY
    await world.tenant("clocks", timezone=name)
    await world.number("clocks", "wa2", "whatsapp", "+62 800 0000 02")
    world.clock.at = change + DAY
    told = []
    for n in range(-20, 20):
        event = marketing(100 + n, JAKARTA, change + n * 11 * MINUTE)
        event["data"]["number"] = "+62 800 0000 02"
        told.append(event | {"subject": "clocks"})
    results = await world.send(told)
    assert {each["status"] for each in results} == {"accepted"}
    kept = await rolled_up(world, "clocks")
    assert len(kept["usage_hour"]) >= 8

    await refilled(database)

    assert await rolled_up(world, "clocks") == kept


async def test_an_hour_that_is_lost_is_nobody_elses(world: World, database: Database) -> None:
    """A migration that finds no row where a fact has paid says so; it guesses no other."""
    before, after = marketing(1, JAKARTA, TEN - 3 * HOUR), marketing(2, JAKARTA, TEN)
    await world.send([before, after])
    hour = zone("Asia/Jakarta").hour_start(TEN)
    await on(database.owner_url, f"delete from usage_hour where bucket = {hour}")

    with pytest.raises(asyncpg.RaiseError, match="usage_hour of acme has no row"):
        await refilled(database)


CARDS = """
select bucket, sum(messages_out)::int, sum(messages_free)::int from usage_day
where tenant_id = $1 group by 1
having sum(messages_out) <> 0 or sum(messages_free) <> 0"""


async def of_cards(world: World) -> set[tuple[int, ...]]:
    """The days that have messages, how many, and how many of them were free."""
    return {tuple(row) for row in await world.rows("acme", CARDS)}


async def refilled(database: Database) -> None:
    """Empty what the migration fills, and let it."""
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute(EMPTY)
        await owner.execute(fill())
    finally:
        await owner.close()


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
