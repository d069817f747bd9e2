"""GraphQL over HTTP as its specification has it: the public audits, and the same as a table.

The audits of the npm package `graphql-http` run where Node is. `AUDITS` says what each asks in
words of ours, under its id, so that it is proven without Node; both lists have the same ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.wire.client import Json
from tests.wire.conftest import House
from tests.wire.node import packages, program, script

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
TYPENAME = "{ __typename }"
OF_TYPE = "query Type($name: String!) { __type(name: $name) { name } }"
COERCED = {"query": "query Coerced($id: ID!) { __typename }", "variables": {"id": None}}
NO_FIELD = {"query": "{ no8f31403dfe404bccbb0e835f2629c6a7 }"}
COUNT = 61


@dataclass(frozen=True, slots=True)
class Audit:
    """What is sent, and what the answer has to be."""

    id: str
    words: str
    body: Any = None  #: what a POST sends as JSON; bytes go as they are
    params: dict[str, str] | None = None  #: of a GET
    accept: str | None = None
    content_type: str | None = JSON
    status: range = field(default=range(200, 201))
    answers: str | None = None  #: the media type of the answer
    without: str | None = None  #: a member the answer must not have


BAD = range(400, 401)
REFUSED = range(400, 600)
OF_CLIENT = range(400, 500)


def audits() -> Iterator[Audit]:
    """Every audit, in the order of the public list."""
    asked = {"query": TYPENAME}
    yield Audit("22EB", "the newer type is answered", asked, accept=GRAPHQL, answers=GRAPHQL)
    yield Audit("4655", "the older type is answered", asked, accept=JSON, answers=JSON)
    yield Audit("47DE", "whoever takes anything gets JSON", asked, accept="*/*", answers=JSON)
    yield Audit("80D8", "whoever says nothing gets JSON", asked, answers=JSON)
    yield Audit("82A3", "answers are UTF-8", asked)
    yield Audit(
        "BF61", "UTF-8 is read", {"query": '{ __type(name: "Run🏃Swim🏊") { name } }'},
        content_type=f"{JSON}; charset=utf-8",
    )  # fmt: skip
    yield Audit("78D5", "UTF-8 is what is meant where nothing is said", asked)
    yield Audit("2C94", "queries are taken by POST", asked)
    yield Audit("5A70", "and by GET", params=asked)
    yield Audit(
        "9C48", "mutations are not", params={"query": "mutation { __typename }"}, accept=GRAPHQL,
        status=OF_CLIENT,
    )  # fmt: skip
    yield Audit(
        "9ABE", "a body says its type", json.dumps(asked).encode(),
        content_type="text/plain;charset=UTF-8", status=OF_CLIENT,
    )  # fmt: skip
    yield Audit("03D4", "JSON is a type of bodies", asked)
    yield Audit("A5BF", "a body is there", b"", status=BAD)
    yield Audit("423L", "a query is there", {"notquery": TYPENAME}, accept=GRAPHQL, status=BAD)
    no_text = ({"obj": "ect"}, 0, False, ["array"])
    for place, value in enumerate(no_text):
        yield Audit(f"LKJ{place}", "a query is text", {"query": value}, status=BAD)
    yield Audit("34A2", "and runs, in the newer type", asked, accept=GRAPHQL)
    yield Audit("13EE", "and in the older", asked, accept=JSON, without="errors")
    for place, value in enumerate(no_text):
        yield Audit(
            f"6C0{place}", "a name is text", asked | {"operationName": value}, status=BAD
        )  # fmt: skip
    named = {"query": "query Query { __typename }", "operationName": "Query"}
    yield Audit("8161", "and is taken, in the newer type", named, accept=GRAPHQL)
    yield Audit("B8B3", "and in the older", named, accept=JSON, without="errors")
    for place, name in enumerate(("variables", "operationName", "extensions")):
        nothing = asked | {name: None}
        for id, accept in (("94B", GRAPHQL), ("022", JSON)):
            yield Audit(
                f"{id}{place}", f"{name} may be null", nothing, accept=accept, without="errors"
            )  # fmt: skip
    no_object = ("string", 0, False, ["array"])
    for place, value in enumerate(no_object):
        yield Audit(
            f"476{place}", "variables are an object", asked | {"variables": value}, status=BAD
        )  # fmt: skip
    typed = {"query": OF_TYPE, "variables": {"name": "sometype"}}
    yield Audit("2EA1", "and are taken, in the newer type", typed, accept=GRAPHQL)
    yield Audit("28B9", "and in the older", typed, accept=JSON, without="errors")
    in_url = {"query": OF_TYPE, "variables": '{"name":"sometype"}'}
    for id, accept in (("D6D5", GRAPHQL), ("6A70", JSON)):
        yield Audit(id, "a GET has them as JSON", params=in_url, accept=accept, without="errors")
    for place, value in enumerate(no_object):
        yield Audit(
            f"58B{place}", "extensions are an object", asked | {"extensions": value}, status=BAD
        )  # fmt: skip
    extended = asked | {"extensions": {"some": "value"}}
    yield Audit("428F", "and are taken, in the newer type", extended, accept=GRAPHQL)
    yield Audit("1B7A", "and in the older", extended, accept=JSON, without="errors")
    cut = b'{ "not a JSON'
    yield Audit("B6DC", "JSON that is none is answered", cut, accept=JSON, status=range(200, 600))
    yield Audit("BCF8", "by 400, in the older type", cut, accept=JSON, status=BAD)
    yield Audit("B7N8", "and in the newer", cut, accept=GRAPHQL, status=BAD)
    for id, status in (("8764", REFUSED), ("3E3A", BAD)):
        yield Audit(id, "a misspelt name is no query", {"qeury": TYPENAME}, status=status)
    for id, body in (("572B", {"query": "{"}), ("FDE2", NO_FIELD), ("7B9B", COERCED)):
        yield Audit(id, "the older type answers 200 to any document", body, accept=JSON)
    yield from in_newer("865D 556A D586", {"query": "{"})
    yield from in_newer("51FE 74FF 5E5B", NO_FIELD)
    yield Audit("86EE", "and to what does not fit", COERCED, accept=GRAPHQL, status=BAD)


def in_newer(ids: str, body: Json) -> Iterator[Audit]:
    refused, bad, empty = ids.split()
    yield Audit(refused, "the newer type refuses it", body, accept=GRAPHQL, status=REFUSED)
    yield Audit(bad, "by 400", body, accept=GRAPHQL, status=BAD)
    yield Audit(empty, "and has no data", body, accept=GRAPHQL, status=REFUSED, without="data")


AUDITS = {audit.id: audit for audit in audits()}


@pytest.mark.parametrize("id", AUDITS)
async def test_each_audit_is_ok(house: House, id: str) -> None:
    audit = AUDITS[id]
    headers = {} if audit.accept is None else {"accept": audit.accept}
    async with httpx2.AsyncClient(base_url=house.server.url, trust_env=False) as client:
        if audit.accept is None:
            del client.headers["accept"]
        if audit.params is not None:
            answer = await client.get("/graphql", params=audit.params, headers=headers)
        else:
            if audit.content_type is not None:
                headers["content-type"] = audit.content_type
            raw = isinstance(audit.body, bytes)
            content = audit.body if raw else json.dumps(audit.body, ensure_ascii=False).encode()
            answer = await client.post("/graphql", content=content, headers=headers)
    assert answer.status_code in audit.status, answer.text
    found = json.loads(answer.content.decode("utf-8"))
    assert audit.answers is None or answer.headers["content-type"].startswith(audit.answers)
    assert audit.without is None or audit.without not in found
    # What is no error says what it is; no audit asks for more than the name of a type.
    assert ("errors" in found) == (answer.status_code != 200 or audit.id in LENIENT)


#: Documents that are wrong, in the older type.
LENIENT = {"572B", "FDE2", "7B9B"}


async def test_the_public_audits_are_all_ok(house: House, tmp_path: Path) -> None:
    modules = packages("graphql", "graphql-http")
    found = {}
    async with program(
        tmp_path, modules, script("audits.mjs"), f"{house.server.url}/graphql"
    ) as audits:
        while (result := await audits.tells()) is not None:
            found[result["id"]] = result
        await audits.ends()
    assert [result for result in found.values() if result["status"] != "ok"] == []
    assert len(found) == COUNT
    assert list(found) == list(AUDITS)
