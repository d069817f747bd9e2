"""What a dashboard's query costs, and a file of charges: `python -m tests.bench.reads [--full]`.

A tenant with 90 days of facts and another with ten times as many ask for the same: 8 balances, 3
subscriptions with their components, 20 invoices and 3 series of 90 days, some 20 KB. The first
figure is how much longer the one with more waits. The second is how many such queries a process
answers in a second, beside an endpoint of the same server that gives the same bytes of data from
one statement over tables that hold each figure as it is shown. The third is how many rows a second
a file of charges has, beside a bare COPY of as many rows of the same table.
"""

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

import httpx2
import uvloop

from tests.bench.reads_export import exported, whole_way
from tests.bench.reads_plain import Bare, bare
from tests.bench.reads_world import DASHBOARD, FEW, MANY, furnish, send_facts
from tests.bench.served import Served, serve
from tests.bench.wire import Wire, post

ENDPOINT, COPY = "BARE ENDPOINT", "BARE COPY"
#: Facts of the tenant that has few, and of the one that has many.
FACTS = 5_000
FULL_FACTS = 100_000
CLIENTS = 8
PORTIONS = 6  #: in which runs take turns
PORTION_SECONDS = 1.0
TURNS = 150  #: queries of each of the two tenants, one after the other


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="more facts, longer runs")
    full: bool = arguments.parse_args().full
    facts, scale = (FULL_FACTS, 4) if full else (FACTS, 1)
    began = time.monotonic()
    with (
        serve(KUOTA_RATE_LIMIT="0") as served,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(furnish(served))
        for key, count in ((FEW, facts), (MANY, 10 * facts)):
            took = runner.run(send_facts(served, key, count))
            print(f"{f'sent, {key}':28}{count / took:11,.0f} facts/s  {count:,}", flush=True)
        answer = asked(served, FEW)
        with bare(served, FEW, answer) as reference:
            check(served, reference, answer)
            longer = runner.run(waiting(served, TURNS * scale))
            ratio = runner.run(side_by_side(served, reference, scale))
        of_copy = runner.run(exported(served, MANY))
        runner.run(whole_way(served, MANY))
    print(f"{'took':28}{time.monotonic() - began:11.1f} s")
    print(f"ratio {longer:.3f} of FEW FACTS")
    print(f"ratio {of_copy:.3f} of {COPY}")
    print(f"ratio {ratio:.3f} of {ENDPOINT}")


def body(key: str) -> bytes:
    return json.dumps({"query": DASHBOARD, "variables": {"tenant": key}}).encode()


def request(path: str, credential: str, key: str) -> bytes:
    return post(path, credential, "application/json", body(key))


def asked(served: Served, key: str) -> dict[str, Any]:
    """What the dashboard is answered."""
    headers = {"authorization": f"Bearer {served.key}", "content-type": "application/json"}
    answer = httpx2.post(f"{served.url}/graphql", content=body(key), headers=headers, timeout=30)
    said: dict[str, Any] = answer.json()
    assert "errors" not in said, said
    return said


def check(served: Served, reference: Bare, answer: dict[str, Any]) -> None:
    """The reference answers the very same data."""
    headers = {"content-type": "application/json"}
    said = httpx2.post(f"{reference.url}/", content=body(FEW), headers=headers, timeout=30)
    assert said.json()["data"] == answer["data"], (said.text[:3000], json.dumps(answer)[:3000])
    tenant = answer["data"]["tenant"]
    lengths = [len(tenant[name]) for name in ("balances", "subscriptions", "usageSeries")]
    assert [*lengths, len(tenant["invoices"]["edges"])] == [8, 3, 3, 20], lengths
    totals = [sum(float(point["value"]) for point in each["points"])
              for each in tenant["usageSeries"]]  # fmt: skip
    assert all(totals), totals
    print(f"{'an answer':28}{len(said.content) / 1000:11.1f} KB, the same of both", flush=True)


async def waiting(served: Served, turns: int) -> float:
    """How many times as long a tenant with ten times the facts waits: of medians."""
    wire = await Wire.connect("127.0.0.1", served.port)
    times: dict[str, list[float]] = {FEW: [], MANY: []}
    for turn in range(turns + 20):
        for key, took in times.items():
            said = request("/graphql", served.key, key)
            began = time.perf_counter()
            status, answer = await wire.send(said)
            if turn >= 20:
                took.append(time.perf_counter() - began)
            assert status == 200, answer[:300]
    wire.close()
    few, many = (statistics.median(took) for took in times.values())
    for key, took in times.items():
        print(f"{f'waits alone, {key}':28}{statistics.median(took) * 1e3:11.2f} ms, half of them,"
              f" 99 % {sorted(took)[int(len(took) * 0.99)] * 1e3:.2f}")  # fmt: skip
    return many / few


async def side_by_side(served: Served, reference: Bare, scale: int) -> float:
    """Queries a second of ours as a share of the reference's, in turns."""
    sides = {
        "dashboard": (served.port, served.pid, request("/graphql", served.key, FEW)),
        "bare endpoint": (reference.port, reference.pid, request("/", served.key, FEW)),
    }
    for port, _, said in sides.values():
        await at_most(port, said, PORTION_SECONDS)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    spent = {name: [0.0, 0.0, 0.0] for name in sides}
    for _ in range(PORTIONS * scale):
        for name, (port, pid, said) in sides.items():
            before = served.cpu_seconds(pid)
            count, took = await at_most(port, said, PORTION_SECONDS)
            after = served.cpu_seconds(pid)
            rates[name].append(count / took)
            more = (count, after[0] - before[0], after[1] - before[1])
            spent[name] = [a + b for a, b in zip(spent[name], more, strict=True)]
    for name, (count, python, postgres) in spent.items():
        print(
            f"{f'{name}, {CLIENTS} clients':28}{statistics.median(rates[name]):11,.0f} queries/s,"
            f" {python / count * 1e3:.2f} + {postgres / count * 1e3:.2f} ms of Python + PostgreSQL"
        )
    ours, theirs = rates.values()
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


async def at_most(port: int, said: bytes, seconds: float) -> tuple[int, float]:
    """How many are answered, from several connections, and in which time."""
    wires = [await Wire.connect("127.0.0.1", port) for _ in range(CLIENTS)]
    count = 0
    began = time.perf_counter()

    async def ask(wire: Wire) -> None:
        nonlocal count
        while time.perf_counter() < began + seconds:
            status, answer = await wire.send(said)
            assert status == 200, answer[:300]
            assert b'"errors"' not in answer, answer[:300]
            count += 1

    await asyncio.gather(*map(ask, wires))
    took = time.perf_counter() - began
    for wire in wires:
        wire.close()
    return count, took


if __name__ == "__main__":
    main()
