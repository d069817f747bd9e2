"""Broadcasts and activity: recorded with the commit of their facts, beside a model in plain Python.

The model knows sets of what was said of whom; no order, no batch and no settling is in it.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.settling import Cause, Settling
from api.verifying import Verifying
from domain.facts import Channel
from domain.periods import DAY, HOUR, MINUTE, SECOND, iso
from persistence import activity, broadcasts
from persistence.broadcasts import Asked, Figures
from persistence.door import Door
from persistence.migrate import MIGRATIONS, parse
from tests.conftest import Database
from tests.domain.spine import at
from tests.persistence.rows import Rows, rows_of
from tests.persistence.test_plans_of_queries import explained, explained_generic, read_whole
from tests.scenarios.world import Json, World

QUARTER = 15 * MINUTE
TENANTS = ("shop", "club")
NOON = at("2026-11-10 12:00")
LONG_AGO = at("2026-10-05 12:00")

CONTACTS = [f"+62 811 1000 {n:04d}" for n in range(7)]
KINDS = ("sent", "delivered", "read", "played", "failed")

ROWS = {
    "broadcast_recipients": "select broadcast, channel, party, states from broadcast_recipients"
    " where tenant_id = $1",
    "broadcasts": "select broadcast, first_at, last_at, recipients, delivered, read, failed"
    " from broadcasts where tenant_id = $1",
    "user_activity": "select agent, quarter, first_at, last_at from user_activity"
    " where tenant_id = $1",
}
Kept = dict[str, set[tuple[Any, ...]]]


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON
        for n, tenant in enumerate(TENANTS):
            await world.tenant(tenant)
            await world.number(tenant, "wa", "whatsapp", f"+62 800 0000 000{n}")
            await world.number(tenant, "ig", "instagram", f"insta-{tenant}")
        yield world


@dataclass
class Model:
    """What was said of one tenant, as sets."""

    said: dict[tuple[str, int, str], set[str]] = field(default_factory=dict)
    times: dict[str, set[int]] = field(default_factory=dict)
    worked: dict[tuple[str, int], set[int]] = field(default_factory=dict)

    def take(self, event: Json, at: int) -> None:
        kind, data = event["type"].partition("message.")[2], event["data"]
        name, user = data.get("broadcast"), data.get("user")
        began = at - int(data.get("seconds", 0)) * SECOND
        if user and kind not in ("read", "played", "failed"):  # those are the contact's doing
            self.worked.setdefault((user, began // QUARTER * QUARTER), set()).add(began)
        if not name or kind not in KINDS:
            return
        channel = Channel.INSTAGRAM if data["number"].startswith("insta") else Channel.WHATSAPP
        group = data.get("group")
        contact = data["contact"].replace(" ", "").lstrip("+")
        party = f"\x1f{group['id']}" if group else contact
        self.said.setdefault((name, channel.value, party), set()).add(kind)
        self.times.setdefault(name, set()).add(at)

    def kept(self) -> Kept:
        bits = {"sent": 1, "delivered": 2, "read": 4, "played": 4, "failed": 8}
        recipients = {
            (*who, sum({bits[kind] for kind in kinds})) for who, kinds in self.said.items()
        }
        counts = set()
        for name, times in self.times.items():
            told = [kinds for (of, _, _), kinds in self.said.items() if of == name]
            reached = [kinds for kinds in told if kinds & {"delivered", "read", "played"}]
            read = [kinds for kinds in told if kinds & {"read", "played"}]
            failed = [kinds for kinds in told if "failed" in kinds and kinds not in reached]
            counts.add(
                (name, min(times), max(times), len(told), len(reached), len(read), len(failed))
            )
        spans = {(*who, min(times), max(times)) for who, times in self.worked.items()}
        return {
            "broadcast_recipients": recipients, "broadcasts": counts, "user_activity": spans
        }  # fmt: skip


async def kept(world: World, tenant: str) -> Kept:
    return {
        table: {tuple(row) for row in await world.rows(tenant, query)}
        for table, query in ROWS.items()
    }


def some(chance: random.Random, n: int) -> tuple[str, Json, int]:
    """A tenant, an event and its instant: a message of a broadcast or of none, or a call."""
    tenant = chance.choice(TENANTS)
    when = chance.choice((LONG_AGO, NOON - DAY)) + chance.randrange(5 * HOUR // SECOND) * SECOND
    number = f"+6280000000{TENANTS.index(tenant):03d}"
    data: Json = {"number": number, "contact": chance.choice(CONTACTS)}
    kind = f"message.{chance.choice((*KINDS, 'received'))}"
    if chance.random() < 0.1:
        kind = "call.ended"
        data |= {"direction": "out", "seconds": chance.choice((0, 61, 3_600))}
    elif chance.random() < 0.2:
        data |= {"number": f"insta-{tenant}", "contact": "who"}
    elif chance.random() < 0.2:
        data["group"] = {"id": chance.choice("gh"), "members": []}
    if chance.random() < 0.7:
        # One contact may get several messages of a broadcast, and each may have any fate.
        name = chance.choice(("sale", "Été 'n\" \\u0000"))
        data |= {"broadcast": name, "message_id": f"m{n % 9}"}
    if chance.random() < 0.5:
        data["user"] = chance.choice(("ana", "bo@shop.example"))
    if chance.random() < 0.1:
        data |= {"note": {"broadcast": "nested", "user": "nobody"}, "odd": "\0\0 \\u0000\0"}
        data["user\0"] = data["broadcast\0"] = "another name"
    event = {
        "id": str(n), "source": "crm", "type": kind, "time": iso(when), "subject": tenant,
        "data": data,
    }  # fmt: skip
    return tenant, event, when


async def arrive(
    world: World, chance: random.Random, events: Sequence[tuple[str, Json, int]]
) -> dict[str, Model]:
    """Send events shuffled, split by chance and partly twice; what the tenants' models say then."""
    models = {tenant: Model() for tenant in TENANTS}
    for tenant, event, when in events:
        models[tenant].take(event, when)
    waiting = [event for _, event, _ in events]
    chance.shuffle(waiting)
    waiting += chance.choices(waiting, k=len(waiting) // 5)
    while waiting:
        size = chance.choice((1, 2, 7, 40))
        batch, waiting = waiting[:size], waiting[size:]
        results = await world.send(batch)
        assert "refused" not in {result["status"] for result in results}, results
        world.clock.at += SECOND
    return models


async def settle(world: World) -> None:
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    for tenant in TENANTS:
        await settling.settle(world.tenants[tenant].tenant_id, Cause.DEMAND)


async def findings(world: World, tenant: str) -> list[str]:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    verified = await verifying.verify(world.tenants[tenant].tenant_id)
    return [str(finding) for finding in verified.findings]


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_and_any_split_come_to_what_was_said(world: World, seed: int) -> None:
    """EV-4, CO-2: late, twice, in any order and batch; and settling changes nothing of it."""
    chance = random.Random(seed)
    events = [some(chance, n) for n in range(180)]

    models = await arrive(world, chance, events)

    for tenant in TENANTS:
        assert await kept(world, tenant) == models[tenant].kept()
        assert len(models[tenant].kept()["broadcasts"]) == 2
    await settle(world)
    for tenant in TENANTS:
        assert await kept(world, tenant) == models[tenant].kept()
        assert await findings(world, tenant) == []


async def test_what_comes_for_a_closed_period_is_known_of_its_broadcast(world: World) -> None:
    """EV-3: an adjusted message is charged elsewhere, and was sent all the same."""
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    for tenant in TENANTS:
        request = PeriodClose(tenant=tenant, period=2026 * 12 + 9, idempotency_key="october")
        await period_close.run(world.door, settling, request, now=NOON)
    chance = random.Random(9)

    models = await arrive(world, chance, [some(chance, n) for n in range(120)])

    adjusted = "select count(*) as n from facts where tenant_id = $1 and status = 3"
    for tenant in TENANTS:
        assert (await world.row(tenant, adjusted))["n"] > 3
        assert await kept(world, tenant) == models[tenant].kept()
        assert await findings(world, tenant) == []


async def test_what_is_known_or_refused_says_nothing(world: World) -> None:
    """EV-1, EV-6: a duplicate, a conflict and what is not taken leave everything as it was."""
    data = {"number": "+6280000000000", "contact": CONTACTS[0], "broadcast": "sale", "user": "ana"}
    first = {
        "id": "1", "source": "crm", "type": "message.sent", "time": iso(NOON - HOUR),
        "subject": "shop", "data": data,
    }  # fmt: skip
    await world.send([first])
    before = await kept(world, "shop")
    assert before["broadcasts"] == {("sale", NOON - HOUR, NOON - HOUR, 1, 0, 0, 0)}

    results = await world.send([
        first,
        first | {"data": data | {"contact": CONTACTS[1]}},
        first | {"data": data | {"broadcast": "other", "user": "bo"}},
        first | {"type": "message.read"},
        first | {"id": "2", "data": data | {"number": "+62999"}},
        first | {"id": "3", "time": iso(NOON + DAY)},
    ])  # fmt: skip

    assert [result["status"] for result in results] == [
        "duplicate", "conflict", "conflict", "conflict", "refused", "refused"
    ]  # fmt: skip
    assert await kept(world, "shop") == before


async def test_one_batch_with_everything_of_one_contact_counts_it_once(world: World) -> None:
    events = [
        {
            "id": kind, "source": "crm", "type": f"message.{kind}", "time": iso(NOON - n * MINUTE),
            "subject": "shop", "data": {
                "number": "+6280000000000", "contact": CONTACTS[0], "broadcast": "sale",
                "message_id": "m",
            },
        }
        for n, kind in enumerate(("failed", "read", "delivered", "sent", "received"), 1)
    ]  # fmt: skip

    await world.send(events)

    assert (await kept(world, "shop"))["broadcasts"] == {
        ("sale", NOON - 4 * MINUTE, NOON - MINUTE, 1, 1, 1, 0)
    }


async def test_facts_of_no_broadcast_ask_for_no_statement(world: World) -> None:
    class Deaf:
        async def execute(self, statement: str, *arguments: object) -> None:
            raise AssertionError(statement)

    await broadcasts.write(Deaf(), [(1, [])])  # type: ignore[arg-type]


async def test_the_migration_fills_in_what_facts_had_said(world: World, database: Database) -> None:
    """What commits would have recorded, whatever else stands in the data of facts."""
    chance = random.Random(3)
    models = await arrive(world, chance, [some(chance, n) for n in range(200)])
    (file,) = MIGRATIONS.glob("0037_*.sql")
    up = parse(file.stem, file.read_text("utf-8")).up
    head, _, fills = up.partition("create function pg_temp.readable")
    fills = f"create function pg_temp.readable{fills.partition('do $$')[0]}"
    assert (head.count("insert into"), fills.count("insert into")) == (0, 3)

    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute(f"truncate {', '.join(ROWS)}; {fills}")
    finally:
        await owner.close()

    odd = "select count(*) as n from facts where tenant_id = $1 and data like '%\\u0000%'"
    for tenant in TENANTS:
        assert (await world.row(tenant, odd))["n"] > 3
        assert await kept(world, tenant) == models[tenant].kept()
        assert await findings(world, tenant) == []


# Reading


@pytest.fixture
async def rows(owner_url: str) -> AsyncIterator[Rows]:
    async with rows_of(owner_url) as rows:
        await rows.tenant()
        await rows.tenant(2)
        yield rows


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url, size=1) as door:
        yield door


async def begun(rows: Rows, tenant_id: int, name: str, first_at: int) -> None:
    await rows.add(
        "broadcasts", tenant_id=tenant_id, broadcast=name, first_at=first_at, last_at=first_at + 9,
        recipients=10, delivered=6, read=2, failed=1,
    )  # fmt: skip


def asked(tenant_id: int = 1, **how: Any) -> Asked:
    return Asked(tenant_id=tenant_id, **({"start": NOON, "end": NOON + DAY} | how))


async def names(door: Door, *wanted: Asked, limit: int = 50) -> list[list[str]]:
    found = await broadcasts.pages(door, wanted, limit=limit)
    return [[each.name for each in page] for page in found]


async def test_pages_are_of_a_range_newest_first(rows: Rows, door: Door) -> None:
    """Its beginning is in the range, its end is not; of one instant the names decide."""
    for name, when in (("early", -1), ("a", 0), ("b", 0), ("c", HOUR), ("late", DAY)):
        await begun(rows, 1, name, NOON + when)
    await begun(rows, 2, "theirs", NOON + HOUR)

    assert await names(door, asked(), asked(2), asked(3)) == [["c", "b", "a"], ["theirs"], []]
    assert await names(door, asked(), limit=2) == [["c", "b"]]
    assert await names(door, asked(before=(NOON, "b")), asked(before=(NOON + HOUR, "c"))) == [
        ["a"], ["b", "a"]
    ]  # fmt: skip
    ((record,),) = await broadcasts.pages(door, [asked(before=(NOON, "b"))], limit=9)
    assert (record.first_at, record.last_at) == (NOON, NOON + 9)
    assert (record.recipients, record.delivered, record.read, record.failed) == (10, 6, 2, 1)
    assert record.pending == 3


async def test_names_are_searched_in_whatever_case_and_as_they_are_written(
    rows: Rows, door: Door
) -> None:
    for n, name in enumerate(("Été 100%", "ÉTÉ_2", "sale", "50 SALES")):
        await begun(rows, 1, name, NOON + n)

    async def found(text: str) -> list[str]:
        (page,) = await names(door, asked(search=text))
        return page

    assert await found("été") == ["ÉTÉ_2", "Été 100%"]
    assert await found("%") == ["Été 100%"]
    assert await found("_") == ["ÉTÉ_2"]
    assert await found("sale") == ["50 SALES", "sale"]
    assert await found("\\") == []


async def test_a_broadcast_is_found_by_its_name(rows: Rows, door: Door) -> None:
    await begun(rows, 1, "sale", NOON)
    await begun(rows, 2, "theirs", NOON)

    found = await broadcasts.by_names(door, [(2, "theirs"), (1, "theirs"), (1, "sale"), (1, "no")])

    assert [each and each.name for each in found] == ["theirs", None, "sale", None]


async def test_what_a_broadcast_took_is_read_from_days(rows: Rows, door: Door) -> None:
    """FI-2: whole and apart, one share's sum the other's; what came to nothing is no share."""
    days = ("usage_day",)
    for n, (category, country, sent, cost) in enumerate((
        ("marketing", "ID", 5, 700), ("marketing", "SG", 3, 900), ("utility", "ID", 1, 0),
        ("service", "MY", 0, 0),
    )):  # fmt: skip
        await rows.usage(
            NOON + n * DAY, category=category, country=country, broadcast="sale", tables=days,
            messages_out=sent, conversations=sent - 1 if sent else 0, cost=cost,
        )  # fmt: skip
    await rows.usage(NOON, broadcast="other", tables=days, messages_out=50)
    await rows.usage(NOON, tables=days, messages_out=70)
    await rows.usage(NOON, tenant_id=2, broadcast="sale", tables=days, messages_out=90)

    sale, none, theirs = await broadcasts.taken(door, [(1, "sale"), (1, "none"), (2, "sale")])

    assert sale.total == Figures(messages=9, conversations=6, cost=1_600)
    assert sale.by_category == (
        ("marketing", Figures(8, 6, 1_600)), ("utility", Figures(1, 0, 0)),
    )  # fmt: skip
    assert sale.by_country == (("ID", Figures(6, 4, 700)), ("SG", Figures(3, 2, 900)))
    assert none == broadcasts.Taken()
    assert theirs.total == Figures(messages=90)


async def test_spans_of_activity_are_of_the_range_that_is_asked_for(rows: Rows, door: Door) -> None:
    """By quarters: the ends of one that a range cuts count where they are within it."""

    async def worked(agent: str, first: int, last: int, tenant_id: int = 1) -> None:
        await rows.add(
            "user_activity", tenant_id=tenant_id, agent=agent,
            quarter=(NOON + first) // QUARTER * QUARTER, first_at=NOON + first, last_at=NOON + last,
        )  # fmt: skip

    await worked("ana", -MINUTE, -1)
    await worked("ana", MINUTE, 2 * MINUTE)
    await worked("ana", HOUR, HOUR)
    await worked("ana", 2 * HOUR - MINUTE, 2 * HOUR - 1)
    await worked("bo", 5 * MINUTE, 9 * MINUTE)
    await worked("bo", 2 * HOUR, 2 * HOUR)
    await worked("ana", 3 * MINUTE, 4 * MINUTE, tenant_id=2)

    async def spans(*wanted: tuple[int, list[str], int, int]) -> list[dict[str, tuple[int, int]]]:
        found = await activity.spans(
            door, [(tenant, who, NOON + start, NOON + end) for tenant, who, start, end in wanted]
        )
        return [
            {agent: (first - NOON, last - NOON) for agent, (first, last) in each.items()}
            for each in found
        ]

    both = ["ana", "bo", "nobody"]
    assert await spans((1, both, 0, 2 * HOUR), (2, both, 0, 2 * HOUR), (1, [], 0, HOUR)) == [
        {"ana": (MINUTE, 2 * HOUR - 1), "bo": (5 * MINUTE, 9 * MINUTE)},
        {"ana": (3 * MINUTE, 4 * MINUTE)},
        {},
    ]
    assert await spans((1, both, 2 * HOUR, 3 * HOUR), (1, both, 3 * HOUR, DAY)) == [
        {"bo": (2 * HOUR, 2 * HOUR)}, {}
    ]  # fmt: skip
    assert await spans((1, both, 7 * MINUTE, HOUR), (1, both, 0, 7 * MINUTE)) == [
        {"bo": (9 * MINUTE, 9 * MINUTE)},
        {"ana": (MINUTE, 2 * MINUTE), "bo": (5 * MINUTE, 5 * MINUTE)},
    ]
    assert await spans((1, both, 6 * MINUTE, 8 * MINUTE)) == [{}]
    assert await activity.spans(door, []) == []


#: What a dashboard may read; facts, charges and messages are not among it.
MAY_READ = {"broadcasts", "user_activity", "usage_day"}
READING = {
    broadcasts.PAGES: ([0], [3], [0], [NOON], [NOON], [""], ["b"], 51),
    broadcasts.BY_NAMES: ([0], [3], ["b7"]),
    broadcasts.TAKEN: ([0, 1], [3, 3], ["b7", "b8"]),
    activity.SPANS: ([0], [3], ["u7"], [0], [NOON]),
}


async def test_readers_go_by_index_and_read_no_fact(rows: Rows, door: Door) -> None:
    of = "from generate_series(1, 20) t, generate_series(1, 2000) n"
    columns = await rows.connection.fetch(
        "select attname from pg_attribute where attrelid = 'usage_day'::regclass and attnum > 8"
    )
    ones = ", ".join("1" for _ in columns)
    await rows.connection.execute(f"""
        insert into broadcasts select t, 'b' || n, n, n, 1, 1, 1, 0 {of};
        insert into user_activity select t, 'u' || n % 9, n::bigint * {QUARTER}, n, n {of};
        insert into usage_day select t, n, 1, 2, 'ID', '', '', 'b' || n % 50, {ones} {of};
        insert into usage_day select t, n, 1, 2, 'SG', '', '', '', {ones} {of};
        analyze""")
    async with door.tenant_tx(3) as connection:
        plans = [
            (query, await explain(connection, query, arguments))
            for query, arguments in READING.items()
            for explain in (explained, explained_generic)
        ]
    for query, plan in plans:
        forbidden = MAY_READ | {"facts", "charges", "messages"}
        assert set(read_whole(plan)) & forbidden == set(), query
        assert set(tables_of(plan)) <= MAY_READ, query
        if query == broadcasts.TAKEN:
            assert "usage_day_pkey" not in json.dumps(plan), "a broadcast has an index of its own"


def tables_of(plan: Any) -> list[str]:
    """The tables a plan reads, however."""
    if isinstance(plan, list):
        return [name for each in plan for name in tables_of(each)]
    if not isinstance(plan, dict):
        return []
    own = [plan["Relation Name"]] if "Relation Name" in plan else []
    return own + [name for each in plan.values() for name in tables_of(each)]
