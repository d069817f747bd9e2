"""Documents beyond a limit are refused by work that does not grow with what they would cost."""

from __future__ import annotations

import pytest
from graphql import GraphQLError, get_introspection_query, print_ast

from api.schema.root import schema
from api.transport.cost import _answered, answered, cost
from api.transport.documents import nesting, read
from tests.api.conftest import Ask

CORE = schema._schema


def chain(links: int, width: int) -> str:
    """Fragments of which each spreads the next `width` times: `width ** links` fields."""
    parts = ["{ viewer { ...f0 } }"]
    for link in range(links):
        spreads = " ".join(f"...f{link + 1}" for _ in range(width))
        parts.append(f"fragment f{link} on Viewer {{ {spreads} }}")
    parts.append(f"fragment f{links} on Viewer {{ kind }}")
    return " ".join(parts)


def aliased(count: int) -> str:
    return "{ " + " ".join(f"a{n}: __typename" for n in range(count)) + " }"


BEYOND = [
    ("fields", chain(30, 2)),
    ("nesting", chain(104, 1)),
    ("fields", chain(12, 20)),
    ("nesting", "{a" * 101 + "}" * 101),
    ("nesting", "{a" * 5_000 + "}" * 5_000),
    ("nesting", "query($a:" + "[" * 200 + "Int" + "]" * 200 + "){a}"),
    ("depth", "{a" * 21 + "}" * 21),
    ("aliases", aliased(101)),
    ("overlaps", "{ " + "__typename " * 60 + "}"),
    ("overlaps", "{ " + " ".join("viewer { kind kind kind }" for _ in range(30)) + " }"),
    ("directives", "{ __typename " + "@skip(if: false) " * 101 + "}"),
    ("operations", " ".join(f"query q{n} {{ __typename }}" for n in range(21))),
    ("mutations", "mutation { " + " ".join(f"a{n}: x" for n in range(11)) + " }"),
    ("length", "{ a } # " + "x" * 40_000),
]


@pytest.mark.parametrize(("limit", "query"), BEYOND, ids=[b[0] for b in BEYOND])
def test_each_limit_refuses_before_any_work(limit: str, query: str) -> None:
    with pytest.raises(GraphQLError) as refused:
        read(query)
    assert refused.value.extensions is not None
    assert refused.value.extensions["limit"] == limit
    assert len(str(refused.value)) < 300


def test_tokens_are_limited() -> None:
    with pytest.raises(GraphQLError, match="1000 tokens"):
        read("{ " + "a(b: 1) " * 600 + "}")


def test_a_fragment_within_itself_is_refused() -> None:
    for query in (
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { ...b } fragment b on Query { __typename ...a }",
        "{ __typename } fragment a on Query { viewer { ...a } }",
    ):
        with pytest.raises(GraphQLError, match="within itself"):
            read(query)


def test_what_tools_ask_is_within_the_limits() -> None:
    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
    )
    assert cost(read(query), CORE, None, {}) > 1
    # Other brackets than those of the language are no brackets.
    assert nesting('{ a(b: "((((", c: """ [[[ \\""" ((( """) # {{{{\n }') == 2


@pytest.mark.parametrize(
    ("query", "variables", "value"),
    [
        ("{ viewer { kind } }", {}, 2),
        ("{ tenants { nodes { key name } } }", {}, 1 + 50 * 3),
        ("{ tenants(first: 7) { nodes { key name } } }", {}, 1 + 7 * 3),
        ("query($n: Int!) { tenants(first: $n) { nodes { key } } }", {"n": 3}, 1 + 3 * 2),
        ("query($n: Int!) { tenants(first: $n) { nodes { key } } }", {"n": 10**9}, 1 + 100 * 2),
        ("{ tenants(first: 9999999999999) { nodes { key } } }", {}, 1 + 100 * 2),
        ('{ tenant(key: "a") { usageSeries(metrics: [UNITS]) { total } } }', {}, 1 + 100 + 10),
        ('{ tenant(key: "a") { userUsage(first: 2) { totalCount } } }', {}, 1 + 100 + 2),
        ("{ tenants(first: 2) { ...p } } fragment p on TenantConnection { nodes { key } }", {}, 5),
    ],
)
def test_cost_multiplies_pages(query: str, variables: dict[str, object], value: int) -> None:
    assert cost(read(query), CORE, None, variables) == value


ESTIMATE = "query($i: EstimateInput!) { estimate(input: $i) { lines { quantity } } }"
METRICS = """query($m: [Metric!]!, $n: Int) { tenant(key: "a") {
  usageSeries(metrics: $m) { total } charges(first: $n) { nodes { id } } } }"""


@pytest.mark.parametrize(
    ("query", "variables", "items"),
    [
        (ESTIMATE, {"i": {"recipients": ["+628111"] * 5_000}}, 5_000),
        (ESTIMATE, {"i": {"recipients": [], "count": 5_000}}, 0),
        (ESTIMATE, {"i": [{"a": [1, 2]}, [[3], {"b": [4]}]]}, 8),
        (METRICS, {"m": ["UNITS", "COST"], "n": 3}, 2),
        ("{ viewer { kind } }", {"unknown": ["x"] * 100}, 100),
    ],
)
def test_each_item_of_a_list_in_variables_costs_one_value(
    query: str, variables: dict[str, object], items: int
) -> None:
    """As often as they are sent, whatever is kept of the document's own cost."""
    document = read(query)
    alone = _answered(document, CORE, None, variables)
    assert [cost(document, CORE, None, variables) for _ in range(2)] == [alone + items] * 2


async def test_lists_in_variables_are_charged_with_the_answer(ask: Ask) -> None:
    few = await ask("{ viewer { kind } }")
    many = await ask("{ viewer { kind } }", keys=["a"] * 700)
    assert few["extensions"]["cost"] == 2
    assert many["extensions"]["cost"] == 2 + 700


async def test_variables_with_too_many_values_are_refused_with_the_limit(ask: Ask) -> None:
    answer = await ask("{ viewer { kind } }", x=[[1] * 10] * 1_200)
    (error,) = answer["errors"]
    assert error["extensions"] == error["extensions"] | {"limit": "variables", "max": 12_000}
    assert "data" not in answer


def test_cost_is_of_the_operation_that_runs() -> None:
    document = read("query a { viewer { kind } } query b { viewer { kind scopes } }")
    assert [cost(document, CORE, name, {}) for name in ("a", "b")] == [2, 3]


async def test_a_costly_query_is_refused_with_the_limit(ask: Ask) -> None:
    charges = "charges(first: 100) { nodes { lots { amount { value formatted } } } }"
    answer = await ask(f"{{ tenants(first: 100) {{ nodes {{ {charges} }} }} }}")
    (error,) = answer["errors"]
    assert error["extensions"]["limit"] == "cost"
    assert "data" not in answer


async def test_a_document_is_read_and_validated_once(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "{ __typename another: __typename }"
    first = await ask(query)
    monkeypatch.setattr("api.transport.extension.validate_document", None)
    assert await ask(query) == first
    assert read(query) is read(query)
    assert print_ast(read(query).node).count("__typename") == 2


@pytest.mark.parametrize("size", [5, 6, None, "x", 5.0, True, [5], 0])
def test_what_a_page_costs_is_kept_by_its_length(size: object) -> None:
    """The same document costs by what each request's variables say, whatever came before."""
    query = """query ($size: Int!, $key: String!) { tenants(first: $size) { nodes { key name } }
      tenant(key: $key) { ...more } } fragment more on Tenant { charges(first: $size) {
      nodes { id } } }"""
    document, graph = read(query), schema._schema
    for given in (7, size, 7, size):
        variables = {"size": given, "key": "a"}
        of_pages = answered(document, graph, None, variables)
        assert of_pages == _answered(document, graph, None, variables)


def test_nothing_long_that_is_sent_is_kept_with_what_it_costs() -> None:
    """Neither the name of an operation that is not there nor a number of a thousand digits."""
    document = read("query a($n: Int!) { tenants(first: $n) { nodes { key name } } }")
    for n in range(10):
        cost(document, CORE, f"{n}" + "x" * 1_000, {"n": 5})
        assert cost(document, CORE, "a", {"n": 10 ** (1_000 + n)}) == 1 + 100 * 3
        assert cost(document, CORE, "a", {"n": -(10 ** (1_000 + n))}) == 1 + 100 * 3
    assert len(document.costs) == 2
    assert len(repr(document.costs)) < 200
