"""The embedded servers: kept, restarted, stopped, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from persistence.servers import Owner, Servers, ServersError, running
from persistence.servers.account import Account, servers_account
from persistence.servers.process import alive, runs
from tests.conftest import ROOT, environment

PATIENCE_SECONDS = 30.0

#: Starts servers, says their processes, and waits for a line that never comes. With a second
#: argument it does what it does where the kernel tells no child of its parent's end.
HOLDER = """
import sys
from pathlib import Path
from persistence.servers import Servers, process
if len(sys.argv) > 2:
    process.LAUNCH = process.LAUNCH.replace("sys.platform", "'elsewhere'")
servers = Servers(Path(sys.argv[1]))
servers.start()
print(*servers.pids, flush=True)
sys.stdin.readline()
"""


async def ask(url: str | None, *statements: str) -> object:
    conn = await asyncpg.connect(url)
    try:
        for statement in statements[:-1]:
            await conn.execute(statement)
        return await conn.fetchval(statements[-1])
    finally:
        await conn.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def holder(data: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Another process that runs the servers of `data`, and their process numbers."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        try:
            yield process, pids
        finally:
            process.kill()


async def test_what_is_written_is_there_after_a_stop_and_a_start(data: Path) -> None:
    with Servers(data) as first:
        url = first.addresses.owner_url
        pids = first.pids
        await ask(url, "create table t (n int)", "insert into t values (7)", "select 1")
        assert await ask(url, "show fsync") == "on"
        assert await ask(url, "show listen_addresses") == ""
        with redis.Redis.from_url(first.addresses.redis_url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("port") == {"port": "0"}
    assert not any(alive(pid) for pid in pids if pid)
    with Servers(data) as second:
        assert second.addresses.owner_url == url
        assert await ask(url, "select n from t") == 7
    assert list((data / "run").iterdir()) == []


async def test_nobody_else_can_enter_the_folder_or_read_its_files(data: Path) -> None:
    with Servers(data):
        account = servers_account()
        for path in (data, data / "postgres", data / "run", data / "valkey"):
            status = path.stat()
            assert stat.S_IMODE(status.st_mode) == 0o700
            assert status.st_uid == (account.uid if account else os.geteuid())


def test_one_process_has_a_folder_and_the_others_learn_of_it(data: Path) -> None:
    assert running(data) is None
    with Servers(data, owner=Owner.SERVE, postgres=False) as first:
        first.announce("http://127.0.0.1:8123")
        told = running(data)
        assert told is not None
        assert (told.pid, told.owner) == (os.getpid(), Owner.SERVE)
        assert told.addresses == first.addresses
        assert told.address == "http://127.0.0.1:8123"
        with pytest.raises(ServersError, match=rf"in use by process {os.getpid()} \(serve\)"):
            Servers(data, postgres=False).start()
        assert running(data) == told
    assert running(data) is None


@pytest.mark.parametrize("part", [0, 1])
async def test_a_server_that_dies_is_started_again(data: Path, part: int) -> None:
    with Servers(data) as servers:
        await ask(servers.addresses.owner_url, "create table t (n int)", "select 1")
        killed = servers.pids[part]
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        until(lambda: servers.pids[part] != killed)
        assert await eventually(lambda: ask(servers.addresses.owner_url, "select 1 from t")) is None
        until(lambda: pings(servers.addresses.redis_url))


async def eventually(call: Callable[[], object]) -> object:
    """The call's answer once the server takes connections again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await call()  # type: ignore[misc]
        except (OSError, asyncpg.PostgresError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


def pings(url: str | None) -> bool:
    assert url is not None
    with redis.Redis.from_url(url) as client, contextlib.suppress(redis.ConnectionError):
        return bool(client.ping())
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_killing_the_parent_ends_the_servers(data: Path) -> None:
    with holder(data) as (process, pids):
        process.kill()
        process.wait()
        until(lambda: not any(alive(pid) for pid in pids))
    assert running(data) is None


def test_servers_an_earlier_run_left_are_ended_before_new_ones_start(data: Path) -> None:
    with holder(data, "apart") as (process, left):
        process.kill()
        process.wait()
        assert all(alive(pid) for pid in left)
        with Servers(data) as servers:
            assert not any(alive(pid) for pid in left)
            assert asyncio.run(ask(servers.addresses.owner_url, "select 1")) == 1


def test_a_kill_at_any_moment_of_the_first_start_can_be_started_over(data: Path) -> None:
    for delay in (0.05, 0.15, 0.3, 0.5, 0.7):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(data)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(),
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        process.kill()
        process.wait()
    with Servers(data) as servers:
        assert asyncio.run(ask(servers.addresses.owner_url, "select 1")) == 1


def test_a_process_number_given_to_another_program_is_not_the_server(data: Path) -> None:
    with Servers(data):
        pass
    other = os.getppid()
    pid_file = data / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{other}\n{data}/postgres\n1\n5432\n{data}/run\n\n1 1\nready\n")
    (data / "valkey" / "valkey.pid").write_text(f"{other}\n")
    assert not runs(other, data / "postgres")
    with Servers(data) as servers:
        assert asyncio.run(ask(servers.addresses.owner_url, "select 1")) == 1
    assert alive(other)


async def test_a_path_too_long_for_a_socket_has_its_sockets_elsewhere(scratch: Path) -> None:
    data = scratch / ("long-" + "x" * 90)
    with Servers(data) as servers:
        assert not (data / "run").exists()
        assert await ask(servers.addresses.owner_url, "select 1") == 1
        assert pings(servers.addresses.redis_url)
        sockets = Path(str(servers.addresses.redis_url).removeprefix("unix://")).parent
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert not sockets.exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(data: Path) -> None:
    data.mkdir()
    (data / "letter.txt").write_text("dear")
    with pytest.raises(ServersError, match="holds other files"):
        Servers(data).start()
    assert [path.name for path in data.iterdir()] == ["letter.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs them as another account")
def test_as_root_a_folder_out_of_reach_is_refused_and_no_mode_changed(scratch: Path) -> None:
    closed = scratch / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServersError, match=r"cannot reach .* choose a folder like"):
        Servers(closed / "data").start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert list(closed.iterdir()) == []


def test_a_folder_of_another_postgres_is_refused(data: Path) -> None:
    (data / "postgres").mkdir(parents=True)
    (data / "lock").touch()
    (data / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServersError, match=r"written by PostgreSQL 17 and the installed one is 18"):
        Servers(data).start()
    assert running(data) is None


def test_a_server_that_cannot_start_says_why_in_one_line(data: Path) -> None:
    with pytest.raises(ServersError, match=r"postgres did not start: .*shared_buffers") as caught:
        Servers(data, options={"shared_buffers": "nonsense"}).start()
    assert "\n" not in str(caught.value)
    assert running(data) is None


def test_only_what_is_wanted_is_started(data: Path) -> None:
    with Servers(data, postgres=False) as servers:
        assert servers.addresses.owner_url is None
        assert len(servers.pids) == 1
        assert pings(servers.addresses.redis_url)


def test_an_account_reaches_what_every_folder_on_the_way_lets_through(tmp_path: Path) -> None:
    stranger = Account(uid=2_000_001, gid=2_000_001)
    program = tmp_path / "program"
    program.write_text("")
    program.chmod(0o644)
    assert not stranger.reaches(program)
    assert Account(uid=os.geteuid(), gid=os.getegid()).reaches(tmp_path)
