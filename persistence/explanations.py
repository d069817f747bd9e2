"""What explains charges and is not in their rows: facts, what opened windows, lots, reversals.

Owns one statement a kind, each for many charges of many tenants, and writes nothing. Which windows
are worth asking for, and what they mean, is the caller's to say; counts are in `positions`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg
import msgspec

from domain.explain import OPENED_BY, Window
from domain.facts import Flag, Type
from domain.lots import LotSource
from domain.periods import Zone
from persistence.door import Door
from persistence.zones import read_zone

#: Facts of a tenant that are looked through, backwards, for what opened one window: a busy
#: tenant's half hour, and some 20 ms.
LOOK_BACK_FACTS = 20_000

#: Lengths of a service window to look back over for what opened it: later messages moved its end.
SERVICE_LENGTHS = 3


class Place(NamedTuple):
    """Where a fact stands in its tenant's log."""

    tenant_id: int
    at: int
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRecord:
    """A fact as it was kept, what became of it last, and its number."""

    place: Place
    version: int  #: of the commit that kept it
    arrived_at: int
    type: int
    status: int
    flags: int
    source: str
    id: str
    party: str
    category: str | None
    market: str | None
    country: str | None
    number_id: int
    channel: int | None  #: None, as the next two, only where the number is gone
    number: str | None
    zones: str | None
    address: str  #: the other end as it was written: a group's member where there is one
    hold: str | None  #: the hold it named

    @property
    def zone(self) -> Zone | None:
        """The zone of its number."""
        return None if self.zones is None else read_zone(self.zones)


_FACT = """
    f.tenant_id, f.at, f.key, f.version, f.arrived_at, f.type, f.source, f.id,
    coalesce(v.status, f.status) as status, coalesce(v.flags, f.flags) as flags,
    f.party, f.category, f.market, f.country, f.number_id, f.data, n.channel, n.address as number,
    n.zones::text as zones"""

_BESIDE = """
left join lateral (
    select status, flags from revisions
    where tenant_id = f.tenant_id and at = f.at and key = f.key
    order by revision desc
    limit 1
) v on true
left join numbers n on n.tenant_id = f.tenant_id and n.number_id = f.number_id"""

FACTS = f"""
select {_FACT}
from unnest($1::bigint[], $2::bigint[], $3::bytea[]) asked (tenant_id, at, key),
    lateral (
        select * from facts f
        where f.tenant_id = asked.tenant_id and f.at = asked.at and f.key = asked.key
        offset 0
    ) f
{_BESIDE}"""


async def facts(door: Door, asked: Collection[Place]) -> dict[Place, FactRecord]:
    """The facts at these places, as far as there are any."""
    async with door.tenant_tx(*{place.tenant_id for place in asked}) as connection:
        rows = await connection.fetch(FACTS, *zip(*asked, strict=True))
    found = map(_fact, rows)
    return {fact.place: fact for fact in found}


FACTS_BY_KEY = f"""
select {_FACT}
from unnest($1::bigint[], $2::bytea[]) asked (tenant_id, key),
    lateral (
        select k.at from fact_keys k
        where k.tenant_id = asked.tenant_id and k.key = asked.key
        offset 0
    ) k,
    lateral (
        select * from facts f
        where f.tenant_id = asked.tenant_id and f.at = k.at and f.key = asked.key
        offset 0
    ) f
{_BESIDE}"""


async def facts_by_key(
    door: Door, asked: Collection[tuple[int, bytes]]
) -> dict[tuple[int, bytes], FactRecord]:
    """Facts by tenant and key, as far as there are any."""
    async with door.tenant_tx(*{tenant_id for tenant_id, _ in asked}) as connection:
        rows = await connection.fetch(FACTS_BY_KEY, *zip(*asked, strict=True))
    found = map(_fact, rows)
    return {(fact.place.tenant_id, fact.place.key): fact for fact in found}


@dataclass(frozen=True, slots=True)
class LotRecord:
    """What decides a lot's place in the paying order (BA-1)."""

    source: LotSource
    month: int | None
    priority: int
    starts_at: int
    ends_at: int | None


LOTS = """
select l.tenant_id, l.lot_id, l.source, l.month, l.priority, l.starts_at, l.ends_at
from unnest($1::bigint[], $2::integer[]) asked (tenant_id, lot_id)
join lots l on l.tenant_id = asked.tenant_id and l.lot_id = asked.lot_id"""


async def lots(door: Door, asked: Collection[tuple[int, int]]) -> dict[tuple[int, int], LotRecord]:
    """Lots by tenant and number."""
    async with door.tenant_tx(*{tenant_id for tenant_id, _ in asked}) as connection:
        rows = await connection.fetch(LOTS, *zip(*asked, strict=True))
    return {
        (row["tenant_id"], row["lot_id"]): LotRecord(
            LotSource(row["source"]), row["month"], row["priority"], row["starts_at"],
            row["ends_at"],
        )
        for row in rows
    }  # fmt: skip


class Link(NamedTuple):
    """A stored charge of a fact beside the first, by what tells it from its siblings."""

    part: int
    revision: int
    reversal: bool


LINKS = """
select c.tenant_id, c.at, c.key, c.part, c.revision, c.reversal
from unnest($1::bigint[], $2::bigint[], $3::bytea[]) asked (tenant_id, at, key),
    lateral (
        select * from charges c
        where c.tenant_id = asked.tenant_id and c.at = asked.at and c.key = asked.key
        offset 0
    ) c"""


async def links(door: Door, asked: Collection[Place]) -> dict[Place, set[Link]]:
    """What stands in `charges` of each fact."""
    found: dict[Place, set[Link]] = {place: set() for place in asked}
    async with door.tenant_tx(*{place.tenant_id for place in asked}) as connection:
        rows = await connection.fetch(LINKS, *zip(*asked, strict=True))
    for row in rows:
        place = Place(row["tenant_id"], row["at"], row["key"])
        found[place].add(Link(row["part"], row["revision"], row["reversal"]))
    return found


class AskedWindow(NamedTuple):
    """A window that may have been open around a fact, and how long such windows last."""

    place: Place
    window: Window
    number_id: int
    channel: int
    party: str
    version: int  #: what came with later commits was not known to who rated
    length: int  #: microseconds


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """A window that was open around a fact, as it stood then."""

    window: Window
    opened_at: int | None  #: None: further back than anybody looks
    opened_by: str | None  #: id of the fact
    opened_source: str | None
    ends_at: int


# What opened a window is the fact with its flag. Where the contact's row still has the window its
# beginning is known, and the look goes to that instant alone; else backwards, as far as said above:
# the latest flag is that of the window that is open. A service window's end is moved by each
# inbound, so the last of them says whether it was open and until when (WI-1); a call counts from
# its start.
WINDOWS = f"""
select a.n, c.opened_at as known_at, o.at as opened_at, o.id as opened_by, o.source,
    i.at as moved_at
from unnest(
        $1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::smallint[], $6::text[],
        $7::bigint[], $8::bigint[], $9::integer[])
    with ordinality
    a (tenant_id, at, key, number_id, channel, party, version, length, flag, n)
left join lateral (
    select w.opened_at
    from contacts k, lateral (values
        ({Flag.SERVICE_OPENED}, k.service_opened_at, k.service_ends_at),
        ({Flag.ENTRY_OPENED}, k.entry_opened_at, k.entry_ends_at),
        ({Flag.CONVERSATION_OPENED}, k.conversation_opened_at, k.conversation_ends_at)
    ) w (flag, opened_at, ends_at)
    where k.tenant_id = a.tenant_id and k.channel = a.channel and k.party = a.party
        and k.number_id = a.number_id and w.flag = a.flag
        and w.opened_at <= a.at and a.at < w.ends_at
) c on true
left join lateral (
    select at, id, source
    from (
        select at, key, id, source, number_id, party, flags, version from facts
        where tenant_id = a.tenant_id and at >= coalesce(c.opened_at, a.at + 1 - a.length
                * case a.flag when {Flag.SERVICE_OPENED} then {SERVICE_LENGTHS} else 1 end)
            and at <= coalesce(c.opened_at, a.at) and (at, key) <= (a.at, a.key)
        order by at desc, key desc
        limit {LOOK_BACK_FACTS}
    ) f
    where number_id = a.number_id and party = a.party and flags & a.flag <> 0
        and version <= a.version
    order by at desc, key desc
    limit 1
) o on true
left join lateral (
    select case type when {Type.CALL_ENDED.value}
        then at - 1000000 * ceil(coalesce((readable(data) ->> 'seconds')::numeric, 0))::bigint
        else at end as at
    from (
        select at, key, type, number_id, party, version, data from facts
        where tenant_id = a.tenant_id and at > a.at - a.length and (at, key) <= (a.at, a.key)
        order by at desc, key desc
        limit {LOOK_BACK_FACTS}
    ) f
    where number_id = a.number_id and party = a.party and version <= a.version
        and (type = {Type.MESSAGE_RECEIVED.value}
            or type = {Type.CALL_ENDED.value} and readable(data) ->> 'direction' = 'in')
    order by at desc, key desc
    limit 1
) i on a.flag = {Flag.SERVICE_OPENED}"""


async def windows(
    door: Door, asked: Sequence[AskedWindow]
) -> dict[tuple[Place, Window], WindowRecord]:
    """Those of the windows asked for that were open around their facts."""
    places = [one.place for one in asked]
    async with door.tenant_tx(*{place.tenant_id for place in places}) as connection:
        # Told how many facts a day has, the planner reads them all and sorts them (measured: 20
        # times as long); by the index it stops at the first that fits.
        await connection.execute("set local enable_sort = off")
        rows = await connection.fetch(
            WINDOWS,
            *zip(*places, strict=True),
            [one.number_id for one in asked],
            [one.channel for one in asked],
            [one.party for one in asked],
            [one.version for one in asked],
            [one.length for one in asked],
            [OPENED_BY[one.window] for one in asked],
        )
    found: dict[tuple[Place, Window], WindowRecord] = {}
    for row in rows:
        one = asked[row["n"] - 1]
        window = _window(one, row)
        if window is not None:
            found[one.place, one.window] = window
    return found


def _window(asked: AskedWindow, row: asyncpg.Record) -> WindowRecord | None:
    opened_at = row["opened_at"] if row["known_at"] is None else row["known_at"]
    begins = row["moved_at"] if asked.window is Window.SERVICE else opened_at
    if begins is None:
        begins = opened_at
    if begins is None or not begins <= asked.place.at < begins + asked.length:
        return None
    return WindowRecord(
        asked.window, opened_at, row["opened_by"], row["source"], begins + asked.length
    )


def _fact(row: asyncpg.Record) -> FactRecord:
    values = dict(row)
    data = msgspec.json.decode(values.pop("data"))
    place = Place(values.pop("tenant_id"), values.pop("at"), values.pop("key"))
    hold = data.get("hold")
    contact = data.get("contact")
    return FactRecord(
        place=place,
        hold=hold if isinstance(hold, str) else None,
        address=contact if isinstance(contact, str) else "",
        **values,
    )
