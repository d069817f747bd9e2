"""What commits leave behind: the same figures however facts were split, and a chain over them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from domain.ledger import PAY_OFF, USE
from domain.rollup import USAGE
from tests.persistence.traffic import TENANTS, arrive, settle_in
from tests.scenarios.world import World

SEED, EVENTS = 11, 240

#: What must not depend on how facts were split into commits; `version` and the clock's instants do.
TABLES = {
    "facts": "select key, at, number_id, units, amount, type, status, balance_id, flags, rule_id,"
    " lot_id, party, category, market, country, data from facts where tenant_id = $1",
    "charges": "select key, at, part, balance_id, rule_id, units, amount, flags, lots, taken"
    " from charges where tenant_id = $1",
    "lots": "select * from lots where tenant_id = $1",
    "lot_days": "select * from lot_days where tenant_id = $1",
    "contacts": "select * from contacts where tenant_id = $1",
    "counters": "select * from counters where tenant_id = $1",
    "messages": "select * from messages where tenant_id = $1",
    "periods": "select * from periods where tenant_id = $1",
    "conflicts": "select * from conflicts where tenant_id = $1",
    "usage_hour": "select * from usage_hour where tenant_id = $1",
    "usage_day": "select * from usage_day where tenant_id = $1",
    "broadcast_recipients": "select * from broadcast_recipients where tenant_id = $1",
    "broadcasts": "select * from broadcasts where tenant_id = $1",
    "user_activity": "select * from user_activity where tenant_id = $1",
    "transfers": "select balance_id, account, cause, sum(amount) as amount from ("
    " select balance_id, debit as account, cause, -amount as amount from transfers"
    " where tenant_id = $1 union all"
    " select balance_id, credit, cause, amount from transfers where tenant_id = $1"
    ") t group by 1, 2, 3 having sum(amount) <> 0",
    "alerts": "select row_number() over (order by version, line) as place, balance_id, kind,"
    " measure, threshold, remaining, base, at, cause, cause_id from alerts where tenant_id = $1",
    "head": "select last_lot, next_due, unsettled_from, below from tenant_head"
    " where tenant_id = $1",
}

Figures = dict[str, dict[str, list[str]]]


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    async with World.open(app_url, redis_url) as world:
        await settle_in(world)
        yield world


async def replay(world: World, size: int, *, processes: int) -> Figures:
    """Send the traffic in requests of `size` events, in turn to as many processes; what is stored.

    Each process remembers the states of what it committed; with several, another one has mostly
    committed since, and what is remembered is of no use.
    """
    intakes = [world.intake, *[await world.process() for _ in range(processes - 1)]]
    await arrive(world, SEED, EVENTS, size, intakes)
    return await stored(world)


async def stored(world: World) -> Figures:
    return {
        tenant: {
            table: sorted(repr(dict(row)) for row in await world.rows(tenant, query))
            for table, query in TABLES.items()
        }
        for tenant in TENANTS
    }


@pytest.fixture(scope="module")
def once() -> dict[str, Figures]:
    """The figures of one clean run, for all splits to be compared with."""
    return {}


@pytest.mark.parametrize(
    ("size", "processes"), [(1000, 1), (7, 1), (7, 2), (1, 1), (1, 2), (1000, 2)]
)
async def test_figures_do_not_depend_on_the_split(
    world: World, once: dict[str, Figures], size: int, processes: int
) -> None:
    """EV-4, BA-10, AL-5: one by one, by sevens or at once, with states remembered or not."""
    figures = await replay(world, size, processes=processes)

    first = once.setdefault("figures", figures)
    for table in TABLES:
        assert any(first[tenant][table] for tenant in TENANTS), f"the traffic has no {table}"
        for tenant in TENANTS:
            assert figures[tenant][table] == first[tenant][table], f"{tenant}: {table}"
    for tenant in TENANTS:
        await check_ledger(world, tenant)
        await check_chain(world, tenant)


async def check_ledger(world: World, tenant: str) -> None:
    """BA-9, BA-10: every figure of a lot is the sum of what moved it, in each of the places."""
    lots = {
        row["lot_id"]: row
        for row in await world.rows(tenant, "select * from lots where tenant_id = $1")
    }
    accounts: dict[str, int] = {}
    by_cause: dict[tuple[str, int], int] = {}
    for row in await world.rows(tenant, "select * from transfers where tenant_id = $1"):
        for account, amount in ((row["debit"], -row["amount"]), (row["credit"], row["amount"])):
            accounts[account] = accounts.get(account, 0) + amount
            cause = (account, row["cause"])
            by_cause[cause] = by_cause.get(cause, 0) + amount
    assert sum(accounts.values()) == 0
    legs = await used_by_facts(world, tenant)
    days = {
        row["lot_id"]: (row["used"], row["moved"])
        for row in await world.rows(
            tenant,
            "select lot_id, sum(used)::bigint as used, sum(moved)::bigint as moved"
            " from lot_days where tenant_id = $1 group by lot_id",
        )
    }
    for lot_id, lot in lots.items():
        remaining = lot["amount"] - lot["used"] - lot["moved"] - lot["lapsed"]
        assert accounts.get(f"lot/{lot_id}", 0) == remaining
        assert -by_cause.get((f"lot/{lot_id}", USE), 0) == lot["used"] == legs.get(lot_id, 0)
        assert -by_cause.get((f"lot/{lot_id}", PAY_OFF), 0) == lot["moved"]
        assert days.get(lot_id, (0, 0)) == (lot["used"], lot["moved"])
        assert remaining >= 0 or lot["source"] == 5
    assert accounts["usage"] == sum(legs.values())
    await check_rollups(world, tenant)


async def used_by_facts(world: World, tenant: str) -> dict[int, int]:
    """What each lot paid, by the legs that stand with the facts, less what was reversed."""
    legs: dict[int, int] = {}
    for row in await world.rows(
        tenant,
        "select lot_id, amount from facts where tenant_id = $1 and lot_id is not null"
        " union all select leg.lot_id, case when reversal then -leg.taken else leg.taken end"
        " from charges,"
        " unnest(lots, taken) leg (lot_id, taken) where tenant_id = $1",
    ):
        legs[row["lot_id"]] = legs.get(row["lot_id"], 0) + row["amount"]
    return legs


# FI-5: what lots paid, apart by where they came from.
PAID = """
select coalesce(sum(used) filter (where currency is null and source = 1), 0)::bigint
        as initial_units,
    coalesce(sum(used) filter (where currency is null and source <> 1), 0)::bigint as top_up_units,
    coalesce(sum(used) filter (where currency is not null and source = 1), 0)::bigint
        as initial_cost,
    coalesce(sum(used) filter (where currency is not null), 0)::bigint as cost
from lots join balances using (tenant_id, balance_id) where tenant_id = $1"""


async def check_rollups(world: World, tenant: str) -> None:
    """FI-2: hours and days add up to the same, and both to the facts."""
    sums = ", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in USAGE)
    hours, days = [
        dict(await world.row(tenant, f"select {sums} from {table} where tenant_id = $1"))
        for table in ("usage_hour", "usage_day")
    ]
    assert hours == days
    counted = await world.row(
        tenant,
        "select count(*) filter (where flags & 2 <> 0) as conversations,"
        " count(*) filter (where flags & 8 <> 0) as visitors,"
        " count(*) filter (where type = 1) as messages_in,"
        " count(*) filter (where type in (3, 4, 5) and flags & 64 = 0) as messages_out"
        " from facts where tenant_id = $1",
    )
    assert dict(counted).items() <= days.items()
    paid = await world.row(tenant, PAID)
    assert dict(paid).items() <= days.items()


FACTS = """
select tenant_id, at, key, version, arrived_at, number_id, units, amount, type, status, balance_id,
    flags, rule_id, lot_id, source, id, party, category, market, country, data
from facts where tenant_id = $1 and version = $2 order by at, key"""

CHARGES = """
select tenant_id, at, key, part, revision, reversal, version, booked_at, balance_id, rule_id, units,
    amount, flags, lots::text, taken::text
from charges where tenant_id = $1 and version = $2 order by at, key, part"""

TRANSFERS = """
select tenant_id, version, line, at, balance_id, debit, credit, amount, cause
from transfers where tenant_id = $1 and version = $2 order by version, line"""


REVISIONS = """
select tenant_id, at, key, revision, version, status, flags
from revisions where tenant_id = $1 and version = $2 order by at, key"""

ALERTS = """
select tenant_id, version, line, balance_id, kind, measure, threshold, remaining, base, at, cause,
    cause_id
from alerts where tenant_id = $1 and version = $2 order by version, line"""


async def check_chain(world: World, tenant: str) -> None:
    """Every commit's digest is over the one before and the rows it wrote, as they are stored."""
    before = b""
    commits = await world.rows(
        tenant,
        "select tenant_id, version, at, cause, facts, digest from commits where tenant_id = $1"
        " order by version",
    )
    for place, commit in enumerate(commits, 1):
        assert commit["version"] == place
        digest = hashlib.blake2b(before, digest_size=16)
        digest.update(msgspec.msgpack.encode([tuple(commit)[:4]]))
        for query in (FACTS, CHARGES, TRANSFERS):
            rows = [tuple(row) for row in await world.rows(tenant, query, commit["version"])]
            digest.update(msgspec.msgpack.encode(rows))
            if query is FACTS:
                assert len(rows) == commit["facts"]
        for query in (REVISIONS, ALERTS):
            if rows := [tuple(row) for row in await world.rows(tenant, query, commit["version"])]:
                digest.update(msgspec.msgpack.encode(rows))
        before = digest.digest()
        assert commit["digest"] == before, f"{tenant}, version {place}"
    head = await world.row(tenant, "select version, digest from tenant_head where tenant_id = $1")
    assert tuple(head) == (len(commits), before)
