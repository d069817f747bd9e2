"""What tests of subscriptions ask for, on a set clock. Checks nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from typing import Any

from api.invoicing.ending import Ending
from api.metrics import Metrics
from api.operations import subscription_change, subscription_create
from api.operations.subscription_change import SubscriptionChange
from api.operations.subscription_create import AskedFees, SubscriptionCreate
from api.tasks import Tasks
from domain.money import micros
from domain.periods import date_number, date_of
from domain.watch import AlertKind
from persistence import alerts, subscriptions, tasks
from persistence.actions import Action
from persistence.subscriptions import DeedKind, Kept
from tests.domain.spine import UNIT
from tests.scenarios.world import World

names = count(1)

SEATS = {"key": "seats", "name": "Seats", "unit": "seat", "price": "300000", "quantity": "5"}
BASE = {"key": "base", "name": "Base", "unit": "plan", "price": "2000000"}
ONBOARDING = {"key": "onboarding", "name": "Onboarding", "price": "500000"}


def day(written: str) -> int:
    return date_number(date.fromisoformat(written))


def fees(*components: dict[str, str], name: str = "Growth", setup: Sequence[Any] = ()) -> AskedFees:
    return AskedFees(name=name, components=components or (BASE, SEATS), setup=setup)


@dataclass(slots=True)
class Agreements:
    """What is agreed with the tenants of a world, and what follows by itself."""

    world: World
    ending: Ending = field(init=False)
    tasks: Tasks = field(init=False)

    def __post_init__(self) -> None:
        world = self.world
        now = world.clock.now
        self.ending = Ending(world.door, world.catalogue, world.show, now)
        handlers = {tasks.ENDING: self.ending.handle}
        self.tasks = Tasks(world.door, now, Metrics(), handlers)

    async def create(
        self, tenant: str, *, asked: AskedFees | None = None, key: str = "main",
        plan: str | None = "omnichannel-idr", start: str | None = None, once: str | None = None,
        **term: Any,
    ) -> Action:  # fmt: skip
        """Subscribe a tenant; days are written as people write them."""
        request = SubscriptionCreate(
            tenant=tenant, key=key, plan=plan, fees=asked or fees(),
            start=None if start is None else day(start),
            idempotency_key=once or f"subscribe-{next(names)}", **term,
        )  # fmt: skip
        world = self.world
        return await subscription_create.run(
            world.door, world.catalogue, world.show, request, now=world.clock.now()
        )

    async def change(
        self, tenant: str, kind: DeedKind, *, since: str | None = None, quantity: str = "0",
        last_day: str | None = None, once: str | None = None, **what: Any,
    ) -> Action:  # fmt: skip
        """Agree on something else."""
        request = SubscriptionChange(
            tenant=tenant, kind=kind, since=None if since is None else day(since),
            quantity=micros(quantity, signed=True),
            last_day=None if last_day is None else day(last_day),
            idempotency_key=once or f"change-{next(names)}", **what,
        )  # fmt: skip
        world = self.world
        return await subscription_change.run(
            world.door, world.catalogue, world.show, request, now=world.clock.now()
        )

    async def kept(self, tenant: str, key: str = "main") -> Kept:
        """A subscription as it stands."""
        tenant_id = self.world.tenants[tenant].tenant_id
        async with self.world.door.tenant_tx(tenant_id) as connection:
            found = await subscriptions.find(connection, tenant_id, key)
        assert found is not None
        return found

    async def granted(self, tenant: str, at: int | None = None) -> int:
        """How many visitors the period of an instant was granted."""
        figures = await self.world.figures(tenant, "visitors", at)
        return figures.total.granted // UNIT

    async def due(self, tenant: str, kind: str) -> dict[str, int]:
        """By key, when tasks of a kind are due."""
        rows = await self.world.rows(
            tenant, "select key, due_at from tasks where tenant_id = $1 and kind = $2", kind
        )
        return {row["key"]: row["due_at"] for row in rows}

    async def told(self, tenant: str) -> list[tuple[str, str]]:
        """Ends that were said: of which subscription, and which day."""
        tenant_id = self.world.tenants[tenant].tenant_id
        (found,) = await alerts.since(self.world.door, [(tenant_id, 0)], limit=1_000)
        return [
            (each.cause_id, str(date_of(each.base)))
            for each in found
            if each.kind is AlertKind.SUBSCRIPTION_ENDING
        ]
