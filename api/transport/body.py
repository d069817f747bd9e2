"""Bodies of GraphQL requests: read within a limit, decoded strictly, checked field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from starlette.requests import Request

from api.errors import Fault
from api.items import depth_of
from api.limits import GRAPHQL_BODY_BYTES_MAX, GRAPHQL_DRAIN_BYTES_MAX, JSON_DEPTH_MAX
from api.stored import PREFIX

SHAPE = 'write {"query": "...", "variables": {...}, "operationName": "..."}'
HASH = re.compile(r"[0-9a-f]{64}")


class Params(NamedTuple):
    query: str  #: empty: that of the document
    variables: dict[str, Any] | None
    operation_name: str | None
    document: str | None = None  #: the id of a stored document, where one was named


async def read_body(request: Request) -> bytes:
    """The body, if it is within the limit; of a larger one no more is kept than that."""
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= GRAPHQL_BODY_BYTES_MAX:
            body += chunk
        elif size > GRAPHQL_DRAIN_BYTES_MAX:
            # What is left of the body is not read, so the connection cannot go on.
            raise too_large({"connection": "close"})
    if size > GRAPHQL_BODY_BYTES_MAX:
        raise too_large({})
    return bytes(body)


def too_large(headers: dict[str, str]) -> Fault:
    return Fault(
        "PAYLOAD_TOO_LARGE",
        f"the body is larger than {GRAPHQL_BODY_BYTES_MAX // 1024} KB: send facts to /v1/events, "
        "and shorter queries here",
        headers,
    )


def from_body(body: bytes, content_type: str | None) -> Params:
    """The parameters in a POST."""
    kind, _, options = (content_type or "").partition(";")
    if kind.strip().lower() != "application/json":
        raise Fault("UNSUPPORTED_MEDIA_TYPE", "send the query as Content-Type: application/json")
    charset = options.lower().partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8"):
        raise Fault("UNSUPPORTED_MEDIA_TYPE", "JSON is UTF-8 here: leave the charset out")
    if not body:
        bad(f"the body is empty: {SHAPE}")
    value = decode(body, "the body")
    if isinstance(value, list):
        bad("the body is a list, batches are not taken: send one operation a request")
    if not isinstance(value, dict):
        bad(f"the body is {name_of(value)}: {SHAPE}")
    return params_of(value)


def from_url(request: Request) -> Params:
    """The parameters in a GET."""
    given: dict[str, Any] = {}
    for name in ("query", "documentId", "operationName", "variables", "extensions"):
        values = request.query_params.getlist(name)
        if len(values) > 1:
            bad(f"`{name}` is given {len(values)} times: give it once")
        if values:
            given[name] = values[0]
    for name in ("variables", "extensions"):
        if name in given:
            text = given[name].encode("utf-8", "surrogatepass")
            given[name] = decode(text, f"`{name}`") if text else None
    return params_of(given)


def params_of(value: dict[str, Any]) -> Params:
    query = value.get("query")
    if not isinstance(query, str | None):
        bad(f"`query` is {name_of(query)}: write a string")
    variables = value.get("variables")
    if variables is not None and not isinstance(variables, dict):
        bad(f"`variables` is {name_of(variables)}: write an object, or leave it out")
    operation_name = value.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        bad(f"`operationName` is {name_of(operation_name)}: write a string, or leave it out")
    extensions = value.get("extensions")
    if extensions is not None and not isinstance(extensions, dict):
        bad(f"`extensions` is {name_of(extensions)}: write an object, or leave it out")
    document = document_of(value)
    if not query and document is None:
        bad(f"`query` is missing: {SHAPE}")
    # An empty name is what tools send when there is none.
    return Params(query or "", variables, operation_name or None, document)


def document_of(value: Mapping[str, Any]) -> str | None:
    """The id of the stored document that is asked for, in the draft's way or in Apollo's."""
    id = value.get("documentId")
    if not isinstance(id, str | None):
        bad(f"`documentId` is {name_of(id)}: write the string 'sha256:...'")
    persisted = (value.get("extensions") or {}).get("persistedQuery")
    if persisted is not None:
        written = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
        if not isinstance(written, str) or not HASH.fullmatch(written):
            bad('`extensions.persistedQuery` is {"version": 1, "sha256Hash": 64 hex digits}')
        if persisted.get("version") != 1:
            bad("`extensions.persistedQuery.version` is 1 here")
        if id and id != PREFIX + written:
            bad("`documentId` and `extensions.persistedQuery` name two documents: leave one out")
        id = PREFIX + written
    return id or None


def decode(body: bytes, what: str) -> Any:
    """JSON by the letter: UTF-8, no NaN, decimals with all their digits, bounded depth."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        bad(f"{what} is not UTF-8 at byte {error.start}")
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=no_number)
    except RecursionError:
        bad(f"{what} is nested deeper than {JSON_DEPTH_MAX} levels")
    except json.JSONDecodeError as error:
        bad(f"{what} is not JSON: {error.msg} at character {error.pos}")
    except ValueError as error:
        bad(f"{what} is not JSON: {error}")
    if depth_of(value) > JSON_DEPTH_MAX:
        bad(f"{what} is nested deeper than {JSON_DEPTH_MAX} levels")
    return value


def no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def bad(message: str) -> NoReturn:
    raise Fault("BAD_REQUEST", message)


def name_of(value: object) -> str:
    """What a JSON value is called."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
    return "a number"
