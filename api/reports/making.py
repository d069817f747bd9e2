"""Making a report: its rows in one look at the database, written to a file on disk.

Owns which maker writes which form, and the local days that a range has. A file is whole or there is
none: it is made beside its name and takes it at the end. Memory does not grow with the report.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Final

from api.reports import csv_file, parquet_file
from api.reports.kinds import TABLES, columns_of, is_final, of_usage
from api.reports.spec import MEDIA_TYPES, Format, Kind, Spec, file_name
from api.reports.tables import Row, TableFile, check_bytes, whole
from api.usage.question import stretches
from domain.periods import Interval, Zone, date_of
from domain.problems import Problem
from persistence import reports
from persistence.connection import Connection
from persistence.door import Door
from persistence.reports import Asked, Shape
from persistence.tenants import TenantRecord
from persistence.usage import Dimension

#: Bytes of a file that are read at a time.
CHUNK: Final = 1 << 20

#: Told, now and then, how many rows are written, and of about how many.
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """A report as it lies on disk."""

    path: Path
    name: str  #: what it is called where it is kept
    media_type: str
    size: int  #: bytes
    digest: str  #: SHA-256 of them, in hex
    rows: int  #: of the table; 0: it is a picture
    final: bool  #: whether its figures do not change any more


async def render(
    door: Door,
    tenant: TenantRecord,
    spec: Spec,
    path: Path,
    now: int,
    told: Told = lambda done, total: None,
) -> RenderedFile:
    """Make a report at `path`, as it is at this instant; a Problem where it cannot be made here.

    What it needs besides goes to a folder beside `path`, and is gone at the end, whatever that is.
    """
    folder = Path(mkdtemp(dir=path.parent, prefix=f"{path.name}."))
    try:
        part = folder / "report"
        if spec.kind is Kind.USAGE_CHART:
            from api.reports.chart import chart_file

            final = await chart_file(door, tenant, spec, part, now)
            rows = 0
        else:
            rows, final = await _table(door, tenant, spec, part, now, told)
        size, digest = await asyncio.to_thread(_digest, part)
        check_bytes(size)
        part.replace(path)
    finally:
        await asyncio.to_thread(rmtree, folder, ignore_errors=True)
    return RenderedFile(
        path=path, name=file_name(spec, tenant.key, tenant.zone),
        media_type=MEDIA_TYPES[spec.format], size=size, digest=digest, rows=rows,
        final=final,
    )  # fmt: skip


async def _table(
    door: Door, tenant: TenantRecord, spec: Spec, path: Path, now: int, told: Told
) -> tuple[int, bool]:
    """Write a table; how many rows it has, and whether they are final."""
    if spec.format is Format.PARQUET and not parquet_file.is_there():
        raise Problem("UNAVAILABLE", parquet_file.MISSING, "report.format")
    async with reports.look(door, tenant.tenant_id) as connection:
        final = is_final(spec, await reports.closed_until(connection, tenant.tenant_id))
        asked = await _asked(connection, tenant, spec)
        total = await reports.about(
            connection, asked.table, asked.tenant_id, asked.start, asked.end
        )
        told(0, total)
        columns = columns_of(spec)
        if spec.format is Format.CSV:
            rows = await csv_file.write(
                connection, asked, columns, path, lambda done: told(done, max(done, total))
            )
            return rows, final
        file = await asyncio.to_thread(_maker(spec.format), path, columns, spec.kind.value, now)
        try:
            return await _written(connection, asked, file, path.parent, total, told), final
        except BaseException:
            with suppress(Exception):
                file.drop()
            raise


def _maker(form: Format) -> Callable[..., TableFile]:
    if form is Format.PARQUET:
        return parquet_file.ParquetFile
    from api.reports.xlsx_file import XlsxFile  # a library of its own, which few processes need

    return XlsxFile


async def _written(
    connection: Connection, asked: Asked, file: TableFile, folder: Path, total: int, told: Told
) -> int:
    """Write the rows of a look; how many there were. Others are served meanwhile."""

    def add(rows: Sequence[Row]) -> None:
        file.add(rows)
        # Some forms lie beside their file until its end.
        check_bytes(sum(each.stat().st_size for each in folder.iterdir()))

    done = 0
    async for rows in reports.typed(connection, asked):
        # Whoever is told to end waits for these: a file is not let go of while it is written to.
        await whole(asyncio.to_thread(add, rows))
        done += len(rows)
        told(done, max(done, total))
    await whole(asyncio.to_thread(file.end))
    return done


async def _asked(connection: Connection, tenant: TenantRecord, spec: Spec) -> Asked:
    """What to read for a report."""
    zone, table = tenant.zone, TABLES[spec.kind]
    start, end = spec.start, spec.end
    found = await reports.span(connection, table, tenant.tenant_id)
    # Of years without anything nobody counts the days; what is cut off begins and ends with a day.
    first, last = (start, start) if found is None else found
    start = max(start, zone.day_start(first))
    end = max(start, min(end, zone.next_day(last)))
    hours: tuple[Interval, ...] = ()
    days: tuple[Interval, ...] = ()
    if of_usage(spec.kind) and start < end:
        hours, days = stretches(zone, start, end)
    columns = columns_of(spec)
    return Asked(
        tenant_id=tenant.tenant_id,
        table=table,
        columns=tuple((column.name, column.shape) for column in columns),
        counted=tuple(
            column.name for column in columns_of(spec)
            if column.shape in (Shape.INTEGER, Shape.DECIMAL)
        ),
        start=start,
        end=end,
        hours=hours,
        days=days,
        only=tuple((Dimension[name], values) for name, values in spec.only),
        calendar=calendar(zone, start, end),
        currency=tenant.currency,
    )  # fmt: skip


def calendar(zone: Zone, start: int, end: int) -> tuple[tuple[int, date], ...]:
    """The local days of `[start, end)`, each with the instant it began, or at which the range does.

    There is always one: a list of none has no type.
    """
    at, days = zone.day_start(start), [(start, date_of(zone.date(start)))]
    while (at := zone.next_day(at)) < end:
        days.append((at, date_of(zone.date(at))))
    return tuple(days)


def _digest(path: Path) -> tuple[int, str]:
    """How large a file is, and its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
