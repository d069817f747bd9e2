"""Alerts in the database: raised once by whoever moved a balance, and read back (AL-4, AL-5)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from api.exporting import export
from api.importing import Importing
from api.log_file import Alert as Line
from api.log_file import LogFile, Writer
from api.restoring import Restoring
from api.settling import Cause, Settling
from api.verifying import Verifying
from domain.fold import RESTORED
from domain.periods import DAY, HOUR, MINUTE, iso
from domain.watch import AlertCause, AlertKind, Mark, Measure, Threshold
from persistence import alerts
from persistence.alerts import Alert, Asked
from persistence.door import CONNECTION_LOST
from persistence.feed import decode, encode
from persistence.servers import Servers
from persistence.tenants import find_by_keys
from tests.conftest import Database, on
from tests.persistence.test_due import MONTH_END, NEXT_END, FragileDoor
from tests.persistence.test_log_file import fresh
from tests.scenarios.world import Json, World

ACME = "acme"
UNIT = 1_000_000
LOW, ZERO = Threshold(Measure.PERCENT, 40 * UNIT), Threshold(Measure.PERCENT, 0)
TEN = MONTH_END - 20 * DAY


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    """A tenant with 50 conversations and 20 visitors a month."""
    async with World.open(app_url, redis_url, door=FragileDoor) as world:
        world.clock.at = TEN
        await begin(world, ACME)
        yield world


async def begin(world: World, tenant: str) -> None:
    await world.tenant(tenant, plan="college-small")
    await world.number(tenant, "wa", "whatsapp", "+62 800 0000 01")


def visit(n: int, at: int, tenant: str = ACME) -> Json:
    """A contact's first message."""
    return {
        "id": f"visit {n:03}", "source": "s", "type": "message.received", "time": iso(at),
        "subject": tenant, "data": {"number": "+62 800 0000 01", "contact": f"+62 811{n:08d}"},
    }  # fmt: skip


async def visits(world: World, first: int, behind: int, tenant: str = ACME) -> None:
    """So many visitors, one request."""
    now = world.clock.at
    results = await world.send([visit(n, now, tenant) for n in range(first, behind)])
    assert {result["status"] for result in results} == {"accepted"}


async def raised(world: World, tenant: str = ACME) -> list[Alert]:
    """Everything that was raised of the visitors, as it was."""
    (found,) = await alerts.since(world.door, [(world.tenants[tenant].tenant_id, 0)], limit=1_000)
    return [alert for alert in found if alert.balance == "visitors"]


def said(found: list[Alert]) -> list[tuple[str, str]]:
    return [(alert.kind.name, alert.cause.name) for alert in found]


async def settle(world: World, tenant: str = ACME) -> None:
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    await settling.settle(world.tenants[tenant].tenant_id, Cause.DEMAND)


async def verified(world: World, tenant: str = ACME) -> None:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    found = await verifying.verify(world.tenants[tenant].tenant_id)
    assert (found.wrong, list(found.findings)) == (0, [])


HEAD = "select version, alerted, below from tenant_head where tenant_id = $1"


async def test_what_a_fact_passes_stands_beside_it(world: World) -> None:
    """AL-3, AL-4: in the commit that moved the balance, with one cause."""
    await visits(world, 0, 12)
    head = await world.row(ACME, HEAD)
    assert (head["alerted"], head["below"]) == (0, "[]")
    assert (await world.reading(ACME)).alerted == 0

    await visits(world, 12, 21)

    (low, zero, owed) = await raised(world)
    assert [alert.kind for alert in (low, zero, owed)] == [
        AlertKind.THRESHOLD, AlertKind.EXHAUSTED, AlertKind.OVERDRAWN
    ]  # fmt: skip
    facts = await world.rows(
        ACME, "select encode(key, 'hex') as key, id from facts where tenant_id = $1"
    )
    keys = {row["id"]: row["key"] for row in facts}
    causes = [(alert.cause, alert.cause_id, alert.at) for alert in (low, zero, owed)]
    assert causes == [(AlertCause.FACT, keys[f"visit {n:03}"], TEN) for n in (12, 19, 20)]
    assert (low.remaining, low.base, low.threshold) == (7 * UNIT, 20 * UNIT, LOW.value)
    assert (owed.measure, owed.remaining) == (Measure.WHOLE, -UNIT)
    head = await world.row(ACME, HEAD)
    assert (head["version"], head["alerted"]) == (2, 2)
    assert alerts.marks(head["below"]) == {
        (2, LOW), (2, ZERO), (2, Threshold(Measure.WHOLE, 0))
    }  # fmt: skip
    reading = await world.reading(ACME)
    assert reading.alerted == 2
    tenant_id = world.tenants[ACME].tenant_id
    published = decode(b"%d 0; %b" % (tenant_id, encode("e", reading)), {tenant_id})
    assert published is not None
    assert published.reading is not None
    assert published.reading.alerted == 2
    await verified(world)


async def test_another_process_knows_what_was_raised(world: World) -> None:
    """AL-2, AL-4: whoever commits next, remembering or not, raises nothing twice."""
    intakes = [world.intake, await world.process()]
    for n in range(30):
        await world.send([visit(n, TEN)], to=intakes[n % 2])
    world.clock.at += MINUTE
    await world.top_up(ACME, "visitors", 500 * UNIT, key="more")
    assert said(await raised(world)) == [
        ("THRESHOLD", "FACT"), ("EXHAUSTED", "FACT"), ("OVERDRAWN", "FACT"), ("RECOVERED", "TOP_UP")
    ]  # fmt: skip
    (action,) = {alert.action for alert in await raised(world) if alert.action}
    actions = await world.row(ACME, "select kind, action_id from actions where tenant_id = $1")
    assert action == tuple(actions)
    await verified(world)


async def test_two_writers_at_once_raise_each_alert_once(world: World) -> None:
    """AL-4: facts and actions of many at once; every threshold goes down and up by turns."""
    intakes = [world.intake, await world.process()]
    amounts = [(-9 if n % 2 else 9) * UNIT for n in range(12)]
    await asyncio.gather(
        *(world.send([visit(n, TEN + n)], to=intakes[n % 2]) for n in range(30)),
        *(world.adjust(ACME, "visitors", a, key=f"{n}") for n, a in enumerate(amounts)),
    )
    found = await raised(world)
    assert found
    assert len({(alert.version, alert.line) for alert in found}) == len(found)
    for threshold in (LOW, ZERO, Threshold(Measure.WHOLE, 0)):
        own = [alert for alert in found if (alert.measure, alert.threshold) == threshold]
        down = [alert.kind is not AlertKind.RECOVERED for alert in own]
        assert down[:1] in ([], [True])
        assert all(before is not after for before, after in pairwise(down))
    by_cause = Counter((alert.cause_id, alert.measure, alert.threshold) for alert in found)
    assert set(by_cause.values()) == {1}
    await verified(world)


async def test_a_job_that_breaks_at_any_statement_raises_once(world: World) -> None:
    """AL-2, AL-4: a reset is told once, wherever the connection broke before."""
    await visits(world, 0, 20)
    world.clock.at = MONTH_END
    jobs = world.jobs()
    assert isinstance(world.door, FragileDoor)
    for statement in count(1):
        world.door.breaks_after = statement
        with suppress(*CONNECTION_LOST):
            await jobs.advance_due()
        world.door.breaks_after = None
        if len(await raised(world)) > 2:
            break
    assert statement > 4
    await jobs.advance_due()
    assert said(await raised(world)) == [
        ("THRESHOLD", "FACT"), ("EXHAUSTED", "FACT"), ("RECOVERED", "RESET"), ("RECOVERED", "RESET")
    ]  # fmt: skip
    assert {alert.at for alert in (await raised(world))[2:]} == {MONTH_END}
    await verified(world)


async def test_a_settling_is_one_movement(world: World) -> None:
    """AL-5, EV-9: the net of what it posts, at the moment of posting; settled again, nothing."""
    await world.top_up(ACME, "whatsapp", 1_000 * UNIT, key="paid")
    template = {"category": "marketing", "template": "t"}
    sent = {**visit(1, TEN), "type": "message.delivered"}
    sent["data"] = {**sent["data"], **template}
    await world.send(
        [sent, {**sent, "id": "two", "data": {**sent["data"], "contact": "+62 81100000002"}}]
    )
    world.clock.at = TEN + HOUR
    came = visit(1, TEN - HOUR)
    # It turns out that the first had come from an ad: its message was free.
    await world.send([{**came, "id": "ad", "data": {**came["data"], "entry": "ad"}}])
    found = await whatsapp(world)
    await settle(world)
    after = await whatsapp(world)
    assert found == after[: len(found)]
    (back, *more) = after[len(found) :]
    assert {alert.cause for alert in (back, *more)} == {AlertCause.SETTLED}
    assert {alert.at for alert in (back, *more)} == {TEN + HOUR}
    assert back.version == (await world.row(ACME, HEAD))["alerted"]
    await settle(world)
    assert await whatsapp(world) == after
    await verified(world)


async def whatsapp(world: World) -> list[Alert]:
    (found,) = await alerts.since(world.door, [(world.tenants[ACME].tenant_id, 0)], limit=100)
    return [alert for alert in found if alert.balance == "whatsapp"]


async def test_facts_of_a_month_that_is_over_raise_nothing(world: World) -> None:
    """TZ-7, AL-4: by the clock, whatever they take."""
    world.clock.at = MONTH_END + HOUR
    results = await world.send([visit(n, MONTH_END - HOUR) for n in range(30)])
    assert {result["status"] for result in results} == {"accepted"}
    assert await raised(world) == []


# What is read back


async def test_alerts_since_a_version_come_whole_and_in_order(world: World) -> None:
    """AL-4: of many tenants in one statement; a version is never cut in two."""
    await begin(world, "birch")
    acme, birch = (world.tenants[name].tenant_id for name in (ACME, "birch"))
    await visits(world, 0, 20)
    for n in range(3):
        await world.adjust(ACME, "visitors", 30 * UNIT, key=f"up {n}")
        await world.adjust(ACME, "visitors", -50 * UNIT, key=f"down {n}")
    await visits(world, 0, 13, "birch")

    everything, none, other = await alerts.since(
        world.door, [(acme, 0), (acme, 99), (birch, 0)], limit=100
    )
    assert none == []
    assert [alert.tenant_id for alert in other] == [birch]
    places = [(alert.version, alert.line) for alert in everything]
    assert places == sorted(places)
    assert len(places) > 4
    gone_on: list[Alert] = []
    while True:
        after = gone_on[-1].version if gone_on else 0
        (more,) = await alerts.since(world.door, [(acme, after)], limit=1)
        if not more:
            break
        gone_on += more
    assert gone_on == everything
    first = [alert for alert in everything if alert.version == everything[0].version]
    (more,) = await alerts.since(world.door, [(acme, 0)], limit=1)
    assert more == first
    assert len(first) > 1


async def test_pages_go_backwards_and_know_their_version(world: World) -> None:
    await visits(world, 0, 21)
    await world.top_up(ACME, "visitors", 500 * UNIT, key="more")
    acme = world.tenants[ACME].tenant_id
    (newest,) = await alerts.pages(world.door, [Asked(tenant_id=acme)], limit=10)
    assert list(newest.alerts) == (await raised(world))[::-1]
    assert newest.version == (await world.row(ACME, HEAD))["version"]
    last = newest.alerts[1]
    pages = await alerts.pages(
        world.door,
        [Asked(tenant_id=acme, before=(last.version, last.line)), Asked(tenant_id=acme)],
        limit=1,
    )
    assert [list(page.alerts) for page in pages] == [[newest.alerts[2]], [newest.alerts[0]]]
    (only,) = await alerts.pages(
        world.door, [Asked(tenant_id=acme, kinds=(AlertKind.EXHAUSTED,))], limit=9
    )
    assert [alert.kind for alert in only.alerts] == [AlertKind.EXHAUSTED]
    await begin(world, "nothing")
    asked = Asked(tenant_id=world.tenants["nothing"].tenant_id)
    (nothing,) = await alerts.pages(world.door, [asked], limit=9)
    assert (nothing.version, nothing.alerts) == (0, [])


async def test_an_alert_stays_as_it_is_but_for_who_saw_it(world: World) -> None:
    """AL-5: nothing raised is withdrawn, or raised again."""
    await visits(world, 0, 20)
    for statement in ("update alerts set kind = 3 where tenant_id = $1",
                      "delete from alerts where tenant_id = $1"):  # fmt: skip
        with pytest.raises(Exception, match="permission denied"):
            await world.rows(ACME, statement)
    (low, _) = await raised(world)
    async with world.door.tenant_tx(low.tenant_id) as connection:
        await alerts.acknowledge(connection, low.tenant_id, low.version, {low.line: TEN + 5})
    assert [alert.acknowledged_at for alert in await raised(world)] == [TEN + 5, None]
    await verified(world)


def test_marks_are_spelt_and_read() -> None:
    below: set[Mark] = {(3, LOW), (3, ZERO), (1, Threshold(Measure.UNITS, 25 * UNIT))}
    assert alerts.spelt(below) == "[[1,2,25000000],[3,1,0],[3,1,40000000]]"
    assert alerts.marks(alerts.spelt(below)) == below
    assert (alerts.spelt(set()), alerts.marks("[]")) == ("[]", set())
    assert (alerts.spelt(None), alerts.marks(None)) == (None, None)


# A log that is taken in elsewhere


async def test_a_copy_has_the_alerts_and_goes_on_from_them(
    world: World, servers: Servers, template: str, tmp_path: Path
) -> None:
    """AL-5, EV-8: nothing is raised anew, and what is low is low there too."""
    await visits(world, 0, 15)
    path = tmp_path / "acme.log"
    with path.open("wb") as file:
        await export(world.door, world.catalogue, ACME, Writer(file), world.clock.now)
    before = await raised(world)
    assert servers.addresses.redis_url is not None
    async with fresh(servers, template) as elsewhere:
        await copied(elsewhere, servers.addresses.redis_url, path, before)


async def copied(elsewhere: Database, redis_url: str, path: Path, before: list[Alert]) -> None:
    async with World.open(elsewhere.app_url, redis_url) as other:
        importing = Importing(other.door, elsewhere.owner_url, LogFile.checked(path), TEN + HOUR)
        assert (await importing.run()).differences == {}
        other.tenants[ACME] = (await find_by_keys(other.door, [ACME]))[ACME]
        other.clock.at = TEN + HOUR
        assert [bare(alert) for alert in await raised(other)] == [bare(alert) for alert in before]
        await verified(other)
        head = await other.row(ACME, HEAD)
        assert (head["alerted"], alerts.marks(head["below"])) == (head["version"], {(2, LOW)})
        causes = await other.rows(ACME, "select cause from commits where tenant_id = $1")
        assert [row["cause"] for row in causes].count(RESTORED) == 1

        # What was kept once is passed over, by whom it is brought again.
        lines = [line for line in LogFile.checked(path).lines() if isinstance(line, Line)]
        tenant_id = other.tenants[ACME].tenant_id
        again = Restoring(other.door, other.catalogue, tenant_id)
        for line in [*lines, lines[0]]:
            await again.take(line, TEN + HOUR)
        await again.keep(TEN + HOUR)
        assert len(await raised(other)) == len(before) + 1

        await visits(other, 20, 25)
        assert said(await raised(other))[len(before) + 1 :] == [("EXHAUSTED", "FACT")]
        await verified(other)


def bare(alert: Alert) -> dict[str, Any]:
    """An alert without the numbers of its database."""
    of_the_database = ("alert_id", "tenant_id", "version", "line", "action")
    return {
        name: getattr(alert, name)
        for name in Alert.__dataclass_fields__
        if name not in of_the_database
    }


async def test_a_reset_decides_afresh_where_nobody_looked(world: World) -> None:
    """AL-2, AL-4: by the first fact of the month, months late, with every lot loaded anew."""
    await visits(world, 0, 20)
    world.clock.at = NEXT_END + MINUTE
    fresh_process = await world.process()
    await world.send([visit(99, NEXT_END + MINUTE)], to=fresh_process)
    found = await raised(world)
    assert said(found)[2:] == [("RECOVERED", "RESET"), ("RECOVERED", "RESET")]
    assert {alert.at for alert in found[2:]} == {NEXT_END}
    await verified(world)


async def test_lists_walk_the_index(world: World, database: Database) -> None:
    """What a watcher and a page ask for reads no more than it gives, whoever else has alerts."""
    await on(
        database.owner_url,
        "insert into alerts (tenant_id, version, line, balance_id, kind, measure, threshold,"
        " remaining, base, at, cause, cause_id) select t, n, 0, 2, 1, 1, 40, 0, 1, n, 1, 'x'"
        " from generate_series(1, 5) t, generate_series(1, 4000) n",
        "analyze alerts",
    )
    async with world.door.tenant_tx(world.tenants[ACME].tenant_id) as connection:
        for query, arguments in (
            (alerts.SINCE, ([1, 1], [3_990, 0], 10)),
            (alerts.PAGES, ([1], [alerts.NEWEST[0]], [alerts.NEWEST[1]], None, 10)),
            (alerts.PAGES, ([1], [500], [3], [1, 2], 10)),
        ):
            rows = await connection.fetch(f"explain {query}", *arguments)
            plan = "\n".join(row[0] for row in rows)
            assert "alerts_pkey" in plan, plan
            assert "Seq Scan on alerts" not in plan, plan
            assert "Sort Key: alerts" not in plan, plan
