"""How many websockets there may be: of a process, of an address, of a credential and its tenant.

Owns the counts, in this process, and the refusal of a handshake. A socket counts for its address
until a credential was shown on it, and for that and its tenant from then on: so nobody without one
can take all there are.
"""

from __future__ import annotations

from collections import Counter

from starlette.types import Scope, Send

from api.errors import problem
from api.gate import place_of
from api.limits import (
    RETRY_AFTER_SECONDS,
    SOCKETS_MAX,
    SOCKETS_OF_ADDRESS_MAX,
    SOCKETS_OF_CREDENTIAL_MAX,
    SOCKETS_OF_TENANT_MAX,
)
from api.rights import Principal

#: By what is counted: how many there may be, and whose they are called.
LIMITS = {
    "address": (SOCKETS_OF_ADDRESS_MAX, "your address has"),
    "credential": (SOCKETS_OF_CREDENTIAL_MAX, "this credential has"),
    "tenant": (SOCKETS_OF_TENANT_MAX, "the tenant has"),
}

Place = tuple[str, str | int]


class Seats:
    """The sockets of a process."""

    def __init__(self) -> None:
        self.taken = 0
        self._of: Counter[Place] = Counter()

    @property
    def are_full(self) -> bool:
        return self.taken > SOCKETS_MAX

    def sit(self, address: str | None) -> Seat:
        """A seat for a new socket, whether or not there is room; it has to be left."""
        return Seat(self, ("address", place_of(address)))

    def enter(self, place: Place) -> None:
        self._of[place] += 1

    def leave(self, place: Place) -> None:
        self._of[place] -= 1
        if not self._of[place]:
            del self._of[place]

    def excess(self, places: list[Place]) -> str | None:
        """Which of these has more than it may; None: none of them."""
        for place in places:
            most, whose = LIMITS[place[0]]
            if self._of[place] > most:
                return f"{whose} {most:,} websockets open here already: close some first"
        return None


class Seat:
    """The place of one socket in the counts."""

    __slots__ = ("_places", "_seats")

    def __init__(self, seats: Seats, place: Place) -> None:
        self._seats = seats
        self._places = [place]
        seats.taken += 1
        seats.enter(place)

    def excess(self) -> str | None:
        """Why this socket is one too many; None: it is not."""
        return self._seats.excess(self._places)

    def show(self, principal: Principal) -> None:
        """Count it for its credential and tenant, and no longer for its address."""
        self._leave_places()
        self._places = [("credential", principal.name)]
        if principal.tenant_id is not None:
            self._places.append(("tenant", principal.tenant_id))
        for place in self._places:
            self._seats.enter(place)

    def leave(self) -> None:
        self._leave_places()
        self._seats.taken -= 1

    def _leave_places(self) -> None:
        for place in self._places:
            self._seats.leave(place)
        self._places = []


async def turn_away(scope: Scope, send: Send, why: str) -> None:
    """Refuse a handshake before it is accepted, as HTTP where the server can say it so."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    headers = {"retry-after": str(RETRY_AFTER_SECONDS)}
    answer = problem(429, "RATE_LIMITED", why, scope["state"]["request_id"], headers)
    start = {"type": "websocket.http.response.start", "status": 429, "headers": answer.raw_headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": answer.body})
