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
#: Prepared at most: they are encoded before the run and kept in memory, 300 bytes each.
FACTS_MAX = 1_500_000
#: After which no further COPY begins; there is one at least.
COPY_SECONDS = 3.0
#: Parts of the last day each run may fill, so that later runs bring later facts.
PARTS = {"warm": (0.0, 0.1), "main": (0.1, 0.7), "single": (0.7, 0.75), "hot": (0.75, 1.0)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="longer runs")
    full = arguments.parse_args().full
    began = time.monotonic()
    with serve() as served:
        print(f"{'idle process':28}{served.memory_mb():11.1f} MB resident", flush=True)
        open_tenants(served)
        with Loader(served) as loader:
            ratio = measure(served, loader, full)
        print(f"{'process afterwards':28}{served.memory_mb():11.1f} MB resident")
    print(f"{'took':28}{time.monotonic() - began:11.1f} s")
    print(f"ratio {ratio:.3f} of {REFERENCE}")


def measure(served: Served, loader: "Loader", full: bool) -> float:
    """All runs, printed as they end; the ratio of the main one."""
    scale = 3 if full else 1
    warm = loader.run("warm", CLIENTS, BATCH, seconds=2, facts=192_000)
    facts = min(round(warm.rate * 14 * scale), FACTS_MAX)
    main = loader.run("main", CLIENTS, BATCH, seconds=8.5 * scale, facts=facts)
    rows, copies = asyncio.run(copy_again(served.owner_url, COPY_SECONDS * scale))
    reference = rows / median(copies)
    print(f"{'bare COPY, both tables':28}{reference:11,.0f} facts/s  {rows:,} rows each")
    single = loader.run("single", SINGLE_CLIENTS, 1, seconds=4 * scale, facts=60_000 * scale)
    hot = loader.run("hot", CLIENTS, BATCH, seconds=4 * scale, facts=facts // 2, hot=True)
    for name, outcome in (("single facts", single), ("one tenant has 80 %", hot)):
        print(f"{name:28}{outcome.rate / reference:11.3f} of {REFERENCE}")
    return main.rate / reference


class Loader:
    """The load process and the pipe to it."""

    def __init__(self, served: Served) -> None:
        self._served = served
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

    def run(
        self,
        name: str,
        clients: int,
        batch: int,
        *,
        seconds: float,
        facts: int,
        hot: bool = False,
    ) -> Outcome:
        """One run in its part of the day, printed; ends all unless every fact was accepted."""
        start, end = part_of_day(*PARTS[name])
        self._pipe.send(
            Load(
                name=name,
                facts=facts,
                seconds=seconds,
                clients=clients,
                batch=batch,
                hot=hot,
                start=start,
                end=end,
            )
        )
        assert self._pipe.recv() == "ready"
        before = self._served.cpu_seconds()
        self._pipe.send("go")
        outcome: Outcome = self._pipe.recv()
        if outcome.trouble:
            raise SystemExit(f"{name}: not every fact was accepted: {outcome.trouble}")
        python, postgres = (
            (after - earlier) / outcome.facts * 1e6
            for earlier, after in zip(before, self._served.cpu_seconds(), strict=True)
        )
        what = f"{name}, {batch:,} x {clients}"
        print(
            f"{what:28}{outcome.rate:11,.0f} facts/s  {outcome.facts:,} in {outcome.seconds:.1f} s,"
            f" p50 {outcome.middle * 1e3:.1f} ms, p99 {outcome.slowest * 1e3:.1f} ms,"
            f" Python + Postgres {python:.1f} + {postgres:.1f} us,"
            f" the load itself {outcome.cpu_seconds / outcome.seconds:.0%} of a core",
            flush=True,
        )
        return outcome


def part_of_day(start: float, end: float) -> tuple[float, float]:
    """Unix seconds of a part of the 24 hours up to now: live traffic, not a backfill."""
    first = datetime.now(UTC) - timedelta(days=1)
    length = timedelta(days=1).total_seconds()
    return first.timestamp() + start * length, first.timestamp() + end * length


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


async def copy_again(owner_url: str, seconds: float) -> tuple[int, list[float]]:
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
        took: list[float] = []
        while sum(took) < seconds:
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
