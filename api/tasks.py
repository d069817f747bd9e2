"""Tasks done: what commits left to be done behind them, each kind at its own pace.

Owns the taking and what becomes of a task whose handler fails: it is due again when its lease ends.
What is done, and that it ends in the transaction of its effect, is the handler's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

import structlog

from api.metrics import Metrics
from domain.periods import HOUR, MINUTE
from persistence import tasks
from persistence.audit import Actor, ActorKind, acting_as
from persistence.door import CONNECTION_LOST, Door
from persistence.tasks import Task

#: Microseconds for which a task is nobody else's: longer than any handler may take.
LEASE: Final = 2 * MINUTE

#: Microseconds between two tries of a task that fails, at most.
AT_MOST: Final = 6 * HOUR

#: Tasks of one kind that are done at once.
TOGETHER_MAX: Final = 8

log = structlog.get_logger("kuota.tasks")

#: Does a task and ends it, or has it done later.
Handler: TypeAlias = Callable[[Task], Awaitable[None]]


class Tasks:
    """What does the tasks of each kind, in one process."""

    def __init__(
        self, door: Door, now: Callable[[], int], metrics: Metrics, handlers: Mapping[str, Handler]
    ) -> None:
        self._door = door
        self._now = now
        self._metrics = metrics
        self._handlers = handlers

    @property
    def steps(self) -> dict[str, Callable[[], Awaitable[bool]]]:
        """A step of each kind, for who takes steps."""
        return {f"tasks {kind}": partial(self.step, kind) for kind in self._handlers}

    async def step(self, kind: str) -> bool:
        """Do what is due of a kind; gives whether there may be more."""
        taken = await tasks.take(self._door, kind, self._now(), lease=LEASE, limit=TOGETHER_MAX)
        await asyncio.gather(*(self._do(task) for task in taken))
        return len(taken) == TOGETHER_MAX

    async def quiet(self) -> None:
        """Do everything that is due, of every kind, until nothing is."""
        more = True
        while more:
            more = False
            for kind in self._handlers:
                while taken := await tasks.take(
                    self._door, kind, self._now(), lease=LEASE, limit=TOGETHER_MAX
                ):
                    more = True
                    await asyncio.gather(*(self._do(task) for task in taken))

    async def _do(self, task: Task) -> None:
        """Do one; nothing a handler meets ends those beside it."""
        try:
            with acting_as(Actor(name=f"job {task.kind}", kind=ActorKind.JOB)):
                await self._handlers[task.kind](task)
        except CONNECTION_LOST as error:
            log.warning("a task waits", kind=task.kind, key=task.key, why=repr(error))
        except Exception as error:
            self._metrics.failures.labels(f"task {task.kind}").inc()
            log.error("a task failed", kind=task.kind, key=task.key, why=repr(error), exc_info=True)
            await self._put_off(task)

    async def _put_off(self, task: Task) -> None:
        """Leave a task alone for longer each time it fails: what is wrong may be of our making."""
        due_at = self._now() + min(LEASE << min(task.tries, 16), AT_MOST)
        with contextlib.suppress(*CONNECTION_LOST):
            async with self._door.tenant_tx(task.tenant_id) as connection:
                await tasks.later(connection, task, due_at)
