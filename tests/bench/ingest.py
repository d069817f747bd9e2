"""How many facts a second a served process takes in: `python -m tests.bench.ingest [--full]`.

Batches of 1,000 from 16 clients, beside one connection's bare COPY of the same rows into two empty
tables of the same definition in the same database; then single facts from 64 connections, and one
tenant with 80 % of the traffic. The reference is the embedded superuser's, binary both ways.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from statistics import median

import asyncpg
import httpx2

from tests.bench.load import Outcome, work
from tests.bench.served import Served, operate, serve
from tests.bench.traffic import TENANTS, Load, number_address, tenant_key

CLIENTS = 16
BATCH = 1_000
SINGLE_CLIENTS = 64
REFERENCE = "COPY"
#: Parts of the month each run may fill, so that later runs bring later facts.
PARTS = {"warm": (0.0, 0.1), "main": (0.1, 0.7), "single": (0.7, 0.75), "hot": (0.75, 1.0)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="longer runs")
    full = arguments.parse_args().full
    began = time.monotonic()
    with serve() as served:
        print(f"idle process        {served.memory_mb():9.1f} MB resident")
        open_tenants(served)
        with Loader(served) as loader:
            ratio = measure(served, loader, full)
        print(f"process afterwards  {served.memory_mb():9.1f} MB resident")
    print(f"took                {time.monotonic() - began:9.1f} s")
    print(f"ratio {ratio:.3f} of {REFERENCE}")


def measure(served: Served, loader: "Loader", full: bool) -> float:
    """All runs, printed as they end; the ratio of the main one."""
    warm = loader.run("warm", 48_000, CLIENTS, BATCH)
    seconds = 30 if full else 9
    facts = round_up(warm.rate * seconds * 1.1, CLIENTS * BATCH)
    batches = loader.run("main", facts, CLIENTS, BATCH)
    show(f"batches of {BATCH} x {CLIENTS}", batches)

    rows, copies = asyncio.run(copy_again(served.owner_url, 5 if full else 3))
    reference = rows / median(copies)
    print(f"{'bare COPY, both tables':28}{reference:11,.0f} facts/s  of {rows:,} rows each")

    single = loader.run("single", 64_000 if full else 19_200, SINGLE_CLIENTS, 1)
    show(f"single facts x {SINGLE_CLIENTS}", single)
    facts = round_up(warm.rate * (10 if full else 4), CLIENTS * BATCH)
    hot = loader.run("hot", facts, CLIENTS, BATCH, hot=True)
    show("one tenant has 80 %", hot)

    for name, outcome in (("single facts", single), ("one tenant 80 %", hot)):
        print(f"{name:20}{outcome.rate / reference:9.3f} of {REFERENCE}")
    return batches.rate / reference


class Loader:
    """The load process and the pipe to it."""

    def __init__(self, served: Served) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=work, args=(theirs, served.port, served.key), daemon=True
        )

    def __enter__(self) -> "Loader":
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send(None)
        self._process.join(5)
        self._process.kill()

    def run(self, name: str, facts: int, clients: int, batch: int, *, hot: bool = False) -> Outcome:
        """One run in its part of the month; raises unless every fact was accepted."""
        start, end = part_of_month(*PARTS[name])
        self._pipe.send(
            Load(
                name=name,
                facts=facts,
                clients=clients,
                batch=batch,
                hot=hot,
                start=start,
                end=end,
            )
        )
        assert self._pipe.recv() == "ready"
        self._pipe.send("go")
        outcome: Outcome = self._pipe.recv()
        if outcome.trouble:
            raise SystemExit(f"{name}: not every fact was accepted: {outcome.trouble}")
        return outcome


def part_of_month(start: float, end: float) -> tuple[float, float]:
    """Unix seconds of a part of the current month up to now (at least the last two days)."""
    now = datetime.now(UTC)
    first = min(now.replace(day=1, hour=0, minute=0, second=0), now - timedelta(days=2))
    length = (now - first).total_seconds()
    return first.timestamp() + start * length, first.timestamp() + end * length


def round_up(facts: float, step: int) -> int:
    return (int(facts) // step + 1) * step


def show(name: str, outcome: Outcome) -> None:
    print(
        f"{name:28}{outcome.rate:11,.0f} facts/s  {outcome.facts:,} in {outcome.seconds:.1f} s, "
        f"p50 {outcome.middle * 1e3:.1f} ms, p99 {outcome.slowest * 1e3:.1f} ms, "
        f"the load's own CPU {outcome.cpu_seconds / outcome.seconds:.0%}"
    )


def open_tenants(served: Served) -> None:
    """The bench's tenants, a number each, with units and money that last."""
    headers = {"authorization": f"Bearer {served.key}"}
    with httpx2.Client(base_url=served.url, headers=headers, timeout=30) as client:
        for n in range(TENANTS):
            key = tenant_key(n)
            operate(
                client,
                "tenantCreate",
                "tenant { key }",
                {
                    "key": key,
                    "name": f"Bench {n}",
                    "timezone": "Asia/Jakarta",
                    "currency": "IDR",
                    "country": "ID",
                    "locale": "id-ID",
                    "plan": "omnichannel-idr",
                },
            )
            operate(
                client,
                "numberCreate",
                "number { address }",
                {"tenant": key, "channel": "whatsapp", "address": number_address(n)},
            )
            for balance, amount in (("whatsapp", "2000000000"), ("conversations", "100000")):
                operate(
                    client,
                    "topUpCreate",
                    "topUp { id }",
                    {
                        "tenant": key,
                        "balance": balance,
                        "amount": amount,
                        "startsAt": "2026-01-01T00:00:00Z",
                        "idempotencyKey": f"bench-{balance}",
                    },
                )


async def copy_again(owner_url: str, times: int) -> tuple[int, list[float]]:
    """Load all rows there are into empty tables: rows of each, and seconds of each try."""
    connection = await asyncpg.connect(owner_url)
    try:
        for table in ("fact_keys", "facts"):
            await connection.execute(f"create table bench_{table} (like {table} including all)")
        # In the order they were written, and from the first row on.
        await connection.execute("set synchronize_seqscans = off")
        facts = await _read(connection, "select * from facts")
        keys = await _read(connection, "select * from fact_keys")
        rows = await connection.fetchval("select count(*) from facts")
        took = []
        for _ in range(times):
            await connection.execute("truncate bench_fact_keys, bench_facts")
            await connection.execute("checkpoint")
            began = time.perf_counter()
            async with connection.transaction():
                await connection.copy_to_table(
                    "bench_fact_keys", source=_chunks(keys), format="binary"
                )
                await connection.copy_to_table(
                    "bench_facts", source=_chunks(facts), format="binary"
                )
            took.append(time.perf_counter() - began)
        await connection.execute("drop table bench_fact_keys, bench_facts")
        return rows, took
    finally:
        await connection.close()


async def _read(connection: asyncpg.Connection, query: str) -> bytes:
    found = bytearray()

    async def keep(data: bytes) -> None:
        found.extend(data)

    await connection.copy_from_query(query, output=keep, format="binary")
    return bytes(found)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 65_536):
        yield data[at : at + 65_536]


if __name__ == "__main__":
    main()
