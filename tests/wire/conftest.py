"""A served process that these tests share, and what shows that nothing moved in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import pytest
import redis

from persistence.servers import Servers
from tests.conftest import OPERATOR_KEY, Served, named, numbers, on, run_served, said
from tests.wire.client import Json, ask, connected, open_tenant, operate
from tests.wire.spelling import NUMBER
from tests.wire.traffic import CLOCK

FIGURES = """{ tenants { nodes { key since balances {
    key version opening { value } granted { value } toppedUp { value } used { value }
    remaining { value } available { value } } } } }"""

#: Every table a fact can touch; what is refused leaves each as it was.
TABLES = (
    "fact_keys", "facts", "charges", "conflicts", "messages", "contacts", "lots", "lot_days",
    "counters", "transfers", "periods", "usage_hour", "usage_day", "commits",
    "broadcast_recipients", "broadcasts", "user_activity",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A served process with two tenants, a client with the operator's key, and the superuser."""

    server: Served
    client: httpx2.AsyncClient
    owner: asyncpg.Connection[Any]
    owner_url: str
    variables: dict[str, str]  #: what another process on the same database is started with

    async def state(self) -> Json:
        """Figures, versions and rows: equal before and after what moved nothing."""
        rows = ", ".join(f"(select count(*) from {table}) as {table}" for table in TABLES)
        heads = await self.owner.fetch("select * from tenant_head order by tenant_id")
        counts = await self.owner.fetchrow(f"select {rows}")
        return {
            "figures": (await ask(self.client, FIGURES))["tenants"]["nodes"],
            "heads": [tuple(head) for head in heads],
            "rows": dict(counts or {}),
        }

    async def facts(self) -> int:
        """How many facts are kept."""
        return int(await self.owner.fetchval("select count(*) from facts"))

    @asynccontextmanager
    async def unmoved(self) -> AsyncIterator[None]:
        """Require that what is done inside changes no figure, no version and no row."""
        before = await self.state()
        yield
        assert await self.state() == before

    async def key(self, tenant: str | None, *scopes: str) -> dict[str, str]:
        """The headers of a new API key."""
        given = {"tenant": tenant, "name": "of a test", "scopes": list(scopes)}
        answer = await operate(self.client, "apiKeyCreate", "secret", **given)
        return {"authorization": f"Bearer {answer['secret']}"}


@pytest.fixture(scope="package")
async def standing_house(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """The house of all these tests; it must end with 0 and without a traceback."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    name = f"test_{next(numbers)}"
    redis_url = f"{addresses.redis_url}?db={1 + next(numbers) % 63}"
    await on(addresses.owner_url, f"create database {name} template {template}")
    owner_url = named(addresses.owner_url, name)
    variables = {
        "KUOTA_DATABASE_URL": named(addresses.app_url, name),
        "KUOTA_REDIS_URL": redis_url,
        "KUOTA_OPERATOR_KEY": OPERATOR_KEY,
        # What is sent here is worth minutes of anybody's limit.
        "KUOTA_RATE_LIMIT": "0",
        "KUOTA_CLOCK": CLOCK,
    }
    errors = tmp_path_factory.mktemp("wire") / "served.log"
    server = await run_served(variables=variables, errors=errors)
    owner = await asyncpg.connect(owner_url)
    try:
        async with connected(server) as client:
            await open_tenant(
                client, "one", [
                    ("whatsapp", NUMBER), ("sms", "12345"), ("voice", "+62211234567"),
                    ("email", "box@example.com"), ("bot", "bot-1"),
                ], since="2000-01-01T00:00:00Z",
            )  # fmt: skip
            await open_tenant(client, "two", [("whatsapp", "+62800000002")])
            yield House(
                server=server, client=client, owner=owner, owner_url=owner_url,
                variables=variables,
            )  # fmt: skip
            page = (await client.get("/metrics")).text
            assert 'status="500"' not in page
            assert "kuota_failures_total{" not in page
    finally:
        await owner.close()
        await server.stop()
        await on(addresses.owner_url, f"drop database if exists {name} with (force)")
        with redis.Redis.from_url(redis_url) as valkey:
            valkey.flushdb()


@pytest.fixture
async def house(standing_house: House) -> AsyncIterator[House]:
    """The house; a test may leave no traceback in its log, and no request without an answer."""
    before = len(said(standing_house.server.errors))
    yield standing_house
    words = said(standing_house.server.errors)[before:]
    assert "Traceback" not in words, words
    assert "request failed" not in words, words
