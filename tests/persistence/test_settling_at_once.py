"""Settling while others work: another settling, facts that come in, an end half way (EV-9).

What happens between two pages is done by the rest that a settling takes there: nothing here waits
for anything to happen by chance.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import asyncpg
import pytest

from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.settling import BusyError, Cause, Close, Settled, Settling
from api.verifying import Verifying
from domain.fold import CLOSED
from domain.periods import DAY, HOUR, MINUTE, iso, month_label
from domain.problems import Problem
from persistence.actions import Action
from persistence.door import CONNECTION_LOST
from tests.conftest import Database, on
from tests.persistence.test_due import PATIENCE_SECONDS, at
from tests.persistence.test_record import check_chain, check_ledger
from tests.persistence.test_settling import BOOKS, books
from tests.scenarios.world import Json, World

TEN = at("2026-10-20 10:00")
OCTOBER, MONTH_END = month_label(2026, 10), at("2026-11-01 00:00")
ACME, TWIN = "acme", "twin"

Act = Callable[[], Awaitable[object]]


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    """A tenant, and another one to whom the same happens in order."""
    async with World.open(app_url, redis_url) as world:
        world.clock.at = TEN
        for tenant in (ACME, TWIN):
            await world.tenant(tenant)
            await world.number(tenant, "wa", "whatsapp", "+62 800 0000 01")
        yield world


def outbound(n: int, when: int, contact: int = 1, **data: str) -> Json:
    return event(n, when, "delivered", contact, {"category": "service", **data})


def inbound(n: int, when: int, contact: int = 1, **data: str) -> Json:
    return event(n, when, "received", contact, data)


def event(n: int, when: int, kind: str, contact: int, data: dict[str, str]) -> Json:
    return {
        "id": f"{kind}-{n}", "source": "test", "type": f"message.{kind}", "subject": ACME,
        "time": iso(when),
        "data": {"number": "+62 800 0000 01", "contact": f"+62 811 1000 {contact:04d}", **data},
    }  # fmt: skip


#: A day's answers to some contacts, an hour apart.
DAY_OF_ANSWERS = [outbound(n, TEN + n * HOUR, contact=n) for n in range(8)]
#: It opens a conversation that covers the answer to contact 4, a while before that.
LATE = outbound(100, TEN + 3 * HOUR + MINUTE, contact=4)


async def arrive(world: World, *events: Json, tenant: str = ACME) -> None:
    results = await world.send([{**each, "subject": tenant} for each in events])
    assert {result["status"] for result in results} == {"accepted"}, results


def settling(
    world: World, rest: Callable[[float], Awaitable[None]] | None = None, page_facts: int = 3
) -> Settling:
    return Settling(
        world.door, world.catalogue, world.clock.now, world.show, page_facts=page_facts, rest=rest
    )


async def settle(world: World, tenant: str = ACME, **how: object) -> Settled:
    made = settling(world, **how)  # type: ignore[arg-type]
    return await made.settle(world.tenants[tenant].tenant_id, Cause.DEMAND)


class Between:
    """Does things after pages: after the first one the first thing, and so on."""

    def __init__(self, *acts: Act | None) -> None:
        self._acts = list(acts)
        self.pages = 0

    async def __call__(self, seconds: float) -> None:
        self.pages += 1
        act = self._acts.pop(0) if self._acts else None
        if act is not None:
            await act()


async def marks(world: World) -> tuple[int | None, int | None]:
    row = await world.row(
        ACME, "select unsettled_from, unsettled_at from tenant_head where tenant_id = $1"
    )
    return row["unsettled_from"], row["unsettled_at"]


async def settlements(world: World) -> int:
    row = await world.row(ACME, "select count(*) as n from settlements where tenant_id = $1")
    return int(row["n"])


async def as_in_order(world: World, events: Sequence[Json]) -> None:
    """What a tenant to whom the events came in order has is what the other one has by now."""
    for each in sorted(events, key=lambda event: event["time"]):
        await arrive(world, each, tenant=TWIN)
    one, other = await books(world, ACME), await books(world, TWIN)
    for name in BOOKS:
        assert one[name] == other[name], name
    for check in (check_ledger, check_chain):
        await check(world, ACME)


async def late(world: World) -> None:
    """A day's answers, and one that came late; it is the evening now."""
    world.clock.at = TEN + 12 * HOUR
    await arrive(world, *DAY_OF_ANSWERS)
    await arrive(world, LATE)


async def test_of_two_settlings_one_is_told_that_the_other_is_at_it(world: World) -> None:
    """EV-9: one at a time per tenant, wherever they run; the other one has done nothing."""
    await late(world)
    refused: list[BusyError] = []

    async def again() -> None:
        with pytest.raises(BusyError) as caught:
            await settle(world)
        refused.append(caught.value)
        assert (await settle(world, TWIN)).settlement_id is None  # another tenant's goes on

    first = await settle(world, rest=Between(again))

    assert (len(refused), first.corrected, await settlements(world)) == (1, 2, 1)
    assert (await settle(world)).settlement_id is None  # and then it may
    await as_in_order(world, [*DAY_OF_ANSWERS, LATE])


async def test_what_comes_ahead_of_the_reader_is_read_with_the_rest(world: World) -> None:
    """EV-9: facts come in meanwhile; it does not begin anew for those it has yet to read."""
    await late(world)
    ahead = outbound(101, TEN + 11 * HOUR, contact=2)
    between = Between(lambda: arrive(world, ahead))

    settled = await settle(world, rest=between)

    assert (settled.facts, between.pages) == (10, 4)  # three a page; nothing after the last one
    assert await marks(world) == (None, None)
    await as_in_order(world, [*DAY_OF_ANSWERS, LATE, ahead])


async def test_what_comes_behind_the_reader_makes_it_begin_anew(world: World) -> None:
    """EV-9: what was read already would have been read otherwise; nothing of it is posted."""
    await late(world)
    behind = outbound(102, TEN - HOUR, contact=0)
    between = Between(None, lambda: arrive(world, behind))

    settled = await settle(world, rest=between)

    assert (settled.facts, between.pages) == (10, 4 + 4)
    assert (settled.corrected, await settlements(world)) == (4, 1)
    await as_in_order(world, [*DAY_OF_ANSWERS, LATE, behind])


async def test_a_reader_that_is_overtaken_again_and_again_reads_under_the_lock(
    world: World,
) -> None:
    """EV-9: it comes to an end, whoever goes on sending late facts."""
    await late(world)
    behind = [outbound(110 + n, TEN - (n + 1) * HOUR, contact=n) for n in range(3)]
    between = Between(
        *(None, lambda: arrive(world, behind[0]), None, None),
        *(None, lambda: arrive(world, behind[1]), None, None),
    )

    settled = await settle(world, rest=between)

    assert (settled.facts, between.pages) == (11, 8)
    await arrive(world, behind[2])
    assert (await marks(world))[0] == TEN - 3 * HOUR
    assert (await settle(world)).corrected == 2
    await as_in_order(world, [*DAY_OF_ANSWERS, LATE, *behind])


async def test_a_top_up_that_is_dated_back_meanwhile_makes_it_begin_anew(world: World) -> None:
    """EV-4, EV-9: what people do is an input as facts are."""
    await late(world)

    async def pay() -> None:
        await world.top_up(ACME, "conversations", 5_000_000, key="a", starts_at=TEN - HOUR)

    between = Between(None, pay)
    settled = await settle(world, rest=between)

    assert (settled.facts, between.pages) == (9, 4 + 4)
    assert await marks(world) == (None, None)
    assert (await settle(world)).settlement_id is None
    await check_ledger(world, ACME)


async def test_one_that_is_ended_half_way_leaves_nothing(world: World, database: Database) -> None:
    """EV-9: neither a lock nor a row; whoever settles next does all of it."""
    await late(world)
    before, marked = await books(world, ACME), await marks(world)

    async def kill() -> None:
        await on(
            database.owner_url,
            "select pg_terminate_backend(pid) from pg_locks"
            " where locktype = 'advisory' and classid = 7301",
        )

    with pytest.raises(CONNECTION_LOST):
        await settle(world, rest=Between(None, None, kill))

    assert (await books(world, ACME), await marks(world)) == (before, marked)
    assert await settlements(world) == 0
    assert (await settle(world)).corrected == 2
    await as_in_order(world, [*DAY_OF_ANSWERS, LATE])


async def test_one_that_is_cancelled_while_it_posts_leaves_nothing(
    world: World, database: Database
) -> None:
    """As above, with all of it written and not committed."""
    await late(world)
    before = await books(world, ACME)
    written = asyncio.Event()

    async def keep(*_: object) -> None:
        written.set()
        await asyncio.Event().wait()

    tenant_id = world.tenants[ACME].tenant_id
    task = asyncio.create_task(settling(world).settle(tenant_id, Cause.DEMAND, keep))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await books(world, ACME), await settlements(world)) == (before, 0)
    assert (await settle(world)).corrected == 2


async def test_settled_twice_it_posts_once(world: World) -> None:
    """EV-9: the second one finds nothing, and makes no version."""
    await late(world)
    assert (await settle(world)).corrected == 2
    versions = await world.rows(ACME, "select version from commits where tenant_id = $1")

    again = await settle(world)

    assert (again.facts, again.corrected, again.settlement_id) == (9, 0, None)
    assert await world.rows(ACME, "select version from commits where tenant_id = $1") == versions
    assert await settlements(world) == 1


async def test_a_settling_reaches_over_the_end_of_a_month(world: World) -> None:
    """EV-9, EV-10: the later open period follows, and the record names the first one."""
    last = at("2026-10-31 23:00")
    world.clock.at = last + 3 * HOUR
    first, second = outbound(1, last), outbound(2, last + 2 * HOUR)
    await arrive(world, second)
    await arrive(world, first)

    settled = await settle(world)

    # In order the second is covered by what the first opened, in October: that pays, not November.
    assert (settled.corrected, settled.differences) == (2, {})
    row = await world.row(
        ACME, "select month, cause, facts, differences::text from settlements where tenant_id = $1"
    )
    assert tuple(row) == (2026 * 12 + 9, Cause.DEMAND, 2, "{}")
    for instant, used in ((last + HOUR - 1, 1), (world.clock.at, 0)):
        figures = await world.figures(ACME, "conversations", instant)
        assert figures.total.used == used * 1_000_000
    await as_in_order(world, [first, second])


async def test_what_comes_late_after_a_settling_is_marked_anew(world: World) -> None:
    """EV-9: the first mark holds until a settling, and the next late fact sets another one."""
    await late(world)
    first = world.clock.at
    world.clock.at += 5 * MINUTE
    await arrive(world, outbound(103, TEN - HOUR, contact=0))
    assert await marks(world) == (TEN - HOUR, first)

    await settle(world)
    assert await marks(world) == (None, None)

    world.clock.at += HOUR
    await arrive(world, outbound(104, TEN - 30 * MINUTE - DAY, contact=0))
    assert await marks(world) == (TEN - 30 * MINUTE - DAY, world.clock.at)
    await settle(world)
    assert await marks(world) == (None, None)


async def test_a_fact_waits_for_no_more_than_the_posting(world: World) -> None:
    """EV-9: between two pages the tenant's lock is free, at the posting it is not."""
    await late(world)
    tenant_id = world.tenants[ACME].tenant_id

    async def locked() -> bool:
        async with world.door.tenant_tx(tenant_id) as connection:
            try:
                await connection.execute(
                    "select from tenant_head where tenant_id = $1 for no key update nowait",
                    tenant_id,
                )
            except asyncpg.LockNotAvailableError:
                return True
            return False

    seen: list[bool] = []

    async def look() -> None:
        seen.append(await locked())

    async def keep(*_: object) -> None:
        await look()

    made = settling(world, Between(look, look, look))
    await made.settle(tenant_id, Cause.DEMAND, keep)

    assert seen == [False, False, False, True]


async def close(world: World, rest: Callable[[float], Awaitable[None]] | None = None) -> Action:
    request = PeriodClose(tenant=ACME, period=OCTOBER, idempotency_key="close")
    made = settling(world, rest)
    return await period_close.run(world.door, made, request, now=world.clock.now())


async def closed_once(world: World) -> None:
    """October is closed, everything is settled, and the books prove it."""
    row = await world.row(
        ACME,
        "select closed_until, (select count(*) from commits c where c.tenant_id = h.tenant_id"
        " and cause = $2) as closings from tenant_head h where tenant_id = $1",
        CLOSED,
    )
    assert tuple(row) == (MONTH_END, 1)
    assert (await settle(world)).settlement_id is None
    verified = await Verifying(world.door, world.catalogue, world.clock.now).verify(
        world.tenants[ACME].tenant_id
    )
    assert (verified.findings, verified.unsettled) == ([], {})


async def statuses(world: World) -> dict[str, int]:
    rows = await world.rows(ACME, "select id, status from facts where tenant_id = $1")
    return {row["id"]: row["status"] for row in rows}


async def test_a_close_while_somebody_settles_is_told_so(world: World) -> None:
    """EV-3, EV-9: it closes nothing by halves; asked again behind the settling, it closes."""
    await late(world)
    world.clock.at = MONTH_END + HOUR
    refused: list[str] = []

    async def meanwhile() -> None:
        with pytest.raises(Problem) as caught:
            await close(world)
        refused.append(caught.value.code)

    settled = await settle(world, rest=Between(meanwhile))

    assert (refused, settled.corrected) == (["SETTLING"], 2)
    done = await close(world)
    assert (done.body["corrected"], done.body["settlement_id"]) == (0, None)
    assert await close(world) == done
    await closed_once(world)


async def test_a_settle_while_somebody_closes_is_told_so(world: World) -> None:
    """EV-3, EV-9: the closing settles on its way, and nothing is left for the other one."""
    await late(world)
    world.clock.at = MONTH_END + HOUR
    refused: list[BusyError] = []

    async def meanwhile() -> None:
        with pytest.raises(BusyError) as caught:
            await settle(world)
        refused.append(caught.value)

    done = await close(world, Between(meanwhile))

    assert (len(refused), done.body["corrected"], await settlements(world)) == (1, 2, 1)
    await closed_once(world)


async def test_facts_come_in_while_a_period_is_closed(world: World) -> None:
    """EV-3: until the closing holds the lock they are of the period, behind it they are adjusted.

    One comes ahead of the reader and one behind its back, which makes it begin anew; one waits for
    the lock that the closing holds, and one comes later.
    """
    await late(world)
    world.clock.at = MONTH_END + HOUR
    ahead, behind = outbound(120, MONTH_END - HOUR, contact=5), outbound(121, TEN - DAY, contact=6)
    waiting, after = outbound(122, MONTH_END - DAY, contact=7), outbound(123, TEN - DAY, contact=8)
    between = Between(lambda: arrive(world, ahead), lambda: arrive(world, behind))
    sent: list[asyncio.Task[list[Json]]] = []

    async def keep(*_: object) -> None:
        # The lock is held since before this: the fact is taken when it is free.
        sent.append(asyncio.create_task(world.send([waiting])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not sent[0].done()

    tenant_id = world.tenants[ACME].tenant_id
    settled = await settling(world, between).settle(
        tenant_id, Cause.CLOSE, keep, close=Close(MONTH_END)
    )

    results = [*await sent[0], *await world.send([after])]
    assert [each["status"] for each in results] == ["adjusted", "adjusted"]
    found = await statuses(world)
    accepted, adjusted = found["delivered-120"], found["delivered-122"]
    assert found["delivered-121"] == accepted
    assert found["delivered-123"] == adjusted
    assert accepted != adjusted
    assert settled.facts == 11
    await check_ledger(world, ACME)
    assert (await settle(world)).settlement_id is None
