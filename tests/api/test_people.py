"""People: who may what, who makes whom, how they sign in, and how soon a change holds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.applications import Starlette

from api import ids, issuer, recent
from api.auth import Authenticator
from api.core import Core
from api.faults import Fault
from api.issuer import Issuer
from api.operations.people import SCOPE, check_reach
from api.rights import NO_BILLING, OF_ROLE, BillingRight, Principal, Role
from api.settings import Clock
from api.signing import Signing
from api.tokens import Tokens
from api.transport.sockets import Sockets
from api.transport.vigil import Vigil
from domain.problems import Problem
from persistence.door import Door
from tests.api.conftest import Ask, Json
from tests.api.sockets import end_of, greet, hear, opened, say, serving, until

KeyOf = Callable[..., Awaitable[str]]
Person = Callable[..., Awaitable[tuple[str, str]]]

DAY = 86_400_000_000

CREATE = """
mutation ($input: UserCreateInput!) {
  userCreate(input: $input) {
    user { id tenant name email role active billingRights createdAt }
    userErrors { field code message }
  }
}
"""
UPDATE = """
mutation ($input: UserUpdateInput!) {
  userUpdate(input: $input) { user { name email role active } userErrors { field code message } }
}
"""
LINK = """
mutation ($user: ID!) {
  signInLinkCreate(input: {user: $user}) { url expiresAt userErrors { field code message } }
}
"""
GRANT = """
mutation ($user: ID!, $rights: [BillingRight!]!) {
  billingAccessGrant(input: {user: $user, rights: $rights}) {
    user { billingRights } userErrors { field code message }
  }
}
"""
REVOKE = """
mutation ($user: ID!, $rights: [BillingRight!]) {
  billingAccessRevoke(input: {user: $user, rights: $rights}) {
    user { billingRights } userErrors { field code message }
  }
}
"""
BALANCES = '{ tenant(key: "one") { balances { key } } }'
WHO = "{ viewer { kind name role permissions scopes tenant { key } } }"


def wrong(answer: Json) -> list[tuple[str | None, str]]:
    """The refusals of the one mutation of an answer, as (field, code)."""
    (payload,) = answer["data"].values()
    return [(error["field"], error["code"]) for error in payload["userErrors"]]


def faults(answer: Json) -> list[tuple[str, str | None]]:
    """The faults of an answer, as (code, reason)."""
    errors = [error["extensions"] for error in answer.get("errors", [])]
    return [(error["code"], error.get("reason")) for error in errors]


@pytest.fixture
def person(ask: Ask, client: httpx2.AsyncClient) -> Person:
    """`await person("one", "AGENT")`: the id of somebody new, and a token by a link."""

    async def make(tenant: str | None, role: str, *rights: str) -> tuple[str, str]:
        made = await ask(CREATE, input={
            "tenant": tenant, "name": f"{role} {len(made_so_far)}", "role": role,
            "email": f"{role}.{len(made_so_far)}@example.com"})  # fmt: skip
        assert wrong(made) == []
        user = made["data"]["userCreate"]["user"]["id"]
        made_so_far.append(user)
        if rights:
            assert wrong(await ask(GRANT, user=user, rights=rights)) == []
        link = (await ask(LINK, user=user))["data"]["signInLinkCreate"]["url"]
        answer = await client.post("/v1/sign-in", json={"code": code_of(link)})
        assert answer.status_code == 200, answer.text
        return user, answer.json()["token"]

    made_so_far: list[str] = []
    return make


def code_of(url: str) -> str:
    return url.partition("?code=")[2]


async def test_billing_needs_the_grant(ask: Ask, tenants: list[str], person: Person) -> None:
    """PE-1: without it FORBIDDEN in the documented words, never an empty page; and each right."""
    asked = {
        "billing:read": BALANCES,
        "audit:read": '{ tenant(key: "one") { audit(first: 1) { nodes { actor } } } }',
        "usage:read": '{ tenant(key: "one") { live { visitors } } }',
    }
    for role in Role:
        tenant = None if role is Role.OPERATOR else "one"
        for rights in ((), ("VIEW",), ("READ_AUDIT",)):
            _, token = await person(tenant, role.name, *rights)
            scopes = OF_ROLE[role] | {BillingRight[right] for right in rights}
            who = (await ask(WHO, key=token))["data"]["viewer"]
            assert who["role"] == role.name
            assert who["permissions"] == who["scopes"] == sorted(scopes)
            assert who["kind"] == ("OPERATOR" if tenant is None else "TENANT")
            for scope, query in asked.items():
                answer = await ask(query, key=token)
                if scope in scopes:
                    assert "errors" not in answer, (role, rights, scope)
                    continue
                assert faults(answer) == [("FORBIDDEN", "BILLING_ACCESS_REQUIRED")]
                assert answer["errors"][0]["message"] == NO_BILLING
                assert answer["data"] == {"tenant": None}
    # A key has no super-admin to ask.
    assert NO_BILLING == "Ask a super-admin for billing access."


MAKING = [
    # who makes, whom, of which tenant, and what is wrong with it
    ("SUPER_ADMIN", "SUPER_ADMIN", "one", None),
    ("SUPER_ADMIN", "AGENT", "one", None),
    ("SUPER_ADMIN", "OPERATOR", "one", "ROLE_DOES_NOT_FIT"),
    ("SUPER_ADMIN", "AGENT", "two", "NOT_FOUND"),
    ("SUPER_ADMIN", "OPERATOR", None, "FORBIDDEN"),
    ("SUPER_ADMIN", "AGENT", None, "FORBIDDEN"),
    ("ADMIN", "AGENT", "one", "FORBIDDEN"),
    ("SUPERVISOR", "AGENT", "one", "FORBIDDEN"),
    ("AGENT", "AGENT", "one", "FORBIDDEN"),
    ("OPERATOR", "SUPER_ADMIN", "two", None),
    ("OPERATOR", "OPERATOR", None, None),
    ("OPERATOR", "ADMIN", None, "ROLE_DOES_NOT_FIT"),
]


async def test_nobody_makes_somebody_above_himself(
    ask: Ask, tenants: list[str], person: Person, key_of: KeyOf
) -> None:
    makers = {role.name: await person(None if role is Role.OPERATOR else "one", role.name)
              for role in Role}  # fmt: skip
    for number, (maker, role, tenant, refusal) in enumerate(MAKING):
        wanted = {"tenant": tenant, "name": "x", "email": f"x{number}@example.com", "role": role}
        answer = await ask(CREATE, key=makers[maker][1], input=wanted)
        if refusal == "FORBIDDEN":
            assert faults(answer) == [("FORBIDDEN", None)], (maker, role, tenant)
            assert answer["data"] is None
        else:
            codes = [code for _, code in wrong(answer)]
            assert codes == ([refusal] if refusal else []), (maker, role, tenant)
    # A key has no role: it makes whoever may no more than it may.
    narrow = await key_of("one", "users:write", "usage:read")
    wide = await key_of("one", *OF_ROLE[Role.SUPER_ADMIN])
    wanted = {"tenant": "one", "name": "x", "email": "key@example.com"}
    answer = await ask(CREATE, key=narrow, input=wanted | {"role": "SUPER_ADMIN"})
    assert wrong(answer) == [("role", "SCOPE_TOO_WIDE")]
    assert wrong(await ask(CREATE, key=narrow, input=wanted | {"role": "ADMIN"})) == []
    wanted["email"] = "another@example.com"
    assert wrong(await ask(CREATE, key=wide, input=wanted | {"role": "SUPER_ADMIN"})) == []
    answer = await ask(CREATE, key=wide, input=wanted | {"tenant": "two", "role": "AGENT"})
    assert wrong(answer) == [("tenant", "NOT_FOUND")]
    # Nor does a link let anybody in who may more: whoever makes it could use it.
    for user in (makers["SUPER_ADMIN"][0], makers["OPERATOR"][0]):
        assert wrong(await ask(LINK, key=narrow, user=user))[0][1] in (
            "SCOPE_TOO_WIDE",
            "NOT_FOUND",
        )
    _, adjusting = await person(None, "OPERATOR", "ADJUST")
    strong, _ = await person(None, "OPERATOR", "ADJUST", "PUBLISH_PRICES")
    assert wrong(await ask(LINK, key=adjusting, user=strong)) == [("user", "SCOPE_TOO_WIDE")]
    answer = await ask(UPDATE, key=narrow, input={"id": makers["SUPER_ADMIN"][0], "role": "AGENT"})
    assert wrong(answer) == [("id", "SCOPE_TOO_WIDE")]


REACH = [
    # who, towards whom with which scopes, and what is wrong with it
    (Role.ADMIN, Role.SUPER_ADMIN, (), "ROLE_TOO_HIGH"),
    (Role.ADMIN, Role.OPERATOR, (), "ROLE_TOO_HIGH"),
    (Role.ADMIN, Role.ADMIN, ("usage:read",), None),
    (Role.ADMIN, Role.ADMIN, ("billing:read",), "SCOPE_TOO_WIDE"),
    (Role.ADMIN, Role.SUPERVISOR, ("billing:read",), None),
    (None, Role.AGENT, ("usage:read",), None),
    (None, Role.AGENT, ("billing:read",), "SCOPE_TOO_WIDE"),
]


@pytest.mark.parametrize(("role", "other", "scopes", "code"), REACH)
def test_the_order_of_roles(
    role: Role | None, other: Role, scopes: tuple[str, ...], code: str | None
) -> None:
    """Also for roles that may not look after users today."""
    caller = Principal("tenant", 7, "one", frozenset({"usage:read", SCOPE}), None, role=role)
    found = None
    try:
        check_reach(caller, other, scopes, "role")
    except Problem as problem:
        found = problem.code
    assert found == code


GRANTING = [
    # who grants, what, to whom, and what is wrong with it
    ("SUPER_ADMIN", ["VIEW", "TOP_UP", "READ_AUDIT"], "AGENT", None),
    ("SUPER_ADMIN", ["VIEW"], "ADMIN", None),
    ("SUPER_ADMIN", ["ADJUST"], "ADMIN", ("rights", "RIGHT_OF_OPERATORS")),
    ("SUPER_ADMIN", [], "ADMIN", ("rights", "NO_RIGHTS")),
    ("SUPER_ADMIN", ["VIEW"], "OPERATOR", ("user", "NOT_FOUND")),
    ("SUPER_ADMIN", ["VIEW"], "of two", ("user", "NOT_FOUND")),
    ("OPERATOR", ["VIEW"], "of two", None),
    ("OPERATOR", ["TOP_UP"], "of two", ("rights", "SCOPE_TOO_WIDE")),
    ("OPERATOR", ["ADJUST"], "OPERATOR", ("rights", "SCOPE_TOO_WIDE")),
    ("the operator's key", ["ADJUST", "PUBLISH_PRICES"], "OPERATOR", None),
    ("the operator's key", ["PUBLISH_PRICES"], "SUPER_ADMIN", ("rights", "RIGHT_OF_OPERATORS")),
]


async def test_nobody_grants_what_he_has_not(ask: Ask, tenants: list[str], person: Person) -> None:
    people = {role.name: await person(None if role is Role.OPERATOR else "one", role.name)
              for role in Role}  # fmt: skip
    people["of two"] = await person("two", "SUPERVISOR")
    for granter, rights, user, refusal in GRANTING:
        given = {} if granter == "the operator's key" else {"key": people[granter][1]}
        answer = await ask(GRANT, **given, user=people[user][0], rights=rights)
        assert wrong(answer) == ([refusal] if refusal else []), (granter, rights, user)
    for role in ("ADMIN", "SUPERVISOR", "AGENT"):
        for mutation in (GRANT, REVOKE):
            answer = await ask(mutation, key=people[role][1], user=people[role][0], rights=["VIEW"])
            assert faults(answer) == [("FORBIDDEN", None)]
    admin, key = people["ADMIN"][0], people["SUPER_ADMIN"][1]
    for rights in (["VIEW"], ["VIEW", "READ_AUDIT"]):  # again: what is granted stays
        answer = await ask(GRANT, key=key, user=admin, rights=rights)
        assert answer["data"]["billingAccessGrant"]["user"]["billingRights"] == rights
    answer = await ask(REVOKE, key=key, user=admin, rights=["VIEW", "TOP_UP"])
    assert answer["data"]["billingAccessRevoke"]["user"]["billingRights"] == ["READ_AUDIT"]
    answer = await ask(REVOKE, key=key, user=admin)
    assert answer["data"]["billingAccessRevoke"]["user"]["billingRights"] == []
    answer = await ask(REVOKE, key=key, user=people["SUPER_ADMIN"][0], rights=["VIEW"])
    assert wrong(answer) == [("rights", "RIGHT_OF_ROLE")]


REFUSED = [
    ({"email": "nobody"}, "email", "INVALID_EMAIL"),
    ({"email": "ANA@example.com "}, "email", "EMAIL_TAKEN"),
    ({"name": " "}, "name", "INVALID_TEXT"),
    ({"name": "a\0b"}, "name", "INVALID_TEXT"),
    ({"subject": "ana"}, "subject", "NO_ISSUER"),
    ({"tenant": "nobody"}, "tenant", "NOT_FOUND"),
]


async def test_people_are_listed_and_found(ask: Ask, tenants: list[str], person: Person) -> None:
    boss, key = await person("one", "SUPER_ADMIN")
    await person("two", "AGENT")
    ana = {"tenant": "one", "name": "Ana", "email": "Ana@Example.com", "role": "AGENT"}
    made = (await ask(CREATE, key=key, input=ana))["data"]["userCreate"]["user"]
    assert made["email"] == "ana@example.com"
    assert (made["active"], made["billingRights"]) == (True, [])
    for change, field, code in REFUSED:
        answer = await ask(CREATE, input=ana | {"email": "ben@example.com"} | change)
        assert wrong(answer) == [(field, code)], change
    answer = await ask(CREATE, key=key, input=ana | {"email": "b@example.com", "subject": "b"})
    assert faults(answer) == [("FORBIDDEN", None)]
    assert wrong(await ask(CREATE, input=ana | {"tenant": "two"})) == []
    answer = await ask(UPDATE, input={"id": boss, "email": "ana@example.com"})
    assert wrong(answer) == [("email", "EMAIL_TAKEN")]

    listed = """query ($after: String) { tenant(key: "one") { users(first: 1, after: $after) {
        nodes { id name role billingRights } pageInfo { hasNextPage endCursor } } } }"""
    first = (await ask(listed, key=key))["data"]["tenant"]["users"]
    assert [node["id"] for node in first["nodes"]] == [boss]
    assert first["nodes"][0]["billingRights"] == ["VIEW", "TOP_UP", "READ_AUDIT"]
    assert first["pageInfo"]["hasNextPage"]
    last = (await ask(listed, key=key, after=first["pageInfo"]["endCursor"]))["data"]["tenant"]
    assert [node["name"] for node in last["users"]["nodes"]] == ["Ana"]
    assert not last["users"]["pageInfo"]["hasNextPage"]
    both = "{ tenants { nodes { key users { nodes { email } } } } operatorUsers { nodes { id } } }"
    everybody = (await ask(both))["data"]
    assert [len(tenant["users"]["nodes"]) for tenant in everybody["tenants"]["nodes"]] == [2, 2]
    assert everybody["operatorUsers"]["nodes"] == []
    assert faults(await ask("{ operatorUsers { nodes { id } } }", key=key)) == [("FORBIDDEN", None)]
    found = "query ($i: ID!) { node(id: $i) { id } }"
    assert (await ask(found, key=key, i=made["id"]))["data"]["node"] == {"id": made["id"]}
    other, other_key = await person("two", "SUPER_ADMIN")
    assert (await ask(found, key=key, i=other))["data"]["node"] is None
    for mutation in (LINK, REVOKE):
        answer = await ask(mutation, key=other_key, user=made["id"])
        assert wrong(answer) == [("user", "NOT_FOUND")]
    answer = await ask(UPDATE, key=other_key, input={"id": made["id"], "active": False})
    assert wrong(answer) == [("id", "NOT_FOUND")]


async def test_a_tenant_keeps_its_last_super_admin(
    ask: Ask, tenants: list[str], person: Person, key_of: KeyOf, owner_url: str
) -> None:
    first, first_key = await person("one", "SUPER_ADMIN")
    second, second_key = await person("one", "SUPER_ADMIN")
    await person("two", "SUPER_ADMIN")
    # Both at once, in front of a row that somebody holds: one of them is the last by then.
    conn = await asyncpg.connect(owner_url)

    async def both_wait() -> bool:
        waiting = "select count(*) from pg_stat_activity where datname = current_database() "
        return bool(await conn.fetchval(f"{waiting} and wait_event_type = 'Lock'") == 2)

    async with conn.transaction():
        await conn.execute(
            "select 1 from users where user_id = $1 for update", ids.decode("usr", second)
        )
        both = asyncio.gather(
            ask(UPDATE, key=first_key, input={"id": second, "role": "ADMIN"}),
            ask(UPDATE, key=second_key, input={"id": first, "active": False}),
        )
        await until(both_wait)
    answers = await both
    await conn.close()
    refusals = [refusal for answer in answers for refusal in wrong(answer)]
    assert refusals in ([("role", "LAST_SUPER_ADMIN")], [("active", "LAST_SUPER_ADMIN")])
    left, left_key = (second, second_key) if wrong(answers[0]) else (first, first_key)
    tenants_key = await key_of("one", *OF_ROLE[Role.SUPER_ADMIN])
    for key in (left_key, tenants_key):
        for change in ({"active": False}, {"role": "AGENT"}):
            (refusal,) = wrong(await ask(UPDATE, key=key, input={"id": left, **change}))
            assert refusal[1] == "LAST_SUPER_ADMIN"
    answer = await ask(UPDATE, key=left_key, input={"id": left, "name": "Ana", "active": True})
    assert answer["data"]["userUpdate"]["user"]["name"] == "Ana"
    assert wrong(await ask(UPDATE, input={"id": left, "active": False})) == []


async def test_from_a_link_to_a_query(
    ask: Ask, tenants: list[str], client: httpx2.AsyncClient, app: Starlette, owner_url: str
) -> None:
    wanted = {"tenant": "one", "name": "Ana", "email": "ana@example.com", "role": "SUPER_ADMIN"}
    user = (await ask(CREATE, input=wanted))["data"]["userCreate"]["user"]["id"]
    url = (await ask(LINK, user=user))["data"]["signInLinkCreate"]["url"]
    assert url.startswith("http://127.0.0.1:8000/sign-in?code=")
    code = code_of(url)

    for _ in range(2):  # looking uses nothing up
        page = await client.get(f"/sign-in?code={code}")
        assert page.status_code == 200
        assert f'value="{code}"' in page.text
        assert page.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "<script" not in page.text
    strange = await client.get("/sign-in", params={"code": '"><script>alert(1)</script>'})
    assert "alert" not in strange.text
    assert (await client.get("/v1/sign-in", params={"code": code})).status_code == 405

    shown = await client.post("/v1/sign-in", data={"code": f" {code} "})
    assert shown.headers["content-type"].startswith("text/html")
    assert shown.headers["cache-control"] == "no-store"
    found = re.search(r">([\w-]+\.[\w-]+\.[\w-]+)</textarea>", shown.text)
    assert found is not None
    viewer = (await ask(WHO, key=found[1]))["data"]["viewer"]
    assert (viewer["name"], viewer["tenant"]) == ("Ana", {"key": "one"})
    assert "errors" not in await ask(BALANCES, key=found[1])

    # Of many who come with one link, one is let in.
    code = code_of((await ask(LINK, user=user))["data"]["signInLinkCreate"]["url"])
    answers = await asyncio.gather(
        *(client.post("/v1/sign-in", json={"code": code}) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    # Who is not active is not let in, with a link of before either.
    early = code_of((await ask(LINK, user=user))["data"]["signInLinkCreate"]["url"])
    await ask(UPDATE, input={"id": user, "active": False})
    assert (await client.post("/v1/sign-in", json={"code": early})).status_code == 401
    assert wrong(await ask(LINK, user=user)) == [("user", "NOT_ACTIVE")]
    await ask(UPDATE, input={"id": user, "active": True})

    core: Core = app.state.core
    late = code_of((await ask(LINK, user=user))["data"]["signInLinkCreate"]["url"])
    core.clock.offset += 15 * 60 * 1_000_000
    for bad in (code, late, "x" * 32, "", "\0", "x" * 2_000):
        answer = await client.post("/v1/sign-in", json={"code": bad})
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED"), bad
        form = await client.post("/v1/sign-in", data={"code": bad})
        assert form.status_code == (401 if bad else 400)
    assert "ask for a new link" in form.text
    for body, kind, status in (
        (b"{", "application/json", 400),
        (b'{"code": 7}', "application/json", 400),
        (b"[" * 4_000, "application/json", 400),
        (b"code=a&code=b", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"code=a"] * 11), "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"x" * 5_000, "application/json", 413),
        (b"code", "text/plain", 415),
    ):
        answer = await client.post("/v1/sign-in", content=body, headers={"content-type": kind})
        assert answer.status_code == status, body[:20]

    conn = await asyncpg.connect(owner_url)
    try:
        rows = [*await conn.fetch("select * from sign_in_links"),
                *await conn.fetch("select * from signing_keys"),
                *await conn.fetch("select actor, what, after::text from audit")]  # fmt: skip
    finally:
        await conn.close()
    assert code not in repr(rows)
    assert ("signIn", f"user {user}") in [(row.get("what"), row.get("actor")) for row in rows]
    private = {key.key.as_dict(private=True)["d"] for key in core.issuer._keys.values()}
    assert private
    assert not any(str(secret) in repr(rows) for secret in private)


class Time:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(recent, "time", time)
    monkeypatch.setattr(issuer, "time", time)
    return time


async def test_what_is_taken_back_is_gone_at_once_here_and_in_seconds_elsewhere(
    ask: Ask, client: httpx2.AsyncClient, app: Starlette, tenants: list[str], person: Person,
    time: Time,
) -> None:  # fmt: skip
    core: Core = app.state.core
    user, token = await person("one", "ADMIN", "VIEW")
    another = Issuer(core.door, core.signing, core.clock, None)
    tokens = Tokens(core.door, core.clock, another, None)
    elsewhere = Authenticator(core.door, None, core.clock, tokens)

    async def scopes() -> frozenset[str]:
        principal = await elsewhere.authenticate(f"Bearer {token}")
        assert principal is not None
        return principal.scopes

    assert "billing:read" in await scopes()
    assert "errors" not in await ask(BALANCES, key=token)
    await ask(REVOKE, user=user)
    assert faults(await ask(BALANCES, key=token)) == [("FORBIDDEN", "BILLING_ACCESS_REQUIRED")]
    time.seconds += 4.9
    assert "billing:read" in await scopes()
    time.seconds += 0.2
    assert "billing:read" not in await scopes()

    await ask(UPDATE, input={"id": user, "active": False})
    answer = await client.post(
        "/graphql", json={"query": WHO}, headers={"authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 401
    assert "not active any more" in answer.json()["detail"]
    time.seconds += 5.1
    with pytest.raises(Fault, match="not active any more"):
        await scopes()
    await ask(UPDATE, input={"id": user, "active": True})
    assert faults(await ask(WHO, key=token)) == []


async def test_who_is_let_in_no_more_loses_open_sockets(
    ask: Ask, app: Starlette, tenants: list[str], person: Person, time: Time
) -> None:
    """Nothing passes over them; the process looks when this test says so."""
    core: Core = app.state.core
    gone, token = await person("one", "AGENT")
    _, others = await person("one", "AGENT")
    looks: asyncio.Queue[None] = asyncio.Queue()

    async def rest(seconds: float) -> None:
        await looks.get()

    sockets: Sockets = app.state.sockets
    sockets.vigil = Vigil(core, rest)
    async with (
        serving(core, sockets=sockets) as url,
        opened(url) as idle,
        opened(url) as other,
    ):
        await greet(idle, token)
        await greet(other, others)
        # By another process: this one has not forgotten what it believes.
        conn = await asyncpg.connect(core.settings.database_url)
        await conn.execute("set role kuota_system; update users set active = false "
                           f"where user_id = {ids.decode('usr', gone)}")  # fmt: skip
        await conn.close()
        time.seconds += 5.1
        looks.put_nowait(None)
        assert await end_of(idle) == (4401, "the credential is not valid any more")
        await say(other, {"type": "ping"})
        assert await hear(other) == {"type": "pong"}


async def test_keys_take_turns_and_old_tokens_stay_good(
    app_url: str, client: httpx2.AsyncClient, time: Time
) -> None:
    """A key signs for 30 days and is believed for 8 hours more; others learn of it as they look."""
    clock = Clock()
    async with Door.open(app_url, size=2) as door:
        here = Issuer(door, Signing("a" * 32), clock, "https://kuota.example")
        there = Issuer(door, Signing("a" * 32), clock, "https://kuota.example")
        first = await here.ready()
        assert await here.ready() is first
        assert await there.find(first.kid) is not None
        clock.offset += 30 * DAY - 60_000_000
        assert await here.ready() is first
        token, ends = here.sign(first, 7, clock.now())
        clock.offset += 120_000_000
        second = await here.ready()
        assert second.kid != first.kid
        # Made a moment ago by somebody else: looked for once a second at most.
        time.seconds += 1
        assert await there.find(second.kid) is not None
        assert await there.find("made up") is None
        published: Any = await there.published()
        assert {key["kid"] for key in published["keys"]} == {first.kid, second.kid}
        assert {key["alg"] for key in published["keys"]} == {"Ed25519"}
        assert not any("d" in key for key in published["keys"])
        # Whoever has the public keys can verify: what is published is all that it takes.
        claims = jwt.decode(token, KeySet.import_key_set(published), algorithms=["Ed25519"]).claims
        assert claims["iss"] == claims["aud"] == "https://kuota.example"
        clock.offset = 0
        assert ends - clock.now() > 30 * DAY
        clock.offset = ends - Clock().now() - 1_000_000
        assert await there.find(first.kid) is not None
        clock.offset += 8 * 3_600_000_000
        assert await there.find(first.kid) is None

        # Another secret opens nothing: what was signed under the old one is no more.
        stranger = Issuer(door, Signing("b" * 32), clock, "https://kuota.example")
        assert await stranger.find(second.kid) is None
        third = await stranger.ready()
        assert third.kid not in (first.kid, second.kid)
        # What nobody needs any more was forgotten with the making of a new one.
        clock.offset += 31 * DAY
        await stranger.ready()
        async with door.system_tx("a look of the test") as conn:
            kept = {row["kid"] for row in await conn.fetch("select kid from signing_keys")}
        assert first.kid not in kept
    answer = await client.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert isinstance(answer.json()["keys"], list)
