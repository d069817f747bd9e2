"""Fan-out: to whom the alerts of a commit go, each a delivery of its own with a task of its own.

Owns the task `notify`, one of each version that raised something. It is taken away in the
transaction that keeps the deliveries, and one of an event to one target is there once: a crash
anywhere, or two processes at it, and everybody is told once.
"""

from __future__ import annotations

from collections.abc import Callable

from api.reaching.events import Now, body_of, event_of, paid, type_of
from persistence import alerts, deliveries, mailboxes, tasks, webhooks
from persistence.alerts import Alert
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.deliveries import Channel, New
from persistence.door import Door
from persistence.tasks import Task
from persistence.tenants import TenantRecord, find_by_ids
from persistence.webhooks import Endpoint


class FanOut:
    """What finds out who is told, in one process."""

    def __init__(self, door: Door, catalogue: Catalogue, now: Callable[[], int]) -> None:
        self._door = door
        self._catalogue = catalogue
        self._now = now

    async def handle(self, task: Task) -> None:
        """Keep a delivery for each alert of a version and each target that wants it."""
        tenant_id, now = task.tenant_id, self._now()
        tenant = (await find_by_ids(self._door, [tenant_id]))[tenant_id]
        async with self._door.tenant_tx(tenant_id) as connection:
            if not await tasks.done(connection, task):
                return  # somebody else has done it
            endpoints = await webhooks.of_tenant(connection, tenant_id)
            news: list[New] = []
            for alert in await alerts.of_version(connection, tenant_id, int(task.key)):
                news += await self._of(connection, tenant, alert, endpoints, now)
            await deliveries.insert(connection, tenant_id, news, now)

    async def _of(
        self,
        connection: Connection,
        tenant: TenantRecord,
        alert: Alert,
        endpoints: list[Endpoint],
        now: int,
    ) -> list[New]:
        """The deliveries of one alert; nothing is put into words that nobody wants."""
        # What goes to one that is off is kept all the same: once it is on it can be sent again.
        targets = [
            (Channel.WEBHOOK, each.endpoint_id, each.url, now if each.disabled_at is None else None)
            for each in endpoints
            if each.wants(alert.kind)
        ]
        for mailbox_id, due_at in await mailboxes.due_for(connection, alert.tenant_id, alert, now):
            targets.append((Channel.MAIL, mailbox_id, "", due_at))
        if not targets:
            return []
        about = await paid(connection, alert)
        body = body_of(alert, tenant, Now(self._catalogue, now), about)
        return [
            New(
                channel=channel, target_id=target_id, event=event_of(alert),
                kind=type_of(alert.kind), body=body, address=address, due_at=due_at,
            )
            for channel, target_id, address, due_at in targets
        ]  # fmt: skip
