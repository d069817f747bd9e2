"""What dashboards read: rollups, lots and lists, and never what came in or what it was charged.

Every statement of every dashboard is taken as the served schema runs it and run again under EXPLAIN
on a filled database, as the app's role: which tables it touched stands in the plan.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from api.app import create_app
from api.settings import Clock, Settings
from persistence import connection as connections
from persistence.connection import Connection, connect
from persistence.door import tenant_scope
from tests.conftest import OPERATOR_KEY, Database, on
from tests.persistence.test_plans_of_queries import (
    FILLED,
    FILLING,
    LARGE,
    PARTITION,
    TENANTS,
    literal,
    read_whole,
)

KEY = "shop"
NUMBER = "+628001234001"
#: What a dashboard has no business with: as many rows as things happened.
FORBIDDEN = frozenset({"facts", "fact_keys", "charges", "messages", "conflicts", "contacts"})

#: Where statements of the present question go; jobs of the process have none.
hearing: ContextVar[list[tuple[str, tuple[Any, ...]]] | None] = ContextVar("hearing", default=None)

AMOUNT = "{ value formatted }"
COMPARED = "{ metric value previous change }"
#: What dashboards ask for, by what they show.
DASHBOARDS = {
    "balances": f"balances {{ key used {AMOUNT} remaining {AMOUNT} held {AMOUNT} percentUsed }}",
    "a balance's lots": 'balance(key: "whatsapp") { lots { source remaining { value } } }',
    "live": "live { openConversations openWindows visitors version }",
    "seats": "seats { maximum used available }",
    "a quarter by day": "usageSeries(metrics: [CONVERSATIONS, MESSAGES_OUT, COST],"
    " range: {preset: LAST_90_DAYS}) { metric points { start value } }",
    "today by hour": "usageSeries(metrics: [MESSAGES_IN, UNITS], range: {preset: TODAY},"
    " bucket: HOUR) { metric compact { starts values } }",
    "a week split": "usageSeries(metrics: [MESSAGES_OUT], range: {preset: LAST_7_DAYS},"
    " groupBy: [CATEGORY, COUNTRY], compare: true) { key { value } compact { values } }",
    "one number": "usageSeries(metrics: [MESSAGES_OUT], range: {preset: LAST_30_DAYS},"
    f' filter: {{numbers: ["{NUMBER}"], directions: ["out"]}}) {{ compact {{ values }} }}',
    "a month summed up": "usageSummary(range: {preset: THIS_MONTH}, compare: true) {"
    f" start end asOf complete estimate metrics {COMPARED} cards {{ __typename }}"
    " conversations { __typename } costs { __typename } balances { key } }",
    "a year summed up": 'usageSummary(range: {dates: {from: "2026-01-01", until: "2026-12-31"}})'
    " { metrics { metric value } balances { key } }",
    "broadcasts": "broadcasts(range: {preset: LAST_30_DAYS}) { nodes { id recipients delivered read"
    " failed pending messages conversations cost { value } byCategory { __typename }"
    " byCountry { __typename } } }",
    "one broadcast": 'broadcast(id: "sale") { id recipients messages cost { value } }',
    "people": "userUsage(range: {preset: LAST_7_DAYS}) { totalCount byRole { __typename }"
    " unassigned { __typename messagesOut } nodes { role active firstActivity lastActivity"
    " figures { messagesOut cost { value } } } }",
    "people by cost": "userUsage(range: {preset: LAST_7_DAYS},"
    " sort: {by: COST, direction: DESCENDING}) { nodes { figures { cost { value } } } }",
    "people by name": "userUsage(range: {preset: LAST_7_DAYS}, sort: {by: NAME})"
    " { nodes { user { name } } }",
    "users": "users { nodes { email } }",
    "invoices": "invoices(first: 20) { nodes { id number status total { value } lineCount } }",
    "subscriptions": "subscriptions { key status components { key total { value } } }",
}


@pytest.fixture
async def heard(
    database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[tuple[str, tuple[Any, ...]]]]:
    """The statements of each dashboard with their parameters; its answer had no error."""
    lower = connections.lower

    def note(query: asyncpg.connection.LoggedQuery) -> None:
        if query.args and (statements := hearing.get()) is not None:
            statements.append((query.query, tuple(query.args)))

    async def told(opened: Connection) -> str:
        opened.add_query_logger(note)
        return await lower(opened)

    monkeypatch.setattr(connections, "lower", told)
    found: dict[str, list[tuple[str, tuple[Any, ...]]]] = {}
    async with asking(database, redis_url) as http:
        await furnish(http)
        for name, fields in DASHBOARDS.items():
            hearing.set(found.setdefault(name, []))
            await asked(http, f'{{ tenant(key: "{KEY}") {{ {fields} }} }}')
            hearing.set(None)
    return found


@asynccontextmanager
async def asking(database: Database, redis_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(
        Settings(
            database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
        ),
        Clock(),
    )  # fmt: skip
    headers = {"authorization": f"Bearer {OPERATOR_KEY}", "content-type": "application/json"}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://kuota", headers=headers
        ) as http,
    ):
        yield http


async def asked(http: httpx2.AsyncClient, query: str, **variables: Any) -> dict[str, Any]:
    answer = (await http.post("/graphql", json={"query": query, "variables": variables})).json()
    assert "errors" not in answer, (query, answer)
    return dict(answer["data"])


async def furnish(http: httpx2.AsyncClient) -> None:
    """A tenant with a number, and a fact of each kind that a dashboard counts."""
    for mutation, given in (
        ("tenantCreate", {"key": KEY, "plan": "omnichannel-idr"}),
        ("numberCreate", {"tenant": KEY, "channel": "whatsapp", "address": NUMBER}),
        ("userCreate", {"tenant": KEY, "email": "ann@shop.example", "name": "Ann",
                        "role": "AGENT"}),
    ):  # fmt: skip
        kind = f"{mutation[0].upper()}{mutation[1:]}Input!"
        answer = f"{mutation}(input: $input) {{ userErrors {{ code }} }}"
        query = f"mutation ($input: {kind}) {{ {answer} }}"
        data = await asked(http, query, input=given)
        assert data[mutation]["userErrors"] == []
    now = datetime.now(UTC)
    events = [
        {
            "id": f"{n}", "source": "crm", "subject": KEY, "type": f"message.{kind}",
            "time": (now - timedelta(hours=1 + n)).isoformat(),
            "data": {"number": NUMBER, "contact": f"+62811000001{n % 2}", **more},
        }
        for n, (kind, more) in enumerate((
            ("received", {"user": "ann@shop.example"}),
            ("delivered", {"category": "marketing", "template": "sale_1", "broadcast": "sale"}),
            ("delivered", {}),
        ))
    ]  # fmt: skip
    told = await http.post("/v1/events", json=events)
    assert {each["status"] for each in told.json()["results"]} == {"accepted"}, told.text


async def fill(database: Database) -> None:
    """Rows of other tenants in every table that grows, and statistics that say so."""
    heads = f"insert into tenant_head select n from generate_series(1001, {FILLED}) n"
    tenants = (
        f" from generate_series(1001, {1000 + TENANTS}) t,"
        f" generate_series(1, {FILLED // TENANTS}) n"
    )
    await on(database.owner_url, heads, *(each + tenants for each in FILLING), "analyze")


def touched(plan: Any) -> Iterator[str]:
    """The tables that a plan has read from, those of steps that were never begun left out."""
    if isinstance(plan, list):
        for each in plan:
            yield from touched(each)
    if not isinstance(plan, dict) or plan.get("Actual Loops") == 0:
        return
    name = plan.get("Relation Name", plan.get("Index Name"))
    if name is not None:
        yield PARTITION.sub("", str(name))
    for value in plan.values():
        yield from touched(value)


def given_as(value: Any) -> str:
    """A parameter as SQL writes it; lists may have nulls in them."""
    if not isinstance(value, list | tuple):
        return literal(value.isoformat() if isinstance(value, date) else value)
    items = [
        "NULL" if each is None else json.dumps(given_as(each)[1:-1].replace("''", "'"))
        for each in value
    ]
    return literal(f"{{{','.join(items)}}}")


async def run_again(
    connection: Connection, tenant_id: int, query: str, arguments: tuple[Any, ...]
) -> Any:
    """The plan of a statement that was run, as readers plan it: once, for whatever values.

    As the system's role where the statement is the system's.
    """
    given = f"({', '.join(map(given_as, arguments))})" if arguments else ""
    for scope in (tenant_scope([tenant_id]), "set local role kuota_system"):
        await connection.execute(f"begin; {scope}")
        await connection.execute("set local plan_cache_mode = force_generic_plan")
        await connection.execute(f"prepare asked as {query}")
        try:
            explain = f"explain (analyze, timing off, format json) execute asked {given}"
            return json.loads(await connection.fetchval(explain))
        except asyncpg.InsufficientPrivilegeError:
            continue
        finally:
            await connection.execute("rollback; deallocate asked")
    raise AssertionError(f"nobody may ask {query}")


async def test_no_dashboard_reads_facts_charges_or_messages(
    database: Database, heard: dict[str, list[tuple[str, tuple[Any, ...]]]]
) -> None:
    """Whatever was recorded, a dashboard costs what its days and lots are."""
    await fill(database)
    connection = await connect(database.app_url)
    tenant_id = await _tenant(database)
    wrong: list[tuple[str, list[str], str]] = []
    seen: set[str] = set()
    for name, statements in heard.items():
        assert statements, f"{name} asks the database for something"
        for query, arguments in statements:
            plan = await run_again(connection, tenant_id, query, arguments)
            tables = set(touched(plan))
            seen |= tables
            if found := tables & (FORBIDDEN | set(read_whole(plan)) & LARGE):
                wrong.append((name, sorted(found), query))
    await connection.close()
    assert wrong == []
    assert seen >= {"usage_day", "usage_hour", "lots", "invoices", "broadcasts", "user_activity"}


async def test_the_way_of_looking_sees_what_is_read(database: Database) -> None:
    """A statement that reads facts is found out, and one that only could is not."""
    await fill(database)
    connection = await connect(database.app_url)
    for query, expected in (
        ("select count(*) from facts where tenant_id = $1", "facts"),
        ("select (select count(*) from facts where tenant_id = $1 and $1 = 0) from tenant_head"
         " where tenant_id = $1", "tenant_head"),
    ):  # fmt: skip
        plan = await run_again(connection, 1001, query, (1001,))
        assert set(touched(plan)) & {"facts", "tenant_head"} == {expected}
    await connection.close()


async def _tenant(database: Database) -> int:
    owner = await asyncpg.connect(database.owner_url)
    try:
        return int(await owner.fetchval("select tenant_id from tenants where key = $1", KEY))
    finally:
        await owner.close()
