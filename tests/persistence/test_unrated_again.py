"""What settling finds unrated, which came otherwise: it is rated when its rate comes (EV-7, EV-9).

Of two statuses of a message the first one in order charges it. Where that one comes last, and no
rate covers it, it was accepted without a charge and is unrated once it is settled.
"""

from __future__ import annotations

import asyncio

import pytest

from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.settling import Cause, Settled, Settling
from api.verifying import Verifying
from domain.facts import Status
from domain.money import micros
from domain.periods import DAY, HOUR, MINUTE, instant, moment, month_label, period
from persistence import log
from persistence.migrate import MIGRATIONS
from persistence.report_charges import CHARGES
from persistence.usage_lines import used
from tests.conftest import Database, on
from tests.persistence.test_plans_of_queries import LARGE, explained, explained_generic, read_whole
from tests.persistence.test_rating import (
    BRAZIL,
    INDIA,
    PRICE,
    TEN,
    another,
    marketing,
    publish,
    rating,
    run_out,
    waiting,
    world,
)
from tests.scenarios.world import Json, World

__all__ = ["world"]

OCTOBER = month_label(2026, 10)
#: Of months of Jakarta.
NOVEMBER, DECEMBER = (instant(moment(0).replace(year=2026, month=m)) - 7 * HOUR for m in (11, 12))


def read(n: int) -> Json:
    """A later status of a message, by which it is no marketing."""
    status = marketing(n, INDIA, TEN + MINUTE + n)
    data = {name: status["data"][name] for name in ("number", "contact", "message_id")}
    return status | {"id": f"r{n}", "type": "message.read", "data": data | {"category": "service"}}


async def came_otherwise(world: World, *messages: int) -> None:
    """Of messages, that each was read, and then that it was delivered before."""
    world.clock.at = max(world.clock.at, TEN + HOUR)
    await world.send([read(n) for n in messages])
    results = await world.send([marketing(n, INDIA) for n in messages])
    assert {result["status"] for result in results} == {"accepted"}


async def settle(world: World) -> Settled:
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    return await settling.settle(world.tenants["acme"].tenant_id, Cause.DEMAND)


async def close(world: World, label: int) -> None:
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    request = PeriodClose(tenant="acme", period=label, idempotency_key=f"close {label}")
    await period_close.run(world.door, settling, request, now=world.clock.now())


async def verified(world: World) -> None:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    found = await verifying.verify(world.tenants["acme"].tenant_id)
    assert not found.wrong, "\n".join(map(str, found.findings))


async def standing(world: World) -> list[tuple[str, int, int]]:
    """By facts, what is charged net: status of their latest revision, and amount."""
    rows = await world.rows(
        "acme",
        """
        select f.id, coalesce(v.status, f.status) as status, coalesce(
            (select sum(case when reversal then -amount else amount end) from charges
                where tenant_id = $1 and at = f.at and key = f.key), 0)::bigint
            + coalesce(f.amount, 0) as amount
        from facts f left join lateral (
            select status from revisions where tenant_id = $1 and at = f.at and key = f.key
            order by revision desc limit 1
        ) v on true
        where f.tenant_id = $1 order by f.id""",
    )
    return [tuple(row) for row in rows]


async def test_what_settling_finds_unrated_is_rated_when_its_rate_comes(world: World) -> None:
    """EV-7, EV-9: its own row says accepted; its latest revision holds."""
    await came_otherwise(world, 1)
    await settle(world)
    assert await standing(world) == [("m1", Status.UNRATED, 0), ("r1", Status.ACCEPTED, 0)]
    assert await waiting(world) == [(TEN + 1, "")]

    await run_out(rating(world))  # nothing was published
    assert await waiting(world) == [(TEN + 1, world.catalogue.stamp)]
    await verified(world)
    await publish(world)
    await run_out(rating(world))

    assert await standing(world) == [
        ("m1", Status.ACCEPTED, micros(PRICE)), ("r1", Status.ACCEPTED, 0)
    ]  # fmt: skip
    assert await waiting(world) == []
    await verified(world)
    assert (await settle(world)).settlement_id is None


async def test_it_is_rated_among_the_others_page_by_page(world: World) -> None:
    """EV-7: in fact order with what came unrated, by two processes, each of them once."""
    await came_otherwise(world, 2, 4, 6, 7, 9)
    await world.send([marketing(n, INDIA) for n in (1, 3, 5, 8)])
    await settle(world)
    await publish(world)
    first = rating(world, page_facts=2)
    assert await first.step()
    rated = [id for id, _, amount in await standing(world) if amount]
    assert rated == ["m1", "m2"]
    assert await waiting(world) == [(TEN + 3, "")]

    jobs = [first, rating(world, await another(world), page_facts=2)]
    await asyncio.gather(*map(run_out, jobs))
    for job in jobs:
        await run_out(job)

    assert {amount for id, _, amount in await standing(world) if id[0] == "m"} == {micros(PRICE)}
    assert await waiting(world) == []
    await verified(world)


@pytest.mark.parametrize("closings", [1, 2, 3])
@pytest.mark.parametrize("came", ["otherwise", "unrated", "closed"])
async def test_it_is_paid_where_its_rate_came(world: World, closings: int, came: str) -> None:
    """EV-3, EV-7: whatever was closed until then or is after it, and whenever it came."""
    ends = (NOVEMBER, DECEMBER, DECEMBER + 31 * DAY)
    if came == "otherwise":
        await came_otherwise(world, 1)
    elif came == "unrated":
        await world.send([marketing(1)])
    await settle(world)
    for n, end in enumerate(ends[:closings]):
        world.clock.at = end + DAY
        await close(world, OCTOBER + n)
        if came == "closed" and n == 0:
            (result,) = await world.send([marketing(1)])
            assert result["status"] == "unrated"
        await verified(world)
        if n == min(1, closings - 1):
            world.clock.at += HOUR
            await publish(world)
            await run_out(rating(world))
            await verified(world)
            ((_, status, amount), *_) = await standing(world)
            assert (status, amount) == (Status.ADJUSTED, micros(PRICE))
            assert (await settle(world)).differences == {}
            await verified(world)

    assert await waiting(world) == []
    assert (await settle(world)).settlement_id is None
    await verified(world)
    months = await paid(world)
    here = 1 if closings == 1 else 2  # what was open when its rate came
    assert months == [micros(PRICE) if n == here else 0 for n in range(4)]
    assert await reported(world) == [micros(PRICE) if n == here else 0 for n in range(4)]


async def test_what_was_passed_over_before_is_tried_again(world: World, database: Database) -> None:
    """A database that forgot of such a fact while its rate came is told of it when it migrates."""
    await came_otherwise(world, 1)
    await world.send([marketing(5, BRAZIL)])
    await settle(world)
    await publish(world)
    tried = f"update unrated set since = {TEN + 5}, tried = '{world.catalogue.stamp}'"
    text = (MIGRATIONS / "0042_unrated_again.sql").read_text("utf-8")
    _, _, behind = text.partition("where status = 3;")
    fill, _, _ = behind.partition("-- migrate:down")

    for forgotten in (tried, "delete from unrated"):
        await on(database.owner_url, forgotten, fill)
        assert await waiting(world) == [(TEN + 1, "")]
    await run_out(rating(world))

    assert await standing(world) == [
        ("m1", Status.ACCEPTED, micros(PRICE)), ("m5", Status.UNRATED, 0),
        ("r1", Status.ACCEPTED, 0),
    ]  # fmt: skip


async def test_a_page_of_them_goes_by_its_index(world: World, database: Database) -> None:
    """However many there are, and however many came to be rated since, a page reads a page."""
    tenant_id = world.tenants["acme"].tenant_id
    await on(
        database.owner_url,
        "insert into facts (tenant_id, at, key, version, arrived_at, number_id, type, status,"
        " flags, source, id, party, data) select t, n, decode(md5(n::text), 'hex'), 1, n, 1, 3,"
        f" 1, 0, 's', n::text, 'p', '{{}}' from generate_series(1, 20000) n,"
        f" unnest('{{{tenant_id}, 999}}'::bigint[]) t",
        "insert into revisions select tenant_id, at, key, 1, 2, 2, 0 from facts where at % 10 = 0",
        "insert into revisions select tenant_id, at, key, 2, 3, 1, 0 from facts"
        " where at % 10 = 0 and at < 5000",
        "analyze facts, revisions",
    )
    arguments = (tenant_id, 4_000, *log.BEGINNING, 20)
    async with world.door.tenant_tx(tenant_id) as connection:
        for plan in (
            await explained(connection, log.UNRATED, arguments),
            await explained_generic(connection, log.UNRATED, arguments),
        ):
            assert set(read_whole(plan)) & (LARGE | {"revisions"}) == set()
            assert "revisions_default_tenant_id_at_idx" in str(plan)


async def paid(world: World) -> list[int]:
    """What is billed of each period from October on (IN-5)."""
    owner, found = world.tenants["acme"], []
    async with world.door.tenant_tx(owner.tenant_id) as connection:
        for at in (TEN, NOVEMBER, DECEMBER, DECEMBER + 31 * DAY):
            of = await used(connection, owner.tenant_id, period(owner.zone, at))
            found.append(sum(one.taken for one in of.drawn))
    return found


async def reported(world: World) -> list[int]:
    """The same by the lines of a report."""
    owner, found = world.tenants["acme"], []
    async with world.door.tenant_tx(owner.tenant_id) as connection:
        for at in (TEN, NOVEMBER, DECEMBER, DECEMBER + 31 * DAY):
            span, amount = period(owner.zone, at), 0
            for statement in CHARGES:
                asked = statement.format(columns="c.amount", narrowed="")
                values: tuple[object, ...] = (owner.tenant_id, [], [], span.start, span.end)
                known = "with given as (select $1::bigint, $2::date[], $3::bigint[])"
                rows = await connection.fetch(f"{known}\n{asked.lstrip()}", *values)
                amount += sum(row["amount"] for row in rows)
            found.append(amount)
    return found
