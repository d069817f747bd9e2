"""What settling reads of a tenant's books, and the contacts it folds anew beside them.

Owns statements alone: outcomes as they are posted, sums of lots and movements, who charged which
message, and a table of the session's own in which contacts stand as their facts come in order. The
log's pages are `log`'s; what differs is `domain.settle`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from domain.contacts import Contact
from domain.facts import Fact, Flag, Status
from domain.lots import Lot, LotSource
from domain.refold import BY_DAY, Movement, movement
from domain.settle import Books, Posted
from domain.state import Charged, Counter
from domain.terms import Terms
from persistence.bulk import Columns, Table, Write
from persistence.connection import Connection
from persistence.log import PostedFact
from persistence.record import CONTACT_COLUMNS, CONTACTS, contact_rows

#: Before every instant.
EARLIEST = -(1 << 63)

# A table of the session: it goes with the connection, whatever ends that.
OPEN = """
create temp table if not exists contacts_again (
    like contacts including indexes, until bigint not null
);
truncate contacts_again"""

CHARGES = """
select key, revision, balance_id, rule_id, units, amount, lots, taken
from charges
where tenant_id = $1 and at >= $2 and at <= $3 and not reversal
order by at, key, revision, part"""

write_contacts = Write(
    Table(
        "contacts_again",
        f"{CONTACTS.written}, until bigint",
        f"{CONTACTS.conflict}, until = excluded.until",
    )
)


async def open_contacts(connection: Connection) -> None:
    """Begin with no contacts folded anew; of the connection's own."""
    await connection.execute(OPEN)


async def keep_contacts(
    connection: Connection, tenant_id: int, contacts: Iterable[Contact], until: int
) -> None:
    """Keep contacts as they now stand in the order; `until` is the next midnight that is kept."""
    rows = contact_rows(tenant_id, contacts)
    await write_contacts(connection, [(*row, until) for row in rows])


REVISED = "select exists (select from revisions where tenant_id = $1 and version > $2)"


async def revised(connection: Connection, tenant_id: int, version: int) -> bool:
    """Whether something was rated anew after a version."""
    found: bool = await connection.fetchval(REVISED, tenant_id, version)
    return found


def _again(name: str) -> str:
    """A column as it is to be: what ended in closed periods, and is not folded, stays."""
    window = name.partition("_")[0]
    if window in ("service", "conversation", "entry") and name != "entry_at":
        over = f"a.{window}_ends_at is null and c.{window}_ends_at <= $3"
        return f"case when {over} then c.{name} else a.{name} end"
    if name == "last_at":
        return "case when c.last_at < $3 then greatest(a.last_at, c.last_at) else a.last_at end"
    return f"a.{name}"


_KEY = ("tenant_id", "channel", "party", "number_id")
_WINDOWS = [name for name in CONTACT_COLUMNS if name != "visited"]
_BEFORE = ", ".join(f"c.{name}" for name in _WINDOWS)
_AGAIN = ", ".join(map(_again, _WINDOWS))
_SET = ", ".join(f"{name} = {_again(name)}" for name in _WINDOWS)
_NEW = ", ".join((*_KEY, *CONTACT_COLUMNS))
_NEW_VALUES = ", ".join(f"a.{name}" for name in (*_KEY, *CONTACT_COLUMNS))

# Months of periods that were closed before the fold began stay as they are.
_VISITED = """array(
    select month from unnest(c.visited) month where month < $2
    union select month from unnest(a.visited) month where month >= $2 order by 1)"""

#: Stands for the next midnight where a contact is not there by the order.
GONE = EARLIEST + 1

_PLACES = Columns("channel smallint, party text, number_id bigint")

# Who was moved behind the place where the fold began, and stands nowhere in it, was moved by facts
# that move somebody else: a message may come alone, in groups and on several numbers (EV-5).
FORGET_CONTACTS = f"""
insert into contacts_again
    ({", ".join(_KEY)}, last_at, conversation_paid, category_windows, visited, until)
select {", ".join(f"c.{name}" for name in _KEY)}, 0, false, '{{}}', '{{}}', {GONE}
from ({_PLACES.source}) asked, lateral (
    select * from contacts c
    where c.tenant_id = $4 and c.channel = asked.channel and c.party = asked.party
        and c.number_id = asked.number_id and c.last_at >= $5
    offset 0
) c
on conflict do nothing"""

# Of who is not there, what closed periods know stays.
CORRECT_CONTACTS = f"""
merge into contacts c
using (select * from contacts_again where tenant_id = $1) a
on c.tenant_id = $1 and c.channel = a.channel and c.party = a.party and c.number_id = a.number_id
when matched and a.until = {GONE} and {_VISITED} = '{{}}' and num_nonnulls(
    {", ".join(_again(f"{window}_ends_at") for window in ("service", "conversation", "entry"))}
) = 0 then delete
when matched and (
    ({_BEFORE}) is distinct from ({_AGAIN})
    or array(select month from unnest(c.visited) month order by 1) <> {_VISITED}
) then update set {_SET}, visited = {_VISITED}
when not matched then insert ({_NEW}) values ({_NEW_VALUES})
returning c.channel"""


async def correct_contacts(
    connection: Connection,
    own: Terms,
    closed_until: int | None,
    begun: int,
    corrected: Iterable[Fact],
) -> int:
    """Bring the tenant's contacts to what they are in order; gives how many were otherwise.

    `begun` is where the fold began, `corrected` are the facts that were posted otherwise.
    """
    since = 0 if closed_until is None else own.zone.month(closed_until)
    closed = EARLIEST if closed_until is None else closed_until
    places = {(fact.channel, fact.party, fact.number_id) for fact in corrected if fact.party}
    if places:
        parameters = _PLACES.parameters(sorted(places))
        await connection.execute(FORGET_CONTACTS, *parameters, own.tenant_id, begun)
    return len(await connection.fetch(CORRECT_CONTACTS, own.tenant_id, since, closed))


async def posted(
    connection: Connection, tenant_id: int, page: Sequence[PostedFact]
) -> list[Posted]:
    """What became of the facts of a page, as the books have it."""
    rows = await connection.fetch(CHARGES, tenant_id, page[0].at, page[-1].at)
    further: dict[tuple[bytes, int], list[Charged]] = {}
    for row in rows:
        legs = tuple(zip(row["lots"], row["taken"], strict=True))
        further.setdefault((row["key"], row["revision"]), []).append(
            Charged(row["balance_id"], row["rule_id"], row["units"], row["amount"], legs)
        )
    found: list[Posted] = []
    for fact in page:
        parts: Sequence[Charged] = ()
        if fact.revision or fact.flags & Flag.FURTHER:
            parts = further.get((fact.key, fact.revision), ())
        elif fact.rule_id is not None:
            legs = () if fact.lot_id is None else ((fact.lot_id, fact.amount or 0),)
            parts = (
                Charged(
                    fact.balance_id or 0, fact.rule_id, fact.units or 0, fact.amount or 0, legs
                ),
            )
        came = fact.came_unrated if fact.status == Status.ADJUSTED else None
        found.append(Posted(fact.status, fact.flags, fact.revision, tuple(parts), came))
    return found


_MESSAGES = Columns("message bytea, key bytea, at bigint")
CLAIMS = f"""
select asked.key, m.charged_by, m.charged_at, f.source, f.id
from ({_MESSAGES.source}) asked
join messages m on m.tenant_id = $4 and m.message = asked.message
left join lateral (
    select source, id from facts
    where tenant_id = m.tenant_id and at = m.charged_at and key = m.charged_by
    offset 0
) f on m.charged_at = asked.at and m.charged_by <> asked.key"""


class Claim(msgspec.Struct, frozen=True):
    """Who charged a message, as the books have it."""

    charged_by: bytes
    charged_at: int
    source: str | None  #: of a fact of the same instant
    id: str | None


async def claims(
    connection: Connection, tenant_id: int, facts: Sequence[Fact]
) -> dict[bytes, Claim]:
    """By fact: who charged the message it names."""
    if not facts:
        return {}
    rows = await connection.fetch(
        CLAIMS, *_MESSAGES.parameters([(f.message, f.key, f.at) for f in facts]), tenant_id
    )
    return {
        row["key"]: Claim(row["charged_by"], row["charged_at"], row["source"], row["id"])
        for row in rows
    }


CLAIM = f"""
insert into messages (tenant_id, message, charged_by, charged_at)
select $4, asked.message, asked.key, asked.at from ({_MESSAGES.source}) asked
on conflict (tenant_id, message) do update
set charged_by = excluded.charged_by, charged_at = excluded.charged_at"""

_FREED = Columns("message bytea")
FREE = f"""
delete from messages m using ({_FREED.source}) asked
where m.tenant_id = $2 and m.message = asked.message"""


async def claim(
    connection: Connection, tenant_id: int, claimed: Mapping[bytes, tuple[bytes, int] | None]
) -> None:
    """Note who charges messages by their order: by message, the fact and its instant.

    None: nobody does any more; the next status to charge it may.
    """
    rows = [(message, *by) for message, by in claimed.items() if by is not None]
    if rows:
        await connection.execute(CLAIM, *_MESSAGES.parameters(rows), tenant_id)
    freed = [(message,) for message, by in claimed.items() if by is None]
    if freed:
        await connection.execute(FREE, *_FREED.parameters(freed), tenant_id)


# What ended in a closed period pays nothing any more.
LOTS = """
select lot_id, balance_id, source, priority, month, amount, used, moved, lapsed, starts_at, ends_at,
    created_at, origin, drawn_at
from lots where tenant_id = $1 and (ends_at is null or ends_at >= $2)"""

LOT_DAYS = "select lot_id, day, used, moved from lot_days where tenant_id = $1 and day >= $2"

MOVED = f"""
select balance_id, debit, credit, cause, amount.at, sum(amount)::bigint as amount
from transfers t, lateral (
    select case when t.cause in ({", ".join(map(str, sorted(BY_DAY)))}) then t.at else 0 end as at
) amount
where tenant_id = $1
group by balance_id, debit, credit, cause, amount.at"""

COUNTERS = "select name, number_id, month, value, counted_at from counters where tenant_id = $1"


async def lot_ids(connection: Connection, tenant_id: int) -> dict[tuple[int, str], int]:
    """The numbers of a tenant's lots, by balance and origin."""
    rows = await connection.fetch(
        "select balance_id, origin, lot_id from lots where tenant_id = $1", tenant_id
    )
    return {(row["balance_id"], row["origin"]): row["lot_id"] for row in rows}


async def books(
    connection: Connection, own: Terms, *, days: int = EARLIEST, lots: int = EARLIEST
) -> Books:
    """What the books have of a tenant's lots and of what moved between them.

    `days` is the earliest day of theirs that is asked for; of lots, those that ended before `lots`
    are not.
    """
    tenant_id = own.tenant_id
    found: dict[int, Lot] = {}
    for row in await connection.fetch(LOTS, tenant_id, lots):
        values = dict(row)
        values["source"] = LotSource(values["source"])
        found[row["lot_id"]] = Lot(**values)
    lot_days = {
        (row["lot_id"], row["day"]): (row["used"], row["moved"])
        for row in await connection.fetch(LOT_DAYS, tenant_id, days)
    }
    moved: dict[Movement, int] = {}
    for row in await connection.fetch(MOVED, tenant_id):
        accounts = row["debit"], row["credit"]
        of = movement(own.zone, row["at"], row["balance_id"], *accounts, row["cause"])
        moved[of] = moved.get(of, 0) + row["amount"]
    return Books(lots=found, moved=moved, lot_days=lot_days, days_from=days, lots_from=lots)


async def counters(connection: Connection, tenant_id: int) -> dict[tuple[str, int, int], Counter]:
    """All free counts and tier counts of a tenant."""
    found: dict[tuple[str, int, int], Counter] = {}
    for row in await connection.fetch(COUNTERS, tenant_id):
        counter = Counter(row["name"], row["number_id"], row["month"])
        counter.value, counter.counted_at = row["value"], row["counted_at"]
        found[counter.name, counter.number_id, counter.month] = counter
    return found


# Taken by the session that settles; the first number says what for.
ALONE = "select pg_try_advisory_lock(7301, $1::integer)"

SETTLED = """
insert into settlements (tenant_id, month, cause, facts, differences, started_at, version)
values ($1, $2, $3, $4, $5::text::jsonb, $6, $7)
returning settlement_id"""


async def keep_settlement(
    connection: Connection,
    tenant_id: int,
    *,
    month: int,
    cause: int,
    facts: int,
    differences: Mapping[str, int],
    started_at: int,
    version: int,
) -> int:
    """Keep the record of a settling that posted something (EV-10); differences by balance key."""
    spelt = msgspec.json.encode(dict(differences)).decode()
    settlement_id: int = await connection.fetchval(
        SETTLED, tenant_id, month, cause, facts, spelt, started_at, version
    )
    return settlement_id


async def settled(connection: Connection, tenant_id: int) -> None:
    """Note that a locked tenant's books agree with the order of its inputs."""
    await connection.execute(
        "update tenant_head set unsettled_from = null, unsettled_at = null where tenant_id = $1",
        tenant_id,
    )
