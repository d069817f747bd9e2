"""Purchases over HTTP: who buys what for how much, how it is paid, and what is left of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest
from starlette.applications import Starlette

from api import ids
from api.app import create_app
from api.core import Core
from api.operations.purchase_create import check_return, welcome
from api.parts import Part, Role
from api.paying.port import Standing
from api.paying.sandbox import PAGES, Sandbox
from api.receipt_page import printed
from api.settings import Clock, Settings
from domain.periods import SECOND
from domain.problems import Problem
from persistence import receipts
from tests.api.conftest import TENANT_CREATE, Ask, Json
from tests.api.sockets import until
from tests.conftest import OPERATOR_KEY, Database
from tests.persistence.test_receipts import SNAPSHOT

KeyOf = Callable[..., Awaitable[str]]
Buy = Callable[..., Awaitable[Json]]

BUY = """mutation ($input: PurchaseCreateInput!) { purchaseCreate(input: $input) {
  purchase { id kind status balance payUrl createdAt expiresAt paidAt reason
    amount { value currency } net { value } tax { value } total { value currency }
    topUp { id amount { value } price { value } } receipt { number }
    payments { key number status provider reason } }
  userErrors { field code message } } }"""
ONE = """query ($tenant: String!, $id: ID!) { tenant(key: $tenant) { purchase(id: $id) {
  id status payUrl paidAt topUp { id amount { value } source expiresAt }
  payments { key number status provider reference reason }
  receipt { number issuedAt paidAt seller sellerContact buyer country provider reference expiresAt
    lines { balance name packs price units { value currency } pack { value }
      exact { value } amount { value currency } }
    taxes { name rate base inclusive amount { value } }
    net { value } tax { value } total { value formatted } downloadUrl } } } }"""
PAGES_OF = """query ($first: Int!, $after: String, $status: PurchaseStatus) { tenant(key: "one") {
  purchases(first: $first, after: $after, status: $status) {
    nodes { id status } edges { cursor } pageInfo { hasNextPage endCursor } } } }"""


@pytest.fixture
def core(app: Starlette) -> Core:
    found: Core = app.state.core
    return found


@pytest.fixture
def buy(ask: Ask, tenants: list[str]) -> Buy:
    """`await buy(amount="1000")`: the payload; visitors of the tenant `one`, by an operator."""

    async def run(*, key: str | None = None, **given: Any) -> Json:
        asked = {"tenant": "one", "balance": "visitors", "idempotencyKey": "k", **given}
        answer = await (ask(BUY, input=asked) if key is None else ask(BUY, key=key, input=asked))
        found: Json = (answer["data"] or {}).get("purchaseCreate") or answer
        return found

    return run


async def one(ask: Ask, id: str, tenant: str = "one", **more: Any) -> Json:
    answer = await ask(ONE, tenant=tenant, id=id, **more)
    found: Json = answer["data"]["tenant"]["purchase"]
    return found


@pytest.fixture
def pay(client: httpx2.AsyncClient, ask: Ask, core: Core) -> Buy:
    """`await pay(bought)`: pays at the sandbox's page; the purchase once it says so."""

    async def run(bought: Json) -> Json:
        page = await client.post(bought["payUrl"], data={"do": "pay"})
        assert page.status_code == 200, page.text

        async def paid() -> bool:
            await core.engines.tasks.quiet()
            return bool((await one(ask, bought["id"]))["status"] == "PAID")

        await until(paid)
        return await one(ask, bought["id"])

    return run


# Buying


async def test_a_tenant_buys_and_pays(buy: Buy, ask: Ask, key_of: KeyOf, pay: Buy) -> None:
    """BA-6, IN-6, RF-3: at the page it is sent to; then the balance has it, and there is a receipt.

    With the key's own scopes: who may buy sees what was bought.
    """
    key = await key_of("one", "billing:write")
    first = await buy(key=key, amount="1000")
    assert first["userErrors"] == []
    bought = first["purchase"]
    assert {name: bought[name] for name in ("kind", "status", "balance", "paidAt", "reason")} == {
        "kind": "BOUGHT", "status": "OPEN", "balance": "visitors", "paidAt": None, "reason": None,
    }  # fmt: skip
    assert (bought["amount"], bought["net"]) == (
        {"value": "1000", "currency": None}, {"value": "600000"},
    )  # fmt: skip
    assert (bought["tax"]["value"], bought["total"]) == (
        "66000", {"value": "666000", "currency": "IDR"},
    )  # fmt: skip
    assert (bought["topUp"], bought["receipt"]) == (None, None)
    (payment,) = bought["payments"]
    assert (payment["number"], payment["status"], payment["provider"]) == (1, "PENDING", "sandbox")
    assert bought["payUrl"] == f"{PAGES}/{payment['key']}"

    paid = await pay(bought)
    assert (paid["payUrl"], paid["payments"][0]["status"]) == (None, "PAID")
    assert paid["topUp"]["amount"]["value"] == "1000"
    assert paid["topUp"]["source"] == "TOP_UP"
    receipt = paid["receipt"]
    assert receipt["number"].endswith("-000001")
    assert (receipt["seller"], receipt["sellerContact"]) == (
        "Omnichannel", "billing@omnichannel.example",
    )  # fmt: skip
    assert (receipt["buyer"], receipt["country"]) == ("one", "ID")
    assert receipt["lines"] == [
        {
            "balance": "visitors", "name": "Monthly unique visitors", "packs": 2,
            "price": "300000", "units": {"value": "1000", "currency": None},
            "pack": {"value": "500"}, "exact": {"value": "600000"},
            "amount": {"value": "600000", "currency": "IDR"},
        }
    ]  # fmt: skip
    assert receipt["taxes"] == [
        {"name": "PPN", "rate": "12", "base": "11/12", "inclusive": False,
         "amount": {"value": "66000"}}
    ]  # fmt: skip
    assert [receipt[name]["value"] for name in ("net", "tax", "total")] == [
        "600000", "66000", "666000",
    ]  # fmt: skip
    assert receipt["expiresAt"] == paid["topUp"]["expiresAt"]  # visitors end with their month
    assert receipt["paidAt"] == paid["paidAt"]


async def test_the_same_key_buys_once(buy: Buy, ask: Ask, pay: Buy, database: Database) -> None:
    """BA-7: a retry answers the same purchase, as it stands by then; other content is refused."""
    first = (await buy(amount="500"))["purchase"]
    again = await buy(amount="500")
    assert again["purchase"] == first
    await pay(first)
    later = (await buy(amount="500"))["purchase"]
    assert (later["id"], later["status"], later["payUrl"]) == (first["id"], "PAID", None)
    assert later["receipt"]["number"]
    reused = await buy(amount="1000")
    assert [each["code"] for each in reused["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]
    assert reused["purchase"] is None
    owner = await asyncpg.connect(database.owner_url)
    try:
        assert await owner.fetchval("select count(*) from purchases") == 1
        assert await owner.fetchval("select count(*) from payments") == 1
    finally:
        await owner.close()


REFUSED = [
    ({"amount": "750"}, "amount", "NOT_WHOLE_PACKS", "packs of 500: write 500 or 1000"),
    ({"amount": "0"}, "amount", "INVALID", "more than 0"),
    ({"amount": "-500"}, "amount", "INVALID", "more than 0"),
    ({"amount": "1", "balance": "conversations"}, "amount", "BELOW_MINIMUM", "1000000"),
    ({"amount": "0.1", "balance": "whatsapp"}, "amount", "NOTHING_TO_PAY", "nothing that"),
    ({"amount": "1", "balance": "nothing"}, "balance", "NOT_FOUND", "it has conversations"),
    ({"amount": "500", "tenant": "nobody"}, "tenant", "NOT_FOUND", "no tenant 'nobody'"),
    ({"amount": "500", "idempotencyKey": ""}, "idempotencyKey", "INVALID", "1 to 255"),
    ({"amount": "500", "returnUrl": "https://evil.example/"}, "returnUrl",
     "ORIGIN_NOT_ALLOWED", "not sent to https://evil.example"),
]  # fmt: skip


async def test_what_is_not_sold_is_refused_with_the_reason(buy: Buy, ask: Ask) -> None:
    """BA-6: and nothing is kept of it."""
    for given, field, code, words in REFUSED:
        refused = await buy(**given)
        assert refused["purchase"] is None
        (error,) = refused["userErrors"]
        assert (error["field"], error["code"]) == (field, code)
        assert words in error["message"]
    answer = await ask(PAGES_OF, first=9)
    assert answer["data"]["tenant"]["purchases"]["nodes"] == []


async def test_who_does_not_top_up_itself_is_told_whom_to_ask(
    buy: Buy, ask: Ask, key_of: KeyOf, core: Core
) -> None:
    """AL-6: by a plan without self-service, or one that does not sell it; operators buy for them.

    Colombia has no taxes in the table: none is asked for.
    """
    for plan in ("service-usd", "college-small"):
        await ask(TENANT_CREATE, input={"key": plan, "plan": plan})
    for plan, balance, whom in (
        ("service-usd", "sms", "ask whoever gave you this account"),
        ("college-small", "visitors", "ask billing@college.example"),
    ):
        key = await key_of(plan, "billing:write")
        (error,) = (await buy(key=key, tenant=plan, balance=balance, amount="500"))["userErrors"]
        assert (error["field"], error["code"]) == ("balance", "NOT_SELF_SERVICE")
        assert error["message"] == f"tenants of {plan} do not top up themselves: {whom}"
    bought = (await buy(tenant="service-usd", balance="sms", amount="20"))["purchase"]
    assert (bought["net"]["value"], bought["tax"]["value"]) == ("20", "0")
    assert bought["total"] == bought["amount"] == {"value": "20", "currency": "USD"}

    plans = core.catalogue.plans
    offered = plans["omnichannel-idr"]
    unsold = tuple(replace(each, top_up=None) for each in offered.balances)
    plans["omnichannel-idr"] = replace(offered, balances=unsold)
    key = await key_of("one", "billing:write")
    for balance in ("visitors", "whatsapp"):
        (error,) = (await buy(key=key, balance=balance, amount="500"))["userErrors"]
        assert (error["field"], error["code"]) == ("balance", "NOT_SOLD")
        assert error["message"].endswith("ask billing@omnichannel.example")
    (error,) = (await buy(amount="500"))["userErrors"]
    assert error["code"] == "NOT_SOLD"
    # Money has a price of its own: an operator buys it.
    money = (await buy(balance="whatsapp", amount="500"))["purchase"]
    assert (money["net"]["value"], money["total"]["value"]) == ("500", "555")


async def test_where_nobody_collects_nothing_is_bought(
    buy: Buy, database: Database, redis_url: str
) -> None:
    """In a process whose settings name no provider; what was bought before is still answered."""
    first = (await buy(amount="500"))["purchase"]
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY,
        payments="none",
    )  # fmt: skip
    app = create_app(settings, Clock(), Role(parts=frozenset({Part.EDGE})))
    asked = {"tenant": "one", "balance": "visitors", "amount": "500"}
    found = []
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://k") as client,
    ):
        for key in ("k", "other"):
            given = {"input": {**asked, "idempotencyKey": key}}
            answer = await client.post(
                "/graphql", json={"query": BUY, "variables": given},
                headers={"authorization": f"Bearer {OPERATOR_KEY}"},
            )  # fmt: skip
            found.append(answer.json()["data"]["purchaseCreate"])
    assert found[0]["purchase"]["id"] == first["id"]
    (error,) = found[1]["userErrors"]
    assert (error["field"], error["code"]) == (None, "NO_PROVIDER")


async def test_who_may(buy: Buy, ask: Ask, key_of: KeyOf) -> None:
    """Its own tenant with `billing:write`, and operators; another's is not there."""
    reads = await key_of("one", "billing:read")
    refused = await buy(key=reads, amount="500")
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    other = await key_of("two", "billing:write", "billing:read")
    (error,) = (await buy(key=other, amount="500"))["userErrors"]
    assert error["code"] == "NOT_FOUND"
    bought = (await buy(amount="500"))["purchase"]
    assert (await one(ask, bought["id"], key=reads))["id"] == bought["id"]
    assert await one(ask, bought["id"], "two", key=other) is None
    assert await one(ask, ids.encode("pur", 999_999)) is None
    assert await one(ask, "nonsense") is None
    unseen = await ask(ONE, key=other, tenant="one", id=bought["id"])
    assert unseen["data"]["tenant"] is None
    without = await ask(ONE, key=await key_of("one", "usage:read"), tenant="one", id=bought["id"])
    assert without["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_it_is_in_the_audit(buy: Buy, ask: Ask) -> None:
    bought = (await buy(amount="1000"))["purchase"]
    answer = await ask(
        '{ tenant(key: "one") { audit(what: "purchaseCreate") { nodes { subject after } } } }'
    )
    (entry,) = answer["data"]["tenant"]["audit"]["nodes"]
    assert bought["id"] in entry["subject"]
    assert entry["after"] == {
        "balance": "visitors", "amount": "1000", "net": "600000", "tax": "66000",
        "total": "666000", "currency": "IDR",
    }  # fmt: skip


async def test_pages_go_on_where_they_ended(buy: Buy, ask: Ask, pay: Buy) -> None:
    """Newest first, and of one status alone."""
    bought = [
        (await buy(amount="500", idempotencyKey=str(number)))["purchase"] for number in range(5)
    ]
    await pay(bought[2])
    found: list[str] = []
    after, more = None, True
    while more:
        page = (await ask(PAGES_OF, first=2, after=after))["data"]["tenant"]["purchases"]
        found += [node["id"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert found == [each["id"] for each in reversed(bought)]
    paid = (await ask(PAGES_OF, first=9, status="PAID"))["data"]["tenant"]["purchases"]
    assert [node["id"] for node in paid["nodes"]] == [bought[2]["id"]]
    wrong = await ask(PAGES_OF, first=2, after="nonsense")
    assert wrong["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


# Coming back


ORIGINS = welcome(
    "https://kuota.example:443/base", ["https://Shop.example", "http://127.0.0.1:3000"]
)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example", "https://shop.example/billing?x=1#y", "https://SHOP.example:443/",
        "https://kuota.example/done", "http://127.0.0.1:3000/done",
    ],
)  # fmt: skip
def test_a_payer_is_sent_back_to_a_page_of_a_named_origin(url: str) -> None:
    check_return(url, ORIGINS)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://evil.example/", "ORIGIN_NOT_ALLOWED"),
        ("https://shop.example.evil.example/", "ORIGIN_NOT_ALLOWED"),
        ("https://shop.example:444/", "ORIGIN_NOT_ALLOWED"),
        ("http://localhost:3000/", "ORIGIN_NOT_ALLOWED"),
        ("http://shop.example/", "INVALID"),
        ("https://shop.example@evil.example/", "INVALID"),
        ("https://a:b@shop.example/", "INVALID"),
        ("https://shop.example\\@evil.example/", "INVALID"),
        ("https://shop.example\t/", "INVALID"),
        ("https://shop.example/ x", "INVALID"),
        ("//shop.example/", "INVALID"),
        ("/billing", "INVALID"),
        ("", "INVALID"),
        ("javascript:alert(1)", "INVALID"),
        ("https://shöp.example/", "INVALID"),
        ("https://[::1", "INVALID"),
        ("https://shop.example/" + "x" * 2_000, "INVALID"),
    ],
)
def test_a_link_of_ours_leads_to_nobody_else(url: str, code: str) -> None:
    """No open redirect: whatever a browser would make of an address."""
    with pytest.raises(Problem) as caught:
        check_return(url, ORIGINS)
    assert (caught.value.code, caught.value.field) == (code, "returnUrl")


def test_where_nothing_is_named_only_this_machine_is_taken() -> None:
    for url in ("http://localhost:3000/x", "https://127.0.0.1/", "http://[::1]:8000/"):
        check_return(url, welcome("", ()))
    with pytest.raises(Problem, match="none is named"):
        check_return("https://shop.example/", frozenset())


# The page of a receipt


def shown(text: str) -> str:
    """What a page says, without its marks."""
    return " ".join(re.sub(r"<[^>]+>", " ", text.partition("</style>")[2]).split())


async def test_a_receipt_is_a_page_behind_a_link_of_five_minutes(
    buy: Buy, pay: Buy, client: httpx2.AsyncClient, core: Core
) -> None:
    """In the tenant's language, for whoever has the link; nothing in it is loaded, run or sent."""
    bought = (await buy(amount="1000"))["purchase"]
    receipt = (await pay(bought))["receipt"]
    url = receipt["downloadUrl"]
    assert urlsplit(url).netloc == ""
    page = await client.get(url)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-disposition"] == f'inline; filename="{receipt["number"]}.html"'
    assert page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "<script" not in page.text
    words = shown(page.text).replace("\N{NO-BREAK SPACE}", " ")
    for wanted in (
        f"Kuitansi {receipt['number']}", "Omnichannel, billing@omnichannel.example",
        "one (one), Indonesia", "Monthly unique visitors",
        "1.000 (2 × 500, masing-masing Rp 300.000) Rp 600.000", "Sebelum pajak Rp 600.000",
        "PPN 12 % dari 11/12 Rp 66.000", "Total Rp 666.000", "Berlaku sampai 1 ",
        "(Asia/Jakarta)",
    ):  # fmt: skip
        assert wanted in words
    head = await client.head(url)
    assert (head.status_code, head.content) == (200, b"")

    # A receipt stays what it was, and says when its payment was taken back (BA-8).
    sandbox = core.engines.paying.providers["sandbox"]
    assert isinstance(sandbox, Sandbox)
    key = bought["payUrl"].rpartition("/")[2]
    await sandbox.decide(key, Standing.TAKEN_BACK)
    await core.engines.tasks.quiet()
    words = shown((await client.get(url)).text).replace("\N{NO-BREAK SPACE}", " ")
    assert "Pembayaran ditarik kembali pada" in words
    assert "Total Rp 666.000" in words
    core.clock.offset += 300 * SECOND
    assert (await client.get(url)).status_code == 410


def test_the_page_is_written_in_three_languages_and_escaped() -> None:
    """Whatever people called themselves; a language without words is told in English."""
    evil = replace(SNAPSHOT.buyer, name="<script>alert('x')</script>", country="CO")
    of = replace(SNAPSHOT, buyer=evil, taxes=(), total=300_000, reference='"><b>')
    issued = receipts.Issued(
        tenant_id=1, payment_key="p", number="R-2026-000001", issued_at=1, receipt=of
    )
    for tag, title, untaxed in (
        ("en-GB", "Receipt R-2026-000001", "No tax is asked for in Colombia."),
        ("id", "Kuitansi R-2026-000001", "Tidak ada pajak yang dikenakan di Kolombia."),
        ("es-CO", "Recibo R-2026-000001", "En Colombia no se cobra ningún impuesto."),
        ("de", "Receipt R-2026-000001", "No tax is asked for in Colombia."),
    ):
        page = printed(issued, tag)
        assert f"<title>{title}</title>" in page
        assert untaxed in page
        assert "<script" not in page
        assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in page
        assert "&quot;&gt;&lt;b&gt;" in page
