"""Which lane takes a tenant's facts: few go together, and none overtakes what is under way."""

from __future__ import annotations

import asyncio
from itertools import count

from api.limits import LANES, TOGETHER_FACTS_MAX
from api.placing import TOGETHER, Placing
from api.submissions import Submission, Verdict
from domain.facts import Fact, Status

ids = count(1)


def facts(*tenants: int) -> list[Fact]:
    made = []
    for tenant in tenants:
        fact = Fact()
        fact.tenant_id, fact.key = tenant, next(ids).to_bytes(16, "big")
        made.append(fact)
    return made


def by_hash(*tenants: int) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for place, tenant in enumerate(tenants):
        found.setdefault(tenant % LANES, []).append(place)
    return found


async def test_few_go_together_where_nothing_is_under_way() -> None:
    placing = Placing()
    assert placing.places(facts(1, 2, 3), idle=True) == {TOGETHER: [0, 1, 2]}
    assert placing.places(facts(1, 2, 3), idle=False) == by_hash(1, 2, 3)


async def test_many_are_spread_over_all_lanes() -> None:
    many = [*range(1, TOGETHER_FACTS_MAX + 2)]
    assert Placing().places(facts(*many), idle=True) == by_hash(*many)


async def test_what_follows_takes_the_lane_of_what_is_under_way() -> None:
    """EV-4: a tenant's facts are kept in the order they came, whichever lane they took."""
    placing = Placing()
    first, second = facts(1, 2), facts(2)
    submissions = [Submission(len(each)) for each in (first, second)]
    placing.keep(TOGETHER, first, submissions[0])
    assert placing.places(facts(1, 2, 3), idle=False) == {TOGETHER: [0, 1], 3: [2]}
    placing.keep(TOGETHER, second, submissions[1])
    for place in range(2):
        submissions[0].answer(place, Verdict(Status.ACCEPTED))
    await told()
    assert placing.places(facts(1, 2), idle=False) == {1: [0], TOGETHER: [1]}
    submissions[1].fail(RuntimeError("the database is away"))
    await told()
    assert placing.places(facts(1, 2), idle=False) == by_hash(1, 2)


async def test_a_lane_of_its_own_is_nothing_to_remember() -> None:
    placing = Placing()
    placing.keep(3, facts(3), Submission(1))
    assert placing.places(facts(3), idle=True) == {TOGETHER: [0]}


async def told() -> None:
    """Let those who wait for a submission hear of its end."""

    await asyncio.sleep(0)
