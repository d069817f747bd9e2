"""Reading a tenant's log as it came, and the figures by which two databases are compared (EV-8).

Owns statements alone. Everything is read by its natural names: what a database numbered itself
(lots, actions, senders) means nothing in another one. Called in one transaction, which sees one
state of the tenant however long it is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import asyncpg

from domain.facts import Flag, Type
from domain.rollup import COST, USAGE
from persistence.connection import Connection

#: What a fact is flagged with for the hold it names.
OF_HOLDS = Flag.LATE_COMMIT | Flag.OVER_HOLD | Flag.UNKNOWN_HOLD

#: Rows fetched at a time.
ROWS = 1_000

#: Seconds a statement may run: the order of arrival is no index's order.
PATIENCE_SECONDS = 3_600.0

#: Before any other statement of the transaction.
SNAPSHOT = "set transaction isolation level repeatable read, read only"

PLANS = """
select distinct plan from (
    select plan from tenants where tenant_id = $1
    union all
    select change ->> 'plan' from tenants, jsonb_array_elements(changes) change
    where tenant_id = $1 and change ? 'plan'
) held"""

PLAN_VERSIONS = """
select 'plan' as kind, plan as key, version, published_at, body::text as body
from plans where plan = any ($1::text[])
order by plan, version"""

BOOK_VERSIONS = """
select 'book' as kind, book as key, version, published_at, body::text as body
from books
where book in (select body ->> 'book' from plans where plan = any ($1::text[]))
order by book, version"""

MARKETS = """
select 'markets' as kind, markets as key, 0 as version, 0::bigint as published_at,
    body::text as body
from markets
where markets in (
    select body ->> 'markets' from books
    where book in (select body ->> 'book' from plans where plan = any ($1::text[]))
)
order by markets"""


async def catalogue(connection: Connection, tenant_id: int) -> list[asyncpg.Record]:
    """All versions of the books and plans a tenant was ever charged by, lists of markets first."""
    plans = [row["plan"] for row in await connection.fetch(PLANS, tenant_id)]
    return [
        row
        for statement in (MARKETS, BOOK_VERSIONS, PLAN_VERSIONS)
        for row in await connection.fetch(statement, plans)
    ]


BALANCES = """
select key, unit, currency from balances where tenant_id = $1 order by balance_id"""

NUMBERS = """
select number_id, channel, address, zones::text as zones, created_at
from numbers where tenant_id = $1 order by number_id"""

LOTS = """
select l.lot_id, b.key as balance, l.origin
from lots l join balances b using (tenant_id, balance_id) where l.tenant_id = $1"""


async def balances(connection: Connection, tenant_id: int) -> list[asyncpg.Record]:
    return await connection.fetch(BALANCES, tenant_id)


async def numbers(connection: Connection, tenant_id: int) -> list[asyncpg.Record]:
    return await connection.fetch(NUMBERS, tenant_id)


async def lot_names(connection: Connection, tenant_id: int) -> dict[int, str]:
    """Lots by number: what each is called within its balance."""
    return {row["lot_id"]: row["origin"] for row in await connection.fetch(LOTS, tenant_id)}


COUNTS = """
select
    (select count(*) from numbers where tenant_id = $1) as numbers,
    (select count(*) from facts where tenant_id = $1) as facts,
    (select count(*) from actions where tenant_id = $1) as actions,
    (select count(*) from alerts where tenant_id = $1) as alerts,
    (select count(*) from holds where tenant_id = $1) as holds,
    (select count(*) from hold_shares where tenant_id = $1) as shares,
    (select count(*) from conflicts where tenant_id = $1) as conflicts"""


async def counts(connection: Connection, tenant_id: int) -> dict[str, int]:
    """How much there is of each kind."""
    row = await connection.fetchrow(COUNTS, tenant_id, timeout=PATIENCE_SECONDS)
    assert row is not None
    return dict(row)


# Within a commit the order of arrival is not known, and fact order serves (EV-4).
FACTS = f"""
select version, arrived_at, number_id, type, at, source, id, party,
    coalesce(country, '') as country, coalesce(category, '') as category, data,
    flags & {OF_HOLDS} as flags
from facts
where tenant_id = $1
order by version, at, case
    when type = {Type.MESSAGE_RECEIVED.value} then 1
    when type = {Type.CALL_ENDED.value} and readable(data) ->> 'direction' = 'in' then 1
    else 2 end, source, id"""

ACTIONS = """
select action_id, version, at, kind, idempotency_key, content, subject, body::text as body
from actions where tenant_id = $1
order by version, action_id"""

ALERTS = """
select b.key as balance, a.kind, a.measure, a.threshold, a.remaining, a.base, a.at, a.cause,
    a.cause_id, a.acknowledged_at
from alerts a left join balances b using (tenant_id, balance_id)
where tenant_id = $1
order by a.version, a.line"""

HOLDS = """
select encode(hold_id, 'hex') as hold, expires_at, lasts_until, shares, share, total, varied, ended,
    back, sent, sent_at, ended_at, ended_by, revision
from holds where tenant_id = $1
order by hold_id"""

SHARES = """
select encode(hold_id, 'hex') as hold, encode(recipient, 'hex') as recipient, share, sent_at,
    ended_at, ended_by
from hold_shares where tenant_id = $1
order by hold_id, recipient"""

CONFLICTS = """
select source, id, at, arrived_at, content, data
from conflicts where tenant_id = $1
order by arrived_at, source, id, content"""


def facts(connection: Connection, tenant_id: int) -> AsyncIterator[asyncpg.Record]:
    """Facts as they arrived: commit by commit."""
    return _rows(connection, FACTS, tenant_id)


def actions(connection: Connection, tenant_id: int) -> AsyncIterator[asyncpg.Record]:
    """What was done, in the order it was done."""
    return _rows(connection, ACTIONS, tenant_id)


def alerts(connection: Connection, tenant_id: int) -> AsyncIterator[asyncpg.Record]:
    """What was raised, in the order in which it was."""
    return _rows(connection, ALERTS, tenant_id)


def holds(connection: Connection, tenant_id: int) -> AsyncIterator[asyncpg.Record]:
    """What became of holds."""
    return _rows(connection, HOLDS, tenant_id)


def shares(connection: Connection, tenant_id: int) -> AsyncIterator[asyncpg.Record]:
    """What became of their shares, where they have rows of their own."""
    return _rows(connection, SHARES, tenant_id)


async def hold_key(connection: Connection, tenant_id: int) -> bytes:
    """What signs the ids of a tenant's holds."""
    key: bytes = await connection.fetchval(
        "select hold_key from tenants where tenant_id = $1", tenant_id
    )
    return key


def conflicts(connection: Connection, tenant_id: int) -> AsyncIterator[asyncpg.Record]:
    return _rows(connection, CONFLICTS, tenant_id)


async def _rows(
    connection: Connection, statement: str, tenant_id: int
) -> AsyncIterator[asyncpg.Record]:
    async for row in connection.cursor(
        statement, tenant_id, prefetch=ROWS, timeout=PATIENCE_SECONDS
    ):
        yield row


class Sums(NamedTuple):
    """A figure of the books: its rows, their sum in micros, and a digest of what each says."""

    name: str
    rows: int
    amount: int
    digest: int


# A digest that does not depend on the order of rows: the first half of each row's MD5, added bit
# by bit. What stays 0 is left out: whether it has a row at all follows arrival.
_DIGEST = "bit_xor(('x' || left(md5({text}), 16))::bit(64)::bigint)"

_CHARGES_TEXT = "concat_ws('|', f.source, f.id, c.part, r.rule, c.units, c.amount, l.legs)"
_CHARGES = f"""
select 'charges/' || b.key, count(*), sum(c.amount),
    {_DIGEST.format(text=_CHARGES_TEXT)}
from facts f
left join lateral (
    select revision from revisions v
    where v.tenant_id = f.tenant_id and v.at = f.at and v.key = f.key
    order by revision desc limit 1
) v on true
cross join lateral (
    select 0 as part, f.rule_id, f.balance_id, f.units, f.amount,
        case when f.lot_id is null then '{{}}' else array[f.lot_id] end as lots,
        case when f.lot_id is null then '{{}}' else array[f.amount] end as taken
    where v.revision is null and f.rule_id is not null
    union all
    select part, rule_id, balance_id, units, amount, lots, taken
    from charges
    where tenant_id = f.tenant_id and at = f.at and key = f.key and not reversal
        and revision = coalesce(v.revision, 0)
) c
cross join lateral (
    select string_agg(lots.origin || ' ' || leg.taken, ',' order by leg.n) as legs
    from unnest(c.lots, c.taken) with ordinality leg (lot_id, taken, n)
    join lots on lots.tenant_id = f.tenant_id and lots.lot_id = leg.lot_id
) l
join rules r on r.rule_id = c.rule_id
join balances b on b.tenant_id = f.tenant_id and b.balance_id = c.balance_id
where f.tenant_id = $1
group by b.key"""

_FACTS = f"""
select 'facts/' || coalesce(v.status, f.status), count(*), 0,
    {_DIGEST.format(text="concat_ws('|', f.source, f.id, f.at, f.data)")}
from facts f
left join lateral (
    select status from revisions v
    where v.tenant_id = f.tenant_id and v.at = f.at and v.key = f.key
    order by revision desc limit 1
) v on true
where f.tenant_id = $1
group by 1"""

_LOTS_TEXT = "concat_ws('|', l.origin, l.amount, l.used, l.moved, l.starts_at, l.ends_at)"
_LOTS = f"""
select 'lots/' || b.key, count(*), sum(l.amount - l.used - l.moved),
    {_DIGEST.format(text=_LOTS_TEXT)}
from lots l join balances b using (tenant_id, balance_id)
where l.tenant_id = $1 and (l.used <> 0 or l.moved <> 0 or l.source not in (1, 5))
group by b.key"""

_DAYS = f"""
select 'days/' || b.key, count(*), sum(d.used),
    {_DIGEST.format(text="concat_ws('|', l.origin, d.day, d.used, d.moved)")}
from lot_days d join lots l using (tenant_id, lot_id)
join balances b using (tenant_id, balance_id)
where d.tenant_id = $1 and (d.used <> 0 or d.moved <> 0)
group by b.key"""

# The columns of the first logs: what lots paid follows from these and from the charges.
_COUNTED = USAGE[: COST + 1]
_VALUES = ", ".join(f"u.{name}" for name in _COUNTED)
_USAGE = f"""
select 'usage', count(*), sum(u.cost),
    {
    _DIGEST.format(
        text=f'''concat_ws('|', u.bucket, n.channel, n.address, u.direction, u.country,
        u.category, u.agent, u.broadcast, {_VALUES})'''
    )
}
from usage_hour u join numbers n using (tenant_id, number_id)
where u.tenant_id = $1 and ({_VALUES}) <> ({", ".join("0" for _ in _COUNTED)})"""

_COUNTERS = f"""
select 'counters', count(*), sum(c.value),
    {_DIGEST.format(text="concat_ws('|', c.name, n.channel, n.address, c.month, c.value)")}
from counters c
left join numbers n on n.tenant_id = c.tenant_id and n.number_id = c.number_id
where c.tenant_id = $1 and c.value <> 0"""

_CONTACTS_TEXT = """concat_ws('|', c.party, n.channel, n.address, c.last_at, c.service_opened_at,
    c.service_ends_at, c.conversation_opened_at, c.conversation_ends_at, c.conversation_paid,
    c.entry_at, c.entry_opened_at, c.entry_ends_at, c.category_windows,
    array(select unnest(c.visited) order by 1))"""
_CONTACTS = f"""
select 'contacts', count(*), sum(cardinality(c.visited)), {_DIGEST.format(text=_CONTACTS_TEXT)}
from contacts c join numbers n using (tenant_id, number_id)
where c.tenant_id = $1"""

_ACTIONS_TEXT = "concat_ws('|', idempotency_key, kind, at, encode(content, 'hex'))"
_ACTIONS = f"""
select 'actions', count(*), 0, {_DIGEST.format(text=_ACTIONS_TEXT)}
from actions where tenant_id = $1"""

# Who says nothing of sending, or set no threshold, has the digest of logs from before there was
# anything to say.
_TERMS_TEXT = """concat_ws('|', t.plan, t.status, t.zones, t.changes, nullif(t.sending, '{}'),
    nullif('watched ' || t.thresholds::text, 'watched {}'))"""
_TERMS = f"""
select 'terms', 1, 0, {_DIGEST.format(text=_TERMS_TEXT)} from tenants t where t.tenant_id = $1
union all
select 'numbers', count(*), 0, {_DIGEST.format(text="concat_ws('|', channel, address, zones)")}
from numbers where tenant_id = $1"""

_CLOSED = """
select 'closed periods', count(*), 0, coalesce(bit_xor(month::bigint), 0)
from periods where tenant_id = $1 and closed_at is not null"""

# Their order is theirs; which versions they are of is another database's.
_ALERTS_TEXT = """concat_ws('|', place, key, kind, measure, threshold, remaining, base, at, cause,
    cause_id, acknowledged_at)"""
_ALERTS = f"""
select 'alerts', count(*), 0, {_DIGEST.format(text=_ALERTS_TEXT)}
from (
    select a.*, b.key, row_number() over (order by version, line) as place
    from alerts a left join balances b using (tenant_id, balance_id)
    where tenant_id = $1
) alerts
having count(*) > 0"""

# Which versions they changed in are another database's; older logs have none of it.
_HOLDS_TEXT = """concat_ws('|', encode(hold_id, 'hex'), expires_at, lasts_until, shares, share,
    total, varied, ended, back, sent, coalesce(sent_at, 0), coalesce(ended_at, 0),
    coalesce(ended_by, 0), revision)"""
_SHARES_TEXT = """concat_ws('|', encode(hold_id, 'hex'), encode(recipient, 'hex'),
    coalesce(share, ''), coalesce(sent_at, 0), coalesce(ended_at, 0), coalesce(ended_by, 0))"""
_HOLDS = f"""
select name, count(*), 0, {_DIGEST.format(text="said")}
from (
    select 'holds' as name, {_HOLDS_TEXT} as said from holds where tenant_id = $1
    union all
    select 'shares of holds', {_SHARES_TEXT} from hold_shares where tenant_id = $1
    union all
    select 'flags of holds', concat_ws('|', source, id, flags & {OF_HOLDS})
    from facts where tenant_id = $1 and flags & {OF_HOLDS} <> 0
) held
group by name"""

FIGURES: Sequence[str] = (
    _CHARGES, _FACTS, _LOTS, _DAYS, _USAGE, _COUNTERS, _CONTACTS, _ACTIONS, _TERMS, _CLOSED,
    _ALERTS, _HOLDS,
)  # fmt: skip


async def figures(connection: Connection, tenant_id: int) -> list[Sums]:
    """The figures of a tenant's books, the same in every database that was given the same log."""
    found: list[Sums] = []
    for statement in FIGURES:
        for name, count, amount, digest in await connection.fetch(
            statement, tenant_id, timeout=PATIENCE_SECONDS
        ):
            found.append(Sums(name, count, int(amount or 0), digest or 0))
    return found
