"""Notices of providers over HTTP, and the sandbox's page: what is taken, what it leads to."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import httpx2
import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.limits import NOTICE_BODY_BYTES_MAX
from api.parts import Part, Role
from api.paying import notices
from api.paying.port import Charge, Standing
from api.paying.sandbox import SIGNATURE, Sandbox
from api.settings import Clock, Settings
from domain.periods import DAY
from persistence.servers import Servers
from tests.api.conftest import TENANT_CREATE
from tests.api.paying.midtrans_server import SERVER_KEY, MidtransServer
from tests.api.sockets import cloned
from tests.conftest import OPERATOR_KEY, Database

NOW = 1_795_363_200_000_000  # 2026-11-22T16:00:00Z
S = Standing
SANDBOX, MIDTRANS = "/v1/webhooks/payments/sandbox", "/v1/webhooks/payments/midtrans"
FORM = {"content-type": "application/x-www-form-urlencoded"}
CHARGE = Charge(
    key="kuota-1",
    total=1_110_000_000_000,
    currency="IDR",
    description='<script>alert("2000 & more")</script>',
    item="top-up",
    customer="Toko Sepatu",
    email=None,
    token=None,
    return_url="https://toko.example/billing?a=1&b='2'",
    expires_at=NOW + DAY,
)


class Standstill(Clock):
    """A clock that stands."""

    __slots__ = ()

    def now(self) -> int:
        return NOW


class World:
    """An application that answers and does no tasks, on a database that is the module's."""

    def __init__(self, app: Starlette, client: httpx2.AsyncClient, owner: Any) -> None:
        self.client = client
        self.owner = owner
        self.paying = app.state.core.engines.paying

    @property
    def sandbox(self) -> Sandbox:
        found = self.paying.providers["sandbox"]
        assert isinstance(found, Sandbox)
        return found

    async def owes(self, key: str, provider: str = "sandbox") -> None:
        """A payment that a provider was asked for, and a day until anybody looks."""
        await self.owner.execute(
            "insert into payments (tenant_id, payment_key, purchase_id, try, provider, state,"
            " due_at) select tenant_id, $1, (select count(*) from payments), 1, $2, 3, $3"
            " from tenants where key = 'one'",
            key, provider, NOW,
        )  # fmt: skip
        await self.owner.execute(
            "insert into tasks (tenant_id, kind, key, due_at) select tenant_id, 'payment', $1, $2"
            " from tenants where key = 'one'",
            key, NOW + DAY,
        )  # fmt: skip

    async def due(self) -> dict[str, int]:
        """The tasks that are due now, and how many rows each has."""
        rows = await self.owner.fetch("select key from tasks where due_at <= $1", NOW)
        return {row["key"]: sum(row == other for other in rows) for row in rows}

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> httpx2.Response:
        return await self.client.post(path, headers=dict(headers), content=body)


@asynccontextmanager
async def opened(database: Database, redis_url: str, **settings: Any) -> AsyncIterator[World]:
    given = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY,
        public_url="https://kuota.example", **settings,
    )  # fmt: skip
    app = create_app(given, Standstill(), Role(parts=frozenset({Part.EDGE})))
    owner = await asyncpg.connect(database.owner_url)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client,
    ):
        yield World(app, client, owner)
    await owner.close()


@pytest.fixture(scope="module")
async def shared(servers: Servers, template: str) -> AsyncIterator[Database]:
    async with cloned(servers, template) as database:
        yield database


@pytest.fixture
async def world(shared: Database, redis_url: str) -> AsyncIterator[World]:
    """With the sandbox, and nothing left of the test before."""
    async with opened(shared, redis_url, payments="sandbox") as world:
        wanted = {"key": "one", "plan": "omnichannel-idr"}
        made = await world.client.post(
            "/graphql",
            json={"query": TENANT_CREATE, "variables": {"input": wanted}},
            headers={"authorization": f"Bearer {OPERATOR_KEY}"},
        )
        assert made.status_code == 200, made.text
        await world.owner.execute("delete from tasks; delete from payments")
        await world.owner.execute("delete from sandbox_payments")
        yield world


async def test_a_notice_makes_its_payment_due_once(world: World) -> None:
    """BA-7: it comes twice, late and out of order, and each time leads to one look."""
    await world.owes("kuota-1")
    await world.owes("kuota-2")
    for standing in (S.PAID, S.PAID, S.DECLINED, S.PENDING):
        answer = await world.post(SANDBOX, *world.sandbox.notice("kuota-1", standing))
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert await world.due() == {"kuota-1": 1}
    kept = await world.owner.fetch("select state from payments order by 1")
    assert [row["state"] for row in kept] == [3, 3]  # what it says is not believed


async def test_a_payment_that_is_over_is_looked_at_again(world: World) -> None:
    """BA-8: that is how one learns that it was taken back."""
    await world.owes("kuota-1")
    await world.owner.execute("delete from tasks; update payments set state = 4")
    await world.post(SANDBOX, *world.sandbox.notice("kuota-1", S.TAKEN_BACK))
    assert await world.due() == {"kuota-1": 1}


async def test_nobody_learns_which_keys_there_are(world: World) -> None:
    await world.owes("kuota-1")
    known = await world.post(SANDBOX, *world.sandbox.notice("kuota-1", S.PAID))
    unknown = await world.post(SANDBOX, *world.sandbox.notice("kuota-none", S.PAID))
    assert (unknown.status_code, unknown.content) == (known.status_code, known.content)
    assert await world.due() == {"kuota-1": 1}


async def test_what_is_no_notice_is_refused_and_does_nothing(world: World) -> None:
    await world.owes("kuota-1")
    headers, body = world.sandbox.notice("kuota-1", S.PAID)
    signed = world.sandbox._sign
    for path, sent, content, status, code in (
        (SANDBOX, {}, body, 401, "UNAUTHENTICATED"),
        (SANDBOX, headers, body + b" ", 401, "UNAUTHENTICATED"),
        (SANDBOX, {SIGNATURE: signed(b"{")}, b"{", 400, "BAD_REQUEST"),
        (SANDBOX, {SIGNATURE: signed(b"")}, b"", 400, "BAD_REQUEST"),
        (SANDBOX, {**headers, "content-encoding": "gzip"}, body, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (SANDBOX, headers, b"x" * (NOTICE_BODY_BYTES_MAX + 1), 413, "PAYLOAD_TOO_LARGE"),
        (MIDTRANS, headers, body, 404, "NOT_FOUND"),
        ("/v1/webhooks/payments/%00", headers, body, 404, "NOT_FOUND"),
    ):
        answer = await world.post(path, sent, content)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await world.client.get(SANDBOX)).status_code == 405
    assert await world.due() == {}


async def test_who_guesses_signatures_is_stopped_and_the_provider_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "NOTICE_WRONG_COST", 10_000)
    await world.owes("kuota-1")
    wrong = [(await world.post(SANDBOX, {}, b"{}")).status_code for _ in range(5)]
    assert wrong == [401, 401, 401, 429, 429]
    right = await world.post(SANDBOX, *world.sandbox.notice("kuota-1", S.PAID))
    assert right.status_code == 200
    assert await world.due() == {"kuota-1": 1}


async def test_without_its_database_it_says_when_to_come_again(
    servers: Servers, redis_url: str
) -> None:
    """A provider that is told so posts again."""
    nowhere = (servers.addresses.app_url or "").replace("/kuota?", "/kuota_that_is_not_there?")
    given = Settings(
        database_url=nowhere, redis_url=redis_url, operator_key=OPERATOR_KEY, payments="sandbox"
    )
    app = create_app(given, Standstill(), Role(parts=frozenset({Part.EDGE})))
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client,
    ):
        for path in (SANDBOX, "/sandbox/pay/kuota-1"):
            answer = await client.post(path, headers=FORM, content=b"do=pay")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), path


async def test_notices_of_midtrans_come_in_by_the_same_road(
    shared: Database, world: World, redis_url: str
) -> None:
    """BA-7: their signature is checked with our server key."""
    midtrans = MidtransServer()
    midtrans.keep("kuota-m", 1_110_000, "settlement")
    async with opened(
        shared, redis_url, payments="midtrans", midtrans_server_key=SERVER_KEY,
        midtrans_url="http://127.0.0.1:1",
    ) as other:  # fmt: skip
        await other.owes("kuota-m", "midtrans")
        forged = await other.post(MIDTRANS, {}, midtrans.notice("kuota-m", server_key="guessed"))
        assert forged.status_code == 401
        assert SERVER_KEY not in forged.text
        assert await other.due() == {}
        for _ in range(2):
            answer = await other.post(MIDTRANS, {}, midtrans.notice("kuota-m"))
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
            assert await other.due() == {"kuota-m": 1}
        # There is no page where no sandbox is.
        assert (await other.post(SANDBOX, {}, b"{}")).status_code == 404
        assert (await other.client.get("/sandbox/pay/kuota-m")).status_code == 404


# The sandbox's page.


async def test_the_page_says_what_is_paid_and_needs_nothing_else(world: World) -> None:
    answer = await world.sandbox.charge(CHARGE)
    assert answer.pay_url == "https://kuota.example/sandbox/pay/kuota-1"
    shown = await world.client.get("/sandbox/pay/kuota-1")
    assert shown.status_code == 200
    text = shown.text
    assert html.escape(CHARGE.description) in text
    assert "IDR 1,110,000" in text
    assert "Sandbox: no money moves" in text
    assert re.findall(r'name="do" value="(\w+)"', text) == ["pay", "decline", "leave"]
    assert f'href="{html.escape(CHARGE.return_url or "")}"' in text
    assert "Toko Sepatu" not in text
    assert "<script" not in text
    assert not re.search(r"\b(src|style|onclick)=", text)
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert shown.headers["cache-control"] == "no-store"
    assert (await world.sandbox.look("kuota-1")).standing is S.PENDING  # looking changes nothing


@pytest.mark.parametrize(
    ("button", "standing", "words", "collected"),
    [
        ("pay", S.PAID, "It is paid", 1),
        ("decline", S.DECLINED, "It was declined", 0),
        ("leave", S.PENDING, "It waits to be paid", 0),
    ],
)
async def test_a_button_decides_once_and_has_it_looked_at(
    world: World, button: str, standing: Standing, words: str, collected: int
) -> None:
    """BA-7: who presses twice pays once."""
    await world.owes("kuota-1")
    await world.sandbox.charge(CHARGE)
    for _ in range(2):
        shown = await world.post("/sandbox/pay/kuota-1", FORM, f"do={button}".encode())
        assert shown.status_code == 200
        assert words in shown.text
        assert "Back to where you came from" in shown.text
        assert "<form" not in shown.text
        assert (await world.sandbox.look("kuota-1")).standing is standing
    assert await world.due() == ({} if standing is S.PENDING else {"kuota-1": 1})
    assert await world.sandbox.collected("kuota-1") == collected
    again = await world.client.get("/sandbox/pay/kuota-1")
    assert ("<form" in again.text) == (standing is S.PENDING)


@pytest.mark.parametrize(
    "url",
    [None, "javascript:alert(1)", "data:text/html,x", "//elsewhere.example", "\njavascript:x"],
)
async def test_nobody_is_sent_back_to_what_is_no_page(world: World, url: str | None) -> None:
    await world.sandbox.charge(replace(CHARGE, return_url=url))
    for shown in (
        await world.client.get("/sandbox/pay/kuota-1"),
        await world.post("/sandbox/pay/kuota-1", FORM, b"do=leave"),
    ):
        assert shown.status_code == 200
        assert "<a" not in shown.text


async def test_a_page_that_is_not_there(world: World) -> None:
    for key in ("kuota-1", "%00", "'", "x" * 2_000, "%F0%9F%92%B8"):
        for answer in (
            await world.client.get(f"/sandbox/pay/{key}"),
            await world.post(f"/sandbox/pay/{key}", FORM, b"do=pay"),
        ):
            assert answer.status_code == 404, key
            assert "<" not in answer.text


async def test_a_form_that_is_none(world: World) -> None:
    await world.sandbox.charge(CHARGE)
    path = "/sandbox/pay/kuota-1"
    for headers, body, status in (
        ({"content-type": "application/json"}, b'{"do":"pay"}', 415),
        (FORM, b"", 400),
        (FORM, b"do=", 400),
        (FORM, b"do=taken_back", 400),
        (FORM, b"do=pay&do=decline", 400),
        (FORM, b"&".join([b"a=1"] * 50), 400),
        (FORM, b"\xff\xfe", 400),
        (FORM, b"x" * (NOTICE_BODY_BYTES_MAX + 1), 413),
    ):
        answer = await world.post(path, headers, body)
        assert answer.status_code == status, (body[:40], answer.text)
    assert (await world.sandbox.look("kuota-1")).standing is S.PENDING
