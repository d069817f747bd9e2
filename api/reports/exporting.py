"""A report in the background: the task's turn at an export that is a report.

Owns how such an export goes on: it is made on disk, its lease and progress are renewed meanwhile,
and it is kept a part at a time. Whoever comes after a crash begins anew: what was kept of the try
before is removed, and nobody sees a file before it is whole.
"""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir
from typing import Final

from api.faults import Fault
from api.limits import EXPORT_PART_BYTES_MAX
from api.reports.making import RenderedFile, render
from api.reports.spec import read
from api.tasks import LEASE
from domain.problems import Problem
from persistence import exports, report_letters, report_schedules, tasks
from persistence.door import Door
from persistence.exports import WHOLE, ExportRecord, Progress, State
from persistence.tasks import Task
from persistence.tenants import TenantRecord

#: Seconds between two looks at how far it is.
TOLD_SECONDS: Final = 2.0
#: Rows that an answer can count.
COUNTED_MAX: Final = (1 << 31) - 1


#: How folders begin in which reports are made, and the file of each that its maker has locked: the
#: lock goes with the process, however that ends.
PREFIX: Final = "kuota-report-"
LOCK: Final = "lock"
#: Seconds in which whoever has made a folder locks it.
BEGUN_SECONDS: Final = 60.0


def sweep() -> None:
    """Remove what processes that were killed left on disk, which may be much."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_mtime < time.time() - BEGUN_SECONDS and not _is_locked(folder):
                rmtree(folder, ignore_errors=True)


def _is_locked(folder: Path) -> bool:
    """Whether somebody makes a report in a folder."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def spool() -> Iterator[Path]:
    """A folder to make a report in, while nobody else removes it."""
    with (
        TemporaryDirectory(prefix=PREFIX, dir=gettempdir()) as folder,
        (Path(folder) / LOCK).open("wb") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Path(folder)


class Lost(Exception):  # noqa: N818 - it says what happened
    """Somebody else has the task, or the export is over: what is made here is not kept."""


class Report:
    """One try at one report."""

    def __init__(
        self,
        door: Door,
        now: Callable[[], int],
        tenant: TenantRecord,
        export: ExportRecord,
        task: Task,
    ) -> None:
        self._door = door
        self._now = now
        self._tenant = tenant
        self._export = export
        self._task = task
        self._done = self._total = self._as_of = 0

    async def make(self) -> None:
        """Make it and keep it, or as much as is possible before somebody else has it."""
        async with self._door.tenant_tx(self._export.tenant_id) as connection:
            await exports.empty(connection, self._export.tenant_id, self._export.export_id)
        await asyncio.to_thread(sweep)
        with spool() as folder:
            try:
                file = await self._rendered(folder / "report")
                await self._keep(file)
            except Lost:
                return
            except (Problem, Fault) as refused:
                if isinstance(refused, Fault) and refused.code != "BAD_USER_INPUT":
                    raise
                # It would be the same the next time: whoever wanted it is told why at once.
                await self._refused(str(refused))

    async def _refused(self, why: str) -> None:
        """Give up what cannot be made as it was asked for."""
        of = self._export
        async with self._door.tenant_tx(of.tenant_id) as connection:
            if await tasks.done(connection, self._task):
                # One failure is too many: of the same it would be the same.
                await exports.give_up(
                    connection, of.tenant_id, of.export_id, why, most=0, at=self._now()
                )
                await report_schedules.failed(connection, of.tenant_id, of.export_id, why)

    async def _rendered(self, path: Path) -> RenderedFile:
        """The file, made while the lease is renewed."""
        assert self._export.spec is not None
        spec = read(self._export.spec)
        # As of when it is begun, not as of when it was asked for: it is new, not old, data.
        self._as_of = self._now()
        making = asyncio.create_task(
            render(self._door, self._tenant, spec, path, self._as_of, self._told)
        )
        try:
            while True:
                await self._renew()
                done, _ = await asyncio.wait([making], timeout=TOLD_SECONDS)
                if done:
                    return making.result()
        finally:
            making.cancel()
            await asyncio.wait([making])

    def _told(self, done: int, total: int) -> None:
        self._done, self._total = min(done, COUNTED_MAX), min(total, COUNTED_MAX)

    async def _renew(self) -> None:
        """Hold the task for longer, and say how far it is."""
        of = self._export
        async with self._door.tenant_tx(of.tenant_id) as connection:
            due_at = self._now() + LEASE
            held = await tasks.later(connection, self._task, due_at) and await exports.far(
                connection, of.tenant_id, of.export_id, done=self._done, total=self._total
            )
        if not held:
            raise Lost
        self._task = self._task._replace(due_at=due_at)

    async def _keep(self, file: RenderedFile) -> None:
        """Keep the file, a part in each transaction; the last one says that it is there."""
        with file.path.open("rb") as source:
            place, body = 1, await asyncio.to_thread(source.read, EXPORT_PART_BYTES_MAX)
            while True:
                following = await asyncio.to_thread(source.read, EXPORT_PART_BYTES_MAX)
                await self._part(file, place, body, last=not following)
                if not following:
                    return
                place, body = place + 1, following

    async def _part(self, file: RenderedFile, place: int, body: bytes, *, last: bool) -> None:
        now, task, was = self._now(), self._task, self._export
        rows = min(file.rows, COUNTED_MAX)
        export = replace(was, state=State.RUNNING, done=rows, total=rows)
        if last:
            export = replace(
                export, state=State.DONE, size=file.size, finished_at=now,
                progress=Progress(
                    digest=file.digest, entries=1, as_of=self._as_of, final=file.final
                ),
            )  # fmt: skip
        async with self._door.tenant_tx(was.tenant_id) as connection:
            if last:
                held = await tasks.done(connection, task)
            else:
                held = await tasks.later(connection, task, now + LEASE)
            if not held or not await exports.go_on(connection, export, [(WHOLE, place, body)]):
                # Raised inside: what this transaction has written is undone.
                raise Lost
            if last:
                await report_letters.begin(connection, export, now, final=file.final)
        if not last:
            self._task = task._replace(due_at=now + LEASE)
