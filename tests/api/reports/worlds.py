"""A world with something in every report, and how tests read the files that are made of it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
from pyarrow import parquet

from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.reports.kinds import columns_of
from api.reports.making import RenderedFile, render
from api.reports.spec import Format, Kind, Spec
from api.settling import Cause, Settling
from domain.periods import DAY, HOUR, instant, iso, month_label
from persistence.reports import Shape
from tests.persistence.traffic import NOW, START, TENANTS, arrive, settle_in
from tests.scenarios.world import Json, World

#: Cells that a spreadsheet would run, or take for markup, of names that may be sent.
DANGEROUS = (
    "=cmd|'/C calc'!A0", "+1+1", "-2", "@SUM(A1)", "<r><t>x</t></r>",
    'a "quoted", cell', "_x0041_", "día ✓ 日本", " spaces ",
)  # fmt: skip

#: A tenant of all channels, in a zone whose clocks change within the range.
ALL = "dusk"
ZONE = "America/Santiago"
#: 2026-09-06 00:00 there does not exist: the day has 23 hours.
SPRING = instant(datetime.fromisoformat("2026-09-06T04:00:00+00:00"))


async def furnish(world: World, seed: int = 1, events: int = 150) -> None:
    """Random traffic of three tenants, one of which has closed May; everything settled."""
    await settle_in(world)
    await arrive(world, seed, events, 40)
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    for tenant in TENANTS:
        await settling.settle(world.tenants[tenant].tenant_id, Cause.DEMAND)
    closing = PeriodClose(tenant="amber", period=month_label(2026, 5), idempotency_key="may")
    await period_close.run(world.door, settling, closing, now=NOW)
    # Late for what is closed: it counts when it came.
    world.clock.at = NOW + HOUR
    late = [
        {**told("wa", "message.delivered", START + HOUR * n, f"late {n}", category="marketing",
                template="x", contact=f"6281100000{n:02d}"), "subject": "amber"}
        for n in range(6)
    ]  # fmt: skip
    results = await world.send(late)
    assert {each["status"] for each in results} == {"adjusted"}, results


NUMBERS = {
    "wa": ("+62800000001", "whatsapp"), "ig": ("shop", "instagram"),
    "sms": ("+62 811 0000 0002", "sms"), "voice": ("+62 21 0000 0003", "voice"),
    "mail": ("hello@shop.example", "email"), "bot": ("helper", "bot"),
}  # fmt: skip


def told(number: str, kind: str, at: int, id: str, **data: Any) -> Json:
    address, channel = NUMBERS[number]
    return {
        "id": id, "source": "test", "type": kind, "time": iso(at), "subject": ALL,
        "data": {"number": address, "channel": channel, **data},
    }  # fmt: skip


async def all_channels(world: World) -> None:
    """A tenant that uses every channel around the day on which its clocks change."""
    world.clock.at = SPRING + 2 * DAY
    await world.tenant(ALL, timezone=ZONE)
    for name, (address, channel) in NUMBERS.items():
        await world.number(ALL, name, channel, address)
    events = []
    for n, text in enumerate(DANGEROUS):
        at = SPRING - DAY + n * 5 * HOUR
        events += [
            told("wa", "message.delivered", at, f"d {n}", contact=f"+62811000{n:04d}",
                 category="marketing", template="x", broadcast=text, user=text),
            told("sms", "message.delivered", at, f"s {n}", contact=f"+62811000{n:04d}",
                 segments=n % 3 + 1, broadcast=text),
            told("voice", "call.ended", at, f"c {n}", contact=f"+62811000{n:04d}",
                 direction="out", seconds=n * 1_000, user=text),
            told("ig", "message.received", at, f"i {n}", contact=f"u{n}"),
            told("mail", "email.sent", at, f"e {n}", contact="a@b.example", quantity=2),
            told("bot", "session.ended", at, f"b {n}", contact="x", seconds=60),
        ]  # fmt: skip
    results = await world.send(events)
    assert {each["status"] for each in results} <= {"accepted", "unrated"}


def spec_of(kind: Kind, form: Format, start: int, end: int, **more: Any) -> Spec:
    return Spec(kind=kind, format=form, start=start, end=end, **more)


async def made(
    world: World, tenant: str, spec: Spec, folder: Path
) -> tuple[RenderedFile, list[Json]]:
    """A report and its rows, by column, typed; the columns are those it is to have."""
    path = folder / f"report.{spec.format.value}"
    file = await render(world.door, world.tenants[tenant], spec, path, world.clock.now())
    rows = list(read(path, spec))
    assert file.rows == len(rows)
    assert file.size == path.stat().st_size
    assert os.listdir(folder) == [path.name]  # nothing else is left there
    path.unlink()
    return file, rows


def read(path: Path, spec: Spec) -> Iterable[Json]:
    columns = columns_of(spec)
    names = [column.name for column in columns]
    match spec.format:
        case Format.CSV:
            with path.open(encoding="utf-8-sig", newline="") as file:
                head, *rows = csv.reader(file)
            assert path.read_bytes().startswith(b"\xef\xbb\xbf")
            assert head == names
            reads = [_FROM_CSV[column.shape] for column in columns]
            for row in rows:
                yield {
                    name: None if cell == "" else take(cell)
                    for name, take, cell in zip(names, reads, row, strict=True)
                }
        case Format.XLSX:
            book = openpyxl.load_workbook(path, read_only=True)
            for sheet in book.worksheets:
                head, *found = sheet.iter_rows(max_col=len(names))
                assert [cell.value for cell in head] == names
                for cells in found:
                    yield {
                        column.name: _from_xlsx(cell, column.shape)
                        for column, cell in zip(columns, cells, strict=True)
                    }
            book.close()
        case Format.PARQUET:
            table = parquet.read_table(path)
            assert table.column_names == names
            for row in table.to_pylist():
                yield {name: None if value == "" else value for name, value in row.items()}


def _unescaped(cell: str) -> str:
    return cell[1:] if cell[:2] in {f"'{each}" for each in "=+-@\t\r\n"} else cell


_FROM_CSV = {
    Shape.TEXT: _unescaped,
    Shape.DATE: date.fromisoformat,
    Shape.INSTANT: datetime.fromisoformat,
    Shape.INTEGER: int,
    Shape.DECIMAL: Decimal,
}


def _from_xlsx(cell: Any, shape: Shape) -> Any:
    value = cell.value
    if value is None:
        return None
    match shape:
        case Shape.TEXT:
            assert cell.data_type in ("s", "inlineStr"), (cell.data_type, value)
            return openpyxl.utils.escape.unescape(value)
        case Shape.DATE:
            return value.date()
        case Shape.INSTANT:
            return value.replace(tzinfo=UTC)
        case Shape.INTEGER:
            assert cell.data_type == "n"
            return int(value)
        case Shape.DECIMAL:
            return Decimal(str(value))
