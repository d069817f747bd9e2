"""Sockets live no longer than their credentials, though nothing passes over them.

The process looks at all of them when these tests say so; time is what the clocks show that they
move.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from api.auth import new_secret
from api.core import Core
from api.metrics import Metrics
from api.settings import Clock, Settings
from api.transport.sockets import Sockets
from api.transport.vigil import Vigil
from persistence import credentials
from persistence.audit import COMMAND, acting_as
from persistence.credentials import KeyRecord, create_key, revoke_key
from persistence.door import Door
from persistence.servers import Servers
from tests.api.sockets import (
    PATIENCE_SECONDS,
    SCHEMA,
    cloned,
    end_of,
    greet,
    hear,
    opened,
    say,
    serving,
    subscribe,
)
from tests.conftest import OPERATOR_KEY, Database

HOUR = 3_600_000_000
GOING = {"type": "pong"}

KeyOf = Callable[..., Awaitable[tuple[str, int]]]


class Time:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


class Standing(Clock):
    """A clock that stands still until it is moved."""

    def now(self) -> int:
        return 1_800_000_000_000_000 + self.offset


class Looks:
    """Lets the vigil go on when a test says so."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[None] = asyncio.Queue()

    async def rest(self, seconds: float) -> None:
        await self._asked.get()

    def look(self) -> None:
        self._asked.put_nowait(None)


@pytest.fixture
def clock() -> Clock:
    return Standing()


@pytest.fixture(scope="module")
async def standing(servers: Servers, template: str) -> AsyncIterator[Database]:
    async with cloned(servers, template) as database:
        yield database


@pytest.fixture
async def core(standing: Database, redis_url: str, clock: Clock) -> AsyncIterator[Core]:
    settings = Settings(
        database_url=standing.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    async with Core.open(settings, clock, Metrics()) as core:
        yield core


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
async def url(core: Core, looks: Looks) -> AsyncIterator[str]:
    sockets = Sockets(SCHEMA, core)
    sockets.vigil = Vigil(core, looks.rest)
    async with serving(core, sockets=sockets) as url:
        yield url


@pytest.fixture
def key_of(core: Core) -> KeyOf:
    async def make(expires_at: int | None = None) -> tuple[str, int]:
        secret = new_secret()
        with acting_as(COMMAND):
            number = await create_key(
                core.door, None, name="of a test", prefix=secret.prefix, digest=secret.digest,
                scopes=["usage:read"], expires_at=expires_at, now=core.clock.now(),
            )  # fmt: skip
        return secret.text, number

    return make


async def test_a_revoked_key_ends_idle_sockets_and_no_others(
    url: str, core: Core, looks: Looks, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked in another process: the look-up that is believed for 5 s is asked for again."""
    time = Time()
    monkeypatch.setattr("api.auth.time", time)
    secret, number = await key_of()
    other, _ = await key_of()
    asked: list[set[str]] = []

    async def find(door: Door, prefixes: list[str]) -> dict[str, KeyRecord]:
        asked.append(set(prefixes))
        return await credentials.find_by_prefixes(door, prefixes)

    monkeypatch.setattr("api.auth.find_by_prefixes", find)
    async with (
        opened(url) as idle, opened(url) as second, opened(url) as neighbour,
        opened(url) as operator, opened(url) as stranger,
    ):  # fmt: skip
        for socket, key in (
            (idle, secret), (second, secret), (neighbour, other), (operator, OPERATOR_KEY),
        ):  # fmt: skip
            await greet(socket, key)
        await say(stranger, {"type": "connection_init"})
        assert (await hear(stranger))["type"] == "connection_ack"
        with acting_as(COMMAND):
            await revoke_key(core.door, number, None, now=core.clock.now())
        time.seconds += 5.1
        looks.look()
        for socket in (idle, second):
            assert await end_of(socket) == (4401, "the credential is not valid any more")
        for socket in (neighbour, operator, stranger):
            await say(socket, {"type": "ping"})
            assert await hear(socket) == GOING
    # One look-up for all sockets and keys.
    assert asked == [{secret.split("_")[1], other.split("_")[1]}]


async def test_a_key_that_ends_ends_idle_sockets_at_the_next_look(
    url: str, clock: Clock, looks: Looks, key_of: KeyOf
) -> None:
    secret, _ = await key_of(clock.now() + HOUR)
    lasting, _ = await key_of(clock.now() + 2 * HOUR)
    async with opened(url) as idle, opened(url) as neighbour:
        await greet(idle, secret)
        await greet(neighbour, lasting)
        clock.offset += HOUR
        looks.look()
        assert await end_of(idle) == (4403, "the credential has expired")
        await say(neighbour, {"type": "ping"})
        assert await hear(neighbour) == GOING


async def test_a_key_that_ends_ends_idle_sockets_without_any_look(
    url: str, clock: Clock, key_of: KeyOf
) -> None:
    secret, _ = await key_of(clock.now() + 100_000)
    async with opened(url) as idle:
        await greet(idle, secret)
        clock.offset += 100_000
        assert await end_of(idle) == (4403, "the credential has expired")


async def test_while_the_database_is_away_idle_sockets_stay(
    url: str, core: Core, looks: Looks, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Time()
    monkeypatch.setattr("api.auth.time", time)
    secret, number = await key_of()
    tried = asyncio.Event()

    async def find(door: Door, prefixes: list[str]) -> dict[str, KeyRecord]:
        tried.set()
        raise ConnectionRefusedError

    async with opened(url) as idle:
        await greet(idle, secret)
        with acting_as(COMMAND):
            await revoke_key(core.door, number, None, now=core.clock.now())
        time.seconds += 5.1
        with monkeypatch.context() as away:
            away.setattr("api.auth.find_by_prefixes", find)
            looks.look()
            await asyncio.wait_for(tried.wait(), PATIENCE_SECONDS)
        await say(idle, {"type": "ping"})
        assert await hear(idle) == GOING
        looks.look()
        assert (await end_of(idle))[0] == 4401


async def test_a_document_that_is_not_stored_ends_its_operation_alone(url: str) -> None:
    async with opened(url) as socket:
        await greet(socket)
        missing = {"documentId": "sha256:" + "0" * 64}
        await say(socket, {"type": "subscribe", "id": "1", "payload": missing})
        answer = await hear(socket)
        assert (answer["type"], answer["id"]) == ("error", "1")
        assert answer["payload"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
        await say(socket, subscribe("2", "{ hello }"))
        assert (await hear(socket))["payload"]["data"] == {"hello": "world"}
