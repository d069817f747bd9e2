"""How many sends a second a process authorises: `python -m tests.bench.authorize [--full]`.

Lists of 100 sends from 8 clients over HTTP, beside one bare check-and-set script that takes from a
single number in the same Valkey, called by the same client library in pipelines as deep (and, for
who wants to know, written to the socket as bytes made before); then 1,000
single sends a second, evenly paced, for how long one waits; then facts that no hold announced, for
how long a balance is shown to `authorize` without them.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import asyncpg
import httpx2
import uvloop

from persistence import keys
from persistence.valkey import Script, client, run
from tests.bench.served import Served, operate, serve
from tests.bench.wire import Wire, post

TENANTS = 8
CLIENTS = 8
BATCH = 100
PACE = 1_000  #: single sends a second
SINGLE_CLIENTS = 64
CONTACTS = 20_000
LOOKS = 200  #: unheld facts whose showing is waited for
REFERENCE = "BARE CHECK-AND-SET"

#: What anybody would write first: one number, taken from if it suffices.
BARE = Script("""
local left = tonumber(redis.call('GET', KEYS[1]) or '0') - tonumber(ARGV[1])
if left < 0 then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', left))
return 1
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the load process is to do."""

    name: str
    clients: int
    batch: int
    seconds: float
    pace: int | None = None  #: requests a second over all clients; None: as fast as they go


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    granted: int
    seconds: float
    middle: float
    slowest: float
    trouble: str | None


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="longer runs")
    scale = 3 if arguments.parse_args().full else 1
    began = time.monotonic()
    with serve(KUOTA_RATE_LIMIT="0") as served:
        open_tenants(served)
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        load = context.Process(target=work, args=(theirs, served.port, served.key), daemon=True)
        load.start()
        ratio = measure(served, pipe, scale)
        pipe.send(None)
        load.join()
    print(f"{'took':32}{time.monotonic() - began:9.1f} s")
    print(f"ratio {ratio:.3f} of {REFERENCE}")


def measure(served: Served, pipe: Connection, scale: int) -> float:
    """All runs, printed as they end; the ratio of the first."""
    told(pipe, Job(name="warm", clients=CLIENTS, batch=BATCH, seconds=2))
    ratios = []
    for _ in range(2):
        bare = asyncio.run(reference(served, 3.0 * scale))
        print(f"{'bare script, pipelines of 100':32}{bare:9,.0f} grants/s")
        packed = asyncio.run(packed_by_hand(served, 1.5))
        print(f"{'the same, packed by hand':32}{packed:9,.0f} grants/s")
        lists = told(pipe, Job(name="lists", clients=CLIENTS, batch=BATCH, seconds=5.0 * scale))
        show("lists of 100 sends", lists)
        ratios.append(lists.granted / lists.seconds / bare)
    singles = Job(
        name="paced", clients=SINGLE_CLIENTS, batch=1, seconds=5.0 * scale, pace=PACE
    )  # fmt: skip
    show(f"single sends, {PACE:,} a second", told(pipe, singles))
    show("single sends, as fast as may be", told(pipe, Job(
        name="singles", clients=SINGLE_CLIENTS, batch=1, seconds=3.0 * scale)))  # fmt: skip
    print(f"{'process afterwards':32}{served.memory_mb():9.1f} MB resident")
    behind = sorted(asyncio.run(unheld(served)))
    print(
        f"{'unheld usage, seen after':32}{behind[len(behind) // 2] * 1e3:9.2f} ms, 99 % of it "
        f"{behind[int(len(behind) * 0.99)] * 1e3:.2f} ms after the fact was answered"
    )
    return sum(ratios) / len(ratios)


def show(name: str, outcome: Outcome) -> None:
    if outcome.trouble is not None:
        raise RuntimeError(f"{name}: {outcome.trouble}")
    print(
        f"{name:32}{outcome.granted / outcome.seconds:9,.0f} grants/s, p50 "
        f"{outcome.middle * 1e3:.2f} ms, p99 {outcome.slowest * 1e3:.2f} ms",
        flush=True,
    )


def told(pipe: Connection, job: Job) -> Outcome:
    pipe.send(job)
    outcome = pipe.recv()
    assert isinstance(outcome, Outcome)
    return outcome


def tenant_key(tenant: int) -> str:
    return f"send-{tenant}"


def number(tenant: int) -> str:
    return f"+62811200{tenant:04d}"


def contact(place: int) -> str:
    return f"+628123{place % CONTACTS:06d}"


def open_tenants(served: Served) -> None:
    """Tenants with much money, and contacts some of whom wrote lately."""
    headers = {"authorization": f"Bearer {served.key}"}
    with httpx2.Client(base_url=served.url, headers=headers, timeout=30) as http:
        for tenant in range(TENANTS):
            operate(http, "tenantCreate", "tenant { id }", {
                "key": tenant_key(tenant), "name": f"Sender {tenant}", "timezone": "Asia/Jakarta",
                "currency": "IDR", "country": "ID", "locale": "id-ID", "plan": "omnichannel-idr",
            })  # fmt: skip
            operate(http, "numberCreate", "number { id }", {
                "tenant": tenant_key(tenant), "channel": "whatsapp", "address": number(tenant),
            })  # fmt: skip
            operate(http, "topUpCreate", "topUp { id }", {
                "tenant": tenant_key(tenant), "balance": "whatsapp", "amount": "9000000000",
                "source": "TOP_UP", "idempotencyKey": "much",
            })  # fmt: skip
            now = datetime.now(UTC).isoformat()
            wrote = [
                {"id": f"w{place}", "source": "bench", "type": "message.received", "time": now,
                 "subject": tenant_key(tenant),
                 "data": {"number": number(tenant), "contact": contact(place)}}
                for place in range(0, CONTACTS, 20)
            ]  # fmt: skip
            answer = http.post("/v1/events", json=wrote)
            assert answer.status_code == 200, answer.text


async def reference(served: Served, seconds: float) -> float:
    """Grants a second of the bare script, from as many callers in pipelines as deep."""
    told = json.loads((served.data / "servers.json").read_text())
    async with client(told["addresses"]["redis_url"]) as valkey:
        await valkey.set("bench:left", 10**15)
        granted = 0
        until = time.perf_counter() + seconds

        async def call() -> None:
            nonlocal granted
            while time.perf_counter() < until:
                granted += sum(await run(valkey, [(BARE, ["bench:left"], (586,))] * BATCH))

        began = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(CLIENTS)))
        return granted / (time.perf_counter() - began)


async def packed_by_hand(served: Served, seconds: float) -> float:
    """Grants a second of the bare script without a library: what Valkey itself could."""
    told = json.loads((served.data / "servers.json").read_text())
    url = urlsplit(told["addresses"]["redis_url"])
    reader, writer = await (
        asyncio.open_unix_connection(url.path)
        if url.scheme == "unix"
        else asyncio.open_connection(url.hostname, url.port)
    )

    def spelt(*parts: bytes) -> bytes:
        told = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        return b"*%d\r\n%s" % (len(parts), told)

    if url.password:
        writer.write(spelt(b"AUTH", (url.username or "default").encode(), url.password.encode()))
        assert await reader.readline() == b"+OK\r\n"
    call = spelt(b"EVALSHA", BARE.digest.encode(), b"1", b"bench:left", b"586") * BATCH
    granted, began = 0, time.perf_counter()
    while time.perf_counter() < began + seconds:
        writer.write(call)
        answers = await reader.readexactly(len(b":1\r\n") * BATCH)
        granted += answers.count(b"1")
    writer.close()
    return granted / (time.perf_counter() - began)


async def unheld(served: Served) -> list[float]:
    """For each of some facts without a hold: seconds until what is left is less by it."""
    told = json.loads((served.data / "servers.json").read_text())
    owner = await asyncpg.connect(served.owner_url)
    tenant = await owner.fetchval("select tenant_id from tenants where key = $1", tenant_key(0))
    await owner.close()
    behind = []
    headers = {"authorization": f"Bearer {served.key}"}
    async with (
        httpx2.AsyncClient(base_url=served.url, headers=headers) as http,
        client(told["addresses"]["redis_url"]) as valkey,
    ):

        async def left() -> object:
            return await valkey.hget(keys.balances(tenant), "left:whatsapp")

        for place in range(LOOKS):
            before = await left()
            event = {
                "id": f"u{place}", "source": "bench", "type": "message.delivered",
                "time": datetime.now(UTC).isoformat(), "subject": tenant_key(0),
                "data": {"number": number(0), "contact": contact(place), "category": "marketing",
                         "template": "t"},
            }  # fmt: skip
            answer = await http.post("/v1/events", json=event)
            answered = time.perf_counter()
            assert b'"accepted"' in answer.content, answer.text
            while await left() == before:
                pass
            behind.append(time.perf_counter() - answered)
    return behind


def work(pipe: Connection, port: int, key: str) -> None:
    """Do jobs as they come over `pipe`; None ends."""
    while (job := pipe.recv()) is not None:
        gc.collect()
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            pipe.send(runner.run(_work(job, port, key)))


def bodies(job: Job, caller: int, key: str) -> Iterator[bytes]:
    """Requests of one caller, each with keys of its own."""
    place = caller * 7919
    while True:
        sends = []
        for _ in range(job.batch):
            place += 1
            tenant = place % TENANTS
            sends.append(
                b'{"tenant":"%s","key":"%s-%d-%d","number":"%s","contact":"%s",'
                b'"category":"marketing"}'
                % (
                    tenant_key(tenant).encode(), job.name.encode(), caller, place,
                    number(tenant).encode(), contact(place).encode(),
                )
            )  # fmt: skip
        body = sends[0] if job.batch == 1 else b"[" + b",".join(sends) + b"]"
        yield post("/v1/authorize", key, "application/json", body)


async def _work(job: Job, port: int, key: str) -> Outcome:
    took: list[float] = []
    granted = 0
    trouble: str | None = None
    # Encoded before: the cost of asking is not to be the server's.
    name = f"{job.name}{time.time_ns()}"
    job = Job(name=name, clients=job.clients, batch=job.batch, seconds=job.seconds, pace=job.pace)
    count = int(job.seconds * (50_000 if job.batch > 1 else 4_000) / job.batch / job.clients) + 50
    ready = []
    for place in range(job.clients):
        source = bodies(job, place, key)
        ready.append([next(source) for _ in range(count)])
    gc.collect()
    gc.freeze()
    wires = [await Wire.connect("127.0.0.1", port) for _ in range(job.clients)]
    began = time.perf_counter()
    until = began + job.seconds

    async def caller(place: int) -> None:
        nonlocal granted, trouble
        due = began + place / (job.pace or 1)
        for request in ready[place]:
            sent = time.perf_counter()
            if job.pace is not None:
                await asyncio.sleep(max(due - sent, 0))
                sent = due  # what waits for its turn is waited for as well
                due += job.clients / job.pace
            if sent > until:
                break
            status, body = await wires[place].send(request)
            took.append(time.perf_counter() - sent)
            good = body.count(b'"granted":true')
            granted += good
            if (status != 200 or good < job.batch) and trouble is None:
                trouble = f"{status} {body[:600].decode(errors='replace')}"

    await asyncio.gather(*(caller(place) for place in range(job.clients)))
    seconds = time.perf_counter() - began
    for wire in wires:
        wire.close()
    took.sort()
    return Outcome(
        granted=granted, seconds=seconds, middle=took[len(took) // 2],
        slowest=took[int(len(took) * 0.99)], trouble=trouble,
    )  # fmt: skip


if __name__ == "__main__":
    main()
