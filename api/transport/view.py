"""GraphQL over HTTP: one operation a request, in JSON, with clear answers to everything else.

Owns the media types, the status codes and the shape of `errors`. Follows the GraphQL-over-HTTP
draft: `application/graphql-response+json` tells faults of a request by its status, and
`application/json` answers 200 to whatever was well-formed.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import structlog
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from api.context import Context
from api.core import Core
from api.errors import MASKED, Fault, fault_of, problem_of
from api.logs import Seldom
from api.transport.body import Params, from_body, from_url, read_body
from domain.problems import Problem

GRAPHQL_JSON = "application/graphql-response+json"
PLAIN_JSON = "application/json"

METHODS = {
    "GET": frozenset({OperationType.QUERY}),
    "POST": frozenset({OperationType.QUERY, OperationType.MUTATION}),
}

log = structlog.get_logger("kuota.graphql")


class View(GraphQL[Context, None]):
    """The route `/graphql`."""

    def __init__(self, schema: BaseSchema, core: Core) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=5),
            max_subscriptions_per_connection=20,
        )
        self.core = core
        self._away = Seldom()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self.respond(request, scope["state"]["request_id"])
        await response(scope, receive, send)

    async def respond(self, request: Request, request_id: str) -> Response:
        """Answer one request; the credential is judged before a byte of the body is read."""
        media_type = negotiated(request.headers.get("accept"))
        try:
            if request.method not in METHODS:
                raise Fault(
                    "METHOD_NOT_ALLOWED", "GraphQL is asked by GET or POST", {"allow": "GET, POST"}
                )
            principal = await self.core.authenticator.authenticate(
                request.headers.get("authorization")
            )
            if request.method == "GET":
                params = from_url(request)
            else:
                params = from_body(await read_body(request), request.headers.get("content-type"))
            context = self.core.context(principal, request_id)
            result = await self.run_operation(params, context, request.method)
            self.tell(result, request_id)
        except Fault as fault:
            if fault.code in ("UNAUTHENTICATED", "SERVICE_UNAVAILABLE"):
                return problem_of(fault, request_id)
            return refusal(fault, request_id, media_type)
        return answer(result, request_id, media_type)

    def tell(self, result: ExecutionResult, request_id: str) -> None:
        """Log why fields failed that clients are not told of: once each, or seldom."""
        for error in result.errors or ():
            original = error.original_error
            if original is None or isinstance(original, Problem | Fault | GraphQLError):
                continue
            if fault_of(original) is None:
                self.core.metrics.failures.labels("graphql").inc()
                log.error("field failed", request_id=request_id, path=error.path, exc_info=original)
            elif self._away.due():
                log.warning("not available", request_id=request_id, why=repr(original))

    async def run_operation(self, params: Params, context: Context, method: str) -> ExecutionResult:
        try:
            return await self.schema.execute(
                params.query,
                variable_values=params.variables,
                context_value=context,
                operation_name=params.operation_name,
                allowed_operation_types=METHODS[method],
            )
        except CannotGetOperationTypeError:
            raise Fault(
                "BAD_REQUEST",
                "the document has no operation to run"
                if params.operation_name is None
                else f"the document has no operation named {params.operation_name[:60]!r}",
            ) from None
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                raise Fault(
                    "BAD_REQUEST", "subscriptions are not answered over plain HTTP"
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
    body: dict[str, Any] = {}
    if errors:
        body["errors"] = [formatted(error, request_id) for error in errors]
    # A request that was refused before execution has no data, not null data.
    refused = result.data is None and all(error.path is None for error in errors)
    if not refused:
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    status = 400 if refused and media_type == GRAPHQL_JSON else 200
    return written(body, status, media_type)


def refusal(fault: Fault, request_id: str, media_type: str) -> Response:
    """A request that is no GraphQL request."""
    error = {
        "message": fault.message,
        "extensions": {"code": fault.code, "requestId": request_id},
    }
    return written({"errors": [error]}, fault.status, media_type, fault.headers)


def formatted(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """An error as clients see it: with a code, and masked where nobody expected it."""
    shown: dict[str, Any] = dict(error.formatted)
    original = error.original_error
    fault = fault_of(original) if original is not None else None
    extensions: dict[str, Any] = dict(error.extensions or {})
    if fault is not None:
        shown["message"] = fault.message
        extensions["code"] = fault.code
    elif isinstance(original, Problem):
        shown["message"] = original.message
        extensions |= {"code": "BAD_USER_INPUT", "field": original.field}
    elif original is None or isinstance(original, GraphQLError):
        extensions.setdefault("code", "BAD_USER_INPUT")
    else:
        shown["message"] = MASKED
        extensions = {"code": "INTERNAL_SERVER_ERROR"}
    shown["extensions"] = extensions | {"requestId": request_id}
    return shown


def written(
    body: dict[str, Any], status: int, media_type: str, headers: dict[str, str] | None = None
) -> Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate out of a client's own text has no UTF-8: it comes back as a question mark.
    content = text.encode("utf-8", "replace")
    return Response(content, status, headers, f"{media_type}; charset=utf-8")
