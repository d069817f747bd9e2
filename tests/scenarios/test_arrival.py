"""How facts come in, where a story's words are too coarse: bytes, two requests at once, trouble."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime
from itertools import count

import pytest

from api.intake import Intake
from domain.money import micros
from domain.periods import HOUR, instant, iso
from tests.scenarios.world import Json, World

TEN = instant(datetime.fromisoformat("2026-10-05T10:00:00+07:00"))
keys = count(1)

FIRST = (
    '{"id":"1","source":"s","type":"message.delivered","time":"2026-10-05T10:00:00+07:00",'
    '"subject":"TENANT","data":{"number":"+62800000001","contact":"6281100000010",'
    '"template":"x","category":"marketing","weight":1.50,"deep":{"a":1,"b":[1,2,{"c":null}]}}}'
)

#: What is replaced in the text above, and whether that still says the same (EV-1).
SPELLINGS = [
    # key order and spacing
    ('"template":"x","category":"marketing"', '"category": "marketing",\n "template" : "x"', True),
    ('{"a":1,"b":[1,2,{"c":null}]}', '{"b":[1,2,{"c":null}],"a":1}', True),
    # numbers by value
    ("1.50", "1.5", True),
    ("1.50", "15e-1", True),
    ("1.50", "0.15E+1", True),
    ('"a":1', '"a":1.0', True),
    ('"a":1', '"a":1e0', True),
    ("1.50", "1.51", False),
    ("1.50", '"1.5"', False),
    ('"a":1', '"a":true', False),
    ('"a":1', '"a":-1', False),
    # the instant, not its spelling
    ("2026-10-05T10:00:00+07:00", "2026-10-05T03:00:00Z", True),
    ("2026-10-05T10:00:00+07:00", "2026-10-04T23:00:00.000-04:00", True),
    ("2026-10-05T10:00:00+07:00", "2026-10-05t03:00:00.0000000z", True),
    ("2026-10-05T10:00:00+07:00", "2026-10-05T10:00:00.000001+07:00", False),
    ("2026-10-05T10:00:00+07:00", "2026-10-05T01:00:00Z", False),
    # text by its characters
    ('"x"', '"\\u0078"', True),
    ('"x"', '"X"', False),
    # the envelope beside type, instant and subject
    ('"source":"s"', '"source":"s","specversion":"1.0","datacontenttype":"text/plain"', True),
    ('"type":"message.delivered"', '"type":"message.read"', False),
    # fields, known or not
    ('"weight":1.50', '"weight":1.50,"colour":"red"', False),
    ('"weight":1.50,', "", False),
    ('{"c":null}', "{}", False),
    ("[1,2,", "[2,1,", False),
    # the contact as it was written
    ("6281100000010", "+6281100000010", False),
]  # fmt: skip


@pytest.fixture
async def tenant(world: World) -> str:
    """A tenant with a WhatsApp number of its own; it is ten o'clock on 5 October 2026."""
    key = f"arrival-{next(keys)}"
    world.clock.at = TEN
    await world.tenant(key)
    await world.number(key, "wa", "whatsapp", "+62 800 0000 01")
    return key


@pytest.fixture
async def other(world: World) -> Intake:
    """A second process on the same database."""
    return await world.process()


def event(tenant: str, id: str, type: str = "message.delivered", **data: object) -> Json:
    """An event of now."""
    fields = {"number": "+62800000001", "contact": "6281100000010"} | data
    return {
        "id": id, "source": "s", "type": type, "time": iso(TEN), "subject": tenant, "data": fields,
    }  # fmt: skip


@pytest.mark.parametrize(("old", "new", "same"), SPELLINGS)
async def test_content_is_compared_by_value(
    world: World, tenant: str, old: str, new: str, same: bool
) -> None:
    """EV-1: an event sent again in another spelling is a duplicate; other content, a conflict."""
    first = FIRST.replace("TENANT", tenant)
    assert first.count(old) == 1
    again = first.replace(old, new)

    (one,) = await world.send([first.encode()])
    (two,) = await world.send([again.encode()])
    three = await world.send([first.encode(), again.encode()])

    assert one["status"] == "accepted"
    assert two["status"] == ("duplicate" if same else "conflict")
    assert two["charges"] == (one["charges"] if same else [])
    assert [result["status"] for result in three] == ["duplicate", two["status"]]
    kept = await world.rows(tenant, "select key from conflicts where tenant_id = $1")
    assert len(kept) == (0 if same else 1)
    assert (await world.figures(tenant, "whatsapp")).total.used == micros("586.33")


async def test_ids_belong_to_their_source_and_their_tenant(world: World, tenant: str) -> None:
    """EV-1: the key is tenant, source and id together, however they are cut."""
    await world.tenant(f"{tenant}-b")
    await world.number(f"{tenant}-b", "wa", "whatsapp", "+62 800 0000 01")
    body = [
        event(tenant, "1"),
        event(tenant, "1") | {"source": "s2"},
        event(tenant, "21") | {"source": "s"},
        event(f"{tenant}-b", "1"),
        event(tenant, "1"),
    ]

    results = await world.send(body)

    statuses = [result["status"] for result in results]
    assert statuses == ["accepted", "accepted", "accepted", "accepted", "duplicate"]


async def test_one_id_in_two_requests_at_once(world: World, tenant: str, other: Intake) -> None:
    """EV-1: of the same fact in two processes one is accepted, and it is charged once."""
    facts = [event(tenant, str(n), category="marketing", template="x") for n in range(50)]

    both = await asyncio.gather(world.send(facts), world.send(facts, to=other))

    pairs = zip(*both, strict=True)
    assert {tuple(sorted(each["status"] for each in pair)) for pair in pairs} == {
        ("accepted", "duplicate")
    }
    assert both[0][7]["charges"] == both[1][7]["charges"]
    assert (await world.figures(tenant, "whatsapp")).total.used == 50 * micros("586.33")


async def test_two_contents_in_two_requests_at_once(
    world: World, tenant: str, other: Intake
) -> None:
    """EV-1: one of them is first and stays; the other is a conflict, listed once."""
    facts = [
        [event(tenant, str(n), category=category, template="x") for n in range(50)]
        for category in ("marketing", "utility")
    ]

    both = await asyncio.gather(world.send(facts[0]), world.send(facts[1], to=other))

    for pair in zip(*both, strict=True):
        assert sorted(each["status"] for each in pair) == ["accepted", "conflict"]
    count = await world.row(tenant, "select count(*) from conflicts where tenant_id = $1")
    assert count["count"] == 50


async def test_a_message_said_by_two_processes_is_charged_once(
    world: World, tenant: str, other: Intake
) -> None:
    """EV-5: delivered here and read there, at the same moment."""
    said = {"category": "marketing", "template": "x"}
    delivered = [event(tenant, f"d{n}", **said, message_id=f"m{n}") for n in range(50)]
    read = [event(tenant, f"r{n}", "message.read", **said, message_id=f"m{n}") for n in range(50)]

    both = await asyncio.gather(world.send(delivered), world.send(read, to=other))

    charged = [len(one["charges"]) + len(two["charges"]) for one, two in zip(*both, strict=True)]
    assert charged == [1] * 50
    assert (await world.figures(tenant, "whatsapp")).total.used == 50 * micros("586.33")


async def test_two_services_at_once_with_999_used(world: World, tenant: str, other: Intake) -> None:
    """PR-4: exactly one of the two is free."""
    await world.send([event(tenant, "opens", category="utility", template="x")])
    await world.send([event(tenant, f"free-{n}") for n in range(999)])

    both = await asyncio.gather(
        world.send([event(tenant, "one")]), world.send([event(tenant, "two")], to=other)
    )

    amounts = sorted(result[0]["charges"][0]["amount"] for result in both)
    assert amounts == ["0", "356.65"]


async def test_first_messages_at_once_are_one_visitor(
    world: World, tenant: str, other: Intake
) -> None:
    """VI-1: each contact counts once, whoever sees it first."""
    contacts = [f"62811{n:08d}" for n in range(50)]

    def received(prefix: str) -> list[Json]:
        return [
            event(tenant, f"{prefix}{contact}", "message.received", contact=contact)
            for contact in contacts
        ]

    both = await asyncio.gather(
        world.send(received("here")), world.send(received("there"), to=other)
    )

    assert {len(a["charges"]) + len(b["charges"]) for a, b in zip(*both, strict=True)} == {1}
    assert (await world.figures(tenant, "visitors")).total.used == micros("50")


async def test_a_suspended_tenant_is_still_rated(world: World, tenant: str) -> None:
    """EV-6: the usage happened."""
    owner = world.tenants[tenant].tenant_id
    async with world.door.tenant_tx(owner) as connection:
        await connection.execute(
            "update tenants set status = 'suspended' where tenant_id = $1", owner
        )
        await connection.execute(
            "update tenant_head set settings = settings + 1 where tenant_id = $1", owner
        )

    (result,) = await world.send([event(tenant, "1", category="marketing", template="x")])

    assert (result["status"], result["charges"][0]["amount"]) == ("accepted", "586.33")


JUNK = [
    ("{}", "missing_field"),
    ("5", "invalid_json"),
    ("null", "invalid_json"),
    ('"text"', "invalid_json"),
    ("[]", "invalid_json"),
    ('{"id":"7","source":"s","type":"message.seen","time":"2026-10-05T03:00:00Z",'
     '"subject":"TENANT","data":{}}', "unknown_type"),
    ('{"id":"7","source":"s","type":"message.read","time":"2026-10-05T03:00:00",'
     '"subject":"TENANT","data":{}}', "time_without_offset"),
    ('{"id":"7","source":"s","type":"message.read","subject":"TENANT","data":{}}',
     "missing_field"),
    ('{"id":"7","source":"s","type":"message.read","time":"2026-10-05T03:00:00Z",'
     '"subject":"TENANT","data":{"number":"+62800000001"}}', "missing_field"),
]  # fmt: skip


async def test_junk_among_good_items(world: World, tenant: str) -> None:
    """EV-2: each item has its own answer, in order; the good ones are all kept."""
    good = [event(tenant, f"good-{n}", category="utility", template="x") for n in range(len(JUNK))]
    junk = [text.replace("TENANT", tenant).encode() for text, _ in JUNK]
    body: list[Json | bytes] = [item for pair in zip(good, junk, strict=True) for item in pair]

    results = await world.send(body)

    assert [result["status"] for result in results] == ["accepted", "refused"] * len(JUNK)
    assert [result["reason"] for result in results[1::2]] == [reason for _, reason in JUNK]
    assert all(result["message"] for result in results[1::2])
    rows = await world.rows(tenant, "select id from facts where tenant_id = $1")
    assert Counter(row["id"] for row in rows) == Counter(f"good-{n}" for n in range(len(JUNK)))


async def test_facts_of_an_hour_ahead_leave_nothing(world: World, tenant: str) -> None:
    """EV-3: refused, and its id is free for the right one."""
    early = event(tenant, "1") | {"time": iso(TEN + HOUR)}

    (refused,) = await world.send([early])
    world.clock.at = TEN + HOUR
    (accepted,) = await world.send([early])

    assert (refused["status"], refused["reason"]) == ("refused", "time_ahead")
    assert accepted["status"] == "accepted"


async def test_another_tenants_repeated_message_is_not_mine(world: World, tenant: str) -> None:
    """EV-5: events of two tenants may have one id; what repeats a message of one tenant does not
    repeat the other's."""
    keys = [tenant]
    while world.tenants[keys[0]].tenant_id % 4 != world.tenants[keys[-1]].tenant_id % 4 or (
        len(keys) == 1
    ):  # the two share a lane, and with it a commit
        keys.append(f"{tenant}-{len(keys)}")
        await world.tenant(keys[-1])
    await world.number(keys[-1], "wa", "whatsapp", "+62 800 0000 01")
    said = {"category": "marketing", "template": "x"}

    await world.send([event(tenant, "1", **said, message_id="m1")])
    repeated, fresh = await world.send(
        [
            event(tenant, "2", "message.read", **said, message_id="m1"),
            event(keys[-1], "2", "message.read", **said, message_id="m1"),
        ]
    )

    assert repeated["charges"] == []
    assert [charge["amount"] for charge in fresh["charges"]] == ["586.33"]
