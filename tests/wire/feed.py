"""Watchers of the live feed, facts whose figures are known from their answers, and the claim.

The claim is the same after any trouble: every watcher's last state is what a query answers, and
both are the sum of what was answered to the facts. Owns no trouble; that is the tests' to make.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from operator import eq
from typing import Any, TypeVar

import asyncpg
import httpx2
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection

from domain.periods import instant, period, zone
from persistence import buckets, keys
from persistence.valkey import run
from tests.api.sockets import greet, opened, say, subscribe
from tests.conftest import Served
from tests.wire.client import LOOK_SECONDS, Json, ask, connected
from tests.wire.traffic import CLOCK, Event, Tally, address, open_tenants, send

T = TypeVar("T")

#: How long anybody may take to be right again, once traffic and trouble are over.
SOON_SECONDS = 20.0
ZONE = "Asia/Jakarta"
#: Four hours before the clock starts: windows of these facts stay open.
AT = datetime(2026, 11, 9, 20, tzinfo=UTC)

FIGURES = """
  key opening { value } granted { value } toppedUp { value } adjusted { value } used { value }
  lapsed { value } remaining { value } held { value } available { value }
  lots { source amount { value } used { value } lapsed { value } remaining { value } }"""
COUNTERS = "openConversations openWindows visitors availableUsers"

BALANCES = f"""subscription($tenant: String!) {{ change: balanceChanged(tenant: $tenant) {{
  cause balances {{ version asOf {FIGURES} }} }} }}"""
USAGE = f"""subscription($tenant: String!) {{ change: usageChanged(tenant: $tenant) {{
  live {{ version asOf {COUNTERS} }} }} }}"""
PRESENT = f"""query($tenant: String!) {{ tenant(key: $tenant) {{
  balances {{ {FIGURES} }} live {{ {COUNTERS} }} }} }}"""
CHARGES = """query($tenant: String!, $after: String) { tenant(key: $tenant) {
  charges(first: 100, after: $after) { nodes { factId balance amount { value } }
    pageInfo { hasNextPage endCursor } } } }"""


async def soon(read: Callable[[], Awaitable[T]], wanted: Callable[[T], bool], what: str) -> T:
    """What `read` gives, once it is what is wanted; a failure says what it was instead."""
    value: T | None = None
    try:
        async with asyncio.timeout(SOON_SECONDS):
            while True:
                value = await read()
                if wanted(value):
                    return value
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{what}: {value}") from None


class Watcher:
    """One socket that watches the balances and the counters of tenants."""

    def __init__(self, tenants: Iterable[str]) -> None:
        self.tenants = tuple(tenants)
        self.balances: dict[str, list[Json]] = {}
        self.live: dict[str, Json] = {}
        self.causes: dict[str, list[str]] = {tenant: [] for tenant in self.tenants}
        self._places: dict[str, tuple[int, str]] = {}

    async def begin(self, socket: ClientConnection) -> None:
        await greet(socket)
        for tenant in self.tenants:
            await say(socket, subscribe(f"balances {tenant}", BALANCES, tenant=tenant))
            await say(socket, subscribe(f"usage {tenant}", USAGE, tenant=tenant))

    async def read(self, socket: ClientConnection) -> None:
        """Take what comes: newer states only, no error and no end."""
        async for frame in socket:
            message = json.loads(frame)
            assert message["type"] == "next", message
            assert "errors" not in message["payload"], message
            change = message["payload"]["data"]["change"]
            kind, _, tenant = message["id"].partition(" ")
            if kind == "balances":
                self.causes[tenant].append(change["cause"])
                states = change["balances"]
            else:
                states = [change["live"]]
            (place,) = {(int(each.pop("version")), each.pop("asOf")) for each in states}
            before = self._places.get(message["id"], (-1, ""))
            assert before < place, f"{message['id']}: {place} came after {before}"
            self._places[message["id"]] = place
            if kind == "balances":
                self.balances[tenant] = states
            else:
                self.live[tenant] = states[0]
        raise AssertionError("the socket was closed")

    def state(self, tenant: str) -> Json:
        """The last states of a tenant, in the form of `PRESENT`."""
        return {"balances": self.balances.get(tenant), "live": self.live.get(tenant)}

    async def sees(self, tenant: str, wanted: Callable[[Json], bool], what: str) -> None:
        """Wait until the last state is as wanted."""

        async def last() -> Json:
            return self.state(tenant)

        await soon(last, wanted, f"{tenant} is not watched {what}")

    async def begun(self) -> None:
        """Wait until every tenant's present was told."""
        for tenant in self.tenants:
            await self.sees(tenant, lambda state: None not in state.values(), "at all")


async def opened_tenants(client: httpx2.AsyncClient, *keys: str) -> dict[str, Told]:
    """New tenants that were told nothing yet."""
    await open_tenants(client, keys)
    return {key: Told() for key in keys}


@asynccontextmanager
async def reaching(server: Served, owner_url: str, redis_url: str) -> AsyncIterator[Feed]:
    """The ways to a server's API, and past it to its database and its Valkey."""
    owner = await asyncpg.connect(owner_url)
    valkey = Redis.from_url(redis_url)
    try:
        async with connected(server) as client:
            yield Feed(server=server, client=client, owner=owner, valkey=valkey)
    finally:
        await owner.close()
        await valkey.aclose()


@asynccontextmanager
async def watching(server: Served, *tenants: str) -> AsyncIterator[Watcher]:
    """A watcher whose socket stays open, and to whom nothing older comes after something newer."""
    async with opened(server.url) as socket:
        watcher = Watcher(tenants)
        await watcher.begin(socket)
        reading = asyncio.create_task(watcher.read(socket))
        try:
            await watcher.begun()
            yield watcher
        except BaseException:
            # What ended the reading says more than that nothing came.
            if reading.done():
                reading.result()
            raise
        else:
            if reading.done():
                reading.result()
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, AssertionError):
                await reading


@dataclass(slots=True)
class Told:
    """What was answered to the facts of a tenant."""

    charges: Counter[tuple[str, str, Decimal]] = field(default_factory=Counter)
    wrote: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)

    def add(self, events: Sequence[Event], results: Sequence[Json]) -> None:
        for event, result in zip(events, results, strict=True):
            assert result["status"] in ("accepted", "duplicate"), result
            contact = event["data"]["contact"]
            (self.wrote if event["type"] == "message.received" else self.reached).add(contact)
            for charge in result["charges"]:
                self.charges[event["id"], charge["balance"], Decimal(charge["amount"])] += 1

    @property
    def used(self) -> dict[str, Decimal]:
        """What the charges took of each balance that they took anything of."""
        used: Counter[str] = Counter()
        for (_, balance, amount), count in self.charges.items():
            used[balance] += amount * count  # type: ignore[assignment]  # decimals add as well
        return {key: Decimal(value) for key, value in used.items() if value}

    def agrees(self, present: Json) -> bool:
        """Whether a state shows exactly these facts."""
        if present["balances"] is None or present["live"] is None:
            return False
        amounts = {each["key"]: Decimal(each["used"]["value"]) for each in present["balances"]}
        live = present["live"]
        return (
            {key: value for key, value in amounts.items() if value} == self.used
            and live["openWindows"] == live["visitors"] == len(self.wrote)
            and live["openConversations"] == len(self.reached)
        )


class Traffic:
    """Facts of tenants from one source, and what was answered to them."""

    def __init__(self, told: dict[str, Told], source: int = 0, at: datetime = AT) -> None:
        self.told = told
        self.tally = Tally()
        self._source = source
        self._at = at.isoformat()
        self._count = 0
        self._ids = 0

    def events(self, tenant: str) -> list[Event]:
        """The next facts: a contact writes and is answered, another gets marketing: both new."""
        self._count += 1
        one, other = (f"+6281{self._source}{2 * self._count + place:07d}" for place in range(2))
        return [
            self._event(tenant, "received", one),
            self._event(tenant, "delivered", one, category="service"),
            self._event(tenant, "delivered", other, category="marketing", template="sale"),
        ]

    async def post(self, client: httpx2.AsyncClient, tenant: str, times: int = 1) -> None:
        """Send facts until they are answered."""
        events = [event for _ in range(times) for event in self.events(tenant)]
        self.told[tenant].add(events, await send(client, events, self.tally))

    @asynccontextmanager
    async def flowing(self, server: Served) -> AsyncIterator[None]:
        """Facts of all tenants in turn, one request after the other, as long as the body lasts."""
        ended = asyncio.Event()

        async def flow() -> None:
            async with connected(server) as client:
                while not ended.is_set():
                    for tenant in self.told:
                        await self.post(client, tenant, 2)

        flow_task = asyncio.create_task(flow())
        try:
            await self.more(1)
            yield
        finally:
            ended.set()
            await flow_task

    async def more(self, facts: int) -> None:
        """Wait until so many more facts were answered."""
        await self.tally.reached(self.tally.answered + facts)

    def _event(self, tenant: str, kind: str, contact: str, **data: Any) -> Event:
        self._ids += 1
        return {
            "id": f"{self._source}-{self._ids}",
            "source": "feed",
            "type": f"message.{kind}",
            "time": self._at,
            "subject": tenant,
            "data": {"number": address(tenant), "contact": contact, **data},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A served process, and direct ways to the servers behind it."""

    server: Served
    client: httpx2.AsyncClient
    owner: asyncpg.Connection[Any]
    valkey: Redis

    async def present(self, tenant: str) -> Json:
        """What a query answers, in the form of a watcher's states."""
        found: Json = (await ask(self.client, PRESENT, tenant=tenant))["tenant"]
        return found

    async def gaps(self) -> int:
        """How often the process lost its subscription to Valkey."""
        page = (await self.client.get("/metrics")).text
        return int(float(page.partition("\nkuota_feed_gaps ")[2].split()[0]))

    async def agree(self, told: dict[str, Told], *watchers: Watcher) -> None:
        """The claim, of every tenant and every watcher."""
        for tenant, own in told.items():
            shown = await soon(
                partial(self.present, tenant), own.agrees, f"a query does not show {own.used}"
            )
            for watcher in watchers:
                await watcher.sees(tenant, partial(eq, shown), str(shown))
            assert await self.charges(tenant) == own.charges

    async def charges(self, tenant: str) -> Counter[tuple[str, str, Decimal]]:
        found: Counter[tuple[str, str, Decimal]] = Counter()
        after = None
        while True:
            answer = await ask(self.client, CHARGES, tenant=tenant, after=after)
            page = answer["tenant"]["charges"]
            found.update(
                (each["factId"], each["balance"], Decimal(each["amount"]["value"]))
                for each in page["nodes"]
            )
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]

    async def whole(self, told: dict[str, Told], windows: int = 0) -> None:
        """Valkey has every tenant's head, what is left, and every window and visitor.

        `windows` are those that other facts opened.
        """
        for tenant, own in told.items():
            row = await self.owner.fetchrow(HEAD, tenant)
            assert row is not None
            balances = (await self.present(tenant))["balances"]
            left = {
                each["key"]: int(Decimal(each["remaining"]["value"]) * 1_000_000)
                for each in balances
            }
            counts = (len(own.reached), len(own.wrote) + windows, len(own.wrote))
            wanted = (row["version"], left, (row["version"], *counts))
            await soon(
                partial(self._held, row["tenant_id"]), partial(eq, wanted), f"Valkey lacks {wanted}"
            )

    async def _held(self, tenant_id: int) -> Any:
        stored: Any = await self.valkey.hgetall(keys.balances(tenant_id))
        if not stored:
            return None
        at = instant(datetime.fromisoformat(CLOCK))
        epoch, month = stored[b"epoch"].decode(), period(zone(ZONE), at).label
        calls = buckets.count_calls(tenant_id, epoch, 1, month, at)
        found = buckets.counted(await run(self.valkey, calls))
        if isinstance(found, int):
            return None
        left = {
            name.decode().removeprefix("left:"): int(value)
            for name, value in stored.items()
            if name.startswith(b"left:")
        }
        return int(stored[b"version"]), left, tuple(found[:4])


HEAD = "select tenant_id, version from tenants join tenant_head using (tenant_id) where key = $1"
