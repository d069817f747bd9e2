"""EV-1: what comes under a known id with other content is listed for the operator."""

from __future__ import annotations

import json

import httpx2

from tests.api.conftest import NUMBER_CREATE, Ask
from tests.api.test_usage_record import RECORD, sent

CONFLICTS = '{ tenant(key: "one") { conflicts { source factId at data } } }'


async def test_what_was_not_taken_is_shown_to_the_operator(ask: Ask, tenants: list[str]) -> None:
    number = {"tenant": "one", "channel": "whatsapp", "address": "+6281110000001"}
    await ask(NUMBER_CREATE, input=number)
    other = sent("same", data={"category": "utility"})
    await ask(RECORD, events=[sent("same"), sent("other")])
    for _ in range(2):  # a conflict that is sent again is one conflict
        await ask(RECORD, events=[sent("same"), other])

    answer = await ask(CONFLICTS)

    (conflict,) = answer["data"]["tenant"]["conflicts"]
    assert json.loads(conflict.pop("data")) == other["data"]
    assert conflict == {"source": "test", "factId": "same", "at": "2026-11-10T03:00:00Z"}


async def test_a_tenants_own_key_does_not_list_them(
    ask: Ask, client: httpx2.AsyncClient, tenants: list[str]
) -> None:
    create = """mutation ($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { secret } }"""
    given = {"tenant": "one", "name": "reader", "scopes": ["usage:read", "billing:read"]}
    secret = (await ask(create, input=given))["data"]["apiKeyCreate"]["secret"]
    answer = await client.post(
        "/graphql", json={"query": CONFLICTS}, headers={"authorization": f"Bearer {secret}"}
    )
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
