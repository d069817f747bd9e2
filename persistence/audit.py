"""The audit: who changed what, from where, kept by the transaction that changed it.

Owns who acts just now, which is context like a request's id and has no default: a write that no
road gave an actor raises. Owns the rows of `audit` and their lists; what a row says of a change is
for the operation to put, in words an accountant reads. No secret ever comes here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import asyncpg
import msgspec

from persistence.connection import Connection
from persistence.door import Door

Words = Mapping[str, Any]


class ActorKind(StrEnum):
    """Stored; a name never changes meaning."""

    PERSON = "person"
    KEY = "key"
    COMMAND = "command"
    JOB = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody or something that changes what is stored."""

    name: str  #: "key abcd2345", "user usr_...", "operator", "command", "job settle"
    kind: ActorKind
    address: str | None = None  #: the other end of its connection
    request_id: str | None = None
    traced: bool = True  #: False: what it does is part of what one row has told as a whole


COMMAND = Actor(name="command", kind=ActorKind.COMMAND)
SETTLE_JOB = Actor(name="job settle", kind=ActorKind.JOB)

_acting: ContextVar[Actor] = ContextVar("acting")


def acting() -> Actor:
    """Who acts just now; a LookupError on a road that did not say."""
    return _acting.get()


def actor_known() -> Actor | None:
    """As `acting`; None where nobody said."""
    return _acting.get(None)


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Say who acts while the body runs, and whatever it starts."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


@contextmanager
def told_as_a_whole() -> Iterator[None]:
    """Leave no row for what the body does: one row speaks of all of it."""
    with acting_as(replace(acting(), traced=False)):
        yield


TRACE = """
insert into audit (
    tenant_id, at, actor, actor_kind, address, request_id, what, subject, before, after
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10::text::jsonb)"""


async def trace(
    connection: Connection,
    tenant_id: int | None,
    what: str,
    *subject: str,
    at: int,
    before: Words | None = None,
    after: Words | None = None,
) -> None:
    """Keep who changes what, in the transaction that does so.

    `what` is the mutation's name. `subject`: what it speaks of, a row by its kind and number
    (`num/7`), which readers see as its id, anything else by its name.
    """
    actor = acting()
    if actor.traced:
        await connection.execute(
            TRACE, tenant_id, at, actor.name, actor.kind.value, actor.address, actor.request_id,
            what, list(subject), _spelt(before), _spelt(after),
        )  # fmt: skip


def _spelt(words: Words | None) -> str | None:
    return None if words is None else msgspec.json.encode(words).decode()


class AuditRecord(NamedTuple):
    """One row."""

    tenant: str | None  #: the tenant's key; None: of no tenant
    audit_id: int
    at: int
    actor: str
    actor_kind: str
    address: str | None
    request_id: str | None
    what: str
    subject: Sequence[str]
    before: str | None  #: JSON
    after: str | None


Place = tuple[int, int]  #: at, audit_id

FIRST: Place = (-(1 << 63), 0)
LAST: Place = ((1 << 63) - 1, (1 << 63) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which rows are wanted: all between two places, both outside."""

    behind: Place = FIRST
    ahead_of: Place = LAST
    actor: str | None = None
    what: str | None = None


COLUMNS = """t.key as tenant, a.audit_id, a.at, a.actor, a.actor_kind, a.address, a.request_id,
    a.what, a.subject, a.before::text as before, a.after::text as after"""

# Each walks its index from the asked place on; only rows of one tenant stand on its way, or, for
# operators, those of everybody.
OF_TENANTS = """
select asked.tenant_id, {columns}
from unnest($1::bigint[]) asked (tenant_id)
join tenants t using (tenant_id)
cross join lateral (
    select * from audit
    where tenant_id = asked.tenant_id and {conditions}
    order by at {order}, audit_id {order}
    limit $2
) a
order by asked.tenant_id, a.at {order}, a.audit_id {order}"""

OF_ALL = """
select {columns}
from (
    select * from audit where {conditions} order by at {order}, audit_id {order} limit $1
) a
left join tenants t using (tenant_id)
order by a.at {order}, a.audit_id {order}"""


def statement(text: str, asked: Asked, *given: Any, oldest_first: bool) -> tuple[str, list[Any]]:
    """The statement of what is asked and its parameters; what is not asked is not in it."""
    parameters = [*given, *asked.behind, *asked.ahead_of]
    first = len(given) + 1
    conditions = [
        f"(at, audit_id) > (${first}, ${first + 1})",
        f"(at, audit_id) < (${first + 2}, ${first + 3})",
    ]
    for column, value in (("actor", asked.actor), ("what", asked.what)):
        if value is not None:
            parameters.append(value)
            conditions.append(f"{column} = ${len(parameters)}")
    written = text.format(
        columns=COLUMNS,
        conditions=" and ".join(conditions),
        order="asc" if oldest_first else "desc",
    )
    return written, parameters


async def of_tenants(
    door: Door, tenants: Sequence[int], asked: Asked, *, limit: int
) -> list[list[AuditRecord]]:
    """For each tenant up to `limit` of its rows, newest first."""
    found: dict[int, list[AuditRecord]] = {tenant: [] for tenant in tenants}
    text, parameters = statement(OF_TENANTS, asked, list(found), limit, oldest_first=False)
    async with door.tenant_tx(*found) as connection:
        for row in await connection.fetch(text, *parameters):
            found[row["tenant_id"]].append(_from_row(row))
    return [found[tenant] for tenant in tenants]


async def of_all(door: Door, asked: Asked, *, limit: int) -> list[AuditRecord]:
    """Up to `limit` rows of all tenants and of none, newest first."""
    text, parameters = statement(OF_ALL, asked, limit, oldest_first=False)
    async with _scope(door, None) as connection:
        rows = await connection.fetch(text, *parameters)
    return [_from_row(row) for row in rows]


#: Rows of an export read at a time: a transaction each, for whoever takes them may be slow.
PAGE_ROWS = 1_000


async def pages(
    door: Door, tenant_id: int | None, since: int, until: int
) -> AsyncIterator[list[AuditRecord]]:
    """All rows of `[since, until)`, oldest first: of a tenant, or of everybody."""
    asked = Asked(behind=(since, 0), ahead_of=(until, 0))
    text = OF_ALL if tenant_id is None else OF_TENANTS
    given = (PAGE_ROWS,) if tenant_id is None else ([tenant_id], PAGE_ROWS)
    more = True
    while more:
        written, parameters = statement(text, asked, *given, oldest_first=True)
        async with _scope(door, tenant_id) as connection:
            rows = [_from_row(row) for row in await connection.fetch(written, *parameters)]
        if rows:
            yield rows
            asked = replace(asked, behind=(rows[-1].at, rows[-1].audit_id))
        more = len(rows) == PAGE_ROWS


def _scope(door: Door, tenant_id: int | None) -> AbstractAsyncContextManager[Connection]:
    if tenant_id is None:
        return door.system_tx("the audit of all tenants and of none")
    return door.tenant_tx(tenant_id)


def _from_row(row: asyncpg.Record) -> AuditRecord:
    return AuditRecord(*(row[name] for name in AuditRecord._fields))
