"""Series, summary, balances and charges agree to the last digit, whatever one asks (FI-2).

Random traffic with late and repeated facts, settled, a period of it closed and facts adjusted, in
zones where the clocks go back on the way and of a tenant that moves; then random questions, each
asked in every way there is, beside the sums of the charges that stand.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from api.context import Context
from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.rights import ALL_SCOPES, Principal
from api.settling import Cause, Settling
from api.usage import ask, only, question_of, selection_of
from domain.facts import CHANNEL_NAMES, Type
from domain.periods import DAY, Interval, Unit, Zone, buckets, instant, iso, month_label
from domain.ranges import before
from persistence.live import Live
from persistence.servers import Servers
from persistence.tenants import find_by_ids
from persistence.usage import Dimension, Measure
from persistence.valkey import client
from tests.api.schema.conftest import NOBODY, SCHEMA, Query
from tests.conftest import named, on
from tests.persistence.traffic import END, NOW, PLANS, START, TENANTS, TopUp, traffic
from tests.scenarios.world import Json, World

#: London's clocks go back on 25 October, New York's on 1 November: both are on the way.
SHIFT = 150 * DAY
FIRST, LAST, TODAY = START + SHIFT, END + SHIFT, NOW + SHIFT
ZONES = ("Europe/London", "America/New_York", "Asia/Kathmandu")
OCTOBER = month_label(2026, 10)
MOVES = TENANTS[2]  #: to Bogota, with its November
CLOSED = TENANTS[0]

BUCKETS: tuple[Unit, ...] = ("hour", "day", "week", "month")
FIELDS = {
    "numbers": Dimension.NUMBER, "channels": Dimension.CHANNEL, "countries": Dimension.COUNTRY,
    "directions": Dimension.DIRECTION, "categories": Dimension.CATEGORY, "users": Dimension.USER,
    "broadcasts": Dimension.BROADCAST,
}  # fmt: skip
PAID = {
    Measure.COST_INITIAL: "initial_cost", Measure.COST_TOP_UP: "top_up_cost",
    Measure.UNITS_INITIAL: "initial_units", Measure.UNITS_TOP_UP: "top_up_units",
}  # fmt: skip

STANDING = """
select case f.status when 3 then f.arrived_at else f.at end as at, f.type, n.address, n.channel,
    coalesce(f.country, '') as country, coalesce(f.category, '') as category,
    coalesce(f.data::json ->> 'user', '') as agent,
    coalesce(f.data::json ->> 'broadcast', '') as broadcast,
    coalesce(sum(leg.taken) filter (where b.currency is null and l.source = 1), 0)::bigint
        as initial_units,
    coalesce(sum(leg.taken) filter (where b.currency is null and l.source <> 1), 0)::bigint
        as top_up_units,
    coalesce(sum(leg.taken) filter (where b.currency is not null and l.source = 1), 0)::bigint
        as initial_cost,
    coalesce(sum(leg.taken) filter (where b.currency is not null and l.source <> 1), 0)::bigint
        as top_up_cost
from facts f
join numbers n on n.tenant_id = f.tenant_id and n.number_id = f.number_id
cross join lateral (
    select coalesce(max(revision), 0) as revision from revisions
    where tenant_id = f.tenant_id and at = f.at and key = f.key
) v
cross join lateral (
    select array[f.lot_id] as lots, array[f.amount] as taken
    where v.revision = 0 and f.lot_id is not null
    union all
    select lots, taken from charges
    where tenant_id = f.tenant_id and at = f.at and key = f.key and not reversal
        and revision = v.revision and amount <> 0
) c
cross join lateral unnest(c.lots, c.taken) leg (lot_id, taken)
join lots l on l.tenant_id = f.tenant_id and l.lot_id = leg.lot_id
join balances b on b.tenant_id = f.tenant_id and b.balance_id = l.balance_id
where f.tenant_id = $1
group by f.at, f.key, f.status, f.arrived_at, f.type, n.address, n.channel, f.country, f.category,
    f.data"""


@dataclass(frozen=True, slots=True)
class Paid:
    """What the charges of one fact that stand took, and by which dimensions it counts."""

    at: int  #: when it counts: when it happened or, adjusted, when it came
    values: dict[Dimension, str]
    sums: dict[Measure, int]


@pytest.fixture(scope="module")
async def world(servers: Servers, template: str) -> AsyncIterator[World]:
    """All that happened, settled; what was late for the closed month is adjusted."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    assert addresses.redis_url is not None
    await on(addresses.owner_url, f"create database agreement template {template}")
    async with World.open(named(addresses.app_url, "agreement"), addresses.redis_url) as world:
        await happen(world)
        yield world
    await on(addresses.owner_url, "drop database agreement with (force)")


async def happen(world: World) -> None:
    world.clock.at = FIRST
    for tenant, zone, plan in zip(TENANTS, ZONES, PLANS, strict=True):
        await world.tenant(tenant, timezone=zone, plan=plan)
        await world.number(tenant, "wa", "whatsapp", "+62 800 0000 01")
        await world.number(tenant, "wa2", "whatsapp", "+62 800 0000 02", "Asia/Jayapura")
        await world.number(tenant, "ig", "instagram", "shop")
    await world.change_zone(MOVES, "America/Bogota", key="moves")
    # Allowances that are used up on the way, so that each kind is paid from both sides.
    for tenant, balance, amount in (
        (TENANTS[0], "whatsapp", 1_500), (TENANTS[1], "whatsapp", 900), (MOVES, "conversations", 9),
    ):  # fmt: skip
        first = world.tenants[tenant].zone.date(FIRST)
        await world.allow(tenant, balance, amount * 1_000_000, since=first, key="allowance")
    world.clock.at = TODAY
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    late: list[Json] = []
    waiting: list[Json | bytes] = []
    for n, step in enumerate(traffic(23, 700)):
        if isinstance(step, TopUp):
            await world.send(waiting)
            waiting.clear()
            await replace(step, starts_at=step.starts_at + SHIFT).make(world)
            continue
        event = {**step, "time": iso(instant(datetime.fromisoformat(step["time"])) + SHIFT)}
        if n % 9 == 0 and event["subject"] == CLOSED:
            late.append(event)
        else:
            waiting.append(event)
    await world.send(waiting)
    for tenant in TENANTS:
        await settling.settle(world.tenants[tenant].tenant_id, Cause.DEMAND)
    request = PeriodClose(tenant=CLOSED, period=OCTOBER, idempotency_key="close")
    await period_close.run(world.door, settling, request, now=TODAY)
    assert late
    await world.send(late)
    await settling.settle(world.tenants[CLOSED].tenant_id, Cause.DEMAND)


@pytest.fixture
async def asking(world: World, servers: Servers) -> AsyncIterator[Callable[..., Any]]:
    """Ask a tenant for fields, with every right, at the end of all that happened."""
    valkey = client(servers.addresses.redis_url or "")
    live = Live(valkey, world.door, world.rebuild)

    async def asked(tenant: str, fields: str) -> dict[str, Any]:
        tenant_id = world.tenants[tenant].tenant_id
        records = await find_by_ids(world.door, [tenant_id])
        context = Context(
            principal=Principal("tenant", tenant_id, tenant, ALL_SCOPES, None), door=world.door,
            catalogue=world.catalogue, intake=NOBODY, authenticator=NOBODY, now=TODAY,
            request_id="r", show=NOBODY, live=live, hub=NOBODY, settling=NOBODY, signing=NOBODY,
            public_url="", desk=NOBODY, directory=NOBODY, valkey=NOBODY, paying=NOBODY,
        )  # fmt: skip
        answer = await SCHEMA.execute(
            "{ tenant { %s } }" % fields,  # noqa: UP031 - braces are GraphQL's
            root_value=Query(owner=records[tenant_id]),
            context_value=context,
        )
        assert not answer.errors, answer.errors
        assert answer.data is not None
        found: dict[str, Any] = answer.data["tenant"]
        return found

    yield asked
    await valkey.aclose()


async def paid(world: World, tenant: str) -> list[Paid]:
    rows = await world.rows(tenant, STANDING)
    return [
        Paid(
            at=row["at"],
            values={
                Dimension.NUMBER: row["address"],
                Dimension.CHANNEL: CHANNEL_NAMES[row["channel"]],
                Dimension.COUNTRY: row["country"],
                Dimension.DIRECTION: "in" if row["type"] == Type.MESSAGE_RECEIVED else "out",
                Dimension.CATEGORY: row["category"],
                Dimension.USER: row["agent"],
                Dimension.BROADCAST: row["broadcast"],
            },
            sums={measure: row[name] for measure, name in PAID.items()},
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A random question."""

    start: int
    end: int
    bucket: Unit
    narrowed: dict[str, list[str]]
    split: list[Dimension]

    @property
    def range(self) -> str:
        return f'{{instants: {{start: "{iso(self.start)}", end: "{iso(self.end)}"}}}}'

    @property
    def filter(self) -> str:
        fields = ", ".join(
            f"{name}: {str(values).replace(chr(39), chr(34))}"
            for name, values in self.narrowed.items()
        )
        return f"{{{fields}}}"

    def holds(self, fact: Paid) -> bool:
        """Whether a fact is what it asks for."""
        return self.start <= fact.at < self.end and all(
            fact.values[FIELDS[name]] in values for name, values in self.narrowed.items()
        )


def questions(chance: random.Random, zone: Zone, facts: list[Paid], count: int) -> Iterator[Wanted]:
    """Ranges of whole hours and of whole days, from hours to the whole time, narrowed and split."""
    for n in range(count):
        start, end = sorted(chance.randrange(FIRST - DAY, LAST + DAY) for _ in range(2))
        start, end = zone.hour_start(start), zone.next_hour(end)
        if n % 3 == 0:
            start, end = zone.day_start(start), zone.next_day(end)
        names = chance.sample(sorted(FIELDS), chance.choice((0, 0, 1, 1, 2)))
        narrowed = {}
        for name in names:
            known = sorted({fact.values[FIELDS[name]] for fact in facts} - {""})
            some = chance.sample(known, chance.randint(1, min(2, len(known)))) if known else []
            narrowed[name] = some if name in ("directions", "channels") else [*some, "else"]
            if name not in ("directions", "channels", "numbers") and chance.random() < 0.3:
                narrowed[name].append("")
        yield Wanted(
            start=start,
            end=end,
            bucket=chance.choice(BUCKETS),
            narrowed=narrowed,
            split=chance.sample(list(Dimension), chance.choice((0, 1, 2))),
        )


ALL = ", ".join(measure.name for measure in Measure)
QUERY = """
series: usageSeries(metrics: [{all}], range: {range}, bucket: {bucket}, filter: {filter},
    groupBy: [{split}], compare: true) {{
  metric total points {{ start end value }} compact {{ values }}
  previous {{ start end total toDate compact {{ values }} }}
}}
summary: usageSummary(range: {range}, filter: {filter}, compare: true) {{
  previous {{ start end reach }}
  metrics(only: [{all}]) {{ metric value previous toDate }}
  costs {{ total {{ amount {{ value }} }} initial {{ amount {{ value }} }}
    topUp {{ amount {{ value }} }} }}
  cards {{ delivered {{ value }} }}
  conversations {{ total {{ value }} service {{ value }} businessInitiated {{ value }}
    byCategory {{ value }} }}
}}"""


def added(values: Any) -> Decimal:
    return sum((Decimal(value) for value in values if value is not None), Decimal(0))


@pytest.mark.parametrize("tenant", TENANTS)
async def test_whatever_one_asks_the_sums_are_the_same(
    world: World, asking: Callable[..., Any], tenant: str
) -> None:
    """FI-2: points add up to the total, lines to the summary, and costs to what charges took."""
    chance = random.Random(tenant)
    zone = world.tenants[tenant].zone
    facts = await paid(world, tenant)
    seen: set[Measure] = set()
    for wanted in questions(chance, zone, facts, 16):
        found = await asking(
            tenant,
            QUERY.format(
                all=ALL, range=wanted.range, bucket=wanted.bucket.upper(), filter=wanted.filter,
                split=", ".join(dimension.name for dimension in wanted.split),
            ),
        )  # fmt: skip
        lines: dict[str, list[Any]] = defaultdict(list)
        for series in found["series"]:
            lines[series["metric"]].append(series)
            assert added(series["compact"]["values"]) == Decimal(series["total"]), wanted
            edges = [(point["start"], point["end"]) for point in series["points"]]
            assert edges == [
                (iso(a), iso(b))
                for a, b in buckets(zone, wanted.bucket, wanted.start, wanted.end)
            ]  # fmt: skip
        summary = found["summary"]
        figures = {each["metric"]: each for each in summary["metrics"]}
        assert list(figures) == [measure.name for measure in Measure]
        for metric, figure in figures.items():
            of = lines[metric]
            assert added(each["total"] for each in of) == Decimal(figure["value"]), wanted
            previous = [each["previous"] for each in of]
            assert added(each["total"] for each in previous) == Decimal(figure["previous"])
            assert added(each["toDate"] for each in previous) == Decimal(figure["toDate"])
        for measure in PAID:
            charged = sum(fact.sums[measure] for fact in facts if wanted.holds(fact))
            assert Decimal(figures[measure.name]["value"]).scaleb(6) == charged, (wanted, measure)
            seen |= {measure} if charged else set()
        costs = [Decimal(each["amount"]["value"]) for each in summary["costs"].values()]
        assert costs[0] == costs[1] + costs[2] == Decimal(figures["COST"]["value"])
        assert summary["cards"]["delivered"]["value"] == figures["MESSAGES_OUT"]["value"]
        opened = summary["conversations"]
        assert Decimal(opened["total"]["value"]) == added(
            opened[side]["value"] for side in ("service", "businessInitiated")
        ) == added(each["value"] for each in opened["byCategory"])  # fmt: skip
    assert Measure.UNITS_INITIAL in seen
    assert tenant != CLOSED or seen == {*PAID}


@pytest.mark.parametrize("tenant", TENANTS)
async def test_what_was_before_is_what_one_finds_by_asking_for_it(
    world: World, asking: Callable[..., Any], tenant: str
) -> None:
    """FI-2: a comparison has the figures of the range before, and of as much of it as passed."""
    chance = random.Random(f"before {tenant}")
    zone = world.tenants[tenant].zone
    for wanted in questions(chance, zone, await paid(world, tenant), 8):
        query = "usageSummary(range: %s, filter: %s%s) { %s metrics(only: [%s]) { %s } }"
        now = await asking(
            tenant,
            query
            % (wanted.range, wanted.filter, ", compare: true", "previous { start end reach }", ALL,
               "previous toDate"),
        )  # fmt: skip
        summary = now["usageSummary"]
        start, end, reach = summary["previous"].values()
        assert (start, end) == (
            iso(before(zone, wanted.start, wanted.end)[0]), iso(wanted.start)
        )  # fmt: skip
        for until, field in ((end, "previous"), (reach, "toDate")):
            if until == start:
                assert {each[field] for each in summary["metrics"]} == {"0"}
                continue
            then = f'{{instants: {{start: "{start}", end: "{until}"}}}}'
            found = await asking(tenant, query % (then, wanted.filter, "", "", ALL, "value"))
            assert [each["value"] for each in found["usageSummary"]["metrics"]] == [
                each[field] for each in summary["metrics"]
            ], wanted


@pytest.mark.parametrize("tenant", TENANTS)
async def test_balances_paid_what_usage_cost(
    world: World, asking: Callable[..., Any], tenant: str
) -> None:
    """FI-2, FI-5: by whole days, lots were taken what the rollups say, apart and together; those of
    the month are what the balances show."""
    zone = world.tenants[tenant].zone
    days = buckets(zone, "day", zone.day_start(FIRST), zone.next_day(LAST))
    chance = random.Random(f"balances {tenant}")
    names = "COST_INITIAL, COST_TOP_UP, UNITS_INITIAL, UNITS_TOP_UP"
    query = (
        "usageSummary(range: %s) { metrics(only: [%s]) { value } balances { key name "
        "initial { value currency } topUp { value } used { value } } }"
    )
    for _ in range(12):
        first, last = sorted(chance.choices(range(len(days)), k=2))
        bounds: Interval = (days[first][0], days[last][1])
        then = f'{{instants: {{start: "{iso(bounds[0])}", end: "{iso(bounds[1])}"}}}}'
        summary = (await asking(tenant, query % (then, names)))["usageSummary"]
        money = [b for b in summary["balances"] if b["initial"]["currency"]]
        units = [b for b in summary["balances"] if not b["initial"]["currency"]]
        assert [Decimal(each["value"]) for each in summary["metrics"]] == [
            added(balance[side]["value"] for balance in of)
            for of in (money, units) for side in ("initial", "topUp")
        ]  # fmt: skip
    found = await asking(
        tenant,
        query % ("{preset: THIS_MONTH}", names)
        + "balances { key initial { used { value } } topUp { used { value } } used { value } }",
    )
    shown = {balance["key"]: balance for balance in found["balances"]}
    assert {balance["key"] for balance in found["usageSummary"]["balances"]} == set(shown)
    for balance in found["usageSummary"]["balances"]:
        other = shown[balance["key"]]
        assert balance["initial"]["value"] == other["initial"]["used"]["value"], balance
        assert balance["topUp"]["value"] == other["topUp"]["used"]["value"], balance
        assert balance["used"] == other["used"], balance


async def test_a_chart_or_report_that_asks_has_the_lines_of_the_series(
    world: World, asking: Callable[..., Any]
) -> None:
    """FI-2: one question in two selections, and of two tenants at once."""
    selections = (
        selection_of([Measure.MESSAGES_OUT, Measure.COST], [Dimension.CATEGORY]),
        selection_of([Measure.CONVERSATIONS], (), only(directions=["out"])),
    )
    asked = []
    for tenant in (TENANTS[1], CLOSED):
        owner = world.tenants[tenant]
        start, end = owner.zone.day_start(FIRST), owner.zone.next_day(LAST)
        asked += [
            question_of(
                zone=owner.zone, tenant_id=owner.tenant_id, now=TODAY, start=start, end=end,
                bucket="week", selection=selection,
            )
            for selection in selections
        ]  # fmt: skip
    answers = await ask(world.door, asked)

    for n, tenant in enumerate((TENANTS[1], CLOSED)):
        question = asked[2 * n]
        given = f'{{instants: {{start: "{iso(question.start)}", end: "{iso(question.end)}"}}}}'
        found = await asking(
            tenant,
            f"split: usageSeries(metrics: [MESSAGES_OUT, COST], range: {given}, bucket: WEEK, "
            "groupBy: [CATEGORY]) { metric key { value } total compact { values } } "
            f"out: usageSeries(metrics: [CONVERSATIONS], range: {given}, bucket: WEEK, "
            'filter: {directions: ["out"]}) { metric key { value } total compact { values } }',
        )
        for answer, shown in zip(answers[2 * n : 2 * n + 2], found.values(), strict=True):
            assert [
                {
                    "metric": line.measure.name, "key": [{"value": value} for value in line.key],
                    "total": line.total(), "compact": {"values": line.values(answer.frame)},
                }
                for line in answer.lines
            ] == shown  # fmt: skip
