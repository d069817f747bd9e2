"""Creating tenants and numbers: what is checked, what the plan gives, and what twice means."""

from __future__ import annotations

from typing import Any

import asyncpg

from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask
from tests.api.test_auth import count


async def errors_of(ask: Ask, mutation: str, field: str, given: dict[str, Any]) -> list[Any]:
    answer = await ask(mutation, input=given)
    return [(e["code"], e["field"]) for e in answer["data"][field]["userErrors"]]


async def test_a_tenant_takes_from_its_plan_what_is_not_said(ask: Ask, owner_url: str) -> None:
    answer = await ask(TENANT_CREATE, input={"key": "acme", "plan": "omnichannel-idr"})
    tenant = answer["data"]["tenantCreate"]["tenant"]
    assert tenant.pop("id").startswith("tnt_")
    assert tenant == {
        "key": "acme",
        "name": "acme",
        "timezone": "Asia/Jakarta",
        "currency": "IDR",
        "country": "ID",
        "locale": tenant["locale"],
        "plan": "omnichannel-idr",
        "status": "ACTIVE",
        "since": None,
    }
    conn = await asyncpg.connect(owner_url)
    try:
        pots = await conn.fetch("select balance_id, key, unit, currency from balances order by 1")
        heads = await conn.fetch("select version, settings from tenant_head")
    finally:
        await conn.close()
    assert [tuple(pot) for pot in pots][:3] == [
        (1, "conversations", "conversation", None),
        (2, "visitors", "visitor", None),
        (3, "whatsapp", "IDR", "IDR"),
    ]
    assert [tuple(head) for head in heads] == [(0, 1)]


async def test_everything_can_be_said(ask: Ask) -> None:
    wanted = {
        "key": "nine-9_x",
        "name": "  Nine  ",
        "timezone": "America/Bogota",
        "currency": "IDR",
        "country": "CO",
        "locale": "es-CO",
        "plan": "omnichannel-mcc-idr",
        "since": "2026-10-05T00:00:00+07:00",
    }
    answer = await ask(TENANT_CREATE, input=wanted)
    tenant = answer["data"]["tenantCreate"]["tenant"]
    assert {name: tenant[name] for name in wanted} == wanted | {
        "name": "Nine",
        "since": "2026-10-04T17:00:00Z",
    }
    found = await ask("query($i: ID!) { node(id: $i) { ... on Tenant { key } } }", i=tenant["id"])
    assert found["data"] == {"node": {"key": "nine-9_x"}}


TENANTS_REFUSED = [
    ({"key": ""}, "INVALID_KEY", "key"),
    ({"key": "Acme"}, "INVALID_KEY", "key"),
    ({"key": "-a"}, "INVALID_KEY", "key"),
    ({"key": "a" * 65}, "INVALID_KEY", "key"),
    ({"key": "a b"}, "INVALID_KEY", "key"),
    ({"key": "a\n"}, "INVALID_KEY", "key"),
    ({"key": "ä"}, "INVALID_KEY", "key"),
    ({"key": "a\0"}, "INVALID_KEY", "key"),
    ({"name": "x" * 201}, "INVALID_TEXT", "name"),
    ({"name": "   "}, "INVALID_TEXT", "name"),
    ({"name": "a\0"}, "INVALID_TEXT", "name"),
    ({"name": "\udcff"}, "INVALID_TEXT", "name"),
    ({"timezone": "Asia/Jakata"}, "UNKNOWN_TIMEZONE", "timezone"),
    ({"timezone": "\0"}, "UNKNOWN_TIMEZONE", "timezone"),
    ({"timezone": "../../etc/passwd"}, "UNKNOWN_TIMEZONE", "timezone"),
    ({"timezone": "x" * 10_000}, "UNKNOWN_TIMEZONE", "timezone"),
    ({"currency": "USD"}, "CURRENCY_MISMATCH", "currency"),
    ({"currency": "idr"}, "UNKNOWN_CURRENCY", "currency"),
    ({"currency": "XXX"}, "UNKNOWN_CURRENCY", "currency"),
    ({"country": "Indonesia"}, "INVALID_COUNTRY", "country"),
    ({"country": "id"}, "INVALID_COUNTRY", "country"),
    ({"locale": "indonesian"}, "INVALID_LOCALE", "locale"),
    ({"locale": "id_ID"}, "INVALID_LOCALE", "locale"),
    ({"plan": "omnichannel"}, "UNKNOWN_PLAN", "plan"),
    ({"plan": "\0"}, "UNKNOWN_PLAN", "plan"),
]


async def test_what_is_wrong_is_named_and_nothing_is_kept(ask: Ask, owner_url: str) -> None:
    for change, code, field in TENANTS_REFUSED:
        given = {"key": "acme", "plan": "omnichannel-idr", **change}
        found = await errors_of(ask, TENANT_CREATE, "tenantCreate", given)
        assert found == [(code, field)], change
    for table in ("tenants", "balances", "tenant_head"):
        assert await count(owner_url, table) == 0


async def test_a_key_is_taken_once(ask: Ask, owner_url: str) -> None:
    given = {"key": "acme", "plan": "omnichannel-idr"}
    assert await errors_of(ask, TENANT_CREATE, "tenantCreate", given) == []
    for again in (given, {**given, "name": "Another"}):
        found = await errors_of(ask, TENANT_CREATE, "tenantCreate", again)
        assert found == [("KEY_TAKEN", "key")]
    for table in ("tenants", "tenant_head"):
        assert await count(owner_url, table) == 1


NUMBERS = [
    ("whatsapp", "+62 811-1000 0001", "6281110000001"),
    ("WhatsApp", "6281110000002", "6281110000002"),
    ("sms", "12345", "12345"),
    ("sms", "ACME Bank", "ACME Bank"),
    ("sms", "+6281110000001", "6281110000001"),
    ("email", " Help@Example.COM ", "help@example.com"),
    ("telegram", "@acme", "@acme"),
]
NUMBERS_REFUSED = [
    ({"channel": "whatsap"}, "UNKNOWN_CHANNEL", "channel"),
    ({"channel": ""}, "UNKNOWN_CHANNEL", "channel"),
    ({"address": "0811 1000 0001"}, "INVALID_ADDRESS", "address"),
    ({"address": "12345"}, "INVALID_ADDRESS", "address"),
    ({"address": ""}, "INVALID_ADDRESS", "address"),
    ({"address": "+62\0"}, "INVALID_ADDRESS", "address"),
    ({"channel": "telegram", "address": "\ud800"}, "INVALID_ADDRESS", "address"),
    ({"channel": "telegram", "address": "x" * 256}, "INVALID_ADDRESS", "address"),
    ({"timezone": "Mars/Base"}, "UNKNOWN_TIMEZONE", "timezone"),
    ({"tenant": "nobody"}, "NOT_FOUND", "tenant"),
    ({"tenant": "\0"}, "NOT_FOUND", "tenant"),
    ({"tenant": "\ud800"}, "NOT_FOUND", "tenant"),
]


async def test_numbers_are_kept_in_one_spelling(ask: Ask, tenants: list[str]) -> None:
    """PR-6: a telephone number without a country code is refused, never guessed."""
    for channel, address, kept in NUMBERS:
        given = {"tenant": "one", "channel": channel, "address": address}
        made = (await ask(NUMBER_CREATE, input=given))["data"]["numberCreate"]
        assert made["userErrors"] == []
        assert made["number"]["address"] == kept
        assert made["number"]["timezone"] == "Asia/Jakarta"
        assert await errors_of(ask, NUMBER_CREATE, "numberCreate", given) == [
            ("NUMBER_TAKEN", "address")
        ]
    listed = await ask('{ tenant(key: "one") { numbers { address } } }')
    addresses = {number["address"] for number in listed["data"]["tenant"]["numbers"]}
    assert addresses == {kept for _, _, kept in NUMBERS}
    # Another tenant may have the same.
    given = {"tenant": "two", "channel": "whatsapp", "address": "6281110000001"}
    assert await errors_of(ask, NUMBER_CREATE, "numberCreate", given) == []


async def test_a_new_number_is_a_change_of_settings(
    ask: Ask, tenants: list[str], owner_url: str
) -> None:
    """Whoever holds the tenant's terms is told that they are old; a refused one tells nobody."""
    given = {"tenant": "one", "channel": "whatsapp", "address": "6281110000001"}
    for _ in range(2):
        await errors_of(ask, NUMBER_CREATE, "numberCreate", given)
    conn = await asyncpg.connect(owner_url)
    try:
        heads = await conn.fetch("select settings from tenant_head order by tenant_id")
    finally:
        await conn.close()
    assert [head["settings"] for head in heads] == [2, 1]


async def test_bad_numbers_are_refused(ask: Ask, tenants: list[str], owner_url: str) -> None:
    for change, code, field in NUMBERS_REFUSED:
        given = {"tenant": "one", "channel": "whatsapp", "address": "+6281110000001", **change}
        found = await errors_of(ask, NUMBER_CREATE, "numberCreate", given)
        assert found == [(code, field)], change
    assert await count(owner_url, "numbers") == 0


async def test_top_ups_are_added_once(ask: Ask, tenants: list[str]) -> None:
    """BA-7: same key and content, same result; same key, other content, a conflict."""
    top_up = """
    mutation ($i: TopUpCreateInput!) {
      topUpCreate(input: $i) {
        topUp { id lot balance source amount { value currency } startsAt expiresAt createdAt }
        userErrors { field code }
      }
    }
    """
    given = {"tenant": "one", "balance": "whatsapp", "amount": "1000.5", "idempotencyKey": "k-1"}
    first = await ask(top_up, i=given)
    assert first["data"]["topUpCreate"]["userErrors"] == []
    made = first["data"]["topUpCreate"]["topUp"]
    assert made["amount"] == {"value": "1000.5", "currency": "IDR"}
    assert (await ask(top_up, i=given))["data"] == first["data"]
    reused = await ask(top_up, i={**given, "amount": "1000.6"})
    assert reused["data"]["topUpCreate"] == {
        "topUp": None,
        "userErrors": [{"field": "idempotencyKey", "code": "IDEMPOTENCY_KEY_REUSED"}],
    }
    for change, field in (
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"balance": "nothing"}, "balance"),
        ({"tenant": "nobody"}, "tenant"),
        ({"idempotencyKey": ""}, "idempotencyKey"),
        ({"idempotencyKey": "a\0"}, "idempotencyKey"),
        ({"note": "x" * 1001}, "note"),
        ({"expiresAt": "1999-01-01T00:00:00Z"}, "expiresAt"),
    ):
        answer = await ask(top_up, i={**given, "idempotencyKey": "k-2", **change})
        assert [e["field"] for e in answer["data"]["topUpCreate"]["userErrors"]] == [field]
    assert (await ask(top_up, i={**given, "idempotencyKey": "k-3", "note": "\ud800"}))["data"][
        "topUpCreate"
    ]["userErrors"] == []
    shown = await ask(
        '{ tenant(key: "one") { balance(key: "whatsapp") { toppedUp { value } lots { id } } } }'
    )
    balance = shown["data"]["tenant"]["balance"]
    assert balance["toppedUp"] == {"value": "2001"}
    assert made["lot"] in [lot["id"] for lot in balance["lots"]]


async def test_pages_go_on_where_they_ended(ask: Ask) -> None:
    keys = [f"t{n}" for n in range(7)]
    for key in reversed(keys):
        given = {"key": key, "name": f"Name {key} 100%", "plan": "omnichannel-idr"}
        assert await errors_of(ask, TENANT_CREATE, "tenantCreate", given) == []
    query = """
    query ($after: String, $search: String) {
      tenants(first: 3, after: $after, search: $search) {
        nodes { key } edges { cursor node { key } } pageInfo { hasNextPage endCursor }
      }
    }
    """
    seen, after = [], None
    while True:
        page = (await ask(query, after=after))["data"]["tenants"]
        seen += [node["key"] for node in page["nodes"]]
        assert page["nodes"] == [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == keys
    for search, found in (("T3", ["t3"]), ("name T3", ["t3"]), ("0%", keys[:3]), ("3%", [])):
        page = (await ask(query, search=search))["data"]["tenants"]
        assert [node["key"] for node in page["nodes"]] == found
