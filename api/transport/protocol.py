"""The messages of `graphql-transport-ws`: read strictly, written as text, and the codes of closes.

Owns the letter of the protocol, not its order: which message may come when is the socket's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from api.errors import Fault
from api.limits import SOCKET_ID_LENGTH_MAX
from api.transport.body import Params, decode, document_of, name_of

SUBPROTOCOL = "graphql-transport-ws"
#: What a close frame holds beside its code.
REASON_BYTES_MAX = 123

ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=float)


class Code(IntEnum):
    """Why a socket is closed. Clients come back after some, and after others never."""

    RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL = 4406
    INIT_TIMEOUT = 4408
    DUPLICATE = 4409
    INIT_TWICE = 4429
    TOO_MANY = 4429
    INTERNAL = 4500
    SLOW = 4508
    AGE = 4509
    NO_PONG = 4510


class Close(Exception):  # noqa: N818 - what is to be done, not what went wrong
    """The socket is to be closed; `reason` is cut to what fits into the frame."""

    def __init__(self, code: Code, reason: str) -> None:
        self.code = code
        self.reason = reason.encode("utf-8", "replace")[:REASON_BYTES_MAX].decode("utf-8", "ignore")
        super().__init__(f"{code}: {self.reason}")


@dataclass(frozen=True, slots=True)
class Init:
    authorization: str | None


@dataclass(frozen=True, slots=True)
class Ping:
    payload: str | None  #: in JSON, for the echo


@dataclass(frozen=True, slots=True)
class Pong:
    pass


@dataclass(frozen=True, slots=True)
class Subscribe:
    id: str
    params: Params


@dataclass(frozen=True, slots=True)
class Complete:
    id: str


Message: TypeAlias = Init | Ping | Pong | Subscribe | Complete


def read(text: str) -> Message:
    """The message in a frame; what is none raises Close."""
    try:
        message = decode(text.encode(), "the message")
    except Fault as fault:
        raise bad(fault.message) from None
    if not isinstance(message, dict):
        raise bad(f"the message is {name_of(message)}: send an object with a `type`")
    match message.get("type"):
        case "connection_init":
            return Init(authorization_of(payload_of(message) or {}))
        case "ping":
            return Ping(echo_of(payload_of(message)))
        case "pong":
            payload_of(message)
            return Pong()
        case "subscribe":
            return Subscribe(id_of(message), params_of(payload_of(message)))
        case "complete":
            return Complete(id_of(message))
        case str() as other:
            raise bad(f"there are no messages of the type {other[:40]!r}")
        case other:
            raise bad(f"the message's `type` is {name_of(other)}: write a string")


def echo_of(payload: Mapping[str, Any] | None) -> str | None:
    if payload is None:
        return None
    try:
        return written(payload)
    except ValueError:
        raise bad("`payload` has a number that is too large") from None


def payload_of(message: Mapping[str, Any]) -> dict[str, Any] | None:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise bad(f"`payload` is {name_of(payload)}: write an object, or leave it out")
    return payload


def authorization_of(payload: Mapping[str, Any]) -> str | None:
    """The credential, under either spelling that clients use."""
    value = payload.get("authorization", payload.get("Authorization"))
    if value is not None and not isinstance(value, str):
        raise bad(f"`authorization` is {name_of(value)}: write the string 'Bearer KEY'")
    return value


def id_of(message: Mapping[str, Any]) -> str:
    value = message.get("id")
    if not isinstance(value, str):
        raise bad(f"`id` is {name_of(value)}: write a string")
    if not 0 < len(value) <= SOCKET_ID_LENGTH_MAX:
        raise bad(f"`id` has {len(value)} characters: write 1 to {SOCKET_ID_LENGTH_MAX}")
    return value


def params_of(payload: Mapping[str, Any] | None) -> Params:
    """What to run; an empty query is a syntax error like others, and its operation's alone."""
    if payload is None:
        raise bad('`payload` is null: write {"query": "..."}')
    for name in ("variables", "extensions"):
        if not isinstance(payload.get(name), dict | None):
            raise bad(f"`{name}` is {name_of(payload[name])}: write an object, or leave it out")
    query = payload.get("query")
    try:
        document = document_of(payload)
    except Fault as fault:
        raise bad(fault.message) from None
    if not isinstance(query, str) and (document is None or query is not None):
        raise bad(f"`query` is {name_of(query)}: write a string")
    operation_name = payload.get("operationName")
    if not isinstance(operation_name, str | None):
        raise bad(f"`operationName` is {name_of(operation_name)}: write a string, or leave it out")
    return Params(query or "", payload.get("variables"), operation_name or None, document)


def bad(reason: str) -> Close:
    return Close(Code.BAD_MESSAGE, reason)


ACK = '{"type":"connection_ack"}'


def pong(payload: str | None) -> str:
    """The answer to a ping, with what the ping carried."""
    return '{"type":"pong"}' if payload is None else f'{{"type":"pong","payload":{payload}}}'


def of_operation(kind: str, id: str, payload: Any = None) -> str:
    """A `next`, `error` or `complete`."""
    message = {"type": kind, "id": id}
    return written(message if payload is None else message | {"payload": payload})


def before_payload(id: str) -> bytes:
    """What stands before the payload of every event of an operation; behind it a brace."""
    return f'{{"type":"next","id":{written(id)},"payload":'.encode()


def written(value: Any) -> str:
    """JSON in ASCII, for lone surrogates have no other spelling; decimals are numbers again."""
    return ENCODER.encode(value)
