"""What tests of the wire do as a client: open tenants, send facts, read figures back.

Owns no expectation. Everything goes through the socket of a served process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2

from tests.conftest import Served

Json = dict[str, Any]
T = TypeVar("T")

JSON = "application/json"
LINES = "application/x-ndjson"

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.01


@asynccontextmanager
async def connected(server: Served) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with the operator's key."""
    async with httpx2.AsyncClient(
        base_url=server.url, headers=server.headers, timeout=60, trust_env=False
    ) as client:
        yield client


async def ask(client: httpx2.AsyncClient, query: str, /, **variables: Any) -> Json:
    """The data of a GraphQL operation that has no errors."""
    response = await client.post("/graphql", json={"query": query, "variables": variables})
    answer: Json = response.json()
    assert "errors" not in answer, answer["errors"]
    return dict(answer["data"])


async def operate(client: httpx2.AsyncClient, name: str, payload: str, /, **given: Any) -> Json:
    """One mutation; its payload, which has no errors of any kind."""
    query = f"""mutation($input: {name[0].upper()}{name[1:]}Input!) {{
        {name}(input: $input) {{ {payload} userErrors {{ field message code }} }} }}"""
    answer = (await ask(client, query, input=given))[name]
    assert answer.pop("userErrors") == []
    return dict(answer)


async def open_tenant(
    client: httpx2.AsyncClient, key: str, numbers: Iterable[tuple[str, str]], **given: Any
) -> None:
    """A tenant with its (channel, address) numbers."""
    given = {"plan": "omnichannel-idr", "timezone": "Asia/Jakarta"} | given
    answer = await operate(client, "tenantCreate", "tenant { key }", key=key, **given)
    assert answer["tenant"]["key"] == key
    for channel, address in numbers:
        await operate(
            client, "numberCreate", "number { address }",
            tenant=key, channel=channel, address=address,
        )  # fmt: skip


async def post(
    client: httpx2.AsyncClient, body: bytes, content_type: str = JSON
) -> list[dict[str, Any]]:
    """The results of a request that was answered item by item."""
    headers = {"content-type": content_type}
    response = await client.post("/v1/events", content=body, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == JSON
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def problem(response: httpx2.Response, status: int, code: str, words: str) -> None:
    """Require a fault of the whole request, in the form of RFC 9457 and with our two members."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert words in body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["title"]
    assert body["type"]


def refused(result: Json, reason: str, path: str) -> None:
    """Require a refusal with its reason and place, and words that say what would be right."""
    assert (result["status"], result["reason"], result["path"]) == ("refused", reason, path)
    assert 10 < len(result["message"]) < 500
    assert result["charges"] == []


async def until(read: Callable[[], Awaitable[T]], wanted: Callable[[T], bool]) -> T:
    """What `read` gives, once it is what is wanted; a failure after PATIENCE_SECONDS."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            value = await read()
            if wanted(value):
                return value
            await asyncio.sleep(LOOK_SECONDS)
