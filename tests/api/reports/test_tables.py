"""Reports as files: what stands in them, alike in every form, and equal to what is shown (FI-2)."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from pyarrow import parquet

from api import ids
from api.reports import xlsx_file
from api.reports.kinds import COLUMNS, columns_of
from api.reports.making import render
from api.reports.spec import TABLE_FORMATS, Format, Kind
from api.reports.xlsx_file import XlsxFile
from api.usage.question import stretches
from domain.money import MICRO, text
from domain.periods import DAY, HOUR
from persistence import usage
from persistence.servers import Servers
from persistence.usage import Dimension, Measure, Selection
from tests.api.reports.worlds import (
    ALL,
    DANGEROUS,
    SPRING,
    all_channels,
    furnish,
    made,
    spec_of,
    told,
)
from tests.api.sockets import cloned
from tests.conftest import ROOT, Database, environment
from tests.persistence.rows import rows_of
from tests.persistence.traffic import NOW, START, TENANTS
from tests.scenarios.world import Json, World

TABLES = [kind for kind in Kind if kind is not Kind.USAGE_CHART]
EVER = (0, 253_000_000_000_000_000)
OF_USAGE = (Kind.WHATSAPP_USAGE, Kind.OTHER_SERVICES)

PAID = "units units_initial units_top_up cost cost_initial cost_top_up currency"
OPENED = "conversations conversations_service conversations_business"
CARDS = "messages_marketing messages_utility messages_authentication messages_service messages_free"
#: Programs rely on these: a column may be added behind the others, and that is all.
GOLDEN = {
    Kind.WHATSAPP_USAGE: f"day number direction country category user broadcast {OPENED} visitors "
    f"messages_in messages_out {CARDS} {PAID}",
    Kind.VISITORS: "day channel number country visitors messages_in",
    Kind.OTHER_SERVICES: "day channel number direction country category user broadcast "
    "conversations visitors messages_in messages_out messages_free segments seconds_billed emails "
    f"bot_sessions {PAID}",
    Kind.BROADCASTS: "broadcast day first_at last_at recipients delivered read failed pending "
    f"{OPENED} messages_out {CARDS} countries {PAID}",
    Kind.CHARGES: "day at charge fact source type channel number direction contact group country "
    "category market user broadcast rule balance units amount unit initial top_up refunded lots "
    "revision status booked_at",
    Kind.LEDGER: "day at entry cause balance debit credit amount unit",
    Kind.PURCHASES: "day at purchase kind status balance amount unit net tax total currency "
    "paid_at provider payment reference",
    Kind.USAGE_CHART: "",
}


@pytest.fixture(scope="module")
async def world(servers: Servers, template: str) -> AsyncIterator[World]:
    """One world for all who only read."""
    async with (
        cloned(servers, template) as database,
        World.open(database.app_url, servers.addresses.redis_url) as world,
    ):
        await furnish(world)
        await all_channels(world)
        yield world


@pytest.fixture
async def own(database: Database, redis_url: str) -> AsyncIterator[World]:
    """The same for one alone, who adds to it."""
    async with World.open(database.app_url, redis_url) as world:
        await furnish(world)
        await all_channels(world)
        yield world


def total(rows: list[Json], column: str) -> Decimal:
    return sum((Decimal(row[column] or 0) for row in rows), Decimal())


async def totals(
    world: World,
    tenant: str,
    start: int,
    end: int,
    only: tuple[tuple[Dimension, tuple[str, ...]], ...] = (),
) -> dict[Measure, Decimal]:
    """What a summary of the same range and filter says."""
    owner = world.tenants[tenant]
    hours, days = stretches(owner.zone, start, end)
    asked = usage.Asked(tenant_id=owner.tenant_id, hours=hours, days=days)
    selection = Selection(measures=tuple(Measure), only=only)
    (found,) = await usage.totals(world.door, selection, [asked])
    values = found[0].values if found else (0,) * len(Measure)
    return {
        measure: Decimal(text(value if measure.in_micros else value * MICRO))
        for measure, value in zip(Measure, values, strict=True)
    }  # fmt: skip


def test_columns_never_change() -> None:
    assert {kind: [c.name for c in columns] for kind, columns in COLUMNS.items()} == {
        kind: names.split() for kind, names in GOLDEN.items()
    }
    for columns in COLUMNS.values():
        assert all(column.description.endswith((".", "...")) for column in columns)


async def test_every_form_has_the_same_rows(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of years in which there was nothing, which nobody counts the days of."""
    monkeypatch.setattr("api.reports.csv_file.PIECE_BYTES", 100)
    for tenant in ("amber", ALL):
        for kind in TABLES:
            found = []
            for form in TABLE_FORMATS:
                spec = spec_of(kind, form, *EVER)
                found.append((await made(world, tenant, spec, tmp_path))[1])
            assert found[0] == found[1] == found[2], (tenant, kind)
            assert found[0] or kind is Kind.PURCHASES, (tenant, kind)


async def test_files_come_to_what_a_summary_and_the_charges_say(
    world: World, tmp_path: Path
) -> None:
    """FI-2: for any range of whole hours and any filter, to the last digit; also of what was
    settled, closed and adjusted, and over a day of 23 hours."""
    chance = random.Random(7)
    for n in range(24):
        tenant = (*TENANTS, ALL)[n % 4]
        zone = world.tenants[tenant].zone
        first, last = (SPRING - DAY, SPRING + 2 * DAY) if tenant == ALL else (START, NOW + DAY)
        start = zone.hour_start(first + chance.randrange(last - first))
        end = zone.next_hour(start + chance.randrange(last - start))
        only = chance.choice((
            (),
            ((Dimension.CATEGORY, ("", "marketing")),),
            ((Dimension.DIRECTION, ("out",)), (Dimension.USER, ("", "agent 1"))),
            ((Dimension.CHANNEL, ("whatsapp", "sms")), (Dimension.COUNTRY, ("ID",))),
            ((Dimension.BROADCAST, ("promo 1", "promo 2", *DANGEROUS[:3])),),
            ((Dimension.NUMBER, ("62800000001",)),),
        ))  # fmt: skip
        named = tuple((dimension.name, values) for dimension, values in only)
        said = await totals(world, tenant, start, end, only)
        form = TABLE_FORMATS[n % 3]
        tables = []
        for kind in OF_USAGE:
            spec = spec_of(kind, form, start, end, only=named)
            tables.append((await made(world, tenant, spec, tmp_path))[1])
        for measure in Measure:
            name = measure.name.lower()
            found = sum((total(rows, name) for rows in tables if rows and name in rows[0]), 0)
            in_both = all(name in GOLDEN[kind].split() for kind in OF_USAGE)
            if in_both or measure in (Measure.SEGMENTS, Measure.EMAILS, Measure.BOT_SESSIONS):
                whole = said[measure]
                if measure is Measure.SEGMENTS:
                    both = (*only, (Dimension.CHANNEL, ("sms",)))
                    whole = (await totals(world, tenant, start, end, both))[measure]
                    found = total([r for r in tables[1] if r["channel"] == "sms"], name)
                    if any(dimension is Dimension.CHANNEL for dimension, _ in only):
                        continue
                assert found == whole, (n, tenant, measure, start, end, only)
        visitors = await made(
            world, tenant, spec_of(Kind.VISITORS, form, start, end, only=named), tmp_path
        )
        assert total(visitors[1], "visitors") == said[Measure.VISITORS]
        assert total(visitors[1], "messages_in") == said[Measure.MESSAGES_IN]
        spec = spec_of(Kind.CHARGES, form, start, end, only=named)
        charges = (await made(world, tenant, spec, tmp_path))[1]
        money = [row for row in charges if row["unit"] == "IDR"]
        assert total(money, "amount") == said[Measure.COST], (n, tenant, start, end, only)
        assert total(money, "initial") == said[Measure.COST_INITIAL]
        assert total(money, "top_up") == said[Measure.COST_TOP_UP]
        units = [row for row in charges if row["unit"] != "IDR"]
        assert total(units, "initial") == said[Measure.UNITS_INITIAL]
        assert total(units, "top_up") == said[Measure.UNITS_TOP_UP]
        paid = [row for row in charges if row["amount"]]
        assert total(paid, "units") == said[Measure.UNITS]


async def test_days_are_the_tenants(world: World, tmp_path: Path) -> None:
    """Every row of a day is of it, also where the range or a change of clocks cuts it."""
    zone = world.tenants[ALL].zone
    start, end = SPRING - 5 * HOUR, SPRING + 30 * HOUR
    for kind in (Kind.OTHER_SERVICES, Kind.CHARGES, Kind.BROADCASTS):
        for form in TABLE_FORMATS:
            rows = (await made(world, ALL, spec_of(kind, form, start, end), tmp_path))[1]
            assert {row["day"] for row in rows} <= {
                date(2026, 9, 5), date(2026, 9, 6), date(2026, 9, 7),
            }, kind  # fmt: skip
            for row in rows:
                at = row.get("first_at") or row.get("at")
                if at is not None and kind is Kind.BROADCASTS:
                    number = zone.date(int(at.timestamp() * 1_000_000))
                    assert date(1970, 1, 1).toordinal() + number == row["day"].toordinal()
    days = [
        (await made(world, ALL, spec_of(Kind.OTHER_SERVICES, Format.CSV, *each), tmp_path))[1]
        for each in (zone.day_bounds(zone.date(SPRING)), (start, end))
    ]
    whole = [row for row in days[1] if row["day"] == date(2026, 9, 6)]
    assert whole == days[0] != []


async def test_a_broadcast_is_whole_in_its_row(world: World, tmp_path: Path) -> None:
    """Its figures are those of usage with that filter, whenever they came."""
    spec = spec_of(Kind.BROADCASTS, Format.CSV, START, START + 3 * DAY)
    rows = (await made(world, "amber", spec, tmp_path))[1]
    assert len(rows) == 2
    everything = (START - DAY, NOW + 2 * DAY)
    start, end = (world.tenants["amber"].zone.hour_start(each) for each in everything)
    for row in rows:
        only = ((Dimension.BROADCAST, (row["broadcast"],)),)
        said = await totals(world, "amber", start, end, only)
        for measure in Measure:
            if (name := measure.name.lower()) in row:
                assert Decimal(row[name]) == said[measure], (row["broadcast"], measure)
        assert row["recipients"] == row["delivered"] + row["failed"] + row["pending"]
        countries = [each.split() for each in row["countries"].split(", ")]
        assert sum(int(count) for _, count in countries) == row["messages_out"]
    narrowed = spec_of(
        Kind.BROADCASTS, Format.CSV, *EVER, only=(("BROADCAST", ("promo 1", "no such")),)
    )
    (row,) = (await made(world, "amber", narrowed, tmp_path))[1]
    assert row["broadcast"] == "promo 1"


async def test_the_ledger_is_every_movement(world: World, tmp_path: Path) -> None:
    """What was used by it is what charges come to, and each lot is called as charges call it."""
    spec = spec_of(Kind.LEDGER, Format.PARQUET, *EVER)
    rows = (await made(world, "amber", spec, tmp_path))[1]
    count = await world.row("amber", "select count(*) as n from transfers where tenant_id = $1")
    assert len(rows) == count["n"]
    used = [row for row in rows if row["cause"] == "use"]
    charges = (await made(world, "amber", spec_of(Kind.CHARGES, Format.CSV, *EVER), tmp_path))[1]
    for balance in ("whatsapp", "visitors", "conversations"):
        own = [row for row in used if row["balance"] == balance]
        sums = sum(row["amount"] * (1 if row["credit"] == "usage" else -1) for row in own)
        assert sums == total([row for row in charges if row["balance"] == balance], "amount")
    lots = {each.split()[0] for row in charges for each in (row["lots"] or "").split("; ") if each}
    accounts = {row["debit"] for row in rows} | {row["credit"] for row in rows}
    assert lots <= accounts


async def test_charges_are_as_the_list_has_them(world: World, tmp_path: Path) -> None:
    """By id; what was taken back and charged anew stands once, as it is."""
    rows = (await made(world, "amber", spec_of(Kind.CHARGES, Format.CSV, *EVER), tmp_path))[1]
    by_id = {row["charge"]: row for row in rows}
    assert len(by_id) == len(rows)
    listed = await world.charges("amber")
    reversed_ = {each.cursor[:4] for each in listed if each.cursor.reversal}
    standing = [
        each for each in listed
        if not each.cursor.reversal and each.cursor[:4] not in reversed_
    ]  # fmt: skip
    assert {ids.encode_charge(*each.cursor) for each in standing} == set(by_id)
    for each in standing:
        row = by_id[ids.encode_charge(*each.cursor)]
        assert row["amount"] == Decimal(text(each.amount))
        assert (row["rule"], row["balance"], row["fact"]) == (each.rule, each.balance, each.fact_id)
        assert (row["category"], row["market"]) == (each.category, each.market)


async def test_names_within_unknown_data_are_nobodys(own: World, tmp_path: Path) -> None:
    """EV-1, FI-2: what we were not asked to read says who sent a message as little as no word."""
    unknown = {"user": "bob", "broadcast": "x", "direction": "in"}
    at = SPRING + DAY + HOUR
    results = await own.send([
        told("wa", "message.delivered", at, "nested", contact="+628110009999",
             category="marketing", template="x", meta=unknown),
    ])  # fmt: skip
    assert [each["status"] for each in results] == ["accepted"]
    range_ = (at - HOUR, at + HOUR)
    for only in ((("USER", ("",)),), (("BROADCAST", ("",)),), (("USER", ("bob",)),)):
        spec = spec_of(Kind.CHARGES, Format.CSV, *range_, only=only)
        rows = (await made(own, ALL, spec, tmp_path))[1]
        of_usage = spec_of(Kind.WHATSAPP_USAGE, Format.CSV, *range_, only=only)
        counted = (await made(own, ALL, of_usage, tmp_path))[1]
        assert total(rows, "amount") == total(counted, "cost"), only
        found = [row for row in rows if row["fact"] == "nested"]
        assert [(row["user"], row["broadcast"]) for row in found] == (
            [] if only == (("USER", ("bob",)),) else [(None, None)]
        )


async def test_purchases_and_refunds_are_told(
    own: World, database: Database, tmp_path: Path
) -> None:
    """A purchase by the id that clients know, with who collected it; a refund beside its charge."""
    owner = own.tenants["amber"]
    balance = await own.row(
        "amber", "select balance_id as id from balances where tenant_id = $1 and key = 'whatsapp'"
    )
    async with rows_of(database.owner_url) as rows:
        for number in (1, 2, 2**40):
            await rows.connection.execute(
                """insert into purchases (tenant_id, purchase_id, kind, state, balance_id, amount,
                    currency, net, tax, total, body, cause_id, created_at, ends_at)
                overriding system value
                values ($1, $2, 1, 2, $3, 1000000, 'IDR', 2, 1, 3, '{}', 'x', $4, $4)""",
                owner.tenant_id, number, balance["id"], NOW,
            )  # fmt: skip
        await rows.add(
            "payments", tenant_id=owner.tenant_id, payment_key="k", purchase_id=2, **{"try": 1},
            provider="=sandbox", state=4, due_at=NOW, ended_at=NOW + 5, reason="",
        )  # fmt: skip
    for form in TABLE_FORMATS:
        spec = spec_of(Kind.PURCHASES, form, NOW, NOW + 1)
        found = (await made(own, "amber", spec, tmp_path))[1]
        assert [row["purchase"] for row in found] == [
            ids.encode("pur", number) for number in (1, 2, 2**40)
        ]
        paid = found[1]
        assert (paid["payment"], paid["provider"], paid["status"]) == ("k", "=sandbox", "paid")
        assert found[0]["payment"] is None
        assert (paid["net"], paid["unit"]) == (Decimal("0.000002"), "IDR")
    charge = next(each for each in await own.charges("amber") if each.amount > MICRO)
    named = ids.encode_charge(*charge.cursor)
    await own.refund("amber", key="back", charge=named, amount=MICRO)
    rows_ = (await made(own, "amber", spec_of(Kind.CHARGES, Format.CSV, *EVER), tmp_path))[1]
    assert {row["charge"]: row["refunded"] for row in rows_ if row["refunded"]} == {named: 1}


async def test_without_costs_no_file_says_any(world: World, tmp_path: Path) -> None:
    """PE-1: no column of money, and no other figure that is one."""
    for kind in (*OF_USAGE, Kind.BROADCASTS):
        spec = spec_of(kind, Format.CSV, *EVER, costs=False)
        rows = (await made(world, "amber", spec, tmp_path))[1]
        assert not {"cost", "cost_initial", "cost_top_up", "currency"} & rows[0].keys()
        assert rows[0].keys() == {column.name for column in columns_of(spec)}


async def test_nobody_sees_anothers_rows(world: World, tmp_path: Path) -> None:
    """The same statements on another tenant's days have another's rows, and of nobody's none."""
    await world.tenant("empty")
    for kind in TABLES:
        for form in TABLE_FORMATS:
            spec = spec_of(kind, form, START, NOW)
            assert (await made(world, "empty", spec, tmp_path))[1] == []
    facts = {
        tenant: {
            row["charge"]
            for row in (
                await made(world, tenant, spec_of(Kind.CHARGES, Format.CSV, *EVER), tmp_path)
            )[1]
        }
        for tenant in TENANTS
    }
    assert not facts["amber"] & facts["birch"]


async def test_no_cell_is_run(own: World, database: Database, tmp_path: Path) -> None:
    """Text that a spreadsheet would run begins with an apostrophe in CSV, is text in XLSX, and is
    as it was in Parquet; numbers below zero stay numbers."""
    cells = (*DANGEROUS, "\t=1", "\r=1", "\n=1", "two\nlines", "bell\x07", "\x1f")
    owner = own.tenants[ALL]
    at = owner.zone.day_start(START)
    number = own.numbers[ALL, "sms"].number_id
    async with rows_of(database.owner_url) as rows:
        for place, cell in enumerate(cells):
            await rows.usage(
                at, tenant_id=owner.tenant_id, number_id=number, agent=cell,
                tables=("usage_hour", "usage_day"), cost=-1_500_000, segments=place + 1,
            )  # fmt: skip
    asked = (at, owner.zone.next_day(at))
    for form in TABLE_FORMATS:
        spec = spec_of(Kind.OTHER_SERVICES, form, *asked)
        found = (await made(own, ALL, spec, tmp_path))[1]
        by_place = {row["segments"]: row for row in found}
        assert [by_place[place + 1]["user"] for place in range(len(cells))] == list(cells), form
        assert {row["cost"] for row in found} == {Decimal("-1.5")}
    path = tmp_path / "raw.xlsx"
    spec = spec_of(Kind.OTHER_SERVICES, Format.CSV, *asked)
    await render(own.door, owner, spec, path, NOW)
    raw = path.read_bytes().decode()
    for cell in cells:
        if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
            assert f"'{cell}" in raw
    assert ",-1.5," in raw
    await render(own.door, owner, spec_of(Kind.OTHER_SERVICES, Format.XLSX, *asked), path, NOW)
    sheet = openpyxl.load_workbook(path).active
    for row in sheet.iter_rows(min_row=2):
        user = row[6]
        assert user.data_type == "s", user.value
        if str(user.value)[:1] in "=+-@\t":
            assert user.quotePrefix, user.value


def test_no_digit_is_lost_in_a_workbook(tmp_path: Path) -> None:
    """Numbers as long as spreadsheets keep all their digits, text behind that."""
    chance = random.Random(3)
    columns = columns_of(spec_of(Kind.LEDGER, Format.XLSX, 0, 1))
    amounts = [
        0, 1, -1, 586_330_000, 999_999_999_999_999, -999_999_999_999_999, 10**15 + 1, 10**17,
        123_456_789_012_345_678, 9_999_999_999_999_99,
        *(chance.randrange(-10**chance.randrange(1, 18), 10**17) for _ in range(500)),
    ]  # fmt: skip
    path = tmp_path / "book.xlsx"
    file = XlsxFile(path, columns, "ledger", NOW)
    day = date(2026, 9, 6)
    file.add([(day, NOW, "1/0", "use", "b", "x", "y", each, "IDR") for each in amounts])
    file.end()
    sheet = openpyxl.load_workbook(path).active
    cells = [row[7] for row in sheet.iter_rows(min_row=2)]
    assert [Decimal(str(cell.value)) for cell in cells] == [Decimal(text(a)) for a in amounts]
    for cell, amount in zip(cells, amounts, strict=True):
        digits = len(str(abs(amount)).rstrip("0"))
        assert cell.data_type == ("s" if digits > 15 else "n"), amount


def test_a_full_sheet_has_another_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_file, "ROWS_MAX", 4)
    columns = columns_of(spec_of(Kind.VISITORS, Format.XLSX, 0, 1))
    path = tmp_path / "book.xlsx"
    file = XlsxFile(path, columns, "visitors", NOW)
    file.add([(date(2026, 9, 6), "sms", "62811", "ID", n, n) for n in range(7)])
    file.end()
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["visitors", "visitors 2", "visitors 3"]
    assert [sheet.max_row for sheet in book.worksheets] == [4, 4, 2]
    assert all(sheet.freeze_panes == "A2" for sheet in book.worksheets)
    assert all(sheet["A1"].value == "day" for sheet in book.worksheets)
    values = [row[4] for sheet in book for row in sheet.iter_rows(min_row=2, values_only=True)]
    assert values == list(range(7))


async def test_parquet_says_what_its_columns_are(world: World, tmp_path: Path) -> None:
    path = tmp_path / "report"
    spec = spec_of(Kind.CHARGES, Format.PARQUET, *EVER)
    await render(world.door, world.tenants["amber"], spec, path, NOW)
    schema = parquet.read_schema(path)
    assert str(schema.field("amount").type) == "decimal128(19, 6)"
    assert str(schema.field("at").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("day").type) == "date32[day]"
    assert schema.field("amount").metadata[b"unit"] == b"`unit` of the row"


#: What a process needs to make reports of few rows and of many.
MEMORY = """
import asyncio, resource, sys
from pathlib import Path
from api.reports.making import render
from api.reports.spec import Format, Kind, Spec
from persistence.door import Door
from persistence.tenants import find_by_keys

async def main(url, folder):
    async with Door.open(url) as door:
        tenant = (await find_by_keys(door, ["many"]))["many"]
        for form in (Format.CSV, Format.PARQUET, Format.XLSX):
            sizes, rows = [], []
            for days in (10, 100):
                spec = Spec(kind=Kind.VISITORS, format=form, start=0, end=days * 86_400_000_000)
                file = await render(door, tenant, spec, Path(folder) / "file", 1)
                sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
                rows.append(file.rows)
            print(form.value, *rows, sizes[1] - sizes[0])

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
async def test_memory_does_not_grow_with_a_report(
    database: Database, redis_url: str, tmp_path: Path
) -> None:
    """A hundred thousand rows need what ten thousand need, in every form."""
    async with World.open(database.app_url, redis_url) as world:
        tenant = await world.tenant("many", timezone="UTC")
        number = await world.number("many", "sms", "sms", "+62 811 0000 0002")
    async with rows_of(database.owner_url) as rows:
        for table in ("usage_day", "usage_hour"):
            await rows.connection.execute(
                f"""insert into {table} select $1, day * 86400000000::bigint, $2, 1::smallint,
                    'C' || place, '', '', '', 0, place + 1, place + 1, 0, 0, 0, 0, 0, 0, 0, 0
                from generate_series(0, 99) day, generate_series(0, 999) place""",
                tenant.tenant_id, number.number_id,
            )  # fmt: skip
    command = [sys.executable, "-c", MEMORY, database.app_url, str(tmp_path)]
    ran = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    for line in ran.stdout.splitlines():
        _, few, many, kilobytes = line.split()
        assert (int(few), int(many)) == (10_000, 100_000), line
        assert int(kilobytes) < 8_000, line
    assert len(ran.stdout.splitlines()) == 3
