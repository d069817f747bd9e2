"""What became of an operation, whichever way it came: errors as clients see them, and as the log.

Owns the masking. How an outcome travels belongs to the view and to the socket.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog
from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.types import ExecutionResult

from api.errors import MASKED, Fault, fault_of
from api.logs import Seldom
from api.metrics import Metrics
from domain.problems import Problem

#: What the client is told in full, so the log need not be.
EXPECTED = (Problem, Fault, GraphQLError, CannotGetOperationTypeError)

log = structlog.get_logger("kuota.graphql")


class Teller:
    """Logs why fields failed that clients are not told of: once each, or seldom."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._away = Seldom()

    def tell(self, errors: Iterable[GraphQLError] | None, request_id: str) -> None:
        for error in errors or ():
            original = error.original_error
            if original is None or isinstance(original, EXPECTED):
                continue
            if fault_of(original) is None:
                self._metrics.failures.labels("graphql").inc()
                log.error("field failed", request_id=request_id, path=error.path, exc_info=original)
            elif self._away.due():
                log.warning("not available", request_id=request_id, why=repr(original))


def was_refused(result: ExecutionResult) -> bool:
    """Whether nothing was executed: such a result has no data, not null data."""
    return result.data is None and all(error.path is None for error in result.errors or ())


def without_operation(name: str | None) -> str:
    """What is wrong with a document in which there is nothing to run."""
    if name is None:
        return "the document has no operation to run, or several: name one in `operationName`"
    return f"the document has no operation named {name[:60]!r}"


def said_of(fault: Fault) -> dict[str, Any]:
    """What a program is told of a fault: its code, a finer reason, when to come again."""
    said: dict[str, Any] = {"code": fault.code}
    if fault.reason is not None:
        said["reason"] = fault.reason
    if fault.code == "RATE_LIMITED" and "retry-after" in fault.headers:
        said["retryAfter"] = int(fault.headers["retry-after"])
    return said


def formatted(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """An error as clients see it: with a code, and masked where nobody expected it."""
    shown: dict[str, Any] = dict(error.formatted)
    original = error.original_error
    fault = fault_of(original) if original is not None else None
    extensions: dict[str, Any] = dict(error.extensions or {})
    if fault is not None:
        shown["message"] = fault.message
        extensions |= said_of(fault)
    elif isinstance(original, Problem):
        shown["message"] = original.message
        extensions |= {"code": "BAD_USER_INPUT", "field": original.field}
    elif isinstance(original, CannotGetOperationTypeError):
        shown["message"] = without_operation(original.operation_name)
        extensions["code"] = "BAD_REQUEST"
    elif original is None or isinstance(original, GraphQLError):
        extensions.setdefault("code", "BAD_USER_INPUT")
    else:
        shown["message"] = MASKED
        extensions = {"code": "INTERNAL_SERVER_ERROR"}
    shown["extensions"] = extensions | {"requestId": request_id}
    return shown
