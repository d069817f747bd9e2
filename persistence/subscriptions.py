"""Subscriptions as rows: what was agreed with a tenant on a first day, and what was agreed since.

Owns the rows, and how a change is spelt in them and in the log. What they mean, and what may be
agreed at all, is `domain.subscriptions`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final

import asyncpg
import msgspec

from domain.fees import Fees, Term
from domain.subscriptions import (
    Cancel,
    Change,
    Deed,
    Pause,
    Renew,
    Resume,
    SetQuantity,
    Subscription,
    SwitchPlan,
)
from persistence import tasks
from persistence.connection import Connection
from persistence.door import Door


class DeedKind(IntEnum):
    """What a change is; stored."""

    QUANTITY = 1
    PLAN = 2
    PAUSE = 3
    RESUME = 4
    CANCEL = 5
    RENEW = 6


DEEDS: Final[Mapping[DeedKind, type[Deed]]] = {
    DeedKind.QUANTITY: SetQuantity,
    DeedKind.PLAN: SwitchPlan,
    DeedKind.PAUSE: Pause,
    DeedKind.RESUME: Resume,
    DeedKind.CANCEL: Cancel,
    DeedKind.RENEW: Renew,
}
KINDS: Final = {deed: kind for kind, deed in DEEDS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A subscription, with what its rows say beside what was agreed."""

    tenant_id: int
    subscription_id: int
    subscription: Subscription
    plan: str | None  #: whose allowances it comes with, by what was agreed last; None: no plan's
    said_for: int | None  #: the last day served whose coming was said
    created_at: int


@dataclass(frozen=True, slots=True)
class _First:
    """The body of a subscription's row."""

    fees: Fees
    term: Term
    quantities: Mapping[str, int]
    plan: str | None


COLUMNS: Final = """
s.tenant_id, s.subscription_id, s.subscription, s.start, s.body::text as body, s.created_at,
    s.said_for,
    (select coalesce(json_agg(json_build_object(
            'key', c.change, 'kind', c.kind, 'day', c.day, 'agreed_on', c.agreed_on,
            'agreed_at', c.agreed_at, 'body', c.body
        ) order by c.agreed_at, c.change), '[]')
        from subscription_changes c
        where c.tenant_id = s.tenant_id and c.subscription_id = s.subscription_id
    )::text as changes"""

OF_TENANTS = f"""
select {COLUMNS} from subscriptions s where s.tenant_id = any ($1::bigint[])
order by s.tenant_id, s.subscription_id"""


async def of_tenant(connection: Connection, tenant_id: int) -> list[Kept]:
    """A tenant's subscriptions, oldest first."""
    return [_kept(row) for row in await connection.fetch(OF_TENANTS, [tenant_id])]


async def of_tenants(door: Door, tenant_ids: Sequence[int]) -> list[list[Kept]]:
    """The same of several tenants, each in its place."""
    found: dict[int, list[Kept]] = {tenant_id: [] for tenant_id in tenant_ids}
    if found:
        async with door.tenant_tx(*found) as connection:
            for row in await connection.fetch(OF_TENANTS, list(found)):
                found[row["tenant_id"]].append(_kept(row))
    return [found[tenant_id] for tenant_id in tenant_ids]


FIND = f"select {COLUMNS} from subscriptions s where s.tenant_id = $1 and s.subscription = $2"


async def find(connection: Connection, tenant_id: int, key: str) -> Kept | None:
    """A tenant's subscription by its key."""
    row = await connection.fetchrow(FIND, tenant_id, key)
    return None if row is None else _kept(row)


BY_IDS = f"select {COLUMNS} from subscriptions s where s.subscription_id = any ($1::bigint[])"


async def by_ids(
    door: Door, tenant_ids: Iterable[int], subscription_ids: Sequence[int]
) -> dict[int, Kept]:
    """By number, those of these tenants."""
    async with door.tenant_tx(*tenant_ids) as connection:
        rows = await connection.fetch(BY_IDS, list(subscription_ids))
    return {row["subscription_id"]: _kept(row) for row in rows}


WHOSE: Final = "select tenant_id from subscriptions where subscription_id = $1"


async def whose(door: Door, subscription_id: int) -> int | None:
    """The tenant of a subscription, for an operator; None: there is none such."""
    async with door.system_tx("an operator's subscription by its id") as connection:
        found: int | None = await connection.fetchval(WHOSE, subscription_id)
    return found


INSERT = """
insert into subscriptions (tenant_id, subscription, start, body, created_at)
values ($1, $2, $3, $4::text::jsonb, $5) returning subscription_id"""


async def insert(
    connection: Connection, tenant_id: int, subscription: Subscription, *, plan: str | None, at: int
) -> Kept:
    """Keep what was agreed with a locked tenant for a first day; it has no changes yet."""
    first = _First(subscription.fees, subscription.term, subscription.quantities, plan)
    subscription_id: int = await connection.fetchval(
        INSERT, tenant_id, subscription.key, subscription.start, _spelt(first), at
    )
    return Kept(
        tenant_id=tenant_id, subscription_id=subscription_id, subscription=subscription,
        plan=plan, said_for=None, created_at=at,
    )  # fmt: skip


CHANGE = """
insert into subscription_changes (
    tenant_id, subscription_id, change, kind, day, agreed_on, agreed_at, body
)
values ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb)"""


async def add_change(
    connection: Connection, kept: Kept, change: Change, *, plan: str | None = None
) -> Kept:
    """Keep one more change, with the plan that it comes with; None: the one there was."""
    written = written_change(change, plan)
    await connection.execute(
        CHANGE, kept.tenant_id, kept.subscription_id, change.key, written["kind"], change.day,
        change.agreed_on, change.agreed_at, _spelt(written["body"]),
    )  # fmt: skip
    changes = (*kept.subscription.changes, change)
    return replace(
        kept,
        subscription=replace(kept.subscription, changes=changes),
        plan=kept.plan if plan is None else plan,
    )


SAID = """
update subscriptions set said_for = $3 where tenant_id = $1 and subscription_id = $2"""


async def said(connection: Connection, kept: Kept, last_day: int) -> None:
    """Keep that the coming of a last day was said."""
    await connection.execute(SAID, kept.tenant_id, kept.subscription_id, last_day)


INVOICED = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update tenants set invoicing = true where tenant_id = $1 and not invoicing"""


async def begin_invoicing(connection: Connection, tenant_id: int) -> None:
    """From now on a locked tenant's periods are closed and invoiced by themselves."""
    await connection.execute(INVOICED, tenant_id)


AGAIN = """
update tasks set due_at = least(due_at, $3) where tenant_id = $1 and kind = $2"""


async def look_again(connection: Connection, tenant_id: int, now: int) -> None:
    """Have the ends of a tenant's subscriptions looked at at once: when they are said is local."""
    await connection.execute(AGAIN, tenant_id, tasks.ENDING, now)


def written_change(change: Change, plan: str | None) -> dict[str, Any]:
    """A change as rows and the log have it."""
    return {
        "key": change.key,
        "kind": KINDS[type(change.deed)],
        "day": change.day,
        "agreed_on": change.agreed_on,
        "agreed_at": change.agreed_at,
        "body": {"deed": msgspec.to_builtins(change.deed), "plan": plan},
    }


def read_change(written: Mapping[str, Any]) -> tuple[Change, str | None]:
    """The change that was written, and the plan that it comes with."""
    body = written["body"]
    deed: Deed = msgspec.convert(body["deed"], type=DEEDS[DeedKind(written["kind"])])
    change = Change(
        key=written["key"], day=written["day"], agreed_on=written["agreed_on"],
        agreed_at=written["agreed_at"], deed=deed,
    )  # fmt: skip
    return change, body["plan"]


def written_first(subscription: Subscription, plan: str | None) -> dict[str, Any]:
    """A subscription without its changes, as the log has it."""
    first = _First(subscription.fees, subscription.term, subscription.quantities, plan)
    body: dict[str, Any] = msgspec.to_builtins(first)
    return {"key": subscription.key, "start": subscription.start, **body}


def read_first(written: Mapping[str, Any]) -> tuple[Subscription, str | None]:
    """The subscription that was written, and the plan that it comes with."""
    first = msgspec.convert(written, type=_First)
    subscription = Subscription(
        key=written["key"], fees=first.fees, start=written["start"], term=first.term,
        quantities=first.quantities,
    )  # fmt: skip
    return subscription, first.plan


def _kept(row: asyncpg.Record) -> Kept:
    first = msgspec.json.decode(row["body"], type=_First)
    read = [read_change(each) for each in msgspec.json.decode(row["changes"])]
    plans = [first.plan, *(plan for _, plan in read if plan is not None)]
    return Kept(
        tenant_id=row["tenant_id"],
        subscription_id=row["subscription_id"],
        subscription=Subscription(
            key=row["subscription"],
            fees=first.fees,
            start=row["start"],
            term=first.term,
            quantities=first.quantities,
            changes=tuple(change for change, _ in read),
        ),
        plan=plans[-1],
        said_for=row["said_for"],
        created_at=row["created_at"],
    )


def _spelt(value: Any) -> str:
    return msgspec.json.encode(value).decode()
