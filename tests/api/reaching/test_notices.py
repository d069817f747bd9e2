"""Notices by mail: an endpoint that was switched off is told to every mailbox, in its language."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from domain.periods import DAY, MINUTE
from domain.sentences import OF_NOTICES, needs
from domain.webhook_words import SWITCHED_OFF
from persistence.deliveries import Channel, State
from tests.api.reaching.dispatch import Dispatch
from tests.api.reaching.office import NIGHTS, Office, Post, plain
from tests.api.reaching.receiver import Answer, Receiver, receiving
from tests.api.reaching.test_mail import MORNING, NIGHT, NOON, SHOP
from tests.conftest import Database
from tests.scenarios.world import World


@pytest.fixture
async def world(database: Database, redis_url: str) -> AsyncIterator[World]:
    """A tenant with 1,000 visitors a month."""
    async with World.open(database.app_url, redis_url) as world:
        world.clock.at = NOON
        await world.tenant(SHOP)
        yield world


@pytest.fixture
async def post(world: World) -> AsyncIterator[Post]:
    async with Office.open() as office:
        yield Post.of(world, office)


@pytest.fixture
async def dispatch(world: World) -> AsyncIterator[Dispatch]:
    dispatch = Dispatch.of(world)
    yield dispatch
    await dispatch.webhooks.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_every_mailbox_is_told_of_an_endpoint_that_is_off(
    dispatch: Dispatch, post: Post, receiver: Receiver
) -> None:
    await post.mailbox(SHOP, "ana@shop.example", locale="en")
    await post.mailbox(SHOP, "budi@shop.example", locale="id", **NIGHTS)
    endpoint, _ = await dispatch.endpoint(SHOP, f"{receiver.url}?token=hush", words="ours")
    dispatch.world.clock.at = NIGHT
    receiver.always = Answer(status=410)
    await dispatch.test(SHOP, endpoint)
    await dispatch.quiet()
    await post.quiet()
    (letter,) = post.office.read  # the other one is asleep
    assert letter["Subject"] == "shop: a webhook endpoint was switched off"
    text = plain(letter)
    assert "It answered that it is gone (410)" in text
    assert receiver.url in text
    assert "ours" in text
    assert "hush" not in text
    # An alert meanwhile is another letter.
    await post.use(SHOP, 700)
    dispatch.world.clock.at = MORNING + MINUTE
    await dispatch.quiet()
    await post.quiet()
    subjects = sorted(str(each["Subject"]) for each in post.office.read[1:])
    assert len(subjects) == 3
    assert subjects.count("shop: sebuah endpoint webhook dimatikan") == 1
    states = [each.state for each in await dispatch.log(SHOP, Channel.MAIL)]
    assert states == [State.DELIVERED] * 4
    dispatch.world.clock.at += DAY
    await post.quiet()
    assert len(post.office.read) == 4


def test_it_is_said_in_every_language() -> None:
    for words in SWITCHED_OFF.values():
        assert words.keys() == {language.value for language in OF_NOTICES}
        assert not any(needs(each) for each in words.values())
