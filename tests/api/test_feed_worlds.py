"""Worlds of trouble: commits, lost messages, cut wires, and watchers who come, go and come back.

In each of them, whatever the order: no version goes back, no stream that began is ended by trouble,
every watcher's last state is what a query says, and everybody who goes on from a position has each
alert of the table once and in order. PostgreSQL and Valkey are real, each behind a wire that is
cut, stalled and broken.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import count
from typing import Any, TypeAlias

import httpx2
import pytest
from graphql import GraphQLError
from redis.asyncio import Redis
from starlette.applications import Starlette

from api.app import create_app
from api.core import Core
from api.errors import fault_of
from api.schema import subscription
from api.schema.position import place_of, position_of
from api.settings import Clock, Settings
from api.transport.body import Params
from api.transport.protocol import Close
from api.transport.streams import Event, Streams
from domain.fold import ACTION
from domain.periods import iso
from domain.watch import AlertKind
from persistence import alerts, board, following, hub, valkey
from persistence.board import Board
from persistence.following import WHOLE
from persistence.held_scripts import SHOW
from persistence.servers import Servers
from tests.conftest import OPERATOR_KEY, numbers, on
from tests.wire.proxy import Proxy, before

Json: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[int, int]

AUTHORIZATION = f"Bearer {OPERATOR_KEY}"
HEADERS = {"authorization": AUTHORIZATION, "content-type": "application/json"}
#: Seconds for whatever must happen by itself; nothing takes a tenth of it.
PATIENCE_SECONDS = 40.0
LOOK_SECONDS = 0.005

TENANTS = 2
STEPS = 60

# Without versions: a commit that leaves all figures as they were is not told.
STATES = """subscription($tenant: String!, $after: StreamPosition) {
  change: balanceChanged(tenant: $tenant, after: $after) {
    position recovered balances { key used { value } remaining { value } } } }"""
COUNTERS = """subscription($tenant: String!, $after: StreamPosition) {
  change: usageChanged(tenant: $tenant, after: $after) {
    position recovered live { visitors openWindows openConversations } } }"""
ALERTS = """subscription($tenant: String!, $after: StreamPosition, $kinds: [AlertKind!]) {
  alert: alertRaised(tenant: $tenant, after: $after, kinds: $kinds) {
    position recovered kind } }"""
PRESENT = """query($tenant: String!) { tenant(key: $tenant) {
  balances { key used { value } remaining { value } }
  live { visitors openWindows openConversations } alerts { position } } }"""
TENANT = """mutation($tenant: TenantCreateInput!, $number: NumberCreateInput!) {
  tenantCreate(input: $tenant) { userErrors { message } }
  numberCreate(input: $number) { userErrors { message } } }"""
ADJUST = """mutation($input: AdjustmentCreateInput!) { done: adjustmentCreate(input: $input) {
  userErrors { message } } }"""
TOP_UP = """mutation($input: TopUpCreateInput!) { done: topUpCreate(input: $input) {
  userErrors { message } } }"""

names = count(1)


class Watcher:
    """A client of one subscription: it comes back by itself where it was sent away."""

    def __init__(self, world: World, tenant: str) -> None:
        self.world = world
        self.tenant = tenant
        self.leave: Callable[[], None] | None = None
        self.over: str | None = None  #: why its stream ended
        self.wrong: list[str] = []
        self.authorization: str | None = AUTHORIZATION

    def deliver(self, event: Event) -> None:
        payload = json.loads(event.payload)
        if "errors" in payload:
            self.wrong.append(f"an event with errors: {payload}")
        else:
            (value,) = payload["data"].values()
            self.take(value)

    def finish(self, errors: Sequence[GraphQLError] | None) -> None:
        faults = [fault_of(error.original_error or error) for error in errors or ()]
        self.over = repr(errors)
        self.leave = None
        if self.has_begun or not faults or any(one is None or one.status != 503 for one in faults):
            self.wrong.append(f"its stream ended: {self.over}")

    def close(self, close: Close) -> None:
        self.wrong.append(f"it was closed: {close}")

    has_begun = False  #: whether the present visit was told anything

    def take(self, value: Json) -> None:
        raise NotImplementedError

    def asking(self) -> tuple[str, Json]:
        """What it sends to come back where it was."""
        raise NotImplementedError

    async def come(self) -> None:
        """Follow from where it was; as long as the database is away it tries again."""
        query, variables = self.asking()
        self.over, self.has_begun = None, False
        self.leave = await self.world.follow(query, variables, self)

    def go(self) -> None:
        if self.leave is not None:
            self.leave()
            self.leave = None


class States(Watcher):
    """It watches balances or counters."""

    def __init__(self, world: World, tenant: str, *, counters: bool) -> None:
        super().__init__(world, tenant)
        self.counters = counters
        self.version = -1
        self.position: str | None = None
        self.last: Any = None

    def asking(self) -> tuple[str, Json]:
        query = COUNTERS if self.counters else STATES
        return query, {"tenant": self.tenant, "after": self.position}

    def take(self, value: Json) -> None:
        self.has_begun = True
        place = place_of(value["position"])
        assert place is not None
        if place.version < self.version:
            self.wrong.append(f"version {place.version} after {self.version}")
        self.version, self.position = place.version, value["position"]
        self.last = value["live"] if self.counters else value["balances"]

    def lacks(self, present: Json) -> str | None:
        """What it does not know of the present."""
        true = present["live"] if self.counters else present["balances"]
        return None if self.has_begun and self.last == true else f"{self.last}, and not {true}"


class Alerts(Watcher):
    """It watches alerts, and remembers where it stands."""

    def __init__(self, world: World, tenant: str, kinds: tuple[AlertKind, ...] | None) -> None:
        super().__init__(world, tenant)
        self.kinds = kinds
        self.start: Place | None = None  #: behind which it has everything; None: behind the first
        self.floor: Place | None = None  #: what is raised behind it must have come
        self.after: str | None = None
        self.told: list[tuple[Place, str]] = []
        self.lost = False  #: whether it came from elsewhere, and its first alert is the newest
        self.must_be_lost = False

    def asking(self) -> tuple[str, Json]:
        if self.after is None:
            self.floor = None
        kinds = self.kinds and [kind.name for kind in self.kinds]
        return ALERTS, {"tenant": self.tenant, "after": self.after, "kinds": kinds}

    def come_from(self, position: str) -> None:
        """Stand behind a position of the list."""
        place = place_of(position)
        assert place is not None
        self.after, self.start, self.floor = position, place.behind, None
        self.told, self.lost = [], False

    def come_from_elsewhere(self, position: str) -> None:
        """Stand in another history."""
        self.after, self.start, self.floor = position, None, None
        self.told, self.lost = [], True
        self.must_be_lost = bool(self.of(self.world.known.get(self.tenant, [])))

    def forget(self, behind: int) -> None:
        """Stand behind an alert that was told some time ago."""
        del self.told[behind + 1 :]
        self.after = self.told[behind][1]

    def take(self, value: Json) -> None:
        self.has_begun = True
        place = place_of(value["position"])
        assert place is not None
        assert place.line is not None
        here = (place.version, place.line)
        first = self.lost and not self.told
        if not value["recovered"] and not first:
            self.wrong.append(f"{here} says that something was missed")
        if value["recovered"] and first and self.must_be_lost:
            self.wrong.append(f"{here} does not say that something was missed")
        behind = self.told[-1][0] if self.told else self.start
        if behind is not None and here <= behind:
            self.wrong.append(f"{here} came behind {behind}")
        self.told.append((here, value["position"]))
        self.after = value["position"]

    def of(self, table: Sequence[alerts.Alert]) -> list[Place]:
        """The alerts it wants."""
        return [
            (each.version, each.line)
            for each in table
            if self.kinds is None or each.kind in self.kinds
        ]

    def lacks(self, table: Sequence[alerts.Alert]) -> str | None:
        """Which alerts it was not told."""
        wanted, told = self.of(table), [place for place, _ in self.told]
        if self.start is not None:
            due = [place for place in wanted if place > self.start]
        else:
            first = min([*told[:1], *([] if self.floor is None else [self.floor])], default=None)
            due = [] if first is None else [place for place in wanted if place >= first]
            due = [place for place in due if place in told or place != self.floor]
            if self.lost and self.must_be_lost and not told:
                return "the newest"
        if told == due:
            return None
        return f"{[place for place in due if place not in told]} of {due}; it has {told}"


class World:
    """An application on wires that can be disturbed, and what happens in one seed."""

    def __init__(
        self, app: Starlette, client: httpx2.AsyncClient, valkey: Redis,
        postgres_wire: Proxy, valkey_wire: Proxy,
    ) -> None:  # fmt: skip
        self.core: Core = app.state.core
        self.streams: Streams = app.state.sockets.streams
        self.client = client
        self.valkey = valkey
        self.postgres_wire = postgres_wire
        self.valkey_wire = valkey_wire
        self.tenants: list[str] = []
        self.watchers: list[States | Alerts] = []
        self.known: dict[str, list[alerts.Alert]] = {}
        self.working: set[asyncio.Task[None]] = set()
        self.steps: list[str] = []
        self.visitors = count(1)
        self.owed: dict[tuple[str, str], int] = {}  #: the last adjustment

    async def begin(self, seed: int, chance: random.Random) -> None:
        self.chance = chance
        self.number = f"+6280{seed:04d}"
        self.tenants = [f"w{next(names)}" for _ in range(TENANTS)]
        for n, tenant in enumerate(self.tenants):
            number = {"tenant": tenant, "channel": "whatsapp", "address": f"{self.number}{n}"}
            plan = {"key": tenant, "plan": "college-small"}
            await self.asked(TENANT, tenant=plan, number=number)
            present = await self.asked(PRESENT, tenant=tenant)
            for watcher in (
                States(self, tenant, counters=False), States(self, tenant, counters=True),
                Alerts(self, tenant, None), Alerts(self, tenant, None),
            ):  # fmt: skip
                if isinstance(watcher, Alerts):
                    watcher.come_from(present["tenant"]["alerts"]["position"])
                self.watchers.append(watcher)
                await watcher.come()

    # Doing something, until it is done.

    async def asked(self, query: str, **variables: Any) -> Json:
        """What a query or a mutation answers; sent again as long as the database is away."""
        body = json.dumps({"query": query, "variables": variables})
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                said = await self.client.post("/graphql", content=body, headers=HEADERS)
                answer = said.json()
                if said.status_code == 200 and "errors" not in answer:
                    for done in answer["data"].values():
                        assert not (done or {}).get("userErrors"), answer
                    return dict(answer["data"])
                assert said.status_code == 503 or away(answer), answer
                await asyncio.sleep(LOOK_SECONDS)

    async def visit(self, tenant: str, many: int) -> None:
        """Visitors, in one request that is sent until they are in."""
        address = f"{self.number}{self.tenants.index(tenant)}"
        events = [
            {
                "id": f"{tenant}-{next(self.visitors)}", "source": "worlds", "subject": tenant,
                "type": "message.received", "time": iso(self.core.clock.now()),
                "data": {"number": address, "contact": f"+62811{next(self.visitors):07}"},
            }
            for _ in range(many)
        ]  # fmt: skip
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answer = await self.client.post("/v1/events", json=events, headers=HEADERS)
                if answer.status_code == 200:
                    said = {result["status"] for result in answer.json()["results"]}
                    if said <= {"accepted", "duplicate"}:
                        return
                else:
                    assert answer.status_code == 503, answer.text
                await asyncio.sleep(LOOK_SECONDS)

    async def follow(self, query: str, variables: Json, watcher: Watcher) -> Callable[[], None]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    principal = await self.core.authenticator.authenticate(AUTHORIZATION)
                    context = self.core.context(principal, f"request-{next(names)}")
                    return await self.streams.follow(
                        Params(query, variables, None), context, watcher
                    )
                except Exception as error:
                    fault = fault_of(error)
                    if fault is None or fault.status != 503:
                        raise
                await asyncio.sleep(LOOK_SECONDS)

    async def work(self, doing: Awaitable[None]) -> None:
        """Do it, and go on meanwhile or behind it, as chance has it."""
        task = asyncio.ensure_future(doing)
        self.working.add(task)
        task.add_done_callback(self.working.discard)
        if self.chance.random() < 0.5 and self.postgres_wire.open:
            await task

    # Steps.

    async def step(self) -> None:
        names, weights = zip(*WEIGHTS.items(), strict=True)
        (name,) = self.chance.choices(names, weights)
        self.steps.append(name)
        await getattr(self, name)()
        for _ in range(self.chance.choice((0, 1, 5, 25))):
            await asyncio.sleep(0)

    async def facts(self) -> None:
        tenant = self.chance.choice(self.tenants)
        await self.work(self.visit(tenant, self.chance.choice((1, 1, 1, 2, 9))))

    async def adjustment(self) -> None:
        """Back and forth over what may be owed; the first passes all thresholds at once."""
        tenant = self.chance.choice(self.tenants)
        balance = self.chance.choice(("visitors", "visitors", "conversations"))
        amount = self.owed[tenant, balance] = -self.owed.get((tenant, balance), 200)
        given = {
            "tenant": tenant, "balance": balance, "amount": str(amount), "reason": "a test",
            "idempotencyKey": f"a{next(names)}",
        }  # fmt: skip
        await self.work(self.done(ADJUST, given))

    async def top_up(self) -> None:
        given = {
            "tenant": self.chance.choice(self.tenants), "amount": "500", "balance": "visitors",
            "idempotencyKey": f"t{next(names)}",
        }  # fmt: skip
        await self.work(self.done(TOP_UP, given))

    async def done(self, mutation: str, given: Json) -> None:
        await self.asked(mutation, input=given)

    async def a_message_is_lost(self) -> None:
        """The subscription is reset while something is shown."""
        await self.facts()
        await self.valkey.client_kill_filter(_type="pubsub")
        await self.facts()

    async def a_showing_breaks(self) -> None:
        """The wire breaks at some value of the next showing."""
        self.valkey_wire.break_after(self.chance.randint(1, 8), SHOW.digest.encode())
        await self.facts()

    async def valkey_flushed(self) -> None:
        await self.valkey.flushdb()

    async def valkey_cut(self) -> None:
        if self.valkey_wire.open:
            await self.valkey_wire.cut()
        else:
            await self.valkey_wire.restore()

    async def valkey_stalls(self) -> None:
        self.valkey_wire.stall()
        await self.facts()

    async def valkey_flows(self) -> None:
        if not self.valkey_wire.open:
            await self.valkey_wire.restore()
        self.valkey_wire.flow()

    async def postgres_reset(self) -> None:
        """Every connection is lost; the next ones are taken."""
        if self.postgres_wire.open:
            await self.postgres_wire.cut()
        await self.postgres_wire.restore()

    async def postgres_cut(self) -> None:
        if self.postgres_wire.open:
            await self.postgres_wire.cut()
            await self.facts()
        else:
            await self.postgres_wire.restore()

    async def postgres_stalls(self) -> None:
        """For a moment it says nothing."""
        self.postgres_wire.stall()
        asyncio.get_running_loop().call_later(0.05, self.postgres_wire.flow)
        await self.facts()

    async def a_watcher_comes(self) -> None:
        tenant = self.chance.choice(self.tenants)
        watcher: States | Alerts
        if self.chance.random() < 0.4:
            watcher = States(self, tenant, counters=self.chance.random() < 0.4)
        else:
            kinds = self.chance.choice((None, None, (AlertKind.OVERDRAWN, AlertKind.RECOVERED)))
            watcher = Alerts(self, tenant, kinds)
            if self.chance.random() < 0.5 and self.postgres_wire.open:
                present = await self.asked(PRESENT, tenant=tenant)
                watcher.come_from(present["tenant"]["alerts"]["position"])
            elif self.chance.random() < 0.2:
                watcher.come_from_elsewhere(position_of("elsewhere", self.chance.randint(0, 50)))
        self.watchers.append(watcher)
        await self.work(watcher.come())

    async def a_watcher_goes(self) -> None:
        here = [watcher for watcher in self.watchers if watcher.leave is not None]
        if here:
            self.chance.choice(here).go()

    async def a_watcher_comes_back(self) -> None:
        """From where it was, or from some alert it was told before."""
        away = [watcher for watcher in self.watchers if watcher.leave is None]
        if not self.working and away:
            watcher = self.chance.choice(away)
            self.turn_back(watcher)
            await self.work(watcher.come())

    async def a_watcher_blinks(self) -> None:
        """It loses its connection, and is back at once."""
        here = [watcher for watcher in self.watchers if watcher.leave is not None]
        if here:
            watcher = self.chance.choice(here)
            watcher.go()
            self.turn_back(watcher)
            await self.work(watcher.come())

    def turn_back(self, watcher: States | Alerts) -> None:
        if isinstance(watcher, Alerts) and watcher.told and self.chance.random() < 0.5:
            watcher.forget(self.chance.randrange(len(watcher.told)))

    # What is claimed.

    async def rest(self) -> None:
        """Let all wires flow; soon everybody has been told everything, and nothing else."""
        self.steps.append("rest")
        await self.valkey_flows()
        if not self.postgres_wire.open:
            await self.postgres_wire.restore()
        self.postgres_wire.flow()
        await until(lambda: not self.working, lambda: f"still at work: {self.working}")
        presents = {
            tenant: (await self.asked(PRESENT, tenant=tenant))["tenant"] for tenant in self.tenants
        }
        for tenant in self.tenants:
            self.known[tenant] = await self.table(tenant)
        for watcher in self.watchers:
            await self.content(watcher, presents[watcher.tenant])
        await until(self.all_have_begun, lambda: "streams have not had their first reading")
        for watcher in self.watchers:
            if isinstance(watcher, Alerts) and watcher.floor is None:
                found = watcher.of(self.known[watcher.tenant])
                watcher.floor = found[-1] if found else (0, 0)

    async def content(self, watcher: States | Alerts, present: Json) -> None:
        """Wait until it knows everything."""

        def lacks() -> str | None:
            if isinstance(watcher, Alerts):
                return watcher.lacks(self.known[watcher.tenant])
            return watcher.lacks(present)

        what = f"{type(watcher).__name__} of {watcher.tenant}"
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while watcher.leave is None or (lacks() and not watcher.wrong):
                    if watcher.leave is None:  # it went, or was sent away before it had begun
                        await watcher.come()
                    await asyncio.sleep(LOOK_SECONDS)
                    # A forecast may raise one meanwhile: jobs rest no more than wires do.
                    self.known[watcher.tenant] = await self.table(watcher.tenant)
        except TimeoutError:
            raise AssertionError(f"{what} lacks {lacks()}") from None
        assert watcher.wrong == [], f"{what}: {watcher.wrong}"

    async def table(self, tenant: str) -> list[alerts.Alert]:
        query = "select tenant_id from tenants where key = $1"
        async with self.core.door.system_tx("a tenant of a test by its key") as connection:
            tenant_id = await connection.fetchval(query, tenant)
        (found,) = await alerts.since(self.core.door, [(tenant_id, -1)], limit=WHOLE)
        return found

    def all_have_begun(self) -> bool:
        boards = self.core.engines.hub
        return begun(boards.balances) and begun(boards.usage)

    async def end(self) -> None:
        for watcher in self.watchers:
            watcher.go()
        await until(
            lambda: not self.streams.running and not self.core.engines.hub.balances.watchers,
            lambda: f"streams without anybody: {self.streams.running}",
        )


#: How often each step is taken.
WEIGHTS = {
    "facts": 8, "adjustment": 12, "top_up": 1, "a_message_is_lost": 4, "a_showing_breaks": 4,
    "valkey_flushed": 3, "valkey_cut": 2, "valkey_stalls": 1, "valkey_flows": 4,
    "postgres_reset": 3, "postgres_cut": 2, "postgres_stalls": 1, "a_watcher_comes": 5,
    "a_watcher_goes": 3, "a_watcher_comes_back": 4, "a_watcher_blinks": 8, "rest": 1,
}  # fmt: skip


def begun(board: Board[Any]) -> bool:
    """Whether everybody at a board has been given a beginning, and has taken it."""
    watchers = [one for each in board._watched.values() for one in each.watchers]
    return all(one.begun == one.asked and not one._event.is_set() for one in watchers)


def away(answer: Json) -> bool:
    """Whether an answer says that the database is away."""
    codes = {error["extensions"]["code"] for error in answer["errors"]}
    return codes == {"SERVICE_UNAVAILABLE"}


async def until(seen: Callable[[], bool], what: Callable[[], str]) -> None:
    """Look until it is so; a failure says what was waited for."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not seen():  # noqa: ASYNC110 - what changes is in a server
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(what()) from None


@pytest.fixture(scope="module")
async def opened(servers: Servers, template: str) -> AsyncIterator[Callable[[], World]]:
    """An application on wires; it looks and tries again much sooner than in earnest."""
    addresses = servers.addresses
    assert addresses.owner_url is not None
    assert addresses.app_url is not None
    assert addresses.redis_url is not None
    name, place = f"test_{next(numbers)}", 1 + next(numbers) % 63
    await on(addresses.owner_url, f"create database {name} template {template}")
    async with AsyncExitStack() as exits:
        patch = exits.enter_context(pytest.MonkeyPatch.context())
        for module, seconds in (
            (hub, 0.02),
            (board, 0.01),
            (following, 0.01),
            (subscription, 0.01),
        ):
            patch.setattr(module, "RETRY_SECONDS", seconds)
        patch.setattr(hub, "LOOK_SECONDS", 0.03)
        patch.setattr(hub, "SILENCE_SECONDS", 0.4)
        for module in (hub, valkey):
            patch.setattr(module, "ANSWER_SECONDS", 0.2)
        folder = addresses.app_url.partition("?host=")[2]
        to_postgres = await exits.enter_async_context(
            before(f"{folder}/.s.PGSQL.5432", values=False)
        )
        to_valkey = await exits.enter_async_context(
            before(addresses.redis_url.removeprefix("unix://"))
        )
        settings = Settings(
            database_url=f"postgresql://kuota_app@127.0.0.1:{to_postgres.port}/{name}?sslmode=disable",
            redis_url=f"redis://127.0.0.1:{to_valkey.port}/{place}",
            operator_key=OPERATOR_KEY,
            rate_limit=0,
        )
        beside = Redis.from_url(f"{addresses.redis_url}?db={place}")
        exits.push_async_callback(beside.aclose)
        app = create_app(settings, Clock())
        await exits.enter_async_context(app.router.lifespan_context(app))
        transport = httpx2.ASGITransport(app)
        client = await exits.enter_async_context(
            httpx2.AsyncClient(transport=transport, base_url="http://kuota")
        )
        yield lambda: World(app, client, beside, to_postgres, to_valkey)
        await beside.flushdb()
    await on(addresses.owner_url, f"drop database {name} with (force)")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
async def test_whatever_happens_watchers_end_with_the_truth(
    opened: Callable[[], World], seed: int
) -> None:
    """FI-1, AL-4: last states are true, versions never go back, alerts come once and in order."""
    world = opened()
    try:
        await world.begin(seed, random.Random(seed))
        for _ in range(STEPS):
            await world.step()
        await world.rest()
        await world.end()
    except BaseException as error:
        error.add_note(f"world {seed}: {', '.join(world.steps)}")
        await world.valkey_flows()
        await world.postgres_reset()
        raise


async def test_a_stream_goes_on_though_what_it_looks_up_is_away(
    opened: Callable[[], World],
) -> None:
    """An action is told while the database is away: who watches hears of it, or of the next."""
    world = opened()
    await world.begin(90, random.Random(90))
    await world.rest()
    balances = world.core.engines.hub.balances
    await world.postgres_wire.cut()
    for tenant_id, watched in list(balances._watched.items()):
        assert watched.last is not None
        state = watched.last.state
        balances.tell(tenant_id, replace(state, version=state.version + 1, cause=ACTION))
    for _ in range(100):
        await asyncio.sleep(0)
    await world.postgres_wire.restore()
    for tenant in world.tenants:
        await world.visit(tenant, 2)
    await world.rest()
    await world.end()
