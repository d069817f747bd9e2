"""Closed periods as stored: what was open around facts that come too late, and a place to begin.

Owns the windows a closed period ends with, read from the flags of its facts, and what stays of it
at its end: its checkpoint and the contacts of whom something is open. What closing means is
`domain.closed`'s and `api.operations.period_close`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from domain.categories import open_category
from domain.contacts import Contact
from domain.facts import Fact, Flag, Status, Type
from domain.periods import SECOND, period
from domain.refold import place
from domain.state import State
from domain.terms import Terms
from persistence.checkpoints import COLUMNS, Checkpoint, keep, kept
from persistence.connection import Connection
from persistence.log import OF_FACTS
from persistence.record import CONTACT_COLUMNS

_OPENED = (
    Flag.CONVERSATION_OPENED | Flag.ENTRY_OPENED | Flag.CATEGORY_OPENED | Flag.SERVICE_OPENED
)  # fmt: skip

# What moved or opened windows of some parties, in fact order. What had no rate when its period was
# closed, and has one since, did what it did by then; what came later without a rate does nothing.
AROUND = f"""
select f.at, r.rank, f.source, f.id, f.type, f.party, f.number_id, coalesce(f.category, '') as
    category, o.flags, l.seconds
{OF_FACTS}
cross join lateral (
    select case when f.type = {Type.CALL_ENDED.value}
        then ceil(coalesce((readable(f.data) ->> 'seconds')::numeric, 0))::bigint
        else 0 end as seconds
) l
cross join lateral (
    select case when v.status = {Status.ADJUSTED.value} then coalesce(
        (
            select flags from revisions
            where tenant_id = f.tenant_id and at = f.at and key = f.key
                and status <> {Status.ADJUSTED.value}
            order by revision desc
            limit 1
        ),
        f.flags
    ) else coalesce(v.flags, f.flags) end as flags
) o
where f.tenant_id = $1 and f.at >= $2 and f.at <= $3 and f.party = any ($4::text[])
    and f.status <> {Status.ADJUSTED.value}
    and (r.rank = 1 or o.flags & {_OPENED} <> 0)
    and (f.status <> {Status.UNRATED.value} or not exists (
        select from checkpoints
        where tenant_id = f.tenant_id and settings is null and version < f.version
            and at > f.at - l.seconds * {SECOND}
    ))
order by f.at, r.rank, f.source, f.id"""


# As the period was closed: what was adjusted since is marked otherwise.
VISITED = """
select channel, party, visited from contacts where tenant_id = $1 and party = any ($2::text[])"""


async def windows(connection: Connection, own: Terms, state: State, facts: Sequence[Fact]) -> None:
    """Give a state the windows around those of the facts whose period is closed.

    The contacts of the facts are loaded; they tell who was a visitor already.
    """
    if state.closed_until is None:
        return
    state.closing.clear()
    late = [fact for fact in facts if fact.began < state.closed_until]
    if not late:
        return
    lengths = {fact.key: _lengths(own, fact) for fact in late}
    parties = {fact.party for fact in late if fact.party}
    rows: list[asyncpg.Record] = []
    if parties:
        rows = await connection.fetch(
            AROUND,
            own.tenant_id,
            min(fact.began for fact in late) - max(max(each) for each in lengths.values()),
            max(fact.at for fact in late),
            list(parties),
        )
    visited: dict[tuple[int, str], list[int]] = {}
    for row in await connection.fetch(
        VISITED, own.tenant_id, list({fact.address for fact in late if fact.address})
    ):
        visited.setdefault((row["channel"], row["party"]), []).extend(row["visited"])
    for fact in late:
        contact = state.closing[fact.key] = Contact(fact.channel, fact.party, fact.number_id)
        contact.visited = visited.get((fact.channel, fact.address), [])
        for row in rows:
            if row["party"] == fact.party and row["number_id"] == fact.number_id:
                reached = (row["at"], row["rank"], row["source"], row["id"])
                if reached == place(fact):
                    _own(own, contact, fact, row["flags"], lengths[fact.key])
                if reached >= place(fact):
                    break
                _move(contact, fact, row, lengths[fact.key])


def _lengths(own: Terms, fact: Fact) -> tuple[int, int, int]:
    """How long service, conversation and free entry last by the book of a fact's time."""
    number = own.numbers[fact.number_id]
    rule = own.at(fact.began).book.windows.get(number.channel_name)
    if rule is None:
        return (0, 0, 0)
    return (rule.customer_service, rule.conversation, rule.free_entry)


def _own(
    own: Terms, contact: Contact, fact: Fact, flags: int, lengths: tuple[int, int, int]
) -> None:
    """Take account of what a fact did when it came in time, and had no rate (EV-7).

    It is inside the free-entry window it opened, and the visit that its contact is known by.
    """
    if flags & Flag.ENTRY_OPENED:
        contact.entry_opened_at, contact.entry_ends_at = fact.at, fact.at + lengths[2]
    if flags & Flag.VISITOR:
        month = own.zone.day(fact.at).month
        contact.visited = [each for each in contact.visited if each != month]


def _move(contact: Contact, fact: Fact, row: asyncpg.Record, lengths: tuple[int, int, int]) -> None:
    at, flags = row["at"] - row["seconds"] * SECOND, row["flags"]
    service, conversation, entry = lengths
    if row["rank"] == 1:
        first, ends = contact.service_opened_at, contact.service_ends_at
        if first is None or ends is None or at >= ends:
            contact.service_opened_at, contact.service_ends_at = at, at + service
        else:  # a call stands where it ended, and began before what came meanwhile
            contact.service_opened_at = min(first, at)
            contact.service_ends_at = max(ends, at + service)
        return
    if flags & Flag.CONVERSATION_OPENED:
        contact.conversation_opened_at, contact.conversation_ends_at = at, at + conversation
        contact.conversation_paid = bool(flags & Flag.CONVERSATION_PAID)
    if flags & Flag.ENTRY_OPENED:
        contact.entry_opened_at, contact.entry_ends_at = at, at + entry
        contact.category_windows.clear()
    if flags & Flag.CATEGORY_OPENED:
        opened = Fact()
        opened.category, opened.at = row["category"], at
        open_category(contact, opened, conversation)


READ = f"""
select {COLUMNS} from checkpoints
where tenant_id = $1 and settings is null order by at desc limit 1"""


async def read(connection: Connection, tenant_id: int) -> Checkpoint | None:
    """The checkpoint of a tenant's latest closing."""
    row = await connection.fetchrow(READ, tenant_id)
    return None if row is None else kept(row)


_COLUMNS = ", ".join(("tenant_id", "channel", "party", "number_id", *CONTACT_COLUMNS))

#: Whose visits came after their period was closed: they are known by these for ever (VI-1).
MARKED = "0 > any (visited)"

OPEN_CONTACTS = f"""
insert into closing_contacts ({_COLUMNS}, closed_until)
select {_COLUMNS}, $1::bigint from contacts_again
where service_ends_at > $1 or conversation_ends_at > $1 or entry_ends_at > $1
    or entry_at is not null or cardinality(category_windows) > 0 or {MARKED}"""

# Of a closing that did not come about, and of those before; the latest is read until then.
FORGET_CONTACTS = """
delete from closing_contacts
where tenant_id = $1 and (closed_until = $2 or closed_until < (
    select max(at) from checkpoints where tenant_id = $1 and settings is null))"""

BEGIN_CONTACTS = f"""
insert into contacts_again ({_COLUMNS}, until)
select {_COLUMNS}, $3::bigint from closing_contacts where tenant_id = $1 and closed_until = $2"""


async def keep_contacts(connection: Connection, tenant_id: int, at: int) -> None:
    """Keep the contacts of whom something is open at a closing; those before are forgotten."""
    await connection.execute(FORGET_CONTACTS, tenant_id, at)
    await connection.execute(OPEN_CONTACTS, at)


async def begin_contacts(connection: Connection, tenant_id: int, at: int, until: int) -> None:
    """Begin with the contacts of whom something was open at a closing; they stand so `until`."""
    await connection.execute(BEGIN_CONTACTS, tenant_id, at, until)


CLOSE_HEAD = "update tenant_head set closed_until = $2 where tenant_id = $1"

CLOSE_PERIOD = """
insert into periods (tenant_id, month, starts_at, ends_at, closed_at) values ($1, $2, $3, $4, $5)
on conflict (tenant_id, month) do update set closed_at = excluded.closed_at"""

CLOSE_BEFORE = """
update periods set closed_at = $3 where tenant_id = $1 and ends_at <= $2 and closed_at is null"""


async def close(
    connection: Connection,
    own: Terms,
    checkpoint: Checkpoint,
    version: int,
    now: int,
    numbers: Mapping[int, int],
) -> None:
    """Close everything of a locked tenant before a checkpoint; `version` is the closing commit's.

    `numbers` has the numbers of lots that were new to the books.
    """
    tenant_id, at = own.tenant_id, checkpoint.at
    await keep(connection, tenant_id, checkpoint, version, numbers, None)
    span = period(own.zone, at - 1)
    await connection.execute(CLOSE_HEAD, tenant_id, at)
    await connection.execute(CLOSE_PERIOD, tenant_id, span.label, span.start, span.end, now)
    await connection.execute(CLOSE_BEFORE, tenant_id, at, now)
