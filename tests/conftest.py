"""What all tests share: servers started once, a database per test, and a served process.

`servers` are a real PostgreSQL and Valkey in a temporary folder, `database` a fresh clone of a
template that was migrated once, `served` starts `python -m api serve` on a free port.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from hypothesis import HealthCheck, settings

from persistence.migrate import migrate
from persistence.servers import Servers
from tests.forking import CAN_FORK, Forked, fork

ROOT = Path(__file__).parent.parent
OPERATOR_KEY = "operator-key-of-the-tests"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
#: Nothing here outlives the machine, and this third of the suite's writes is not what it tests.
OPTIONS = {
    "fsync": "off", "full_page_writes": "off", "checkpoint_timeout": "1h", "max_wal_size": "1GB"
}  # fmt: skip
#: Where files are kept in memory, and the room that two sets of servers may need there at most.
MEMORY, MEMORY_BYTES = Path("/dev/shm"), 4 << 30
#: As many as the smallest machine has cores.
WORKERS = 2
SCRATCH = pytest.StashKey[Path]()

numbers = itertools.count(1)

# Examples are the same in every run, and none is too slow, however busy the machine is; others are
# drawn by `--hypothesis-profile=drawn`.
settings.register_profile("drawn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("kept", settings.get_profile("drawn"), derandomize=True, database=None)
settings.load_profile("kept")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--worlds", type=int, default=12, help="seeded worlds: seeds 1 to this")
    parser.addoption("--world", type=int, help="the seed of one world that is run alone")
    parser.addoption("--fuzz", type=int, default=100, help="random documents sent by test_fuzz")
    parser.addoption("--fuzz-seed", type=int, default=1, help="the seed of those documents")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds; runs after everything else")
    if of_a_worker := getattr(config, "workerinput", None):
        config.stash[SCRATCH] = Path(of_a_worker["scratch"]) / of_a_worker["workerid"]
        return
    # Removed by the process that outlives the workers: a Ctrl-C kills those.
    folder = config.stash[SCRATCH] = Path(tempfile.mkdtemp(prefix="kuota-tests-", dir=memory()))
    config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
    folder.chmod(0o755)
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        # Each process we start would compile all it imports, which takes longer than most work.
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")


def memory() -> Path | None:
    """A place in memory with enough room: a database's 500 files are made twice as fast there."""
    try:
        roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    except OSError:
        return None
    return MEMORY if roomy else None


def pytest_configure_node(node: Any) -> None:
    """Tell a worker, before it begins, where its files go."""
    node.workerinput["scratch"] = str(node.config.stash[SCRATCH])


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes with servers of their own for all tests, none for what somebody picks."""
    picked = any(config.getoption(name, None) for name in ("keyword", "markexpr", "lf"))
    everywhere = {Path(arg).resolve() for arg in config.args} == {ROOT / "tests"}
    return WORKERS if everywhere and not picked else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pure rules first, then what needs servers, then what is marked slow."""

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("slow"):
            return 2
        return 0 if (ROOT / "tests" / "domain") in item.path.parents else 1

    items.sort(key=rank)


@pytest.fixture(scope="session")
def scratch(pytestconfig: pytest.Config) -> Path:
    """A folder every account can walk through, unlike pytest's own; gone at the end."""
    folder = pytestconfig.stash[SCRATCH]
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _nobody_is_trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every client of HTTP reads at first whom it trusts, which takes 40 ms: here nobody.

    Nothing is asked of anybody outside this machine.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("trusted")))
        yield


@pytest.fixture
def data(scratch: Path) -> Iterator[Path]:
    """The path of a data folder that does not exist yet; removed after the test."""
    folder = scratch / f"data-{next(numbers)}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(scratch: Path) -> Iterator[Servers]:
    """PostgreSQL and Valkey for the whole session; one that is killed comes back."""
    with Servers(scratch / "servers", options=OPTIONS) as started:
        yield started


def named(url: str | None, name: str) -> str:
    """The URL of database `name` on the server of `url`."""
    assert url is not None
    return url.replace("/kuota?", f"/{name}?")


@pytest.fixture(scope="session")
async def template(servers: Servers) -> str:
    """The name of a migrated database that nobody is connected to."""
    owner_url = servers.addresses.owner_url
    assert owner_url is not None
    await on(owner_url, "create database kuota_template")
    await migrate(named(owner_url, "kuota_template"))
    return "kuota_template"


async def on(url: str, *statements: str) -> None:
    """Run statements on a connection of their own."""
    conn = await asyncpg.connect(url)
    try:
        for statement in statements:
            await conn.execute(statement)
    finally:
        await conn.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database of one test: the superuser's URL and the application's."""

    name: str
    owner_url: str
    app_url: str


@pytest.fixture
async def database(servers: Servers, template: str) -> AsyncIterator[Database]:
    """A migrated database of its own, dropped after the test."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    name = f"test_{next(numbers)}"
    await on(addresses.owner_url, f"create database {name} template {template} strategy file_copy")
    yield Database(
        name=name,
        owner_url=named(addresses.owner_url, name),
        app_url=named(addresses.app_url, name),
    )
    await on(addresses.owner_url, f"drop database if exists {name} with (force)")


@pytest.fixture
async def empty_database(servers: Servers) -> AsyncIterator[Database]:
    """A database of its own without any table, dropped after the test."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    name = f"test_{next(numbers)}"
    await on(addresses.owner_url, f"create database {name}")
    yield Database(
        name=name,
        owner_url=named(addresses.owner_url, name),
        app_url=named(addresses.app_url, name),
    )
    await on(addresses.owner_url, f"drop database if exists {name} with (force)")


@pytest.fixture
def owner_url(database: Database) -> str:
    """The test's database as its superuser: for setting up, never for proving isolation."""
    return database.owner_url


@pytest.fixture
def app_url(database: Database) -> str:
    """The test's database as the application's role."""
    return database.app_url


@pytest.fixture
def redis_url(servers: Servers) -> Iterator[str]:
    """One of Valkey's logical databases, emptied after the test (channels are shared by all)."""
    url = f"{servers.addresses.redis_url}?db={1 + next(numbers) % 63}"
    yield url
    with redis.Redis.from_url(url) as client:
        client.flushdb()


def environment(**variables: str) -> dict[str, str]:
    """The environment for a process of ours: the present one with only these settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KUOTA_")}
    return kept | variables


@dataclass(slots=True, kw_only=True)
class Served:
    """A running `python -m api serve`."""

    url: str
    operator_key: str
    process: asyncio.subprocess.Process | Forked
    errors: Path  #: what it writes to stderr
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """The operator's credentials."""
        return {"Authorization": f"Bearer {self.operator_key}"}

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        await self.process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end and require that it does so cleanly."""
        if self.process.returncode is not None:
            return
        self.process.send_signal(number)
        code = await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        words = said(self.errors)
        assert code == 0, words
        assert "Traceback" not in words, words


def said(errors: Path) -> str:
    """What a process wrote to stderr."""
    return errors.read_text("utf-8")


#: What `run_served` has started.
RUNNING: list[asyncio.subprocess.Process | Forked] = []


@pytest.fixture(scope="session", autouse=True)
def _no_process_left() -> Iterator[None]:
    """A test that fails half way leaves no served process behind the session."""
    yield
    for process in RUNNING:
        if process.returncode is None:
            process.kill()


async def run_served(
    *arguments: str, variables: dict[str, str], errors: Path, forked: bool = CAN_FORK
) -> Served:
    """Start `serve`, on a free port unless one is named, and wait until it says it is ready.

    Unless it is `forked`, by an interpreter of its own: for what is told of starting.
    """
    port = () if "--port" in arguments else ("--port", "0")
    words = ("serve", *port, "--json", *arguments)
    env = environment(**variables)
    process: asyncio.subprocess.Process | Forked
    with errors.open("wb") as stderr:
        if forked:
            process = await fork(*words, env=env, stderr=stderr)
        else:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "api", *words),
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env=env,
                cwd=ROOT,
            )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        assert line, said(errors)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    RUNNING.append(process)
    ready = json.loads(line)
    key = variables.get("KUOTA_OPERATOR_KEY", "")
    return Served(
        url=ready["address"], operator_key=key, process=process, errors=errors, ready=ready
    )


ServedFactory = Callable[..., Awaitable[Served]]


@pytest.fixture
async def served(
    database: Database, redis_url: str, tmp_path: Path
) -> AsyncIterator[ServedFactory]:
    """`await served(*arguments, **variables)` gives a served process on the test's database.

    What still runs after the test gets SIGTERM and must end with 0 and without a traceback.
    """
    started: list[Served] = []

    async def start(*arguments: str, forked: bool = CAN_FORK, **variables: str) -> Served:
        given = {
            "KUOTA_DATABASE_URL": database.app_url,
            "KUOTA_DATABASE_OWNER_URL": database.owner_url,
            "KUOTA_REDIS_URL": redis_url,
            "KUOTA_OPERATOR_KEY": OPERATOR_KEY,
            "KUOTA_DRAIN_SECONDS": "0",
        }
        errors = tmp_path / f"served-{len(started)}.log"
        server = await run_served(
            *arguments, variables=given | variables, errors=errors, forked=forked
        )
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()
