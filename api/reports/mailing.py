"""Mailing: a report that is done in one letter to each of those it was made for, each sent once.

Owns when a letter is sent, tried again and given up. It is written anew for each try and comes out
the same, under the same Message-ID: a crash between the server's word and our commit may send it
twice, nothing else does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import parseaddr
from typing import Final

import structlog

from api import ids
from api.reaching.mail import WAITS, LostError, writer_of
from api.reaching.smtp import LaterError, RefusedError, Server, UnsentError, send
from api.reports import spec as specs
from api.reports.letter import OF_EXPORTS, Mailed, write
from api.tasks import LEASE
from persistence import exports, report_letters, tasks
from persistence.connection import Connection
from persistence.door import Door
from persistence.exports import ExportRecord
from persistence.letters import tenant_of
from persistence.report_letters import ReportLetter, State
from persistence.tasks import Task

#: Why a letter is given up whose file was removed before it could go.
GONE: Final = "the report was removed before the letter could go"

log = structlog.get_logger("kuota.reports")


class Mailing:
    """What mails reports, in one process."""

    def __init__(
        self,
        door: Door,
        now: Callable[[], int],
        server: Server,
        *,
        public_url: str = "",
        sender: str | None = None,
    ) -> None:
        """`public_url`: empty where this installation does not know its own.

        `sender` is who writes, as `Kuota <billing@kuota.example>`.
        """
        self._door = door
        self._now = now
        self._server = server
        self._public_url = public_url
        self._domain, self._sender = writer_of(public_url, sender)
        # A letter with its file is some thirty megabytes while it is written and sent.
        self._alone = asyncio.Semaphore(1)

    async def handle(self, task: Task) -> None:
        """Send the letter that a task names, if it is one that is to be sent."""
        async with self._alone:
            await self._handle(task)

    async def _handle(self, task: Task) -> None:
        # Whoever waited for its turn has the whole lease from here on.
        due_at = self._now() + LEASE
        async with self._door.tenant_tx(task.tenant_id) as connection:
            if not await tasks.later(connection, task, due_at):
                return
            task = task._replace(due_at=due_at)
            mailed = await self._ready(connection, task)
        if mailed is None:
            return
        file = await self._file(mailed.export) if mailed.fits else None
        if mailed.fits and file is None:
            await self._noted(task, mailed.letter, State.FAILED, GONE)
            return
        text = await asyncio.to_thread(
            write, mailed, file, sender=self._sender, message_id=self.message_id(mailed.letter),
            public_url=self._public_url,
        )  # fmt: skip
        unsent: UnsentError | None = None
        state = State.SENT
        _, sender = parseaddr(self._sender)
        try:
            await send(self._server, self._domain, sender, mailed.letter.email, text)
        except RefusedError as error:
            state, unsent = State.FAILED, error
        except LaterError as error:
            state, unsent = State.WAITING, error
        if unsent is not None:
            name = ids.encode(OF_EXPORTS, mailed.export.export_id)
            log.warning("a report waits", export=name, tenant=mailed.tenant.key, why=str(unsent))
        await self._noted(task, mailed.letter, state, None if unsent is None else unsent.told)

    async def _ready(self, connection: Connection, task: Task) -> Mailed | None:
        """What is to be mailed now; None: nothing is, and the task knows."""
        export_id, place = report_letters.named(task)
        letter = await report_letters.find(connection, task.tenant_id, export_id, place)
        if letter is None or letter.state is not State.WAITING:
            await tasks.done(connection, task)
            return None
        export = await exports.find(connection, task.tenant_id, export_id)
        over: tuple[State, str | None] | None = None
        if not await report_letters.is_wanted(connection, letter):
            over = State.STOPPED, None
        elif export is None or export.spec is None or export.state is not exports.State.DONE:
            over = State.FAILED, GONE
        if over is not None:
            await report_letters.became(connection, letter, *over, tries=0, now=self._now())
            await tasks.done(connection, task)
            return None
        assert export is not None
        assert export.spec is not None
        return Mailed(
            tenant=await tenant_of(connection, task.tenant_id), export=export,
            spec=specs.read(export.spec), letter=letter,
        )  # fmt: skip

    async def _file(self, export: ExportRecord) -> bytes | None:
        """The bytes of a report; None: it was removed meanwhile."""
        parts = exports.parts(self._door, export.tenant_id, export.export_id)
        file = b"".join([part async for part in parts])
        return file if len(file) == export.size else None

    def message_id(self, letter: ReportLetter) -> str:
        """The name of a letter: no two have the same."""
        name = ids.encode(OF_EXPORTS, letter.export_id)
        return f"<{name}.{letter.place}@{self._domain}>"

    async def _noted(
        self, task: Task, letter: ReportLetter, state: State, error: str | None
    ) -> None:
        """Note what a try came to, unless somebody else has the task since."""
        try:
            async with self._door.tenant_tx(task.tenant_id) as connection:
                await self._note(connection, task, letter, state, error)
        except LostError:
            log.warning("a letter took longer than its lease", tenant=task.tenant_id, key=task.key)

    async def _note(
        self,
        connection: Connection,
        task: Task,
        letter: ReportLetter,
        state: State,
        error: str | None,
    ) -> None:
        """Raises LostError where it is not ours to note any more."""
        now = self._now()
        if state is State.WAITING and letter.tried >= len(WAITS):
            state = State.FAILED
        await report_letters.became(connection, letter, state, error, now=now)
        if state is State.WAITING:
            ours = await tasks.later(connection, task, now + WAITS[letter.tried])
        else:
            ours = await tasks.done(connection, task)
        if not ours:
            raise LostError
