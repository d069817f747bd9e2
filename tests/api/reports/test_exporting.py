"""Reports in the background: begun once, made whole or not at all, seen by who may (PE-1)."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import openpyxl
import pytest
from msgspec import structs

from api import ids
from api.faults import Fault
from api.invoicing.exporting import GIVEN_UP, Exporting
from api.metrics import Metrics
from api.operations import export_create
from api.operations.export_create import ReportCreate
from api.reports import exporting, parquet_file
from api.reports import spec as specs
from api.reports.spec import TABLE_FORMATS, ChartSpec, Format, Kind
from api.tasks import LEASE, Tasks
from domain.periods import DAY, HOUR, Zone
from domain.problems import Problem
from domain.report_schedules import Rhythm
from persistence import exports, report_letters, report_schedules, tasks
from persistence.exports import ExportRecord, State
from tests.api.conftest import NUMBER_CREATE, Ask, Json
from tests.api.reports.worlds import ALL, SPRING, all_channels, spec_of
from tests.conftest import Database
from tests.scenarios.world import OPERATOR, World
from tests.simulation.mortal import Fate, Mortal

RANGE = (SPRING - DAY, SPRING + 2 * DAY)


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    async with World.open(database.app_url, redis_url) as world:
        await all_channels(world)
        yield world


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few hundred bytes, and a look at how far it is at once."""
    monkeypatch.setattr(exporting, "EXPORT_PART_BYTES_MAX", 500)
    monkeypatch.setattr(exporting, "TOLD_SECONDS", 0.01)


async def begin(world: World, key: str = "a", **more: Any) -> ExportRecord:
    kind = more.pop("kind", Kind.OTHER_SERVICES)
    spec = spec_of(kind, more.pop("format", Format.CSV), 0, 0, **more)

    def ranged(zone: Zone, now: int) -> tuple[int, int]:
        return zone.hour_start(RANGE[0]), zone.hour_start(RANGE[1])

    request = ReportCreate(tenant=ALL, spec=spec, range=ranged, idempotency_key=key)
    _, export = await export_create.run_report(
        world.door, OPERATOR, request, mails=True, now=world.clock.at
    )
    return export


def doing(world: World) -> Tasks:
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


async def count(world: World, table: str, where: str = "") -> int:
    words = f"select count(*) as n from {table} where tenant_id = $1 {where}"
    found: int = (await world.row(ALL, words))["n"]
    return found


async def test_a_report_is_made_in_parts_and_is_whole(world: World) -> None:
    export = await begin(world)
    assert (export.year, export.kinds, export.state) == (None, (), State.WAITING)
    await doing(world).quiet()
    done = await now(world, export)
    file = await file_of(world, done)
    assert (done.state, done.size, done.finished_at) == (State.DONE, len(file), world.clock.at)
    assert done.done == done.total == file.count(b"\n") - 1 > 10
    assert await count(world, "export_parts") == -(-len(file) // 500) > 3
    assert await count(world, "tasks", "and kind = 'export'") == 0
    for form, key in ((Format.XLSX, "b"), (Format.PARQUET, "c")):
        export = await begin(world, key, format=form)
        await doing(world).quiet()
        other = await now(world, export)
        assert (other.state, other.done) == (State.DONE, done.done)
        assert len(await file_of(world, other)) == other.size


async def test_a_report_is_final_as_its_rows_are(world: World) -> None:
    """FI-1: where its range is closed, as they were read; never where later days still change it:
    broadcasts go on, charges are refunded and revised, purchases paid and given back."""
    words = "update tenant_head set closed_until = $2 where tenant_id = $1"
    end = world.tenants[ALL].zone.hour_start(RANGE[1])
    chart = ChartSpec(metrics=("COST",), bucket="day")
    kinds = [(kind, Format.CSV, None) for kind in Kind if kind is not Kind.USAGE_CHART]
    found: dict[tuple[str, bool], bool | None] = {}
    for closed in (end - HOUR, end):
        async with world.door.tenant_tx(world.tenants[ALL].tenant_id) as connection:
            await connection.execute(words, world.tenants[ALL].tenant_id, closed)
        for kind, form, drawn in (*kinds, (Kind.USAGE_CHART, Format.SVG, chart)):
            key = f"{kind.value} {closed}"
            export = await begin(world, key, kind=kind, format=form, chart=drawn)
            assert export.progress.final is None
            await doing(world).quiet()
            done = await now(world, export)
            assert done.state is State.DONE, done.error
            found[kind.name, closed == end] = done.progress.final
    final = {"WHATSAPP_USAGE", "VISITORS", "OTHER_SERVICES", "LEDGER", "USAGE_CHART"}
    assert found == {
        (kind.name, closed): closed and kind.name in final
        for kind in Kind for closed in (False, True)
    }  # fmt: skip


async def test_a_range_of_a_name_is_another_request_on_another_day(world: World) -> None:
    """`LAST_7_DAYS` sent again tomorrow under its key is not the report of today, and says so."""
    first = await begin(world, preset="LAST_7_DAYS")
    spec = specs.read(first.spec or "")
    later = structs.replace(spec, start=spec.start + DAY, end=spec.end + DAY)
    other = structs.replace(later, preset="")
    async with world.door.tenant_tx(first.tenant_id) as connection:
        assert await export_create.begin(connection, world.tenants[ALL], spec, "a", 1) == first
        for asked, words in ((later, "LAST_7_DAYS meant other days"), (other, "another request")):
            with pytest.raises(Problem) as caught:
                await export_create.begin(connection, world.tenants[ALL], asked, "a", 1)
            assert caught.value.code == "IDEMPOTENCY_KEY_REUSED"
            assert words in caught.value.message
    assert await count(world, "exports") == 1


async def test_whoever_dies_anywhere_leaves_no_half_of_a_file(
    database: Database, redis_url: str, tmp_path: Path
) -> None:
    """Before and after any statement: whoever comes next begins anew, and the file is what it is
    where nobody dies."""
    async with Mortal.open(database.app_url, redis_url, tmp_path) as mortal:
        await all_channels(mortal.world)
        at = mortal.world.clock.at
        whole = await mortal.asked(lambda world: begin(world, "whole"))
        await mortal.asked(lambda world: doing(world).quiet())
        expected = await file_of(mortal.world, whole)
        assert len(expected) > 1_500
        for kept in (False, True):
            for step in (2, 5, 9, 14, 17, 20, 24):
                export = await begin(mortal.world, f"{kept}-{step}")
                mortal.doom([Fate(step, kept)])

                async def make(world: World, export: ExportRecord = export) -> None:
                    while (await now(world, export)).state is not State.DONE:
                        await doing(world).quiet()
                        world.clock.at += LEASE

                await mortal.asked(make)
                mortal.spare()
                await mortal.survived()
                found = await now(mortal.world, export)
                assert await file_of(mortal.world, export) == expected, (kept, step)
                assert found.size == len(expected)
                mortal.world.clock.at = at
        assert mortal.deaths > 7


async def test_what_somebody_else_took_is_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was away for longer than its lease keeps nothing of what it made."""
    export = await begin(world)
    (task,) = await tasks.take(world.door, tasks.EXPORT, world.clock.at, lease=LEASE, limit=1)
    world.clock.at += LEASE + 1
    await doing(world).quiet()
    done = await now(world, export)
    file = await file_of(world, done)
    await Exporting(world.door, world.clock.now).handle(task)
    assert await now(world, export) == done
    assert await file_of(world, done) == file


async def test_rows_are_told_as_they_come(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits sees it move, and the lease with it."""
    seen: list[tuple[int, int]] = []
    far = exports.far

    async def noted(*given: Any, done: int, total: int) -> bool:
        seen.append((done, total))
        return await far(*given, done=done, total=total)

    monkeypatch.setattr(exports, "far", noted)
    await begin(world)
    await doing(world).quiet()
    assert seen[0] == (0, 0)
    assert all(done <= total for done, total in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


async def test_a_report_that_cannot_be_made_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some tries; nothing of it is kept."""

    async def broken(*_: Any) -> Any:
        raise RuntimeError("no space left on this device")

    monkeypatch.setattr(exporting, "render", broken)
    export = await begin(world)
    for _ in range(4):
        await doing(world).quiet()
        world.clock.at += HOUR
    failed = await now(world, export)
    assert (failed.state, failed.error) == (State.FAILED, GIVEN_UP)
    assert await count(world, "export_parts") == 0
    assert await count(world, "tasks", "and kind = 'export'") == 0


@pytest.mark.parametrize(
    "refused", [Problem("TOO_LARGE", "narrow it", "report"), Fault("BAD_USER_INPUT", "narrow it")]
)
async def test_what_cannot_be_made_as_asked_is_said_and_not_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, refused: Exception
) -> None:
    """In words, on the export and on the schedule that began it."""

    async def refuse(*_: Any) -> Any:
        raise refused

    monkeypatch.setattr(exporting, "render", refuse)
    tenant = world.tenants[ALL]
    async with world.door.tenant_tx(tenant.tenant_id) as connection:
        schedule = await report_schedules.add(
            connection, tenant.tenant_id, "s", "", rhythm=Rhythm.DAILY, hour=7, spec="{}",
            active=False, created_by="x", due_at=0, now=1,
        )  # fmt: skip
        export = await begin(world)
        schedule = replace(schedule, last_export=export.export_id)
        await report_schedules.keep(connection, schedule)
    await doing(world).quiet()
    failed = await now(world, export)
    assert (failed.state, failed.error, failed.failures) == (State.FAILED, "narrow it", 1)
    assert await count(world, "tasks", "and kind = 'export'") == 0
    found = (await report_schedules.of_tenants(world.door, [tenant.tenant_id]))[0]
    assert [each.last_error for each in found] == ["narrow it"]


async def test_of_a_schedule_that_ended_nothing_is_kept_but_its_key(world: World) -> None:
    """A filter may be long, and the row is there for ever."""
    tenant_id = world.tenants[ALL].tenant_id
    async with world.door.tenant_tx(tenant_id) as connection:
        made = await report_schedules.add(
            connection, tenant_id, "s", "digest", rhythm=Rhythm.DAILY, hour=7,
            spec='{"only": "much"}', active=True, created_by="x", due_at=9, now=1,
        )  # fmt: skip
        await report_schedules.change(connection, replace(made, hour=8), 9)
        kept = await report_schedules.by_key(connection, tenant_id, "s")
        assert kept == replace(made, hour=8)
        await report_schedules.change(connection, replace(made, ended_at=2), 9)
        ended = await report_schedules.by_key(connection, tenant_id, "s")
    assert ended == replace(made, ended_at=2, spec="{}")


async def test_what_is_away_for_a_moment_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who draws charts may have too many of them."""
    render = exporting.render

    async def away(*_: Any) -> Any:
        raise Fault("SERVICE_UNAVAILABLE", "too many charts are drawn")

    monkeypatch.setattr(exporting, "render", away)
    export = await begin(world)
    await doing(world).quiet()
    assert (await now(world, export)).error is None
    monkeypatch.setattr(exporting, "render", render)
    world.clock.at += HOUR
    await doing(world).quiet()
    assert (await now(world, export)).state is State.DONE


async def test_letters_begin_with_the_commit_that_ends_it(world: World) -> None:
    export = await begin(world, recipients=("a@shop.example", "b@shop.example"))
    assert await count(world, "report_letters") == 0
    await doing(world).quiet()
    name = (export.tenant_id, export.export_id)
    letters = (await report_letters.of_exports(world.door, [name]))[name]
    assert [each.email for each in letters] == ["a@shop.example", "b@shop.example"]


async def test_only_so_many_are_made_at_a_time(world: World) -> None:
    names = [ids.encode("exp", (await begin(world, key)).export_id) for key in "abc"]
    with pytest.raises(Problem) as caught:
        await begin(world, "d")
    assert caught.value.code == "TOO_MANY"
    assert caught.value.message.startswith("at most 3 exports of a tenant are made at a time")
    assert caught.value.message.endswith(", ".join(names))
    assert (await begin(world, "c")).key == "c"


async def test_a_report_of_too_many_bytes_is_refused_on_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In every form: a disk is not filled, and whoever wanted it knows what to ask for."""
    monkeypatch.setattr("api.reports.tables.REPORT_BYTES_MAX", 1 << 10)
    monkeypatch.setattr("api.reports.csv_file.PIECE_BYTES", 100)
    monkeypatch.setattr(exporting, "gettempdir", lambda: str(tmp_path))
    for form in TABLE_FORMATS:
        export = await begin(world, form.value, format=form)
        await doing(world).quiet()
        failed = await now(world, export)
        assert failed.state is State.FAILED
        assert failed.error is not None
        assert "narrow the range or the filter" in failed.error
        assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and nothing that somebody makes a report in, however long that takes."""
    monkeypatch.setattr(exporting, "gettempdir", lambda: str(tmp_path))
    with exporting.spool() as mine:
        (mine / "part").write_bytes(b"x")
        for name in ("kuota-report-old", "kuota-report-new", "another"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "lock").write_bytes(b"")
        for folder in (mine, tmp_path / "kuota-report-old", tmp_path / "another"):
            os.utime(folder, (0, 0))
        exporting.sweep()
        left = sorted(path.name for path in tmp_path.iterdir() if path != mine)
        assert left == ["another", "kuota-report-new"]
        assert (mine / "part").exists()
    assert not mine.exists()


# As clients see it


CREATE = """mutation ($input: ExportCreateInput!) { exportCreate(input: $input) {
  export { id state error year kinds done total report { kind format costs start end recipients } }
  userErrors { code field message } } }"""
LIST = """{ tenant(key: "one") { exports { nodes { id report { kind } } } } }"""
ONE = """query ($id: ID!) { tenant(key: "one") { export(id: $id) {
  id state size done total download { url name } } } }"""
DAYS = {"dates": {"from": "2026-09-01", "until": "2026-09-30"}}
KeyOf = Callable[..., Awaitable[str]]


async def wanted(ask: Ask, key: str | None = None, **report: Any) -> Json:
    given = {"kind": "VISITORS", "format": "CSV", "range": DAYS} | report
    request = {"tenant": "one", "report": given, "idempotencyKey": str(given)}
    how: Json = {} if key is None else {"key": key}
    return await ask(CREATE, input=request, **how)


async def refusal(ask: Ask, **report: Any) -> tuple[str, str]:
    answer = await wanted(ask, **report)
    if "errors" in answer:
        return answer["errors"][0]["extensions"]["code"], answer["errors"][0]["message"]
    (error,) = answer["data"]["exportCreate"]["userErrors"]
    return error["code"], error["field"]


async def test_what_cannot_be_is_said(
    ask: Ask, tenants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was wrong, where, and what would be right."""
    chart = {"metrics": ["MESSAGES_OUT"]}
    assert await refusal(ask, format="PNG") == ("INVALID", "report.format")
    assert await refusal(ask, kind="USAGE_CHART", chart=chart) == ("INVALID", "report.format")
    assert await refusal(ask, kind="USAGE_CHART", format="PNG") == ("INVALID", "report.chart")
    assert await refusal(ask, chart=chart) == ("INVALID", "report.chart")
    narrowed = {"channels": ["sms"]}
    assert await refusal(ask, kind="LEDGER", filter=narrowed) == (
        "INVALID", "report.filter.channels",
    )  # fmt: skip
    for wrong in ({"channels": ["fax"]}, {"users": ["a\0"]}, {"users": ["a" * 101]}):
        code, words = await refusal(ask, kind="OTHER_SERVICES", filter=wrong)
        assert code == "BAD_USER_INPUT", words
    cut = {"instants": {"start": "2026-09-01T00:10:00Z", "end": "2026-09-02T00:00:00Z"}}
    code, words = await refusal(ask, range=cut)
    assert code == "BAD_USER_INPUT"
    assert "write 2026-09-01T00:00:00Z" in words
    assert await refusal(ask, recipients=["a@b.example"]) == (
        "NO_MAIL_SERVER", "report.recipients",
    )  # fmt: skip
    monkeypatch.setattr(parquet_file, "is_there", lambda: False)
    assert await refusal(ask, format="PARQUET") == ("UNAVAILABLE", "report.format")
    answer = await wanted(ask, format="PARQUET")
    message = answer["data"]["exportCreate"]["userErrors"][0]["message"]
    assert "kuota[parquet]" in message
    for more in ({}, {"year": 2026, "report": {"kind": "LEDGER", "format": "CSV", "range": DAYS}}):
        request = {"tenant": "one", "idempotencyKey": "x"} | more
        answer = await ask(CREATE, input=request)
        (error,) = answer["data"]["exportCreate"]["userErrors"]
        assert (error["code"], error["field"]) == ("INVALID", "report")


async def test_who_may_have_which(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    """PE-1: what is of money needs billing; what is not, is made and seen with usage alone."""
    usage, billing = await key_of("one", "usage:read"), await key_of("one", "billing:read")
    both = await key_of("one", "usage:read", "billing:read")
    other = await key_of("two", "usage:read", "billing:read")

    async def code(key: str, **report: Any) -> str | None:
        answer = await wanted(ask, key, **report)
        return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None

    for kind in ("CHARGES", "LEDGER", "PURCHASES"):
        assert await code(usage, kind=kind, costs=False) == "FORBIDDEN"
    assert await code(usage, kind="WHATSAPP_USAGE") == "FORBIDDEN"
    assert await code(billing, kind="WHATSAPP_USAGE") == "FORBIDDEN"
    assert await code(usage, kind="WHATSAPP_USAGE", costs=False) is None
    assert await code(usage, kind="VISITORS") is None
    assert await code(both, kind="WHATSAPP_USAGE") is None
    answer = await ask(LIST, key=usage)
    kinds = [each["report"]["kind"] for each in answer["data"]["tenant"]["exports"]["nodes"]]
    assert kinds == ["VISITORS", "WHATSAPP_USAGE"]
    answer = await ask(LIST, key=both)
    nodes = answer["data"]["tenant"]["exports"]["nodes"]
    assert len(nodes) == 3
    answer = await ask(ONE, key=usage, id=nodes[0]["id"])
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert (await ask(ONE, key=usage, id=nodes[1]["id"]))["data"]["tenant"]["export"] is not None
    answer = await wanted(ask, other)
    assert answer["data"]["exportCreate"]["userErrors"][0]["code"] == "NOT_FOUND"


async def test_a_link_gives_the_file_as_what_it_is(
    ask: Ask, tenants: list[str], client: httpx2.AsyncClient, app: Any
) -> None:
    """Under its name, with its media type, the same bytes for whoever has them already."""
    await ask(NUMBER_CREATE, input={"tenant": "one", "channel": "sms", "address": "+628110002"})
    core = app.state.core
    for kind, form, media in (
        ("LEDGER", "XLSX", specs.MEDIA_TYPES[Format.XLSX]),
        ("VISITORS", "CSV", "text/csv; charset=utf-8"),
    ):
        answer = await wanted(ask, kind=kind, format=form)
        made = answer["data"]["exportCreate"]["export"]
        assert made["report"] == {
            "kind": kind, "format": form, "costs": True, "recipients": [],
            "start": "2026-08-31T17:00:00Z", "end": "2026-09-30T17:00:00Z",
        }  # fmt: skip
        handle = Exporting(core.door, core.clock.now).handle
        metrics = Metrics()
        await Tasks(core.door, core.clock.now, metrics, {tasks.EXPORT: handle}).quiet()
        found = (await ask(ONE, id=made["id"]))["data"]["tenant"]["export"]
        assert found["state"] == "DONE"
        name = f"{kind.lower()}-one-2026-09-01-2026-09-30.{form.lower()}"
        assert found["download"]["name"] == name
        file = await client.get(found["download"]["url"])
        assert file.status_code == 200
        assert file.headers["content-type"] == media
        assert f'filename="{name}"' in file.headers["content-disposition"]
        assert len(file.content) == int(found["size"])
        again = await client.get(
            found["download"]["url"], headers={"if-none-match": file.headers["etag"]}
        )
        assert again.status_code == 304
        if form == "XLSX":
            sheet = openpyxl.load_workbook(io.BytesIO(file.content)).active
            assert sheet["A1"].value == "day"


async def test_columns_are_told(ask: Ask) -> None:
    query = "{ reportColumns(kind: LEDGER) { name type unit description cost } }"
    found = (await ask(query))["data"]["reportColumns"]
    assert found[0] == {
        "name": "day", "type": "DATE", "unit": "the tenant's local day",
        "description": "The day of the movement.", "cost": False,
    }  # fmt: skip
