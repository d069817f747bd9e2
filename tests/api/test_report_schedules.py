"""Schedules of reports over HTTP, and one from its making to the letter, with the real file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.invoicing.exporting import Exporting
from api.reports.spec import Format
from api.settings import Clock, Settings
from domain.periods import DAY, HOUR, iso
from persistence import tasks
from tests.api.conftest import TENANT_CREATE, Ask, Json
from tests.api.reaching.office import Office, plain
from tests.api.reports.mailroom import MailRoom, attached, local
from tests.api.sockets import until
from tests.conftest import OPERATOR_KEY, Database
from tests.scenarios.world import World

KeyOf = Callable[..., Awaitable[str]]

NOON = local("2026-11-24 12:00")
CHART = "chart { metrics bucket groupBy theme width height }"
FIELDS = f"""id rhythm hour active nextAt createdBy changedBy lastError lastExport {{ id }}
report {{ kind format costs locale recipients filter {{ dimension values }} {CHART} }}"""
CREATE = f"""mutation ($input: ReportScheduleCreateInput!) {{ reportScheduleCreate(input: $input) {{
  schedule {{ {FIELDS} }} userErrors {{ field code message }} }} }}"""
UPDATE = f"""mutation ($input: ReportScheduleUpdateInput!) {{ reportScheduleUpdate(input: $input) {{
  schedule {{ {FIELDS} }} userErrors {{ field code message }} }} }}"""
DELETE = """mutation ($input: ReportScheduleDeleteInput!) { reportScheduleDelete(input: $input) {
  id userErrors { field code message } } }"""
LIST = f'{{ tenant(key: "shop") {{ reportSchedules {{ {FIELDS} }} }} }}'
ONE = f"""query ($tenant: String!, $id: ID!) {{
  tenant(key: $tenant) {{ reportSchedule(id: $id) {{ {FIELDS} }} }} }}"""
VISITORS: Json = {
    "kind": "VISITORS", "format": "CSV", "costs": False, "recipients": ["ana@shop.example"],
}  # fmt: skip


class Standing(Clock):
    """A clock that stands."""

    def now(self) -> int:
        return NOON


@pytest.fixture
async def app(database: Database, redis_url: str) -> AsyncIterator[Starlette]:
    """An application with a server of mail, which nothing reaches here: none is due."""
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY,
        smtp_url="smtp://127.0.0.1:9",
    )  # fmt: skip
    app = create_app(settings, Standing())
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def shop(ask: Ask) -> Ask:
    for key in ("shop", "rival"):
        await ask(TENANT_CREATE, input={"key": key, "plan": "omnichannel-idr"})
    return ask


async def create(ask: Ask, *, key: str | None = None, **given: Any) -> Json:
    asked = {"tenant": "shop", "rhythm": "DAILY", "report": VISITORS, "idempotencyKey": "k"}
    answer = await ask(CREATE, key=key or OPERATOR_KEY, input=asked | given)
    found: Json = (answer["data"] or {}).get("reportScheduleCreate") or answer
    return found


async def test_a_schedule_is_created_changed_listed_and_deleted(shop: Ask, key_of: KeyOf) -> None:
    key = await key_of("shop", "usage:read", "billing:write")
    report = VISITORS | {"locale": "id", "filter": {"countries": ["ID"]}}
    made = await create(shop, key=key, report=report)
    assert made["userErrors"] == []
    schedule = made["schedule"]
    prefix = schedule["createdBy"]
    assert prefix.startswith("key ")
    assert schedule == {
        "id": schedule["id"], "rhythm": "DAILY", "hour": 7, "active": True,
        "nextAt": "2026-11-25T00:00:00Z", "createdBy": prefix, "changedBy": prefix,
        "lastError": None, "lastExport": None,
        "report": {
            "kind": "VISITORS", "format": "CSV", "costs": False, "locale": "id",
            "recipients": ["ana@shop.example"], "chart": None,
            "filter": [{"dimension": "COUNTRY", "values": ["ID"]}],
        },
    }  # fmt: skip
    named = {"tenant": "shop", "id": schedule["id"]}
    changed = await shop(UPDATE, key=key, input=named | {"rhythm": "MONTHLY", "hour": 0})
    after = changed["data"]["reportScheduleUpdate"]["schedule"]
    assert after == schedule | {"rhythm": "MONTHLY", "hour": 0, "nextAt": "2026-11-30T17:00:00Z"}
    paused = await shop(UPDATE, key=key, input=named | {"active": False})
    assert paused["data"]["reportScheduleUpdate"]["schedule"]["nextAt"] is None
    assert len((await shop(LIST, key=key))["data"]["tenant"]["reportSchedules"]) == 1
    gone = await shop(DELETE, key=key, input=named)
    assert gone["data"]["reportScheduleDelete"] == {"id": schedule["id"], "userErrors": []}
    assert (await shop(LIST, key=key))["data"]["tenant"]["reportSchedules"] == []


async def test_one_schedule_is_found_by_its_id_until_it_is_deleted(
    shop: Ask, key_of: KeyOf
) -> None:
    """Paused ones too; of another tenant, of another kind or of none the answer is null."""
    ids = []
    for number in range(3):
        made = await create(shop, idempotencyKey=f"k{number}", hour=number)
        ids.append(made["schedule"]["id"])
    await shop(UPDATE, input={"tenant": "shop", "id": ids[1], "active": False})
    listed = (await shop(LIST))["data"]["tenant"]["reportSchedules"]
    key = await key_of("shop", "usage:read")

    async def one(name: str, *, tenant: str = "shop", key: str = key) -> Json:
        answer = await shop(ONE, key=key, tenant=tenant, id=name)
        found: Json = answer["data"]["tenant"]["reportSchedule"]
        return found

    assert [await one(name) for name in ids] == listed
    # Those of one operation are found by one statement, each in its own place.
    aliased = " ".join(
        f'a{place}: reportSchedule(id: "{name}") {{ hour }}'
        for place, name in enumerate([ids[2], "rsc_none", ids[0], ids[2]])
    )
    answer = await shop(f'{{ tenant(key: "shop") {{ {aliased} }} }}', key=key)
    assert answer["data"]["tenant"] == {
        "a0": {"hour": 2}, "a1": None, "a2": {"hour": 0}, "a3": {"hour": 2},
    }  # fmt: skip
    for name in ("", "rsc_none", ids[0].replace("rsc", "exp"), ids[0] + "0"):
        assert await one(name) is None
    rival = await key_of("rival", "usage:read")
    assert await one(ids[0], tenant="rival", key=rival) is None
    await shop(DELETE, input={"tenant": "shop", "id": ids[0]})
    assert await one(ids[0]) is None
    (error,) = (
        await shop(ONE, key=await key_of("shop", "billing:write"), tenant="shop", id=ids[1])
    )["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert "usage:read" in error["message"]


async def test_whoever_only_reads_mails_nothing(shop: Ask, key_of: KeyOf) -> None:
    """An operator's key that reads, too; a report that names nobody it may have."""
    made = await create(shop)
    named = {"tenant": "shop", "id": made["schedule"]["id"]}
    once = VISITORS | {"range": {"preset": "YESTERDAY"}}
    for tenant in ("shop", None):
        key = await key_of(tenant, "usage:read", "billing:read")
        for document, given in (
            (CREATE, {"tenant": "shop", "rhythm": "DAILY", "report": VISITORS,
                      "idempotencyKey": "another"}),
            (UPDATE, named | {"active": False}),
            (DELETE, named),
            (EXPORT, {"tenant": "shop", "report": once, "idempotencyKey": "once"}),
        ):  # fmt: skip
            (error,) = (await shop(document, key=key, input=given))["errors"]
            assert error["extensions"]["code"] == "FORBIDDEN"
            assert "billing:write" in error["message"]
        alone = {"tenant": "shop", "report": once | {"recipients": []}, "idempotencyKey": "alone"}
        answer = await shop(EXPORT, key=key, input=alone)
        assert answer["data"]["exportCreate"]["userErrors"] == []


async def test_who_may_not_read_costs_schedules_none(shop: Ask, key_of: KeyOf) -> None:
    key = await key_of("shop", "usage:read", "billing:write")
    for kind in ("BROADCASTS", "LEDGER"):
        answer = await create(shop, key=key, report=VISITORS | {"kind": kind, "costs": True})
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"
        assert "billing:read" in error["message"]
    both = await key_of("shop", "usage:read", "billing:read", "billing:write")
    made = await create(shop, key=both, report=VISITORS | {"kind": "LEDGER"})
    assert made["userErrors"] == []
    named = {"tenant": "shop", "id": made["schedule"]["id"]}
    for document, given in ((UPDATE, named | {"active": False}), (DELETE, named)):
        answer = await shop(document, key=key, input=given)
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_another_tenants_schedules_do_not_exist(shop: Ask, key_of: KeyOf) -> None:
    made = await create(shop)
    key = await key_of("rival", "usage:read", "billing:read", "billing:write")
    assert (await shop(LIST, key=key))["data"]["tenant"] is None
    named = {"tenant": "shop", "id": made["schedule"]["id"]}
    for document, name in ((UPDATE, "reportScheduleUpdate"), (DELETE, "reportScheduleDelete")):
        for tenant, field in (("shop", "tenant"), ("rival", "id")):
            answer = await shop(document, key=key, input=named | {"tenant": tenant})
            (error,) = answer["data"][name]["userErrors"]
            assert (error["code"], error["field"]) == ("NOT_FOUND", field)


NOT_SCHEDULED = [
    ({"hour": 24}, "INVALID", "hour"),
    ({"report": VISITORS | {"recipients": []}}, "INVALID", "report.recipients"),
    ({"report": VISITORS | {"recipients": ["x"]}}, "INVALID_EMAIL", "report.recipients[0]"),
    ({"report": VISITORS | {"format": "PNG"}}, "INVALID", "report.format"),
    ({"report": VISITORS | {"kind": "USAGE_CHART", "format": "PNG"}}, "INVALID",
     "report.chart"),
    ({"idempotencyKey": "payment/1"}, "INVALID", "idempotencyKey"),
    ({"tenant": "nobody"}, "NOT_FOUND", "tenant"),
]  # fmt: skip


async def test_what_cannot_be_scheduled_is_said(shop: Ask, subtests: pytest.Subtests) -> None:
    for given, code, field in NOT_SCHEDULED:
        with subtests.test(given=given):
            made = await create(shop, **given)
            assert "userErrors" in made, made
            (error,) = made["userErrors"]
            assert (error["code"], error["field"]) == (code, field)


async def test_a_picture_is_scheduled_like_a_table(shop: Ask) -> None:
    chart = {"metrics": ["MESSAGES_OUT"], "bucket": "DAY"}
    report = VISITORS | {"kind": "USAGE_CHART", "format": "PNG", "chart": chart}
    made = await create(shop, rhythm="MONTHLY", report=report)
    assert made["userErrors"] == []
    assert made["schedule"]["report"]["chart"] == {
        "metrics": ["MESSAGES_OUT"], "bucket": "DAY", "groupBy": [], "theme": "LIGHT",
        "width": 960, "height": 540,
    }  # fmt: skip


async def test_an_export_tells_all_that_was_asked_for(shop: Ask) -> None:
    """A picture's metrics, its filter and its language: what it was made of can be made again."""
    chart = {
        "metrics": ["MESSAGES_OUT", "MESSAGES_IN"], "bucket": "WEEK", "groupBy": ["CHANNEL"],
        "theme": "DARK", "width": 800, "height": 450,
    }  # fmt: skip
    report = {
        "kind": "USAGE_CHART", "format": "SVG", "range": {"preset": "LAST_7_DAYS"}, "locale": "es",
        "chart": chart, "filter": {"channels": ["whatsapp"], "users": []},
    }  # fmt: skip
    answer = await shop(REPORTED, input={"tenant": "shop", "report": report, "idempotencyKey": "k"})
    assert answer["data"]["exportCreate"]["userErrors"] == []
    assert answer["data"]["exportCreate"]["export"]["report"] == {
        "kind": "USAGE_CHART", "format": "SVG", "locale": "es", "chart": chart, "recipients": [],
        "filter": [
            {"dimension": "CHANNEL", "values": ["whatsapp"]}, {"dimension": "USER", "values": []},
        ],
    }  # fmt: skip


async def test_without_a_server_of_mail_nothing_is_scheduled(
    database: Database, redis_url: str
) -> None:
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    app = create_app(settings, Standing())
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://kuota") as client:
            headers = {"authorization": f"Bearer {OPERATOR_KEY}"}
            for query, given in (
                (TENANT_CREATE, {"key": "shop", "plan": "omnichannel-idr"}),
                (CREATE, {"tenant": "shop", "rhythm": "DAILY", "report": VISITORS,
                          "idempotencyKey": "k"}),
            ):  # fmt: skip
                body = {"query": query, "variables": {"input": given}}
                answer = (await client.post("/graphql", json=body, headers=headers)).json()
    (error,) = answer["data"]["reportScheduleCreate"]["userErrors"]
    assert (error["code"], error["field"]) == ("NO_MAIL_SERVER", "report.recipients")
    assert "reports are not mailed here: ask the operator" in error["message"]


@pytest.mark.parametrize("form", [Format.CSV, Format.XLSX])
async def test_a_report_goes_from_its_schedule_to_its_letter(
    database: Database, redis_url: str, form: Format
) -> None:
    """Real facts, the real file, a real server of mail."""
    async with World.open(database.app_url, redis_url) as world, Office.open() as office:
        world.clock.at = NOON
        await world.tenant("shop")
        await world.number("shop", "wa", "whatsapp", "+6281110000001")
        events = [
            {
                "specversion": "1.0", "id": f"fact-{n}", "source": "crm", "subject": "shop",
                "type": "message.received", "time": iso(NOON - HOUR),
                "data": {"number": "+6281110000001", "contact": f"+62811100001{n:02d}"},
            }
            for n in range(3)
        ]  # fmt: skip
        for each in await world.send(events):
            assert each["status"] == "accepted", each
        exporting = Exporting(world.door, world.clock.now)
        room = MailRoom.of(world, office, **{tasks.EXPORT: exporting.handle})
        await room.schedule("shop", format=form)
        world.clock.at = NOON + DAY
        await room.quiet()
        (letter,) = office.read
        ((name, _, file),) = attached(letter)
        assert name == f"visitors-shop-2026-11-24.{form.value}"
        assert "Rows: 1" in plain(letter)
        if form is Format.CSV:
            head, row = file.decode("utf-8-sig").splitlines()
            told = dict(zip(head.split(","), row.split(","), strict=True))
            assert (told["day"], told["visitors"]) == ("2026-11-24", "3")
        else:
            assert zipfile.ZipFile(io.BytesIO(file)).testzip() is None
        (export,) = await room.exports("shop")
        assert (export.size, export.done) == (len(file), 1)
        assert export.progress.as_of == NOON + DAY
        assert [each.sent_at for each in await room.letters(export)] == [NOON + DAY]


EXPORT = """mutation ($input: ExportCreateInput!) { exportCreate(input: $input) {
  export { id letters { email } } userErrors { field code message } } }"""
REPORTED = f"""mutation ($input: ExportCreateInput!) {{ exportCreate(input: $input) {{
  export {{ report {{ kind format locale recipients filter {{ dimension values }} {CHART} }} }}
  userErrors {{ field code message }} }} }}"""
LETTERS = """{ tenant(key: "shop") { exports { nodes {
  state asOf letters { email state sentAt error } } } } }"""


class Moving(Clock):
    """A clock that a test puts."""

    at = NOON

    def now(self) -> int:
        return self.at


async def test_a_served_process_does_all_of_it(database: Database, redis_url: str) -> None:
    """A report that is mailed once, and one that is due: made and mailed by the jobs there are."""
    clock = Moving()
    async with Office.open() as office:
        settings = Settings(
            database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY,
            smtp_url=office.url, public_url="https://kuota.example",
        )  # fmt: skip
        app = create_app(settings, clock)
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app)
            headers = {"authorization": f"Bearer {OPERATOR_KEY}"}
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://kuota", headers=headers
            ) as client:

                async def ask(query: str, **given: Any) -> Json:
                    body = {"query": query, "variables": {"input": given}}
                    answer = (await client.post("/graphql", json=body)).json()
                    assert "errors" not in answer, answer
                    found: Json = answer["data"]
                    return found

                await ask(TENANT_CREATE, key="shop", plan="omnichannel-idr")
                office.refuses["eva@agency.example"] = "550 nobody"
                once = {**VISITORS, "recipients": ["ben@shop.example", "eva@agency.example"]}
                once["range"] = {"preset": "LAST_7_DAYS"}
                made = await ask(EXPORT, tenant="shop", report=once, idempotencyKey="once")
                assert made["exportCreate"]["userErrors"] == []
                assert made["exportCreate"]["export"]["letters"] == []
                scheduled = await ask(
                    CREATE, tenant="shop", rhythm="DAILY", report=VISITORS, idempotencyKey="k"
                )
                assert scheduled["reportScheduleCreate"]["userErrors"] == []

                async def told() -> list[Json]:
                    answer = await ask(LETTERS)
                    found: list[Json] = answer["tenant"]["exports"]["nodes"]
                    return found

                async def over(count: int) -> bool:
                    """Whether so many exports are done, and nothing of them waits."""
                    states = [each["state"] for each in await told()]
                    letters = [one["state"] for each in await told() for one in each["letters"]]
                    return states == ["DONE"] * count and "WAITING" not in letters

                await until(partial(over, 1))
                assert office.to == [["ben@shop.example"]]
                clock.at = NOON + DAY
                await until(partial(over, 2))
                assert office.to[1:] == [["ana@shop.example"]]
                due, asked = await told()
    assert due == {
        "state": "DONE", "asOf": iso(NOON + DAY), "letters": [
            {"email": "ana@shop.example", "state": "SENT", "sentAt": iso(NOON + DAY),
             "error": None},
        ],
    }  # fmt: skip
    assert [(each["email"], each["state"], each["error"]) for each in asked["letters"]] == [
        ("ben@shop.example", "SENT", None), ("eva@agency.example", "FAILED", "550 nobody"),
    ]  # fmt: skip
