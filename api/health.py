"""Whether a process serves, and whether it can: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.core import Core
from api.errors import Fault, unauthenticated
from api.limits import READY_TIMEOUT_SECONDS
from api.parts import Part
from domain.periods import iso
from persistence.migrate import pending


async def healthz(request: Request) -> Response:
    """The process answers; nothing else is asked."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """503 without the database, with open migrations, and when the process ends.

    Names no tenant and asks no credential.
    """
    core: Core = request.app.state.core
    (database, migrations), valkey, feed = await asyncio.gather(
        of_database(core), of_valkey(core), of_feed(core)
    )
    checks = {"database": database, "migrations": migrations, "valkey": valkey}
    if feed is not None:
        checks["feed"] = feed
    able = core.ready and database == migrations == "ok" and not core.draining
    fine = able and valkey == "ok" and feed in ("ok", None)
    status = "draining" if core.draining else "ready" if fine else "degraded"
    parts = [part for part in Part if part in core.role.parts]
    body: dict[str, Any] = {"status": status, "parts": parts, "checks": checks}
    if core.settings.clock is not None:
        # A clock that was set is for tests: nobody shall take it for the real one.
        body["clock"] = iso(core.clock.now())
    return JSONResponse(body, 200 if able else 503)


async def of_database(core: Core) -> tuple[str, str]:
    """The states of the database and of its migrations."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS):
            async with core.door.system_tx("readiness is of no tenant") as conn:
                return "ok", "open" if await pending(conn) else "ok"
    except Exception:  # whatever it was, the database did not answer the question
        return "down", "unknown"


async def of_valkey(core: Core) -> str:
    """ok, or down."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS):
            await core.valkey.ping()
            return "ok"
    except Exception:  # as above
        return "down"


async def of_feed(core: Core) -> str | None:
    """ok, or silent: what is published does not come here; None where nobody watches here."""
    if Part.FEED not in core.role.parts:
        return None
    if not core.ready:
        return "silent"
    returned = await core.engines.hub.canary.returns(core.valkey, READY_TIMEOUT_SECONDS)
    return "ok" if returned else "silent"


async def metrics(request: Request) -> Response:
    """Prometheus's page, for who asks from this machine or with an operator's key."""
    core: Core = request.app.state.core
    if not from_loopback(request):
        address = None if request.client is None else request.client.host
        principal = await core.gate.admit(request.headers.get("authorization"), address)
        if principal is None:
            raise unauthenticated("metrics are for this machine, or for an operator's key")
        if not principal.is_operator:
            raise Fault("FORBIDDEN", "metrics are for operators")
    page, media_type = core.metrics.page()
    return Response(page, headers={"content-type": media_type})


def from_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
