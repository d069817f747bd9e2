"""The context of one GraphQL operation: who asks, when, and through which doors.

Owns the loaders of the operation: each asks one statement for many keys. Built once per operation,
never shared; a subscription renews its own for every event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redis.asyncio import Redis
from strawberry.dataloader import DataLoader

from api.audience import Audience
from api.auth import Authenticator
from api.desk import Desk
from api.directory import Directory
from api.errors import unauthenticated
from api.gate import Spending
from api.intake import Intake
from api.paying.collecting import Paying
from api.rights import Principal
from api.settings import Clock
from api.settling import Settling
from api.signing import Signing
from api.stored import Stored
from persistence.audit import Actor, ActorKind, acting_as
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.hub import Hub
from persistence.live import Live
from persistence.show import Show
from persistence.snapshot import Snapshot

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
    signing: Signing
    desk: Desk
    directory: Directory
    paying: Paying
    valkey: Redis
    public_url: str  #: without a slash at its end; empty: this server does not know it
    mails: bool = False  #: whether there is a server of mail
    allowed_origins: tuple[str, ...] = ()  #: of pages that may ask, and are come back to
    clock: Clock = field(default_factory=Clock)  #: read for each event
    address: str | None = None  #: the other end of the connection
    stored: Stored = field(default_factory=Stored)
    spending: Spending | None = None  #: what it is charged to
    audience: Audience = field(default_factory=Audience)  #: of a subscription's event
    snapshot: Snapshot | None = None  #: of a query
    _loaders: dict[Hashable, DataLoader[Any, Any]] = field(default_factory=dict)

    def renew(self) -> None:
        """Begin an event of a subscription: its own instant, and nothing looked up before."""
        self.now = self.clock.now()
        self._loaders.clear()

    @property
    def figures(self) -> Door:
        """Where usage and what was invoiced is read: all of one moment in a query."""
        return self.snapshot or self.door

    def acting(self) -> AbstractContextManager[None]:
        """Who changes what is changed while it is entered; a stranger changes nothing."""
        if self.principal is None:
            return nullcontext()
        return acting_as(actor_of(self.principal, self.address, self.request_id))

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


def actor_of(principal: Principal, address: str | None, request_id: str) -> Actor:
    """A principal as traces tell it."""
    return Actor(
        name=principal.name,
        kind=ActorKind.KEY if principal.role is None else ActorKind.PERSON,
        address=address,
        request_id=request_id,
    )
