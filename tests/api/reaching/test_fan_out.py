"""Fan-out: of each alert one delivery to each who wants it, whatever dies or comes at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api import ids
from api.tasks import LEASE
from domain.watch import AlertKind
from persistence import tasks
from persistence.deliveries import State
from tests.api.paying.till import Till
from tests.api.reaching.dispatch import Dispatch
from tests.api.reaching.receiver import Receiver, receiving
from tests.conftest import Database
from tests.scenarios.world import World
from tests.simulation.mortal import Fate, Mortal

SHOP = "shop"
NOON = 1_795_150_800_000_000  # 2026-11-20 12:00 in Jakarta
#: More than a commit, a fan-out and a send have steps.
STEPS_MAX = 60


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    """A tenant with 1,000 visitors a month."""
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON
        await world.tenant(SHOP)
        yield world


@pytest.fixture
async def dispatch(world: World) -> AsyncIterator[Dispatch]:
    dispatch = Dispatch.of(world)
    yield dispatch
    await dispatch.webhooks.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_each_alert_goes_to_each_who_wants_it(dispatch: Dispatch, receiver: Receiver) -> None:
    """AL-3: one movement that crosses two thresholds is two events with one cause."""
    everything, _ = await dispatch.endpoint(SHOP, f"{receiver.url}/all")
    await dispatch.endpoint(SHOP, f"{receiver.url}/zero", [AlertKind.EXHAUSTED])
    await dispatch.endpoint(SHOP, f"{receiver.url}/none", [AlertKind.TOPPED_UP])
    await dispatch.use(SHOP, 1_000)
    await dispatch.quiet()
    low, out = await dispatch.alerts(SHOP)
    bodies = {
        (request.path, request.headers["webhook-id"]): json.loads(request.body)
        for request in receiver.requests
    }
    first, second = (ids.encode("alt", each.alert_id) for each in (low, out))
    assert bodies.keys() == {
        ("/hooks/all", first), ("/hooks/all", second), ("/hooks/zero", second)
    }  # fmt: skip
    event = bodies["/hooks/all", first]
    assert (event["type"], event["timestamp"]) == ("alert.threshold", "2026-11-20T05:00:00Z")
    assert event["data"] | {"banner": "", "howToTopUp": {}, "causeId": ""} == {
        "id": first, "kind": "THRESHOLD", "tenant": SHOP, "balance": "visitors",
        "measure": "PERCENT", "threshold": "40", "value": "0",
        "remaining": {"value": "0", "currency": None, "formatted": "0"},
        "base": {"value": "1000", "currency": None, "formatted": "1.000"},
        "at": "2026-11-20T05:00:00Z", "cause": "ADJUSTMENT", "causeId": "", "banner": "",
        "howToTopUp": {},
    }  # fmt: skip
    assert event["data"]["howToTopUp"]["minimum"]["formatted"].startswith("Rp")  # AL-6
    assert event["data"]["banner"] == (
        "Monthly unique visitors: habis, tidak ada yang tersisa dari 1.000. "
        "Isi ulang minimal Rp\u00a0300.000."
    )
    zero = bodies["/hooks/zero", second]
    assert (zero["type"], zero["data"]["causeId"]) == (
        "alert.exhausted", event["data"]["causeId"]
    )  # fmt: skip
    log = await dispatch.log(SHOP)
    assert [(each.event, each.kind, each.state) for each in log] == [
        (first, "alert.threshold", State.DELIVERED), (second, "alert.exhausted", State.DELIVERED),
        (second, "alert.exhausted", State.DELIVERED),
    ]  # fmt: skip
    assert {each.target_id for each in log if each.event == first} == {everything.endpoint_id}
    assert await dispatch.left(SHOP) == []


async def test_what_nobody_wants_is_no_delivery(dispatch: Dispatch) -> None:
    await dispatch.use(SHOP, 700)
    assert [kind for kind, _ in await dispatch.left(SHOP)] == [tasks.NOTIFY]
    await dispatch.quiet()
    assert await dispatch.left(SHOP) == []
    assert await dispatch.log(SHOP) == []


async def test_a_refill_is_told_with_its_purchase_and_receipt(
    dispatch: Dispatch, receiver: Receiver
) -> None:
    """RF-3: started, then succeeded with what was paid and the number of its receipt."""
    till = Till.of(dispatch.world)
    await dispatch.endpoint(
        SHOP, receiver.url, [AlertKind.REFILL_STARTED, AlertKind.REFILL_SUCCEEDED]
    )
    await till.method(SHOP, "succeeds")
    await till.policy(SHOP, "visitors", minimum=20, amount=500)
    await dispatch.use(SHOP, 980)
    await till.tasks.quiet()
    await till.quiet()
    await dispatch.quiet()
    assert await dispatch.left(SHOP) == []
    started, paid = sorted(
        (json.loads(request.body) for request in receiver.requests),
        key=lambda event: str(event["type"]) != "alert.refill_started",
    )
    assert (started["type"], paid["type"]) == ("alert.refill_started", "alert.refill_succeeded")
    ((purchase, _),) = await till.purchases(SHOP)
    (number,) = await till.receipts(SHOP)
    assert paid["data"]["receipt"] == number is not None
    assert paid["data"]["purchase"]["id"] == ids.encode("pur", purchase.purchase_id)
    assert paid["data"]["purchase"]["total"]["value"] == "333000"
    assert (paid["data"]["purchase"]["state"], paid["data"]["howToTopUp"]) == ("PAID", None)
    assert "purchase" not in started["data"]


async def test_two_processes_at_once_tell_once(world: World, receiver: Receiver) -> None:
    """Both take what is due as fast as they can, and one even what the other has (a lost lease)."""
    one, two = Dispatch.of(world), Dispatch.of(world)
    tenants = [f"shop-{number}" for number in range(4)]
    for tenant in tenants:
        await world.tenant(tenant)
        for number in range(3):
            await one.endpoint(tenant, f"{receiver.url}/{tenant}/{number}")
        await one.use(tenant, 1_000)
    taken = await tasks.take(world.door, tasks.NOTIFY, NOON, lease=0, limit=100)
    again = await tasks.take(world.door, tasks.NOTIFY, NOON, lease=0, limit=100)
    assert len(taken) == len(again) == 4
    handlers = [one.tasks._handlers[tasks.NOTIFY], two.tasks._handlers[tasks.NOTIFY]]
    await asyncio.gather(
        *(handler(task) for handler in handlers for task in (*taken, *again)),
    )
    while [left for tenant in tenants for left in await one.left(tenant)]:
        await asyncio.gather(one.on(LEASE), two.quiet())
    sent = [(each.path, each.headers["webhook-id"]) for each in receiver.requests]
    assert len(sent) == len(set(sent)) == 24
    for each in (one, two):
        await each.webhooks.stop()


# Deaths


@pytest.fixture
async def mortal(database: Database, redis_url: str, scratch: Path) -> AsyncIterator[Mortal]:
    async with Mortal.open(database.app_url, redis_url, scratch) as mortal:
        mortal.world.clock.at = NOON
        yield mortal


async def told(world: World, tenant: str) -> None:
    """Tell what there is to be told, as a process does that begins after another one died."""
    dispatch = Dispatch.of(world)
    try:
        while await dispatch.left(tenant):
            await dispatch.on(LEASE)
    finally:
        await dispatch.webhooks.stop()


async def test_a_process_that_dies_at_any_step_tells_once(
    mortal: Mortal, receiver: Receiver
) -> None:
    """AL-4: one alert, one delivery, one end; sent again only behind a send, under the same id."""
    deaths, step = mortal.deaths, 0
    kept = False
    while step < STEPS_MAX:
        # Of steps inside a transaction every third; all that are kept.
        step += 1 if kept else 3
        tenant = f"shop-{step}-{kept}".lower()
        await mortal.world.tenant(tenant)
        dispatch = Dispatch.of(mortal.world)
        await dispatch.endpoint(tenant, f"{receiver.url}/{tenant}")
        await dispatch.use(tenant, 700)
        mortal.doom([Fate(step, kept)])
        await mortal.asked(lambda world, tenant=tenant: told(world, tenant))  # type: ignore[misc]
        died = mortal.deaths > deaths
        mortal.spare()
        await mortal.survived()
        deaths = mortal.deaths
        dispatch = Dispatch.of(mortal.world)
        (delivery,) = await dispatch.log(tenant)
        (alert,) = await dispatch.alerts(tenant)
        assert delivery.state is State.DELIVERED
        assert len(delivery.tries) == delivery.tried == 1
        assert await dispatch.left(tenant) == []
        requests = [each for each in receiver.requests if each.path.endswith(tenant)]
        assert 1 <= len(requests) <= 2
        assert {each.headers["webhook-id"] for each in requests} == {delivery.event}
        assert {each.body for each in requests} == {delivery.body}
        assert delivery.event == ids.encode("alt", alert.alert_id)
        if not died:
            if kept:
                break
            step, kept = 0, True
    else:
        raise AssertionError("it has more steps than that")
    assert deaths > 10
