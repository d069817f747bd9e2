"""A served process's life: ready, used, killed, restarted, ended, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from persistence.servers import running
from persistence.servers.process import alive
from tests.commands import (
    SERVED,
    TENANT,
    command,
    fact,
    graphql,
    lines_of,
    prepared,
    started,
    told,
)
from tests.conftest import (
    OPERATOR_KEY,
    ROOT,
    Served,
    ServedFactory,
    environment,
    run_served,
    said,
)

IDLE_RSS_KILOBYTES_MAX = 96 * 1024


@contextlib.asynccontextmanager
async def serving(data: Path, errors: Path, *arguments: str) -> AsyncIterator[Served]:
    """A serve with embedded servers under `data`, started as people do, and ended cleanly."""
    served = await run_served(
        "--data", str(data), *arguments, variables=SERVED, errors=errors, forked=False
    )
    try:
        yield served
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            served.process.kill()
        await served.process.wait()
        raise
    await served.stop()


async def ready(served: Served) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
        response = await client.get("/readyz")
        body: dict[str, Any] = response.json()
        return body


async def test_sigterm_ends_serve_with_0_and_nothing_left(data: Path, tmp_path: Path) -> None:
    async with serving(data, tmp_path / "serve.log") as server:
        told_of = running(data)
        assert told_of is not None
        assert told_of.address == server.url
        assert server.ready == {"ready": True, "address": server.url, "data": str(data)}
        assert (await ready(server))["status"] == "ready"
        pids = children(server.process.pid)
        assert len(pids) == 2
        await server.stop()
        assert not any(alive(pid) for pid in pids)
        assert running(data) is None
        assert list((data / "run").iterdir()) == []


def children(pid: int) -> list[int]:
    """The processes a process has started, on Linux."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end while we look.
        with contextlib.suppress(OSError):
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


async def test_a_signal_while_it_starts_leaves_nothing_either(data: Path, tmp_path: Path) -> None:
    errors = tmp_path / "serve.log"
    with errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api", "serve", "--port", "0", "--data", str(data)),
            stderr=stderr,
            env=environment(),
            cwd=ROOT,
        )
    while not (data / "lock").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)
    process.terminate()
    assert await process.wait() == 0, said(errors)
    assert "Traceback" not in said(errors), said(errors)
    assert running(data) is None


async def test_commands_use_the_servers_of_a_running_serve_or_their_own(
    data: Path, tmp_path: Path
) -> None:
    where = ("--data", str(data))
    code, out, err = await started("migrate", *where, "--json")
    assert code == 0, err
    assert json.loads(out)["applied"][0].startswith("0001_")
    await told("tenant", "create", "acme", *TENANT, *where)
    file = tmp_path / "facts.ndjson"
    file.write_bytes(lines_of(*(fact("zeta", number) for number in range(20))))

    async with serving(data, tmp_path / "serve.log") as server:
        code, _, err = await command("serve", "--port", "0", *where)
        assert code == 1
        assert f"in use by process {server.process.pid} (serve)" in err
        assert await told("migrate", *where) == {"applied": []}
        await told("tenant", "create", "zeta", *TENANT, *where)
        await told("number", "create", "zeta", "whatsapp", "+628001234567", *where)
        sent = await told("replay", str(file), *where, KUOTA_OPERATOR_KEY=OPERATOR_KEY)
        assert sent["statuses"] == {"accepted": 20}
        nodes = (await graphql(server, "{ tenants { nodes { key } } }"))["tenants"]["nodes"]
        assert sorted(node["key"] for node in nodes) == ["acme", "zeta"]

    code, _, err = await command("replay", str(file), *where, "--key", OPERATOR_KEY)
    assert code == 1
    assert "nothing serves from" in err


async def test_without_an_operator_key_it_says_how_to_make_one(data: Path, tmp_path: Path) -> None:
    errors = tmp_path / "serve.log"
    served = await run_served("--data", str(data), variables={}, errors=errors)
    line = said(errors).splitlines()[1]
    assert line.startswith("make an operator's key: python -m api key create --operator")
    code, out, err = await started(*line.partition("-m api ")[2].split())
    assert code == 0, err
    viewer = await graphql(served, "{ tenants { nodes { key } } }", key=out.strip())
    assert viewer["tenants"]["nodes"] == []
    # As Ctrl-C does.
    await served.stop(signal.SIGINT)
    assert running(data) is None


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
async def test_an_idle_process_is_small(served: ServedFactory) -> None:
    server = await served(forked=False)
    assert (await ready(server))["status"] == "ready"
    status = Path(f"/proc/{server.process.pid}/status").read_text()  # noqa: ASYNC240
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) < IDLE_RSS_KILOBYTES_MAX


@pytest.mark.slow
async def test_a_replay_outlives_the_server_and_nothing_is_lost_or_twice(
    data: Path, tmp_path: Path
) -> None:
    tenants = ("acme", "zeta", "omega")
    count = 3_000
    file = tmp_path / "facts.ndjson.gz"
    content = lines_of(*(fact(tenant, n) for n in range(count) for tenant in tenants))
    file.write_bytes(gzip.compress(content, 1))
    where = ("--data", str(data), "--port", str(free_port()))

    server = await run_served(*where, variables=SERVED, errors=tmp_path / "1.log")
    await prepared(server, *tenants)
    replaying = asyncio.create_task(
        told("replay", str(file), "--batch", "100", "--url", server.url, **SERVED)
    )
    await some_facts(server, tenants[0])
    await server.kill()
    server = await run_served(*where, variables=SERVED, errors=tmp_path / "2.log")
    first = await replaying
    assert first["complete"] is True
    assert first["retries"] > 0
    # What was kept but not answered before the kill is a duplicate when it is sent again.
    assert set(first["statuses"]) <= {"accepted", "duplicate"}
    assert first["facts"] == count * len(tenants)

    again = await told("replay", str(file), "--url", server.url, **SERVED)
    assert again["statuses"] == {"duplicate": count * len(tenants)}
    assert again["tenants"] == first["tenants"]
    balances = [tenant["balances"] for tenant in first["tenants"]]
    assert balances[0] == balances[1] == balances[2]
    await server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def some_facts(server: Served, tenant: str) -> None:
    """Return once facts of `tenant` have been charged."""
    query = (
        f'{{ tenant(key: "{tenant}") {{ balance(key: "conversations") {{ used {{ value }} }} }} }}'
    )
    while (await graphql(server, query))["tenant"]["balance"]["used"]["value"] == "0":
        pass


@pytest.mark.slow
async def test_several_workers_serve_one_port_and_one_that_dies_is_replaced(
    data: Path, tmp_path: Path
) -> None:
    """Beside them one process does the jobs, and is kept as they are."""
    async with serving(data, tmp_path / "serve.log", "--workers", "2") as server:
        await prepared(server, "acme")
        file = tmp_path / "facts.ndjson"
        file.write_bytes(lines_of(*(fact("acme", number) for number in range(500))))
        sent = await told("replay", str(file), "--batch", "20", "--url", server.url, **SERVED)
        assert sent["statuses"] == {"accepted": 500}

        assert (await ready(server))["parts"] == ["edge", "feed"]
        before = workers(server.process.pid)
        assert sorted(before.values()) == ["edge,feed", "edge,feed", "jobs"]
        jobs = re.search(r"jobs .*: see (http://[^ ]+)/metrics", said(server.errors))
        assert jobs is not None
        async with httpx2.AsyncClient(base_url=jobs[1], trust_env=False) as client:
            assert (await client.get("/readyz")).json()["parts"] == ["jobs"]
        for only in ("edge,feed", "jobs"):
            os.kill(next(pid for pid in before if before[pid] == only), signal.SIGKILL)
        while len(workers(server.process.pid).keys() - before.keys()) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert sorted(workers(server.process.pid).values()) == sorted(before.values())
        again = await told("replay", str(file), "--batch", "20", "--url", server.url, **SERVED)
        assert again["statuses"] == {"duplicate": 500}
        pids = children(server.process.pid)
    assert not any(alive(pid) for pid in pids)


def workers(pid: int) -> dict[int, str]:
    """The children of a serve that are workers, and the parts of each."""
    found = {}
    for child in children(pid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if b"worker" in words:
                found[child] = words[words.index(b"--only") + 1].decode()
    return found
