"""Exports as rows: what somebody asked to have in one file, how far it is, its bytes in parts.

Owns both tables. A part and the progress that it is are of one transaction, so whoever goes on
after a crash goes on behind the last part there is, or begins anew without any of them. What is in
a file is its maker's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Any, Final

import msgspec

from domain.periods import DAY, Zone, date_number
from persistence.connection import Connection
from persistence.door import Door
from persistence.invoices import COLUMNS as INVOICE_COLUMNS
from persistence.invoices import InvoiceRecord, from_row

#: Before the first and behind the last of them.
NEWEST: Final = (1 << 63) - 1
FIRST: Final = (-(1 << 63), 0)

#: What an export of a year can be of; stored.
INVOICES: Final = "invoices"

#: Section of a file that is of one piece.
WHOLE: Final = 1


class State(IntEnum):
    """What became of an export; stored."""

    WAITING = 1
    RUNNING = 2
    DONE = 3
    FAILED = 4
    GONE = 5  #: it was done, and its file was removed since


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where an export goes on, and what is known of its parts."""

    after: tuple[int, int] = FIRST  #: of the last document: when it was issued, its number here
    places: tuple[int, ...] = ()  #: by section, of its next part
    sizes: tuple[int, ...] = ()  #: by section, bytes until now
    sums: tuple[int, ...] = ()  #: by section, the checksum of what its parts have in them
    entries: int = 0  #: files until now
    digest: str = ""  #: of all that went in
    as_of: int | None = None  #: of a report that is done: the instant its figures are of
    final: bool | None = None  #: and whether they were final then


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRecord:
    """One row."""

    tenant_id: int
    export_id: int
    key: str
    year: int | None  #: of documents; None: it is a report
    kinds: tuple[str, ...]  #: of documents; empty of a report
    state: State
    done: int  #: documents, or rows of a report
    total: int
    size: int  #: bytes; 0 until it is done
    failures: int
    progress: Progress
    created_at: int
    finished_at: int | None
    spec: str | None = None  #: of a report, as JSON; `api.reports.spec` reads it
    money: bool = True  #: whether it says what anything costs
    error: str | None = None  #: why it was given up, in words


COLUMNS: Final = """
tenant_id, export_id, key, year, kinds, state, done, total, size, failures,
progress::text as progress, created_at, finished_at, spec::text as spec,
money, error"""

LOCK = "select from tenants where tenant_id = $1 for no key update"
UNFINISHED = """
select export_id from exports where tenant_id = $1 and state in (1, 2) and money = $2
order by export_id"""


async def locked(connection: Connection, tenant_id: int, *, money: bool) -> list[int]:
    """Which are not finished; nobody else begins one before the transaction ends.

    Those that say what anything costs are counted apart from those that do not: whoever may ask
    for the latter alone keeps nobody from the former.
    """
    await connection.execute(LOCK, tenant_id)
    return [row["export_id"] for row in await connection.fetch(UNFINISHED, tenant_id, money)]


BY_KEY = f"select {COLUMNS} from exports where tenant_id = $1 and key = $2"


async def by_key(connection: Connection, tenant_id: int, key: str) -> ExportRecord | None:
    """The one that a key began."""
    row = await connection.fetchrow(BY_KEY, tenant_id, key)
    return None if row is None else _from_row(row)


BEGIN = f"""
insert into exports (tenant_id, key, year, kinds, state, total, progress, created_at, spec,
    money)
values ($1, $2, $3, $4, 1, $5, $6::text::jsonb, $7, $8::text::jsonb, $9)
returning {COLUMNS}"""


async def begin(
    connection: Connection,
    tenant_id: int,
    key: str,
    *,
    year: int | None,
    kinds: Sequence[str],
    total: int,
    at: int,
    spec: str | None = None,
    money: bool = True,
) -> ExportRecord:
    """A new one, of which nothing is made yet."""
    progress = _spelt(Progress())
    row = await connection.fetchrow(
        BEGIN, tenant_id, key, year, list(kinds), total, progress, at, spec, money
    )  # fmt: skip
    assert row is not None
    return _from_row(row)


FIND = f"select {COLUMNS} from exports where tenant_id = $1 and export_id = $2"


async def find(connection: Connection, tenant_id: int, export_id: int) -> ExportRecord | None:
    """One by its number."""
    row = await connection.fetchrow(FIND, tenant_id, export_id)
    return None if row is None else _from_row(row)


PAGES = f"""
select asked.n, e.*
from unnest($1::bigint[], $2::bigint[]) with ordinality asked (of_tenant, before, n)
cross join lateral (
    select {COLUMNS} from exports
    where tenant_id = asked.of_tenant and export_id < asked.before and ($4 or not money)
    order by export_id desc
    limit $3
) e
order by asked.n, e.export_id desc"""


async def pages(
    door: Door, asked: Sequence[tuple[int, int]], *, limit: int, money: bool = True
) -> list[list[ExportRecord]]:
    """For each tenant and place, up to `limit` of those before it, newest first.

    Without `money` only those that do not say what anything costs.
    """
    async with door.tenant_tx(*{tenant_id for tenant_id, _ in asked}) as connection:
        rows = await connection.fetch(
            PAGES, [tenant for tenant, _ in asked], [before for _, before in asked], limit, money
        )
    found: list[list[ExportRecord]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(_from_row(row))
    return found


BY_IDS = f"""
select {COLUMNS} from exports
where (tenant_id, export_id) in (select * from unnest($1::bigint[], $2::bigint[]))"""


async def by_ids(
    door: Door, asked: Collection[tuple[int, int]]
) -> dict[tuple[int, int], ExportRecord]:
    """By tenant and number, those that are there."""
    tenants, numbers = [tenant for tenant, _ in asked], [number for _, number in asked]
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(BY_IDS, tenants, numbers)
    return {(row["tenant_id"], row["export_id"]): _from_row(row) for row in rows}


_OF_YEAR = """
from invoices where tenant_id = $1 and issued_at is not null and issued_at between $2 and $3
    and issued_on between $4 and $5"""
COUNT = f"select count(*) {_OF_YEAR}"
NEXT = f"""
select {INVOICE_COLUMNS} {_OF_YEAR} and (issued_at, invoice_id) > ($6, $7)
order by issued_at, invoice_id limit $8"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which documents are wanted: issued on these local days, and until an instant."""

    tenant_id: int
    since: int  #: no later than the first day begins, in whichever zone it was
    until: int  #: the last instant
    first: int
    last: int


def span_of(tenant_id: int, year: int, zone: Zone, until: int) -> Span:
    """The documents of a local year that were there at an instant."""
    first, after = (date_number(date(each, 1, 1)) for each in (year, year + 1))
    # It may have been another zone then, a day away at most.
    since = zone.day_bounds(first)[0] - 2 * DAY
    return Span(tenant_id=tenant_id, since=since, until=until, first=first, last=after - 1)


async def count(connection: Connection, span: Span) -> int:
    """How many there are."""
    found: int = await connection.fetchval(
        COUNT, span.tenant_id, span.since, span.until, span.first, span.last
    )
    return found


async def following(
    connection: Connection, span: Span, after: tuple[int, int], *, limit: int
) -> list[InvoiceRecord]:
    """Up to `limit` documents behind a place, in the order in which they were issued."""
    rows = await connection.fetch(
        NEXT, span.tenant_id, span.since, span.until, span.first, span.last, *after, limit
    )
    return [from_row(row) for row in rows]


ADD = """
insert into export_parts (tenant_id, export_id, section, place, body) values ($1, $2, $3, $4, $5)"""
GO_ON = """
update exports set state = $3, done = $4, total = $5, size = $6, progress = $7::text::jsonb,
    finished_at = $8, failures = case when spec is null then 0 else failures end
where tenant_id = $1 and export_id = $2 and state in (1, 2)"""


async def go_on(
    connection: Connection, after: ExportRecord, parts: Sequence[tuple[int, int, bytes]]
) -> bool:
    """Keep parts, each with its section and place, and how far it is with them.

    False: it is over, and nothing may be kept.
    """
    name = (after.tenant_id, after.export_id)
    await connection.executemany(ADD, [(*name, *part) for part in parts])
    told = await connection.execute(
        GO_ON, *name, after.state, after.done, after.total, after.size, _spelt(after.progress),
        after.finished_at,
    )  # fmt: skip
    return told == "UPDATE 1"


async def empty(connection: Connection, tenant_id: int, export_id: int) -> None:
    """Remove the parts of one that is begun anew."""
    await connection.execute(EMPTY, tenant_id, export_id)


FAR = """
update exports set state = 2, done = $3, total = $4
where tenant_id = $1 and export_id = $2 and state in (1, 2)"""


async def far(
    connection: Connection, tenant_id: int, export_id: int, *, done: int, total: int
) -> bool:
    """Say how far one is of which no part is kept yet; False: it is over."""
    told = await connection.execute(FAR, tenant_id, export_id, done, total)
    return told == "UPDATE 1"


BEGUN = """
update exports set failures = failures + 1
where tenant_id = $1 and export_id = $2 and state in (1, 2)"""


async def begun(connection: Connection, tenant_id: int, export_id: int) -> None:
    """Count a try; it is forgotten as soon as a part is kept, but of what is begun anew."""
    await connection.execute(BEGUN, tenant_id, export_id)


GIVE_UP = """
update exports set state = 4, finished_at = $4, error = $5
where tenant_id = $1 and export_id = $2 and state in (1, 2) and failures >= $3"""
EMPTY = "delete from export_parts where tenant_id = $1 and export_id = $2"


async def give_up(
    connection: Connection, tenant_id: int, export_id: int, why: str, *, most: int, at: int
) -> bool:
    """Give one up that was tried so often, and remove its parts; False: it was not.

    `why` is for whoever wanted it.
    """
    told = await connection.execute(GIVE_UP, tenant_id, export_id, most, at, why)
    if told == "UPDATE 0":
        return False
    await connection.execute(EMPTY, tenant_id, export_id)
    return True


OLDEST = """
select export_id from (
    select export_id from exports where tenant_id = $1 and state = 3 and money = $3
    order by finished_at desc, export_id desc offset $2
) old
where not exists (
    select from report_letters l
    where l.tenant_id = $1 and l.export_id = old.export_id and l.state = 1
)"""
GONE = "update exports set state = 5 where tenant_id = $1 and export_id = $2"


async def make_room(connection: Connection, tenant_id: int, *, money: bool, keep: int) -> None:
    """Remove the files of a tenant's exports, but of so many that were finished last.

    Of those with or without money alone; a file that has letters on their way stays.
    """
    for row in await connection.fetch(OLDEST, tenant_id, keep, money):
        await connection.execute(EMPTY, tenant_id, row["export_id"])
        await connection.execute(GONE, tenant_id, row["export_id"])


PART = """
select section, place, body from export_parts
where tenant_id = $1 and export_id = $2 and (section, place) > ($3, $4)
order by section, place limit 1"""


async def parts(door: Door, tenant_id: int, export_id: int) -> AsyncIterator[bytes]:
    """The bytes of one, a part at a time, each in a transaction of its own: readers are slow."""
    section, place = 0, 0
    while True:
        async with door.tenant_tx(tenant_id) as connection:
            row = await connection.fetchrow(PART, tenant_id, export_id, section, place)
        if row is None:
            return
        section, place = row["section"], row["place"]
        yield row["body"]


# Parts go first: an export whose row says that it is gone has none.
CLEAR_PARTS = """
delete from export_parts p
using (
    select tenant_id, export_id, section, place
    from exports e join export_parts using (tenant_id, export_id)
    where e.state = 3 and e.finished_at < $1
    order by e.finished_at
    limit $2
) old
where p.tenant_id = old.tenant_id and p.export_id = old.export_id and p.section = old.section
    and p.place = old.place"""
CLEAR = """
update exports e set state = 5
where state = 3 and finished_at < $1 and not exists (
    select from export_parts p where p.tenant_id = e.tenant_id and p.export_id = e.export_id
)"""


async def clear(door: Door, before: int, *, limit: int) -> int:
    """Remove up to `limit` parts of those finished before an instant; how many."""
    async with door.system_tx("files of all tenants that were made long ago") as connection:
        done = await connection.execute(CLEAR_PARTS, before, limit)
        await connection.execute(CLEAR, before)
    return int(done.split()[-1])


def _from_row(row: Any) -> ExportRecord:
    values: dict[str, Any] = {name: value for name, value in row.items() if name != "n"}
    values["state"], values["kinds"] = State(values["state"]), tuple(values["kinds"])
    values["progress"] = msgspec.json.decode(values["progress"], type=Progress)
    return ExportRecord(**values)


def _spelt(progress: Progress) -> str:
    return msgspec.json.encode(progress).decode()
