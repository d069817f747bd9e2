"""The application in this process, on the test's own database, asked over its ASGI face."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.settings import Clock, Settings
from tests.conftest import OPERATOR_KEY, Database

Json = dict[str, Any]
Ask = Callable[..., Awaitable[Json]]


@pytest.fixture
async def app(database: Database, redis_url: str) -> AsyncIterator[Starlette]:
    """An application whose lifespan has begun."""
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    app = create_app(settings, Clock())
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a credential."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client:
        yield client


@pytest.fixture
def ask(client: httpx2.AsyncClient) -> Ask:
    """`await ask(query, key=SECRET, name=value)`: the answer's JSON; `key` is the operator's."""

    async def run(query: str, *, key: str | None = OPERATOR_KEY, **variables: Any) -> Json:
        headers = {"content-type": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        # In ASCII: lone surrogates are among what tests send.
        body = json.dumps({"query": query, "variables": variables})
        answer = await client.post("/graphql", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    return run


@pytest.fixture
async def tenants(ask: Ask) -> list[str]:
    """Two tenants, `one` and `two`."""
    for key in ("one", "two"):
        answer = await ask(TENANT_CREATE, input={"key": key, "plan": "omnichannel-idr"})
        assert answer["data"]["tenantCreate"]["userErrors"] == []
    return ["one", "two"]


TENANT_CREATE = """
mutation ($input: TenantCreateInput!) {
  tenantCreate(input: $input) {
    tenant { id key name timezone currency country locale plan status since }
    userErrors { field code message }
  }
}
"""

NUMBER_CREATE = """
mutation ($input: NumberCreateInput!) {
  numberCreate(input: $input) {
    number { id channel address timezone } userErrors { field code message }
  }
}
"""

KEY_CREATE = """
mutation ($input: ApiKeyCreateInput!) {
  apiKeyCreate(input: $input) {
    apiKey { id tenant prefix scopes } secret userErrors { field code message }
  }
}
"""

KEY_REVOKE = """
mutation ($id: ID!) {
  apiKeyRevoke(input: {id: $id}) { apiKey { id revokedAt } userErrors { field code } }
}
"""


@pytest.fixture
def key_of(ask: Ask) -> Callable[..., Awaitable[str]]:
    """`await key_of("one", "usage:read")`: the secret of a new key of a tenant."""

    async def make(tenant: str | None, *scopes: str) -> str:
        wanted = {"tenant": tenant, "name": "of a test", "scopes": scopes}
        answer = await ask(KEY_CREATE, input=wanted)
        return str(answer["data"]["apiKeyCreate"]["secret"])

    return make
