"""How many tenants a second are closed and invoiced: `python -m tests.bench.invoices [--quick]`.

A thousand tenants of a postpaid plan, each with a subscription and some facts, in the embedded
servers of a served process whose clock is behind all of it. A process of its own closes their
month and issues the invoices, by the tasks that did so in production. Beside it the same rows are
written by bare statements, a transaction each, into copies of the tables; then the documents are
printed, beside the printer alone with all that they say prepared before, and had from the served
process by signed links. At the end the books are checked: it fails where they do not agree.
"""

import argparse
import asyncio
import json
import re
import threading
import time
from collections import deque
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
import typst
import uvloop
from pypdf import PdfReader

from api import ids
from api.documents.files import Form, file_name
from api.documents.page import page
from api.documents.press import Press
from api.documents.printing import STANDARDS, _at, _fonts, _template, pdf
from api.invoicing.closing import Closing
from api.invoicing.dunning import Dunning
from api.limits import PRINTS_MAX
from api.links import Link, path_of
from api.metrics import Metrics
from api.operations import subscription_create
from api.operations.subscription_create import AskedFees, SubscriptionCreate
from api.reaching.fan_out import FanOut
from api.settling import Settling
from api.signing import Signing
from api.tasks import TOGETHER_MAX, Tasks
from domain.periods import DAY, HOUR, iso, month_label, zone
from domain.watch import AlertKind
from persistence import account_checks, tasks
from persistence.actions import ActionKind
from persistence.invoices import COLUMNS, InvoiceRecord, from_row
from tests.bench.served import Served, serve
from tests.bench.wire import Wire
from tests.scenarios.world import World

REFERENCE, PRINTER = "BARE INSERT", "BARE TYPST"
TENANTS, QUICK = 1_000, 60
PLAN = "postpaid-idr"
FACTS = 3  #: messages of each tenant, beside one that comes in
DOWNLOADS = 8  #: clients
OF_ADDRESS = 40  #: downloads that an address asks for: it may not have many more a minute
PORTIONS = 10  #: in which a run and its reference take turns
LONG = 2_000  #: lines of the longest document
JAKARTA = zone("Asia/Jakarta")
#: The month, and when it is closed: as soon as it may be.
BEGIN, END = JAKARTA.month_bounds(month_label(2026, 10))
SEATS = {"key": "seats", "name": "Seats", "unit": "seat", "price": "300000", "quantity": "10"}

#: The tables an invoice is written to, whose copies the bare statements fill, and of those rows.
ROWS = {
    "invoices": "issued_at >= $1",
    "journal": "at >= $1",
    "actions": f"at >= $1 and kind = {ActionKind.INVOICE_ISSUE.value}",
    "alerts": f"at >= $1 and kind = {AlertKind.INVOICE_ISSUED.value}",
}
COLUMNS_OF = """
select array_agg(attname::text order by attnum) from pg_attribute
where attrelid = $1::text::regclass and attnum > 0 and attgenerated = '' and not attisdropped"""
COUNT = """
insert into bare.document_series (issuer, series, year, last) values ($1, $2, $3, 1)
on conflict (issuer, series, year) do update set last = document_series.last + 1
returning last"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tenants", type=int, default=TENANTS)
    arguments.add_argument("--quick", action="store_true", help=f"{QUICK} tenants")
    asked = arguments.parse_args()
    count = QUICK if asked.quick else asked.tenants
    began = time.monotonic()
    with (
        serve(KUOTA_RATE_LIMIT="0", KUOTA_CLOCK=iso(BEGIN - 7 * DAY)) as served,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        wrong = runner.run(measured(served, count, began))
    if wrong:
        raise SystemExit("\n".join(wrong))


async def measured(served: Served, count: int, began: float) -> list[str]:
    """All runs, printed as they end; gives what is wrong with the books after them."""
    told = json.loads((served.data / "servers.json").read_text())["addresses"]
    owner = await asyncpg.connect(served.owner_url)
    async with World.open(told["app_url"], told["redis_url"]) as world:
        work = worker(world)
        await open_tenants(world, work, count)
        told_of("set up", time.monotonic() - began, count, "tenants", memory("VmRSS"))
        world.clock.at = END + 72 * HOUR
        forget_peak()
        closing = await timed(drained(work, tasks.CLOSE))
        told_of("closings", closing, count, "tenants", memory("VmHWM"))
        own, bare = await issued(work, served.owner_url, owner, count)
        told_of("invoices", own, count, "invoices", memory("VmHWM"))
        print(f"{'bare rows of an invoice':28}{count / bare:9,.1f} invoices/s")
        print(f"{'closed and invoiced':28}{count / (closing + own):9,.1f} tenants/s")
        await drained(work, tasks.NOTIFY)
        records = [
            from_row(row)
            for row in await owner.fetch(f"select {COLUMNS} from invoices order by invoice_id")
            if row["period"] is not None
        ]
        printed, alone = await documents(records)
        await downloaded(served, records)
        wrong = await checked(world, owner, count)
    await owner.close()
    print(f"{'took':28}{time.monotonic() - began:9.1f} s")
    print(f"ratio {printed / alone:.3f} of {PRINTER}")
    print(f"ratio {bare / own:.3f} of {REFERENCE}")
    return wrong


def told_of(name: str, took: float, count: int, what: str, megabytes: float) -> None:
    print(
        f"{name:28}{count / took:9,.1f} {what}/s  {count:,} in {took:.1f} s,"
        f" {took / count * 1e3:.1f} ms each, {megabytes:.0f} MB",
        flush=True,
    )


async def timed(work: Awaitable[object]) -> float:
    """Seconds that something took."""
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def worker(world: World) -> Tasks:
    """What does a process's tasks, as its jobs do."""
    now = world.clock.now
    settling = Settling(world.door, world.catalogue, now, world.show)
    closing = Closing(world.door, world.catalogue, world.show, settling, now)
    told = FanOut(world.door, world.catalogue, now)
    return Tasks(world.door, now, Metrics(), {
        tasks.CLOSE: closing.close, tasks.INVOICE: closing.invoice, tasks.NOTIFY: told.handle,
        tasks.DUNNING: Dunning(world.door, world.catalogue, world.show, now).handle,
    })  # fmt: skip


async def drained(work: Tasks, kind: str) -> None:
    """Do what is due of a kind."""
    while await work.step(kind):
        pass


async def together(work: Iterable[Coroutine[Any, Any, object]], most: int = TOGETHER_MAX) -> None:
    """Do all of it, so many at once."""
    waiting = iter(work)

    async def one() -> None:
        for each in waiting:
            await each

    await asyncio.gather(*(one() for _ in range(most)))


def key(tenant: int) -> str:
    return f"shop-{tenant:04d}"


async def open_tenants(world: World, work: Tasks, count: int) -> None:
    """Tenants that subscribed on the first of the month, and what they used in it."""

    async def open_one(tenant: int) -> None:
        await world.tenant(key(tenant), plan=PLAN)
        await world.number(key(tenant), "wa", "whatsapp", f"+62 811 30{tenant:05d}")
        request = SubscriptionCreate(
            tenant=key(tenant), start=JAKARTA.date(BEGIN), idempotency_key="subscribe",
            fees=AskedFees(name="Growth", components=(SEATS,)),
        )  # fmt: skip
        await subscription_create.run(
            world.door, world.catalogue, world.show, request, now=world.clock.now()
        )

    world.clock.at = BEGIN - HOUR
    await together(open_one(tenant) for tenant in range(count))
    world.clock.at = BEGIN + HOUR
    await drained(work, tasks.INVOICE)
    world.clock.at = END - HOUR
    facts = [fact for tenant in range(count) for fact in facts_of(tenant)]
    for first in range(0, len(facts), 5_000):
        results = await world.send(facts[first : first + 5_000])
        assert all(each["status"] == "accepted" for each in results), results[0]
    world.clock.at = END + 71 * HOUR
    for kind in (tasks.DUNNING, tasks.NOTIFY):
        await drained(work, kind)


def facts_of(tenant: int) -> Iterable[dict[str, Any]]:
    """What a tenant used in the month."""
    for n in range(FACTS + 1):
        kind = "delivered" if n else "received"
        data = {"number": f"+62 811 30{tenant:05d}", "contact": f"+62 812 40{tenant:05d}"}
        if n:
            data |= {"category": "marketing", "template": "sale", "message": f"{tenant}-{n}"}
        yield {
            "specversion": "1.0", "id": f"{tenant}-{n}", "source": "bench", "subject": key(tenant),
            "type": f"message.{kind}", "time": iso(BEGIN + (3 + 7 * n) * DAY), "data": data,
        }  # fmt: skip


async def issued(
    work: Tasks, url: str, owner: asyncpg.Connection, count: int
) -> tuple[float, float]:
    """Seconds in which all invoices are issued, and in which their rows are written by themselves.

    In turn, some after some, so that a slow machine is slow for both.
    """
    await owner.execute("create schema bare")
    for table in ("document_series", *ROWS):
        await owner.execute(f"create table bare.{table} (like {table} including all)")
    connections = [await asyncpg.connect(url) for _ in range(TOGETHER_MAX)]
    own, bare, more = 0.0, 0.0, True
    while more:
        began = time.perf_counter()
        for _ in range(max(count // PORTIONS // TOGETHER_MAX, 1)):
            more = await work.step(tasks.INVOICE)
        own += time.perf_counter() - began
        bare += await bare_inserts(owner, connections)
    for connection in connections:
        await connection.close()
    return own, bare


async def bare_inserts(owner: asyncpg.Connection, connections: list[asyncpg.Connection]) -> float:
    """Seconds in which the rows of the latest invoices are written into copies of the tables."""
    rest = "{} and tenant_id not in (select tenant_id from bare.invoices) order by tenant_id"
    statements, rows = [], []
    for table, which in ROWS.items():
        columns = await owner.fetchval(COLUMNS_OF, table)
        values = ", ".join(f"${n + 1}" for n in range(len(columns)))
        names = ", ".join(columns)
        statements.append(
            f"insert into bare.{table} ({names}) overriding system value values ({values})"
        )
        asked = f"select {names} from {table} where {rest.format(which)}"
        rows.append([tuple(row) for row in await owner.fetch(asked, END + DAY)])

    async def write(of_one: Sequence[tuple[Any, ...]]) -> None:
        connection = connections.pop()
        async with connection.transaction():
            await connection.fetchval(COUNT, "", "INV", 2026)
            for statement, row in zip(statements, of_one, strict=True):
                await connection.execute(statement, *row)
        connections.append(connection)

    return await timed(together(write(each) for each in zip(*rows, strict=True)))


async def documents(records: Sequence[InvoiceRecord]) -> tuple[float, float]:
    """Documents a second: as they are printed, and by the printer alone; and a long one."""
    made: list[bytes] = []

    async def one(press: Press, record: InvoiceRecord) -> None:
        made.append(await press.file(record.invoice_id, record.invoice, Form.PDF))

    printers = ThreadPoolExecutor(PRINTS_MAX)
    own = alone = 0.0
    for warm in (True, False):
        size = 2 * PRINTS_MAX if warm else max(len(records) // PORTIONS, 2 * PRINTS_MAX)
        press, own, alone = Press(), 0.0, 0.0
        for first in range(0, size if warm else len(records), size):
            portion = records[first : first + size]
            told = [(json.dumps(page(each.invoice)), _at(each.invoice)) for each in portion]
            own += await timed(together((one(press, each) for each in portion), DOWNLOADS))
            alone += await timed(gathered(printers, told))
    largest, said = max(made, key=len), records[0].invoice
    long = replace(said, lines=said.lines[:1] * LONG)
    began = time.perf_counter()
    longest = await asyncio.to_thread(pdf, long)
    took = time.perf_counter() - began
    print(
        f"{'documents, printed':28}{len(records) / own:9,.1f} documents/s "
        f" {len(largest) // 1024} KB and {len(PdfReader(BytesIO(largest)).pages)} page at most,"
        f" {memory('VmHWM'):.0f} MB"
    )
    print(f"{'the printer alone':28}{len(records) / alone:9,.1f} documents/s")
    print(
        f"{f'the worst, of {LONG:,} lines':28}{took:9.2f} s"
        f"  {len(PdfReader(BytesIO(longest)).pages)} pages, {len(longest) // 1024:,} KB"
    )
    return len(records) / own, len(records) / alone


async def gathered(printers: Executor, told: Iterable[tuple[str, Any]]) -> None:
    """Print all of it at once."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(printers, print_alone, each) for each in told))


_own = threading.local()


def print_alone(told: tuple[str, Any]) -> None:
    """Print what is said already, by the thread's printer."""
    if not hasattr(_own, "printer"):
        _own.printer = typst.Compiler(
            input=_template(), font_paths=_fonts(), ignore_system_fonts=True
        )
    said, at = told
    _own.printer.compile(
        input=_template(), format="pdf", pdf_standards=list(STANDARDS), timestamp=at,
        sys_inputs={"invoice": said, "xml": ""},
    )  # fmt: skip


async def downloaded(served: Served, records: Sequence[InvoiceRecord]) -> None:
    """Have every document by its link."""
    signing = Signing(None)
    requests = []
    for each in records:
        of = ids.encode("inv", each.invoice_id)
        path = path_of(signing, Link(
            object="invoice", of=of, tenant_id=each.tenant_id, since=0, until=0, format=Form.PDF,
            name=file_name(each.invoice, of, Form.PDF), expires_at=BEGIN,
        ))  # fmt: skip
        requests.append(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    waited: list[float] = []
    loop = asyncio.get_running_loop()
    wires = deque[Wire]()
    for place in range(DOWNLOADS + len(requests) // OF_ADDRESS):
        _, wire = await loop.create_connection(
            Wire, "127.0.0.1", served.port, local_addr=(f"127.0.1.{place + 1}", 0)
        )
        wires.append(wire)

    async def one(request: bytes) -> None:
        wire, began = wires.popleft(), time.perf_counter()
        status, body = await wire.send(request)
        assert status == 200, body[:300]
        assert body.startswith(b"%PDF"), body[:300]
        waited.append(time.perf_counter() - began)
        wires.append(wire)

    await one(requests[0])
    waited.clear()
    took = await timed(together((one(request) for request in requests), DOWNLOADS))
    waited.sort()
    print(
        f"{f'downloaded, {DOWNLOADS} clients':28}{len(requests) / took:9,.1f} documents/s  p50"
        f" {waited[len(waited) // 2] * 1e3:.1f} ms, the slowest {waited[-1] * 1e3:.1f} ms, the"
        f" process has {served.memory_mb():.0f} MB"
    )
    for wire in wires:
        wire.close()


async def checked(world: World, owner: asyncpg.Connection, count: int) -> list[str]:
    """What is wrong with the invoices, the accounts and the tasks; empty: nothing."""
    wrong = []
    given = await owner.fetch("select place from invoices where number is not null order by place")
    if [row["place"] for row in given] != list(range(1, 2 * count + 1)):
        wrong.append(f"{len(given)} invoices are not numbered from 1 to {2 * count}, each once")
    kept = await owner.fetchval("select count(*) from closed_usage")
    if kept != count:
        wrong.append(f"{kept} periods were closed")
    for row in await owner.fetch(
        "select kind, count(*) from tasks where due_at <= $1 group by kind",
        world.clock.now() + HOUR,
    ):
        wrong.append(f"{row['count']} tasks {row['kind']} are left")
    for record in world.tenants.values():
        async with world.door.tenant_tx(record.tenant_id) as connection:
            found = await account_checks.check(connection, record.tenant_id)
        wrong += [f"{record.key}: {each}" for each in found]
    if not wrong:
        print(f"{'checked':28}{len(given):9,} invoices numbered without a gap, accounts agree")
    return wrong


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def memory(name: str) -> float:
    """Megabytes of this process: VmRSS now, VmHWM at its peak."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
