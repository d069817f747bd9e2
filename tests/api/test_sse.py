"""Server-sent events: the letter of their protocol, who is let in, and how a response ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from api.auth import new_secret
from api.core import Core
from api.limits import SOCKET_EVENTS_MAX
from api.metrics import Metrics
from api.settings import Clock, Settings
from api.transport import seats, sse, vigil
from api.transport.protocol import Close, Code
from api.transport.sse import EventStream, EventStreams
from api.transport.streams import Event
from api.transport.vigil import Vigil
from persistence.audit import COMMAND, acting_as
from persistence.credentials import create_key, revoke_key
from persistence.servers import Servers
from tests.api.events import PATH, Response, asked, streaming, streams_of
from tests.api.sockets import Json, cloned, steered, until
from tests.conftest import OPERATOR_KEY, Database, numbers

TICKS = "subscription($name: String!) { ticks(name: $name) { number } }"
HELLO = "{ hello }"
JSON = {"content-type": "application/json"}
HOUR = 3_600_000_000

KeyOf = Callable[..., Awaitable[tuple[dict[str, str], int]]]


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


@pytest.fixture(scope="module")
async def standing(servers: Servers, template: str) -> AsyncIterator[Database]:
    async with cloned(servers, template) as database:
        yield database


@pytest.fixture
def clock() -> Clock:
    return Standing()


@pytest.fixture
async def core(standing: Database, redis_url: str, clock: Clock) -> AsyncIterator[Core]:
    settings = Settings(
        database_url=standing.app_url,
        redis_url=redis_url,
        operator_key=OPERATOR_KEY,
        allowed_origins=("https://office.example",),
    )
    async with Core.open(settings, clock, Metrics()) as core:
        yield core


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def streams(core: Core, looks: Looks) -> EventStreams:
    streams = streams_of(core)
    streams._sockets.vigil = Vigil(core, looks.rest)
    return streams


@pytest.fixture
async def url(streams: EventStreams, caplog: pytest.LogCaptureFixture) -> AsyncIterator[str]:
    """Where the streams are served; nothing is left running, and ends are no errors."""
    async with streaming(streams) as url:
        yield url
    assert streams.open == set()
    assert streams._sockets.streams.running == set()
    assert streams._sockets.seats.taken == 0
    assert streams._sockets.vigil._sockets == {}
    assert steered.running == set()
    records = caplog.get_records("call")
    errors = [record for record in records if record.levelno >= logging.ERROR]
    assert [record for record in errors if "field failed" not in record.getMessage()] == []


@pytest.fixture
def name() -> str:
    """The name of a stream of this test."""
    return f"events-{next(numbers)}"


@pytest.fixture
def key_of(core: Core) -> KeyOf:
    """`await key_of()`: the headers and the number of a new key."""

    async def make(expires_at: int | None = None) -> tuple[dict[str, str], int]:
        secret = new_secret()
        with acting_as(COMMAND):
            number = await create_key(
                core.door, None, name="of a test", prefix=secret.prefix, digest=secret.digest,
                scopes=["usage:read"], expires_at=expires_at, now=core.clock.now(),
            )  # fmt: skip
        return {"authorization": f"Bearer {secret.text}"}, number

    return make


async def begun(response: Response) -> None:
    """The response has begun with a comment, which flushes its head."""
    assert (response.status, await response.part()) == (200, ":")


# The letter of the protocol


async def test_a_subscription_is_told_to_its_end(url: str, name: str) -> None:
    for number in (0, 1, -1):
        steered.tick(name, number)
    async with asked(url, TICKS, variables={"name": name}) as response:
        assert await response.rest()
    assert response.text == (
        ":\n\n"
        'event: next\ndata: {"data":{"ticks":{"number":0}},"extensions":{"cost":2}}\n\n'
        'event: next\ndata: {"data":{"ticks":{"number":1}},"extensions":{"cost":2}}\n\n'
        "event: complete\ndata:\n\n"
    )
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-request-id"]
    assert "content-encoding" not in response.headers


async def test_a_get_asks_for_the_same(url: str, name: str) -> None:
    steered.tick(name, 7)
    variables = {"name": name}
    async with asked(url, TICKS, method="GET", variables=variables) as response:
        assert (await response.next())["data"] == {"ticks": {"number": 7}}
        steered.tick(name, 8)
        assert (await response.next())["data"] == {"ticks": {"number": 8}}
        steered.tick(name, -1)
        assert await response.rest() == ["event: complete\ndata:"]


def once(data: str) -> str:
    return f'event: next\ndata: {{"data":{data}}}\n\nevent: complete\ndata:\n\n'


ANSWERED = [
    ("POST", HELLO, '{"hello":"world"}'),
    ("GET", HELLO, '{"hello":"world"}'),
    ("POST", 'mutation { say(word: "a\\nb") }', '{"say":"a\\nb"}'),
]


async def test_what_answers_once_is_one_event(url: str) -> None:
    for method, query, data in ANSWERED:
        async with asked(url, query, method=method) as response:
            await response.rest()
        assert response.text.replace(',"extensions":{"cost":1}', "") == once(data), query


#: Operations that are refused by what they are: one event says why, and no client tries again.
REFUSED: list[tuple[str, Json, str]] = [
    ("subscription { nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
    ("{ nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
    (TICKS, {}, "BAD_USER_INPUT"),
    (TICKS, {"variables": {"name": None}}, "BAD_USER_INPUT"),
    ("subscription { hidden { number } }", {}, "NOT_FOUND"),
    ("subscription { failing(after: 0) { number } }", {}, "INTERNAL_SERVER_ERROR"),
]


async def test_what_an_operation_is_refused_for_is_an_event(url: str) -> None:
    for query, members, code in REFUSED:
        async with asked(url, query, **members) as response:
            found = await response.next()
            assert response.status == 200
            assert await response.rest() == ["event: complete\ndata:"], query
        assert "data" not in found, query
        extensions = found["errors"][0]["extensions"]
        assert (extensions["code"], extensions["requestId"]) == (
            code,
            response.headers["x-request-id"],
        ), query


async def test_a_stream_that_breaks_off_says_why(url: str) -> None:
    async with asked(url, "subscription { failing(after: 1) { number } }") as response:
        assert (await response.next())["data"] == {"failing": {"number": 0}}
        (error,) = (await response.next())["errors"]
        assert "secret" not in error["message"]
        assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        assert await response.rest() == ["event: complete\ndata:"]


#: Requests that are none: method, what is asked, the status, and the code.
NO_REQUESTS: list[tuple[str, dict[str, Any], int, str]] = [
    ("no document", {"query": "{"}, 400, "GRAPHQL_PARSE_FAILED"),
    ("a long document", {"query": "{ " + "hello " * 1_100 + "}"}, 400, "BAD_USER_INPUT"),
    ("no query", {}, 400, "BAD_REQUEST"),
    ("no operation", {"query": "fragment f on Query { hello }"}, 400, "BAD_REQUEST"),
    ("two of them", {"query": "query A { hello } query B { hello }"}, 400, "BAD_REQUEST"),
    ("another name", {"query": "query A { hello }", "operationName": "B"}, 400, "BAD_REQUEST"),
    ("variables", {"query": HELLO, "variables": [1]}, 400, "BAD_REQUEST"),
    ("no JSON", {"content": b"{", "headers": JSON}, 400,
     "BAD_REQUEST"),
    ("a form", {"content": b"query=x", "headers": {"content-type": "text/plain"}}, 415,
     "UNSUPPORTED_MEDIA_TYPE"),
    ("a large body", {"query": HELLO + " " * 140_000}, 413, "PAYLOAD_TOO_LARGE"),
    ("a mutation by GET", {"method": "GET", "query": 'mutation { say(word: "x") }'}, 405,
     "METHOD_NOT_ALLOWED"),
    ("PUT", {"method": "PUT"}, 405, "METHOD_NOT_ALLOWED"),
    ("DELETE", {"method": "DELETE"}, 405, "METHOD_NOT_ALLOWED"),
    ("JSON wanted", {"query": HELLO, "headers": {"accept": "application/json"}}, 406,
     "NOT_ACCEPTABLE"),
    ("an unknown document", {"documentId": "sha256:" + "0" * 64}, 404,
     "PERSISTED_QUERY_NOT_FOUND"),
    ("a page of strangers", {"query": HELLO, "headers": {"origin": "https://evil.example"}}, 403,
     "FORBIDDEN"),
]  # fmt: skip


async def test_what_is_no_request_is_answered_in_json(url: str) -> None:
    for what, given, status, code in NO_REQUESTS:
        given = dict(given)
        async with asked(url, given.pop("query", None), **given) as response:
            body = await response.json()
        assert response.status == status, what
        assert response.headers["content-type"].startswith("application/graphql-response+json")
        assert [error["extensions"]["code"] for error in body["errors"]] == [code], what
        allowed = {"PUT": "GET, POST", "DELETE": "GET, POST", "a mutation by GET": "POST"}
        assert response.headers.get("allow") == allowed.get(what), what


async def test_anything_is_accepted_that_takes_events(url: str) -> None:
    for accept in (
        "*/*",
        "text/*",
        "application/json, text/event-stream;q=0.5",
        "TEXT/Event-Stream",
    ):
        async with asked(url, HELLO, headers={"accept": accept}) as response:
            assert response.status == 200, accept
            assert await response.next()


async def test_a_quiet_stream_says_that_it_is_there(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "STREAM_COMMENT_SECONDS", 0.01)
    async with asked(url, TICKS, variables={"name": name}) as response:
        assert [await response.part() for _ in range(3)] == [":", ":", ":"]
        steered.tick(name, 5)
        assert (await response.next())["data"] == {"ticks": {"number": 5}}


# Who is let in


async def test_a_credential_is_judged_before_the_body_is_read(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [
        f"POST {PATH} HTTP/1.1", "host: x", "accept: text/event-stream",
        "authorization: Bearer wrong", "content-type: application/json", "content-length: 1000",
    ]  # fmt: skip
    writer.write("\r\n".join([*head, "", ""]).encode())
    async with asyncio.timeout(10):
        assert b" 401 " in await reader.readline()
    writer.close()


async def test_without_a_credential_fields_say_so(url: str, name: str) -> None:
    headers = {"authorization": ""}
    for credential in (headers, {"authorization": "Bearer x"}):
        async with asked(url, HELLO, headers=credential) as response:
            assert (response.status, (await response.json())["code"]) == (401, "UNAUTHENTICATED")
    steered.tick(name, -1)
    async with asked(url, TICKS, variables={"name": name}) as response:
        assert response.status == 200


async def test_pages_that_are_welcome_may_read(url: str) -> None:
    page = {"origin": "https://office.example"}
    async with asked(url, HELLO, headers=page) as response:
        assert response.status == 200
        assert await response.next()


async def test_responses_are_seats_like_sockets(
    url: str, name: str, streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(seats.LIMITS, "credential", (1, "this credential has"))
    async with asked(url, TICKS, variables={"name": name}) as first:
        await begun(first)
        async with asked(url, TICKS, variables={"name": name}) as second:
            assert second.status == 429
            assert second.headers["retry-after"]
            (error,) = (await second.json())["errors"]
            assert error["extensions"]["code"] == "RATE_LIMITED"
    await until(lambda: empty(streams))
    async with asked(url, TICKS, variables={"name": name}) as third:
        await begun(third)
    monkeypatch.setattr(seats, "SOCKETS_MAX", 0)
    async with asked(url, HELLO) as fourth:
        assert fourth.status == 503


async def test_limits_are_charged_and_refused_by_status(
    url: str, core: Core, name: str, key_of: KeyOf
) -> None:
    core.gate._limit = 100
    headers, _ = await key_of()
    steered.tick(name, 1)
    async with asked(url, TICKS, variables={"name": name}, headers=headers) as response:
        await response.next()
        assert response.headers["ratelimit"] == '"key";r=98;t=2'
    async with asked(url, "{ nothing }", headers=headers) as response:
        assert response.status == 429
        assert int(response.headers["retry-after"]) > 0
        (error,) = (await response.json())["errors"]
        assert error["extensions"]["retryAfter"] > 0
    # What is no request had to be read as well.
    headers, _ = await key_of()
    for status in (400, 429):
        async with asked(url, content=b"{", headers=JSON | headers) as response:
            assert response.status == status


# Ends


async def empty(streams: EventStreams) -> bool:
    return not streams.open


async def test_a_client_that_leaves_is_followed_no_more(
    url: str, name: str, streams: EventStreams
) -> None:
    async with asked(url, TICKS, variables={"name": name}) as response:
        await begun(response)
        assert len(streams.open) == 1
    await asyncio.wait_for(steered.end_of(name).wait(), 10)
    await until(lambda: empty(streams))


async def test_a_revoked_key_ends_its_responses(
    url: str, name: str, core: Core, looks: Looks, key_of: KeyOf
) -> None:
    headers, number = await key_of()
    async with (
        asked(url, TICKS, variables={"name": name}, headers=headers) as mine,
        asked(url, TICKS, variables={"name": f"{name}-other"}) as other,
    ):
        await begun(mine)
        await begun(other)
        with acting_as(COMMAND):
            await revoke_key(core.door, number, None, now=core.clock.now())
        core.authenticator.forget(headers["authorization"].split("_")[1])
        looks.look()
        # Nothing says that it is complete: the client comes back, and is told why it may not.
        assert await mine.rest() == [": 4401 the credential is not valid any more"]
        steered.tick(f"{name}-other", 1)
        assert await other.next()
    async with asked(url, TICKS, variables={"name": name}, headers=headers) as response:
        assert response.status == 401


async def test_a_key_that_ends_ends_its_responses(
    url: str, name: str, clock: Clock, key_of: KeyOf
) -> None:
    headers, _ = await key_of(expires_at=clock.now() + HOUR)
    variables = {"name": name}
    async with asked(url, TICKS, variables=variables, headers=headers) as response:
        await begun(response)
        clock.offset += HOUR
        steered.tick(name, 1)
        assert await response.rest() == [": 4403 the credential has expired"]


async def test_an_old_response_ends(
    url: str, name: str, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vigil, "SOCKET_AGE_SECONDS", 0.0)
    async with asked(url, TICKS, variables={"name": name}) as response:
        await begun(response)
        looks.look()
        (end,) = await response.rest()
        assert end.startswith(f": {int(Code.AGE)} ")


async def test_draining_ends_every_response(url: str, name: str, streams: EventStreams) -> None:
    async with (
        asked(url, TICKS, variables={"name": name}) as one,
        asked(url, TICKS, variables={"name": f"{name}-other"}) as other,
    ):
        await begun(one)
        await begun(other)
        streams.core.draining = True
        await streams.drain(0)
        for response in (one, other):
            (end,) = await response.rest()
            assert end.startswith(": 1012 ")
    async with asked(url, HELLO) as response:
        assert response.status == 503


async def test_who_does_not_read_is_cut(
    url: str, name: str, streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "SOCKET_SEND_SECONDS", 0.05)
    async with asked(url, TICKS, variables={"name": name}) as response:
        await begun(response)
        (stream,) = streams.open

        async def gone() -> bool:
            for _ in range(100):
                stream.deliver(Event(b'"' + b"x" * 50_000 + b'"', state=True))
            return not streams.open

        await until(gone)
        assert stream.code == Code.SLOW
        assert stream.skipped > 0
    await asyncio.wait_for(steered.end_of(name).wait(), 10)


async def test_who_does_not_read_does_not_hold_up_an_end(
    url: str, name: str, streams: EventStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "LAST_SECONDS", 0.05)
    async with asked(url, TICKS, variables={"name": name}) as response:
        await begun(response)
        (stream,) = streams.open

        async def stuck() -> bool:
            stream.deliver(Event(b'"' + b"x" * 50_000 + b'"', state=True))
            return stream.skipped > 10

        await until(stuck)
        await streams.drain(0)
        await until(lambda: empty(streams))
        assert stream.code == Code.RESTART


# What is kept for a slow client


class Reader:
    """What is sent, to who reads it when a test says so."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ready = asyncio.Event()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self.ready.wait()
            self.sent.append(message["body"])

    async def receive(self) -> Json:
        await asyncio.Event().wait()
        return {}


async def read(stream: EventStream) -> list[str]:
    """What is sent of what a stream has, and then ends with."""
    reader = Reader()
    reader.ready.set()
    async with asyncio.timeout(10):
        await stream.run(reader.receive, reader.send, None)
    return b"".join(reader.sent).decode().strip().split("\n\n")


def state(text: str) -> Event:
    return Event(text.encode(), state=True)


def event(text: str) -> Event:
    return Event(text.encode(), state=False)


async def test_of_states_the_newest_is_kept_and_events_all() -> None:
    stream = EventStream(None, "id")
    for each in (state("1"), event("2"), state("3"), event("4"), state("5")):
        stream.deliver(each)
    stream.finish(None)
    stream.deliver(state("6"))
    stream.close(Close(Code.AGE, "too late"))
    assert await read(stream) == [
        ":", *(f"event: next\ndata: {n}" for n in (2, 4, 5)), "event: complete\ndata:",
    ]  # fmt: skip
    assert (stream.code, stream.sent, stream.skipped) == (1000, 3, 2)


async def test_events_that_may_not_be_skipped_are_kept_within_bounds() -> None:
    stream = EventStream(None, "id")
    left: list[EventStream] = []
    stream.leave = lambda: left.append(stream)
    for number in range(SOCKET_EVENTS_MAX):
        stream.deliver(event(str(number)))
    assert stream.code != Code.SLOW
    stream.deliver(event("one too many"))
    assert left == [stream]
    assert await read(stream) == [":", ": 4508 events are not read fast enough"]
    assert stream.code == Code.SLOW
