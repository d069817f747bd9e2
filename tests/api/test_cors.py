"""Pages of browsers: those that are ours or allowed may ask and read, each by its whole origin."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers

from api.app import create_app
from api.cors import is_welcome, origins_of
from api.settings import Clock, Settings
from tests.conftest import OPERATOR_KEY, Database

SHOP, STRANGER = "https://shop.example", "https://evil.example"
BEARER = {"authorization": f"Bearer {OPERATOR_KEY}"}
QUERY = {"query": "{ viewer { kind } }"}


@pytest.fixture
async def app(database: Database, redis_url: str) -> AsyncIterator[Starlette]:
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY,
        allowed_origins=(SHOP, "http://localhost:3000"), public_url="https://kuota.example/x",
    )  # fmt: skip
    app = create_app(settings, Clock())
    async with app.router.lifespan_context(app):
        yield app


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }


def of_cors(answer: httpx2.Response) -> dict[str, str]:
    return {
        name.removeprefix("access-control-"): value
        for name, value in answer.headers.items()
        if name.startswith("access-control-")
    }


async def test_an_allowed_page_may_ask_and_read(client: httpx2.AsyncClient) -> None:
    for path in ("/graphql", "/v1/events", "/v1/authorize"):
        answer = await client.options(path, headers=preflight(SHOP))
        assert answer.status_code == 204
        told = of_cors(answer)
        assert told["allow-origin"] == SHOP
        assert told["allow-methods"] == "GET, POST"
        assert {"authorization", "content-type"} <= set(told["allow-headers"].split(", "))
        assert "allow-credentials" not in told
        assert "Origin" in answer.headers["vary"]
    answer = await client.post("/graphql", json=QUERY, headers=BEARER | {"origin": SHOP})
    assert answer.json()["data"] == {"viewer": {"kind": "OPERATOR"}}
    assert of_cors(answer) == {
        "allow-origin": SHOP,
        "expose-headers": "x-request-id, ratelimit, ratelimit-policy, retry-after",
    }
    assert "Origin" in answer.headers["vary"]
    # What is refused is read by the page as well.
    answer = await client.post("/graphql", json=QUERY, headers={"origin": SHOP} | bearing("x"))
    assert (answer.status_code, of_cors(answer)["allow-origin"]) == (401, SHOP)


def bearing(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_stranger_is_refused_before_anything_is_done(client: httpx2.AsyncClient) -> None:
    mutation = {
        "query": 'mutation { tenantCreate(input: {key: "evil", plan: "omnichannel-idr"})'
        " { tenant { key } } }"
    }
    for origin in (
        STRANGER, "null", "", "http://shop.example", "https://shop.example:8443",
        "https://shop.example.evil.example", "https://evil-shop.example", "https://shop.example/",
        "https://SHOP.example@evil.example", f"{SHOP}, {STRANGER}", "*",
    ):  # fmt: skip
        answer = await client.post("/graphql", json=mutation, headers=BEARER | {"origin": origin})
        assert answer.status_code == 403, origin
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"
        assert error["extensions"]["reason"] == "ORIGIN"
        assert of_cors(answer) == {}, origin
    answer = await client.post("/graphql", json={"query": "{ tenants { nodes { key } } }"},
                               headers=BEARER)  # fmt: skip
    assert answer.json()["data"] == {"tenants": {"nodes": []}}
    answer = await client.get(
        "/graphql", params={"query": "{ __typename }"}, headers={"origin": STRANGER}
    )
    assert answer.status_code == 403


async def test_a_preflight_of_a_stranger(client: httpx2.AsyncClient) -> None:
    """It may be a widget's page: only its token says so, and a preflight carries none."""
    answer = await client.options("/graphql", headers=preflight(STRANGER))
    assert answer.status_code == 204
    assert of_cors(answer)["allow-origin"] == STRANGER
    for path in ("/v1/events", "/v1/authorize"):
        answer = await client.options(path, headers=preflight(STRANGER))
        assert answer.status_code == 403
        assert answer.json()["reason"] == "ORIGIN"
        assert of_cors(answer) == {}
    for path in ("/metrics", "/readyz", "/"):
        answer = await client.options(path, headers=preflight(SHOP))
        assert answer.status_code == 403
        assert of_cors(answer) == {}


async def test_an_options_that_no_browser_sends_is_a_method_like_others(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.options("/graphql")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    ("origin", "host", "welcome"),
    [
        (None, "kuota.example", True),
        ("https://shop.example", "x", True),
        ("https://SHOP.example:443", "x", True),
        ("http://localhost:3000", "x", True),
        ("http://localhost", "x", False),
        ("https://kuota.example", "x", True),  # the public URL's
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),  # the host's own
        ("http://127.0.0.1:8001", "127.0.0.1:8000", False),
        ("https://x", "x:443", True),
        ("http://x", "x:443", False),
        ("file://", "", False),
        ("ftp://shop.example", "shop.example", False),
    ],
)
def test_origins_are_compared_by_scheme_host_and_port(
    origin: str | None, host: str, welcome: bool
) -> None:
    settings = Settings(
        allowed_origins=(SHOP, "http://localhost:3000"), public_url="https://kuota.example/x"
    )
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    assert is_welcome(Headers(headers), origins_of(settings)) == welcome
