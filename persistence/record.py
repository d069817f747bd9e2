"""Recording what a commit changes: one `unnest` statement a table, no amount computed in SQL.

Owns the shape of the rows of a commit and the digest over them. Runs in the transaction that holds
the tenants' locks, so every value is absolute; rollups alone are added to what stands there.
COPY is refused under row-level security, which is why the rows travel as arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

import msgspec

from domain.contacts import Contact
from domain.facts import Flag, Status
from domain.fold import RESTORED
from domain.rollup import USAGE
from domain.state import Changes, Outcome, Revision
from persistence import activity, alerts, broadcasts, holds, purchases, refilling, tasks
from persistence.bulk import Row, Table, Write, literal
from persistence.connection import Connection

_pack = msgspec.msgpack.Encoder().encode

DIGEST_BYTES = 16

_USAGE_COLUMNS = ", ".join(f"{name} bigint" for name in USAGE)
_USAGE_ADDED = ", ".join(f"{name} = usage.{name} + excluded.{name}" for name in USAGE)


FACTS = Table(
    "facts",
    "tenant_id bigint, at bigint, key bytea, version bigint, arrived_at bigint, number_id bigint,"
    " units bigint, amount bigint, type smallint, status smallint, balance_id smallint,"
    " flags integer, rule_id integer, lot_id integer, source text, id text, party blank,"
    " category text?, market text?, country text?, data text",
)

CHARGES = Table(
    "charges",
    "tenant_id bigint, at bigint, key bytea, part smallint, revision integer, reversal boolean,"
    " version bigint, booked_at bigint, balance_id smallint, rule_id integer, units bigint,"
    " amount bigint, flags integer, lots integer[], taken bigint[]",
)

REVISIONS = Table(
    "revisions",
    "tenant_id bigint, at bigint, key bytea, revision integer, version bigint, status smallint,"
    " flags integer",
)

# Whose facts wait for a rate, for the job that looks for them.
UNRATED = Table(
    "unrated",
    "tenant_id bigint, since bigint",
    "on conflict (tenant_id) do update set since = least(unrated.since, excluded.since)",
)

#: What is remembered of a contact, beside its name.
CONTACT_COLUMNS = (
    "last_at", "service_opened_at", "service_ends_at", "conversation_opened_at",
    "conversation_ends_at", "conversation_paid", "entry_at", "entry_opened_at", "entry_ends_at",
    "category_windows", "visited",
)  # fmt: skip

CONTACTS = Table(
    "contacts",
    "tenant_id bigint, channel smallint, party text, number_id bigint, last_at bigint,"
    " service_opened_at bigint, service_ends_at bigint, conversation_opened_at bigint,"
    " conversation_ends_at bigint, conversation_paid boolean, entry_at bigint,"
    " entry_opened_at bigint, entry_ends_at bigint, category_windows bigint[],"
    " visited integer[]",
    "on conflict (tenant_id, channel, party, number_id) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in CONTACT_COLUMNS),
)

LOTS = Table(
    "lots",
    "tenant_id bigint, lot_id integer, balance_id smallint, source smallint, priority smallint,"
    " month integer, amount bigint, used bigint, moved bigint, lapsed bigint, starts_at bigint,"
    " ends_at bigint, created_at bigint, drawn_at bigint, origin text",
    "on conflict (tenant_id, lot_id) do update set amount = excluded.amount, used = excluded.used,"
    " moved = excluded.moved, lapsed = excluded.lapsed, ends_at = excluded.ends_at,"
    " drawn_at = excluded.drawn_at",
)

LOT_DAYS = Table(
    "lot_days",
    "tenant_id bigint, lot_id integer, day bigint, used bigint, moved bigint",
    "on conflict (tenant_id, lot_id, day) do update set"
    " used = days.used + excluded.used, moved = days.moved + excluded.moved",
    alias="as days",
)

COUNTERS = Table(
    "counters",
    "tenant_id bigint, name text, number_id bigint, month integer, value bigint, counted_at bigint",
    "on conflict (tenant_id, name, number_id, month) do update set"
    " value = excluded.value, counted_at = excluded.counted_at",
)

TRANSFERS = Table(
    "transfers",
    "tenant_id bigint, version bigint, line integer, at bigint, balance_id smallint, debit text,"
    " credit text, amount bigint, cause smallint",
)

PERIODS = Table(
    "periods",
    "tenant_id bigint, month integer, starts_at bigint, ends_at bigint",
    "on conflict do nothing",
)


def _usage(table: str) -> Table:
    return Table(
        table,
        "tenant_id bigint, bucket bigint, number_id bigint, direction smallint, country blank,"
        f" category blank, agent blank, broadcast blank, {_USAGE_COLUMNS}",
        "on conflict (tenant_id, bucket, number_id, direction, country, category, agent, broadcast)"
        f" do update set {_USAGE_ADDED}",
        alias="as usage",
    )


USAGE_HOUR = _usage("usage_hour")
USAGE_DAY = _usage("usage_day")

ALERTS = Table(
    "alerts",
    "tenant_id bigint, version bigint, line integer, balance_id smallint, kind smallint,"
    " measure smallint, threshold bigint, remaining bigint, base bigint, at bigint,"
    " cause smallint, cause_id text",
)

#: The new heads of tenants and the commits that made them.
HEADS = """
, r as ({rows}),
head as (
    update tenant_head h set version = r.version, digest = r.digest, last_lot = r.last_lot,
        next_due = r.next_due, unsettled_from = r.unsettled_from, alerted = r.alerted,
        below = r.below, moved_at = r.moved_at, latest_at = r.latest_at,
        refilling = r.refilling,
        unsettled_at = case
            when r.unsettled_from is not null then coalesce(h.unsettled_at, r.at)
        end
    from r where h.tenant_id = r.tenant_id
)
insert into commits (tenant_id, version, digest, at, cause, facts)
select tenant_id, version, digest, at, cause, facts from r"""
HEADS_COLUMNS = (
    "tenant_id bigint, version bigint, digest bytea, at bigint, cause smallint, facts integer,"
    " last_lot integer, next_due bigint, unsettled_from bigint, alerted bigint, below text?,"
    " moved_at bigint, latest_at bigint, refilling text"
)

# What every commit writes goes in one statement: ten round trips cost more than its rows.
write_commit = Write(
    FACTS, CONTACTS, LOTS, LOT_DAYS, TRANSFERS, USAGE_HOUR, USAGE_DAY, activity.USER_ACTIVITY,
    last=HEADS, last_columns=HEADS_COLUMNS,
)  # fmt: skip
write_charges = Write(CHARGES)
write_revisions = Write(REVISIONS)
write_unrated = Write(UNRATED)
write_counters = Write(COUNTERS)
write_periods = Write(PERIODS)
write_alerts = Write(ALERTS)


async def record(connection: Connection, batch: Sequence[Changes], now: int) -> None:
    """Write the changes of locked tenants as their next version; `batch` is in tenant order.

    States are advanced to what they become with the commit: forget them if it fails.
    """
    facts: list[Row] = []
    further: list[Row] = []
    revisions: list[Row] = []
    unrated: list[Row] = []
    transfers: list[Row] = []
    raised: list[Row] = []
    heads: list[Row] = []
    for changes in batch:
        state, tenant = changes.state, changes.terms.tenant_id
        version = state.version + 1
        own_facts = [_fact(tenant, version, outcome) for outcome in changes.outcomes]
        own_further = [
            row
            for outcome in changes.outcomes
            if outcome.flags & Flag.FURTHER
            for row in _charges(tenant, version, now, outcome, 0)
        ]
        own_revisions = [_revision(tenant, version, each) for each in changes.revisions]
        for each in changes.revisions:
            own_further += _reversals(tenant, version, now, each)
            own_further += _charges(tenant, version, now, each, each.revision)
        own_transfers: list[Row] = [
            (tenant, version, line, *transfer) for line, transfer in enumerate(changes.transfers)
        ]
        own_alerts: list[Row] = [
            (tenant, version, line, *alert) for line, alert in enumerate(changes.alerts)
        ]
        state.version = version
        if own_alerts:
            state.alerted = version
        # What is seldom there is in the digest only where it is.
        seldom = [rows for rows in (own_revisions, own_alerts) if rows]
        state.digest = digest_of(
            state.digest, [(tenant, version, now, changes.cause)], own_facts, own_further,
            own_transfers, *seldom,
        )  # fmt: skip
        facts += own_facts
        further += own_further
        revisions += own_revisions
        waiting = [each.fact.at for each in changes.outcomes if each.status is Status.UNRATED]
        waiting += [each.fact.at for each in changes.revisions if each.status == Status.UNRATED]
        if waiting:
            unrated.append((tenant, min(waiting)))
        transfers += own_transfers
        raised += own_alerts
        heads.append((
            tenant, version, state.digest, now, changes.cause, len(changes.outcomes),
            state.last_lot, state.next_due, state.unsettled_from, state.alerted,
            alerts.spelt(state.below), state.moved_at, state.latest_at,
            refilling.spelt(state.refilling),
        ))  # fmt: skip
    hours = [
        (tenant, bucket, *dimensions, *values)
        for tenant, changes in _by_tenant(batch)
        for (bucket, dimensions), values in changes.usage.items()
    ]
    lot_days = [
        (tenant, lot_id, day, *values)
        for tenant, changes in _by_tenant(batch)
        for (lot_id, day), values in changes.lot_days.items()
    ]
    counters = [
        (tenant, c.name, c.number_id, c.month, c.value, c.counted_at)
        for tenant, changes in _by_tenant(batch)
        for c in changes.counters.values()
    ]
    periods = [
        (tenant, period.label, period.start, period.end)
        for tenant, changes in _by_tenant(batch)
        for period in changes.periods.values()
    ]
    await write_periods(connection, periods)
    await write_counters(connection, counters)
    await write_charges(connection, further)
    await write_revisions(connection, revisions)
    await write_unrated(connection, unrated)
    await write_alerts(connection, raised)
    await tasks.tell(connection, {
        (tenant, changes.state.version): now
        for tenant, changes in _by_tenant(batch)
        if changes.alerts and changes.cause != RESTORED
    })  # fmt: skip
    for changes in batch:
        if changes.refills:
            await purchases.begin_refills(connection, changes)
    await holds.write(
        connection,
        [(tenant, changes.state.version, changes.holds) for tenant, changes in _by_tenant(batch)],
    )
    named = [
        (tenant, [outcome.fact for outcome in changes.outcomes])
        for tenant, changes in _by_tenant(batch)
    ]
    await broadcasts.write(connection, named)
    await write_commit(
        connection, facts, _contacts(batch), _lots(batch), lot_days, transfers, hours,
        _days(batch), [row for each in named for row in activity.rows_of(*each)], heads,
    )  # fmt: skip


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


def _charges(
    tenant: int, version: int, now: int, outcome: Outcome | Revision, revision: int
) -> list[Row]:
    fact = outcome.fact
    return [
        (
            tenant, fact.at, fact.key, place, revision, False, version, now, part.balance_id,
            part.rule_id, part.units, part.amount, outcome.flags,
            literal(leg.lot.lot_id for leg in part.legs), literal(leg.taken for leg in part.legs),
        )
        for place, part in enumerate(outcome.parts)
    ]  # fmt: skip


def _reversals(tenant: int, version: int, now: int, revision: Revision) -> list[Row]:
    """What takes back the charges of the revision before."""
    fact = revision.fact
    return [
        (
            tenant, fact.at, fact.key, place, revision.revision - 1, True, version, now,
            part.balance_id, part.rule_id, part.units, part.amount, revision.flags,
            literal(lot_id for lot_id, _ in part.legs), literal(taken for _, taken in part.legs),
        )
        for place, part in enumerate(revision.reversed)
    ]  # fmt: skip


def _revision(tenant: int, version: int, revision: Revision) -> Row:
    fact = revision.fact
    return (
        tenant, fact.at, fact.key, revision.revision, version, revision.status, revision.flags
    )  # fmt: skip


def _contacts(batch: Sequence[Changes]) -> list[Row]:
    return [
        row
        for tenant, changes in _by_tenant(batch)
        for row in contact_rows(tenant, changes.contacts)
    ]


def contact_rows(tenant: int, contacts: Iterable[Contact]) -> list[Row]:
    """Contacts as rows of their table; from here on they are as it has them."""
    rows: list[Row] = []
    for c in contacts:
        c.dirty = False
        rows.append((
            tenant, c.channel, c.party, c.number_id, c.last_at, c.service_opened_at,
            c.service_ends_at, c.conversation_opened_at, c.conversation_ends_at,
            c.conversation_paid, c.entry_at, c.entry_opened_at, c.entry_ends_at,
            literal(c.category_windows), literal(c.visited),
        ))  # fmt: skip
    return rows


def _lots(batch: Sequence[Changes]) -> list[Row]:
    return [
        (
            tenant, lot.lot_id, lot.balance_id, lot.source, lot.priority, lot.month, lot.amount,
            lot.used, lot.moved, lot.lapsed, lot.starts_at, lot.ends_at, lot.created_at,
            lot.drawn_at, lot.origin,
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


def digest_of(before: bytes, *rows: list[Row]) -> bytes:
    """Chain a commit's rows to the digest before it: a changed byte breaks every later one."""
    digest = hashlib.blake2b(before, digest_size=DIGEST_BYTES)
    for group in rows:
        digest.update(_pack(sorted(group, key=itemgetter(1, 2))))
    return digest.digest()
