"""What goes around every request: an id, a count, an answer even where nobody expected a fault.

Owns the headers every answer has, those of the limits and of CORS included; an answer that brings
one of its own keeps it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cors import Cors, Header, is_preflight
from api.errors import MASKED, Fault, fault_of, problem, problem_of
from api.logs import Seldom, of_request
from api.metrics import Metrics
from api.settings import Settings

#: An id a client may give its request; any other is replaced.
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

#: Nothing that is answered is a page, or part of one.
OF_DATA = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#: Pages of ours load what lies here and nothing else, and nobody frames them.
OF_PAGES = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    b" base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SAFE: list[Header] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    # Figures of a tenant, or a refusal: neither is anybody else's.
    (b"cache-control", b"no-store"),
]
#: A year; not for other names below this one, of which we know nothing.
ENCRYPTED = (b"strict-transport-security", b"max-age=31536000")

log = structlog.get_logger("kuota.http")


class Envelope:
    """ASGI middleware: sets `request_id`, answers faults as problems, masks what is unexpected."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        routes: frozenset[str],
        settings: Settings | None = None,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.routes = routes
        settings = settings or Settings()
        self._cors = Cors(settings)
        encrypted = (settings.public_url or "").startswith("https://")
        self._safe = [*SAFE, ENCRYPTED] if encrypted else SAFE
        self._away = Seldom()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = given_id(scope) or os.urandom(8).hex()
        # A copy: the servers hand the same dictionary of the lifespan to every request.
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        with of_request(request_id):
            await self._take(scope, receive, send, request_id, started)

    async def _take(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, started: float
    ) -> None:
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._headers(scope, message.get("headers", ()))
            await send(message)

        try:
            if scope["method"] == "OPTIONS" and is_preflight(headers := Headers(scope=scope)):
                await self._answer_preflight(scope, headers, send_with_id)
            else:
                await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            pass  # nobody is there to read an answer
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                self.metrics.failures.labels("http").inc()
                log.error("request failed", request_id=request_id, exc_info=error)
            elif fault.status == 503 and self._away.due():
                log.warning("not available", request_id=request_id, why=str(error))
            if status == 0:
                answer = (
                    problem(500, "INTERNAL_SERVER_ERROR", MASKED, request_id)
                    if fault is None
                    else problem_of(fault, request_id)
                )
                await answer(scope, receive, send_with_id)
        finally:
            # Who hung up before an answer began is counted as nginx does.
            status = status or 499
            route = scope["path"] if scope["path"] in self.routes else "other"
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _headers(self, scope: Scope, own: Iterable[Header]) -> list[Header]:
        """An answer's headers: its own, and those of all answers that it does not have."""
        state = scope["state"]
        headers = [*own, (b"x-request-id", state["request_id"].encode())]
        names = {name for name, _ in headers}
        headers += [header for header in self._safe if header[0] not in names]
        if b"content-security-policy" not in names:
            kind = next((value for name, value in headers if name == b"content-type"), b"")
            policy = OF_PAGES if kind.startswith(b"text/html") else OF_DATA
            headers.append((b"content-security-policy", policy))
        if (spending := state.get("spending")) is not None and b"ratelimit" not in names:
            headers += [(n.encode(), v.encode()) for n, v in spending.headers().items()]
        if self._cors.covers(scope["path"]):
            headers.append((b"vary", b"Origin"))
            if b"access-control-allow-origin" not in names:
                origin = Headers(scope=scope).get("origin")
                headers += self._cors.readable(origin, state.get("widget", False))
        return headers

    async def _answer_preflight(self, scope: Scope, headers: Headers, send: Send) -> None:
        path = scope["path"]
        answer = self._cors.preflight(path, headers) if self._cors.covers(path) else None
        if answer is None:
            raise Fault("FORBIDDEN", "pages of this origin may not ask here", reason="ORIGIN")
        await send({"type": "http.response.start", "status": 204, "headers": answer})
        await send({"type": "http.response.body", "body": b""})


def given_id(scope: Scope) -> str | None:
    """The id the client gave, if it is one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return bytes(value).decode()
    return None
