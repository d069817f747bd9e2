"""Actions: what people and integrators did, once each (BA-7).

Owns the rows that make a retry answer from what is stored, and their lists. An action is kept in
the transaction that did it, with the version it became; its body has all that is needed to do it
again, for actions are inputs as facts are (EV-4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import asyncpg
import msgspec

from persistence.connection import Connection
from persistence.door import Door


class ActionKind(IntEnum):
    """Stored; a number never changes meaning."""

    TOP_UP = 1
    ADJUSTMENT = 2
    REFUND = 3
    PLAN_CHANGE = 4
    ALLOWANCE_SET = 5
    INTERNATIONAL_RATE_SET = 6
    TIMEZONE_CHANGE = 7
    NUMBER_TIMEZONE_CHANGE = 8
    PERIOD_CLOSE = 9
    SETTLE = 10
    THRESHOLD_SET = 11
    PURCHASE = 12
    REFILL_POLICY_SET = 13
    PAYMENT_METHOD_SET = 14
    BILLING_SET = 15
    SUBSCRIPTION_CREATE = 16
    SUBSCRIPTION_CHANGE = 17
    INVOICE_ISSUE = 18
    INVOICE_VOID = 19
    CREDIT_NOTE = 20
    PAYMENT_RECORD = 21
    PAYMENT_REFUND = 22
    PAYMENT_TAKE_BACK = 23
    INVOICE_OVERDUE = 24  #: its due day was over, or a step of dunning was done
    INVOICE_PAY = 25  #: what is left to pay began to be collected; it moves nothing
    DUNNING_SET = 26
    INVOICE_CREATE = 27  #: a draft by hand was kept; it asks for nothing
    INVOICE_DISCARD = 28


class Action(NamedTuple):
    """One action as it was done."""

    action_id: int
    content: bytes
    at: int
    body: dict[str, Any]


FIND = """
select action_id, content, at, body::text as body from actions
where tenant_id = $1 and idempotency_key = $2"""


def content_of(kind: ActionKind, request: dict[str, Any]) -> bytes:
    """A digest of what was asked: a retry asks the same, a reused key something else."""
    # A lone half of a character is no text that bytes can have: what names nothing is told later.
    spoken = {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in request.items()
    }
    spelt = msgspec.json.encode([kind.name, spoken], order="sorted")
    return hashlib.blake2b(spelt, digest_size=16).digest()


def digest_of(
    idempotency_key: str,
    kind: int,
    content: bytes,
    at: int,
    version: int,
    body: dict[str, Any],
    subject: str | None,
) -> bytes:
    """A digest of all that an action's row says; no commit's rows have it."""
    says = [idempotency_key, kind, content.hex(), at, version, body, subject]
    spelt = msgspec.json.encode(says, order="sorted")
    return hashlib.blake2b(spelt, digest_size=16).digest()


ADD = """
insert into actions (
    tenant_id, idempotency_key, kind, content, at, version, body, subject, digest
)
values ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9)
returning action_id"""


async def keep(
    connection: Connection,
    tenant_id: int,
    idempotency_key: str,
    kind: ActionKind,
    content: bytes,
    *,
    at: int,
    version: int,
    body: dict[str, Any],
    subject: str | None = None,
) -> Action:
    """Keep what somebody did under its key; `subject` is what it speaks of."""
    spelt = msgspec.json.encode(body).decode()
    action_id: int = await connection.fetchval(
        ADD, tenant_id, idempotency_key, kind, content, at, version, spelt, subject,
        digest_of(idempotency_key, kind, content, at, version, body, subject),
    )  # fmt: skip
    return Action(action_id, content, at, body)


async def find(connection: Connection, tenant_id: int, idempotency_key: str) -> Action | None:
    row = await connection.fetchrow(FIND, tenant_id, idempotency_key)
    return None if row is None else _from_row(row)


OF_KEYS = """
select asked.n, found.action_id, found.content, found.at, found.body::text as body
from unnest($1::bigint[], $2::text[]) with ordinality asked (tenant_id, idempotency_key, n)
join actions found using (tenant_id, idempotency_key)"""


async def of_keys(door: Door, asked: Sequence[tuple[int, str]]) -> list[Action | None]:
    """For each (tenant, idempotency key), in order, the action of that key."""
    async with door.tenant_tx(*{tenant_id for tenant_id, _ in asked}) as connection:
        rows = await connection.fetch(OF_KEYS, *map(list, zip(*asked, strict=True)))
    found: list[Action | None] = [None] * len(asked)
    for row in rows:
        found[row["n"] - 1] = _from_row(row)
    return found


TOP_UP = """
select action_id, content, at, body::text as body from actions
where tenant_id = $1 and action_id = $2 and kind = 1"""


async def top_up(connection: Connection, tenant_id: int, action_id: int) -> Action | None:
    """A top-up of the tenant, by its number."""
    row = await connection.fetchrow(TOP_UP, tenant_id, action_id)
    return None if row is None else _from_row(row)


def of_charge(at: int, key: bytes, part: int) -> str:
    """The subject of refunds of a charge, whatever its revision; `charges` spells it in SQL."""
    return f"charge/{at}/{key.hex()}/{part}"


def of_top_up(action_id: int) -> str:
    """The subject of refunds of a top-up."""
    return f"top_up/{action_id}"


OF_SUBJECT = """
select action_id, content, at, body::text as body from actions
where tenant_id = $1 and subject = $2
order by action_id"""


async def about(connection: Connection, tenant_id: int, subject: str) -> list[Action]:
    """What was done before with a subject, oldest first."""
    rows = await connection.fetch(OF_SUBJECT, tenant_id, subject)
    return [_from_row(row) for row in rows]


# Cause 4 is a pay-off, 6 what a refund gave back of it. Newest first: by what each lot paid last.
PAID_OFF = """
select overdraft, lot, sum(amount)::bigint as amount
from (
    select
        substr(case when cause = 4 then credit else debit end, 5)::integer as overdraft,
        substr(case when cause = 4 then debit else credit end, 5)::integer as lot,
        case when cause = 4 then amount else -amount end as amount, version, line
    from transfers
    where tenant_id = $1 and cause in (4, 6) and balance_id = $2
        and debit like 'lot/%' and credit like 'lot/%'
) moved
where overdraft = any ($3::integer[])
group by overdraft, lot
having sum(amount) > 0
order by overdraft, max(version) desc, lot desc"""


async def paid_off(
    connection: Connection, tenant_id: int, balance_id: int, overdrafts: Collection[int]
) -> dict[int, list[tuple[int, int]]]:
    """By overdraft: the lots that paid it off, newest first, with what each was not given back."""
    found: dict[int, list[tuple[int, int]]] = {}
    if overdrafts:
        for row in await connection.fetch(PAID_OFF, tenant_id, balance_id, list(overdrafts)):
            found.setdefault(row["overdraft"], []).append((row["lot"], row["amount"]))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the stretch of one of its lists that is wanted."""

    tenant_id: int
    kind: ActionKind
    before: int = (1 << 63) - 1  #: the number of the last one seen


# A page for each one asked for; each walks the index of its kind backwards.
PAGES = """
select a.n, found.action_id, found.content, found.at, found.body
from unnest($1::bigint[], $2::smallint[], $3::bigint[]) with ordinality
    a (tenant_id, kind, before, n)
cross join lateral (
    select action_id, content, at, body::text as body from actions
    where tenant_id = a.tenant_id and kind = a.kind and action_id < a.before
    order by action_id desc
    limit $4
) found
order by a.n, found.action_id desc"""


async def pages(door: Door, asked: Sequence[Asked], *, limit: int) -> list[list[Action]]:
    """For each one asked for, up to `limit` actions of its kind, newest first."""
    columns: Iterable[tuple[Any, ...]] = zip(
        *((one.tenant_id, one.kind, one.before) for one in asked), strict=True
    )
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(PAGES, *map(list, columns), limit)
    found: list[list[Action]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(_from_row(row))
    return found


def _from_row(row: asyncpg.Record) -> Action:
    body: dict[str, Any] = msgspec.json.decode(row["body"])
    return Action(row["action_id"], row["content"], row["at"], body)
