"""What was kept unrated, on a real database: rated when its rate is published, and once (EV-7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import asyncpg
import pytest

from api.edge import kept
from api.ids import encode_charge
from api.metrics import Metrics
from api.operations import period_close, price_book_publish
from api.operations.period_close import PeriodClose
from api.operations.price_book_publish import PriceBookPublish, Published
from api.rating import Rating
from api.settling import Cause, Settling
from domain.facts import Flag, Status
from domain.fold import ACTION, FACTS, RATED
from domain.money import micros
from domain.periods import DAY, HOUR, MINUTE, iso, month_label, zone
from persistence import explanations, log, terms
from persistence.catalogue import Catalogue
from persistence.door import CONNECTION_LOST
from persistence.explanations import Place
from tests.conftest import Database, on
from tests.persistence.test_due import PATIENCE_SECONDS, FragileDoor, at, work
from tests.persistence.test_plans_of_queries import LARGE, explained, explained_generic, read_whole
from tests.persistence.test_record import check_chain, check_ledger
from tests.scenarios.world import Json, World

TEN = at("2026-10-20 10:00")
INDIA, BRAZIL, JAKARTA = "+91 98765 {:05d}", "+55 11 9{:08d}", "+62 811 {:08d}"
PRICE = "150.5"
RULE = "omnichannel-idr@2026-10-01/marketing-in"


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    async with World.open(app_url, redis_url, door=FragileDoor) as world:
        world.clock.at = TEN
        await world.tenant("acme")
        await world.number("acme", "wa", "whatsapp", "+62 800 0000 01")
        yield world


def marketing(n: int, contact: str = INDIA, when: int | None = None) -> Json:
    """A template to a contact in a market of which the sample book knows nothing."""
    return {
        "id": f"m{n}", "source": "test", "type": "message.delivered", "subject": "acme",
        "time": iso(TEN + n if when is None else when),
        "data": {"number": "+62 800 0000 01", "contact": contact.format(n), "template": "sale",
                 "category": "marketing", "message_id": f"m{n}"},
    }  # fmt: skip


async def publish(world: World, market: str = "IN", *, here: bool = True) -> None:
    """Publish the missing row, dated before its publication (PR-2); or let another process."""
    published = await priced(world, PRICE, market, here=here)
    assert published.problems == ()


async def priced(
    world: World, price: str, market: str = "IN", *, here: bool = True, rerate: bool = False
) -> Published:
    line = f"omnichannel-idr,2026-10-01,IDR,{market},marketing,{price}"
    document = f"book,valid_from,currency,market,category,unit_price\n{line}\n"
    return await price_book_publish.run(
        world.door, world.catalogue if here else None,
        PriceBookPublish(document=document, format="CSV", rerate=rerate), now=world.clock.now(),
    )  # fmt: skip


async def another(world: World) -> Catalogue:
    """The catalogue as another process has it."""
    async with world.door.system_tx("the catalogue of a test") as connection:
        return await Catalogue.load(connection)


def rating(world: World, catalogue: Catalogue | None = None, page_facts: int = 300) -> Rating:
    return Rating(
        world.door, catalogue or world.catalogue, world.clock.now, world.show, Metrics(),
        page_facts=page_facts,
    )  # fmt: skip


async def run_out(job: Rating) -> int:
    """Take steps until nothing is left to try; gives how many."""
    steps = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await job.step():
            steps += 1
    return steps


async def waiting(world: World) -> list[tuple[Any, ...]]:
    rows = await world.rows("acme", "select since, tried from unrated where tenant_id = $1")
    return [tuple(row) for row in rows]


async def causes(world: World) -> list[int]:
    rows = await world.rows(
        "acme", "select cause from commits where tenant_id = $1 order by version"
    )
    return [row["cause"] for row in rows]


async def amounts(world: World) -> list[int]:
    return [charge.amount for charge in await world.charges("acme")]


async def test_a_fact_is_charged_when_its_rate_is_published(world: World) -> None:
    """EV-7, PR-2: it was kept and cost nothing; then it costs what it would have, by that row."""
    (result,) = await world.send([marketing(1)])
    assert (result["status"], result["charges"]) == ("unrated", [])
    assert await waiting(world) == [(TEN + 1, "")]
    job = rating(world)
    await run_out(job)  # nothing was published: it is tried, and stays
    assert await waiting(world) == [(TEN + 1, world.catalogue.stamp)]
    assert not await job.step()

    await publish(world)
    world.clock.at = TEN + HOUR
    await run_out(job)

    (charge,) = await world.charges("acme")
    assert (charge.cursor.revision, charge.rule, charge.amount) == (1, RULE, micros(PRICE))
    assert (charge.status, charge.booked_at) == (Status.ACCEPTED, TEN + HOUR)
    assert not charge.flags & Flag.LATE
    assert (await world.figures("acme", "whatsapp")).total.used == micros(PRICE)
    assert await waiting(world) == []
    assert await causes(world) == [FACTS, RATED]
    await check_ledger(world, "acme")
    await check_chain(world, "acme")


async def test_a_fact_sent_again_answers_as_it_first_did(world: World) -> None:
    """EV-1: a duplicate with the first outcome, which had no charge; nothing is charged twice."""
    await world.send([marketing(1)])
    await publish(world)
    await run_out(rating(world))

    (again,) = await world.send([marketing(1)])

    assert (again["status"], again["charges"]) == ("duplicate", [])
    assert await amounts(world) == [micros(PRICE)]


async def test_a_further_status_of_such_a_message_stays_without_charge(world: World) -> None:
    """EV-5: the message was claimed by the fact that was kept."""
    await world.send([marketing(1)])
    read = marketing(1) | {"id": "r1", "type": "message.read", "time": iso(TEN + MINUTE)}
    await world.send([read])
    await publish(world)

    await run_out(rating(world))

    assert await amounts(world) == [micros(PRICE)]


async def test_what_is_rated_behind_its_closing_is_settled_as_it_is(world: World) -> None:
    """EV-3, EV-9, EV-10: the rate of a closed period's fact leaves nothing to correct, so that the
    next settling posts no revision and keeps no record."""
    await world.send([marketing(1), marketing(2, when=TEN - HOUR)])
    jakarta = zone("Asia/Jakarta")
    october = jakarta.month_bounds(month_label(2026, 10))
    world.clock.at = october[1] + 5 * DAY
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    request = PeriodClose(tenant="acme", period=month_label(2026, 10), idempotency_key="close")
    await period_close.run(world.door, settling, request, now=world.clock.at)
    world.clock.at += DAY
    await publish(world)
    await run_out(rating(world))
    revised = [(1, Status.ADJUSTED)] * 2
    of_both = "select revision, status from revisions where tenant_id = $1"
    assert [tuple(row) for row in await world.rows("acme", of_both)] == revised

    settled = await settling.settle(world.tenants["acme"].tenant_id, Cause.DEMAND)

    assert (settled.corrected, settled.settlement_id) == (0, None)
    assert [tuple(row) for row in await world.rows("acme", of_both)] == revised


async def test_its_charge_is_explained_and_refunded_as_any_other(world: World) -> None:
    """BA-8: by its place, of which the revision is a part; its fact is accepted from then on."""
    await world.send([marketing(1)])
    await publish(world)
    await run_out(rating(world))
    (charge,) = await world.charges("acme")
    place = Place(world.tenants["acme"].tenant_id, charge.cursor.at, charge.cursor.key)

    fact = (await explanations.facts(world.door, [place]))[place]
    by_key = await explanations.facts_by_key(world.door, [(place.tenant_id, place.key)])
    await world.refund("acme", key="back", charge=encode_charge(*charge.cursor))

    assert fact == by_key[place.tenant_id, place.key]
    assert (fact.status, fact.flags) == (Status.ACCEPTED, charge.flags)
    (charge,) = await world.charges("acme")
    assert charge.refunded == micros(PRICE)
    assert (await causes(world))[-1] == ACTION


async def test_a_process_that_did_not_publish_reads_what_was(world: World) -> None:
    """EV-7: under the tenant's lock the catalogue is never older than what is published."""
    await world.send([marketing(1)])
    stale = await another(world)
    await publish(world)

    await run_out(rating(world, stale))

    assert stale.stamp == world.catalogue.stamp
    assert await amounts(world) == [micros(PRICE)]


async def test_pages_go_on_where_a_process_ended(world: World) -> None:
    """EV-7: every page is a commit of its own; who comes next rates what is left, and once."""
    await world.send([marketing(n) for n in range(1, 8)])
    await publish(world)
    first = rating(world, page_facts=3)
    assert await first.step()
    assert len(await amounts(world)) == 3
    assert await waiting(world) == [(TEN + 4, "")]

    await run_out(rating(world, page_facts=3))
    await run_out(first)

    assert await amounts(world) == [micros(PRICE)] * 7
    assert await causes(world) == [FACTS, RATED, RATED, RATED]
    assert await waiting(world) == []
    await check_ledger(world, "acme")
    await check_chain(world, "acme")


async def test_a_connection_that_breaks_charges_nothing_twice(world: World) -> None:
    """EV-7: wherever it breaks, a page is there as a whole or not at all."""
    await world.send([marketing(n) for n in range(1, 4)])
    await publish(world)
    assert isinstance(world.door, FragileDoor)
    job, charged, broken = rating(world), [micros(PRICE)] * 3, 0
    for statement in count(2):
        world.door.breaks_after = statement
        try:
            await job.step()
        except CONNECTION_LOST:
            broken += 1
        world.door.breaks_after = None
        if await amounts(world) == charged:
            break
        assert await amounts(world) == []

    await run_out(job)

    assert broken >= 10
    assert await amounts(world) == charged
    assert (await world.figures("acme", "whatsapp")).total.used == 3 * micros(PRICE)
    await check_ledger(world, "acme")


async def test_two_processes_rate_a_fact_once(world: World) -> None:
    """EV-7: the head's lock lets one in at a time, and the other finds it done."""
    await world.send([marketing(n) for n in range(1, 21)])
    await publish(world)
    jobs = [rating(world, page_facts=4), rating(world, await another(world), page_facts=3)]

    await asyncio.gather(*map(run_out, jobs))
    for job in jobs:
        await run_out(job)

    assert await amounts(world) == [micros(PRICE)] * 20
    assert (await world.figures("acme", "whatsapp")).total.used == 20 * micros(PRICE)
    await check_ledger(world, "acme")


async def test_a_tenant_that_somebody_holds_waits_for_nobody(
    world: World, database: Database
) -> None:
    """Facts come first: a held tenant is passed over, others are rated, and it is tried again."""
    await world.tenant("other")
    await world.number("other", "wa", "whatsapp", "+62 800 0000 09")
    theirs = marketing(2) | {"subject": "other"}
    theirs["data"] = theirs["data"] | {"number": "+62 800 0000 09"}
    await world.send([marketing(1), theirs])
    await publish(world)
    holder = await asyncpg.connect(database.owner_url)
    held = world.tenants["acme"].tenant_id
    await holder.execute(
        f"begin; select from tenant_head where tenant_id = {held} for no key update"
    )
    job = rating(world)

    await run_out(job)
    assert await amounts(world) == []
    assert len(await world.charges("other")) == 1
    await holder.execute("commit")
    await holder.close()
    await run_out(job)

    assert await amounts(world) == [micros(PRICE)]


async def test_what_comes_between_two_pages_is_not_forgotten(world: World) -> None:
    """EV-7: an earlier fact that stays without a rate is waited for as well."""
    await world.send([marketing(n) for n in range(1, 6)])
    await publish(world)
    job = rating(world, page_facts=2)
    assert await job.step()

    await world.send([marketing(9, BRAZIL, TEN - HOUR), marketing(8, BRAZIL, TEN + 2)])
    await run_out(job)
    assert await amounts(world) == [micros(PRICE)] * 5
    assert await waiting(world) == [(TEN - HOUR, world.catalogue.stamp)]
    await publish(world, "BR")
    await run_out(job)

    assert await amounts(world) == [micros(PRICE)] * 7
    assert await waiting(world) == []


async def test_what_is_published_during_a_pass_is_tried_by_the_next(world: World) -> None:
    """EV-7: a fact that was passed over a moment before its rate came is taken up again."""
    await world.send([marketing(1, BRAZIL), *[marketing(n) for n in range(2, 6)]])
    await publish(world)
    job = rating(world, page_facts=2)
    assert await job.step()
    assert await amounts(world) == [micros(PRICE)]

    await publish(world, "BR", here=False)
    await run_out(job)

    assert await amounts(world) == [micros(PRICE)] * 5
    assert await waiting(world) == []


async def test_a_tenant_whose_facts_cannot_be_rated_is_set_aside(
    world: World, database: Database
) -> None:
    """One tenant's trouble keeps nobody else waiting; it is tried again later."""
    await world.send([marketing(1)])
    await publish(world)
    await on(database.owner_url, "update tenants set plan = 'nobody-knows'")
    job = rating(world)

    assert await run_out(job) == 1
    await on(database.owner_url, "update tenants set plan = 'omnichannel-idr'")
    assert await run_out(job) == 0
    world.clock.at += DAY
    await run_out(job)

    assert await amounts(world) == [micros(PRICE)]


async def test_the_jobs_of_a_process_rate(world: World) -> None:
    """EV-7: a job looks again and again, at the pace of the others."""
    await world.send([marketing(1)])
    await publish(world)
    done = asyncio.Event()

    async def rest(seconds: float) -> None:
        if await amounts(world):
            done.set()

    await work(world.jobs(rest=rest), done)

    assert await amounts(world) == [micros(PRICE)]


EVENTS: list[tuple[str, Json]] = [
    ("message.delivered", {"contact": "+91 98765 00001", "template": "x", "category": "marketing",
                           "broadcast": "b", "user": "ana", "hold": "h",
                           "unknown": {"é": [1.50, 2e3, None, True]}}),
    ("message.read", {"contact": "+91 98765 00002", "template": "x", "segments": 3}),
    ("message.delivered", {"contact": "+91 98765 00003", "template": "x", "category": "marketing",
                           "group": {"id": "g", "members": ["+62 811 0000 0001"]}}),
    ("usage.recorded", {"meter": "tokens", "quantity": "2.5", "category": "large"}),
    ("session.ended", {"seconds": 2.5, "contact": "+62 811 0000 0001"}),
    ("call.ended", {"contact": "+62 811 0000 0002", "direction": "out", "seconds": 61}),
    ("email.sent", {"contact": "+62 811 0000 0003", "quantity": 4}),
]  # fmt: skip


async def test_facts_are_read_back_as_they_came(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EV-1, EV-4: field by field, in fact order, whatever their order of arrival."""
    taken: list[Any] = []
    commit = world.intake._lanes.commit

    async def listen(facts: list[Any]) -> Any:
        taken.extend(facts)
        return await commit(facts)

    monkeypatch.setattr(world.intake._lanes, "commit", listen)
    sent = [
        {"id": f"e{n}", "source": source, "type": kind, "subject": "acme",
         "time": iso(TEN - (n // 2) * MINUTE),
         "data": {"number": "+62 800 0000 01", "message_id": f"{source}{n}", **data}}
        for source in ("b", "a")
        for n, (kind, data) in enumerate(EVENTS)
    ]  # fmt: skip
    results = await world.send(sent)
    assert {result["status"] for result in results} == {"unrated"}

    tenant_id, after, rows = world.tenants["acme"].tenant_id, log.BEGINNING, []
    async with world.door.tenant_tx(tenant_id) as connection:
        (own,) = await terms.by_ids(connection, world.catalogue, [tenant_id])
        while page := await log.unrated(connection, tenant_id, since=0, after=after, limit=3):
            rows += page
            after = page[-1].place

    found = [kept(row, own) for row in rows]
    wanted = sorted(taken, key=lambda fact: (fact.at, fact.source, fact.id))
    for one, other in zip(found, wanted, strict=True):
        for name in type(other).__slots__:
            assert getattr(one, name) == getattr(other, name), name


async def test_a_page_of_unrated_facts_goes_by_its_index(world: World, database: Database) -> None:
    """However many facts were rated since, and however many a tenant has, a page reads a page."""
    tenant_id = world.tenants["acme"].tenant_id
    await on(
        database.owner_url,
        "insert into facts (tenant_id, at, key, version, arrived_at, number_id, type, status,"
        " flags, source, id, party, data) select t, n, decode(md5(n::text), 'hex'), 1, n, 1, 3,"
        f" 1 + (n % 50 = 0)::int, 0, 's', n::text, 'p', '{{}}' from generate_series(1, 20000) n,"
        f" unnest('{{{tenant_id}, 999}}'::bigint[]) t",
        "insert into revisions select tenant_id, at, key, 1, 2, 1, 0 from facts"
        " where status = 2 and at < 15000",
        "analyze facts, revisions",
    )
    arguments = (tenant_id, 5_000, *log.BEGINNING, 20)
    async with world.door.tenant_tx(tenant_id) as connection:
        for plan in (
            await explained(connection, log.UNRATED, arguments),
            await explained_generic(connection, log.UNRATED, arguments),
        ):
            assert set(read_whole(plan)) & (LARGE | {"revisions"}) == set()
            assert "facts_default_tenant_id_at_idx" in str(plan)


async def test_a_book_may_rate_open_periods_anew(world: World) -> None:
    """PR-2: published with rerate, rows dated back hold for what was rated in open periods."""
    await publish(world)
    world.clock.at += MINUTE
    await world.send([marketing(1)])
    (before,) = await world.charges("acme")
    tenant_id = world.tenants["acme"].tenant_id
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)

    (problem,) = (await priced(world, "100")).problems
    assert "publish it with rerate" in str(problem)
    assert (await priced(world, "100", rerate=True)).problems == ()
    head = await world.row("acme", "select unsettled_from from tenant_head where tenant_id = $1")
    assert head["unsettled_from"] is not None
    settled = await settling.settle(tenant_id, Cause.BOOK)

    assert settled.corrected == 1
    after = {
        (each.cursor.revision, each.cursor.reversal): each for each in await world.charges("acme")
    }
    assert after[0, True].amount == before.amount
    assert after[1, False].amount == 100_000_000
    assert after[1, False].rule == before.rule
