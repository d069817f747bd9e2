"""Charts as clients get them: a link, drawn from what a series of the same question says."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette

from api.charts.chart import Chart
from api.charts.drawing import drawing
from api.charts.look import Theme
from api.charts.specs import spec as spec_of
from api.core import Core
from api.limits import CHART_COST, DOWNLOAD_KNOWN_COST
from api.links import Link, path_of
from api.reports import chart as charts
from api.reports.chart import chart_file
from api.reports.spec import ChartSpec, Format, Kind, Spec, spelt
from domain.facts import Channel, Direction
from domain.periods import DAY, HOUR, month_name, zone
from persistence.tenants import TenantRecord, find_by_key
from tests.api.conftest import Ask, Json
from tests.conftest import Database
from tests.persistence.rows import Rows, rows_of

KeyOf = Callable[..., Awaitable[str]]
JAKARTA = zone("Asia/Jakarta")
CLOSE = """mutation ($input: PeriodCloseInput!) {
  periodClose(input: $input) { closedUntil userErrors { message } }
}"""
SIZE = "width: 640, height: 360"


@pytest.fixture
def core(app: Starlette) -> Core:
    found: Core = app.state.core
    return found


@pytest.fixture(scope="module", autouse=True)
def _ends() -> Any:
    """The process that draws is that of all of these: it takes long to begin."""
    yield
    drawing().close()


@pytest.fixture
async def tenant(core: Core, tenants: list[str]) -> TenantRecord:
    found = await find_by_key(core.door, tenants[0])
    assert found is not None
    return found


@pytest.fixture
async def rows(database: Database, tenant: TenantRecord, core: Core) -> AsyncIterator[Rows]:
    """A tenant with two numbers and usage of two hours of today and of the three days before."""
    async with rows_of(database.owner_url) as rows:
        numbers = ((7, Channel.WHATSAPP, "628110001"), (8, Channel.SMS, "628110002"))
        for number, channel, address in numbers:
            await rows.number(number, tenant_id=tenant.tenant_id, channel=channel, address=address)
        now = core.clock.now()
        for back in range(4):
            day = JAKARTA.day_start(now - back * DAY)
            for number, _, _ in numbers:
                for category in ("marketing", "utility", ""):
                    for tables, at in ((("usage_day",), day), (("usage_hour",), day)):
                        await rows.usage(
                            at, tables=tables, tenant_id=tenant.tenant_id, number_id=number,
                            category=category, messages_out=3 + back * number, cost=1_250_001,
                            seconds=61, direction=Direction.OUT,
                        )  # fmt: skip
        yield rows


def chart(arguments: str, tenant: str = "one") -> str:
    return f'{{ tenant(key: "{tenant}") {{ usageChart({arguments}) {{ url name expiresAt }} }} }}'


async def link(ask: Ask, arguments: str, **more: Any) -> Json:
    answer = await ask(chart(arguments), **more)
    assert "errors" not in answer, answer
    found: Json = answer["data"]["tenant"]["usageChart"]
    return found


QUESTIONS = [
    "metrics: [MESSAGES_OUT], range: {preset: LAST_7_DAYS}",
    "metrics: [MESSAGES_OUT], range: {preset: THIS_WEEK}, groupBy: [CATEGORY]",
    "metrics: [COST], range: {preset: LAST_7_DAYS}, groupBy: [NUMBER, CATEGORY]",
    "metrics: [SECONDS_BILLED], range: {preset: THIS_MONTH}, bucket: WEEK",
    "metrics: [MESSAGES_OUT, VISITORS], range: {preset: TODAY}, bucket: HOUR",
    'metrics: [COST], range: {preset: LAST_30_DAYS}, filter: {channels: ["sms"]}',
    "metrics: [COST], range: {preset: LAST_7_DAYS}, filter: {users: []}",
]


@pytest.mark.usefixtures("rows")
async def test_the_figures_of_a_chart_are_those_of_the_series(
    ask: Ask, core: Core, tenant: TenantRecord
) -> None:
    """FI-2: line by line, bucket by bucket, to the last digit; what is to come has none."""
    for question in QUESTIONS:
        answer = await ask(
            f'{{ tenant(key: "one") {{ usageSeries({question}) {{ points {{ start value }} }} }} }}'
        )
        series = [
            {each["start"]: each["value"] for each in one["points"] if each["value"] is not None}
            for one in answer["data"]["tenant"]["usageSeries"]
        ]

        shown = await of_link(core, tenant, (await link(ask, question))["url"])

        drawn: dict[int, dict[str, str]] = {}
        for row in spec_of(shown, Theme.LIGHT)["datasets"]["series"]:
            drawn.setdefault(row["line"], {})[row["start"]] = row["exact"]
        key = by_start
        assert sorted(drawn.values(), key=key) == sorted(series, key=key), question


def by_start(points: dict[str, str]) -> list[tuple[str, Fraction]]:
    return sorted((start, Fraction(value)) for start, value in points.items())


def link_of(url: str) -> list[Any]:
    body = urlsplit(url).path.rsplit("/", 1)[1].partition(".")[0]
    found: list[Any] = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


async def of_link(core: Core, tenant: TenantRecord, url: str) -> Chart:
    """What is drawn for a link."""
    spec = msgspec.json.decode(link_of(url)[7], type=Spec)
    return await charts.chart(core.door, tenant, spec, core.clock.now())


@pytest.mark.usefixtures("rows")
async def test_a_link_gives_a_picture_of_each_form(
    ask: Ask, client: httpx2.AsyncClient, key_of: KeyOf
) -> None:
    key = await key_of("one", "usage:read")
    forms = {
        "PNG": ("image/png", b"\x89PNG"), "JPEG": ("image/jpeg", b"\xff\xd8"),
        "SVG": ("image/svg+xml", b"<svg"), "PDF": ("application/pdf", b"%PDF"),
    }  # fmt: skip
    for form, (media_type, begins) in forms.items():
        found = await link(
            ask, f'{QUESTIONS[1]}, format: {form}, theme: DARK, {SIZE}, locale: "id"', key=key
        )
        answer = await client.get(found["url"])

        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert answer.content.startswith(begins)
        assert re.fullmatch(
            rf"usage-chart-one-\d{{4}}-\d\d-\d\d-\d{{4}}-\d\d-\d\d\.{form.lower()}", found["name"]
        )
        assert found["name"] in answer.headers["content-disposition"]
        assert "etag" not in answer.headers
        again = await client.get(found["url"], headers={"if-none-match": "*"})
        assert (again.status_code, again.content) == (200, answer.content)


@pytest.mark.usefixtures("rows")
async def test_a_chart_is_charged_as_the_work_that_it_is(
    ask: Ask, client: httpx2.AsyncClient, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked; who asks only what it is has nothing asked and nothing drawn."""
    now = core.gate.rates._now()
    monkeypatch.setattr(core.gate.rates, "_now", lambda: now)
    drawing().close()
    asked: list[Any] = []
    left: list[int] = []
    chart_of = charts.chart

    async def heard(*given: Any) -> Chart:
        asked.append(given)
        return await chart_of(*given)

    monkeypatch.setattr(charts, "chart", heard)
    url = (await link(ask, f"{QUESTIONS[0]}, {SIZE}"))["url"]
    for method in ("HEAD", "HEAD", "GET", "GET"):
        answer = await client.request(method, url)
        assert answer.status_code == 200
        assert "etag" not in answer.headers
        (held,) = re.findall(r'"tenant";r=(\d+)', answer.headers["ratelimit"])
        left.append(int(held))
        if method == "HEAD":
            assert answer.content == b""
            assert asked == []
            assert drawing().process_id is None
    assert len(asked) == 2
    assert [more - less for more, less in pairwise(left)] == [
        DOWNLOAD_KNOWN_COST, CHART_COST, CHART_COST
    ]  # fmt: skip


@pytest.mark.usefixtures("rows")
async def test_one_tenant_has_few_charts_drawn_at_once(
    ask: Ask, client: httpx2.AsyncClient
) -> None:
    """Whoever opens a link in many places is told to come again, with nothing asked for it."""
    url = (await link(ask, f"{QUESTIONS[0]}, {SIZE}, format: SVG"))["url"]
    drawing().close()  # until it has begun again, all of them have come
    answers = await asyncio.gather(*(client.get(url) for _ in range(8)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert statuses[-1] == 503
    assert {"retry-after" in answer.headers for answer in answers if answer.is_error} == {True}
    assert (await client.get(url)).status_code == 200


@pytest.mark.usefixtures("rows")
async def test_a_chart_tells_whose_it_is_and_how_sure(ask: Ask, client: httpx2.AsyncClient) -> None:
    """FI-1: the name of the tenant, the range, the zone, the instant, and that it is no invoice."""
    found = await link(ask, f'{QUESTIONS[1]}, format: SVG, locale: "id", {SIZE}')
    svg = (await client.get(found["url"])).text
    assert "Pesan terkirim per kategori" in svg
    assert "(Asia/Jakarta)" in svg
    assert "Perkiraan sampai periode ditutup" in svg
    assert "Marketing" in svg


@pytest.mark.usefixtures("rows")
async def test_a_chart_of_a_closed_range_is_final(
    ask: Ask, core: Core, tenant: TenantRecord
) -> None:
    """FI-1: whatever is before the end of the last closed period stays as it is."""
    now = core.clock.now()
    end = JAKARTA.month_bounds(JAKARTA.month(now))[0]
    month = month_name(JAKARTA.month(end - 1))
    before, across = a_spec(end - 7 * DAY), a_spec(end - 6 * DAY)
    assert not (await charts.chart(core.door, tenant, before, now)).final

    closing = {"tenant": "one", "period": month, "idempotencyKey": "k"}
    answer = await ask(CLOSE, input=closing)

    assert answer["data"]["periodClose"]["userErrors"] == []
    assert (await charts.chart(core.door, tenant, before, now)).final
    assert not (await charts.chart(core.door, tenant, across, now)).final


def a_spec(start: int, form: Format = Format.PNG, **more: Any) -> Spec:
    return Spec(
        kind=Kind.USAGE_CHART, format=form, start=start, end=start + 7 * DAY,
        chart=ChartSpec(metrics=("MESSAGES_OUT",), bucket="day", width=640, height=360), **more,
    )  # fmt: skip


async def test_a_report_has_the_chart_of_a_link(
    ask: Ask, core: Core, client: httpx2.AsyncClient, tenant: TenantRecord, rows: Rows,
    tmp_path: Path,
) -> None:  # fmt: skip
    start = JAKARTA.day_start(core.clock.now()) - 3 * DAY
    spec = a_spec(start, Format.SVG, locale="es")
    now = core.clock.now()
    link = Link(
        object="chart", tenant_id=tenant.tenant_id, since=start, until=spec.end, format="svg",
        name="chart.svg", expires_at=now + 300_000_000, of=spelt(spec),
    )  # fmt: skip

    path = tmp_path / "chart"
    await chart_file(core.door, tenant, spec, path, now)

    answer = await client.get(path_of(core.signing, link))
    assert answer.content == path.read_bytes()
    assert "Mensajes entregados" in answer.text


MANY = json.dumps([f"{n:02}{'u' * 90}" for n in range(20)])
REFUSED = [
    ("metrics: [], range: {preset: TODAY}", "`metrics` is empty"),
    ("metrics: [COST, VISITORS], range: {preset: TODAY}", "mixes money and counts"),
    ("metrics: [VISITORS], range: {preset: TODAY}, width: 20", "`width` is 20"),
    ("metrics: [VISITORS], range: {preset: TODAY}, height: 0", "`height` is 0"),
    ('metrics: [VISITORS], range: {preset: TODAY}, locale: "xx-yy-zz-q"', "no locale"),
    ('metrics: [VISITORS], range: {preset: TODAY}, filter: {channels: ["fax"]}', "fax"),
    (
        'metrics: [VISITORS], range: {dates: {from: "2026-01-01", until: "2026-12-31"}}',
        "365 local days",
    ),
    (
        "metrics: [VISITORS], range: {preset: TODAY}, groupBy: [USER, NUMBER, CATEGORY]",
        "3 dimensions",
    ),
    (
        f"metrics: [VISITORS], range: {{preset: TODAY}}, filter: {{users: {MANY}}}",
        "too long for a link",
    ),
]


async def test_what_cannot_be_drawn_is_told_at_once(ask: Ask, tenants: list[str]) -> None:
    """Whoever asks is told, not whoever follows the link."""
    for arguments, said in REFUSED:
        answer = await ask(chart(arguments))
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT", arguments
        assert said in answer["errors"][0]["message"], arguments


async def test_costs_need_what_costs_need(ask: Ask, tenants: list[str], key_of: KeyOf) -> None:
    """PE-1: a picture tells no more than a number would."""
    usage, billing = await key_of("one", "usage:read"), await key_of("one", "billing:read")
    cost = chart("metrics: [COST_TOP_UP], range: {preset: TODAY}")
    for key, asked in ((usage, cost), (billing, cost), (billing, chart(QUESTIONS[0]))):
        answer = await ask(asked, key=key)
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    other = await ask(chart(QUESTIONS[0], "two"), key=usage)
    assert other["data"]["tenant"] is None


async def test_a_chart_of_a_tenant_that_is_gone_is_gone(
    core: Core, client: httpx2.AsyncClient
) -> None:
    link = Link(
        object="chart", tenant_id=999_999, since=0, until=1, format="png", name="chart.png",
        expires_at=core.clock.now() + HOUR, of=spelt(a_spec(JAKARTA.hour_start(0))),
    )  # fmt: skip
    for method in ("GET", "HEAD"):
        answer = await client.request(method, path_of(core.signing, link))
        assert answer.status_code == 410
    assert (await client.get(path_of(core.signing, link))).json()["code"] == "GONE"


async def test_a_link_of_another_is_not_made(core: Core, client: httpx2.AsyncClient) -> None:
    """The link is signed: who changes what it shows has none."""
    spec = a_spec(JAKARTA.hour_start(0))
    link = Link(
        object="chart", tenant_id=1, since=0, until=1, format="png", name="chart.png",
        expires_at=core.clock.now() + HOUR, of=spelt(spec),
    )  # fmt: skip
    path = path_of(core.signing, link)
    changed = path.replace(path[-5:], "AAAAA")
    assert (await client.get(changed)).status_code == 403
