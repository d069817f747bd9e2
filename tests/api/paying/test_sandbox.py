"""The sandbox: its scripts, that it collects once a key, its notices, and what somebody decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from api.paying.port import Answer, AwayError, Charge, ForgedError, NoticeError, Standing
from api.paying.sandbox import SCRIPTS, SIGNATURE, Sandbox
from api.signing import Signing
from domain.periods import DAY, HOUR
from persistence.door import Door
from persistence.servers import Servers
from tests.api.sockets import cloned
from tests.conftest import Database

NOW = 1_795_363_200_000_000  # 2026-11-22T16:00:00Z
CHARGE = Charge(
    key="kuota-1",
    total=1_110_000_000_000,
    currency="IDR",
    description="conversations 2000",
    item="top-up",
    customer="Toko Sepatu",
    email=None,
    token="sandbox:succeeds",
    return_url="https://toko.example/billing",
    expires_at=NOW + DAY,
)
ADDRESS = "https://kuota.example"
S = Standing


class World:
    """Two processes with the same sandbox, a clock that is set, and what was posted."""

    def __init__(self, doors: tuple[Door, Door]) -> None:
        self.now = NOW
        self.posted: list[tuple[str, bytes]] = []
        self.one, self.two = (
            Sandbox(door, Signing(None), lambda: self.now, ADDRESS) for door in doors
        )
        for sandbox in (self.one, self.two):
            sandbox.post = self.take

    async def take(self, headers: Mapping[str, str], body: bytes) -> None:
        self.posted.append((self.one.key_of(headers, body), body))

    async def notices(self) -> list[str]:
        """What the notices said, in the order they came."""
        await self.one.posted()
        await self.two.posted()
        return [body.split(b'"standing":"')[1].split(b'"')[0].decode() for _, body in self.posted]


@pytest.fixture(scope="module")
async def shared(servers: Servers, template: str) -> AsyncIterator[Database]:
    async with cloned(servers, template) as database:
        yield database


@pytest.fixture
async def world(shared: Database) -> AsyncIterator[World]:
    async with Door.open(shared.app_url) as one, Door.open(shared.app_url) as two:
        world = World((one, two))
        yield world
        await world.one.close()
        await world.two.close()


#: By script: what the charge says, and a look; what a look says after an hour; notices; collected.
TABLE = {
    "succeeds": (S.PAID, S.PAID, S.PAID, ["paid"], 1),
    "declines": (S.DECLINED, S.DECLINED, S.DECLINED, ["declined"], 0),
    "pending": (S.PENDING, S.PENDING, S.PENDING, [], 0),
    "twice": (S.PAID, S.PAID, S.PAID, ["paid", "paid"], 1),
    "late": (S.PENDING, S.PENDING, S.PAID, ["paid"], 1),
    "out_of_order": (S.PAID, S.PAID, S.PAID, ["paid", "declined"], 1),
    "away": (None, S.PAID, S.PAID, [], 1),
    "anything": (S.DECLINED, S.DECLINED, S.DECLINED, [], 0),
}


@pytest.mark.parametrize("script", TABLE)
async def test_every_script_collects_at_most_once(world: World, script: str) -> None:
    """RF-2, BA-7: the same key again never charges twice, whoever asks, and however often."""
    charged, looked, in_an_hour, notices, collected = TABLE[script]
    charge = replace(CHARGE, key=f"kuota-{script}", token=f"sandbox:{script}")
    assert (await world.one.look(charge.key)).standing is S.ABSENT
    if charged is None:
        with pytest.raises(AwayError):
            await world.one.charge(charge)
    else:
        assert (await world.one.charge(charge)).standing is charged
    both = (world.one, world.two)
    again = await asyncio.gather(*(box.charge(charge) for box in both for _ in range(4)))
    assert {answer.standing for answer in again} == {looked}
    assert {(await box.look(charge.key)).standing for box in both} == {looked}
    world.now += HOUR - 1
    assert (await world.two.look(charge.key)).standing is looked
    world.now += 1
    answer = await world.two.look(charge.key)
    assert answer.standing is in_an_hour
    assert (answer.total, answer.currency) == (CHARGE.total, "IDR")
    assert answer.pay_url is None
    assert bool(answer.reason) == (in_an_hour is S.DECLINED)
    assert await world.notices() == notices
    assert {key for key, _ in world.posted} <= {charge.key}
    assert await world.one.collected(charge.key) == collected


def test_the_table_has_every_script() -> None:
    assert TABLE.keys() - {"anything"} == SCRIPTS.keys()


async def test_of_many_who_charge_at_once_one_collects(world: World) -> None:
    """RF-2: two processes that do the same task."""
    charge = replace(CHARGE, key="kuota-at-once")
    both = (world.one, world.two)
    answers = await asyncio.gather(*(box.charge(charge) for box in both for _ in range(8)))
    assert {answer.standing for answer in answers} == {S.PAID}
    assert await world.notices() == ["paid"]
    assert await world.one.collected(charge.key) == 1


async def test_a_page_is_paid_by_who_comes_to_it(world: World) -> None:
    charge = replace(CHARGE, key="kuota-page", token=None)
    answer = await world.one.charge(charge)
    assert answer == Answer(
        standing=S.PENDING,
        pay_url=f"{ADDRESS}/sandbox/pay/kuota-page",
        reference="sandbox-kuota-page",
        total=CHARGE.total,
        currency="IDR",
    )
    assert await world.two.charge(charge) == answer
    decided = await asyncio.gather(
        *(box.decide(charge.key, S.PAID) for box in (world.one, world.two) for _ in range(3))
    )
    assert {(each.standing, each.pay_url) for each in decided} == {(S.PAID, None)}
    assert await world.one.collected(charge.key) == 1
    assert set(await world.notices()) == {"paid"}
    # What was decided stays; a notice says where it stands.
    world.posted.clear()
    assert (await world.one.decide(charge.key, S.DECLINED)).standing is S.PAID
    assert await world.notices() == ["paid"]


async def test_a_payment_that_is_taken_back_was_paid(world: World) -> None:
    """BA-8: what was not paid cannot be taken back, and once is enough."""
    charge = replace(CHARGE, key="kuota-back", token="sandbox:pending")
    await world.one.charge(charge)
    assert (await world.one.decide(charge.key, S.TAKEN_BACK)).standing is S.PENDING
    await world.one.decide(charge.key, S.PAID)
    for _ in range(2):
        assert (await world.two.decide(charge.key, S.TAKEN_BACK)).standing is S.TAKEN_BACK
    assert (await world.two.decide(charge.key, S.PAID)).standing is S.TAKEN_BACK
    assert (await world.one.charge(charge)).standing is S.TAKEN_BACK
    assert await world.one.collected(charge.key) == 1
    # As a chargeback comes: long after the page has ended.
    late = replace(CHARGE, key="kuota-back-late", token=None)
    await world.one.charge(late)
    await world.one.decide(late.key, S.PAID)
    world.now += 30 * DAY
    assert (await world.one.decide(late.key, S.TAKEN_BACK)).standing is S.TAKEN_BACK


async def test_a_page_ends(world: World) -> None:
    charge = replace(CHARGE, key="kuota-ends", token=None)
    await world.one.charge(charge)
    world.now = charge.expires_at - 1
    assert (await world.one.look(charge.key)).standing is S.PENDING
    world.now += 1
    assert (await world.one.look(charge.key)).standing is S.EXPIRED
    assert (await world.one.decide(charge.key, S.PAID)).standing is S.EXPIRED
    assert (await world.one.charge(charge)).standing is S.EXPIRED
    assert await world.one.collected(charge.key) == 0


async def test_what_waits_is_given_up_and_what_was_paid_is_not(world: World) -> None:
    assert (await world.one.cancel("kuota-nobody-asked")).standing is S.ABSENT
    for key, token, after in (
        ("kuota-up-page", None, S.EXPIRED),
        ("kuota-up-pending", "sandbox:pending", S.EXPIRED),
        ("kuota-up-paid", "sandbox:succeeds", S.PAID),
        ("kuota-up-declined", "sandbox:declines", S.DECLINED),
    ):
        await world.one.charge(replace(CHARGE, key=key, token=token))
        assert (await world.one.cancel(key)).standing is after
        assert (await world.two.look(key)).standing is after
        assert (await world.two.decide(key, S.PAID)).standing is after


async def test_nobody_decides_of_what_was_never_asked(world: World) -> None:
    assert (await world.one.decide("kuota-none", S.PAID)).standing is S.ABSENT
    assert await world.notices() == []
    with pytest.raises(ValueError, match="absent"):
        await world.one.decide("kuota-none", S.ABSENT)


async def test_a_notice_is_taken_where_its_signature_is_right(world: World) -> None:
    """BA-7: no notice of anybody else counts."""
    headers, body = world.one.notice("kuota-1", S.PAID)
    assert world.two.key_of(headers, body) == "kuota-1"
    other = Sandbox(
        world.one._door, Signing("another secret of thirty-two characters"), lambda: NOW, ADDRESS
    )
    for given, sent in (
        ({}, body),
        ({SIGNATURE: ""}, body),
        ({SIGNATURE: "ä" * 64}, body),
        ({SIGNATURE: "0" * 64}, body),
        (headers, body.replace(b"kuota-1", b"kuota-2")),
        (headers, b""),
        other.notice("kuota-1", S.PAID),
    ):
        with pytest.raises(ForgedError):
            world.one.key_of(given, sent)
    for unread in (b"", b"{", b"[]", b'{"key":1}', b"\xff"):
        with pytest.raises(NoticeError) as caught:
            world.one.key_of({SIGNATURE: world.one._sign(unread)}, unread)
        assert not isinstance(caught.value, ForgedError)


async def test_a_notice_that_nobody_takes_is_lost(world: World) -> None:
    """As with a provider elsewhere: whoever wants to know looks."""

    async def away(headers: Mapping[str, str], body: bytes) -> None:
        raise ConnectionError("the database is away")

    world.one.post = away
    charge = replace(CHARGE, key="kuota-lost")
    assert (await world.one.charge(charge)).standing is S.PAID
    await world.one.posted()
    # Who decides is told that it did not come through, and may decide the same again.
    page = replace(CHARGE, key="kuota-lost-page", token=None)
    await world.one.charge(page)
    with pytest.raises(ConnectionError):
        await world.one.decide(page.key, S.PAID)
    world.one.post = world.take
    assert (await world.one.decide(page.key, S.PAID)).standing is S.PAID
    assert await world.notices() == ["paid"]
    assert await world.one.collected(page.key) == 1
