"""Settling as operators and finance see it: the mutation, the list, the command (EV-9, EV-10)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from api.app import create_app
from api.schema.settlement import SettlementCause
from api.settings import Clock, Settings
from api.settling import Cause
from domain.periods import DAY, HOUR, iso
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask, Json
from tests.api.sockets import PATIENCE_SECONDS
from tests.commands import command
from tests.conftest import Database

KeyOf = Callable[..., Awaitable[str]]

SETTLE = """mutation ($input: SettleInput!) { settle(input: $input) {
  facts corrected differences { balance amount { value currency formatted } }
  settlement { id period cause corrected version differences { balance } }
  userErrors { code field message } } }"""
LIST = """query ($first: Int!, $after: String) { tenant(key: "late") { unsettledFrom
  settlements(first: $first, after: $after) {
    edges { cursor }
    nodes { id period cause corrected startedAt settledAt version
      differences { balance amount { value currency } } }
    pageInfo { hasNextPage endCursor } } } }"""
CHARGES = """{ tenant(key: "late") { charges(first: 10) { nodes {
  factId amount { value } reversal revision } } } }"""
RECORD = """mutation ($input: UsageRecordInput!) { usageRecord(input: $input) {
  results { status reason } userErrors { message } } }"""


@pytest.fixture
async def noon(ask: Ask) -> int:
    """Create the tenant, and give an instant some days ago within the rules of October 2026."""
    await ask(TENANT_CREATE, input={"key": "late", "plan": "omnichannel-idr"})
    number = {"tenant": "late", "channel": "whatsapp", "address": "+62 800 0000 0001"}
    await ask(NUMBER_CREATE, input=number)
    return NOON


#: 2026-10-20 10:00 in Jakarta.
NOON = 1_792_465_200_000_000


async def send(ask: Ask, *events: tuple[str, str, int, Json]) -> None:
    items = [
        {"id": id, "source": "crm", "type": f"message.{kind}", "subject": "late",
         "time": iso(at), "data": {"number": "+6280000000001", "contact": "+62 811 1000 0001",
                                   **data}}
        for id, kind, at, data in events
    ]  # fmt: skip
    answer = await ask(RECORD, input={"events": items})
    results = answer["data"]["usageRecord"]["results"]
    assert {result["status"] for result in results} == {"ACCEPTED"}, answer


async def came_from_an_ad(ask: Ask, at: int, n: int = 1) -> None:
    """A template that is charged; then it turns out that the contact had come from an ad."""
    template = {"category": "marketing", "template": "sale"}
    await send(ask, (f"m{n}", "delivered", at, template))
    await send(ask, (f"r{n}", "received", at - HOUR, {"entry": "ad"}))


async def settle(ask: Ask, **more: Any) -> Json:
    found: Json = (await ask(SETTLE, input={"tenant": "late"} | more))["data"]["settle"]
    return found


async def listed(ask: Ask, first: int = 10, after: str | None = None, **how: Any) -> Json:
    found: Json = (await ask(LIST, first=first, after=after, **how))["data"]["tenant"]
    return found


async def test_what_was_charged_and_is_free_is_given_back(ask: Ask, noon: int) -> None:
    """WI-2, EV-9, EV-10: the reversal, the new charge, and the record of both."""
    await came_from_an_ad(ask, noon)
    assert (await listed(ask))["unsettledFrom"] == iso(noon - HOUR)

    done = await settle(ask)

    settlement = done.pop("settlement")
    assert done == {
        "facts": "2", "corrected": "1", "userErrors": [],
        "differences": [{
            "balance": "whatsapp",
            "amount": {"value": "-586.33", "currency": "IDR", "formatted": "-Rp\u00a0586"},
        }],
    }  # fmt: skip
    assert (settlement["period"], settlement["cause"]) == ("2026-10", "DEMAND")
    found = await listed(ask)
    assert found["unsettledFrom"] is None
    (record,) = found["settlements"]["nodes"]
    assert (record["id"], record["version"]) == (settlement["id"], settlement["version"])
    assert record["startedAt"] <= record["settledAt"]
    assert record["differences"] == [
        {"balance": "whatsapp", "amount": {"value": "-586.33", "currency": "IDR"}}
    ]
    charges = (await ask(CHARGES))["data"]["tenant"]["charges"]["nodes"]
    of_the_template = {
        (each["amount"]["value"], each["reversal"], each["revision"])
        for each in charges
        if each["factId"] == "m1"
    }
    assert of_the_template == {("586.33", False, 0), ("586.33", True, 0), ("0", False, 1)}
    again = await settle(ask)
    assert (again["corrected"], again["differences"], again["settlement"]) == ("0", [], None)


async def test_a_key_answers_what_it_found(ask: Ask, noon: int) -> None:
    """BA-7: sent again it does nothing; nobody else's request goes under its name."""
    await came_from_an_ad(ask, noon)
    first = await settle(ask, idempotencyKey="a")
    await came_from_an_ad(ask, noon + 10 * DAY, n=2)

    assert await settle(ask, idempotencyKey="a") == first
    assert (await listed(ask))["unsettledFrom"] is not None
    assert (await settle(ask, idempotencyKey="b"))["corrected"] == "1"
    top_up = (
        'mutation { topUpCreate(input: {tenant: "late", balance: "whatsapp", amount: "1", '
        'idempotencyKey: "a"}) { userErrors { code } } }'
    )
    answer = await ask(top_up)
    assert answer["data"]["topUpCreate"]["userErrors"] == [{"code": "IDEMPOTENCY_KEY_REUSED"}]
    odd = await settle(ask, idempotencyKey="")
    assert [error["code"] for error in odd["userErrors"]] == ["INVALID"]


async def test_settlements_come_page_by_page_newest_first(ask: Ask, noon: int) -> None:
    for n in range(3):
        await came_from_an_ad(ask, noon + 5 * n * DAY, n=n)
        assert (await settle(ask))["corrected"] == "1"
    everything = (await listed(ask))["settlements"]
    assert everything["pageInfo"]["hasNextPage"] is False
    assert [each["version"] for each in everything["nodes"]] == sorted(
        (each["version"] for each in everything["nodes"]), key=int, reverse=True
    )

    found, after = [], None
    while True:
        page = (await listed(ask, 1, after))["settlements"]
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]

    assert found == everything["nodes"]
    answer = await ask(LIST, first=1, after="x")
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_who_may_settle_and_who_may_look(ask: Ask, noon: int, key_of: KeyOf) -> None:
    """PE-1: tenants read what became of theirs with the billing grant, operators settle."""
    await came_from_an_ad(ask, noon)
    billing, usage = await key_of("late", "billing:read"), await key_of("late", "usage:read")

    assert (await listed(ask, key=billing))["unsettledFrom"] == iso(noon - HOUR)
    for query in ("settlements { nodes { id } }", "unsettledFrom"):
        answer = await ask('{ tenant(key: "late") { %s } }' % query, key=usage)  # noqa: UP031
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    everything = await key_of("late", "billing:read", "billing:write")
    answer = await ask(SETTLE, input={"tenant": "late"}, key=everything)
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    nobody = (await ask(SETTLE, input={"tenant": "nobody"}))["data"]["settle"]
    assert [(e["code"], e["field"]) for e in nobody["userErrors"]] == [("NOT_FOUND", "tenant")]


async def alone(database: Database) -> asyncpg.Connection:
    """A connection that settles the tenant, as far as others can see."""
    connection = await asyncpg.connect(database.owner_url)
    tenant_id = await connection.fetchval("select tenant_id from tenants where key = 'late'")
    await connection.execute(f"select pg_advisory_lock(7301, {tenant_id})")
    return connection


async def test_who_comes_while_somebody_settles_is_told_so(
    ask: Ask, noon: int, database: Database
) -> None:
    """EV-9: one at a time, and nobody waits for the other."""
    await came_from_an_ad(ask, noon)
    other = await alone(database)
    refused = await settle(ask)
    await other.close()

    assert refused["userErrors"] == [{
        "code": "SETTLING", "field": "tenant",
        "message": "somebody else settles this tenant just now; look again in a moment",
    }]  # fmt: skip
    assert refused["facts"] is None
    assert (await settle(ask))["corrected"] == "1"


async def test_a_process_settles_by_itself(
    ask: Ask, noon: int, database: Database, redis_url: str
) -> None:
    """EV-9: nobody asks for it; here within a second of the first late fact."""
    await came_from_an_ad(ask, noon)
    settings = Settings(database_url=database.app_url, redis_url=redis_url, settle_seconds=1)
    other = create_app(settings, Clock())
    async with other.router.lifespan_context(other), asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = (await listed(ask))["settlements"]["nodes"]
            if found:
                break
            await asyncio.sleep(0.05)
    (record,) = found
    assert (record["cause"], record["corrected"]) == ("LATE", "1")


def test_every_cause_has_a_name() -> None:
    assert {each.name: each.value for each in SettlementCause} == {
        each.name: each.value for each in Cause
    }


async def test_the_command_settles_whoever_it_is_told_to(
    ask: Ask, noon: int, database: Database
) -> None:
    """All that have late facts, or the ones that are named; 1 where one could not be."""
    await came_from_an_ad(ask, noon)
    await ask(TENANT_CREATE, input={"key": "calm", "plan": "omnichannel-idr"})

    async def type_in(*arguments: str) -> tuple[int, str, str]:
        urls = {"OWNER_": database.owner_url, "": database.app_url}
        variables = {f"KUOTA_DATABASE_{name}URL": url for name, url in urls.items()}
        return await command("settle", *arguments, **variables)

    other = await alone(database)
    busy = "late: somebody else settles this tenant just now; look again in a moment\n"
    assert await type_in() == (1, "", busy)
    await other.close()

    read = "late: 2 facts read, 1 corrected: whatsapp -586.33\n"
    assert await type_in() == (0, read, "")
    assert await type_in() == (0, "nobody has late facts\n", "")
    code, out, err = await type_in("calm", "nobody")
    assert (code, out) == (1, "calm: 0 facts read, nothing to correct\n")
    assert err == "nobody: there is no tenant 'nobody'\n"
    code, out, _ = await type_in("late", "nobody", "--json")
    assert (code, json.loads(out)) == (1, {
        "settled": [
            {"tenant": "late", "facts": 0, "corrected": 0, "differences": {}, "posted": False}
        ],
        "refused": [
            {"tenant": "nobody", "code": "NOT_FOUND", "message": "there is no tenant 'nobody'"}
        ],
    })  # fmt: skip
