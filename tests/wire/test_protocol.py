"""`graphql-transport-ws` as a table over raw frames: what a client sends, and what comes back.

Every row runs against us and, where Node is, against the reference server of the npm package
`graphql-ws`. Where the two differ the row says what the reference does, and why we do not. Reasons
of closes are words of ours: the reference's are compared by their codes.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Opcode

from api.core import Core
from api.limits import SOCKET_MESSAGE_BYTES_MAX
from api.metrics import Metrics
from api.settings import Clock, Settings
from api.transport import socket as socket_module
from persistence.servers import Servers
from tests.api.sockets import cloned, serving, steered
from tests.conftest import OPERATOR_KEY, Database
from tests.wire.client import Json
from tests.wire.node import packages, program, script
from tests.wire.raw import (
    PROTOCOL,
    binary,
    connected,
    control,
    rest,
    text,
    written,
)

INIT = {"type": "connection_init"}
ACK = "connection_ack"
PONG = "pong"
TYPENAME = "{ __typename }"
ANSWERED = 'next 1 {"data": {"__typename": "Query"}}'
DONE = "complete 1"
REFUSED = "error 1 errors: 1"
TICKS = "subscription($name: String!) { ticks(name: $name) { number } }"
FIRST, SECOND = (f'next 1 {{"data": {{"ticks": {{"number": {n}}}}}}}' for n in range(2))


@dataclass(frozen=True, slots=True)
class After:
    """A place in what is sent: so much has been heard by then."""

    heard: int


@dataclass(frozen=True, slots=True)
class Row:
    """One connection, from its opening to its end or to an answered ping."""

    name: str
    sends: tuple[bytes | After, ...]
    hears: tuple[str, ...]
    offers: str | None = PROTOCOL
    reference: tuple[str, ...] | None = None  #: what it says, where that is something else
    why: str = ""


def subscribing(id: Any = "1", **payload: Any) -> Json:
    return {"type": "subscribe", "id": id, "payload": {"query": TYPENAME} | payload}


def ticking(name: str, id: str = "1") -> Json:
    return subscribing(id, query=TICKS, variables={"name": name})


def said(*messages: Any) -> tuple[bytes, ...]:
    return tuple(text(message) for message in messages)


def greeted(*messages: Any) -> tuple[bytes | After, ...]:
    """Messages behind the ack."""
    return (text(INIT), After(1), *said(*messages))


def bad(reason: str) -> tuple[str, ...]:
    return (f"close 4400 {reason}",)


SUBPROTOCOL = "close 4406 Subprotocol not acceptable: offer graphql-transport-ws"
HANDSHAKES = [
    Row("no subprotocol", (), (SUBPROTOCOL,), offers=None),
    Row("another subprotocol", (), (SUBPROTOCOL,), offers="mqtt"),
    Row("the legacy one alone", (), (SUBPROTOCOL,), offers="graphql-ws"),
    Row("ours in capitals", (), (SUBPROTOCOL,), offers="GraphQL-Transport-WS"),
    Row("the legacy one first", said(INIT), (ACK,), offers=f"graphql-ws, {PROTOCOL}"),
    Row("the legacy one last", said(INIT), (ACK,), offers=f"{PROTOCOL}, graphql-ws"),
]

NOT_JSON = "the message is not JSON: Expecting property name enclosed in double quotes"
SPOKEN_BY_SERVERS = "4500 is for what went wrong on our side; the protocol's own words ask for 4400"
NO_MESSAGES = [
    Row("no JSON", said("{"), bad(f"{NOT_JSON} at character 1")),
    Row("nothing", said(""), bad("the message is not JSON: Expecting value at character 0")),
    Row("a list", said("[1]"), bad("the message is a list: send an object with a `type`")),
    Row("a number", said("5"), bad("the message is a number: send an object with a `type`")),
    Row("null", said("null"), bad("the message is null: send an object with a `type`")),
    Row("a string", said('"x"'), bad("the message is a string: send an object with a `type`")),
    Row("no type", said("{}"), bad("the message's `type` is null: write a string")),
    Row("a type that is null", said({"type": None}),
        bad("the message's `type` is null: write a string")),
    Row("a type that is a list", said({"type": ["ping"]}),
        bad("the message's `type` is a list: write a string")),
    Row("an unknown type", said({"type": "start"}),
        bad("there are no messages of the type 'start'")),
    Row("an empty type", said({"type": ""}), bad("there are no messages of the type ''")),
    *(
        Row(f"a server's {kind}", greeted(message),
            (ACK, *bad(f"there are no messages of the type {kind!r}")),
            reference=(ACK, "close 4500"), why=SPOKEN_BY_SERVERS)
        for kind, message in (
            ("connection_ack", {"type": "connection_ack"}),
            ("next", {"type": "next", "id": "1", "payload": {"data": None}}),
            ("error", {"type": "error", "id": "1", "payload": [{"message": "x"}]}),
        )
    ),
    Row("a server's next, without an id", said({"type": "next"}),
        bad("there are no messages of the type 'next'")),
]  # fmt: skip

TWICE = "close 4429 Too many initialisation requests"
UNAUTHORIZED = "close 4401 Unauthorized: send connection_init first"
GREETINGS = [
    Row("init", said(INIT), (ACK,)),
    Row("init with null", said(INIT | {"payload": None}), (ACK,)),
    Row("init with an object", said(INIT | {"payload": {"a": 1}}), (ACK,)),
    Row("init with a list", said(INIT | {"payload": []}),
        bad("`payload` is a list: write an object, or leave it out")),
    Row("init with text", said(INIT | {"payload": "x"}),
        bad("`payload` is a string: write an object, or leave it out")),
    Row("init twice", (*greeted(), *said(INIT)), (ACK, TWICE)),
    Row("init twice at once", (b"".join(said(INIT, INIT)),), (ACK, TWICE),
        reference=(TWICE,), why="messages are taken in turn, so the first is answered"),
    Row("a subscribe before init", said(subscribing()), (UNAUTHORIZED,)),
    Row("a complete before init", said({"type": "complete", "id": "1"}), ()),
    Row("a ping before init", said({"type": "ping"}), (PONG,)),
    Row("a pong before init", said({"type": "pong"}), ()),
    Row("a subscribe before the ack", (b"".join(said(INIT, subscribing())),),
        (ACK, ANSWERED, DONE),
        reference=(UNAUTHORIZED,), why="messages are taken in turn, so the ack has been said"),
]  # fmt: skip

PINGS = [
    Row("a ping", said({"type": "ping"}), (PONG,)),
    Row("a ping with null", said({"type": "ping", "payload": None}), (PONG,)),
    Row("a ping with nothing in it", said({"type": "ping", "payload": {}}), ("pong {}",)),
    Row("a ping with something", said({"type": "ping", "payload": {"a": [1, None, "é"]}}),
        ('pong {"a": [1, null, "\\u00e9"]}',)),
    Row("a ping with a list", said({"type": "ping", "payload": [1]}),
        bad("`payload` is a list: write an object, or leave it out")),
    Row("a ping with false", said({"type": "ping", "payload": False}),
        bad("`payload` is a boolean: write an object, or leave it out")),
    Row("a pong", said({"type": "pong"}, {"type": "pong", "payload": {"a": 1}}), ()),
    Row("a pong with text", said({"type": "pong", "payload": "x"}),
        bad("`payload` is a string: write an object, or leave it out")),
    Row("pings after the ack", greeted({"type": "ping"}, {"type": "ping"}), (ACK, PONG, PONG)),
]  # fmt: skip


def wrong(name: str, message: Json, reason: str) -> Row:
    """A subscribe that is none."""
    return Row(name, greeted(message), (ACK, *bad(reason)))


LEAVE_OUT = "write an object, or leave it out"
NO_SUBSCRIBES = [
    wrong("no id", {"type": "subscribe", "payload": {"query": TYPENAME}},
          "`id` is null: write a string"),
    wrong("an id that is null", subscribing(None), "`id` is null: write a string"),
    wrong("an id that is a number", subscribing(1), "`id` is a number: write a string"),
    wrong("an id that is a list", subscribing(["1"]), "`id` is a list: write a string"),
    wrong("an empty id", subscribing(""), "`id` has 0 characters: write 1 to 128"),
    wrong("no payload", {"type": "subscribe", "id": "1"},
          '`payload` is null: write {"query": "..."}'),
    wrong("a payload that is null", {"type": "subscribe", "id": "1", "payload": None},
          '`payload` is null: write {"query": "..."}'),
    wrong("a payload that is a list", {"type": "subscribe", "id": "1", "payload": []},
          f"`payload` is a list: {LEAVE_OUT}"),
    wrong("no query", {"type": "subscribe", "id": "1", "payload": {}},
          "`query` is null: write a string"),
    wrong("a query that is a number", subscribing(query=5), "`query` is a number: write a string"),
    wrong("a query that is null", subscribing(query=None), "`query` is null: write a string"),
    wrong("a name that is a number", subscribing(operationName=5),
          "`operationName` is a number: write a string, or leave it out"),
    wrong("variables that are a list", subscribing(variables=[]),
          f"`variables` is a list: {LEAVE_OUT}"),
    wrong("variables that are text", subscribing(variables="x"),
          f"`variables` is a string: {LEAVE_OUT}"),
    wrong("variables that are false", subscribing(variables=False),
          f"`variables` is a boolean: {LEAVE_OUT}"),
    wrong("extensions that are a list", subscribing(extensions=[]),
          f"`extensions` is a list: {LEAVE_OUT}"),
    wrong("a complete without an id", {"type": "complete"}, "`id` is null: write a string"),
    wrong("a complete with a number", {"type": "complete", "id": 1},
          "`id` is a number: write a string"),
    wrong("a complete with an empty id", {"type": "complete", "id": ""},
          "`id` has 0 characters: write 1 to 128"),
]  # fmt: skip

NEIGHBOURS = "an operation never ends its neighbours: it has an error of its own"
NOT_EXECUTED = "what was never executed has no result: it ends in an error"
DUPLICATE = "close 4409 Subscriber for 1 already exists"
OPERATIONS = [
    Row("a query", greeted(subscribing()), (ACK, ANSWERED, DONE)),
    Row("everything that may be null", greeted(
        subscribing(variables=None, operationName=None, extensions=None)
    ), (ACK, ANSWERED, DONE)),
    Row("a named query", greeted(
        subscribing(query="query A { __typename } query B { hello }", operationName="A")
    ), (ACK, ANSWERED, DONE)),
    Row("an empty name", greeted(subscribing(operationName="")), (ACK, ANSWERED, DONE),
        reference=(ACK, REFUSED), why="tools send it where there is no name, and HTTP takes it"),
    Row("a mutation", greeted(subscribing(query='mutation { say(word: "x") }')),
        (ACK, 'next 1 {"data": {"say": "x"}}', DONE)),
    Row("a subscription that ends", greeted(ticking("two")), (ACK, FIRST, SECOND, DONE)),
    Row("one that fails", greeted(
        subscribing(query="subscription { failing(after: 1) { number } }")
    ), (ACK, 'next 1 {"data": {"failing": {"number": 0}}}', REFUSED)),
    Row("one that fails at once", greeted(
        subscribing(query="subscription { failing(after: 0) { number } }")
    ), (ACK, REFUSED)),
    Row("one the client ends", (
        *greeted(ticking("endless")), After(3), *said({"type": "complete", "id": "1"})
    ), (ACK, FIRST, SECOND)),
    Row("one the client ends twice", (
        *greeted(ticking("endless")), After(3),
        *said({"type": "complete", "id": "1"}, {"type": "complete", "id": "1"}),
    ), (ACK, FIRST, SECOND)),
    Row("what does not run is completed", greeted({"type": "complete", "id": "x"}), (ACK,)),
    Row("two with one id", (
        *greeted(ticking("endless")), After(3), *said(ticking("endless")),
    ), (ACK, FIRST, SECOND, DUPLICATE)),
    Row("two with one id at once", (
        *greeted(), b"".join(said(ticking("slow"), ticking("slow")))
    ), (ACK, DUPLICATE)),
    Row("an id again", (*greeted(subscribing()), After(3), *said(subscribing())),
        (ACK, ANSWERED, DONE, ANSWERED, DONE)),
    Row("an id again, after the client's complete", (
        *greeted(ticking("endless")), After(3),
        *said({"type": "complete", "id": "1"}, subscribing()),
    ), (ACK, FIRST, SECOND, ANSWERED, DONE)),
    Row("an id again, after an error", (
        *greeted(subscribing(query="{ nothing }")), After(2), *said(subscribing())
    ), (ACK, REFUSED, ANSWERED, DONE)),
    Row("a field that is not there", greeted(subscribing(query="{ nothing }")), (ACK, REFUSED)),
    Row("a name that is not there", greeted(subscribing(operationName="B")), (ACK, REFUSED)),
    Row("no document", greeted(subscribing(query="{")), (ACK, REFUSED),
        reference=(ACK, "close 4500"), why=NEIGHBOURS),
    Row("an empty document", greeted(subscribing(query="")), (ACK, REFUSED),
        reference=(ACK, "close 4500"), why=NEIGHBOURS),
    Row("variables that do not fit", greeted(
        subscribing(query="mutation($w: String!) { say(word: $w) }", variables={"w": None})
    ), (ACK, REFUSED), reference=(ACK, 'next 1 {"errors": 1}', DONE), why=NOT_EXECUTED),
    Row("a subscription's that do not fit", greeted(subscribing(query=TICKS)), (ACK, REFUSED),
        reference=(ACK, 'next 1 {"errors": 1}', DONE), why=NOT_EXECUTED),
]  # fmt: skip

PING = written({"type": "ping", "payload": {"a": "é" * 200}})
ECHO = 'pong {"a": "' + "\\u00e9" * 200 + '"}'
LARGE = b'{"type":"ping","payload":{"a":"' + b"x" * SOCKET_MESSAGE_BYTES_MAX + b'"}}'
LONGEST = SOCKET_MESSAGE_BYTES_MAX - 34
MOST = b'{"type":"ping","payload":{"a":"' + b"x" * LONGEST + b'"}}'
CUT = written({"type": "ping"})
assert len(MOST) == SOCKET_MESSAGE_BYTES_MAX


def bytewise(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[place : place + 1] for place in range(len(data)))


FRAMES = [
    Row("many messages in one packet",
        (b"".join(said(INIT, *[{"type": "ping"}] * 50)),), (ACK, *[PONG] * 50)),
    Row("one message in many packets", bytewise(b"".join(said(INIT, {"type": "ping"}))),
        (ACK, PONG)),
    Row("a message in two frames", (text(CUT[:5], fin=False), rest(CUT[5:], fin=True)), (PONG,)),
    Row("a message in many frames", (
        text(PING[:1], fin=False), *(rest(part, fin=False) for part in bytewise(PING[1:])),
        rest(b"", fin=True),
    ), (ECHO,)),
    Row("a character in two frames", (
        text(b'{"type":"ping","payload":{"a":"\xc3', fin=False), rest(b'\xa9"}}', fin=True)
    ), ('pong {"a": "\\u00e9"}',)),
    Row("an empty frame first", (text(b"", fin=False), rest(CUT, fin=True)), (PONG,)),
    Row("a ping frame", (control(Opcode.PING, b"x"),), ("pong frame x",)),
    Row("a pong frame nobody asked for", (control(Opcode.PONG, b"x"),), ()),
    Row("a ping frame between two frames", (
        text(CUT[:5], fin=False), control(Opcode.PING, b"x"), rest(CUT[5:], fin=True)
    ), ("pong frame x", PONG)),
    Row("a message as binary", (binary({"type": "ping"}),), (PONG,)),
    Row("binary that is no JSON", (binary(b"\x00\xff"),), ("close 4400",)),
    Row("the largest message", (text(MOST),), (f'pong {{"a": "{"x" * LONGEST}"}}',)),
    Row("a message that is too large", (text(LARGE),), ("close 1009",)),
    Row("one too large by its frames", (
        text(LARGE[:40_000], fin=False), rest(LARGE[40_000:], fin=True)
    ), ("close 1009",)),
    Row("no UTF-8", (text(b'{"type":"ping","payload":{"a":"\xff"}}'),), ("close 1007",)),
    Row("half a character", (text(b'{"type":"ping"}\xc3'),), ("close 1007",)),
    Row("a frame without its mask", (b"\x81\x02{}",), ("close 1002",)),
    Row("reserved bits", (b"\xc1\x80\x00\x00\x00\x00",), ("close 1002",)),
    Row("an unknown opcode", (b"\x83\x80\x00\x00\x00\x00",), ("close 1002",)),
    Row("the rest of nothing", (rest(b"{}", fin=True),), ("close 1002",)),
    Row("a message inside another", (text(b"{", fin=False), text(b"{}")), ("close 1002",)),
    Row("a ping frame that is too long", (b"\x89\xfe\x00\x80" + bytes(4 + 128),), ("close 1002",)),
    Row("a close", (control(Opcode.CLOSE, b"\x03\xe8bye"),), ("close 1000",)),
    Row("a close without a code", (control(Opcode.CLOSE),), ("close 1005",)),
    Row("a close with a code of the client's", (control(Opcode.CLOSE, b"\x11\x93Terminated"),),
        ("close 4499",)),
    Row("a close with half a code", (control(Opcode.CLOSE, b"\x03"),), ("close 1002",)),
    Row("a close with a code nobody may send", (control(Opcode.CLOSE, b"\x03\xed"),),
        ("close 1002",)),
]  # fmt: skip

ROWS = [
    *HANDSHAKES, *NO_MESSAGES, *GREETINGS, *PINGS, *NO_SUBSCRIBES, *OPERATIONS, *FRAMES
]  # fmt: skip
TABLE = {row.name: row for row in ROWS}


async def transcript(port: int, path: str, row: Row, count: int) -> list[str]:
    """What is heard: as much as is awaited, and all that comes until a ping is answered."""
    raw = await connected(port, path, row.offers)
    try:
        assert raw.subprotocol == (PROTOCOL if PROTOCOL in (row.offers or "") else None)
        for step in row.sends:
            if isinstance(step, After):
                await raw.until(step.heard)
                continue
            raw.write(step)
            await raw.writer.drain()
        await raw.until(count)
        await raw.settle()
        return raw.heard
    finally:
        raw.writer.close()


def codes(heard: list[str] | tuple[str, ...]) -> list[str]:
    """What was heard without the reasons of closes."""
    return [" ".join(line.split()[:2]) if line.startswith("close ") else line for line in heard]


@pytest.fixture(scope="module")
async def standing(servers: Servers, template: str) -> AsyncIterator[Database]:
    async with cloned(servers, template) as database:
        yield database


@pytest.fixture
async def port(standing: Database, servers: Servers) -> AsyncIterator[int]:
    """Where the streams of the tests are served, over the product's own wire."""
    settings = Settings(
        database_url=standing.app_url,
        redis_url=servers.addresses.redis_url,
        operator_key=OPERATOR_KEY,
    )
    async with Core.open(settings, Clock(), Metrics()) as core, serving(core) as url:
        yield int(url.rpartition(":")[2])


def wound_up() -> None:
    """Two ticks for every stream, and an end for those that have one."""
    steered.ticks.clear()
    for name in ("two", "endless"):
        for number in (0, 1, *([-1] if name == "two" else [])):
            steered.tick(name, number)


async def test_every_row_is_answered_as_the_protocol_has_it(port: int) -> None:
    assert len(TABLE) == len(ROWS)
    wrong = []
    for row in ROWS:
        wound_up()
        heard = await transcript(port, "/graphql", row, len(row.hears))
        if closes_alone := [line for line in row.hears if line.startswith("close ")]:
            # Where the table has no reason, any will do.
            heard = heard if len(closes_alone[0].split()) > 2 else codes(heard)
        if heard != list(row.hears):
            wrong.append(f"{row.name}: {heard} and not {list(row.hears)}"[:500])
    assert not wrong, "\n".join(wrong)


async def test_who_says_nothing_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "SOCKET_INIT_SECONDS", 0.05)
    assert await transcript(port, "/graphql", SILENT, 1) == list(SILENT.hears)


SILENT = Row("silence", (), ("close 4408 Connection initialisation timeout",))


async def test_the_reference_answers_as_the_table_says(tmp_path: Path) -> None:
    modules = packages("graphql", "graphql-ws", "ws")
    wrong = []
    async with program(tmp_path, modules, script("reference.mjs")) as reference:
        patient, impatient = await reference.tells()
        for row in (*ROWS, SILENT):
            wanted = row.hears if row.reference is None else row.reference
            port = impatient if row is SILENT else patient
            heard = await transcript(port, "/", row, len(wanted))
            if codes(heard) != codes(wanted):
                wrong.append(f"{row.name}: {heard} and not {list(wanted)}"[:500])
    assert not wrong, "\n".join(wrong)
    assert [row.name for row in ROWS if (row.reference is None) != (not row.why)] == []


#: What a member of a message may be: of its own kind, of every other, or not there.
MISSING = object()
OTHERS: tuple[Any, ...] = (None, 0, 5, True, False, "", [], ["x"], {}, {"a": 1}, MISSING)
TYPES = ("connection_init", "connection_ack", "ping", "pong", "subscribe", "next", "error",
         "complete", "start", "stop")  # fmt: skip


def whole(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not MISSING}


def some_message(dice: random.Random) -> Json:
    """A message of which any member may be wrong, and most are right."""

    def one(*right: Any) -> Any:
        return dice.choice(OTHERS) if dice.random() < 0.2 else dice.choice(right)

    payload = whole({
        "query": one(TYPENAME),
        "variables": one(MISSING, None, {}),
        "operationName": dice.choice((MISSING, None, "B", 5, [], {}, False)),
        "extensions": one(MISSING, None, {}),
    })  # fmt: skip
    return whole({
        "type": one(*TYPES, "subscribe", "subscribe", "subscribe"),
        "id": one("1", "other"),
        "payload": one(payload, payload, payload, MISSING, None, [{"message": "x"}]),
    })  # fmt: skip


async def verdict(port: int, path: str, message: Json) -> str:
    """How a connection ends that sends this behind its ack; or that it does not."""
    heard = codes(await transcript(port, path, Row("", greeted(message), ()), 1))
    ends = [line for line in heard if line.startswith("close ")]
    return ends[0] if ends else "open"


async def verdicts(port: int, path: str) -> list[tuple[Json, str]]:
    dice = random.Random(7)
    messages = [some_message(dice) for _ in range(MESSAGES)]
    return [(message, await verdict(port, path, message)) for message in messages]


MESSAGES = 200


async def test_messages_with_anything_in_them_are_taken_or_closed(port: int) -> None:
    found = [end for _, end in await verdicts(port, "/graphql")]
    assert set(found) == {"open", "close 4400", "close 4429"}


async def test_the_reference_takes_the_same_messages(port: int, tmp_path: Path) -> None:
    modules = packages("graphql", "graphql-ws", "ws")
    async with program(tmp_path, modules, script("reference.mjs")) as reference:
        theirs = await verdicts((await reference.tells())[0], "/")
    ours = await verdicts(port, "/graphql")
    wrong = [
        f"{message}: {mine}, and the reference {their}"
        for (message, mine), (_, their) in zip(ours, theirs, strict=True)
        # What servers alone may say; see the table.
        if mine != ("close 4400" if their == "close 4500" else their)
    ]
    assert not wrong, "\n".join(wrong)


def in_pieces(message: bytes, dice: random.Random) -> list[bytes]:
    """The frames of a message, cut anywhere, with control frames between."""
    cuts = sorted(dice.randrange(len(message) + 1) for _ in range(dice.randrange(4)))
    parts = [message[i:j] for i, j in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    frames = []
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        frames.append(text(part, fin=last) if place == 0 else rest(part, fin=last))
        if dice.random() < 0.3:
            frames.append(control(dice.choice((Opcode.PING, Opcode.PONG)), b"between"))
    return frames


async def test_however_it_is_cut_a_conversation_is_the_same(port: int) -> None:
    said_ = [
        {"type": "ping", "payload": {"a": "é𝄞"}}, subscribing(), {"type": "complete", "id": "x"},
        subscribing("2", query="{ nothing }"), {"type": "pong", "payload": {}},
    ]  # fmt: skip
    for seed in range(30):
        dice = random.Random(seed)
        raw = await connected(port, "/graphql")
        messages = [json.dumps(each, ensure_ascii=False).encode() for each in (INIT, *said_)]
        data = b"".join(frame for message in messages for frame in in_pieces(message, dice))
        while data:
            size = dice.choice((1, 2, 7, 100, 10_000))
            raw.write(data[:size])
            await raw.writer.drain()
            data = data[size:]
        heard: list[str] = []
        while len(heard) < 5:
            await raw.until(len(raw.heard) + 1)
            heard = [line for line in raw.heard if line != "pong frame between"]
        await raw.settle()
        raw.writer.close()
        assert sorted(heard) == sorted([
            ACK, 'pong {"a": "\\u00e9\\ud834\\udd1e"}', ANSWERED, DONE, "error 2 errors: 1",
        ]), f"seed {seed}"  # fmt: skip


async def test_rows_beside_each_other_do_not_meet(port: int) -> None:
    """The same on many connections at once: nobody hears what another is told."""
    rows = [row for row in ROWS if row.hears and not any("ticks" in word for word in row.hears)]
    heard = await asyncio.gather(
        *(transcript(port, "/graphql", row, len(row.hears)) for row in rows)
    )
    assert [codes(each) for each in heard] == [codes(row.hears) for row in rows]
