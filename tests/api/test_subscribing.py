"""Subscriptions month by month: what they are asked for, the allowances they come with, their end.

IN-1 and BA-12, on a real database and a clock that stands where a test puts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.periods import DAY, HOUR
from domain.recurring import asked, line
from persistence import load, tasks
from persistence.standing import standing_of
from persistence.subscriptions import DeedKind
from persistence.tenants import find_by_keys
from tests.api.subscribing import ONBOARDING, SEATS, Agreements, fees
from tests.conftest import Database
from tests.domain.spine import at
from tests.scenarios.world import World

NOVEMBER, DECEMBER, JANUARY, FEBRUARY = (
    2026 * 12 + 10, 2026 * 12 + 11, 2027 * 12, 2027 * 12 + 1
)  # fmt: skip
CANCEL, RENEW, PAUSE, RESUME, QUANTITY, PLAN = (
    DeedKind.CANCEL, DeedKind.RENEW, DeedKind.PAUSE, DeedKind.RESUME, DeedKind.QUANTITY,
    DeedKind.PLAN,
)  # fmt: skip


@pytest.fixture
async def desk(database: Database, redis_url: str) -> AsyncIterator[Agreements]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = at("2026-10-31 10:00")
        await world.tenant("acme", plan="whatsapp-idr")
        yield Agreements(world)


def on(desk: Agreements, when: str) -> None:
    desk.world.clock.at = at(when)


async def lines(desk: Agreements, month: int) -> list[tuple[str, int]]:
    """What the invoices of a subscription have asked for by a month's, as they read."""
    kept = await desk.kept("acme")
    found = [line(each, "IDR") for each in asked(kept.subscription, month)]
    return [(each.description, each.exact // 1_000_000) for each in found]


async def test_signing_up_on_the_31st_begins_everything(desk: Agreements) -> None:
    """IN-1: fees by days, set-up once; the plan with its first period full (BA-12)."""
    await desk.create("acme", asked=fees(setup=(ONBOARDING,)))
    assert await lines(desk, NOVEMBER - 1) == [
        ("Onboarding", 500_000),
        ("Base from 31 October 2026 (1 of 31 days)", 64_516),
        ("Seats from 31 October 2026 (1 of 31 days)", 48_387),
    ]
    assert await desk.granted("acme") == 1_000
    assert await desk.granted("acme", at("2026-11-01 00:00")) == 1_000
    assert await desk.due("acme", tasks.INVOICE) == {"start/main": at("2026-10-31 00:00")}
    assert await desk.due("acme", tasks.CLOSE) == {"2026-10": at("2026-11-04 00:00")}
    assert await desk.due("acme", tasks.ENDING) == {}
    row = await desk.world.row("acme", "select invoicing from tenants where tenant_id = $1")
    assert row["invoicing"]


async def test_a_seat_more_in_the_middle_of_a_month(desk: Agreements) -> None:
    """IN-1: +1 seat of 300,000 on 16 November is 15/30; a seat less waits for December."""
    await desk.create("acme", asked=fees(SEATS), start="2026-11-01", plan=None)
    on(desk, "2026-11-16 09:00")
    await desk.change("acme", QUANTITY, component="seats", quantity="6")
    await desk.change("acme", QUANTITY, component="seats", quantity="4", since="2026-11-20")
    assert await lines(desk, DECEMBER) == [
        ("Seats", 1_500_000),
        ("Seats, 1 more from 16 November 2026 (15 of 30 days)", 150_000),
        ("Seats", 1_200_000),
    ]
    assert await desk.due("acme", tasks.CLOSE) == {"2026-11": at("2026-12-04 00:00")}


async def test_a_pause_asks_and_grants_nothing_from_the_next_month_on(desk: Agreements) -> None:
    """BA-12: what was granted stays; resumed in a month, its allowance is there at once."""
    await desk.create("acme", asked=fees(SEATS))
    on(desk, "2026-11-10 09:00")
    await desk.change("acme", PAUSE)
    assert await desk.granted("acme") == 1_000
    assert await desk.granted("acme", at("2026-12-01 00:00")) == 0
    on(desk, "2027-01-20 09:00")
    assert await desk.granted("acme") == 0
    await desk.change("acme", RESUME)
    assert await desk.granted("acme") == 1_000
    assert await desk.granted("acme", at("2027-02-01 00:00")) == 1_000
    assert (await lines(desk, JANUARY))[-1] == (
        "Seats from 20 January 2027 (12 of 31 days)", 580_645
    )  # fmt: skip


async def test_a_pause_and_its_end_may_be_agreed_ahead(desk: Agreements) -> None:
    await desk.create("acme")
    await desk.change("acme", PAUSE, since="2026-12-01")
    await desk.change("acme", RESUME, since="2027-02-01")
    granted = [await desk.granted("acme", at(f"{month}-01 00:00"))
               for month in ("2026-11", "2026-12", "2027-01", "2027-02")]  # fmt: skip
    assert granted == [1_000, 0, 0, 1_000]


async def test_an_upgrade_is_there_at_once_and_a_downgrade_with_the_next_period(
    desk: Agreements,
) -> None:
    """BA-12, IN-1: both the fees and the allowances."""
    await desk.create("acme", asked=fees(SEATS, name="Small"), plan="whatsapp-idr")
    on(desk, "2026-11-16 09:00")
    large = fees(SEATS | {"price": "500000"}, name="Large")
    await desk.change("acme", PLAN, fees=large, plan="omnichannel-idr")
    assert await desk.granted("acme") == 1_000
    assert (await lines(desk, NOVEMBER))[-1] == (
        "Small > Large from 16 November 2026 (15 of 30 days)", 500_000
    )  # fmt: skip
    on(desk, "2026-11-20 09:00")
    await desk.change("acme", PLAN, fees=fees(SEATS, name="Small"), plan="whatsapp-idr")
    assert (await desk.kept("acme")).plan == "whatsapp-idr"
    assert await desk.granted("acme") == 1_000
    assert await desk.granted("acme", at("2026-12-01 00:00")) == 0
    assert (await lines(desk, DECEMBER))[-1] == ("Seats", 1_500_000)


async def test_what_is_cancelled_grants_nothing_any_more_and_renewing_withdraws_it(
    desk: Agreements,
) -> None:
    """BA-12: nothing from the first period after the last day served, in the midst of one too."""
    await desk.create("acme")
    await desk.change("acme", CANCEL, last_day="2026-12-10")
    assert await desk.granted("acme", at("2026-12-20 00:00")) == 1_000
    assert await desk.granted("acme", at("2027-01-01 00:00")) == 0
    await desk.change("acme", RENEW)
    assert await desk.granted("acme", at("2027-01-01 00:00")) == 1_000
    on(desk, "2026-11-30 23:00")
    await desk.change("acme", CANCEL)
    on(desk, "2026-12-01 00:00")
    assert await desk.granted("acme") == 0
    assert (await lines(desk, DECEMBER))[-1][0] == "Seats"


async def test_a_term_that_does_not_renew_ends_by_itself(desk: Agreements) -> None:
    """The end is decided when it is agreed; renewed in time, it goes on."""
    await desk.create("acme", start="2026-11-01", months=3, renews=False)
    assert await desk.granted("acme", at("2027-01-31 00:00")) == 1_000
    assert await desk.granted("acme", at("2027-02-01 00:00")) == 0
    assert await desk.due("acme", tasks.ENDING) == {"main": at("2027-01-01 00:00")}
    on(desk, "2026-12-01 09:00")
    await desk.change("acme", RENEW)
    assert await desk.granted("acme", at("2027-02-01 00:00")) == 1_000
    on(desk, "2027-01-01 00:00")
    await desk.tasks.quiet()
    assert await desk.told("acme") == []
    assert await desk.due("acme", tasks.ENDING) == {}


async def test_one_that_begins_later_brings_its_plan_with_its_first_whole_period(
    desk: Agreements,
) -> None:
    await desk.create("acme", start="2026-11-15")
    (record,) = (await find_by_keys(desk.world.door, ["acme"])).values()
    standing = standing_of(desk.world.catalogue, record)
    assert standing.holding(at("2026-11-30 23:59")).plan.key == "whatsapp-idr"
    assert await desk.granted("acme", at("2026-12-01 00:00")) == 1_000
    assert await desk.due("acme", tasks.INVOICE) == {"start/main": at("2026-11-15 00:00")}


async def test_a_quantity_leaves_allowances_alone(desk: Agreements) -> None:
    await desk.create("acme")
    before = await desk.world.row("acme", "select changes from tenants where tenant_id = $1")
    await desk.change("acme", QUANTITY, component="seats", quantity="9")
    after = await desk.world.row("acme", "select changes from tenants where tenant_id = $1")
    assert after == before


async def test_the_coming_of_an_end_is_said_once_for_each_last_day(desk: Agreements) -> None:
    """Thirty days before, or when it is agreed; withdrawn and agreed again it is said again."""
    await desk.create("acme")
    await desk.change("acme", CANCEL, last_day="2026-12-31")
    due = await desk.due("acme", tasks.ENDING)
    assert due == {"main": at("2026-12-01 00:00")}
    on(desk, "2026-11-30 23:59")
    await desk.tasks.quiet()
    assert await desk.told("acme") == []
    on(desk, "2026-12-01 00:00")
    await desk.tasks.quiet()
    assert await desk.told("acme") == [("main", "2026-12-31")]
    assert (await desk.kept("acme")).said_for is not None
    assert await desk.due("acme", tasks.ENDING) == {}
    await desk.change("acme", RENEW)
    await desk.change("acme", CANCEL, last_day="2026-12-05")
    await desk.tasks.quiet()
    await desk.change("acme", RENEW)
    await desk.change("acme", CANCEL, last_day="2026-12-31")
    await desk.tasks.quiet()
    assert await desk.told("acme") == [("main", "2026-12-31"), ("main", "2026-12-05")]
    assert await desk.due("acme", tasks.ENDING) == {}


async def test_an_end_is_said_once_whatever_runs_twice(desk: Agreements) -> None:
    """A crash before the commit leaves the task; one that was taken twice is done once."""
    await desk.create("acme", months=1, renews=False)
    tenant_id = desk.world.tenants["acme"].tenant_id
    (task,) = await tasks.take(desk.world.door, tasks.ENDING, desk.world.clock.at, lease=DAY,
                               limit=9)  # fmt: skip
    # Whoever had it is gone: another process takes it when its lease ends, both do it.
    desk.world.clock.at += 2 * DAY
    (again,) = await tasks.take(desk.world.door, tasks.ENDING, desk.world.clock.at, lease=DAY,
                                limit=9)  # fmt: skip
    await asyncio.gather(
        desk.ending.handle(again), desk.ending.handle(task), desk.ending.handle(again)
    )
    await desk.ending.handle(task)
    assert await desk.told("acme") == [("main", "2026-11-29")]
    desk.world.clock.at += HOUR
    await desk.tasks.quiet()
    assert await desk.due("acme", tasks.ENDING) == {}
    async with desk.world.door.tenant_tx(tenant_id) as connection:
        await load.lock(connection, [tenant_id], wait=True)
        await tasks.add(connection, tenant_id, tasks.ENDING, "main", 0)
    await desk.tasks.quiet()
    assert await desk.told("acme") == [("main", "2026-11-29")]


async def test_another_zone_moves_the_day_on_which_an_end_is_said(desk: Agreements) -> None:
    """TZ-3: the midnight is that of the zone that is in force by then."""
    await desk.create("acme", months=3, renews=False, start="2026-11-01")
    await desk.world.change_zone("acme", "America/Bogota", key="zone")
    on(desk, "2027-01-01 00:00")
    await desk.tasks.quiet()
    assert await desk.told("acme") == []
    assert await desk.due("acme", tasks.ENDING) == {"main": at("2027-01-01 12:00")}
    on(desk, "2027-01-01 12:00")
    await desk.tasks.quiet()
    assert await desk.told("acme") == [("main", "2027-01-31")]


@pytest.mark.parametrize("there", ["Asia/Jakarta", "America/Bogota"])
async def test_nothing_is_granted_after_the_end_in_another_zone_either(
    desk: Agreements, there: str
) -> None:
    """TZ-3, BA-12: periods begin sooner further east, and later further west."""
    here = {"Asia/Jakarta": "America/Bogota", "America/Bogota": "Asia/Jakarta"}[there]
    await desk.world.tenant("moves", plan="whatsapp-idr", timezone=here)
    await desk.create("moves", start="2026-11-01")
    await desk.change("moves", CANCEL, last_day="2027-01-31")
    await desk.change("moves", PAUSE, since="2026-12-01")
    await desk.change("moves", RESUME, since="2027-01-01")
    await desk.world.change_zone("moves", there, key="zone")
    zone = desk.world.tenants["moves"].zone
    granted = []
    for month in (DECEMBER, JANUARY, FEBRUARY):
        granted.append(await desk.granted("moves", zone.month_bounds(month)[0]))
    assert granted == [0, 1_000, 0]


async def test_another_plan_by_hand_is_granted_no_longer_than_it_serves(desk: Agreements) -> None:
    """BA-12: what was to come no longer does, but the end does; after it, plans are by hand."""
    world = desk.world
    await desk.create("acme")
    await desk.change("acme", CANCEL, last_day="2026-12-31")
    await world.change_plan("acme", "omnichannel-mcc-idr", key="other")
    granted = [await desk.granted("acme", at(f"{month}-01 00:00"))
               for month in ("2026-11", "2026-12", "2027-01")]  # fmt: skip
    assert granted == [1_000, 1_000, 0]
    on(desk, "2027-01-05 10:00")
    await world.change_plan("acme", "omnichannel-idr", key="by hand")
    assert await desk.granted("acme", at("2027-02-01 00:00")) == 1_000
