"""How the audit is told outside: ids as clients see them, and its rows as CSV or JSON lines.

Owns the columns of those files and what keeps a spreadsheet from running a cell. Rows come page by
page, so a file of any length takes the memory of one page.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable
from enum import StrEnum

import msgspec

from api import ids
from domain.periods import iso
from persistence.audit import AuditRecord, pages
from persistence.door import Door

COLUMNS = (
    "id", "at", "tenant", "actor", "actorKind", "address", "requestId", "what", "subject",
    "before", "after",
)  # fmt: skip

#: What a cell that a spreadsheet would run begins with.
RUN = ("=", "+", "-", "@", "\t", "\r", "\n")


class Format(StrEnum):
    """How the rows are written."""

    CSV = "csv"
    JSONL = "jsonl"


MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSONL: "application/x-ndjson",
}


def subjects(record: AuditRecord) -> list[str]:
    """What a row speaks of: ids, and names of what has none."""
    return [_shown(subject) for subject in record.subject]


def _shown(subject: str) -> str:
    kind, _, number = subject.partition("/")
    return ids.encode(kind, int(number)) if number.isdecimal() else subject


def id_of(record: AuditRecord) -> str:
    return ids.encode("aud", record.audit_id)


async def chunks(
    door: Door, tenant_id: int | None, since: int, until: int, form: Format
) -> AsyncIterator[bytes]:
    """The rows of `[since, until)` as a file, a page at a time; the first has the columns."""
    if form is Format.CSV:
        yield _csv([COLUMNS])
    async for rows in pages(door, tenant_id, since, until):
        yield _csv(map(_cells, rows)) if form is Format.CSV else _json_lines(rows)


def _cells(record: AuditRecord) -> list[str]:
    return [
        escaped(cell or "")
        for cell in (
            id_of(record), iso(record.at), record.tenant, record.actor, record.actor_kind,
            record.address, record.request_id, record.what, " ".join(subjects(record)),
            record.before, record.after,
        )
    ]  # fmt: skip


def escaped(cell: str) -> str:
    """A cell that a spreadsheet shows and does not run."""
    return f"'{cell}" if cell.startswith(RUN) else cell


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _json_lines(records: Iterable[AuditRecord]) -> bytes:
    return b"".join(
        msgspec.json.encode(
            {
                "id": id_of(record),
                "at": iso(record.at),
                "tenant": record.tenant,
                "actor": record.actor,
                "actorKind": record.actor_kind,
                "address": record.address,
                "requestId": record.request_id,
                "what": record.what,
                "subject": subjects(record),
                "before": _raw(record.before),
                "after": _raw(record.after),
            }
        )
        + b"\n"
        for record in records
    )


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text.encode())
