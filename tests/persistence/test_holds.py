"""Holds in the database: what facts that name one make of it, in the commit that charges them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from api.exporting import export
from api.importing import Importing
from api.log_file import LogFile, Writer
from api.operations import period_close
from api.operations.period_close import PeriodClose
from api.settling import Cause, Settling
from api.verifying import Verifying
from domain.facts import Flag, Status
from domain.holds import (
    End,
    Hold,
    Kept,
    Vector,
    number_of,
    recipient_of,
    spelt,
    times,
    vector,
)
from domain.periods import DAY, HOUR, MINUTE, instant, iso
from persistence import asked, holds
from persistence.connection import Connection
from persistence.servers import Servers
from persistence.tenants import find_by_keys
from tests.conftest import Database
from tests.persistence.test_log_file import fresh
from tests.scenarios.world import Json, RecordingDoor, World

NOON = instant(datetime.fromisoformat("2026-11-10T12:00:00+07:00"))
UNIT = 1_000_000
PRICE = 356_650_000
MONEY, UNITS = "left:whatsapp", "left:conversations"
UTILITY = {"template": "t", "category": "utility"}
LATE, OVER, UNKNOWN = Flag.LATE_COMMIT, Flag.OVER_HOLD, Flag.UNKNOWN_HOLD
OF_HOLDS = LATE | OVER | UNKNOWN

ROWS = """
select hold_id, shares, varied, ended, back, sent, sent_at, ended_at, ended_by, revision, version
from holds where tenant_id = $1 order by hold_id"""
FLAGS = f"select id, flags & {OF_HOLDS} as flags from facts where tenant_id = $1"
SHARES = """
select recipient, share, sent_at, ended_at, ended_by from hold_shares
where tenant_id = $1 order by recipient"""


@dataclass
class Sender:
    """A tenant that holds before it sends."""

    world: World
    tenant: str
    number: str
    key: bytes = b""
    sent: int = 0

    @property
    def tenant_id(self) -> int:
        return self.world.tenants[self.tenant].tenant_id

    def id_of(self, hold: Hold) -> str:
        return spelt(hold, self.key)

    def event(self, kind: str, contact: int, hold: str | None, at: int, **data: Any) -> Json:
        self.sent += 1
        address = f"+62 811{contact:08d}" if self.number.startswith("+") else f"5730{contact:08d}"
        return {
            "id": f"{self.sent:04}", "source": "s", "type": kind, "time": iso(at),
            "subject": self.tenant,
            "data": {
                "number": self.number, "contact": address,
                **({} if hold is None else {"hold": hold}), **data,
            },
        }  # fmt: skip

    async def tell(
        self, kind: str, contact: int, hold: str | None, at: int | None = None, **data: Any
    ) -> int:
        """One fact at an instant, else now; gives the flags of its hold."""
        at = self.world.clock.at if at is None else at
        said = UTILITY | data if kind.startswith("message") and "category" not in data else data
        event = self.event(f"{kind}", contact, hold, at, **said)
        (result,) = await self.world.send([event])
        assert result["status"] in ("accepted", "unrated", "adjusted"), result
        return (await self.flags())[event["id"]]

    async def flags(self) -> dict[str, int]:
        return {row["id"]: row["flags"] for row in await self.world.rows(self.tenant, FLAGS)}

    async def row(self) -> asyncpg.Record:
        return await self.world.row(self.tenant, ROWS)


def hold(
    shares: int = 1, share: Vector = ((MONEY, PRICE),), *, at: int = NOON, key: str = "k"
) -> Hold:
    return Hold(
        number_of(key), at, at + 10 * MINUTE, at + DAY, shares, share, times(share, shares), False
    )


def address(contact: int) -> bytes:
    return recipient_of(f"62811{contact:08d}")


@pytest.fixture
async def world(database: Database, servers: Servers) -> AsyncIterator[World]:
    assert servers.addresses.redis_url is not None
    async with World.open(database.app_url, servers.addresses.redis_url) as world:
        world.clock.at = NOON
        yield world


async def sender(world: World, tenant: str = "acme", **tenant_of: Any) -> Sender:
    channel, number = tenant_of.pop("number", ("whatsapp", "+62 800 0000 01"))
    await world.tenant(tenant, **tenant_of)
    await world.number(tenant, "it", channel, number)
    row = await world.row(tenant, "select hold_key from tenants where tenant_id = $1")
    return Sender(world, tenant, number, row["hold_key"])


@pytest.fixture
async def acme(world: World) -> Sender:
    return await sender(world)


async def verified(world: World, tenant: str = "acme") -> None:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    found = await verifying.verify(world.tenants[tenant].tenant_id)
    assert (found.wrong, list(map(str, found.findings))) == (0, [])


async def test_a_delivery_ends_its_hold(world: World, acme: Sender) -> None:
    """OC-3, EV-5: in the commit that charges it; a second status or sending does nothing."""
    of = hold()
    event = acme.event("message.delivered", 1, acme.id_of(of), NOON, message_id="m", **UTILITY)
    await world.send([event])
    row = await acme.row()
    head = await world.row("acme", "select version from tenant_head where tenant_id = $1")
    assert (row["hold_id"], row["version"], row["revision"]) == (of.hold_id, head["version"], 1)
    assert (row["ended"], row["ended_at"], row["ended_by"]) == (1, NOON, End.CAPTURED)
    assert await acme.flags() == {"0001": 0}

    world.clock.at += MINUTE
    (again,) = await world.send([event])
    assert again["status"] == "duplicate"
    (conflict,) = await world.send([{**event, "time": iso(NOON - 1)}])
    assert conflict["status"] == "conflict"
    late = NOON + 30 * MINUTE
    world.clock.at = late
    assert await acme.tell("message.delivered", 1, acme.id_of(of), late, message_id="m") == 0
    assert await acme.tell("message.read", 1, acme.id_of(of), late, message_id="m") == 0
    assert await acme.row() == row
    assert await world.rows("acme", SHARES) == []
    await verified(world)


async def test_what_names_no_hold_asks_for_none(app_url: str, redis_url: str) -> None:
    """Facts without a hold run no statement about holds."""
    async with World.open(app_url, redis_url, door=RecordingDoor) as world:
        world.clock.at = NOON
        plain = await sender(world)
        assert isinstance(world.door, RecordingDoor)
        await plain.tell("message.delivered", 1, None)
        assert world.door.heard
        assert not [each for each in world.door.heard if "from holds" in each.query]
        await plain.tell("message.delivered", 1, plain.id_of(hold()))
        assert [each for each in world.door.heard if "from holds" in each.query]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("together", [True, False])
async def test_a_broadcast_ends_with_its_last_share(
    world: World, acme: Sender, seed: int, together: bool
) -> None:
    """OC-3, OC-5: one hold with five shares, in any order and however facts are split."""
    of = hold(5)
    events = [acme.event("message.delivered", n, acme.id_of(of), NOON, **UTILITY) for n in range(4)]
    events.append(acme.event("message.failed", 4, acme.id_of(of), NOON, **UTILITY))
    events += [acme.event("message.sent", n, acme.id_of(of), NOON, **UTILITY) for n in range(5)]
    random.Random(seed).shuffle(events)
    for batch in [events] if together else [[event] for event in events]:
        await world.send(batch)
    row = await acme.row()
    assert (row["ended"], row["ended_at"], row["back"]) == (5, NOON, f'[["{MONEY}",{5 * PRICE}]]')
    assert set((await acme.flags()).values()) == {0}
    shares = await world.rows("acme", SHARES)
    ended = {each["recipient"]: each["ended_by"] for each in shares}
    assert ended == {
        address(n): End.FAILED if n == 4 else End.CAPTURED for n in range(5)
    }  # fmt: skip
    await verified(world)


async def opened(connection: Connection, acme: Sender, at: int) -> list[Kept]:
    """The holds that set something aside at an instant."""
    return [kept async for kept, _ in holds.open_holds(connection, acme.tenant_id, at)]


async def test_a_broadcast_is_open_until_then(world: World, acme: Sender) -> None:
    """OC-3: what ended goes back at once; what was sent is set aside for longer."""
    of = hold(5)
    await acme.tell("message.delivered", 1, acme.id_of(of))
    await acme.tell("message.sent", 2, acme.id_of(of))
    async with world.door.tenant_tx(acme.tenant_id) as connection:
        (kept,) = await opened(connection, acme, NOON)
        mine, other = (asked.keyed(acme.tenant_id, n) for n in (of.number, number_of("else")))
        found = await asked.holds(connection, [mine, other])
        later = await opened(connection, acme, of.expires_at)
        latest = await opened(connection, acme, of.lasts_until)
    assert kept.hold == of
    assert kept.open_() == (((MONEY, 4 * PRICE),), ((MONEY, PRICE),))
    assert found.keys() == {mine}
    assert (found[mine].kept.revision, len(later), latest) == (2, 1, [])


async def test_shares_of_their_own(world: World, acme: Sender) -> None:
    """OC-5: a recipient of another market has a row of its own from the grant on."""
    of = Hold(
        number_of("k"), NOON, NOON + 10 * MINUTE, NOON + DAY, 2, ((MONEY, PRICE),),
        ((MONEY, 2 * PRICE - 1),), True,
    )  # fmt: skip
    async with world.door.tenant_tx(acme.tenant_id) as connection:
        for n in (2, 3):
            own = {address(n): ((MONEY, PRICE - 1),)}
            await holds.keep_shares(connection, acme.tenant_id, of.hold_id, own)
    assert await acme.tell("message.delivered", 1, acme.id_of(of)) == 0
    assert (await acme.row())["ended_at"] is None
    assert await acme.tell("message.delivered", 2, acme.id_of(of)) == OVER
    row = await acme.row()
    assert (row["ended_by"], row["varied"]) == (End.CAPTURED, True)
    shares = {row["recipient"]: row["ended_by"] for row in await world.rows("acme", SHARES)}
    assert shares == {address(1): 1, address(2): 1, address(3): None}
    await verified(world)


async def test_a_group_has_a_share_a_member(world: World, acme: Sender) -> None:
    """PR-8, OC-3: each member reached ends its own."""
    of = hold(3)
    group = {"id": "g", "members": [f"+62 811{n:08d}" for n in range(3)]}
    for n in range(3):
        said = {"group": group, "message_id": "m"}
        assert await acme.tell("message.delivered", n, acme.id_of(of), **said) == 0
        assert (await acme.row())["ended"] == n + 1
    assert (await acme.row())["ended_by"] == End.CAPTURED


async def test_failed_and_then_delivered(acme: Sender) -> None:
    """EV-5, OC-3: `failed` gives the share back, and ends are final."""
    of = acme.id_of(hold())
    assert await acme.tell("message.failed", 1, of, message_id="m") == 0
    assert (await acme.row())["ended_by"] == End.FAILED
    assert await acme.tell("message.delivered", 1, of, message_id="m") == OVER
    assert (await acme.row())["ended_by"] == End.FAILED


async def test_delivered_and_then_failed(acme: Sender) -> None:
    """EV-5: `failed` after the charge changes nothing."""
    of = acme.id_of(hold())
    await acme.tell("message.delivered", 1, of, message_id="m")
    row = await acme.row()
    assert await acme.tell("message.failed", 1, of, message_id="m") == 0
    assert await acme.row() == row


async def test_an_expiry_follows_from_the_id(world: World, acme: Sender) -> None:
    """OC-3, OC-4: ten minutes; a day for what was sent, whenever its facts come."""
    world.clock.at = NOON + 3 * DAY
    for key, contact, sent, at, flags in (
        ("in time", 1, None, 10 * MINUTE - 1, 0), ("late", 2, None, 10 * MINUTE, LATE),
        ("sent", 3, MINUTE, 10 * MINUTE, 0), ("sent long ago", 4, MINUTE, DAY, LATE),
        ("sent late", 5, 10 * MINUTE, 10 * MINUTE, LATE),
    ):  # fmt: skip
        of = acme.id_of(hold(key=key))
        if sent is not None:
            assert await acme.tell("message.sent", contact, of, NOON + sent) == 0
        assert await acme.tell("message.delivered", contact, of, NOON + at) == flags, key
    rows = await world.rows("acme", ROWS)
    assert {row["ended_by"] for row in rows} == {End.CAPTURED}
    assert sorted(row["sent_at"] or 0 for row in rows) == [0, 0, 0, NOON + MINUTE, NOON + MINUTE]


async def test_an_id_of_nobody(world: World, acme: Sender) -> None:
    """OC-4: altered, another tenant's, or no id at all: charged all the same, and flagged."""
    other = await sender(world, "other")
    mine = acme.id_of(hold())
    for unknown in (
        mine[:-1] + ("A" if mine[-1] != "A" else "B"),
        other.id_of(hold()),
        "hld_x",
        "?",
    ):
        assert await acme.tell("message.delivered", 1, unknown) == UNKNOWN
    assert await acme.tell("message.failed", 1, "hld_x") == 0
    assert await acme.tell("message.sent", 1, "hld_x") == 0
    inbound = acme.event("message.received", 1, "hld_x", NOON)
    assert [each["status"] for each in await world.send([inbound])] == ["accepted"]
    assert (await acme.flags())[inbound["id"]] == 0
    assert await world.rows("acme", ROWS) == []
    assert len(await world.charges("acme")) == 4 + 1  # with the visit
    await verified(world)


async def test_what_costs_more_than_its_share(acme: Sender) -> None:
    """OC-3: what is above it is unauthorised use; a charge of nothing never is."""
    short = hold(share=((MONEY, PRICE - 1),))
    assert await acme.tell("message.delivered", 1, acme.id_of(short)) == OVER
    free = acme.id_of(hold(share=(), key="free"))
    said = {"category": "service", "template": None}
    assert await acme.tell("message.delivered", 2, free, **said) == OVER
    covered = acme.id_of(hold(share=(), key="covered"))
    assert await acme.tell("message.delivered", 2, covered, **said) == 0


async def test_units_in_the_place_of_money(acme: Sender) -> None:
    """OC-3, PR-9: a conversation was there after all; the money that was set aside stays."""
    of = acme.id_of(hold())
    assert await acme.tell("message.delivered", 1, of, category="service", template=None) == 0


async def test_a_released_hold_has_no_share(world: World, acme: Sender) -> None:
    """OC-3: what is delivered after its hold was released is unauthorised use."""
    of = hold(3)
    await acme.tell("message.delivered", 1, acme.id_of(of))
    async with world.door.tenant_tx(acme.tenant_id) as connection:
        kept = await holds.find(connection, acme.tenant_id, of)
        assert kept.release(NOON)
        await holds.write(connection, [(acme.tenant_id, 1, [kept])])
    row = await acme.row()
    assert (row["ended"], row["ended_by"], row["revision"]) == (1, End.RELEASED, 2)
    assert await acme.tell("message.delivered", 2, acme.id_of(of)) == OVER
    assert await acme.tell("message.sent", 3, acme.id_of(of)) == 0
    assert (await acme.row())["ended_by"] == End.RELEASED
    await verified(world)


async def test_a_call_ends_its_hold(world: World) -> None:
    """OC-3, VO-1: by the seconds it took; one that nobody answered gives all back."""
    desk = await sender(
        world, "desk", plan="service-usd", currency="USD", country="CO", timezone="America/Bogota",
        number=("voice", "+57 601 000 0001"),
    )  # fmt: skip
    share = ((("left:voice_outbound"), UNIT),)
    said = {"direction": "out"}
    ids = [desk.id_of(hold(share=share, key=key)) for key in ("short", "long", "nobody")]
    assert await desk.tell("call.ended", 1, ids[0], seconds=30, **said) == 0
    assert await desk.tell("call.ended", 1, ids[1], seconds=36_000, **said) == OVER
    assert await desk.tell("call.ended", 1, ids[2], seconds=0, **said) == 0
    assert await desk.tell("call.ended", 1, "hld_x", seconds=0, **said) == 0
    rows = {row["hold_id"][:16]: row["ended_by"] for row in await world.rows("desk", ROWS)}
    assert rows == {
        number_of("short"): End.CAPTURED, number_of("long"): End.CAPTURED,
        number_of("nobody"): End.RELEASED,
    }  # fmt: skip


async def test_what_is_charged_when_sent(world: World) -> None:
    """EV-5, OC-3: a message that is charged by its sending ends its share then."""
    desk = await sender(
        world, "desk", plan="service-usd", currency="USD", country="CO", timezone="America/Bogota",
        number=("sms", "890123"),
    )  # fmt: skip
    of = desk.id_of(hold(share=(("left:sms", UNIT),)))
    said = {"message_id": "m", "category": "utility", "template": "t"}
    assert await desk.tell("message.sent", 1, of, **said) == 0
    row = await desk.row()
    assert (row["ended_by"], row["sent_at"]) == (End.CAPTURED, None)
    world.clock.at += HOUR
    assert await desk.tell("message.delivered", 1, of, **said) == 0
    assert await desk.row() == row


async def test_what_has_no_rate_and_what_came_after_a_closing(world: World, acme: Sender) -> None:
    """EV-3, EV-7, OC-4: they end their share as well, and are flagged by their own time."""
    of = hold(key="unrated")
    said = {"category": "nobody", "template": "t"}
    assert await acme.tell("message.delivered", 1, acme.id_of(of), **said) == 0
    assert (await acme.row())["ended_by"] == End.CAPTURED
    world.clock.at = NOON + 40 * DAY
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    request = PeriodClose(tenant="acme", period=2026 * 12 + 10, idempotency_key="november")
    await period_close.run(world.door, settling, request, now=world.clock.at)
    for key, at, flags in (("in time", NOON, 0), ("late", NOON + HOUR, LATE)):
        of = hold(share=((MONEY, 2 * PRICE),), key=key)
        assert await acme.tell("message.delivered", 2, acme.id_of(of), at) == flags
        rows = {row["hold_id"]: row["ended_by"] for row in await world.rows("acme", ROWS)}
        assert rows[of.hold_id] == End.CAPTURED
    statuses = await world.rows("acme", "select status from facts where tenant_id = $1 order by id")
    assert [row["status"] for row in statuses] == [Status.UNRATED, Status.ADJUSTED, Status.ADJUSTED]
    await verified(world)


async def test_over_the_end_of_a_month(world: World, acme: Sender) -> None:
    """OC-7: held 31 January 23:55, delivered 1 February 00:02: February pays, and no flag."""
    february = instant(datetime.fromisoformat("2027-02-01T00:00:00+07:00"))
    world.clock.at = february - 5 * MINUTE
    await acme.tell("message.delivered", 9, None, category="service", template=None)
    of = acme.id_of(hold(share=((UNITS, UNIT),), at=february - 5 * MINUTE))
    world.clock.at = february + 2 * MINUTE
    assert await acme.tell("message.delivered", 1, of, category="service", template=None) == 0
    lots = await world.rows(
        "acme", "select origin, used, lapsed from lots where tenant_id = $1 and used > 0 order by 1"
    )
    assert [tuple(row) for row in lots] == [
        ("allowance/2027-01", UNIT, 999 * UNIT), ("allowance/2027-02", UNIT, 0)
    ]  # fmt: skip
    row = await acme.row()
    assert (row["ended_by"], row["ended_at"]) == (End.CAPTURED, february + 2 * MINUTE)
    await verified(world)


async def life(world: World, acme: Sender, seed: int) -> None:
    """Holds of all kinds and what becomes of them, in an order of chance and late."""
    chance = random.Random(seed)
    events: list[Json] = []
    for n in range(40):
        at = NOON + n * MINUTE
        shares, key = chance.choice((1, 1, 3)), f"k{n % 30}"
        share = vector({MONEY: chance.choice((PRICE, PRICE - 1))})
        of = acme.id_of(hold(shares, share, at=at - 5 * MINUTE, key=key))
        for _ in range(chance.randrange(1, 4)):
            kind = chance.choice(("sent", "delivered", "delivered", "failed", "read"))
            named = chance.choice((of, of, of, of[:-1]))
            events.append(
                acme.event(
                    f"message.{kind}", chance.randrange(6), named,
                    at + chance.randrange(15) * MINUTE, message_id=f"m{n}",
                    **chance.choice((UTILITY, {})),
                )
            )  # fmt: skip
    chance.shuffle(events)
    world.clock.at = NOON + DAY
    while events:
        batch, events = events[:7], events[7:]
        await world.send(batch)
    async with world.door.tenant_tx(acme.tenant_id) as connection:
        version = await connection.fetchval("select max(version) from commits")
        open_ = await opened(connection, acme, NOON)
        for kept in open_[: len(open_) // 2]:
            kept.release(NOON + DAY)
        await holds.write(connection, [(acme.tenant_id, version, open_)])


async def test_settling_leaves_what_was_flagged(world: World, acme: Sender) -> None:
    """EV-9: holds and flags are never folded again; late facts are settled around them."""
    await life(world, acme, 4)
    flags, rows = await acme.flags(), await world.rows("acme", ROWS)
    assert set(flags.values()) >= {0, LATE, OVER, UNKNOWN}
    await verified(world)
    settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
    settled = await settling.settle(acme.tenant_id, Cause.DEMAND)
    assert settled.settlement_id is not None
    await verified(world)
    assert await acme.flags() == flags
    assert await world.rows("acme", ROWS) == rows
    revised = await world.rows(
        "acme",
        f"select f.flags & {OF_HOLDS} as before, r.flags & {OF_HOLDS} as after"
        " from revisions r join facts f using (tenant_id, at, key) where tenant_id = $1",
    )
    assert any(row["before"] for row in revised)
    assert all(row["before"] == row["after"] for row in revised)


async def test_a_copy_has_the_same_holds(
    world: World, acme: Sender, servers: Servers, template: str, tmp_path: Path
) -> None:
    """EV-8, EV-9: a log taken in has flags and ends as they were, and goes on from there."""
    await life(world, acme, 5)
    open_ = hold(5, key="open", at=world.clock.at)
    await acme.tell("message.delivered", 1, acme.id_of(open_))
    path = tmp_path / "log"
    with path.open("wb") as file:
        await export(world.door, world.catalogue, "acme", Writer(file), world.clock.now)
    found = {name: await world.rows("acme", query) for name, query in COPIED.items()}
    assert all(found.values())

    async with (
        fresh(servers, template) as elsewhere,
        World.open(elsewhere.app_url, servers.addresses.redis_url or "") as copy,
    ):
        copy.clock.at = world.clock.at
        await copy.tenant("another")  # numbers of tenants are a database's own
        log = Importing(copy.door, elsewhere.owner_url, LogFile.checked(path), copy.clock.at)
        imported = await log.run()
        assert (imported.compared, imported.differences) == (True, {})
        copy.tenants |= await find_by_keys(copy.door, ["acme"])
        assert copy.tenants["acme"].tenant_id != acme.tenant_id
        for name, query in COPIED.items():
            assert await copy.rows("acme", query) == found[name], name
        await verified(copy)

        there = Sender(copy, "acme", acme.number, acme.key, acme.sent)
        assert await there.tell("message.delivered", 1, acme.id_of(open_)) == OVER
        assert await there.tell("message.delivered", 2, acme.id_of(open_)) == 0
        rows = await copy.rows("acme", ROWS)
        assert [row["ended"] for row in rows if row["hold_id"] == open_.hold_id] == [2]
        await verified(copy)


COPIED = {
    "flags": f"{FLAGS} and flags & {OF_HOLDS} <> 0 order by id",
    "holds": "select hold_id, expires_at, lasts_until, shares, share, total, varied, ended, back,"
    " sent, sent_at, ended_at, ended_by, revision from holds where tenant_id = $1 order by 1",
    "shares": SHARES,
    "key": "select hold_key from tenants where tenant_id = $1",
}


async def test_what_nobody_used_is_removed_a_day_later(world: World, acme: Sender) -> None:
    """OC-3: a hold that expired unused is forgotten; one that a fact ended stays."""
    unused, used, several = hold(key="unused"), hold(key="used"), hold(3, key="several")
    own = {address(1): ((MONEY, PRICE - 1),)}
    async with world.door.tenant_tx(acme.tenant_id) as connection:
        granted = [(acme.tenant_id, 1, each, b"told") for each in (unused, used, several)]
        await holds.grant(connection, granted)
        await holds.grant(connection, granted)  # again: it stays as it is
        await holds.keep_shares(connection, acme.tenant_id, several.hold_id, own)
    await acme.tell("message.delivered", 1, acme.id_of(used))
    jobs = world.jobs()
    world.clock.at = unused.lasts_until + DAY
    assert not await jobs.clear_holds()
    assert len(await world.rows("acme", ROWS)) == 3
    world.clock.at += HOUR
    assert not await jobs.clear_holds()
    (row,) = await world.rows("acme", ROWS)
    assert (row["hold_id"], row["ended_by"]) == (used.hold_id, End.CAPTURED)
    assert await world.rows("acme", SHARES) == []
    await verified(world)


async def test_what_was_told_is_told_again(world: World, acme: Sender) -> None:
    """OC-3: by the key alone, and behind a digest: an altered answer is found."""
    async with world.door.tenant_tx(acme.tenant_id) as connection:
        await holds.grant(connection, [(acme.tenant_id, 1, hold(), b"told")])
        keyed = asked.keyed(acme.tenant_id, hold().number)
        found = await asked.holds(connection, [keyed])
        assert (found[keyed].kept.hold, found[keyed].answer) == (hold(), b"told")
        await connection.execute("update holds set answer = answer || 'x'")
        (wrong,) = [each async for each in holds.wrong(connection, acme.tenant_id)]
    assert (wrong.table, wrong.column, wrong.row) == ("holds", "answer", hold().hold_id.hex())
