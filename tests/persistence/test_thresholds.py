"""Thresholds of a tenant's own on a real database: an edit is a movement, decided once (AL-4)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count, pairwise
from pathlib import Path

import pytest

from api.exporting import export
from api.importing import Importing
from api.log_file import LogFile, Writer
from api.operations import threshold_set
from api.operations.threshold_set import ThresholdSet
from domain.periods import HOUR
from domain.problems import Problem
from domain.thresholds import ThresholdsError
from domain.watch import AlertCause, AlertKind, Measure, Threshold
from persistence import alerts
from persistence.actions import Action
from persistence.door import CONNECTION_LOST
from persistence.keys import standing
from persistence.servers import Servers
from persistence.tenants import find_by_keys
from persistence.valkey import client
from tests.conftest import Database
from tests.persistence.test_actions import told
from tests.persistence.test_alerts import (
    ACME,
    HEAD,
    LOW,
    TEN,
    UNIT,
    ZERO,
    bare,
    begin,
    raised,
    said,
    settle,
    verified,
    visit,
    visits,
)
from tests.persistence.test_due import MONTH_END, FragileDoor
from tests.persistence.test_log_file import fresh
from tests.scenarios.world import OPERATOR, World

HALF, FIFTH = (Threshold(Measure.PERCENT, each * UNIT) for each in (50, 20))
FIVE = Threshold(Measure.UNITS, 5 * UNIT)


@pytest.fixture
async def world(app_url: str, redis_url: str) -> AsyncIterator[World]:
    """A tenant with 50 conversations and 20 visitors a month."""
    async with World.open(app_url, redis_url, door=FragileDoor) as world:
        world.clock.at = TEN
        await begin(world, ACME)
        yield world


async def watch(
    world: World, *percents: int, units: tuple[int, ...] = (), key: str, balance: str = "visitors"
) -> Action:
    request = ThresholdSet(
        tenant=ACME, balance=balance, percents=tuple(each * UNIT for each in percents),
        units=tuple(each * UNIT for each in units), idempotency_key=key,
    )  # fmt: skip
    return await threshold_set.run(
        world.door, world.catalogue, world.show, OPERATOR, request, now=world.clock.now()
    )


async def below(world: World) -> set[Threshold]:
    marks = alerts.marks((await world.row(ACME, HEAD))["below"])
    assert marks is not None
    return {threshold for balance_id, threshold in marks if balance_id == 2}


async def test_an_edit_raises_what_it_brings_about_in_its_commit(world: World) -> None:
    """AL-1, AL-4: once, under a cause of its own; asked again, the answer is the stored one."""
    await visits(world, 0, 13)
    before = (await world.row(ACME, HEAD))["version"]
    first = await watch(world, 50, 20, key="one")
    again = await watch(world, 50, 20, key="one")
    assert first == again
    assert [first.body[name] for name in ("balance", "thresholds")] == [
        "visitors", [[1, 50 * UNIT], [1, 20 * UNIT]]
    ]  # fmt: skip
    (low, half, gone) = await raised(world)
    assert said([low, half, gone]) == [
        ("THRESHOLD", "FACT"), ("THRESHOLD", "THRESHOLDS"), ("RECOVERED", "THRESHOLDS")
    ]  # fmt: skip
    assert (half.threshold, gone.threshold) == (50 * UNIT, 40 * UNIT)
    assert {(each.version, each.cause_id, each.action) for each in (half, gone)} == {
        (before + 1, "one", (11, first.action_id))
    }
    assert await below(world) == {HALF}
    with pytest.raises(Problem, match="another request"):
        await watch(world, 50, key="one")
    # The process that remembers the tenant knows by its next fact.
    await visits(world, 13, 18)
    assert said(await raised(world))[3:] == [("THRESHOLD", "FACT")]
    assert await below(world) == {HALF, FIFTH}
    await watch(world, key="none")
    assert await below(world) == {LOW}
    await settle(world)
    await verified(world)


async def test_every_problem_is_told_and_nothing_is_changed(world: World) -> None:
    before = await world.row(ACME, HEAD)
    with pytest.raises(ThresholdsError) as refused:
        await watch(world, 101, 5, 5, key="one", balance="visitor")
    assert [each.path for each in refused.value.problems] == [
        "balance", "percents[0]", "percents[2]"
    ]  # fmt: skip
    with pytest.raises(Problem, match="no tenant"):
        await threshold_set.run(
            world.door, world.catalogue, world.show, OPERATOR,
            ThresholdSet(
                tenant="none", balance="x", percents=(), units=(), idempotency_key="x"
            ), now=TEN,
        )  # fmt: skip
    assert await world.row(ACME, HEAD) == before


async def test_what_a_send_leaves_is_compared_with_the_own_ones(
    world: World, redis_url: str
) -> None:
    """AL-4: `authorize` says low by the highest, as soon as the edit is told."""
    tenant_id = world.tenants[ACME].tenant_id
    async with client(redis_url) as valkey, valkey.pubsub() as pubsub:
        await pubsub.psubscribe("kuota:readings:*")
        await pubsub.get_message(timeout=5)  # the acknowledgement
        action = await watch(world, 10, units=(15,), key="one")
        await told(pubsub, {tenant_id: ACME}, action.body["version"])
        low = await valkey.hget(standing(tenant_id)[0], "low:visitors")  # type: ignore[misc]
    assert int(low) == 15 * UNIT


async def test_an_edit_that_breaks_at_any_statement_raises_once(world: World) -> None:
    """AL-4: wherever the connection broke before, what the edit brings about is told once."""
    await visits(world, 0, 13)
    assert isinstance(world.door, FragileDoor)
    for statement in count(1):
        world.door.breaks_after = statement
        done = None
        with suppress(*CONNECTION_LOST):
            done = await watch(world, 50, 20, units=(5,), key="one")
        world.door.breaks_after = None
        if done is not None:
            break
    assert statement > 6
    await watch(world, 50, 20, units=(5,), key="one")
    assert said(await raised(world)) == [
        ("THRESHOLD", "FACT"), ("THRESHOLD", "THRESHOLDS"), ("RECOVERED", "THRESHOLDS")
    ]  # fmt: skip
    assert await below(world) == {HALF}
    (kept,) = await world.rows(ACME, "select at from actions where tenant_id = $1 and kind = 11")
    assert kept["at"] == TEN
    await verified(world)


async def test_writers_at_once_raise_each_alert_once(world: World) -> None:
    """AL-2, AL-4: edits among facts and adjustments of two processes, by turns for each line."""
    intakes = [world.intake, await world.process()]
    lists = [(50, 20), (), (80,), (50,), (0,)]
    await asyncio.gather(
        *(world.send([visit(n, TEN + n)], to=intakes[n % 2]) for n in range(24)),
        *(world.adjust(ACME, "visitors", (-9 if n % 2 else 9) * UNIT, key=f"{n}")
          for n in range(8)),
        *(watch(world, *each, units=(n,), key=f"edit {n}") for n, each in enumerate(lists, 1)),
    )  # fmt: skip
    found = await raised(world)
    by_line: dict[tuple[Measure, int], list[bool]] = {}
    for alert in found:
        by_line.setdefault((alert.measure, alert.threshold), []).append(
            alert.kind is not AlertKind.RECOVERED
        )
    for down in by_line.values():
        assert down[0]
        assert all(before is not after for before, after in pairwise(down))
    once = Counter((alert.cause_id, alert.measure, alert.threshold) for alert in found)
    assert set(once.values()) <= {1}
    assert await below(world) == {Threshold(*line) for line, down in by_line.items() if down[-1]}
    row = await world.row(ACME, "select thresholds::text as own from tenants where tenant_id = $1")
    last = await world.row(
        ACME, "select body::text as body from actions where tenant_id = $1 and kind = 11"
        " order by version desc limit 1",
    )  # fmt: skip
    assert json.loads(row["own"])["visitors"] == json.loads(last["body"])["thresholds"]
    await verified(world)


async def test_a_reset_before_an_edit_is_told_by_the_lines_of_its_time(world: World) -> None:
    """AL-2, TZ-4: nobody looked since the month began; what was set later is raised later."""
    await visits(world, 0, 13)
    world.clock.at = MONTH_END + HOUR
    await watch(world, 100, units=(25,), key="one")
    reset, units, *rest = (await raised(world))[1:]
    assert (reset.kind, reset.cause, reset.at) == (
        AlertKind.RECOVERED, AlertCause.RESET, MONTH_END
    )  # fmt: skip
    assert (units.kind, units.threshold, units.cause, units.at) == (
        AlertKind.THRESHOLD, 25 * UNIT, AlertCause.THRESHOLDS, MONTH_END + HOUR
    )  # fmt: skip
    assert rest == []
    await world.send([visit(90, MONTH_END + HOUR)])
    assert said(await raised(world))[3:] == [("THRESHOLD", "FACT")]
    await verified(world)


async def test_a_copy_is_watched_for_the_same(
    world: World, servers: Servers, template: str, tmp_path: Path
) -> None:
    """EV-8, AL-5: edits are in the log; nothing is raised anew, and it goes on from there."""
    await visits(world, 0, 13)
    await watch(world, 50, units=(5,), key="one")
    await watch(world, 10, key="of money", balance="whatsapp")
    await watch(world, key="of money again", balance="whatsapp")
    path = tmp_path / "acme.log"
    with path.open("wb") as file:
        await export(world.door, world.catalogue, ACME, Writer(file), world.clock.now)
    before = await raised(world)
    assert servers.addresses.redis_url is not None
    async with fresh(servers, template) as elsewhere:
        await copied(elsewhere, servers.addresses.redis_url, path, before)


async def copied(
    elsewhere: Database, redis_url: str, path: Path, before: list[alerts.Alert]
) -> None:
    async with World.open(elsewhere.app_url, redis_url) as other:
        importing = Importing(other.door, elsewhere.owner_url, LogFile.checked(path), TEN + HOUR)
        assert (await importing.run()).differences == {}
        other.tenants[ACME] = (await find_by_keys(other.door, [ACME]))[ACME]
        other.clock.at = TEN + HOUR
        assert other.tenants[ACME].thresholds == '{"visitors": [[1, 50000000], [2, 5000000]]}'
        assert [bare(alert) for alert in await raised(other)] == [bare(alert) for alert in before]
        assert await below(other) == {HALF}
        await visits(other, 13, 20)
        more = (await raised(other))[len(before) :]
        assert [(alert.measure, alert.threshold) for alert in more] == [FIVE, ZERO]
        await verified(other)


async def test_who_is_seen_first_stays(world: World) -> None:
    """What is said again answers the same, and a number of nobody's is none."""
    await visits(world, 0, 13)
    (low,) = await raised(world)
    async with world.door.tenant_tx(low.tenant_id) as connection:
        first = await alerts.see(connection, low.tenant_id, low.alert_id, TEN + 5)
        again = await alerts.see(connection, low.tenant_id, low.alert_id, TEN + 9)
        none = await alerts.see(connection, low.tenant_id, low.alert_id + 1, TEN + 9)
    assert first[0] == again[0]
    assert first[0] is not None
    assert (first[1], again[1], first[0].acknowledged_at) == (True, False, TEN + 5)
    assert none == (None, False)
    assert await alerts.passed(world.door, [low.tenant_id]) == [[first[0]]]
    # Raised anew, it is news again.
    await watch(world, 0, key="off")
    assert await alerts.passed(world.door, [low.tenant_id]) == [[]]
    await watch(world, key="on")
    ((news,),) = await alerts.passed(world.door, [low.tenant_id])
    assert (news.acknowledged_at, news.cause) == (None, AlertCause.THRESHOLDS)
    await verified(world)
