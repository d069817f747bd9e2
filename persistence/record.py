"""Recording what a commit changes: one `unnest` statement a table, no amount computed in SQL.

Owns the shape of the rows of a commit and the digest over them. Runs in the transaction that holds
the tenants' locks, so every value is absolute; rollups alone are added to what stands there.
COPY is refused under row-level security, which is why the rows travel as arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from domain.facts import Fact, Flag
from domain.state import USAGE, Changes, Outcome
from persistence.connection import Connection

_pack = msgspec.msgpack.Encoder().encode

DIGEST_BYTES = 16

_USAGE_COLUMNS = ", ".join(USAGE)
_USAGE_ADDED = ", ".join(f"{name} = usage.{name} + excluded.{name}" for name in USAGE)


def _insert(table: str, columns: str, types: str, conflict: str = "", alias: str = "") -> str:
    arrays = ", ".join(f"${n}::{name}[]" for n, name in enumerate(types.split(), 1))
    into = f"insert into {table} {alias} ({columns}) select * from unnest({arrays})"
    return f"{into} {conflict}".strip()


FACTS = _insert(
    "facts",
    "tenant_id, at, key, version, arrived_at, number_id, units, amount, type, status, balance_id,"
    " flags, rule_id, lot_id, source, id, party, category, market, country, data",
    "bigint bigint bytea bigint bigint bigint bigint bigint smallint smallint smallint"
    " integer integer integer text text text text text text text",
)

# Lots and what they paid travel as array literals: unnest would flatten arrays of arrays.
CHARGES = """
insert into charges (tenant_id, at, key, part, revision, reversal, version, booked_at, balance_id,
    rule_id, units, amount, flags, lots, taken)
select tenant_id, at, key, part, 0, false, version, booked_at, balance_id, rule_id, units, amount,
    flags, lots::integer[], taken::bigint[]
from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::smallint[], $5::bigint[], $6::bigint[],
    $7::smallint[], $8::integer[], $9::bigint[], $10::bigint[], $11::integer[], $12::text[],
    $13::text[])
    r (tenant_id, at, key, part, version, booked_at, balance_id, rule_id, units, amount, flags,
    lots, taken)"""

CONTACTS = """
insert into contacts (tenant_id, channel, party, number_id, last_at, service_opened_at,
    service_ends_at, conversation_opened_at, conversation_ends_at, conversation_paid, entry_at,
    entry_opened_at, entry_ends_at, visited)
select tenant_id, channel, party, number_id, last_at, service_opened_at,
    service_ends_at, conversation_opened_at, conversation_ends_at, conversation_paid, entry_at,
    entry_opened_at, entry_ends_at, visited::integer[]
from unnest($1::bigint[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::boolean[], $11::bigint[], $12::bigint[],
    $13::bigint[], $14::text[])
    r (tenant_id, channel, party, number_id, last_at, service_opened_at,
    service_ends_at, conversation_opened_at, conversation_ends_at, conversation_paid, entry_at,
    entry_opened_at, entry_ends_at, visited)
on conflict (tenant_id, channel, party, number_id) do update set
    last_at = excluded.last_at,
    service_opened_at = excluded.service_opened_at,
    service_ends_at = excluded.service_ends_at,
    conversation_opened_at = excluded.conversation_opened_at,
    conversation_ends_at = excluded.conversation_ends_at,
    conversation_paid = excluded.conversation_paid,
    entry_at = excluded.entry_at,
    entry_opened_at = excluded.entry_opened_at,
    entry_ends_at = excluded.entry_ends_at,
    visited = excluded.visited"""

LOTS = _insert(
    "lots",
    "tenant_id, lot_id, balance_id, source, priority, month, amount, used, moved, lapsed,"
    " starts_at, ends_at, created_at, exhausted_at",
    "bigint integer smallint smallint smallint integer bigint bigint bigint bigint bigint bigint"
    " bigint bigint",
    "on conflict (tenant_id, lot_id) do update set amount = excluded.amount, used = excluded.used,"
    " moved = excluded.moved, lapsed = excluded.lapsed, ends_at = excluded.ends_at,"
    " exhausted_at = excluded.exhausted_at",
)

LOT_DAYS = _insert(
    "lot_days",
    "tenant_id, lot_id, day, used, moved",
    "bigint integer bigint bigint bigint",
    "on conflict (tenant_id, lot_id, day) do update set"
    " used = days.used + excluded.used, moved = days.moved + excluded.moved",
    alias="as days",
)

COUNTERS = _insert(
    "counters",
    "tenant_id, name, number_id, month, value, reached_at",
    "bigint text bigint integer bigint bigint",
    "on conflict (tenant_id, name, number_id, month) do update set"
    " value = excluded.value, reached_at = excluded.reached_at",
)

TRANSFERS = _insert(
    "transfers",
    "tenant_id, version, line, at, balance_id, debit, credit, amount, cause",
    "bigint bigint integer bigint smallint text text bigint smallint",
)

PERIODS = _insert(
    "periods",
    "tenant_id, month, starts_at, ends_at",
    "bigint integer bigint bigint",
    "on conflict do nothing",
)


def _usage(table: str) -> str:
    return _insert(
        table,
        f"tenant_id, bucket, number_id, direction, country, category, agent, broadcast,"
        f" {_USAGE_COLUMNS}",
        "bigint bigint bigint smallint text text text text" + " bigint" * len(USAGE),
        "on conflict (tenant_id, bucket, number_id, direction, country, category, agent, broadcast)"
        f" do update set {_USAGE_ADDED}",
        alias="as usage",
    )


USAGE_HOUR = _usage("usage_hour")
USAGE_DAY = _usage("usage_day")

COMMITS = """
with head as (
    update tenant_head h set version = r.version, digest = r.digest, last_lot = r.last_lot,
        next_due = r.next_due, unsettled_from = r.unsettled_from
    from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::integer[], $5::bigint[], $6::bigint[])
        r (tenant_id, version, digest, last_lot, next_due, unsettled_from)
    where h.tenant_id = r.tenant_id and h.tenant_id = any ($1::bigint[])
)
insert into commits (tenant_id, version, digest, at, cause, facts)
select * from unnest($1::bigint[], $2::bigint[], $3::bytea[], $7::bigint[], $8::smallint[],
    $9::integer[])"""

CONFLICTS = _insert(
    "conflicts",
    "tenant_id, key, content, at, arrived_at, source, id, data",
    "bigint bytea bytea bigint bigint text text text",
    "on conflict do nothing",
)

Row = tuple[Any, ...]


async def record(connection: Connection, batch: Sequence[Changes], now: int) -> None:
    """Write the changes of locked tenants as their next version; `batch` is in tenant order.

    States are advanced to what they become with the commit: forget them if it fails.
    """
    facts: list[Row] = []
    further: list[Row] = []
    transfers: list[Row] = []
    heads: list[Row] = []
    for changes in batch:
        state, tenant = changes.state, changes.terms.tenant_id
        version = state.version + 1
        own_facts = [_fact(tenant, version, outcome) for outcome in changes.outcomes]
        own_further = [
            row
            for outcome in changes.outcomes
            if outcome.flags & Flag.FURTHER
            for row in _charges(tenant, version, now, outcome)
        ]
        own_transfers: list[Row] = [
            (tenant, version, line, now, *transfer)
            for line, transfer in enumerate(changes.transfers)
        ]
        state.version = version
        state.digest = _digest(state.digest, own_facts, own_further, own_transfers)
        facts += own_facts
        further += own_further
        transfers += own_transfers
        heads.append((
            tenant, version, state.digest, state.last_lot, state.next_due, state.unsettled_from,
            now, changes.cause, len(changes.outcomes),
        ))  # fmt: skip
    hours = [
        (tenant, bucket, *dimensions, *values)
        for tenant, changes in _by_tenant(batch)
        for (bucket, dimensions), values in changes.usage.items()
    ]
    await _write(connection, FACTS, facts)
    await _write(connection, CHARGES, further)
    await _write(connection, CONTACTS, _contacts(batch))
    await _write(connection, LOTS, _lots(batch))
    await _write(connection, LOT_DAYS, [
        (tenant, lot_id, day, *values)
        for tenant, changes in _by_tenant(batch)
        for (lot_id, day), values in changes.lot_days.items()
    ])  # fmt: skip
    await _write(connection, COUNTERS, [
        (tenant, c.name, c.number_id, c.month, c.value, c.reached_at)
        for tenant, changes in _by_tenant(batch)
        for c in changes.counters.values()
    ])  # fmt: skip
    await _write(connection, TRANSFERS, transfers)
    await _write(connection, PERIODS, [
        (tenant, period.label, period.start, period.end)
        for tenant, changes in _by_tenant(batch)
        for period in changes.periods.values()
    ])  # fmt: skip
    await _write(connection, USAGE_HOUR, hours)
    await _write(connection, USAGE_DAY, _days(batch))
    await _write(connection, COMMITS, heads)


async def conflicts(connection: Connection, facts: Iterable[Fact], now: int) -> None:
    """Keep what came under a known key with other content, for the operator to look at (EV-1)."""
    await _write(connection, CONFLICTS, [
        (f.tenant_id, f.key, f.content, f.at, now, f.source, f.id, f.data) for f in facts
    ])  # fmt: skip


async def _write(connection: Connection, statement: str, rows: Sequence[Row]) -> None:
    if rows:
        await connection.execute(statement, *zip(*rows, strict=True))


def _by_tenant(batch: Sequence[Changes]) -> list[tuple[int, Changes]]:
    return [(changes.terms.tenant_id, changes) for changes in batch]


def _fact(tenant: int, version: int, outcome: Outcome) -> Row:
    fact, status, flags, market, parts = outcome
    units = amount = balance_id = rule_id = lot_id = None
    if parts and not flags & Flag.FURTHER:
        balance_id, rule_id, units, amount, legs = parts[0]
        lot_id = legs[0].lot.lot_id if legs else None
    return (
        tenant, fact.at, fact.key, version, fact.arrived_at, fact.number_id, units, amount,
        fact.type, status, balance_id, flags, rule_id, lot_id, fact.source, fact.id, fact.party,
        fact.category or None, market or None, fact.country or None, fact.data,
    )  # fmt: skip


def _charges(tenant: int, version: int, now: int, outcome: Outcome) -> list[Row]:
    fact = outcome.fact
    return [
        (
            tenant, fact.at, fact.key, place, version, now, part.balance_id, part.rule_id,
            part.units, part.amount, outcome.flags, _array(leg.lot.lot_id for leg in part.legs),
            _array(leg.taken for leg in part.legs),
        )
        for place, part in enumerate(outcome.parts)
    ]  # fmt: skip


def _contacts(batch: Sequence[Changes]) -> list[Row]:
    rows: list[Row] = []
    for tenant, changes in _by_tenant(batch):
        for c in changes.contacts:
            c.dirty = False
            rows.append((
                tenant, c.channel, c.party, c.number_id, c.last_at, c.service_opened_at,
                c.service_ends_at, c.conversation_opened_at, c.conversation_ends_at,
                c.conversation_paid, c.entry_at, c.entry_opened_at, c.entry_ends_at,
                _array(c.visited),
            ))  # fmt: skip
    return rows


def _lots(batch: Sequence[Changes]) -> list[Row]:
    return [
        (
            tenant, lot.lot_id, lot.balance_id, lot.source, lot.priority, lot.month, lot.amount,
            lot.used, lot.moved, lot.lapsed, lot.starts_at, lot.ends_at, lot.created_at,
            lot.exhausted_at,
        )
        for tenant, changes in _by_tenant(batch)
        for lot in changes.lots.values()
    ]  # fmt: skip


def _days(batch: Sequence[Changes]) -> list[Row]:
    """The hours of a commit added up to the tenant's local days."""
    rows: list[Row] = []
    for tenant, changes in _by_tenant(batch):
        day_start: Callable[[int], int] = changes.terms.zone.day_start
        days: dict[Row, list[int]] = {}
        for (bucket, dimensions), values in changes.usage.items():
            key = (day_start(bucket), *dimensions)
            known = days.get(key)
            if known is None:
                days[key] = values
            else:
                days[key] = [a + b for a, b in zip(known, values, strict=True)]
        rows += [(tenant, *key, *values) for key, values in days.items()]
    return rows


def _array(values: Iterable[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _digest(before: bytes, *rows: list[Row]) -> bytes:
    """Chain a commit's rows to the digest before it: a changed byte breaks every later one."""
    digest = hashlib.blake2b(before, digest_size=DIGEST_BYTES)
    for group in rows:
        digest.update(_pack(sorted(group, key=lambda row: row[1:3])))
    return digest.digest()
