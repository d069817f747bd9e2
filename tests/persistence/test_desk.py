"""Authorising while things move and break: decided anew, kept once, given back once.

OC-2, OC-3, OC-5, OC-8. Two desks, as of two processes, on one database and one Valkey.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from api.errors import Fault
from api.operations import hold_release
from api.operations.hold_release import HoldRelease
from api.rounds import Overwhelmed
from api.sends import Granted, Send
from api.settling import Cause, Settling
from domain.asking import Reason, Refusal
from domain.periods import iso
from persistence.connection import Connection
from persistence.door import CONNECTION_LOST
from persistence.servers import Servers
from persistence.valkey import client
from tests.conftest import Database
from tests.persistence.test_due import FragileDoor
from tests.scenarios.world import OPERATOR, Json, World
from tests.simulation.sending import PRICES, UNIT, WHATSAPP, Sender, Wanted, contact, senders
from tests.wire.proxy import Proxy, before

UTILITY = PRICES["utility"]
#: More values than one authorisation, release or showing exchanges with Valkey.
VALUES = range(1, 8)
FACTS = """
select (select count(*) from facts where tenant_id = $1), sum(l.used)::bigint
from lots l where l.tenant_id = $1"""
HOLDS = "select shares, ended, ended_at, ended_by from holds where tenant_id = $1"


class BreakingDoor(FragileDoor):
    """A door whose lanes break after a statement, too."""

    lanes_break_after: int | None = None

    async def lane(self) -> Connection:
        connection = await super().lane()

        def count(ran: object) -> None:
            if self.lanes_break_after is None:
                return
            self.lanes_break_after -= 1
            if self.lanes_break_after == 0:
                self.lanes_break_after = None
                connection.terminate()

        connection.add_query_logger(count)
        return connection


@dataclass
class House:
    """A sender with some money, and the wire to Valkey."""

    sender: Sender
    proxy: Proxy

    @property
    def world(self) -> World:
        return self.sender.world

    @property
    def door(self) -> BreakingDoor:
        door = self.world.door
        assert isinstance(door, BreakingDoor)
        return door

    def send(self, key: str, *contacts: int, category: str = "utility", **fields: Any) -> Send:
        whom: Json = {"recipients": [contact(each) for each in contacts]}
        if len(contacts) == 1:
            whom = {"contact": contact(contacts[0])}
        return Send(
            key=key, tenant=self.sender.name, number=WHATSAPP, category=category, **whom, **fields
        )

    def note(self, send: Send, answer: Granted) -> None:
        """Let the model know what was granted."""
        contacts = (send.contact,) if send.contact else tuple(send.recipients or ())
        named = tuple(each for each in contacts if each is not None)
        wanted = Wanted(send, named, "whatsapp", UTILITY)
        self.sender.keep(wanted, answer, [(each, {"whatsapp": UTILITY}) for each in named])

    async def granted(self, send: Send, desk: int = 0) -> Granted:
        (answer,) = await self.sender.ask([send], desk)
        assert isinstance(answer, Granted), answer
        self.note(send, answer)
        return answer

    async def until_granted(self, send: Send, desk: int = 1) -> Granted:
        """Ask under the same key until somebody says yes."""
        for tools in (each._tools for each in self.sender.desks):
            tools.rest_until = 0.0
        for _ in range(20):
            (answer,) = await self.sender.ask([send], desk)
            if isinstance(answer, Granted):
                self.note(send, answer)
                return answer
            assert answer.reason is Reason.UNAVAILABLE, answer
            for tools in (each._tools for each in self.sender.desks):
                tools.rest_until = 0.0
        raise AssertionError("Valkey is there again, and nobody is granted anything")

    async def release(self, answer: Granted) -> None:
        request = HoldRelease(tenant=self.sender.name, hold=answer.hold)
        await hold_release.run(
            self.world.door, self.world.catalogue, self.sender.desks[0]._tools.valkey, OPERATOR,
            request, now=self.world.clock.at,
        )  # fmt: skip

    def delivered(self, n: int, answer: Granted) -> Json:
        return {
            "id": f"d{n}", "source": "s", "type": "message.delivered",
            "subject": self.sender.name, "time": iso(self.world.clock.at),
            "data": {
                "number": WHATSAPP, "contact": contact(n), "category": "utility", "template": "t",
                "message_id": f"m{n}", "hold": answer.hold,
            },
        }  # fmt: skip

    async def rows(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.world.rows(self.sender.name, HOLDS)]


@asynccontextmanager
async def opened(
    database: Database, servers: Servers, redis_url: str, seed: int = 0
) -> AsyncIterator[House]:
    assert servers.addresses.redis_url is not None
    place = servers.addresses.redis_url.removeprefix("unix://")
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(before(place))
        url = f"redis://127.0.0.1:{proxy.port}/{redis_url.rpartition('=')[2]}"
        world = await stack.enter_async_context(
            World.open(database.app_url, url, door=BreakingDoor)
        )
        valkey = await stack.enter_async_context(client(url))
        direct = await stack.enter_async_context(client(redis_url))
        sender = await stack.enter_async_context(senders(world, valkey, direct, seed))
        yield House(sender, proxy)


@pytest.fixture
async def house(database: Database, servers: Servers, redis_url: str) -> AsyncIterator[House]:
    async with opened(database, servers, redis_url) as house:
        yield house


# What moves between a look and the script.


async def test_a_refusal_does_not_outlive_a_top_up(house: House) -> None:
    """Decided by a look of a moment ago, it does not stand: it is decided anew."""
    sender = house.sender
    await sender.change("whatsapp", -3_400 * UNIT)
    send = house.send("a", 1)
    (refused,) = await sender.ask([send], 0)
    assert isinstance(refused, Refusal)
    assert (refused.required, refused.available) == (UTILITY, 100 * UNIT)

    await sender.change("whatsapp", 300 * UNIT)
    await sender.agree()
    before = sender.desks[0].again
    answer = await house.granted(send)

    assert sender.desks[0].again > before
    assert answer.remaining == 400 * UNIT - UTILITY
    await sender.agree()


async def test_a_grant_does_not_outlive_what_was_taken_away(house: House) -> None:
    """By an adjustment, and by what another process granted."""
    sender = house.sender
    await house.granted(house.send("a", 1))
    await sender.change("whatsapp", (2 * UTILITY) - 3_500 * UNIT)
    await sender.agree()
    await house.granted(house.send("b", 2), 1)
    before = sender.desks[0].again

    (refused,) = await sender.ask([house.send("c", 3)], 0)

    assert isinstance(refused, Refusal)
    assert (refused.required, refused.available) == (UTILITY, 0)
    assert sender.desks[0].again > before
    await sender.agree()


async def test_free_counts_that_are_settled_anew(house: House) -> None:
    """OC-8: what a desk knew of a count before a settling is not believed behind it."""
    sender, world = house.sender, house.world
    await sender.change("conversations", -6 * UNIT)
    sender.wrote = {contact(n): world.clock.at for n in range(4)}
    for n in range(4):
        await world.send([{
            "id": f"in{n}", "source": "s", "type": "message.received", "subject": sender.name,
            "time": iso(world.clock.at), "data": {"number": WHATSAPP, "contact": contact(n)},
        }])  # fmt: skip
    events = []
    for n in range(998):
        event = {
            "id": f"free{n}", "source": "s", "type": "message.delivered", "subject": sender.name,
            "time": iso(world.clock.at), "data": {"number": WHATSAPP, "contact": contact(0)},
        }  # fmt: skip
        events.append(event)
    await world.send(events)
    await sender.change("whatsapp", 3 * UTILITY - 3_500 * UNIT)
    await sender.agree()

    def asked(key: str, n: int) -> Send:
        return house.send(key, n, category="service")

    (first,) = await sender.ask([asked("a", 1)], 0)
    assert isinstance(first, Granted)
    assert sum(each.amount for each in first.charges) == 0
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    data = {"number": WHATSAPP, "contact": contact(6), "category": "utility", "template": "t"}
    late = {**events[0], "id": "late", "time": iso(world.clock.at - UNIT), "data": data}
    await world.send([late])
    await settling.settle(sender.tenant_id, Cause.DEMAND)
    rows = await sender.in_rows()
    assert [amount for name, amount in rows.items() if name.startswith("count:")] == [1]

    # 998 were free and one is held: one more is.
    answers = await asyncio.gather(
        sender.ask([asked("b", 2), asked("c", 3)], 0), sender.ask([asked("d", 2)], 1)
    )
    prices = [
        sum(each.amount for each in answer.charges)
        for told in answers for answer in told if isinstance(answer, Granted)
    ]  # fmt: skip
    assert sorted(prices) == [0, UTILITY, UTILITY]


async def test_broad_sends_and_singles_of_one_tenant(house: House) -> None:
    """OC-2, OC-5: each whole or not at all, and never more than there is."""
    sender = house.sender
    each = 500
    await sender.change("whatsapp", (2 * each + 30) * UTILITY - 3_500 * UNIT)
    await sender.agree()
    broad = [house.send(f"broad{n}", *range(n, each + n)) for n in range(3)]
    singles = [house.send(f"single{n}", n) for n in range(60)]

    answers = await asyncio.gather(
        *(sender.ask([send], n % 2) for n, send in enumerate(broad)),
        *(sender.ask(singles[n : n + 10], n % 2) for n in range(0, 60, 10)),
    )

    flat = [answer for told in answers for answer in told]
    granted = 0
    for send, answer in zip([*broad, *singles], flat, strict=True):
        if isinstance(answer, Granted):
            house.note(send, answer)
            granted += answer.recipients
    left = 2 * each + 30 - granted
    assert left >= 0
    assert left < each
    assert all(isinstance(one, Granted) for one in flat[3:]) or left == 0
    await sender.agree()


async def test_a_desk_that_stops_leaves_nobody_waiting(house: House) -> None:
    """Who waits is told to ask again, and is granted once elsewhere."""
    sender = house.sender
    await sender.ask([house.send("none", 1, category="nothing")], 0)
    sends = [house.send(f"k{n}", *range(n, n + 3)) for n in range(3)]
    house.proxy.stall()
    waiting = [asyncio.ensure_future(sender.ask([send], 0)) for send in sends]
    await asyncio.wait(waiting, timeout=0.05)
    await sender.desks[0].stop()
    house.proxy.flow()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, Overwhelmed) for one in told), told

    for send in sends:
        await house.until_granted(send)

    await sender.agree()
    assert len(await house.rows()) == 3


# What breaks.


async def test_a_database_that_breaks_at_any_statement_of_a_grant(house: House) -> None:
    """OC-3: asked again under its key, it is one hold with one row, and held once."""
    sender, broke = house.sender, 0
    for n in range(1, 8):
        send = house.send(f"k{n}", n)
        house.door.breaks_after = n
        told: Any = None
        try:
            (told,) = await sender.ask([send], 0)
        except (Overwhelmed, *CONNECTION_LOST):
            broke += 1
        house.door.breaks_after = None
        answer = await house.until_granted(send)
        assert told is None or told == answer
        await sender.agree()
        assert len(await house.rows()) == n
        await house.release(answer)
        sender.known[-1].model.release(sender.now)
        await sender.agree()
    assert broke


async def test_a_database_that_breaks_at_any_statement_of_a_release(house: House) -> None:
    """OC-3: given up again, it is given back once."""
    sender, broke, n, whole = house.sender, 0, 0, False
    while not whole:
        n += 1
        answer = await house.granted(house.send(f"k{n}", n))
        house.door.breaks_after, whole = n, True
        while True:
            try:
                await house.release(answer)
                break
            except CONNECTION_LOST:
                broke, whole, house.door.breaks_after = broke + 1, False, None
        house.door.breaks_after = None
        sender.known[-1].model.release(sender.now)
        await sender.agree()
        assert all(row[1:] == (0, sender.now, 3) for row in await house.rows())
    assert broke > 2


async def test_a_database_that_breaks_at_any_statement_of_a_capture(house: House) -> None:
    """EV-1, OC-3: told again, it is charged once and ends its share once."""
    sender = house.sender
    # Every other statement: after each a lane waits a little before it tries again.
    for n in range(1, 40, 2):
        answer = await house.granted(house.send(f"k{n}", n), 1)
        event = house.delivered(n, answer)
        house.door.lanes_break_after = n
        results: list[Json] = []
        while not results:
            try:
                results = await house.world.send([event])
            except (Fault, *CONNECTION_LOST):
                continue
        whole, house.door.lanes_break_after = house.door.lanes_break_after is not None, None
        sender.known[-1].model.end(contact(n))
        await sender.agree()
        assert await house.world.send([event]) == [results[0] | {"status": "duplicate"}]
        count = len(sender.known)
        assert tuple(await house.world.row(sender.name, FACTS)) == (count, count * UTILITY)
        assert [row[1:] for row in await house.rows()] == [(1, sender.now, 1)] * count
        if whole:
            break
        await sender.change("whatsapp", UTILITY)
        await sender.agree()
    assert n > 4
    await sender.verified()


async def test_a_database_that_breaks_at_any_statement_of_a_grant_without_valkey(
    house: House,
) -> None:
    """What an outage may grant is counted once for each, and held when Valkey is back."""
    sender, broke, n = house.sender, 0, 0
    await sender.fail_mode({"whatsapp": 20 * UTILITY})
    await sender.change("whatsapp", 20 * UTILITY)
    await sender.goes(house.proxy)
    while True:
        n += 1
        send = house.send(f"k{n}", n)
        house.door.breaks_after = n
        told: Any = None
        try:
            (told,) = await sender.ask([send], 0)
        except (Overwhelmed, *CONNECTION_LOST):
            broke += 1
        house.door.breaks_after = None
        answer = await house.until_granted(send)
        assert told is None or told == answer
        await sender.agree()
        if told is not None:
            break
    assert broke > 4
    granted = await house.world.row(sender.name, "select granted from outages where tenant_id = $1")
    assert granted["granted"] == f'[["left:whatsapp",{n * UTILITY}]]'
    await sender.comes_back(house.proxy)


@pytest.mark.parametrize("count", VALUES)
async def test_a_valkey_that_is_cut_anywhere(house: House, count: int) -> None:
    """Before and behind any script of a grant, a capture and a release: held is right again."""
    sender, proxy = house.sender, house.proxy
    send = house.send("k", 1)
    await house.granted(house.send("first", 9), 0)

    async def cut(act: Callable[[], Awaitable[Any]]) -> None:
        proxy.break_after(count, b"EVALSHA")
        try:
            await act()
        finally:
            proxy._break = None
            for desk in sender.desks:
                desk._tools.rest_until = 0.0

    await cut(lambda: sender.ask([send], 0))
    answer = await house.until_granted(send, 0)
    await sender.agree()

    event = house.delivered(1, answer)
    await cut(lambda: house.world.send([event]))
    assert (await house.world.send([event]))[0]["status"] == "duplicate"
    sender.known[-1].model.end(contact(1))
    await sender.agree()

    other = await house.granted(house.send("other", 2), 1)
    await cut(lambda: house.release(other))
    sender.known[-1].model.release(sender.now)
    # A release that Valkey did not hear is heard by whoever makes it whole.
    await house.world.rebuild.tenants([sender.tenant_id])
    await sender.agree()
    assert len(await house.rows()) == 3


async def test_a_varied_send_under_one_key_at_two_desks(
    database: Database, servers: Servers, redis_url: str
) -> None:
    """OC-3: shares that differ are kept with the hold: it is one, whoever asked."""
    async with opened(database, servers, redis_url, seed=1) as house:
        sender = house.sender
        for n in range(6):
            event = house.delivered(n, Granted("", 0, 0, [], "", None, None, None))
            del event["data"]["hold"]
            await house.world.send([event])
        await sender.agree()
        for turn in range(8):
            # The first three have a conversation, the others need one.
            send = house.send(f"k{turn}", 0, 1, 20 + turn)
            answers = await asyncio.gather(sender.ask([send], 0), sender.ask([send], 1))
            ((one,), (other,)) = answers
            if isinstance(one, Refusal):
                assert isinstance(other, Refusal)
                break
            assert one == other
            assert len(await house.rows()) == turn + 1
            rows = await sender.in_rows()
            assert rows["left:conversations"] == (turn + 1) * UNIT
            assert await sender.in_valkey() == rows
        assert turn > 1
