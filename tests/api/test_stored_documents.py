"""Stored documents: checked at the start, asked for by their ids, never taken from clients.

`KUOTA_DOCUMENTS` names the file; requests name a document as the GraphQL-over-HTTP draft says, or
as Apollo's clients do.
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.cli import main, surroundings
from api.schema.root import schema
from api.settings import Clock, Settings
from api.stored import Stored, StoredError, load
from api.transport.asking import asked
from api.transport.body import Params
from api.transport.documents import judged
from api.transport.protocol import Close, Subscribe, read
from tests.conftest import OPERATOR_KEY, Database

VIEWER = "query Viewer { viewer { kind } }"
KEYS = 'mutation Revoke { apiKeyRevoke(input: {id: "x"}) { userErrors { code } } }'
TWO = "query A { a: __typename } query B { b: __typename }"
UNKNOWN = "sha256:" + "0" * 64
GRAPHQL = "application/graphql-response+json"


def named(text: str) -> str:
    return "sha256:" + sha256(text.encode()).hexdigest()


DOCUMENTS = {named(text): text for text in (VIEWER, KEYS, TWO)}


def stored_in(path: Path, content: Any) -> Stored:
    """The documents in a file of this content."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return load(path, partial(judged, schema._schema))


def manifest(**changes: Any) -> dict[str, Any]:
    operation = {"id": named(VIEWER)[7:], "name": "Viewer", "type": "query", "body": VIEWER}
    return {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [operation | changes],
    }


def test_both_forms_of_the_file_are_read(tmp_path: Path) -> None:
    stored = stored_in(tmp_path / "plain.json", DOCUMENTS)
    assert stored.texts == DOCUMENTS
    assert stored.changing == {named(KEYS)}
    apollo = stored_in(tmp_path / "apollo.json", manifest())
    assert apollo.texts == {named(VIEWER): VIEWER}
    assert stored_in(tmp_path / "none.json", {}).texts == {}
    assert load(None, partial(judged, schema._schema)) == Stored()


BROKEN = "query { viewer { kindness } }"
WRONG_FILES: list[tuple[str, Any, str]] = [
    ("no JSON", "{", "not JSON"),
    ("a list", [VIEWER], "another form"),
    ("a number for a text", {named(VIEWER): 5}, "another form"),
    ("another manifest", manifest() | {"version": 2}, "another form"),
    ("an operation without a body", manifest(body=None), "another form"),
    ("another text's hash", {UNKNOWN: VIEWER}, f"{UNKNOWN!r} has the hash of another text"),
    ("a hash of Apollo's that is none", manifest(id="x"), "'sha256:x' has the hash of another"),
    ("an unknown field", {named(BROKEN): BROKEN}, f"{named(BROKEN)} is not valid: Cannot query"),
    ("no GraphQL", {named("{"): "{"}, "is not valid: Syntax Error"),
    ("nothing to run", {named(f := "fragment f on Query { __typename }"): f}, "is not valid"),
    ("past a limit", {named(d := "{a" * 101 + "}" * 101): d}, "nesting is 101"),
]


def test_a_wrong_file_is_told_in_one_line(tmp_path: Path) -> None:
    for name, content, words in WRONG_FILES:
        with pytest.raises(StoredError) as told:
            stored_in(tmp_path / "documents.json", content)
        assert words in str(told.value), name
        assert "\n" not in str(told.value), name
    with pytest.raises(StoredError, match="cannot be read"):
        load(tmp_path / "nowhere.json", partial(judged, schema._schema))


def test_a_wrong_document_stops_the_start_and_the_doctor_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps({named(BROKEN): BROKEN}), "utf-8")
    monkeypatch.setenv("KUOTA_DOCUMENTS", str(path))
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["serve", "--port", "0"]) == 1
    finally:
        signal.signal(signal.SIGTERM, handler)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"its document {named(BROKEN)} is not valid: Cannot query field 'kindness'" in line
    found = surroundings.documents(Settings(documents=path))
    assert found.state.value == "broken"
    assert named(BROKEN) in found.found
    path.write_text(json.dumps(DOCUMENTS), "utf-8")
    assert surroundings.documents(Settings(documents=path)).found == f"3 in {path}"


@pytest.fixture
async def app(database: Database, redis_url: str, tmp_path: Path) -> AsyncIterator[Starlette]:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps(DOCUMENTS), "utf-8")
    settings = Settings(
        database_url=database.app_url,
        redis_url=redis_url,
        operator_key=OPERATOR_KEY,
        documents=path,
    )
    app = create_app(settings, Clock())
    async with app.router.lifespan_context(app):
        yield app


def persisted(text_hash: str, version: Any = 1) -> dict[str, Any]:
    return {"persistedQuery": {"version": version, "sha256Hash": text_hash}}


async def test_documents_are_asked_for_by_their_ids(client: httpx2.AsyncClient) -> None:
    headers = {"authorization": f"Bearer {OPERATOR_KEY}"}
    answers = {"data": {"viewer": {"kind": "OPERATOR"}}, "extensions": {"cost": 2}}
    id = named(VIEWER)
    other = "{ other: __typename }"
    bodies: list[dict[str, Any]] = [
        {"documentId": id},
        {"documentId": id, "query": VIEWER},
        {"extensions": persisted(id[7:])},
        {"extensions": persisted(id[7:]), "query": ""},
        {"extensions": persisted(id[7:]), "documentId": id},
        {"documentId": named(TWO), "operationName": "B"},
        # What is not stored is executed where it is sent with its hash, and is not kept.
        {"extensions": persisted(named(other)[7:]), "query": other},
    ]
    for body in bodies:
        answer = (await client.post("/graphql", json=body, headers=headers)).json()
        if body.get("documentId") == named(TWO):
            assert answer == {"data": {"b": "Query"}, "extensions": {"cost": 1}}
        elif body.get("query") == other:
            assert answer["data"] == {"other": "Query"}
        else:
            assert answer == answers, body
    for query in ({"documentId": id}, {"extensions": json.dumps(persisted(id[7:]))}):
        answer = (await client.get("/graphql", params=query, headers=headers)).json()
        assert answer == answers
    changing = await client.get("/graphql", params={"documentId": named(KEYS)}, headers=headers)
    assert changing.status_code == 405


UNREADABLE: list[tuple[dict[str, Any], str]] = [
    ({"documentId": 5}, "`documentId` is a number"),
    ({"documentId": ""}, "`query` is missing"),
    ({"extensions": {"persistedQuery": "x"}}, "64 hex digits"),
    ({"extensions": persisted("x")}, "64 hex digits"),
    ({"extensions": persisted("0" * 64, 2)}, "version` is 1"),
    ({"extensions": persisted("0" * 64), "documentId": named(VIEWER)}, "name two documents"),
    ({"query": "{ __typename }", "documentId": named(VIEWER)}, "has another hash"),
]


async def test_what_names_no_document_is_refused(client: httpx2.AsyncClient) -> None:
    unknown: list[dict[str, Any]] = [
        {"documentId": UNKNOWN},
        {"documentId": "custom"},
        {"documentId": "sha256:\ud800"},
        {"extensions": persisted("0" * 64)},
    ]
    for body in unknown:
        for media_type, status in (("application/json", 200), (GRAPHQL, 404)):
            answer = await client.post(
                "/graphql",
                content=json.dumps(body),
                headers={"accept": media_type, "content-type": "application/json"},
            )
            assert answer.status_code == status, body
            (error,) = answer.json()["errors"]
            assert error["message"] == "PersistedQueryNotFound"
            assert error["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    for body, words in UNREADABLE:
        answer = await client.post("/graphql", json=body)
        (error,) = answer.json()["errors"]
        assert answer.status_code == 400, body
        assert words in error["message"], body


def test_sockets_name_them_in_the_same_way() -> None:
    """A wrong form breaks the protocol; a document that is not there is its operation's alone."""

    def subscribing(**payload: Any) -> Params:
        message = read(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        assert isinstance(message, Subscribe)
        return message.params

    stored = Stored(DOCUMENTS)
    id = named(VIEWER)
    for payload in ({"documentId": id}, {"extensions": persisted(id[7:]), "variables": None}):
        assert asked(stored, None, subscribing(**payload)) == Params(VIEWER, None, None, id)
    for payload in ({"documentId": 5}, {"documentId": id, "query": 5}, {"documentId": None}):
        with pytest.raises(Close):
            subscribing(**payload)
