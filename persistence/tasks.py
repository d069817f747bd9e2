"""Tasks: what is to be done behind a commit, as rows of the transaction that decided it.

Owns the rows and their leases. Whoever takes a task has it alone until its lease ends, and ends it
in the transaction of its effect; so an effect that a crash can drop is done again, and one that
was committed is not. What a kind means is its handler's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from persistence.connection import Connection
from persistence.door import Door

#: Kinds. A name never changes meaning: rows outlive releases.
PAYMENT, NOTIFY, WEBHOOK, MAIL = "payment", "notify", "webhook", "mail"
CLOSE, INVOICE, DUNNING, ENDING, EXPORT = "close", "invoice", "dunning", "ending", "export"
REPORT_LETTER, REPORT_SCHEDULE = "report_letter", "report_schedule"


class Task(NamedTuple):
    """One task, as it was taken."""

    tenant_id: int
    kind: str
    key: str  #: unique among the tenant's of its kind
    due_at: int  #: until when whoever took it has it alone
    tries: int  #: how often it was taken, this time included
    body: dict[str, Any]


ADD = """
insert into tasks (tenant_id, kind, key, due_at, body) values ($1, $2, $3, $4, $5::text::jsonb)
on conflict (tenant_id, kind, key) do update set due_at = least(tasks.due_at, excluded.due_at)"""


async def add(
    connection: Connection,
    tenant_id: int,
    kind: str,
    key: str,
    due_at: int,
    body: dict[str, Any] | None = None,
) -> None:
    """Have something done from an instant on; of one that is there the earlier instant holds."""
    spelt = msgspec.json.encode(body or {}).decode()
    await connection.execute(ADD, tenant_id, kind, key, due_at, spelt)


async def tell(connection: Connection, versions: Mapping[tuple[int, int], int]) -> None:
    """Have the alerts of tenants' versions told to people; by version, when they were raised."""
    for (tenant_id, version), now in versions.items():
        await add(connection, tenant_id, NOTIFY, str(version), now)


# Taken by whoever comes first; the rest is looked past.
TAKE = """
update tasks t set due_at = $3, tries = t.tries + 1
from (
    select tenant_id, kind, key from tasks
    where kind = $1 and due_at <= $2
    order by due_at
    limit $4
    for update skip locked
) due
where t.tenant_id = due.tenant_id and t.kind = due.kind and t.key = due.key
returning t.tenant_id, t.kind, t.key, t.due_at, t.tries, t.body::text as body"""


# Each tenant's first before anybody's second: who has many due holds up nobody who has one. What
# is under way of a tenant counts as if it came before, and is not taken by who has it.
TAKE_FAIRLY = """
update tasks t set due_at = $3, tries = t.tries + 1
from (
    select t.tenant_id, t.kind, t.key
    from (
        select tenant_id, key, due_at, row_number() over (partition by tenant_id order by due_at)
            + (select count(*) from unnest($5::bigint[]) of_tenant where of_tenant = tenant_id)
            as place
        from (
            select tenant_id, key, due_at from tasks
            where kind = $1 and due_at <= $2 and (tenant_id, key) not in (
                select * from unnest($5::bigint[], $8::text[])
            )
            order by due_at limit $7
        ) oldest
    ) placed join tasks t using (tenant_id, key)
    where t.kind = $1 and t.due_at <= $2 and placed.place <= $6
    order by placed.place, placed.due_at
    limit $4
    for update of t skip locked
) due
where t.tenant_id = due.tenant_id and t.kind = due.kind and t.key = due.key
returning t.tenant_id, t.kind, t.key, t.due_at, t.tries, t.body::text as body"""

#: Due tasks that are looked at to find those of other tenants among them.
LOOKED_AT_MAX: Final = 5_000


class Share(NamedTuple):
    """How much of a kind one tenant may have in a process at a time."""

    most: int
    busy: Sequence[tuple[int, str]] = ()  #: what is under way there: whose, and its key


async def take(
    door: Door, kind: str, now: int, *, lease: int, limit: int, share: Share | None = None
) -> list[Task]:
    """Up to `limit` due tasks of a kind, the longest due first; due again when the lease ends.

    With a share, each tenant's first come before anybody's second, up to what a tenant may have.
    """
    given: tuple[Any, ...] = (kind, now, now + lease, limit)
    statement = TAKE
    if share is not None:
        statement = TAKE_FAIRLY
        tenants, keys = [tenant for tenant, _ in share.busy], [key for _, key in share.busy]
        given = (*given, tenants, share.most, LOOKED_AT_MAX, keys)
    async with door.system_tx("due tasks are of any tenant") as connection:
        rows = await connection.fetch(statement, *given)
    return [_task(row) for row in rows]


TAKE_ONE = """
update tasks set due_at = $5, tries = tries + 1
where tenant_id = $1 and kind = $2 and key = $3 and due_at <= $4
returning tenant_id, kind, key, due_at, tries, body::text as body"""


async def take_one(
    connection: Connection, tenant_id: int, kind: str, key: str, now: int, *, lease: int
) -> Task | None:
    """A task by its name, if it is due; None: it is not, is done, or somebody has it."""
    row = await connection.fetchrow(TAKE_ONE, tenant_id, kind, key, now, now + lease)
    return None if row is None else _task(row)


# Who was hurried meanwhile may have looked too early: it stays due.
LATER = """
update tasks set due_at = case when due_at = $5 then $6 else due_at end
where tenant_id = $1 and kind = $2 and key = $3 and tries = $4
returning due_at"""
END = "delete from tasks where tenant_id = $1 and kind = $2 and key = $3 and tries = $4"


async def done(connection: Connection, task: Task) -> bool:
    """End a task, unless it was hurried while it was done: then it is done once more.

    False: somebody else has taken it since, and what was done must not count.
    """
    held = await connection.fetchval(LATER, *task[:3], task.tries, task.due_at, task.due_at)
    if held == task.due_at:
        await connection.execute(END, *task[:3], task.tries)
    return held is not None


async def later(connection: Connection, task: Task, due_at: int) -> bool:
    """Have a task done again at an instant, or as soon as it was hurried to be.

    False: somebody else has taken it since.
    """
    held = await connection.fetchval(LATER, *task[:3], task.tries, task.due_at, due_at)
    return held is not None


# Tries that went well are counted as well: only failures one after the other are a row. Whoever had
# the task may have taken a longer lease meanwhile; only what was hurried is due sooner.
FAILED = """
update tasks set due_at = case when due_at >= $5 then $6 else due_at end, failed_try = $4,
    failures = case when failed_try = $4 - 1 then failures + 1 else 1 end
where tenant_id = $1 and kind = $2 and key = $3 and tries = $4"""


async def failed(connection: Connection, task: Task, due_at: int) -> None:
    """Have a task that failed done again as `later` does, and count how often it did in a row.

    Nothing happens where somebody else has taken it since.
    """
    await connection.execute(FAILED, *task[:3], task.tries, task.due_at, due_at)


DROP = "delete from tasks where tenant_id = $1 and kind = $2 and key = $3"


async def drop(connection: Connection, tenant_id: int, kind: str, key: str) -> None:
    """End a task whoever has it: what it was to do is done by something else."""
    await connection.execute(DROP, tenant_id, kind, key)


NAMES = "select key from tasks where tenant_id = $1 and kind = $2 order by key"


async def names(connection: Connection, tenant_id: int, kind: str) -> list[str]:
    """The names of a tenant's tasks of a kind, due or not."""
    return [row["key"] for row in await connection.fetch(NAMES, tenant_id, kind)]


HURRY = """
update tasks set due_at = least(due_at, $4) where tenant_id = $1 and kind = $2 and key = $3"""


async def hurry(connection: Connection, tenant_id: int, kind: str, key: str, now: int) -> bool:
    """Have a task done at once, even if somebody has it just now; False: it is done."""
    return await connection.execute(HURRY, tenant_id, kind, key, now) == "UPDATE 1"


def _task(row: Any) -> Task:
    body: dict[str, Any] = msgspec.json.decode(row["body"])
    return Task(row["tenant_id"], row["kind"], row["key"], row["due_at"], row["tries"], body)
