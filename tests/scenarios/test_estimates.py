"""OC-6: what an estimate says is what the send is charged, and an estimate changes nothing.

Tenants with a random past ask for random sends; then each is sent by the real way in at the same
instant, and every figure has to be the one that was said.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime

import pytest

from api.operations import estimate
from api.operations.estimate import Estimate, Estimated
from domain.explain import Why
from domain.money import micros
from domain.periods import DAY, HOUR, instant, iso
from domain.problems import Problem
from tests.scenarios.world import OPERATOR, Json, World

START = instant(datetime.fromisoformat("2026-10-09T23:00:00Z"))
PLANS = ("college-small", "omnichannel-idr", "omnichannel-mcc-idr", "college-small")
CATEGORIES = ("service", "service", "marketing", "utility", "authentication", "unheard_of")
CONTACTS = [
    *(f"+62 811 {n:07d}" for n in range(40)),
    "+65 9123 4567", "+1 202 555 0123", "+44 7400 123456", "+55 11 91234 5678", "+249 91 123 1234",
]  # fmt: skip
WRONG = ["0811 1000 1234", "nobody", "+62 1"]

#: Every table with rows of tenants.
TABLES = """
select table_name from information_schema.columns join information_schema.tables
    using (table_schema, table_name)
where table_schema = 'public' and table_type = 'BASE TABLE' and column_name = 'tenant_id'"""


async def everything(world: World, tenant: str) -> dict[str, str]:
    """A digest of every row of a tenant, table by table; the head is among them."""
    tenant_id = world.tenants[tenant].tenant_id
    found = {}
    async with world.door.tenant_tx(tenant_id) as connection:
        for (table,) in await connection.fetch(TABLES):
            rows = f"select t::text from {table} t where tenant_id = $1 order by 1"
            found[table] = await connection.fetchval(
                f"select count(*) || md5(string_agg(t, '|')) from ({rows}) t", tenant_id
            )
    assert {"tenant_head", "facts", "lots", "contacts", "counters"} <= set(found)
    return found


async def ask(world: World, **wanted: object) -> Estimated:
    request = Estimate(**wanted)  # type: ignore[arg-type]
    now = world.clock.now()
    return await estimate.run(world.door, world.catalogue, OPERATOR, request, now=now)


def event(name: str, tenant: str, kind: str, at: int, contact: str, **data: object) -> Json:
    return {
        "id": name, "source": "test", "type": f"message.{kind}", "time": iso(at),
        "subject": tenant,
        "data": {"number": "+62 800 0000 77", "channel": "whatsapp", "contact": contact, **data},
    }  # fmt: skip


async def a_past(world: World, chance: random.Random, tenant: str) -> None:
    """Ten hours of traffic and top-ups: windows, conversations, counts that ran out, overdrafts."""
    for place, (balance, amount) in enumerate((("whatsapp", 2_000), ("conversations", 3))):
        if chance.random() < 0.7 and balance in world.plan(tenant)._balances:
            await world.top_up(tenant, balance, amount * 1_000_000, key=f"{tenant} {place}")
    events = []
    for n in range(chance.randrange(60)):
        at = START + n * 10 * 60_000_000
        contact, category = chance.choice(CONTACTS), chance.choice(CATEGORIES[:-1])
        if chance.random() < 0.4:
            entry: Json = {"entry": "ad"} if chance.random() < 0.3 else {}
            events.append(event(f"p{n}", tenant, "received", at, contact, **entry))
            continue
        template = {} if category == "service" else {"template": "x"}
        events.append(
            event(f"p{n}", tenant, "delivered", at, contact, category=category, **template)
        )
    world.clock.at = START + 11 * HOUR
    if events:
        assert {result["status"] for result in await world.send(events)} <= {"accepted", "unrated"}


def said(found: Estimated) -> Counter[tuple[str, str]]:
    """Micros by rule and balance."""
    sums: Counter[tuple[str, str]] = Counter()
    for line in found.quote.lines.values():
        sums[line.rule, line.balance] += line.amount
    return sums


def charged(results: list[Json]) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for result in results:
        for charge in result["charges"]:
            sums[charge["rule"], charge["balance"]] += micros(charge["amount"])
    return sums


@pytest.mark.parametrize("seed", range(4))
async def test_a_send_is_charged_what_its_estimate_said(world: World, seed: int) -> None:
    chance = random.Random(seed)
    tenant = f"estimate-{seed}"
    world.clock.at = START
    await world.tenant(tenant, plan=PLANS[seed % len(PLANS)])
    await world.number(tenant, "wa", "whatsapp", "+62 800 0000 77")
    await a_past(world, chance, tenant)
    for turn in range(3):
        at = world.clock.at = world.clock.at + chance.choice((0, HOUR, DAY, 25 * DAY))
        category = chance.choice(CATEGORIES)
        template = category != "service"
        recipients = chance.choices(CONTACTS, k=chance.randrange(1, 40)) + chance.sample(WRONG, 2)
        chance.shuffle(recipients)
        before = await everything(world, tenant)
        found = await ask(
            world, tenant=tenant, number="+62 800 0000 77", channel="whatsapp",
            category=category, template=template, recipients=recipients,
        )  # fmt: skip
        assert await everything(world, tenant) == before, "nothing was written"

        name = {"template": "x"} if template else {}
        results = await world.send([
            event(f"{turn}:{place}", tenant, "delivered", at, contact, category=category,
                  message_id=f"broadcast {turn}", **name)
            for place, contact in enumerate(recipients)
        ])  # fmt: skip
        assert charged(results) == said(found)
        statuses = Counter(result["status"] for result in results)
        # A repeated status is kept without a charge, and an unrated one has none.
        unrated = sum(each.count for each in found.quote.unrated.values())
        assert statuses["refused"] == len(found.refused) == 2
        assert sum(statuses.values()) == found.count + found.repeated + 2
        assert statuses["unrated"] == unrated
        reasons = [(each["reason"], each["message"]) for each in results if each["reason"]]
        refused = [(each.reason, each.message) for each in found.refused]
        assert [pair for pair in reasons if pair[0] != "no_rate"] == refused
        for share in found.shares:
            figures = await world.figures(tenant, share.balance)
            assert figures.available == share.after
            assert sum(leg.amount for leg in share.legs) == share.amount
            assert share.shortfall == (max(-figures.available, 0) if share.amount else 0)


async def test_a_count_is_charged_as_that_many_strangers(world: World) -> None:
    """PR-6, PR-4: counted contacts have a market and no window, and use up the free count."""
    world.clock.at = START
    await world.tenant("estimate-counts")
    await world.number("estimate-counts", "wa", "whatsapp", "+62 800 0000 77")
    wanted: Json = {
        "tenant": "estimate-counts", "number": "+62 800 0000 77", "channel": "whatsapp",
        "category": "marketing", "template": True,
    }  # fmt: skip
    before = await everything(world, "estimate-counts")
    counted = await ask(world, counts=[("ID", 1_200)], **wanted)
    listed = await ask(world, recipients=[f"+62811{n:07d}" for n in range(1_200)], **wanted)
    assert counted.quote.lines == listed.quote.lines
    assert counted.shares == listed.shares
    assert await everything(world, "estimate-counts") == before
    with pytest.raises(Problem, match="has the market 'XX'"):
        await ask(world, counts=[("XX", 1)], **wanted)


async def test_free_text_is_free_by_its_count_and_in_paid_conversations(world: World) -> None:
    """PR-9: the unit goes to the one who opens; without units 1,000 are free, then not."""
    world.clock.at = START
    await world.tenant("estimate-free")
    await world.number("estimate-free", "wa", "whatsapp", "+62 800 0000 77")
    found = await ask(
        world, tenant="estimate-free", number="+62 800 0000 77", channel="whatsapp",
        counts=[("ID", 2_010)],
    )  # fmt: skip
    lines = [(line.balance, line.reason, line.count) for line in found.quote.lines.values()]
    assert lines == [
        ("conversations", Why.CONVERSATION_OPENED, 1_000),
        ("whatsapp", Why.FREE_COUNT, 1_000),
        ("whatsapp", Why.CHARGED, 10),
    ]
    conversations, whatsapp = found.shares
    assert (conversations.after, conversations.shortfall) == (0, 0)
    assert whatsapp.shortfall == -whatsapp.after == whatsapp.amount == micros("3566.5")

    await world.send([
        event(f"{n}", "estimate-free", "delivered", START, f"+62811{n:07d}") for n in range(1_030)
    ])  # fmt: skip
    found = await ask(
        world, tenant="estimate-free", number="+62 800 0000 77", channel="whatsapp",
        recipients=[f"+62811{n:07d}" for n in range(999, 2_031)],
    )  # fmt: skip
    lines = [(line.balance, line.reason, line.count) for line in found.quote.lines.values()]
    assert lines == [
        ("conversations", Why.COVERED, 1),
        ("whatsapp", Why.FREE_COUNT, 970),
        ("whatsapp", Why.CHARGED, 61),
    ]


async def test_a_later_instant_finds_that_period_s_allowance_and_prices(world: World) -> None:
    """TZ-4: the figures and rows of the instant, not of the day of asking."""
    world.clock.at = START
    await world.tenant("estimate-later")
    await world.number("estimate-later", "wa", "whatsapp", "+62 800 0000 77")
    opened = [event(f"{n}", "estimate-later", "delivered", START, f"+62811{n:07d}")
              for n in range(600)]  # fmt: skip
    await world.send(opened)
    wanted: Json = {
        "tenant": "estimate-later", "number": "+62 800 0000 77", "channel": "whatsapp",
        "counts": [("ID", 500)],
    }  # fmt: skip
    now = await ask(world, **wanted)
    later = await ask(world, at=START + 40 * DAY, **wanted)
    assert [share.before for share in now.shares] == [micros("400"), 0]
    assert [(share.before, share.after) for share in later.shares] == [
        (micros("1000"), micros("500"))
    ]
    for wrong in (START - 40 * DAY, START + 400 * DAY):
        with pytest.raises(Problem, match="at is"):
            await ask(world, at=wrong, **wanted)


@pytest.mark.parametrize("channel", ["sms", "email", "instagram"])
async def test_texts_and_mails_are_estimated_as_they_are_charged(
    world: World, channel: str
) -> None:
    """SM-1, MT-1: segments of a text, a mail a recipient; where no rate is, both say so."""
    world.clock.at = START
    tenant = f"estimate-{channel}"
    await world.tenant(tenant, plan="service-usd", currency="USD", timezone="America/Bogota")
    address = {"sms": "12345", "email": "team@example.com", "instagram": "shop"}[channel]
    await world.number(tenant, "it", channel, address)
    contacts = ["+57 300 1234567", "+57 300 1234568", "+57 300 1234567", "+1 202 555 0123"]
    if channel == "email":
        contacts = ["a@example.com", "b@example.com", "a@example.com", "no mail"]
    text = "€" * 81
    found = await ask(
        world, tenant=tenant, number=address, channel=channel, recipients=contacts, text=text
    )
    kind = "email.sent" if channel == "email" else "message.delivered"
    results = await world.send([
        {"id": f"{n}", "source": "test", "type": kind, "time": iso(START), "subject": tenant,
         "data": {"number": address, "channel": channel, "contact": contact, "text": text,
                  "message_id": "one"}}
        for n, contact in enumerate(contacts)
    ])  # fmt: skip
    assert charged(results) == said(found)
    statuses = Counter(result["status"] for result in results)
    assert statuses["refused"] == len(found.refused) == (channel == "email")
    assert statuses["unrated"] == sum(each.count for each in found.quote.unrated.values())
    if channel == "sms":
        assert sum(line.units for line in found.quote.lines.values()) == 3 * 2 * 1_000_000
    elif channel == "email":
        assert (found.count, found.repeated) == (3, 0)
    else:
        assert (found.count, found.repeated, statuses["unrated"]) == (3, 1, 3)


async def test_what_is_wrong_with_all_of_a_send_is_said_once(world: World) -> None:
    world.clock.at = START
    await world.tenant("estimate-wrong")
    await world.number("estimate-wrong", "wa", "whatsapp", "+62 800 0000 77")
    wanted: Json = {
        "tenant": "estimate-wrong", "number": "+62 800 0000 77", "channel": "whatsapp",
        "recipients": ["+62 811 0000 001"],
    }  # fmt: skip
    for change, why in (
        ({"number": "+62 800 0000 78"}, "not registered"),
        ({"channel": "fax"}, "no channel 'fax'"),
        ({"channel": "voice"}, "nothing is sent on voice"),
        ({"category": "marketing"}, "sent by a template's name"),
        ({"category": "service", "template": True}, "not service for a template"),
        ({"tenant": "estimate-nobody"}, "no tenant"),
        ({"recipients": []}, "either recipients or counts"),
        ({"recipients": ["1"] * 10_001}, "at most 10,000"),
        ({"recipients": [], "counts": [("ID", 0)]}, "1 or more"),
        ({"recipients": [], "counts": [("ID", 100_001)]}, "at most 100,000"),
    ):
        with pytest.raises(Problem, match=why):
            await ask(world, **wanted | change)
