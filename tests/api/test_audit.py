"""The audit: every write leaves one row, of people and of machines, and nobody removes it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.cli import main
from api.schema.root import schema
from api.settings import Clock, Settings
from api.stored import id_of
from persistence import credentials
from persistence.door import Door
from tests.api.conftest import Ask, Json
from tests.api.sockets import greet, hear, opened, say, serving, subscribe
from tests.conftest import OPERATOR_KEY, Database

KeyOf = Callable[..., Awaitable[str]]
Inputs = Callable[[Json], Json]

#: What is asked before a send of the shop's.
SEND = {
    "tenant": "shop", "number": "+6281110000001", "contact": "+6281110000002",
    "category": "marketing", "idempotencyKey": "a",
}  # fmt: skip

#: What leaves no row, why, and a request of it.
UNTOLD: dict[str, tuple[str, Json]] = {
    "usageRecord": (
        "facts are their own trace: each says when it came, and under which key",
        {"events": [{"id": "1"}]},
    ),
    "authorize": ("asked a thousand times a second, and a hold is its own trace", SEND),
}

DOCUMENT = "{ viewer { kind } }"
BOOK = {
    "book": "mine", "currency": "USD", "markets": "whatsapp-markets",
    "rows": [{
        "row": "marketing-id", "valid_from": "2026-01-01", "channel": "whatsapp",
        "category": "marketing", "direction": "out", "market": "ID", "basis": "per_message",
        "price": "1",
    }],
}  # fmt: skip
#: A day so far ahead that nothing follows by itself, and what is paid from then on.
FAR = str(date.today() + timedelta(days=400))
SEATS = {"key": "seats", "name": "Seats", "unit": "seat", "price": "9"}


def endpoint_of(found: Json) -> Json:
    """The endpoint that was added, as its mutations are asked with it."""
    return {"tenant": "shop", "id": found["webhookEndpointCreate"]["endpoint"]["id"]}


def draft_of(found: Json) -> Json:
    """The draft that was made last."""
    return {"invoice": found["invoiceCreate"]["invoice"]["id"]}


DAY = {"description": "A day of work", "quantity": "1", "unit": "day", "price": "100000"}

#: Each mutation: its input (given what came before), what its answer is asked for, and what the
#: row says of before and after, as far as it is known here.
WRITES: list[tuple[str, Inputs, str, Json | None, Json]] = [
    ("tenantCreate", lambda _: {"key": "shop", "plan": "omnichannel-idr", "country": "SG"},
     "tenant { id }", None, {"key": "shop", "plan": "omnichannel-idr", "timezone": "Asia/Jakarta"}),
    ("numberCreate", lambda _: {"tenant": "shop", "channel": "whatsapp",
                                "address": "+6281110000001"},
     "number { id }", None, {"channel": "whatsapp", "address": "6281110000001"}),
    ("topUpCreate", lambda _: {"tenant": "shop", "balance": "whatsapp", "amount": "500000.5",
                               "asOffered": False, "note": "paid", "idempotencyKey": "1"},
     "topUp { id }", {"balance": "whatsapp", "left": "0"},
     {"left": "500000.5", "added": "500000.5", "currency": "IDR", "note": "paid"}),
    ("purchaseCreate", lambda _: {"tenant": "shop", "balance": "visitors", "amount": "1000",
                                  "idempotencyKey": "1.5"},
     "purchase { id }", None,
     {"balance": "visitors", "amount": "1000", "net": "600000", "tax": "0", "total": "600000",
      "currency": "IDR"}),
    ("paymentMethodSet", lambda _: {"tenant": "shop", "provider": "sandbox", "label": "Visa 4242",
                                    "token": "sandbox:pending", "idempotencyKey": "1.6"},
     "paymentMethod { label }", {"provider": None, "label": None},
     {"provider": "sandbox", "label": "Visa 4242"}),
    ("refillPolicySet", lambda _: {"tenant": "shop", "balance": "visitors", "enabled": True,
                                   "minimum": "5", "amount": "500", "monthCap": "600000",
                                   "idempotencyKey": "1.7"},
     "policy { balance }", {"balance": "visitors", "enabled": False},
     {"balance": "visitors", "enabled": True, "minimum": "5", "amount": "500", "dayCap": None,
      "monthCap": "600000"}),
    ("holdRelease", lambda found: {"tenant": "shop", "hold": found["authorize"]["hold"]["id"]},
     "released", None, {"released": True}),
    ("adjustmentCreate", lambda _: {"tenant": "shop", "balance": "whatsapp", "amount": "-0.5",
                                    "reason": "a slip", "idempotencyKey": "2"},
     "__typename", {"left": "500000.5"},
     {"left": "500000", "adjusted": "-0.5", "reason": "a slip"}),
    ("refundCreate", lambda found: {"tenant": "shop", "topUp": found["topUpCreate"]["topUp"]["id"],
                                    "amount": "100", "reason": "left", "idempotencyKey": "3"},
     "__typename", {"left": "500000"}, {"left": "499900", "refunded": "100"}),
    ("allowanceSet", lambda _: {"tenant": "shop", "balance": "conversations", "amount": "7",
                                "since": "2199-01-01", "idempotencyKey": "4"},
     "__typename", {"balance": "conversations", "allowance": "1000"},
     {"allowance": "7", "from": "2199-01"}),
    ("internationalRateSet", lambda _: {"tenant": "shop", "market": "ID", "from": "2199-01-01",
                                        "idempotencyKey": "5"},
     "__typename", {"market": "ID", "from": None},
     {"market": "ID", "from": "2199-01-01"}),
    ("timezoneChange", lambda _: {"tenant": "shop", "timezone": "UTC", "idempotencyKey": "6"},
     "timezone", {"timezone": "Asia/Jakarta", "then": []}, {"timezone": "Asia/Jakarta"}),
    ("numberTimezoneChange", lambda found: {"number": found["numberCreate"]["number"]["id"],
                                            "timezone": "UTC", "idempotencyKey": "7"},
     "timezone", {"timezone": "Asia/Jakarta", "then": []}, {"timezone": "Asia/Jakarta"}),
    ("planChange", lambda _: {"tenant": "shop", "plan": None, "idempotencyKey": "8"},
     "__typename", {"plan": "omnichannel-idr"}, {"plan": None}),
    ("thresholdSet", lambda _: {"tenant": "shop", "balance": "whatsapp", "units": ["600000"],
                                "idempotencyKey": "8.5"},
     "thresholds { balance }", {"balance": "whatsapp", "percents": ["40", "0"], "units": []},
     {"balance": "whatsapp", "percents": ["0"], "units": ["600000"]}),
    ("alertAcknowledge", lambda found: {"tenant": "shop", "id": found["alerts"][0]["id"]},
     "alert { id }", {"acknowledgedAt": None},
     {"alert": "THRESHOLD", "balance": "whatsapp", "threshold": "600000"}),
    ("exportCreate", lambda _: {"tenant": "shop", "year": 2026, "idempotencyKey": "8.7"},
     "export { id }", None, {"year": 2026, "kinds": ["INVOICES"]}),
    ("reportScheduleCreate",
     lambda _: {"tenant": "shop", "rhythm": "DAILY", "idempotencyKey": "8.8", "report": {
         "kind": "VISITORS", "format": "CSV", "recipients": ["ana@shop.example"]}},
     "schedule { id }", None, {"kind": "VISITORS", "rhythm": "DAILY", "hour": 7, "active": True}),
    ("reportScheduleUpdate",
     lambda found: {"tenant": "shop", "hour": 9,
                    "id": found["reportScheduleCreate"]["schedule"]["id"]},
     "schedule { id }", {"hour": 7}, {"hour": 9, "recipients": ["ana@shop.example"]}),
    ("reportScheduleDelete",
     lambda found: {"tenant": "shop", "id": found["reportScheduleCreate"]["schedule"]["id"]},
     "id", {"hour": 9}, None),
    ("mailboxSet", lambda _: {"tenant": "shop", "email": "ana@shop.example", "quietFrom": "22:00",
                              "quietUntil": "07:00"},
     "mailbox { id }", None,
     {"email": "ana@shop.example", "locale": "id", "quietFrom": "22:00", "urgentAnyway": True}),
    ("mailboxRemove",
     lambda found: {"tenant": "shop", "id": found["mailboxSet"]["mailbox"]["id"]},
     "id", {"email": "ana@shop.example", "quietUntil": "07:00"}, None),
    ("webhookEndpointCreate", lambda _: {"tenant": "shop", "kinds": ["EXHAUSTED"],
                                         "url": "https://shop.example/hooks?token=hush"},
     "endpoint { id } secret", None,
     {"url": "https://shop.example/hooks", "kinds": ["EXHAUSTED"], "enabled": True}),
    ("webhookEndpointUpdate", lambda found: {"description": "till"} | endpoint_of(found),
     "endpoint { id }", {"description": ""}, {"description": "till"}),
    ("webhookSecretRotate", lambda found: endpoint_of(found), "secret", None, {}),
    ("webhookTest", lambda found: endpoint_of(found), "delivery { id }", None, {}),
    ("webhookReplay", lambda found: {"tenant": "shop",
                                     "delivery": found["webhookTest"]["delivery"]["id"]},
     "delivery { id }", None, {"url": "https://shop.example/hooks"}),
    ("webhookEndpointDelete", lambda found: endpoint_of(found), "endpoint { id }",
     {"url": "https://shop.example/hooks", "description": "till"}, None),
    ("sendingSet", lambda _: {"tenant": "shop", "holdSeconds": 60, "reason": "asked"},
     "__typename", {}, {"holdSeconds": 60, "reason": "asked"}),
    ("billingSet", lambda _: {"tenant": "shop", "name": "PT Toko Maju", "termsDays": 30,
                              "idempotencyKey": "8.6"},
     "billing { name }", {"invoicing": False},
     {"name": "PT Toko Maju", "termsDays": 30, "invoicing": False}),
    ("dunningSet", lambda _: {"tenant": "shop", "idempotencyKey": "8.7",
                              "steps": [{"days": 30, "action": "BLOCK_ALL", "prepaid": True}]},
     "dunning { holds }", {"steps": None},
     {"steps": [{"days": 30, "action": "block_all", "prepaid": True}]}),
    ("subscriptionCreate", lambda _: {"tenant": "shop", "name": "Growth", "start": FAR,
                                      "components": [SEATS], "idempotencyKey": "8.8"},
     "subscription { id }", None, {"subscription": "main", "plan": None, "start": FAR}),
    ("subscriptionQuantitySet", lambda _: {"tenant": "shop", "component": "seats",
                                           "quantity": "2.5", "idempotencyKey": "8.81"},
     "subscription { id }", {"subscription": "main", "lastDay": None},
     {"component": "seats", "quantity": "2.5", "from": FAR}),
    ("subscriptionPause", lambda _: {"tenant": "shop", "idempotencyKey": "8.82"},
     "subscription { id }", {"subscription": "main"}, {"change": "Pause", "from": FAR}),
    ("subscriptionResume", lambda _: {"tenant": "shop", "idempotencyKey": "8.83"},
     "subscription { id }", {"subscription": "main"}, {"change": "Resume", "from": FAR}),
    ("subscriptionPlanSwitch", lambda _: {"tenant": "shop", "name": "Large", "components": [SEATS],
                                          "idempotencyKey": "8.84"},
     "subscription { id }", {"subscription": "main"},
     {"fees": {"name": "Large", "components": {"seats": "1 x 9"}, "setup": {}}}),
    ("subscriptionCancel", lambda _: {"tenant": "shop", "lastDay": FAR, "idempotencyKey": "8.85"},
     "subscription { id }", {"lastDay": None}, {"lastDay": FAR}),
    ("subscriptionRenew", lambda _: {"tenant": "shop", "idempotencyKey": "8.86"},
     "subscription { id }", {"lastDay": FAR}, {"lastDay": None}),
    ("tenantStatusSet", lambda _: {"tenant": "shop", "status": "BLOCKED", "reason": "unpaid"},
     "__typename", {"status": "active"}, {"status": "blocked", "reason": "unpaid"}),
    ("paymentRecord", lambda _: {"tenant": "shop", "amount": "5000", "method": "BANK_TRANSFER",
                                 "reference": "TRF 1", "receivedOn": "2026-01-02",
                                 "idempotencyKey": "8.9"},
     "payment { id }", None,
     {"amount": "5000", "currency": "IDR", "method": "BANK_TRANSFER", "reference": "TRF 1",
      "receivedOn": "2026-01-02", "invoices": []}),
    ("paymentRefund", lambda _: {"tenant": "shop", "amount": "100", "reason": "too much",
                                 "idempotencyKey": "8.91"},
     "refund { reason }", None,
     {"refunded": "100", "currency": "IDR", "reason": "too much"}),
    ("paymentTakeBack", lambda found: {"tenant": "shop", "reason": "no funds",
                                       "payment": found["paymentRecord"]["payment"]["id"],
                                       "idempotencyKey": "8.92"},
     "payment { id }", None,
     {"takenBack": "4900", "currency": "IDR", "reason": "no funds"}),
    ("invoiceCreate", lambda _: {"tenant": "shop", "lines": [DAY], "idempotencyKey": "8.93"},
     "invoice { id }", None, {"currency": "IDR"}),
    ("invoiceIssue", lambda found: {"tenant": "shop", "idempotencyKey": "8.94"} | draft_of(found),
     "invoice { id number }", None, {"currency": "IDR"}),
    ("invoicePay", lambda found: {"tenant": "shop", "idempotencyKey": "8.95",
                                  "invoice": found["invoiceIssue"]["invoice"]["id"]},
     "payment { id }", None, {"currency": "IDR"}),
    ("creditNoteCreate", lambda found: {"tenant": "shop", "reason": "a slip",
                                        "lines": [{"line": 0, "amount": "1000"}],
                                        "invoice": found["invoiceIssue"]["invoice"]["number"],
                                        "idempotencyKey": "8.96"},
     "creditNote { id }", None, {}),
    ("invoiceCreate", lambda _: {"tenant": "shop", "lines": [DAY], "idempotencyKey": "8.97"},
     "invoice { id }", None, {"currency": "IDR"}),
    ("invoiceIssue", lambda found: {"tenant": "shop", "idempotencyKey": "8.98"} | draft_of(found),
     "invoice { id number }", None, {"currency": "IDR"}),
    ("invoiceVoid", lambda found: {"tenant": "shop", "reason": "a slip", "idempotencyKey": "8.99",
                                   "invoice": found["invoiceIssue"]["invoice"]["number"]},
     "invoice { id }", {"currency": "IDR"}, {"reason": "a slip"}),
    ("invoiceCreate", lambda _: {"tenant": "shop", "lines": [DAY], "idempotencyKey": "8.991"},
     "invoice { id }", None, {"currency": "IDR"}),
    ("invoiceDiscard", lambda found: {"tenant": "shop", "idempotencyKey": "8.992"}
     | draft_of(found), "id", {}, None),
    ("settle", lambda _: {"tenant": "shop", "idempotencyKey": "9"},
     "__typename", {"unsettledFrom": None}, {"corrected": 0, "differences": {}}),
    ("periodClose", lambda _: {"tenant": "shop", "period": "2026-01", "idempotencyKey": "10"},
     "period", {"closedUntil": None}, {"period": "2026-01", "closedUntil": "2026-01-31T17:00:00Z"}),
    ("apiKeyCreate", lambda _: {"tenant": "shop", "name": "till", "scopes": ["usage:read"]},
     "apiKey { id prefix } secret", None, {"name": "till", "scopes": ["usage:read"]}),
    ("apiKeyRevoke", lambda found: {"id": found["apiKeyCreate"]["apiKey"]["id"]},
     "apiKey { id }", {"name": "till", "revokedAt": None}, {"name": "till"}),
    ("widgetTokenCreate", lambda _: {"tenant": "shop", "documents": [id_of(DOCUMENT)],
                                     "origins": ["https://shop.example"]},
     "token", None, {"origins": ["https://shop.example"]}),
    ("priceBookPublish", lambda _: {"document": json.dumps(BOOK), "format": "JSON"},
     "priceBook { key }", {"versions": {}}, {"versions": {"mine": 1}, "rerate": False}),
    ("userCreate", lambda _: {"tenant": "shop", "name": "Ada", "email": "ada@shop.example",
                              "role": "ADMIN"},
     "user { id }", None, {"name": "Ada", "role": "admin"}),
    ("userUpdate", lambda found: {"id": found["userCreate"]["user"]["id"], "name": "Ada L."},
     "user { id }", {"name": "Ada"}, {"name": "Ada L."}),
    ("signInLinkCreate", lambda found: {"user": found["userCreate"]["user"]["id"]},
     "url", None, {}),
    ("billingAccessGrant", lambda found: {"user": found["userCreate"]["user"]["id"],
                                          "rights": ["VIEW"]},
     "user { id }", None, {}),
    ("billingAccessRevoke", lambda found: {"user": found["userCreate"]["user"]["id"],
                                           "rights": ["VIEW"]},
     "user { id }", {}, {}),
    ("auditExportCreate", lambda _: {"tenant": "shop", "range": {"preset": "TODAY"}},
     "url", None, {"format": "csv"}),
]  # fmt: skip


@pytest.fixture
async def app(database: Database, redis_url: str, tmp_path: Path) -> AsyncIterator[Starlette]:
    """An application that knows a stored document."""
    stored = tmp_path / "documents.json"
    stored.write_text(json.dumps({id_of(DOCUMENT): DOCUMENT}))
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY,
        documents=stored, smtp_url="smtp://127.0.0.1:9",
    )  # fmt: skip
    app = create_app(settings, Clock())
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()


def words_of(name: str, asked: str) -> str:
    kind = f"{name[0].upper()}{name[1:]}Input"
    wanted = f"{asked} userErrors {{ code message }}"
    return f"mutation ($input: {kind}!) {{ {name}(input: $input) {{ {wanted} }} }}"


async def alerts_of(client: httpx2.AsyncClient) -> list[Json]:
    """What was raised of the shop, newest first."""
    answer = await client.post(
        "/graphql",
        json={"query": '{ tenant(key: "shop") { alerts { nodes { id } } } }'},
        headers={"authorization": f"Bearer {OPERATOR_KEY}"},
    )
    found: list[Json] = answer.json()["data"]["tenant"]["alerts"]["nodes"]
    return found


async def rows(owner: asyncpg.Connection[asyncpg.Record]) -> list[asyncpg.Record]:
    return await owner.fetch("select * from audit order by audit_id")


async def test_every_mutation_leaves_one_row(
    client: httpx2.AsyncClient, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Who, from where, by which request, what, before and after; a retry leaves none more, and no
    secret is anywhere in them."""
    assert schema._schema.mutation_type is not None
    told = [name for name, *_ in WRITES]
    assert set(told) | UNTOLD.keys() == set(schema._schema.mutation_type.fields)
    found: Json = {}

    async def send(name: str, given: Json, asked: str) -> list[asyncpg.Record]:
        """The rows that one request leaves."""
        count = len(await rows(owner))
        answer = await client.post(
            "/graphql",
            json={"query": words_of(name, asked), "variables": {"input": given}},
            headers={"authorization": f"Bearer {OPERATOR_KEY}", "x-request-id": f"of-{name}"},
        )
        body = answer.json()
        assert "errors" not in body, body
        found[name] = body["data"][name]
        assert found[name]["userErrors"] == [], (name, body)
        return (await rows(owner))[count:]

    for name, inputs, asked, before, after in WRITES:
        if name == "holdRelease":
            assert await send("authorize", SEND, "granted hold { id }") == []
        if name == "alertAcknowledge":
            found["alerts"] = await alerts_of(client)
        left = await send(name, given := inputs(found), asked)

        (row,) = left
        assert (row["what"], row["actor"], row["actor_kind"]) == (name, "operator", "key")
        assert (row["request_id"], row["address"]) == (f"of-{name}", "127.0.0.1")
        assert (row["tenant_id"] is None) == (name == "priceBookPublish"), name
        assert row["subject"], name
        says = [
            None if row[side] is None else json.loads(row[side]) for side in ("before", "after")
        ]
        for known, said in zip((before, after), says, strict=True):
            assert (known or {}).items() <= (said or {}).items(), (name, said)
        assert says[0] is None if before is None else says[0] is not None
        if "idempotencyKey" in given:
            assert await send(name, given, asked) == []

    for name, (_, given) in UNTOLD.items():
        assert await send(name, given, "__typename") == []

    dump = json.dumps([list(map(str, row.values())) for row in await rows(owner)])
    secrets = [
        OPERATOR_KEY,
        "sandbox:pending",
        found["apiKeyCreate"]["secret"],
        found["webhookEndpointCreate"]["secret"].removeprefix("whsec_"),
        found["webhookSecretRotate"]["secret"].removeprefix("whsec_"),
        "token=hush",
        found["widgetTokenCreate"]["token"],
        found["signInLinkCreate"]["url"].partition("code=")[2],
        found["auditExportCreate"]["url"].rpartition(".")[2],
    ]
    assert all(secrets)
    assert [secret for secret in secrets if secret in dump] == []


async def test_what_fails_or_changes_nothing_leaves_no_row(
    ask: Ask, tenants: list[str], owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    key = (await ask(
        words_of("apiKeyCreate", "apiKey { id }"),
        input={"tenant": "one", "name": "k", "scopes": ["usage:read"]},
    ))["data"]["apiKeyCreate"]["apiKey"]["id"]  # fmt: skip
    book = {"document": json.dumps(BOOK), "format": "JSON"}
    await ask(words_of("priceBookPublish", "warnings"), input=book)
    await ask(words_of("apiKeyRevoke", "apiKey { id }"), input={"id": key})
    before = len(await rows(owner))

    for name, given in (
        ("tenantCreate", {"key": "one", "plan": "omnichannel-idr"}),
        ("apiKeyRevoke", {"id": key}),
        ("priceBookPublish", book),
        ("refundCreate", {"tenant": "one", "topUp": "top_x", "reason": "x", "idempotencyKey": "x"}),
        ("sendingSet", {"tenant": "one", "holdSeconds": None, "reason": "x"}),
        ("tenantStatusSet", {"tenant": "one", "status": "ACTIVE", "reason": "x"}),
        ("topUpCreate", {"tenant": "one", "balance": "none", "amount": "1", "idempotencyKey": "x"}),
    ):
        await ask(words_of(name, "__typename"), input=given)

    assert len(await rows(owner)) == before


async def test_nobody_changes_or_removes_a_row(app_url: str, database: Database) -> None:
    """The app's roles add and read; rows of no tenant are the system's to see."""
    owner = await asyncpg.connect(database.owner_url)
    for tenant in ("7", "8", "null"):
        await owner.execute(
            "insert into audit (tenant_id, at, actor, actor_kind, what, subject)"
            f" values ({tenant}, 1, 'a', 'key', 'x', '{{}}')"
        )
    await owner.close()
    async with Door.open(app_url) as door:
        for scope in (lambda: door.tenant_tx(7), lambda: door.system_tx("of a test")):
            for statement in (
                "update audit set actor = 'b'", "delete from audit", "truncate audit",
            ):  # fmt: skip
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with scope() as connection:
                        await connection.execute(statement)
        for wrong in ("8", "null"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                async with door.tenant_tx(7) as connection:
                    await connection.execute(
                        "insert into audit (tenant_id, at, actor, actor_kind, what, subject)"
                        f" values ({wrong}, 1, 'a', 'key', 'x', '{{}}')"
                    )
        async with door.tenant_tx(7) as connection:
            assert await connection.fetch("select tenant_id from audit") == [(7,)]
        async with door.system_tx("of a test") as connection:
            assert len(await connection.fetch("select 1 from audit")) == 3


async def test_a_write_of_nobody_is_refused(app_url: str, database: Database) -> None:
    """A road that does not say who acts writes nothing."""
    async with Door.open(app_url) as door:
        with pytest.raises(LookupError):
            await credentials.create_key(
                door, None, name="k", prefix="abcdefgh", digest=b"", scopes=[], expires_at=None,
                now=1,
            )  # fmt: skip
    owner = await asyncpg.connect(database.owner_url)
    assert await owner.fetchval("select count(*) from api_keys") == 0
    await owner.close()


READ = """
query ($first: Int, $after: String, $actor: String, $what: String, $since: DateTime,
    $until: DateTime) {
  tenant(key: "one") {
    audit(first: $first, after: $after, actor: $actor, what: $what, since: $since, until: $until) {
      nodes { id at tenant actor actorKind address requestId what subject before after }
      pageInfo { hasNextPage endCursor } } }
}
"""
READ_ALL = """
query ($first: Int, $after: String, $what: String) {
  audit(first: $first, after: $after, what: $what) {
    nodes { at tenant what } pageInfo { hasNextPage endCursor } }
}
"""


async def pages(ask: Ask, query: str, **variables: Any) -> list[Json]:
    """All entries, two at a time."""
    found: list[Json] = []
    after: str | None = None
    while True:
        data = (await ask(query, first=2, after=after, **variables))["data"]
        page = data["audit"] if "audit" in data else data["tenant"]["audit"]
        found += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


async def test_a_tenant_reads_its_own(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    """Newest first, page by page; with the scope, and nobody else's."""
    for number in range(3):
        name = f"key {number}"
        given = {"tenant": "one", "name": name, "scopes": ["usage:read"]}
        await ask(words_of("apiKeyCreate", "apiKey { id }"), input=given)
    key = await key_of("one", "audit:read", "keys:write", "usage:read")
    prefix = key.split("_")[1]
    own = {"tenant": "one", "name": "its own", "scopes": ["usage:read"]}
    await ask(words_of("apiKeyCreate", "apiKey { id }"), key=key, input=own)

    found = await pages(ask, READ, key=key)

    assert [each["what"] for each in found] == ["apiKeyCreate"] * 5 + ["tenantCreate"]
    names = [each["after"]["name"] for each in found]
    assert names == ["its own", "of a test", "key 2", "key 1", "key 0", "one"]
    assert (found[0]["actor"], found[0]["actorKind"]) == (f"key {prefix}", "KEY")
    assert found[0]["subject"][0].startswith("key_")
    assert {each["tenant"] for each in found} == {"one"}
    assert await pages(ask, READ, key=key, actor=f"key {prefix}") == found[:1]
    assert await pages(ask, READ, key=key, what="tenantCreate") == found[-1:]
    assert await pages(ask, READ, key=key, until=found[0]["at"]) == found[1:]
    assert await pages(ask, READ, key=key, since=found[1]["at"]) == found[:2]
    assert await pages(ask, READ, key=key, actor="a\0b") == []
    for wrong in ({"after": "x"}, {"first": 0}, {"since": "9999-01-01T00:00:00Z"}):
        answer = await ask(READ, key=key, **wrong)
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    other = await key_of("two", "audit:read")
    assert (await ask(READ, key=other))["data"] == {"tenant": None}
    blind = await key_of("one", "billing:read")
    (error,) = (await ask(READ, key=blind))["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    (error,) = (await ask(READ_ALL, key=key))["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"


async def test_operators_read_everybodys(ask: Ask, tenants: list[str]) -> None:
    book = {"document": json.dumps(BOOK), "format": "JSON"}
    await ask(words_of("priceBookPublish", "warnings"), input=book)

    found = await pages(ask, READ_ALL)

    assert [(each["what"], each["tenant"]) for each in found] == [
        ("priceBookPublish", None), ("tenantCreate", "two"), ("tenantCreate", "one"),
    ]  # fmt: skip
    assert await pages(ask, READ_ALL, what="priceBookPublish") == found[:1]


async def test_a_socket_says_who_and_from_where(
    app: Starlette, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    given = {"key": "wired", "plan": "omnichannel-idr"}
    query = words_of("tenantCreate", "tenant { id }")
    async with (
        serving(app.state.core, sockets=app.state.sockets) as url,
        opened(url, additional_headers={"x-request-id": "sock"}) as socket,
    ):
        await greet(socket)
        await say(socket, subscribe("1", query, input=given))
        answer = await hear(socket)
        assert answer["payload"]["data"]["tenantCreate"]["userErrors"] == []

    (row,) = await rows(owner)
    assert (row["actor"], row["address"]) == ("operator", "127.0.0.1")
    assert row["request_id"].startswith("sock.")


def test_commands_are_told_and_write_the_audit(
    database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A command acts as such; an export is oldest first, and is in the audit itself."""
    for name, value in (
        ("DATABASE_URL", database.app_url), ("DATABASE_OWNER_URL", database.owner_url),
        ("REDIS_URL", redis_url),
    ):  # fmt: skip
        monkeypatch.setenv(f"KUOTA_{name}", value)
    book = tmp_path / "mine.json"
    book.write_text(json.dumps(BOOK))
    file = tmp_path / "audit.jsonl"
    for command in (
        ("tenant", "create", "shop", "--plan", "omnichannel-idr"),
        ("number", "create", "shop", "sms", "+6281110000001"),
        ("key", "create", "--tenant", "shop", "--scope", "usage:read"),
        ("book", "publish", str(book)),
        ("tenant", "status", "shop", "--status", "suspended", "--reason", "asked to"),
        ("settle", "shop"),
        ("audit", "export", str(file), "--tenant", "shop", "--format", "jsonl"),
        ("audit", "export", "--since", "2026-01-01"),
    ):
        assert main(command) == 0, capsys.readouterr().err
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [line["what"] for line in lines] == [
        "tenantCreate", "numberCreate", "apiKeyCreate", "tenantStatusSet", "settle",
        "auditExportCreate",
    ]  # fmt: skip
    assert {(line["actor"], line["actorKind"]) for line in lines} == {("command", "command")}
    table = capsys.readouterr().out
    assert table.count("priceBookPublish") == 1
    assert table.count("auditExportCreate") == 2
    assert main(("audit", "export", "--until", "soon")) == 2
