"""Lines of usage in seeded worlds: what they come to is what was charged, to the last digit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from random import Random

import pytest

from domain.facts import Flag, Status, Type
from domain.lots import LotSource
from domain.money import charge, picos
from domain.periods import DAY, HOUR, MINUTE, Period, month_label, period, zone
from domain.plans import BalancePlan
from domain.usage_lines import Share, UsageLine, charged, prices_of, to_lines, usage_lines
from persistence import tenants
from persistence.actions import ActionKind
from persistence.connection import Connection, connect
from persistence.door import Door, tenant_scope
from persistence.servers import Servers
from persistence.standing import standing_of
from persistence.usage import Asked, Measure, Selection, sums
from persistence.usage_lines import USED, Used, used
from tests.conftest import Database, on
from tests.persistence.rows import TENANT, UNIT, WHATSAPP, Rows, rows_of
from tests.persistence.test_plans_of_queries import (
    LARGE,
    SMALL,
    explained,
    explained_generic,
    fill,
    read_whole,
)
from tests.scenarios.world import World
from tests.simulation.acting import Acting, fresh
from tests.simulation.world import world as seeded

STEPS = 150
#: Weeks late, with closings, what comes after them, refunds; 5 has calls over a month's end, and
#: the book changes in 8.
SEEDS = (3, 5, 8)

LOTS = """
select l.lot_id, b.key as balance, l.source, sum(d.used)::bigint as used
from lots l
join balances b on b.tenant_id = $1 and b.balance_id = l.balance_id
join lot_days d on d.tenant_id = $1 and d.lot_id = l.lot_id and d.day >= $2 and d.day < $3
where l.tenant_id = $1 group by 1, 2, 3 having sum(d.used) <> 0"""

COST = Selection(measures=(Measure.COST, Measure.UNITS))


@dataclass(frozen=True, slots=True)
class Month:
    """A period of a tenant as the books have it."""

    span: Period
    found: Used
    balances: dict[str, BalancePlan]
    by_lot: dict[int, int]  #: used, by the days of each lot
    by_balance: dict[str, int]
    cost: int
    units: int


async def months(world: World, name: str, since: int, until: int) -> list[Month]:
    """Every period of a tenant between two instants, the last one open."""
    owner = world.tenants[name]
    (record,) = (await tenants.find_by_ids(world.door, [owner.tenant_id])).values()
    standing = standing_of(world.catalogue, record)
    span, months = period(owner.zone, since), []
    while span.start <= until:
        async with world.door.tenant_tx(owner.tenant_id) as connection:
            found = await used(connection, owner.tenant_id, span)
        by_lot, by_balance = {}, Counter[str]()
        for row in await world.rows(name, LOTS, span.start, span.end):
            by_lot[row["lot_id"]] = row["used"]
            by_balance[row["balance"]] += row["used"]
        asked = Asked(tenant_id=owner.tenant_id, days=((span.start, span.end),))
        (series,) = await sums(world.door, COST, [asked])
        months.append(
            Month(
                span, found,
                {each.key: each for each in standing.balances(span, span.end - 1)},
                by_lot, dict(by_balance),
                sum(each.values[0] for each in series), sum(each.values[1] for each in series),
            )
        )  # fmt: skip
        span = period(owner.zone, span.end)
    return months


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_billed_and_covered_is_what_was_charged(
    servers: Servers, template: str, seed: int
) -> None:
    """FI-2, IN-5, IN-8, BA-5, BA-11: of settled worlds, by lot, by balance, and as series say."""
    of = seeded(seed, tenants=1, steps=STEPS, whole=True)
    (tenant,) = of.tenants
    chance = Random(f"{seed} lines")
    async with fresh(servers, template) as world:
        acting = Acting(world, tenant, tenant.setup["tenant"])
        await acting.begin()
        await acting.take(of.arrivals(tenant, "weeks"))
        world.clock.at = of.end
        await acting.settle()
        prices = prices_of(world.catalogue.books.values())
        for month in await months(world, acting.name, of.start, of.end):
            found = month.found
            assert by_lot(found) == month.by_lot
            money = {key for key, each in month.balances.items() if each.kind == "money"}
            drawn = [one for one in found.drawn if one.balance in money]
            assert sum(one.taken for one in drawn) == month.cost
            assert sum(one.units for one in found.drawn) == month.units
            for _ in range(4):
                balances = {key: kind(chance, each) for key, each in month.balances.items()}
                lines = usage_lines(found.drawn, found.overdrafts, balances, prices)
                check(lines, month, balances)


def by_lot(found: Used) -> dict[int, int]:
    taken = Counter[int]()
    for one in found.drawn:
        taken[one.lot_id] += one.taken
    return {lot_id: amount for lot_id, amount in taken.items() if amount}


def kind(chance: Random, balance: BalancePlan) -> BalancePlan:
    """The same balance as another plan might have it."""
    if balance.kind == "money":
        return replace(balance, credit_limit=chance.choice((0, 5_000_000)))
    return replace(balance, overage_price=chance.choice((None, 0, picos("0.123456789012"))))


def check(lines: Iterable[UsageLine], month: Month, balances: dict[str, BalancePlan]) -> None:
    shares = charged(lines)
    assert {key: sum(each.values()) for key, each in shares.items()} == month.by_balance
    keys = [(line.balance, line.category, line.market, line.rule, line.share) for line in lines]
    assert len(set(keys)) == len(keys)
    owed: defaultdict[str, int] = defaultdict(int)
    for overdraft in month.found.overdrafts:
        owed[overdraft.balance] += overdraft.owed
    for key, balance in balances.items():
        own = [line for line in lines if line.balance == key]
        for line in own:
            assert (line.charged > 0) == (line.share is not Share.BEFORE)
            assert line.exact >= 0
        asked = sum(line.exact for line in own if line.share in (Share.ASKED, Share.BEFORE))
        beyond = sum(
            line.charged for line in own if line.share not in (Share.COVERED, Share.BEFORE)
        )
        if balance.kind == "money" and balance.credit_limit:
            assert asked == max(owed[key], 0), key
        else:
            price = balance.overage_price or 0
            assert asked == charge(price, max(owed[key], 0) - beyond)
            assert beyond <= max(owed[key], 0)
    listed = to_lines(lines, "USD", None)
    assert len(listed) == sum(line.invoiced for line in lines)


OCTOBER = period(zone("Asia/Jakarta"), zone("Asia/Jakarta").month_bounds(month_label(2026, 10))[0])
NOVEMBER = period(zone("Asia/Jakarta"), OCTOBER.end)
PAID, BEYOND = 1, 2  # lots


@pytest.fixture
async def rows(owner_url: str) -> AsyncIterator[Rows]:
    """A tenant with a top-up, a lasting overdraft, and a closed October."""
    async with rows_of(owner_url) as rows:
        await rows.tenant()
        await rows.add("rules", rule="book@2026-10-01/marketing")
        await rows.lot(PAID, LotSource.TOP_UP, 99, starts_at=0)
        await rows.lot(BEYOND, LotSource.OVERDRAFT, 0, starts_at=0, month=0, balance_id=WHATSAPP)
        await close(rows, OCTOBER, at=OCTOBER.end + 3 * DAY, version=5)
        yield rows


@pytest.fixture
async def door(app_url: str) -> AsyncIterator[Door]:
    async with Door.open(app_url, size=1) as door:
        yield door


async def close(rows: Rows, span: Period, *, at: int, version: int) -> None:
    """A closing as it is stored."""
    await rows.add(
        "periods", tenant_id=TENANT, month=span.label, starts_at=span.start, ends_at=span.end,
        closed_at=at,
    )  # fmt: skip
    await rows.add(
        "actions", tenant_id=TENANT, idempotency_key=f"close-{span.label}",
        kind=ActionKind.PERIOD_CLOSE.value, content=b"", at=at, version=version,
        body=f'{{"closed_until": {span.end}}}',
    )  # fmt: skip


async def fact(rows: Rows, key: bytes, at: int, **values: object) -> None:
    """A fact that the top-up paid one unit of, unless told otherwise."""
    await rows.fact(key, at, lot_id=PAID, amount=1, rule_id=await rule(rows))
    if values:
        sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(values, 2))
        await rows.connection.execute(
            f"update facts set {sets} where key = $1", key, *values.values()
        )


async def rule(rows: Rows) -> int:
    found: int = await rows.connection.fetchval(
        "select rule_id from rules where rule = 'book@2026-10-01/marketing'"
    )
    return found


async def taken(door: Door, span: Period, tenant_id: int = TENANT) -> int:
    """How many whole units lots paid in a period."""
    async with door.tenant_tx(tenant_id) as connection:
        found = await used(connection, tenant_id, span)
    return sum(one.taken for one in found.drawn) // UNIT


async def both(door: Door) -> tuple[int, int]:
    return await taken(door, OCTOBER), await taken(door, NOVEMBER)


async def test_a_period_is_half_open(rows: Rows, door: Door) -> None:
    """TZ-4: its first instant is inside, its end is not; another tenant's are nobody's."""
    for key, at in enumerate((OCTOBER.start - 1, OCTOBER.start, OCTOBER.end - 1, OCTOBER.end)):
        await fact(rows, bytes([key]), at)

    assert await both(door) == (2, 1)
    assert await taken(door, OCTOBER, TENANT + 1) == 0


async def test_a_call_belongs_to_the_period_it_began_in(rows: Rows, door: Door) -> None:
    """VO-1: row, lots and period go by the start, to the microsecond."""
    call = {"type": Type.CALL_ENDED.value, "data": '{"seconds": 599.5}'}  # 600 are counted
    await fact(rows, b"a", OCTOBER.end + 10 * MINUTE - 1, **call)
    await fact(rows, b"b", OCTOBER.end + 10 * MINUTE, **call)
    await fact(rows, b"c", OCTOBER.start + 10 * MINUTE - 1, **call)
    await fact(rows, b"d", OCTOBER.end + MINUTE, data='{"seconds": 600}')  # no call

    assert await both(door) == (1, 2)


async def test_what_is_adjusted_belongs_where_it_was_paid(rows: Rows, door: Door) -> None:
    """EV-3: of a closed period, in the period whose lots paid; with what was unrated till then."""
    adjusted = {"status": Status.ADJUSTED.value, "arrived_at": NOVEMBER.start + 5 * DAY}
    await fact(rows, b"a", OCTOBER.start + DAY, **adjusted)
    assert await both(door) == (0, 1)

    for key, arrived_at, version in (
        (b"b", OCTOBER.start + 2 * DAY, 6),  # the rate came when October was closed
        (b"c", OCTOBER.start + 2 * DAY, 9),  # and November
        (b"d", NOVEMBER.end + HOUR, 6),  # it came itself behind November's end
    ):
        at = OCTOBER.start + DAY
        await rows.fact(key, at, status=Status.UNRATED)
        await rows.connection.execute(
            "update facts set arrived_at = $2 where key = $1", key, arrived_at
        )
        for revision, status in ((1, Status.UNRATED), (2, Status.ADJUSTED), (3, Status.ADJUSTED)):
            await rows.add(
                "revisions", tenant_id=TENANT, at=at, key=key, revision=revision,
                version=version + (-1, 0, 10)[revision - 1], status=status.value, flags=0,
            )  # fmt: skip
        await rows.charge(key, at, 0, {PAID: 1}, revision=2, rule_id=await rule(rows))
    await close(rows, NOVEMBER, at=NOVEMBER.end + 3 * DAY, version=8)

    assert await both(door) == (0, 2)
    december = period(zone("Asia/Jakarta"), NOVEMBER.end)
    assert await taken(door, december) == 2


async def test_what_settling_found_unrated_is_paid_where_its_rate_came(
    rows: Rows, door: Door
) -> None:
    """EV-3, EV-9: what it cost before, and its reversal, belong to its time."""
    at, of = OCTOBER.start + DAY, await rule(rows)
    await fact(rows, b"a", at)
    await rows.charge(b"a", at, 0, {PAID: 1}, reversal=True, rule_id=of)
    for revision, status in ((1, Status.UNRATED), (2, Status.ADJUSTED), (3, Status.ADJUSTED)):
        await rows.add(
            "revisions", tenant_id=TENANT, at=at, key=b"a", revision=revision,
            version=5 + revision, status=status.value, flags=0,
        )  # fmt: skip
    await rows.charge(b"a", at, 0, {PAID: 4}, revision=2, rule_id=of)
    await rows.charge(b"a", at, 0, {PAID: 4}, revision=2, reversal=True, rule_id=of)
    await rows.charge(b"a", at, 0, {PAID: 3}, revision=3, rule_id=of)

    assert await both(door) == (0, 3)


async def test_what_was_rated_later_and_is_open_belongs_to_its_time(rows: Rows, door: Door) -> None:
    """EV-7: unrated, then rated while its period was open."""
    await rows.fact(b"a", NOVEMBER.start + DAY, status=Status.UNRATED)
    await rows.add(
        "revisions", tenant_id=TENANT, at=NOVEMBER.start + DAY, key=b"a", revision=1, version=7,
        status=Status.ACCEPTED.value, flags=0,
    )  # fmt: skip
    await rows.charge(
        b"a", NOVEMBER.start + DAY, 0, {PAID: 3}, revision=1, rule_id=await rule(rows)
    )

    assert await both(door) == (0, 3)


async def test_charges_stand_as_the_latest_revision_says(rows: Rows, door: Door) -> None:
    """EV-9: what was reversed is none, by whichever lot; units are where the last leg is."""
    at, of = OCTOBER.start + DAY, await rule(rows)
    await fact(rows, b"a", at)
    await rows.charge(b"a", at, 0, {PAID: 1}, reversal=True, rule_id=of)
    await rows.charge(
        b"a", at, 0, {PAID: 2, BEYOND: 5}, revision=1, balance_id=WHATSAPP, rule_id=of
    )
    await rows.lot(
        3, LotSource.OVERDRAFT, 0, starts_at=0, ends_at=OCTOBER.start, month=OCTOBER.label - 1
    )
    await rows.lot_day(3, OCTOBER.start - DAY, used=7)  # of a period that is over
    await rows.lot_day(BEYOND, OCTOBER.start - DAY, used=3, moved=-1)
    await rows.lot_day(BEYOND, OCTOBER.start, used=5)
    await rows.lot_day(BEYOND, OCTOBER.end - DAY, moved=-4)
    await rows.lot_day(BEYOND, OCTOBER.end, used=50, moved=-60)
    await rows.fact(b"f", at, flags=Flag.FURTHER)

    async with door.tenant_tx(TENANT) as connection:
        found = await used(connection, TENANT, OCTOBER)

    assert sorted((one.lot_id, one.taken, one.units, one.charges) for one in found.drawn) == [
        (PAID, 2 * UNIT, 0, 0), (BEYOND, 5 * UNIT, UNIT, 1)
    ]  # fmt: skip
    assert {(one.balance, one.category, one.market, one.rule) for one in found.drawn} == {
        ("whatsapp", "marketing", "ID", "book@2026-10-01/marketing")
    }
    (owed,) = found.overdrafts
    assert (owed.before, owed.used, owed.moved) == (2 * UNIT, 5 * UNIT, -4 * UNIT)
    assert owed.owed == 3 * UNIT


async def test_what_is_owed_is_told_without_usage(rows: Rows, door: Door) -> None:
    """IN-8: a postpaid balance's negative part is asked for, whenever it came about."""
    await rows.lot_day(BEYOND, OCTOBER.start - DAY, used=3)

    async with door.tenant_tx(TENANT) as connection:
        found = await used(connection, TENANT, OCTOBER)

    assert found.drawn == ()
    assert [one.owed for one in found.overdrafts] == [3 * UNIT]


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    connection = await connect(database.app_url)
    await connection.execute(f"begin; {tenant_scope((1, 2, 3))}")
    yield connection
    await connection.close()


async def test_a_period_is_read_by_index(database: Database, connection: Connection) -> None:
    """No growing table is read whole, and of a tenant's facts only those of the period."""
    arguments = (3, OCTOBER.start, OCTOBER.end, OCTOBER.label, True)
    for state in ("empty", "filled", "analyzed"):
        if state == "filled":
            await fill(database)
        if state == "analyzed":
            await on(database.owner_url, "analyze")
        forbidden = LARGE if state == "empty" else LARGE | SMALL

        for plan in (
            await explained(connection, USED, arguments),
            await explained_generic(connection, USED, arguments),
        ):
            assert not set(read_whole(plan)) & forbidden, (state, plan)
