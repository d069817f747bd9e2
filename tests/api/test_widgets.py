"""Tokens for widgets: short-lived, of one tenant; listed documents are read, from known pages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from starlette.applications import Starlette
from websockets.exceptions import InvalidStatus

from api.app import create_app
from api.core import Core
from api.rights import ALL_SCOPES
from api.settings import Clock, Settings
from persistence.door import Door
from tests.api.conftest import KEY_REVOKE, Ask
from tests.api.sockets import end_of, hear, opened, say, serving, subscribe
from tests.conftest import OPERATOR_KEY, Database

SECOND = 1_000_000
SHOP = "https://shop.example"
NAME = 'query Name { tenant(key: "one") { name } }'
LIVE = 'query Live { tenant(key: "one") { live { visitors } } }'
BALANCES = 'query Balances { tenant(key: "one") { balances { key } } }'
OTHERS = 'query Others { tenant(key: "two") { name } }'
WATCH = 'subscription Watch { usageChanged(tenant: "one") { live { visitors } } }'
REVOKE = 'mutation Revoke { apiKeyRevoke(input: {id: "x"}) { userErrors { code } } }'

KeyOf = Callable[..., Awaitable[str]]
Json = dict[str, Any]


def named(text: str) -> str:
    return "sha256:" + sha256(text.encode()).hexdigest()


DOCUMENTS = {named(each): each for each in (NAME, LIVE, BALANCES, OTHERS, WATCH, REVOKE)}

CREATE = """
mutation ($input: WidgetTokenCreateInput!) {
  widgetTokenCreate(input: $input) {
    token expiresAt apiKey { id tenant scopes origins documents expiresAt }
    userErrors { field code message }
  }
}
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def app(
    database: Database, redis_url: str, tmp_path: Path, clock: Clock
) -> AsyncIterator[Starlette]:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps(DOCUMENTS), "utf-8")
    settings = Settings(
        database_url=database.app_url,
        redis_url=redis_url,
        operator_key=OPERATOR_KEY,
        documents=path,
    )
    app = create_app(settings, clock)
    async with app.router.lifespan_context(app):
        yield app


def wanted(*documents: str, **changes: Any) -> Json:
    ids = [named(each) for each in documents or (NAME,)]
    return {"tenant": "one", "documents": ids, "origins": [SHOP], **changes}


@pytest.fixture
def token_of(ask: Ask) -> Callable[..., Awaitable[str]]:
    """`await token_of(NAME, ...)`: a new token for these documents."""

    async def make(*documents: str, key: str = OPERATOR_KEY, **changes: Any) -> str:
        answer = await ask(CREATE, key=key, input=wanted(*documents, **changes))
        made = answer["data"]["widgetTokenCreate"]
        assert made["userErrors"] == []
        return str(made["token"])

    return make


async def sent(
    client: httpx2.AsyncClient, token: str, *, origin: str | None = SHOP, **body: Any
) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token}"}
    if origin is not None:
        headers["origin"] = origin
    return await client.post("/graphql", json=body, headers=headers)


def refusal(answer: httpx2.Response) -> tuple[int, str, str | None]:
    (error,) = answer.json()["errors"]
    extensions = error["extensions"]
    return answer.status_code, extensions["code"], extensions.get("reason")


async def test_a_token_reads_its_documents_from_its_pages_and_nothing_else(
    client: httpx2.AsyncClient,
    app: Starlette,
    ask: Ask,
    tenants: list[str],
    token_of: KeyOf,
) -> None:
    token = await token_of(NAME, LIVE, BALANCES, OTHERS, scopes=["usage:read"])
    answer = await sent(client, token, documentId=named(NAME))
    assert answer.json() == {"data": {"tenant": {"name": "one"}}, "extensions": {"cost": 2}}
    assert answer.headers["access-control-allow-origin"] == SHOP
    hashed = {"persistedQuery": {"version": 1, "sha256Hash": named(LIVE)[7:]}}
    answer = await sent(client, token, extensions=hashed)
    assert answer.json()["data"] == {"tenant": {"live": {"visitors": 0}}}
    # Another tenant does not exist, and what it has no scope for is refused.
    answer = await sent(client, token, documentId=named(OTHERS))
    assert answer.json()["data"] == {"tenant": None}
    answer = await sent(client, token, documentId=named(BALANCES))
    assert refusal(answer)[:2] == (200, "FORBIDDEN")

    for origin in (None, "null", "https://evil.example", f"{SHOP}.evil", "http://shop.example",
                   f"{SHOP}:8443", ""):  # fmt: skip
        answer = await sent(client, token, origin=origin, documentId=named(NAME))
        assert refusal(answer) == (403, "FORBIDDEN", "WIDGET_ORIGIN"), origin
    for body in (
        {"query": "{ __typename }"},
        {"query": "{ __schema { queryType { name } } }"},
        {"query": NAME},
        {"query": REVOKE},
        {"documentId": named(WATCH)},
        {"documentId": named(REVOKE)},
        {"documentId": "sha256:" + "0" * 64},
    ):
        answer = await sent(client, token, **body)
        assert refusal(answer) == (403, "FORBIDDEN", "WIDGET_DOCUMENT"), body

    bearer = {"authorization": f"Bearer {token}", "origin": SHOP}
    assert (await client.post("/v1/events", json=[], headers=bearer)).status_code == 403
    far = httpx2.ASGITransport(app, client=("203.0.113.7", 1))
    async with httpx2.AsyncClient(transport=far, base_url="http://kuota") as other:
        assert (await other.get("/metrics", headers=bearer)).status_code == 403


REFUSED: list[tuple[Json, str, str]] = [
    ({"tenant": "nobody"}, "NOT_FOUND", "tenant"),
    ({"documents": []}, "INVALID", "documents"),
    ({"documents": ["sha256:" + "0" * 64]}, "UNKNOWN_DOCUMENT", "documents"),
    ({"documents": [named(REVOKE)]}, "DOCUMENT_CHANGES", "documents"),
    ({"origins": []}, "INVALID", "origins"),
    ({"origins": [f"https://{n}.example" for n in range(11)]}, "INVALID", "origins"),
    ({"origins": ["*"]}, "INVALID_ORIGIN", "origins"),
    ({"origins": ["https://*.example"]}, "INVALID_ORIGIN", "origins"),
    ({"origins": ["https://shop.example/page"]}, "INVALID_ORIGIN", "origins"),
    ({"origins": ["null"]}, "INVALID_ORIGIN", "origins"),
    ({"scopes": []}, "NO_SCOPES", "scopes"),
    ({"scopes": ["events:write"]}, "SCOPE_TOO_WIDE", "scopes"),
    ({"scopes": ["usage:write"]}, "UNKNOWN_SCOPE", "scopes"),
    ({"expiresIn": 0}, "INVALID", "expiresIn"),
    ({"expiresIn": 3_601}, "INVALID", "expiresIn"),
]


async def test_what_a_token_cannot_be_made_of(
    ask: Ask, tenants: list[str], key_of: KeyOf, owner_url: str
) -> None:
    for change, code, field in REFUSED:
        answer = await ask(CREATE, input=wanted() | change)
        (error,) = answer["data"]["widgetTokenCreate"]["userErrors"]
        assert (error["code"], error["field"]) == (code, field), change
        assert answer["data"]["widgetTokenCreate"]["token"] is None
    own = await key_of("one", "keys:write", "usage:read")
    for change, code in (({"scopes": ["billing:read"]}, "SCOPE_TOO_WIDE"),
                         ({"tenant": "two"}, "NOT_FOUND")):  # fmt: skip
        answer = await ask(CREATE, key=own, input=wanted() | change)
        assert answer["data"]["widgetTokenCreate"]["userErrors"][0]["code"] == code
    without = await key_of("one", *(ALL_SCOPES - {"keys:write"}))
    (error,) = (await ask(CREATE, key=without, input=wanted()))["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    conn = await asyncpg.connect(owner_url)
    try:
        assert await conn.fetchval("select count(*) from api_keys where origins is not null") == 0
    finally:
        await conn.close()


async def test_a_token_ends_by_itself_and_with_the_key_that_made_it(
    client: httpx2.AsyncClient,
    app: Starlette,
    ask: Ask,
    tenants: list[str],
    key_of: KeyOf,
    token_of: KeyOf,
    clock: Clock,
) -> None:
    maker = await key_of("one", "keys:write", "usage:read")
    answer = await ask(CREATE, key=maker, input=wanted(origins=["HTTPS://Shop.example:443/"[:-1]]))
    made = answer["data"]["widgetTokenCreate"]
    assert made["apiKey"] | {"id": "", "expiresAt": ""} == {
        "id": "", "tenant": "one", "scopes": ["usage:read"], "origins": [SHOP],
        "documents": [named(NAME)], "expiresAt": "",
    }  # fmt: skip
    assert made["apiKey"]["expiresAt"] == made["expiresAt"]
    kept = await token_of(NAME, expiresIn=3_600)
    assert (await sent(client, made["token"], documentId=named(NAME))).status_code == 200
    clock.offset += 900 * SECOND
    assert (await sent(client, made["token"], documentId=named(NAME))).status_code == 401
    assert (await sent(client, kept, documentId=named(NAME))).status_code == 200

    second = await token_of(NAME, key=maker)
    keys = (await ask('{ tenant(key: "one") { apiKeys { nodes { id origins } } } }'))["data"]
    (key,) = keys["tenant"]["apiKeys"]["nodes"]  # tokens of widgets are in no list
    assert key["origins"] is None
    await ask(KEY_REVOKE, id=key["id"])
    assert (await sent(client, second, documentId=named(NAME))).status_code == 401
    assert (await sent(client, kept, documentId=named(NAME))).status_code == 200

    # A day after their end they are cleared away; keys never are.
    core: Core = app.state.core
    assert not await core.engines.jobs.clear_widgets()
    assert await rows(core.door) == {"keys": 1, "widgets": 3}
    clock.offset += 2 * 86_400 * SECOND
    assert not await core.engines.jobs.clear_widgets()
    assert await rows(core.door) == {"keys": 1, "widgets": 0}


async def rows(door: Door) -> dict[str, int]:
    async with door.system_tx("a test counts") as conn:
        row = await conn.fetchrow(
            "select count(*) filter (where origins is null) as keys, "
            "count(origins) as widgets from api_keys"
        )
    assert row is not None
    return dict(row)


async def test_the_database_lets_keys_alone(
    app: Starlette, tenants: list[str], key_of: KeyOf
) -> None:
    """What a key may do is never changed, and none is removed."""
    await key_of("one", "usage:read")
    core: Core = app.state.core
    for statement in ("update api_keys set scopes = '{}'", "update api_keys set digest = ''",
                      "update api_keys set expires_at = null"):  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with core.door.system_tx("a test tries") as conn:
                await conn.execute(statement)
    async with core.door.system_tx("a test tries") as conn:
        assert await conn.execute("delete from api_keys") == "DELETE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with core.door.tenant_tx(1) as conn:
            await conn.execute("delete from api_keys")


async def test_over_a_socket(
    app: Starlette, ask: Ask, tenants: list[str], key_of: KeyOf, token_of: KeyOf
) -> None:
    """Its page opens the socket, its token begins it, its documents are what runs there."""
    core: Core = app.state.core

    async def begun(socket: Any, token: str) -> Json:
        bearer = {"authorization": f"Bearer {token}"}
        await say(socket, {"type": "connection_init", "payload": bearer})
        return await hear(socket)

    async with serving(core, sockets=app.state.sockets) as url:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(url, origin=SHOP):
                pass
        assert refused.value.response.status_code == 403
        # From now on somebody has a widget there.
        token = await token_of(NAME, WATCH)
        async with opened(url, origin=SHOP) as socket:
            assert (await begun(socket, token))["type"] == "connection_ack"
            watching = {"documentId": named(WATCH)}
            await say(socket, {"type": "subscribe", "id": "1", "payload": watching})
            first = await hear(socket)
            assert first["payload"]["data"]["usageChanged"] == {"live": {"visitors": 0}}
            await say(socket, subscribe("2", NAME))
            error = await hear(socket)
            assert (error["type"], error["id"]) == ("error", "2")
            assert error["payload"][0]["extensions"]["reason"] == "WIDGET_DOCUMENT"
            by_id = {"documentId": named(NAME)}
            await say(socket, {"type": "subscribe", "id": "3", "payload": by_id})
            assert (await hear(socket))["payload"]["data"] == {"tenant": {"name": "one"}}
        elsewhere = await token_of(NAME, origins=["https://other.example"])
        for origin, credential in (
            (SHOP, elsewhere),  # the token of another page
            (SHOP, OPERATOR_KEY),  # a page of widgets has no other credentials
            (None, token),  # no page at all
        ):
            async with opened(url, origin=origin) as socket:
                bearer = {"authorization": f"Bearer {credential}"}
                await say(socket, {"type": "connection_init", "payload": bearer})
                code, reason = await end_of(socket)
                assert (code, reason[:10]) == (4403, "Forbidden:"), origin
        async with opened(url, origin=SHOP) as socket:
            await say(socket, {"type": "connection_init"})
            assert (await end_of(socket))[0] == 4403
