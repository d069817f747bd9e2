"""How fast a tenant is settled, and at what cost: `python -m tests.bench.settle [--full]`.

Facts of one tenant are posted to a served process, one in a hundred of them hours late. A process
of its own settles them; beside it the pure fold takes the same facts from memory, in order. Then
what a settling takes of memory at ten times the facts, how much of a month is read for a fact that
is an hour late, from a midnight and without any, and what live ingestion of the same tenant loses
while the served process settles it.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from statistics import median
from typing import Any

import httpx2

from api.edge import kept
from api.settling import Cause, Settling
from domain.facts import Fact
from domain.fold import fold
from domain.terms import Terms
from persistence import log, midnights, terms
from persistence.audit import COMMAND, acting_as
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.tenants import find_by_keys
from tests.bench.fold import state_of
from tests.bench.served import Served, operate, serve
from tests.bench.traffic import _event, number_address, tenant_key
from tests.bench.wire import Wire, post

REFERENCE = "FOLD"
FACTS = 3_000
TIMES = 10
BATCH = 1_000
CONTACTS = 3_000
LATE_SHARE = 0.01
LATE_HOURS = (1, 30)
CLIENTS = 4
LIVE_SECONDS = 2.0
LIVE_BATCH = 200
LIVE_FACTS = 30_000
#: Tenants by what they are for: settled once to warm up, at 1x, at 10x, with a fact an hour late.
WARM, ONCE, TEN_TIMES, MONTH = 1, 2, 3, 4
#: How long their facts take.
PAST, MONTH_PAST = timedelta(days=14), timedelta(days=30)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="five times as many facts")
    scale = 5 if arguments.parse_args().full else 1
    began = time.monotonic()
    with serve() as served:
        sizes = {
            WARM: 500, ONCE: FACTS * scale, TEN_TIMES: FACTS * scale * TIMES,
            MONTH: FACTS * scale * 2,
        }  # fmt: skip
        for tenant in sizes:
            open_tenant(served, tenant)
        asyncio.run(load(served, [past(tenant, facts) for tenant, facts in sizes.items()]))
        once = apart(settled_in, served, ONCE)
        ten_times = apart(settled_in, served, TEN_TIMES)
        folded = apart(folded_in, served, TEN_TIMES)
        for name, run in (("1x", once), ("10x", ten_times)):
            print(
                f"{f'settled, {name}':28}{run['rate']:11,.0f} facts/s  {run['facts']:,} facts,"
                f" {run['corrected']:,} corrected, {run['memory']:.1f} MB more at its peak"
            )
        print(f"{'fold, the same 10x':28}{folded['rate']:11,.0f} facts/s")
        for name, forgotten in (
            ("a month", True), ("then an hour late", False), ("the same, no midnights", True),
        ):  # fmt: skip
            hour_late(served)
            run = apart(settled_in, served, MONTH, forgotten)
            print(f"{name:28}{run['took']:11.3f} s        {run['facts']:,} facts read")
        alone, beside, rounds = live(served)
        print(f"{'live, not settled':28}{alone:11,.0f} facts/s")
        print(
            f"{'live, settled meanwhile':28}{beside:11,.0f} facts/s  {beside / alone:.0%} of that,"
            f" settled {rounds}x"
        )
    print(f"{'took':28}{time.monotonic() - began:11.1f} s")
    print(f"ratio {ten_times['rate'] / folded['rate']:.3f} of {REFERENCE}")


def open_tenant(served: Served, tenant: int) -> None:
    key = tenant_key(tenant)
    headers = {"authorization": f"Bearer {served.key}"}
    with httpx2.Client(base_url=served.url, headers=headers, timeout=30) as client:
        operate(client, "tenantCreate", "tenant { key }", {"key": key, "plan": "omnichannel-idr"})
        number = {"tenant": key, "channel": "whatsapp", "address": number_address(tenant)}
        operate(client, "numberCreate", "number { address }", number)


def past(tenant: int, facts: int) -> list[bytes]:
    """Bodies of a tenant's facts of the last two weeks, in the order they arrive."""
    picks = random.Random(f"settle/{tenant}")
    end = datetime.now(UTC) - timedelta(minutes=5)
    step = (MONTH_PAST if tenant == MONTH else PAST) / facts
    arriving: list[tuple[datetime, str]] = []
    for n in range(facts):
        at = end - step * (facts - n)
        contact = int(CONTACTS * picks.random() ** 2)
        event = _event(f"past{tenant}-{n}", at, tenant, contact, picks)
        late = picks.random() < LATE_SHARE
        arriving.append((at + timedelta(hours=picks.uniform(*LATE_HOURS) if late else 0), event))
    events = [event for _, event in sorted(arriving)]
    return [_body(events[n : n + BATCH]) for n in range(0, facts, BATCH)]


def hour_late(served: Served) -> None:
    """Let a fact come that is an hour late."""
    picks = random.Random(time.time())
    at = datetime.now(UTC) - timedelta(hours=1)
    event = _event(f"late{picks.random()}", at, MONTH, int(CONTACTS * picks.random() ** 2), picks)
    asyncio.run(load(served, [[_body([event])]]))


def _body(events: Sequence[str]) -> bytes:
    return f"[{','.join(events)}]".encode()


def now_and_then(tenant: int, client: int, facts: int) -> list[bytes]:
    """Bodies of one client's live facts, of contacts of its own."""
    picks = random.Random(f"live/{client}/{time.time()}")
    events = []
    for n in range(facts // CLIENTS):
        contact = 10_000 * (client + 1) + int(CONTACTS * picks.random() ** 2)
        message = f"live{picks.random()}-{n}"
        events.append(_event(message, datetime.now(UTC), tenant, contact, picks))
    return [_body(events[n : n + LIVE_BATCH]) for n in range(0, len(events), LIVE_BATCH)]


async def load(served: Served, lists: Sequence[Sequence[bytes]], seconds: float = 1e9) -> float:
    """Post lists of bodies, a connection each; gives the facts a second that were accepted."""
    kind = "application/cloudevents-batch+json"
    requests = [[post("/v1/events", served.key, kind, body) for body in each] for each in lists]
    wires = [await Wire.connect("127.0.0.1", served.port) for _ in lists]
    accepted, began = 0, time.perf_counter()

    async def send(wire: Wire, own: list[bytes]) -> None:
        nonlocal accepted
        for request in own:
            if time.perf_counter() - began > seconds:
                break
            status, body = await wire.send(request)
            assert status == 200, body[:300]
            accepted += body.count(b'"status":"accepted"')

    await asyncio.gather(*map(send, wires, requests))
    for wire in wires:
        wire.close()
    return accepted / (time.perf_counter() - began)


def live(served: Served) -> tuple[float, float, int]:
    """The rate of live facts, alone and while the served process settles the same tenant.

    It is measured alone before and after; with them comes how often the tenant was settled.
    """

    def run() -> float:
        lists = [now_and_then(TEN_TIMES, client, LIVE_FACTS) for client in range(CLIENTS)]
        return asyncio.run(load(served, lists, LIVE_SECONDS))

    run()
    before = run()
    over, rounds = threading.Event(), 0

    def settle() -> None:
        nonlocal rounds
        headers = {"authorization": f"Bearer {served.key}"}
        with httpx2.Client(base_url=served.url, headers=headers, timeout=60) as client:
            while not over.is_set():
                operate(client, "settle", "facts", {"tenant": tenant_key(TEN_TIMES)})
                rounds += 1

    thread = threading.Thread(target=settle)
    thread.start()
    beside = run()
    over.set()
    thread.join()
    return (before + run()) / 2, beside, rounds


def apart(
    work: Callable[..., None], served: Served, tenant: int, *told_too: object
) -> dict[str, Any]:
    """What `work` finds in a process of its own."""
    told = json.loads((served.data / "servers.json").read_text())
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(
        target=work, args=(theirs, told["addresses"]["app_url"], tenant, *told_too)
    )
    process.start()
    found: dict[str, Any] = mine.recv()
    process.join()
    return found


def settled_in(pipe: Pipe, url: str, tenant: int, forgotten: bool = False) -> None:
    """Settle a tenant, after a small one: facts a second, and how much memory grew for it.

    With `forgotten` its midnights are no more.
    """

    async def run() -> dict[str, Any]:
        async with Door.open(url, size=1) as door:
            ids = await find_by_keys(door, [tenant_key(WARM), tenant_key(tenant)])
            settling = Settling(door, await _catalogue(door), _now, None)
            await settling.settle(ids[tenant_key(WARM)].tenant_id, Cause.DEMAND)
            tenant_id = ids[tenant_key(tenant)].tenant_id
            if forgotten:
                async with door.tenant_tx(tenant_id) as connection:
                    await midnights.begin(connection, tenant_id, None)
            before, began = _peak_begins(), time.perf_counter()
            done = await settling.settle(tenant_id, Cause.DEMAND)
            took = time.perf_counter() - began
            return {
                "facts": done.facts, "corrected": done.corrected, "rate": done.facts / took,
                "took": took, "memory": _memory("VmHWM") - before,
            }  # fmt: skip

    with acting_as(COMMAND):
        pipe.send(asyncio.run(run()))


def folded_in(pipe: Pipe, url: str, tenant: int) -> None:
    """Fold a tenant's facts from memory, in order, a thousand a commit."""

    async def read() -> tuple[Terms, list[Fact]]:
        async with Door.open(url, size=1) as door:
            key = tenant_key(tenant)
            tenant_id = (await find_by_keys(door, [key]))[key].tenant_id
            catalogue = await _catalogue(door)
            async with door.tenant_tx(tenant_id) as connection:
                (own,) = await terms.by_ids(connection, catalogue, [tenant_id])
                facts: list[Fact] = []
                after = log.BEGINNING
                while page := await log.page(
                    connection, tenant_id, after=after, until=1 << 62, limit=BATCH
                ):
                    facts += [kept(row, own) for row in page]
                    after = page[-1].place
                return own, facts

    own, facts = asyncio.run(read())
    took = []
    for _ in range(3):
        state, began = state_of(own), time.perf_counter()
        for n in range(0, len(facts), BATCH):
            commit = facts[n : n + BATCH]
            for contact in fold(own, state, commit, {}, commit[-1].at).contacts:
                contact.dirty = False  # as recording leaves them
        took.append(time.perf_counter() - began)
    pipe.send({"rate": len(facts) / median(took)})


async def _catalogue(door: Door) -> Catalogue:
    async with door.system_tx("the catalogue of a bench") as connection:
        return await Catalogue.load(connection)


def _now() -> int:
    return time.time_ns() // 1000


def _peak_begins() -> float:
    """Forget the peak so far; gives what there is now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at its peak."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
