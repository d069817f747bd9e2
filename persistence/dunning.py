"""Dunning as it stands in rows: a tenant's policy, the steps that were done, and what then holds.

Owns how the three are kept, and that what holds is one of a tenant's settings: every process reads
its terms again where it changes. What is due and what holds is `domain.dunning`'s to say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import msgspec

from domain.dunning import DEFAULT, Bill, Dunned, Policy, blocks, due, holds, parse_dunning, written
from domain.periods import Zone
from persistence.connection import Connection
from persistence.door import Door
from persistence.tasks import DUNNING
from persistence.zones import read_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Dunning:
    """How a tenant is dunned, and what came of it."""

    policy: Policy
    own: bool  #: whether it is the tenant's, and not everybody's
    dunned: Dunned | None  #: what its row says
    zone: Zone
    bills: Mapping[int, Bill]  #: by number in the database: those of which something is left to pay


def read_policy(kept: str | None) -> Policy:
    """The policy of a row; DunningError where somebody else wrote it there."""
    return DEFAULT if kept is None else parse_dunning(msgspec.json.decode(kept))


_read_dunned: Final = msgspec.json.Decoder(Dunned).decode


def read_dunned(kept: str | None) -> Dunned | None:
    """What of a tenant's sends is refused, from its row."""
    return None if kept is None else _read_dunned(kept)


# Each tenant's bills in one column: most have none that is open.
OF_TENANTS = """
select t.tenant_id, t.dunning::text as dunning, t.dunned::text as dunned, t.zones::text as zones,
    (select json_agg(json_build_array(
        i.invoice_id, i.number, i.due_on, i.balance, i.total, i.currency,
        (select coalesce(json_object_agg(s.step, s.at), '{}') from dunning_steps s
            where s.tenant_id = i.tenant_id and s.invoice_id = i.invoice_id)
        ) order by i.due_on, i.invoice_id)::text
        from invoices i
        where i.tenant_id = t.tenant_id and i.balance > 0 and i.due_on is not null) as bills
from tenants t
where t.tenant_id = any ($1::bigint[])"""


async def of_locked(connection: Connection, tenant_id: int) -> Dunning:
    """How a locked tenant is dunned."""
    row = await connection.fetchrow(OF_TENANTS, [tenant_id])
    assert row is not None, "a tenant that is locked is there"
    return _from_row(row)


async def of_tenants(door: Door, tenant_ids: Collection[int]) -> dict[int, Dunning]:
    """How tenants are dunned, by tenant."""
    ids = list(tenant_ids)
    async with door.tenant_tx(*ids) as connection:
        rows = await connection.fetch(OF_TENANTS, ids)
    return {row["tenant_id"]: _from_row(row) for row in rows}


HOLD = """
with head as (update tenant_head set settings = settings + 1 where tenant_id = $1)
update tenants set dunned = $2::text::jsonb where tenant_id = $1"""

# Steps of what is paid are lifted, and hold again where a payment was taken back.
LIFTED = """
update dunning_steps s
set lifted_at = case when held.invoice_id is null then $4::bigint end
from dunning_steps own
left join unnest($2::bigint[], $3::text[]) held (invoice_id, step)
    on held.invoice_id = own.invoice_id and held.step = own.step
where own.tenant_id = $1 and s.tenant_id = $1 and s.invoice_id = own.invoice_id
    and s.step = own.step and (own.lifted_at is null) = (held.invoice_id is null)
    and own.step like 'block%'"""

# An invoice that is open again has its steps before it again.
OPEN = """
insert into tasks (tenant_id, kind, key, due_at, body)
select $1, $2, asked.key, asked.due_at, '{}'
from unnest($3::text[], $4::bigint[]) asked (key, due_at)
on conflict (tenant_id, kind, key) do nothing"""


async def lift(connection: Connection, tenant_id: int, now: int) -> bool:
    """Bring what holds of a locked tenant to what is unpaid by now; gives whether it changed.

    In the commit of whatever changed what is left to pay of an invoice: a payment, a credit note, a
    void, a payment that was taken back. Nobody else says what holds.
    """
    found = await of_locked(connection, tenant_id)
    after = holds(found.policy, found.bills.values())
    await _open(connection, tenant_id, found, now)
    if found.dunned is not None or any(bill.done for bill in found.bills.values()):
        held = [
            (number, step.name)
            for number, bill in found.bills.items()
            for step in blocks(found.policy, bill)
        ]
        await connection.execute(
            LIFTED, tenant_id, [number for number, _ in held], [step for _, step in held], now
        )
    if after == found.dunned:
        return False
    spelt = None if after is None else msgspec.json.encode(after).decode()
    await connection.execute(HOLD, tenant_id, spelt)
    return True


async def _open(connection: Connection, tenant_id: int, found: Dunning, now: int) -> None:
    """Have every open invoice looked at when its next step is due."""
    when: dict[int, int] = {}
    for number, bill in found.bills.items():
        wanted = due(found.policy, bill, found.zone, now)
        at = now if wanted.steps else wanted.at
        if at is not None:
            when[number] = at
    if when:
        await connection.execute(
            OPEN, tenant_id, DUNNING, [str(number) for number in when], list(when.values())
        )


STEPS = """
insert into dunning_steps (tenant_id, invoice_id, step, at)
select $1, $2, unnest($3::text[]), $4"""


async def keep_steps(
    connection: Connection, tenant_id: int, invoice_id: int, steps: Iterable[str], at: int
) -> None:
    """Keep that steps were done; UniqueViolationError for one that was."""
    await connection.execute(STEPS, tenant_id, invoice_id, list(steps), at)


SET = "update tenants set dunning = $2::text::jsonb where tenant_id = $1"


async def set_policy(connection: Connection, tenant_id: int, policy: Policy | None) -> None:
    """Keep how a locked tenant is dunned from now on; None: as everybody is.

    Whoever does so brings what holds up to date (`lift`), and has invoices looked at (`hurry`).
    """
    spelt = None if policy is None else msgspec.json.encode(written(policy)).decode()
    await connection.execute(SET, tenant_id, spelt)


# Steps that were all done have no task any more; another policy may have more of them.
HURRY = """
insert into tasks (tenant_id, kind, key, due_at, body)
select $1, $2, invoice_id::text, $3, '{}' from invoices
where tenant_id = $1 and balance > 0 and due_on is not null
on conflict (tenant_id, kind, key) do update set due_at = least(tasks.due_at, excluded.due_at)"""


async def hurry(connection: Connection, tenant_id: int, now: int) -> None:
    """Have all open invoices of a tenant looked at: its policy or its clock is another."""
    await connection.execute(HURRY, tenant_id, DUNNING, now)


def _from_row(row: asyncpg.Record) -> Dunning:
    bills: list[list[Any]] = msgspec.json.decode(row["bills"] or "[]")
    return Dunning(
        policy=read_policy(row["dunning"]),
        own=row["dunning"] is not None,
        dunned=read_dunned(row["dunned"]),
        zone=read_zone(row["zones"]),
        bills={
            invoice_id: Bill(
                number=number,
                due_on=due_on,
                balance=balance,
                total=total,
                currency=currency,
                done=done,
            )
            for invoice_id, number, due_on, balance, total, currency, done in bills
        },
    )
