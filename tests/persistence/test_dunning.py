"""Dunning on a real database: an invoice that is not paid, until it is (OC-1, IN-2, TZ-3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from itertools import count
from typing import Any

import pytest

from api import redoing_dunning
from api.invoicing.dunning import Dunning
from api.log_file import Action as LogLine
from api.metrics import Metrics
from api.operations import dunning_set
from api.operations.acting import Done, Scene, given
from api.operations.dunning_set import DunningSet, SetDunning
from api.redoing import Redoing
from api.sends import Granted, Send
from api.tasks import LEASE, Tasks
from domain.dunning import Block, Dunned
from domain.invoices import INVOICES, Line, LineKind, Party, drawn_up
from domain.money import text
from domain.periods import DAY, HOUR, date_number
from domain.taxes import NONE
from domain.watch import AlertKind
from persistence import alerts, dunning, invoices, load, tasks
from persistence.actions import ActionKind
from persistence.door import CONNECTION_LOST, Door
from persistence.invoices import InvoiceRecord, Origin
from persistence.tasks import DUNNING, Task
from persistence.tenants import TenantRecord
from persistence.valkey import client
from tests.conftest import Database
from tests.domain.spine import UNIT, at
from tests.persistence.test_due import FragileDoor
from tests.scenarios.world import Json, World
from tests.simulation.sending import WHATSAPP, Sender, contact, senders

ISSUER = Party(
    name="Omnichannel", lines=(), country="ID", tax_id=None, email=None, key="omnichannel"
)
#: As `dunningSet` is asked: marketing after ten days whatever pays, all on credit after twenty.
STEPS: list[dict[str, Any]] = [
    {"days": 3, "action": "remind"},
    {"days": 10, "action": "block_marketing", "prepaid": True},
    {"days": 20, "action": "block_all"},
]
ROWS = """
select step, at, lifted_at from dunning_steps where tenant_id = $1 order by invoice_id, at, step"""
TASKS = "select key, due_at from tasks where tenant_id = $1 and kind = 'dunning' order by key"
SETTINGS = "select settings from tenant_head where tenant_id = $1"
KEYS = """
select idempotency_key from actions where tenant_id = $1 and kind = 24 order by action_id"""


async def issued(
    door: Door, tenant: TenantRecord, total: int, *, due_on: date, at: int, tasked: bool = True
) -> InvoiceRecord:
    """An invoice of a tenant of so much whole money, as it is issued."""
    today, tenant_id = tenant.zone.date(at), tenant.tenant_id
    line = Line(
        kind=LineKind.RECURRING, description="Seats", balance=None, category=None, market=None,
        rule=None, quantity="1", unit="seat", price=text(total * UNIT), exact=total * UNIT,
        amount=total * UNIT, period=None,
    )  # fmt: skip
    buyer = Party(name="W", lines=(), country="ID", tax_id=None, email=None, key=tenant.key)
    drawn = drawn_up(
        [line], issuer=ISSUER, buyer=buyer, currency="IDR", locale="id", zone="Asia/Jakarta",
        taxes=NONE, day=today,
    )  # fmt: skip
    async with door.tenant_tx(tenant_id) as connection:
        await load.lock(connection, [tenant_id], wait=True)
        draft = await invoices.draft(connection, tenant_id, drawn, origin=Origin.BY_HAND, at=at)
        done = await invoices.issue(
            connection, draft, drawn, series=INVOICES, terms_days=date_number(due_on) - today,
            zone=tenant.zone, at=at,
        )  # fmt: skip
        if tasked:
            _, over = tenant.zone.day_bounds(date_number(due_on))
            await tasks.add(connection, tenant_id, DUNNING, str(done.invoice_id), over)
    return done


@dataclass(frozen=True, slots=True)
class House:
    """A sender with Rp 3,500 and as much credit as it wants, and who duns it."""

    sender: Sender
    tasks: Tasks

    @property
    def world(self) -> World:
        return self.sender.world

    @property
    def tenant_id(self) -> int:
        return self.sender.tenant_id

    async def until(self, local: str) -> None:
        """Go to an instant of Jakarta, and do what is due."""
        self.world.clock.at = at(local)
        await self.tasks.quiet()

    async def invoice(self, total: int, *, due_on: date, tasked: bool = True) -> InvoiceRecord:
        """An invoice as it is issued, with its task."""
        tenant = self.world.tenants[self.sender.name]
        return await issued(
            self.world.door, tenant, total, due_on=due_on, at=self.world.clock.at, tasked=tasked
        )

    async def change(self, record: InvoiceRecord, what: str, value: int) -> None:
        """Something of an invoice is paid, given back, or it is void; what holds is looked at."""
        async with self.world.door.tenant_tx(self.tenant_id) as connection:
            await load.lock(connection, [self.tenant_id], wait=True)
            await connection.execute(
                f"update invoices set {what} = $3 where tenant_id = $1 and invoice_id = $2",
                self.tenant_id, record.invoice_id, value,
            )  # fmt: skip
            await dunning.lift(connection, self.tenant_id, self.world.clock.at)

    async def pay(self, record: InvoiceRecord, total: int) -> None:
        await self.change(record, "paid", total * UNIT)

    async def set(self, steps: list[dict[str, Any]] | None, key: str) -> SetDunning:
        world = self.world
        request = DunningSet(tenant=self.sender.name, steps=steps, idempotency_key=key)
        done = await dunning_set.run(
            world.door, world.catalogue, world.show, request, now=world.clock.at
        )
        await self.tasks.quiet()
        return done

    async def holds(self) -> Dunned | None:
        found = await dunning.of_tenants(self.world.door, [self.tenant_id])
        return found[self.tenant_id].dunned

    async def told(self) -> list[tuple[str, str, str]]:
        """What was raised of invoices: of which, and what was left to pay."""
        (found,) = await alerts.since(self.world.door, [(self.tenant_id, 0)], limit=1_000)
        return [
            (each.kind.name, each.cause_id, text(each.remaining))
            for each in found
            if each.kind is AlertKind.INVOICE_OVERDUE
        ]

    async def steps(self) -> list[tuple[str, bool]]:
        """What was done, and whether it was lifted."""
        rows = await self.world.rows(self.sender.name, ROWS)
        return [(row["step"], row["lifted_at"] is not None) for row in rows]

    async def due(self) -> list[tuple[str, int]]:
        return [tuple(row) for row in await self.world.rows(self.sender.name, TASKS)]

    async def asks(self, category: str, many: int = 1) -> str:
        """What each of both desks says to a send of `many`; the same, and nothing stays held."""
        said = set()
        for desk in (0, 1):
            send = Send(
                key=f"k{next(self.sender.numbers)}", tenant=self.sender.name, number=WHATSAPP,
                category=category, recipients=[contact(n) for n in range(many)],
            )  # fmt: skip
            (answer,) = await self.sender.ask([send], desk)
            if isinstance(answer, Granted):
                said.add("granted")
                self.world.clock.at += HOUR  # it expires
            else:
                said.add(f"{answer.reason.value}: {answer.message}")
        (one,) = said
        return one


@pytest.fixture
async def house(database: Database, redis_url: str) -> AsyncIterator[House]:
    async with (
        World.open(database.app_url, redis_url, door=FragileDoor) as world,
        client(redis_url) as valkey,
    ):
        plan = world.catalogue.plans["omnichannel-idr"]
        world.catalogue.plans["omnichannel-idr"] = replace(
            plan,
            balances=tuple(
                replace(each, credit_limit=10_000 * UNIT) if each.key == "whatsapp" else each
                for each in plan.balances
            ),
        )
        async with senders(world, valkey, valkey, 0) as sender:
            yield House(sender, work(world))


def work(world: World) -> Tasks:
    """Who duns, in one process."""
    handler = Dunning(world.door, world.catalogue, world.show, world.clock.now).handle
    return Tasks(world.door, world.clock.now, Metrics(), {DUNNING: handler})


async def settings(house: House) -> int:
    return int((await house.world.row(house.sender.name, SETTINGS))["settings"])


async def test_an_invoice_that_is_not_paid(house: House) -> None:
    """OC-1, IN-2: overdue at midnight, a reminder, marketing after ten days, all on credit after
    twenty; what is prepaid goes on, and who pays is served in the same moment."""
    await house.set(STEPS, "steps")
    bill = await house.invoice(1_000, due_on=date(2026, 11, 14))
    number = bill.number
    await house.until("2026-11-14 23:59")
    assert await house.told() == []
    assert await house.due() == [(str(bill.invoice_id), at("2026-11-15 00:00"))]

    await house.until("2026-11-15 00:00")
    assert await house.told() == [("INVOICE_OVERDUE", number, "1000")]
    assert await house.due() == [(str(bill.invoice_id), at("2026-11-17 00:00"))]
    await house.until("2026-11-17 00:00")
    assert len(await house.told()) == 2
    assert await house.holds() is None
    assert await house.asks("marketing") == "granted"

    before = await settings(house)
    await house.until("2026-11-24 00:00")
    assert await settings(house) == before + 1
    wait = f"unpaid_invoice: invoice {number} is overdue: pay IDR 1,000 to send again"
    assert await house.asks("marketing") == wait
    assert await house.asks("utility") == "granted"

    await house.until("2026-12-04 00:00")
    assert await house.asks("utility", 9) == "granted"
    assert await house.asks("utility", 10) == wait
    assert await house.asks("utility", 39) == (
        "insufficient_balance: balance whatsapp does not suffice for this send"
    )
    assert await house.due() == []
    assert len(await house.told()) == 4
    assert await house.steps() == [
        ("overdue", False), ("remind/3", False), ("block_marketing/10", False),
        ("block_all/20", False),
    ]  # fmt: skip
    assert [row["idempotency_key"] for row in await house.world.rows(house.sender.name, KEYS)] == [
        f"dunning/{number}/{step}"
        for step in ("overdue", "remind/3", "block_marketing/10", "block_all/20")
    ]

    await house.pay(bill, 400)
    less = f"unpaid_invoice: invoice {number} is overdue: pay IDR 600 to send again"
    assert await house.asks("marketing") == less
    await house.pay(bill, 1_000)
    assert await house.asks("marketing", 20) == "granted"
    assert await house.holds() is None
    assert [lifted for _, lifted in await house.steps()] == [False, False, True, True]
    await house.until("2027-03-01 00:00")
    assert len(await house.told()) == 4
    await house.sender.sound()


@pytest.mark.parametrize(("what", "value"), [("voided_at", 1), ("credited", 70 * UNIT)])
async def test_a_void_and_a_credit_note_lift_what_holds(
    house: House, what: str, value: int
) -> None:
    await house.set([{"days": 1, "action": "block_all", "prepaid": True}], "steps")
    bill = await house.invoice(70, due_on=date(2026, 10, 29))
    await house.until("2026-10-30 00:00")
    assert (await house.asks("utility")).startswith("unpaid_invoice")
    await house.change(bill, what, value)
    assert await house.asks("utility") == "granted"
    assert await house.steps() == [("block_all/1", True), ("overdue", False)]


async def test_a_payment_that_was_taken_back_blocks_again(house: House) -> None:
    """Each step was done once: people are not told of it again, and those ahead come as they do."""
    await house.set(STEPS, "steps")
    bill = await house.invoice(70, due_on=date(2026, 11, 14))
    await house.until("2026-11-25 00:00")
    told = await house.told()
    await house.pay(bill, 70)
    await house.until("2026-12-05 00:00")
    assert await house.due() == []
    await house.pay(bill, 0)
    held = await house.holds()
    assert held is not None
    assert (held.credit, held.prepaid) == (Block.MARKETING, Block.MARKETING)
    await house.tasks.quiet()
    assert len(await house.told()) == len(told) + 1
    assert [step for step, lifted in await house.steps() if not lifted] == [
        "block_marketing/10", "overdue", "remind/3", "block_all/20"
    ]  # fmt: skip


async def test_who_pays_in_time_hears_nothing(house: House) -> None:
    bill = await house.invoice(70, due_on=date(2026, 11, 14))
    await house.pay(bill, 70)
    await house.until("2026-11-15 00:00")
    assert await house.told() == []
    assert await house.due() == []


async def test_what_a_long_outage_missed_is_done_as_one(house: House) -> None:
    """One alert for all of it, each step a row; two invoices are two alerts."""
    await house.set(STEPS, "steps")
    first = await house.invoice(70, due_on=date(2026, 11, 14))
    second = await house.invoice(30, due_on=date(2026, 12, 31))
    await house.until("2027-01-02 09:00")
    assert await house.told() == [
        ("INVOICE_OVERDUE", first.number, "70"), ("INVOICE_OVERDUE", second.number, "30")
    ]  # fmt: skip
    assert len(await house.steps()) == 5
    held = await house.holds()
    assert held is not None
    assert (held.number, held.invoices, held.owed) == (first.number, 1, 70 * UNIT)


async def test_another_zone_moves_steps(house: House) -> None:
    """TZ-3: from December on days begin twelve hours later, and so does what is due on them."""
    bill = await house.invoice(70, due_on=date(2026, 12, 14))
    await house.until("2026-11-20 12:00")
    await house.world.change_zone(house.sender.name, "America/Bogota", key="moves")
    await house.tasks.quiet()
    assert await house.due() == [(str(bill.invoice_id), at("2026-12-15 12:00"))]
    await house.until("2026-12-15 11:59")
    assert await house.told() == []
    await house.until("2026-12-15 12:00")
    assert len(await house.told()) == 1


async def test_other_steps_count_from_now_on(house: House) -> None:
    """A block that the new ones do not have is lifted; one whose day passed comes at once."""
    await house.set(STEPS, "steps")
    bill = await house.invoice(70, due_on=date(2026, 11, 14))
    await house.until("2026-11-25 00:00")
    assert (await house.asks("marketing")).startswith("unpaid_invoice")
    await house.set([], "none")
    assert await house.asks("marketing") == "granted"
    assert await house.due() == []
    told = len(await house.told())
    await house.set([{"days": 5, "action": "block_all"}, {"days": 9, "action": "remind"}], "hard")
    held = await house.holds()
    assert held is not None
    assert (held.credit, held.prepaid) == (Block.ALL, Block.NONE)
    assert len(await house.told()) == told + 1
    await house.set(None, "default")
    assert await house.holds() is None
    assert await house.due() == [(str(bill.invoice_id), at("2026-11-28 00:00"))]
    refused = await house.set([{"days": 0, "action": "remind"}], "wrong")
    assert [each.path for each in refused.problems] == ["steps[0].days"]


async def test_a_step_that_breaks_at_any_statement_is_done_once(house: House) -> None:
    """Wherever the connection broke, the step is done with its alert and the next instant, or not
    begun; and what it refuses is refused only with it."""
    await house.set(STEPS, "steps")
    bill = await house.invoice(70, due_on=date(2026, 11, 14))
    await house.until("2026-11-20 00:00")
    told, door = len(await house.told()), house.world.door
    assert isinstance(door, FragileDoor)
    house.world.clock.at = at("2026-11-24 00:00")
    for statement in count(1):
        door.breaks_after = statement
        with suppress(*CONNECTION_LOST):
            await house.tasks.step(DUNNING)
        door.breaks_after = None
        done = len(await house.told()) - told
        assert (await house.holds() is not None) == (done == 1)
        assert [step for step, _ in await house.steps()].count("block_marketing/10") == done
        if done:
            break
        house.world.clock.at += LEASE
    assert statement > 8
    await house.tasks.quiet()
    house.world.clock.at += LEASE
    await house.tasks.quiet()
    assert len(await house.told()) == told + 1
    assert await house.due() == [(str(bill.invoice_id), at("2026-12-04 00:00"))]


async def test_two_processes_do_each_step_once(house: House) -> None:
    """Both take tasks, and each even does those that the other has taken."""
    await house.set(STEPS, "steps")
    bills = [await house.invoice(70 + n, due_on=date(2026, 11, 14)) for n in range(4)]
    other, world = work(house.world), house.world
    first, second = (
        Dunning(world.door, world.catalogue, world.show, world.clock.now) for _ in range(2)
    )
    for day in range(15, 36):
        world.clock.at = at("2026-11-01 00:00") + (day - 1) * DAY
        taken = await tasks.take(world.door, DUNNING, world.clock.at, lease=LEASE, limit=2)
        await asyncio.gather(
            *(each.handle(task) for each in (first, second) for task in taken),
            other.quiet(),
            house.tasks.quiet(),
        )
    told = await house.told()
    assert sorted(told) == sorted(
        ("INVOICE_OVERDUE", bill.number, text(bill.balance)) for bill in bills for _ in range(4)
    )
    assert len(await house.steps()) == 16
    assert await house.due() == []


async def test_who_was_overtaken_leaves_nothing(house: House) -> None:
    """A lease that ended while its holder slept: what he does then does not count."""
    bill = await house.invoice(70, due_on=date(2026, 11, 14))
    world = house.world
    world.clock.at = at("2026-11-15 00:00")
    (task,) = await tasks.take(world.door, DUNNING, world.clock.at, lease=LEASE, limit=1)
    world.clock.at += LEASE
    (again,) = await tasks.take(world.door, DUNNING, world.clock.at, lease=LEASE, limit=1)
    handler = Dunning(world.door, world.catalogue, world.show, world.clock.now)
    await handler.handle(task)
    assert (await house.told(), await house.steps()) == ([], [])
    await handler.handle(again)
    assert len(await house.told()) == 1
    assert isinstance(again, Task)
    assert await house.due() == [(str(bill.invoice_id), at("2026-11-17 00:00"))]


async def test_nothing_is_done_while_a_log_is_taken_in(house: House) -> None:
    """Its payments may be still to come."""
    await house.invoice(70, due_on=date(2026, 11, 14))
    async with house.world.door.tenant_tx(house.tenant_id) as connection:
        await connection.execute(
            "update tenant_head set below = null where tenant_id = $1", house.tenant_id
        )
    await house.until("2026-11-15 00:00")
    assert await house.told() == []
    assert len(await house.due()) == 1


async def test_an_open_invoice_without_a_task_gets_one(house: House) -> None:
    """Whatever ended it: the next payment of the tenant has it looked at."""
    bill = await house.invoice(70, due_on=date(2026, 11, 14), tasked=False)
    other = await house.invoice(30, due_on=date(2026, 11, 14))
    await house.pay(other, 30)
    assert {key for key, _ in await house.due()} == {str(bill.invoice_id), str(other.invoice_id)}
    await house.until("2026-11-15 00:00")
    assert await house.told() == [("INVOICE_OVERDUE", bill.number, "70")]


async def test_a_log_has_what_was_done(house: House) -> None:
    """EV-8: policies and steps are done again from their actions, and not told again."""
    await house.set(STEPS, "steps")
    bill = await house.invoice(70, due_on=date(2026, 11, 14))
    world, name = house.world, house.sender.name
    world.clock.at = at("2026-11-25 00:00")
    again: list[tuple[ActionKind, Any, Json]] = [
        (ActionKind.DUNNING_SET, redoing_dunning.set_policy, {"dunning": {"steps": STEPS}}),
        (ActionKind.INVOICE_OVERDUE, redoing_dunning.step,
         {"invoice": bill.number, "steps": ["overdue", "remind/3", "block_marketing/10"]}),
    ]  # fmt: skip
    for kind, redo, body in again:
        line = LogLine(
            version=1,
            at=world.clock.at,
            kind=kind.name,
            key=kind.name,
            content="",
            subject=None,
            body=body,
        )

        async def act(scene: Scene, redo: Any = redo, line: Any = line) -> Done:
            redone = await redo(Redoing(scene, world.catalogue, line, {}))
            return Done(changes=redone.changes, body=line.body)

        await given(
            world.door, world.catalogue, world.show, kind, name, f"again-{kind.name}", b"", act,
            now=world.clock.at,
        )  # fmt: skip
    assert (await house.asks("marketing")).startswith("unpaid_invoice")
    assert await house.told() == []
    await house.tasks.quiet()
    assert await house.told() == []
    assert await house.due() == [(str(bill.invoice_id), at("2026-12-04 00:00"))]
