"""Midnights: where a settling begins within open periods, so that it need not read all of them.

Owns which local midnights have a checkpoint, whether one still holds, and contacts as they stood
there: each in the state it was last brought to, beside which a page's own are laid. What a
checkpoint has of figures is `checkpoints`'; verifying begins at closings alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from domain.facts import Fact, Status
from domain.periods import Zone, date_of
from domain.terms import Terms
from persistence.bulk import Columns
from persistence.checkpoints import COLUMNS, Checkpoint, keep, kept
from persistence.closing import MARKED
from persistence.connection import Connection
from persistence.deeds import KINDS
from persistence.record import CONTACT_COLUMNS
from persistence.settling import EARLIEST

#: Midnights that are kept: the latest days', and of as many weeks before them one a week.
DAYS, WEEKS = 8, 8

#: All contacts may be sorted before the first that differs comes.
SORT_SECONDS = 3_600.0


def planned(zone: Zone, until: int) -> list[int]:
    """The midnights up to an instant that are to have a checkpoint, in order."""
    found = []
    at = zone.day_start(until)
    for ago in range(DAYS + 7 * WEEKS):
        if ago < DAYS or date_of(zone.day(at).date).weekday() == 0:
            found.append(at)
        at = zone.day_start(at - 1)
    return found[::-1]


KEPT = f"""
select {COLUMNS} from checkpoints
where tenant_id = $1 and settings = $2 and at > $3 and at <= $4 and version <= $5
order by at desc"""

# All that came since less what is ahead, as everything of before is too much to be read. Facts of
# closed periods ($4) take part when they came.
HOLDS = f"""
select (
    select coalesce(sum(facts), 0)::bigint from commits where tenant_id = $1 and version > $2
) = (
    select count(*) from facts where tenant_id = $1 and at >= $3 and version > $2
) + (
    select count(*) from facts
    where tenant_id = $1 and at < $4 and version > $2
        and status in ({Status.ADJUSTED.value}, {Status.UNRATED.value})
        and greatest(arrived_at, $4) >= $3
) and not exists (
    select from revisions where tenant_id = $1 and version > $2 and at >= $4 and at < $3
) and not exists (
    select from revisions r join facts f using (tenant_id, at, key)
    where r.tenant_id = $1 and r.version > $2 and r.at < $4 and greatest(f.arrived_at, $4) < $3
) and not exists (
    select from actions
    where tenant_id = $1 and version > $2 and kind = any ($5::smallint[])
        and least(at, (body ->> 'starts_at')::bigint) < $3
)"""


async def holding(
    connection: Connection, own: Terms, closed: Checkpoint | None, upto: int, version: int
) -> list[asyncpg.Record]:
    """The rows of midnights up to an instant before which nothing came since; the latest first.

    The books stand at `version`; `closed` is the latest closing.
    """
    tenant_id = own.tenant_id
    since = EARLIEST if closed is None else closed.at
    rows = await connection.fetch(KEPT, tenant_id, own.settings, since, upto, version)
    for place, row in enumerate(rows):
        # Those before one that holds held when it was kept, or they would not be there.
        if await connection.fetchval(
            HOLDS, tenant_id, row["version"], row["at"], since, list(KINDS)
        ):
            return [*rows[place:]]
    return []


async def latest(
    connection: Connection, own: Terms, closed: Checkpoint | None, upto: int, version: int
) -> Checkpoint | None:
    """The latest midnight up to an instant that settling may begin at."""
    rows = await holding(connection, own, closed, upto, version)
    return kept(rows[0]) if rows else None


async def begin(connection: Connection, tenant_id: int, since: Checkpoint | None) -> None:
    """Forget the midnights behind the one that is begun at: they are passed again."""
    after = EARLIEST if since is None else since.at
    await connection.execute(
        "delete from checkpoints where tenant_id = $1 and settings is not null and at > $2",
        tenant_id, after,
    )  # fmt: skip
    await connection.execute(
        "delete from midnight_contacts where tenant_id = $1 and at > $2", tenant_id, after
    )


async def keep_passed(
    connection: Connection,
    own: Terms,
    passed: Iterable[Checkpoint],
    version: int,
    numbers: Mapping[int, int],
    plan: Collection[int],
) -> bool:
    """Keep the midnights that were passed, and of those before only what is planned.

    `version` is that of the commit; gives whether some were forgotten.
    """
    for checkpoint in passed:
        await keep(connection, own.tenant_id, checkpoint, version, numbers, own.settings)
    forgotten = await connection.execute(
        "delete from checkpoints where tenant_id = $1 and settings is not null"
        " and at <> all ($2::bigint[])",
        own.tenant_id, list(plan),
    )  # fmt: skip
    return not forgotten.endswith(" 0")


# A contact's row is of use as long as some midnight stands between it and the next one.
FORGET_CONTACTS = """
delete from midnight_contacts m
where tenant_id = $1 and exists (
    select from midnight_contacts n
    where n.tenant_id = m.tenant_id and n.channel = m.channel and n.party = m.party
        and n.number_id = m.number_id and n.at > m.at and not exists (
            select from checkpoints c
            where c.tenant_id = $1 and c.settings is not null and c.at >= m.at and c.at < n.at
        )
)"""


async def forget_contacts(connection: Connection, tenant_id: int) -> None:
    """Forget how contacts stood at midnights that were forgotten."""
    await connection.execute(FORGET_CONTACTS, tenant_id)


_KEY = "channel, party, number_id"
_NAMES = ", ".join(("tenant_id", _KEY, *CONTACT_COLUMNS))
_PARTIES = Columns("channel smallint, party text")

BRING = f"""
insert into contacts_again ({_NAMES}, until)
select distinct on ({_KEY}) {_NAMES}, {EARLIEST}
from (
    select c.* from ({_PARTIES.source}) asked, lateral (
        select * from midnight_contacts m
        where m.tenant_id = $3 and m.channel = asked.channel and m.party = asked.party
            and m.at <= $4
        offset 0
    ) c
) known
order by {_KEY}, at desc
on conflict do nothing"""


async def bring_contacts(
    connection: Connection, tenant_id: int, at: int, facts: Sequence[Fact]
) -> None:
    """Lay beside the books how the contacts of facts stood at a midnight, unless they are there."""
    asked = {
        (fact.channel, party)
        for fact in facts
        for party in (fact.party, fact.address)
        if party
    }  # fmt: skip
    if asked:
        await connection.execute(BRING, *_PARTIES.parameters(sorted(asked)), tenant_id, at)


BRING_OPEN = f"""
insert into contacts_again ({_NAMES}, until)
select {_NAMES}, {EARLIEST}
from (
    select distinct on ({_KEY}) * from midnight_contacts
    where tenant_id = $1 and at <= $2
    order by {_KEY}, at desc
) known
where service_ends_at > $3 or conversation_ends_at > $3 or entry_ends_at > $3
    or entry_at is not null or cardinality(category_windows) > 0 or {MARKED}
on conflict do nothing"""


async def bring_open(connection: Connection, tenant_id: int, at: int, until: int) -> None:
    """Lay beside the books the contacts of whom something that was open is so at `until`."""
    await connection.execute(BRING_OPEN, tenant_id, at, until)


KEEP_CONTACTS = f"""
insert into midnight_contacts ({_NAMES}, at)
select {_NAMES}, until from contacts_again where until = $1"""


async def keep_contacts(connection: Connection, at: int) -> None:
    """Keep, of a midnight that is passed, the contacts that changed since the one before."""
    await connection.execute(KEEP_CONTACTS, at)


DIFFERING = f"""
select coalesce(f.channel, r.channel) as channel, coalesce(f.party, r.party) as party,
    coalesce(f.number_id, r.number_id) as number_id,
    to_jsonb(f)::text as found, to_jsonb(r)::text as right
from (
    select distinct on ({_KEY}) {_NAMES} from midnight_contacts
    where tenant_id = $1 and at <= $2
    order by {_KEY}, at desc
) f
full join (select {_NAMES} from contacts_again) r using (tenant_id, {_KEY})
where f is distinct from r"""


async def differing(
    connection: Connection, tenant_id: int, at: int
) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]]:
    """Contacts that are kept of a midnight otherwise than they stand there: key, found, right."""
    async for row in connection.cursor(DIFFERING, tenant_id, at, timeout=SORT_SECONDS):
        found, right = row["found"], row["right"]
        yield (
            dict(row),
            None if found is None else msgspec.json.decode(found),
            None if right is None else msgspec.json.decode(right),
        )
