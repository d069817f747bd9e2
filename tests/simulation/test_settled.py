"""Worlds through the real way in: late, settled on demand, and read back from the database.

Refunds are answered as they come, so the model is told which ones were refused. Whether a fact was
overdrawn stays as it was told when it came (EV-9), so that is the one figure that is not compared.
"""

from __future__ import annotations

from random import Random

from persistence.servers import Servers
from tests.scenarios.world import World
from tests.simulation import figures, model
from tests.simulation.acting import BEFORE, Acting, fresh, world, worlds
from tests.simulation.closed import closings, published
from tests.simulation.rulebook import Json
from tests.simulation.stored import stored
from tests.simulation.world import RULEBOOK, Disorder, Tenant
from tests.simulation.world import World as Seeded
from tests.simulation.world import world as seeded

__all__ = ["BEFORE", "Acting", "seeded", "world", "worlds"]

#: Of every tenant.
STEPS = 200
#: Batches between two verifyings, at most; and in worlds that are settled whenever they are.
BETWEEN, RESTLESS = 80, 4
MARKED = "select unsettled_from from tenant_head where tenant_id = $1"
LATE: tuple[Disorder, Disorder] = ("hours", "weeks")


async def test_settled_late_worlds_come_to_what_the_rules_say(
    worlds: World, servers: Servers, template: str, stored_seed: int
) -> None:
    """EV-1, EV-3, EV-4, EV-9, EV-10, PR-2: settled, the books are those of the inputs' order.

    Every second world comes some hours late and every second weeks.
    """
    of = seeded(stored_seed, tenants=1, steps=STEPS, whole=True)
    (tenant,) = of.tenants
    if published(tenant.inputs):
        async with fresh(servers, template) as own:
            await _settle(own, of, tenant)
    else:
        await _settle(worlds, of, tenant)


async def _settle(world: World, of: Seeded, tenant: Tenant) -> None:
    name = f"{of.seed}-{tenant.setup['tenant']}"
    acting = Acting(world, tenant, name)
    await acting.begin()
    batches = of.arrivals(tenant, LATE[of.seed % 2])
    chance = Random(f"{of.seed} settled")
    while batches:
        some = chance.randint(1, RESTLESS if of.restless else BETWEEN)
        now, batches = batches[:some], batches[some:]
        await acting.take(now)
        if not of.restless:
            await acting.verify()
        head = await world.row(name, MARKED)
        if of.restless or not chance.randrange(3):
            settled = await acting.settle()
            assert head["unsettled_from"] is not None or settled.settlement_id is None, settled
    world.clock.at = of.end
    await acting.settle()

    refused = acting.refused
    known = model.run(
        RULEBOOK, tenant.setup, tenant.inputs, of.start, of.end, refused, tenant.late,
        acting.given,
    )  # fmt: skip
    found = await stored(world, name, of.start, of.end, refused)
    before = max((end for _, end in closings(tenant.setup, tenant.inputs)), default=0)
    lines = figures.differences(_compared(known, before), _compared(found, before))
    assert not lines, figures.failure(of.seed, name, lines)
    assert await world.rows(name, "select from settlements where tenant_id = $1")
    assert (await acting.settle()).settlement_id is None
    verified = await acting.verify()
    assert not verified.unsettled, figures.failure(of.seed, name, [*verified.unsettled])


def _compared(of: Json, before: int = 0) -> Json:
    """Figures without what may be one way or the other, before the instant all is closed until.

    That is the one flag that is not settled, overdrafts that owe nothing, lots of refunds that late
    facts left nothing to bring, and windows that were over when their period was closed.
    """
    facts = {
        name: fact | {"flags": [flag for flag in fact["flags"] if flag != "overdrawn"]}
        for name, fact in of["facts"].items()
    }
    lots = {
        name: lot
        for name, lot in of["lots"].items()
        if lot["used"] or lot["moved"] or " overdraft" not in name
    }
    gone = {
        name
        for name, lot in lots.items()
        if " action/back-" in name and lot["moved"] == lot["amount"] and not lot["used"]
    }
    lots = {name: lot for name, lot in lots.items() if name not in gone}
    days = {name: each for name, each in of["days"].items() if name not in gone}
    windows = {
        who: {name: own for name, own in each.items() if own is not None and own[1] > before}
        for who, each in of["windows"].items()
    }
    windows = {who: each for who, each in windows.items() if each}
    return of | {"facts": facts, "lots": lots, "days": days, "windows": windows}
