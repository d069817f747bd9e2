"""GraphQL over HTTP: one operation a request, in JSON, with clear answers to everything else.

Owns the media types and the status codes. Follows the GraphQL-over-HTTP draft:
`application/graphql-response+json` tells faults of a request by its status, and `application/json`
answers 200 to whatever was well-formed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from api.context import Context
from api.core import Core
from api.cors import is_welcome, origins_of
from api.errors import Fault, fault_of, problem_of
from api.gate import Spending
from api.limits import QUERY_REFUSED_COST
from api.rights import Principal
from api.transport.asking import asked, check_page
from api.transport.body import Params, from_body, from_url, read_body
from api.transport.outcome import Teller, formatted, said_of, was_refused, without_operation

GRAPHQL_JSON = "application/graphql-response+json"
PLAIN_JSON = "application/json"

METHODS = {
    "GET": frozenset({OperationType.QUERY}),
    "POST": frozenset({OperationType.QUERY, OperationType.MUTATION}),
}


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody who was let in, before what he asks is read."""

    authorization: str | None
    principal: Principal | None
    address: str | None
    spending: Spending

    @asynccontextmanager
    async def charged(self) -> AsyncIterator[None]:
        """Charge something even for what is refused; not where it is our fault."""
        try:
            yield
        except Fault as fault:
            if fault.code != "SERVICE_UNAVAILABLE":
                await self.spending.settle(QUERY_REFUSED_COST)
            raise
        await self.spending.settle(QUERY_REFUSED_COST)


class View:
    """The route `/graphql`."""

    def __init__(self, schema: BaseSchema, core: Core) -> None:
        self.schema = schema
        self.core = core
        self.teller = Teller(core.metrics)
        self._origins = origins_of(core.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self.respond(request, scope["state"]["request_id"])
        await response(scope, receive, send)

    async def respond(self, request: Request, request_id: str) -> Response:
        """Answer one request; the credential is judged before a byte of the body is read."""
        media_type = negotiated(request.headers.get("accept"))
        try:
            guest = await self.admit(request)
            async with guest.charged():
                params, context = await self.read(request, guest)
                result = await self.run(params, context, request.method)
            self.teller.tell(result.errors, request_id)
        except Fault as fault:
            return faulty(fault, request_id, media_type)
        return answer(result, request_id, media_type)

    async def admit(self, request: Request) -> Guest:
        """Let somebody in by the head of a request, or say in a Fault why not."""
        if request.method not in METHODS:
            raise Fault(
                "METHOD_NOT_ALLOWED", "GraphQL is asked by GET or POST", {"allow": "GET, POST"}
            )
        address = None if request.client is None else request.client.host
        authorization = request.headers.get("authorization")
        principal = await self.core.gate.admit(authorization, address)
        self.check_origin(principal, request)
        spending = request.state.spending = self.core.gate.spending(principal, address)
        spending.check()
        return Guest(authorization, principal, address, spending)

    def check_origin(self, principal: Principal | None, request: Request) -> None:
        """Refuse pages of strangers, whose browsers were told that they may ask (see `cors`)."""
        origin = request.headers.get("origin")
        check_page(principal, origin)
        if principal is not None and principal.widget is not None:
            request.state.widget = True
        elif not is_welcome(request.headers, self._origins):
            raise Fault(
                "FORBIDDEN",
                f"pages of {str(origin)[:100]} may not ask here; their origin is not in"
                " KUOTA_ALLOWED_ORIGINS",
                reason="ORIGIN",
            )

    async def read(self, request: Request, guest: Guest) -> tuple[Params, Context]:
        """What is asked, and the context to run it in."""
        if request.method == "GET":
            params = from_url(request)
        else:
            params = from_body(await read_body(request), request.headers.get("content-type"))
        params = asked(self.core.stored, guest.principal, params)
        context = self.core.context(guest.principal, request.state.request_id, guest.address)
        context.spending = guest.spending
        return params, context

    async def run(self, params: Params, context: Context, method: str) -> ExecutionResult:
        """Execute an operation that ends by itself, as far as the method allows it."""
        with context.acting():
            return await self._execute(params, context, method)

    async def _execute(self, params: Params, context: Context, method: str) -> ExecutionResult:
        try:
            return await self.schema.execute(
                params.query,
                variable_values=params.variables,
                context_value=context,
                operation_name=params.operation_name,
                allowed_operation_types=METHODS[method],
            )
        except CannotGetOperationTypeError:
            raise Fault("BAD_REQUEST", without_operation(params.operation_name)) from None
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                raise Fault(
                    "BAD_REQUEST",
                    "subscriptions are not answered here: ask /graphql/stream, or over a websocket",
                ) from None
            raise Fault(
                "METHOD_NOT_ALLOWED", "mutations are sent by POST", {"allow": "POST"}
            ) from None


def negotiated(accept: str | None) -> str:
    """The media type of the answer: what the client names first of the two, by its weight."""
    best, weight = PLAIN_JSON, 0.0
    for part in (accept or "").lower().split(","):
        kind, *options = (piece.strip() for piece in part.split(";"))
        if kind not in (GRAPHQL_JSON, PLAIN_JSON):
            continue
        quality = 1.0
        for option in options:
            if option.startswith("q="):
                try:
                    quality = float(option[2:])
                except ValueError:
                    quality = 0.0
        if quality > weight:
            best, weight = kind, quality
    return best


def answer(result: ExecutionResult, request_id: str, media_type: str) -> Response:
    """An executed operation, or one refused before its execution, as a response."""
    errors = result.errors or []
    faults = [fault_of(error.original_error) for error in errors if error.original_error]
    nothing = result.data is None or all(value is None for value in result.data.values())
    if nothing:
        # The database went away before anything was decided: the request may come again.
        for fault in faults:
            if fault is not None and fault.code == "SERVICE_UNAVAILABLE":
                return problem_of(fault, request_id)
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    if errors:
        body["errors"] = [formatted(error, request_id) for error in errors]
    refused = was_refused(result)
    if not refused:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    status = 400 if refused and media_type == GRAPHQL_JSON else 200
    for fault in faults:
        if refused and fault is not None and fault.code == "RATE_LIMITED":
            status, headers = fault.status, fault.headers
    return written(body, status, media_type, headers)


def faulty(fault: Fault, request_id: str, media_type: str) -> Response:
    """A request that was not answered: as a problem where it is no matter of GraphQL."""
    if fault.code in ("UNAUTHENTICATED", "SERVICE_UNAVAILABLE"):
        return problem_of(fault, request_id)
    return refusal(fault, request_id, media_type)


def refusal(fault: Fault, request_id: str, media_type: str) -> Response:
    """A request that is no GraphQL request."""
    extensions = {**said_of(fault), "requestId": request_id}
    error = {"message": fault.message, "extensions": extensions}
    # The request was well-formed; in the older media type only such an answer is read.
    unknown = fault.code == "PERSISTED_QUERY_NOT_FOUND" and media_type == PLAIN_JSON
    status = 200 if unknown else fault.status
    return written({"errors": [error]}, status, media_type, fault.headers)


def written(
    body: dict[str, Any], status: int, media_type: str, headers: dict[str, str] | None = None
) -> Response:
    return Response(encoded(body), status, headers, f"{media_type}; charset=utf-8")


def encoded(body: dict[str, Any]) -> bytes:
    """A body in JSON."""
    try:
        return msgspec.json.encode(body)
    except Exception:
        # Numbers of more than 64 bits; and a lone surrogate out of a client's own text, which has
        # no UTF-8 and comes back as a question mark.
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")
