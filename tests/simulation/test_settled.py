"""Worlds through the real way in: late, settled on demand, and read back from the database.

Refunds are answered as they come, so the model is told which ones were refused. Whether a fact was
overdrawn stays as it was told when it came (EV-9), so that is the one figure that is not compared.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal

import asyncpg
import pytest

from api import ids
from api.settling import Cause, Settled, Settling
from api.verifying import Verifying
from domain.book_documents import parse_book
from domain.money import micros
from domain.problems import Problem
from persistence.catalogue import put_markets, put_rules, put_version, written
from persistence.servers import Servers
from tests.conftest import Database
from tests.scenarios.world import World
from tests.simulation import figures, model
from tests.simulation.rulebook import Json, instant
from tests.simulation.stored import stored
from tests.simulation.world import RULEBOOK, RULES, START, Batch, Tenant
from tests.simulation.world import world as seeded

BEFORE = instant(START.isoformat())


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    """The way in, on a database that has the worlds' book and plans."""
    owner = await asyncpg.connect(database.owner_url)
    try:
        markets, book = written(RULES["markets"]), written(RULES["book"])
        await put_markets(owner, markets["markets"], markets)
        await put_version(owner, "book", book["book"], book, BEFORE)
        await put_rules(owner, parse_book(book, 1, markets))
        for plan, document in RULES["plans"].items():
            await put_version(owner, "plan", plan, written(document), BEFORE)
    finally:
        await owner.close()
    assert servers.addresses.redis_url is not None
    async with World.open(database.app_url, servers.addresses.redis_url) as world:
        yield world


class Acting:
    """A tenant of a world in the database, under a name of its own."""

    def __init__(self, world: World, tenant: Tenant, name: str) -> None:
        self.world = world
        self.setup = tenant.setup
        self.name = name
        self.acted: set[str] = set()
        self.top_ups: dict[str, str] = {}  #: ids by key
        self.refused: list[str] = []

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
                assert {each["status"] for each in results} <= {
                    "accepted", "unrated", "duplicate"
                }, results  # fmt: skip
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

    async def settle(self) -> Settled:
        settling = Settling(
            self.world.door, self.world.catalogue, self.world.clock.now, self.world.show
        )
        return await settling.settle(self.world.tenants[self.name].tenant_id, Cause.DEMAND)


@pytest.mark.parametrize("disorder", ["hours", "weeks"])
async def test_settled_late_worlds_come_to_what_the_rules_say(
    world: World, stored_seed: int, disorder: Literal["hours", "weeks"]
) -> None:
    """EV-4, EV-9, EV-10: whatever came late, settled once the books are those of fact order."""
    of = seeded(stored_seed)
    for tenant in of.tenants:
        name = tenant.setup["tenant"]
        acting = Acting(world, tenant, name)
        await acting.begin()
        await acting.take(of.arrivals(tenant, disorder))
        world.clock.at = of.end
        settled = await acting.settle()

        refused = acting.refused
        known = model.run(RULEBOOK, tenant.setup, tenant.inputs, of.start, of.end, refused)
        found = await stored(world, name, of.start, of.end, refused)
        lines = figures.differences(_compared(known), _compared(found))
        assert not lines, figures.failure(stored_seed, name, lines)
        assert settled.settlement_id is not None
        assert (await acting.settle()).settlement_id is None
        verifying = Verifying(world.door, world.catalogue, world.clock.now)
        verified = await verifying.verify(world.tenants[name].tenant_id)
        assert (verified.wrong, verified.findings, verified.unsettled) == (0, [], {})


def _compared(of: Json) -> Json:
    """Figures without the one flag that is not settled, and without overdrafts that owe nothing."""
    facts = {
        name: fact | {"flags": [flag for flag in fact["flags"] if flag != "overdrawn"]}
        for name, fact in of["facts"].items()
    }
    lots = {
        name: lot
        for name, lot in of["lots"].items()
        if lot["used"] or lot["moved"] or " overdraft" not in name
    }
    return of | {"facts": facts, "lots": lots}
