"""Due heads on a real database: each taken once, by whoever comes first, and nothing half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from api.jobs import SET_ASIDE, Jobs
from domain.fold import FACTS, TIME, advance
from domain.periods import DAY, HOUR, MINUTE, instant, iso
from domain.reading import Reading, reading_of
from persistence import due, load, record, terms
from persistence.connection import Connection
from persistence.door import CONNECTION_LOST, Door
from persistence.migrate import make_months
from tests.conftest import Database, on
from tests.persistence.test_record import check_chain, check_ledger
from tests.scenarios.world import Json, World


def at(text: str) -> int:
    """An instant in Jakarta."""
    return instant(datetime.fromisoformat(f"{text}+07:00"))


TEN = at("2026-10-05 10:00")
MONTH_END = at("2026-11-01 00:00")
NEXT_END = at("2026-12-01 00:00")

#: The tenants that `crowd` makes begin here.
CROWD = 1_000

#: Seconds after which what jobs were to lead to is missed.
PATIENCE_SECONDS = 60


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    async with World.open(app_url, redis_url, door=FragileDoor) as world:
        yield world


class FragileDoor(Door):
    """A door whose connections break around the statement a test names."""

    breaks_after: int | None = None

    @asynccontextmanager
    async def tenant_tx(self, *tenants: int) -> AsyncIterator[Connection]:
        async with super().tenant_tx(*tenants) as connection:
            if self.breaks_after is None:
                yield connection
                return
            left = self.breaks_after

            def count(ran: object) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    connection.terminate()

            connection.add_query_logger(count)
            try:
                yield connection
            finally:
                if not connection.is_closed():
                    connection.remove_query_logger(count)


async def crowd(database: Database, count: int, *, due_at: int = MONTH_END) -> range:
    """Tenants with a number each to whom nothing happened, all of them due at one instant."""
    first, last = CROWD, CROWD + count - 1
    many = f"from generate_series({first}, {last}) n"
    await on(
        database.owner_url,
        "insert into tenants (tenant_id, key, name, zones, currency, country, locale, plan,"
        " created_at) select n, 'crowd-' || n, 'Crowd', '[[null, \"Asia/Jakarta\"]]', 'IDR', 'ID',"
        f" 'id', 'omnichannel-idr', 0 {many}",
        "insert into balances (tenant_id, balance_id, key, unit) select n, b.id, b.key, b.unit"
        f" {many}, (values (1, 'conversations', 'conversation'), (2, 'visitors', 'visitor'),"
        " (3, 'whatsapp', 'IDR')) b (id, key, unit)",
        "insert into numbers (tenant_id, channel, address, zones, created_at)"
        f" select n, 1, '62800000' || n, '[[null, \"Asia/Jakarta\"]]', 0 {many}",
        f"insert into tenant_head (tenant_id, next_due) select n, {due_at} {many}",
    )
    return range(first, last + 1)


async def commits(database: Database) -> dict[int, list[int]]:
    """The causes of every tenant's commits, in order."""
    conn = await asyncpg.connect(database.owner_url)
    rows = await conn.fetch("select tenant_id, cause from commits order by tenant_id, version")
    await conn.close()
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row["tenant_id"], []).append(row["cause"])
    return found


async def everything(database: Database) -> list[tuple[Any, ...]]:
    """All rows that a commit without facts writes."""
    conn = await asyncpg.connect(database.owner_url)
    tables = ("tenant_head", "commits", "lots", "lot_days", "transfers", "periods")
    found = [
        (table, *row.values())
        for table in tables
        for row in await conn.fetch(f"select * from {table} order by 1, 2")
    ]
    await conn.close()
    return found


async def run_out(jobs: Jobs, world: World) -> None:
    """Let a job look until nobody is due."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await due.count(world.door, world.clock.now()):
            await jobs.advance_due()


@asynccontextmanager
async def working(jobs: Jobs) -> AsyncIterator[None]:
    """Jobs that are under way, and stopped whatever happens."""
    await jobs.start()
    try:
        yield
    finally:
        await jobs.stop()


async def work(jobs: Jobs, until: asyncio.Event) -> None:
    """Let jobs work until something has come of it; one that fails is told of at once."""
    came = asyncio.create_task(until.wait())
    try:
        async with working(jobs):
            ended, _ = await asyncio.wait(
                [came, *jobs._tasks],
                timeout=PATIENCE_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in ended:
                await task
    finally:
        came.cancel()
    assert until.is_set(), f"nothing has come of the jobs in {PATIENCE_SECONDS} s"


def event(key: str, when: int, contact: str, **data: Any) -> Json:
    kind = data.pop("kind", "delivered")
    number = data.pop("number", "+62 800 0000 01")
    return {
        "id": f"{when} {contact} {kind}",
        "source": "test",
        "type": f"message.{kind}",
        "time": iso(when),
        "subject": key,
        "data": {"number": number, "channel": "whatsapp", "contact": contact, **data},
    }


async def test_heads_are_taken_in_the_order_they_were_due(world: World) -> None:
    """TZ-1: each tenant at its own midnight; Kolkata's comes after Jakarta's, Bogota's last."""
    world.clock.at = TEN
    for key, zone in (("b", "America/Bogota"), ("j", "Asia/Jakarta"), ("k", "Asia/Kolkata")):
        await world.tenant(key, timezone=zone)
        await world.number(key, "wa", "whatsapp", "+62 800 0000 01")
        await world.send([event(key, TEN, "+62 811 0000 0001")])
    ids = {key: tenant.tenant_id for key, tenant in world.tenants.items()}

    seen = [
        [key for each in await due.look(world.door, when) for key in ids if ids[key] == each]
        for when in (MONTH_END - 1, MONTH_END, MONTH_END + 90 * MINUTE, MONTH_END + DAY)
    ]
    passing = await due.look(world.door, MONTH_END + DAY, [ids["j"]])

    assert seen == [[], ["j"], ["j", "k"], ["j", "k", "b"]]
    assert passing == [ids["k"], ids["b"]]
    assert await due.count(world.door, MONTH_END + DAY) == 3


async def test_two_jobs_take_each_head_once(world: World, database: Database) -> None:
    """BA-3: several processes look at once, and nobody is granted or lapsed twice."""
    tenants = await crowd(database, 230)
    world.clock.at = MONTH_END + MINUTE

    await asyncio.gather(*(run_out(world.jobs(), world) for _ in range(2)))

    assert await commits(database) == {tenant: [TIME] for tenant in tenants}
    conn = await asyncpg.connect(database.owner_url)
    granted = await conn.fetch(
        "select balance_id, count(*), min(starts_at) as first, max(starts_at) as last"
        " from lots group by 1 order by 1"
    )
    assert [tuple(row) for row in granted] == [
        (1, 230, MONTH_END, MONTH_END), (2, 230, MONTH_END, MONTH_END),
    ]  # fmt: skip
    heads = await conn.fetch("select distinct version, next_due from tenant_head")
    assert [tuple(row) for row in heads] == [(1, NEXT_END)]
    await conn.close()


async def test_a_head_somebody_holds_is_taken_later(world: World, database: Database) -> None:
    """A lane that commits for a tenant never waits for the job, nor the job for it."""
    tenants = await crowd(database, 3)
    world.clock.at = MONTH_END
    jobs = world.jobs()
    held = tenants[1]
    async with world.door.tenant_tx(held) as connection:
        await load.lock(connection, [held], wait=True)
        await jobs.advance_due()
        assert sorted(await commits(database)) == [tenants[0], tenants[2]]

    await jobs.advance_due()

    assert await commits(database) == {tenant: [TIME] for tenant in tenants}


async def test_what_is_held_does_not_hide_who_comes_after(world: World, database: Database) -> None:
    """A whole look's worth of heads held: the next look goes past them."""
    tenants = await crowd(database, due.HEADS_MAX + 1)
    world.clock.at = MONTH_END
    jobs = world.jobs()
    held = await due.look(world.door, MONTH_END)
    async with world.door.tenant_tx(*held) as connection:
        await load.lock(connection, held, wait=True)

        assert [await jobs.advance_due() for _ in range(2)] == [True, False]

        assert list(await commits(database)) == [*(set(tenants) - set(held))]
    assert await jobs.advance_due()
    assert await due.count(world.door, MONTH_END) == 0


async def test_a_tenant_is_due_when_it_begins(world: World, database: Database) -> None:
    """TZ-7: its allowances are granted at its `since`, though nothing ever happened to it."""
    world.clock.at = TEN
    begun = await world.tenant("begun", since=TEN)
    begins = await world.tenant("begins", since=TEN + DAY)

    assert await due.look(world.door, NEXT_END) == [begins.tenant_id]
    world.clock.at = TEN + DAY
    await world.jobs().advance_due()

    assert await commits(database) == {begins.tenant_id: [TIME]}
    granted = await world.rows("begins", "select starts_at, ends_at from lots where tenant_id = $1")
    assert [tuple(row) for row in granted] == [(TEN + DAY, MONTH_END)] * 2
    assert begun.tenant_id not in await due.look(world.door, NEXT_END)


#: What happens to a tenant of the small plan (50 conversations, 20 visitors) before and after a
#: month end: owing units and money, and top-ups that begin, and end, shortly before it.
EVENTS = [
    *((TEN + n, f"+62 812 0000 {n:04d}", {"kind": "received"}) for n in range(23)),
    (TEN + HOUR, "+62 812 0000 0001", {"category": "marketing", "template": "x"}),
    (TEN + HOUR, "+62 812 0000 0002", {}),
    (at("2026-10-31 22:30"), "+62 812 0000 0001", {"category": "marketing", "template": "x"}),
    (at("2026-11-01 00:40"), "+62 812 0000 0003", {}),
    (at("2026-10-30 09:00"), "+62 812 0000 0004", {"category": "utility", "template": "x"}),
]
TOP_UPS = [
    ("visitors", 5, at("2026-10-31 22:00"), None),
    ("whatsapp", 700, at("2026-10-31 23:00"), at("2026-10-31 23:30")),
    ("whatsapp", 4000, at("2026-11-01 00:10"), None),
    ("conversations", 9, at("2026-11-01 02:00"), at("2026-11-01 02:59")),
]
EDGES = [
    TEN + 2 * HOUR, at("2026-10-31 21:59"), *(start for _, _, start, _ in TOP_UPS),
    *(end for _, _, _, end in TOP_UPS if end), MONTH_END - 1, MONTH_END, at("2026-11-01 00:39"),
    at("2026-11-01 00:41"), at("2026-11-01 03:00"), at("2026-11-02 03:00"),
]  # fmt: skip


async def test_a_job_three_hours_late_changes_no_figure(world: World, database: Database) -> None:
    """TZ-4, BA-9, BA-10: at every instant as a job that ran on time, to the last digit."""
    shown: dict[str, Any] = {}
    jobs = world.jobs()
    for key, prompt in (("prompt", True), ("late", False)):
        world.clock.at = TEN
        await world.tenant(key, plan="college-small")
        await world.number(key, "wa", "whatsapp", "+62 800 0000 01")
        for n, (balance, amount, start, end) in enumerate(TOP_UPS):
            await world.top_up(
                key, balance, amount * 1_000_000, key=f"{n}", starts_at=start, expires_at=end
            )
        # The last one is late: it comes when the month is over.
        for when, contact, data in EVENTS:
            arrives = max(when, world.clock.at)
            if prompt:
                await run_on_time(world, jobs, key, arrives)
            world.clock.at = arrives
            (result,) = await world.send([event(key, when, contact, **data)])
            assert result["status"] == "accepted"
        if prompt:
            await run_on_time(world, jobs, key, at("2026-11-01 03:00"))
        world.clock.at = at("2026-11-01 03:00")
        await run_out(jobs, world)
        world.clock.at = at("2026-11-03 00:00")
        shown[key] = [
            comparable(await world.figures(key, balance, edge))
            for balance in ("conversations", "visitors", "whatsapp")
            for edge in EDGES
        ]
        await check_ledger(world, key)
        await check_chain(world, key)

    assert shown["late"] == shown["prompt"]
    ids = {key: tenant.tenant_id for key, tenant in world.tenants.items()}
    causes = await commits(database)
    assert causes[ids["prompt"]].count(TIME) > causes[ids["late"]].count(TIME)


async def run_on_time(world: World, jobs: Jobs, tenant: str, until: int) -> None:
    """Let the job run at each instant a tenant is due, not a microsecond later."""
    while True:
        row = await world.row(tenant, "select next_due from tenant_head where tenant_id = $1")
        if row["next_due"] is None or row["next_due"] > until:
            return
        world.clock.at = row["next_due"]
        await jobs.advance_due()


def comparable(found: Any) -> Any:
    lots = sorted(
        (lot.source, lot.month or 0, lot.amount, lot.starts_at, lot.used_ever, lot.used, lot.left)
        for lot in found.lots
    )
    return found.initial, found.top_up, found.available, lots


async def test_a_commit_leaves_the_reading_that_is_read(world: World) -> None:
    """What is shown of a commit that came late is what PostgreSQL says of that instant."""
    world.clock.at = TEN
    await world.tenant("one", plan="college-small")
    await world.number("one", "wa", "whatsapp", "+62 800 0000 01")
    for n, (balance, amount, start, end) in enumerate(TOP_UPS):
        await world.top_up(
            "one", balance, amount * 1_000_000, key=f"{n}", starts_at=start, expires_at=end
        )
    world.clock.at = TEN + HOUR
    results = await world.send([event("one", *each[:2], **each[2]) for each in EVENTS[:25]])
    assert {result["status"] for result in results} == {"accepted"}
    now = world.clock.at = at("2026-11-01 02:30")
    tenant = world.tenants["one"].tenant_id

    async with world.door.tenant_tx(tenant) as connection:
        heads = await load.lock(connection, [tenant], wait=True)
        (own,) = await terms.by_ids(connection, world.catalogue, [tenant])
        state = load.state_of(heads[tenant])
        await load.lots(connection, {tenant: state}, {tenant: own}, now, now)
        changes = advance(own, state, now)
        await record.record(connection, [changes], now)

    left = reading_of(changes, now)
    assert {lot.moved_before for pot in left.pots.values() for lot in pot.lots} != {0}
    assert plain(left) == plain(await world.reading("one"))


def plain(reading: Reading) -> Any:
    return (
        reading.version,
        reading.period,
        {key: sorted(repr(lot) for lot in pot.lots) for key, pot in reading.pots.items()},
    )


async def test_a_crowd_is_spread_and_a_lane_goes_on(world: World, database: Database) -> None:
    """Two thousand tenants of one midnight: some at a time, a rest after each, facts in between."""
    tenants = await crowd(database, 2_000)
    world.clock.at = MONTH_END + MINUTE
    left, answers, done = [len(tenants)], list[Json](), asyncio.Event()
    in_between = tenants[-1]

    async def rest(seconds: float) -> None:
        assert seconds > 0
        left.append(await due.count(world.door, world.clock.now()))
        if len(left) == 4:
            number = f"+62 800 000 {in_between}"
            contact = "+62 811 0000 0001"
            one = event(f"crowd-{in_between}", MONTH_END + 5, contact, number=number)
            answers.extend(await world.send([one]))
        if left[-1] == 0:
            done.set()

    await work(world.jobs(rest=rest), done)

    (answer,) = answers
    assert answer["status"] == "accepted"
    taken = [before - after for before, after in pairwise(left)]
    assert max(taken) <= due.HEADS_MAX + 1  # and the fact's own tenant
    assert len([one for one in taken if one]) >= len(tenants) // due.HEADS_MAX
    causes = await commits(database)
    assert causes.pop(in_between) == [FACTS]
    assert causes == {tenant: [TIME] for tenant in tenants[:-1]}
    conn = await asyncpg.connect(database.owner_url)
    lots = await conn.fetchval("select count(*) from lots where tenant_id = $1", in_between)
    assert lots == 2
    await conn.close()


async def test_a_break_between_two_statements_leaves_all_or_nothing(
    world: World, database: Database
) -> None:
    """BA-10: whichever statement is the last to run, a batch is kept whole or not at all."""
    await crowd(database, 3)
    world.clock.at = MONTH_END
    assert isinstance(world.door, FragileDoor)
    jobs, nothing, broke = world.jobs(), await everything(database), 0
    for statement in range(1, 40):
        world.door.breaks_after = statement
        try:
            await jobs.advance_due()
        except CONNECTION_LOST:
            broke += 1
        if (now := await everything(database)) != nothing:
            break
    world.door.breaks_after = None

    await run_out(jobs, world)

    assert broke > 4
    assert await everything(database) == now
    assert set(map(tuple, (await commits(database)).values())) == {(TIME,)}


async def test_one_bad_tenant_blocks_nobody(world: World, database: Database) -> None:
    """It is found among the others, set aside, told of, and tried again later."""
    tenants = await crowd(database, 9)
    bad = tenants[4]
    await on(database.owner_url, f"update tenants set plan = 'gone' where tenant_id = {bad}")
    world.clock.at = MONTH_END
    jobs = world.jobs()

    await jobs.advance_due()
    assert sorted(await commits(database)) == sorted(set(tenants) - {bad})
    assert not await jobs.advance_due()
    await on(
        database.owner_url,
        f"update tenants set plan = 'omnichannel-idr' where tenant_id = {bad}",
    )
    world.clock.at += SET_ASIDE - 1
    await jobs.advance_due()
    assert bad not in await commits(database)
    world.clock.at += 1
    await jobs.advance_due()

    assert await commits(database) == {tenant: [TIME] for tenant in tenants}


async def test_nothing_that_changed_is_no_version(world: World, database: Database) -> None:
    """A tenant without allowances and lots: only when it is looked at next moves on."""
    (tenant,) = await crowd(database, 1)
    await on(database.owner_url, "update tenants set plan = 'service-usd', currency = 'USD'")
    world.clock.at = MONTH_END + HOUR

    await world.jobs().advance_due()

    assert await commits(database) == {}
    conn = await asyncpg.connect(database.owner_url)
    head = await conn.fetchrow("select version, next_due from tenant_head")
    assert tuple(head or ()) == (0, NEXT_END)
    await conn.close()
    assert tenant == CROWD


async def test_a_lost_database_ends_no_job(world: World, database: Database) -> None:
    """Connections that are cut under the job are opened again, and who is due is taken."""
    await crowd(database, 5, due_at=NEXT_END)
    world.clock.at = MONTH_END
    looks, done, in_turn = 0, asyncio.Event(), asyncio.Lock()

    async def rest(seconds: float) -> None:
        nonlocal looks
        # Several jobs rest here. A connection of the test's own that is cut would end one of them.
        async with in_turn:
            looks += 1
            if looks == 1:
                await on(
                    database.owner_url,
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()",
                )
                world.clock.at = NEXT_END
            elif len(await commits(database)) == 5:
                done.set()

    await work(world.jobs(rest=rest), done)

    assert set(map(tuple, (await commits(database)).values())) == {(TIME,)}


async def test_a_look_reads_the_heads_it_takes(world: World, database: Database) -> None:
    """However many tenants are due at one midnight, a look goes by the index and sorts nothing."""
    await on(
        database.owner_url,
        f"insert into tenant_head (tenant_id, next_due) select n, {MONTH_END}"
        " from generate_series(1, 20000) n",
        "analyze tenant_head",
    )
    async with world.door.system_tx("a plan") as connection:
        for mode in ("force_custom_plan", "force_generic_plan"):
            await connection.execute(f"set local plan_cache_mode = {mode}")
            await connection.execute(f"prepare looked (bigint, bigint[]) as {due.DUE}")
            rows = await connection.fetch(f"explain execute looked ({MONTH_END}, '{{1,2,3}}')")
            await connection.execute("deallocate looked")
            plan = "\n".join(row[0] for row in rows)
            assert "Index Scan using tenant_head_due" in plan
            assert "Sort" not in plan


NOVEMBER_2031 = instant(datetime(2031, 11, 21, tzinfo=UTC))
MADE = [
    f"{table}_{month}"
    for table in ("facts", "charges", "revisions")
    for month in ("2031_11", "2031_12", "2032_01", "2032_02")
]


async def test_months_are_made_by_a_process_that_runs_for_long(
    world: World, database: Database
) -> None:
    """With its owner's URL the job makes partitions at its first look, and ends when told."""
    world.clock.at = NOVEMBER_2031
    async with working(world.jobs(owner_url=database.owner_url)):
        await eventually(lambda: partitions(database, MADE))


async def test_facts_do_not_queue_behind_a_month(database: Database) -> None:
    """A long reader keeps the table: making its month gives up soon, and succeeds later."""
    reader = await asyncpg.connect(database.owner_url)
    await reader.execute("begin; select from facts")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await make_months(database.owner_url, NOVEMBER_2031)
    await reader.execute("commit")

    assert await make_months(database.owner_url, NOVEMBER_2031) == MADE
    assert await make_months(database.owner_url, NOVEMBER_2031) == []
    await reader.close()


async def partitions(database: Database, names: list[str]) -> bool:
    conn = await asyncpg.connect(database.owner_url)
    found = await conn.fetchval(
        "select count(*) from pg_class where relname = any ($1::text[])", names
    )
    await conn.close()
    return bool(found == len(names))


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so, whoever does it."""
    async with asyncio.timeout(30):
        while not await true():  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(0.01)
