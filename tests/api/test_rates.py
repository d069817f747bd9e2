"""Limits by cost: one bucket for all processes, told in headers, counted alone without Valkey."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
import redis
from redis.asyncio import Redis
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from api.app import create_app
from api.limits import (
    QUERY_REFUSED_COST,
    RATE_ADDRESS_COST,
    RATE_LEASES,
    RATE_TENANT_KEYS,
    RATE_WRONG_CREDENTIALS,
)
from api.metrics import Metrics
from api.rates import Rates
from api.settings import Clock, Settings
from api.transport import seats
from persistence.keys import rate
from persistence.rates import WINDOW, Bucket
from persistence.valkey import client as valkey_client
from tests.api.sockets import (
    INIT,
    end_of,
    greet,
    hear,
    opened,
    say,
    serving,
    steered,
    subscribe,
)
from tests.conftest import OPERATOR_KEY, Database

NOW = 1_795_000_000_000_000
SECOND = 1_000_000
NOBODY = "redis://127.0.0.1:9"

KeyOf = Callable[..., Awaitable[str]]


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.fixture
async def valkey(redis_url: str) -> AsyncIterator[Redis]:
    async with valkey_client(redis_url) as opened:
        yield opened


def bucket(quota: int, what: str = "key k") -> Bucket:
    return Bucket("key", rate("1", what), quota)


async def spent(rates: Rates, cost: int, *buckets: Bucket) -> int | None:
    """Spend: None where it passed, else the seconds to wait."""
    return (await rates.spend(buckets, cost)).retry_seconds


async def test_a_bucket_is_spent_and_fills_evenly(valkey: Redis) -> None:
    time = Time()
    rates = Rates(valkey, Metrics(), time)
    one = bucket(60)
    assert [await spent(rates, 20, one) for _ in range(3)] == [None] * 3
    assert await spent(rates, 1, one) == 1
    assert await spent(rates, 20, one) == 20
    time.pass_(19)
    assert await spent(rates, 20, one) == 1
    time.pass_(1)
    assert await spent(rates, 20, one) is None
    time.pass_(3600)
    assert await spent(rates, 60, one) is None
    assert await spent(rates, 1, one) == 1


async def test_one_of_two_buckets_that_is_empty_leaves_the_other_alone(valkey: Redis) -> None:
    time = Time()
    rates = Rates(valkey, Metrics(), time)
    mine, other, ours = bucket(60), bucket(60, "key l"), bucket(90, "tenant")
    assert await spent(rates, 60, mine, ours) is None
    assert await spent(rates, 40, other, ours) is not None
    assert await spent(rates, 30, other, ours) is None
    # The tenant's is empty now, and 30 of the other key's are left.
    assert await spent(rates, 30, other, ours) == 20
    time.pass_(20)
    assert await spent(rates, 30, other, ours) is None


async def test_what_is_dearer_than_a_bucket_waits_for_a_full_one_and_leaves_a_debt(
    valkey: Redis,
) -> None:
    time = Time()
    rates = Rates(valkey, Metrics(), time)
    one = bucket(60)
    assert await spent(rates, 90, one) is None
    assert await spent(rates, 1, one) == 31
    time.pass_(60)
    assert await spent(rates, 90, one) == 30
    assert await spent(rates, 30, one) is None


async def test_processes_share_a_bucket_but_for_their_leases(valkey: Redis) -> None:
    time = Time()
    metrics = Metrics()
    one, quota = bucket(6_000), 6_000
    processes = [Rates(valkey, metrics, time) for _ in range(3)]
    passed = 0
    while None in [await spent(rates, 7, one) for rates in processes]:
        passed += 1
    total = 0
    for rates in processes:
        held = rates._held[one.key]
        assert held.lease <= quota // RATE_LEASES
        total += held.lease
    state = await valkey.hgetall(one.key)
    left = float(state[b"left"])
    assert 0 <= left < 7
    assert passed <= (quota - total) // 7
    assert metrics.registry.get_sample_value("kuota_rate_limits_alone_total") == 0


async def test_most_is_spent_without_asking(valkey: Redis) -> None:
    rates = Rates(valkey, Metrics(), Time())
    one = bucket(60_000)
    await asyncio.gather(*(spent(rates, 10, one) for _ in range(600)))
    info: dict[str, Any] = await valkey.info("commandstats")
    before = info["cmdstat_evalsha"]["calls"]
    await asyncio.gather(*(spent(rates, 10, one) for _ in range(600)))
    info = await valkey.info("commandstats")
    # 6,000 spent by leases of 600: ten askings, however many ask at once.
    assert info["cmdstat_evalsha"]["calls"] - before <= 11


async def test_without_valkey_a_process_counts_alone(valkey: Redis) -> None:
    time, metrics = Time(), Metrics()
    one = bucket(60)
    async with valkey_client(NOBODY) as nobody:
        rates = Rates(nobody, metrics, time)
        assert [await spent(rates, 20, one) for _ in range(3)] == [None] * 3
        assert await spent(rates, 20, one) == 20
        time.pass_(20)
        assert await spent(rates, 20, one) is None
        assert metrics.registry.get_sample_value("kuota_rate_limits_alone_total") == 5
        # It comes back: the shared bucket is believed again, after a second.
        rates._valkey = valkey
        time.pass_(1)
        assert await spent(rates, 60, one) is None
        assert metrics.registry.get_sample_value("kuota_rate_limits_alone_total") == 5


async def test_clocks_may_differ(valkey: Redis) -> None:
    behind, ahead = Time(), Time()
    ahead.pass_(5)
    one = bucket(60)
    assert await spent(Rates(valkey, Metrics(), ahead), 60, one) is None
    assert await spent(Rates(valkey, Metrics(), behind), 1, one) == 1
    # A clock that was wrong by a day locks nobody out for a day.
    ahead.pass_(86_400)
    assert await spent(Rates(valkey, Metrics(), ahead), 60, one) is None
    assert await spent(Rates(valkey, Metrics(), behind), 60, one) is None


async def test_a_bucket_is_forgotten_once_it_is_full(valkey: Redis) -> None:
    rates = Rates(valkey, Metrics(), Time())
    await spent(rates, 60, bucket(60))
    left = await valkey.pttl(bucket(60).key)
    assert WINDOW // 2000 < left <= WINDOW // 1000 + 1000


LIMIT = 1_000
QUERY = '{ tenant(key: "one") { key name } }'


@pytest.fixture
async def app(database: Database, redis_url: str) -> AsyncIterator[Starlette]:
    """An application with small limits, whose clock of limits stands."""
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY,
        rate_limit=LIMIT,
    )  # fmt: skip
    app = create_app(settings, Clock())
    async with app.router.lifespan_context(app):
        app.state.core.gate.rates._now = Time()
        yield app


def limits(answer: httpx2.Response) -> dict[str, tuple[int, int]]:
    """What RateLimit says: by policy, what is left and when it is full."""
    found = re.findall(r'"([a-z-]+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    return {name: (int(left), int(after)) for name, left, after in found}


def bearing(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_answers_say_how_much_is_left(
    client: httpx2.AsyncClient, tenants: list[str], key_of: KeyOf
) -> None:
    key = await key_of("one", "usage:read", "events:write", "send:authorize")
    answer = await client.post("/graphql", json={"query": QUERY}, headers=bearing(key))
    assert answer.json()["extensions"] == {"cost": 3}
    assert answer.headers["ratelimit-policy"] == (
        f'"key";q={LIMIT};w=60;qu="cost", "tenant";q={LIMIT * RATE_TENANT_KEYS};w=60;qu="cost"'
    )
    assert limits(answer) == {"key": (997, 1), "tenant": (3_997, 1)}
    events = [{"id": str(n)} for n in range(250)]
    answer = await client.post("/v1/events", json=events, headers=bearing(key))
    assert answer.status_code == 200
    assert limits(answer)["key"] == (997 - 26, 2)
    # What is no document had to be read all the same.
    answer = await client.post("/graphql", json={"query": "{"}, headers=bearing(key))
    assert answer.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"
    assert limits(answer)["key"] == (971 - QUERY_REFUSED_COST, 8)
    # A send costs by whom it reaches, whatever it is answered.
    send = {"key": "k", "number": "1", "recipients": ["+6281110000001"] * 99}
    answer = await client.post("/v1/authorize", json=[send, send], headers=bearing(key))
    assert answer.status_code == 200
    assert limits(answer)["key"][0] == 971 - QUERY_REFUSED_COST - 20


async def test_who_spent_all_is_told_when_to_come_again(
    app: Starlette, client: httpx2.AsyncClient, tenants: list[str], key_of: KeyOf
) -> None:
    key = await key_of("one", "usage:read", "events:write")
    other = await key_of("one", "usage:read")
    dear = '{ tenant(key: "one") { charges(first: 100) { nodes { factId amount { value } } } } }'
    for _ in range(2):
        answer = await client.post("/graphql", json={"query": dear}, headers=bearing(key))
        assert answer.json()["extensions"]["cost"] > 300
    answer = await client.post("/graphql", json={"query": dear}, headers=bearing(key))
    (error,) = answer.json()["errors"]
    assert answer.status_code == 429
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert error["extensions"]["retryAfter"] == int(answer.headers["retry-after"]) > 0
    assert "data" not in answer.json()
    assert limits(answer)["key"][0] > 0
    # Small ones pass until nothing is left, and then nobody reads what is sent.
    while answer.headers["ratelimit"].startswith('"key";r=0') is False:
        body = {"query": "{"} if limits(answer)["key"][0] >= 100 else {"query": "{ __typename }"}
        answer = await client.post("/graphql", json=body, headers=bearing(key))
    answer = await client.post("/graphql", content=b"[" * 100_000, headers=bearing(key))
    assert answer.status_code == 429
    answer = await client.post("/v1/events", json=[], headers=bearing(key))
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "RATE_LIMITED"
    assert int(answer.headers["retry-after"]) > 0
    # Others of the tenant go on, and so does this one when there is something again.
    answer = await client.post("/graphql", json={"query": QUERY}, headers=bearing(other))
    assert answer.status_code == 200
    app.state.core.gate.rates._now.pass_(1)
    answer = await client.post("/graphql", json={"query": QUERY}, headers=bearing(key))
    assert answer.status_code == 200


async def test_strangers_have_little(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/graphql", json={"query": "{ __typename }"})
    assert list(limits(answer)) == ["address"]
    assert f'"address";q={RATE_ADDRESS_COST};w=60' in answer.headers["ratelimit-policy"]
    for _ in range(RATE_ADDRESS_COST // QUERY_REFUSED_COST):
        answer = await client.post("/graphql", json={"query": "{"})
    assert answer.status_code == 429
    answer = await client.post("/v1/events", json=[])
    assert answer.status_code in (401, 429)
    # Who has a credential is not held up by those without.
    answer = await client.post("/graphql", json={"query": QUERY}, headers=bearing(OPERATOR_KEY))
    assert answer.status_code == 200


async def test_nobody_tries_secrets_at_speed(client: httpx2.AsyncClient, key_of: KeyOf) -> None:
    lately = await key_of(None, "usage:read")
    new = await key_of(None, "usage:read")
    body = {"query": "{ viewer { kind } }"}
    assert (await client.post("/graphql", json=body, headers=bearing(lately))).status_code == 200
    answers = [
        (await client.post("/graphql", json=body, headers=bearing(f"guess-{n}"))).status_code
        for n in range(RATE_WRONG_CREDENTIALS + 5)
    ]
    assert answers == [401] * RATE_WRONG_CREDENTIALS + [429] * 5
    # A right guess looks like a wrong one now; who was here before goes on.
    answer = await client.post("/graphql", json=body, headers=bearing(new))
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert '"wrong-credentials";r=0' in answer.headers["ratelimit"]
    assert (await client.post("/graphql", json=body, headers=bearing(lately))).status_code == 200


async def test_without_a_limit_valkey_is_not_asked(database: Database, redis_url: str) -> None:
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY, rate_limit=0
    )
    app = create_app(settings, Clock())
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client,
    ):
        body = {"query": "{ viewer { kind } }"}
        answer = await client.post("/graphql", json=body, headers=bearing(OPERATOR_KEY))
        assert answer.status_code == 200
        assert "ratelimit" not in answer.headers
    with redis.Redis.from_url(redis_url) as found:
        assert list(found.scan_iter("*:rate:*")) == []


async def test_an_operation_of_a_socket_is_charged_when_it_begins(
    app: Starlette, tenants: list[str], key_of: KeyOf
) -> None:
    """A subscription's events cost nothing, and a refusal ends its operation alone."""
    key = await key_of("one", "usage:read")
    core = app.state.core
    core.metrics = Metrics()  # the app has sockets of its own
    spending = core.gate.spending(await core.gate.admit(f"Bearer {key}", None), None)
    async with serving(core) as url, opened(url) as socket:
        await greet(socket, key)
        await say(socket, subscribe("s", 'subscription { ticks(name: "rates") { number } }'))
        steered.tick("rates", 1)
        assert (await hear(socket))["type"] == "next"
        await spending.charge(LIMIT - 2)
        assert spending.standing.left[0] == 0
        await say(socket, subscribe("q", "{ hello }"))
        refused = await hear(socket)
        (error,) = refused["payload"]
        assert refused["type"] == "error"
        assert error["extensions"].pop("requestId")
        assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfter": 1}
        for number in range(2, 5):
            steered.tick("rates", number)
            assert (await hear(socket))["payload"]["data"]["ticks"] == {"number": number}
        core.gate.rates._now.pass_(1)
        await say(socket, subscribe("q", "{ hello }"))
        assert (await hear(socket))["payload"]["data"] == {"hello": "world"}


async def test_sockets_of_a_credential_an_address_and_a_process_are_counted(
    app: Starlette, tenants: list[str], key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = await key_of("one", "usage:read"), await key_of("one", "usage:read")
    limits = {"address": 2, "credential": 2, "tenant": 3}
    few = {what: (most, seats.LIMITS[what][1]) for what, most in limits.items()}
    monkeypatch.setattr(seats, "LIMITS", few)
    app.state.core.metrics = Metrics()  # the app has sockets of its own
    async with serving(app.state.core) as url, AsyncExitStack() as stack:

        async def another(key: str | None = None) -> ClientConnection:
            socket = await stack.enter_async_context(opened(url))
            if key is not None:
                await greet(socket, key)
            return socket

        first = await another(key)
        await another(key)
        socket = await stack.enter_async_context(opened(url))
        await say(socket, INIT | {"payload": {"authorization": f"Bearer {key}"}})
        code, reason = await end_of(socket)
        assert (code, reason[:21]) == (4429, "this credential has 2")
        await another(other)
        socket = await stack.enter_async_context(opened(url))
        await say(socket, INIT | {"payload": {"authorization": f"Bearer {other}"}})
        assert (await end_of(socket))[1].startswith("the tenant has 3")
        # Whoever leaves makes room.
        await first.close()
        await another(key)
        # Those that show nothing count for their address.
        await another()
        silent = await another()
        with pytest.raises(InvalidStatus) as refused:
            await another()
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["retry-after"] == "1"
        assert b"your address has 2 websockets" in refused.value.response.body
        await silent.close()
        monkeypatch.setattr(seats, "SOCKETS_MAX", 4)
        assert (await end_of(await another()))[0] == 1013
