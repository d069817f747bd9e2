"""Directions: what a process answers for a part that it does not serve.

Owns the refusal and its words; which routes are of which part is `app`'s.
"""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from api.errors import Fault, problem_of
from api.parts import Part, Role, listed


class Elsewhere:
    """Stands where other processes serve a part: a client that comes again may reach one."""

    def __init__(self, part: Part, role: Role) -> None:
        words = f"this process serves {listed(role.parts)}, not {part}: ask one that does"
        self._fault = Fault("MISDIRECTED_REQUEST", words)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close"})  # before accepting: 403
                return
        await problem_of(self._fault, scope["state"]["request_id"])(scope, receive, send)
