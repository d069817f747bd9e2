"""A year of documents in one file: made a part at a time, by whoever comes, whoever dies (IN-4)."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.documents.files import Form, made
from api.documents.lines import lines_csv, lines_of
from api.invoicing import exporting
from api.invoicing.exporting import Exporting
from api.metrics import Metrics
from api.operations import export_create
from api.operations.export_create import ExportCreate
from api.rights import ALL_SCOPES, Principal
from api.tasks import LEASE, Tasks
from domain.periods import DAY, SECOND
from domain.problems import Problem
from persistence import exports, invoices, tasks
from persistence.exports import ExportRecord, State
from tests.api.documents.invoices import month, returned
from tests.api.filing import filed
from tests.conftest import Database
from tests.domain.spine import at
from tests.scenarios.world import OPERATOR, World
from tests.simulation.mortal import Fate, Mortal

NOON = at("2026-11-10 12:00")


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON
        await world.tenant("shop")
        yield world


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two documents."""
    monkeypatch.setattr(exporting, "EXPORT_DOCUMENTS_MAX", 2)


def id_of(world: World) -> int:
    return world.tenants["shop"].tenant_id


async def some(world: World) -> list[invoices.InvoiceRecord]:
    """What a shop was asked for around 2026, by its clock: five of these are of that year."""
    days = ("2025-12-31 23:59", "2026-01-01 00:00", "2026-03-31 12:00", "2026-03-31 12:00",
            "2026-10-31 23:59")  # fmt: skip
    found = [await filed(world.door, id_of(world), at(day)) for day in days]
    note = await filed(
        world.door, id_of(world), at("2026-11-01 00:00"), returned(found[1].invoice), series="CN"
    )
    later = await filed(world.door, id_of(world), NOON + 1)
    return [*found, note, later]


async def begin(world: World, key: str = "a", year: int = 2026) -> ExportRecord:
    request = ExportCreate(tenant="shop", year=year, idempotency_key=key)
    _, export = await export_create.run(world.door, OPERATOR, request, now=world.clock.at)
    return export


def doing(world: World) -> Tasks:
    """What makes exports in a process of the world."""
    handle = Exporting(world.door, world.clock.now).handle
    return Tasks(world.door, world.clock.now, Metrics(), {tasks.EXPORT: handle})


async def now(world: World, export: ExportRecord) -> ExportRecord:
    async with world.door.tenant_tx(export.tenant_id) as connection:
        found = await exports.find(connection, export.tenant_id, export.export_id)
    assert found is not None
    return found


async def file_of(world: World, export: ExportRecord) -> bytes:
    return b"".join(
        [each async for each in exports.parts(world.door, export.tenant_id, export.export_id)]
    )


async def waiting(world: World) -> int:
    """How many tasks there are."""
    words = "select count(*) as n from tasks where tenant_id = $1 and kind = 'export'"
    found: int = (await world.row("shop", words))["n"]
    return found


def table(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


async def test_a_year_is_every_document_of_it_with_lists_of_them(world: World) -> None:
    """IN-3, IN-4: by the tenant's days; each file is what it is alone, the lists agree with all."""
    records = await some(world)
    export = await begin(world)
    assert (export.state, export.done, export.total, export.size) == (State.WAITING, 0, 5, 0)
    await doing(world).quiet()
    done = await now(world, export)
    assert (done.state, done.done, done.total, done.finished_at) == (State.DONE, 5, 5, NOON)
    file = await file_of(world, done)
    assert len(file) == done.size
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    of_year = records[1:6]
    assert list(found) == [f"{each.number}.pdf" for each in of_year] + ["lines.csv", "index.csv"]
    assert found["INV-2026-000001.pdf"] == made(of_year[0].invoice, Form.PDF)
    assert found["CN-2026-000001.pdf"] == made(of_year[4].invoice, Form.PDF)
    alone = [lines_csv(each.invoice).splitlines(keepends=True) for each in of_year]
    assert found["lines.csv"] == b"".join([alone[0][0], *(b"".join(each[1:]) for each in alone)])
    rows = table(found["index.csv"])
    assert [row["number"] for row in rows] == [each.number for each in of_year]
    assert [row["status"] for row in rows] == ["overdue", "overdue", "overdue", "posted", ""]
    assert rows[3] == {
        "document": "invoice", "number": "INV-2026-000004", "of": "", "issued": "2026-10-31",
        "due": "2026-11-14", "status": "posted", "currency": "IDR", "net": "4712877",
        "tax": "518416", "total": "5231293", "balance": "5231293",
    }  # fmt: skip
    assert rows[4]["of"] == "INV-2026-000001"


async def test_the_same_documents_give_the_same_bytes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many stand in a part; another document, or a payment, gives others."""
    await some(world)
    first = await begin(world, "a")
    await doing(world).quiet()
    monkeypatch.setattr(exporting, "EXPORT_DOCUMENTS_MAX", 5)
    monkeypatch.setattr(exporting, "EXPORT_PART_BYTES_MAX", 100_000)
    second = await begin(world, "b")
    await doing(world).quiet()
    one, two = await now(world, first), await now(world, second)
    assert await file_of(world, one) == await file_of(world, two)
    assert one.progress.digest == two.progress.digest
    world.clock.at += 2
    third = await begin(world, "c")
    await doing(world).quiet()
    assert (await now(world, third)).progress.digest != one.progress.digest
    empty = await begin(world, "d", year=2020)
    await doing(world).quiet()
    with zipfile.ZipFile(io.BytesIO(await file_of(world, empty))) as archive:
        assert archive.namelist() == ["lines.csv", "index.csv"]
        assert [len(table(archive.read(name))) for name in archive.namelist()] == [0, 0]


async def test_a_key_makes_one_export_and_few_are_made_at_a_time(world: World) -> None:
    """BA-7's way with keys; another tenant's and another scope's callers make none."""
    first = await begin(world)
    again = await begin(world)
    assert again.export_id == first.export_id
    with pytest.raises(Problem) as reused:
        await begin(world, year=2025)
    assert reused.value.code == "IDEMPOTENCY_KEY_REUSED"
    await begin(world, "b")
    await begin(world, "c")
    with pytest.raises(Problem) as many:
        await begin(world, "d")
    assert many.value.code == "TOO_MANY"
    await doing(world).quiet()
    assert (await begin(world)).state is State.DONE
    await begin(world, "d")
    for year in (1999, 2027):
        with pytest.raises(Problem) as wrong:
            await begin(world, "e", year=year)
        assert (wrong.value.code, wrong.value.field) == ("INVALID", "year")
    await world.tenant("other")
    stranger = Principal("tenant", world.tenants["other"].tenant_id, "other", ALL_SCOPES, 1)
    request = ExportCreate(tenant="shop", year=2026, idempotency_key="x")
    with pytest.raises(Problem) as unseen:
        await export_create.run(world.door, stranger, request, now=NOON)
    assert unseen.value.code == "NOT_FOUND"
    (traced,) = await world.rows(
        "shop", "select count(*) as n from audit where tenant_id = $1 and what = 'exportCreate'"
    )
    assert traced["n"] == 4


async def test_progress_is_seen_and_another_process_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn that ends is taken up by another one; who was late keeps nothing."""
    await some(world)
    export = await begin(world)
    (late,) = await tasks.take(world.door, tasks.EXPORT, NOON, lease=LEASE, limit=1)
    world.clock.at += LEASE
    monkeypatch.setattr(exporting, "TURN", 0)
    one, two = doing(world), doing(world)
    seen = []
    for process in (one, two, one, two):
        await process.step(tasks.EXPORT)
        await Exporting(world.door, world.clock.now).handle(late)
        seen.append((await now(world, export)).done)
    assert seen == [2, 4, 5, 5]
    done = await now(world, export)
    assert done.state is State.DONE
    assert len(await file_of(world, done)) == done.size
    assert not await world.rows(
        "shop", "select from tasks where tenant_id = $1 and kind = 'export'"
    )


async def test_a_process_that_dies_anywhere_costs_a_part(
    database: Database, redis_url: str, tmp_path: Path
) -> None:
    """Before and after any statement: in the end the file is what it is where nobody dies."""
    async with Mortal.open(database.app_url, redis_url, tmp_path) as mortal:
        mortal.world.clock.at = NOON
        await mortal.world.tenant("shop")
        await some(mortal.world)
        whole = await mortal.asked(lambda world: begin(world, "whole"))
        await mortal.asked(lambda world: doing(world).quiet())
        expected = await file_of(mortal.world, whole)
        for kept in (False, True):
            for step in (2, 5, 9, 14):
                export = await begin(mortal.world, f"{kept}-{step}")
                mortal.doom([Fate(step, kept)])

                async def make(world: World, export: ExportRecord = export) -> None:
                    while (await now(world, export)).state is not State.DONE:
                        await doing(world).quiet()
                        world.clock.at += LEASE

                await mortal.asked(make)
                mortal.spare()
                await mortal.survived()
                assert await file_of(mortal.world, export) == expected, (kept, step)
                mortal.world.clock.at = NOON
        assert mortal.deaths > 5


async def test_what_cannot_be_made_is_given_up_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some(world)
    export = await begin(world)
    monkeypatch.setattr(exporting, "TURN", 0)
    await doing(world).step(tasks.EXPORT)

    def broken(*of: object) -> bytes:
        raise ValueError("no such letter")

    monkeypatch.setattr(exporting, "lines_of", broken)
    for _ in range(3):
        await doing(world).quiet()
        world.clock.at += 60 * SECOND
    failed = await now(world, export)
    assert failed.state is State.FAILED
    assert failed.finished_at is not None
    assert await file_of(world, export) == b""
    assert not await world.rows(
        "shop", "select from tasks where tenant_id = $1 and kind = 'export'"
    )


async def test_whoever_dies_of_it_ends_it_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken three times without a part in between; a part that is kept forgets what was before."""
    await some(world)
    export = await begin(world)
    monkeypatch.setattr(exporting, "TURN", 0)

    def dies(*of: object) -> bytes:
        raise GeneratorExit

    with monkeypatch.context() as broken:
        broken.setattr(exporting, "lines_of", dies)
        for _ in range(2):
            with pytest.raises(GeneratorExit):
                await Exporting(world.door, world.clock.now).handle(await taken(world))
            world.clock.at += LEASE
    await doing(world).step(tasks.EXPORT)
    assert ((await now(world, export)).done, (await now(world, export)).failures) == (2, 0)
    monkeypatch.setattr(exporting, "lines_of", dies)
    for _ in range(3):
        with pytest.raises(GeneratorExit):
            await Exporting(world.door, world.clock.now).handle(await taken(world))
        world.clock.at += LEASE
    await doing(world).step(tasks.EXPORT)
    assert (await now(world, export)).state is State.FAILED
    assert await file_of(world, export) == b""
    assert await waiting(world) == 0


async def taken(world: World) -> tasks.Task:
    (task,) = await tasks.take(world.door, tasks.EXPORT, world.clock.at, lease=LEASE, limit=1)
    return task


async def test_the_oldest_file_makes_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is being made at the same time; its row stays, and says that it is gone."""
    monkeypatch.setattr(export_create, "EXPORTS_KEPT_MAX", 3)
    await some(world)
    made = []
    for key in "abc":
        made.append(await begin(world, key))
        await doing(world).quiet()
        world.clock.at += SECOND
    made += [await begin(world, "d"), await begin(world, "e")]
    await doing(world).quiet()
    assert [(await now(world, each)).state for each in made] == [State.GONE] * 2 + [State.DONE] * 3
    assert [bool(await file_of(world, each)) for each in made] == [False] * 2 + [True] * 3
    found = await exports.by_ids(world.door, [(id_of(world), each.export_id) for each in made[1:3]])
    assert [found[id_of(world), each.export_id].state for each in made[1:3]] == [
        State.GONE,
        State.DONE,
    ]


async def test_a_file_is_there_for_a_week(world: World) -> None:
    """Its row stays: its key means it for ever."""
    await some(world)
    export = await begin(world)
    await doing(world).quiet()
    parts = await world.rows("shop", "select from export_parts where tenant_id = $1")
    assert await exports.clear(world.door, NOON, limit=100) == 0
    after = NOON + 7 * DAY
    assert await exports.clear(world.door, after, limit=1) == 1
    assert (await now(world, export)).state is State.DONE
    assert await exports.clear(world.door, after, limit=100) == len(parts) - 1
    assert (await now(world, export)).state is State.GONE
    assert (await begin(world)).export_id == export.export_id
    assert hashlib.sha256(await file_of(world, export)).hexdigest().startswith("e3b0c442")


def test_an_invoice_without_rows_has_none() -> None:
    """Only its columns."""
    assert lines_of(replace(month(), lines=())) == b""
