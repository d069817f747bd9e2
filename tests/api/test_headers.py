"""What every answer says to browsers and caches, whatever it answers."""

from __future__ import annotations

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api.errors import Fault, problem_of
from api.metrics import Metrics
from api.settings import Settings
from api.transport.envelope import Envelope

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

ANSWERS = [
    ("GET", "/", 200),
    ("GET", "/graphql?query={__typename}", 200),
    ("POST", "/graphql", 415),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
    ("GET", "/nothing", 404),
    ("POST", "/v1/events", 401),
    ("PUT", "/v1/events", 405),
    ("POST", "/v1/authorize", 401),
    ("PUT", "/v1/authorize", 405),
]


async def test_every_answer_is_safe_to_show_and_kept_nowhere(client: httpx2.AsyncClient) -> None:
    for method, url, status in ANSWERS:
        answer = await client.request(method, url)
        assert answer.status_code == status, url
        assert ALWAYS.items() <= dict(answer.headers).items(), url
        assert answer.headers["x-request-id"]
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), url
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "strict-transport-security" not in answer.headers
        assert ("'self'" in policy) == answer.headers["content-type"].startswith("text/html"), url
        for name in {*ALWAYS, "content-security-policy", "x-request-id"}:
            assert len(answer.headers.get_list(name)) == 1, (url, name)


async def own(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"cache-control": "max-age=60", "content-security-policy": "default-src 'self'"}
    await PlainTextResponse("x", headers=headers)(scope, receive, send)


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a secret of ours")


@pytest.mark.parametrize(
    ("public_url", "encrypted"), [("https://kuota.example", True), ("http://localhost:8000", False)]
)
async def test_encryption_is_asked_for_where_there_is_any(public_url: str, encrypted: bool) -> None:
    app = Envelope(own, Metrics(), frozenset(), Settings(public_url=public_url))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client:
        answer = await client.get("/")
        assert ("strict-transport-security" in answer.headers) == encrypted
        # What an answer says itself stands.
        assert answer.headers.get_list("cache-control") == ["max-age=60"]
        assert answer.headers["content-security-policy"] == "default-src 'self'"


async def test_what_nobody_expected_is_as_safe() -> None:
    transport = httpx2.ASGITransport(Envelope(broken, Metrics(), frozenset()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client:
        answer = await client.get("/v1/events")
        assert answer.status_code == 500
        assert ALWAYS.items() <= dict(answer.headers).items()
        assert "secret" not in answer.text
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_problem_says_the_finer_reason() -> None:
    fault = Fault("FORBIDDEN", "Ask a super-admin.", reason="BILLING_ACCESS_REQUIRED")
    assert b'"reason":"BILLING_ACCESS_REQUIRED"' in bytes(problem_of(fault, "r-1").body)
    assert b"reason" not in bytes(problem_of(Fault("FORBIDDEN", "No."), "r-1").body)
