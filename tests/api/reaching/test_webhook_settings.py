"""Endpoints, their secrets and their log over HTTP, as a tenant's own key sees and changes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.limits import WEBHOOK_ENDPOINTS_MAX
from api.parts import Part, Role
from api.settings import Clock, Settings
from tests.api.conftest import Ask, Json
from tests.conftest import OPERATOR_KEY, Database

KeyOf = Callable[..., Awaitable[str]]

FIELDS = """id url description kinds enabled disabledAt disabledReason failingSince
  oldSecretSignsUntil createdAt"""
LISTED = f'{{ tenant(key: "one") {{ webhookEndpoints {{ {FIELDS} }} }} }}'
LOG = """query ($first: Int! = 9, $after: String, $endpoint: ID, $status: WebhookDeliveryStatus) {
  tenant(key: "one") { webhookDeliveries(
    first: $first, after: $after, endpoint: $endpoint, status: $status
  ) { pageInfo { hasNextPage endCursor } nodes {
    id event type endpoint url status nextTryAt body tries { status why answer milliseconds }
  } } } }"""
AUDIT = '{ tenant(key: "one") { audit(first: 99) { nodes { what subject before after } } } }'


@pytest.fixture
async def app(database: Database, redis_url: str) -> AsyncIterator[Starlette]:
    """An application that answers, and sends nothing by itself."""
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    app = create_app(settings, Clock(), Role(parts=frozenset({Part.EDGE})))
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def key(tenants: list[str], key_of: KeyOf) -> str:
    return await key_of("one", "billing:read", "billing:write", "audit:read")


class Shop:
    """A tenant that sets its webhooks itself."""

    def __init__(self, ask: Ask, key: str) -> None:
        self.ask = ask
        self.key = key

    async def do(self, name: str, wanted: str, *, key: str | None = None, **given: Any) -> Json:
        kind = f"{name[0].upper()}{name[1:]}Input!"
        query = f"""mutation ($input: {kind}) {{ {name}(input: $input) {{
          {wanted} userErrors {{ field code message }} }} }}"""
        answer = await self.ask(query, key=key or self.key, input={"tenant": "one", **given})
        assert "errors" not in answer, answer
        found: Json = answer["data"][name]
        return found

    async def add(self, url: str = "https://shop.example/hooks", **given: Any) -> Json:
        wanted = f"endpoint {{ {FIELDS} }} secret"
        return await self.do("webhookEndpointCreate", wanted, url=url, **given)

    async def update(self, **given: Any) -> Json:
        return await self.do("webhookEndpointUpdate", f"endpoint {{ {FIELDS} }}", **given)

    async def listed(self) -> list[Json]:
        answer = await self.ask(LISTED, key=self.key)
        found: list[Json] = answer["data"]["tenant"]["webhookEndpoints"]
        return found

    async def log(self, **given: Any) -> Json:
        answer = await self.ask(LOG, key=self.key, **given)
        assert "errors" not in answer, answer
        found: Json = answer["data"]["tenant"]["webhookDeliveries"]
        return found


@pytest.fixture
async def shop(ask: Ask, key: str) -> Shop:
    return Shop(ask, key)


def codes(answer: Json) -> list[tuple[str | None, str]]:
    return [(each["field"], each["code"]) for each in answer["userErrors"]]


async def test_a_tenant_adds_changes_and_deletes_an_endpoint(shop: Shop) -> None:
    made = await shop.add(kinds=["EXHAUSTED", "THRESHOLD", "EXHAUSTED"], description=" ours ")
    assert made["userErrors"] == []
    assert made["secret"].startswith("whsec_")
    endpoint = made["endpoint"]
    assert endpoint == {
        "id": endpoint["id"], "url": "https://shop.example/hooks", "description": "ours",
        "kinds": ["THRESHOLD", "EXHAUSTED"], "enabled": True, "disabledAt": None,
        "disabledReason": None, "failingSince": None, "oldSecretSignsUntil": None,
        "createdAt": endpoint["createdAt"],
    }  # fmt: skip
    assert await shop.listed() == [endpoint]
    off = (await shop.update(id=endpoint["id"], enabled=False))["endpoint"]
    assert (off["enabled"], off["disabledReason"]) == (False, "ASKED")
    test = await shop.do("webhookTest", "delivery { id }", id=endpoint["id"])
    assert codes(test) == [("id", "ENDPOINT_OFF")]
    again = await shop.update(id=endpoint["id"], enabled=False)
    assert again["endpoint"] == off
    on = await shop.update(id=endpoint["id"], enabled=True, kinds=[], url="https://b.example")
    assert on["endpoint"] == endpoint | {
        "kinds": [], "url": "https://b.example"
    }  # fmt: skip
    rotated = await shop.do(
        "webhookSecretRotate", f"endpoint {{ {FIELDS} }} secret", id=endpoint["id"]
    )
    assert rotated["secret"] != made["secret"]
    assert rotated["endpoint"]["oldSecretSignsUntil"] is not None
    gone = await shop.do("webhookEndpointDelete", "endpoint { id }", id=endpoint["id"])
    assert gone["endpoint"] == {"id": endpoint["id"]}
    assert await shop.listed() == []
    twice = await shop.do("webhookEndpointDelete", "endpoint { id }", id=endpoint["id"])
    assert codes(twice) == [("id", "NOT_FOUND")]
    trail = (await shop.ask(AUDIT, key=shop.key))["data"]["tenant"]["audit"]["nodes"]
    assert [each["what"] for each in trail if each["what"].startswith("webhook")] == [
        "webhookEndpointDelete", "webhookSecretRotate", "webhookEndpointUpdate",
        "webhookEndpointUpdate", "webhookEndpointCreate",
    ]  # fmt: skip
    assert {tuple(each["subject"]) for each in trail[:5]} == {(endpoint["id"],)}
    words = json.dumps(trail)
    for secret in (made["secret"], rotated["secret"]):
        assert secret.removeprefix("whsec_") not in words


WRONG = [
    ({"url": "http://shop.example/"}, ("url", "INVALID_URL")),
    ({"url": "https://10.0.0.1/"}, ("url", "INVALID_URL")),
    ({"url": "https://u:p@shop.example/"}, ("url", "INVALID_URL")),
    ({"url": ""}, ("url", "INVALID_URL")),
    ({"description": "x" * 1_001}, ("description", "INVALID_TEXT")),
    ({"description": "a\0b"}, ("description", "INVALID_TEXT")),
    ({"tenant": "two"}, ("tenant", "NOT_FOUND")),
    ({"tenant": "nobody"}, ("tenant", "NOT_FOUND")),
]


async def test_what_is_wrong_is_told(shop: Shop, subtests: pytest.Subtests) -> None:
    for given, code in WRONG:
        with subtests.test(given=given):
            made = await shop.add(**given)
            assert (made["endpoint"], made["secret"]) == (None, None)
            assert codes(made) == [code]
            assert await shop.listed() == []


async def test_a_url_stands_once_and_there_are_only_so_many(shop: Shop) -> None:
    first = (await shop.add())["endpoint"]
    assert codes(await shop.add()) == [("url", "ALREADY_EXISTS")]
    for number in range(1, WEBHOOK_ENDPOINTS_MAX):
        assert codes(await shop.add(f"https://shop.example/{number}")) == []
    assert codes(await shop.add("https://shop.example/more")) == [("url", "TOO_MANY")]
    taken = await shop.update(id=first["id"], url="https://shop.example/1")
    assert codes(taken) == [("url", "ALREADY_EXISTS")]
    assert len(await shop.listed()) == WEBHOOK_ENDPOINTS_MAX


async def test_the_log_is_read_in_pages_and_by_endpoint(shop: Shop) -> None:
    ids = [
        (await shop.add(f"https://shop.example/{name}"))["endpoint"]["id"] for name in ("a", "b")
    ]
    for id in (*ids, ids[0]):
        test = await shop.do("webhookTest", "delivery { status tries { status } }", id=id)
        assert test["delivery"] == {"status": "PENDING", "tries": []}
    first = await shop.log(first=2)
    rest = await shop.log(first=2, after=first["pageInfo"]["endCursor"])
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)
    nodes = first["nodes"] + rest["nodes"]
    assert [each["endpoint"] for each in nodes] == [ids[0], ids[1], ids[0]]
    assert {each["type"] for each in nodes} == {"webhook.test"}
    assert nodes[1]["url"] == "https://shop.example/b"
    assert json.loads(nodes[1]["body"])["data"] == {"tenant": "one", "endpoint": ids[1]}
    assert [each["id"] for each in (await shop.log(endpoint=ids[1]))["nodes"]] == [nodes[1]["id"]]
    assert (await shop.log(status="DELIVERED"))["nodes"] == []
    assert len((await shop.log(status="PENDING"))["nodes"]) == 3
    again = await shop.do("webhookReplay", "delivery { id event }", delivery=nodes[0]["id"])
    assert again["delivery"] == {"id": nodes[0]["id"], "event": nodes[0]["event"]}
    wrong = await shop.do("webhookReplay", "delivery { id }", delivery=ids[0])
    assert codes(wrong) == [("delivery", "NOT_FOUND")]
    answer = await shop.ask(LOG, key=shop.key, endpoint="elsewhere")
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_another_tenants_do_not_exist(shop: Shop, key_of: KeyOf) -> None:
    endpoint = (await shop.add())["endpoint"]
    delivery = (await shop.do("webhookTest", "delivery { id }", id=endpoint["id"]))["delivery"]
    other = await key_of("two", "billing:read", "billing:write")
    for tenant, field in (("one", "tenant"), ("two", "id")):
        for name, wanted in (
            ("webhookEndpointUpdate", "endpoint { id }"), ("webhookTest", "delivery { id }"),
            ("webhookEndpointDelete", "endpoint { id }"), ("webhookSecretRotate", "secret"),
        ):  # fmt: skip
            told = await shop.do(name, wanted, key=other, tenant=tenant, id=endpoint["id"])
            assert codes(told) == [(field, "NOT_FOUND")], name
    told = await shop.do(
        "webhookReplay", "delivery { id }", key=other, tenant="two", delivery=delivery["id"]
    )
    assert codes(told) == [("delivery", "NOT_FOUND")]
    assert await shop.listed() == [endpoint]
