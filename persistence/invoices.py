"""Invoices and credit notes as rows: drafts, what is issued under a number, and what became of it.

Owns the counters of numbers and the rows that have them (IN-3, IN-4, IN-7). What one says is
`domain.invoices`'s, what is paid of it `accounts`'; lists for readers are `invoice_lists`'. Whoever
issues one does so last in its transaction: others wait for its number until that is over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Final

import asyncpg
import msgspec

from domain.invoices import Invoice, issued
from domain.periods import Zone, date_of
from domain.recurring import Ask
from persistence.connection import Connection

#: What says that an issuer gives a number once.
NUMBER: Final = "invoices_number"


class Kind(IntEnum):
    """What a row is of; stored."""

    INVOICE = 1
    CREDIT_NOTE = 2


class Origin(IntEnum):
    """How an invoice came about; stored."""

    PERIOD = 1  #: a period was closed
    START = 2  #: a subscription began
    TOP_UP = 3  #: a top-up or refill was paid
    BY_HAND = 4  #: an operator wrote its lines


#: By subscription, what an invoice asks for of it; empty: it was looked at, and nothing was due.
Asks = Mapping[str, Sequence[Ask]]

NO_ASKS: Final[Asks] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceRecord:
    """One row; amounts in micros of its currency."""

    tenant_id: int
    invoice_id: int
    kind: Kind
    origin: Origin  #: of a credit note its invoice's
    period: int | None  #: label of the closed month it is of
    asked_month: int | None  #: label of the month that subscriptions are asked for in advance
    asks: Asks = field(default_factory=dict)
    of_id: int | None  #: of a credit note: its invoice
    invoice: Invoice  #: all that it says
    credited: int
    paid: int
    balance: int  #: what is left to pay; 0 of a void one and of a credit note
    created_at: int
    issued_at: int | None  #: None: a draft
    voided_at: int | None

    @property
    def number(self) -> str:
        """Its number; a draft's is empty."""
        return self.invoice.number or ""


#: What `from_row` reads.
COLUMNS: Final = """
tenant_id, invoice_id, kind, origin, period, asked_month, asks::text as asks, of_id,
body::text as body, credited, paid, balance, created_at, issued_at, voided_at"""

DRAFT = """
insert into invoices (
    tenant_id, kind, origin, period, asked_month, asks, of_id, issuer, currency, total, created_at,
    body
)
values ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8, $9, $10, $11, $12::text::jsonb)
returning invoice_id"""


async def draft(
    connection: Connection,
    tenant_id: int,
    invoice: Invoice,
    *,
    origin: Origin,
    at: int,
    period: int | None = None,
    asked_month: int | None = None,
    asks: Asks = NO_ASKS,
    of_id: int | None = None,
) -> InvoiceRecord:
    """Keep a draft of a locked tenant; UniqueViolationError where its period has an invoice."""
    kind = Kind.INVOICE if invoice.kind == "invoice" else Kind.CREDIT_NOTE
    invoice_id: int = await connection.fetchval(
        DRAFT, tenant_id, kind, origin, period, asked_month, _spelt(asks), of_id,
        invoice.issuer.key or "", invoice.currency, invoice.total, at, _spelt(invoice),
    )  # fmt: skip
    return InvoiceRecord(
        tenant_id=tenant_id, invoice_id=invoice_id, kind=kind, origin=origin, period=period,
        asked_month=asked_month, asks=asks, of_id=of_id, invoice=invoice, credited=0, paid=0,
        balance=invoice.total if kind is Kind.INVOICE else 0, created_at=at, issued_at=None,
        voided_at=None,
    )  # fmt: skip


# The row of a year is waited for, and is free again only with the number committed or given back.
COUNT = """
insert into document_series (issuer, series, year, last) values ($1, $2, $3, 1)
on conflict (issuer, series, year) do update set last = document_series.last + 1
returning last"""

ISSUE = """
update invoices set series = $3, year = $4, place = $5, number = $6, issued_on = $7, due_on = $8,
    issued_at = $9, body = $10::text::jsonb, total = $11, issuer = $12
where tenant_id = $1 and invoice_id = $2 and number is null"""


async def issue(
    connection: Connection,
    record: InvoiceRecord,
    invoice: Invoice,
    *,
    series: str,
    terms_days: int,
    zone: Zone,
    at: int,
) -> InvoiceRecord:
    """Give a draft its number, as `invoice` says it, on the tenant's local day of an instant.

    Of a locked tenant, and last in the transaction. ValueError for what was issued before.
    """
    day = zone.date(at)
    year = date_of(day).year
    place: int = await connection.fetchval(COUNT, invoice.issuer.key or "", series, year)
    done = issued(invoice, series, place, day, terms_days)
    if not await _given(connection, record, done, series, year, place, at):
        raise ValueError(f"{record.invoice_id} was issued before: what is issued never changes")
    return _issued(record, done, at)


async def restore(
    connection: Connection, record: InvoiceRecord, done: Invoice, *, series: str, at: int
) -> InvoiceRecord:
    """Give a draft of an imported log the number it has had; the counter goes on behind it."""
    assert done.number is not None
    assert done.issued_on is not None
    year, place = date_of(done.issued_on).year, int(done.number.rsplit("-", 1)[1])
    await connection.execute(RAISE, done.issuer.key or "", series, year, place)
    await _given(connection, record, done, series, year, place, at)
    return _issued(record, done, at)


RAISE = """
insert into document_series (issuer, series, year, last) values ($1, $2, $3, $4)
on conflict (issuer, series, year)
do update set last = greatest(document_series.last, excluded.last)"""


async def _given(
    connection: Connection,
    record: InvoiceRecord,
    done: Invoice,
    series: str,
    year: int,
    place: int,
    at: int,
) -> bool:
    told = await connection.execute(
        ISSUE, record.tenant_id, record.invoice_id, series, year, place, done.number,
        done.issued_on, done.due_on, at, _spelt(done), done.total, done.issuer.key or "",
    )  # fmt: skip
    return told == "UPDATE 1"


def _issued(record: InvoiceRecord, done: Invoice, at: int) -> InvoiceRecord:
    balance = done.total if record.kind is Kind.INVOICE else 0
    return replace(record, invoice=done, balance=balance, issued_at=at)


DISCARD = "delete from invoices where tenant_id = $1 and invoice_id = $2 and number is null"


async def discard(connection: Connection, tenant_id: int, invoice_id: int) -> bool:
    """Remove a draft; False: it was issued, or there is none."""
    return await connection.execute(DISCARD, tenant_id, invoice_id) == "DELETE 1"


FIND = f"select {COLUMNS} from invoices where tenant_id = $1 and invoice_id = $2"


async def find(connection: Connection, tenant_id: int, invoice_id: int) -> InvoiceRecord | None:
    """An invoice or a credit note by its number in the database."""
    row = await connection.fetchrow(FIND, tenant_id, invoice_id)
    return None if row is None else from_row(row)


BY_NUMBERS = f"""
select {COLUMNS} from invoices
where tenant_id = $1 and (number = any ($2::text[]) or invoice_id = any ($3::bigint[]))
order by invoice_id"""


async def by_numbers(
    connection: Connection, tenant_id: int, numbers: Collection[str], ids: Collection[int] = ()
) -> list[InvoiceRecord]:
    """Those of a tenant's invoices and credit notes that have one of these numbers, or ids."""
    rows = await connection.fetch(BY_NUMBERS, tenant_id, list(numbers), list(ids))
    return [from_row(row) for row in rows]


NOTES = f"""
select {COLUMNS} from invoices where tenant_id = $1 and of_id = $2 and number is not null
order by invoice_id"""


async def notes(connection: Connection, tenant_id: int, invoice_id: int) -> list[InvoiceRecord]:
    """The credit notes of an invoice, in the order in which they were issued."""
    return [from_row(row) for row in await connection.fetch(NOTES, tenant_id, invoice_id)]


OF_PERIOD = f"""
select {COLUMNS} from invoices
where tenant_id = $1 and period = $2 and kind = {Kind.INVOICE.value} and voided_at is null"""


async def of_period(connection: Connection, tenant_id: int, period: int) -> InvoiceRecord | None:
    """The invoice of a closed period, or its draft; a void one is none."""
    row = await connection.fetchrow(OF_PERIOD, tenant_id, period)
    return None if row is None else from_row(row)


ASKED = """
select asked_month, asks::text as asks from invoices
where tenant_id = $1 and asks <> '{}' and voided_at is null order by invoice_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a subscription was asked for until now, by invoices and drafts that are not void."""

    asks: tuple[Ask, ...] = ()
    last_month: int | None = None  #: the latest that was asked for in advance


async def asked(connection: Connection, tenant_id: int) -> dict[str, Asked]:
    """By subscription, what it was asked for until now."""
    found: dict[str, Asked] = {}
    for row in await connection.fetch(ASKED, tenant_id):
        month: int | None = row["asked_month"]
        for key, asks in _asks(row["asks"]).items():
            before = found.get(key, Asked())
            months = [each for each in (before.last_month, month) if each is not None]
            found[key] = Asked(
                asks=(*before.asks, *asks), last_month=max(months) if months else None
            )
    return found


_asks = msgspec.json.Decoder(dict[str, tuple[Ask, ...]]).decode
_snapshot = msgspec.json.Decoder(Invoice).decode


def from_row(row: asyncpg.Record) -> InvoiceRecord:
    """The record of a row of `COLUMNS`."""
    return InvoiceRecord(
        tenant_id=row["tenant_id"],
        invoice_id=row["invoice_id"],
        kind=Kind(row["kind"]),
        origin=Origin(row["origin"]),
        period=row["period"],
        asked_month=row["asked_month"],
        asks=_asks(row["asks"]),
        of_id=row["of_id"],
        invoice=snapshot(row["body"]),
        credited=row["credited"],
        paid=row["paid"],
        balance=row["balance"],
        created_at=row["created_at"],
        issued_at=row["issued_at"],
        voided_at=row["voided_at"],
    )


def snapshot(body: str | bytes) -> Invoice:
    """What an invoice says, as its row has it."""
    return _snapshot(body)


def _spelt(value: Any) -> str:
    return msgspec.json.encode(value).decode()
