"""How fast a change reaches those who watch: `python -m tests.bench.live [--full] [--watchers N]`.

1,000 websockets (5,000 with `--full`) watch `balanceChanged` of a served process with its embedded
servers, 250 of them each tenant unless `--watchers` says otherwise. Changes are made by posting
facts to `/v1/events` of the same process, so a delivery goes the whole way: commit, Valkey, the
hub, the socket. Beside it, in turns, a plain broadcast of the same states to as many sockets by the
same client. Then the process is ended and started again while all watch, and they come back at
once. Fails where a watcher's last state is not what a query says.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import time
from multiprocessing.connection import Connection
from typing import Any

import asyncpg
import httpx2
import uvloop

from tests.bench import live_watchers
from tests.bench.live_sides import FIELDS, WATCHERS, Side, open_tenants, ours, plain, subscribing
from tests.bench.live_watchers import Count, Counted, Open, Record, Return, Settle
from tests.bench.served import Served, serve
from tests.bench.traffic import tenant_key
from tests.bench.wire import Wire

REFERENCE = "PLAIN BROADCAST"
RATE = 1_000.0  #: deliveries a second while times are taken
#: Requests at once, each with a change of every tenant, to find the most that goes.
IN_FLIGHT = (1, 2, 4)
WARM_SECONDS = 0.3
SETTLE_SECONDS = 20.0
#: Over how long watchers are let go before a restart.
DRAIN_SECONDS = 1
#: After which the database has counted all that was done.
COUNTED_SECONDS = 1.5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="5,000 sockets, longer runs")
    arguments.add_argument("--watchers", type=int, default=WATCHERS, help="of each tenant")
    given = arguments.parse_args()
    full: bool = given.full
    began = time.monotonic()
    sockets = 5_000 if full else 1_000
    tenants = sockets // given.watchers
    allow_files(2 * sockets + 500)
    with serve(KUOTA_DRAIN_SECONDS=str(DRAIN_SECONDS)) as served, Watching() as watching:
        open_tenants(served, tenants)
        kuota, messages = ours(served, tenants), subscribing(served.key, tenants)
        open_sockets(watching, kuota, messages, sockets)
        with plain(watching.states(kuota)[0][1], tenants) as reference:
            open_sockets(watching, reference, messages, sockets)
            measure(watching, kuota, reference, full)
            check(served, watching, kuota, sockets)
            check_reference(watching, reference, sockets)
        restart(served, watching, kuota, messages, sockets)
        report(kuota, reference)
    print(f"{'took':28}{time.monotonic() - began:11.1f} s")
    print(f"ratio {min(ratios(kuota, reference).values()):.3f} of {REFERENCE}")


def measure(watching: "Watching", kuota: Side, reference: Side, full: bool) -> None:
    """Times at a fixed rate, then the most that goes, in turns."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for side in (kuota, reference):
            runner.run(at_a_rate(watching, side, 15.0 if full else 5.0))
        for in_flight in IN_FLIGHT:
            for side in (kuota, reference):
                runner.run(at_most(watching, side, in_flight, 8.0 if full else 2.0))


async def at_a_rate(watching: "Watching", side: Side, seconds: float) -> None:
    """Changes one by one, a tenant at a time, and how long each took to each watcher."""
    watching.ask(Record(fleet=side.name))
    before = watching.ask(Count(fleet=side.name))
    wire = await Wire.connect("127.0.0.1", side.port)
    answered: dict[tuple[int, int], float] = {}
    tenants = len(side.marks)
    pause = before.open / tenants / RATE
    began = time.perf_counter()
    for change in range(round(seconds / pause)):
        await asyncio.sleep(began + change * pause - time.perf_counter())
        tenant = change % tenants
        await make(side, wire, [tenant])
        answered[tenant, side.marks[tenant]] = time.perf_counter()
    wire.close()
    rate = len(answered) / (time.perf_counter() - began)
    watching.states(side)
    after = watching.ask(Count(fleet=side.name))
    for tenant, mark, at in watching.ask(Record(fleet=None)):
        if (tenant, mark) in answered:
            side.times.append((at - answered[tenant, mark]) * 1e3)
    side.times.sort()
    due = len(answered) * after.open // tenants
    came = after.frames - before.frames
    print(
        f"{side.name + ', ' + f'{rate:.0f} changes/s':28}{side.of_times(0.5):11.2f} ms p50 from"
        f" commit to client, p99 {side.of_times(0.99):.2f} ms, most {side.times[-1]:.2f} ms;"
        f" {came:,} frames for {due:,} due,"
        f" {(after.payload_bytes - before.payload_bytes) / max(came, 1):,.0f} bytes each",
        flush=True,
    )


async def at_most(watching: "Watching", side: Side, in_flight: int, seconds: float) -> None:
    """Changes of all tenants as fast as they go; the best of these runs is kept."""
    everybody = list(range(len(side.marks)))
    stopping = asyncio.Event()
    changes = 0

    async def keep_changing(wire: Wire) -> None:
        nonlocal changes
        while not stopping.is_set():
            await make(side, wire, everybody)
            changes += len(everybody)

    wires = [await Wire.connect("127.0.0.1", side.port) for _ in range(in_flight)]
    first = await watching.count(side)
    posting = [asyncio.create_task(keep_changing(wire)) for wire in wires]
    await asyncio.sleep(WARM_SECONDS)
    before, cpu = await watching.count(side), side.cpu_seconds()
    await asyncio.sleep(seconds)
    after, cpu = await watching.count(side), side.cpu_seconds() - cpu
    stopping.set()
    await asyncio.gather(*posting)
    for wire in wires:
        wire.close()
    watching.states(side)
    last = await watching.count(side)
    frames, took = after.frames - before.frames, after.at - before.at
    side.most = max(side.most, frames / took)
    # States may be joined where they come faster than they can be sent: the last one always comes.
    apart = (last.frames - first.frames) * len(everybody) / (last.open * changes)
    print(
        f"{f'{side.name}, {in_flight} in flight':28}{frames / took:11,.0f} deliveries/s,"
        f" {apart:.0%} of {changes:,} changes apart,"
        f" Python {cpu / max(frames, 1) * 1e6:.1f} us each, the watching process"
        f" {(after.cpu_seconds - before.cpu_seconds) / took:.0%} of a core",
        flush=True,
    )


async def make(side: Side, wire: Wire, tenants: list[int]) -> None:
    """Make a change of each tenant, and wait for the answer."""
    status, body = await wire.send(side.request(tenants))
    if status != 200 or (side.expected and body.count(side.expected) < len(tenants)):
        raise SystemExit(f"{side.name}: a change was not made: {status} {body[:600]!r}")
    for tenant in tenants:
        side.marks[tenant] += 1


class Watching:
    """The watching process and the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=live_watchers.work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def ask(self, command: object) -> Any:
        self.tell(command)
        return self.hear()

    def tell(self, command: object) -> None:
        self._pipe.send(command)

    def hear(self) -> Any:
        return self._pipe.recv()

    async def count(self, side: Side) -> Counted:
        """The same while requests go on."""
        counted: Counted = await asyncio.to_thread(self.ask, Count(fleet=side.name))
        return counted

    def states(self, side: Side) -> list[tuple[int, bytes]]:
        """Each socket's tenant and last state, once that is of the tenant's last change."""
        settle = Settle(fleet=side.name, marks=side.marks, seconds=SETTLE_SECONDS)
        states: list[tuple[int, bytes]] = self.ask(settle)
        for tenant, state in states:
            if live_watchers.mark_of(state) != side.marks[tenant]:
                raise SystemExit(
                    f"{side.name}: a watcher of {tenant_key(tenant)} was last told"
                    f" {state.decode(errors='replace')} and not of change {side.marks[tenant]}"
                )
        return states


def open_sockets(watching: Watching, side: Side, messages: list[list[bytes]], sockets: int) -> None:
    """Open all sockets; what the first of each tenant cost the server is not counted."""
    tenants = len(messages)
    watching.ask(Open(fleet=side.name, port=side.port, count=tenants, messages=messages))
    asyncio.run(warm(side))
    watching.states(side)
    before, began = side.memory_kib(), time.perf_counter()
    more = sockets - tenants
    watching.ask(Open(fleet=side.name, port=side.port, count=more, messages=messages))
    took = time.perf_counter() - began
    side.kib_a_socket = (side.memory_kib() - before) / more
    print(
        f"{side.name + ', opening':28}{sockets:11,} sockets on {tenants} tenants,"
        f" {more / took:,.0f} a second, {side.kib_a_socket:.1f} KiB each,"
        f" {side.memory_kib() / 1024:.0f} MiB in all",
        flush=True,
    )


async def warm(side: Side) -> None:
    wire = await Wire.connect("127.0.0.1", side.port)
    for _ in range(5):
        await make(side, wire, list(range(len(side.marks))))
    wire.close()


def check(served: Served, watching: Watching, kuota: Side, sockets: int) -> None:
    """Every watcher's last state is what a query says."""
    states = watching.states(kuota)
    counted = watching.ask(Count(fleet=kuota.name))
    headers = {"authorization": f"Bearer {served.key}"}
    truths = []
    with httpx2.Client(base_url=served.url, headers=headers, timeout=30) as client:
        for tenant in range(len(kuota.marks)):
            query = f'{{ tenant(key: "{tenant_key(tenant)}") {{ {FIELDS} }} }}'
            answer = client.post("/graphql", json={"query": query}).json()
            truths.append(answer["data"]["tenant"]["balances"])
    for tenant, state in states:
        seen = json.loads(state)["payload"]["data"]["balanceChanged"]["balances"]
        if seen != truths[tenant]:
            raise SystemExit(f"a watcher of {tenant_key(tenant)} sees {seen}, not {truths[tenant]}")
    if not counted.open == len(states) == sockets:
        raise SystemExit(f"{counted.open:,} of {sockets:,} sockets are still open")
    print(f"{kuota.name + ', at the end':28}{counted.open:11,} sockets open, each with the truth")


def restart(
    served: Served, watching: "Watching", kuota: Side, messages: list[list[bytes]], sockets: int
) -> None:
    """End the process and start it again: all are let go, and come back while changes are made."""
    before = asyncio.run(transactions(served))
    watching.tell(Return(fleet=kuota.name, port=kuota.port, messages=messages))
    began = time.perf_counter()
    served.stop()
    stopped = time.perf_counter()
    served.start()
    ready = time.perf_counter()
    kuota.pid = served.pid
    asyncio.run(warm(kuota))
    returned = watching.hear()
    watching.states(kuota)
    right = time.perf_counter()
    time.sleep(COUNTED_SECONDS)
    done = asyncio.run(transactions(served)) - before
    print(
        f"{kuota.name + ', restarted':28}{returned.told_at - began:11.2f} s until the last of"
        f" {sockets:,} was told, ended after {stopped - began:.2f}, ready after"
        f" {ready - began:.2f}; all back {returned.back_at - ready:.2f} s later, with the newest"
        f" state {right - ready:.2f} s later; {done:,} transactions meanwhile",
        flush=True,
    )
    check(served, watching, kuota, sockets)


async def transactions(served: Served) -> int:
    """How many the database has seen."""
    connection = await asyncpg.connect(served.owner_url)
    try:
        query = "select sum(xact_commit + xact_rollback)::bigint from pg_stat_database"
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


def check_reference(watching: Watching, reference: Side, sockets: int) -> None:
    """The reference lost nothing either: each frame came, for it never joins two."""
    watching.states(reference)
    counted = watching.ask(Count(fleet=reference.name))
    # Since the last socket was opened; five changes came before.
    due = sum(mark - 5 for mark in reference.marks) * sockets // len(reference.marks)
    if (counted.open, counted.frames) != (sockets, due):
        raise SystemExit(f"{reference.name}: {counted} where {due:,} frames were due")
    print(f"{reference.name + ', at the end':28}{counted.open:11,} sockets open, no frame lost")


def ratios(kuota: Side, reference: Side) -> dict[str, float]:
    """Ours as a share of the reference; above 1 is better than it."""
    return {
        "deliveries/s at most": kuota.most / reference.most,
        "p99, inverse": reference.of_times(0.99) / kuota.of_times(0.99),
        "KiB a socket, inverse": reference.kib_a_socket / kuota.kib_a_socket,
    }


def report(kuota: Side, reference: Side) -> None:
    print(f"{'':28}{'kuota':>11}{'plain':>11}")
    for what, digits, one, other in (
        ("p50, ms", 2, kuota.of_times(0.5), reference.of_times(0.5)),
        ("p99, ms", 2, kuota.of_times(0.99), reference.of_times(0.99)),
        ("deliveries/s at most", 0, kuota.most, reference.most),
        ("KiB a socket", 1, kuota.kib_a_socket, reference.kib_a_socket),
    ):
        print(f"{what:28}{one:11,.{digits}f}{other:11,.{digits}f}")
    for what, ratio in ratios(kuota, reference).items():
        print(f"{what:28}{ratio:11.3f} of {REFERENCE}")


def allow_files(count: int) -> None:
    """Let this process and those it starts have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"this needs {count:,} open files and may have {hard:,}; see ulimit -n")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


if __name__ == "__main__":
    main()
