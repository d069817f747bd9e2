"""The load process: encodes the traffic first, then sends it from many connections and counts.

A process of its own, so that the cost of asking is not the server's. Owns no figure but how long
it took and what came back.
"""

import asyncio
import gc
import json
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import uvloop

from tests.bench.traffic import Load, batches
from tests.bench.wire import Wire, post

ACCEPTED = b'"status":"accepted"'
BATCH = "application/cloudevents-batch+json"
SINGLE = "application/cloudevents+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run gave; times in seconds."""

    facts: int  #: accepted
    seconds: float
    cpu_seconds: float  #: of the load process itself
    middle: float  #: half of the requests were answered within this
    slowest: float  #: 99 % of them within this
    trouble: str | None  #: the first answer that was not wholly accepted

    @property
    def rate(self) -> float:
        return self.facts / self.seconds


def work(pipe: Connection, port: int, key: str) -> None:
    """Run loads as they come over `pipe`: Load -> "ready", "go" -> Outcome; None ends."""
    while (load := pipe.recv()) is not None:
        bodies = [_requests(load, client, key) for client in range(load.clients)]
        gc.collect()
        gc.freeze()
        pipe.send("ready")
        assert pipe.recv() == "go"
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            pipe.send(runner.run(_run(load, bodies, port)))
        del bodies


def _requests(load: Load, client: int, key: str) -> list[bytes]:
    content = SINGLE if load.batch == 1 else BATCH
    return [post("/v1/events", key, content, body) for body in batches(load, client)]


async def _run(load: Load, bodies: list[list[bytes]], port: int) -> Outcome:
    took: list[float] = []
    accepted = 0
    trouble: str | None = None

    async def client(wire: Wire, requests: list[bytes]) -> None:
        nonlocal accepted, trouble
        for request in requests:
            sent = time.perf_counter()
            if sent > until:
                break
            status, body = await wire.send(request)
            took.append(time.perf_counter() - sent)
            good = body.count(ACCEPTED)
            accepted += good
            if (status != 200 or good < load.batch) and trouble is None:
                trouble = f"{status} {_first_trouble(body)}"

    wires = [await Wire.connect("127.0.0.1", port) for _ in bodies]
    began, cpu = time.perf_counter(), time.process_time()
    until = began + load.seconds
    await asyncio.gather(*map(client, wires, bodies))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    for wire in wires:
        wire.close()
    took.sort()
    return Outcome(
        facts=accepted,
        seconds=seconds,
        cpu_seconds=cpu,
        middle=took[len(took) // 2],
        slowest=took[int(len(took) * 0.99)],
        trouble=trouble,
    )


def _first_trouble(body: bytes) -> str:
    """The first result that is not accepted, or what came instead of results."""
    try:
        results = json.loads(body)["results"]
    except (ValueError, KeyError):
        return body[:600].decode(errors="replace")
    return str([result for result in results if result["status"] != "accepted"][:1])
