"""Texts that no row can have: each mutation refuses them, wherever they stand in its input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
)

from api.operations.checks import check_storable
from api.operations.subscription_create import AskedFees, SubscriptionCreate
from domain.problems import Problem
from tests.api.conftest import Ask
from tests.api.test_idempotency import CASES, INVOICED, MUTATIONS, SUBSCRIBED, Json, document
from tests.conftest import OPERATOR_KEY

#: A zero, half a character, and both within others.
BAD = ("\0", "a\0b", "\ud800", "x\ud800y")
FINE: Json = {
    "Decimal": "5", "Date": "2026-01-01", "DateTime": "2026-01-01T00:00:00Z", "Int": 1,
    "Boolean": True, "Float": 1.0, "JSON": {},
}  # fmt: skip


def filled(of: GraphQLInputType, given: Any = None) -> Any:
    """Something of a type with all its fields; of texts, what is given."""
    match of:
        case GraphQLNonNull():
            return filled(of.of_type, given)
        case GraphQLList():
            return given if isinstance(given, list) else [filled(of.of_type)]
        case GraphQLInputObjectType():
            told = given if isinstance(given, dict) else {}
            return {name: filled(field.type, told.get(name)) for name, field in of.fields.items()}
        case GraphQLEnumType():
            return given or next(iter(of.values))
        case _:
            return given or FINE.get(getattr(of, "name", ""), "x")


def spoilt(of: GraphQLInputType, value: Any, bad: str) -> Iterator[Any]:
    """The value with each of its texts in turn as what no row can have."""
    match of:
        case GraphQLNonNull():
            yield from spoilt(of.of_type, value, bad)
        case GraphQLList():
            for place, each in enumerate(value):
                for other in spoilt(of.of_type, each, bad):
                    yield [*value[:place], other, *value[place + 1 :]]
        case GraphQLInputObjectType():
            for name, field in of.fields.items():
                if name in value:
                    for other in spoilt(field.type, value[name], bad):
                        yield {**value, name: other}
        case _ if getattr(of, "name", "") in ("String", "ID"):
            yield bad


async def test_no_mutation_ends_in_a_fault_of_ours(
    client: httpx2.AsyncClient, ask: Ask, tenants: list[str]
) -> None:
    """With what each names there, so that texts come as far as they can."""
    names = {"tenant": "one"}
    for name, given in (*INVOICED, *SUBSCRIBED):
        asked = {"tenant": "one", "idempotencyKey": name, **given}
        if "invoice" in given:
            asked["invoice"] = names["invoice"]
        answer = await ask(document(name), input=asked)
        payload = answer["data"][name]
        assert payload["userErrors"] == [], answer
        if payload.get("invoice") is not None:
            names["invoice"] = payload["invoice"]["id"]
    headers = {"authorization": f"Bearer {OPERATOR_KEY}", "content-type": "application/json"}
    assert MUTATIONS is not None
    wrong = []
    for name, field in MUTATIONS.fields.items():
        of = field.args["input"].type
        case = CASES.get(name)
        given = dict(case.given) if case is not None else {}
        given = {"tenant": "one", "idempotencyKey": f"k-{name}"} | {
            key: names.get(value[1:], "x") if isinstance(value, str) and value[:1] == "$" else value
            for key, value in given.items()
        }
        for bad in BAD:
            for value in spoilt(of, filled(of, given), bad):
                body = {"query": document(name), "variables": {"input": value}}
                found = await client.post("/graphql", content=json.dumps(body), headers=headers)
                if found.status_code >= 500 or "INTERNAL_SERVER_ERROR" in found.text:
                    wrong.append((name, value))
    assert not wrong, "\n".join(map(str, wrong))


FILTERED = {
    "usageSeries": "usageSeries(metrics: [MESSAGES_OUT], range: {preset: TODAY}, filter: $f) "
    "{ total }",
    "usageSummary": "usageSummary(range: {preset: TODAY}, filter: $f) { end }",
    "userUsage": "userUsage(filter: $f) { totalCount }",
    "usageChart": "usageChart(metrics: [MESSAGES_OUT], range: {preset: TODAY}, filter: $f) { url }",
}


LISTS = ("numbers", "channels", "countries", "directions", "categories", "users", "broadcasts")


async def test_no_filter_of_usage_ends_in_a_fault_of_ours(
    client: httpx2.AsyncClient, tenants: list[str], subtests: pytest.Subtests
) -> None:
    """Whichever of its values it is, the answer says which; nor is any taken that is too long."""
    headers = {"authorization": f"Bearer {OPERATOR_KEY}", "content-type": "application/json"}
    for field, asked in FILTERED.items():
        with subtests.test(field=field):
            query = f'query ($f: UsageFilter) {{ tenant(key: "one") {{ {asked} }} }}'
            for name in LISTS:
                for bad in (*BAD, "x" * 256):
                    told = {"query": query, "variables": {"f": {name: ["in", bad]}}}
                    if name == "channels":
                        told["variables"] = {"f": {name: ["sms", bad]}}
                    found = await client.post("/graphql", content=json.dumps(told), headers=headers)
                    (error,) = found.json()["errors"]
                    assert error["extensions"]["code"] == "BAD_USER_INPUT", (name, bad, error)
                    assert f"`filter.{name}[1]`" in error["message"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (
            SubscriptionCreate(
                tenant="one", fees=AskedFees(name="\0", components=()), idempotency_key="k"
            ),
            "name",
        ),
        (
            SubscriptionCreate(
                tenant="one",
                fees=AskedFees(name="n", components=({"key": "k"}, {"unit_name": "\udfff"})),
                idempotency_key="k",
            ),
            "components[1].unitName",
        ),
    ],
)
def test_a_text_is_named_where_clients_wrote_it(request_: object, field: str) -> None:
    with pytest.raises(Problem) as caught:
        check_storable(request_)
    assert caught.value.field == field
