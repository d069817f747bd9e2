"""Dry runs of refills on recorded books, beside tenants whose refills really happened (RF-1, RF-2).

A twin without a policy has the same done to it: its dry run charges what the other was charged,
and so does the other's own, which leaves out what it really paid.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random

import pytest

from api.operations import refill_dry_run
from api.operations.refill_dry_run import RefillDryRun
from domain.dry_run import DryRun
from domain.periods import DAY, HOUR, SECOND
from domain.problems import Problem
from domain.refill_policy import RefillPolicy
from persistence import dry_run, terms
from tests.api.paying.till import Till, names
from tests.conftest import Database
from tests.domain.spine import UNIT, at
from tests.scenarios.world import World

NOON = at("2026-10-20 12:00")


@pytest.fixture
async def till(database: Database, redis_url: str) -> AsyncIterator[Till]:
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON
        yield Till.of(world)


async def replayed(
    till: Till, key: str, balance: str, policy: RefillPolicy, start: int = NOON
) -> DryRun:
    world = till.world
    (own,) = await terms.by_keys(world.door, world.catalogue, [key])
    now = world.clock.now()
    request = RefillDryRun(
        terms=own.at(now), balance_id=own.balance_ids[balance], policy=policy, span=(start, now)
    )
    return await refill_dry_run.run(world.door, request, now=now)


async def something(till: Till, random: Random, key: str, balance: str, name: str) -> None:
    """Do the same to whichever of the twins."""
    world, whole = till.world, 1 if balance == "visitors" else 1_000
    amount = random.randint(1, 600) * UNIT * whole
    match random.randint(1, 5):
        case 1:
            await world.adjust(key, balance, amount, key=name)
        case 2:
            await world.top_up(
                key, balance, amount, key=name, source=random.choice(["TOP_UP", "PROMOTION"]),
                expires_at=world.clock.at + random.choice([1, 30, 300]) * HOUR,
            )  # fmt: skip
        case _:
            await world.adjust(key, balance, -amount, key=name)


async def wait(till: Till, until: int) -> None:
    """Let time pass, and what is due by it be done in its turn."""
    world, jobs = till.world, till.world.jobs()
    while True:
        async with world.door.tenant_tx(*(each.tenant_id for each in world.tenants.values())) as c:
            due: int | None = await c.fetchval("select min(next_due) from tenant_head")
        if due is None or due > until:
            break
        world.clock.at = due
        await jobs.advance_due()
        await till.quiet()
    world.clock.at = until


@pytest.mark.parametrize("seed", range(8))
async def test_it_charges_what_refills_did(till: Till, seed: int) -> None:
    """RF-1, RF-2: at the same instants, by the same amounts, whatever came and went between."""
    random, world = Random(seed), till.world
    balance = random.choice(["visitors", "whatsapp"])
    whole = 1 if balance == "visitors" else 1_000
    minimum, amount = random.choice([0, 20, 150]) * whole, random.choice([500, 1_500]) * whole
    price = amount * 600 if balance == "visitors" else amount
    day_cap = random.choice([None, price, 2 * price])
    month_cap = random.choice([None, 3 * price])
    live, dry = f"live{next(names)}", f"dry{next(names)}"
    for key in (live, dry):
        await world.tenant(key)
    await till.method(live, "succeeds")
    await till.policy(live, balance, minimum, amount, day_cap=day_cap, month_cap=month_cap)
    await till.quiet()
    for number in range(25):
        await wait(till, world.clock.at + random.choice([1, HOUR, 9 * HOUR, 2 * DAY]))
        state = random.getstate()
        for key in (dry, live):
            random.setstate(state)
            await something(till, random, key, balance, f"{seed} {number}")
        await till.quiet()
    world.clock.at += SECOND
    policy = RefillPolicy(
        True, minimum * UNIT, amount * UNIT,
        *(None if cap is None else cap * UNIT for cap in (day_cap, month_cap)),
    )  # fmt: skip
    really = [(each.created_at, each.amount, each.net) for each, _ in await till.purchases(live)]
    found = await replayed(till, dry, balance, policy)
    assert [tuple(each) for each in found.charges] == really
    assert [tuple(each) for each in (await replayed(till, live, balance, policy)).charges] == really


async def test_it_moves_nothing(till: Till) -> None:
    key = f"t{next(names)}"
    await till.world.tenant(key)
    await till.world.adjust(key, "visitors", -990 * UNIT, key="a")
    head = "select h::text as row from tenant_head h where tenant_id = $1"
    before = await till.world.row(key, head)
    till.world.clock.at += HOUR
    found = await replayed(till, key, "visitors", RefillPolicy(True, 10 * UNIT, 500 * UNIT))
    assert [each.amount for each in found.charges] == [500 * UNIT]
    assert (found.lowest, found.lowest_at) == (10 * UNIT, NOON)
    assert await till.world.row(key, head) == before
    assert await till.purchases(key) == []


async def test_a_later_start_finds_what_was_there_then(till: Till) -> None:
    """What happened before the range opens it, what happens after it changes nothing."""
    key, world = f"t{next(names)}", till.world
    await world.tenant(key)
    policy = RefillPolicy(True, 10 * UNIT, 500 * UNIT)
    for number, taken in enumerate((900, 80, 15, 700)):
        await world.adjust(key, "visitors", -taken * UNIT, key=f"{number}")
        world.clock.at += DAY
    for day, charges in ((0, [2, 3]), (1, [2, 3]), (2, [2, 3]), (3, [3])):
        found = await replayed(till, key, "visitors", policy, NOON + day * DAY)
        assert [(each.at - NOON) // DAY for each in found.charges] == charges
    sums = [each.amount // UNIT for each in found.charges]
    assert sums == [1_000]


async def test_a_range_with_too_much_in_it_is_refused(till: Till) -> None:
    key, world = f"t{next(names)}", till.world
    tenant = await world.tenant(key)
    for number in range(3):
        await world.adjust(key, "visitors", -UNIT, key=f"{number}")
    world.clock.at += DAY
    (own,) = await terms.by_keys(world.door, world.catalogue, [key])
    visitors = own.balance_ids["visitors"]
    given = {"commits_max": 3, "lines_max": 4}
    found = await dry_run.recorded(
        world.door, tenant.tenant_id, visitors, NOON, NOON + DAY, **given
    )
    assert len(found.lines) == 4
    for least in ({"commits_max": 2}, {"lines_max": 3}):
        with pytest.raises(dry_run.TooMuchError):
            await dry_run.recorded(
                world.door, tenant.tenant_id, visitors, NOON, NOON + DAY, **given | least
            )
    with pytest.raises(Problem, match="nothing happened yet"):
        await replayed(till, key, "visitors", RefillPolicy(True, 0, 500 * UNIT), world.clock.at)
