"""The command line: what people type, what they get, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest

from api.cli import main
from persistence.servers import running
from persistence.servers.process import alive
from tests.conftest import (
    OPERATOR_KEY,
    ROOT,
    Database,
    Served,
    ServedFactory,
    environment,
    run_served,
    said,
)

Typed: TypeAlias = Callable[..., tuple[int, str, str]]
IDLE_RSS_KILOBYTES_MAX = 90 * 1024
#: Figures are the present month's, and the facts below are of October.
CLOCK = {"KUOTA_CLOCK": "2026-10-20T00:00:00Z"}
SERVED = {"KUOTA_OPERATOR_KEY": OPERATOR_KEY, **CLOCK}
TENANT = ("--plan", "omnichannel-idr", "--timezone", "Asia/Jakarta")


async def command(*arguments: str, stdin: bytes = b"", **variables: str) -> tuple[int, str, str]:
    """Run `python -m api ...` to its end: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**variables),
        cwd=ROOT,
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Typed]:
    """The same inside this process, for what starts no servers: no time is lost on imports."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        for name in [name for name in os.environ if name.startswith("KUOTA_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    yield run
    signal.signal(signal.SIGTERM, handler)


async def told(*arguments: str, **variables: str) -> Any:
    """What a command that succeeds prints with `--json`."""
    code, out, err = await command(*arguments, "--json", **variables)
    assert code == 0, err
    return json.loads(out)


def fact(tenant: str, number: int) -> dict[str, object]:
    """A delivered service message of `tenant`, the `number`th minute of October 2026."""
    day, minute = divmod(number, 24 * 60)
    return {
        "specversion": "1.0",
        "id": f"m-{number}",
        "source": "test",
        "type": "message.delivered",
        "subject": tenant,
        "time": f"2026-10-{1 + day:02}T{minute // 60:02}:{minute % 60:02}:00Z",
        "data": {
            "number": "+628001234567",
            "channel": "whatsapp",
            "contact": f"+62811000{number % 400:03}",
            "category": "service",
        },
    }


def lines_of(*facts: dict[str, object]) -> bytes:
    return b"".join(json.dumps(fact).encode() + b"\n" for fact in facts)


async def prepared(served: Served, *tenants: str) -> None:
    """Tenants with a number each, made through the API in one request."""
    mutations = [
        f't{n}: tenantCreate(input: {{key: "{tenant}", plan: "omnichannel-idr"}})'
        " { userErrors { message } }"
        f' n{n}: numberCreate(input: {{tenant: "{tenant}", channel: "whatsapp",'
        ' address: "+628001234567"}) { userErrors { message } }'
        for n, tenant in enumerate(tenants)
    ]
    answer = await graphql(served, f"mutation {{ {' '.join(mutations)} }}")
    assert all(payload["userErrors"] == [] for payload in answer.values()), answer


async def graphql(served: Served, query: str, key: str = OPERATOR_KEY) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers, trust_env=False) as client:
        answer = (await client.post("/graphql", json={"query": query})).json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


@pytest.fixture
def urls(database: Database, redis_url: str) -> dict[str, str]:
    """The environment of a command that works on the test's database."""
    return {
        "KUOTA_DATABASE_URL": database.app_url,
        "KUOTA_DATABASE_OWNER_URL": database.owner_url,
        "KUOTA_REDIS_URL": redis_url,
    }


@contextlib.asynccontextmanager
async def serving(data: Path, errors: Path, *arguments: str) -> AsyncIterator[Served]:
    """A serve with embedded servers under `data`, ended cleanly."""
    served = await run_served("--data", str(data), *arguments, variables=SERVED, errors=errors)
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_no_command_is_help(typed: Typed) -> None:
    code, out, _ = typed()
    assert code == 0
    for name in ("serve", "migrate", "tenant", "number", "key", "replay"):
        assert name in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("sell",), 2, "sell"),
        (("serve", "--port", "many"), 2, "--port"),
        (("serve", "--only", "jobs"), 2, "no process without the edge"),
        (("serve", "--only", "kitchen"), 2, "the parts are edge, feed, jobs"),
        (("tenant", "create", "acme"), 2, "--plan"),
        (("key", "create", "--scope", "usage:read"), 2, "either --operator or --tenant"),
        (("replay", "nowhere.ndjson", "--key", "k"), 1, "nowhere.ndjson cannot be read"),
        (("replay", "-"), 1, "give --key, or set KUOTA_OPERATOR_KEY"),
        (("serve", "--host", "no.such.host.invalid"), 1, "is no address of this machine"),
    ],
)
def test_what_cannot_be_done_has_its_exit_code_and_its_words(
    typed: Typed, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result, out, err = typed(*arguments)
    assert (result, out) == (code, "")
    assert words in err
    assert code == 2 or err.count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"KUOTA_DATABASEURL": "x"}, "the nearest is KUOTA_DATABASE_URL"),
        ({"KUOTA_OPERATOR_KEY": "short"}, "is shorter than 16 characters"),
    ],
)
def test_a_wrong_setting_stops_the_start_in_one_line(
    typed: Typed, variables: dict[str, str], words: str
) -> None:
    code, out, err = typed("serve", **variables)
    assert (code, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_clock_that_was_set_is_shown_to_this_machine_alone(typed: Typed) -> None:
    code, _, err = typed(
        *("serve", "--host", "0.0.0.0", "--port", "0"), KUOTA_CLOCK="2026-10-31T16:59:50Z"
    )
    assert code == 1
    assert "KUOTA_CLOCK is for tests on this machine" in err


def test_a_taken_port_is_said_before_anything_is_started(typed: Typed, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = typed("serve", "--port", str(port), "--data", str(data))
    assert code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in err
    assert "--port" in err
    assert running(data) is None
    assert not data.exists()


def test_a_database_that_is_away_is_one_line(typed: Typed, database: Database) -> None:
    url = database.app_url.replace(database.name, "nothing_here")
    code, _, err = typed("migrate", KUOTA_DATABASE_URL=url)
    assert code == 1
    assert 'database "nothing_here" does not exist' in err
    assert err.count("\n") == 1


async def test_commands_make_a_tenant_its_number_and_keys(urls: dict[str, str]) -> None:
    tenant = await told(
        *("tenant", "create", "acme", *TENANT, "--name", "Acme", "--since", "2026-11-01"), **urls
    )
    assert tenant == {
        "key": "acme",
        "name": "Acme",
        "timezone": "Asia/Jakarta",
        "currency": "IDR",
        "country": "ID",
        "locale": tenant["locale"],
        "plan": "omnichannel-idr",
        "since": "2026-10-31T17:00:00Z",
    }
    number = await told("number", "create", "acme", "whatsapp", "+62 800 123 4567", **urls)
    assert number == {
        "tenant": "acme",
        "channel": "whatsapp",
        "address": "628001234567",
        "timezone": "Asia/Jakarta",
    }
    code, out, err = await command(
        *("key", "create", "--tenant", "acme", "--scope", "events:write,usage:read"), **urls
    )
    assert code == 0, err
    assert out.startswith("kuota_")
    assert len(out.split()) == 1
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tenant", "create", "Acme!", *TENANT), "key: "),
        (("tenant", "create", "acme", "--plan", "none"), "there is no plan 'none'"),
        (("tenant", "create", "acme", *TENANT, "--since", "soon"), "since: "),
        (("number", "create", "acme", "whatsapp", "+628001234567"), "there is no tenant 'acme'"),
        (("key", "create", "--operator", "--scope", "usage:red"), "did you mean usage:read?"),
    ],
)
def test_a_refusal_is_one_line_that_names_the_field(
    typed: Typed, urls: dict[str, str], arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = typed(*arguments, **urls)
    assert (code, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1


async def test_a_file_of_facts_is_sent_once_however_often_it_is_replayed(
    served: ServedFactory, tmp_path: Path
) -> None:
    server = await served(**CLOCK)
    await prepared(server, "acme", "zeta")
    facts = [fact(tenant, number) for number in range(300) for tenant in ("acme", "zeta")]
    content = lines_of(*facts) + b"\n  \nnot json\n" + lines_of(fact("nobody", 1))
    plain, zipped = tmp_path / "facts.ndjson", tmp_path / "facts.ndjson.gz"
    plain.write_bytes(content)
    zipped.write_bytes(gzip.compress(content))
    common = ("--url", server.url, "--key", OPERATOR_KEY)

    first = await told("replay", str(plain), "--batch", "7", *common)
    assert first["complete"] is True
    assert first["statuses"] == {"accepted": 600, "refused": 2}
    assert first["reasons"] == {"invalid_json": 1, "unknown_tenant": 1}
    assert [tenant["key"] for tenant in first["tenants"]] == ["acme", "zeta"]
    conversations = {
        balance["key"]: balance["used"] for balance in first["tenants"][0]["balances"]
    }["conversations"]
    assert conversations == "300"

    second = await told("replay", str(zipped), *common)
    assert second["statuses"] == {"duplicate": 600, "refused": 2}
    assert second["tenants"] == first["tenants"]

    code, out, err = await command("replay", "-", *common, stdin=gzip.compress(content))
    assert code == 0, err
    assert "602 facts in" in out
    assert "duplicate 600, refused 2" in out
    assert "conversations" in out


async def test_a_wrong_key_ends_a_replay_with_what_the_server_said(
    served: ServedFactory, tmp_path: Path
) -> None:
    server = await served()
    file = tmp_path / "facts.ndjson"
    file.write_bytes(lines_of(fact("acme", 1)))
    code, out, err = await command("replay", str(file), "--url", server.url, "--key", "wrong")
    assert code == 1
    assert "401 UNAUTHENTICATED" in err
    assert "0 facts" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_serve_with_0_and_nothing_left(
    data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    async with serving(data, tmp_path / "serve.log") as server:
        told_of = running(data)
        assert told_of is not None
        assert told_of.address == server.url
        assert server.ready == {"ready": True, "address": server.url, "data": str(data)}
        assert (await ready(server))["status"] == "ready"
        pids = children(server.process.pid)
        assert len(pids) == 2
        await server.stop(number)
        assert not any(alive(pid) for pid in pids)
        assert running(data) is None
        assert list((data / "run").iterdir()) == []


def children(pid: int) -> list[int]:
    """The processes a process has started, on Linux."""
    tasks = Path(f"/proc/{pid}/task")
    return [
        int(word) for task in tasks.iterdir() for word in (task / "children").read_text().split()
    ]


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
    assert (await told("migrate", *where))["applied"][0].startswith("0001_")
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
    code, out, err = await command(*line.partition("-m api ")[2].split())
    assert code == 0, err
    viewer = await graphql(served, "{ tenants { nodes { key } } }", key=out.strip())
    assert viewer["tenants"]["nodes"] == []
    await served.stop()


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
    async with serving(data, tmp_path / "serve.log", "--workers", "2") as server:
        await prepared(server, "acme")
        file = tmp_path / "facts.ndjson"
        file.write_bytes(lines_of(*(fact("acme", number) for number in range(500))))
        sent = await told("replay", str(file), "--batch", "20", "--url", server.url, **SERVED)
        assert sent["statuses"] == {"accepted": 500}

        before = workers(server.process.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        while len(set(workers(server.process.pid)) - {before[0]}) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        again = await told("replay", str(file), "--batch", "20", "--url", server.url, **SERVED)
        assert again["statuses"] == {"duplicate": 500}
        pids = children(server.process.pid)
    assert not any(alive(pid) for pid in pids)


def workers(pid: int) -> list[int]:
    """The children of a serve that are workers."""
    found = []
    for child in children(pid):
        with contextlib.suppress(OSError):
            if b"worker" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                found.append(child)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
async def test_an_idle_process_is_small(served: ServedFactory) -> None:
    server = await served()
    assert (await ready(server))["status"] == "ready"
    status = Path(f"/proc/{server.process.pid}/status").read_text()  # noqa: ASYNC240
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(resident.split()[1]) < IDLE_RSS_KILOBYTES_MAX
