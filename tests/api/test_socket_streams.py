"""Streams over a websocket: side by side, ended from both ends, too slow, and no longer allowed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from api.auth import Authenticator, new_secret
from api.core import Core
from api.limits import SOCKET_OPERATIONS_MAX
from api.metrics import Metrics
from api.rights import ALL_SCOPES
from api.settings import Clock, Settings
from api.transport import socket as socket_module
from api.transport import wire as wire_module
from api.transport.protocol import Code
from api.transport.sockets import Sockets
from api.transport.wire import Wire
from persistence.audit import COMMAND, acting_as
from persistence.credentials import create_key, revoke_key
from persistence.door import Door
from persistence.servers import Servers
from tests.api.sockets import (
    INIT,
    PATIENCE_SECONDS,
    SCHEMA,
    Json,
    cloned,
    end_of,
    greet,
    hear,
    opened,
    say,
    serving,
    shake,
    steered,
    subscribe,
    until,
)
from tests.conftest import OPERATOR_KEY, Database, numbers

TICKS = "subscription($name: String!) { ticks(name: $name) { number } }"
#: Nobody listens there: the port is for discarding what comes.
NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"
HOUR = 3_600_000_000

KeyOf = Callable[..., Awaitable[tuple[str, int]]]


@pytest.fixture(scope="module")
async def standing(servers: Servers, template: str) -> AsyncIterator[Database]:
    async with cloned(servers, template) as database:
        yield database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def core(standing: Database, redis_url: str, clock: Clock) -> AsyncIterator[Core]:
    settings = Settings(
        database_url=standing.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    async with Core.open(settings, clock, Metrics()) as core:
        yield core


@pytest.fixture
async def url(core: Core, caplog: pytest.LogCaptureFixture) -> AsyncIterator[str]:
    """Where the streams are served; nothing is left running, and ends are no errors."""
    before = asyncio.all_tasks()
    async with serving(core) as url:
        yield url
    left = asyncio.all_tasks() - before
    assert [task for task in left if "Socket" in repr(task)] == []
    assert steered.running == set()
    errors = [each for each in caplog.get_records("call") if each.levelno >= logging.ERROR]
    assert [record for record in errors if "field failed" not in record.getMessage()] == []


@pytest.fixture
def name() -> str:
    """The name of a stream of this test."""
    return f"stream-{next(numbers)}"


@pytest.fixture
def key_of(core: Core) -> KeyOf:
    """`await key_of(expires_at=...)`: the secret of a new operator's key, and its id."""

    async def make(expires_at: int | None = None) -> tuple[str, int]:
        secret = new_secret()
        with acting_as(COMMAND):
            number = await create_key(
                core.door, None, name="of a test", prefix=secret.prefix, digest=secret.digest,
                scopes=sorted(ALL_SCOPES), expires_at=expires_at, now=core.clock.now(),
            )  # fmt: skip
        return secret.text, number

    return make


async def over(name: str) -> None:
    """The stream's own end, reached."""
    await asyncio.wait_for(steered.end_of(name).wait(), PATIENCE_SECONDS)


def number_in(message: Json, name: str = "ticks") -> int:
    assert message["type"] == "next", message
    return int(message["payload"]["data"][name]["number"])


async def test_streams_run_side_by_side_and_one_fails_alone(url: str, name: str) -> None:
    failing = "subscription { failing(after: 1) { number } }"
    async with opened(url) as socket:
        await greet(socket)
        await say(socket, *(subscribe(one, TICKS, name=name + one) for one in "ab"))
        await say(socket, subscribe("c", failing))
        assert number_in(await hear(socket), "failing") == 0
        error = await hear(socket)
        assert (error["type"], error["id"]) == ("error", "c")
        (shown,) = error["payload"]
        assert shown["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        assert "secret" not in shown["message"]
        assert shown["extensions"]["requestId"]
        for number in (1, 2):
            for one in "ab":
                steered.tick(name + one, number)
                message = await hear(socket)
                assert (message["id"], number_in(message)) == (one, number)
                assert message["payload"]["extensions"] == {"cost": 2}
        steered.tick(name + "a", -1)
        assert await hear(socket) == {"type": "complete", "id": "a"}
        await say(socket, subscribe("a", "{ hello }"), subscribe("c", 'mutation{say(word:"x")}'))
        answers = [await hear(socket) for _ in range(4)]
        data = {a["id"]: a["payload"]["data"] for a in answers if a["type"] == "next"}
        assert data == {"a": {"hello": "world"}, "c": {"say": "x"}}
        steered.tick(name + "b", 3)
        assert number_in(await hear(socket)) == 3
    await over(name + "b")


async def test_a_stream_that_was_refused_says_why(url: str) -> None:
    async with opened(url) as socket:
        await greet(socket)
        await say(socket, subscribe("1", "subscription { hidden { number } }"))
        error = await hear(socket)
        assert error["type"] == "error"
        assert error["payload"][0]["message"] == "there is no such tenant"
        assert error["payload"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_field_that_fails_is_null_in_its_event(url: str, name: str) -> None:
    async with opened(url) as socket:
        await greet(socket)
        query = "subscription($name: String!) { ticks(name: $name) { number broken } }"
        await say(socket, subscribe("1", query, name=name))
        for number in (1, 2):
            steered.tick(name, number)
            message = await hear(socket)
            assert message["payload"]["data"] == {"ticks": {"number": number, "broken": None}}
            (error,) = message["payload"]["errors"]
            assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
            assert error["path"] == ["ticks", "broken"]


async def test_every_event_has_its_own_instant_and_loaders(
    url: str, name: str, clock: Clock
) -> None:
    async with opened(url) as socket:
        await greet(socket)
        query = "subscription($name: String!) { ticks(name: $name) { lookedUp now } }"
        await say(socket, subscribe("1", query, name=name))
        instants = []
        for number in (1, 2):
            clock.offset += HOUR
            steered.tick(name, number)
            (event,) = (await hear(socket))["payload"]["data"].values()
            assert event["lookedUp"] == [1]
            instants.append(int(event["now"]))
        assert instants[1] - instants[0] >= HOUR


async def test_a_client_ends_its_stream_and_takes_the_id_again(url: str, name: str) -> None:
    async with opened(url) as socket:
        await greet(socket)
        for round_ in ("1", "2"):
            await say(socket, subscribe("same", TICKS, name=name + round_))
            steered.tick(name + round_, 1)
            assert number_in(await hear(socket)) == 1
            await say(socket, {"type": "complete", "id": "same"})
            await over(name + round_)
        await say(socket, subscribe("same", TICKS, name=name + "3"))
        await say(socket, {"type": "complete", "id": "same"})
        await say(socket, subscribe("same", "{ hello }"))
        assert [(await hear(socket))["type"] for _ in range(2)] == ["next", "complete"]


async def test_one_operation_too_many_is_refused_alone(url: str, name: str) -> None:
    async with opened(url) as socket:
        await greet(socket)
        for number in range(SOCKET_OPERATIONS_MAX):
            await say(socket, subscribe(str(number), TICKS, name=f"{name}-{number}"))
        await say(socket, subscribe("more", "{ hello }"))
        error = await hear(socket)
        assert (error["type"], error["id"]) == ("error", "more")
        assert error["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        steered.tick(f"{name}-0", 7)
        assert number_in(await hear(socket)) == 7
        await say(socket, {"type": "complete", "id": "0"}, subscribe("more", "{ hello }"))
        assert (await hear(socket))["payload"]["data"] == {"hello": "world"}


async def test_an_id_that_runs_is_not_taken_twice(url: str, name: str) -> None:
    async with opened(url) as socket:
        await greet(socket)
        await say(socket, subscribe("1", TICKS, name=name), subscribe("1", "{ hello }"))
        assert await end_of(socket) == (4409, "Subscriber for 1 already exists")


async def test_a_client_that_leaves_ends_its_streams(url: str, name: str) -> None:
    async with opened(url) as socket:
        await greet(socket)
        await say(socket, *(subscribe(one, TICKS, name=name + one) for one in "ab"))
        for one in "ab":
            steered.tick(name + one, 1)
            assert number_in(await hear(socket)) == 1
        socket.transport.abort()
    for one in "ab":
        await over(name + one)


FLOOD = "subscription($name: String!) { flood(name: $name) }"


async def test_a_client_that_leaves_at_once_ends_its_operation(core: Core, name: str) -> None:
    """Whatever that waits for just then: who came without a credential asks Valkey."""
    sockets = Sockets(SCHEMA, core)
    async with serving(core, sockets=sockets) as url:
        for steps in range(40):
            async with opened(url) as socket:
                await say(socket, {"type": "connection_init"})
                assert (await hear(socket))["type"] == "connection_ack"
                await say(socket, subscribe("1", TICKS, name=f"{name}-{steps}"))
                while not any(each.operations for each in sockets.open):  # noqa: ASYNC110 - in this loop
                    await asyncio.sleep(0)
                for _ in range(steps):
                    await asyncio.sleep(0)
                socket.transport.abort()

        async def left() -> bool:
            tasks = [task.get_name() for task in asyncio.all_tasks()]
            return not sockets.open and not any(task.startswith("Socket") for task in tasks)

        await until(left)
        assert sockets.streams.running == set()


async def test_a_client_that_does_not_read_is_closed(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "SOCKET_SEND_SECONDS", 0.2)
    async with opened(url, max_queue=1) as socket:
        await greet(socket)
        await say(socket, subscribe("1", FLOOD, name=name), subscribe("2", TICKS, name=name + "2"))
        await over(name)
        code, reason = await end_of(socket)
        assert (code, reason) == (4508, "messages are not read fast enough")


async def test_a_client_that_never_reads_again_is_cut(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "SOCKET_SEND_SECONDS", 0.1)
    monkeypatch.setattr(Wire._cut_later, "__defaults__", (0.1,))
    async with opened(url, max_queue=1, close_timeout=0.1) as socket:
        await greet(socket)
        await say(socket, subscribe("1", FLOOD, name=name))
        await over(name)
        assert await cut(socket)


async def test_a_client_that_answers_no_ping_is_closed(core: Core) -> None:
    """By a code that clients come back after."""
    async with serving(core, ws_ping_interval=0.05, ws_ping_timeout=0.05) as url:
        line, reader, writer = await shake(url)
        assert b" 101 " in line
        heard = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        assert heard.endswith(int(Code.NO_PONG).to_bytes(2, "big") + b"no pong came in time")
        writer.close()


async def cut(socket: ClientConnection) -> bool:
    """Whether the connection ends without a word as soon as something is sent into it."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                await socket.send("{}")
                await asyncio.sleep(0.01)
    except ConnectionClosed as closed:
        return closed.rcvd is None


async def test_a_server_ends_while_a_client_does_not_read(
    core: Core, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(core) as url:
        socket = await opened(url, max_queue=1, close_timeout=0.1)
        await greet(socket)
        await say(socket, subscribe("1", FLOOD, name=name))
        assert (await hear(socket))["type"] == "next"
    assert name not in steered.running
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    await socket.close()


async def test_nobody_greets_and_the_socket_is_closed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "SOCKET_INIT_SECONDS", 0.1)
    async with opened(url) as greeted, opened(url) as socket:
        await greet(greeted)
        await say(socket, {"type": "ping"})
        assert await hear(socket) == {"type": "pong"}
        assert await end_of(socket) == (4408, "Connection initialisation timeout")
        await say(greeted, subscribe("1", "{ hello }"))
        assert (await hear(greeted))["type"] == "next"


async def test_a_revoked_key_ends_its_sockets_with_their_next_event(
    url: str, name: str, core: Core, key_of: KeyOf
) -> None:
    secret, number = await key_of()
    async with opened(url) as socket, opened(url) as other:
        for one, at in ((socket, name), (other, name + "2")):
            await greet(one, secret)
            await say(one, subscribe("1", TICKS, name=at))
            steered.tick(at, 1)
            assert number_in(await hear(one)) == 1
        with acting_as(COMMAND):
            assert await revoke_key(core.door, number, None, now=core.clock.now())
        core.authenticator.forget(secret.split("_")[1])
        steered.tick(name, 2)
        assert await end_of(socket) == (4401, "the credential is not valid any more")
        await say(other, subscribe("2", 'mutation { say(word: "x") }'))
        assert (await end_of(other))[0] == 4401
    await over(name)


async def test_a_key_that_ends_ends_its_sockets(
    url: str, name: str, clock: Clock, key_of: KeyOf
) -> None:
    secret, _ = await key_of(clock.now() + HOUR)
    async with opened(url) as socket:
        await greet(socket, secret)
        await say(socket, subscribe("1", TICKS, name=name))
        steered.tick(name, 1)
        assert number_in(await hear(socket)) == 1
        clock.offset += HOUR
        steered.tick(name, 2)
        assert await end_of(socket) == (4403, "the credential has expired")


async def test_while_the_database_is_away_streams_go_on(
    url: str, name: str, core: Core, key_of: KeyOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was let in stays in; who comes, or asks for more, is told to come again."""
    secret, _ = await key_of()
    async with opened(url) as socket, Door.open(NOWHERE) as door:
        await greet(socket, secret)
        await say(socket, subscribe("1", TICKS, name=name))
        steered.tick(name, 1)
        assert number_in(await hear(socket)) == 1
        nobody = Authenticator(door, OPERATOR_KEY, core.clock)
        monkeypatch.setattr(core, "authenticator", nobody)
        monkeypatch.setattr(core.gate, "authenticator", nobody)
        steered.tick(name, 2)
        assert number_in(await hear(socket)) == 2
        await say(socket, subscribe("2", "{ hello }"))
        (error,) = (await hear(socket))["payload"]
        assert error["extensions"]["code"] == "SERVICE_UNAVAILABLE"
        async with opened(url) as another:
            await say(another, {**INIT, "payload": {"authorization": f"Bearer {secret}"}})
            assert (await end_of(another))[0] == 1013


async def test_before_the_database_was_there_sockets_are_told_to_come_again(
    redis_url: str,
) -> None:
    settings = Settings(database_url=NOWHERE, redis_url=redis_url, operator_key=OPERATOR_KEY)
    async with (
        Core.open(settings, Clock(), Metrics()) as core,
        serving(core) as url,
        opened(url) as socket,
    ):
        assert (await end_of(socket))[0] == 1013
