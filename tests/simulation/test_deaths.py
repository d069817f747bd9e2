"""Processes that die between any two steps, and a Valkey that forgets: nothing is lost or doubled.

What got no answer is asked again, of the next process. In the end the books are those of a world in
which nobody died, and what is shown is what the books say (EV-1, EV-8, EV-9, BA-7).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from redis.asyncio import Redis

from api.operations import period_close
from api.operations import settle as settle_operation
from api.operations.period_close import PeriodClose
from api.operations.settle import Settle
from api.settling import Settling
from api.verifying import Verifying
from domain.periods import DAY, HOUR, MINUTE, instant, iso, month_label, period
from domain.watch import AlertCause
from persistence import keys
from persistence.live import Asked, Live
from persistence.sweep import Sweep
from persistence.valkey import client
from tests.conftest import Database
from tests.persistence.test_feed import until
from tests.persistence.test_settling import books
from tests.scenarios.world import World
from tests.simulation import figures, model
from tests.simulation.mortal import VALKEY, Fate, Mortal
from tests.simulation.rulebook import Json
from tests.simulation.stored import stored
from tests.simulation.test_settled import BEFORE, Acting, _compared, world
from tests.simulation.world import RULEBOOK, Batch, Tenant
from tests.simulation.world import world as seeded

__all__ = ["world"]

#: Of so many worlds one has deaths in it.
DEADLY = 50
#: The first that have: weeks late and hours. The first world of all is thrice as long.
FIRST_SEEDS = (3, 2)
#: Where more are asked for, a process dies before every step.
FEW = 50
#: Of so many requests one is answered by a process that dies, and of so many one finds a flush.
DEATHS, FLUSHES, SWEEPS, JOBS = 4, 12, 12, 10


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mortal_seed" in metafunc.fixturenames:
        alone, last = (metafunc.config.getoption(name) for name in ("--world", "--worlds"))
        seeds = [*FIRST_SEEDS, *range(1, last // DEADLY + 1)] if alone is None else [alone]
        metafunc.parametrize("mortal_seed", dict.fromkeys(seeds))


@pytest.fixture
async def mortal(database: Database, redis_url: str, scratch: Path) -> AsyncIterator[Mortal]:
    async with Mortal.open(database.app_url, redis_url, scratch) as mortal:
        yield mortal


@pytest.fixture
async def valkey(redis_url: str) -> AsyncIterator[Redis]:
    """The Valkey of the processes, on a wire that holds."""
    async with client(redis_url) as valkey:
        yield valkey


async def sweep(world: World, valkey: Redis) -> None:
    """What a process does every other second: find what was not shown."""
    sweep = Sweep(valkey, world.door, world.rebuild, world.clock.now)
    await valkey.delete(keys.SWEEPER.pattern)  # whoever swept may be dead
    assert await sweep._mine()
    await sweep._sweep()


async def shown(world: World, valkey: Redis, *tenants: str) -> None:
    """What widgets read from Valkey is what the books say, once the sweep has looked."""
    await sweep(world, valkey)
    live = Live(valkey, world.door, world.rebuild)
    now = world.clock.now()
    for name in tenants:
        owner = world.tenants[name]
        key = keys.balances(owner.tenant_id)
        version = (await world.reading(name)).version
        asked = [
            Asked(tenant_id=owner.tenant_id, at=at, period=period(owner.zone, at), version=version)
            for at in (now, now + MINUTE, now + HOUR, now + 20 * HOUR)
            if at < period(owner.zone, now).end
        ]

        async def whole(key: str = key, version: int = version, one: Asked = asked[0]) -> bool:
            before = live.counted_in_postgres
            await live.counts([one])
            there = await valkey.hget(key, "version") == str(version).encode()
            return there and live.counted_in_postgres == before

        await until(whole)
        assert await live.counts(asked) == await live._in_postgres(asked), name

        held = {k.decode(): v.decode() for k, v in (await valkey.hgetall(key)).items()}
        world.clock.at = int(held["at"])
        for each, amount in held.items():
            if each.startswith("left:"):
                found = await world.figures(name, each.removeprefix("left:"))
                assert amount == str(found.total.remaining), (name, each)
        world.clock.at = now


async def verified(world: World, tenant: str) -> None:
    verifying = Verifying(world.door, world.catalogue, world.clock.now)
    found = await verifying.verify(world.tenants[tenant].tenant_id)
    assert (found.wrong, list(found.findings), found.unsettled) == (0, [], {}), (tenant, found)


class Dying(Acting):
    """A tenant whose operator and facts ask again, of whichever process there is."""

    def __init__(self, mortal: Mortal, valkey: Redis, tenant: Tenant, name: str, seed: int) -> None:
        super().__init__(mortal.world, tenant, name)
        self.mortal = mortal
        self.valkey = valkey
        self.random = Random(f"{seed} {name} deaths")

    async def take(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._doom()
            acted = set(self.acted)

            async def once(world: World, batch: Batch = batch, acted: set[str] = acted) -> None:
                self.world, self.acted = world, set(acted)
                await super(Dying, self).take([batch])

            await self.mortal.asked(once)
            await self._meanwhile()

    async def settled(self) -> None:
        """Settle until it gets through."""

        async def once(world: World) -> None:
            self.world = world
            await self.settle()

        self._doom(always=True)
        await self.mortal.asked(once)

    async def _meanwhile(self) -> None:
        mortal, random = self.mortal, self.random
        await mortal.survived()
        if not random.randrange(FLUSHES):
            await self.valkey.flushdb()
            await self.valkey.script_flush()
        if not random.randrange(SWEEPS):
            await mortal.asked(lambda world: sweep(world, self.valkey))
        if not random.randrange(JOBS):
            await mortal.asked(lambda world: world.jobs().advance_due())

    def _doom(self, *, always: bool = False) -> None:
        """Choose where it dies; what is not reached is left for what comes next."""
        random, fates = self.random, []
        while always or not random.randrange(DEATHS):
            fate = random.choice((
                Fate(random.randint(1, 50 if always else 24)),
                Fate(random.randint(1, 4), kept=True),
                Fate(random.randint(1, 3), random.random() < 0.5, VALKEY),
            ))  # fmt: skip
            fates.append(fate)
            always = always and len(fates) < 4
        if fates:
            self.mortal.doom(fates)


async def test_worlds_in_which_processes_die_come_to_what_the_rules_say(
    world: World, mortal: Mortal, valkey: Redis, mortal_seed: int
) -> None:
    """EV-1, EV-8, EV-9, BA-7: late facts, deaths at any step, and a Valkey that is flushed."""
    disorder: Literal["hours", "weeks"] = "weeks" if mortal_seed % 2 else "hours"
    of = seeded(mortal_seed)
    names = [tenant.setup["tenant"] for tenant in of.tenants]
    await mortal.killed()  # the first one began without the plans of these worlds
    mortal.world.clock.at = BEFORE
    await sweep(mortal.world, valkey)
    for tenant, name in zip(of.tenants, names, strict=True):
        mortal.spare()
        dying = Dying(mortal, valkey, tenant, name, mortal_seed)
        dying.world = mortal.world
        await dying.begin()
        await dying.take(of.arrivals(tenant, disorder))
        mortal.world.clock.at = of.end
        await dying.settled()
        mortal.spare()
        await mortal.survived()

        alive, refused = mortal.world, dying.refused
        known = model.run(RULEBOOK, tenant.setup, tenant.inputs, of.start, of.end, refused)
        found = await stored(alive, name, of.start, of.end, refused)
        lines = figures.differences(_compared(known), _compared(found))
        assert not lines, figures.failure(mortal_seed, name, lines)
        dying.world = alive
        assert (await dying.settle()).settlement_id is None
        await verified(alive, name)
    assert mortal.deaths > 4
    await shown(mortal.world, valkey, *names)


END = instant(datetime.fromisoformat("2026-11-01T00:00:00-05:00"))
OCTOBER = month_label(2026, 10)


def fact(id: str, at: int, contact: int, category: str = "service") -> Json:
    data = {"number": "+62 800 0000 01", "contact": f"+62 811 0000 00{contact:0>2}"}
    kind = "delivered" if category else "received"
    more = {"category": category} if category else {}
    if category == "marketing":
        more["template"] = "t"
    return {
        "id": id, "source": "s", "type": f"message.{kind}", "time": iso(at), "data": data | more
    }  # fmt: skip


#: The first two come in order; of the six some are of before them, and two of another month.
FIRST = [fact("a", END - 3 * DAY, 1), fact("b", END - 2 * DAY, 2, "marketing")]
SIX = [
    fact("c", END - 3 * DAY - HOUR, 1), fact("d", END - 2 * DAY - HOUR, 2, "marketing"),
    fact("e", END - 4 * DAY, 3, ""), fact("f", END - DAY, 3), fact("g", END + HOUR, 1),
    fact("h", END + HOUR, 4, ""),
]  # fmt: skip
TOO_LATE = [fact("i", END - 5 * DAY, 5), fact("g", END + HOUR, 1)]

#: Gives what of the answer is the same whoever gives it.
Ask = Callable[[World], Awaitable[object]]
#: Called with the number of the step at which somebody died.
Died = Callable[[int], Awaitable[None]]


def story(name: str) -> list[tuple[int, Ask]]:
    """A top-up, facts, the job of the month's end, a settle, a close, and what comes after it."""

    def settling(world: World) -> Settling:
        return Settling(world.door, world.catalogue, world.clock.now, world.show)

    def arrives(*facts: Json) -> Ask:
        async def send(world: World) -> object:
            results = await world.send([{**each, "subject": name} for each in facts])
            assert {each["status"] for each in results} <= {"accepted", "adjusted", "duplicate"}
            return [each["charges"] for each in results]

        return send

    async def top_up(world: World) -> object:
        return (await world.top_up(name, "whatsapp", 10_000_000, key="paid")).body["amount"]

    async def job(world: World) -> None:
        while await world.jobs().advance_due():
            pass

    async def settle(world: World) -> object:
        request = Settle(tenant=name, idempotency_key="settle")
        done = await settle_operation.run(
            world.door, settling(world), request, now=world.clock.now()
        )
        assert done.settlement_id is not None
        return (done.facts, done.corrected, done.differences)

    async def close(world: World) -> object:
        request = PeriodClose(tenant=name, period=OCTOBER, idempotency_key="close")
        done = await period_close.run(world.door, settling(world), request, now=world.clock.now())
        return (done.body["closed_until"], done.body["corrected"])

    return [
        (END - 5 * DAY, top_up), (END - DAY, arrives(*FIRST)), (END, job),
        (END + 2 * HOUR, arrives(*SIX)), (END + 3 * HOUR, settle), (END + 4 * HOUR, close),
        (END + 5 * HOUR, arrives(*TOO_LATE)),
    ]  # fmt: skip


@dataclass
class Telling:
    """A tenant to whom the story happens, and what the books had to say after each step of it."""

    mortal: Mortal
    observer: World  #: a process that lives
    name: str
    answers: list[Any] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)

    async def begin(self) -> None:
        self.mortal.spare()
        world = self.mortal.world
        world.clock.at = END - 6 * DAY
        await world.tenant(self.name, timezone="America/Bogota", plan="college-small")
        await world.number(self.name, "wa", "whatsapp", "+62 800 0000 01")
        self.observer.tenants = world.tenants
        self.states.append(await self.state())

    async def state(self) -> Any:
        """Everything recorded, without the numbers that only tell of an order."""
        (head,) = await self.observer.rows(self.name, HEAD)
        return [tuple(head), await books(self.observer, self.name)]

    async def happens(self, fates: Callable[[int], Iterable[Fate]], died: Died) -> None:
        """Let the story happen; each step of it meets its `fates`, and whoever asks asks again."""
        for number, (at, step) in enumerate(story(self.name)):
            self.mortal.world.clock.at = self.observer.clock.at = at

            deaths = self.mortal.deaths

            async def ask(world: World, step: Ask = step, deaths: int = deaths) -> object:
                if self.mortal.deaths > deaths:
                    await died(len(self.answers))
                return await step(world)

            # The first two facts take the steps of the six.
            self.mortal.doom(() if number == 1 else fates(number))
            self.answers.append(await self.mortal.asked(ask))
            self.mortal.spare()
            await self.mortal.survived()
            self.states.append(await self.state())


HEAD = """
select version, closed_until, unsettled_from, unsettled_at, next_due, last_lot, alerted, below, (
    select array_agg(
        concat_ws('|', version, line, balance_id, kind, measure, threshold, remaining, base, at,
            cause, cause_id)
        order by version, line
    ) from alerts a where a.tenant_id = h.tenant_id
) as alerts, (
    select count(*) from settlements s where s.tenant_id = h.tenant_id
) as settlements, (select count(*) from actions a where a.tenant_id = h.tenant_id) as actions
from tenant_head h where tenant_id = $1"""


async def test_a_process_may_die_between_any_two_steps(
    world: World, mortal: Mortal, valkey: Redis, pytestconfig: pytest.Config
) -> None:
    """EV-1, EV-3, EV-8, EV-9, BA-7, AL-4: before each step in turn, then after each that is kept.

    Asked again, the next process dies some steps later, until there is none: before each third one,
    or before each where more worlds are asked for; it is another third from one part of the story
    to the next, whose statements are mostly the same. Whatever each of them was at is recorded
    whole by then, or not at all.
    """
    third = 1 if pytestconfig.getoption("--worlds") > FEW else 3
    mortal.world.clock.at = END - 6 * DAY
    await sweep(mortal.world, valkey)
    clean = Telling(mortal, world, "undisturbed")
    await clean.begin()
    await clean.happens(lambda number: (), nothing)
    assert mortal.deaths == 0
    causes = await world.rows("undisturbed", "select cause from alerts where tenant_id = $1")
    assert {row["cause"] for row in causes} >= {AlertCause.FACT, AlertCause.RESET}

    for name, kept, stride, least in (
        ("before", False, third, 100 // third), ("after", True, 1, 10)
    ):  # fmt: skip
        telling, already = Telling(mortal, world, name), mortal.deaths

        async def died(step: int, telling: Telling = telling) -> None:
            state = await telling.state()
            assert state in clean.states[step : step + 2], (telling.name, step)

        await telling.begin()
        await telling.happens(partial(each_in_turn, kept, stride), died)
        assert (telling.answers, telling.states) == (clean.answers, clean.states), name
        assert mortal.deaths - already > least, name
    for name in ("undisturbed", "before", "after"):
        await verified(mortal.world, name)
    await shown(mortal.world, valkey, "undisturbed", "before", "after")


def each_in_turn(kept: bool, stride: int, number: int) -> Iterator[Fate]:
    return (Fate(step, kept) for step in count(1 + number % stride, stride))


async def nothing(step: int) -> None:
    raise AssertionError("nobody dies")
