"""The catalogue: plans, price books, their rules' names, taxes, issuers, as the database has them.

Owns the rows of `books`, `plans`, `markets`, `taxes`, `issuers` and `rules`, their versions and
digests, and the sample files. Knows nothing of what a document means: `domain` reads them.
"""

from __future__ import annotations

import hashlib
import json
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

from domain.book_documents import parse_book
from domain.books import Book
from domain.issuers import Issuer, parse_issuer
from domain.plans import Plan, parse_plan
from domain.taxes import NONE, Taxes, joined, parse_taxes
from persistence.connection import Connection

Document: TypeAlias = dict[str, Any]

SAMPLES = Path(__file__).parent / "samples"

#: What a file is: the first of these that it names.
KINDS = ("plan", "book", "markets", "taxes")
#: Tables that have one version of each of their documents, and call its key as they are called.
IN_PLACE = ("markets", "taxes")
#: What publishing locks, in this order.
TABLES = "books, plans, markets, taxes, rules"


@dataclass(slots=True)
class Catalogue:
    """Everything a process prices with: each plan's latest version, each book with all of its.

    Who holds it sees what is published: its dictionaries are replaced together, never changed.
    """

    plans: dict[str, Plan]
    books: dict[str, Book]
    rule_ids: dict[str, int]  #: `BOOK@YYYY-MM-DD/ROW` to the number stored with charges
    rules: dict[int, str]  #: and back
    stamp: str = ""  #: names what was read; another one in the database: something was published
    taxes: Taxes = NONE  #: of every country that has some
    issuers: Mapping[str, Issuer] = field(default_factory=dict)  #: by key

    @classmethod
    async def load(cls, conn: Connection) -> Catalogue:
        """Read the catalogue; a book or plan that no longer parses raises its own error."""
        # What names something is read before what it names: each may grow in between.
        stamp = await conn.fetchval(f"select {STAMP}")
        plan_rows = await conn.fetch(PLANS_SQL)
        book_rows = await conn.fetch(BOOKS_SQL)
        markets = {row["markets"]: json.loads(row["body"]) for row in await conn.fetch(MARKETS_SQL)}
        books: dict[str, Book] = {}
        for row in book_rows:
            document = json.loads(row["body"])
            book = parse_book(document, row["version"], lists_of(document, markets))
            earlier = books.get(book.key)
            books[book.key] = book if earlier is None else earlier.with_version(book)
        plans: dict[str, Plan] = {}
        for row in plan_rows:
            document = json.loads(row["body"])
            plan = parse_plan(document, books[document["book"]])
            plans[plan.key] = replace(plan, version=row["version"])
        tax_rows = await conn.fetch(TAXES_SQL)
        taxes = joined(parse_taxes(json.loads(row["body"])) for row in tax_rows)
        issuer_rows = await conn.fetch(ISSUERS_SQL)
        issuers = {row["issuer"]: parse_issuer(json.loads(row["body"])) for row in issuer_rows}
        rules = {row["rule_id"]: row["rule"] for row in await conn.fetch(RULES_SQL)}
        numbers = {rule: number for number, rule in rules.items()}
        return cls(plans, books, numbers, rules, stamp, taxes, issuers)

    async def refresh(self, conn: Connection) -> None:
        """Take over what was published since, all of it at once."""
        newer = await Catalogue.load(conn)
        self.plans, self.books, self.taxes = newer.plans, newer.books, newer.taxes
        self.issuers = newer.issuers
        self.rule_ids, self.rules, self.stamp = newer.rule_ids, newer.rules, newer.stamp


# Versions are only ever added; lists of markets, taxes and issuers are changed in place. A scalar,
# so that a statement which reads terms can ask for it too.
STAMP = """(
    (select count(*) from books) || ' ' || (select count(*) from plans) || ' '
    || (select coalesce(string_agg(encode(digest, 'hex'), '' order by markets), '')
        from markets) || ' '
    || (select coalesce(string_agg(encode(digest, 'hex'), '' order by taxes), '')
        from taxes) || ' '
    || (select coalesce(string_agg(encode(digest, 'hex'), '' order by issuer), '')
        from issuers))"""

MARKETS_SQL = "select markets, body from markets"

TAXES_SQL = "select body from taxes order by taxes"

ISSUERS_SQL = "select issuer, body from issuers order by issuer"

# Every version: a row of an earlier one rates what happened on its dates (PR-2).
BOOKS_SQL = "select book, version, body from books order by book, version"

PLANS_SQL = """
select distinct on (plan) plan, version, body
from plans order by plan, version desc
"""

RULES_SQL = "select rule_id, rule from rules"


async def load_samples(
    conn: Connection, *, folder: Path = SAMPLES, now: int | None = None
) -> list[str]:
    """Publish the sample files as the owner and say what was new, as `kind key version`.

    A file that is there already changes nothing; one whose content changed becomes the next
    version. Every file is read and checked before the first is written.
    """
    published_at = time.time_ns() // 1000 if now is None else now
    documents = read_samples(folder)
    markets, books, plans = documents["markets"], documents["book"], documents["plan"]
    joined(map(parse_taxes, documents["taxes"].values()))
    parsed = {
        key: parse_book(document, 1, lists_of(document, markets)) for key, document in books.items()
    }
    for document in plans.values():
        parse_plan(document, parsed[document["book"]])

    news: list[str] = []
    async with conn.transaction():
        # Readers go on; a second publisher waits here and then finds nothing to do.
        await conn.execute(f"lock table {TABLES} in share row exclusive mode")
        for kind in IN_PLACE:
            for key, document in documents[kind].items():
                if await put_in_place(conn, kind, key, document):
                    news.append(f"{kind} {key}")
        for key, document in books.items():
            if version := await put_version(conn, "book", key, document, published_at):
                await put_rules(conn, parsed[key])
                news.append(f"book {key} {version}")
        for key, document in plans.items():
            if version := await put_version(conn, "plan", key, document, published_at):
                news.append(f"plan {key} {version}")
    return news


PUT_RULES_SQL = """
insert into rules (rule)
select name from unnest($1::text[]) name where not exists (select from rules where rule = name)
"""


async def put_rules(conn: Connection, book: Book) -> None:
    """Give every rule of a book a number, unless it has one: charges name it for ever."""
    await conn.execute(PUT_RULES_SQL, sorted({row.rule for row in book.rows}))


PUT_SQL = """
insert into {kind} ({kind}, body, digest) values ($1, $2, $3)
on conflict ({kind}) do update set body = excluded.body, digest = excluded.digest
where {kind}.digest <> excluded.digest
returning {kind}
"""


async def put_in_place(conn: Connection, kind: str, key: str, document: Document) -> bool:
    """Store lists of markets, or taxes; True when the document is new or changed."""
    put = PUT_SQL.format(kind=kind)
    return await conn.fetchval(put, key, canonical(document), digest_of(document)) is not None


async def put_version(
    conn: Connection, kind: str, key: str, document: Document, published_at: int
) -> int | None:
    """Store `document` as the next version of book or plan `key`; None if it is the latest."""
    digest = digest_of(document)
    latest = await conn.fetchrow(
        f"select version, digest from {kind}s where {kind} = $1 order by version desc limit 1", key
    )
    if latest is not None and latest["digest"] == digest:
        return None
    version: int = 1 if latest is None else latest["version"] + 1
    await conn.execute(
        f"insert into {kind}s ({kind}, version, body, digest, published_at) "
        "values ($1, $2, $3, $4, $5)",
        key,
        version,
        canonical(document),
        digest,
        published_at,
    )
    return version


def read_samples(folder: Path) -> dict[str, dict[str, Document]]:
    """The sample files by what they are, each by its key."""
    found: dict[str, dict[str, Document]] = {kind: {} for kind in KINDS}
    for path in sorted(folder.glob("*.toml")):
        document = written(tomllib.loads(path.read_text(encoding="utf-8")))
        # A plan names its book, and a book its lists: what stands highest is what the file is.
        kind = next((kind for kind in KINDS if kind in document), None)
        if kind is None:
            raise ValueError(f"{path.name}: is neither a plan, a book, lists of markets nor taxes")
        if document[kind] in found[kind]:
            raise ValueError(f"{path.name}: there is another {kind} {document[kind]!r}")
        found[kind][document[kind]] = document
    return found


def lists_of(document: Document, markets: dict[str, Document]) -> Document | None:
    """The lists of prefixes that a book names, if it names some that are there."""
    return markets.get(document.get("markets", ""))


def written(value: Any) -> Any:
    """`value` with TOML's dates as ISO text, which is how the database gives them back."""
    if isinstance(value, dict):
        return {key: written(item) for key, item in value.items()}
    if isinstance(value, list):
        return [written(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def canonical(document: Any) -> str:
    """JSON that depends on the content alone."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(document: Any) -> bytes:
    return hashlib.blake2b(canonical(document).encode(), digest_size=16).digest()
