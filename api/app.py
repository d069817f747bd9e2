"""The composition root: settings and a clock in, the ASGI application out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from api import health, logs, signing_in
from api.authorizing import authorizing
from api.core import Core
from api.directions import Elsewhere
from api.downloads import download
from api.errors import CODES, problem
from api.events import events
from api.metrics import Metrics
from api.parts import Part, Role
from api.paying import notices, pages
from api.paying.sandbox import PAGES
from api.schema.root import schema
from api.settings import Clock, Settings
from api.signing import Signing
from api.stored import Stored, load
from api.transport.documents import judged
from api.transport.envelope import Envelope
from api.transport.sockets import Sockets
from api.transport.sse import EventStreams
from api.transport.view import View

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Kuota</title>
<h1>Kuota</h1>
<p>Billing and live usage of messaging platforms.</p>
<ul>
<li><code>POST /v1/events</code>: facts, as CloudEvents
<li><code>POST /v1/authorize</code>: may this be sent?
<li><code>POST /graphql</code>: everything else
<li><a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>, <a href="/metrics">/metrics</a>
</ul>
</html>
"""


def create_app(settings: Settings, clock: Clock, role: Role | None = None) -> Starlette:
    """The application; its lifespan opens the database and closes it again.

    Of a part that is not the role's it says so where the part would be reached.
    """
    role = role or Role()
    logs.configure(
        Signing(settings.secret).key(logs.PURPOSE),
        plain=settings.log_level == "debug",
        secrets=(settings.operator_key, settings.secret),
    )
    metrics = Metrics()
    stored = stored_documents(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Core.open(settings, clock, metrics, stored, role) as core:
            app.state.core = core
            app.state.graphql = View(schema, core)
            app.state.sockets = Sockets(schema, core)
            app.state.event_streams = EventStreams(app.state.graphql, app.state.sockets)
            yield
            await app.state.sockets.streams.stop()

    routes = routes_of(role)
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            Middleware(
                Envelope,
                metrics=metrics,
                routes=frozenset(route.path for route in routes),
                settings=settings,
            )
        ],
        exception_handlers={HTTPException: refused},
    )


def routes_of(role: Role) -> list[Route | WebSocketRoute]:
    """Every route, whatever the role; how a process fares can be asked of each."""
    edge: list[Route | WebSocketRoute] = [
        Route("/", front, methods=["GET"]),
        Route("/graphql", GraphQLRoute()),
        Route("/v1/events", events, methods=["POST"]),
        Route("/v1/authorize", authorizing, methods=["POST"]),
        Route("/v1/downloads/{link}", download, methods=["GET"]),
        Route(f"{notices.ROUTE}/{{provider}}", notices.notice, methods=["POST"]),
        Route(f"{PAGES}/{{key}}", pages.page, methods=["GET"]),
        Route(f"{PAGES}/{{key}}", pages.decide, methods=["POST"]),
        Route("/sign-in", signing_in.page, methods=["GET"]),
        Route("/v1/sign-in", signing_in.exchange, methods=["POST"]),
        Route("/.well-known/jwks.json", signing_in.keys, methods=["GET"]),
    ]
    feed: list[Route | WebSocketRoute] = [
        WebSocketRoute("/graphql", SocketRoute()),
        Route("/graphql/stream", EventsRoute()),
    ]
    for part, routes in ((Part.EDGE, edge), (Part.FEED, feed)):
        if part not in role.parts:
            routes[:] = [type(route)(route.path, Elsewhere(part, role)) for route in routes]
    return [
        *edge,
        *feed,
        Route("/healthz", health.healthz, methods=["GET"]),
        Route("/readyz", health.readyz, methods=["GET"]),
        Route("/metrics", health.metrics, methods=["GET"]),
    ]


async def drain(app: Starlette) -> None:
    """Let the watchers of an app go, one after the other, and say meanwhile that it ends."""
    core: Core = app.state.core
    sockets: Sockets = app.state.sockets
    core.draining = True
    event_streams: EventStreams = app.state.event_streams
    seconds = core.settings.drain_seconds
    await asyncio.gather(sockets.drain(seconds), event_streams.drain(seconds))


def stored_documents(settings: Settings) -> Stored:
    """The documents that the settings name, held against the schema, or StoredError."""
    return load(settings.documents, partial(judged, schema._schema))


class GraphQLRoute:
    """Hands a request to the view, which exists once the lifespan has begun."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.graphql(scope, receive, send)


class EventsRoute:
    """Hands a request to those who answer by events, who exist once the lifespan has begun."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.event_streams(scope, receive, send)


class SocketRoute:
    """Hands a websocket to those who keep it, who exist once the lifespan has begun."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.sockets(scope, receive, send)


async def front(request: Request) -> Response:
    """A short page that says where things are."""
    return HTMLResponse(PAGE)


async def refused(request: Request, error: Exception) -> Response:
    """No such route, or not by this method, as a problem."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    detail = {
        404: f"there is nothing at {request.url.path[:200]!r}: see / for what there is",
        405: f"{request.method[:20]} is not answered here",
    }.get(status, str(error.detail))
    return problem(
        status,
        CODES.get(status, "BAD_REQUEST"),
        detail,
        request.state.request_id,
        dict(error.headers or {}),
    )
