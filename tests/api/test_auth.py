"""Keys: made, hashed, scoped, revoked; and what a stranger, a tenant and an operator see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx2
import pytest
from starlette.applications import Starlette

from api.auth import Authenticator, Secret, digest_of, new_secret
from api.faults import Fault
from api.rights import ALL_SCOPES
from api.settings import Clock
from domain.periods import iso
from persistence.audit import COMMAND, acting_as
from persistence.credentials import create_key, revoke_key
from persistence.door import Door
from tests.api.conftest import KEY_CREATE, KEY_REVOKE, NUMBER_CREATE, Ask
from tests.conftest import OPERATOR_KEY

KeyOf = Callable[..., Awaitable[str]]

TOP_UP = """
mutation { topUpCreate(input: {tenant: "one", balance: "whatsapp", amount: "1",
  idempotencyKey: "k"}) { userErrors { code } } }
"""


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


async def test_a_wrong_credential_is_401_and_says_how(client: httpx2.AsyncClient) -> None:
    unknown = new_secret().text
    for credential in (
        "Bearer nonsense",
        f"Bearer {unknown}",
        f"Bearer {OPERATOR_KEY}x",
        f"Bearer {OPERATOR_KEY[:-1]}",
        f"Basic {OPERATOR_KEY}",
        OPERATOR_KEY,
        "Bearer",
        "Bearer " + "x" * 5_000,
        b"Bearer \xff\xfe",
    ):
        for path in ("/graphql", "/v1/events", "/v1/authorize"):
            answer = await client.post(
                path, json={"query": "{__typename}"}, headers={"authorization": credential}
            )
            assert answer.status_code == 401, credential
            assert answer.headers["www-authenticate"].startswith("Bearer ")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "UNAUTHENTICATED"


async def test_who_am_i(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    query = "{ viewer { kind scopes tenant { key } tenants { nodes { key } } } }"
    assert (await ask(query))["data"]["viewer"] == {
        "kind": "OPERATOR",
        "scopes": sorted(ALL_SCOPES),
        "tenant": None,
        "tenants": {"nodes": [{"key": "one"}, {"key": "two"}]},
    }
    assert (await ask(query, key=await key_of("one", "usage:read")))["data"]["viewer"] == {
        "kind": "TENANT",
        "scopes": ["usage:read"],
        "tenant": {"key": "one"},
        "tenants": {"nodes": [{"key": "one"}]},
    }


async def test_another_tenant_does_not_exist(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    """Its key, its ids and its numbers answer as those of nobody."""
    number = {"tenant": "two", "channel": "sms", "address": "+62 811 1000 0002"}
    made = await ask(NUMBER_CREATE, input=number)
    number_id = made["data"]["numberCreate"]["number"]["id"]
    created = await ask(KEY_CREATE, input={"tenant": "two", "name": "x", "scopes": ["usage:read"]})
    key_id = created["data"]["apiKeyCreate"]["apiKey"]["id"]
    tenant_id = (await ask('{ tenant(key: "two") { id } }'))["data"]["tenant"]["id"]

    own = await key_of("one", *ALL_SCOPES)
    for key in ("two", "nobody", "", "\0", "ONE"):
        answer = await ask("query($k: String!) { tenant(key: $k) { id } }", key=own, k=key)
        assert answer["data"] == {"tenant": None}, key
    for wanted in (tenant_id, number_id, key_id, "tnt_0000000000000", "x", "", "_", "tnt_"):
        answer = await ask("query($i: ID!) { node(id: $i) { id } }", key=own, i=wanted)
        assert answer["data"] == {"node": None}, wanted
        if wanted in (tenant_id, number_id, key_id):
            answer = await ask("query($i: ID!) { node(id: $i) { id } }", i=wanted)
            assert answer["data"] == {"node": {"id": wanted}}
    for search in (None, "two", "o", "%", "_"):
        answer = await ask(
            "query($s: String) { tenants(search: $s) { nodes { key } } }", key=own, s=search
        )
        keys = [node["key"] for node in answer["data"]["tenants"]["nodes"]]
        assert keys == (["one"] if search in (None, "o") else [])
    events = [{"id": "1", "source": "s", "type": "message.received", "subject": "two",
               "time": "2026-11-21T10:00:00Z", "data": {}}]  # fmt: skip
    reasons = [
        (await ask(RECORD, key=own, e=[{**events[0], "subject": subject}]))["data"]["usageRecord"]
        for subject in ("two", "nobody")
    ]
    assert [r["results"][0]["reason"] for r in reasons] == ["unknown_tenant", "unknown_tenant"]
    revoked = await ask(KEY_REVOKE, key=own, id=key_id)
    assert revoked["data"]["apiKeyRevoke"]["userErrors"] == [{"field": "id", "code": "NOT_FOUND"}]
    wanted_key = {"tenant": "two", "name": "x", "scopes": ["usage:read"]}
    refused = await ask(KEY_CREATE, key=own, input=wanted_key)
    assert refused["data"]["apiKeyCreate"]["userErrors"][0]["code"] == "NOT_FOUND"


RECORD = """
mutation ($e: [CloudEvent!]!) { usageRecord(input: {events: $e}) { results { reason } } }
"""


async def test_scopes_hold(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    reads = {
        '{ tenant(key: "one") { balances { key } } }': "billing:read",
        '{ tenant(key: "one") { balance(key: "whatsapp") { key } } }': "billing:read",
        '{ tenant(key: "one") { charges { nodes { id } } } }': "billing:read",
        '{ tenant(key: "one") { usageSeries(metrics: [EMAILS], range: {preset: TODAY}) '
        "{ metric } } }": "usage:read",
        '{ node(id: "key_n0zmmz5qsvdw9") { id } }': "keys:write",
        'mutation { apiKeyRevoke(input: {id: "x"}) { userErrors { code } } }': "keys:write",
        'mutation { apiKeyCreate(input: {tenant: "one", name: "x", scopes: []}) '
        "{ userErrors { code } } }": "keys:write",
        "mutation { usageRecord(input: {events: []}) { results { id } } }": "events:write",
        'mutation { authorize(input: {tenant: "one", idempotencyKey: "k", number: "1"}) '
        "{ granted } }": "send:authorize",
        'mutation { holdRelease(input: {tenant: "one", hold: "x"}) '
        "{ released } }": "send:authorize",
    }
    for query, scope in reads.items():
        without = await key_of("one", *(ALL_SCOPES - {scope}))
        answer = await ask(query, key=without)
        assert codes(answer) == ["FORBIDDEN"], query
        assert scope in answer["errors"][0]["message"]
        assert codes(await ask(query, key=await key_of("one", scope))) == [], query


async def test_what_only_operators_do(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    everything = await key_of("one", *ALL_SCOPES)
    reading = await key_of(None, "usage:read", "billing:read")
    for key in (everything, reading):
        for query in (
            TOP_UP,
            'mutation { tenantCreate(input: {key: "x", plan: "omnichannel-idr"}) '
            "{ userErrors { code } } }",
            'mutation { numberCreate(input: {tenant: "one", channel: "sms", address: "+1"}) '
            "{ userErrors { code } } }",
        ):
            assert codes(await ask(query, key=key)) == ["FORBIDDEN"]
    answer = await ask(KEY_CREATE, key=everything, input={"name": "x", "scopes": ["usage:read"]})
    assert codes(answer) == ["FORBIDDEN"]


async def test_a_key_never_makes_a_wider_one(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    own = await key_of("one", "keys:write", "usage:read")
    wanted = {"tenant": "one", "name": "x", "scopes": ["usage:read", "billing:read"]}
    answer = await ask(KEY_CREATE, key=own, input=wanted)
    (error,) = answer["data"]["apiKeyCreate"]["userErrors"]
    assert (error["code"], error["field"]) == ("SCOPE_TOO_WIDE", "scopes")
    answer = await ask(KEY_CREATE, key=own, input={**wanted, "scopes": ["usage:read"]})
    made = answer["data"]["apiKeyCreate"]
    assert made["apiKey"]["tenant"] == "one"
    assert made["secret"].startswith(f"kuota_{made['apiKey']['prefix']}_")
    assert codes(await ask("{ viewer { kind } }", key=made["secret"])) == []


KEYS_REFUSED = [
    ({"scopes": []}, "NO_SCOPES", "scopes"),
    ({"scopes": ["usage:write"]}, "UNKNOWN_SCOPE", "scopes"),
    ({"name": ""}, "INVALID_TEXT", "name"),
    ({"name": "x" * 201}, "INVALID_TEXT", "name"),
    ({"name": "a\0b"}, "INVALID_TEXT", "name"),
    ({"name": "\ud800"}, "INVALID_TEXT", "name"),
    ({"expiresAt": "2020-01-01T00:00:00Z"}, "ALREADY_EXPIRED", "expiresAt"),
    ({"tenant": "nobody"}, "NOT_FOUND", "tenant"),
]


async def test_bad_keys_are_refused_and_nothing_is_kept(
    ask: Ask, tenants: list[str], owner_url: str
) -> None:
    for change, code, field in KEYS_REFUSED:
        wanted = {"tenant": "one", "name": "x", "scopes": ["usage:read"], **change}
        answer = await ask(KEY_CREATE, input=wanted)
        (error,) = answer["data"]["apiKeyCreate"]["userErrors"]
        assert (error["code"], error["field"]) == (code, field)
        assert answer["data"]["apiKeyCreate"]["secret"] is None
    assert await count(owner_url, "api_keys") == 0


async def count(owner_url: str, table: str) -> int:
    conn = await asyncpg.connect(owner_url)
    try:
        return int(await conn.fetchval(f"select count(*) from {table}"))
    finally:
        await conn.close()


async def test_a_revoked_key_is_refused_at_once_here(
    client: httpx2.AsyncClient, ask: Ask, tenants: list[str], key_of: KeyOf
) -> None:
    secret = await key_of("one", "keys:write")
    assert codes(await ask("{ viewer { kind } }", key=secret)) == []
    # A key may end itself: the id of its own row is among those it sees.
    created = await ask(KEY_CREATE, key=secret, input={
        "tenant": "one", "name": "second", "scopes": ["keys:write"]})  # fmt: skip
    second = created["data"]["apiKeyCreate"]
    assert codes(await ask("{ viewer { kind } }", key=second["secret"])) == []
    first = await ask(KEY_REVOKE, key=secret, id=second["apiKey"]["id"])
    again = await ask(KEY_REVOKE, key=secret, id=second["apiKey"]["id"])
    assert first == again
    assert first["data"]["apiKeyRevoke"]["apiKey"]["revokedAt"] is not None
    answer = await client.post(
        "/graphql",
        json={"query": "{__typename}"},
        headers={"authorization": f"Bearer {second['secret']}"},
    )
    assert answer.status_code == 401


class ShiftedTime:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


async def test_a_look_up_is_believed_for_five_seconds(
    app_url: str, app: Starlette, tenants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked elsewhere, a key is refused here 5 s later at most; its end counts at once."""
    time = ShiftedTime()
    monkeypatch.setattr("api.auth.time", time)
    async with Door.open(app_url) as door:
        clock = Clock()
        here = Authenticator(door, None, clock)
        secret = new_secret()

        async def accepted() -> bool:
            try:
                return await here.authenticate(f"Bearer {secret.text}") is not None
            except Fault:
                return False

        async def kept(secret: Secret) -> int:
            end = clock.now() + 3_600_000_000
            with acting_as(COMMAND):
                return await create_key(
                    door, None, name="x", prefix=secret.prefix, digest=secret.digest,
                    scopes=["usage:read"], expires_at=end, now=clock.now(),
                )  # fmt: skip

        assert not await accepted()
        time.seconds += 5.1
        key_id = await kept(secret)
        assert await accepted()
        with acting_as(COMMAND):
            await revoke_key(door, key_id, None, now=clock.now())
        time.seconds += 4.9
        assert await accepted()
        time.seconds += 0.2
        assert not await accepted()

        secret = new_secret()
        await kept(secret)
        assert await accepted()
        clock.offset += 3_600_000_000
        assert not await accepted()


class Standing(Clock):
    """A clock that moves when it is told to: no minute ends in the middle of a test."""

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def now(self) -> int:
        return self.at


async def test_the_last_use_is_kept_to_the_minute(
    app_url: str, ask: Ask, tenants: list[str], key_of: KeyOf
) -> None:
    """Written once a minute and process, all keys at once; a later one is never set back."""
    secrets = {name: await key_of("one", "keys:write", "usage:read") for name in "ab"}
    query = '{ tenant(key: "one") { apiKeys { nodes { lastUsedAt } } } }'

    async def shown() -> list[str | None]:
        nodes = (await ask(query))["data"]["tenant"]["apiKeys"]["nodes"]
        return [node["lastUsedAt"] for node in nodes]

    minute = 60_000_000
    clock, other = (Standing(Clock().now()) for _ in range(2))
    async with Door.open(app_url) as door:
        here = Authenticator(door, None, clock)
        there = Authenticator(door, None, other)
        assert await shown() == [None, None]
        for _ in range(3):
            for secret in secrets.values():
                await here.authenticate(f"Bearer {secret}")
        used = clock.now() - clock.now() % minute
        assert await shown() == [None, None]
        await here.uses.write()
        first, second = await shown()
        assert first == second == iso(used)
        clock.at += 2 * minute
        await here.authenticate(f"Bearer {secrets['b']}")
        await here.uses.write()
        other.at += minute
        await there.authenticate(f"Bearer {secrets['b']}")
        await there.uses.write()
        assert await shown() == [first, iso(used + 2 * minute)]


PAGE = """
query ($first: Int!, $after: String) {
  apiKeys(first: $first, after: $after) {
    nodes { id name tenant } pageInfo { hasNextPage endCursor }
  }
  tenant(key: "one") {
    apiKeys(first: $first, after: $after) {
      nodes { id name tenant revokedAt } pageInfo { hasNextPage endCursor }
    }
  }
}
"""


async def test_keys_are_listed_page_by_page(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    """A tenant's with the tenant, operators' own at the root; nothing of their secrets."""
    for tenant in ("one", None, "two", "one", None, "one"):
        secret = await key_of(tenant, "keys:write")
    answer = (await ask(PAGE, first=2))["data"]
    for page, owner in ((answer["apiKeys"], None), (answer["tenant"]["apiKeys"], "one")):
        assert [node["tenant"] for node in page["nodes"]] == [owner, owner]
    assert not answer["apiKeys"]["pageInfo"]["hasNextPage"]
    end = answer["tenant"]["apiKeys"]["pageInfo"]
    assert end["hasNextPage"]
    await ask(KEY_REVOKE, id=answer["tenant"]["apiKeys"]["nodes"][0]["id"])
    behind = (await ask(PAGE, first=2, after=end["endCursor"]))["data"]["tenant"]["apiKeys"]
    assert len(behind["nodes"]) == 1
    assert not behind["pageInfo"]["hasNextPage"]
    again = (await ask(PAGE, first=1))["data"]["tenant"]["apiKeys"]["nodes"]
    assert again[0]["revokedAt"] is not None

    own = await ask(PAGE, key=secret, first=9)
    assert codes(own) == ["FORBIDDEN"]  # operators' keys
    one = '{ tenant(key: "one") { apiKeys { nodes { name } } } }'
    assert len((await ask(one, key=secret))["data"]["tenant"]["apiKeys"]["nodes"]) == 3
    reading = await key_of("one", *(ALL_SCOPES - {"keys:write"}))
    assert codes(await ask(one, key=reading)) == ["FORBIDDEN"]
    for after in ("x", "W10", "WyJ4Il0"):
        assert "BAD_USER_INPUT" in codes(await ask(PAGE, first=2, after=after))
    assert secret[-32:] not in repr(answer)


async def test_only_a_digest_is_kept(
    owner_url: str, ask: Ask, tenants: list[str], key_of: KeyOf
) -> None:
    secret = await key_of("one", "usage:read")
    conn = await asyncpg.connect(owner_url)
    try:
        row = await conn.fetchrow("select * from api_keys")
    finally:
        await conn.close()
    assert row["digest"] == digest_of(secret.encode())
    assert secret[-32:] not in repr(dict(row))
    assert OPERATOR_KEY not in repr(dict(row))


async def test_the_same_prefix_with_another_secret_is_refused(
    client: httpx2.AsyncClient, tenants: list[str], key_of: KeyOf
) -> None:
    secret = await key_of("one", "usage:read")
    forged = secret[:-32] + new_secret().text[-32:]
    answer = await client.post(
        "/graphql", json={"query": "{__typename}"}, headers={"authorization": f"Bearer {forged}"}
    )
    assert answer.status_code == 401


async def test_metrics_are_for_this_machine_or_operators(
    app: Starlette, tenants: list[str], key_of: KeyOf
) -> None:
    tenant_key = await key_of("one", *ALL_SCOPES)
    far = httpx2.ASGITransport(app, client=("203.0.113.7", 1))
    async with httpx2.AsyncClient(transport=far, base_url="http://kuota") as client:
        for key, status in ((None, 401), (tenant_key, 403), (OPERATOR_KEY, 200)):
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            answer = await client.get("/metrics", headers=headers)
            assert answer.status_code == status
        assert 'kuota_http_requests_total{route="/graphql",status="200"}' in answer.text
        assert 'tenant="' not in answer.text
    near = httpx2.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx2.AsyncClient(transport=near, base_url="http://kuota") as client:
        assert (await client.get("/metrics")).status_code == 200
