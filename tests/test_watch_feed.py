"""The client of subscriptions: its protocol, what is tried again, and what ends it.

The other end is a websocket server that plays a script; the real one is met in `test_watch`.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from api.cli import feed
from api.cli.feed import Asked, follow, follow_all, socket_url
from api.cli.terminal import Failure
from tests.peer import Peer, Script, Scripted, closing, listening

KEY = "a-key-of-the-watcher"
QUERY = "subscription { balanceChanged { position } }"


async def followed(
    peer: Peer, count: int, variables: dict[str, Any], told: list[str | None] | None = None
) -> list[Any]:
    """The positions of the first `count` events."""
    positions: list[Any] = []
    states: list[str | None] = [] if told is None else told
    async with (
        listening(peer),
        aclosing(follow(peer.url, KEY, QUERY, variables, told=states.append)) as events,
    ):
        async for data in events:
            positions.append(data["balanceChanged"]["position"])
            if len(positions) == count:
                break
    return positions


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAUSES_SECONDS", (0.0, 0.001))


async def test_events_come_with_the_credential_shown_and_pings_answered() -> None:
    pongs: list[Any] = []

    async def script(peer: Scripted) -> None:
        await peer.greeted()
        await peer.next("a")
        await peer.say(type="ping", payload={"n": [1]})
        pongs.append(await peer.heard())
        await peer.say(type="ping")
        pongs.append(await peer.heard())
        await peer.next("b")
        await peer.say(id="1", type="complete")

    peer = Peer(script)
    variables: dict[str, Any] = {"tenant": "acme", "after": None}
    assert await followed(peer, 99, variables) == ["a", "b"]
    assert pongs == [{"type": "pong", "payload": {"n": [1]}}, {"type": "pong"}]
    assert peer.met[0].credential == f"Bearer {KEY}"
    assert peer.met[0].asked["1"] == {
        "query": QUERY, "variables": {"tenant": "acme", "after": None},
    }  # fmt: skip
    assert variables == {"tenant": "acme", "after": "b"}


async def cut(peer: Scripted) -> None:
    peer.socket.transport.abort()


async def unavailable(peer: Scripted) -> None:
    error = {"message": "the database is away", "extensions": {"code": "SERVICE_UNAVAILABLE"}}
    await peer.say(id="1", type="error", payload=[error])
    await peer.socket.wait_closed()


def ends(code: int) -> Script:
    return lambda peer: closing(peer, code)


@pytest.mark.parametrize(
    ("lose", "why"),
    [
        (ends(1000), "closed with 1000 (so it is)"),
        (ends(1001), "closed with 1001 (so it is)"),
        (ends(1012), "closed with 1012 (so it is)"),
        (ends(1013), "closed with 1013 (so it is)"),
        (ends(4408), "closed with 4408 (so it is)"),
        (ends(4508), "closed with 4508 (so it is)"),
        (ends(4509), "closed with 4509 (so it is)"),
        (ends(4510), "closed with 4510 (so it is)"),
        (cut, "the connection was lost"),
        (unavailable, "the database is away"),
    ],
)
async def test_what_was_lost_comes_back_and_goes_on_where_it_was(lose: Script, why: str) -> None:
    async def first(peer: Scripted) -> None:
        await peer.greeted()
        await peer.next("a")
        await peer.next("b")
        await lose(peer)

    async def second(peer: Scripted) -> None:
        await peer.greeted()
        await peer.next("c")
        await peer.socket.wait_closed()

    peer = Peer(first, second, refusals=(503, 429))
    told: list[str | None] = []
    assert await followed(peer, 3, {"after": None}, told) == ["a", "b", "c"]
    assert [met.asked["1"]["variables"]["after"] for met in peer.met] == [None, "b"]
    assert told == [
        "the server answered the handshake with 503",
        "the server answered the handshake with 429",
        None,
        why,
        None,
    ]


@pytest.mark.parametrize("code", [1002, 1008, 1011, 4400, 4401, 4403, 4406, 4409, 4429, 4500])
async def test_a_close_that_means_never_again_ends_it(code: int) -> None:
    async def script(peer: Scripted) -> None:
        await peer.greeted()
        await closing(peer, code)

    with pytest.raises(Failure, match=rf"the server closed with {code} \(so it is\)") as failure:
        await followed(Peer(script), 1, {})
    assert ("the credential is wrong" in str(failure.value)) == (code in {4401, 4403})


ERRORS = [
    {"message": "there is no tenant 'acme'", "extensions": {"code": "NOT_FOUND"}},
]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "error", "payload": ERRORS}, "NOT_FOUND: there is no tenant 'acme'"),
        ({"type": "next", "payload": {"data": None, "errors": ERRORS}}, "NOT_FOUND: there is no"),
        ({"type": "error", "payload": [{"message": "no"}]}, "no"),
        ({"type": "error", "payload": None}, "without saying why"),
        ({"type": ["next"]}, "no message of graphql-transport-ws"),
    ],
)
async def test_an_error_of_the_subscription_ends_it(message: dict[str, Any], words: str) -> None:
    async def script(peer: Scripted) -> None:
        await peer.greeted()
        await peer.say(id="1", **message)
        await peer.socket.wait_closed()

    with pytest.raises(Failure, match=words):
        await followed(Peer(script), 1, {})


async def test_a_handshake_that_stays_refused_ends_it() -> None:
    with pytest.raises(Failure, match="answered the handshake with 404: check the address"):
        await followed(Peer(refusals=(404,)), 1, {})


async def test_a_server_of_another_protocol_ends_it() -> None:
    async def silent(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(silent, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(Failure, match="does not speak graphql-transport-ws"):
            await anext(follow(f"http://127.0.0.1:{port}", KEY, QUERY, {}))


async def test_a_server_that_never_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PATIENCE_SECONDS", 0.05)
    async with listening(peer := Peer()):
        pass
    with pytest.raises(Failure, match=r"was not reached in .*: connection refused"):
        await anext(follow(peer.url, KEY, QUERY, {}))


async def test_subscriptions_share_a_socket_and_each_keeps_its_position() -> None:
    async def first(peer: Scripted) -> None:
        await peer.greeted(2)
        await peer.next("a1", "1")
        await peer.next("b1", "2")
        await peer.next("a2", "1")
        await peer.say(id="1", type="complete")
        await closing(peer, 1012)

    async def second(peer: Scripted) -> None:
        await peer.greeted(2)
        await peer.say(id="1", type="complete")
        await peer.next("b2", "2")
        await peer.say(id="2", type="complete")

    peer = Peer(first, second)
    asked = [Asked(query=QUERY, variables={"n": n}) for n in range(2)]
    async with listening(peer):
        events = [data async for data in follow_all(peer.url, KEY, asked)]
    assert [data["balanceChanged"]["position"] for data in events] == ["a1", "b1", "a2", "b2"]
    assert [one.variables for one in asked] == [{"n": 0, "after": "a2"}, {"n": 1, "after": "b2"}]
    assert peer.met[1].asked["2"]["variables"] == {"n": 1, "after": "b1"}


@pytest.mark.parametrize(
    ("url", "socket"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/graphql"),
        ("https://kuota.example/", "wss://kuota.example/graphql"),
        ("https://kuota.example/billing", "wss://kuota.example/billing/graphql"),
        ("http://[::1]:8000/graphql", "ws://[::1]:8000/graphql"),
        ("ws://localhost:1/graphql", "ws://localhost:1/graphql"),
        ("127.0.0.1:8000", None),
        ("http://", None),
        ("http://a:many", None),
        ("ftp://a", None),
    ],
)
def test_an_address_is_turned_into_the_sockets(url: str, socket: str | None) -> None:
    if socket is not None:
        assert socket_url(url) == socket
        return
    with pytest.raises(Failure, match="is no address such as") as failure:
        socket_url(url)
    assert failure.value.code == 2
