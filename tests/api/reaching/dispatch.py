"""A process that posts webhooks, beside a world: its endpoints, its tasks, and what came of them.

Owns what tests of webhooks need; checks nothing itself. Time is where a test puts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from api import ids
from api.metrics import Metrics
from api.operations import webhook_endpoint_create, webhook_test
from api.operations.webhook_endpoint_create import WebhookEndpointCreate
from api.operations.webhook_test import WebhookTest
from api.reaching.fan_out import FanOut
from api.reaching.posting import Poster
from api.reaching.signatures import Seals
from api.reaching.webhooks import Webhooks
from api.signing import Signing
from api.tasks import Tasks
from domain.watch import AlertKind
from persistence import deliveries, tasks, webhooks
from persistence.alerts import Alert
from persistence.alerts import Asked as AskedAlerts
from persistence.alerts import pages as alert_pages
from persistence.deliveries import Channel, Delivery
from persistence.webhooks import Endpoint
from tests.domain.spine import UNIT
from tests.scenarios.world import OPERATOR, World

SIGNING = Signing(None)

names = count(1)


@dataclass(slots=True)
class Dispatch:
    """What posts in one process of a world."""

    world: World
    webhooks: Webhooks
    tasks: Tasks

    @classmethod
    def of(cls, world: World, *, loopback: bool = True, seconds: float = 5.0) -> Dispatch:
        now = world.clock.now
        poster = Poster(now, loopback=loopback, seconds=seconds)
        sender = Webhooks(world.door, Seals(SIGNING), poster, now)
        handlers = {
            tasks.NOTIFY: FanOut(world.door, world.catalogue, now).handle,
            tasks.WEBHOOK: sender.handle,
        }
        return cls(world, sender, Tasks(world.door, now, Metrics(), handlers))

    async def quiet(self) -> None:
        """Do what is due until nothing is, and wait for every answer."""
        await self.tasks.quiet()
        await self.webhooks.idle()

    async def on(self, by: int) -> None:
        """Let time pass, and do what is due then."""
        self.world.clock.at += by
        await self.quiet()

    async def endpoint(
        self, tenant: str, url: str, kinds: Sequence[AlertKind] | None = None, words: str = ""
    ) -> tuple[Endpoint, str]:
        """Add an endpoint; it and its secret."""
        request = WebhookEndpointCreate(
            tenant=tenant, url=url, kinds=None if kinds is None else tuple(kinds),
            description=words,
        )  # fmt: skip
        made = await webhook_endpoint_create.run(
            self.world.door, SIGNING, OPERATOR, request, now=self.world.clock.now()
        )
        return made.endpoint, made.secret

    async def test(self, tenant: str, endpoint: Endpoint) -> Delivery:
        """Begin to send an endpoint something that says nothing."""
        request = WebhookTest(tenant=tenant, id=name_of(endpoint))
        return await webhook_test.run(
            self.world.door, OPERATOR, request, now=self.world.clock.now()
        )

    async def use(self, tenant: str, units: int, balance: str = "visitors") -> None:
        """Take units of a balance away by hand, in one movement; fewer than none gives some."""
        await self.world.adjust(tenant, balance, -units * UNIT, key=f"use-{next(names)}")

    async def now_of(self, endpoint: Endpoint) -> Endpoint:
        """An endpoint as it is kept."""
        async with self.world.door.tenant_tx(endpoint.tenant_id) as connection:
            found = await webhooks.find(connection, endpoint.tenant_id, endpoint.endpoint_id)
        assert found is not None
        return found

    async def log(self, tenant: str, channel: Channel = Channel.WEBHOOK) -> list[Delivery]:
        """A tenant's deliveries, oldest first."""
        asked = deliveries.Asked(tenant_id=self._id(tenant), channel=channel)
        (found,) = await deliveries.pages(self.world.door, [asked], limit=1_000)
        return found[::-1]

    async def alerts(self, tenant: str) -> list[Alert]:
        """A tenant's alerts, oldest first."""
        asked = AskedAlerts(tenant_id=self._id(tenant))
        (page,) = await alert_pages(self.world.door, [asked], limit=1_000)
        return list(page.alerts)[::-1]

    async def left(self, tenant: str) -> list[tuple[str, int]]:
        """What is still to be done for a tenant: kind and when, soonest first."""
        rows = await self.rows(
            tenant, "select kind, due_at from tasks where tenant_id = $1 order by due_at, key"
        )
        return [(row["kind"], row["due_at"]) for row in rows]

    async def rows(self, tenant: str, statement: str) -> list[Any]:
        """Rows of a tenant, which the statement knows as $1."""
        async with self.world.door.tenant_tx(self._id(tenant)) as connection:
            return list(await connection.fetch(statement, self._id(tenant)))

    def _id(self, tenant: str) -> int:
        return self.world.tenants[tenant].tenant_id


def name_of(endpoint: Endpoint) -> str:
    """An endpoint's id as clients see it."""
    return ids.encode(webhooks.PREFIX, endpoint.endpoint_id)


def delivery_name(delivery: Delivery) -> str:
    """A delivery's, likewise."""
    return ids.encode(deliveries.PREFIX, delivery.delivery_id)
