"""Following subscriptions over one websocket (graphql-transport-ws), across lost connections.

What can be mended by trying again is: the connection comes back by itself, and each subscription
goes on after the last `position` it saw. What cannot ends in a `Failure`. Owns the protocol and
the patience, not what is followed or shown.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
)
from websockets.typing import Subprotocol

from api.cli.terminal import Failure

SUBPROTOCOL = Subprotocol("graphql-transport-ws")
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
#: How long a server that has never answered is tried; one that once did is waited for.
PATIENCE_SECONDS = 60.0
ACKNOWLEDGE_SECONDS = 10.0
#: A server that does not answer our farewell keeps nobody from leaving.
CLOSE_SECONDS = 2.0
MESSAGE_BYTES_MAX = 16 << 20
#: Closes among the standard codes that say nothing against coming back.
STANDARD_RETRIED = frozenset({1000, 1001, 1005, 1006, 1012, 1013, 1014})
#: Ours and the protocol's that clients do not retry. 4403 is retried by those who can fetch a new
#: credential; here it is given once and would be refused again.
FATAL = frozenset({4004, 4005, 4400, 4401, 4403, 4406, 4409, 4429, 4500})
REFUSED = frozenset({4401, 4403})
#: Answers to a handshake that another try may change, besides those from 500 on.
STATUS_RETRIED = frozenset({408, 425, 429})
#: Errors of a subscription that another try may change.
CODES_RETRIED = frozenset({"SERVICE_UNAVAILABLE", "RATE_LIMITED"})

#: Told that the feed is live (None), or why it is not at the moment; again with each failed try.
Told: TypeAlias = Callable[[str | None], None]


@dataclass(slots=True, kw_only=True)
class Asked:
    """A subscription; its variable `after` is kept at the last position seen."""

    query: str
    variables: dict[str, Any]


class Message(msgspec.Struct):
    """A message of the protocol."""

    type: str
    id: str | None = None
    payload: Any = None


class LostError(Exception):
    """The connection is of no use any more; a new one may be."""


async def follow(
    url: str,
    credential: str,
    query: str,
    variables: dict[str, Any],
    *,
    told: Told = lambda why: None,
) -> AsyncGenerator[dict[str, Any], None]:
    """The `data` of each event of one subscription until the server completes it; else Failure.

    `url` is the served process's, as in http://127.0.0.1:8000.
    """
    asked = Asked(query=query, variables=variables)
    async with aclosing(follow_all(url, credential, [asked], told=told)) as events:
        async for data in events:
            yield data


async def follow_all(
    url: str, credential: str, asked: Sequence[Asked], *, told: Told = lambda why: None
) -> AsyncGenerator[dict[str, Any], None]:
    """The same of several subscriptions over one websocket, as their events come."""
    place = socket_url(url)
    reached = False
    failures = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            async with _connection(place) as socket:
                session = _Session(socket, asked)
                await session.open(credential)
                reached = True
                told(None)
                while (data := await session.receive()) is not None:
                    failures = 0
                    yield data
                return
        except (ConnectionClosed, InvalidHandshake, LostError, OSError, TimeoutError) as fault:
            why = _reason(fault, place)
        told(why)
        if not reached and time.monotonic() > deadline:
            raise Failure(f"{url} was not reached in {PATIENCE_SECONDS:.0f} s: {why}")
        pause = PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)]
        failures += 1
        # Watchers that lost the same server do not all come back in the same moment.
        await asyncio.sleep(pause * random.uniform(0.75, 1.5))


def socket_url(url: str) -> str:
    """Where a served process at `url` takes websockets; Failure for what is no address."""
    try:
        parts = urlsplit(url)
        scheme, host = SCHEMES.get(parts.scheme), parts.hostname
        _ = parts.port
    except ValueError:
        scheme = host = None
    if not scheme or not host:
        raise Failure(f"{url} is no address such as http://127.0.0.1:8000", code=2)
    path = parts.path.rstrip("/")
    path = path if path.endswith("/graphql") else f"{path}/graphql"
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def _connection(place: str) -> connect:
    try:
        return connect(
            place,
            subprotocols=[SUBPROTOCOL],
            compression=None,
            proxy=None,
            close_timeout=CLOSE_SECONDS,
            max_size=MESSAGE_BYTES_MAX,
        )
    except (InvalidURI, InvalidProxy) as fault:
        raise Failure(f"{place}: {fault}", code=2) from fault


class _Session:
    """Subscriptions on one connection, from its `connection_init` to the last `complete`."""

    def __init__(self, socket: ClientConnection, asked: Sequence[Asked]) -> None:
        self._socket = socket
        self._asked = {str(number): one for number, one in enumerate(asked, 1)}

    async def open(self, credential: str) -> None:
        """Show the credential, wait for its acknowledgement, subscribe."""
        if self._socket.subprotocol != SUBPROTOCOL:
            raise Failure(f"what answers does not speak {SUBPROTOCOL}: check the address")
        await self._send(
            {"type": "connection_init", "payload": {"authorization": f"Bearer {credential}"}}
        )
        async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
            while (message := await self._message()).type != "connection_ack":
                await self._housekeep(message)
        for number, asked in self._asked.items():
            payload = {"query": asked.query, "variables": asked.variables}
            await self._send({"type": "subscribe", "id": number, "payload": payload})

    async def receive(self) -> dict[str, Any] | None:
        """The next event's data; None once all subscriptions are complete."""
        while self._asked:
            message = await self._message()
            asked = self._asked.get(message.id or "")
            if asked is None:
                await self._housekeep(message)
            elif message.type == "next":
                payload = message.payload if isinstance(message.payload, dict) else {}
                data = payload.get("data")
                if not isinstance(data, dict):
                    raise _refused(payload.get("errors"))
                _advance(asked, data)
                return data
            elif message.type == "error":
                raise _refused(message.payload)
            elif message.type == "complete":
                del self._asked[message.id or ""]
        return None

    async def _housekeep(self, message: Message) -> None:
        """Answer a ping; everything else of no subscription is left alone."""
        if message.type == "ping":
            echo = {} if message.payload is None else {"payload": message.payload}
            await self._send({"type": "pong", **echo})

    async def _message(self) -> Message:
        text = await self._socket.recv()
        try:
            return msgspec.json.decode(text, type=Message)
        except msgspec.DecodeError as fault:
            raise Failure(f"what came is no message of {SUBPROTOCOL}: {fault}") from fault

    async def _send(self, message: Mapping[str, object]) -> None:
        await self._socket.send(msgspec.json.encode(message).decode())


def _advance(asked: Asked, data: Mapping[str, Any]) -> None:
    """Remember the position of an event, so that the next connection goes on from there."""
    for value in data.values():
        if isinstance(value, dict) and value.get("position") is not None:
            asked.variables["after"] = value["position"]


def _refused(errors: object) -> Failure | LostError:
    """What a subscription's errors mean: the end, or another try."""
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return Failure("the server ended the subscription without saying why")
    message = str(first.get("message") or "no reason given")
    extensions = first.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else None
    if code in CODES_RETRIED:
        return LostError(message)
    return Failure(f"{code}: {message}" if code else message)


def _reason(fault: Exception, place: str) -> str:
    """Why a connection was lost or not had; raises Failure where another try is no use."""
    if isinstance(fault, ConnectionClosed):
        return _closed(fault)
    if isinstance(fault, InvalidStatus):
        status = fault.response.status_code
        if status < 500 and status not in STATUS_RETRIED:
            raise Failure(
                f"{place} answered the handshake with {status}: check the address"
            ) from fault
        return f"the server answered the handshake with {status}"
    if isinstance(fault, NegotiationError):
        raise Failure(f"{place} does not speak {SUBPROTOCOL}: {fault}") from fault
    if isinstance(fault, ConnectionRefusedError):
        return "connection refused"
    if isinstance(fault, OSError) and fault.errno is not None and fault.errno > 0:
        return os.strerror(fault.errno)
    return str(fault) or "no answer in time"


def _closed(fault: ConnectionClosed) -> str:
    """What a close means: why, or Failure where the server will not have us back."""
    close = fault.rcvd
    if close is None:
        # Nobody said goodbye, unless we ourselves could not read what came.
        if fault.sent is not None and fault.sent.code in {1002, 1003, 1007, 1009}:
            raise Failure(f"what came cannot be read: {fault.sent}") from fault
        return "the connection was lost"
    said = f"closed with {close.code}" + (f" ({close.reason})" if close.reason else "")
    if close.code in FATAL or (close.code < 2000 and close.code not in STANDARD_RETRIED):
        hint = "; the credential is wrong, revoked or expired" if close.code in REFUSED else ""
        raise Failure(f"the server {said}{hint}") from fault
    return said
