"""What authorisations ask of PostgreSQL: windows of contacts, earlier holds, counts, use of a span.

Owns the statements, one of a kind for all that is asked in a moment. Reads alone; what is left of
balances and what is held is asked of Valkey, in the step that takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.contacts import WINDOWS, Contact
from domain.holds import Kept
from domain.periods import Zone
from domain.sums import CountKey
from persistence.bulk import Columns
from persistence.connection import Connection
from persistence.door import Door
from persistence.held import KEY_BYTES
from persistence.holds import answer_of, kept_of
from persistence.refilling import NOTHING
from persistence.refilling import read as read_refilling

#: A contact on a number: tenant, channel, party, number.
Party = tuple[int, int, str, int]

#: A hold by its key: tenant, and the first bytes of its number.
Keyed = tuple[int, bytes]


class Known(NamedTuple):
    """A hold that was granted before."""

    kept: Kept
    answer: bytes | None  #: what whoever asked was told, where that is known


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in one transaction."""

    settings: Mapping[int, int]  #: the count of changes of terms, by tenant
    contacts: Mapping[Party, Contact]
    holds: Mapping[Keyed, Known]  #: the latest under each key
    refilling: Mapping[int, frozenset[int]] = field(default_factory=dict)
    #: by tenant of which one is, the balances whose refill is on its way


_PARTIES = Columns("tenant_id bigint, channel smallint, party text, number_id bigint")
CONTACTS = f"""
select c.tenant_id, c.channel, c.party, c.number_id, {", ".join(f"c.{name}" for name in WINDOWS)},
    c.category_windows
from ({_PARTIES.source}) asked,
    lateral (
        select * from contacts c
        where c.tenant_id = asked.tenant_id and c.channel = asked.channel
            and c.party = asked.party and c.number_id = asked.number_id
        offset 0
    ) c"""

# A key's holds stand together: the number begins with it, and the instant comes behind.
_KEYS = Columns("tenant_id bigint, first bytea, last bytea")
HOLDS = f"""
select asked.tenant_id as asked_of, asked.first, head.settings, head.refilling, h.*
from ({_KEYS.source}) asked
join tenant_head head on head.tenant_id = asked.tenant_id
left join lateral (
    select * from holds
    where tenant_id = asked.tenant_id and hold_id >= asked.first and hold_id <= asked.last
    order by hold_id desc limit 1
) h on true"""

#: Contacts that one statement looks up: a send may be to very many.
PARTIES_AT_A_TIME = 2_000

LAST = b"\xff" * 14


async def look(connection: Connection, parties: Iterable[Party], keyed: Iterable[Keyed]) -> Look:
    """Look up everything at once; each tenant has a key in `keyed`."""
    asked = list(dict.fromkeys(parties))
    settings, refilling, known = await _holds(connection, list(dict.fromkeys(keyed)))
    contacts: dict[Party, Contact] = {}
    for first in range(0, len(asked), PARTIES_AT_A_TIME):
        page = asked[first : first + PARTIES_AT_A_TIME]
        for row in await connection.fetch(CONTACTS, *_PARTIES.parameters(page)):
            tenant_id, channel, party, number_id, *windows, categories = row
            contact = Contact(channel, party, number_id)
            for name, value in zip(WINDOWS, windows, strict=True):
                setattr(contact, name, value)
            contact.category_windows = categories or []
            contacts[tenant_id, channel, party, number_id] = contact
    return Look(settings, contacts, known, refilling)


async def holds(connection: Connection, keys: Sequence[Keyed]) -> dict[Keyed, Known]:
    """The latest hold under each key."""
    return (await _holds(connection, keys))[-1] if keys else {}


async def _holds(
    connection: Connection, keys: Sequence[Keyed]
) -> tuple[dict[int, int], dict[int, frozenset[int]], dict[Keyed, Known]]:
    """By tenant, the count of changes of terms and what is being refilled; holds by their keys."""
    settings: dict[int, int] = {}
    refilling: dict[int, frozenset[int]] = {}
    known: dict[Keyed, Known] = {}
    spans = [(tenant, first, first + LAST) for tenant, first in keys]
    for row in await connection.fetch(HOLDS, *_KEYS.parameters(spans)):
        tenant_id = row["asked_of"]
        settings[tenant_id] = row["settings"]
        if row["refilling"] != NOTHING and tenant_id not in refilling:
            own = read_refilling(row["refilling"])
            refilling[tenant_id] = frozenset(each for each, it in own.items() if it.in_flight)
        if row["hold_id"] is not None:
            known[tenant_id, row["first"]] = Known(kept_of(row), answer_of(row))
    return settings, refilling, known


COUNTS = """
select h.version, c.value
from tenant_head h, unnest($2::text[], $3::bigint[], $4::integer[]) with ordinality
    asked (name, number_id, month, n)
left join counters c on c.tenant_id = $1 and c.name = asked.name
    and c.number_id = asked.number_id and c.month = asked.month
where h.tenant_id = $1
order by asked.n"""


async def counts(
    door: Door, tenant_id: int, wanted: Sequence[CountKey]
) -> list[tuple[CountKey, int, int]]:
    """Counts of a tenant, each with the version it is of; what nobody counted is 0."""
    async with door.tenant_tx(tenant_id) as connection:
        return await read_counts(connection, tenant_id, wanted)


async def read_counts(
    connection: Connection, tenant_id: int, wanted: Sequence[CountKey]
) -> list[tuple[CountKey, int, int]]:
    """As `counts`, in a transaction that is under way."""
    rows = await connection.fetch(COUNTS, tenant_id, *map(list, zip(*wanted, strict=True)))
    return [(key, row["version"], row["value"] or 0) for key, row in zip(wanted, rows, strict=True)]


USED = """
select h.version, u.balance_id, u.day, u.month
from tenant_head h
left join lateral (
    select l.balance_id, coalesce(sum(d.used) filter (where d.day >= $2), 0)::bigint as day,
        sum(d.used)::bigint as month
    from lot_days d join lots l using (tenant_id, lot_id)
    where d.tenant_id = $1 and d.day >= $3
    group by l.balance_id
) u on true
where h.tenant_id = $1"""


@dataclass(frozen=True, slots=True)
class Used:
    """What was used of a tenant's balances in the present local day and month, as of a version."""

    version: int
    day: Mapping[int, int]
    month: Mapping[int, int]


async def used(door: Door, tenant_id: int, zone: Zone, now: int) -> Used:
    """What caps are compared with."""
    day, month = zone.day_start(now), zone.month_bounds(zone.month(now))[0]
    async with door.tenant_tx(tenant_id) as connection:
        rows = await connection.fetch(USED, tenant_id, day, month)
    own = [row for row in rows if row["balance_id"] is not None]
    return Used(
        rows[0]["version"],
        {row["balance_id"]: row["day"] for row in own},
        {row["balance_id"]: row["month"] for row in own},
    )


def keyed(tenant_id: int, number: bytes) -> Keyed:
    """Under what a hold is looked for."""
    return tenant_id, number[:KEY_BYTES]
