"""`demo`: four businesses at work, on servers that live no longer than the command.

Owns the order of things and what people are told. Where it is served is `house`'s, who is there
`businesses`' and `founding`'s, what they do `traffic`'s; `panel` reads the figures back.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import socket
import sys
import time
from collections.abc import Coroutine
from typing import Annotated, Any

import httpx2
import msgspec
from cyclopts import Parameter, validators

from api import serve as process
from api.cli import invoiced, low, morning, panel
from api.cli.businesses import BUSINESSES, CAFE, SHOP
from api.cli.founding import found
from api.cli.house import House, opened
from api.cli.options import AsJson
from api.cli.progress import progress
from api.cli.sender import TIMEOUT_SECONDS, Sender, Tally
from api.cli.serve import Port
from api.cli.terminal import Failure, note, result, settings
from api.cli.traffic import Endless, Event, month

HOST = "127.0.0.1"
BATCH = 1_000
#: Between two requests once traffic goes on at real time.
TICK_SECONDS = 0.25
#: Facts of one tick at most; what the machine cannot do is not saved up for later.
TICK_FACTS_MAX = 5_000
SCOPES = ("usage:read", "billing:read")
QUERY = (
    '{ tenant(key: "%s") { live { openConversations openWindows visitors }'
    " balances { key used { formatted } remaining { formatted } percentUsed } } }"
)
SUBSCRIPTION = (
    'subscription { balanceChanged(tenant: "%s") { position cause'
    " balances { key used { value } remaining { value } } } }"
)
IGNORED = ("KUOTA_DATABASE_URL", "KUOTA_DATABASE_OWNER_URL", "KUOTA_REDIS_URL", "KUOTA_DATA",
           "KUOTA_OPERATOR_KEY", "KUOTA_CLOCK")  # fmt: skip

Rate = Annotated[
    float,
    Parameter(
        help="Facts a second once the month is caught up with.",
        validator=validators.Number(gte=0, lte=10_000),
    ),
]


def demo(
    *,
    port: Port = 8000,
    seed: Annotated[int, Parameter(help="Another seed, another month.")] = 1,
    rate: Rate = 20.0,
    seconds: Annotated[
        float | None,
        Parameter(
            help="End after so many seconds of real time.", validator=validators.Number(gte=0)
        ),
    ] = None,
    months: Annotated[
        int,
        Parameter(
            help="Months that are closed and invoiced, one after the other.",
            validator=validators.Number(gte=2, lte=invoiced.MONTHS_MAX),
        ),
    ] = invoiced.MONTHS_MAX,
    as_json: AsJson = False,
) -> None:
    """Show four businesses at work until Ctrl-C, and leave nothing behind.

    PostgreSQL and Valkey run in a temporary folder, whatever the environment says. The present
    month is sent up to now, then traffic goes on; the table is read back from the API.
    """
    settings()  # a misspelt variable stops this command too
    if set_ones := [name for name in IGNORED if os.environ.get(name)]:
        note(f"{', '.join(set_ones)}: ignored; the demo has servers and keys of its own")
    listening = _listen(port)
    note("starting PostgreSQL and Valkey in a temporary folder")
    with opened(listening) as house:
        asyncio.run(_run(house, seed, rate, seconds, months, as_json=as_json))


def _listen(port: int) -> socket.socket:
    """A listening socket on the port, or on a free one where somebody has it."""
    try:
        return process.listen(HOST, port)
    except process.ServeError as fault:
        cause = fault.__cause__
        if not (isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE):
            raise Failure(str(fault)) from fault
    listening = process.listen(HOST, 0)
    note(f"port {port} is taken; the demo listens on {listening.getsockname()[1]} instead")
    return listening


async def _run(
    house: House, seed: int, rate: float, seconds: float | None, months: int, *, as_json: bool
) -> None:
    """Show, for as long as the house stands."""
    # Whoever loses the house sees only its connection break: the reason goes first.
    await _first(house.end(), _show(house, seed, rate, seconds, months, as_json=as_json))


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Do all at once until one ends; of those that ended, the first one's fault is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _show(
    house: House, seed: int, rate: float, seconds: float | None, months: int, *, as_json: bool
) -> None:
    async with httpx2.AsyncClient(
        base_url=house.url,
        headers={"Authorization": f"Bearer {house.operator_key}"},
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
    ) as client:
        now = time.time_ns() // 1000
        keys = await found(client, now, SCOPES)
        await _send(client, "past months", invoiced.past(seed, now, months))
        await invoiced.agree(client, now, months)
        events = month(BUSINESSES, seed, time.time_ns() // 1000)
        tally = await _send(client, "this month", events)
        paste = _pastes(house.url, keys)
        result(
            _greeting(house, keys, tally, paste),
            _ready(house, keys, tally, paste),
            as_json=as_json,
        )
        news = low.News(as_json=as_json)
        await _first(
            panel.follow(client, seconds, news.lines, as_json=as_json),
            low.follow(client, house.url, house.operator_key, news),
            _once(morning.tell(client, house.url, news)),
            invoiced.follow(client, now, news),
            _go_on(client, seed, rate),
        )


async def _once(work: Coroutine[Any, Any, None]) -> None:
    """Do a work that ends, beside others that do not."""
    await work
    await asyncio.Event().wait()


class _Given:
    """Events as lines, for the sender."""

    def __init__(self, events: list[Event]) -> None:
        self.taken = 0
        self._events = events

    def take(self, count: int) -> list[bytes]:
        """Up to `count` next lines."""
        some = self._events[self.taken : self.taken + count]
        self.taken += len(some)
        return [msgspec.json.encode(event) for event in some]


async def _send(client: httpx2.AsyncClient, what: str, events: list[Event]) -> Tally:
    """Send what happened until now."""
    given = _Given(events)
    with progress(what, len(events)) as show:
        sender = Sender(client, given, BATCH, lambda: show(sender.tally.facts, sender.tally.facts))
        await sender.run()
    return sender.tally


async def _go_on(client: httpx2.AsyncClient, seed: int, rate: float) -> None:
    """Send `rate` facts a second without end."""
    traffic = Endless(BUSINESSES, seed)
    began, due = time.monotonic(), 0
    while True:
        await asyncio.sleep(TICK_SECONDS)
        before, due = due, int((time.monotonic() - began) * rate)
        count = min(due - before, TICK_FACTS_MAX)
        if count > 0:
            events = traffic.take(count, time.time_ns() // 1000 - count)
            await Sender(client, _Given(events), BATCH, lambda: None).run()


def _pastes(url: str, keys: tuple[str, str]) -> dict[str, str]:
    """Command lines to paste, for the one who started us in the folder it was started from."""
    key, _ = keys
    query = shlex.join(
        ["curl", "-sG", f"{url}/graphql", "-H", f"Authorization: Bearer {key}",
         "--data-urlencode", f"query={QUERY % SHOP.key}"]
    )  # fmt: skip
    watch = shlex.join([_python(), "-m", "api", "watch", SHOP.key, "--url", url, "--key", key])
    return {"query": query, "watch": watch, "subscription": SUBSCRIPTION % SHOP.key}


def _python() -> str:
    """This Python as it is shortest written."""
    return min(sys.executable, os.path.relpath(sys.executable), key=len)


def _ready(
    house: House, keys: tuple[str, str], tally: Tally, paste: dict[str, str]
) -> dict[str, object]:
    """What programs are told before the figures."""
    return {
        "event": "ready",
        "address": house.url,
        "data": str(house.data),
        "operatorKey": house.operator_key,
        "tenant": SHOP.key,
        "tenantKey": keys[0],
        "invoiced": CAFE.key,
        "invoicedKey": keys[1],
        **paste,
        "facts": tally.facts,
        "statuses": dict(sorted(tally.statuses.items())),
        "factsPerSecond": round(tally.facts_per_second, 1),
    }


def _greeting(house: House, keys: tuple[str, str], tally: Tally, paste: dict[str, str]) -> str:
    """What people are told before the figures."""
    counts = ", ".join(f"{status} {count:,}" for status, count in sorted(tally.statuses.items()))
    return f"""\
kuota's demo runs on {house.url} until Ctrl-C, and leaves nothing behind.
This month up to now: {tally.facts:,} facts, {tally.facts_per_second:,.0f} a second ({counts}).

operator key   {house.operator_key}
tenant key     {keys[0]}   ({SHOP.key}: {", ".join(SCOPES)})
invoices' key  {keys[1]}   ({CAFE.key}: billing:read)

a query:
  {paste["query"]}
follow its balances:
  {paste["watch"]}
or subscribe at ws{house.url.removeprefix("http")}/graphql (graphql-transport-ws, \
connection_init {{"authorization": "Bearer KEY"}}):
  {paste["subscription"]}
"""
