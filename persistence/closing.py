"""Closed periods as stored: what was open around facts that come too late, and a place to begin.

Owns the windows a closed period ends with, read from the flags of its facts, and the checkpoint of
a closing: the figures at its end, from which a log is folded again. What closing means is
`domain.closed`'s and `api.operations.period_close`'s to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from domain.categories import open_category
from domain.contacts import Contact
from domain.deeds import Deed
from domain.facts import Fact, Flag, Status, Type
from domain.lots import Lot, LotSource
from domain.periods import SECOND, period
from domain.refold import Movement, Refold, place, renamed
from domain.state import Counter, State
from domain.terms import Terms
from persistence.connection import Connection
from persistence.log import OF_FACTS
from persistence.record import CONTACT_COLUMNS

_OPENED = (
    Flag.CONVERSATION_OPENED | Flag.ENTRY_OPENED | Flag.CATEGORY_OPENED | Flag.SERVICE_OPENED
)  # fmt: skip

# What moved or opened windows of some parties, in fact order.
AROUND = f"""
select f.at, r.rank, f.source, f.id, f.type, f.party, f.number_id, coalesce(f.category, '') as
    category, coalesce(v.flags, f.flags) as flags,
    case when f.type = {Type.CALL_ENDED.value}
        then ceil(coalesce((f.data::json ->> 'seconds')::numeric, 0))::bigint else 0 end as seconds
{OF_FACTS}
where f.tenant_id = $1 and f.at >= $2 and f.at <= $3 and f.party = any ($4::text[])
    and f.status <> {Status.ADJUSTED.value}
    and (r.rank = 1 or coalesce(v.flags, f.flags) & {_OPENED} <> 0)
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
        for row in rows:
            if row["party"] == fact.party and row["number_id"] == fact.number_id:
                if (row["at"], row["rank"], row["source"], row["id"]) >= place(fact):
                    break
                _move(contact, fact, row, lengths[fact.key])
        contact.visited = visited.get((fact.channel, fact.address), [])


def _lengths(own: Terms, fact: Fact) -> tuple[int, int, int]:
    """How long service, conversation and free entry last by the book of a fact's time."""
    number = own.numbers[fact.number_id]
    rule = own.at(fact.began).book.windows.get(number.channel_name)
    if rule is None:
        return (0, 0, 0)
    return (rule.customer_service, rule.conversation, rule.free_entry)


def _move(contact: Contact, fact: Fact, row: asyncpg.Record, lengths: tuple[int, int, int]) -> None:
    at, flags = row["at"] - row["seconds"] * SECOND, row["flags"]
    service, conversation, entry = lengths
    if row["rank"] == 1:
        contact.service_opened_at, contact.service_ends_at = at, at + service
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tenant's figures at the end of its closed periods."""

    at: int
    version: int  #: of the commit that closed; what came later for before `at` is adjusted
    lots: Sequence[Lot]
    counters: Mapping[tuple[str, int, int], Counter]
    moved: Mapping[Movement, int]  #: everything that ever moved until then
    paid_off: Sequence[tuple[int, int, int]]
    next_due: int | None


_LOT = (
    "lot_id", "balance_id", "source", "priority", "month", "amount", "used", "moved", "lapsed",
    "starts_at", "ends_at", "created_at", "origin", "drawn_at",
)  # fmt: skip


def taken(refold: Refold, at: int) -> dict[str, Any]:
    """What a checkpoint keeps of a log that was folded up to an instant; lots are numbered later.

    Lots that ended before it pay nothing any more and are left out.
    """
    return {
        "lots": [
            lot
            for lots in refold.state.lots.values()
            for lot in lots
            if lot.ends_at is None or lot.ends_at >= at
        ],
        "sums": {
            id(lot): (lot.amount, lot.used, lot.moved, lot.lapsed, lot.drawn_at)
            for lots in refold.state.lots.values()
            for lot in lots
        },
        "counters": [
            [c.name, c.number_id, c.month, c.value, c.counted_at]
            for c in refold.state.counters.values()
        ],
        "moved": dict(refold.moved),
        "paid_off": refold.past.payers(),
        "next_due": refold.state.next_due,
    }


KEEP = """
insert into checkpoints (tenant_id, at, version, lots, counters, moved, paid_off, next_due)
values ($1, $2, $3, $4::text::jsonb, $5::text::jsonb, $6::text::jsonb, $7::text::jsonb, $8)"""


async def _keep(
    connection: Connection,
    tenant_id: int,
    at: int,
    version: int,
    snapshot: dict[str, Any],
    opening: Mapping[Movement, int],
    numbers: Mapping[int, int],
) -> None:
    """Keep a checkpoint; `opening` is what had moved before the fold began.

    `numbers` has the numbers of lots that were new to the books.
    """
    lots = []
    for lot in snapshot["lots"]:
        amount, used, moved, lapsed, drawn_at = snapshot["sums"][id(lot)]
        values = {name: getattr(lot, name) for name in _LOT}
        values |= {
            "amount": amount, "used": used, "moved": moved, "lapsed": lapsed, "drawn_at": drawn_at
        }  # fmt: skip
        lots.append([values[name] for name in _LOT])

    total = dict(opening)
    for (balance_id, debit, credit, cause, day), amount in snapshot["moved"].items():
        place = (balance_id, renamed(debit, numbers), renamed(credit, numbers), cause, day)
        total[place] = total.get(place, 0) + amount
    paid_off = [
        [numbers.get(overdraft, overdraft), numbers.get(lot, lot), amount]
        for overdraft, lot, amount in snapshot["paid_off"]
    ]
    spelt = [
        msgspec.json.encode(each).decode()
        for each in (
            lots, snapshot["counters"], [[*place, amount] for place, amount in total.items()],
            paid_off,
        )
    ]  # fmt: skip
    await connection.execute(KEEP, tenant_id, at, version, *spelt, snapshot["next_due"])


READ = """
select at, version, lots::text as lots, counters::text as counters, moved::text as moved,
    paid_off::text as paid_off, next_due
from checkpoints where tenant_id = $1 order by at desc limit 1"""


async def read(connection: Connection, tenant_id: int) -> Checkpoint | None:
    """The latest checkpoint of a tenant."""
    row = await connection.fetchrow(READ, tenant_id)
    if row is None:
        return None
    lots: list[Lot] = []
    for values in msgspec.json.decode(row["lots"]):
        named: dict[str, Any] = dict(zip(_LOT, values, strict=True))
        named["source"] = LotSource(named["source"])
        lots.append(Lot(**named))
    counters: dict[tuple[str, int, int], Counter] = {}
    for name, number_id, month, value, counted_at in msgspec.json.decode(row["counters"]):
        counter = counters[name, number_id, month] = Counter(name, number_id, month)
        counter.value, counter.counted_at = value, counted_at
    return Checkpoint(
        at=row["at"],
        version=row["version"],
        lots=lots,
        counters=counters,
        moved={
            (balance_id, debit, credit, cause, day): amount
            for balance_id, debit, credit, cause, day, amount in msgspec.json.decode(row["moved"])
        },
        paid_off=[tuple(each) for each in msgspec.json.decode(row["paid_off"])],
        next_due=row["next_due"],
    )


_COLUMNS = ", ".join(("tenant_id", "channel", "party", "number_id", *CONTACT_COLUMNS))

OPEN_CONTACTS = f"""
insert into closing_contacts ({_COLUMNS}, closed_until)
select {_COLUMNS}, $1::bigint from contacts_again
where service_ends_at > $1 or conversation_ends_at > $1 or entry_ends_at > $1
    or entry_at is not null or cardinality(category_windows) > 0"""

# Of a closing that did not come about, and of those before; the latest is read until then.
FORGET_CONTACTS = """
delete from closing_contacts
where tenant_id = $1 and (closed_until = $2 or closed_until < (
    select max(at) from checkpoints where tenant_id = $1))"""

BEGIN_CONTACTS = f"""
insert into contacts_again ({_COLUMNS})
select {_COLUMNS} from closing_contacts where tenant_id = $1 and closed_until = $2"""


async def keep_contacts(connection: Connection, tenant_id: int, at: int) -> None:
    """Keep the contacts of whom something is open at a closing; those before are forgotten."""
    await connection.execute(FORGET_CONTACTS, tenant_id, at)
    await connection.execute(OPEN_CONTACTS, at)


async def begin_contacts(connection: Connection, tenant_id: int, at: int) -> None:
    """Begin with the contacts of whom something was open at a closing."""
    await connection.execute(BEGIN_CONTACTS, tenant_id, at)


CLOSE_HEAD = "update tenant_head set closed_until = $2 where tenant_id = $1"

CLOSE_PERIOD = """
insert into periods (tenant_id, month, starts_at, ends_at, closed_at) values ($1, $2, $3, $4, $5)
on conflict (tenant_id, month) do update set closed_at = excluded.closed_at"""

CLOSE_BEFORE = """
update periods set closed_at = $3 where tenant_id = $1 and ends_at <= $2 and closed_at is null"""


async def close(
    connection: Connection,
    own: Terms,
    at: int,
    version: int,
    now: int,
    snapshot: dict[str, Any],
    numbers: Mapping[int, int],
    before: Checkpoint | None,
) -> None:
    """Close everything of a locked tenant before `at`; `version` is that of the closing commit."""
    tenant_id = own.tenant_id
    opening = {} if before is None else before.moved
    await _keep(connection, tenant_id, at, version, snapshot, opening, numbers)
    span = period(own.zone, at - 1)
    await connection.execute(CLOSE_HEAD, tenant_id, at)
    await connection.execute(CLOSE_PERIOD, tenant_id, span.label, span.start, span.end, now)
    await connection.execute(CLOSE_BEFORE, tenant_id, at, now)


def begin(refold: Refold, checkpoint: Checkpoint, deeds: Collection[Deed]) -> None:
    """Give a fold that begins the figures of a checkpoint, and the deeds that are in them."""
    state, past = refold.state, refold.past
    for lot in checkpoint.lots:
        state.lots.setdefault(lot.balance_id, []).append(lot)
        refold.lots[lot.lot_id] = lot
    state.counters = dict(checkpoint.counters)
    state.next_due = checkpoint.next_due
    state.closed_until = checkpoint.at
    past.begin(checkpoint.paid_off)
    by_origin = {lot.origin: lot for lot in checkpoint.lots}
    for deed in deeds:
        past.known(deed, by_origin.get(f"action/{deed.key}"))


LEGS = """
select asked.key, asked.part, c.lots, c.taken
from unnest($2::bytea[], $3::smallint[]) asked (key, part)
join fact_keys k on k.tenant_id = $1 and k.key = asked.key
cross join lateral (
    select coalesce(max(revision), 0) as revision from revisions
    where tenant_id = $1 and at = k.at and key = k.key
) v
cross join lateral (
    select array[lot_id] as lots, array[amount] as taken from facts
    where tenant_id = $1 and at = k.at and key = k.key and lot_id is not null
        and v.revision = 0 and asked.part = 0
    union all
    select lots, taken from charges
    where tenant_id = $1 and at = k.at and key = k.key and part = asked.part
        and revision = v.revision and not reversal
) c
where k.at < $4"""


async def legs(
    connection: Connection, tenant_id: int, asked: Collection[tuple[bytes, int]], before: int
) -> dict[tuple[bytes, int], list[tuple[int, int]]]:
    """What paid charges of closed periods: (lot, taken) by fact and part."""
    if not asked:
        return {}
    keys, parts = zip(*asked, strict=True)
    rows = await connection.fetch(LEGS, tenant_id, list(keys), list(parts), before)
    return {
        (row["key"], row["part"]): list(zip(row["lots"], row["taken"], strict=True)) for row in rows
    }
