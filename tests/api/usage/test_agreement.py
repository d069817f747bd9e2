"""FI-2: series, summary, files, charts, balances and charges agree to the last digit.

Traffic of three tenants in zones with daylight saving comes in no order, is settled, a month is
closed, and more of that month comes behind it. Then questions are drawn by lot: what the product
answers on each way out is what facts and charges add up to in a count of the tests' own.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from starlette.applications import Starlette

from api.app import create_app
from api.charts.look import Theme
from api.charts.specs import spec as drawn
from api.core import Core
from api.reports.chart import chart
from api.reports.making import render
from api.reports.spec import ChartSpec, Format, Kind, Spec
from api.settings import Clock, Settings
from persistence.tenants import find_by_keys
from tests.api.conftest import NUMBER_CREATE, TENANT_CREATE, Ask
from tests.api.usage.traffic import (
    BEHIND,
    Counted,
    Shop,
    batches,
    counted,
    events,
    instant_of,
    micros,
    summed,
)
from tests.conftest import OPERATOR_KEY, Database

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
FIRST = datetime(2026, 9, 28, tzinfo=UTC)
LATE = datetime(2026, 10, 24, tzinfo=UTC)
MILLION = Decimal(1_000_000)
MANY = 220
QUESTIONS = 6

WIDE = (("whatsapp", "+628001110001"), ("whatsapp", "+628001110002"), ("sms", "KUOTA"),
        ("voice", "+12135550000"), ("email", "desk@example.com"), ("bot", "bot-1"),
        ("video", "room-1"))  # fmt: skip
SHOPS = (
    Shop(key="york", plan="service-usd", timezone="America/New_York", numbers=WIDE,
         top_ups=(("whatsapp", "2"), ("sms", "100"), ("voice_outbound", "10"))),
    Shop(key="london", plan="service-usd", timezone="Europe/London", numbers=WIDE,
         top_ups=(("whatsapp", "100"), ("email", "100"))),
    Shop(key="howe", plan="college-small", timezone="Australia/Lord_Howe", numbers=WIDE[:2],
         top_ups=(("whatsapp", "10000"), ("conversations", "2000"), ("visitors", "500"))),
)  # fmt: skip
MONEY = ("whatsapp", "sms", "email", "voice_outbound", "video", "bot")

#: What is counted in millionths.
MICROS = ("COST", "COST_INITIAL", "COST_TOP_UP", "UNITS", "UNITS_INITIAL", "UNITS_TOP_UP")
METRICS = ("CONVERSATIONS", "VISITORS", "MESSAGES_IN", "MESSAGES_OUT", "EMAILS", "BOT_SESSIONS",
           "SEGMENTS", "SECONDS_BILLED", *MICROS)  # fmt: skip
FIELDS = {"NUMBER": "numbers", "CHANNEL": "channels", "COUNTRY": "countries", "USER": "users",
          "DIRECTION": "directions", "CATEGORY": "categories",
          "BROADCAST": "broadcasts"}  # fmt: skip

SERIES = """
query ($tenant: String!, $metrics: [Metric!]!, $range: RangeInput!, $bucket: Bucket!,
       $filter: UsageFilter, $groupBy: [Dimension!]) {
  tenant(key: $tenant) {
    usageSeries(metrics: $metrics, range: $range, bucket: $bucket, filter: $filter,
                groupBy: $groupBy) {
      metric key { dimension value } total points { start end value complete }
      compact { starts values } } } }
"""
SUMMARY = """
query ($tenant: String!, $metrics: [Metric!]!, $range: RangeInput!, $filter: UsageFilter) {
  tenant(key: $tenant) { usageSummary(range: $range, filter: $filter) {
    start end metrics(only: $metrics) { metric value }
    cards { marketing { value } utility { value } authentication { value } service { value }
            free { value } delivered { value } }
    costs { total { amount { value } } initial { amount { value } } topUp { amount { value } } }
    conversations { total { value } service { value } businessInitiated { value }
                    byCategory { category value } } } } }
"""
BALANCES = """
query ($tenant: String!, $metrics: [Metric!]!, $range: RangeInput!) {
  tenant(key: $tenant) { usageSummary(range: $range) {
    metrics(only: $metrics) { metric value }
    balances { initial { value } topUp { value } used { value currency } } } } }
"""
CHARGES = """
query ($tenant: String!, $after: String) { tenant(key: $tenant) {
  charges(first: 100, after: $after) {
    nodes { reversal amount { value currency } } pageInfo { hasNextPage endCursor } } } }
"""
SETTLE = """mutation ($input: SettleInput!) { settle(input: $input) { userErrors { message } } }"""
CLOSE = """mutation ($input: PeriodCloseInput!) {
  periodClose(input: $input) { userErrors { message } } }"""
TOP_UP = """mutation ($input: TopUpCreateInput!) {
  topUpCreate(input: $input) { userErrors { message } } }"""


@pytest.fixture
async def app(database: Database, redis_url: str) -> AsyncIterator[Starlette]:
    """An application two days after the clocks of New York went back."""
    settings = Settings(
        database_url=database.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    app = create_app(settings, Clock.starting(micros(NOW)))
    async with app.router.lifespan_context(app):
        yield app


async def done(ask: Ask, mutation: str, **given: Any) -> None:
    answer = await ask(mutation, input=given)
    assert "errors" not in answer, answer
    (payload,) = answer["data"].values()
    assert payload["userErrors"] == [], payload


async def told(client: httpx2.AsyncClient, picks: random.Random, given: list[Any]) -> None:
    for batch in batches(given, picks):
        answer = await client.post(
            "/v1/events", json=batch, headers={"authorization": f"Bearer {OPERATOR_KEY}"}
        )
        said = {result["status"] for result in answer.json()["results"]}
        assert said <= {"accepted", "unrated", "adjusted"}, answer.text


async def open_shop(ask: Ask, shop: Shop) -> None:
    await done(ask, TENANT_CREATE, key=shop.key, plan=shop.plan, timezone=shop.timezone)
    for channel, address in shop.numbers:
        await done(ask, NUMBER_CREATE, tenant=shop.key, channel=channel, address=address)
    for balance, amount in shop.top_ups:
        await done(
            ask, TOP_UP, tenant=shop.key, balance=balance, amount=amount, asOffered=False,
            startsAt=FIRST.isoformat(), idempotencyKey=f"{shop.key}-{balance}",
        )  # fmt: skip


class Questions:
    """Questions drawn by lot of one tenant."""

    def __init__(self, shop: Shop, facts: list[Counted], picks: random.Random) -> None:
        self.picks = picks
        self.zone = ZoneInfo(shop.timezone)
        self.facts = sorted(facts, key=instant_of)  #: by when they count, as `summed` takes them

    def days(self) -> dict[str, Any]:
        """Some local days, both included."""
        first = FIRST + timedelta(hours=self.picks.randrange(24 * 35))
        day = first.astimezone(self.zone).date()
        last = day + timedelta(days=self.picks.randrange(40))
        return {"dates": {"from": day.isoformat(), "until": last.isoformat()}}

    def range(self) -> dict[str, Any]:
        """Of some local days, of a preset, or of instants at which local hours begin."""
        drawn = self.picks.random()
        if drawn < 0.2:
            names = ("TODAY", "YESTERDAY", "THIS_WEEK", "LAST_7_DAYS", "THIS_MONTH",
                     "LAST_30_DAYS", "LAST_90_DAYS")  # fmt: skip
            return {"preset": self.picks.choice(names)}
        if drawn < 0.6:
            return self.days()
        first = FIRST + timedelta(hours=self.picks.randrange(24 * 35))
        start = first.astimezone(self.zone).replace(minute=0)
        end = start + timedelta(hours=self.picks.randrange(48, 500))  # by the clock on the wall
        return {"instants": {"start": start.isoformat(), "end": end.isoformat()}}

    def filter(self) -> tuple[dict[str, list[str]] | None, Callable[[Counted], bool]]:
        """What is counted of, and whether a fact is."""
        if self.picks.random() < 0.3:
            return None, lambda fact: True
        wanted: dict[str, list[str]] = {}
        for dimension in self.picks.sample(sorted(FIELDS), self.picks.choice((1, 1, 2))):
            # Nobody can ask for what has no direction.
            there = {fact.by[dimension] for fact in self.facts}
            known = sorted(there - {""} if dimension == "DIRECTION" else there)
            wanted[dimension] = self.picks.sample(known, self.picks.randint(1, len(known)))
        given = {FIELDS[dimension]: values for dimension, values in wanted.items()}
        return given, lambda fact: all(fact.by[each] in wanted[each] for each in wanted)

    def split(self) -> list[str]:
        return self.picks.sample(sorted(FIELDS), self.picks.choice((0, 1, 1, 2)))


def figure(value: str | None, metric: str) -> int:
    """A value as it is kept: millionths, or whole things."""
    if value is None:
        return 0
    exact = Decimal(value) * (MILLION if metric in MICROS else 1)
    assert exact == int(exact)
    return int(exact)


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_way_out_tells_the_same(
    ask: Ask, client: httpx2.AsyncClient, database: Database, app: Starlette, tmp_path: Path,
    seed: int,
) -> None:  # fmt: skip
    picks, files = random.Random(seed), Files(app.state.core, tmp_path)
    for shop in SHOPS:
        await open_shop(ask, shop)
        await told(client, picks, events(shop, picks, FIRST, NOW, MANY))
        await done(ask, SETTLE, tenant=shop.key)
        closed_until = 0
        if picks.random() < 0.7:
            month = datetime(2026, 11, 1, tzinfo=ZoneInfo(shop.timezone))
            closed_until = micros(month.astimezone(UTC))
            await done(ask, CLOSE, tenant=shop.key, period="2026-10", idempotencyKey="close")
            late = events(shop, picks, LATE, NOW, MANY // 6)
            await told(client, picks, [{**each, "source": BEHIND} for each in late])
            await done(ask, SETTLE, tenant=shop.key)
        facts = await counted(database.owner_url, shop.key, MONEY, closed_until)
        assert len(facts) > MANY / 2
        questions = Questions(shop, facts, picks)
        for _ in range(QUESTIONS):
            await agree(ask, shop, questions, files)
        await balances_agree(ask, shop, questions.days())
        await charges_agree(ask, shop, facts)


class Files:
    """Files and pictures of a tenant, as the product makes them."""

    def __init__(self, core: Core, folder: Path) -> None:
        self.core = core
        self.folder = folder

    async def table(self, shop: Shop, **given: Any) -> dict[str, Decimal]:
        """The sums of all columns with figures of both tables of usage."""
        sums: dict[str, Decimal] = {}
        for kind in (Kind.WHATSAPP_USAGE, Kind.OTHER_SERVICES):
            spec = Spec(kind=kind, format=Format.CSV, **given)
            (tenant,) = (await find_by_keys(self.core.door, [shop.key])).values()
            path = self.folder / f"{kind.value}.csv"
            await render(self.core.door, tenant, spec, path, self.core.clock.now())
            for row in csv.DictReader(path.read_text("utf-8-sig").splitlines()):
                for metric in METRICS:
                    column = metric.lower()
                    sums[metric] = sums.get(metric, Decimal(0)) + Decimal(row.get(column) or 0)
        return sums

    async def picture(
        self, shop: Shop, metric: str, bucket: str, split: list[str], **given: Any
    ) -> Decimal:
        """The sum of everything that is drawn in a chart of a metric."""
        of = ChartSpec(metrics=(metric,), bucket=bucket.lower(), group_by=tuple(split))
        spec = Spec(kind=Kind.USAGE_CHART, format=Format.PNG, chart=of, **given)
        (tenant,) = (await find_by_keys(self.core.door, [shop.key])).values()
        shown = await chart(self.core.door, tenant, spec, self.core.clock.now())
        rows = drawn(shown, Theme.LIGHT)["datasets"]["series"]
        return sum((Decimal(row["exact"]) for row in rows), Decimal(0))


async def agree(ask: Ask, shop: Shop, questions: Questions, files: Files) -> None:
    given, (only, wanted), split = questions.range(), questions.filter(), questions.split()
    bucket = questions.picks.choice(("HOUR", "DAY", "WEEK", "MONTH"))
    asked = {"tenant": shop.key, "metrics": METRICS, "range": given, "filter": only}
    answer = await ask(SERIES, bucket=bucket, groupBy=split, **asked)
    assert "errors" not in answer, (answer["errors"], given)
    series = answer["data"]["tenant"]["usageSeries"]
    summary = (await ask(SUMMARY, **asked))["data"]["tenant"]["usageSummary"]
    totals = {each["metric"]: each["value"] for each in summary["metrics"]}
    start, end = (micros(datetime.fromisoformat(summary[each])) for each in ("start", "end"))
    where = json.dumps([shop.key, given, only, split, bucket])
    counted_in = [fact for fact in questions.facts if wanted(fact)]
    for metric in METRICS:
        right = summed(counted_in, metric, start, end)
        assert figure(totals[metric], metric) == right, (metric, where)
        of_metric = [each for each in series if each["metric"] == metric]
        assert sum(figure(each["total"], metric) for each in of_metric) == right, (metric, where)
        for each in of_metric:
            key = {part["dimension"]: part["value"] for part in each["key"]}
            assert list(key) == split

            rows = [
                fact for fact in counted_in
                if all(fact.by[name] == value for name, value in key.items())
            ]  # fmt: skip
            edges = [start]
            for point in each["points"]:
                since, until = (
                    micros(datetime.fromisoformat(point[at])) for at in ("start", "end")
                )
                assert since == edges[-1]
                edges.append(until)
                found = summed(rows, metric, since, until)
                assert figure(point["value"], metric) == found, (metric, key, point, where)
            assert edges[-1] == end
            assert each["compact"] == {
                "starts": [point["start"] for point in each["points"]],
                "values": [point["value"] for point in each["points"]],
            }
    of_filter = {
        name: tuple(only[field]) for name, field in FIELDS.items() if field in (only or {})
    }
    given_too = {"start": start, "end": end, "only": tuple(of_filter.items())}
    table = await files.table(shop, **given_too)
    assert {metric: figure(str(value), metric) for metric, value in table.items()} == {
        metric: figure(totals[metric], metric) for metric in table
    }, where
    metric = questions.picks.choice(METRICS)
    picture = await files.picture(shop, metric, bucket, split, **given_too)
    assert picture == Decimal(totals[metric]), (metric, where)
    cards = {name: int(card["value"]) for name, card in summary["cards"].items()}
    assert cards.pop("delivered") == sum(cards.values()) == int(totals["MESSAGES_OUT"]), where
    costs = {name: Decimal(cost["amount"]["value"]) for name, cost in summary["costs"].items()}
    assert costs["total"] == costs["initial"] + costs["topUp"] == Decimal(totals["COST"]), where
    opened = summary["conversations"]
    kinds = [int(opened[name]["value"]) for name in ("service", "businessInitiated")]
    by_category = sum(int(each["value"]) for each in opened["byCategory"])
    assert int(opened["total"]["value"]) == sum(kinds) == by_category, where


async def balances_agree(ask: Ask, shop: Shop, days: dict[str, Any]) -> None:
    """What lots paid by the day is what usage says that they did."""
    answer = await ask(BALANCES, tenant=shop.key, metrics=METRICS, range=days)
    summary = answer["data"]["tenant"]["usageSummary"]
    totals = {each["metric"]: Decimal(each["value"]) for each in summary["metrics"]}
    for is_money, metric in ((True, "COST"), (False, "UNITS")):
        of_kind = [
            each for each in summary["balances"]
            if (each["used"]["currency"] is not None) == is_money
        ]  # fmt: skip
        for part, suffix in (("initial", "INITIAL"), ("topUp", "TOP_UP")):
            paid = sum(Decimal(each[part]["value"]) for each in of_kind)
            assert paid == totals[f"{metric}_{suffix}"], (shop.key, days, metric, part)
        for each in of_kind:
            parts = Decimal(each["initial"]["value"]) + Decimal(each["topUp"]["value"])
            assert parts == Decimal(each["used"]["value"])


async def charges_agree(ask: Ask, shop: Shop, facts: list[Counted]) -> None:
    """The charges of all pages, what was reversed taken off, are all that it cost."""
    cost, after = Decimal(0), None
    while True:
        answer = await ask(CHARGES, tenant=shop.key, after=after)
        page = answer["data"]["tenant"]["charges"]
        for node in page["nodes"]:
            if node["amount"]["currency"] is not None:
                cost += (-1 if node["reversal"] else 1) * Decimal(node["amount"]["value"])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert cost * MILLION == sum(fact.figures["COST"] for fact in facts)
