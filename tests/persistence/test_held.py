"""What open holds set aside, on a real Valkey: taken, refused, given back once, to the micro."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from domain.holds import Hold, Vector, vector
from domain.periods import DAY, MINUTE, SECOND
from domain.sums import Bounds
from persistence import held, keys
from persistence.held import Decided, Ended, Held, Item
from persistence.open_holds import Open, listed
from persistence.valkey import client, run

NOW = 1_700_000_000_000_000
TENANT = 7
EPOCH = "one"
MONEY, UNITS, COUNT = "left:whatsapp", "left:visitors", "count:free:3:24299"
LASTS, SENT_LASTS = 10 * MINUTE, DAY
#: More than a float tells apart, and more than Rp 9 billion.
MUCH = 9_123_456_789_123_456_789 // 2


def number(key: object, content: object = "") -> bytes:
    return (
        blake2b(repr(key).encode(), digest_size=held.KEY_BYTES).digest()
        + blake2b(repr(content).encode(), digest_size=6).digest()
    )


def hold(
    key: object, total: Mapping[str, int], at: int = NOW, content: object = "", shares: int = 1
) -> Hold:
    """A hold that was granted at an instant."""
    share = vector(total)
    whole = tuple((name, amount * shares) for name, amount in share)
    return Hold(number(key, content), at, at + LASTS, at + SENT_LASTS, shares, share, whole, False)


def item(own: Hold, *guards: Bounds, replaces: bytes | None = None) -> Item:
    return Item(own, b"answer of " + own.number, own.total, guards, replaces, True)


def refusal(own: Hold, *guards: Bounds) -> Item:
    return Item(own, b"", (), guards, None, False)


@dataclass
class Desk:
    """Whoever asks the scripts, for one tenant."""

    valkey: Redis
    tenant: int = TENANT

    async def begin(self, left: Mapping[str, int]) -> None:
        around = {"epoch": EPOCH, "version": "3", "valid_until": str(NOW + 40 * DAY)}
        fields: dict[Any, Any] = around | {name: str(amount) for name, amount in left.items()}
        await self.valkey.hset(keys.balances(self.tenant), mapping=fields)
        await self.whole()

    async def whole(self, epoch: str = EPOCH) -> None:
        """Say that all holds that rows speak of are there."""
        await self.valkey.hset(keys.standing(self.tenant)[1], "whole", epoch)

    async def ask(
        self,
        *items: Item,
        at: int = NOW,
        epoch: str = EPOCH,
        seeds: Sequence[tuple[str, int, int]] = (),
    ) -> Decided:
        (answer,) = await run(
            self.valkey, [held.authorize_call(self.tenant, epoch, at, items, seeds)]
        )
        return held.decided(answer)

    async def end(self, *ended: Ended, at: int = NOW) -> None:
        await run(self.valkey, [held.end_call(self.tenant, at, ended)])

    async def held(self, at: int = NOW) -> Held:
        return (await held.held(self.valkey, {self.tenant: at}))[self.tenant]

    async def amounts(self, at: int = NOW) -> dict[str, int]:
        return dict((await self.held(at)).amounts)

    async def listed(
        self, at: int = NOW, after: tuple[int, bytes] | None = None, limit: int = 100
    ) -> list[Open]:
        return await listed(self.valkey, self.tenant, at, after=after, limit=limit)


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    async with client(redis_url) as valkey:
        desk = Desk(valkey)
        await desk.begin({MONEY: 1_000, UNITS: 5})
        yield desk


def room(amount: int, name: str = MONEY) -> Bounds:
    """At least so much must be there."""
    return Bounds(name, amount, None)


async def test_what_is_taken_is_held_and_left_less(desk: Desk) -> None:
    """BA-2: at once, for whoever asks next."""
    before = await desk.held()
    found = await desk.ask(item(hold("a", {MONEY: 300, UNITS: 1}), room(300)))

    assert (found.status, found.results) == ("done", [1])
    assert found.snapshot is not None
    assert found.snapshot.left == {MONEY: 700, UNITS: 4}
    assert found.snapshot.held == {MONEY: 300, UNITS: 1}
    now = await desk.held()
    assert now == Held(now.at, NOW + LASTS, {"whatsapp": 300, "visitors": 1})
    assert now.at > before.at
    assert await desk.held() == now


async def test_a_guard_that_does_not_hold_stops_before_its_item(desk: Desk) -> None:
    """OC-2: what stood before it is taken, what stands behind it is not looked at."""
    small = [item(hold(n, {MONEY: 400}), room(400)) for n in range(4)]
    found = await desk.ask(*small)

    assert (found.status, found.results) == ("changed", [1, 1])
    assert await desk.amounts() == {"whatsapp": 800}
    assert (await desk.ask(item(hold("x", {MONEY: 200}), room(200)))).results == [1]
    assert (await desk.ask(item(hold("y", {MONEY: 1}), room(1)))).status == "changed"


async def test_bounds_of_every_kind(desk: Desk) -> None:
    """What is left, what is held, what is counted, and the version they are of; ends included."""
    await desk.ask(item(hold("a", {MONEY: 300, COUNT: 2})), seeds=[(COUNT, 3, 10)])
    held_money = f"held:{MONEY}"
    for guard, stands in (
        (Bounds(MONEY, 700, 700), True),
        (Bounds(MONEY, 701, None), False),
        (Bounds(MONEY, None, 699), False),
        (Bounds(held_money, 300, 300), True),
        (Bounds(held_money, None, 299), False),
        (Bounds(COUNT, 12, 12), True),
        (Bounds(COUNT, None, 11), False),
        (Bounds("version", 3, 3), True),
        (Bounds("version", 4, None), False),
    ):
        found = await desk.ask(refusal(hold(guard, {}), guard))
        assert (found.status, found.results) == (("done", [0]) if stands else ("changed", [])), (
            guard
        )
    unknown = await desk.ask(refusal(hold("b", {}), Bounds("count:other:0:1", 0, None)))
    assert unknown.status == "missing"
    assert [each.key for each in await desk.listed()] == [number("a")[: held.KEY_BYTES]]


async def test_an_overdrawn_balance_is_below_zero_for_guards(desk: Desk) -> None:
    for left in (-1, -700_000, -1_000_000, -MUCH):
        await desk.begin({MONEY: left})
        found = await desk.ask(refusal(hold("a", {}), Bounds(MONEY, left, left)))
        assert found.results == [0], left


async def test_the_same_request_has_the_same_answer(desk: Desk) -> None:
    """OC-3: as often as it is asked, whatever the balance has by now; another one is told apart."""
    first = item(hold("a", {MONEY: 900}), room(900))
    await desk.ask(first)
    again = await desk.ask(first, item(hold("a", {MONEY: 1}, content="other")))

    assert again.results == [first.answer, 2]
    assert await desk.amounts() == {"whatsapp": 900}


async def test_answers_of_every_length_come_back_as_they_were(desk: Desk) -> None:
    """Bytes pass both ways, those that are no text too."""
    for size in (0, 1, 31, 32, 255, 256, 65_535, 65_536, 200_000):
        answer = bytes(n % 256 for n in range(size))
        own = item(hold(size, {MONEY: 1}))._replace(answer=answer)
        await desk.ask(own)
        assert (await desk.ask(own)).results == [own.answer]
        (kept,) = (each for each in await desk.listed() if each.key == held.key_of(own.hold))
        assert kept.answer == own.answer


async def test_another_database_or_balances_that_are_over_are_stale(desk: Desk) -> None:
    for found in (
        await desk.ask(item(hold("a", {MONEY: 1})), epoch="two"),
        await desk.ask(item(hold("a", {MONEY: 1})), at=NOW + 40 * DAY),
        await Desk(desk.valkey, 8).ask(item(hold("a", {MONEY: 1}))),
    ):
        assert found == Decided("stale", [], None)
    await desk.whole("two")
    assert await desk.ask(item(hold("a", {MONEY: 1}))) == Decided("stale", [], None)
    assert await desk.amounts() == {}


async def test_a_hold_gives_back_exactly_at_its_end(desk: Desk) -> None:
    await desk.ask(item(hold("a", {MONEY: 300})), item(hold("b", {MONEY: 5}, NOW + 1)))

    assert await desk.amounts(NOW + LASTS - 1) == {"whatsapp": 305}
    assert await desk.held(NOW + LASTS) == Held(NOW + LASTS, NOW + LASTS + 1, {"whatsapp": 5})
    assert await desk.held(NOW + LASTS + 1) == Held(NOW + LASTS + 1, None, {})
    assert await desk.listed(NOW + LASTS + 1) == []


async def test_a_message_that_was_sent_keeps_its_share_longer(desk: Desk) -> None:
    own = hold("a", {MONEY: 100}, shares=3)
    await desk.ask(item(own))
    await desk.end(Ended(own, 1, own.total, ((MONEY, 200),)))

    assert await desk.held() == Held(NOW + 1, NOW + LASTS, {"whatsapp": 300})
    assert await desk.held(NOW + LASTS) == Held(NOW + LASTS, NOW + SENT_LASTS, {"whatsapp": 200})
    await desk.end(Ended(own, 2, ((MONEY, 100),), ((MONEY, 100),)), at=NOW + LASTS)
    assert await desk.amounts(NOW + SENT_LASTS - 1) == {"whatsapp": 100}
    assert await desk.held(NOW + SENT_LASTS) == Held(NOW + SENT_LASTS, None, {})


async def test_ends_are_absolute_and_apply_once(desk: Desk) -> None:
    """In any order and as often as they come: the newest stands."""
    own = hold("a", {MONEY: 100}, shares=3)
    await desk.ask(item(own))
    two, one = Ended(own, 1, ((MONEY, 200),), ()), Ended(own, 2, ((MONEY, 100),), ())
    for ended in (one, one, two, one):
        await desk.end(ended)
        assert await desk.amounts() == {"whatsapp": 100}
    other = hold("a", {MONEY: 7}, NOW + 1)
    await desk.end(Ended(other, 9, (), ()))
    assert await desk.amounts() == {"whatsapp": 100}, "it was granted at another instant"
    for _ in range(2):
        await desk.end(Ended(own, 3, (), ()))
        assert await desk.held() == Held((await desk.held()).at, None, {})


async def test_what_rows_speak_of_is_there_again_behind_a_loss(desk: Desk) -> None:
    """Once; and a hold whose rows say nothing more is open is not."""
    own = hold("a", {MONEY: 100}, shares=3)
    await desk.ask(item(own))
    before = await desk.held()
    await desk.valkey.flushdb()
    ended = Ended(own, 4, ((MONEY, 200),), ((MONEY, 100),), restored=b"answer")
    for _ in range(2):
        await desk.end(ended, Ended(hold("b", {}), 2, (), (), restored=b""), at=NOW + 5)
        now = await desk.held(NOW + 5)
        assert now == Held(now.at, NOW + LASTS, {"whatsapp": 200})
        assert now.at > before.at, "the loss is news"
    (open_,) = await desk.listed(NOW + 5)
    assert (open_.answer, open_.granted_at, open_.parts) == (b"answer", NOW, ((MONEY, 200),))


async def test_a_loss_is_later_than_what_was_held_before_it(desk: Desk) -> None:
    """Whoever has what was held takes that nothing is for the newer."""
    await desk.ask(item(hold("a", {MONEY: 100})))
    before = await desk.held()
    await desk.valkey.flushdb()
    now = await desk.held(NOW + SECOND)

    assert now == Held(NOW + SECOND, None, {})
    assert now.at > before.at


async def test_one_takes_the_place_of_another(desk: Desk) -> None:
    """What it held counts as free for it alone, and only if it is granted."""
    first = hold("a", {MONEY: 900})
    await desk.ask(item(first))
    key = held.key_of(first)
    too_much = item(hold("b", {MONEY: 1_001}), room(1_001), replaces=key)
    assert (await desk.ask(too_much)).status == "changed"
    assert await desk.amounts() == {"whatsapp": 900}
    found = await desk.ask(item(hold("c", {MONEY: 1_000}), room(1_000), replaces=key))

    assert found.results == [1]
    assert await desk.amounts() == {"whatsapp": 1_000}
    assert [each.key for each in await desk.listed()] == [number("c")[: held.KEY_BYTES]]
    gone = await desk.ask(item(hold("d", {MONEY: 1}), replaces=key))
    assert (gone.status, gone.results) == ("gone", [])


async def test_a_count_that_is_older_is_not_taken(desk: Desk) -> None:
    async def counted(*seeds: tuple[str, int, int]) -> int:
        found = await desk.ask(seeds=seeds)
        assert found.snapshot is not None
        return found.snapshot.counts[COUNT]

    assert await counted((COUNT, 3, 10)) == 10
    assert await counted((COUNT, 2, 99)) == 10
    assert await counted((COUNT, 4, 11)) == 11


async def test_tenants_are_apart(desk: Desk) -> None:
    other = Desk(desk.valkey, 8)
    await other.begin({MONEY: 500})
    same = item(hold("a", {MONEY: 400}))
    assert (await desk.ask(same)).results == [1]
    assert (await other.ask(same)).results == [1]
    await desk.end(Ended(same.hold, 1, (), ()))

    both = await held.held(desk.valkey, {TENANT: NOW, 8: NOW})
    assert {tenant: dict(one.amounts) for tenant, one in both.items()} == {
        TENANT: {}, 8: {"whatsapp": 400},
    }  # fmt: skip


async def test_a_thousand_at_once_take_what_there_is(desk: Desk) -> None:
    """OC-2: 1,000 beside each other, 137 units."""
    await desk.begin({UNITS: 137})
    lines = asyncio.Semaphore(20)

    async def one(n: int) -> int:
        async with lines:
            return sum((await desk.ask(item(hold(n, {UNITS: 1}), room(1, UNITS)))).results)

    assert sum(await asyncio.gather(*map(one, range(1_000)))) == 137
    assert await desk.amounts() == {"visitors": 137}


async def test_ten_thousand_that_end_at_once_are_given_back(desk: Desk) -> None:
    """A script ends a part of them, for others wait meanwhile; nobody is told of the parts."""
    await desk.begin({MONEY: 10_000})
    for first in range(0, 10_000, 1_000):
        await desk.ask(*(item(hold(n, {MONEY: 1})) for n in range(first, first + 1_000)))
    assert await desk.amounts() == {"whatsapp": 10_000}
    over = NOW + LASTS
    own = item(hold("new", {MONEY: 10_000}, over), room(10_000))
    asked = 0
    while (found := await desk.ask(own, at=over)).status == "changed":
        asked += 1
        assert found.results == [], "nobody is refused for what is over"

    assert (found.results, asked) == ([1], 10)
    assert await desk.amounts(over) == {"whatsapp": 10_000}
    await desk.end(Ended(own.hold, 1, (), ()), at=over)
    assert await desk.held(over) == Held((await desk.held(over)).at, None, {})
    for first in range(0, 3_000, 1_000):
        items = (item(hold(n, {MONEY: 1}, over)) for n in range(first, first + 1_000))
        await desk.ask(*items, at=over)
    assert await desk.listed(over + LASTS) == []
    assert await desk.amounts(over + LASTS) == {}


async def test_they_are_listed_page_by_page(desk: Desk) -> None:
    """Those that end first first, of one instant too; who ends meanwhile takes nobody's place."""
    own = {number(n)[: held.KEY_BYTES]: hold(n, {MONEY: 1}, NOW + n // 10) for n in range(25)}
    await desk.ask(*map(item, own.values()), at=NOW + 2)
    found: list[Open] = []
    after = None
    while page := await desk.listed(NOW + 2, after, 4):
        found += page
        after = page[-1].ends_at, page[-1].key
        if len(found) == 8:
            await desk.end(Ended(own[found[7].key], 1, (), ()), at=NOW + 2)

    order = [(each.ends_at, each.key) for each in found]
    assert order == sorted(order)
    assert {each.key for each in found} == own.keys()
    assert len(found) == 25


# Random sequences beside a plain model.


@dataclass
class Model:
    """What must come out: holds by key, each with what it has."""

    now: int = NOW
    left: dict[str, int] = field(default_factory=dict)
    holds: dict[int, Ended] = field(default_factory=dict)

    def until(self, one: Ended) -> int:
        return one.hold.lasts_until if one.parts == one.sent else one.hold.expires_at

    def sweep(self) -> None:
        for key, one in list(self.holds.items()):
            if self.until(one) > self.now:
                continue
            if one.sent and self.now < one.hold.lasts_until:
                self.holds[key] = one._replace(parts=one.sent)
            else:
                del self.holds[key]

    def held(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in self.holds.values():
            for name, amount in one.parts:
                found[name] = found.get(name, 0) + amount
        return found


AMOUNTS = st.one_of(
    st.integers(1, 3), st.sampled_from((999_999, 1_000_000, 1_000_001)), st.integers(1, MUCH // 8)
)
TAKES = st.dictionaries(st.sampled_from((MONEY, UNITS, COUNT)), AMOUNTS, min_size=1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 5), TAKES, st.integers(1, 3)),
        st.tuples(st.just("end"), st.integers(0, 5), st.integers(-1, 2), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from((1, MINUTE, LASTS - 1, LASTS, SENT_LASTS))),
        st.tuples(st.just("tell")),
    ),
    min_size=1,
    max_size=25,
)

tenants = count(100)


@given(steps=STEPS)
@example(steps=[("take", 0, {MONEY: MUCH // 8}, 3), ("end", 0, 1, 1), ("wait", LASTS)])
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_sums_are_those_of_the_open_holds(redis_url: str, steps: list[Any]) -> None:
    """Whatever comes in whatever order, what is held is what the open holds have, to the micro."""
    async with client(redis_url) as valkey:
        desk, model = Desk(valkey, next(tenants)), Model(left={MONEY: MUCH, UNITS: MUCH})
        await desk.begin(model.left)
        await desk.ask(seeds=[(COUNT, 1, 0)])
        before = await desk.held()
        for step in steps:
            match step:
                case ("take", key, total, shares):
                    await take(desk, model, key, total, shares)
                case ("end", key, ahead, what):
                    await end(desk, model, key, ahead, what)
                case ("wait", by):
                    model.now += by
                    model.sweep()
                case _:
                    await desk.end(at=model.now)
            before = await compare(desk, model, before)


async def take(desk: Desk, model: Model, key: int, total: dict[str, int], shares: int) -> None:
    model.sweep()
    own = hold(key, total, model.now, content=total, shares=shares)
    aside = model.held()
    guards = [room(amount, name) for name, amount in own.total if name in model.left]
    found = await desk.ask(item(own, *guards), at=model.now)
    known = model.holds.get(key)
    if known is not None:
        same = known.hold.number == own.number
        assert found.results == [b"answer of " + own.number if same else 2]
        return
    fits = all(
        amount <= model.left[name] - aside.get(name, 0)
        for name, amount in own.total
        if name in model.left
    )
    assert (found.status, found.results) == (("done", [1]) if fits else ("changed", []))
    if fits:
        model.holds[key] = Ended(own, 0, own.total, ())


async def end(desk: Desk, model: Model, key: int, ahead: int, what: int) -> None:
    """Bring a state of a hold that is `ahead` of the one known; all of it, a part, sent or not."""
    known = model.holds.get(key)
    if known is None:
        return
    less = tuple((name, amount // 2) for name, amount in known.parts if amount > 1)
    parts: Vector = ((), less, known.parts, less)[what]
    ended = Ended(known.hold, known.revision + ahead, parts, parts if what == 3 else ())
    await desk.end(ended, at=model.now)
    if ahead > 0:
        model.holds[key] = ended
        if not parts:
            del model.holds[key]
    model.sweep()


async def compare(desk: Desk, model: Model, before: Held) -> Held:
    now = await desk.held(model.now)
    sums = model.held()
    assert now.amounts == {
        name.removeprefix("left:"): amount for name, amount in sums.items() if name != COUNT
    }
    assert now.until == min((model.until(one) for one in model.holds.values()), default=None)
    assert now.at >= before.at
    assert now.at > before.at or (now.amounts, now.until) == (before.amounts, before.until)
    found = await desk.listed(model.now)
    assert {each.key: each.parts for each in found} == {
        number(key)[: held.KEY_BYTES]: one.parts for key, one in model.holds.items()
    }
    stored: dict[Any, Any] = await desk.valkey.hgetall(keys.standing(desk.tenant)[1])
    assert {k.decode(): int(v) for k, v in stored.items() if b":" in k} == sums
    return now


async def test_holds_of_another_database_are_forgotten(desk: Desk) -> None:
    """A Valkey that served another history: what is open stands in the rows of this one."""
    await desk.ask(item(hold("k", {MONEY: 100})))
    await run(desk.valkey, [held.end_call(desk.tenant, NOW, (), token="t", epoch=EPOCH)])
    assert await desk.amounts() == {"whatsapp": 100}
    await run(desk.valkey, [held.end_call(desk.tenant, NOW, (), token="t", epoch="other")])
    assert await desk.amounts() == {}
    assert await desk.listed() == []
    last = held.end_call(desk.tenant, NOW, (), whole="other", token="another")
    await run(desk.valkey, [last])
    assert (await desk.ask(epoch="other")).status == "stale"  # somebody else brings them
