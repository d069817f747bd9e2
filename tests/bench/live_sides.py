"""What the live bench watches: a served process of ours, and a plain broadcast beside it.

Owns how a change is made on each and what a watcher of each sends first; measures nothing.
"""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from api.serve import address_of, listen
from tests.bench.served import ROOT, Served, operate
from tests.bench.traffic import number_address, tenant_key
from tests.bench.wire import post

#: As many dashboards as a busy tenant has open at once.
WATCHERS = 250
FIELDS = """balances { key used { value } remaining { value } held { value } available { value }
  percentUsed version }"""
SUBSCRIPTION = f"""subscription($tenant: String!) {{
  balanceChanged(tenant: $tenant) {{ position cause {FIELDS} }} }}"""


@dataclass(slots=True, kw_only=True)
class Side:
    """A server that is watched: ours, or the reference."""

    name: str
    port: int
    pid: int
    request: Callable[[list[int]], bytes]  #: what makes a change of each of these tenants
    expected: bytes  #: stands in its answer as often as changes were made
    #: Changes made of each tenant: the number of visitors it has.
    marks: list[int]
    kib_a_socket: float = 0.0
    times: list[float] = field(default_factory=list)  #: milliseconds from commit to client
    most: float = 0.0  #: deliveries a second

    def memory_kib(self) -> int:
        """Memory of the process that nobody else uses, and its share of the rest."""
        found = re.search(r"(?m)^Pss:\s+(\d+) kB", _read(f"/proc/{self.pid}/smaps_rollup"))
        assert found is not None
        return int(found[1])

    def cpu_seconds(self) -> float:
        """Seconds of CPU of the process so far."""
        stat = _read(f"/proc/{self.pid}/stat").rpartition(") ")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def of_times(self, share: float) -> float:
        """The time within which a share of the deliveries came, in milliseconds."""
        return self.times[int((len(self.times) - 1) * share)]


def ours(served: Served, tenants: int) -> Side:
    """The served process: a change is a fact of a visitor its tenant has not had yet."""
    return Side(
        name="kuota",
        port=served.port,
        pid=served.pid,
        request=Facts(served.key),
        expected=b'"status":"accepted"',
        marks=[0] * tenants,
    )


class Facts:
    """Writes requests of facts, each a visitor its tenant has not had yet."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._facts = 0

    def __call__(self, tenants: list[int]) -> bytes:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        events = []
        for tenant in tenants:
            self._facts += 1
            data = {
                "number": number_address(tenant),
                "contact": f"+62812{self._facts:07}",
                "text": "hello",
            }
            events.append(
                {
                    "id": f"live-{self._facts}",
                    "source": "bench",
                    "type": "message.received",
                    "time": at,
                    "subject": tenant_key(tenant),
                    "data": data,
                }
            )
        body = json.dumps(events).encode()
        return post("/v1/events", self._key, "application/cloudevents-batch+json", body)


@contextmanager
def plain(state: bytes, tenants: int) -> Iterator[Side]:
    """The reference, which sends states like this one."""
    with listen("127.0.0.1", 0) as free:
        port = int(address_of(free).rpartition(":")[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.live_plain", str(port)], cwd=ROOT, stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(state)
    process.stdin.close()
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            try:
                listening = httpx2.post(f"http://127.0.0.1:{port}/change", content=b"")
            except httpx2.TransportError:
                time.sleep(0.05)
            else:
                assert listening.status_code == 200
                break
        yield Side(
            name="plain broadcast",
            port=port,
            pid=process.pid,
            request=lambda tenants: post(
                "/change", "", "text/plain", "\n".join(map(tenant_key, tenants)).encode()
            ),
            expected=b"",
            marks=[0] * tenants,
        )
    finally:
        process.kill()
        process.wait()


def subscribing(key: str, tenants: int) -> list[list[bytes]]:
    """What a watcher of each tenant sends."""
    init = {"type": "connection_init", "payload": {"authorization": f"Bearer {key}"}}
    return [
        [
            json.dumps(message).encode()
            for message in (
                init,
                {
                    "id": str(uuid.uuid4()),  # as the usual client names its operations
                    "type": "subscribe",
                    "payload": {
                        "query": SUBSCRIPTION,
                        "variables": {"tenant": tenant_key(tenant)},
                    },
                },
            )
        ]
        for tenant in range(tenants)
    ]


def open_tenants(served: Served, tenants: int) -> None:
    """The bench's tenants with a number each."""
    headers = {"authorization": f"Bearer {served.key}"}
    with httpx2.Client(base_url=served.url, headers=headers, timeout=30) as client:
        for n in range(tenants):
            key = tenant_key(n)
            tenant = {"key": key, "name": f"Bench {n}", "plan": "omnichannel-idr"}
            number = {"tenant": key, "channel": "whatsapp", "address": number_address(n)}
            operate(client, "tenantCreate", "tenant { key }", tenant)
            operate(client, "numberCreate", "number { address }", number)


def _read(path: str) -> str:
    return Path(path).read_text()
