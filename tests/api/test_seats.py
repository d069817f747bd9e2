"""Seats: who takes one, who is refused at the limit, who is told, and what stays (US-1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection

from api import ids
from persistence.connection import Connection
from tests.api.conftest import TENANT_CREATE, Ask, Json
from tests.api.sockets import greet, hear, opened, say, serving, subscribe, until

KeyOf = Callable[..., Awaitable[str]]

#: A plan of five seats, in the currency of another of ten.
SMALL, LARGE, SEATS = "whatsapp-idr", "omnichannel-idr", 5

#: Behind the end of the present period, wherever in it one stands.
MONTH = 32 * 86_400_000_000

CREATE = """
mutation ($input: UserCreateInput!) {
  userCreate(input: $input) {
    user { id role active externalId channels } userErrors { field code message }
  }
}
"""
UPDATE = """
mutation ($input: UserUpdateInput!) {
  userUpdate(input: $input) {
    user { id role active externalId channels } userErrors { field code message }
  }
}
"""
PLAN_CHANGE = """
mutation ($input: PlanChangeInput!) { planChange(input: $input) { userErrors { code message } } }
"""
FIGURES = """
query ($tenant: String!) {
  tenant(key: $tenant) { seats { maximum used available } live { availableUsers } }
}
"""
WATCH = """
subscription ($tenant: String!) {
  usageChanged(tenant: $tenant) { live { availableUsers visitors } }
}
"""


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(owner_url)
    yield connection
    await connection.close()


async def shop_of(ask: Ask, key: str, plan: str = SMALL) -> str:
    answer = await ask(TENANT_CREATE, input={"key": key, "plan": plan})
    assert answer["data"]["tenantCreate"]["userErrors"] == []
    return key


async def create(ask: Ask, key: str, role: str, name: str, **more: Any) -> Json:
    """The payload of a creation."""
    address = f"{name.replace(' ', '-')}@{key}.example"
    given = {"tenant": key, "name": name, "email": address, "role": role} | more
    return dict((await ask(CREATE, input=given))["data"]["userCreate"])


async def update(ask: Ask, user: str, **change: Any) -> Json:
    return dict((await ask(UPDATE, input={"id": user} | change))["data"]["userUpdate"])


async def made(ask: Ask, key: str, role: str, name: str, *, active: bool = True) -> str:
    """The id of somebody new, who was made inactive where that is asked for."""
    payload = await create(ask, key, role, name)
    assert payload["userErrors"] == []
    user: str = payload["user"]["id"]
    if not active:
        assert (await update(ask, user, active=False))["userErrors"] == []
    return user


async def filled(ask: Ask, key: str, *, left: int) -> None:
    """Agents and supervisors until so many seats are left."""
    taken = (await seats(ask, key))["used"]
    for number in range(SEATS - left - taken):
        await made(ask, key, ("AGENT", "SUPERVISOR")[number % 2], f"filling-{number}")


async def seats(ask: Ask, key: str) -> dict[str, int]:
    """The seats of a tenant, wherever they are shown the same."""
    found = (await ask(FIGURES, tenant=key))["data"]["tenant"]
    assert found["live"]["availableUsers"] == found["seats"]["available"]
    assert found["seats"]["available"] == found["seats"]["maximum"] - found["seats"]["used"]
    return dict(found["seats"])


async def change_plan(ask: Ask, key: str, plan: str) -> None:
    given = {"tenant": key, "plan": plan, "idempotencyKey": plan}
    answer = await ask(PLAN_CHANGE, input=given)
    assert answer["data"]["planChange"]["userErrors"] == []


def refused(payload: Json) -> tuple[str, str] | None:
    """Field and code of what was refused."""
    errors = [(error["field"], error["code"]) for error in payload["userErrors"]]
    assert len(errors) <= 1
    return errors[0] if errors else None


#: Who is there, active or not (None: nobody yet); what is changed; the field refused without a seat
#: (None: needs none); how many seats more are taken afterwards, where there was one.
CASES: list[tuple[str, tuple[str, bool] | None, Json, str | None, int]] = [
    ("an agent is created", None, {"role": "AGENT"}, "role", 1),
    ("a supervisor is created", None, {"role": "SUPERVISOR"}, "role", 1),
    ("an admin is created", None, {"role": "ADMIN"}, None, 0),
    ("a super-admin is created", None, {"role": "SUPER_ADMIN"}, None, 0),
    ("an agent comes back", ("AGENT", False), {"active": True}, "active", 1),
    ("a supervisor comes back", ("SUPERVISOR", False), {"active": True}, "active", 1),
    ("an admin comes back", ("ADMIN", False), {"active": True}, None, 0),
    ("an admin becomes an agent", ("ADMIN", True), {"role": "AGENT"}, "role", 1),
    ("an admin becomes a supervisor", ("ADMIN", True), {"role": "SUPERVISOR"}, "role", 1),
    ("an admin comes back as an agent", ("ADMIN", False), {"active": True, "role": "AGENT"},
     "active", 1),
    ("an agent comes back as an admin", ("AGENT", False), {"active": True, "role": "ADMIN"},
     None, 0),
    ("an agent becomes a supervisor", ("AGENT", True), {"role": "SUPERVISOR"}, None, 0),
    ("an agent becomes an admin", ("AGENT", True), {"role": "ADMIN"}, None, -1),
    ("an agent goes", ("AGENT", True), {"active": False}, None, -1),
    ("an agent is said to be active", ("AGENT", True), {"active": True}, None, 0),
    ("an agent has another name", ("AGENT", True), {"name": "Another"}, None, 0),
    ("who is away becomes a supervisor", ("AGENT", False), {"role": "SUPERVISOR"}, None, 0),
    ("an admin who is away becomes an agent", ("ADMIN", False), {"role": "AGENT"}, None, 0),
]  # fmt: skip


@pytest.mark.parametrize("left", [0, 1])
async def test_the_last_seat_is_given_and_one_more_is_not(ask: Ask, left: int) -> None:
    """US-1: creating, re-activating or changing a role is refused at the limit, and only there;
    admins do not count, and nobody is asked for the seat he has."""
    for number, (story, before, change, field, more) in enumerate(CASES):
        key = await shop_of(ask, f"shop-{number}")
        user = None if before is None else await made(
            ask, key, before[0], "somebody", active=before[1]
        )  # fmt: skip
        await filled(ask, key, left=left)
        assert (await seats(ask, key))["available"] == left, story
        if user is None:
            payload = await create(ask, key, change["role"], "somebody")
        else:
            payload = await update(ask, user, **change)
        if field is not None and left == 0:
            assert refused(payload) == (field, "NO_SEATS"), story
            assert "has 5 seats" in payload["userErrors"][0]["message"]
            assert "5 are taken" in payload["userErrors"][0]["message"]
            assert payload["user"] is None
            assert (await seats(ask, key))["available"] == 0, story
        else:
            assert refused(payload) is None, story
            assert (await seats(ask, key))["available"] == left - more, story


async def test_a_smaller_plan_removes_nobody_and_shows_a_negative_figure(
    app: Starlette, ask: Ask, owner: Connection
) -> None:
    """US-1: after a downgrade the figure is negative and shown so; nobody more until it is not."""
    key = await shop_of(ask, "shop", LARGE)
    people = [await made(ask, key, "AGENT", f"agent-{number}") for number in range(7)]
    assert await seats(ask, key) == {"maximum": 10, "used": 7, "available": 3}

    await change_plan(ask, key, SMALL)
    # Less of something is given from the next period on, and so are its seats.
    assert (await seats(ask, key))["maximum"] == 10
    app.state.core.clock.offset += MONTH

    assert await seats(ask, key) == {"maximum": 5, "used": 7, "available": -2}
    assert await owner.fetchval("select count(*) from users where active") == 7
    payload = await create(ask, key, "AGENT", "one-more")
    assert refused(payload) == ("role", "NO_SEATS")
    assert "has 5 seats" in payload["userErrors"][0]["message"]
    assert "7 are taken" in payload["userErrors"][0]["message"]
    # Who has a seat keeps it, whatever else is changed of him.
    assert refused(await update(ask, people[0], role="SUPERVISOR", name="Ana")) is None
    assert refused(await create(ask, key, "ADMIN", "boss")) is None
    for user, left in zip(people, (-1, 0, 1), strict=False):
        assert refused(await update(ask, user, active=False)) is None
        assert (await seats(ask, key))["available"] == left
    assert refused(await create(ask, key, "AGENT", "one-more")) is None
    assert refused(await update(ask, people[0], active=True)) == ("active", "NO_SEATS")


async def test_of_many_who_want_the_last_seat_one_gets_it(ask: Ask, owner: Connection) -> None:
    """US-1: concurrent creations, returns and changes of role cannot pass the limit together."""
    key = await shop_of(ask, "shop")
    away = [await made(ask, key, "AGENT", f"away-{n}", active=False) for n in range(2)]
    admins = [await made(ask, key, "ADMIN", f"admin-{n}") for n in range(2)]
    await filled(ask, key, left=1)
    waiting = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock'"
    )

    async def several_wait() -> bool:
        return int(await owner.fetchval(waiting)) >= 4

    # All in front of a row that somebody holds: they go on in one moment.
    async with owner.transaction():
        await owner.execute("select from tenant_head for update")
        everybody = asyncio.gather(
            *(create(ask, key, "AGENT", f"new-{n}") for n in range(2)),
            *(update(ask, user, active=True) for user in away),
            *(update(ask, user, role="SUPERVISOR") for user in admins),
        )
        await until(several_wait)
    answers = [refused(payload) for payload in await everybody]
    assert answers.count(None) == 1
    assert {answer[1] for answer in answers if answer} == {"NO_SEATS"}
    assert await seats(ask, key) == {"maximum": 5, "used": 5, "available": 0}
    counted = "select count(*) from users where active and role in ('agent', 'supervisor')"
    assert await owner.fetchval(counted) == 5


async def told(socket: ClientConnection) -> int:
    """The seats of the next event, in which nothing else has changed."""
    message = await hear(socket)
    assert message["type"] == "next", message
    live = message["payload"]["data"]["usageChanged"]["live"]
    assert live["visitors"] == 0
    return int(live["availableUsers"])


async def test_who_watches_is_told_of_seats(app: Starlette, ask: Ask, key_of: KeyOf) -> None:
    """US-1: over a socket, within seconds, without a fact: taken, left, and of another plan, also
    where that one begins by itself."""
    key, other = await shop_of(ask, "shop"), await shop_of(ask, "other")
    reading = await key_of(key, "usage:read")
    agent = await made(ask, key, "AGENT", "ana")
    async with (
        serving(app.state.core, sockets=app.state.sockets) as url,
        opened(url) as first,
        opened(url) as second,
    ):
        await greet(first, reading)
        await say(first, subscribe("1", WATCH, tenant=key))
        assert await told(first) == 4
        # Before anybody has looked at the tenant a second time, and after.
        ben = await made(ask, key, "SUPERVISOR", "ben")
        assert await told(first) == 3
        await greet(second, reading)
        await say(second, subscribe("1", WATCH, tenant=key))
        assert await told(second) == 3
        await made(ask, other, "AGENT", "of another tenant")
        await made(ask, key, "ADMIN", "boss")
        assert refused(await update(ask, agent, active=False)) is None
        assert [await told(first), await told(second)] == [4, 4]
        assert refused(await update(ask, ben, role="ADMIN")) is None
        assert [await told(first), await told(second)] == [5, 5]
        await change_plan(ask, key, LARGE)
        assert [await told(first), await told(second)] == [10, 10]
        assert refused(await update(ask, agent, active=True)) is None
        assert [await told(first), await told(second)] == [9, 9]
        await change_plan(ask, key, SMALL)
        app.state.core.clock.offset += MONTH
        assert [await told(first), await told(second)] == [4, 4]


async def test_seats_are_of_one_tenant(ask: Ask, key_of: KeyOf) -> None:
    """US-1: another tenant's people take none, and nobody sees theirs."""
    for key in ("one", "two"):
        await shop_of(ask, key)
    await filled(ask, "one", left=0)
    assert (await seats(ask, "one"))["available"] == 0
    assert (await seats(ask, "two"))["available"] == 5
    theirs = await key_of("two", "usage:read", "users:write")
    both = '{ tenant(key: "one") { seats { used } } own: tenant(key: "two") { seats { used } } }'
    answer = await ask(both, key=theirs)
    assert answer["data"] == {"tenant": None, "own": {"seats": {"used": 0}}}
    blind = await key_of("two", "users:write")
    (error,) = (await ask('{ tenant(key: "two") { seats { used } } }', key=blind))["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"


NAMED: list[tuple[Json, tuple[str, Any]]] = [
    ({}, ("ana@shop.example", [])),
    ({"externalId": " agent 7 "}, ("agent 7", [])),
    ({"channels": ["sms", "whatsapp", "sms"]}, ("ana@shop.example", ["whatsapp", "sms"])),
    ({"channels": []}, ("ana@shop.example", [])),
    ({"externalId": ""}, ("externalId", "INVALID_TEXT")),
    ({"externalId": "x" * 101}, ("externalId", "INVALID_TEXT")),
    ({"externalId": "ben@shop.example"}, ("externalId", "EXTERNAL_ID_TAKEN")),
    ({"channels": ["sms", "whatsap"]}, ("channels[1]", "UNKNOWN_CHANNEL")),
    ({"tenant": None, "role": "OPERATOR", "externalId": "x"}, ("externalId", "OF_TENANTS")),
    ({"tenant": None, "role": "OPERATOR", "channels": ["sms"]}, ("channels", "OF_TENANTS")),
]


async def test_people_have_a_name_in_facts_and_channels(ask: Ask, owner: Connection) -> None:
    """The address unless said otherwise; one name is one person; the audit tells both."""
    await shop_of(ask, "shop")
    ben = await made(ask, "shop", "AGENT", "ben")
    for change, expected in NAMED:
        payload = await create(ask, "shop", **{"role": "ADMIN", "name": "ana"} | change)
        user = payload["user"]
        if user is None:
            assert refused(payload) == expected, change
            continue
        assert (user["externalId"], user["channels"]) == expected, change
        for table in ("user_spells", "users"):
            number = ids.decode("usr", user["id"])
            await owner.execute(f"delete from {table} where user_id = $1", number)
    changed = await update(ask, ben, externalId="agent-9", channels=["email", "sms"])
    assert changed["user"]["externalId"] == "agent-9"
    assert changed["user"]["channels"] == ["sms", "email"]
    kept = await update(ask, ben, name="Ben", email="b@shop.example")
    assert (kept["user"]["externalId"], kept["user"]["channels"]) == ("agent-9", ["sms", "email"])
    assert (await update(ask, ben, channels=[]))["user"]["channels"] == []
    assert refused(await update(ask, ben, channels=["fax"])) == ("channels[0]", "UNKNOWN_CHANNEL")
    told = """{ tenant(key: "shop") { audit(first: 3, what: "userUpdate") {
        nodes { before after } } } }"""
    nodes = (await ask(told))["data"]["tenant"]["audit"]["nodes"]
    assert nodes[-1]["before"]["externalId"] == "ben@shop.example"
    assert nodes[-1]["after"]["externalId"] == "agent-9"
    assert [node["after"]["channels"] for node in nodes] == [[], ["sms", "email"], ["sms", "email"]]


async def test_a_name_in_facts_is_one_persons_for_ever(ask: Ask) -> None:
    """What was counted under a name is never another's: nobody gets one that somebody had."""
    for key in ("shop", "club"):
        await shop_of(ask, key)
    ana = await made(ask, "shop", "ADMIN", "ana")
    ben = await made(ask, "shop", "ADMIN", "ben")
    for name in ("one", "two", "two", "three"):
        payload = await update(ask, ana, externalId=name)
        assert payload["user"]["externalId"] == name, payload
    taken = "externalId", "EXTERNAL_ID_TAKEN"
    for name in ("ana@shop.example", "one", "two", "three"):
        assert refused(await update(ask, ben, name="Benjamin", externalId=name)) == taken
        assert refused(await create(ask, "shop", "ADMIN", "cy", externalId=name)) == taken

    back = await update(ask, ana, externalId="one", email="a@shop.example")
    assert back["user"]["externalId"] == "one"
    payload = await create(ask, "shop", "ADMIN", "ana")
    assert refused(payload) == taken, "the address was a name"
    assert "give another externalId" in payload["userErrors"][0]["message"]
    elsewhere = await create(ask, "club", "ADMIN", "cy", externalId="two")
    assert elsewhere["user"]["externalId"] == "two"
    kept = await update(ask, ben, active=False)
    assert kept["user"]["externalId"] == "ben@shop.example"
