"""Dunning: what is due about an overdue invoice, done once, at midnights of its tenant.

Owns the task of an invoice that was issued, from the end of its due day until it is paid or its
steps are done. What is due is `domain.dunning`'s to say, and what then holds `persistence.dunning`
keeps. A crash leaves a step either done, with the task put to the next one, or not begun.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from api.operations.acting import Done, Scene, given
from domain.billing_alerts import invoice
from domain.changing import book
from domain.dunning import Bill, Due, due
from domain.money import text
from domain.periods import MINUTE
from domain.watch import AlertKind
from persistence import actions, dunning, load, tasks
from persistence.actions import ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.show import Show
from persistence.tasks import Task
from persistence.tenants import find_by_ids

NOTHING: Final = Due(steps=(), at=None)

#: Microseconds between two looks at whether a log was taken in.
IMPORTING: Final = 10 * MINUTE


class MovedError(Exception):
    """Behind the lock something else is due than what was looked up in front of it."""


class TakenError(Exception):
    """Somebody else has the task by now: what was done does not count."""


class ImportingError(Exception):
    """A log is taken in: what it says of the invoice may be still to come."""


class Dunning:
    """What duns, in one process."""

    def __init__(
        self, door: Door, catalogue: Catalogue, show: Show, now: Callable[[], int]
    ) -> None:
        self._door = door
        self._catalogue = catalogue
        self._show = show
        self._now = now

    async def handle(self, task: Task) -> None:
        """Do what is due about the invoice that a task is named after, and put it to what is next.

        One that is paid or void has nothing due, and its task ends.
        """
        found = (await find_by_ids(self._door, [task.tenant_id]))[task.tenant_id]
        while True:
            known = (await dunning.of_tenants(self._door, [task.tenant_id]))[task.tenant_id]
            bill, wanted = looked_up(known, int(task.key), self._now())
            try:
                if bill is None or not wanted.steps:
                    await self._wait(task)
                else:
                    await self._act(task, found.key, bill.number, wanted.name)
            except MovedError:
                continue
            except TakenError:
                pass
            except ImportingError:
                async with self._door.tenant_tx(task.tenant_id) as connection:
                    await tasks.later(connection, task, self._now() + IMPORTING)
            return

    async def _act(self, task: Task, tenant: str, number: str, name: str) -> None:
        async def act(scene: Scene) -> Done:
            return await self._done(scene, task, name)

        await given(
            self._door, self._catalogue, self._show, ActionKind.INVOICE_OVERDUE, tenant,
            key_of(number, name),
            actions.content_of(ActionKind.INVOICE_OVERDUE, {"invoice": number, "step": name}),
            act, now=self._now, ours=True,
        )  # fmt: skip

    async def _done(self, scene: Scene, task: Task, name: str) -> Done:
        """Do all that is due, under the tenant's lock."""
        connection, tenant_id, now = scene.connection, task.tenant_id, scene.now
        if scene.state.below is None:
            raise ImportingError
        known = await dunning.of_locked(connection, tenant_id)
        bill, wanted = looked_up(known, int(task.key), now)
        if bill is None or not wanted.steps or wanted.name != name:
            raise MovedError
        await dunning.keep_steps(connection, tenant_id, int(task.key), wanted.steps, now)
        await dunning.lift(connection, tenant_id, now)
        if not await put(scene, task, wanted):
            raise TakenError
        return await told(scene, int(task.key), bill, wanted.steps)

    async def _wait(self, task: Task) -> None:
        """Put a task to the next step, or end it; MovedError where something is due by now."""
        async with self._door.tenant_tx(task.tenant_id) as connection:
            await load.lock(connection, [task.tenant_id], wait=True)
            known = await dunning.of_locked(connection, task.tenant_id)
            _, wanted = looked_up(known, int(task.key), self._now())
            if wanted.steps:
                raise MovedError
            if wanted.at is None:
                await tasks.done(connection, task)
            else:
                await tasks.later(connection, task, wanted.at)


async def put(scene: Scene, task: Task, wanted: Due) -> bool:
    """Put a task to what is next, or end it; False: somebody else has it."""
    if wanted.at is None:
        return await tasks.done(scene.connection, task)
    return await tasks.later(scene.connection, task, wanted.at)


async def told(scene: Scene, invoice_id: int, bill: Bill, steps: tuple[str, ...]) -> Done:
    """What is kept and raised of steps: one alert, however many they are."""
    await scene.lots(scene.now)
    changes = book(scene.terms, scene.terms, scene.state, {}, scene.now)
    changes.alerts.append(
        invoice(AlertKind.INVOICE_OVERDUE, bill.number, bill.balance, bill.total, scene.now)
    )
    return Done(
        changes=changes,
        body={"invoice": bill.number, "steps": list(steps)},
        about=(f"inv/{invoice_id}",),
        after={"invoice": bill.number, "balance": text(bill.balance), "steps": list(steps)},
    )


def looked_up(known: dunning.Dunning, invoice_id: int, now: int) -> tuple[Bill | None, Due]:
    """An invoice of which something is left to pay, and what is due about it."""
    bill = known.bills.get(invoice_id)
    return bill, NOTHING if bill is None else due(known.policy, bill, known.zone, now)


def key_of(number: str, name: str) -> str:
    """The idempotency key of what is done about an invoice; nobody else has such keys."""
    return f"dunning/{number}/{name}"
