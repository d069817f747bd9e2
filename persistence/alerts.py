"""Alerts as they were raised, and what of a tenant's head says which thresholds are passed.

Owns the lists of alerts and the spelling of marks. Alerts are written by `record`, in the
transaction that moved the balance; whether one is raised is `domain.watch`'s to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from domain.billing_alerts import NO_BALANCE
from domain.watch import PASSING, AlertCause, AlertKind, Mark, Measure, Threshold
from persistence.connection import Connection
from persistence.door import Door

#: Behind every alert, as pages go.
NEWEST = ((1 << 63) - 1, (1 << 63) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert of a tenant; amounts in micros of its balance's unit, or its invoice's currency."""

    alert_id: int
    tenant_id: int
    version: int  #: of the commit that raised it
    line: int  #: its place among those of the version
    kind: AlertKind
    balance: str | None  #: key; None: it is of no balance, but of an invoice or a subscription
    currency: str | None  #: of the balance or the invoice; None: there is no money in it
    measure: Measure
    threshold: int  #: as `domain.watch.Threshold` has it
    remaining: int  #: of the base's lots; of the balance as a whole where that is measured
    base: int  #: 0: there is none
    at: int  #: when what moved the balance took place
    cause: AlertCause
    cause_id: str
    action: tuple[int, int] | None  #: kind and number of the action that caused it
    acknowledged_at: int | None
    invoice_id: int | None = None  #: of the invoice that it is of
    due_on: int | None = None  #: the local day on which that is due
    left: int | None = None  #: what is left to pay of it just now


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the stretch of its list that is wanted."""

    tenant_id: int
    kinds: tuple[AlertKind, ...] | None = None  #: None: all
    before: tuple[int, int] = NEWEST  #: version and line of the last one seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Alerts of a tenant, newest first, as of a version of its figures."""

    version: int
    alerts: Sequence[Alert]


_ALERT = """
    a.alert_id, a.tenant_id, a.version, a.line, a.kind, b.key as balance,
    coalesce(b.currency, i.currency) as currency, a.measure, a.threshold, a.remaining, a.base, a.at,
    a.cause, a.cause_id, d.kind as action_kind, d.action_id, a.acknowledged_at, i.invoice_id,
    i.due_on, i.balance as left"""

_NAMED = f"""
left join balances b on b.tenant_id = a.tenant_id and b.balance_id = a.balance_id
left join invoices i on i.tenant_id = a.tenant_id and i.number = a.cause_id
    and a.cause = {AlertCause.INVOICE}
left join actions d on d.tenant_id = a.tenant_id and d.idempotency_key = a.cause_id
    and a.cause in ({AlertCause.TOP_UP}, {AlertCause.ADJUSTMENT}, {AlertCause.REFUND},
        {AlertCause.PLAN}, {AlertCause.THRESHOLDS})"""

# Ties: alerts of one version come together, so that whoever goes on behind it has them all.
SINCE = f"""
select asked.n, {_ALERT}
from unnest($1::bigint[], $2::bigint[]) with ordinality asked (tenant_id, version, n)
cross join lateral (
    select * from alerts
    where tenant_id = asked.tenant_id and version > asked.version
    order by version
    fetch first $3 rows with ties
) a
{_NAMED}
order by asked.n, a.version, a.line"""


async def since(door: Door, asked: Sequence[tuple[int, int]], *, limit: int) -> list[list[Alert]]:
    """For each (tenant, version), in order, the alerts of later versions, as they were raised.

    A version comes whole, so one with the last of `limit` may bring more. Who gets at least `limit`
    asks again behind the last one's version; who gets fewer has all.
    """
    async with door.tenant_tx(*{tenant_id for tenant_id, _ in asked}) as connection:
        rows = await connection.fetch(SINCE, *map(list, zip(*asked, strict=True)), limit)
    found: list[list[Alert]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(_from_row(row))
    return found


OF_VERSION = f"""
select {_ALERT}
from (select * from alerts where tenant_id = $1 and version = $2) a
{_NAMED}
order by a.line"""


async def of_version(connection: Connection, tenant_id: int, version: int) -> list[Alert]:
    """The alerts that a version of a tenant raised, as they were raised."""
    rows = await connection.fetch(OF_VERSION, tenant_id, version)
    return [_from_row(row) for row in rows]


# A page for each one asked for; each walks the primary key backwards.
PAGES = f"""
select asked.n, h.version as head, {_ALERT}
from unnest($1::bigint[], $2::bigint[], $3::bigint[])
    with ordinality asked (tenant_id, version, line, n)
join tenant_head h on h.tenant_id = asked.tenant_id
left join lateral (
    select * from alerts
    where tenant_id = asked.tenant_id and (version, line) < (asked.version, asked.line)
        and ($4::smallint[] is null or kind = any ($4))
    order by version desc, line desc
    limit $5
) a on true
{_NAMED}
order by asked.n, a.version desc, a.line desc"""


async def pages(door: Door, asked: Sequence[Asked], *, limit: int) -> list[Page]:
    """For each one asked for, up to `limit` alerts, newest first; all ask for the same kinds."""
    kinds = asked[0].kinds
    assert all(one.kinds == kinds for one in asked)
    async with door.tenant_tx(*{one.tenant_id for one in asked}) as connection:
        rows = await connection.fetch(
            PAGES,
            [one.tenant_id for one in asked],
            [one.before[0] for one in asked],
            [one.before[1] for one in asked],
            None if kinds is None else list(kinds),
            limit,
        )
    heads = [0] * len(asked)
    found: list[list[Alert]] = [[] for _ in asked]
    for row in rows:
        place = row["n"] - 1
        heads[place] = row["head"]
        if row["alert_id"] is not None:
            found[place].append(_from_row(row))
    return [
        Page(version=version, alerts=alerts) for version, alerts in zip(heads, found, strict=True)
    ]


# Of each threshold that is passed the latest alert: it is what says so. Of an invoice that is not
# paid and of a subscription the latest as well, in no order.
PASSED = f"""
select asked.n, {_ALERT}
from unnest($1::bigint[]) with ordinality asked (tenant_id, n)
join tenant_head h on h.tenant_id = asked.tenant_id
cross join lateral jsonb_array_elements(h.below::jsonb) mark
cross join lateral (
    select * from alerts
    where tenant_id = asked.tenant_id and balance_id = (mark ->> 0)::smallint
        and measure = (mark ->> 1)::smallint and threshold = (mark ->> 2)::bigint
        and kind in ({", ".join(str(kind.value) for kind in sorted(PASSING))})
    order by version desc, line desc
    limit 1
) a
{_NAMED}
union all
select asked.n, {_ALERT}
from unnest($1::bigint[]) with ordinality asked (tenant_id, n)
cross join lateral (
    select distinct on (kind, cause_id) * from alerts
    where tenant_id = asked.tenant_id and balance_id = {NO_BALANCE} and measure = {Measure.NONE}
        and threshold = 0
        and kind in ({AlertKind.INVOICE_OVERDUE}, {AlertKind.SUBSCRIPTION_ENDING})
    order by kind, cause_id, version desc, line desc
) a
{_NAMED}
where a.kind <> {AlertKind.INVOICE_OVERDUE} or i.balance > 0"""


async def passed(door: Door, tenants: Sequence[int]) -> list[list[Alert]]:
    """For each tenant, in order, what says of each threshold that is passed just now that it is.

    What was said of invoices that are overdue still, and last of each subscription, is among them.
    """
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(PASSED, tenants)
    found: list[list[Alert]] = [[] for _ in tenants]
    for row in rows:
        found[row["n"] - 1].append(_from_row(row))
    return found


SEE = """
update alerts set acknowledged_at = $3
where tenant_id = $1 and alert_id = $2 and acknowledged_at is null"""

BY_ID = f"select {_ALERT} from alerts a {_NAMED} where a.tenant_id = $1 and a.alert_id = $2"


async def see(
    connection: Connection, tenant_id: int, alert_id: int, now: int
) -> tuple[Alert | None, bool]:
    """Note that somebody has seen an alert, and whether nobody had before; None: there is none."""
    first = await connection.execute(SEE, tenant_id, alert_id, now) == "UPDATE 1"
    row = await connection.fetchrow(BY_ID, tenant_id, alert_id)
    return None if row is None else _from_row(row), first


def _from_row(row: asyncpg.Record) -> Alert:
    values = {name: value for name, value in row.items() if name not in ("n", "head")}
    kind, number = values.pop("action_kind"), values.pop("action_id")
    values["kind"], values["measure"] = AlertKind(values["kind"]), Measure(values["measure"])
    values["cause"] = AlertCause(values["cause"])
    return Alert(**values, action=None if number is None else (kind, number))


OF_IDS = f"""
select {_ALERT} from alerts a {_NAMED}
where a.tenant_id = $1 and a.alert_id = any ($2::bigint[])
order by a.version, a.line"""


async def of_ids(connection: Connection, tenant_id: int, alert_ids: Sequence[int]) -> list[Alert]:
    """Alerts of a tenant by their numbers, in the order in which they were raised."""
    rows = await connection.fetch(OF_IDS, tenant_id, list(alert_ids))
    return [_from_row(row) for row in rows]


async def count(connection: Connection, tenant_id: int) -> int:
    """How many alerts a tenant has."""
    found: int = await connection.fetchval(
        "select count(*) from alerts where tenant_id = $1", tenant_id
    )
    return found


def spelt(below: Collection[Mark] | None) -> str | None:
    """The passed thresholds of a tenant as its head has them."""
    if not below:
        return None if below is None else "[]"
    marks = sorted([balance_id, *threshold] for balance_id, threshold in below)
    return msgspec.json.encode(marks).decode()


def marks(written: str | None) -> set[Mark] | None:
    """The passed thresholds that a head has; None: nothing is raised."""
    if written is None or written == "[]":
        return None if written is None else set()
    found: list[Any] = msgspec.json.decode(written)
    return {
        (balance_id, Threshold(Measure(measure), value)) for balance_id, measure, value in found
    }


WATCH = "update tenant_head set below = $2 where tenant_id = $1"


async def watch(connection: Connection, tenant_id: int, below: Collection[Mark]) -> None:
    """Begin to raise alerts of a tenant whose log was taken in: nothing was raised meanwhile."""
    await connection.execute(WATCH, tenant_id, spelt(below))


ACKNOWLEDGED = """
update alerts a set acknowledged_at = asked.at
from unnest($2::integer[], $3::bigint[]) asked (line, at)
where a.tenant_id = $1 and a.version = $4 and a.line = asked.line"""


async def acknowledge(
    connection: Connection, tenant_id: int, version: int, seen: Mapping[int, int]
) -> None:
    """Say of alerts of a version, by line, when somebody has seen them."""
    await connection.execute(ACKNOWLEDGED, tenant_id, list(seen), list(seen.values()), version)
