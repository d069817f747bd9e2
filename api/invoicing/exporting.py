"""The task that makes an export: a local year of documents, with lists of them, as one zip file.

Owns what is in the file and in which order. It is made a part at a time, each kept with how far
that is and with the lease of whoever makes it, so a crash costs one part, and a process has one in
memory. The same documents give the same bytes. An export that is a report is `reports.exporting`'s,
how long a file is there is `jobs`' to say.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256
from typing import Final

import structlog

from api.auditing import escaped
from api.documents import archive, lines
from api.documents.archive import Entry
from api.documents.files import Form, file_name, is_there
from api.documents.lines import day_text, fixed, lines_of, rows
from api.documents.press import press
from api.limits import (
    EXPORT_DOCUMENTS_MAX,
    EXPORT_FAILURES_MAX,
    EXPORT_PART_BYTES_MAX,
    EXPORT_RETRY_SECONDS,
)
from api.reports.exporting import Report
from api.tasks import LEASE
from domain.invoice_status import status
from domain.money import DISPLAY_DIGITS
from domain.periods import SECOND, Zone, date_of
from persistence import exports, report_schedules, tasks
from persistence.connection import Connection
from persistence.door import CONNECTION_LOST, Door
from persistence.exports import ExportRecord, Progress, State, span_of
from persistence.invoices import InvoiceRecord, Kind
from persistence.tasks import Task
from persistence.tenants import find_by_ids

#: Microseconds after which others have their turn.
TURN: Final = 20 * SECOND

#: Parts of the file, in the order of its bytes.
DOCUMENTS, LINES, INDEX, LIST = 1, 2, 3, 4

INDEX_COLUMNS: Final = (
    "document", "number", "of", "issued", "due", "status", "currency", "net", "tax", "total",
    "balance",
)  # fmt: skip
#: The files of rows, and what the first of them says.
TABLES: Final = {
    LINES: ("lines.csv", rows([lines.COLUMNS])),
    INDEX: ("index.csv", rows([INDEX_COLUMNS])),
}

#: Why one is given up after so many failures: the log has more, which is for us alone.
GIVEN_UP: Final = "it failed several times, for a reason that is ours: ask for it again later"

log = structlog.get_logger("kuota.exporting")


class Exporting:
    """What makes exports in one process."""

    def __init__(self, door: Door, now: Callable[[], int]) -> None:
        self._door = door
        self._now = now

    async def handle(self, task: Task) -> None:
        """Make an export, or as much of it as is this task's turn."""
        try:
            await self._make(task)
        except CONNECTION_LOST:
            raise
        except Exception as error:
            log.error("an export failed", export=task.key, why=repr(error), exc_info=True)
            await self._failed(task)

    async def _make(self, task: Task) -> None:
        tenant_id, until = task.tenant_id, self._now() + TURN
        async with self._door.tenant_tx(tenant_id) as connection:
            export = await exports.find(connection, tenant_id, int(task.key))
            if export is None or export.state not in (State.WAITING, State.RUNNING):
                await tasks.done(connection, task)
                return
            if not await tasks.later(connection, task, task.due_at):
                return
            if await given_up(connection, tenant_id, export.export_id, self._now()):
                await tasks.done(connection, task)
                return
            # A failure until there is a part of it: who dies tells nobody.
            await exports.begun(connection, tenant_id, export.export_id)
        tenant = (await find_by_ids(self._door, [tenant_id]))[tenant_id]
        if export.spec is not None:
            await Report(self._door, self._now, tenant, export, task).make()
            return
        zone = tenant.zone
        while True:
            part = await self._part(export, zone)
            export, now = part.export, self._now()
            # Past its turn it is due again at once, for whoever comes first.
            due_at = now + LEASE if now < until else now
            async with self._door.tenant_tx(tenant_id) as connection:
                if export.state is State.DONE:
                    held = await tasks.done(connection, task)
                else:
                    held = await tasks.later(connection, task, due_at)
                # Somebody else has it, or it is over: what was made here is not kept.
                if not held or not await exports.go_on(connection, export, part.parts):
                    return
            if export.state is State.DONE or due_at == now:
                return
            task = task._replace(due_at=due_at)

    async def _part(self, export: ExportRecord, zone: Zone) -> Part:
        """What comes next of an export."""
        assert export.year is not None
        span = span_of(export.tenant_id, export.year, zone, export.created_at)
        part = Part(export, begun(export.progress))
        async with self._door.tenant_tx(export.tenant_id) as connection:
            found = await exports.following(
                connection, span, part.progress.after, limit=EXPORT_DOCUMENTS_MAX
            )
        for record in found:
            invoice = record.invoice
            files = [
                (
                    file_name(invoice, "", form),
                    await press().file(record.invoice_id, invoice, form, patient=True),
                )
                for form in (Form.PDF, Form.XML)
                if is_there(invoice, form)
            ]
            part.add(record, files, index_row(record, zone, export.created_at))
            if part.size >= EXPORT_PART_BYTES_MAX:
                break
        if not found:
            part.end(self._now())
        return part

    async def _failed(self, task: Task) -> None:
        """Have it tried again a moment later, some times."""
        now = self._now()
        async with self._door.tenant_tx(task.tenant_id) as connection:
            if not await tasks.later(connection, task, now + EXPORT_RETRY_SECONDS * SECOND):
                return
            if await given_up(connection, task.tenant_id, int(task.key), now):
                due_at = now + EXPORT_RETRY_SECONDS * SECOND
                await tasks.done(connection, task._replace(due_at=due_at))


async def given_up(connection: Connection, tenant_id: int, export_id: int, now: int) -> bool:
    """Give an export up that failed too often; False: it did not."""
    over = await exports.give_up(
        connection, tenant_id, export_id, GIVEN_UP, most=EXPORT_FAILURES_MAX, at=now
    )
    if over:
        await report_schedules.failed(connection, tenant_id, export_id, GIVEN_UP)
    return over


@dataclass(slots=True)
class Part:
    """What is made of an export since its last part, and how far it is with that."""

    export: ExportRecord
    progress: Progress
    made: dict[int, bytearray] = field(default_factory=dict)
    heads: dict[int, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(map(len, self.made.values()))

    @property
    def parts(self) -> list[tuple[int, int, bytes]]:
        """Its bytes with their sections and places."""
        places = self.export.progress.places
        heads = [(section, 0, head) for section, head in self.heads.items()]
        return heads + [
            (section, places[section - 1] - 1, bytes(body)) for section, body in self.made.items()
        ]

    def add(self, record: InvoiceRecord, files: list[tuple[str, bytes]], row: bytes) -> None:
        """One document, with the rows it has in both tables."""
        assert record.issued_at is not None
        digest = sha256(self.progress.digest.encode())
        day = date_of_zip(record.invoice.issued_on or 0)
        for name, file in files:
            entry = Entry(
                name=name, size=len(file), checksum=zlib.crc32(file), day=day,
                offset=self.progress.sizes[DOCUMENTS - 1],
            )  # fmt: skip
            self._append(DOCUMENTS, archive.before(entry) + file)
            self._append(LIST, archive.listed(entry))
            digest.update(name.encode() + sha256(file).digest())
        for section, told in ((LINES, lines_of(record.invoice)), (INDEX, row)):
            self._append(section, told)
            digest.update(sha256(told).digest())
        self.progress = replace(
            self.progress,
            after=(record.issued_at, record.invoice_id),
            entries=self.progress.entries + len(files),
            digest=digest.hexdigest(),
        )
        self._told(done=self.export.done + 1)

    def end(self, now: int) -> None:
        """Nothing comes any more: what stands before the tables, and the list of all files."""
        assert self.export.year is not None
        documents, *_ = sizes = self.progress.sizes
        offset = documents
        for section, (name, columns) in TABLES.items():
            entry = Entry(
                name=name, size=sizes[section - 1], checksum=self.progress.sums[section - 1],
                offset=offset, day=date(self.export.year, 12, 31),
            )  # fmt: skip
            head = archive.before(entry)
            self.heads[section] = head + columns
            self._append(LIST, archive.listed(entry))
            offset += len(head) + entry.size
        size = self.progress.sizes[LIST - 1]
        entries = self.progress.entries + len(TABLES)
        closing = archive.end(entries, size, offset)
        self._append(LIST, closing)
        self._told(
            state=State.DONE, total=self.export.done, size=offset + size + len(closing),
            finished_at=now,
        )  # fmt: skip

    def _append(self, section: int, told: bytes) -> None:
        """More bytes of a section; those of this part are one piece."""
        at, was = section - 1, self.progress
        places, sizes, sums = list(was.places), list(was.sizes), list(was.sums)
        if section not in self.made:
            self.made[section] = bytearray()
            places[at] += 1
        self.made[section] += told
        sizes[at] += len(told)
        sums[at] = zlib.crc32(told, sums[at])
        self.progress = replace(
            was, places=tuple(places), sizes=tuple(sizes), sums=tuple(sums)
        )  # fmt: skip

    def _told(
        self,
        *,
        state: State = State.RUNNING,
        done: int | None = None,
        total: int | None = None,
        size: int = 0,
        finished_at: int | None = None,
    ) -> None:
        """Say of the export how far it is."""
        was = self.export
        done = was.done if done is None else done
        self.export = replace(
            was, state=state, done=done, total=max(was.total, done) if total is None else total,
            size=size, progress=self.progress, finished_at=finished_at,
        )  # fmt: skip


def begun(progress: Progress) -> Progress:
    """Where an export goes on; one that was not begun has the tables' columns before all."""
    if progress.places:
        return progress
    heads = [TABLES[section][1] if section in TABLES else b"" for section in range(1, LIST + 1)]
    return replace(
        progress,
        places=(1,) * LIST,
        sizes=tuple(map(len, heads)),
        sums=tuple(map(zlib.crc32, heads)),
    )


def date_of_zip(day: int) -> date:
    """A local day as the archive has it, which knows none before 1980."""
    return max(date_of(day), date(1980, 1, 1))


def index_row(record: InvoiceRecord, zone: Zone, now: int) -> bytes:
    """A document in the list of them: what it came to, and what is left to pay at an instant."""
    of = record.invoice
    digits = DISPLAY_DIGITS[of.currency]
    called = ""
    if record.kind is Kind.INVOICE:
        called = status(of, record.balance, zone, now, void=record.voided_at is not None).value
    sums = (of.net, of.tax, of.total, record.balance)
    return rows(
        [
            [
                of.kind, escaped(record.number), escaped(of.of or ""), day_text(of.issued_on),
                day_text(of.due_on), called, of.currency, *(fixed(each, digits) for each in sums),
            ]
        ]
    )  # fmt: skip
