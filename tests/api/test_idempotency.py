"""Every mutation that moves money or units, sent again: once done, and the stored answer (BA-7).

Through the socket of a served process. The list comes from the built schema: whatever takes an
`idempotencyKey` has its case here, and whatever does not says why it needs none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from api.schema.root import schema
from persistence.servers import Servers
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE
from tests.api.sockets import cloned
from tests.conftest import OPERATOR_KEY, run_served

Json = dict[str, Any]

BUILT = schema._schema
MUTATIONS = BUILT.mutation_type
assert MUTATIONS is not None

#: How a mutation is meant when it is sent again without a key.
AGAIN = {
    "alertAcknowledge": "what was acknowledged stays so",
    "apiKeyCreate": "moves nothing; each call makes a key of its own",
    "apiKeyRevoke": "what was revoked stays so",
    "auditExportCreate": "moves nothing; each call makes a link of its own",
    "billingAccessGrant": "moves nothing; what was granted stays so",
    "billingAccessRevoke": "moves nothing; what was revoked stays so",
    "holdRelease": "a hold ends once: its id is the key",
    "mailboxRemove": "moves nothing; what was removed stays so",
    "mailboxSet": "moves nothing; the address is the key",
    "numberCreate": "moves nothing; a number is registered once",
    "priceBookPublish": "moves nothing; the same document is no other version",
    "reportScheduleDelete": "what was deleted stays so",
    "reportScheduleUpdate": "moves nothing; the same again changes nothing",
    "sendingSet": "moves nothing; the same again changes nothing",
    "signInLinkCreate": "moves nothing; each call makes a link of its own",
    "tenantCreate": "moves nothing; the tenant's key is taken by the first",
    "tenantStatusSet": "the same again changes nothing",
    "usageRecord": "each event's source and id are its key",
    "userCreate": "moves nothing; the address is the key",
    "userUpdate": "moves nothing; the same again changes nothing",
    "webhookEndpointCreate": "moves nothing; the address is the key",
    "webhookEndpointDelete": "moves nothing; what was deleted stays so",
    "webhookEndpointUpdate": "moves nothing; the same again changes nothing",
    "webhookReplay": "moves nothing; what is sent again has the id it had",
    "webhookSecretRotate": "moves nothing; each call makes a secret of its own",
    "webhookTest": "moves nothing; each call sends a test of its own",
    "widgetTokenCreate": "moves nothing; each call makes a token of its own",
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked, and what else is asked under the same key; `$name` is a name of the tenant."""

    given: Json
    other: Json | None  #: None: nothing else can be asked of one tenant
    named: bool = True  #: whether the input names the tenant
    first: tuple[tuple[str, Json], ...] = ()  #: what else the tenant has, each under its own key


#: A subscription that begins so late that nothing follows by itself.
SUBSCRIBES: Json = {
    "name": "Growth", "start": str(date.today() + timedelta(days=400)),
    "components": [{"key": "seats", "name": "Seats", "unit": "seat", "price": "9"}],
}  # fmt: skip
SUBSCRIBED = (("subscriptionCreate", SUBSCRIBES),)
#: An invoice that was issued, and its draft before.
TRAINING: Json = {"description": "Training", "quantity": "1", "unit": "day", "price": "9000"}
INVOICED = (("invoiceCreate", {"lines": [TRAINING]}), ("invoiceIssue", {"invoice": "$invoice"}))

#: A payment on the account, more than any invoice asks for.
CAME: Json = {"amount": "20000", "method": "CASH", "receivedOn": "2026-01-01"}


CASES = {
    "adjustmentCreate": Case(
        {"balance": "visitors", "amount": "-7", "reason": "r"}, {"amount": "-8"}
    ),
    "allowanceSet": Case(
        {"balance": "visitors", "amount": "2000", "since": "2026-01-01"}, {"amount": "3000"}
    ),
    "authorize": Case(
        {"number": "$address", "contact": "+6281110000013", "category": "marketing"},
        {"contact": "+6281110000014"},
    ),
    "billingSet": Case({"name": "Shop", "issue": "REVIEW"}, {"name": "Another"}),
    "creditNoteCreate": Case(
        {"invoice": "$invoice", "reason": "r"}, {"reason": "s"}, first=INVOICED
    ),
    "dunningSet": Case({"steps": [{"days": 2, "action": "REMIND"}]}, {"steps": []}),
    "invoiceCreate": Case({"lines": [TRAINING]}, {"note": "Another"}),
    "invoiceDiscard": Case({"invoice": "$invoice"}, {"invoice": "other"}, first=INVOICED[:1]),
    "invoiceIssue": Case({"invoice": "$invoice"}, {"invoice": "other"}, first=INVOICED[:1]),
    "invoicePay": Case({"invoice": "$invoice"}, {"invoice": "INV-2026-000009"}, first=INVOICED),
    "invoiceVoid": Case({"invoice": "$invoice", "reason": "r"}, {"reason": "s"}, first=INVOICED),
    "internationalRateSet": Case({"market": "IN", "from": "2199-01-01"}, {"from": "2199-01-02"}),
    "numberTimezoneChange": Case(
        {"number": "$number", "timezone": "Asia/Makassar"}, {"timezone": "Asia/Jayapura"},
        named=False,
    ),
    "exportCreate": Case({"year": 2026}, {"year": 2025}),
    "paymentRecord": Case(CAME, {"amount": "600"}),
    "paymentRefund": Case(
        {"amount": "5", "reason": "r"}, {"amount": "6"}, first=(("paymentRecord", CAME),)
    ),
    "paymentTakeBack": Case(
        {"payment": "$payment", "reason": "r"}, {"reason": "s"}, first=(("paymentRecord", CAME),)
    ),
    "paymentMethodSet": Case(
        {"provider": "sandbox", "token": "sandbox:pending", "label": "Visa 4242"},
        {"token": "sandbox:declines"},
    ),
    "periodClose": Case({"period": "2026-01"}, {"period": "2026-02"}),
    "planChange": Case({"plan": "omnichannel-mcc-idr"}, {"plan": None}),
    "purchaseCreate": Case({"balance": "whatsapp", "amount": "1000"}, {"amount": "2000"}),
    # At once refilled: it is at its minimum.
    "refillPolicySet": Case(
        {"balance": "conversations", "enabled": True, "minimum": "1000", "amount": "2000"},
        {"amount": "4000"},
    ),
    "refundCreate": Case({"topUp": "$top_up", "amount": "5", "reason": "r"}, {"amount": "6"}),
    "reportScheduleCreate": Case(
        {
            "rhythm": "DAILY",
            "report": {"kind": "VISITORS", "format": "CSV", "recipients": ["ana@shop.example"]},
        },
        {"hour": 9},
    ),
    "settle": Case({}, None),
    "subscriptionCancel": Case({}, {"lastDay": "2199-01-01"}, first=SUBSCRIBED),
    "subscriptionCreate": Case(SUBSCRIBES, {"name": "Another"}),
    "subscriptionPause": Case({}, {"from": "2199-01-01"}, first=SUBSCRIBED),
    "subscriptionPlanSwitch": Case(
        {"name": "Large", "components": SUBSCRIBES["components"]}, {"name": "Small"},
        first=SUBSCRIBED,
    ),
    "subscriptionQuantitySet": Case(
        {"component": "seats", "quantity": "2"}, {"quantity": "3"}, first=SUBSCRIBED
    ),
    "subscriptionRenew": Case(
        {}, {"subscription": "other"}, first=(*SUBSCRIBED, ("subscriptionCancel", {}))
    ),
    "subscriptionResume": Case(
        {}, {"from": "2199-01-01"}, first=(*SUBSCRIBED, ("subscriptionPause", {}))
    ),
    "thresholdSet": Case({"balance": "visitors", "percents": ["50"]}, {"percents": ["60"]}),
    "timezoneChange": Case({"timezone": "Asia/Makassar"}, {"timezone": "Asia/Jayapura"}),
    "topUpCreate": Case({"balance": "whatsapp", "amount": "1000"}, {"amount": "2000"}),
}  # fmt: skip

#: One settling of a tenant at a time: who comes meanwhile is told to ask again.
WAITING = {"periodClose", "settle"}
#: What of an answer stands while what was begun goes on: the provider is asked meanwhile.
STEADY = {
    # Links to files are made anew each time.
    "creditNoteCreate": "mutation ($input: CreditNoteCreateInput!) { creditNoteCreate(input:"
    " $input) { creditNote { id number createdAt total { value } } userErrors { code } } }",
    "invoiceVoid": "mutation ($input: InvoiceVoidInput!) { invoiceVoid(input: $input) {"
    " invoice { id number status voidedAt balance { value } } userErrors { code } } }",
    "invoicePay": "mutation ($input: InvoicePayInput!) { invoicePay(input: $input) {"
    " payment { id amount { value } createdAt invoice { number } } userErrors { code } } }",
    "exportCreate": "mutation ($input: ExportCreateInput!) { exportCreate(input: $input) {"
    " export { id year kinds total createdAt } userErrors { code } } }",
    "purchaseCreate": "mutation ($input: PurchaseCreateInput!) { purchaseCreate(input: $input) {"
    " purchase { id balance net { value } total { value } createdAt } userErrors { code } } }",
}

#: What people see of money and units; payments go on by themselves, and are counted alone.
BOOKS = (
    "actions", "alerts", "commits", "facts", "holds", "lots", "lot_days", "transfers",
    "settlements", "tenants", "payment_methods", "receipts", "invoices", "account_payments",
    "allocations", "journal",
)  # fmt: skip
DIGESTS = " union all ".join(
    f"select '{table}' as name, count(*), md5(string_agg(t::text, '|' order by t::text)) as digest"
    f" from {table} t where tenant_id = $1"
    for table in BOOKS
)
NUMBERS = (
    "select (select count(*) from purchases where tenant_id = $1) as purchases,"
    " (select count(*) from exports where tenant_id = $1) as exports,"
    " (select count(*) from report_schedules where tenant_id = $1) as schedules,"
    " (select count(*) from payments where tenant_id = $1) as payments"
)


def keyed() -> set[str]:
    """The mutations whose input has a key."""
    assert MUTATIONS is not None
    found = set()
    for name, field in MUTATIONS.fields.items():
        of = get_named_type(field.args["input"].type)
        assert isinstance(of, GraphQLInputObjectType)
        if "idempotencyKey" in of.fields:
            found.add(name)
    return found


def test_every_mutation_has_a_key_or_a_reason() -> None:
    assert MUTATIONS is not None
    assert keyed() == CASES.keys()
    assert MUTATIONS.fields.keys() - keyed() == AGAIN.keys()


def selection(of: GraphQLObjectType, depth: int) -> str:
    """All of an object down to a depth, but what asks for arguments."""
    words = []
    for name, field in of.fields.items():
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        if name in {"asOf", "download"}:  # the instant of the answer, and links that end by it
            continue
        behind = get_named_type(field.type)
        if is_leaf_type(behind):
            words.append(name)
        elif depth and isinstance(behind, GraphQLObjectType):
            below = selection(behind, depth - 1)
            words += [f"{name} {{ {below} }}"] if below else []
    return " ".join(words)


def document(name: str) -> str:
    assert MUTATIONS is not None
    field = MUTATIONS.fields[name]
    payload = get_named_type(field.type)
    assert isinstance(payload, GraphQLObjectType)
    of = field.args["input"].type
    # What a tenant has besides goes on by itself.
    below = selection(payload, 2 if "tenant" not in payload.fields else 0)
    errors = "" if "userErrors {" in below else "userErrors { code field message }"
    return f"mutation ($input: {of}) {{ {name}(input: $input) {{ {below} {errors} }} }}"


@dataclass(slots=True)
class Shop:
    """A served process, and the database behind it."""

    client: httpx2.AsyncClient
    owner: asyncpg.Connection[asyncpg.Record]
    numbers: count[int]

    async def raw(self, name: str, given: Json) -> bytes:
        """The answer to a mutation, letter by letter."""
        return await self.sent(document(name), given)

    async def sent(self, query: str, given: Json) -> bytes:
        body = {"query": query, "variables": {"input": given}}
        answer = await self.client.post("/graphql", json=body)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def do(self, query: str, **given: Any) -> Json:
        answer = json.loads(await self.sent(query, given))
        assert "errors" not in answer, answer
        (payload,) = answer["data"].values()
        assert payload["userErrors"] == [], payload
        found: Json = payload
        return found

    async def tenant(self, case: Case | None = None) -> dict[str, str]:
        """A tenant with a number, bought money, a payment method and more; its names."""
        number = next(self.numbers)
        key, address = f"shop-{number}", f"+62811100{number:05d}"
        await self.do(TENANT_CREATE, key=key, plan="omnichannel-idr")
        made = await self.do(
            NUMBER_CREATE, tenant=key, channel="whatsapp", address=address, timezone="Asia/Jakarta"
        )
        paid = await self.do(
            document("topUpCreate"), tenant=key, balance="whatsapp", amount="90000",
            idempotencyKey="money",
        )  # fmt: skip
        await self.do(
            document("paymentMethodSet"), tenant=key, provider="sandbox", token="sandbox:pending",
            label="a card", idempotencyKey="method",
        )  # fmt: skip
        names = {
            "tenant": key, "address": address, "number": made["number"]["id"],
            "top_up": paid["topUp"]["id"],
        }  # fmt: skip
        for name, given in () if case is None else case.first:
            asked = {"tenant": key, "idempotencyKey": f"first-{name}", **named(given, names)}
            done = await self.do(document(name), **asked)
            if (invoice := done.get("invoice")) is not None:
                names["invoice"] = invoice["id"]
            if (payment := done.get("payment")) is not None:
                names["payment"] = payment["id"]
        return names

    async def books(self, tenant: str) -> Json:
        """A digest of what a tenant has, by table."""
        tenant_id = await self.owner.fetchval(
            "select tenant_id from tenants where key = $1", tenant
        )
        found: Json = dict((await self.owner.fetchrow(NUMBERS, tenant_id)) or {})
        for row in await self.owner.fetch(DIGESTS, tenant_id):
            found[row["name"]] = {"count": row["count"], "digest": row["digest"]}
        return found


def named(given: Json, names: dict[str, str]) -> Json:
    return {
        field: names[value[1:]] if isinstance(value, str) and value[:1] == "$" else value
        for field, value in given.items()
    }


def asked(case: Case, names: dict[str, str], key: str) -> Json:
    given = named(case.given, names) | {"idempotencyKey": key}
    return given | {"tenant": names["tenant"]} if case.named else given


@pytest.fixture(scope="module")
async def shop(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    errors: Path = tmp_path_factory.mktemp("served") / "served.log"
    async with cloned(servers, template) as database:
        variables = {
            "KUOTA_DATABASE_URL": database.app_url,
            "KUOTA_DATABASE_OWNER_URL": database.owner_url,
            "KUOTA_REDIS_URL": f"{servers.addresses.redis_url}?db=62",
            "KUOTA_OPERATOR_KEY": OPERATOR_KEY,
            "KUOTA_DRAIN_SECONDS": "0",
            # Who has reports mailed needs a server, though none of these is due.
            "KUOTA_SMTP_URL": "smtp://127.0.0.1:9",
        }
        server = await run_served(variables=variables, errors=errors)
        owner = await asyncpg.connect(database.owner_url)
        headers = {"authorization": f"Bearer {OPERATOR_KEY}"}
        async with httpx2.AsyncClient(base_url=server.url, headers=headers) as client:
            yield Shop(client, owner, count(1))
        await owner.close()
        await server.stop()


@pytest.mark.parametrize("name", sorted(CASES))
async def test_the_same_again_is_the_same_answer(shop: Shop, name: str) -> None:
    """BA-7: letter by letter, nothing moves twice, and other content is a conflict."""
    case = CASES[name]
    names = await shop.tenant(case)
    before = await shop.books(names["tenant"])
    given, query = asked(case, names, "once"), STEADY.get(name) or document(name)
    first = await shop.sent(query, given)
    answer = json.loads(first)
    assert "errors" not in answer
    assert answer["data"][name]["userErrors"] == []
    moved = await shop.books(names["tenant"])
    assert moved != before, f"{name} did nothing: its case proves nothing"
    assert await shop.sent(query, given) == first
    assert await shop.books(names["tenant"]) == moved
    others = [] if case.other is None else [(name, given | case.other)]
    if name not in {"authorize", "exportCreate", "reportScheduleCreate"}:
        # The key is the tenant's, whatever it was used for; sends, exports and their schedules
        # have their own.
        adjustment = CASES["adjustmentCreate"]
        other = asked(adjustment, names, "once") | {"amount": "-9"}
        others.append(("adjustmentCreate", other))
    for what, content in others:
        reused = json.loads(await shop.raw(what, content))
        (error,) = reused["data"][what]["userErrors"]
        assert (error["code"], error["field"]) == ("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")
    assert await shop.books(names["tenant"]) == moved


@pytest.mark.parametrize("name", sorted(CASES))
async def test_at_once_under_one_key_it_is_done_once(shop: Shop, name: str) -> None:
    """BA-7: whoever comes first does it, and all are told of that."""
    case = CASES[name]
    alone, together = await shop.tenant(case), await shop.tenant(case)
    await shop.raw(name, asked(case, alone, "once"))
    given = asked(case, together, "once")
    query = STEADY.get(name) or document(name)
    answers = await asyncio.gather(*(shop.sent(query, given) for _ in range(3)))
    done = await shop.sent(query, given)
    assert json.loads(done)["data"][name]["userErrors"] == []
    assert done in answers
    for other in set(answers) - {done}:
        errors = json.loads(other)["data"][name]["userErrors"]
        assert (name in WAITING, [each["code"] for each in errors]) == (True, ["SETTLING"])
    rows = [
        {
            table: found if isinstance(found, int) else found["count"]
            for table, found in (await shop.books(names["tenant"])).items()
        }
        for names in (alone, together)
    ]
    assert rows[0] == rows[1]


async def test_a_fact_counts_once(shop: Shop) -> None:
    """EV-1: the same again is told to be known, other content under its id to be a conflict."""
    names = await shop.tenant()
    event = {
        "id": "e", "source": "crm", "type": "message.delivered", "subject": names["tenant"],
        "time": "2026-11-20T10:00:00+07:00",
        "data": {
            "number": names["address"], "contact": "+6281110000077", "category": "marketing",
            "template": "sale",
        },
    }  # fmt: skip
    query = document("usageRecord")
    first = await shop.do(query, events=[event])
    moved = await shop.books(names["tenant"])
    statuses = [first["results"][0]["status"]]
    for content in ({}, {"time": "2026-11-20T11:00:00+07:00"}):
        again = await shop.do(query, events=[event | content])
        statuses.append(again["results"][0]["status"])
    assert statuses == ["ACCEPTED", "DUPLICATE", "CONFLICT"]
    assert await shop.books(names["tenant"]) == moved
    answers = await asyncio.gather(
        *(shop.do(query, events=[event | {"id": "f"}]) for _ in range(3))
    )
    told = sorted(each["results"][0]["status"] for each in answers)
    assert told == ["ACCEPTED", "DUPLICATE", "DUPLICATE"]


async def test_a_send_is_granted_once(shop: Shop) -> None:
    """OC-3: over its own route, one hold under a key; released twice, it gives back once."""
    names = await shop.tenant()
    send = {
        "tenant": names["tenant"], "key": "k", "number": names["address"],
        "contact": "+6281110000013", "category": "marketing",
    }  # fmt: skip
    answers = await asyncio.gather(*(shop.client.post("/v1/authorize", json=send) for _ in "123"))
    (content,) = {answer.content for answer in answers}
    hold = json.loads(content)["hold"]
    other = await shop.client.post("/v1/authorize", json=send | {"contact": "+6281110000014"})
    assert other.json()["reason"] == "idempotency_key_reused"
    moved = await shop.books(names["tenant"])
    assert moved["holds"]["count"] == 1
    release = document("holdRelease")
    given = {"tenant": names["tenant"], "hold": hold}
    first = await shop.do(release, **given)
    freed = await shop.books(names["tenant"])
    assert freed != moved
    again = await shop.do(release, **given)
    assert (first["released"], [each["balance"] for each in first["amounts"]]) == (
        True, ["whatsapp"]
    )  # fmt: skip
    assert (again["released"], again["amounts"]) == (False, [])
    assert await shop.books(names["tenant"]) == freed
