"""Faults of a whole request or of a field: their codes, and what each means over HTTP.

Owns the codes, not their looks. Refusals a caller can act on within an operation are
`domain.problems.Problem` and travel in `userErrors`.
"""

from __future__ import annotations

from api.limits import RETRY_AFTER_SECONDS
from persistence.door import CONNECTION_LOST

#: The status that goes with a code, and so the whole list of codes.
STATUS = {
    "BAD_REQUEST": 400,
    "BAD_USER_INPUT": 400,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "PERSISTED_QUERY_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "NOT_ACCEPTABLE": 406,
    "GONE": 410,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "MISDIRECTED_REQUEST": 421,
    "RATE_LIMITED": 429,
    "INTERNAL_SERVER_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
}
OF_OPERATIONS = {"BAD_USER_INPUT", "PERSISTED_QUERY_NOT_FOUND"}
CODES = {status: code for code, status in STATUS.items() if code not in OF_OPERATIONS}

MASKED = "something went wrong on our side; the request id finds it in the log"


class Fault(Exception):  # noqa: N818 - it says whose it is: a fault of the request, or ours
    """Why a request, or a field of it, was not answered; `code` is one of `STATUS`.

    `reason` is finer than the code, where a program wants to act on it.
    """

    def __init__(
        self,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        *,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = STATUS[code]
        self.headers = headers or {}
        self.reason = reason


def unauthenticated(message: str) -> Fault:
    """A credential that is wrong, with the header that says what would be right."""
    return Fault(
        "UNAUTHENTICATED", message, {"www-authenticate": 'Bearer realm="kuota", charset="UTF-8"'}
    )


def unavailable(message: str = "the database is away; try again in a moment") -> Fault:
    """The database is away: nothing was decided, the same request may be sent again."""
    return Fault("SERVICE_UNAVAILABLE", message, {"retry-after": str(RETRY_AFTER_SECONDS)})


def fault_of(error: BaseException) -> Fault | None:
    """The fault an exception means to a client; None for one that nobody expected."""
    if isinstance(error, Fault):
        return error
    return unavailable() if isinstance(error, CONNECTION_LOST) else None
