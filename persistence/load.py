"""Loading what a batch of facts needs, set-based and under the tenants' locks.

Owns the statements between the lock and the fold, each reading exactly the keys of the batch.
`unnest ... lateral (... offset 0)` keeps a young table from being scanned whole: a plain join let
the planner choose a scan of everything once it knew no better.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import asyncpg

from domain.contacts import Contact
from domain.draw import order
from domain.facts import Fact
from domain.lots import Lot, LotSource
from domain.periods import period
from domain.state import Counter, State
from domain.terms import Terms
from persistence import alerts, refilling
from persistence.bulk import Columns, insert
from persistence.connection import Connection

HEADS = """
select tenant_id, version, digest, last_lot, settings, next_due, unsettled_from, closed_until,
    alerted, below, moved_at, latest_at, refilling
from tenant_head
where tenant_id = any ($1::bigint[])
order by tenant_id"""

LOCK = HEADS + " for no key update"

#: What another process holds is left for the next round.
LOCK_FREE = LOCK + " skip locked"


async def lock(
    connection: Connection, tenants: Sequence[int], *, wait: bool
) -> dict[int, asyncpg.Record]:
    """Lock tenants' heads in id order and give them; without `wait`, those that are free."""
    rows = await connection.fetch(LOCK if wait else LOCK_FREE, tenants)
    return {row["tenant_id"]: row for row in rows}


async def heads(connection: Connection, tenants: Sequence[int]) -> dict[int, asyncpg.Record]:
    """Tenants' heads as they stand, unlocked: for who writes nothing."""
    return {row["tenant_id"]: row for row in await connection.fetch(HEADS, tenants)}


def state_of(head: asyncpg.Record) -> State:
    """An empty state at the head's version, to be filled by the loads below."""
    state = State(
        version=head["version"],
        digest=head["digest"],
        last_lot=head["last_lot"],
        next_due=head["next_due"],
        unsettled_from=head["unsettled_from"],
    )
    state.closed_until = head["closed_until"]
    state.alerted, state.below = head["alerted"], alerts.marks(head["below"])
    state.moved_at, state.latest_at = head["moved_at"], head["latest_at"]
    state.refilling = refilling.read(head["refilling"])
    return state


_KEYS = Columns("tenant_id bigint, key bytea, content bytea, at bigint, version bigint")
KEEP_KEYS = insert("fact_keys", _KEYS, "on conflict do nothing")

KNOWN_KEYS = f"""
select k.tenant_id, k.key, k.content, k.at
from ({_KEYS.source}) asked,
    lateral (
        select f.tenant_id, f.key, f.content, f.at from fact_keys f
        where f.tenant_id = asked.tenant_id and f.key = asked.key and f.version <> asked.version
        offset 0
    ) k"""


async def keep_keys(
    connection: Connection, facts: Sequence[Fact], versions: Mapping[int, int]
) -> dict[tuple[int, bytes], tuple[bytes, int]]:
    """Insert the keys of `facts`, which *is* the dedupe; `versions` are those now being written.

    Gives content and instant of the keys that were there before.
    """
    rows = [
        (fact.tenant_id, fact.key, fact.content, fact.at, versions[fact.tenant_id])
        for fact in facts
    ]
    parameters = _KEYS.parameters(rows)
    if _count(await connection.execute(KEEP_KEYS, *parameters)) == len(facts):
        return {}
    known = await connection.fetch(KNOWN_KEYS, *parameters)
    return {(row["tenant_id"], row["key"]): (row["content"], row["at"]) for row in known}


_MESSAGES = Columns("tenant_id bigint, message bytea, charged_by bytea, charged_at bigint")
KEEP_MESSAGES = insert("messages", _MESSAGES, "on conflict do nothing")

KNOWN_MESSAGES = f"""
select asked.tenant_id, asked.charged_by as key, m.charged_by, m.charged_at
from ({_MESSAGES.source}) asked,
    lateral (
        select charged_by, charged_at from messages m
        where m.tenant_id = asked.tenant_id and m.message = asked.message
        offset 0
    ) m"""


async def keep_messages(
    connection: Connection, facts: Sequence[Fact]
) -> dict[int, dict[bytes, int]]:
    """Note the messages that `facts` charge; a message is charged once (EV-5).

    Gives, by tenant, the keys of facts whose message another fact has charged, and when.
    """
    if not facts:
        return {}
    rows = [(fact.tenant_id, fact.message, fact.key, fact.at) for fact in facts]
    parameters = _MESSAGES.parameters(rows)
    if _count(await connection.execute(KEEP_MESSAGES, *parameters)) == len(facts):
        return {}
    repeated: dict[int, dict[bytes, int]] = {}
    for row in await connection.fetch(KNOWN_MESSAGES, *parameters):
        if row["key"] != row["charged_by"]:
            repeated.setdefault(row["tenant_id"], {})[row["key"]] = row["charged_at"]
    return repeated


_PARTIES = Columns("tenant_id bigint, channel smallint, party text")
CONTACTS = f"""
select c.*
from ({_PARTIES.source}) asked,
    lateral (
        select * from {{table}} c
        where c.tenant_id = asked.tenant_id and c.channel = asked.channel
            and c.party = asked.party
        offset 0
    ) c"""

_COLUMNS = (
    "last_at", "service_opened_at", "service_ends_at", "conversation_opened_at",
    "conversation_ends_at", "conversation_paid", "entry_at", "entry_opened_at", "entry_ends_at",
    "visited",
)  # fmt: skip


async def contacts(
    connection: Connection,
    states: Mapping[int, State],
    facts: Iterable[Fact],
    *,
    table: str = "contacts",
) -> None:
    """Load the contacts and groups that `facts` speak of and no state has yet."""
    asked: dict[tuple[int, int, str], None] = {}
    for fact in facts:
        known = states[fact.tenant_id].contacts
        if (fact.channel, fact.party) not in known:
            asked[(fact.tenant_id, fact.channel, fact.party)] = None
        if fact.address != fact.party and (fact.channel, fact.address) not in known:
            asked[(fact.tenant_id, fact.channel, fact.address)] = None
    if not asked:
        return
    for tenant_id, channel, party in asked:
        states[tenant_id].contacts[(channel, party)] = []
    rows = await connection.fetch(CONTACTS.format(table=table), *_PARTIES.parameters(list(asked)))
    for row in rows:
        contact = Contact(row["channel"], row["party"], row["number_id"])
        for name in _COLUMNS:
            setattr(contact, name, row[name])
        contact.category_windows = row["category_windows"] or []
        states[row["tenant_id"]].contacts[(contact.channel, contact.party)].append(contact)


# A lot's use before the period is its whole use less that of its days from the period's start on.
LOTS = """
select l.tenant_id, l.lot_id, l.balance_id, l.source, l.priority, l.month, l.amount, l.used,
    l.moved, l.lapsed, l.starts_at, l.ends_at, l.created_at, l.drawn_at, l.origin,
    (l.used - days.used_since)::bigint as used_before, days.used::bigint as used_within,
    (l.moved - days.moved_since)::bigint as moved_before, days.moved::bigint as moved_within
from unnest($1::bigint[], $2::bigint[], $3::bigint[]) asked (tenant_id, starts_at, ends_at),
    lateral (
        select * from lots
        where lots.tenant_id = asked.tenant_id
            and (lots.ends_at is null or lots.ends_at > least($4, asked.starts_at)
                or (source <> 5 and amount - used - moved <> lapsed))
        offset 0
    ) l,
    lateral (
        select
            coalesce(sum(used), 0) as used_since, coalesce(sum(moved), 0) as moved_since,
            coalesce(sum(used) filter (where day < asked.ends_at), 0) as used,
            coalesce(sum(moved) filter (where day < asked.ends_at), 0) as moved
        from lot_days
        where lot_days.tenant_id = l.tenant_id and lot_days.lot_id = l.lot_id
            and day >= asked.starts_at
    ) days"""


async def lots(
    connection: Connection,
    states: Mapping[int, State],
    own: Mapping[int, Terms],
    since: int,
    now: int,
) -> None:
    """Load the lots that may pay for what happened from `since` on, or have a lapse to book.

    With them come those of the period of `now` that are over, so that a reading can be taken, and
    those that were there when something of a tenant was due: all that time did is booked first.
    """
    since = min((since, *(state.next_due or since for state in states.values())))
    spans = {tenant: period(own[tenant].zone, now) for tenant in states}
    stale = [
        tenant
        for tenant, state in states.items()
        if state.lots_from is None or since < state.lots_from or state.period != spans[tenant]
    ]
    if not stale:
        return
    found: dict[int, dict[int, list[Lot]]] = {tenant: {} for tenant in stale}
    rows = await connection.fetch(
        LOTS,
        stale,
        [spans[tenant].start for tenant in stale],
        [spans[tenant].end for tenant in stale],
        since,
    )
    for row in rows:
        values = dict(row)
        tenant_id = values.pop("tenant_id")
        values["source"] = LotSource(values["source"])
        lot = Lot(**values)
        found[tenant_id].setdefault(lot.balance_id, []).append(lot)
    for tenant in stale:
        states[tenant].lots = {balance: order(lots) for balance, lots in found[tenant].items()}
        states[tenant].lots_from = min(since, spans[tenant].start)
        states[tenant].period = spans[tenant]
        states[tenant].room.clear()


COUNTERS = """
select tenant_id, name, number_id, month, value, counted_at
from counters
where tenant_id = any ($1::bigint[]) and month = any ($2::integer[])"""


async def counters(
    connection: Connection, states: Mapping[int, State], months: Collection[int]
) -> None:
    """Load the free counts of `months` that some state does not have yet."""
    stale = [tenant for tenant, state in states.items() if not state.months.issuperset(months)]
    if not stale:
        return
    for row in await connection.fetch(COUNTERS, stale, list(months)):
        state = states[row["tenant_id"]]
        counter = Counter(row["name"], row["number_id"], row["month"])
        counter.value, counter.counted_at = row["value"], row["counted_at"]
        state.counters.setdefault((counter.name, counter.number_id, counter.month), counter)
    for tenant in stale:
        states[tenant].months.update(months)


OUTCOMES = """
select f.tenant_id, f.key, f.status, f.balance_id, f.rule_id, f.units, f.amount, f.category
from unnest($1::bigint[], $2::bigint[], $3::bytea[]) asked (tenant_id, at, key),
    lateral (
        select * from facts f
        where f.tenant_id = asked.tenant_id and f.at = asked.at and f.key = asked.key
        offset 0
    ) f
union all
select c.tenant_id, c.key, null, c.balance_id, c.rule_id, c.units, leg, null
from unnest($1::bigint[], $2::bigint[], $3::bytea[]) asked (tenant_id, at, key),
    lateral (
        select * from charges c
        where c.tenant_id = asked.tenant_id and c.at = asked.at and c.key = asked.key
            and c.revision = 0 and not c.reversal
        order by part
        offset 0
    ) c, unnest(c.taken) leg"""


async def outcomes(
    connection: Connection, asked: Collection[tuple[int, int, bytes]]
) -> list[asyncpg.Record]:
    """What became of facts kept before: a row a leg, one without a leg where none was drawn."""
    return await connection.fetch(OUTCOMES, *map(list, zip(*asked, strict=True)))


def _count(tag: str) -> int:
    return int(tag.rsplit(" ", 1)[1])
