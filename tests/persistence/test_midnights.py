"""Midnights: a settling reads from the last one before what is late, no more (EV-9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.settling import Cause, Close, Settled
from api.verifying import Verified, Verifying
from domain.periods import DAY, HOUR, MINUTE, iso
from persistence import checkpoints, closing, midnights
from persistence.servers import Servers
from tests.conftest import Database, on
from tests.persistence.test_closing import END, TENANT, UNIT, message, send, settling
from tests.persistence.test_rating import priced, rating, run_out
from tests.persistence.test_settling import BOOKS, books
from tests.scenarios.world import Json, World

DAYS = 30
FACTS = 2 * DAYS
OTHER = "other"


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    assert servers.addresses.redis_url is not None
    async with World.open(database.app_url, servers.addresses.redis_url) as world:
        world.clock.at = END - (DAYS + 2) * DAY
        await world.tenant(TENANT, timezone="America/Bogota", plan="college-small")
        await world.number(TENANT, "wa", "whatsapp", "+62 800 0000 01")
        yield world


def month() -> list[Json]:
    """Two facts a local day, up to the last of October: a question, and the answer hours later."""
    found = []
    for ago in range(DAYS, 0, -1):
        contact, at = str(1 + ago % 3), END - ago * DAY
        entry = {"entry": "ad"} if ago % 7 == 0 else {}
        found.append(message(f"in{ago}", at + 9 * HOUR, "received", contact, **entry))
        found.append(message(f"out{ago}", at + 15 * HOUR, "delivered", contact))
    return found


async def lived(world: World, tenant: str = TENANT) -> None:
    """Let the month come, and settle it at its end."""
    await send(world, *({**event, "subject": tenant} for event in month()))
    world.clock.at = END + HOUR
    assert (await settle(world, tenant)).facts == FACTS


async def settle(world: World, tenant: str = TENANT) -> Settled:
    return await settling(world).settle(world.tenants[tenant].tenant_id, Cause.DEMAND)


async def verify(world: World, tenant: str = TENANT) -> Verified:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    return await verifying.verify(world.tenants[tenant].tenant_id)


async def right(world: World, tenant: str = TENANT) -> bool:
    """Whether the whole log comes to the books; it does not begin at a midnight."""
    verified = await verify(world, tenant)
    assert [str(finding) for finding in verified.findings] == []
    return verified.unsettled_from is None


async def kept(world: World) -> list[int]:
    rows = await world.rows(
        TENANT,
        "select at from checkpoints where tenant_id = $1 and settings is not null order by 1",
    )
    return [row["at"] for row in rows]


async def test_what_is_late_is_read_from_the_midnight_before_it(world: World) -> None:
    """EV-9: not the period is read again, but what came since the day began."""
    await lived(world)
    plan = midnights.planned(world.tenants[TENANT].zone, END + HOUR)
    assert await kept(world) == [at for at in plan if at > END - DAYS * DAY]
    assert (await settle(world)).facts == 0

    await send(world, message("late", END - DAY + 10 * HOUR, contact="2"))
    settled = await settle(world)
    assert settled.facts == 3
    assert await kept(world) == [at for at in plan if at > END - DAYS * DAY]

    await send(world, message("earlier", END - 3 * DAY + 10 * HOUR, "received", "9"))
    assert (await settle(world)).facts == 3 * 2 + 2
    assert await right(world)

    await send(world, message("first", END - DAYS * DAY + HOUR, contact="1"))
    assert (await settle(world)).facts == FACTS + 3
    assert (await settle(world)).facts == 0
    assert await right(world)


async def test_it_comes_to_the_same_as_all_of_it(world: World) -> None:
    """EV-4: settled day by day, or once: the same books."""
    await world.tenant(OTHER, timezone="America/Bogota", plan="college-small")
    await world.number(OTHER, "wa", "whatsapp", "+62 800 0000 01")
    events = month()
    late, punctual = events[1::4], [event for event in events if event not in events[1::4]]
    for n, event in enumerate(punctual):
        came = [event, *late[n // 3 - 4 : n // 3 - 3]] if n % 3 == 0 and n >= 12 else [event]
        for tenant in (TENANT, OTHER):
            await send(world, *({**one, "subject": tenant} for one in came))
        if n % 3 == 0:
            world.clock.at += HOUR
            await settle(world)
    rest = [{**one, "subject": tenant} for one in late for tenant in (TENANT, OTHER)]
    await world.send(rest)
    world.clock.at = END + HOUR
    assert (await settle(world)).facts < (await settle(world, OTHER)).facts == FACTS

    one, other = await books(world, TENANT), await books(world, OTHER)
    for name in BOOKS:
        assert one[name] == other[name], name
    assert await right(world)


async def test_what_was_done_before_a_midnight_is_not_in_it(world: World) -> None:
    """EV-4: a top-up dated back, terms that changed: what was folded without them holds no more."""
    await lived(world)
    await world.top_up(
        TENANT, "conversations", UNIT, key="back", starts_at=END - 2 * DAY + HOUR
    )  # fmt: skip
    assert (await settle(world)).facts == 2 * 2
    assert await right(world)
    await world.number(TENANT, "wa2", "whatsapp", "+62 800 0000 02")
    assert (await settle(world)).facts == FACTS
    assert (await settle(world)).facts == 0
    assert await right(world)


async def test_what_is_rated_later_is_not_in_it(world: World) -> None:
    """EV-7, PR-2: a rate that comes, or another, changes what midnights after its facts have."""
    await world.tenant(OTHER, timezone="America/Bogota")
    await world.number(OTHER, "wa", "whatsapp", "+62 800 0000 01")
    abroad = message("abroad", END - 4 * DAY + HOUR, category="marketing", template="t")
    abroad["data"]["contact"] = "+91 98765 43210"
    await send(world, *({**event, "subject": OTHER} for event in (*month(), abroad)))
    world.clock.at = END + HOUR
    assert (await settle(world, OTHER)).facts == FACTS + 1
    assert (await settle(world, OTHER)).facts == 0
    for price, rerate in (("700", False), ("100", True)):
        world.clock.at += HOUR
        assert (await priced(world, price, rerate=rerate)).problems == ()
        await run_out(rating(world))
        assert (await settle(world, OTHER)).facts == FACTS + 1
        assert (await settle(world, OTHER)).facts == 0
        assert await right(world, OTHER)
    charges = [
        one for one in await world.charges(OTHER) if (one.rule or "").endswith("marketing-in")
    ]
    assert max(charges, key=lambda one: one.cursor.revision).amount == 100 * UNIT


async def test_old_midnights_are_forgotten(world: World) -> None:
    """The latest days' are kept, one a week before them, and of each contact what they need."""
    await lived(world)
    zone = world.tenants[TENANT].zone
    for days in (1, 2, 3, 12, 80):
        world.clock.at = END + days * DAY + HOUR
        await send(world, message(f"day{days}", world.clock.at, contact=str(days % 4)))
        world.clock.at += HOUR
        assert (await settle(world)).facts <= 2  # and of the last day that it was settled on
        assert set(await kept(world)) <= set(midnights.planned(zone, world.clock.at))
        assert len(await kept(world)) <= midnights.DAYS + midnights.WEEKS
        assert await right(world)
    contacts = await world.rows(
        TENANT, "select party, at from midnight_contacts where tenant_id = $1 order by at"
    )
    oldest = (await kept(world))[0]
    parties = [row["party"] for row in contacts if row["at"] <= oldest]
    assert parties
    assert len(parties) == len(set(parties))


async def test_a_closing_may_begin_at_a_midnight(world: World) -> None:
    """EV-3: what a closing keeps is the same wherever its reading began."""
    await world.tenant(OTHER, timezone="America/Bogota", plan="college-small")
    await world.number(OTHER, "wa", "whatsapp", "+62 800 0000 01")
    await lived(world)
    await send(world, *({**event, "subject": OTHER} for event in month()))
    for tenant in (TENANT, OTHER):
        await send(world, {**message("open", END - HOUR, contact="2"), "subject": tenant})
    read, found, contacts = [], [], []
    for tenant in (TENANT, OTHER):
        tenant_id = world.tenants[tenant].tenant_id
        settled = await settling(world).settle(tenant_id, Cause.CLOSE, close=Close(END))
        read.append(settled.facts)
        async with world.door.tenant_tx(tenant_id) as connection:
            found.append(await closing.read(connection, tenant_id))
        contacts.append(await open_at_the_closing(world, tenant))
    assert read == [3, FACTS + 1]
    one, other = found
    assert one is not None
    assert other is not None
    assert list(checkpoints.differing(one, other)) == []
    assert contacts[0] == contacts[1] != []
    assert await kept(world) == []
    for tenant in (TENANT, OTHER):
        await send(world, {**message("nov", END + 20 * HOUR, contact="2"), "subject": tenant})
        world.clock.at = END + 2 * DAY
        assert (await settle(world, tenant)).facts == 1
        found_wrong = (await verify(world, tenant)).findings
        assert [each.table for each in found_wrong] == ["actions"]  # nobody asked for the closing


async def open_at_the_closing(world: World, tenant: str) -> list[tuple[Any, ...]]:
    rows = await world.rows(
        tenant,
        "select party, last_at, service_opened_at, service_ends_at, conversation_opened_at,"
        " conversation_paid, entry_at, entry_ends_at, visited, closed_until"
        " from closing_contacts where tenant_id = $1 order by party",
    )
    return [tuple(row) for row in rows]


#: What a hand does to the latest midnight, and what is said of it.
HANDS = {
    "lots = jsonb_set(lots, '{0,6}', '123')": "/allowance/2026-10 is {",
    "lots = jsonb_set(lots, '{0,9}', '123')": "/allowance/2026-10 is {",
    "lots = '[]'": "/allowance/2026-10 is missing",
    "lots = '7'": "unreadable",
    "counters = '[[\"x\", 0, 1, 5, null]]'": "counters ('x', 0, 1)",
    "moved = '[]'": "moved 1 from allowance to ",
    "paid_off = '[[1, 2, 3]]'": "paid_off 0",
    "next_due = next_due + 1": "next_due",
}
HANDS_ON_CONTACTS = {
    "update midnight_contacts set service_ends_at = service_ends_at + 1": "service_ends_at",
    "update midnight_contacts set last_at = last_at + 1": "last_at",
    "update midnight_contacts set visited = '{}'": "visited",
    "delete from midnight_contacts": "",  # how it stood before shows
    "update midnight_contacts set party = 'by hand'": "whatsapp by hand on",
}


async def test_what_a_hand_changes_of_a_midnight_is_found(world: World, database: Database) -> None:
    """BA-10: settling would begin with it; verifying reads past it and names it."""
    await lived(world)
    at = (await kept(world))[-1]
    name = f"checkpoints of {TENANT} at {iso(at)}"
    for hand, says in HANDS.items():
        await on(
            database.owner_url, f"create table saved as select * from checkpoints where at = {at}",
            f"update checkpoints set {hand} where at = {at}",
        )  # fmt: skip
        told = [str(finding) for finding in (await verify(world)).findings]
        assert any(each.startswith(name) and says in each for each in told), (hand, told)
        await on(
            database.owner_url, f"delete from checkpoints where at = {at}",
            "insert into checkpoints select * from saved", "drop table saved",
        )  # fmt: skip
    for hand, says in HANDS_ON_CONTACTS.items():
        await on(
            database.owner_url, "create table saved as select * from midnight_contacts",
            f"{hand} where (party, at) in (select party, at from saved order by at desc limit 1)",
        )  # fmt: skip
        told = [str(finding) for finding in (await verify(world)).findings]
        assert any("midnight_contacts" in each and says in each for each in told), (hand, told)
        await on(
            database.owner_url, "truncate midnight_contacts",
            "insert into midnight_contacts select * from saved", "drop table saved",
        )  # fmt: skip
    assert await right(world)
    await send(world, message("late", END - DAY + MINUTE, contact="2"))
    assert (await settle(world)).facts == 3
