"""Actions: what people and integrators did, once each (BA-7).

Owns the rows that make a retry answer from what is stored. An action is written in the transaction
that did it, with the version it became.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

from persistence.connection import Connection


class ActionKind(IntEnum):
    """Stored; a number never changes meaning."""

    TOP_UP = 1


class Action(NamedTuple):
    """One action as it was done."""

    action_id: int
    content: bytes
    at: int
    body: dict[str, Any]


FIND = """
select action_id, content, at, body::text as body from actions
where tenant_id = $1 and idempotency_key = $2"""

ADD = """
insert into actions (tenant_id, idempotency_key, kind, content, at, version, body)
values ($1, $2, $3, $4, $5, $6, $7::text::jsonb)
returning action_id"""


def content_of(kind: ActionKind, request: dict[str, Any]) -> bytes:
    """A digest of what was asked: a retry asks the same, a reused key something else."""
    spelt = msgspec.json.encode([kind.name, request], order="sorted")
    return hashlib.blake2b(spelt, digest_size=16).digest()


async def find(connection: Connection, tenant_id: int, idempotency_key: str) -> Action | None:
    row = await connection.fetchrow(FIND, tenant_id, idempotency_key)
    if row is None:
        return None
    body: dict[str, Any] = msgspec.json.decode(row["body"])
    return Action(row["action_id"], row["content"], row["at"], body)


async def add(
    connection: Connection,
    tenant_id: int,
    idempotency_key: str,
    kind: ActionKind,
    content: bytes,
    *,
    at: int,
    version: int,
    body: dict[str, Any],
) -> int:
    """Keep an action under its key; gives its number."""
    spelt = msgspec.json.encode(body).decode()
    action_id: int = await connection.fetchval(
        ADD, tenant_id, idempotency_key, kind, content, at, version, spelt
    )
    return action_id
