"""Several Valkeys that know each other: a primary with a replica, or a cluster.

Owns how they are started and ended; each has a port of its own on this machine, and a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import RedisError

from persistence.servers.programs import find_programs
from persistence.servers.valkey import OPTIONS
from persistence.valkey import client

PASSWORD = "of-a-test"
SLOTS = 1 << 14
PATIENCE_SECONDS = 40.0

folders = itertools.count()


@dataclass(frozen=True, slots=True)
class Node:
    """One of them."""

    port: int

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}"


@asynccontextmanager
async def replicated(scratch: Path) -> AsyncIterator[tuple[Node, Node]]:
    """A primary, and a replica that is in step with it."""
    primary, replica = (Node(port) for port in free_ports(2))
    # Without the delay it would wait five seconds for others that want the same.
    of_primary = {"repl-diskless-sync-delay": "0"}
    of_replica = {"replicaof": f"127.0.0.1 {primary.port}"}
    with started(scratch, [(primary, of_primary), (replica, of_replica)]):
        await until(replica, "replication", lambda told: told.get("master_link_status") == "up")
        yield primary, replica


@asynccontextmanager
async def clustered(scratch: Path, count: int = 3) -> AsyncIterator[list[Node]]:
    """A cluster whose nodes have an equal part of the slots each, in order."""
    ports = free_ports(2 * count)
    nodes, buses = [Node(port) for port in ports[:count]], ports[count:]
    ids = [hashlib.sha1(b"%d" % node.port).hexdigest() for node in nodes]

    def told(mine: int) -> str:
        """What a node finds as if it had known it before: meeting each other takes seconds."""
        lines = [
            f"{ids[n]} 127.0.0.1:{node.port}@{buses[n]} {'myself,' * (n == mine)}master - 0 0"
            f" {n + 1} connected {n * SLOTS // count}-{(n + 1) * SLOTS // count - 1}\n"
            for n, node in enumerate(nodes)
        ]
        return "".join(lines) + f"vars currentEpoch {count} lastVoteEpoch 0\n"

    given: list[tuple[Node, dict[str, str]]] = [
        (node, {"cluster-enabled": "yes", "cluster-port": str(buses[n]), "cluster-known": told(n)})
        for n, node in enumerate(nodes)
    ]
    with started(scratch, given):
        for node in nodes:
            await until(node, "cluster", lambda told: told.get("cluster_state") == "ok")
        yield nodes


@contextmanager
def started(scratch: Path, nodes: Sequence[tuple[Node, dict[str, str]]]) -> Iterator[None]:
    """Run nodes with options of their own; `cluster-known` is the content of a file."""
    program = find_programs(None, scratch / "programs").valkey
    running: list[subprocess.Popen[bytes]] = []
    try:
        for node, own in nodes:
            folder = scratch / f"valkey-{next(folders)}"
            folder.mkdir()
            options = {k: v for k, v in OPTIONS.items() if k not in ("port", "unixsocketperm")}
            options |= {"port": str(node.port), "bind": "127.0.0.1", "dir": str(folder)}
            options |= {"requirepass": PASSWORD, "primaryauth": PASSWORD} | own
            if known := options.pop("cluster-known", None):
                (folder / "nodes.conf").write_text(known)
                del options["databases"]
            words = [word for name, value in options.items() for word in (f"--{name}", value)]
            with (folder / "log").open("wb") as log:
                running.append(subprocess.Popen([program, *words], stdout=log, stderr=log))
        yield
    finally:
        for process in running:
            process.send_signal(signal.SIGKILL)
        for process in running:
            process.wait()


async def until(node: Node, what: str, wanted: Callable[[dict[str, str]], bool]) -> None:
    """Wait until a node says of itself what is wanted."""
    async with asyncio.timeout(PATIENCE_SECONDS), client(node.url) as valkey:
        while True:
            with contextlib.suppress(RedisError, OSError):
                asked = ("CLUSTER INFO",) if what == "cluster" else ("INFO", what)
                told = await valkey.execute_command(*asked)  # type: ignore[no-untyped-call]
                if wanted(told):
                    return
            await asyncio.sleep(0.01)


def free_ports(count: int) -> list[int]:
    """Ports that nobody had a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
