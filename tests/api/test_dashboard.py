"""A dashboard's first query: each field is one statement, for one tenant or for twenty-five.

Statements are counted where the driver sends them, on every connection of the process.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import asyncpg
import httpx2
import pytest
from strawberry.extensions import SchemaExtension

from api.schema.root import schema
from api.transport.extension import Documents
from persistence import connection
from persistence.connection import Connection
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask
from tests.conftest import OPERATOR_KEY

KeyOf: TypeAlias = Callable[..., Awaitable[str]]

TENANTS = [f"shop-{n:02}" for n in range(25)]
SCOPES = ("usage:read", "billing:read")

FIGURES = """
fragment Figures on Tenant {
  key name
  period { label start end }
  balances {
    key name kind used { value formatted } remaining { value formatted } percentUsed
    lots { source amount { value } remaining { value } endsAt }
    rates { rule price currency }
  }
  month: usageSeries(metrics: [CONVERSATIONS, COST], range: {preset: THIS_MONTH}, bucket: DAY) {
    metric points { start value complete }
  }
  week: usageSeries(metrics: [CONVERSATIONS], range: {preset: LAST_7_DAYS}, bucket: DAY,
      groupBy: [CATEGORY]) {
    key { value } compact { starts values }
  }
  numbers { channel address }
}
"""
LIVE = "live { openConversations openWindows visitors version }"
CHARGES = "charges(first: 20) { nodes { at rule amount { value } lots { lot amount { value } } } }"

#: A morning's figures: compared, a year of them, by balance, and whether they are final.
SUMMARY = """
fragment Summary on Tenant {
  usageRanges { usage users }
  today: usageSeries(metrics: [CONVERSATIONS, COST_TOP_UP], range: {preset: LAST_7_DAYS},
      compare: true) { total estimate previous { total toDate change compact { values } } }
  month: usageSummary(range: {preset: THIS_MONTH}, compare: true) {
    estimate metrics { value previous change } cards { delivered { value } }
    conversations { total { value } byCategory { category value } }
    costs { total { amount { value } } } balances { key used { value } }
  }
  year: usageSummary(range: {dates: {from: "2026-01-01", until: "2099-12-31"}}) {
    cards { delivered { value } }
  }
}
"""

#: What only opens and closes transactions, or says whose rows they may see.
AROUND = ("begin", "commit", "rollback", "set ", "select current_user")
#: What the driver asks for itself, once a connection or at its return.
OF_DRIVER = ("SELECT ", "WITH RECURSIVE ")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that is sent on a connection opened from now on."""
    statements: list[str] = []
    lower = connection.lower

    def note(query: asyncpg.connection.LoggedQuery) -> None:
        if not query.query.lstrip().startswith(AROUND + OF_DRIVER):
            statements.append(query.query)

    async def heard(opened: Connection) -> str:
        opened.add_query_logger(note)
        return await lower(opened)

    monkeypatch.setattr(connection, "lower", heard)
    return statements


@pytest.fixture
async def shops(asked: list[str], ask: Ask, client: httpx2.AsyncClient) -> list[str]:
    """Tenants that each had a visitor, an answered conversation and a charged template."""
    now = datetime.now(UTC)
    events: list[dict[str, Any]] = []
    for n, key in enumerate(TENANTS):
        await ask(TENANT_CREATE, input={"key": key, "plan": "omnichannel-idr"})
        number = {"tenant": key, "channel": "whatsapp", "address": f"+6280012340{n:02}"}
        await ask(NUMBER_CREATE, input=number)
        for minutes, kind in enumerate(("received", "delivered", "delivered")):
            data = {"number": number["address"], "contact": f"+62811000001{minutes % 2}"}
            events.append(
                {
                    "id": f"{key}-{minutes}",
                    "source": "crm",
                    "subject": key,
                    "type": f"message.{kind}",
                    "time": (now - timedelta(minutes=3 - minutes)).isoformat(),
                    "data": data,
                }
            )
    answer = await client.post(
        "/v1/events",
        content=json.dumps(events),
        headers={"content-type": "application/json", "authorization": f"Bearer {OPERATOR_KEY}"},
    )
    assert {result["status"] for result in answer.json()["results"]} == {"accepted"}
    return TENANTS


#: What only one field's statement has; usage series are two, for their arguments differ.
MARKS = {
    "tenant": "billing::text as billing, invoicing from tenants where",
    "balances": "with asked as materialized",
    "usage": "from usage_day",
    "numbers": "from numbers where tenant_id = any",
    "live": "select tenant_id, version, seated from tenant_head",
    "charges": "p.part, p.revision, p.reversal, p.booked_at",
    "balances of a range": "select sum(used) as used from lot_days",
    "closed": "select tenant_id, closed_until from tenant_head",
}
ONE_EACH = {"tenant": 1, "balances": 1, "usage": 2, "numbers": 1, "live": 1, "charges": 1}


def total(values: Iterable[str | None]) -> Decimal:
    """The sum of a series; what is still to come adds nothing."""
    return sum((Decimal(value) for value in values if value is not None), Decimal(0))


def of_one(*fields: str) -> str:
    return f"query ($tenant: String!) {{ tenant(key: $tenant) {{ {' '.join(fields)} }} }}"


def of_all(*fields: str) -> str:
    return f"{{ tenants(first: {len(TENANTS)}) {{ nodes {{ {' '.join(fields)} }} }} }}"


def sent(asked: list[str]) -> dict[str, int]:
    """How many statements each field sent; none may be sent once for each tenant."""
    often = [text for text, times in Counter(asked).items() if times >= len(TENANTS)]
    assert often == []
    return {
        field: count
        for field, mark in MARKS.items()
        if (count := sum(mark in " ".join(text.split()) for text in asked))
    }


async def test_a_first_query_of_a_tenant_is_one_statement_a_field(
    asked: list[str], shops: list[str], ask: Ask, key_of: KeyOf
) -> None:
    key = await key_of(shops[0], *SCOPES)
    asked.clear()
    answer = await ask(of_one("...Figures", LIVE, CHARGES) + FIGURES, key=key, tenant=shops[0])
    assert sent(asked) == ONE_EACH

    tenant = answer["data"]["tenant"]
    used = {balance["key"]: balance["used"]["value"] for balance in tenant["balances"]}
    assert used == {"conversations": "2", "visitors": "1", "whatsapp": "0"}
    assert sum(len(balance["rates"]) for balance in tenant["balances"]) > len(used)
    assert len(tenant["charges"]["nodes"]) == 3
    assert tenant["live"]["visitors"] == 1
    conversations, cost = tenant["month"]
    assert total(point["value"] for point in conversations["points"]) == 2
    assert total(point["value"] for point in cost["points"]) == 0
    assert total(value for series in tenant["week"] for value in series["compact"]["values"]) == 2


async def test_twenty_five_tenants_send_no_more_statements_than_one(
    asked: list[str], shops: list[str], ask: Ask
) -> None:
    asked.clear()
    answer = await ask(of_all("...Figures", LIVE, CHARGES) + FIGURES)
    assert sent(asked) == ONE_EACH
    nodes = answer["data"]["tenants"]["nodes"]
    assert [node["key"] for node in nodes] == shops
    assert {node["live"]["visitors"] for node in nodes} == {1}
    assert {len(node["charges"]["nodes"]) for node in nodes} == {3}
    assert {node["balances"][1]["used"]["value"] for node in nodes} == {"1"}


async def test_summaries_of_twenty_five_tenants_are_one_statement_a_field(
    asked: list[str], shops: list[str], ask: Ask
) -> None:
    """FI-2: compared or not, of a month or a year; one that compares reads both ranges at once, and
    two summaries that sum alike, of whatever ranges, are one."""
    asked.clear()
    answer = await ask(of_all("...Summary") + SUMMARY)
    assert sent(asked) == {"tenant": 1, "usage": 2, "balances of a range": 1, "closed": 1}
    nodes = answer["data"]["tenants"]["nodes"]
    for node in nodes:
        assert node["year"]["cards"]["delivered"] == {"value": "2"}
        assert node["month"]["conversations"]["total"] == {"value": "2"}
        used = {balance["key"]: balance["used"]["value"] for balance in node["month"]["balances"]}
        assert used == {"conversations": "2", "visitors": "1", "whatsapp": "0"}
        conversations, _ = node["today"]
        assert (conversations["total"], conversations["previous"]["total"]) == ("2", "0")
        assert conversations["estimate"] is node["month"]["estimate"] is True
    assert {node["usageRanges"]["users"] for node in nodes} == {"TODAY"}


async def test_tenants_asked_for_by_their_keys_share_their_statements(
    asked: list[str], shops: list[str], ask: Ask
) -> None:
    each = " ".join(
        f't{n}: tenant(key: "{key}") {{ key balances {{ key }} numbers {{ address }} }}'
        for n, key in enumerate(shops)
    )
    asked.clear()
    answer = await ask(f"{{ {each} }}")
    assert sent(asked) == {"tenant": 1, "balances": 1, "numbers": 1}
    assert [tenant["key"] for tenant in answer["data"].values()] == shops


PEOPLE = """
seats { available }
userUsage(range: {preset: TODAY}) {
  totalCount byRole { count } estimate unassigned { messagesOut }
  nodes { user { name } firstActivity lastActivity figures { messagesOut cost { value } } }
}
"""
#: What only the statements of people have; none is sent again for another row, or another tenant.
OF_PEOPLE = (
    "select tenant_id, seated from tenant_head", "last.role as last_role",
    "array_agg(external_id) as known", "from usage_day", "from user_activity u",
    "select tenant_id, closed_until from tenant_head",
)  # fmt: skip


async def test_people_of_twenty_five_tenants_are_as_many_statements_as_of_one(
    asked: list[str], shops: list[str], ask: Ask
) -> None:
    """US-1, US-2: seats, a page, its figures and its activity, counts, and what is closed."""
    create = "mutation ($input: UserCreateInput!) { userCreate(input: $input) { user { id } } }"
    for shop in shops:
        for name in ("ana", "ben"):
            given = {"tenant": shop, "name": name, "email": f"{name}@example.com", "role": "AGENT"}
            assert (await ask(create, input=given))["data"]["userCreate"]["user"]
    for query, variables in ((of_one(PEOPLE), {"tenant": shops[0]}), (of_all(PEOPLE), {})):
        asked.clear()
        answer = await ask(query, **variables)
        sent(asked)
        counts = [sum(mark in " ".join(text.split()) for text in asked) for mark in OF_PEOPLE]
        assert counts == [1] * len(OF_PEOPLE)
    for tenant in answer["data"]["tenants"]["nodes"]:
        assert tenant["seats"] == {"available": 8}
        assert [node["user"]["name"] for node in tenant["userUsage"]["nodes"]] == ["ana", "ben"]
        assert tenant["userUsage"]["unassigned"] == {"messagesOut": "2"}


async def test_a_document_is_read_once_whoever_sends_it(
    shops: list[str], ask: Ask, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither parser nor validation runs again: for another key, another tenant, other values."""
    query = of_one("...Figures", LIVE, CHARGES) + FIGURES
    key = await key_of(shops[1], *SCOPES)
    first = await ask(query, tenant=shops[0])
    for place in (
        "api.transport.documents.parse",
        "api.transport.extension.validate_document",
        "strawberry.schema.schema.parse",
        "strawberry.schema.schema.validate_document",
    ):
        monkeypatch.setattr(place, None)
    second = await ask(query, key=key, tenant=shops[1])
    assert second["data"]["tenant"]["key"] == shops[1]
    assert second["extensions"] == first["extensions"]


def test_the_schema_has_one_extension_and_it_does_not_wrap_fields() -> None:
    """A `resolve` of an extension is called for every value of every list."""
    assert list(schema.extensions) == [Documents]
    assert Documents.resolve is SchemaExtension.resolve
