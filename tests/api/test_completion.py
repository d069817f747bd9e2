"""The quick way of queries: functions written for a selection say what the library's executor says.

Each question is asked twice, the second time with the quick way taken away: of every field of the
schema, of variables that decide what is there, of what fails and of what only looks like the same.
"""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from graphql import OperationDefinitionNode

from api.schema.root import schema
from api.transport import completion
from api.transport.documents import read
from api.transport.executor import Executor
from api.transport.outcome import formatted
from api.transport.view import encoded
from persistence.servers import Servers
from tests.api.furnished import OPERATOR, Json, World, opened
from tests.api.test_access import WALK
from tests.api.walking import filled


@pytest.fixture(scope="module")
async def world(servers: Servers, template: str) -> AsyncIterator[World]:
    async with opened(servers, template) as world:
        yield world


@contextmanager
def slowly() -> Iterator[None]:
    """Only the library executes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Executor, "_quick_way", lambda *_, **__: None)
        yield


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fields for which functions were written, one by one."""
    written: list[str] = []
    write = completion.Writer.written

    def heard(self: Any, parent: Any, details: Any, *, got: bool) -> Any:
        found = write(self, parent, details, got=got)
        written.append(f"{parent.name}.{details[0].node.name.value}")
        return found

    monkeypatch.setattr(completion.Writer, "written", heard)
    return written


async def said(world: World, query: str, **variables: Any) -> Json:
    """What the operator is answered."""
    context = world.core.context(OPERATOR, "the-request")
    with context.acting():
        result = await schema.execute(query, context_value=context, variable_values=variables)
    errors = [formatted(error, "the-request") for error in result.errors or ()]
    return {"data": result.data, "errors": errors}


async def both(world: World, query: str, **variables: Any) -> tuple[str, str]:
    """The answer quickly and slowly, as text: the order of fields counts too."""
    quick = json.dumps(await said(world, query, **variables))
    with slowly():
        return quick, json.dumps(await said(world, query, **variables))


async def test_every_field_of_the_schema_is_the_same(world: World, ways: list[str]) -> None:
    different = []
    for question in WALK.queries():
        query = f"{{ {filled(question.text, world.one)} }}"
        quick, slow = await both(world, query)
        if quick != slow:
            different.append((question.name, quick[:600], slow[:600]))
    assert different == []
    assert len(set(ways)) > 100, "most of what is shown goes the quick way"


DASHBOARD = """
query ($tenant: String!, $locale: String, $yes: Boolean!, $no: Boolean!) {
  tenant(key: $tenant) {
    __typename key ...more
    balances {
      __typename key @skip(if: $yes) unit @include(if: $yes) name kind percentUsed
      used { value words: formatted(locale: $locale) } ...of @include(if: $no)
      remaining { value ... @skip(if: $no) { currency } } remaining { formatted(locale: "en") }
      rates(category: "marketing") { market price }
      lots { source amount { value } endsAt @skip(if: $no) }
    }
    invoices(first: 5) {
      edges { cursor node { id number status total { value formatted(locale: $locale) } } }
      nodes { lineCount total { value } period { from until } }
      pageInfo { hasNextPage endCursor }
    }
    usageSeries(metrics: [MESSAGES_OUT], range: {preset: LAST_7_DAYS}) {
      metric currency points { start value }
    }
  }
}
fragment of on Balance { unit available { currency } }
fragment more on Tenant { name ... on Node { id } period { label start } timezone plan }
"""


@pytest.mark.parametrize("locale", [None, "id", "en-IN", "ar", "nowhere"])
@pytest.mark.parametrize(("yes", "no"), [(True, False), (False, True), (True, True)])
async def test_variables_decide_each_time_anew(
    world: World, locale: str | None, yes: bool, no: bool
) -> None:
    given = {"tenant": world.one["tenant"], "locale": locale, "yes": yes, "no": no}
    quick, slow = await both(world, DASHBOARD, **given)
    if locale == "nowhere":  # whichever of its fields was the first to fail
        errors = [json.loads(each).pop("errors")[0] for each in (quick, slow)]
        assert errors[0]["message"] == errors[1]["message"]
        assert json.loads(quick)["data"] == json.loads(slow)["data"]
    else:
        assert quick == slow
    assert ('"errors": []' in quick) is (locale != "nowhere")


async def test_where_it_fails_the_field_is_the_librarys(world: World) -> None:
    """Errors have their paths, and what stands beside them is there all the same."""
    query = """query ($key: String!) { a: tenant(key: $key) { key balances {
      key used { value formatted(locale: "nowhere") } } } b: tenant(key: $key) { name } }"""
    quick, slow = await both(world, query, key=world.one["tenant"])
    assert quick == slow
    answer = json.loads(quick)
    assert answer["data"]["a"] is None
    assert answer["errors"][0]["path"] == ["a", "balances", 0, "used", "formatted"]
    assert answer["data"]["b"]


async def test_one_selection_on_two_types_is_two_ways(world: World) -> None:
    """The same nodes of a fragment are of another type with another field behind them."""
    query = """query ($a: ID!, $b: ID!) {
      invoice: node(id: $a) { ...shown } note: node(id: $b) { ...shown } }
    fragment shown on Node { __typename ... on Invoice { ...same } ... on CreditNote { ...same } }
    fragment same on Node { id __typename ... on Invoice { total { value } status }
      ... on CreditNote { total { value } invoiceNumber } }"""
    quick, slow = await both(world, query, a=world.one["invoice"], b=world.one["credit_note"])
    assert quick == slow
    kinds = [each["__typename"] for each in json.loads(quick)["data"].values()]
    assert kinds == ["Invoice", "CreditNote"]


async def test_what_is_written_once_is_kept_as_long_as_its_document(
    world: World, ways: list[str]
) -> None:
    query = "query ($tenant: String!) { tenant(key: $tenant) { key balances { key unit } } }"
    for tenant in (world.one, world.two, world.one):
        answer = await said(world, query, tenant=tenant["tenant"])
        assert answer["data"]["tenant"]["key"] == tenant["tenant"]
    assert sorted(ways) == ["Tenant.balances", "Tenant.key"]
    known = len(completion.shelf._ways)
    read.cache_clear()
    gc.collect()
    assert len(completion.shelf._ways) < known


RATES = """
query ($tenant: String!, $category: String, $user: String! = "x", $yes: Boolean! = true) {
  tenant(key: $tenant) { balances { key @include(if: $yes) rates(category: $category) { market } }
    usageSeries(metrics: [MESSAGES_OUT], range: {preset: TODAY}, filter: {users: [$user]}) {
      metric } } }"""


async def test_what_a_request_brings_is_in_nothing_that_is_kept(
    world: World, ways: list[str]
) -> None:
    """One way for all values of a variable: what anybody sends fills no memory, and writes none."""
    for n in range(30):
        long = f"none-{n}-" + "x" * 80
        for yes in (True, False):
            query, given = RATES, {"category": long, "user": f"{long}-{yes}", "yes": yes}
            await said(world, query, tenant=world.one["tenant"], **given)
            await said(world, query, tenant=long, **given)
    balances = ["Tenant.balances", "Tenant.balances"]  # with the key and without
    assert sorted(ways) == [*balances, "Tenant.usageSeries"]
    kept = of_query(RATES)
    assert len(kept) <= 20
    assert "none-" not in repr(kept)


def of_query(query: str) -> dict[tuple[object, ...], Any]:
    """What is kept of a document with one operation."""
    (operation,) = (
        node for node in read(query).node.definitions if isinstance(node, OperationDefinitionNode)
    )
    return completion.shelf.of(operation)


async def test_arguments_are_those_of_the_request_that_asks(world: World) -> None:
    """A way that was written for one is another's, too: with its own values, or with none."""
    for category in ("marketing", "utility", "none", None):
        quick, slow = await both(world, RATES, tenant=world.one["tenant"], category=category)
        assert quick == slow, category
    quick, slow = await both(world, RATES, tenant=world.one["tenant"])
    assert quick == slow


async def test_null_where_it_is_wrong_is_told_as_the_library_tells_it(world: World) -> None:
    """A default is for who says nothing: who says null has said it."""
    query = """query ($tenant: String!, $yes: Boolean = true, $locale: String = "en") {
      tenant(key: $tenant) { key @include(if: $yes) name
        balances { key explanation: rates(category: $locale) { market } } } }"""
    for given in ({}, {"yes": None}, {"yes": False}, {"locale": None}, {"yes": True}):
        quick, slow = await both(world, query, tenant=world.one["tenant"], **given)
        assert quick == slow, given


async def test_what_is_kept_has_an_end_whatever_it_is_of(
    world: World, ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all documents together, and of the choices in one: beyond it, it is written anew."""
    shelf = completion.Shelf()
    monkeypatch.setattr(completion, "shelf", shelf)
    monkeypatch.setattr(completion, "WRITTEN_MAX", 10_000)
    names = [f"c{n}{'x' * 300}" for n in range(6)]
    given = ", ".join(f"${name}: Boolean!" for name in names)
    keys = " ".join(f"{name}: key @include(if: ${name})" for name in names)
    of_tenant = "query ($tenant: String!{}) {{ tenant(key: $tenant) {{ {} }} }}".format
    choices = of_tenant(f", {given}", f"balances {{ {keys} }}")
    queries = [of_tenant("", f"k{n}: key balances {{ key }}") for n in range(40)]
    held = [read(query) for query in (choices, *queries)]
    most = 0
    for n, query in enumerate(queries):
        await said(world, query, tenant=world.one["tenant"])
        chosen = {name: bool(n >> bit & 1) for bit, name in enumerate(names)}
        await said(world, choices, tenant=world.one["tenant"], **chosen)
        most = max(most, sum(len(kept) for _, kept in shelf._ways.values()))
    assert len(held) == 41
    assert len(ways) >= 40 * 3
    assert 10 < most < 100
    await said(world, queries[-1], tenant=world.one["tenant"])
    assert len(ways) <= 40 * 3 + 1, "what was asked just now is kept"


async def test_a_mutation_is_asked_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is asked again, so what changes anything never goes the quick way."""
    asked: list[tuple[str, bool]] = []
    way = Executor._quick_way

    def heard(self: Executor, parent: Any, details: Any, *, got: bool) -> Any:
        found = way(self, parent, details, got=got)
        if found is not None:
            asked.append((f"{parent.name}.{details[0].node.name.value}", got))
        return found

    monkeypatch.setattr(Executor, "_quick_way", heard)
    mutation = """mutation ($key: String!) { thresholdSet(input: {tenant: $key,
      balance: "visitors", percents: ["101"], idempotencyKey: "once"}) {
      userErrors { field code message } } }"""
    answer = await said(world, mutation, key=world.one["tenant"])
    assert answer["data"]["thresholdSet"]["userErrors"], answer
    assert asked == [("Mutation.thresholdSet", True)], "its payload, once it was done"


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"a": 'quote " back \\ slash / tab \t line \n \x00 \x1f \x7f é € 😀 \u2028'}},
        {"data": {"a": [1, -1, 0, 2**63, True, False, None], "b": {}, "c": []}},
        {"data": {"a": "a lone \ud800 surrogate"}},
    ],
)
def test_an_answer_is_the_same_bytes_as_ever(body: dict[str, Any]) -> None:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    assert encoded(body) == text.encode("utf-8", "replace")
