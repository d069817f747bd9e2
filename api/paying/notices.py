"""`POST /v1/webhooks/payments/{provider}`: what a provider of payments tells on its own.

Owns the route's HTTP and what is asked of a notice before it counts: that its signature is the
provider's. It is a hint and no more: its payment is looked at anew, so one that comes twice, late
or out of order does nothing that looking would not do, and what it says beside the key is not read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.errors import Fault
from api.events import check_encoding, read_limited
from api.limits import NOTICE_BODY_BYTES_MAX, NOTICE_WRONG_COST
from api.paying.port import ForgedError, NoticeError, Provider

ROUTE = "/v1/webhooks/payments"
CHALLENGE = {"www-authenticate": 'Signature realm="kuota"'}

#: What takes a notice: its headers and its body.
Post: TypeAlias = Callable[[Mapping[str, str], bytes], Awaitable[None]]


class Paying(Protocol):
    """Who collects what is paid for, as notices need it."""

    @property
    def providers(self) -> Mapping[str, Provider]: ...  # by their names

    async def hurry(self, key: str) -> None:
        """Have a payment looked at soon; durable when this returns, and nothing for no key."""


async def take(paying: Paying, provider: Provider, headers: Mapping[str, str], body: bytes) -> None:
    """Have what a notice is of looked at, or NoticeError."""
    await paying.hurry(provider.key_of(headers, body))


def posting(paying: Paying, provider: Provider) -> Post:
    """What takes the notices of a provider that runs in this process."""
    return partial(take, paying, provider)


async def notice(request: Request) -> Response:
    """Take a notice; 200 for every one that is the provider's, also of keys nobody knows here."""
    core = request.app.state.core
    paying: Paying = core.engines.paying
    name = request.path_params["provider"]
    provider = paying.providers.get(name)
    if provider is None:
        known = ", ".join(sorted(paying.providers)) or "none"
        raise Fault("NOT_FOUND", f"{name[:40]!r} collects nothing here; who does: {known}")
    check_encoding(request)
    body = await read_limited(request, NOTICE_BODY_BYTES_MAX)
    try:
        await take(paying, provider, request.headers, body)
    except NoticeError as error:
        address = None if request.client is None else request.client.host
        spending = request.state.spending = core.gate.spending(None, address)
        # Those that are right are charged nothing: a provider posts for all tenants.
        await spending.charge(NOTICE_WRONG_COST)
        if isinstance(error, ForgedError):
            raise Fault("UNAUTHENTICATED", str(error), CHALLENGE) from None
        raise Fault("BAD_REQUEST", str(error)) from None
    return JSONResponse({"status": "ok"})
