"""What people do to balances, on a real database: once each, told as it is stored, and listed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio.client import PubSub

from api import ids
from domain.fold import ACTION
from domain.periods import DAY, HOUR
from domain.problems import Problem
from persistence import actions, feed
from persistence.actions import Action, ActionKind
from persistence.valkey import client
from tests.persistence.test_feed import pots
from tests.persistence.traffic import NOW, TENANTS, TopUp, settle_in, traffic
from tests.scenarios.world import World

TENANT = TENANTS[0]
UNIT = 1_000_000


@pytest.fixture
async def heard(app_url: str, redis_url: str) -> AsyncIterator[tuple[World, PubSub]]:
    """A world, and what its process publishes."""
    async with AsyncExitStack() as exits:
        world = await exits.enter_async_context(World.open(app_url, redis_url))
        await settle_in(world)
        valkey = await exits.enter_async_context(client(redis_url))
        pubsub = await exits.enter_async_context(valkey.pubsub())
        await pubsub.psubscribe("kuota:readings:*")
        await pubsub.get_message(timeout=5)  # the acknowledgement
        yield world, pubsub


@pytest.fixture
async def world(heard: tuple[World, PubSub]) -> World:
    return heard[0]


async def test_what_people_do_is_told_as_it_is_stored(heard: tuple[World, PubSub]) -> None:
    """BA-9, BA-10: each reading of a commit is what the database says of it, months later too."""
    world, pubsub = heard
    wanted = {world.tenants[TENANT].tenant_id: TENANT}
    chance = random.Random(3)
    made: list[Action] = []
    done = 0
    events = [step for step in traffic(7, 260) if not isinstance(step, TopUp)]
    mine = [event for event in events if event["subject"] == TENANT]
    for turn in range(36):
        world.clock.at = NOW + turn * 30 * HOUR
        await world.send(mine[turn * 5 : turn * 5 + 5])
        before = (await world.reading(TENANT)).version
        try:
            made.append(await act(world, turn, chance, made))
        except Problem as refused:
            assert refused.code in ("NOTHING_LEFT", "TOO_MUCH")  # noqa: PT017 - of many, any
            assert (await world.reading(TENANT)).version == before
            continue
        reading = await told(pubsub, wanted, before + 1)
        stored = await world.reading(TENANT)
        assert replace(reading, pots=pots(reading), held_at=0) == replace(
            stored, pots=pots(stored), at=reading.at
        )
        assert reading.cause == ACTION
        await check_sums(world)
        done += 1
    assert done > 25


async def told(pubsub: PubSub, wanted: dict[int, str], version: int) -> Any:
    """The reading of a version, as it was published."""
    async with asyncio.timeout(10):
        while True:
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5)
            found = feed.decode(message["data"], wanted) if message else None
            if found is not None and found.reading.version == version:
                return found.reading


async def act(world: World, turn: int, chance: random.Random, made: list[Action]) -> Action:
    key = f"act {turn}"
    balance = chance.choice(("conversations", "visitors", "whatsapp"))
    bought = [action for action in made if "source" in action.body]
    kind = chance.choice(("top up", "adjust", "adjust", "refund", "refund", "give", "take"))
    if kind == "top up" or not bought:
        amount = chance.choice((3, 900)) * UNIT
        return await world.top_up(TENANT, balance, amount, key=key)
    if kind == "adjust":
        amount = chance.choice((-900, -40, -1, 2, 700)) * UNIT
        return await world.adjust(TENANT, balance, amount, key=key)
    if kind == "refund":
        paid = [charge for charge in await world.charges(TENANT) if charge.amount]
        charge = ids.encode_charge(*chance.choice(paid).cursor)
        return await world.refund(TENANT, key=key, charge=charge)
    top_up = ids.encode("top", chance.choice(bought).action_id)
    return await world.refund(TENANT, key=key, top_up=top_up, taken_back=kind == "take")


LINES = """
select l.lot_id, l.source, l.amount - l.used - l.moved - l.lapsed as remaining,
    l.moved - coalesce((select sum(moved) from lot_days d
        where d.tenant_id = l.tenant_id and d.lot_id = l.lot_id), 0) as off,
    coalesce((select sum(case when credit = 'lot/' || lot_id then amount else -amount end)
        from transfers t where t.tenant_id = l.tenant_id
        and 'lot/' || lot_id in (debit, credit)), 0) as lines
from lots l where tenant_id = $1"""


async def check_sums(world: World) -> None:
    """BA-10: the lines of each lot add up to it; BA-9 for every balance."""
    for row in await world.rows(TENANT, LINES):
        assert (row["off"], row["lines"]) == (0, row["remaining"])
        assert row["remaining"] >= 0 or row["source"] == 5
    for plan in world.plan(TENANT).balances:
        total = (await world.figures(TENANT, plan.key)).total
        came = total.opening + total.granted + total.adjusted
        assert total.remaining == came - total.used - total.lapsed


async def test_an_instant_within_a_day_has_what_was_moved_before_it(world: World) -> None:
    """BA-9: what is taken and given back counts from its own instant, what is brought in too."""
    seen = []
    for turn, amount in enumerate((700, -300, 50, -500, 90)):
        world.clock.at = NOW + turn * HOUR
        await world.adjust(TENANT, "whatsapp", amount * UNIT, key=f"a {turn}")
        seen.append((world.clock.at, await world.figures(TENANT, "whatsapp")))
    world.clock.at = NOW + 9 * DAY
    for at, then in seen:
        now = await world.figures(TENANT, "whatsapp", at)
        assert now.total == then.total
    assert [then.total.remaining // UNIT for _, then in seen] == [700, 400, 450, -50, 40]


async def test_a_charge_says_what_was_refunded(world: World) -> None:
    """BA-8: by all refunds so far, never more than it took."""
    await world.top_up(TENANT, "whatsapp", 10_000 * UNIT, key="money")
    await world.send([event("1")])
    (charge,) = [each for each in await world.charges(TENANT) if each.amount]
    id = ids.encode_charge(*charge.cursor)
    assert ids.decode_charge(id) == charge.cursor
    for key, amount, refunded in (("a", 100 * UNIT, 100 * UNIT), ("b", None, charge.amount)):
        await world.refund(TENANT, key=key, charge=id, amount=amount)
        (found,) = [each for each in await world.charges(TENANT) if each.amount]
        assert found.refunded == refunded
    with pytest.raises(Problem) as refused:
        await world.refund(TENANT, key="c", charge=id)
    assert refused.value.code == "NOTHING_LEFT"
    total = (await world.figures(TENANT, "whatsapp")).total
    assert (total.used, total.remaining) == (charge.amount, 10_000 * UNIT)


async def test_a_retry_is_answered_and_another_request_refused(world: World) -> None:
    """BA-7: also at once, by two who do not know of each other."""
    first, second = await asyncio.gather(
        *(world.adjust(TENANT, "visitors", 5 * UNIT, key="k") for _ in range(2))
    )
    assert first == second
    top_up = await world.top_up(TENANT, "visitors", 3 * UNIT, key="t")
    id = ids.encode("top", top_up.action_id)
    refund = await world.refund(TENANT, key="r", top_up=id, amount=UNIT)
    assert await world.refund(TENANT, key="r", top_up=id, amount=UNIT) == refund
    for again in (
        world.adjust(TENANT, "visitors", 6 * UNIT, key="k"),
        world.adjust(TENANT, "visitors", 5 * UNIT, key="k", reason="another"),
        world.top_up(TENANT, "visitors", 5 * UNIT, key="k"),
        world.refund(TENANT, key="r", top_up=id),
    ):
        with pytest.raises(Problem) as refused:
            await again
        assert refused.value.code == "IDEMPOTENCY_KEY_REUSED"
    total = (await world.figures(TENANT, "visitors")).total
    assert total.remaining == (20 + 5 + 3 - 1) * UNIT


async def test_two_refunds_at_once_give_back_once(world: World) -> None:
    """BA-8: under the tenant's lock."""
    top_up = await world.top_up(TENANT, "visitors", 3 * UNIT, key="t")
    id = ids.encode("top", top_up.action_id)
    answers = await asyncio.gather(
        *(world.refund(TENANT, key=f"r{n}", top_up=id) for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, Action) for answer in answers) == 1
    assert sum(isinstance(answer, Problem) for answer in answers) == 4


# BA-8: (what is asked, code, field); `bought` and `given` are top-ups.
REFUSED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"top_up": "given"}, "NOT_MONEY", "topUp"),
    ({"top_up": "given", "taken_back": True}, "NOT_MONEY", "topUp"),
    ({"top_up": "bought", "amount": 3 * UNIT + 1}, "TOO_MUCH", "amount"),
    ({"top_up": "bought", "amount": 0}, "INVALID", "amount"),
    ({"top_up": "bought", "amount": UNIT, "taken_back": True}, "INVALID", "amount"),
    ({"top_up": "bought", "reason": " "}, "INVALID", "reason"),
    ({"top_up": "bought", "charge": "chg_x"}, "INVALID", None),
    ({}, "INVALID", None),
    ({"top_up": "top_0000000000000"}, "NOT_FOUND", "topUp"),
    ({"top_up": "another's"}, "NOT_FOUND", "topUp"),
    ({"charge": "chg_x"}, "NOT_FOUND", "charge"),
    ({"charge": "x", "taken_back": True}, "INVALID", "takenBack"),
]


async def test_what_is_refused_moves_nothing(world: World) -> None:
    """BA-8: promotions never become money; what is wrong is named."""
    tops = {
        "bought": await world.top_up(TENANT, "visitors", 3 * UNIT, key="b"),
        "given": await world.top_up(TENANT, "visitors", 3 * UNIT, key="g", source="PROMOTION"),
        "another's": await world.top_up(TENANTS[1], "visitors", 3 * UNIT, key="b"),
    }
    for what, code, field in REFUSED:
        asked = dict(what)
        if asked.get("top_up") in tops:
            asked["top_up"] = ids.encode("top", tops[asked["top_up"]].action_id)
        with pytest.raises(Problem) as refused:
            await world.refund(TENANT, key="r", **asked)
        assert (refused.value.code, refused.value.field) == (code, field), what
    assert (await world.reading(TENANT)).version == 2


async def test_actions_are_listed_newest_first(world: World) -> None:
    """Of many tenants in one statement; each kind for itself."""
    made = [await world.top_up(TENANT, "visitors", UNIT, key=f"{n}") for n in range(3)]
    other = await world.top_up(TENANTS[1], "visitors", UNIT, key="0")
    adjusted = await world.adjust(TENANT, "visitors", -UNIT, key="a")
    one, two = (world.tenants[tenant].tenant_id for tenant in TENANTS[:2])
    kind = ActionKind.TOP_UP
    asked = [
        actions.Asked(tenant_id=one, kind=kind), actions.Asked(tenant_id=two, kind=kind),
        actions.Asked(tenant_id=one, kind=kind, before=made[1].action_id),
        actions.Asked(tenant_id=one, kind=ActionKind.ADJUSTMENT),
        actions.Asked(tenant_id=one, kind=ActionKind.REFUND),
    ]  # fmt: skip
    found = await actions.pages(world.door, asked, limit=2)
    numbers = [[action.action_id for action in page] for page in found]
    first, second, third = (action.action_id for action in made)
    assert numbers == [[third, second], [other.action_id], [first], [adjusted.action_id], []]


def event(id: str) -> dict[str, Any]:
    data = {
        "number": "+62800000001", "contact": "+6281110000099", "category": "marketing",
        "template": "x",
    }  # fmt: skip
    return {
        "id": id, "source": "test", "type": "message.delivered", "subject": TENANT,
        "time": "2026-06-06T05:00:00Z", "data": data,
    }  # fmt: skip
