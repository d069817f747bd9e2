"""Readiness, and requests while the database is away: clear answers, and work goes on by itself."""

from __future__ import annotations

import asyncio
import os
import signal

import asyncpg
import httpx2
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from api.app import create_app
from api.settings import Clock, Settings
from persistence.servers import Servers
from tests.api.conftest import Ask
from tests.conftest import OPERATOR_KEY, Database, on

OPERATOR = {"authorization": f"Bearer {OPERATOR_KEY}"}
PATIENCE_SECONDS = 40.0


def client_of(app: Starlette) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://kuota")


async def until_ready(client: httpx2.AsyncClient) -> None:
    """Ask until the process says that it is ready."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.05)


async def away(client: httpx2.AsyncClient) -> None:
    """Every route that needs the database says 503, and when to come again."""
    assert (await client.get("/healthz")).status_code == 200
    body = {"query": "{ viewer { tenants { nodes { key } } } }"}
    event = {"id": "1", "source": "s", "type": "message.received", "subject": "one"}
    for answer in (
        await client.post("/graphql", json=body, headers=OPERATOR),
        await client.post("/v1/events", json=event, headers=OPERATOR),
        await client.post(
            "/graphql",
            json=body,
            headers={"authorization": "Bearer kuota_aaaaaaaa_" + "a" * 32},
        ),
    ):
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "SERVICE_UNAVAILABLE"


async def test_a_ready_process(ask: Ask, app: Starlette) -> None:
    async with client_of(app) as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ready",
            "parts": ["edge", "feed", "jobs"],
            "checks": {"database": "ok", "migrations": "ok", "valkey": "ok", "feed": "ok"},
        }
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        front = await client.get("/")
        assert "/graphql" in front.text


async def test_a_database_that_comes_later(
    servers: Servers, empty_database: Database, template: str, redis_url: str
) -> None:
    """Without a database, then with an empty one, then with one that is migrated."""
    owner_url = servers.addresses.owner_url
    assert owner_url is not None
    await on(owner_url, f"drop database {empty_database.name}")
    settings = Settings(
        database_url=empty_database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    app = create_app(settings, Clock())
    async with app.router.lifespan_context(app), client_of(app) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
        assert answer.json()["checks"]["database"] == "down"
        await away(client)

        await on(owner_url, f"create database {empty_database.name}")
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {
            "database": "ok", "migrations": "open", "valkey": "ok", "feed": "silent"
        }  # fmt: skip

        await on(
            owner_url,
            f"drop database {empty_database.name} with (force)",
            f"create database {empty_database.name} template {template}",
        )
        await until_ready(client)
        answer = await client.post("/graphql", json={"query": "{viewer{kind}}"}, headers=OPERATOR)
        assert answer.json()["data"] == {"viewer": {"kind": "OPERATOR"}}


async def postmaster(owner_url: str) -> int:
    conn = await asyncpg.connect(owner_url)
    try:
        return int((await conn.fetchval("select pg_read_file('postmaster.pid')")).split()[0])
    finally:
        await conn.close()


async def test_a_database_that_is_killed(owner_url: str, app: Starlette) -> None:
    query = {"query": "{ viewer { tenants { nodes { key } } } }"}
    async with client_of(app) as client:
        assert (await client.post("/graphql", json=query, headers=OPERATOR)).status_code == 200
        os.kill(await postmaster(owner_url), signal.SIGKILL)
        seen = set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while 200 not in seen:
                answer = await client.post("/graphql", json=query, headers=OPERATOR)
                seen.add(answer.status_code)
                assert "errors" not in answer.text, answer.text
        assert seen <= {200, 503}
        await until_ready(client)


async def test_without_valkey_it_is_degraded_and_serves(database: Database) -> None:
    settings = Settings(
        database_url=database.app_url,
        redis_url="redis://127.0.0.1:1",
        operator_key=OPERATOR_KEY,
        clock=0,
    )
    app = create_app(settings, Clock.starting(0))
    async with app.router.lifespan_context(app), client_of(app) as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["status"] == "degraded"
        assert answer.json()["checks"]["valkey"] == "down"
        assert answer.json()["checks"]["feed"] == "silent"
        assert answer.json()["clock"].startswith("1970-01-01T00:00:")
        answer = await client.post("/graphql", json={"query": "{viewer{kind}}"}, headers=OPERATOR)
        assert answer.status_code == 200


async def test_a_feed_that_is_silent(database: Database, redis_url: str) -> None:
    """Valkey does all but pass on what is published: watchers have the heads, and readiness says
    what is wrong, for nobody else would notice."""
    place, _, number = redis_url.partition("?")
    async with Redis.from_url(redis_url) as valkey:
        user = ("mute", "on", ">of-a-test", "~*", "+@all", "resetchannels")
        await valkey.execute_command("ACL SETUSER", *user)  # type: ignore[no-untyped-call]
        settings = Settings(
            database_url=database.app_url,
            redis_url=f"{place.replace('//', '//mute@')}?{number}&password=of-a-test",
            operator_key=OPERATOR_KEY,
        )
        app = create_app(settings, Clock())
        async with app.router.lifespan_context(app), client_of(app) as client:
            answer = await client.get("/readyz")
        await valkey.acl_deluser("mute")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["checks"] == {
        "database": "ok", "migrations": "ok", "valkey": "ok", "feed": "silent"
    }  # fmt: skip


async def test_an_app_is_given_both_servers() -> None:
    """Said when it starts, not at the first request."""
    app = create_app(Settings(), Clock())
    with pytest.raises(ValueError, match="both its servers"):
        async with app.router.lifespan_context(app):
            pass
