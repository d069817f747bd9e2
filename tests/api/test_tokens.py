"""Tokens of an issuer elsewhere: which are taken, whose they are, and how its keys are had."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx2
import msgspec
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from api import ids, jwks, recent
from api.app import create_app
from api.auth import Authenticator, Expired
from api.faults import Fault
from api.issuer import Issuer
from api.jwks import Jwks
from api.limits import JWKS_BYTES_MAX
from api.rights import OF_ROLE, Role
from api.settings import Clock, Settings, SettingsError, from_environment
from api.signing import Signing
from api.tokens import Tokens, scopes_of
from persistence.audit import COMMAND, acting_as
from persistence.door import Door
from persistence.people import UserRecord, create_user, update_user
from persistence.servers import Servers
from tests.api.sockets import cloned
from tests.conftest import on

NOW = 1_795_000_000  # in seconds; the clock of these tests stands there
AUDIENCE = "kuota-api"

RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed", "alg": "EdDSA"})
SMALL = OKPKey.generate_key("X25519", {"kid": "x"})
OTHER = OKPKey.generate_key("Ed25519", {"kid": "ed"})


class Standing(Clock):
    """A clock that stands where a test puts it."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        super().__init__()
        self.at = NOW * 1_000_000

    def now(self) -> int:
        return self.at


class Time:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


class Elsewhere:
    """An issuer on loopback: its documents, its moods, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[Key] = [RSA, EC, ED]
        self.asked: list[str] = []
        self.answers = asyncio.Event()  #: it says nothing before this is set
        self.answers.set()
        self.changed: dict[str, tuple[int, bytes]] = {}  #: other answers by path

    def answer(self, path: str) -> tuple[int, bytes]:
        if path in self.changed:
            return self.changed[path]
        if path == "/keys":
            keys = [key.as_dict(private=False) for key in self.keys]
            secret = {"kty": "oct", "kid": "hmac", "k": "c2VjcmV0"}
            return 200, json.dumps({"keys": [*keys, secret, {"kty": "EC", "kid": "odd"}]}).encode()
        return 200, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        self.asked.append(path)
        await self.answers.wait()
        status, body = self.answer(path)
        with contextlib.suppress(ConnectionError):
            writer.write(
                b"HTTP/1.1 %d X\r\nlocation: /keys\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (status, len(body), body)
            )
            await writer.drain()
        writer.close()


@pytest.fixture
async def elsewhere(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Elsewhere]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    issuer = Elsewhere()
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield issuer


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The monotonic clock of what is believed, and of how often an issuer is asked."""
    time = Time()
    monkeypatch.setattr(recent, "time", time)
    monkeypatch.setattr(jwks, "time", time)
    return time


@pytest.fixture(scope="module")
async def place(servers: Servers, template: str) -> AsyncIterator[str]:
    """A database of these tests, as the app's role: each has an issuer of its own in it."""
    async with cloned(servers, template) as database:
        await on(
            database.owner_url,
            "insert into tenants (tenant_id, key, name, zones, currency, country, locale, plan, "
            "created_at) values (7, 'one', 'One', '[[null, \"UTC\"]]', 'IDR', 'ID', 'id', 'p', 1)",
        )
        yield database.app_url


@pytest.fixture
async def door(place: str) -> AsyncIterator[Door]:
    async with Door.open(place, size=2) as door:
        yield door


@pytest.fixture
async def tokens(door: Door, elsewhere: Elsewhere) -> AsyncIterator[Tokens]:
    clock = Standing()
    issuer = Issuer(door, Signing(None), clock, None)
    tokens = Tokens(door, clock, issuer, Jwks(elsewhere.url, AUDIENCE, None))
    yield tokens
    await tokens.close()


def said(elsewhere: Elsewhere, **changes: Any) -> dict[str, Any]:
    """Claims that are right, with changes; None leaves one out."""
    claims = {
        "iss": elsewhere.url, "aud": AUDIENCE, "sub": "ana", "exp": NOW + 60, "iat": NOW,
        "tenant": "one", "role": "super_admin",
    }  # fmt: skip
    return {name: value for name, value in (claims | changes).items() if value is not None}


def signed(claims: object, key: Key = ED, alg: str = "Ed25519", **header: Any) -> bytes:
    words = {"alg": alg, "kid": key.kid, **header}
    plain = type(key).import_key(key.raw_value)  # without the key's own words on its use
    return jws.serialize_compact(words, json.dumps(claims), plain, algorithms=[alg]).encode()


def part(value: object) -> bytes:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def by_hand(header: object, claims: object, signature: bytes = b"") -> bytes:
    return b".".join((part(header), part(claims), part(signature)))


def hmac_of_the_public_key(claims: object) -> bytes:
    """What a verifier takes that lets the token say how it is verified."""
    text = by_hand({"alg": "HS256", "kid": "rsa"}, claims).rpartition(b".")[0]
    secret = RSA.as_pem(private=False)
    return text + b"." + part(hmac.new(secret, text, hashlib.sha256).digest())


def renamed(token: bytes, alg: str) -> bytes:
    """The token with another algorithm in its header, and the signature it had."""
    head, _, rest = token.partition(b".")
    header = json.loads(base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4)))
    return part(header | {"alg": alg}) + b"." + rest


REFUSED: list[tuple[str, Callable[[Elsewhere], bytes]]] = [
    ("is signed with 'none'", lambda e: by_hand({"alg": "none", "kid": "ed"}, said(e))),
    ("is signed with 'None'", lambda e: by_hand({"alg": "None", "kid": "ed"}, said(e))),
    ("is signed with 'HS256'", lambda e: hmac_of_the_public_key(said(e))),
    ("is signed with 'HS256'", lambda e: by_hand({"alg": "HS256", "kid": "hmac"}, said(e))),
    ("is signed with 'RS384'", lambda e: signed(said(e), RSA, "RS384")),
    ("is signed with 'ES512'", lambda e: by_hand({"alg": "ES512", "kid": "ec"}, said(e), b"x")),
    ("signature is wrong", lambda e: by_hand({"alg": "EdDSA", "kid": "ed"}, said(e))),
    ("signature is wrong", lambda e: signed(said(e), OTHER)),
    ("signature is wrong", lambda e: signed(said(e))[:-4] + b"AAAA"),
    ("signature is wrong", lambda e: signed(said(e), RSA, "RS256", kid="ec")),
    ("signature is wrong", lambda e: signed(said(e), ED, kid="rsa")),
    ("signature is wrong", lambda e: renamed(signed(said(e), RSA, "RS256"), "PS256")),
    ("signature is wrong", lambda e: renamed(signed(said(e), EC, "ES256"), "RS256")),
    ("signature is wrong", lambda e: renamed(signed(said(e), RSA, "RS256"), "EdDSA")),
    ("`iss` is no issuer", lambda e: signed(said(e, iss="https://issuer.example"))),
    ("`iss` is no issuer", lambda e: signed(said(e, iss=e.url + "/"))),
    ("`iss` is no issuer", lambda e: signed({"sub": "ana"})),
    ("`kid` is no key of its issuer", lambda e: signed(said(e, iss="kuota"))),
    ("`aud` is not", lambda e: signed(said(e, aud="another"))),
    ("`aud` is not", lambda e: signed({k: v for k, v in said(e).items() if k != "aud"})),
    ("`aud` is not", lambda e: signed(said(e, aud=["a", "kuota-api "]))),
    ("past its end", lambda e: signed(said(e, exp=NOW - 1))),
    ("past its end", lambda e: signed(said(e, exp=NOW))),
    ("no end", lambda e: signed({k: v for k, v in said(e).items() if k != "exp"})),
    ("`nbf` has not come", lambda e: signed(said(e, nbf=NOW + 31))),
    ("`iat` has not come", lambda e: signed(said(e, iat=NOW + 31))),
    ("none of the calendar", lambda e: signed(said(e, exp=1e300))),
    ("Expected `int | float", lambda e: signed(said(e, exp="later"))),
    ("`kid` is no key", lambda e: signed(said(e), kid="nobody")),
    ("`kid` is no key", lambda e: signed(said(e), kid="x")),
    ("names no key", lambda e: by_hand({"alg": "EdDSA"}, said(e), b"x")),
    ("has `crit`", lambda e: by_hand({"alg": "EdDSA", "kid": "ed", "crit": ["b64"]}, said(e))),
    ("more than 8192 bytes", lambda e: signed(said(e, sub="x" * 1_000_000))),
    ("more than 8192 bytes", lambda e: b"a" * 500_000 + b"." + b"b" * 500_000 + b".c"),
    ("`sub` is not 1 to 255", lambda e: signed({k: v for k, v in said(e).items() if k != "sub"})),
    ("`sub` is not 1 to 255", lambda e: signed(said(e, sub=""))),
    ("`sub` is not 1 to 255", lambda e: signed(said(e, sub="x" * 256))),
    ("`sub` is not 1 to 255", lambda e: signed(said(e, sub="a\0b"))),
    ("Expected `str", lambda e: signed(said(e, sub=7))),
    ("`role` 'owner' is none of operator", lambda e: signed(said(e, role="owner"))),
    ("names no `role`", lambda e: signed({k: v for k, v in said(e).items() if k != "role"})),
    ("`tenant` is no tenant's key", lambda e: signed(said(e, tenant="two"))),
    ("`tenant` is no tenant's key", lambda e: signed(said(e, tenant="\0"))),
    ("`tenant` is no tenant's key", lambda e: signed(said(e, tenant=None))),
    ("an operator is of no tenant", lambda e: signed(said(e, role="operator"))),
    ("cannot be read", lambda e: by_hand(b"{", said(e))),
    ("cannot be read", lambda e: by_hand([], said(e))),
    ("cannot be read", lambda e: by_hand({"alg": "EdDSA", "kid": "ed"}, b"\xff")),
    ("cannot be read", lambda e: by_hand({"alg": "EdDSA", "kid": "ed"}, b"[" * 5_000)),
    ("not three parts", lambda e: b".."),
    ("not three parts", lambda e: signed(said(e)) + b"!"),
]


async def test_what_is_no_token_of_ours_is_refused_with_words(
    tokens: Tokens, elsewhere: Elsewhere
) -> None:
    here = Authenticator(tokens._door, None, tokens._clock, tokens)
    assert await tokens.principal(signed(said(elsewhere))) is not None
    for words, made in REFUSED:
        token = made(elsewhere)
        with pytest.raises(Fault) as caught:
            await here.authenticate(f"Bearer {token.decode()}")
        assert caught.value.code == "UNAUTHENTICATED", words
        assert caught.value.headers["www-authenticate"].startswith("Bearer ")
        assert words in caught.value.message, (words, caught.value.message)
        assert len(caught.value.message) < 300
        assert isinstance(caught.value, Expired) is (words == "past its end")
    # All of this asked the issuer once, for its configuration and its keys.
    assert elsewhere.asked == ["/.well-known/openid-configuration", "/keys"]


TAKEN: list[tuple[str, Callable[[Elsewhere], bytes]]] = [
    ("RSA, PKCS 1", lambda e: signed(said(e), RSA, "RS256")),
    ("RSA, PSS", lambda e: signed(said(e), RSA, "PS256")),
    ("P-256", lambda e: signed(said(e), EC, "ES256")),
    ("Ed25519 by its name", lambda e: signed(said(e))),
    ("more headers", lambda e: signed(said(e), typ="at+jwt", x5t="abc")),
    ("several audiences", lambda e: signed(said(e, aud=["x", AUDIENCE]))),
    ("its last second", lambda e: signed(said(e, exp=NOW + 1))),
    ("a clock ahead of ours", lambda e: signed(said(e, nbf=NOW + 30, iat=NOW + 30))),
    ("fractions", lambda e: signed(said(e, exp=NOW + 0.5, iat=float(NOW)))),
    ("no iat", lambda e: signed(said(e, iat=None))),
]


async def test_what_the_issuer_signed_for_us_is_taken(tokens: Tokens, elsewhere: Elsewhere) -> None:
    for words, made in TAKEN:
        principal = await tokens.principal(made(elsewhere))
        assert (principal.tenant_key, principal.role) == ("one", Role.SUPER_ADMIN), words
        assert principal.name == f"user ana of {elsewhere.url}"
        assert principal.scopes == OF_ROLE[Role.SUPER_ADMIN]
        assert principal.key_id is None
        assert principal.expires_at is not None
    # The older word for such signatures, which is still the usual one.
    text = b".".join((part({"alg": "EdDSA", "kid": "ed"}), part(said(elsewhere))))
    raw: Any = ED.private_key
    assert (await tokens.principal(text + b"." + part(raw.sign(text)))).tenant_key == "one"
    operator = await tokens.principal(signed(said(elsewhere, role="operator", tenant=None)))
    assert (operator.kind, operator.tenant_id) == ("operator", None)


async def test_a_token_ends_while_it_is_remembered(tokens: Tokens, elsewhere: Elsewhere) -> None:
    clock = tokens._clock
    assert isinstance(clock, Standing)
    token = signed(said(elsewhere, exp=NOW + 2))
    clock.at += 1_999_999
    assert await tokens.principal(token) is not None
    clock.at += 1
    with pytest.raises(Expired):
        await tokens.principal(token)


async def test_a_person_we_have_a_row_of_goes_by_the_row(
    tokens: Tokens, elsewhere: Elsewhere, time: Time, door: Door
) -> None:
    token = signed(said(elsewhere, role="operator", tenant=None))
    with acting_as(COMMAND):
        user = await create_user(
            door, 7, issuer=elsewhere.url, subject="ana", name="Ana", email="ana@example.com",
            role="admin", now=NOW,
        )  # fmt: skip
    principal = await tokens.principal(token)
    assert (principal.tenant_key, principal.role) == ("one", Role.ADMIN)
    assert principal.scopes == OF_ROLE[Role.ADMIN]
    assert principal.full_name == "Ana"

    # Changed by another process, it holds here 5 s later at most.
    await changed(door, user, active=False)
    time.seconds += 4.9
    assert await tokens.principal(token) is not None
    time.seconds += 0.2
    with pytest.raises(Fault, match="not active any more"):
        await tokens.principal(token)
    # Whoever watches over many asks for all of them at once.
    await changed(door, user, active=True)
    time.seconds += 5.1
    await tokens.refresh([token, signed(said(elsewhere, sub="ben")), b"a.b.c", b"x.\xff.y"])
    assert tokens._people.has((elsewhere.url, "ana"))
    assert tokens._people.has((elsewhere.url, "ben"))
    assert (await tokens.principal(token)).role is Role.ADMIN


async def changed(door: Door, user: UserRecord, *, active: bool) -> None:
    with acting_as(COMMAND):
        await update_user(
            door, user, name=None, email=None, role=None, active=active,
            keep_super_admin=False, now=NOW,
        )  # fmt: skip


async def test_our_own_tokens_are_of_people_we_have_a_row_of(
    tokens: Tokens, elsewhere: Elsewhere
) -> None:
    """Whatever else they say: only the configured issuer speaks of people we do not know."""
    key = await tokens.issuer.ready()
    ours = {"iss": "kuota", "aud": "kuota", "role": "operator", "tenant": None}
    for sub in ("usr_1234567890123", ids.encode("usr", 999_999), "ana"):
        token = signed(said(elsewhere, sub=sub, **ours), key.key, kid=key.kid)
        with pytest.raises(Fault, match=r"of nobody who is known here$"):
            await tokens.principal(token)
    assert elsewhere.asked == []


def test_what_only_operators_are_granted_gives_nobody_else_anything() -> None:
    user = UserRecord(1, 7, "one", None, None, "Ana", "a@example.com", "admin", True, NOW,
                      granted=("billing:read", "billing:adjust", "prices:publish"))  # fmt: skip
    assert scopes_of(user) == {"usage:read", "billing:read"}
    operator = replace(user, tenant_id=None, tenant_key=None, role="operator")
    assert scopes_of(operator) == OF_ROLE[Role.OPERATOR] | set(user.granted)


async def test_keys_are_asked_for_once_a_minute_however_many_ask(
    tokens: Tokens, elsewhere: Elsewhere, time: Time
) -> None:
    """Fifty at once wait for one answer; made-up keys cost the issuer one look a minute."""
    elsewhere.answers.clear()
    waiting = [
        asyncio.create_task(tokens.principal(signed(said(elsewhere, sub=str(n)))))
        for n in range(50)
    ]
    async with asyncio.timeout(10):
        while not elsewhere.asked:  # noqa: ASYNC110 - it is asked by a task of its own
            await asyncio.sleep(0)
        waiting[0].cancel()  # who gives up ends it for nobody else
        elsewhere.answers.set()
        done = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(each, BaseException) for each in done) == 1
    assert elsewhere.asked.count("/keys") == 1

    for minute in range(3):
        for n in range(20):
            with pytest.raises(Fault, match="`kid` is no key"):
                await tokens.principal(signed(said(elsewhere), kid=f"{minute}-{n}"))
        time.seconds += 60
    assert elsewhere.asked.count("/keys") == 3


async def test_another_key_is_found_and_an_old_one_ends(
    tokens: Tokens, elsewhere: Elsewhere, time: Time
) -> None:
    assert await tokens.principal(signed(said(elsewhere))) is not None
    new = ECKey.generate_key("P-256", {"kid": "new"})
    elsewhere.keys = [new, RSA]
    with pytest.raises(Fault, match="`kid` is no key"):
        await tokens.principal(signed(said(elsewhere), new, "ES256"))
    time.seconds += 60
    assert await tokens.principal(signed(said(elsewhere), new, "ES256")) is not None
    with pytest.raises(Fault, match="`kid` is no key"):
        await tokens.principal(signed(said(elsewhere, sub="ben")))

    # Nobody asks for a key that is not known, and yet the one that was taken back ends.
    elsewhere.keys = [RSA]
    time.seconds += 600
    assert await tokens.principal(signed(said(elsewhere), new, "ES256")) is not None
    await settled(tokens)
    time.seconds += 60
    with pytest.raises(Fault, match="`kid` is no key"):
        await tokens.principal(signed(said(elsewhere), new, "ES256"))


async def settled(tokens: Tokens) -> None:
    """Wait for the answer of the issuer, if it is being asked."""
    assert tokens._jwks is not None
    if tokens._jwks._asking is not None:
        await tokens._jwks._asking


async def test_the_old_keys_go_on_while_the_issuer_is_away(
    tokens: Tokens, elsewhere: Elsewhere, time: Time
) -> None:
    """Whatever it says instead: an error, elsewhere, no JSON, too much, nothing to be used."""
    assert await tokens.principal(signed(said(elsewhere))) is not None
    nonsense = [
        (500, b""),
        (302, b""),
        (200, b"<html>"),
        (200, b"[" * 100_000),
        (200, b'{"keys":[]}'),
        (200, b'{"keys":7}'),
        (200, b" " * (JWKS_BYTES_MAX + 1)),
    ]
    for number, answer in enumerate(nonsense):
        elsewhere.changed["/keys"] = answer
        time.seconds += 600
        assert await tokens.principal(signed(said(elsewhere, sub=str(number)))) is not None
        await settled(tokens)
    assert elsewhere.asked.count("/keys") == 1 + len(nonsense)
    del elsewhere.changed["/keys"]
    for told in ({}, {"issuer": "x", "jwks_uri": "x"}, {"issuer": elsewhere.url, "jwks_uri": 7}):
        elsewhere.changed["/.well-known/openid-configuration"] = (200, msgspec.json.encode(told))
        time.seconds += 600
        assert await tokens.principal(signed(said(elsewhere, sub=str(told)))) is not None
        await settled(tokens)
    assert elsewhere.asked.count("/keys") == 1 + len(nonsense)


async def test_an_issuer_that_never_answered_is_no_reason_to_sign_in_again(
    tokens: Tokens, elsewhere: Elsewhere, time: Time
) -> None:
    elsewhere.changed["/keys"] = (503, b"")
    for _ in range(3):
        with pytest.raises(Fault) as caught:
            await tokens.principal(signed(said(elsewhere)))
        assert caught.value.code == "SERVICE_UNAVAILABLE"
    assert elsewhere.asked.count("/keys") == 1
    elsewhere.changed.clear()
    time.seconds += 60
    assert await tokens.principal(signed(said(elsewhere))) is not None


async def test_it_works_from_the_environment_to_an_answer(
    elsewhere: Elsewhere, place: str, redis_url: str
) -> None:
    settings = from_environment(
        {
            "KUOTA_DATABASE_URL": place,
            "KUOTA_REDIS_URL": redis_url,
            "KUOTA_JWT_ISSUER": elsewhere.url,
            "KUOTA_JWT_AUDIENCE": AUDIENCE,
            "KUOTA_JWKS_URL": f"{elsewhere.url}/keys",
        }
    )
    app = create_app(settings, Clock.starting(NOW * 1_000_000))
    query = {"query": "{ viewer { kind name role permissions tenant { key } } }"}
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client:

            async def ask(token: bytes) -> httpx2.Response:
                headers = {"authorization": f"Bearer {token.decode()}"}
                return await client.post("/graphql", json=query, headers=headers)

            answer = (await ask(signed(said(elsewhere, exp=NOW + 999, name="Ana")))).json()
            wrong = await ask(signed(said(elsewhere, exp=NOW - 1)))
            huge = await ask(signed(said(elsewhere, sub="x" * 1_000_000)))
    assert answer["data"]["viewer"] == {
        "kind": "TENANT",
        "name": "Ana",
        "role": "SUPER_ADMIN",
        "permissions": sorted(OF_ROLE[Role.SUPER_ADMIN]),
        "tenant": {"key": "one"},
    }
    assert (wrong.status_code, huge.status_code) == (401, 401)
    assert "past its end" in wrong.json()["detail"]
    assert elsewhere.asked == ["/keys"]


ISSUER = {"KUOTA_JWT_ISSUER": "https://issuer.example", "KUOTA_JWT_AUDIENCE": "kuota"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"KUOTA_JWT_ISSUER": "https://issuer.example"}, "wants KUOTA_JWT_AUDIENCE"),
        ({"KUOTA_JWT_AUDIENCE": "kuota"}, "KUOTA_JWT_AUDIENCE is of no use without"),
        ({"KUOTA_JWKS_URL": "https://a.example/keys"}, "KUOTA_JWKS_URL is of no use without"),
        (ISSUER | {"KUOTA_JWT_ISSUER": "http://issuer.example"}, "https://"),
        (ISSUER | {"KUOTA_JWT_ISSUER": "issuer"}, "https://"),
        (ISSUER | {"KUOTA_JWKS_URL": "http://127.0.0.1.example/keys"}, "https://"),
        (ISSUER | {"KUOTA_PUBLIC_URL": "https://issuer.example"}, "is KUOTA_PUBLIC_URL"),
    ],
)
def test_settings_that_would_take_anybodys_tokens_stop_the_start(
    variables: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        from_environment(variables)
    assert isinstance(from_environment(ISSUER), Settings)
