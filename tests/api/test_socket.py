"""GraphQL over a served process's websocket: what the protocol asks, and what breaks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from api.limits import SOCKET_MESSAGE_BYTES_MAX
from persistence.servers import Servers
from tests.api.sockets import (
    ACK,
    INIT,
    PATIENCE_SECONDS,
    Json,
    cloned,
    end_of,
    greet,
    hear,
    opened,
    say,
    shake,
    subscribe,
    until,
)
from tests.conftest import (
    OPERATOR_KEY,
    Served,
    ServedFactory,
    numbers,
    run_served,
    said,
)

#: Frames as a client sends them.
Frame = str | bytes | Json


def subscribing(**changes: Any) -> Json:
    """A `subscribe` with other members in its payload."""
    payload = {"query": "{ __typename }", **changes}
    return {"type": "subscribe", "id": "1", "payload": payload}


DEEP = '{"type":"ping","payload":{"a":' + "[" * 65 + "]" * 65 + "}}"

#: What is sent after the handshake, the code it is closed with, and words of the reason.
BROKEN: list[tuple[str, list[Frame], int, str]] = [
    ("no JSON", ["{"], 4400, "not JSON"),
    ("empty", [""], 4400, "not JSON"),
    ("a list", ["[1]"], 4400, "a list"),
    ("a number", ["5"], 4400, "a number"),
    ("null", ["null"], 4400, "null"),
    ("a string", ['"connection_init"'], 4400, "a string"),
    ("not a number", ['{"type":"ping","payload":{"a":NaN}}'], 4400, "NaN"),
    ("deep", [DEEP], 4400, "nested"),
    ("very deep", ["[" * 30_000], 4400, "nested"),
    ("endless number", ['{"type":"ping","payload":{"a":1e999}}'], 4400, "too large"),
    ("no type", ["{}"], 4400, "`type` is null"),
    ("type is a list", ['{"type":[]}'], 4400, "`type` is a list"),
    ("unknown type", ['{"type":"start"}'], 4400, "'start'"),
    ("the server's type", ['{"type":"connection_ack"}'], 4400, "'connection_ack'"),
    ("payload of init", ['{"type":"connection_init","payload":[]}'], 4400, "a list"),
    ("number as key", ['{"type":"connection_init","payload":{"authorization":5}}'], 4400, "number"),
    ("payload of ping", ['{"type":"ping","payload":5}'], 4400, "a number"),
    ("payload of pong", ['{"type":"pong","payload":"x"}'], 4400, "a string"),
    ("before init", [subscribing()], 4401, "Unauthorized"),
    ("init twice", [INIT, INIT], 4429, "Too many"),
    ("id is a list", [INIT, {**subscribing(), "id": ["1"]}], 4400, "`id` is a list"),
    ("id is null", [INIT, {**subscribing(), "id": None}], 4400, "`id` is null"),
    ("id is empty", [INIT, {**subscribing(), "id": ""}], 4400, "`id` has 0"),
    ("id is long", [INIT, {**subscribing(), "id": "x" * 129}], 4400, "`id` has 129"),
    ("payload is null", [INIT, {**subscribing(), "payload": None}], 4400, "`payload` is null"),
    ("payload is a list", [INIT, {**subscribing(), "payload": []}], 4400, "`payload` is a list"),
    ("no query", [INIT, {**subscribing(), "payload": {}}], 4400, "`query` is null"),
    ("query is a number", [INIT, subscribing(query=5)], 4400, "`query` is a number"),
    ("variables", [INIT, subscribing(variables=[1])], 4400, "`variables` is a list"),
    ("name", [INIT, subscribing(operationName=1)], 4400, "`operationName` is a number"),
    ("extensions", [INIT, subscribing(extensions="x")], 4400, "`extensions` is a string"),
    ("complete without id", [INIT, {"type": "complete"}], 4400, "`id` is null"),
    ("wide reason", [json.dumps({"type": "é" * 200}, ensure_ascii=False)], 4400, "'éé"),
    ("too large", ["x" * (SOCKET_MESSAGE_BYTES_MAX + 1)], 1009, ""),
    ("far too large", [INIT, b"x" * 4_000_000], 1009, ""),
    ("wrong scheme", [{**INIT, "payload": {"authorization": OPERATOR_KEY}}], 4403, "Forbidden"),
    ("wrong key", [{**INIT, "payload": {"authorization": "Bearer x"}}], 4403, "Forbidden"),
    ("surrogate", ['{"type":"connection_init","payload":{"authorization":"\\ud800"}}'], 4403, ""),
]


@pytest.fixture(scope="module")
async def server(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """One served process for all of these; whatever it was sent, it says nothing about it."""
    async with cloned(servers, template) as database:
        variables = {
            "KUOTA_DATABASE_URL": database.app_url,
            "KUOTA_DATABASE_OWNER_URL": database.owner_url,
            "KUOTA_REDIS_URL": f"{servers.addresses.redis_url}?db={1 + next(numbers) % 63}",
            "KUOTA_OPERATOR_KEY": OPERATOR_KEY,
            "KUOTA_LOG_LEVEL": "warning",
            "KUOTA_ALLOWED_ORIGINS": "https://shop.example",
            "KUOTA_PUBLIC_URL": "https://kuota.localhost/x",
        }
        errors = tmp_path_factory.mktemp("sockets") / "served.log"
        server = await run_served(variables=variables, errors=errors)
        yield server
        await server.stop()
        assert_silent(server)


def assert_silent(server: Served) -> None:
    """Nothing was worth a line but that it started."""
    (line,) = said(server.errors).splitlines()
    assert "is ready" in line


async def test_what_breaks_the_protocol_is_closed_with_a_reason(server: Served) -> None:
    for name, frames, code, words in BROKEN:
        async with opened(server.url) as socket:
            for frame in frames:
                await socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)
            closed, reason = await end_of(socket)
            assert closed == code, (name, closed, reason)
            assert words in reason, name
    async with opened(server.url) as socket:
        await socket.send(b"\xff", text=True)
        assert (await end_of(socket))[0] == 1007
    async with opened(server.url, subprotocols=[Subprotocol("graphql-ws")]) as socket:
        assert (await end_of(socket))[0] == 4406
    async with opened(server.url, subprotocols=None) as socket:
        assert (await end_of(socket))[0] == 4406


ANSWERS: list[tuple[str, list[Json], list[Json]]] = [
    (
        "a ping is echoed",
        [
            {"type": "ping"}, {"type": "ping", "payload": None}, {"type": "pong", "payload": {}},
            {"type": "ping", "payload": {"a": [1.5, "\ud800", None]}},
        ],
        [
            {"type": "pong"}, {"type": "pong"},
            {"type": "pong", "payload": {"a": [1.5, "\ud800", None]}},
        ],
    ),
    (
        "a query",
        [subscribe("1", "query($k: String!) { tenant(key: $k) { id } }", k="nobody")],
        [
            {"type": "next", "id": "1",
             "payload": {"data": {"tenant": None}, "extensions": {"cost": 2}}},
            {"type": "complete", "id": "1"},
        ],
    ),
    (
        "completing what does not run",
        [{"type": "complete", "id": "1"}, {"type": "ping"}],
        [{"type": "pong"}],
    ),
]  # fmt: skip


async def test_what_follows_the_protocol_is_answered(server: Served) -> None:
    for _, messages, answers in ANSWERS:
        async with opened(server.url) as socket:
            assert socket.subprotocol == "graphql-transport-ws"
            assert socket.response is not None
            assert socket.response.headers["x-request-id"]
            await greet(socket)
            await say(socket, *messages)
            assert [await hear(socket) for _ in answers] == answers


#: Operations that are refused, with the code of their error; their neighbours live on.
REFUSED: list[tuple[Json, str]] = [
    (subscribing(query=""), "GRAPHQL_PARSE_FAILED"),
    (subscribing(query="{"), "GRAPHQL_PARSE_FAILED"),
    (subscribing(query="{ nothing }"), "GRAPHQL_VALIDATION_FAILED"),
    (subscribing(query="query A { __typename }", operationName="B"), "BAD_REQUEST"),
    (subscribing(query="fragment f on Query { __typename }"), "BAD_REQUEST"),
    (subscribing(query="{ __typename " * 200), "BAD_USER_INPUT"),
    (subscribing(query="query($k: String!) { tenant(key: $k) { id } }"), "BAD_USER_INPUT"),
]


async def test_a_refused_operation_is_told_and_leaves_the_others_alone(server: Served) -> None:
    async with opened(server.url) as socket:
        await greet(socket)
        for message, code in REFUSED:
            await say(socket, message)
            answer = await hear(socket)
            assert (answer["type"], answer["id"]) == ("error", "1"), answer
            (error,) = answer["payload"]
            assert error["extensions"]["code"] == code, error
            assert error["extensions"]["requestId"]
        await say(socket, subscribing())
        assert [(await hear(socket))["type"] for _ in range(2)] == ["next", "complete"]


async def test_without_a_credential_fields_say_so(server: Served) -> None:
    inits: list[Json] = [{}, {"payload": None}, {"payload": {}}, {"payload": {"x": 1}}]
    for init in (*inits, {"payload": {"authorization": None}}):
        async with opened(server.url) as socket:
            await say(socket, {"type": "connection_init", **init})
            assert await hear(socket) == ACK
            await say(socket, subscribe("1", "{ viewer { kind } }"), subscribe("2", "{__typename}"))
            by_id = {}
            for _ in range(4):
                message = await hear(socket)
                by_id.setdefault(message["id"], message)
            (error,) = by_id["1"]["payload"]["errors"]
            assert error["extensions"]["code"] == "UNAUTHENTICATED"
            assert by_id["2"]["payload"]["data"] == {"__typename": "Query"}
    other = {"type": "connection_init", "payload": {"Authorization": f"bearer {OPERATOR_KEY}"}}
    async with opened(server.url) as socket:
        await say(socket, other)
        assert await hear(socket) == ACK
        await say(socket, subscribe("1", "{ viewer { kind } }"))
        assert (await hear(socket))["payload"]["data"] == {"viewer": {"kind": "OPERATOR"}}


async def test_pages_of_strangers_open_no_socket(server: Served) -> None:
    port = server.url.rpartition(":")[2]
    welcome = [f"http://127.0.0.1:{port}", "https://shop.example", "https://KUOTA.localhost"]
    strange = ["null", "", "http://127.0.0.1", f"http://evil.example:{port}", "http://shop.example",
               f"ftp://127.0.0.1:{port}", "https://shop.example.evil", "http://["]  # fmt: skip
    for origin in welcome:
        async with opened(server.url, origin=origin) as socket:
            await greet(socket)
    for origin in strange:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(server.url, additional_headers={"origin": origin}):
                pass
        assert refused.value.response.status_code == 403, origin
    line, _, writer = await shake(server.url, origin="https://kuota.test", host="kuota.test:443")
    assert b" 101 " in line
    writer.close()


async def test_a_handshake_nobody_can_read_is_answered(server: Served) -> None:
    for extra, status in (({"x": "y" * 9_000}, b" 431 "), ({"sec_websocket_key": "x"}, b" 400 ")):
        line, reader, writer = await shake(server.url, **extra)
        assert status in line
        await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)  # and the connection ends
        writer.close()


async def test_a_server_that_ends_says_come_back(served: ServedFactory) -> None:
    server = await served(KUOTA_LOG_LEVEL="warning")
    async with opened(server.url) as busy, opened(server.url) as idle:
        await greet(busy)
        await say(busy, subscribing())
        await server.stop()
        assert [(await end_of(socket))[0] for socket in (busy, idle)] == [1012, 1012]
    assert_silent(server)


async def test_sockets_are_counted(server: Served) -> None:
    async with opened(server.url) as socket, opened(server.url) as other:
        await greet(socket)
        await greet(other)
        await until(lambda: counts(server, 2))  # those of earlier tests have just left
    await until(lambda: counts(server, 0))


async def counts(server: Served, sockets: int) -> bool:
    host, port = "127.0.0.1", int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    page = (await reader.read()).decode()
    writer.close()
    (line,) = [line for line in page.splitlines() if line.startswith("kuota_sockets ")]
    return float(line.split()[1]) == sockets
