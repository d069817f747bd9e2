"""A served process of our own in a temporary folder, with its embedded servers and some tenants.

Owns starting, waiting and ending it, its memory, and the superuser's address for references.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0
END_SECONDS = 20.0


@dataclass(slots=True, kw_only=True)
class Served:
    """A running server: where it listens, who may do everything, which process it is."""

    port: int
    key: str
    data: Path
    begin: Callable[[], subprocess.Popen[bytes]]  #: starts the process, the same each time
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def start(self) -> None:
        """Start it again, on the same port and data, and wait until it is ready."""
        self.process = self.begin()
        _wait_ready(self.process, self.port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def owner_url(self) -> str:
        """The embedded superuser's address, from what the folder announces."""
        told = json.loads((self.data / "servers.json").read_text())
        return str(told["addresses"]["owner_url"])

    def memory_mb(self) -> float:
        """Resident megabytes of the process itself, its servers not counted."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def cpu_seconds(self, pid: int | None = None) -> tuple[float, float]:
        """Seconds of CPU so far: of the process, or of another, and of all of its PostgreSQL."""
        postmaster = (self.data / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]
        database = 0.0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = stat.read_text().rpartition(") ")[2].split()
                if postmaster in (stat.parent.name, fields[1]):
                    database += _seconds(fields)
        mine = Path(f"/proc/{pid or self.pid}/stat").read_text().rpartition(") ")[2].split()
        return _seconds(mine), database


def _seconds(stat: list[str]) -> float:
    """utime + stime of a process, from the fields of its stat file behind the name."""
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serve(**variables: str) -> Iterator[Served]:
    """`python -m api serve --data TEMPORARY`, ended and removed at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = Path(tempfile.mkdtemp(prefix="kuota-bench-"))
    key = "bench-operator-key"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KUOTA_")}
    log = data.with_suffix(".log").open("w+")

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "api", "serve", "--port", str(port), "--data", str(data)],
            cwd=ROOT,
            env={**kept, "KUOTA_OPERATOR_KEY": key, **variables},
            stdout=log,
            stderr=log,
        )

    served = Served(port=port, key=key, data=data, begin=begin, process=begin())
    try:
        _wait_ready(served.process, port)
        yield served
    except BaseException:
        print(Path(log.name).read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        served.stop()
        log.close()
        Path(log.name).unlink()
        shutil.rmtree(data, ignore_errors=True)


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError("serve is not ready")


def operate(client: httpx2.Client, mutation: str, payload: str, given: dict[str, Any]) -> None:
    """One mutation with one input; raises on errors and on userErrors."""
    kind = f"{mutation[0].upper()}{mutation[1:]}Input!"
    query = (
        f"mutation($input: {kind}) {{ {mutation}(input: $input) "
        f"{{ {payload} userErrors {{ field message code }} }} }}"
    )
    body = {"query": query, "variables": {"input": given}}
    answer = client.post("/graphql", json=body).json()
    if answer.get("errors") or answer["data"][mutation]["userErrors"]:
        raise RuntimeError(f"{mutation} {given}: {answer}")
