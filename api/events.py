"""`POST /v1/events`: a body of CloudEvents, read within its limit, answered item by item.

Owns the route's HTTP: sizes, encodings, statuses. Everything it refuses is a problem of the whole
request; items are refused inside the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from api.errors import Fault, unauthenticated, unavailable
from api.gate import Spending
from api.intake import SCOPE
from api.limits import EVENTS_BODY_BYTES_MAX, RATE_FACTS
from api.rights import Principal
from api.submissions import Busy, Unavailable

if TYPE_CHECKING:
    from api.core import Core


async def read_limited(request: Request, limit: int) -> bytes:
    """The request's body, refused as soon as it is known to be too large."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise Fault("PAYLOAD_TOO_LARGE", f"the body may have at most {limit} bytes")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise Fault("PAYLOAD_TOO_LARGE", f"the body may have at most {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def check_encoding(request: Request) -> None:
    """Refuse a body that was encoded: what it unfolds to has no announced size."""
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":
        raise Fault(
            "UNSUPPORTED_MEDIA_TYPE",
            f"content encoding {coding[:64]!r} is not taken here; send the body as it is: identity",
            {"accept-encoding": "identity"},
        )


async def admitted(request: Request, scope: str) -> tuple[Principal, Spending, bytes]:
    """Who asks and may, what it is charged to, and the body that came; a Fault otherwise."""
    gate = request.app.state.core.gate
    address = None if request.client is None else request.client.host
    principal = await gate.admit(request.headers.get("authorization"), address)
    spending = request.state.spending = gate.spending(principal, address)
    spending.check()
    if principal is None:
        await spending.charge(1)
        raise unauthenticated("this needs a key: Authorization: Bearer KEY")
    principal.require(scope)
    check_encoding(request)
    # A client that goes away meanwhile ends it here: half a body is no body.
    return principal, spending, await read_limited(request, EVENTS_BODY_BYTES_MAX)


async def events(request: Request) -> Response:
    """Take facts; 200 whenever the body has the announced shape, even if each is refused."""
    core: Core = request.app.state.core
    principal, spending, body = await admitted(request, SCOPE)

    async def charge(facts: int) -> None:
        await spending.charge(1 + facts // RATE_FACTS)

    content_type = request.headers.get("content-type", "")
    try:
        answer = await core.intake.record(principal, body, content_type, charge)
    except Busy as busy:
        raise unavailable(f"{busy}; send it again in a moment") from None
    except Unavailable as away:
        raise unavailable(
            f"{away}; nothing is known to be kept, send it again: what was kept is a duplicate then"
        ) from None
    return Response(answer, media_type="application/json")
