"""One installation, its parts in processes of their own: each serves its own, and says of the rest.

Nothing is sticky: facts come to one process, watchers are at another, and time is a third one's.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import asyncpg
import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.api.sockets import greet, hear, opened, say, subscribe
from tests.conftest import Database, Served, ServedFactory
from tests.wire.client import Json, connected, problem, until
from tests.wire.feed import Traffic, opened_tenants, reaching, watching
from tests.wire.traffic import CLOCK

pytestmark = pytest.mark.slow

RECORD = """mutation($events: [CloudEvent!]!) { usageRecord(input: {events: $events}) {
  results { status } userErrors { code } } }"""


async def elsewhere(answer: httpx2.Response, part: str) -> None:
    problem(answer, 421, "MISDIRECTED_REQUEST", f"not {part}: ask one that does")


async def turned_away(handshake: connect) -> None:
    """A websocket is refused before it is accepted, in the form of everything that is refused."""
    with pytest.raises(InvalidStatus) as refused:
        await handshake.__aenter__()
    answer = refused.value.response
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    body = json.loads(answer.body or b"")
    assert body["code"] == "MISDIRECTED_REQUEST"
    assert "not feed" in body["detail"]


async def metrics(client: httpx2.AsyncClient) -> dict[str, float]:
    lines = (await client.get("/metrics")).text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


async def test_each_part_in_a_process_of_its_own(
    database: Database, served: ServedFactory, redis_url: str
) -> None:
    edge, feed = await asyncio.gather(
        *(served("--only", part, KUOTA_CLOCK=CLOCK) for part in ("edge", "feed"))
    )
    async with AsyncExitStack() as stack:
        at_edge, at_feed = [await stack.enter_async_context(connected(s)) for s in (edge, feed)]
        there = await stack.enter_async_context(reaching(edge, database.owner_url, redis_url))
        await not_there(edge, at_edge, feed, at_feed)

        told = await opened_tenants(at_edge, "f-1")
        traffic = Traffic(told)
        async with watching(feed, "f-1") as watcher:
            await traffic.post(at_edge, "f-1")
            await there.agree(told, watcher)
            # A websocket takes every operation, a mutation too: what answers it commits it.
            events = traffic.events("f-1")
            async with opened(feed.url) as socket:
                await greet(socket)
                await say(socket, subscribe("1", RECORD, events=events))
                answer = (await hear(socket))["payload"]["data"]["usageRecord"]
            assert answer == {"results": [{"status": "ACCEPTED"}] * 3, "userErrors": []}
            again = (await at_edge.post("/v1/events", json=events)).json()["results"]
            assert {result["status"] for result in again} == {"duplicate"}
            told["f-1"].add(events, again)
            await there.agree(told, watcher)

        await only_jobs_do_the_jobs(served, there.owner)


async def not_there(
    edge: Served, at_edge: httpx2.AsyncClient, feed: Served, at_feed: httpx2.AsyncClient
) -> None:
    """What a process does not serve it says, and how it fares can be asked of each."""
    await turned_away(opened(edge.url))
    await elsewhere(await at_edge.get("/graphql/stream"), "feed")
    for path in ("/", "/sign-in", "/v1/downloads/x", "/.well-known/jwks.json"):
        await elsewhere(await at_feed.get(path), "edge")
    for path in ("/graphql", "/v1/events", "/v1/authorize", "/v1/sign-in"):
        await elsewhere(await at_feed.post(path, json={}), "edge")
    for client, part, checks in ((at_edge, "edge", set()), (at_feed, "feed", {"feed"})):
        assert (await client.get("/healthz")).status_code == 200
        answer: Json = (await client.get("/readyz")).json()
        assert (answer["status"], answer["parts"]) == ("ready", [part])
        assert answer["checks"].keys() == {"database", "migrations", "valkey"} | checks
        shown = await metrics(client)
        assert shown[f'kuota_part{{part="{part}"}}'] == 1
        assert sum(shown[f'kuota_part{{part="{each}"}}'] for each in ("edge", "feed", "jobs")) == 1
        assert shown["kuota_draining"] == 0
        assert shown["kuota_workers"] == 1
        assert (shown.get("kuota_feed_canary_seconds", 0) > 0) == (part == "feed")
        assert "kuota_heads_due" not in shown


async def only_jobs_do_the_jobs(
    served: ServedFactory, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await owner.execute("update tenant_head set next_due = 1")

    async def due() -> int:
        return int(await owner.fetchval("select count(*) from tenant_head where next_due = 1"))

    assert await due() == 1
    jobs = await served("--only", "jobs", KUOTA_CLOCK=CLOCK)
    await until(due, lambda count: not count)
    async with connected(jobs) as client:
        assert (await client.get("/readyz")).json()["parts"] == ["jobs"]
        assert "kuota_heads_due" in await metrics(client)
        await elsewhere(await client.post("/graphql", json={}), "edge")
        await turned_away(opened(jobs.url))
