"""What goes around every request: an id, a count, an answer even where nobody expected a fault."""

from __future__ import annotations

import os
import re
import time

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import MASKED, fault_of, problem, problem_of
from api.logs import Seldom
from api.metrics import Metrics

#: An id a client may give its request; any other is replaced.
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

log = structlog.get_logger("kuota.http")


class Envelope:
    """ASGI middleware: sets `request_id`, answers faults as problems, masks what is unexpected."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self.app = app
        self.metrics = metrics
        self.routes = routes
        self._away = Seldom()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = given_id(scope) or os.urandom(8).hex()
        # A copy: the servers hand the same dictionary of the lifespan to every request.
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
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


def given_id(scope: Scope) -> str | None:
    """The id the client gave, if it is one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return bytes(value).decode()
    return None
