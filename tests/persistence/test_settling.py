"""Settling: whatever order facts came in, the books come to the same (EV-4, EV-9, EV-10)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from api import ids
from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.settling import Cause, Settled, Settling
from api.verifying import Verified, Verifying
from domain.figures import Figures
from domain.periods import HOUR, MINUTE, instant, iso, month_label
from persistence.servers import Servers
from tests.conftest import Database
from tests.persistence.traffic import NOW, START, TopUp, traffic
from tests.scenarios.world import Json, World

TENANTS = ("in-order", "shuffled")
MAY = month_label(2026, 5)
JUNE = instant(datetime.fromisoformat("2026-06-01T00:00:00-05:00"))


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    assert servers.addresses.redis_url is not None
    async with World.open(database.app_url, servers.addresses.redis_url) as world:
        world.clock.at = START
        for tenant in TENANTS:
            await world.tenant(tenant, timezone="America/Bogota", plan="college-small")
            await world.number(tenant, "wa", "whatsapp", "+62 800 0000 01")
            await world.number(tenant, "wa2", "whatsapp", "+62 800 0000 02", "Asia/Jayapura")
            await world.number(tenant, "ig", "instagram", "shop")
        yield world


def order(step: Json | TopUp) -> tuple[int, int, str]:
    """Fact order (EV-4)."""
    if isinstance(step, TopUp):
        return happened(step), 0, step.key
    return happened(step), 1 if step["type"] == "message.received" else 2, step["id"]


def happened(step: Json | TopUp) -> int:
    if isinstance(step, TopUp):
        return step.starts_at
    return instant(datetime.fromisoformat(step["time"]))


async def arrive(world: World, tenant: str, steps: Sequence[Json | TopUp], size: int) -> None:
    """Let steps arrive, `size` events a request; the clock goes with them and never back."""
    waiting: list[Json | bytes] = []

    async def send() -> None:
        if waiting:
            results = await world.send(waiting)
            assert "refused" not in {result["status"] for result in results}, results
            waiting.clear()

    for step in steps:
        if isinstance(step, TopUp) or happened(step) > world.clock.at:
            await send()
        world.clock.at = max(world.clock.at, happened(step))
        if isinstance(step, TopUp):
            await world.top_up(
                tenant, step.balance, step.amount, key=step.key, source=step.source,
            )  # fmt: skip
            continue
        waiting.append({**step, "subject": tenant})
        if len(waiting) == size:
            await send()
    await send()
    world.clock.at = NOW


async def settle(world: World, tenant: str) -> Settled:
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    return await settling.settle(world.tenants[tenant].tenant_id, Cause.DEMAND)


BOOKS = {
    "charges": """
        select f.id, coalesce(v.status, f.status) as status, c.part, r.rule, b.key, c.units,
            c.amount, c.legs
        from facts f
        left join lateral (
            select status, revision from revisions v
            where v.tenant_id = f.tenant_id and v.at = f.at and v.key = f.key
            order by revision desc limit 1
        ) v on true
        left join lateral (
            select 0 as part, f.rule_id, f.balance_id, f.units, f.amount,
                (select array[origin || ' ' || f.amount] from lots l
                    where l.tenant_id = f.tenant_id and l.lot_id = f.lot_id) as legs
            where v.revision is null and f.rule_id is not null
            union all
            select part, rule_id, balance_id, units, amount, (
                select array_agg(l.origin || ' ' || leg.taken order by leg.n)
                from unnest(lots, taken) with ordinality leg (lot_id, taken, n)
                join lots l on l.tenant_id = f.tenant_id and l.lot_id = leg.lot_id)
            from charges
            where tenant_id = f.tenant_id and at = f.at and key = f.key and not reversal
                and revision = coalesce(v.revision, 0)
        ) c on true
        left join rules r on r.rule_id = c.rule_id
        left join balances b on b.tenant_id = f.tenant_id and b.balance_id = c.balance_id
        where f.tenant_id = $1 order by f.id, c.part""",
    "lots": """
        select b.key, l.origin, l.amount, l.used, l.moved, l.lapsed, l.starts_at, l.ends_at
        from lots l join balances b using (tenant_id, balance_id)
        where l.tenant_id = $1 and (l.used <> 0 or l.moved <> 0) order by 1, 2""",
    "days": """
        select b.key, l.origin, d.day, sum(d.used) as used, sum(d.moved) as moved
        from lot_days d join lots l using (tenant_id, lot_id)
        join balances b using (tenant_id, balance_id)
        where d.tenant_id = $1 group by 1, 2, 3 having sum(d.used) <> 0 or sum(d.moved) <> 0
        order by 1, 2, 3""",
    "usage": """
        select bucket, n.address, direction, country, category, agent, broadcast, conversations,
            visitors, messages_in, messages_out, messages_free, segments, seconds, emails, sessions,
            units, cost, initial_units, top_up_units, initial_cost
        from usage_hour u join numbers n using (tenant_id, number_id)
        where u.tenant_id = $1 and (conversations, visitors, messages_in, messages_out,
            messages_free, segments, seconds, emails, sessions, units, cost, initial_units,
            top_up_units, initial_cost) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        order by 1, 2, 3, 4, 5, 6, 7""",
    "counters": """
        select name, n.address, month, value from counters c left join numbers n
            on n.tenant_id = c.tenant_id and n.number_id = c.number_id
        where c.tenant_id = $1 and value <> 0 order by 1, 2, 3""",
    "contacts": """
        select c.channel, party, n.address, last_at, service_opened_at, service_ends_at,
            conversation_opened_at, conversation_ends_at, conversation_paid, entry_at,
            entry_opened_at, entry_ends_at, category_windows,
            array(select unnest(visited) order by 1)
        from contacts c join numbers n using (tenant_id, number_id)
        where c.tenant_id = $1 order by 1, 2, 3""",
    "recipients": """
        select broadcast, channel, party, states from broadcast_recipients
        where tenant_id = $1 order by 1, 2, 3""",
    "broadcasts": """
        select broadcast, first_at, last_at, recipients, delivered, read, failed from broadcasts
        where tenant_id = $1 order by 1""",
    "activity": """
        select agent, quarter, first_at, last_at from user_activity
        where tenant_id = $1 order by 1, 2""",
}


async def books(world: World, tenant: str) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [tuple(row) for row in await world.rows(tenant, query)]
        for name, query in BOOKS.items()
    }


async def shown(world: World, tenant: str, balance: str, at: int | None) -> Figures:
    """A balance as people see it; lots have other numbers where they were made in another order."""
    return replace(await world.figures(tenant, balance, at), lots=())


@pytest.mark.parametrize("seed", range(2))
async def test_any_arrival_comes_to_the_same(world: World, seed: int) -> None:
    """EV-4: in order nothing is to be settled; shuffled, settling makes it as in order."""
    steps = list(traffic(seed, 250))
    for n, step in enumerate(steps):
        if isinstance(step, TopUp):
            starts_at = START + (NOW - 7 * HOUR - START) * n // len(steps)
            object.__setattr__(step, "starts_at", starts_at)
    ordered = sorted(steps, key=order)
    chance = random.Random(seed)
    late = sorted(
        steps,
        key=lambda step: (
            happened(step)
            + (
                0
                if isinstance(step, TopUp)
                else chance.choice((0, 0, MINUTE, 30 * HOUR, 100 * HOUR))
            )
        ),
    )
    await arrive(world, "in-order", ordered, 1)
    world.clock.at = START
    await arrive(world, "shuffled", late, 7)

    first = await settle(world, "in-order")
    second = await settle(world, "shuffled")

    assert first.settlement_id is None, first
    assert second.settlement_id is not None
    one, other = await books(world, "in-order"), await books(world, "shuffled")
    for name in BOOKS:
        assert one[name] == other[name], name
    assert (await settle(world, "shuffled")).settlement_id is None
    for balance in ("conversations", "visitors", "whatsapp"):
        for ago in range(24 * HOUR, 12 * 24 * HOUR, 72 * HOUR):
            # As of an instant too: what was paid off belongs to the day it was paid off on.
            then = world.tenants["shuffled"].zone.day(NOW - ago).end - 1
            one, other = [await shown(world, tenant, balance, then) for tenant in TENANTS]
            assert one == other, (balance, ago)
        at_now = await shown(world, "shuffled", balance, NOW)
        assert at_now == await shown(world, "shuffled", balance, None)


@pytest.mark.parametrize("seed", range(2))
async def test_with_a_closing_in_between_too(world: World, seed: int) -> None:
    """EV-3, EV-4: the closing at the same place among the inputs, everything else in any order."""
    steps = [step for step in traffic(seed, 250) if not isinstance(step, TopUp)]
    chance = random.Random(seed)
    may = [step for step in steps if happened(step) < JUNE]
    late = chance.sample(may, len(may) // 8)
    first = [step for step in steps if step not in late and chance.random() < 0.7]
    then = [step for step in steps if step not in late and step not in first]
    open_then = [step for step in then if happened(step) >= JUNE]
    # What is adjusted is paid in the order in which it comes, so that order is one for both.
    adjusted = late + [step for step in then if happened(step) < JUNE]
    for turn, tenant in enumerate(TENANTS):
        world.clock.at = START
        await arrive(world, tenant, sorted(first, key=order) if turn else first, 1 + 6 * turn)
        request = PeriodClose(tenant=tenant, period=MAY, idempotency_key="close")
        settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
        await period_close.run(world.door, settling, request, now=NOW)
        chance.shuffle(open_then)
        singly = [(NOW + n, [one]) for n, one in enumerate(adjusted)]
        whole = [(NOW, open_then)]
        for at, batch in singly + whole if turn else whole + singly:
            world.clock.at = at
            await world.send([{**step, "subject": tenant} for step in batch])
        world.clock.at = NOW + HOUR
        await settle(world, tenant)

    one, other = await books(world, TENANTS[0]), await books(world, TENANTS[1])
    for name in BOOKS:
        assert one[name] == other[name], name
    assert (await settle(world, TENANTS[1])).settlement_id is None


# What an action moved, and facts that stand on its other side

NOON = JUNE - 10 * 24 * HOUR
UNIT = 1_000_000

#: Does something of a story to a tenant.
Act = Callable[[World, str], Awaitable[object]]


def fact(id: str, at: int, contact: int, kind: str = "received", **data: object) -> Act:
    said = {"number": "+62 800 0000 01", "contact": f"+62 811{contact:08d}", **data}

    async def send(world: World, tenant: str) -> None:
        event = {
            "id": id, "source": "s", "type": f"message.{kind}", "time": iso(at),
            "subject": tenant, "data": said,
        }  # fmt: skip
        (result,) = await world.send([event])
        assert result["status"] == "accepted", result

    return send


def visits(first: int, behind: int) -> Act:
    """So many visitors from noon on; the plan has 20 a month."""

    async def send(world: World, tenant: str) -> None:
        for n in range(first, behind):
            await fact(f"visit {n:02}", NOON + n, n)(world, tenant)

    return send


def adjusted(key: str, units: int) -> Act:
    return lambda world, tenant: world.adjust(tenant, "visitors", units * UNIT, key=key)


def bought(key: str, units: int, balance: str = "visitors", expires: int | None = None) -> Act:
    return lambda world, tenant: world.top_up(
        tenant, balance, units * UNIT, key=key, expires_at=expires
    )


async def refunded(world: World, tenant: str) -> None:
    """Give the first charge back."""
    query = "select at, key from facts where tenant_id = $1 and id = 'visit 00'"
    row = await world.row(tenant, query)
    charge = ids.encode_charge(row["at"], row["key"], 0, 0, False)
    await world.refund(tenant, key="back", charge=charge, amount=None)


async def taken_back(world: World, tenant: str) -> None:
    """Take back what a top-up brought, spent or not."""
    query = "select action_id from actions where tenant_id = $1 and idempotency_key = 'paid'"
    row = await world.row(tenant, query)
    await world.refund(
        tenant, key="back", top_up=ids.encode("top", row["action_id"]), taken_back=True
    )


#: By name: acts with their place, and when they come if that is not it, of one instant last; from
#: when on the books may differ.
STORIES: dict[str, tuple[list[tuple[int, Act, int]], int]] = {
    "a late fact behind a withdrawal": (
        [
            (NOON, adjusted("less", -20), 0),
            (NOON - HOUR, fact("late", NOON - HOUR, 1), NOON + HOUR),
        ],
        NOON - HOUR,
    ),
    "a late fact behind a refund": (
        [
            (NOON, visits(0, 20), 0),
            (NOON + HOUR, refunded, 0),
            (NOON + MINUTE, fact("late", NOON + MINUTE, 99), NOON + 2 * HOUR),
        ],
        NOON + MINUTE,
    ),
    "a late fact behind a top-up taken back": (
        [
            (NOON - HOUR, bought("paid", 5), 0),
            (NOON, visits(0, 20), 0),
            (NOON + HOUR, taken_back, 0),
            (NOON + MINUTE, fact("late", NOON + MINUTE, 99), NOON + 2 * HOUR),
        ],
        NOON + MINUTE,
    ),
    "a fact ahead of a withdrawal": (
        [
            (NOON + 3 * MINUTE, fact("ahead", NOON + 3 * MINUTE, 1), NOON),
            (NOON + MINUTE, adjusted("less", -20), 0),
            (NOON + 2 * MINUTE, bought("more", 5), 0),
        ],
        NOON + MINUTE,
    ),
    "a late visit in a group": (
        [
            (NOON, fact("in person", NOON, 1), 0),
            (
                NOON - HOUR,
                fact("in a group", NOON - HOUR, 1, group={"id": "friends", "members": []}),
                NOON + HOUR,
            ),
        ],
        NOON - HOUR,
    ),
    "actions of one instant": (
        [(NOON, adjusted("a", 5), NOON), (NOON, adjusted("b", -22), 0)],
        NOON,
    ),
    "a fact ahead of a month's end": (
        [
            (JUNE - HOUR, bought("paid", 5, "whatsapp", JUNE), 0),
            (
                JUNE + MINUTE,
                fact("ahead", JUNE + MINUTE, 1, "delivered", category="marketing", template="t"),
                JUNE - MINUTE,
            ),
        ],
        JUNE,
    ),
}


@pytest.mark.parametrize("name", STORIES)
async def test_facts_and_actions_on_the_other_side_are_settled(world: World, name: str) -> None:
    """EV-4, EV-9: what stands before an action and comes behind it, or the other way round."""
    acts, since = STORIES[name]
    in_order = sorted(acts, key=lambda each: each[0])
    as_came = sorted(acts, key=lambda each: (each[2] or each[0], each[2] > 0))
    for tenant, came in zip(TENANTS, (in_order, as_came), strict=True):
        world.clock.at = START
        for at, act, then in came:
            world.clock.at = at if tenant == "in-order" else then or at
            await act(world, tenant)
    world.clock.at = JUNE + HOUR
    await world.jobs().advance_due()

    found = await verified(world, "shuffled")
    assert found.unsettled_from == since
    assert (found.wrong, list(found.findings)) == (0, [])
    assert found.unsettled
    assert (await settle(world, "shuffled")).settlement_id is not None
    assert (await settle(world, "in-order")).settlement_id is None
    one, other = await books(world, "in-order"), await books(world, "shuffled")
    for table in BOOKS:
        assert one[table] == other[table], table
    for tenant in TENANTS:
        found = await verified(world, tenant)
        assert (found.wrong, found.unsettled, found.unsettled_from) == (0, {}, None), found


async def verified(world: World, tenant: str) -> Verified:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    return await verifying.verify(world.tenants[tenant].tenant_id)


@pytest.mark.parametrize("seed", [2])
async def test_whatever_a_settling_corrects_was_marked(world: World, seed: int) -> None:
    """EV-9: visits a little late or ahead among debits and credits, and settled after each."""
    chance = random.Random(seed)
    world.clock.at, tenant, corrected = NOON, "shuffled", 0
    await adjusted("most of it", -18)(world, tenant)
    for n in range(26):
        world.clock.at += chance.randrange(1, 4 * MINUTE)
        at = world.clock.at + chance.randrange(-10 * MINUTE, 5 * MINUTE)
        units = chance.choice((-3, -1, 2, 6))
        deed = bought if units > 0 and n % 2 else adjusted
        await (fact(f"{n}", at, n) if chance.random() < 0.5 else deed(f"{n}", units))(world, tenant)
        found = await verified(world, tenant)
        assert found.wrong == 0, found.findings
        if found.unsettled_from is not None:
            corrected += (await settle(world, tenant)).settlement_id is not None
    assert corrected
