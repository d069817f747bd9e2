"""A tenant of a seeded world in the real database: its inputs as they come.

Owns how an input is brought, and what was answered where the model has to be told. Compares
nothing.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date

import asyncpg
import pytest

from api import ids
from api.metrics import Metrics
from api.operations import period_close, price_book_publish
from api.operations.period_close import PeriodClose
from api.operations.price_book_publish import PriceBookPublish
from api.rating import Rating
from api.settling import Cause, Settled, Settling
from api.verifying import Verified, Verifying
from domain.book_documents import parse_book
from domain.money import micros
from domain.periods import month_label
from domain.problems import Problem
from persistence.catalogue import put_in_place, put_rules, put_version, written
from persistence.servers import Servers
from tests.conftest import Database, named, numbers, on
from tests.scenarios.world import World
from tests.simulation.rulebook import Json, instant
from tests.simulation.world import RULES, START, Batch, Tenant

BEFORE = instant(START.isoformat())

CHARGE = """
select f.at, f.key, coalesce(max(v.revision), 0) as revision
from facts f left join revisions v using (tenant_id, at, key)
where f.tenant_id = $1 and f.source = $2 and f.id = $3 group by 1, 2"""


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    """The way in, on a database that has the worlds' book and plans."""
    async with opened(database.owner_url, database.app_url, servers) as world:
        yield world


@pytest.fixture(scope="module")
async def worlds(servers: Servers, template: str) -> AsyncIterator[World]:
    """One for many seeds, whose tenants have names of their own."""
    async with fresh(servers, template) as world:
        yield world


@asynccontextmanager
async def fresh(servers: Servers, template: str) -> AsyncIterator[World]:
    """The way in on a database of its own: what is published concerns everybody on it."""
    owner_url, name = servers.addresses.owner_url, f"worlds_{next(numbers)}"
    assert owner_url is not None
    await on(owner_url, f"create database {name} template {template} strategy file_copy")
    app_url = named(servers.addresses.app_url, name)
    async with opened(named(owner_url, name), app_url, servers) as world:
        yield world
    await on(owner_url, f"drop database {name} with (force)")


@asynccontextmanager
async def opened(owner_url: str, app_url: str, servers: Servers) -> AsyncIterator[World]:
    """The way in on a database, once it has the worlds' book and plans."""
    owner = await asyncpg.connect(owner_url)
    try:
        markets, book = written(RULES["markets"]), written(RULES["book"])
        await put_in_place(owner, "markets", markets["markets"], markets)
        await put_version(owner, "book", book["book"], book, BEFORE)
        await put_rules(owner, parse_book(book, 1, markets))
        for plan, document in RULES["plans"].items():
            await put_version(owner, "plan", plan, written(document), BEFORE)
    finally:
        await owner.close()
    assert servers.addresses.redis_url is not None
    async with World.open(app_url, servers.addresses.redis_url) as world:
        yield world


class Acting:
    """A tenant of a world in the database, under a name of its own."""

    def __init__(self, world: World, tenant: Tenant, name: str) -> None:
        self.world = world
        self.setup = tenant.setup
        self.conflicts = [*tenant.conflicts.values()]
        self.name = name
        self.acted: set[str] = set()
        self.top_ups: dict[str, str] = {}  #: ids by key
        self.refused: list[str] = []
        self.given: dict[str, Json] = {}  #: of charges, by the key of the refund

    async def begin(self) -> None:
        self.world.clock.at = BEFORE
        await self.world.tenant(
            self.name, plan=self.setup["plan"], timezone=self.setup["zone"], currency="USD",
            country=self.setup["country"],
        )  # fmt: skip
        for each in self.setup["numbers"]:
            address = each["address"]
            await self.world.number(self.name, address, each["channel"], address, each["zone"])

    async def take(self, batches: Sequence[Batch]) -> None:
        """Let everything arrive when it did."""
        for batch in batches:
            assert batch.at >= self.world.clock.at
            self.world.clock.at = batch.at
            (first, *_) = batch.inputs
            if "action" not in first:
                events = [{**one, "subject": self.name} for one in batch.inputs]
                results = await self.world.send(events)
                answers = {each["status"] for each in results}
                if first in self.conflicts:
                    assert answers == {"conflict"}, results
                else:
                    assert answers <= {"accepted", "unrated", "duplicate", "adjusted"}, results
            elif first["key"] not in self.acted:
                self.acted.add(first["key"])
                await self.act(first)

    async def act(self, action: Json) -> None:
        """Do what an operator did."""
        kind, key, world = action["action"], action["key"], self.world
        if kind == "plan_change":
            await world.change_plan(self.name, action["plan"], key=key)
        elif kind == "zone_change" and "number" in action:
            await world.change_number_zone(self.name, action["number"], action["zone"], key=key)
        elif kind == "zone_change":
            await world.change_zone(self.name, action["zone"], key=key)
        elif kind == "publish":
            await self.publish(action)
        elif kind == "refund_charge":
            await self.refund(action)
        elif kind == "allowance":
            amount = None if action["amount"] is None else micros(action["amount"])
            since = (date.fromisoformat(action["since"]) - date(1970, 1, 1)).days
            await world.allow(self.name, action["balance"], amount, since=since, key=key)
        elif kind == "close":
            period = month_label(*map(int, action["month"].split("-")))
            request = PeriodClose(tenant=self.name, period=period, idempotency_key=key)
            await period_close.run(world.door, self.settling(), request, now=world.clock.now())
        elif kind == "adjustment":
            amount = micros(action["amount"], signed=True)
            await world.adjust(self.name, action["balance"], amount, key=key)
        elif kind == "take_back":
            top_up = self.top_ups[action["top_up"]]
            await world.refund(self.name, key=key, top_up=top_up, taken_back=True)
        elif kind == "refund":
            top_up, amount = self.top_ups[action["top_up"]], micros(action["amount"])
            try:
                await world.refund(self.name, key=key, top_up=top_up, amount=amount)
            except Problem:
                self.refused.append(key)
        else:
            done = await world.top_up(
                self.name, action["balance"], micros(action["amount"]), key=key,
                source=action.get("source", "top_up").upper(),
                starts_at=instant(action["starts"]) if "starts" in action else None,
                expires_at=instant(action["expires"]) if "expires" in action else None,
            )  # fmt: skip
            self.top_ups[key] = ids.encode("top", done.action_id)

    async def refund(self, action: Json) -> None:
        """Give back the first charge of a fact, if it has come and cost something."""
        source, _, id = action["fact"].partition("/")
        rows = await self.world.rows(self.name, CHARGE, source, id)
        amount = micros(action["amount"]) if "amount" in action else None
        place = (rows[0]["at"], rows[0]["key"], 0, rows[0]["revision"], False) if rows else None
        charge = "chg_none" if place is None else ids.encode_charge(*place)
        try:
            done = await self.world.refund(
                self.name, key=action["key"], charge=charge, amount=amount
            )
        except Problem:
            self.refused.append(action["key"])
        else:
            self.given[action["key"]] = {name: done.body[name] for name in ("balance", "amount")}

    async def publish(self, action: Json) -> None:
        """Publish a version of the book, and let the job rate what had no rate."""
        world, document = self.world, json.dumps(written(action["book"]))
        asked = PriceBookPublish(document=document, format="JSON", rerate=action["rerate"])
        done = await price_book_publish.run(
            world.door, world.catalogue, asked, now=world.clock.now()
        )
        assert not done.problems, done.problems
        rating = Rating(world.door, world.catalogue, world.clock.now, world.show, Metrics())
        while await rating.step():
            pass

    def settling(self) -> Settling:
        world = self.world
        return Settling(world.door, world.catalogue, world.clock.now, world.show)

    async def verify(self) -> Verified:
        """Hold the books against the log: however they came about, nothing in them is wrong."""
        world = self.world
        verifying = Verifying(world.door, world.catalogue, world.clock.now)
        found = await verifying.verify(world.tenants[self.name].tenant_id)
        assert not found.wrong, "\n".join(map(str, found.findings))
        return found

    async def settle(self) -> Settled:
        tenant_id = self.world.tenants[self.name].tenant_id
        return await self.settling().settle(tenant_id, Cause.DEMAND)
