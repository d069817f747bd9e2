"""Periods that close by themselves, and the invoices that follow (IN-1, IN-7, IN-8, BA-11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.problems import Problem
from tests.api.invoicing.office import SEATS, Office, names
from tests.conftest import Database, on
from tests.scenarios.world import World

WRITTEN = """
select debit, amount from transfers
where tenant_id = $1 and debit in ('invoiced', 'overage', 'written_off') order by version, line"""


@pytest.fixture
async def office(database: Database, redis_url: str) -> AsyncIterator[Office]:
    async with World.open(database.app_url, redis_url) as world:
        yield Office.of(world)


async def tenant(office: Office, plan: str = "postpaid-idr", since: str = "2026-10-16") -> str:
    """A business in Jakarta with a WhatsApp number, on a day of its own."""
    key = f"t{next(names)}"
    world = office.world
    world.clock.at = 0
    await world.tenant(key, plan=plan, locale="en")
    world.clock.at = office.local(key, f"{since} 08:00")
    await world.number(key, "wa", "whatsapp", f"+62 811 {next(names):07}")
    return key


async def test_a_month_is_closed_asked_for_and_begins_at_nothing(office: Office) -> None:
    """IN-8: what a postpaid balance owes is invoiced at close, and the next period starts at 0;
    IN-1: recurring in advance, its first days by themselves; IN-7: once."""
    shop = await tenant(office)
    await office.subscribe(shop, "2026-10-16")
    await office.at(shop, "2026-10-16 09:00")
    assert await office.summary(shop) == ["I-2026-000001 posted 1718710 1718710"]
    assert await office.lines(shop, "I-2026-000001") == [
        "recurring: Seats from 16 October 2026 (16 of 31 days): 10 seat 1548387.096774 -> 1548387"
    ]
    await office.at(shop, "2026-10-20 10:00")
    await office.send(shop, "wa", "2026-10-20 10:00", times=3)
    left = await office.world.figures(shop, "whatsapp")
    assert left.total.remaining == -1_758_990_000
    await office.at(shop, "2026-11-02 10:00")
    await office.send(shop, "wa", "2026-11-02 10:00")
    await office.at(shop, "2026-11-04 00:00")
    found = await office.summary(shop)
    assert found[1:] == ["I-2026-000002 posted 3331952 3331952"]
    assert await office.lines(shop, "I-2026-000002") == [
        "usage: WhatsApp balance: marketing, ID: 3 message 1758.99 -> 1759",
        "recurring: Seats: 10 seat 3000000 -> 3000000",
    ]
    left = await office.world.figures(shop, "whatsapp")
    assert (left.total.opening, left.total.remaining) == (0, -586_330_000)
    closed = await office.world.figures(shop, "whatsapp", office.local(shop, "2026-10-31 23:59"))
    assert closed.total.remaining == -1_758_990_000
    verified = await office.verify(shop)
    assert (verified.wrong, list(verified.findings)) == (0, [])
    await office.quiet()
    assert len(await office.invoices(shop)) == 2


async def test_a_second_month_asks_for_itself_alone(office: Office) -> None:
    """IN-8: what was asked for before is not asked for again; covered usage is listed."""
    shop = await tenant(office)
    await office.subscribe(shop, "2026-10-16")
    await office.send(shop, "wa", "2026-10-16 07:00")
    await office.world.top_up(shop, "whatsapp", 1_000_000_000, key=f"top-{shop}")
    await office.at(shop, "2026-11-10 10:00")
    await office.send(shop, "wa", "2026-11-10 10:00", times=2)
    await office.at(shop, "2026-12-04 00:00")
    (_, october, november) = [each.number for each in await office.invoices(shop)]
    assert await office.lines(shop, october) == [
        "covered: WhatsApp balance: marketing, ID: 1 message 586.33 -> 0",
        "recurring: Seats: 10 seat 3000000 -> 3000000",
    ]
    assert await office.lines(shop, november) == [
        "covered: WhatsApp balance: marketing, ID: 0 message 413.67 -> 0",
        "usage: WhatsApp balance: marketing, ID: 2 message 758.99 -> 759",
        "recurring: Seats: 10 seat 3000000 -> 3000000",
    ]
    assert (await office.verify(shop)).wrong == 0


async def test_units_beyond_the_allowance_are_asked_for(office: Office) -> None:
    """BA-11: overage at the plan's price, and an entry that takes it out of the books."""
    shop = await tenant(office)
    await office.subscribe(shop, "2026-10-16", {**SEATS, "price": "0"})
    await office.world.adjust(shop, "visitors", -990_000_000, key=f"used-{shop}")
    await office.at(shop, "2026-10-20 10:00")
    await office.visit(shop, "wa", "2026-10-20 09:00", people=13)
    await office.at(shop, "2026-11-04 00:00")
    number = next(each.number for each in await office.invoices(shop) if each.period is not None)
    lines = await office.lines(shop, number)
    assert [line for line in lines if "visitors" in line] == [
        "covered: Monthly unique visitors: 10 visitor 0 -> 0",
        "overage: Monthly unique visitors: 3 visitor 1800 -> 1800",
    ]
    (row,) = await office.world.rows(shop, WRITTEN)
    assert tuple(row) == ("overage", 3_000_000)
    assert (await office.verify(shop)).wrong == 0


async def test_periods_are_closed_in_their_order_by_whoever_closes_them(office: Office) -> None:
    """EV-3, IN-7: an operator closes one earlier, and what follows is the same."""
    shop = await tenant(office)
    await office.subscribe(shop, "2026-10-16")
    await office.quiet()
    office.world.clock.at = office.local(shop, "2026-12-01 09:00")
    with pytest.raises(Problem, match="2026-10 is not closed"):
        await office.close(shop, 2026, 11)
    await office.quiet()  # October by itself
    await office.close(shop, 2026, 11)
    await office.quiet()
    assert [each.period and each.period % 12 + 1 for each in await office.invoices(shop)] == [
        None, 10, 11,
    ]  # fmt: skip
    await office.at(shop, "2026-12-04 00:00")
    assert len(await office.invoices(shop)) == 3
    with pytest.raises(Problem) as told:
        await office.close(shop, 2026, 11)
    assert told.value.code == "ALREADY_CLOSED"


async def test_a_draft_waits_for_whoever_wants_to_look_at_it(office: Office) -> None:
    """IN-2, IN-3: a draft has no number; what it asks for is not asked for by the next one."""
    shop = await tenant(office)
    await office.profile(shop, issue="review")
    await office.subscribe(shop, "2026-10-16")
    await office.at(shop, "2026-11-04 00:00")
    await office.quiet()
    assert await office.summary(shop) == [
        "draft draft 1718710 1718710", "draft draft 3330000 3330000",
    ]  # fmt: skip
    drafted, _ = await office.invoices(shop)
    await office.issue(shop, drafted)
    assert await office.summary(shop) == [
        "I-2026-000001 posted 1718710 1718710", "draft draft 3330000 3330000",
    ]  # fmt: skip


async def test_two_processes_and_both_leave_one_of_each(office: Office) -> None:
    """IN-7: whatever runs twice."""
    shops = [await tenant(office) for _ in range(6)]
    for shop in shops:
        await office.subscribe(shop, "2026-10-16")
    office.world.clock.at = office.local(shops[0], "2026-11-04 00:00")
    await asyncio.gather(*(Office.of(office.world).quiet() for _ in range(3)))
    numbers = []
    for shop in shops:
        found = await office.invoices(shop)
        assert [each.period is None for each in found] == [True, False]
        numbers += [each.invoice.number for each in found]
    assert sorted(filter(None, numbers)) == [f"I-2026-{place:06}" for place in range(1, 13)]


async def test_verify_finds_what_a_hand_changed_of_invoices(
    office: Office, database: Database
) -> None:
    """IN-4, BA-10: a document, a closed period and an account that are not what they were."""
    shop = await tenant(office)
    await office.subscribe(shop, "2026-10-16")
    await office.at(shop, "2026-10-20 10:00")
    await office.send(shop, "wa", "2026-10-20 10:00", times=3)
    await office.at(shop, "2026-11-04 00:00")
    assert (await office.verify(shop)).wrong == 0
    for altered, told in (
        ("""update invoices set body = jsonb_set(body, '{note}', '"paid"') where period is not null
            and tenant_id = $1""", "invoices I-2026-000002: body is changed"),
        ("""update closed_usage set body = jsonb_set(body, '{lines,0,charged}', '1')
            where tenant_id = $1""", "closed_usage 2026-10: lines is other"),
        ("update journal set receivable = receivable + 1, cash = cash - 1 where tenant_id = $1",
         "account"),
    ):  # fmt: skip
        tenant_id = office.world.tenants[shop].tenant_id
        await on(database.owner_url, altered.replace("$1", str(tenant_id)))
        assert told in "\n".join(map(str, (await office.verify(shop)).findings))


async def test_invoices_of_months_that_wait_together_are_issued_in_their_order(
    office: Office,
) -> None:
    """IN-3: after an outage numbers follow the months, whoever is asked for which one first."""
    shop = await tenant(office, since="2026-05-16")
    await office.subscribe(shop, "2026-05-16")
    await office.quiet()
    office.world.clock.at = office.local(shop, "2026-10-04 00:00")
    for month in range(5, 10):
        await office.close(shop, 2026, month)
    await office.quiet()
    found = [each.period % 12 + 1 for each in await office.invoices(shop) if each.period]
    assert found == [5, 6, 7, 8, 9]
