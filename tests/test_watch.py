"""`watch`: what people and programs are shown, and how it ends.

The other end is a websocket server that plays a script; the real one is met at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from typing import Any

import pytest

from tests.commands import CLOCK, SERVED, command, fact, lines_of, prepared
from tests.conftest import OPERATOR_KEY, ROOT, ServedFactory, environment
from tests.peer import Peer, Scripted, closing, listening

TYPED = ("watch", "acme", "--key", "a-key-of-the-watcher")


def balance(key: str, used: str, remaining: str, as_of: str) -> dict[str, Any]:
    return {
        "key": key, "name": key.title(), "unit": "IDR", "kind": "MONEY", "percentUsed": "12.5",
        "version": "7", "asOf": as_of, "used": {"value": used}, "remaining": {"value": remaining},
        "held": {"value": "0"}, "available": {"value": remaining},
    }  # fmt: skip


SNAPSHOT = {
    "cause": "SNAPSHOT",
    "recovered": True,
    "balances": [
        balance("conversations", "1", "999", "2026-11-20T05:00:00Z"),
        balance("whatsapp", "586.33", "-586.33", "2026-11-20T05:00:00Z"),
    ],
}
CHANGE = {
    "cause": "FACTS",
    "recovered": True,
    "balances": [
        balance("conversations", "1", "999", "2026-11-20T05:00:01Z"),
        balance("whatsapp", "1172.66", "-1172.66", "2026-11-20T05:00:01Z"),
    ],
}
COUNTERS = {
    "openConversations": 1, "openWindows": 2, "visitors": 1234, "availableUsers": 0,
    "version": "7", "asOf": "2026-11-20T05:00:01Z",
}  # fmt: skip
USAGE = {"usageChanged": {"position": "u", "recovered": True, "live": COUNTERS}}


async def telling(peer: Scripted) -> None:
    """A snapshot, a restart of the server, the snapshot again, a change and the counters."""
    await peer.greeted(2)
    await peer.next("a", **SNAPSHOT)
    await closing(peer, 1012)


async def telling_more(peer: Scripted) -> None:
    await peer.greeted(2)
    await peer.next("a", **SNAPSHOT)
    await peer.next("b", **CHANGE)
    await peer.say(id="2", type="next", payload={"data": USAGE})
    await peer.socket.wait_closed()


async def test_watch_prints_a_line_per_change_and_says_that_it_reconnects() -> None:
    peer = Peer(telling, telling_more)
    async with listening(peer):
        code, out, err = await command(
            *(*TYPED, "--url", peer.url, "--count", "4", "--balances", "conversations,whatsapp")
        )
    assert code == 0
    assert out.splitlines() == [
        "2026-11-20T05:00:00Z SNAPSHOT conversations 1 used, 999 remaining, 0 held;"
        " whatsapp 586.33 used, -586.33 remaining, 0 held",
        "2026-11-20T05:00:00Z SNAPSHOT the same figures",
        "2026-11-20T05:00:01Z FACTS whatsapp 1,172.66 used, -1,172.66 remaining, 0 held",
        "2026-11-20T05:00:01Z LIVE 1 open conversations, 2 open windows, 1,234 visitors,"
        " 0 available users",
    ]
    assert err.splitlines() == [
        f"{peer.url}: closed with 1012 (so it is); reconnecting",
        f"{peer.url}: connected again",
    ]
    variables = [one["variables"] for one in peer.met[1].asked.values()]
    assert variables == [
        {"tenant": "acme", "keys": ["conversations", "whatsapp"], "after": "a"},
        {"tenant": "acme", "after": None},
    ]


async def test_watch_prints_events_for_programs_as_they_came() -> None:
    peer = Peer(telling, telling_more)
    async with listening(peer):
        code, out, _ = await command(*TYPED, "--url", peer.url, "--count", "4", "--json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"balanceChanged": {"position": "a", **SNAPSHOT}},
        {"balanceChanged": {"position": "a", **SNAPSHOT}},
        {"balanceChanged": {"position": "b", **CHANGE}},
        USAGE,
    ]


async def test_watch_that_is_refused_is_one_line() -> None:
    async def script(peer: Scripted) -> None:
        await peer.heard()
        await closing(peer, 4403)

    async with listening(peer := Peer(script)):
        code, out, err = await command(*TYPED, "--url", peer.url)
    assert (code, out) == (1, "")
    assert err == (
        "kuota: the server closed with 4403 (so it is); the credential is wrong, revoked or"
        " expired\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_watch_draws_a_table_on_a_terminal_until_it_is_stopped(
    number: signal.Signals,
) -> None:
    ours, theirs = pty.openpty()
    screen = ""
    drawn = asyncio.Event()

    def read() -> None:
        nonlocal screen
        try:
            screen += os.read(ours, 65_536).decode()
        except OSError:
            asyncio.get_running_loop().remove_reader(ours)
        if all(words in screen for words in ("1,172.66", "1,234 visitors", "live", "by facts")):
            drawn.set()

    peer = Peer(telling, telling_more)
    async with listening(peer):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api", *TYPED, "--url", peer.url),
            stdin=theirs,
            stdout=theirs,
            stderr=asyncio.subprocess.PIPE,
            env=environment(TERM="xterm", COLUMNS="100", LINES="40"),
            cwd=ROOT,
        )
        os.close(theirs)
        asyncio.get_running_loop().add_reader(ours, read)
        await asyncio.wait_for(drawn.wait(), 30)
        process.send_signal(number)
        _, err = await process.communicate()
    asyncio.get_running_loop().remove_reader(ours)
    os.close(ours)
    assert process.returncode == 0, err.decode()
    assert "Traceback" not in err.decode()
    assert "reconnecting" in err.decode()
    assert "12.5 %" in screen


async def test_watch_follows_a_served_process_past_its_death(served: ServedFactory) -> None:
    server = await served(**CLOCK)
    await prepared(server, "acme")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "watch", "acme", "--url", server.url, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(KUOTA_OPERATOR_KEY=OPERATOR_KEY),
        cwd=ROOT,
    )
    assert process.stdout is not None
    seen: dict[str, Any] = {}

    async def until(used: str, open_conversations: int) -> None:
        """Read events until they say so much."""
        assert process.stdout is not None
        told = None
        while told != (used, open_conversations):
            seen.update(json.loads(await process.stdout.readline()))
            if len(seen) == 2:
                balances = seen["balanceChanged"]["balances"]
                usage = {one["key"]: one["used"]["value"] for one in balances}
                told = usage["conversations"], seen["usageChanged"]["live"]["openConversations"]

    async def deliver(*facts: dict[str, object]) -> None:
        code, _, err = await command(
            *("replay", "-", "--url", server.url), stdin=lines_of(*facts), **SERVED
        )
        assert code == 0, err

    now = 19 * 24 * 60 - 30  # in minutes of October, as the clock of the server shows it
    async with asyncio.timeout(60):
        await until("0", 0)
        await deliver(fact("acme", now), fact("acme", now + 1))
        await until("2", 2)
        await server.kill()
        server = await served("--port", server.url.rpartition(":")[2], **CLOCK)
        await deliver(fact("acme", now + 2))
        await until("3", 3)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 0
    assert err.decode().splitlines() == [
        f"{server.url}: the connection was lost; reconnecting",
        f"{server.url}: connected again",
    ]


async def test_watch_of_a_tenant_nobody_knows_is_one_line(served: ServedFactory) -> None:
    server = await served()
    code, out, err = await command("watch", "nobody", "--url", server.url, **SERVED)
    assert (code, out) == (1, "")
    assert err.startswith("kuota: NOT_FOUND: ")
    assert err.count("\n") == 1


async def test_watch_with_a_wrong_key_is_one_line(served: ServedFactory) -> None:
    server = await served()
    code, out, err = await command("watch", "nobody", "--url", server.url, "--key", "wrong")
    assert (code, out) == (1, "")
    assert "the credential is wrong, revoked or expired" in err
    assert err.count("\n") == 1
