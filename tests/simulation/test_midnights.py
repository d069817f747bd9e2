"""Worlds that are settled again and again on their way, each time from the last midnight.

However often it is, in the end the books are those of fact order: what a settling does not read
again, it must know.
"""

from __future__ import annotations

from random import Random
from typing import Literal

import pytest

from api.verifying import Verifying
from tests.scenarios.world import World
from tests.simulation import figures, model
from tests.simulation.acting import Acting, world
from tests.simulation.closed import closings
from tests.simulation.rulebook import Json
from tests.simulation.stored import stored
from tests.simulation.test_settled import _compared
from tests.simulation.world import RULEBOOK, Tenant
from tests.simulation.world import World as Seeded
from tests.simulation.world import world as seeded

__all__ = ["world"]

#: Batches between two settlings, at most.
BETWEEN = 12


@pytest.mark.parametrize(("midnight_seed", "disorder"), [(3, "hours"), (2, "weeks")])
async def test_settled_on_the_way_worlds_come_to_what_the_rules_say(
    world: World, midnight_seed: int, disorder: Literal["hours", "weeks"]
) -> None:
    """EV-4, EV-9: every settling begins where nothing came since, and leaves fact order behind."""
    of = seeded(midnight_seed, whole=True)
    for tenant in of.tenants:
        await lived(world, of, tenant, midnight_seed, disorder)


async def lived(
    world: World, of: Seeded, tenant: Tenant, seed: int, disorder: Literal["hours", "weeks"]
) -> None:
    """Let a tenant's inputs come, and settle it some of the times between."""
    name = tenant.setup["tenant"]
    chance = Random(f"{seed} {name} midnights")
    acting = Acting(world, tenant, name)
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    await acting.begin()
    batches = of.arrivals(tenant, disorder)
    read = 0
    while batches:
        some = chance.randint(1, BETWEEN)
        now, batches = batches[:some], batches[some:]
        await acting.take(now)
        read += (await acting.settle()).facts
        if chance.random() < 0.2:
            verified = await verifying.verify(world.tenants[name].tenant_id)
            assert (verified.wrong, verified.findings) == (0, []), verified.findings
    world.clock.at = of.end
    await acting.settle()

    refused = acting.refused
    known: Json = model.run(
        RULEBOOK, tenant.setup, tenant.inputs, of.start, of.end, refused, tenant.late,
        acting.given,
    )  # fmt: skip
    found = await stored(world, name, of.start, of.end, refused)
    before = max((end for _, end in closings(tenant.setup, tenant.inputs)), default=0)
    lines = figures.differences(_compared(known, before), _compared(found, before))
    assert not lines, figures.failure(seed, name, lines)
    assert (await acting.settle()).settlement_id is None
    verified = await verifying.verify(world.tenants[name].tenant_id)
    assert (verified.wrong, verified.findings, verified.unsettled) == (0, [], {})
    rows = await world.row(name, "select count(*) as n from midnight_contacts where tenant_id = $1")
    assert rows["n"] is not None
    assert read
