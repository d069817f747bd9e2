"""Broadcasts as people see them: pages, figures, rights, and that nobody sees another's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from domain.periods import DAY, HOUR, MINUTE, iso
from persistence import connection
from persistence.connection import Connection
from tests.api.conftest import NUMBER_CREATE, Ask, Json
from tests.conftest import on

KeyOf = Callable[..., Awaitable[str]]

#: 2026-10-20 10:00 in Jakarta, within the rules of that October.
NOON = 1_792_465_200_000_000
OCTOBER = '{dates: {from: "2026-10-01", until: "2026-10-31"}}'

RECORD = """mutation ($input: UsageRecordInput!) { usageRecord(input: $input) {
  results { status reason } userErrors { message } } }"""
COUNTS = "id startedAt lastAt recipients delivered read failed pending"
LIST = f"""query ($first: Int!, $after: String, $search: String, $tenant: String!) {{
  tenant(key: $tenant) {{
    broadcasts(range: {OCTOBER}, first: $first, after: $after, filter: {{search: $search}}) {{
      nodes {{ {COUNTS} }} edges {{ cursor }} pageInfo {{ hasNextPage endCursor }} }} }} }}"""
ONE = f"""query ($tenant: String!, $id: ID!) {{ tenant(key: $tenant) {{ broadcast(id: $id) {{
  {COUNTS} messages conversations asOf estimate cost {{ value currency }}
  byCategory {{ category messages conversations cost {{ value }} }}
  byCountry {{ country messages conversations cost {{ value }} }} }} }} }}"""


@pytest.fixture
async def numbers(ask: Ask, tenants: list[str]) -> None:
    """A number of each tenant: +62800000001 and +62800000002."""
    for n, tenant in enumerate(tenants, 1):
        wanted = {"tenant": tenant, "channel": "whatsapp", "address": f"+62 800 0000 0{n}"}
        answer = await ask(NUMBER_CREATE, input=wanted)
        assert answer["data"]["numberCreate"]["userErrors"] == [], answer


async def send(ask: Ask, *events: tuple[str, str, int, str], tenant: str = "one") -> None:
    """Events of kind, contact, minutes after noon, broadcast."""
    number = {"one": "+62800000001", "two": "+62800000002"}[tenant]
    items = [
        {
            "id": f"{broadcast} {kind} {contact}", "source": "crm", "type": f"message.{kind}",
            "subject": tenant, "time": iso(NOON + minutes * MINUTE),
            "data": {
                "number": number, "contact": contact, "broadcast": broadcast,
                "category": "marketing", "template": "sale", "message_id": broadcast,
            },
        }
        for kind, contact, minutes, broadcast in events
    ]  # fmt: skip
    answer = await ask(RECORD, input={"events": items})
    results = answer["data"]["usageRecord"]["results"]
    assert {result["status"] for result in results} <= {"ACCEPTED", "UNRATED"}, answer


async def listed(ask: Ask, first: int = 10, tenant: str = "one", **how: Any) -> Json:
    answer = await ask(
        LIST, **{"first": first, "tenant": tenant, "after": None, "search": None} | how
    )
    found: Json = answer["data"]["tenant"]["broadcasts"]
    return found


async def names(ask: Ask, **how: Any) -> list[str]:
    return [node["id"] for node in (await listed(ask, **how))["nodes"]]


async def test_a_broadcast_tells_whom_it_reached_and_what_it_took(ask: Ask, numbers: None) -> None:
    """CO-2, FI-2: each recipient once, in one state; the parts add up to the whole."""
    await send(
        ask,
        ("sent", "+6281110000001", 0, "sale"),
        ("read", "+6281110000001", 9, "sale"),
        ("delivered", "+6281110000001", 8, "sale"),
        ("delivered", "+6591110002", 1, "sale"),
        ("sent", "+6281110000003", 2, "sale"),
        ("failed", "+6281110000003", 3, "sale"),
        ("sent", "+6281110000004", 4, "sale"),
    )

    found = (await ask(ONE, tenant="one", id="sale"))["data"]["tenant"]["broadcast"]

    (category,) = found.pop("byCategory")
    countries = found.pop("byCountry")
    cost = found.pop("cost")
    assert found.pop("asOf") > iso(NOON)
    assert found == {
        "id": "sale", "startedAt": iso(NOON), "lastAt": iso(NOON + 9 * MINUTE), "recipients": 4,
        "delivered": 2, "read": 1, "failed": 1, "pending": 1, "messages": 2, "conversations": 2,
        "estimate": True,
    }  # fmt: skip
    assert cost["currency"] == "IDR"
    assert float(cost["value"]) > 0
    assert category == {
        "category": "marketing", "messages": 2, "conversations": 2, "cost": {"value": cost["value"]}
    }  # fmt: skip
    assert {each["country"]: each["messages"] for each in countries} == {"ID": 1, "SG": 1}
    assert sum(float(each["cost"]["value"]) for each in countries) == float(cost["value"])


async def test_what_broadcasts_took_is_what_series_say_of_them(ask: Ask, numbers: None) -> None:
    """FI-2: the same filter, the same figures, to the last digit."""
    sent = [
        (f"+62811100000{contact:02}", name)
        for name, count in (("sale", 7), ("news", 3), ("none", 0))
        for contact in range(count)
    ]
    await send(ask, *(("delivered", contact, 1, name) for contact, name in sent))
    await send(ask, ("failed", "+6281110000001", 2, "none"))
    series = (
        await ask(f"""{{ tenant(key: "one") {{
      usageSeries(metrics: [MESSAGES_OUT, CONVERSATIONS, COST], range: {OCTOBER},
          groupBy: [BROADCAST]) {{ metric key {{ value }} points {{ value }} }}
      broadcasts(range: {OCTOBER}) {{ nodes {{ id messages conversations cost {{ value }} }} }}
    }} }}""")
    )["data"]["tenant"]

    sums: Json = {"none": {"MESSAGES_OUT": 0, "CONVERSATIONS": 0, "COST": 0}}
    for each in series["usageSeries"]:
        total = sum(Decimal(point["value"] or 0) for point in each["points"])
        sums.setdefault(each["key"][0]["value"], {})[each["metric"]] = total
    assert sums == {
        node["id"]: {
            "MESSAGES_OUT": node["messages"], "CONVERSATIONS": node["conversations"],
            "COST": Decimal(node["cost"]["value"]),
        }
        for node in series["broadcasts"]["nodes"]
    }  # fmt: skip
    assert sums["sale"]["COST"] > sums["news"]["COST"] > 0


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that is sent on a connection opened from now on."""
    sent: list[str] = []
    lower = connection.lower

    async def heard(opened: Connection) -> str:
        opened.add_query_logger(note)
        return await lower(opened)

    def note(query: asyncpg.connection.LoggedQuery) -> None:
        sent.append(query.query)

    monkeypatch.setattr(connection, "lower", heard)
    return sent


async def test_a_page_is_two_statements_for_any_tenants(
    statements: list[str], ask: Ask, numbers: None, owner_url: str
) -> None:
    """One lists, one says what they took; none of them reads a fact. That figures of a whole life
    may still change needs none: whatever is closed, a late fact or rate is of them."""
    for tenant in ("one", "two"):
        await send(
            ask, *(("delivered", "+6281110000001", n, f"b{n}") for n in range(9)), tenant=tenant
        )
    await on(owner_url, f"update tenant_head set closed_until = {NOON + 99 * DAY}")
    statements.clear()

    answer = await ask(f"""{{ tenants(first: 2) {{ nodes {{
      broadcasts(range: {OCTOBER}, first: 10) {{ nodes {{ {COUNTS}
      messages conversations estimate cost {{ value }}
      byCategory {{ category cost {{ value }} }} byCountry {{ country messages }} }} }} }} }} }}""")

    found = [len(each["broadcasts"]["nodes"]) for each in answer["data"]["tenants"]["nodes"]]
    assert found == [9, 9]
    nodes = [node for each in answer["data"]["tenants"]["nodes"]
             for node in each["broadcasts"]["nodes"]]  # fmt: skip
    assert {node["estimate"] for node in nodes} == {True}
    reading = [each for each in statements if "unnest($1" in each or "closed_until" in each]
    assert [sum(word in each for each in reading) for word in (
        "from broadcasts b", "from usage_day u", "closed_until"
    )] == [1, 1, 0]  # fmt: skip
    assert not [each for each in statements if "from facts" in each or "charges" in each]


async def test_pages_go_on_where_they_ended(ask: Ask, numbers: None) -> None:
    """TZ-6: those that began within the tenant's local days, the last begun first."""
    for n, name in enumerate(("a", "b", "c")):
        await send(ask, ("sent", "+6281110000001", n, name))
    await send(ask, ("sent", "+6281110000001", 0, "a2"))
    await send(ask, ("sent", "+6281110000001", -21 * DAY // MINUTE, "september"))

    first = await listed(ask, first=2)
    assert [node["id"] for node in first["nodes"]] == ["c", "b"]
    assert first["pageInfo"]["hasNextPage"]
    # One that begins meanwhile moves none.
    await send(ask, ("sent", "+6281110000001", HOUR // MINUTE, "d"))
    rest = await listed(ask, first=2, after=first["pageInfo"]["endCursor"])
    assert [node["id"] for node in rest["nodes"]] == ["a2", "a"]
    assert rest["pageInfo"] == {"hasNextPage": False, "endCursor": rest["edges"][1]["cursor"]}
    assert await names(ask) == ["d", "c", "b", "a2", "a"]
    assert await names(ask, search="A") == ["a2", "a"]
    assert await names(ask, search="no such") == []


async def test_the_longest_name_has_a_cursor(ask: Ask, numbers: None) -> None:
    for name in ("😀" * 100, "x" * 100):
        await send(ask, ("sent", "+6281110000001", 0, name))

    first = await listed(ask, first=1)

    assert [node["id"] for node in first["nodes"]] == ["😀" * 100]
    assert await names(ask, after=first["pageInfo"]["endCursor"]) == ["x" * 100]


async def test_costs_need_the_billing_grant_and_the_rest_does_not(
    ask: Ask, numbers: None, key_of: KeyOf
) -> None:
    """PE-1: refused where it is asked for, never shown as nothing."""
    await send(ask, ("delivered", "+6281110000001", 0, "sale"))
    usage = await key_of("one", "usage:read")
    billing = await key_of("one", "billing:read")
    both = await key_of("one", "billing:read", "usage:read")

    async def code(query: str, key: str) -> str | None:
        answer = await ask(query, key=key)
        return answer["errors"][0]["extensions"]["code"] if answer.get("errors") else None

    for field in (
        "cost { value }",
        "byCategory { cost { value } }",
        "byCountry { cost { value } }",
    ):
        query = f'{{ tenant(key: "one") {{ broadcast(id: "sale") {{ {field} }} }} }}'
        assert await code(query, usage) == "FORBIDDEN"
        assert await code(query, billing) == "FORBIDDEN"
        assert await code(query, both) is None
    query = '{ tenant(key: "one") { broadcast(id: "sale") { messages byCategory { messages } } } }'
    assert await code(query, usage) is None
    assert await code(query, billing) == "FORBIDDEN"


async def test_nobody_sees_what_another_tenant_sent(ask: Ask, numbers: None, key_of: KeyOf) -> None:
    """One name of two tenants is two broadcasts."""
    await send(
        ask, ("delivered", "+6281110000001", 0, "sale"), ("sent", "+6281110000002", 1, "own")
    )
    await send(
        ask, ("sent", "+6281110000001", 5, "sale"), ("sent", "+6281110000009", 5, "sale"),
        tenant="two",
    )  # fmt: skip
    key = await key_of("two", "usage:read", "billing:read")

    page = await listed(ask, tenant="two")
    assert [(node["id"], node["recipients"]) for node in page["nodes"]] == [("sale", 2)]
    found = (await ask(ONE, key=key, tenant="two", id="sale"))["data"]["tenant"]["broadcast"]
    assert (found["delivered"], found["messages"], found["cost"]["value"]) == (0, 0, "0")
    assert found["byCategory"] == found["byCountry"] == []
    own = '{ tenant(key: "two") { broadcast(id: "own") { id } } }'
    assert (await ask(own, key=key))["data"]["tenant"]["broadcast"] is None


BAD = [
    ('broadcast(id: "a\\u0000") { id }', "no NUL"),
    (f'broadcast(id: "{"x" * 101}") {{ id }}', "at most 100 characters"),
    (f'broadcasts(range: {OCTOBER}, filter: {{search: "\\u0000"}}) {{ nodes {{ id }} }}',
     "`search` is no broadcast's name"),
    (f"broadcasts(range: {OCTOBER}, first: 101) {{ nodes {{ id }} }}", "write 1 to 100"),
    (f'broadcasts(range: {OCTOBER}, after: "x") {{ nodes {{ id }} }}', "is not a cursor"),
]  # fmt: skip


async def test_bad_input_is_told_what_would_be_right(
    ask: Ask, tenants: list[str], subtests: pytest.Subtests
) -> None:
    for field, words in BAD:
        with subtests.test(field=field):
            answer = await ask(f'{{ tenant(key: "one") {{ {field} }} }}')
            assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
            assert words in answer["errors"][0]["message"]


async def test_an_empty_or_a_strange_name_is_of_nothing(ask: Ask, tenants: list[str]) -> None:
    for name in ("", "no such", "\ud800", "' or 1=1"):
        assert (await ask(ONE, tenant="one", id=name))["data"]["tenant"]["broadcast"] is None
