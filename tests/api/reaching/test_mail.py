"""Mail: each alert in one letter, each letter once, against a real server of mail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from api import ids
from api.operations import mailbox_remove
from api.operations.mailbox_remove import MailboxRemove
from api.reaching.smtp import AWAY
from domain.periods import DAY, HOUR, MINUTE, instant
from domain.watch import AlertKind
from persistence import tasks
from persistence.deliveries import State
from tests.api.reaching.office import NIGHTS, Office, Post, plain
from tests.conftest import Database
from tests.domain.spine import UNIT
from tests.persistence.test_due import FragileDoor
from tests.scenarios.world import OPERATOR, World

SHOP = "shop"
SENT, WAITS, LOST, STOPPED = State.DELIVERED, State.PENDING, State.FAILED, State.STOPPED


def local(text: str) -> int:
    """An instant by the clocks of Jakarta."""
    return instant(datetime.fromisoformat(f"{text}:00+07:00"))


NOON, NIGHT, MORNING = (
    local(f"2026-11-{day}") for day in ("10 12:00", "10 23:00", "11 07:00")
)  # fmt: skip


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with Office.open() as office:
        yield office


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    """A tenant with 1,000 visitors a month."""
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON
        await world.tenant(SHOP)
        yield world


@pytest.fixture
async def post(world: World, office: Office) -> Post:
    return Post.of(world, office)


def subjects(post: Post) -> list[str]:
    return [str(each["Subject"]) for each in post.office.read]


async def test_an_alert_is_a_letter_to_each_mailbox_that_wants_it(post: Post) -> None:
    await post.mailbox(SHOP)
    await post.mailbox(SHOP, "ben@shop.example", kinds=(AlertKind.EXHAUSTED,))
    await post.use(SHOP, 700)
    await post.quiet()
    assert post.office.to == [["ana@shop.example"]]
    await post.use(SHOP, 300)
    await post.quiet()
    assert sorted(post.office.to) == [
        ["ana@shop.example"], ["ana@shop.example"], ["ben@shop.example"]
    ]  # fmt: skip
    assert sorted(subjects(post)) == [
        "shop: Monthly unique visitors is running low",
        "shop: Monthly unique visitors is used up",
        "shop: Monthly unique visitors is used up",
    ]
    assert await post.left(SHOP) == []
    assert await post.states(SHOP) == [SENT] * 3
    assert len({each["Message-ID"] for each in post.office.read}) == 3
    for mailbox in await post.mailboxes(SHOP):
        assert (mailbox.last_sent_at, mailbox.last_error) == (NOON, None)
    await post.quiet()
    assert len(post.office.letters) == 3


async def test_what_one_movement_raised_is_one_letter(post: Post) -> None:
    """AL-3: low and used up at once; the subject says the worse."""
    await post.mailbox(SHOP)
    await post.use(SHOP, 1_000)
    await post.quiet()
    assert subjects(post) == ["shop: Monthly unique visitors is used up, and 1 more"]
    assert await post.states(SHOP) == [SENT, SENT]
    text = plain(post.office.read[0])
    assert text.index("is running low") < text.index("is used up")


async def test_quiet_hours_hold_back_and_end_with_one_letter(post: Post) -> None:
    """What is over by then is said to be; nothing goes before seven."""
    await post.mailbox(SHOP, **NIGHTS)
    await post.world.top_up(SHOP, "whatsapp", 1_000 * UNIT, key="first")
    post.world.clock.at = NIGHT
    await post.use(SHOP, 700, "whatsapp")
    await post.quiet()
    post.world.clock.at = NIGHT + HOUR
    await post.world.top_up(SHOP, "whatsapp", 1_000 * UNIT, key="second")  # no longer low
    await post.use(SHOP, 700)
    await post.quiet()
    assert [due_at for kind, due_at in await post.left(SHOP)] == [MORNING, MORNING]
    post.world.clock.at = MORNING - 1
    await post.quiet()
    assert post.office.letters == []
    post.world.clock.at = MORNING
    await post.quiet()
    (letter,) = post.office.read
    assert letter["Subject"] == "shop: Monthly unique visitors is running low, and 1 more"
    money, visitors = plain(letter).split("Monthly unique visitors is running low")
    assert "WhatsApp balance is running low" in money
    assert (
        "Meanwhile: no longer so since 2026-11-11 00:00 (Asia/Jakarta, UTC+07:00), "
        "IDR 1,300 left then" in money
    )
    assert "Top up" not in money
    assert "Meanwhile" not in visitors
    assert "Top up" in visitors
    assert await post.left(SHOP) == []


async def test_what_is_so_again_is_not_over(post: Post) -> None:
    """AL-2: low, no longer, low once more: two alerts, and neither is over."""
    await post.mailbox(SHOP, **NIGHTS)
    await post.world.top_up(SHOP, "whatsapp", 1_000 * UNIT, key="first")
    post.world.clock.at = NIGHT
    await post.use(SHOP, 700, "whatsapp")
    await post.world.top_up(SHOP, "whatsapp", 1_000 * UNIT, key="second")
    await post.use(SHOP, 700, "whatsapp")
    await post.quiet()
    post.world.clock.at = MORNING
    await post.quiet()
    (letter,) = post.office.read
    assert plain(letter).count("WhatsApp balance is running low") == 2
    assert "Meanwhile" not in plain(letter)


async def test_what_is_urgent_does_not_wait_and_takes_along_what_does(post: Post) -> None:
    await post.mailbox(SHOP, **NIGHTS)
    await post.mailbox(SHOP, "ben@shop.example", urgent_anyway=False, **NIGHTS)
    post.world.clock.at = NIGHT
    await post.use(SHOP, 700)
    await post.quiet()
    assert post.office.letters == []
    await post.use(SHOP, 300)
    await post.quiet()
    assert post.office.to == [["ana@shop.example"]]
    assert subjects(post) == ["shop: Monthly unique visitors is used up, and 1 more"]
    post.world.clock.at = MORNING
    await post.quiet()
    assert post.office.to == [["ana@shop.example"], ["ben@shop.example"]]
    assert await post.states(SHOP) == [SENT] * 4


async def test_quiet_hours_that_were_set_since_hold_as_well(post: Post, world: World) -> None:
    """They are asked when a letter is about to go, in the zone that is in force then."""
    await post.mailbox(SHOP)
    await post.use(SHOP, 700)
    await post.tasks.step(tasks.NOTIFY)
    assert await post.left(SHOP) == [("mail", NOON)]
    await post.mailbox(SHOP, **NIGHTS)
    world.clock.at = NIGHT
    await post.quiet()
    assert post.office.letters == []
    assert await post.left(SHOP) == [("mail", MORNING)]


async def test_an_address_that_is_refused_is_given_up_and_says_so(post: Post) -> None:
    """The other mailbox gets its letter all the same; the next one that is taken clears it."""
    await post.mailbox(SHOP)
    await post.mailbox(SHOP, "gone@shop.example")
    post.office.refuses["gone@shop.example"] = "550 5.1.1 nobody of that name"
    await post.use(SHOP, 700)
    await post.quiet()
    assert post.office.to == [["ana@shop.example"]]
    assert await post.left(SHOP) == []
    assert await post.states(SHOP) == [SENT, LOST]
    _, gone = await post.mailboxes(SHOP)
    assert gone.last_error == "550 5.1.1 nobody of that name"
    assert gone.last_sent_at is None
    post.office.refuses.clear()
    await post.use(SHOP, 300)
    await post.quiet()
    _, gone = await post.mailboxes(SHOP)
    assert (gone.last_sent_at, gone.last_error) == (NOON, None)


@pytest.mark.parametrize("answer", ["451 4.7.1 greylisted", "421 4.3.2 shutting down"])
async def test_not_now_is_tried_again_by_its_schedule(post: Post, answer: str) -> None:
    """The very same letter each time; behind the last try it is given up."""
    await post.mailbox(SHOP)
    post.office.answers += [answer] * 7
    await post.use(SHOP, 700)
    await post.quiet()
    waits = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 24 * HOUR]
    for n, wait in enumerate(waits, 1):
        due_at = post.world.clock.at + wait
        assert await post.left(SHOP) == [("mail", due_at)]
        post.world.clock.at = due_at - 1
        await post.quiet()
        assert post.office.seen.count("DATA") == n
        post.world.clock.at = due_at
        await post.quiet()
        assert post.office.seen.count("DATA") == n + 1
    assert post.office.letters == []
    assert await post.left(SHOP) == []
    assert await post.states(SHOP) == [LOST]
    (mailbox,) = await post.mailboxes(SHOP)
    assert mailbox.last_error == answer


async def test_a_later_try_waits_for_the_end_of_quiet_hours(post: Post) -> None:
    await post.mailbox(SHOP, **NIGHTS)
    post.world.clock.at = local("2026-11-10 21:59")
    post.office.answers.append("451 later")
    await post.use(SHOP, 700)
    await post.quiet()
    assert await post.left(SHOP) == [("mail", MORNING)]


async def test_a_server_that_is_away_is_asked_again(world: World) -> None:
    """Refused, then there: what came meanwhile is a letter of its own."""
    async with Office.open() as office:
        post = Post.of(world, office)
    await post.mailbox(SHOP)
    await post.use(SHOP, 700)
    await post.quiet()
    assert await post.left(SHOP) == [("mail", NOON + MINUTE)]
    (mailbox,) = await post.mailboxes(SHOP)
    assert mailbox.last_error == AWAY
    await post.use(SHOP, 300)
    async with Office.open() as office:
        post = Post.of(world, office)
        await post.quiet()
        world.clock.at += MINUTE
        await post.quiet()
    assert subjects(post) == [
        "shop: Monthly unique visitors is used up", "shop: Monthly unique visitors is running low"
    ]  # fmt: skip


async def test_a_server_that_dies_may_get_the_same_letter_twice(post: Post) -> None:
    """It took it and was gone before it said so: the same bytes under the same Message-ID."""
    await post.mailbox(SHOP)
    post.office.dies = True
    await post.use(SHOP, 700)
    await post.quiet()
    assert len(post.office.letters) == 1
    assert await post.left(SHOP) == [("mail", NOON + MINUTE)]
    await post.use(SHOP, 300)  # goes at once, and not with what is under way
    post.world.clock.at += MINUTE
    await post.quiet()
    first, *others = post.office.letters
    assert first in others
    assert subjects(post).count("shop: Monthly unique visitors is used up") == 1
    assert await post.states(SHOP) == [SENT, SENT]
    assert await post.left(SHOP) == []


async def test_a_crash_behind_the_servers_word_sends_the_same_letter_again(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process does not get to note, another one sends again; and nothing besides."""
    await post.mailbox(SHOP)
    await post.use(SHOP, 1_000)

    async def gone(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(post.mail, "_note", gone)
    with pytest.raises(asyncio.CancelledError):
        await post.quiet()
    assert len(post.office.letters) == 1
    post.world.clock.at += 3 * MINUTE  # its lease ends
    another = Post.of(post.world, post.office)
    await another.quiet()
    first, second = post.office.letters
    assert first == second
    assert await post.states(SHOP) == [SENT, SENT]
    assert await post.left(SHOP) == []


@pytest.mark.parametrize(("behind_the_word", "most"), [(False, 16), (True, 8)])
async def test_a_connection_that_is_lost_anywhere_leaves_each_alert_in_one_letter(
    database: Database, redis_url: str, behind_the_word: bool, most: int
) -> None:
    """Behind any statement, before the letter goes or behind the server's word: AL-4 to the end.

    What was sent twice is one letter: the same bytes.
    """
    async with (
        World.open(database.app_url, redis_url, door=FragileDoor) as world,
        Office.open() as office,
    ):
        post, door = Post.of(world, office), world.door
        assert isinstance(door, FragileDoor)
        world.clock.at = NOON
        twice = 0
        for n in range(1, most + 1):
            shop = f"shop-{n}"
            await world.tenant(shop)
            await post.mailbox(shop)
            await post.use(shop, 1_000)
            await post.tasks.step(tasks.NOTIFY)
            office.letters.clear()
            door.breaks_after = None if behind_the_word else n

            def lose(n: int = n) -> None:
                door.breaks_after = n if behind_the_word else None

            office.taken = lose
            await post.quiet()
            office.taken = lambda: None
            door.breaks_after = None
            world.clock.at += 3 * MINUTE
            await post.quiet()
            assert len(set(office.letters)) == 1, n
            assert plain(office.read[0]).count("Alert number") == 2
            assert await post.states(shop) == [SENT, SENT]
            assert await post.left(shop) == []
            twice += len(office.letters) > 1
        assert bool(twice) == behind_the_word


async def test_two_processes_send_one_letter(post: Post, world: World) -> None:
    await post.mailbox(SHOP)
    for units in (700, 300, 5):
        await post.use(SHOP, units)
    other = Post.of(world, post.office)
    await asyncio.gather(post.quiet(), other.quiet())
    told = [line for each in post.office.read for line in plain(each).splitlines()]
    numbers = [line for line in told if "Alert number" in line]
    assert len(numbers) == len(set(numbers)) == 3
    assert set(await post.states(SHOP)) == {SENT}


async def test_whoever_lost_its_lease_notes_nothing(post: Post) -> None:
    """The task is somebody else's since: its own end is undone."""
    await post.mailbox(SHOP)
    await post.use(SHOP, 700)
    await post.tasks.step(tasks.NOTIFY)
    (mine,) = await tasks.take(post.world.door, tasks.MAIL, NOON, lease=0, limit=9)
    (theirs,) = await tasks.take(post.world.door, tasks.MAIL, NOON, lease=0, limit=9)
    await post.mail.handle(mine)
    assert await post.states(SHOP) == [WAITS]
    await post.mail.handle(theirs)
    assert await post.states(SHOP) == [SENT]
    assert post.office.letters[0] == post.office.letters[1]


async def test_a_mailbox_that_is_removed_gets_nothing_more(post: Post, world: World) -> None:
    mailbox = await post.mailbox(SHOP, **NIGHTS)
    world.clock.at = NIGHT
    await post.use(SHOP, 700)
    await post.use(SHOP, 100, "conversations")
    await post.quiet()
    request = MailboxRemove(tenant=SHOP, id=ids.encode("mbx", mailbox.mailbox_id))
    await mailbox_remove.run(world.door, OPERATOR, request, now=world.clock.at)
    await post.mailbox(SHOP)
    world.clock.at = MORNING
    await post.quiet()
    assert post.office.letters == []
    assert await post.states(SHOP) == [STOPPED]
    assert await post.left(SHOP) == []


async def test_a_letter_under_way_stops_with_its_mailbox(post: Post, world: World) -> None:
    mailbox = await post.mailbox(SHOP)
    post.office.answers.append("451 later")
    await post.use(SHOP, 1_000)
    await post.quiet()
    assert await post.states(SHOP) == [WAITS, WAITS]
    request = MailboxRemove(tenant=SHOP, id=ids.encode("mbx", mailbox.mailbox_id))
    await mailbox_remove.run(world.door, OPERATOR, request, now=world.clock.at)
    world.clock.at += MINUTE
    await post.quiet()
    assert post.office.letters == []
    assert await post.states(SHOP) == [STOPPED, STOPPED]
    assert await post.left(SHOP) == []


async def test_nothing_is_sent_without_a_server_and_nothing_is_lost(world: World) -> None:
    """Without KUOTA_SMTP_URL nobody takes the task: the letter goes once there is one."""
    async with Office.open() as office:
        post = Post.of(world, office)
        await post.mailbox(SHOP)
        await post.use(SHOP, 700)
        await post.tasks.step(tasks.NOTIFY)
        assert await post.left(SHOP) == [("mail", NOON)]
        world.clock.at += 3 * DAY
        await post.quiet()
    assert subjects(post) == ["shop: Monthly unique visitors is running low"]


async def test_where_many_wait_a_letter_has_the_oldest(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.reaching.mail.ALERTS_MAX", 2)
    await post.mailbox(SHOP, **NIGHTS, urgent_anyway=False)
    post.world.clock.at = NIGHT
    for balance in ("visitors", "conversations"):
        await post.use(SHOP, 700, balance)
        await post.use(SHOP, 300, balance)
    await post.quiet()
    post.world.clock.at = MORNING
    await post.quiet()
    told = "".join(plain(each) for each in post.office.read)
    assert len(post.office.letters) == 2
    assert told.count("Alert number") == 4
    assert set(await post.states(SHOP)) == {SENT}


async def test_credentials_are_shown_to_the_server_alone(
    world: World, office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password is the keeper's to mend: the letter waits, and nobody reads the password."""
    office.users[b"kuota"] = b"pass word/1"
    right = Post.of(world, office, f"smtp://kuota:pass%20word%2F1@127.0.0.1:{office.port}")
    wrong = Post.of(world, office, f"smtp://kuota:hunter2@127.0.0.1:{office.port}")
    await right.mailbox(SHOP)
    await right.use(SHOP, 700)
    with caplog.at_level(logging.DEBUG):
        await wrong.quiet()
    assert "AUTH" in office.seen
    (mailbox,) = await right.mailboxes(SHOP)
    assert mailbox.last_error is not None
    assert mailbox.last_error == AWAY
    assert "535 5.7.8" in caplog.text
    assert "hunter2" not in mailbox.last_error + caplog.text + repr(wrong.mail._server)
    assert await right.left(SHOP) == [("mail", NOON + MINUTE)]
    world.clock.at += MINUTE
    await right.quiet()
    assert len(office.letters) == 1
