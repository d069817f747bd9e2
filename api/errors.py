"""How faults look over HTTP: RFC 9457 problems with `code`, `request_id`, at times `reason`."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import Response

from api.faults import CODES, MASKED, STATUS, Fault, fault_of, unauthenticated, unavailable

__all__ = [
    "CODES",
    "MASKED",
    "STATUS",
    "Fault",
    "fault_of",
    "problem",
    "problem_of",
    "unauthenticated",
    "unavailable",
]


def problem(
    status: int,
    code: str,
    detail: str,
    request_id: str,
    headers: dict[str, str] | None = None,
    *,
    reason: str | None = None,
) -> Response:
    """A problem as a response; `reason` is finer than the code."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if reason is not None:
        body["reason"] = reason
    return Response(
        json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        status,
        headers,
        "application/problem+json",
    )


def problem_of(fault: Fault, request_id: str) -> Response:
    return problem(
        fault.status, fault.code, fault.message, request_id, fault.headers, reason=fault.reason
    )
