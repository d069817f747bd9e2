"""Ending: the coming of a subscription's last day is said, once for each last day.

Owns the task that looks at it on the day on which it is to be said. When that is follows from what
is agreed at that moment, in the zone of that moment: a task that comes too early waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from api.operations.acting import Done, Scene, given
from domain.billing_alerts import subscription_ending
from domain.changing import book
from domain.periods import MINUTE, Zone, date_of
from domain.subscriptions import Ending as Coming
from domain.subscriptions import ending
from persistence import actions, load, subscriptions, tasks, terms
from persistence.actions import ActionKind
from persistence.catalogue import Catalogue
from persistence.connection import Connection
from persistence.door import Door
from persistence.show import Show
from persistence.subscriptions import Kept
from persistence.tasks import Task
from persistence.tenants import find_by_ids

#: Microseconds after which it is looked again where something else was agreed meanwhile.
AGAIN: Final = MINUTE


class NotNowError(Exception):
    """What was to be said is no longer so, or somebody else says it."""


class Ending:
    """What says that subscriptions end."""

    def __init__(
        self, door: Door, catalogue: Catalogue, show: Show, now: Callable[[], int]
    ) -> None:
        self._door = door
        self._catalogue = catalogue
        self._show = show
        self._now = now

    async def handle(self, task: Task) -> None:
        """Say that a subscription ends, if it is time to, and end the task; else have it wait."""
        coming = await self._due(task)
        if coming is None:
            return
        (tenant,) = (await find_by_ids(self._door, [task.tenant_id])).values()
        asked = {"subscription": task.key, "last_day": coming.last_day}
        try:
            await given(
                self._door, self._catalogue, self._show, ActionKind.SUBSCRIPTION_CHANGE, tenant.key,
                f"ending/{task.key}/{date_of(coming.last_day)}",
                actions.content_of(ActionKind.SUBSCRIPTION_CHANGE, asked),
                lambda scene: self._say(scene, task, coming), now=self._now, ours=True,
            )  # fmt: skip
        except NotNowError:
            async with self._door.tenant_tx(task.tenant_id) as connection:
                await tasks.later(connection, task, self._now() + AGAIN)
            return
        async with self._door.tenant_tx(task.tenant_id) as connection:
            await tasks.done(connection, task)  # where it was said before another end was agreed

    async def _due(self, task: Task) -> Coming | None:
        """What is to be said now; where nothing is, the task ends or waits."""
        async with self._door.tenant_tx(task.tenant_id) as connection:
            await load.lock(connection, [task.tenant_id], wait=True)
            (own,) = await terms.by_ids(connection, self._catalogue, [task.tenant_id])
            kept = await subscriptions.find(connection, task.tenant_id, task.key)
            coming = None if kept is None else unsaid(kept)
            if coming is None:
                await tasks.done(connection, task)
                return None
            at = due_at(coming, own.zone)
            if at > self._now():
                await tasks.later(connection, task, at)
                return None
        return coming

    async def _say(self, scene: Scene, task: Task, coming: Coming) -> Done:
        connection, own = scene.connection, scene.terms
        kept = await _still(connection, task, coming)
        if kept is None or not await tasks.done(connection, task):
            raise NotNowError
        await subscriptions.said(connection, kept, coming.last_day)
        await scene.lots(scene.now)
        changes = book(own, own, scene.state, {}, scene.now)
        changes.alerts.append(subscription_ending(task.key, coming.last_day, scene.now))
        return Done(
            changes=changes,
            body={"subscription": task.key, "said_for": coming.last_day},
            about=(f"sub/{kept.subscription_id}",),
            what="subscriptionEnding",
            after={"subscription": task.key, "endsOn": str(date_of(coming.last_day))},
        )


async def _still(connection: Connection, task: Task, coming: Coming) -> Kept | None:
    kept = await subscriptions.find(connection, task.tenant_id, task.key)
    return kept if kept is not None and unsaid(kept) == coming else None


def unsaid(kept: Kept) -> Coming | None:
    """A subscription's end whose coming was not said yet; None: it goes on, or it was."""
    coming = ending(kept.subscription)
    return None if coming is None or coming.last_day == kept.said_for else coming


def due_at(coming: Coming, zone: Zone) -> int:
    """The local midnight from which it is said."""
    return zone.day_bounds(coming.say_on)[0]
