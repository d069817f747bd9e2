"""Trouble under load: many clients at once, poisoned facts, locks held elsewhere, servers killed.

In each of them every fact is answered in the end, stands once in every place, and is charged once.
EV-1 and EV-2, over the socket of a served process.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from persistence.servers import running
from tests.conftest import OPERATOR_KEY, Served, on, run_served, said
from tests.wire.client import Json, connected, refused, until
from tests.wire.conftest import House
from tests.wire.traffic import (
    CLOCK,
    Event,
    Tally,
    batches,
    check_ledger,
    check_loose,
    loose,
    open_tenants,
    send,
)

#: Others must be done long before this while one tenant is locked.
LOCKED_SECONDS = 8.0

_numbers = itertools.count(1)


async def new_tenants(house: House, count: int) -> list[str]:
    """Tenants of one test, in the order of their ids."""
    tenants = [f"t-{next(_numbers)}" for _ in range(count)]
    await open_tenants(house.client, tenants)
    return tenants


async def check(house: House, tenants: Sequence[str], count: int) -> None:
    """Each tenant has its `count` loose facts once, in rows and in figures."""
    await check_ledger(house.owner_url, tenants, count * len(tenants))
    await check_loose(house.client, tenants, count)


def of_all(tenants: Sequence[str], count: int) -> list[Event]:
    return [event for tenant in tenants for event in loose(tenant, count)]


async def test_one_batch_in_many_requests_at_once_is_kept_once(house: House) -> None:
    """EV-1: each fact has one first outcome, whoever brought it."""
    tenants = await new_tenants(house, 5)
    events = of_all(tenants, 100)
    tally = Tally()
    answers = await asyncio.gather(*(send(house.client, events, tally) for _ in range(4)))
    assert tally.statuses == {"accepted": 500, "duplicate": 1_500}
    for results in zip(*answers, strict=True):
        assert len({str(result["charges"]) for result in results}) == 1
        statuses = Counter(result["status"] for result in results)
        assert statuses == {"accepted": 1, "duplicate": 3}
    await check(house, tenants, 100)


async def test_twenty_clients_with_overlapping_batches(house: House) -> None:
    """EV-1, EV-2: batches that share facts, in any order, from everywhere."""
    tenants = await new_tenants(house, 5)
    order = random.Random(20)
    events = of_all(tenants, 200)
    parts = batches(order.sample(events, len(events)), 100)
    tally = Tally()

    async def client_of(number: int) -> None:
        async with connected(house.server) as client:
            for step in order.sample((0, 1, 3), 3):
                part = parts[(number + step) % len(parts)]
                await send(client, order.sample(part, len(part)), tally)

    await asyncio.gather(*(client_of(number) for number in range(20)))
    assert tally.statuses == {"accepted": 1_000, "duplicate": 5_000}
    await check(house, tenants, 200)


async def test_two_processes_on_one_database(house: House, tmp_path: Path) -> None:
    """Any process serves any tenant: both take facts of the same ones, the same facts even."""
    tenants = await new_tenants(house, 5)
    order = random.Random(2)
    tally = Tally()

    async def clients_of(server: Served) -> None:
        events = of_all(tenants, 200)
        parts = batches(order.sample(events, len(events)), 50)
        async with connected(server) as client:
            waiting = iter(parts)

            async def one() -> None:
                for part in waiting:
                    await send(client, part, tally)

            await asyncio.gather(*(one() for _ in range(4)))

    async with another(house, tmp_path) as second:
        await asyncio.gather(clients_of(house.server), clients_of(second))
        assert tally.statuses == {"accepted": 1_000, "duplicate": 1_000}
        await check(house, tenants, 200)
        async with connected(second) as client:
            await check_loose(client, tenants, 200)


@asynccontextmanager
async def another(house: House, folder: Path) -> AsyncIterator[Served]:
    """A second process on the house's database."""
    server = await run_served(variables=house.variables, errors=folder / "second.log")
    try:
        yield server
    finally:
        await server.stop()


@pytest.mark.parametrize("poisoned", [[617], [0, 1, 499, 500, 999]], ids=["one", "several"])
async def test_of_a_thousand_facts_only_the_poisoned_are_refused(
    house: House, poisoned: list[int]
) -> None:
    """EV-2: what the database will not store is found alone, and leaves no key (EV-1)."""
    tenants = await new_tenants(house, 5)
    events = of_all(tenants, 200)
    for place in poisoned:
        events[place]["source"] = "poison"
    async with poison(house):
        results = await send(house.client, events, Tally())
    for place, result in enumerate(results):
        if place not in poisoned:
            assert result["status"] == "accepted"
            continue
        refused(result, "invalid_field", "data")
        assert "nothing of it was kept" in result["message"]
    await check_ledger(house.owner_url, tenants, 1_000 - len(poisoned))
    tally = Tally()
    await send(house.client, events, tally)
    assert tally.statuses == {"accepted": len(poisoned), "duplicate": 1_000 - len(poisoned)}
    await check(house, tenants, 200)


@asynccontextmanager
async def poison(house: House) -> AsyncIterator[None]:
    """A database that will not store facts of the source `poison`."""
    check = "constraint poisoned check (source <> 'poison') not valid"
    await on(house.owner_url, f"alter table facts add {check}")
    try:
        yield
    finally:
        await on(house.owner_url, "alter table facts drop constraint poisoned")


async def test_a_poisoned_fact_is_one_line_in_the_log(house: House) -> None:
    (tenant,) = await new_tenants(house, 1)
    before = len(said(house.server.errors))
    async with poison(house):
        (result,) = await send(house.client, [loose(tenant, 1)[0] | {"source": "poison"}], Tally())
    refused(result, "invalid_field", "data")
    words = said(house.server.errors)[before:]
    assert "poisoned" in words
    assert words.count("\n") == 1


async def test_what_the_database_cannot_do_now_is_no_fault_of_a_fact(house: House) -> None:
    """A full disk refuses nothing for good: it is tried again, and kept when there is room."""
    (tenant,) = await new_tenants(house, 1)
    tally = Tally()
    await on(house.owner_url, *FULL)
    try:
        sending = asyncio.create_task(send(house.client, loose(tenant, 10), tally))
        await until(lambda: house.owner.fetchval(TRIES), lambda tries: tries >= 2)
    finally:
        await on(house.owner_url, "drop function full_disk cascade", "drop sequence tries")
    await sending
    assert tally.statuses == {"accepted": 10}
    await check(house, [tenant], 10)


#: A sequence counts what is rolled back as well.
FULL = (
    "create sequence tries",
    """create function full_disk() returns trigger language plpgsql security definer as $$
    begin
        perform nextval('tries');
        raise exception 'no space left on device' using errcode = '53100';
    end $$""",
    "create trigger full_disk before insert on commits execute function full_disk()",
)
TRIES = "select last_value from tries"


@pytest.mark.parametrize("near", [True, False], ids=["of-its-lane", "of-other-lanes"])
async def test_a_tenant_locked_elsewhere_holds_up_nobody_else(house: House, near: bool) -> None:
    """Its facts wait for the lock and are answered then; those of others go on meanwhile."""
    tenants = await new_tenants(house, 9)
    rows = await house.owner.fetch("select tenant_id, key from tenants")
    ids = {row["key"]: row["tenant_id"] for row in rows}
    locked = tenants[0]
    others = [tenant for tenant in tenants[1:] if ((ids[tenant] - ids[locked]) % 4 == 0) == near]
    tally = Tally()
    async with connected(house.server) as patient:
        async with lock(house, ids[locked]):
            waiting = [
                asyncio.create_task(send(patient, part, tally))
                for part in batches(loose(locked, 90), 30)
            ]
            async with asyncio.timeout(LOCKED_SECONDS):
                for part in range(6):
                    for tenant in others:
                        await send(house.client, batches(loose(tenant, 90), 15)[part], tally)
            assert tally.statuses == {"accepted": 90 * len(others)}
            assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)
    assert tally.statuses == {"accepted": 90 * (len(others) + 1)}
    await check(house, [locked, *others], 90)


@asynccontextmanager
async def lock(house: House, tenant_id: int) -> AsyncIterator[None]:
    """Hold a tenant's head as another process would."""
    holder = await asyncpg.connect(house.owner_url)
    try:
        await holder.execute("begin")
        await holder.execute("select from tenant_head where tenant_id = $1 for update", tenant_id)
        yield
    finally:
        await holder.close()


# Servers that die.

TENANTS = [f"t-{n}" for n in range(1, 6)]


@asynccontextmanager
async def housed(data: Path, errors: Path) -> AsyncIterator[Served]:
    """A served process with servers of its own, which must end cleanly."""
    server = await run_served(
        *("--data", str(data)),
        variables={"KUOTA_OPERATOR_KEY": OPERATOR_KEY, "KUOTA_CLOCK": CLOCK},
        errors=errors,
    )
    try:
        yield server
    except BaseException:
        await server.kill()
        raise
    await server.stop()


async def postmaster(data: Path) -> int:
    """The process number of a Postgres that takes connections; 0 while there is none."""
    try:
        lines = (data / "postgres" / "postmaster.pid").read_text().split("\n")
        return int(lines[0]) if lines[7].strip() == "ready" else 0
    except (OSError, IndexError, ValueError):
        return 0


async def backend(owner_url: str) -> int:
    """The process number of a connection that facts come in by."""
    owner = await asyncpg.connect(owner_url)
    try:
        found = await owner.fetchval(
            "select pid from pg_stat_activity where application_name = 'kuota'"
            " order by state_change desc limit 1"
        )
        return int(found)
    finally:
        await owner.close()


@pytest.mark.slow
async def test_postgres_killed_under_load(data: Path, tmp_path: Path) -> None:
    """Clients get answers or are told to try again; nothing is lost and nothing is there twice."""
    count = 400
    tally = Tally()

    async def client_of(server: Served, tenant: str) -> None:
        async with connected(server) as own:
            for part in batches(loose(tenant, count), 20):
                await send(own, part, tally)

    async def kill(owner_url: str) -> None:
        """The postmaster twice, and in between one of its processes, which ends all the others."""
        await tally.reached(200)
        first = await postmaster(data)
        os.kill(first, signal.SIGKILL)
        await tally.reached(800)
        second = await until(lambda: postmaster(data), lambda pid: pid not in (0, first))
        os.kill(await backend(owner_url), signal.SIGKILL)
        await tally.reached(1_400)
        os.kill(second, signal.SIGKILL)

    async with housed(data, tmp_path / "served.log") as server, connected(server) as client:
        await open_tenants(client, TENANTS)
        told = running(data)
        assert told is not None
        owner_url = told.addresses.owner_url
        assert owner_url is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(kill(owner_url))
            for tenant in TENANTS:
                group.create_task(client_of(server, tenant))
        assert tally.answered == count * len(TENANTS)
        assert set(tally.statuses) <= {"accepted", "duplicate"}
        await until(lambda: readiness(server), lambda told: told["status"] == "ready")
        await check_ledger(owner_url, TENANTS, count * len(TENANTS))
        await check_loose(client, TENANTS, count)


async def readiness(server: Served) -> Json:
    async with connected(server) as client:
        response = await client.get("/readyz")
        return {"code": response.status_code, **response.json()}


@pytest.mark.slow
async def test_valkey_killed_under_load(data: Path, tmp_path: Path) -> None:
    """No answer to facts waits for Valkey; readiness says that it is away, and that it is back."""
    tally = Tally()
    async with housed(data, tmp_path / "served.log") as server, connected(server) as client:
        await open_tenants(client, TENANTS)
        assert (await readiness(server))["status"] == "ready"
        parts = batches(of_all(TENANTS, 120), 100)
        valkey = int((data / "valkey" / "valkey.pid").read_text())
        # Stopped it neither answers nor hangs up, which is worse than being dead.
        os.kill(valkey, signal.SIGSTOP)
        for part in parts[:2]:
            await send(client, part, tally)
        away = await readiness(server)
        assert (away["code"], away["status"]) == (200, "degraded")
        assert (away["checks"]["valkey"], away["checks"]["database"]) == ("down", "ok")
        os.kill(valkey, signal.SIGKILL)
        for part in parts[2:4]:
            await send(client, part, tally)
        await until(lambda: readiness(server), lambda told: told["status"] == "ready")
        for part in parts[4:]:
            await send(client, part, tally)
        assert int((data / "valkey" / "valkey.pid").read_text()) != valkey
        assert tally.statuses == {"accepted": 600}
        assert (tally.unavailable, tally.lost) == (0, 0)
        await check_loose(client, TENANTS, 120)
