"""GraphQL over HTTP: every body gets a clear answer, and no body a 500."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.conftest import OPERATOR_KEY, ServedFactory

JSON = {"content-type": "application/json"}
GRAPHQL = "application/graphql-response+json"


def deep(levels: int) -> bytes:
    return b'{"query":"{__typename}","variables":{"a":' + b"[" * levels + b"]" * levels + b"}}"


BODIES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "empty"),
    ("null", b"null", "null"),
    ("number", b"5", "a number"),
    ("string", b'"{__typename}"', "a string"),
    ("list", b"[1]", "batches"),
    ("batch", b'[{"query":"{__typename}"}]', "batches"),
    ("no query", b"{}", "missing"),
    ("null query", b'{"query":null}', "missing"),
    ("number as query", b'{"query":5}', "a number"),
    ("object as query", b'{"query":{}}', "an object"),
    ("list as variables", b'{"query":"{__typename}","variables":[1]}', "a list"),
    ("text as variables", b'{"query":"{__typename}","variables":"x"}', "a string"),
    ("number as name", b'{"query":"{__typename}","operationName":5}', "a number"),
    ("list as extensions", b'{"query":"{__typename}","extensions":[]}', "a list"),
    ("unknown name", b'{"query":"query A{__typename}","operationName":"B"}', "'B'"),
    ("fragment only", b'{"query":"fragment f on Query{__typename}"}', "no operation"),
    ("cut off", b'{"query":"{__ty', "not JSON"),
    ("two values", b'{"query":"{__typename}"} 1', "not JSON"),
    ("NaN", b'{"query":"{__typename}","variables":{"a":NaN}}', "NaN"),
    ("endless number", b'{"query":"{__typename}","variables":{"a":' + b"9" * 5000 + b"}}", "JSON"),
    ("not UTF-8", b'{"query":"{__typename}","x":"\xff"}', "UTF-8"),
    ("UTF-16", '{"query":"{__typename}"}'.encode("utf-16"), "UTF-8"),
    ("a little deep", deep(65), "nested"),
    ("deep", deep(50_000), "nested"),
]


async def test_a_bad_body_is_told_what_is_wrong(client: httpx2.AsyncClient) -> None:
    for name, body, words in BODIES:
        answer = await client.post("/graphql", content=body, headers=JSON)
        assert answer.status_code == 400, name
        (error,) = answer.json()["errors"]
        assert words in error["message"], name
        assert error["extensions"]["code"] == "BAD_REQUEST", name
        assert error["extensions"]["requestId"] == answer.headers["x-request-id"]


async def test_a_lone_surrogate_is_text_like_any_other(client: httpx2.AsyncClient) -> None:
    body = rb'{"query":"query($k:String!){tenant(key:$k){name}}","variables":{"k":"\ud800"}}'
    headers = JSON | {"authorization": f"Bearer {OPERATOR_KEY}"}
    answer = await client.post("/graphql", content=body, headers=headers)
    assert answer.json()["data"] == {"tenant": None}


async def test_only_json_is_taken(client: httpx2.AsyncClient) -> None:
    for content_type in ("text/plain", "multipart/form-data; boundary=x", "", "application/x"):
        answer = await client.post(
            "/graphql", content=b'{"query":"{__typename}"}', headers={"content-type": content_type}
        )
        assert answer.status_code == 415, content_type
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_a_charset_that_is_not_utf8_is_refused(client: httpx2.AsyncClient) -> None:
    for charset, status in (("utf-8", 200), ("UTF-8", 200), ("latin-1", 415)):
        headers = {"content-type": f"application/json; charset={charset}"}
        answer = await client.post("/graphql", content=b'{"query":"{__typename}"}', headers=headers)
        assert answer.status_code == status


async def test_a_body_is_refused_while_it_grows(served: ServedFactory) -> None:
    server = await served()
    chunk = b" " * 65_536
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += len(chunk)
            yield chunk

    async with httpx2.AsyncClient(base_url=server.url) as client:
        told = {"content-type": "application/json"}
        answer = await client.post("/graphql", content=b" " * (4 * 1024 * 1024), headers=told)
        assert answer.status_code == 413
        assert "128 KB" in answer.json()["errors"][0]["message"]
        try:
            answer = await client.post("/graphql", content=endless(), headers=told)
            assert answer.status_code == 413
        except httpx2.NetworkError:
            pass  # it hung up while we were still talking, as it may after 8 MB
        assert sent < 1_000 * len(chunk)
        # A body that stops half way is nobody's business but its connection's.
        host, port = server.url.removeprefix("http://").split(":")
        await half_a_body(host, int(port))
        answer = await client.post("/graphql", json={"query": "{__typename}"})
        assert answer.json()["data"] == {"__typename": "Query"}


async def half_a_body(host: str, port: int) -> None:
    import asyncio

    _, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b'content-length: 100\r\n\r\n{"query":'
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_get_asks_queries_only(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/graphql", params={"query": "{__typename}"})
    assert answer.status_code == 200
    params = {"query": "query A{__typename} query B{__schema{__typename}}", "operationName": "A"}
    answer = await client.get("/graphql", params=params | {"variables": "{}"})
    assert answer.json()["data"] == {"__typename": "Query"}
    mutation = 'mutation{apiKeyRevoke(input:{id:"x"}){__typename}}'
    answer = await client.get("/graphql", params={"query": mutation})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    for params in ({}, {"query": "{__typename}", "variables": "[1]"}, {"query": ""}):
        assert (await client.get("/graphql", params=params)).status_code == 400
    assert (await client.put("/graphql")).status_code == 405


async def test_subscriptions_are_not_answered_over_plain_http(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/graphql", json={"query": "subscription{x}"})
    assert answer.status_code == 400
    assert "subscriptions" in answer.json()["errors"][0]["message"]


ACCEPTED = [
    ("", "application/json"),
    ("*/*", "application/json"),
    ("application/json", "application/json"),
    (GRAPHQL, GRAPHQL),
    (f"{GRAPHQL}, application/json;q=0.9", GRAPHQL),
    (f"{GRAPHQL};q=0.1, application/json", "application/json"),
    ("text/html", "application/json"),
    ("application/json;q=x", "application/json"),
]


async def test_the_client_chooses_the_media_type(client: httpx2.AsyncClient) -> None:
    for accept, media_type in ACCEPTED:
        headers = {"accept": accept}
        answer = await client.post("/graphql", json={"query": "{__typename}"}, headers=headers)
        assert answer.headers["content-type"] == f"{media_type}; charset=utf-8", accept
        # Both say what is wrong; only the newer type says it by its status too.
        answer = await client.post("/graphql", json={"query": "{nothing}"}, headers=headers)
        assert answer.status_code == (400 if media_type == GRAPHQL else 200), accept
        assert "data" not in answer.json()


FAULTS = [
    ("{", "GRAPHQL_PARSE_FAILED"),
    ("   ", "GRAPHQL_PARSE_FAILED"),
    ("{nothing}", "GRAPHQL_VALIDATION_FAILED"),
    ("query($a:Int!){tenants(first:$a){nodes{key}}}", "BAD_USER_INPUT"),
    ("{a:tenants(first:0){nodes{key}}}", "BAD_USER_INPUT"),
    ('{tenants(after:"?"){nodes{key}}}', "BAD_USER_INPUT"),
    ('{tenants(after:"WzFd"){nodes{key}}}', "BAD_USER_INPUT"),
]


async def test_errors_have_codes(client: httpx2.AsyncClient) -> None:
    headers = {"authorization": f"Bearer {OPERATOR_KEY}"}
    for query, code in FAULTS:
        answer = await client.post("/graphql", json={"query": query}, headers=headers)
        assert [error["extensions"]["code"] for error in answer.json()["errors"]] == [code], query


async def test_what_nobody_expected_is_masked(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr("api.schema.query.find_by_key", broken)
    headers = {"authorization": f"Bearer {OPERATOR_KEY}", "x-request-id": "mine-1"}
    body = {"query": '{tenant(key:"one"){key} viewer{kind}}'}
    answer = await client.post("/graphql", json=body, headers=headers)
    assert answer.headers["x-request-id"] == "mine-1"
    assert "secret words" not in answer.text
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "mine-1"}
    assert answer.json()["data"] == {"tenant": None, "viewer": {"kind": "OPERATOR"}}


async def test_unknown_routes_and_methods_are_problems(client: httpx2.AsyncClient) -> None:
    for method, path, status, code in (
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("GET", "/v1/nothing", 404, "NOT_FOUND"),
        ("DELETE", "/healthz", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/events", 405, "METHOD_NOT_ALLOWED"),
    ):
        answer = await client.request(method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        body = json.loads(answer.text)
        assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
        assert body["request_id"] == answer.headers["x-request-id"]
