"""How sockets live and end: slow readers, old age, a server that restarts, one line in the log.

Facts are sent over another socket of the same server, and buffers are the real ones.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket as network
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from api import limits
from api.core import Core
from api.metrics import Metrics
from api.schema.root import schema
from api.settings import Clock, Settings
from api.transport import vigil as vigil_module
from api.transport import wire as wire_module
from api.transport.sockets import Sockets
from api.transport.vigil import Vigil
from domain.periods import iso
from persistence.servers import Servers
from tests.api.sockets import (
    cloned,
    end_of,
    greet,
    hear,
    opened,
    say,
    serving,
    shake,
    subscribe,
    until,
)
from tests.conftest import OPERATOR_KEY, Database

NUMBER = "+62800000001"
#: Its events are large, so that few of them fill what lies between two processes.
WATCH = """subscription($tenant: String!) { balanceChanged(tenant: $tenant) { position balances {
  key name unit kind opening { value formatted } granted { value formatted }
  used { value formatted } remaining { value formatted } available { value formatted }
  initial { opening { value } granted { value } used { value } remaining { value } }
  topUp { opening { value } granted { value } used { value } remaining { value } } version } } }"""
RECORD = """mutation($events: [CloudEvent!]!) {
  usageRecord(input: {events: $events}) { results { status } userErrors { message } } }"""
CREATE = """mutation($tenant: String!, $number: String!) {
  tenantCreate(input: {key: $tenant, plan: "omnichannel-idr"}) { userErrors { message } }
  numberCreate(input: {tenant: $tenant, channel: "whatsapp", address: $number}) {
    userErrors { message } } }"""

numbers = count(1)


@pytest.fixture(scope="module")
async def standing(servers: Servers, template: str) -> AsyncIterator[Database]:
    async with cloned(servers, template) as database:
        yield database


@pytest.fixture
async def core(standing: Database, redis_url: str) -> AsyncIterator[Core]:
    settings = Settings(
        database_url=standing.app_url, redis_url=redis_url, operator_key=OPERATOR_KEY
    )
    async with Core.open(settings, Clock(), Metrics()) as core:
        yield core


@pytest.fixture
async def sockets(core: Core) -> Sockets:
    return Sockets(schema, core)


@pytest.fixture
async def url(core: Core, sockets: Sockets) -> AsyncIterator[str]:
    async with serving(core, sockets=sockets) as url:
        yield url


class Sender:
    """Who sends facts of one tenant over a socket of its own."""

    def __init__(self, socket: ClientConnection, tenant: str, now: str) -> None:
        self._socket = socket
        self._now = now
        self.tenant = tenant
        self.visits = 0

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        await say(self._socket, subscribe("ask", query, **variables))
        answer = await hear(self._socket)
        assert answer["type"] == "next", answer
        assert "errors" not in answer["payload"], answer
        assert await hear(self._socket) == {"type": "complete", "id": "ask"}
        return dict(answer["payload"]["data"])

    async def visit(self) -> None:
        """Somebody writes who has not before: the state that follows has one visitor more."""
        self.visits += 1
        event = {
            "id": f"visit-{next(numbers)}", "source": "test", "type": "message.received",
            "time": self._now, "subject": self.tenant, "specversion": "1.0",
            "data": {"number": NUMBER, "contact": f"+62812{next(numbers):07}", "text": "hello"},
        }  # fmt: skip
        answer = await self.ask(RECORD, events=[event])
        assert [each["status"] for each in answer["usageRecord"]["results"]] == ["ACCEPTED"]


@pytest.fixture
async def sender(url: str, core: Core) -> AsyncIterator[Sender]:
    async with opened(url) as socket:
        await greet(socket)
        sender = Sender(socket, f"tenant-{next(numbers)}", iso(core.clock.now()))
        made = await sender.ask(CREATE, tenant=sender.tenant, number=NUMBER)
        assert [each["userErrors"] for each in made.values()] == [[], []]
        yield sender


def visitors(message: dict[str, Any]) -> int:
    """How many visitors an event shows."""
    balances = message["payload"]["data"]["balanceChanged"]["balances"]
    (found,) = [each["used"]["value"] for each in balances if each["key"] == "visitors"]
    return int(found)


async def watch(socket: ClientConnection, sender: Sender) -> None:
    await greet(socket)
    await say(socket, subscribe("watch", WATCH, tenant=sender.tenant))
    assert visitors(await hear(socket)) == sender.visits


async def narrow(url: str) -> network.socket:
    """A connection whose own buffer is small, so that what it does not read stays at the server."""
    found = network.socket()
    found.setsockopt(network.SOL_SOCKET, network.SO_RCVBUF, 4_096)
    found.setblocking(False)
    place = ("127.0.0.1", int(url.rpartition(":")[2]))
    await asyncio.get_running_loop().sock_connect(found, place)
    return found


async def test_a_slow_client_is_brought_to_the_newest_and_its_neighbour_sees_all(
    url: str, sockets: Sockets, sender: Sender
) -> None:
    """States coalesce: what a client has missed by not reading it needs no more."""
    async with (
        opened(url, sock=await narrow(url), max_queue=1) as slow,
        opened(url, max_queue=None) as quick,
    ):
        for each in (slow, quick):
            await watch(each, sender)
        slow.transport.pause_reading()
        while not sockets.skipped:
            await sender.visit()
            assert visitors(await hear(quick)) == sender.visits
        for _ in range(3):
            await sender.visit()
            assert visitors(await hear(quick)) == sender.visits
        assert sum(each.waiting for each in sockets.open) == 1, "one state is kept, the newest"
        slow.transport.resume_reading()
        seen = [visitors(await hear(slow))]
        while seen[-1] < sender.visits:
            seen.append(visitors(await hear(slow)))
        assert seen == sorted(set(seen))
        assert len(seen) < sender.visits
        await sender.visit()
        assert visitors(await hear(slow)) == sender.visits


async def test_a_client_that_stops_reading_is_let_go(
    url: str, sockets: Sockets, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "SOCKET_SEND_SECONDS", 0.1)
    async with (
        opened(url, sock=await narrow(url), max_queue=1) as stopped,
        opened(url, max_queue=None) as quick,
    ):
        for each in (stopped, quick):
            await watch(each, sender)
        stopped.transport.pause_reading()

        async def gone() -> bool:
            await sender.visit()
            assert visitors(await hear(quick)) == sender.visits
            return len(sockets.open) == 2

        await until(gone)
        assert [each.waiting for each in sockets.open] == [0, 0]
        stopped.transport.resume_reading()
        assert await end_of(stopped) == (4508, "messages are not read fast enough")


async def test_a_socket_that_is_old_is_asked_to_come_back(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vigil_module, "SOCKET_AGE_SECONDS", 0.0)
    looks: asyncio.Queue[None] = asyncio.Queue()

    async def rest(seconds: float) -> None:
        await looks.get()

    sockets = Sockets(schema, core)
    sockets.vigil = Vigil(core, rest)
    async with serving(core, sockets=sockets) as url, opened(url) as old:
        await greet(old)
        monkeypatch.setattr(vigil_module, "SOCKET_AGE_SECONDS", 3_600.0)
        async with opened(url) as young:
            await greet(young)
            looks.put_nowait(None)
            assert await end_of(old) == (4509, "the socket has had its time: come back")
            await say(young, {"type": "ping"})
            assert await hear(young) == {"type": "pong"}


def test_sockets_of_one_moment_do_not_end_in_one_moment() -> None:
    """The fifth of an age that chance takes away spreads those of a restart over half an hour."""
    assert limits.SOCKET_AGE_SECONDS * limits.SOCKET_AGE_JITTER >= 2_400


async def test_who_watches_is_told_that_the_server_restarts(
    url: str, sockets: Sockets, sender: Sender
) -> None:
    async with opened(url) as one, opened(url) as two:
        for each in (one, two):
            await watch(each, sender)
        await sockets.drain(0)
        for each in (one, two):
            assert (await end_of(each))[0] == 1012
        async with opened(url) as late:
            assert (await end_of(late))[0] == 1012
        assert sockets.streams.running == set()


async def test_the_end_of_a_socket_is_one_line_and_one_count(
    url: str, sockets: Sockets, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kuota.socket")
    async with opened(url) as socket:
        await watch(socket, sender)
        await say(socket, {"type": "connection_init"})
        assert (await end_of(socket))[0] == 4429

    async def told() -> bool:
        return len(caplog.records) == 1

    await until(told)
    (line,) = [record.getMessage() for record in caplog.records]
    for part in ("socket ended", "4429", "Too many initialisation requests", "operator"):
        assert part in line
    assert OPERATOR_KEY not in line
    page, _ = sockets.core.metrics.page()
    assert b'kuota_socket_closes_total{code="4429"} 1.0' in page
    assert b"kuota_feed_lag_seconds_count" in page


async def test_a_client_that_leaves_without_a_word_is_forgotten(
    url: str, sockets: Sockets, sender: Sender
) -> None:
    socket = await opened(url)
    await watch(socket, sender)
    before = len(sockets.open)
    socket.transport.abort()

    async def gone() -> bool:
        return len(sockets.open) == before - 1 and not sockets.streams.running

    await until(gone)


async def test_half_a_handshake_leaves_nothing(url: str, sockets: Sockets) -> None:
    line, _, writer = await shake(url)
    assert b" 101 " in line
    writer.transport.abort()

    async def gone() -> bool:
        return not sockets.open and sockets.seats.taken == 0

    await until(gone)


async def test_many_messages_in_one_packet_are_taken_in_turn(url: str) -> None:
    async with opened(url, max_queue=None) as socket:
        await greet(socket)
        for number in range(300):
            await socket.send(json.dumps({"type": "ping", "payload": {"number": number}}))
        heard = [(await hear(socket))["payload"]["number"] for _ in range(300)]
        assert heard == list(range(300))
