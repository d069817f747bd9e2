"""Tasks done: what commits left to be done behind them, each kind at its own pace.

Owns the taking, so that no long task and no tenant holds up the others, and what becomes of a task
whose handler fails: it is due again when its lease ends.
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
from persistence.tasks import Share, Task

#: Microseconds for which a task is nobody else's: longer than any handler may take.
LEASE: Final = 2 * MINUTE

#: Microseconds between two tries of a task that fails, at most.
AT_MOST: Final = 6 * HOUR

#: Tasks of one kind that are done at once.
TOGETHER_MAX: Final = 8

#: Kinds of which one task may take minutes, so that others are begun beside it, and how many of
#: one tenant's are under way in a process.
LONG: Final = {tasks.EXPORT: 1, tasks.REPORT_LETTER: TOGETHER_MAX}

#: Seconds after which who waits for room looks whether the process is to end.
ROOM_SECONDS: Final = 1.0

#: Seconds that what is under way may still take when the process ends.
STOP_SECONDS: Final = 5.0

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
        #: Of the long kinds, what is under way: whose each is, and its key.
        self._running: dict[str, dict[asyncio.Task[None], tuple[int, str]]] = {
            kind: {} for kind in LONG
        }

    @property
    def steps(self) -> dict[str, Callable[[], Awaitable[bool]]]:
        """A step of each kind, for who takes steps."""
        return {
            f"tasks {kind}": partial(self.begin if kind in LONG else self.step, kind)
            for kind in self._handlers
        }

    async def step(self, kind: str) -> bool:
        """Do what is due of a kind; gives whether there may be more."""
        taken = await self._take(kind, TOGETHER_MAX)
        await asyncio.gather(*(self._do(task) for task in taken))
        return len(taken) == TOGETHER_MAX

    async def begin(self, kind: str) -> bool:
        """Begin what is due of a long kind beside what is under way; whether there may be more.

        Waits for none of it, but a moment for room where there is none.
        """
        running = self._running[kind]
        if len(running) < TOGETHER_MAX:
            for task in await self._take(kind, TOGETHER_MAX - len(running)):
                job = asyncio.create_task(self._do(task), name=f"task {kind} {task.key}")
                running[job] = task.tenant_id, task.key
                job.add_done_callback(partial(self._ended, kind))
        if len(running) < TOGETHER_MAX:
            return False
        await asyncio.wait(
            list(running), timeout=ROOM_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )  # fmt: skip
        return True

    async def stop(self) -> None:
        """Let what was begun end, but not for long: it is done again otherwise."""
        jobs = [job for running in self._running.values() for job in running]
        if jobs:
            _, late = await asyncio.wait(jobs, timeout=STOP_SECONDS)
            for job in late:
                job.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def quiet(self) -> None:
        """Do everything that is due, of every kind, until nothing is."""
        more = True
        while more:
            more = False
            for kind in self._handlers:
                while taken := await self._take(kind, TOGETHER_MAX):
                    more = True
                    await asyncio.gather(*(self._do(task) for task in taken))

    async def _take(self, kind: str, limit: int) -> list[Task]:
        """Up to `limit` tasks of a kind; of the long ones each tenant its share."""
        share = None
        if kind in LONG:
            share = Share(LONG[kind], tuple(self._running[kind].values()))
        return await tasks.take(
            self._door, kind, self._now(), lease=LEASE, limit=limit, share=share
        )  # fmt: skip

    def _ended(self, kind: str, job: asyncio.Task[None]) -> None:
        del self._running[kind][job]
        if not job.cancelled() and (error := job.exception()) is not None:
            log.error("a task is left alone", kind=kind, why=repr(error), exc_info=error)

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
                await tasks.failed(connection, task, due_at)
