"""`POST /v1/authorize` as HTTP: whatever is sent there has a clear answer, and never a 500."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.conftest import Json
from tests.api.senders import WHATSAPP, Shop, contact, shops
from tests.conftest import Database

JSON = {"content-type": "application/json"}


@pytest.fixture
async def shop(database: Database, redis_url: str) -> AsyncIterator[Shop]:
    async with shops(database, redis_url) as shop:
        await shop.opened("omnichannel-idr", ("whatsapp", WHATSAPP))
        await shop.top_up("1000")
        yield shop


def sent(**fields: Any) -> bytes:
    """A send as bytes; a field of `...` is left out."""
    whole = {"tenant": "shop", "key": "k", "number": WHATSAPP, "contact": contact(1),
             "category": "utility"} | fields  # fmt: skip
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


SHAPES = [
    (b"null", 400), (b"5", 400), (b'"x"', 400), (b"true", 400), (b"", 400), (b" ", 400),
    (b"[]", 400), (b"[" * 100_000, 400), (b"[1", 400), (b"[,]", 400), (b"\xff\xfe", 400),
    (b"\xef\xbb\xbf{}", 400), (b"{", 400), (b"{}{}", 400), (b'{"key": "\xff"}', 400),
    (b'{"key": "\xed\xa0\x80"}', 400), (b'{"key": "\\ud800"}', 400),
    (b'[{"key": "\\ud800"}]', 400), (b'{"tenant": ' + b"[" * 100_000, 400),
    (b'[{"recipients": [' + b"[" * 100_000, 400), (b'{"a": ' + b"[" * 100_000, 400),
    (b"[" + b"{}," * 1_000 + b"{}]", 400),
    (b" " * (10 * 1024 * 1024), 413),
]  # fmt: skip


async def test_a_body_of_another_shape_is_a_problem(shop: Shop, subtests: pytest.Subtests) -> None:
    for body, status in SHAPES:
        with subtests.test(body=body[:40]):
            answer = await shop.client.post("/v1/authorize", content=body, headers=JSON)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert problem["detail"]
            assert problem["request_id"]
            if body.startswith(b"[{}"):
                assert "1,001" in problem["detail"]


async def test_what_is_no_json_of_ours(shop: Shop) -> None:
    for headers, status in (
        ({"content-type": "text/plain"}, 415), ({}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
        ({"content-type": "Application/JSON; charset=utf-8"}, 200),
    ):  # fmt: skip
        answer = await shop.client.post("/v1/authorize", content=sent(), headers=headers)
        assert answer.status_code == status, headers
    answer = await shop.client.get("/v1/authorize")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


#: What is wrong with one send: its reason, and where.
WRONG: list[tuple[bytes, str, str]] = [
    (sent(tenant=json.loads("[" * 90 + "]" * 90)), "invalid_field", "tenant"),
    (b"{}", "missing_field", "key"),
    (sent(number=...), "missing_field", "number"),
    (sent(key=""), "invalid_field", "key"),
    (sent(key="x" * 300), "invalid_field", "key"),
    (sent(key="a\0"), "invalid_field", "key"),
    (sent(key=7), "invalid_field", "key"),
    (sent(contact=7), "invalid_field", "contact"),
    (sent(contact=...), "missing_field", "contact"),
    (sent(contact="0811"), "invalid_contact", "contact"),
    (sent(contact=..., recipients=[]), "invalid_field", "recipients"),
    (sent(recipients=[contact(1)]), "invalid_field", "recipients"),
    (sent(contact=..., recipients="x"), "invalid_field", "recipients"),
    (sent(contact=..., recipients=[contact(1), 7]), "invalid_field", "recipients[1]"),
    (sent(contact=..., recipients=[contact(1), "x"]), "invalid_contact", "recipients[1]"),
    (sent(contact=..., group={"id": "g"}), "missing_field", "group.members"),
    (sent(contact=..., group={"id": "g", "members": []}), "invalid_field", "group.members"),
    (sent(contact=..., group={"id": "g", "members": ["x"]}), "invalid_contact",
     "group.members[0]"),
    (sent(contact=..., group={"id": "\0", "members": [contact(1)]}), "invalid_field", "group.id"),
    (sent(contact=..., group={"id": "g", "members": [], "member": 1}), "invalid_field",
     "group.member"),
    (sent(recipient="x"), "invalid_field", "recipient"),
    (sent(**{"x" * 10_000: 1}), "invalid_field", "x" * 64),
    (sent(allowPartial=1), "invalid_field", "allowPartial"),
    (sent(units="1"), "invalid_field", "units"),
    (sent(units=10**30), "number_out_of_range", "units"),
    (sent(units=0), "number_out_of_range", "units"),
    (sent(units=2), "invalid_field", "units"),
    (sent(number="+628119999999"), "unknown_number", "number"),
    (sent(number="x" * 10_000), "too_large", "number"),
    (sent(channel="sms"), "channel_mismatch", "channel"),
    (sent(channel="fax"), "invalid_field", "channel"),
    (sent(category="x" * 10_000), "too_large", "category"),
    (sent(category="\0"), "invalid_field", "category"),
    (sent(tenant=...), "missing_field", "tenant"),
    (sent(tenant="nobody"), "unknown_tenant", "tenant"),
    (sent(tenant="a\0"), "unknown_tenant", "tenant"),
    (sent(tenant="x" * 10_000), "unknown_tenant", "tenant"),
    (sent(tenant="other"), "unknown_number", "number"),
    (sent(hold="hld_x"), "invalid_field", "hold"),
]  # fmt: skip


async def test_what_is_wrong_with_a_send_is_its_own_answer(shop: Shop) -> None:
    """200, alone and in a list, where each is answered for itself."""
    for body, reason, path in WRONG:
        answer = await shop.client.post("/v1/authorize", content=body, headers=JSON)
        assert answer.status_code == 200, (body[:80], answer.text)
        result = answer.json()
        assert result.pop("message"), body[:80]
        assert len(answer.content) < 1_000, body[:80]
        assert result == {"granted": False, "reason": reason, "path": path}, body[:80]

    junk = [body for body, _, _ in WRONG]
    junk += [b"7", b"null", b"[]", b'{"key": "\xff"}']
    listed = b"[" + b",".join([sent(key="first"), *junk, sent(key="last")]) + b"]"
    answer = await shop.client.post("/v1/authorize", content=listed, headers=JSON)
    results = answer.json()["results"]
    assert [each["granted"] for each in results] == [True, *[False] * len(junk), True]
    assert [each["reason"] for each in results[-5:-1]] == [
        "invalid_field", "invalid_field", "invalid_field", "invalid_json",
    ]  # fmt: skip


async def test_half_a_character_over_graphql(shop: Shop) -> None:
    """Its strings may have halves of characters; nothing keeps or counts them."""
    whole: Json = {"tenant": "shop", "idempotencyKey": "k", "number": WHATSAPP,
                   "contact": contact(1)}  # fmt: skip
    half = "a\ud800"
    for change in (
        {"tenant": half}, {"idempotencyKey": half}, {"number": half}, {"channel": half},
        {"contact": half}, {"contact": None, "recipients": [contact(1), half]},
        {"contact": None, "group": {"id": half, "members": [contact(1)]}},
        {"contact": None, "group": {"id": "g", "members": [half]}}, {"category": half},
        {"text": half}, {"hold": half},
    ):  # fmt: skip
        body = json.dumps({
            "query": "mutation ($input: AuthorizeInput!) { authorize(input: $input) { granted"
            " userErrors { field code message } } }",
            "variables": {"input": whole | change},
        })  # fmt: skip
        answer = await shop.client.post("/graphql", content=body, headers=JSON)
        payload = answer.json()["data"]["authorize"]
        assert not payload["granted"], change
        assert payload["userErrors"], change
    for change in ({"tenant": half}, {"hold": half}):
        body = json.dumps({
            "query": "mutation ($input: HoldReleaseInput!) { holdRelease(input: $input) {"
            " released userErrors { code } } }",
            "variables": {"input": {"tenant": "shop", "hold": "hld_x"} | change},
        })  # fmt: skip
        answer = await shop.client.post("/graphql", content=body, headers=JSON)
        payload = answer.json()["data"]["holdRelease"]
        assert payload == {"released": False, "userErrors": [{"code": "NOT_FOUND"}]}, change


async def test_who_may_ask(shop: Shop) -> None:
    """Without a key 401, without the scope 403; another tenant is as good as none."""

    async def key(tenant: str, *scopes: str) -> dict[str, str]:
        made = await shop.mutate("apiKeyCreate", "secret", tenant=tenant, name="k", scopes=scopes)
        return JSON | {"authorization": f"Bearer {made['secret']}"}

    for authorization, status in (("Bearer x", 401), ("", 401)):
        headers = JSON | {"authorization": authorization}
        answer = await shop.client.post("/v1/authorize", content=sent(), headers=headers)
        assert answer.status_code == status
        assert answer.headers["www-authenticate"].startswith("Bearer")
    reading = await key("shop", "billing:read", "events:write")
    answer = await shop.client.post("/v1/authorize", content=sent(), headers=reading)
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert "send:authorize" in answer.json()["detail"]

    other = await key("other", "send:authorize")
    told = [
        (await shop.client.post("/v1/authorize", content=sent(tenant=each), headers=other)).text
        for each in ("shop", "nope")
    ]
    assert told[0].replace("shop", "nope") == told[1]
    assert json.loads(told[0])["reason"] == "unknown_tenant"
    answer = await shop.client.post("/v1/authorize", content=sent(tenant=...), headers=other)
    assert answer.json()["reason"] == "unknown_number"
    mine = await key("shop", "send:authorize")
    answer = await shop.client.post("/v1/authorize", content=sent(tenant=...), headers=mine)
    assert answer.json()["granted"]
