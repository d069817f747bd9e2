"""Facts whose data has a NUL, escaped: JSON takes it, texts of Postgres do not (EV-2, EV-4)."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from api.operations import simulate
from api.operations.simulate import Progress, Simulate
from api.reports.spec import Format, Kind
from api.settling import Cause
from domain.explain import Window
from domain.facts import TYPES, Channel, Type
from domain.periods import HOUR, MINUTE, Interval, Zone, iso
from persistence import explanations
from persistence.explanations import AskedWindow, Place
from persistence.log import BEGINNING, page
from tests.api.invoicing.office import Office
from tests.api.reports.worlds import made, spec_of
from tests.conftest import Database
from tests.persistence.test_log_file import TENANT, elsewhere, exported, imported, other, same
from tests.persistence.test_paid_usage import check
from tests.scenarios.world import OPERATOR, Json, World

__all__ = ["elsewhere", "other"]

CONTACT = "+62 811 1000 0001"

#: Names and values that a reader may take for what they are not.
ODD = {
    "direction\0": "in", "\0direction": "in", "seconds\0": 86_000, "user\0": "nobody",
    "note": "\0\\u0000\\\0\\\\u0000\0\0", "more": {"user": "\0", "list": ["\\", "\0", "\\"]},
}  # fmt: skip


@pytest.fixture
async def office(database: Database, redis_url: str) -> AsyncIterator[Office]:
    async with World.open(database.app_url, redis_url) as world:
        await world.tenant(TENANT, plan="postpaid-idr")
        world.clock.at = Office.of(world).local(TENANT, "2026-10-02 08:00")
        await world.number(TENANT, "wa", "whatsapp", "+62 811 1000 0000")
        yield Office.of(world)


def events(at: int, name: str) -> list[Json]:
    """A fact of every type, and of a call each direction, a minute apart."""
    found = []
    kinds = [(kind, "out") for kind in TYPES] + [("call.ended", "in")]
    for n, (kind, direction) in enumerate(kinds):
        data: Json = ODD | {
            "number": "+62 811 1000 0000", "contact": CONTACT, "user": "a\\u0000",
            "broadcast": "b\\u0000",
        }  # fmt: skip
        match kind:
            case "call.ended":
                data |= {"direction": direction, "seconds": 30}
            case "usage.recorded":
                data |= {"meter": "pages", "quantity": "2"}
        when = iso(at + n * MINUTE)
        found.append({
            "id": f"{name} {n}", "source": "crm", "type": kind, "time": when, "subject": TENANT,
            "data": data,
        })  # fmt: skip
    return found


async def send(office: Office, written: str, *, late: bool = False) -> None:
    """Let the facts of an instant of the tenant's clock come, backwards where they come late."""
    sent = events(office.local(TENANT, written), written)
    statuses = {each["status"] for each in await office.world.send(sent[:: -1 if late else 1])}
    assert statuses <= {"accepted", "unrated", "adjusted"}, statuses


async def verified(office: Office) -> list[str]:
    found = await office.verify(TENANT)
    return [str(each) for each in found.findings]


async def test_facts_with_escaped_nuls_are_settled_closed_asked_for_and_moved(
    office: Office, database: Database, other: World, elsewhere: Database, tmp_path: Path
) -> None:
    """Whatever nobody asked for is in a fact, it goes the way of all others."""
    world = office.world
    await office.subscribe(TENANT, "2026-10-02")
    await office.at(TENANT, "2026-10-20 10:00")
    await send(office, "2026-10-18 10:00", late=True)
    await office.settling.settle(world.tenants[TENANT].tenant_id, Cause.DEMAND)
    assert await verified(office) == []

    def october(zone: Zone, now: int) -> Interval:
        return office.local(TENANT, "2026-10-01 00:00"), office.local(TENANT, "2026-10-18 10:06")

    request = Simulate(tenant=TENANT, range=october)
    simulated = await simulate.run(
        world.door, world.catalogue, OPERATOR, request, now=world.clock.at, progress=Progress()
    )
    assert simulated.settled

    reading = await world.reading(TENANT, office.local(TENANT, "2026-10-18 10:30"))
    assert reading.pots

    await office.at(TENANT, "2026-11-05 00:00")  # October is closed, and invoiced
    assert len(await office.invoices(TENANT)) == 2
    await send(office, "2026-10-18 12:00")  # adjusted
    await send(office, "2026-11-04 23:30", late=True)
    await office.settling.settle(world.tenants[TENANT].tenant_id, Cause.DEMAND)
    assert await verified(office) == []
    await office.at(TENANT, "2026-12-04 00:00")
    assert len(await office.invoices(TENANT)) == 3
    await check(world, database, TENANT)  # as a migration fills usage

    ever = 0, world.clock.at
    _, lines = await made(world, TENANT, spec_of(Kind.CHARGES, Format.CSV, *ever), tmp_path)
    assert {(line["user"], line["broadcast"]) for line in lines} == {("a\\u0000", "b\\u0000")}

    path = await exported(world, tmp_path / "amber.log")
    done = await imported(elsewhere, path)
    assert done.differences == {}
    await same(world, other)
    other.clock.at = world.clock.at
    assert await verified(Office.of(other)) == []


async def test_a_call_with_escaped_nuls_is_what_moved_a_window(office: Office) -> None:
    """Its direction and seconds are its own, and not those of names that end in a NUL."""
    world = office.world
    world.clock.at = office.local(TENANT, "2026-10-20 10:00")
    at = office.local(TENANT, "2026-10-18 10:00")
    await send(office, "2026-10-18 10:00")
    tenant_id = world.tenants[TENANT].tenant_id

    async with world.door.tenant_tx(tenant_id) as connection:
        rows = await page(connection, tenant_id, after=BEGINNING, until=at + HOUR, limit=99)
    calls = [row for row in rows if row.type == Type.CALL_ENDED]
    assert [row.rank for row in calls] == [2, 1]

    last, number = calls[-1], world.numbers[TENANT, "wa"]
    asked = AskedWindow(
        Place(tenant_id, last.at, last.key), Window.SERVICE, number.number_id,
        Channel.WHATSAPP.value, last.party, last.version, 24 * HOUR,
    )  # fmt: skip
    (found,) = (await explanations.windows(world.door, [asked])).values()
    assert found.ends_at == last.at - 30 * 1_000_000 + 24 * HOUR


async def test_what_is_read_is_what_was_written_but_for_its_nuls(database: Database) -> None:
    """Escaped backslashes before u0000 are no NUL; a NUL becomes U+0001, in names as well."""
    chance = random.Random(1)
    parts = ("\0", "\\", "u0000", '"', "\\u0000", "é", "\1", "x")
    connection = await asyncpg.connect(database.app_url)
    try:
        for _ in range(300):
            one, two = ("".join(chance.choices(parts, k=chance.randrange(9))) for _ in range(2))
            data = json.dumps({one: two}, ensure_ascii=False)
            (found,) = await connection.fetch(
                "select j.* from json_each_text(readable($1)) j", data
            )
            assert tuple(found) == (one.replace("\0", "\1"), two.replace("\0", "\1")), data
    finally:
        await connection.close()
