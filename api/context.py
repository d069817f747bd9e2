"""The context of one GraphQL operation: who asks, when, and through which doors.

Owns the loaders of the operation: each asks one statement for many keys. Built once per operation,
never shared; a subscription renews its own for every event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from strawberry.dataloader import DataLoader

from api.auth import Authenticator, Principal
from api.errors import unauthenticated
from api.intake import Intake
from api.settings import Clock
from api.settling import Settling
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.hub import Hub
from persistence.live import Live
from persistence.show import Show

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Context:
    """What resolvers are given as `info.context`."""

    principal: Principal | None
    door: Door
    catalogue: Catalogue
    intake: Intake
    authenticator: Authenticator
    now: int  #: the instant of the operation, or of the event; one for all its fields
    request_id: str
    show: Show
    live: Live
    hub: Hub
    settling: Settling
    clock: Clock = field(default_factory=Clock)  #: read for each event
    _loaders: dict[Hashable, DataLoader[Any, Any]] = field(default_factory=dict)

    def renew(self) -> None:
        """Begin an event of a subscription: its own instant, and nothing looked up before."""
        self.now = self.clock.now()
        self._loaders.clear()

    def caller(self) -> Principal:
        """Who asks; raises UNAUTHENTICATED where no credential came."""
        if self.principal is None:
            raise unauthenticated(
                "this needs a credential: send the header Authorization: Bearer KEY"
            )
        return self.principal

    def require(self, scope: str) -> Principal:
        """Who asks; raises FORBIDDEN where the key lacks the scope."""
        caller = self.caller()
        caller.require(scope)
        return caller

    def loader(
        self, name: Hashable, load: Callable[[list[K]], Awaitable[Sequence[V]]]
    ) -> DataLoader[K, V]:
        """The operation's loader of this name (and arguments), made at its first use.

        `load` answers one value for each key, in their order.
        """
        loader = self._loaders.get(name)
        if loader is None:
            loader = self._loaders[name] = DataLoader(load_fn=load)
        return loader
