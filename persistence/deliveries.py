"""Deliveries: each alert on its way to one endpoint or mailbox, as it is kept.

Owns the rows and the tasks that they begin with. To whom an alert goes is `api.reaching.fan_out`'s
to say; when one is tried again, and what of, is its channel's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

import asyncpg
import msgspec

from persistence import tasks
from persistence.connection import Connection
from persistence.door import Door

#: What their ids begin with.
PREFIX = "dlv"

#: Behind every delivery, as pages go.
NEWEST = (1 << 63) - 1

#: Tries that are kept of one delivery, the latest.
TRIES_MAX = 20


class Channel(StrEnum):
    """By which way it goes; stored, and the kind of its task."""

    WEBHOOK = "webhook"
    MAIL = "mail"


class State(IntEnum):
    """Where a delivery stands; stored, a number never changes meaning."""

    PENDING = 1  #: it is tried, or tried again
    DELIVERED = 2
    FAILED = 3  #: it was given up
    STOPPED = 4  #: its endpoint or mailbox is off, or is no more


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """A delivery that is to be made."""

    channel: Channel
    target_id: int  #: the endpoint or mailbox
    event: str  #: opaque; what it is about, the same at each try
    kind: str  #: of the event, such as `alert.threshold`
    body: bytes
    address: str
    due_at: int | None  #: None: its target is off, so that it is only kept


class Try(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One try to deliver."""

    at: int
    ms: int  #: how long it took
    status: int | None  #: what was answered; None: nothing was
    why: str  #: why it failed, for people; empty: it did not
    answer: str  #: the beginning of what was answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery."""

    tenant_id: int
    delivery_id: int
    channel: Channel
    target_id: int
    event: str
    kind: str
    body: bytes
    address: str  #: where it goes, as of the latest try
    state: State
    tried: int  #: since it began, or was begun again
    tries: Sequence[Try]  #: oldest first
    created_at: int
    due_at: int | None  #: of the next try; None: it is over
    ended_at: int | None

    @property
    def task(self) -> str:
        """The key of its task."""
        return str(self.delivery_id)


INSERT = """
insert into deliveries (
    tenant_id, channel, target_id, event, kind, body, address, state, created_at, due_at, ended_at
)
select $1, n.channel, n.target_id, n.event, n.kind, n.body, n.address,
    case when n.due_at is null then $4::smallint else $2::smallint end, $3::bigint, n.due_at,
    case when n.due_at is null then $3::bigint end
from unnest(
    $5::text[], $6::bigint[], $7::text[], $8::text[], $9::bytea[], $10::text[], $11::bigint[]
) n (channel, target_id, event, kind, body, address, due_at)
on conflict (tenant_id, channel, target_id, event) do nothing
returning delivery_id, channel, due_at"""


async def insert(
    connection: Connection, tenant_id: int, news: Sequence[New], now: int
) -> list[int]:
    """Keep deliveries that are not there yet, with a task for each; the numbers of those."""
    if not news:
        return []
    rows = await connection.fetch(
        INSERT, tenant_id, State.PENDING, now, State.STOPPED,
        [new.channel.value for new in news], [new.target_id for new in news],
        [new.event for new in news], [new.kind for new in news], [new.body for new in news],
        [new.address for new in news], [new.due_at for new in news],
    )  # fmt: skip
    for row in rows:
        if row["due_at"] is None:
            continue
        key = str(row["delivery_id"])
        await tasks.add(connection, tenant_id, row["channel"], key, row["due_at"])
    return [row["delivery_id"] for row in rows]


_DELIVERY = """
    d.tenant_id, d.delivery_id, d.channel, d.target_id, d.event, d.kind, d.body, d.address, d.state,
    d.tried, d.tries::text as tries, d.created_at, d.due_at, d.ended_at"""

FIND = f"select {_DELIVERY} from deliveries d where d.tenant_id = $1 and d.delivery_id = $2"


async def find(
    connection: Connection, tenant_id: int, delivery_id: int, *, lock: bool = False
) -> Delivery | None:
    """A delivery of a tenant; locked, nobody else changes it before the transaction ends."""
    statement = f"{FIND} for no key update" if lock else FIND
    row = await connection.fetchrow(statement, tenant_id, delivery_id)
    return None if row is None else _from_row(row)


TRIED = """
update deliveries
set state = $3, tried = tried + 1, tries = $4::text::jsonb, address = $5, due_at = $6, ended_at = $7
where tenant_id = $1 and delivery_id = $2"""


async def tried(
    connection: Connection,
    delivery: Delivery,
    found: Try,
    state: State,
    *,
    address: str,
    due_at: int | None,
) -> None:
    """Note what a try came to and where the delivery stands since; its task is the caller's."""
    kept = [*delivery.tries, found][-TRIES_MAX:]
    ended_at = None if state is State.PENDING else found.at
    await connection.execute(
        TRIED, delivery.tenant_id, delivery.delivery_id, state,
        msgspec.json.encode(kept).decode(), address, due_at, ended_at,
    )  # fmt: skip


STOP = """
update deliveries set state = $3, due_at = null, ended_at = $4
where tenant_id = $1 and delivery_id = $2"""


async def stop(connection: Connection, delivery: Delivery, now: int) -> None:
    """End a delivery whose endpoint or mailbox is off, or is no more."""
    await connection.execute(STOP, delivery.tenant_id, delivery.delivery_id, State.STOPPED, now)


PUT_OFF = "update deliveries set due_at = $3 where tenant_id = $1 and delivery_id = $2"


async def put_off(connection: Connection, delivery: Delivery, due_at: int) -> None:
    """Say when a delivery is tried that could not be just now."""
    await connection.execute(PUT_OFF, delivery.tenant_id, delivery.delivery_id, due_at)


AGAIN = """
update deliveries set state = $3, tried = 0, due_at = $4, ended_at = null
where tenant_id = $1 and delivery_id = $2"""


async def again(connection: Connection, delivery: Delivery, now: int) -> None:
    """Begin a delivery anew, at once: the same event under the same id."""
    await connection.execute(AGAIN, delivery.tenant_id, delivery.delivery_id, State.PENDING, now)
    tenant_id, kind, key = delivery.tenant_id, delivery.channel.value, delivery.task
    await tasks.add(connection, tenant_id, kind, key, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the stretch of its log that is wanted."""

    tenant_id: int
    channel: Channel
    target_id: int | None = None  #: None: of all
    state: State | None = None  #: None: in all
    before: int = NEWEST  #: the last one seen


# A page for each one asked for; each walks the primary key backwards.
PAGES = f"""
select asked.n, {_DELIVERY}
from unnest($1::bigint[], $2::bigint[]) with ordinality asked (tenant_id, before, n)
cross join lateral (
    select * from deliveries
    where tenant_id = asked.tenant_id and delivery_id < asked.before and channel = $3
        and ($4::bigint is null or target_id = $4) and ($5::smallint is null or state = $5)
    order by delivery_id desc
    limit $6
) d
order by asked.n, d.delivery_id desc"""


async def pages(door: Door, asked: Sequence[Asked], *, limit: int) -> list[list[Delivery]]:
    """For each one asked for, up to `limit` deliveries, newest first; all alike but for where."""
    channel, target_id, state = asked[0].channel, asked[0].target_id, asked[0].state
    assert all((one.channel, one.target_id, one.state) == (channel, target_id, state)
               for one in asked)  # fmt: skip
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(
            PAGES, [one.tenant_id for one in asked], [one.before for one in asked], channel.value,
            target_id, state, limit,
        )  # fmt: skip
    found: list[list[Delivery]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(_from_row(row))
    return found


CLEAR = """
delete from deliveries d
using (
    select tenant_id, delivery_id from deliveries
    where ended_at < $1
    order by ended_at
    limit $2
) old
where d.tenant_id = old.tenant_id and d.delivery_id = old.delivery_id"""


async def clear(door: Door, before: int, *, limit: int) -> int:
    """Remove up to `limit` deliveries that were over before an instant; how many."""
    async with door.system_tx("deliveries of all tenants that are long over") as connection:
        done = await connection.execute(CLEAR, before, limit)
    return int(done.split()[-1])


_tries = msgspec.json.Decoder(list[Try]).decode


def _from_row(row: asyncpg.Record) -> Delivery:
    values: dict[str, Any] = {name: value for name, value in row.items() if name != "n"}
    values["channel"], values["state"] = Channel(values["channel"]), State(values["state"])
    values["tries"] = _tries(values["tries"])
    return Delivery(**values)
