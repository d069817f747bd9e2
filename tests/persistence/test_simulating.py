"""Simulating beside real books: the same rules come to the same, others to what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any

import asyncpg
import pytest

from api.operations import simulate
from api.operations.price_book_publish import PriceBookPublish
from api.operations.simulate import Progress, Range, Reading, Simulate, Simulated
from domain.money import MICRO, text
from domain.periods import HOUR, Interval, Zone, date_number, instant, month_label, month_name
from domain.problems import Problem
from domain.simulate import Drawn
from persistence import load, terms
from persistence.catalogue import SAMPLES
from persistence.connection import Connection
from persistence.servers import Servers
from tests.conftest import Database
from tests.persistence.test_settling import arrive, happened, settle
from tests.persistence.traffic import NOW, START, TopUp, traffic
from tests.scenarios.world import OPERATOR, Json, World


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    assert servers.addresses.redis_url is not None
    async with World.open(database.app_url, servers.addresses.redis_url) as world:
        yield world


def days(first: str, last: str) -> Range:
    def span(zone: Zone, now: int) -> Interval:
        bounds = [zone.day_bounds(date_number(date.fromisoformat(day))) for day in (first, last)]
        return bounds[0][0], bounds[1][1]

    return span


async def run(world: World, tenant: str, **asked: Any) -> Simulated:
    request = Simulate(tenant=tenant, **asked)
    return await simulate.run(
        world.door, world.catalogue, OPERATOR, request, now=world.clock.now(), progress=Progress()
    )


@pytest.mark.parametrize("seed", range(2))
async def test_a_tenants_own_rules_come_to_what_was_charged(world: World, seed: int) -> None:
    """Settled books and a simulation are one fold: to the last digit, wherever a range begins."""
    world.clock.at = START
    await world.tenant("own", timezone="America/Bogota", plan="college-small")
    await world.number("own", "wa", "whatsapp", "+62 800 0000 01")
    await world.number("own", "wa2", "whatsapp", "+62 800 0000 02", "Asia/Jayapura")
    await world.number("own", "ig", "instagram", "shop")
    steps = list(traffic(seed, 400))
    for n, step in enumerate(steps):
        if isinstance(step, TopUp):
            object.__setattr__(step, "starts_at", START + (NOW - START) * n // len(steps))
    late = sorted(steps, key=lambda step: happened(step) // (7 * HOUR) * 7 * HOUR)
    await arrive(world, "own", late, 7)
    await settle(world, "own")

    for first, last in (
        ("2026-05-24", "2026-06-07"),
        ("2026-05-31", "2026-06-01"),
        ("2026-06-01", "2026-06-30"),
        ("2026-06-03", "2026-06-04"),
    ):
        found = await run(world, "own", range=days(first, last))
        assert found.settled
        assert found.lines
        assert found.money[0] > 0
        for line in found.lines:
            assert line.simulated == line.charged, (first, line.place)
        for total in found.sums.totals.values():
            assert total.simulated.total == total.charged.total


def event(id: str, time: str, kind: str, contact: str, category: str = "", **data: Any) -> Json:
    """An event of the shop's number, at a local time of Jakarta."""
    if category:
        data["category"] = category
    if category not in ("", "service"):
        data["template"] = "x"
    return {
        "id": id, "source": "shop", "type": f"message.{kind}", "time": f"2026-{time}:00+07:00",
        "subject": "shop", "data": {"number": "+62800000001", "contact": contact, **data},
    }  # fmt: skip


ANA, BEN, CAT, DEA, ELI = (f"+62811100000{n}" for n in range(1, 6))
SINGAPORE = "+6591234567"

#: What it costs by September's rules, and by October's where two service messages are free.
SEPTEMBER = [
    event("1", "08-31T20:00", "received", DEA),
    event("2", "09-01T08:00", "delivered", DEA, "utility"),  # in the window: 0; 356.65
    event("3", "09-28T10:00", "received", ANA),
    event("4", "09-28T10:05", "delivered", ANA, "service", message_id="m"),  # 0; 0, the first
    event("5", "09-28T10:10", "delivered", ANA, "utility"),  # in the window: 0; 356.65
    event("6", "09-28T10:15", "delivered", ANA, "service"),  # 0; 0, the second
    event("7", "09-28T10:20", "delivered", ANA, "service"),  # 0; 356.65
    event("8", "09-28T10:25", "read", ANA, "service", message_id="m"),  # the first once more
    event("9", "09-28T11:00", "delivered", BEN, "marketing"),  # 586.33; 586.33
    event("10", "09-28T12:00", "delivered", BEN, "utility"),  # 356.65; 356.65
    event("11", "09-28T13:00", "delivered", SINGAPORE, "service"),  # 0; no rate beyond the count
    event("12", "09-29T09:00", "received", CAT, entry="ad"),
    event("13", "09-29T09:05", "delivered", CAT, "service"),  # 0; 0, and not of the count
    event("14", "09-29T09:10", "delivered", CAT, "marketing"),  # 0; 0
    event("15", "09-30T23:59", "delivered", ANA, "service"),  # 0; 356.65
    event("16", "10-01T00:01", "delivered", ANA, "service"),  # October's own
]


@pytest.fixture
async def shop(world: World) -> World:
    """A tenant that pays WhatsApp in money, and its September."""
    world.clock.at = instant(datetime.fromisoformat("2026-10-20T09:00:00+07:00"))
    await world.tenant("shop", plan="whatsapp-idr")
    await world.number("shop", "wa", "whatsapp", "+62 800 0000 01")
    results = await world.send(SEPTEMBER)
    assert {result["status"] for result in results} == {"accepted"}
    return world


def small_count() -> PriceBookPublish:
    """The next version of the shop's book, not published: two service messages are free."""
    text = (SAMPLES / "book-whatsapp-idr.toml").read_text("utf-8")
    count = 'free_count = { name = "service", count = 1000, per = "number" }'
    assert text.count(count) == 2
    return PriceBookPublish(document=text.replace(count, count.replace("1000", "2")), format="TOML")


OCTOBER_1 = date_number(date(2026, 10, 1))


def spelt(found: Simulated) -> dict[tuple[str, str], tuple[int, int, str, int, str, int]]:
    """By market and category: count; free and charged; free, simulated and unrated."""
    return {
        (line.place.market, line.place.category): (
            line.count,
            line.charged.free, text(line.charged.money),
            line.simulated.free, text(line.simulated.money), line.simulated.unrated,
        )
        for line in found.lines
    }  # fmt: skip


async def test_september_under_octobers_rules_is_what_a_hand_comes_to(shop: World) -> None:
    """PR-4: service costs after its count, and utility inside the window; the rest is the same."""
    found = await run(shop, "shop", document=small_count(), as_of=OCTOBER_1)
    assert spelt(found) == {
        ("ID", "marketing"): (2, 1, "586.33", 1, "586.33", 0),
        ("ID", "service"): (5, 5, "0", 3, "713.3", 0),
        ("ID", "utility"): (3, 2, "356.65", 0, "1069.95", 0),
        ("rest_of_asia_pacific", "service"): (1, 1, "0", 0, "0", 1),
    }
    assert [text(money) for money in found.money] == ["942.98", "2369.58"]
    assert {month_name(line.place.month) for line in found.lines} == {"2026-09"}
    assert found.sums.facts == 14  # September's: neither August's nor October's

    # Per conversation of a category, as they were charged in 2023 (CO-3): 632.87 + 3 x 307.45.
    conversations = await run(shop, "shop", as_of=date_number(date(2023, 7, 1)))
    assert [text(money) for money in conversations.money] == ["942.98", "1555.22"]

    each_own_day = await run(shop, "shop", document=small_count())
    assert each_own_day.money[0] == each_own_day.money[1]
    published = await run(shop, "shop", as_of=OCTOBER_1)
    assert [text(money) for money in published.money] == ["942.98", "1656.28"]  # 1,000 are free


async def test_a_range_within_a_month_counts_from_the_months_start(shop: World) -> None:
    """Free counts are the month's: what came before the range has used them up."""
    found = await run(
        shop, "shop", document=small_count(), as_of=OCTOBER_1,
        range=days("2026-09-30", "2026-09-30"),
    )  # fmt: skip
    assert spelt(found) == {("ID", "service"): (1, 1, "0", 0, "356.65", 0)}
    august = await run(shop, "shop", range=days("2026-08-01", "2026-08-31"))
    assert (august.lines, august.money, august.sums.facts) == ([], (0, 0), 1)


async def test_a_simulation_writes_nothing(shop: World, owner_url: str) -> None:
    """Every row of every table is as it was."""
    before = await everything(owner_url)
    found = await run(shop, "shop", document=small_count(), as_of=OCTOBER_1)
    assert found.money[1]
    assert await everything(owner_url) == before
    assert before["facts"][0] == len(SEPTEMBER)


async def everything(owner_url: str) -> dict[str, tuple[int, int]]:
    """Rows of each table, and a number that any other content would change."""
    connection = await asyncpg.connect(owner_url)
    try:
        tables = await connection.fetch(
            "select relname from pg_class where relkind in ('r', 'p') and not relispartition"
            " and relnamespace = 'public'::regnamespace"
        )
        found = {}
        for (name,) in tables:
            row = await connection.fetchrow(
                f"select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from {name} t"
            )
            assert row is not None
            found[name] = (row[0], row[1])
        return found
    finally:
        await connection.close()


async def test_another_plan_pays_by_its_own_allowances(shop: World) -> None:
    """25 contacts write: a plan for 20 has 5 beyond, 3 of them by what was bought."""
    await shop.tenant("big", plan="omnichannel-idr")
    await shop.number("big", "wa", "whatsapp", "+62 800 0000 02")
    shop.clock.at = instant(datetime.fromisoformat("2026-09-02T00:00:00+07:00"))
    await shop.top_up("big", "visitors", 3 * MICRO, key="three")
    shop.clock.at = instant(datetime.fromisoformat("2026-10-20T09:00:00+07:00"))
    events = []
    for n in range(25):
        contact = f"+62811200{n:04}"
        for kind, category, minute in (("received", "", 0), ("delivered", "service", 1)):
            sent = event(f"{kind}-{n}", f"09-{n + 3:02}T10:{minute:02}", kind, contact, category)
            sent["data"]["number"] = "+62800000002"
            events.append({**sent, "subject": "big"})
    await shop.send(events)

    found = await run(shop, "big", plan="college-small")
    drawn = found.sums.totals
    assert drawn["visitors"].charged == Drawn(25 * MICRO, allowance=25 * MICRO)
    assert drawn["visitors"].simulated == Drawn(
        25 * MICRO, allowance=20 * MICRO, bought=3 * MICRO, beyond=2 * MICRO
    )
    assert drawn["conversations"].simulated == Drawn(25 * MICRO, allowance=25 * MICRO)
    assert (found.plans, found.books) == (["college-small"], ["college-small"])


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        ({"book": "nothing"}, "UNKNOWN_BOOK", "known are college-small, "),
        ({"book": "service-usd"}, "CURRENCY_MISMATCH", "is in USD, the tenant pays in IDR"),
        ({"plan": "nothing"}, "UNKNOWN_PLAN", "known are college-small, "),
        ({"plan": "service-usd"}, "CURRENCY_MISMATCH", "is in USD, the tenant pays in IDR"),
        ({"book": "x", "document": small_count()}, "INVALID", "either a book or a document"),
        (
            {"document": PriceBookPublish(document="book = 1", format="TOML")},
            "INVALID_PRICE_BOOK",
            "book: ",
        ),
    ],
)
async def test_what_cannot_be_simulated_is_told(
    shop: World, asked: dict[str, Any], code: str, told: str
) -> None:
    with pytest.raises(Problem) as refused:
        await run(shop, "shop", **asked)
    assert refused.value.code == code
    assert told in refused.value.message


class Told(Progress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.total = 0
        self.facts: list[int] = []

    def begin(self, total: int) -> None:
        self.total = total

    def done(self, facts: int) -> None:
        self.facts.append(facts)


async def test_pages_make_no_difference_and_tell_how_far_they_are(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await run(shop, "shop", document=small_count(), as_of=OCTOBER_1)
    monkeypatch.setattr(simulate, "PAGE_FACTS", 2)
    told = Told()
    request = Simulate(tenant="shop", document=small_count(), as_of=OCTOBER_1)
    paged = await simulate.run(
        shop.door, shop.catalogue, OPERATOR, request, now=shop.clock.now(), progress=told
    )
    assert spelt(paged) == spelt(whole)
    assert told.total == 15  # August's fact opened the window of one of September's
    assert told.facts == sorted(told.facts)
    assert told.facts[-1] == 15


async def test_a_settling_meanwhile_may_pay_from_lots_that_are_new(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page sees one state of the books: what is charged, and which lots there are."""
    monkeypatch.setattr(simulate, "PAGE_FACTS", 3)
    reading, connection = await begun(shop)
    try:
        assert await reading.page()
        start = instant(datetime.fromisoformat("2026-08-01T00:00:00+07:00"))
        await shop.top_up("shop", "whatsapp", 10_000 * MICRO, key="late", starts_at=start)
        assert (await settle(shop, "shop")).corrected == 2
        while await reading.page():
            pass
    finally:
        await connection.close()
    whatsapp = reading.sums.totals["whatsapp"]
    assert text(whatsapp.charged.total) == text(whatsapp.charged.bought) == "942.98"


async def begun(shop: World) -> tuple[Reading, Connection]:
    """A simulation of the shop's September by its own rules, and the connection it reads by."""
    tenant_id = shop.tenants["shop"].tenant_id
    async with shop.door.tenant_tx(tenant_id) as reader:
        (own,) = await terms.by_ids(reader, shop.catalogue, [tenant_id])
        version = (await load.heads(reader, [tenant_id]))[tenant_id]["version"]
    connection = await shop.door.lane()
    span = own.zone.month_bounds(month_label(2026, 9))
    reading = Reading(connection, own, own, span, version)
    await reading.begin(Progress())
    return reading, connection


async def test_facts_that_come_meanwhile_are_left_out(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came after the version a simulation speaks of is not in it, wherever it would stand."""
    monkeypatch.setattr(simulate, "PAGE_FACTS", 3)
    reading, connection = await begun(shop)
    try:
        assert await reading.page()
        late = event("late", "09-30T23:00", "delivered", BEN, "marketing")
        await shop.send([late])
        while await reading.page():
            pass
    finally:
        await connection.close()
    assert reading.sums.facts == 14
    found = await run(shop, "shop")
    assert found.sums.facts == 15


async def test_calls_go_by_their_start_and_other_kinds_by_their_time(world: World) -> None:
    """VO-1: a call over midnight is of the month it began in, when charged and when simulated."""
    world.clock.at = instant(datetime.fromisoformat("2026-10-20T09:00:00Z"))
    await world.tenant("desk", plan="contact-center-usd", timezone="UTC", currency="USD")
    for channel, address in (
        ("voice", "+1 202 555 0100"), ("sms", "+1 202 555 0101"), ("email", "desk@example.com"),
    ):  # fmt: skip
        await world.number("desk", channel, channel, address)
    call = {"channel": "voice", "number": "+12025550100", "contact": "+12025550123"}
    sms = {"channel": "sms", "number": "+12025550101", "contact": "+12025550123"}
    mail = {"channel": "email", "number": "desk@example.com", "contact": "ana@example.com"}
    happened = (
        ("call.ended", "10-01T00:05", {**call, "direction": "out", "seconds": 600}),
        ("call.ended", "10-01T00:06", {**call, "direction": "out", "seconds": 60}),
        ("call.ended", "09-30T10:00", {**call, "direction": "in", "seconds": 61}),
        ("message.sent", "09-30T10:01", {**sms, "segments": 2, "message_id": "s"}),
        ("message.delivered", "09-30T10:02", {**sms, "segments": 2, "message_id": "s"}),
        ("email.sent", "09-30T10:03", {**mail, "quantity": 3}),
    )
    results = await world.send([
        {
            "id": str(n), "source": "desk", "type": kind, "time": f"2026-{time}:00Z",
            "subject": "desk", "data": data,
        }
        for n, (kind, time, data) in enumerate(happened)
    ])  # fmt: skip
    assert {result["status"] for result in results} == {"accepted"}

    september = await run(world, "desk")
    assert (september.sums.facts, sum(line.count for line in september.lines)) == (5, 4)
    october = await run(world, "desk", range=days("2026-10-01", "2026-10-31"))
    assert (october.sums.facts, sum(line.count for line in october.lines)) == (1, 1)
    for found in (september, october):
        for line in found.lines:
            assert line.simulated == line.charged, line.place
            assert line.charged.money
