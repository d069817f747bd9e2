"""Publishing price books: what is refused, what a version is, and when it holds for whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Any

import asyncpg
import httpx2

from domain.money import picos
from persistence.catalogue import Catalogue
from tests.api.conftest import Ask
from tests.api.sockets import greet, hear, opened, say, subscribe
from tests.commands import CLOCK
from tests.conftest import OPERATOR_KEY, ServedFactory
from tests.wire.client import (
    LOOK_SECONDS,
    PATIENCE_SECONDS,
    connected,
    open_tenant,
    operate,
    post,
    until,
)
from tests.wire.client import ask as asked

PUBLISH = """
mutation ($input: PriceBookPublishInput!) {
  priceBookPublish(input: $input) {
    priceBook { key version currency } priceBooks { key version } warnings
    userErrors { field code message }
  }
}
"""
BOOKS = """
query ($first: Int!, $after: String) {
  priceBooks(first: $first, after: $after) {
    nodes { key version currency rows(first: 1) {
      nodes { rule channel category direction market validFrom basis price chargedOn group
        tier { above upTo } increments { first step } freeCount { name count } }
      pageInfo { hasNextPage endCursor } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""
HEADER = "book,valid_from,currency,market,category,unit_price\n"


def book(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"book": "mine", "currency": "USD", "markets": "whatsapp-markets", **more} | {
        "rows": list(rows)
    }


def row(price: str, market: str = "ID", **more: Any) -> dict[str, Any]:
    return {
        "row": f"marketing-{market.lower()}",
        "valid_from": "2026-01-01",
        "channel": "whatsapp",
        "category": "marketing",
        "direction": "out",
        "market": market,
        "basis": "per_message",
        "price": price,
    } | more


async def publish(ask: Ask, document: object, form: str = "JSON", **more: Any) -> dict[str, Any]:
    text = document if isinstance(document, str) else json.dumps(document)
    answer = await ask(PUBLISH, input={"document": text, "format": form, **more})
    return dict(answer["data"]["priceBookPublish"])


def lines(payload: dict[str, Any]) -> list[str]:
    return [f"{each['field']}: {each['message']}" for each in payload["userErrors"]]


async def stored(owner_url: str) -> list[tuple[Any, ...]]:
    conn = await asyncpg.connect(owner_url)
    try:
        return [
            tuple(found)
            for found in await conn.fetch(
                "select book, version, body from books union all "
                "select rule, rule_id, null from rules union all "
                "select 'heads', sum(settings), null from tenant_head order by 1, 2"
            )
        ]
    finally:
        await conn.close()


async def test_everything_wrong_comes_at_once_and_nothing_moves(
    ask: Ask, tenants: list[str], owner_url: str
) -> None:
    """PR-1: each fault has its path, and says what would be right."""
    before = await stored(owner_url)
    wrong = book(row("1"), row("-1", market="XY", valid_from="2026-02-30"), currency="UDS")
    payload = await publish(ask, wrong)
    assert payload["priceBook"] is None
    assert payload["priceBooks"] == []
    assert [each["field"] for each in payload["userErrors"]] == [
        "currency",
        "rows[1].valid_from",
        "rows[1].price",
        "rows[1].market",
    ]
    assert {each["code"] for each in payload["userErrors"]} == {"INVALID_PRICE_BOOK"}
    # One book of two is right, and is not published either.
    both = HEADER + "good,2026-01-01,USD,ID,marketing,1\nbad,2026-01-01,USD,XY,marketing,1\n"
    (line,) = lines(await publish(ask, both, "CSV"))
    assert line.startswith("line 3.market: 'XY' is on none of the lists; ")
    assert lines(await publish(ask, "book = ", "TOML")) == [
        "the document: Invalid value (at end of document); write a book as TOML"
    ]
    half = lines(await publish(ask, '{"\\ud800": 1, "derived_from": "omnichannel-idr"}'))
    assert half[0].startswith("decimals: is missing")
    assert half[-1].startswith("?: is not a known field")
    assert await stored(owner_url) == before


async def test_what_plans_need_and_what_is_rated_is_kept(ask: Ask, tenants: list[str]) -> None:
    """PR-2: a book in use keeps its currency, its windows, and what it has charged."""
    rows = [row("0.05"), row("600", market="other", valid_from="2030-01-01")]
    payload = await publish(ask, book(*rows, book="omnichannel-idr"))
    assert [each["field"] for each in payload["userErrors"]] == ["currency", "windows.whatsapp"]
    change = HEADER + "omnichannel-idr,2026-01-01,IDR,ID,marketing,600\n"
    (line,) = lines(await publish(ask, change, "CSV"))
    assert line.startswith("line 2.valid_from: 2026-01-01 is not after ")
    assert "omnichannel-idr@2025-07-01/marketing of version 1 has rated by then" in line


async def test_versions_count_up_and_the_same_content_is_no_version(
    ask: Ask, owner_url: str
) -> None:
    first = await publish(ask, book(row("0.05")))
    assert first["priceBook"] == {"key": "mine", "version": 1, "currency": "USD"}
    before = await stored(owner_url)
    assert (await publish(ask, book(row("0.05"))))["priceBook"]["version"] == 1
    assert await stored(owner_url) == before
    # Nobody is charged by it yet: it may say anything of any date.
    second = await publish(ask, book(row("0.06"), row("n/a", market="IN")))
    assert second["priceBook"]["version"] == 2
    assert second["warnings"] == [
        "rows[1].price: 'n/a' is no rate: marketing to IN from 2026-01-01 on stays unrated; "
        'write a price, or "0" if it is free'
    ]
    conn = await asyncpg.connect(owner_url)
    try:
        books = (await Catalogue.load(conn)).books
    finally:
        await conn.close()
    assert [each.price for each in books["mine"].rows] == [picos("0.05"), picos("0.06"), None]


async def test_a_derived_book_is_stored_as_prices(ask: Ask, owner_url: str) -> None:
    """PR-1: computed when published, so that no charge depends on a formula run later."""
    await publish(ask, book(row("0.0411"), row("0.02", market="IN")))
    derived = (
        'book = "ours"\nderived_from = "mine"\nfactor = "1.15"\nfee = "0.0005"\ndecimals = 4\n'
    )
    assert (await publish(ask, derived, "TOML"))["priceBook"]["version"] == 1
    (body,) = [body for key, _, body in await stored(owner_url) if key == "ours"]
    document = json.loads(body)
    assert document == {
        "about": "mine x 1.15 + 0.0005, rounded to 4 decimals",
        "book": "ours",
        "currency": "USD",
        "markets": "whatsapp-markets",
        "rows": [row("0.0478"), row("0.0235", market="IN")],
    }
    assert (await publish(ask, derived, "TOML"))["priceBook"]["version"] == 1
    await publish(ask, book(row("0.05", valid_from="2027-01-01")))
    assert (await publish(ask, derived, "TOML"))["priceBook"]["version"] == 2


async def test_books_are_read_by_operators_page_by_page(
    ask: Ask, tenants: list[str], key_of: Callable[..., Awaitable[str]]
) -> None:
    tiers = [
        row("2", row="a", tier={"above": 0, "up_to": 9}),
        row("1", row="b", tier={"above": 9}),
    ]
    await publish(ask, book(*tiers, book="a-book"))
    page = (await ask(BOOKS, first=1))["data"]["priceBooks"]
    (found,) = page["nodes"]
    assert (found["key"], found["version"], found["currency"]) == ("a-book", 1, "USD")
    assert found["rows"]["nodes"] == [
        {
            "rule": "a-book@2026-01-01/a",
            "channel": "whatsapp",
            "category": "marketing",
            "direction": "out",
            "market": "ID",
            "validFrom": "2026-01-01",
            "basis": "PER_MESSAGE",
            "price": "2",
            "chargedOn": "delivered",
            "group": False,
            "tier": {"above": 0, "upTo": 9},
            "increments": None,
            "freeCount": None,
        }
    ]
    assert found["rows"]["pageInfo"]["hasNextPage"]
    assert page["pageInfo"]["hasNextPage"]
    rest = (await ask(BOOKS, first=100, after=page["pageInfo"]["endCursor"]))["data"]["priceBooks"]
    assert "a-book" not in [each["key"] for each in rest["nodes"]]
    assert not rest["pageInfo"]["hasNextPage"]

    key = await key_of("one", "billing:read", "billing:write")
    for query, variables in (
        (BOOKS, {"first": 1}),
        (PUBLISH, {"input": {"document": "", "format": "TOML"}}),
    ):
        answer = await ask(query, key=key, **variables)
        assert [each["extensions"]["code"] for each in answer["errors"]] == ["FORBIDDEN"]


async def test_a_version_waits_for_who_is_charging_by_the_one_before(
    ask: Ask, tenants: list[str], owner_url: str
) -> None:
    """PR-2: no commit sees half of it; a lane that holds a head ends under the old rows."""
    change = HEADER + "omnichannel-idr,2036-01-01,IDR,ID,marketing,600\n"
    lane, other = await asyncpg.connect(owner_url), await asyncpg.connect(owner_url)
    try:
        async with lane.transaction():
            await lane.execute("select from tenant_head order by tenant_id limit 1 for update")
            publishing = asyncio.create_task(publish(ask, change, "CSV"))
            waiting = "select count(*) from pg_locks where not granted"
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await other.fetchval(waiting):  # noqa: ASYNC110 - the server's own
                    await asyncio.sleep(LOOK_SECONDS)
            newest = "select max(version) from books where book = 'omnichannel-idr'"
            assert await other.fetchval(newest) == 1
            assert not publishing.done()
        payload = await publishing
        assert (payload["priceBook"]["version"], payload["userErrors"]) == (2, [])
        counted = "select array_agg(settings order by tenant_id) from tenant_head"
        assert await other.fetchval(counted) == [2, 2]
        # Another book is no concern of theirs, unless one of them has changed to a plan on it.
        await other.execute(
            "update tenants set changes = $1 where key = 'two'",
            json.dumps([{"since": 0, "plan": "college-small", "grants": True}]),
        )
        payload = await publish(ask, change.replace("omnichannel-idr", "college-small"), "CSV")
        assert (payload["priceBook"]["version"], payload["userErrors"]) == (2, [])
        assert await other.fetchval(counted) == [2, 3]
    finally:
        await lane.close()
        await other.close()


async def spent(client: httpx2.AsyncClient) -> Decimal:
    """What the tenant has used of its money."""
    query = """{ tenant(key: "acme") {
        balances(at: "2026-10-20T00:01:00Z") { key used { value } } } }"""
    balances = (await asked(client, query))["tenant"]["balances"]
    (used,) = (Decimal(each["used"]["value"]) for each in balances if each["key"] == "whatsapp")
    return used


async def test_who_watches_is_told_of_what_is_rated_later(served: ServedFactory) -> None:
    """EV-7: the balance moves by itself once the rate is there, and says why."""
    server = await served(**CLOCK, KUOTA_OPERATOR_KEY=OPERATOR_KEY)
    watching = """subscription { change: balanceChanged(tenant: "acme", keys: ["whatsapp"]) {
        cause balances { used { value } } } }"""
    async with connected(server) as client, opened(server.url) as socket:
        await open_tenant(client, "acme", [("whatsapp", "+628001234567")])
        (result,) = await post(client, json.dumps([marketing(1)]).encode())
        assert result["status"] == "unrated"
        await greet(socket)
        await say(socket, subscribe("1", watching))
        before = await hear(socket)

        prices = HEADER + "omnichannel-idr,2026-10-01,IDR,IN,marketing,150.5\n"
        await operate(client, "priceBookPublish", "priceBook { version }",
                      document=prices, format="CSV")  # fmt: skip

        after = await hear(socket)
        changes = [each["payload"]["data"]["change"] for each in (before, after)]
        assert [change["cause"] for change in changes] == ["SNAPSHOT", "RATED"]
        assert [change["balances"][0]["used"]["value"] for change in changes] == ["0", "150.5"]
        told = """{ tenant(key: "acme") {
            fact(source: "test", id: "m-1") { status why sentence flags }
            charges { nodes { revision status rule amount { value } explanation { why sentence } }
            } } }"""
        tenant = (await asked(client, told))["tenant"]
        (charge,) = tenant["charges"]["nodes"]
        explanation = charge.pop("explanation")
        assert charge == {
            "revision": 1, "status": "ACCEPTED", "rule": "omnichannel-idr@2026-10-01/marketing-in",
            "amount": {"value": "150.5"},
        }  # fmt: skip
        assert explanation["why"] == "CHARGED"
        assert tenant["fact"] == {
            "status": "ACCEPTED", "why": None, "sentence": explanation["sentence"],
            "flags": ["CONVERSATION_OPENED", "OVERDRAWN"],
        }  # fmt: skip


def marketing(number: int) -> dict[str, Any]:
    """A delivered template to India, for which the sample has no rate."""
    return {
        "specversion": "1.0",
        "id": f"m-{number}",
        "source": "test",
        "type": "message.delivered",
        "subject": "acme",
        "time": "2026-10-19T10:00:00Z",
        "data": {
            "number": "+628001234567",
            "contact": f"+9198{number:08}",
            "category": "marketing",
            "template": "sale",
        },
    }


async def test_facts_go_by_a_version_from_the_moment_it_is_published(
    served: ServedFactory,
) -> None:
    """PR-2, EV-7: in every process at once, while facts flow; what was rated stays as it was, and
    what was kept unrated is charged by the version too, once, whichever process has kept it."""
    servers = [await served(**CLOCK, KUOTA_OPERATOR_KEY="of-the-operators") for _ in "ab"]
    async with connected(servers[0]) as one, connected(servers[1]) as two:
        await open_tenant(one, "acme", [("whatsapp", "+628001234567")])
        done = asyncio.Event()
        taken = {one: 0, two: 0}

        async def send(client: httpx2.AsyncClient, *numbers: int) -> list[dict[str, Any]]:
            facts = [marketing(number) for number in numbers]
            return await post(client, json.dumps(facts).encode())

        async def flow(client: httpx2.AsyncClient, begin: int) -> list[str]:
            told = []
            while not done.is_set():
                batch = range(begin + len(told), begin + len(told) + 20)
                told += [result["status"] for result in await send(client, *batch)]
                taken[client] = len(told)
            return told

        flows = [asyncio.create_task(flow(c, n)) for c, n in ((one, 1_000), (two, 500_000))]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all(taken.values()):  # noqa: ASYNC110 - the flows' own requests
                await asyncio.sleep(LOOK_SECONDS)
        prices = HEADER + "omnichannel-idr,2026-10-01,IDR,IN,marketing,150.5\n"
        payload = await operate(
            one, "priceBookPublish", "priceBook { version }", document=prices, format="CSV"
        )
        assert payload["priceBook"]["version"] == 2
        # The very next fact of either process, whichever it is.
        rule = "omnichannel-idr@2026-10-01/marketing-in"
        for client, number in ((two, 1), (one, 2)):
            (result,) = await send(client, number)
            assert result["status"] == "accepted"
            (charge,) = result["charges"]
            assert (charge["rule"], charge["amount"]) == (rule, "150.5")
        done.set()
        sent = 2
        for told in await asyncio.gather(*flows):
            sent += len(told)
            assert told[0] == "unrated"
            changed = told.index("accepted") if "accepted" in told else len(told)
            assert set(told[changed:]) <= {"accepted"}
        # A fact that came before is no new one: it is not rated by being sent again.
        (again,) = await send(one, 500_000)
        assert (again["status"], again["charges"]) == ("duplicate", [])
        everything = Decimal("150.5") * sent
        for client in (one, two):
            assert await until(partial(spent, client), everything.__le__) == everything
        query = "{ priceBooks { nodes { key version } } }"
        async with asyncio.timeout(PATIENCE_SECONDS):
            newest = {"key": "omnichannel-idr", "version": 2}
            while newest not in (await asked(two, query))["priceBooks"]["nodes"]:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)

        # What it has charged since cannot be changed by dating another price back.
        change = prices.replace("150.5", "1")
        query = "mutation($input: PriceBookPublishInput!) { priceBookPublish(input: $input) {"
        query += " priceBook { key } userErrors { field message } } }"
        given = {"document": change, "format": "CSV"}
        payload = (await asked(two, query, input=given))["priceBookPublish"]
        assert payload["priceBook"] is None
        assert payload["userErrors"] == [
            {
                "field": "line 2.valid_from",
                "message": f"2026-10-01 is not after 2026-10-20, and {rule} of version 2 has "
                "rated by then what this row would change; write 2026-10-21 or later, or publish "
                "it with rerate",
            }
        ]
