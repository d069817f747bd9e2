"""SIGKILL in the middle of a replay, as often as you like: the figures are those of one clean run.

What was answered is kept; what was not is there whole or not at all, and comes again. EV-1, EV-8.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from persistence.servers import running
from tests.conftest import OPERATOR_KEY, ROOT, Served, environment, run_served, said
from tests.wire.client import Json, connected, operate, until
from tests.wire.traffic import (
    CLOCK,
    Event,
    Tally,
    batches,
    check_ledger,
    figures,
    open_tenants,
    send,
    told,
)

pytestmark = pytest.mark.slow

TENANTS = [f"t-{n}" for n in range(1, 7)]
FACTS_OF_A_TENANT = 200
FACTS = FACTS_OF_A_TENANT * len(TENANTS)
BATCH = 25
#: How much was answered when the process is killed, in percent.
KILLED_AT = (20,)
KILLED_UNDER_REPLAY = 70
TOP_UP = {"balance": "whatsapp", "amount": "50000", "startsAt": "2026-10-01T00:00:00Z"}


Start = Callable[..., Awaitable[Served]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """`await start(data, port)` gives a process with servers of its own under `data`.

    What still runs after the test is killed; no log may have a traceback.
    """
    started: list[Served] = []

    async def run(data: Path, port: int = 0) -> Served:
        server = await run_served(
            *("--data", str(data), "--port", str(port)),
            variables={"KUOTA_OPERATOR_KEY": OPERATOR_KEY, "KUOTA_CLOCK": CLOCK},
            errors=tmp_path / f"served-{len(started)}.log",
        )
        started.append(server)
        return server

    yield run
    for server in started:
        if server.process.returncode is None:
            await server.kill()
        assert "Traceback" not in said(server.errors)


async def test_a_replay_killed_at_several_points_ends_in_the_figures_of_a_clean_run(
    scratch: Path, tmp_path: Path, start: Start
) -> None:
    file = tmp_path / "facts.ndjson"
    events = sorted((event for t in TENANTS for event in told(t, FACTS_OF_A_TENANT)), key=by_time)
    file.write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")

    clean = scratch / "clean"
    server = await start(clean)
    await prepare(server)
    summary = await replay(server, file)
    assert summary["statuses"] == {"accepted": FACTS}
    wanted = await all_figures(server)
    assert sum(len(tenant["charges"]) for tenant in wanted.values()) > FACTS // 3
    await server.stop()
    assert not await processes(clean)

    killed = scratch / "killed"
    port = free_port()
    server = await start(killed, port)
    await prepare(server)
    for percent in KILLED_AT:
        await post_until_killed(server, FACTS * percent // 100)
        # At once, while what it left may still be ending.
        server = await start(killed, port)
    replaying = asyncio.create_task(replay(server, file))
    await kill_at(server, killed, FACTS * KILLED_UNDER_REPLAY // 100)
    assert not replaying.done()
    server = await start(killed, port)
    summary = await replaying
    assert summary["retries"] > 0
    assert set(summary["statuses"]) == {"accepted", "duplicate"}
    assert sum(summary["statuses"].values()) == FACTS

    summary = await replay(server, file)
    assert summary["statuses"] == {"duplicate": FACTS}
    assert await all_figures(server) == wanted
    await check_ledger(owner_of(killed), TENANTS, FACTS)

    assert len(await processes(killed)) > 2
    await server.kill()
    await until(lambda: processes(killed), lambda left: not left)


def by_time(event: Event) -> tuple[str, str]:
    return event["time"], event["subject"]


async def prepare(server: Served) -> None:
    """The tenants, on limits that the traffic reaches, and some money."""
    async with connected(server) as client:
        await open_tenants(client, TENANTS, plan="college-small")
        for tenant in TENANTS:
            await operate(
                client, "topUpCreate", "topUp { id }",
                tenant=tenant, idempotencyKey="first", **TOP_UP,
            )  # fmt: skip


async def all_figures(server: Served) -> dict[str, Json]:
    async with connected(server) as client:
        return {tenant: await figures(client, tenant) for tenant in TENANTS}


async def post_until_killed(server: Served, count: int) -> None:
    """Send everything from the start; once `count` facts were answered the process is killed."""
    tally = Tally()

    async def client_of(tenant: str) -> None:
        async with connected(server) as client:
            with contextlib.suppress(httpx2.TransportError):
                for part in batches(told(tenant, FACTS_OF_A_TENANT), BATCH):
                    await send(client, part, tally, again=False)

    async def killer() -> None:
        await tally.reached(count)
        await server.kill()

    async with asyncio.TaskGroup() as group:
        group.create_task(killer())
        for tenant in TENANTS:
            group.create_task(client_of(tenant))
    assert count <= tally.answered < FACTS
    assert tally.lost == len(TENANTS)
    assert set(tally.statuses) <= {"accepted", "duplicate"}


async def kill_at(server: Served, data: Path, facts: int) -> None:
    """Kill the process once so many facts are kept."""
    owner = await asyncpg.connect(owner_of(data))
    try:
        await until(lambda: owner.fetchval("select count(*) from facts"), lambda n: n >= facts)
        await server.kill()
    finally:
        owner.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def replay(server: Served, file: Path) -> Any:
    """What `python -m api replay --json` prints, which must be done."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "replay", str(file), "--url", server.url),
        *("--batch", str(BATCH), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(KUOTA_OPERATOR_KEY=OPERATOR_KEY),
        cwd=ROOT,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def owner_of(data: Path) -> str:
    told_of = running(data)
    assert told_of is not None
    assert told_of.addresses.owner_url is not None
    return told_of.addresses.owner_url


async def processes(data: Path) -> list[str]:
    return [command for place, command in commands() if str(data) in place + command]


def commands() -> Iterator[tuple[str, str]]:
    """Every process's folder and command, as far as `/proc` tells."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if command:
                yield str((entry / "cwd").readlink()), command
