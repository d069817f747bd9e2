"""Publishing: what a price book or an issuer is held against, and how either is stored.

Owns the statements and their locks. Whether a book may be published is not its question.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass

from domain.books import Book
from domain.documents import Fault
from domain.issuers import Issuer, parse_issuer, shared_series
from domain.periods import Zone
from persistence.catalogue import (
    BOOKS_SQL,
    ISSUERS_SQL,
    MARKETS_SQL,
    PLANS_SQL,
    Document,
    canonical,
    digest_of,
    put_rules,
    put_version,
)
from persistence.connection import Connection
from persistence.zones import read_zone

# One publisher at a time; the owner's, who takes the whole table, waits for the others.
ALONE = """
select pg_advisory_xact_lock(hashtext('kuota books'));
lock table books, rules in row exclusive mode"""

# A book is used by whoever was ever on a plan that names it.
USED_SQL = "select distinct body ->> 'book' as book from plans"

# Numbers have zones of their own, and visitors are charged in their tenant's.
ZONES_SQL = "select zones::text from numbers union select zones::text from tenants"

# Who began on one of the plans or changed to it, in the order in which everybody locks heads.
HEADS_SQL = """
select tenant_id from tenant_head
where tenant_id in (
    select tenant_id from tenants
    where plan = any ($1::text[]) or exists (
        select from jsonb_array_elements(changes) change where change ->> 'plan' = any ($1::text[])
    )
)
order by tenant_id
for no key update"""

CHANGED_SQL = """
update tenant_head set settings = settings + 1 where tenant_id = any ($1::bigint[])"""

# As if a fact had come late: settling folds open periods again, and no closed one (PR-2).
RERATE_SQL = """
update tenant_head set
    unsettled_from = least(unsettled_from, greatest($2::bigint, closed_until)),
    unsettled_at = coalesce(unsettled_at, $3::bigint)
where tenant_id = any ($1::bigint[])"""


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is published, as documents."""

    markets: dict[str, Document]
    books: dict[str, list[tuple[int, Document]]]  #: every version, in order
    plans: dict[str, Document]  #: each one's latest version
    used: frozenset[str]  #: keys of books that some version of some plan names
    zones: tuple[Zone, ...]  #: of numbers and tenants

    @classmethod
    async def read(cls, conn: Connection) -> Shelf:
        """Read it in a transaction of the system role."""
        books: defaultdict[str, list[tuple[int, Document]]] = defaultdict(list)
        for row in await conn.fetch(BOOKS_SQL):
            books[row["book"]].append((row["version"], json.loads(row["body"])))
        markets = await conn.fetch(MARKETS_SQL)
        return cls(
            markets={row["markets"]: json.loads(row["body"]) for row in markets},
            books=dict(books),
            plans={row["plan"]: json.loads(row["body"]) for row in await conn.fetch(PLANS_SQL)},
            used=frozenset(row["book"] for row in await conn.fetch(USED_SQL)),
            zones=tuple(read_zone(row["zones"]) for row in await conn.fetch(ZONES_SQL)),
        )

    def plans_on(self, book: str) -> list[str]:
        """The keys of the plans that are priced by a book."""
        return sorted(key for key, plan in self.plans.items() if plan["book"] == book)


async def alone(conn: Connection) -> None:
    """Let no other publisher in until the transaction ends."""
    await conn.execute(ALONE)


async def put_book(
    conn: Connection,
    book: Book,
    document: Document,
    plans: list[str],
    *,
    now: int,
    rerate_from: int | None = None,
) -> int | None:
    """Store a version of a book and give its number, or None where it is the latest already.

    In the same commit the terms of every tenant on `plans` count as changed: whoever rates its next
    fact waits for this transaction, and then reads them again.
    """
    version = await put_version(conn, "book", book.key, document, now)
    if version is None:
        return None
    await put_rules(conn, book)
    heads = [row["tenant_id"] for row in await conn.fetch(HEADS_SQL, plans)]
    await conn.execute(CHANGED_SQL, heads)
    if rerate_from is not None:
        await conn.execute(RERATE_SQL, heads, rerate_from, now)
    return version


PUT_ISSUER = """
insert into issuers (issuer, body, digest) values ($1, $2::text::jsonb, $3)
on conflict (issuer) do update set body = excluded.body, digest = excluded.digest
where issuers.digest <> excluded.digest
returning issuer"""

# Who numbered in a series once keeps it, whatever its document says by now.
NUMBERED = "select distinct issuer, series from document_series"


async def series_of_others(conn: Connection, issuer: Issuer) -> list[Fault]:
    """Where the series of an issuer are another's: whoever both issue to would have numbers twice.

    Nobody else publishes until the transaction ends.
    """
    await alone(conn)
    others = [
        parse_issuer(json.loads(row["body"]))
        for row in await conn.fetch(ISSUERS_SQL)
        if row["issuer"] != issuer.key
    ]
    numbered = {(row["series"], row["issuer"]) for row in await conn.fetch(NUMBERED)}
    published = {(series, other.key) for other in others for series in other.series}
    return shared_series(issuer, published | numbered)


async def put_issuer(conn: Connection, issuer: Issuer, document: Document) -> bool:
    """Store what an issuer is from now on; True when that is new or changed."""
    put = await conn.fetchval(PUT_ISSUER, issuer.key, canonical(document), digest_of(document))
    return put is not None
