"""Streams: all who follow the same are sent the same bytes, made once a change.

Each begins with what is true after it came, and nobody sees by another's rights.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from inspect import isawaitable
from itertools import count
from typing import Any

import httpx2
import pytest
from graphql import ExecutionResult, GraphQLError, create_source_event_stream
from graphql.execution import execute_subscription_event
from starlette.applications import Starlette

from api.context import Context
from api.errors import Fault
from api.transport.body import Params
from api.transport.completion import completion
from api.transport.protocol import Close, Code
from api.transport.sockets import Sockets
from api.transport.streams import Event
from api.transport.subscribing import Refused, executor_of, prepare
from domain.periods import DAY, iso
from persistence.board import Board
from tests.api.conftest import KEY_REVOKE, NUMBER_CREATE, Ask
from tests.api.test_agreements import PLAN_CHANGE
from tests.conftest import OPERATOR_KEY

OPERATOR = f"Bearer {OPERATOR_KEY}"
BALANCES = """subscription($tenant: String!, $after: StreamPosition) {
  balanceChanged(tenant: $tenant, after: $after) {
    position recovered cause balances { key used { value } version } } }"""
LIVE = "subscription($tenant: String!) { usageChanged(tenant: $tenant) { live { visitors } } }"
NUMBER = "+62800000001"
PATIENCE_SECONDS = 40.0

numbers = count(1)
KeyOf = Callable[..., Awaitable[str]]


class Somebody:
    """Who follows, and what it was given."""

    def __init__(self, authorization: str | None) -> None:
        self.authorization = authorization
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.over: asyncio.Queue[Sequence[GraphQLError] | Close | None] = asyncio.Queue()

    def deliver(self, event: Event) -> None:
        self.events.put_nowait(event)

    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        self.over.put_nowait(errors)

    def close(self, close: Close) -> None:
        self.over.put_nowait(close)

    async def next(self) -> Event:
        return await asyncio.wait_for(self.events.get(), PATIENCE_SECONDS)

    async def end(self) -> Sequence[GraphQLError] | Close | None:
        return await asyncio.wait_for(self.over.get(), PATIENCE_SECONDS)


class Feed:
    """The streams of an application, and a tenant whose balances move."""

    def __init__(self, app: Starlette, client: httpx2.AsyncClient) -> None:
        sockets: Sockets = app.state.sockets
        self.core = app.state.core
        self.streams = sockets.streams
        self._client = client

    async def follow(
        self, query: str, authorization: str = OPERATOR, **variables: Any
    ) -> tuple[Somebody, Callable[[], None]]:
        principal = await self.core.authenticator.authenticate(authorization)
        context: Context = self.core.context(principal, f"request-{next(numbers)}")
        follower = Somebody(authorization)
        params = Params(query, variables, None)
        return follower, await self.streams.follow(params, context, follower)

    async def visit(self, tenant: str = "one") -> None:
        """Somebody writes to the tenant who has not before."""
        event = {
            "id": f"visit-{next(numbers)}", "source": "test", "type": "message.received",
            "time": iso(self.core.clock.now()), "subject": tenant,
            "data": {"number": NUMBER, "contact": f"+62812{next(numbers):07}", "text": "hello"},
        }  # fmt: skip
        answer = await self._client.post(
            "/v1/events", json=event, headers={"authorization": OPERATOR}
        )
        assert answer.json()["results"][0]["status"] == "accepted", answer.text


@pytest.fixture
async def feed(app: Starlette, client: httpx2.AsyncClient, ask: Ask, tenants: list[str]) -> Feed:
    for tenant in tenants:
        wanted = {"tenant": tenant, "channel": "WHATSAPP", "address": NUMBER}
        answer = await ask(NUMBER_CREATE, input=wanted)
        assert answer["data"]["numberCreate"]["userErrors"] == []
    return Feed(app, client)


def shown(event: Event) -> dict[str, Any]:
    """The root field of an event."""
    (value,) = json.loads(event.payload)["data"].values()
    return dict(value)


def visitors(event: Event) -> str:
    return next(
        str(each["used"]["value"]) for each in shown(event)["balances"] if each["key"] == "visitors"
    )


async def test_a_change_is_made_once_for_all_who_follow(feed: Feed) -> None:
    everybody = [(await feed.follow(BALANCES, tenant="one"))[0] for _ in range(20)]
    assert {visitors(await each.next()) for each in everybody} == {"0"}
    made = feed.streams.events
    await feed.visit()
    events = [await each.next() for each in everybody]
    assert {visitors(event) for event in events} == {"1"}
    assert len({id(event) for event in events}) == 1, "all have the same bytes"
    assert feed.streams.events == made + 1
    assert len(feed.streams.running) == 1


async def test_who_comes_later_begins_with_what_is_true_by_then(feed: Feed) -> None:
    first, _ = await feed.follow(BALANCES, tenant="one")
    assert shown(await first.next())["cause"] == "SNAPSHOT"
    await feed.visit()
    assert shown(await first.next())["cause"] == "FACTS"
    second, _ = await feed.follow(BALANCES, tenant="one")
    beginning = await second.next()
    assert (shown(beginning)["cause"], visitors(beginning)) == ("SNAPSHOT", "1")
    await feed.visit()
    assert await first.next() is await second.next()
    assert first.events.empty(), "another's beginning is no news"


async def test_who_comes_back_shares_with_those_who_stayed(feed: Feed) -> None:
    """States are whole: a position says where somebody was, and needs no stream of its own."""
    first, _ = await feed.follow(BALANCES, tenant="one")
    position = shown(await first.next())["position"]
    second, _ = await feed.follow(BALANCES, tenant="one", after=position)
    assert shown(await second.next())["recovered"]
    assert len(feed.streams.running) == 1
    assert feed.streams.resumed == 1


async def test_what_differs_is_not_shared(feed: Feed, key_of: KeyOf) -> None:
    full = f"Bearer {await key_of('one', 'billing:read', 'usage:read')}"
    less = f"Bearer {await key_of('one', 'usage:read')}"
    other = f"Bearer {await key_of('two', 'billing:read', 'usage:read')}"
    twin = f"Bearer {await key_of('one', 'billing:read', 'usage:read')}"
    for query, who, tenant, streams in (
        (BALANCES, OPERATOR, "one", 1),
        (BALANCES, OPERATOR, "two", 2),
        (BALANCES.replace("recovered", ""), OPERATOR, "one", 3),
        (LIVE, OPERATOR, "one", 4),
        (BALANCES, full, "one", 5),
        (BALANCES, twin, "one", 5),
    ):
        follower, _ = await feed.follow(query, who, tenant=tenant)
        await follower.next()
        assert len(feed.streams.running) == streams
    for who, code in ((less, "FORBIDDEN"), (other, "NOT_FOUND")):
        follower, _ = await feed.follow(BALANCES, who, tenant="one")
        (error,) = await follower.end() or ()  # type: ignore[misc]
        assert isinstance(error.original_error, Fault)
        assert error.original_error.code == code
    assert len(feed.streams.running) == 5


async def test_a_stream_ends_with_the_last_who_follows(feed: Feed) -> None:
    (one, leave), (two, leave_too) = [await feed.follow(BALANCES, tenant="one") for _ in range(2)]
    for each in (one, two):
        await each.next()
    leave()
    await feed.visit()
    assert visitors(await two.next()) == "1"
    assert one.events.empty()
    leave_too()
    leave_too()
    assert feed.streams.running == set()
    assert feed.core.engines.hub.balances.watchers <= 1, "its task is about to end"
    three, _ = await feed.follow(BALANCES, tenant="one")
    assert visitors(await three.next()) == "1"


async def test_rights_are_judged_again_as_events_pass(feed: Feed, ask: Ask, key_of: KeyOf) -> None:
    """A credential that is taken back loses its stream alone; its neighbours go on."""
    secret = await key_of("one", "billing:read")
    mine, _ = await feed.follow(BALANCES, f"Bearer {secret}", tenant="one")
    twin, _ = await feed.follow(
        BALANCES, f"Bearer {await key_of('one', 'billing:read')}", tenant="one"
    )
    for each in (mine, twin):
        await each.next()
    assert len(feed.streams.running) == 1
    keys = '{ tenant(key: "one") { apiKeys { nodes { id prefix } } } }'
    found = (await ask(keys))["data"]["tenant"]["apiKeys"]["nodes"]
    (id,) = [each["id"] for each in found if each["prefix"] == secret.split("_")[1]]
    assert (await ask(KEY_REVOKE, id=id))["data"]["apiKeyRevoke"]["userErrors"] == []
    await feed.visit()
    assert visitors(await twin.next()) == "1"
    close = await mine.end()
    assert isinstance(close, Close)
    assert close.code is Code.UNAUTHORIZED
    assert mine.events.empty()


@pytest.mark.parametrize(
    ("query", "variables", "words"),
    [
        ("subscription { nothing }", {}, "Cannot query field"),
        ("subscription { balanceChanged(tenant: 1) { position } }", {}, "String cannot represent"),
        (BALANCES, {}, "tenant"),
        (BALANCES, {"tenant": "one", "after": "junk"}, "no StreamPosition"),
        (BALANCES + LIVE, {"tenant": "one"}, "operation"),
    ],
)
async def test_what_is_wrong_is_refused_before_it_runs(
    feed: Feed, query: str, variables: dict[str, Any], words: str
) -> None:
    known, _ = await feed.follow(BALANCES, tenant="one")
    await known.next()
    with pytest.raises((Refused, GraphQLError)) as refused:
        await feed.follow(query, **variables)
    assert words in str(refused.value)
    assert len(feed.streams.running) == 1


async def test_a_balance_that_is_not_there_ends_the_operation(feed: Feed) -> None:
    query = 'subscription { balanceChanged(tenant: "one", keys: ["gold"]) { position } }'
    follower, _ = await feed.follow(query)
    (error,) = await follower.end() or ()  # type: ignore[misc]
    assert "'gold' is no balance" in error.message


ALLOWANCE = """mutation { allowanceSet(input: {tenant: "one", balance: "visitors",
  amount: "5000", since: "2020-01-01", idempotencyKey: "more"}) { userErrors { message } } }"""
GRANTED = 'subscription { balanceChanged(tenant: "one") { balances { key granted { value } } } }'


async def test_what_was_agreed_is_seen_though_its_own_event_was_skipped(
    feed: Feed, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States coalesce: a newer one may come in the place of that which says why."""
    monkeypatch.setattr("persistence.hub.LOOK_SECONDS", 0.05)
    follower, _ = await feed.follow(GRANTED)
    await follower.next()
    with monkeypatch.context() as deaf:
        deaf.setattr(Board, "tell", lambda *_: None)
        agreed = await ask(ALLOWANCE)
        assert agreed["data"]["allowanceSet"]["userErrors"] == []
    await feed.visit()
    granted = ""
    while granted != "5000":
        (granted,) = [
            each["granted"]["value"]
            for each in shown(await follower.next())["balances"]
            if each["key"] == "visitors"
        ]


async def test_what_is_looked_up_for_an_event_is_looked_up_anew(feed: Feed, ask: Ask) -> None:
    """BA-12: who watches over the end of a month sees what was agreed meanwhile for the next."""
    figures = "balances { key name granted { value } }"
    follower, _ = await feed.follow(
        f'subscription {{ balanceChanged(tenant: "one") {{ {figures} }} }}'
    )
    before = shown(await follower.next())["balances"]
    given = {"tenant": "one", "plan": "whatsapp-idr", "idempotencyKey": "less"}
    agreed = (await ask(PLAN_CHANGE, input=given))["data"]["planChange"]
    assert agreed["userErrors"] == []
    feed.core.clock.offset += 32 * DAY
    after = (await ask(f'{{ tenant(key: "one") {{ {figures} }} }}'))["data"]["tenant"]["balances"]
    assert before != after
    async with asyncio.timeout(PATIENCE_SECONDS):
        while shown(await follower.next())["balances"] != after:
            pass
    assert feed.streams.plain == feed.streams.events


SCALARS = (
    "key", "name", "unit", "kind", "percentUsed", "version", "asOf", "estimate", "__typename",
    "k: key", "granted { value }", "used { value currency }", "remaining { formatted }",
    'available { f: formatted(locale: "id") __typename value }', "held { value formatted }",
    "initial { used { value } lapsed { value } }", "topUp { remaining { formatted } }",
    "lots { id source amount { value } startsAt endsAt lapsed { value } }",
    "refillPolicy { minimum { value } }", "... on Balance { key opening { value } }", "...of",
    'm: rates(category: "marketing") { market currency basis }', "key @skip(if: true) unit",
    "none: rates @include(if: $no) { market }", "available { ... @include(if: $yes) { value } }",
)  # fmt: skip
SELECTIONS = 150


async def test_the_quick_way_says_what_the_library_says(feed: Feed) -> None:
    """Random selections of an event: the tree's data is the executor's, to the last byte."""
    await feed.visit()
    chance, plain = random.Random(7), 0
    principal = await feed.core.authenticator.authenticate(OPERATOR)
    value: Any = None
    for _ in range(SELECTIONS):
        fields = " ".join(chance.sample(SCALARS, chance.randint(1, 6)))
        query = f"""subscription($yes: Boolean!, $no: Boolean!) {{ change: balanceChanged(
            tenant: "one") {{ __typename position recovered @include(if: $yes) cause @skip(if: $no)
            balances {{ {fields} ...more }} }}
        }} fragment of on Balance {{ unit available {{ currency }} }}
        fragment more on Balance {{ ...of version }}"""
        params = Params(query, {"yes": True, "no": False}, None)
        prepared = prepare(feed.streams.schema, params)
        context = feed.core.context(principal, "quick")
        executor = executor_of(feed.streams.schema, prepared, params, context)
        if value is None:
            opening = create_source_event_stream(executor)
            source = await opening if isawaitable(opening) else opening
            assert isinstance(source, AsyncGenerator)
            value = await anext(source)
            await source.aclose()
        complete = completion(executor)
        assert complete is not None, query
        slow = executor.build_per_event_executor(value)
        slow._quick_way = lambda *_, **__: None  # only the library executes
        said = execute_subscription_event(slow)
        assert isinstance(said, ExecutionResult)
        assert said.errors is None
        assert json.dumps(complete(value)) == json.dumps(said.data), query
        plain += 1
    assert plain == SELECTIONS


async def test_where_the_quick_way_fails_the_library_answers(feed: Feed) -> None:
    """An unknown locale is an error of its field, as in any query, and the event has the rest."""
    query = """subscription { balanceChanged(tenant: "one") {
      position balances { key used { value words: formatted(locale: "nowhere") } } } }"""
    follower, _ = await feed.follow(query)
    event = json.loads((await follower.next()).payload)
    assert event["data"] is None
    assert event["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert feed.streams.plain == 0
