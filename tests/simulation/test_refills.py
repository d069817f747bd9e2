"""Refills in seeded worlds: whatever is used, paid, declined or told twice, and wherever a process
dies, each crossing is one alert, at most one refill is in flight, nothing is charged or credited
twice, caps hold, and each credit has its own invoice (AL-2, AL-4, RF-1 to RF-3, BA-7, IN-8).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from api import ids
from api.operations import threshold_set
from api.operations.threshold_set import ThresholdSet
from api.paying.port import Standing
from api.settling import Cause, Settling
from api.tasks import LEASE
from api.verifying import Verifying
from domain.periods import DAY, HOUR, MINUTE, iso
from domain.problems import Problem
from persistence import actions, alerts, tasks
from persistence.actions import ActionKind, Asked
from persistence.invoices import Kind
from persistence.purchases import Payment, PaymentState, Purchase, PurchaseState
from tests.api.paying.till import Till
from tests.conftest import Database
from tests.domain.spine import UNIT, at
from tests.scenarios.world import OPERATOR, World
from tests.simulation.mortal import Fate, Mortal

NOON = at("2026-11-10 12:00")
NUMBER = "+628001234567"
#: Of so many worlds one is played here: each is a few seconds of refills.
FEWER, FEW = 6, 50

names = count(1)


@pytest.fixture
async def mortal(database: Database, redis_url: str, scratch: Path) -> AsyncIterator[Mortal]:
    async with Mortal.open(database.app_url, redis_url, scratch) as mortal:
        mortal.world.clock.at = NOON
        yield mortal


async def quiet(world: World) -> None:
    await Till.of(world).quiet()


async def refilled(mortal: Mortal, fate: Fate) -> None:
    """A movement that begins a refill, and its payment, by processes of whom one dies there."""
    key = f"t{next(names)}"
    await mortal.world.tenant(key)
    till = Till.of(mortal.world)
    await till.method(key, "twice")
    await till.policy(key, "visitors", 20, 500)
    mortal.doom([fate])
    await mortal.asked(lambda world: world.adjust(key, "visitors", -985 * UNIT, key=f"use-{key}"))
    for _ in range(3):
        await mortal.asked(quiet)
        await mortal.survived()
        mortal.world.clock.at += LEASE
    mortal.spare()
    await mortal.asked(quiet)

    till = Till.of(mortal.world)
    ((purchase, (payment,)),) = await till.purchases(key)
    assert (purchase.state, payment.state) == (PurchaseState.PAID, PaymentState.PAID), fate
    assert await till.told(key) == ["THRESHOLD", "REFILL_STARTED", "REFILL_SUCCEEDED"], fate
    assert (await till.remaining(key, "visitors"), await till.collected(key)) == (515, 1), fate
    assert len([number for number in await till.receipts(key) if number]) == 1, fate
    books = await till.books(key)
    assert ([each.balance for each in books.documents], len(books.entries)) == ([0], 2), fate
    assert len(await till.told_of_invoices(key)) == 2, fate
    tenant_id = mortal.world.tenants[key].tenant_id
    async with mortal.world.door.tenant_tx(tenant_id) as connection:
        rows = await connection.fetch(
            "select kind, count(*) from tasks where tenant_id = $1 group by 1", tenant_id
        )
        versions = await connection.fetchval(
            "select count(distinct version) from alerts where tenant_id = $1", tenant_id
        )
    # What is to be told to people is kept, once for each commit that raised something.
    assert {row["kind"]: row["count"] for row in rows} == {tasks.NOTIFY: versions}, fate


@pytest.mark.slow
async def test_a_process_that_dies_at_any_step_of_a_refill_leaves_exactly_one(
    mortal: Mortal, pytestconfig: pytest.Config
) -> None:
    """AL-4, RF-2: before each statement in turn, and behind each commit; here each fifth, or all
    of them where more worlds are asked for.
    """
    stride = 1 if pytestconfig.getoption("--worlds") > FEW else 5
    for kept in (False, True):
        deaths, step = -1, 0
        while deaths < mortal.deaths:  # until there is no such step any more
            deaths, step = mortal.deaths, step + stride
            await refilled(mortal, Fate(step, kept))
        assert step > 10


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "refill_seed" in metafunc.fixturenames:
        alone, last = (metafunc.config.getoption(name) for name in ("--world", "--worlds"))
        seeds = range(1, last // FEWER + 2) if alone is None else [alone]
        metafunc.parametrize("refill_seed", seeds)


class Story:
    """One tenant, and what a random hand does to it."""

    def __init__(self, till: Till, key: str, random: Random) -> None:
        self.till = till
        self.key = key
        self.random = random
        self.begun = 0  #: purchases there were
        self.failed: set[int] = set()  #: those that were given up
        self.caps: tuple[int | None, int | None] = (None, None)

    def name(self) -> str:
        return f"{self.key}-{next(names)}"

    async def step(self) -> None:
        """Something happens; of one instant, what came first would be for names to say."""
        random, till, key = self.random, self.till, self.key
        till.world.clock.at += 1
        match random.randrange(18):
            case 0 | 1 | 2 | 3:
                units = random.choice((1, 7, 50, 300, 900))
                await till.world.adjust(key, "visitors", -units * UNIT, key=self.name())
            case 4:
                units = random.choice((500, 1_000)) * UNIT
                await till.world.top_up(key, "visitors", units, key=self.name())
            case 5:
                await self.policy()
            case 6:
                scripts = ("succeeds", "declines", "pending", "twice", "late", "out_of_order")
                await till.method(key, random.choice((*scripts, "away", "succeeds")))
            case 7:
                await self.decide()
            case 8 | 9:
                await self.visits()
            case 10:
                await self.settle()
            case 11:
                await self.thresholds()
            case 12:
                await self.refund()
            case 13:
                for _ in range(random.randrange(3)):
                    await till.paying.hurry(random.choice(await self.payments() or ["nobody"]))
            case _:
                hours = random.choice((0, 0, 1, 1, 4, 24, 24 * 9))
                till.world.clock.at += hours * HOUR + random.randrange(1, 3 * MINUTE)
                await till.world.jobs().advance_due()
        if random.random() < 0.7:
            await till.quiet()

    async def visits(self) -> None:
        """New contacts write, some of them long ago: that is late."""
        random, now = self.random, self.till.world.clock.at
        events = []
        for _ in range(random.choice((1, 5, 40))):
            name = self.name()
            past = random.choice((0, 0, 1, 5 * HOUR, 4 * DAY))
            events.append(
                {
                    "id": name, "source": "crm", "subject": self.key, "type": "message.received",
                    "time": iso(now - past),
                    "data": {"number": NUMBER, "contact": f"+62811{next(names):08d}"},
                }
            )  # fmt: skip
        results = await self.till.world.send(events)
        assert {result["status"] for result in results} == {"accepted"}

    async def settle(self) -> None:
        """Late facts are put into their order: one movement of each balance, its net."""
        world = self.till.world
        settling = Settling(world.door, world.catalogue, world.clock.now, world.show)
        await settling.settle(world.tenants[self.key].tenant_id, Cause.DEMAND)

    async def thresholds(self) -> None:
        """It is watched for something else."""
        world, percents = self.till.world, self.random.sample((5, 20, 40, 75), 2)
        request = ThresholdSet(
            tenant=self.key, balance="visitors", percents=tuple(each * UNIT for each in percents),
            units=(self.random.choice((100, 700)) * UNIT,), idempotency_key=self.name(),
        )  # fmt: skip
        await threshold_set.run(
            world.door, world.catalogue, world.show, OPERATOR, request, now=world.clock.now()
        )

    async def refund(self) -> None:
        """What is left of something that was bought is given back."""
        world = self.till.world
        asked = Asked(tenant_id=world.tenants[self.key].tenant_id, kind=ActionKind.TOP_UP)
        (found,) = await actions.pages(world.door, [asked], limit=5)
        if found:
            top_up = ids.encode("top", self.random.choice(found).action_id)
            with contextlib.suppress(Problem):  # nothing is left of it
                await world.refund(self.key, key=self.name(), top_up=top_up)

    async def policy(self) -> None:
        random = self.random
        amount = random.choice((500, 1_000))
        least = 600 * amount
        day = random.choice((None, least, 2 * least))
        month = random.choice((None, least, 3 * least))
        self.caps = (day, month)
        await self.till.policy(
            self.key, "visitors", random.choice((0, 20, 400)), amount,
            enabled=random.random() < 0.8, day_cap=day, month_cap=month,
        )  # fmt: skip

    async def decide(self) -> None:
        """The bank decides of something that waits, or takes back what was paid."""
        for payment in await self.payments():
            kept = await self.till.sandbox.find(payment)
            if kept is not None and kept.standing == Standing.PENDING:
                choice = self.random.choice((Standing.PAID, Standing.DECLINED))
                await self.till.sandbox.decide(payment, choice)
                return
            if kept is not None and kept.standing == Standing.PAID and self.random.random() < 0.1:
                await self.till.sandbox.decide(payment, Standing.TAKEN_BACK)
                return

    async def payments(self) -> list[str]:
        return [p.payment_key for _, tries in await self.till.purchases(self.key) for p in tries]

    async def sound(self) -> None:
        """What holds at every moment."""
        found = await self.till.purchases(self.key)
        assert sum(purchase.state is PurchaseState.OPEN for purchase, _ in found) <= 1
        for purchase, tries in found:
            assert len(tries) <= 4
            moving = (PaymentState.ASKED, PaymentState.PENDING)
            assert sum(each.state in moving for each in tries) <= 1, purchase
            if purchase.state is PurchaseState.FAILED:
                self.failed.add(purchase.purchase_id)
        # What failed does not count to caps, and what was paid all the same after that is no more.
        counted = [each for each, _ in found if each.purchase_id not in self.failed]
        zone, begun = self.till.world.tenants[self.key].zone, len(found)
        for newest in counted[-1:] if begun > self.begun else []:
            day = [each for each in counted if zone.date(each.created_at) == self.date(newest)]
            month = [
                each for each in counted
                if zone.month(each.created_at) == zone.month(newest.created_at)
            ]  # fmt: skip
            for cap, those in zip(self.caps, (day, month), strict=True):
                assert cap is None or sum(each.net for each in those) <= cap * UNIT
        self.begun = begun

    def date(self, purchase: Purchase) -> int:
        """The tenant's local day on which a purchase began."""
        return self.till.world.tenants[self.key].zone.date(purchase.created_at)

    async def ended(self) -> None:
        """What holds once nothing moves any more."""
        till, key = self.till, self.key
        for _ in range(40):
            till.world.clock.at += 2 * HOUR
            await till.quiet()
        found = await till.purchases(key)
        paid = [
            payment
            for _, tries in found
            for payment in tries
            if payment.state in (PaymentState.PAID, PaymentState.TAKEN_BACK)
            and payment.ended_at is not None
        ]
        # Each collected payment credited once, and nothing else did.
        assert await till.collected(key) == len({payment.payment_key for payment in paid})
        credited = await self.credited()
        assert sorted(credited) == sorted(set(credited))
        never = {each.idempotency_key for each in paid} - set(credited)
        back = {e.idempotency_key for e in paid if e.state is PaymentState.TAKEN_BACK}
        assert never <= back  # taken back before anybody had looked
        assert len(credited) == len(paid) - len(never)
        told = Counter(await till.told(key))
        # A payment that came after its refill was given up succeeds as well.
        assert told["REFILL_SUCCEEDED"] == len(credited)
        assert told["REFILL_STARTED"] == len(found)
        failed = [each for each, _ in found if each.state is PurchaseState.FAILED]
        assert told["REFILL_FAILED"] >= len(failed)
        assert told["REFILL_OFF"] <= told["REFILL_FAILED"] + len(back)
        await self.crossings()
        numbers = [number for number in await till.receipts(key) if number]
        assert len(numbers) == len(set(numbers)) == len(credited)
        await self.invoiced(found, credited)
        verifying = Verifying(till.world.door, till.world.catalogue, till.world.clock.now)
        proof = await verifying.verify(till.world.tenants[key].tenant_id)
        assert (proof.wrong, list(proof.findings)) == (0, []), proof

    async def invoiced(
        self, found: list[tuple[Purchase, list[Payment]]], credited: list[str]
    ) -> None:
        """IN-8: each credit has one invoice, which came to its purchase and is paid or given back.

        Nothing is owed for what was bought, and nothing of it is left over.
        """
        books = await self.till.books(self.key)
        assert (books.account.balance, books.account.credit) == (0, 0)
        assert all(each.balance == 0 for each in books.documents)
        bills = [each for each in books.documents if each.kind is Kind.INVOICE]
        numbers = [int(each.number.rsplit("-", 1)[1]) for each in bills]
        assert numbers == list(range(1, len(credited) + 1))
        purchases = {p.payment_key: purchase for purchase, tries in found for p in tries}
        asked = {each.number: each.invoice.total for each in bills}
        back = {each.of_id for each in books.documents if each.kind is Kind.CREDIT_NOTE}
        for paid in books.account.payments:
            assert f"payment/{paid.key}" in credited
            (number,) = paid.names
            assert asked.pop(number) == paid.amount == purchases[paid.key].total
            assert paid.used + paid.taken_back == paid.amount
        assert asked == {}
        taken = [each for each in books.account.payments if each.taken_back]
        assert len(back) == len(taken)
        assert len(await self.till.told_of_invoices(self.key)) == 2 * len(bills)

    async def credited(self) -> list[str]:
        """The idempotency keys of what payments brought."""
        tenant_id = self.till.world.tenants[self.key].tenant_id
        async with self.till.world.door.tenant_tx(tenant_id) as connection:
            rows = await connection.fetch(
                "select idempotency_key from actions where tenant_id = $1 and kind = 1"
                " and idempotency_key like 'payment/%'",
                tenant_id,
            )
        return [row["idempotency_key"] for row in rows]

    async def crossings(self) -> None:
        """AL-2: of a threshold lows and recoveries take turns, but where a period decides anew."""
        tenant_id = self.till.world.tenants[self.key].tenant_id
        (found,) = await alerts.since(self.till.world.door, [(tenant_id, 0)], limit=10_000)
        passed: dict[tuple[int, int], bool] = {}
        for alert in found:
            if alert.kind.name in ("THRESHOLD", "EXHAUSTED", "OVERDRAWN", "RECOVERED"):
                line = (int(alert.measure), alert.threshold)
                low = alert.kind.name != "RECOVERED"
                if alert.cause.name != "RESET":
                    assert passed.get(line, False) is not low, alert
                passed[line] = low


@pytest.mark.slow
async def test_refills_of_a_world(database: Database, redis_url: str, refill_seed: int) -> None:
    """RF-1 to RF-3, AL-2, AL-4, BA-7, BA-8: a hundred things that happen to one tenant."""
    random = Random(refill_seed)
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON + random.randrange(20) * DAY
        till = Till.of(world)
        story = Story(till, "acme", random)
        await world.tenant("acme")
        await world.number("acme", "wa", "whatsapp", NUMBER)
        await till.method("acme", "succeeds")
        await story.policy()
        for _ in range(100):
            await story.step()
            await story.sound()
        await story.ended()
