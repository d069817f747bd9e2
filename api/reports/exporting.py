"""A report in the background: the task's turn at an export that is a report.

Owns how such an export goes on: it is made on disk, its lease and progress are renewed meanwhile,
and it is kept a part at a time. Whoever comes after a crash begins anew: what was kept of the try
before is removed, and nobody sees a file before it is whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir
from typing import Final

from api.limits import EXPORT_PART_BYTES_MAX
from api.reports.making import RenderedFile, render
from api.reports.spec import read
from api.tasks import LEASE
from persistence import exports, report_letters, tasks
from persistence.door import Door
from persistence.exports import WHOLE, ExportRecord, Progress, State
from persistence.tasks import Task
from persistence.tenants import TenantRecord

#: Seconds between two looks at how far it is.
TOLD_SECONDS: Final = 2.0
#: Rows that an answer can count.
COUNTED_MAX: Final = (1 << 31) - 1


#: How folders begin in which reports are made, and seconds after which nobody makes one there.
PREFIX: Final = "kuota-report-"
LEFT_SECONDS: Final = 86_400.0


def sweep() -> None:
    """Remove what processes that were killed left on disk."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_mtime < time.time() - LEFT_SECONDS:
                rmtree(folder, ignore_errors=True)


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
        with TemporaryDirectory(prefix=PREFIX) as folder:
            try:
                file = await self._rendered(Path(folder) / "report")
                await self._keep(file)
            except Lost:
                return

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
                progress=Progress(digest=file.digest, entries=1, as_of=self._as_of),
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
                await report_letters.begin(connection, export, now)
        if not last:
            self._task = task._replace(due_at=now + LEASE)
