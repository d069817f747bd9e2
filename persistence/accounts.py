"""A tenant's account as rows: what of it a decision looks at, and what the decision changed.

Owns how the rows become `domain.allocations.Account` and what follows from another one. It decides
nothing: that is `allocations`'. Entries of the journal are `journal`'s, lists for readers
`account_payments`'; whether all rows agree is `account_checks`'.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import asyncpg
import msgspec

from domain.allocations import Account, Allocation, Bill, Payment
from persistence.connection import Connection


class Method(StrEnum):
    """How money came; stored."""

    BANK_TRANSFER = "bank_transfer"
    CARD = "card"
    CASH = "cash"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """A payment as it comes in."""

    key: str  #: of the tenant's payments it alone has this one
    amount: int  #: micros of the tenant's currency
    names: tuple[str, ...] = ()  #: the invoices it is for, in this order, before any other
    received_on: int  #: local day
    method: Method
    reference: str = ""  #: what whoever paid it, or its provider, calls it
    provider: str | None = None  #: who collected it; None: an operator recorded it
    note: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """What its row keeps beside its figures."""
        return {
            "method": self.method,
            "reference": self.reference,
            "provider": self.provider,
            "note": self.note,
        }


NO_NEWS: Final[Mapping[str, New]] = {}

# What is open or has credit, what is named, and all that those touch: an account may be years old.
TOUCHED = """
with asked as (
    select invoice_id from invoices
    where tenant_id = $1 and kind = 1 and number = any ($2::text[])
    union
    select a.invoice_id from account_payments p
    join allocations a using (tenant_id, payment_id)
    where p.tenant_id = $1 and p.payment = any ($3::text[])
),
payers as (
    select payment_id from account_payments where tenant_id = $1 and credit > 0
    union
    select payment_id from account_payments where tenant_id = $1 and payment = any ($3::text[])
    union
    select payment_id from allocations
    where tenant_id = $1 and invoice_id in (select invoice_id from asked)
)
select
    (select coalesce(array_agg(invoice_id), '{}') from asked) as asked,
    (select coalesce(array_agg(payment_id), '{}') from payers) as payers"""

PAYMENTS = """
select payment_id, payment, amount, names, used, refunded, taken_back from account_payments
where tenant_id = $1 and payment_id = any ($2::bigint[])
order by payment_id"""

BILLS = """
select number, total, credited, paid, voided_at is not null as void from invoices
where tenant_id = $1 and number is not null and invoice_id in (
    select unnest($2::bigint[])
    union
    select invoice_id from invoices where tenant_id = $1 and kind = 1 and number = any ($3::text[])
    union
    select invoice_id from invoices where tenant_id = $1 and balance > 0
)
order by issued_at, invoice_id"""

MOVES = """
select p.payment, i.number, a.amount from allocations a
join account_payments p using (tenant_id, payment_id)
join invoices i using (tenant_id, invoice_id)
where a.tenant_id = $1 and a.invoice_id = any ($2::bigint[])
order by a.allocation_id"""


async def load(
    connection: Connection,
    tenant_id: int,
    *,
    numbers: Collection[str] = (),
    payments: Collection[str] = (),
) -> Account:
    """What may be touched of a locked tenant's account where these invoices and payments are.

    All that is open or has credit, and of the invoices named here and those that the payments
    named here pay, all that ever moved.
    """
    touched = await connection.fetchrow(TOUCHED, tenant_id, list(numbers), list(payments))
    assert touched is not None
    payers = await connection.fetch(PAYMENTS, tenant_id, touched["payers"])
    named = {name for row in payers for name in row["names"]} | set(numbers)
    bills = await connection.fetch(BILLS, tenant_id, touched["asked"], list(named))
    moves = []
    if touched["asked"]:
        moves = await connection.fetch(MOVES, tenant_id, touched["asked"])
    return _account(bills, payers, moves)


ALL_PAYMENTS = """
select payment_id, payment, amount, names, used, refunded, taken_back from account_payments
where tenant_id = $1 order by payment_id"""

ALL_BILLS = """
select number, total, credited, paid, voided_at is not null as void from invoices
where tenant_id = $1 and kind = 1 and number is not null
order by issued_at, invoice_id"""

ALL_MOVES = """
select p.payment, i.number, a.amount from allocations a
join account_payments p using (tenant_id, payment_id)
join invoices i using (tenant_id, invoice_id)
where a.tenant_id = $1 order by a.allocation_id"""


async def whole(connection: Connection, tenant_id: int) -> Account:
    """A tenant's account with all that there ever was, for who compares."""
    return _account(
        await connection.fetch(ALL_BILLS, tenant_id),
        await connection.fetch(ALL_PAYMENTS, tenant_id),
        await connection.fetch(ALL_MOVES, tenant_id),
    )


def _account(
    bills: list[asyncpg.Record], payments: list[asyncpg.Record], moves: list[asyncpg.Record]
) -> Account:
    return Account(
        bills=tuple(Bill(**row) for row in bills),
        payments=tuple(
            Payment(
                key=row["payment"], amount=row["amount"], names=tuple(row["names"]),
                used=row["used"], refunded=row["refunded"], taken_back=row["taken_back"],
            )
            for row in payments
        ),
        moves=tuple(
            Allocation(payment=row["payment"], invoice=row["number"], amount=row["amount"])
            for row in moves
        ),
    )  # fmt: skip


ADD = """
insert into account_payments (
    tenant_id, payment, amount, currency, names, used, refunded, taken_back, received_on,
    created_at, body
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb)"""

SPENT = """
update account_payments p set used = r.used, refunded = r.refunded, taken_back = r.taken_back
from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
    r (payment, used, refunded, taken_back)
where p.tenant_id = $1 and p.payment = r.payment"""

BILLED = """
update invoices i set paid = r.paid, credited = r.credited,
    voided_at = case when r.void then coalesce(i.voided_at, $6) end
from unnest($2::text[], $3::bigint[], $4::bigint[], $5::boolean[]) r (number, paid, credited, void)
where i.tenant_id = $1 and i.number = r.number and i.kind = 1"""

MOVED = """
insert into allocations (tenant_id, payment_id, invoice_id, amount, at)
select $1, p.payment_id, i.invoice_id, r.amount, $5
from unnest($2::text[], $3::text[], $4::bigint[]) with ordinality r (payment, number, amount, n)
join account_payments p on p.tenant_id = $1 and p.payment = r.payment
join invoices i on i.tenant_id = $1 and i.number = r.number and i.kind = 1
order by r.n"""


async def save(
    connection: Connection,
    tenant_id: int,
    before: Account,
    after: Account,
    *,
    currency: str,
    at: int,
    news: Mapping[str, New] = NO_NEWS,
) -> None:
    """Write what a decision changed of a locked tenant's account; `news` has new payments by key.

    Invoices of `after` have their rows. ValueError where rows that should change are not there.
    """
    spent_before = {each.key: each for each in before.payments}
    changed = []
    for payment in after.payments:
        known = spent_before.get(payment.key)
        if known is None:
            new = news[payment.key]
            await connection.execute(
                ADD, tenant_id, payment.key, payment.amount, currency, list(payment.names),
                payment.used, payment.refunded, payment.taken_back, new.received_on, at,
                msgspec.json.encode(new.body).decode(),
            )  # fmt: skip
        elif known != payment:
            changed.append((payment.key, payment.used, payment.refunded, payment.taken_back))
    await _all(connection, SPENT, tenant_id, changed)
    billed_before = {each.number: each for each in before.bills}
    bills = [
        (bill.number, bill.paid, bill.credited, bill.void)
        for bill in after.bills
        if bill != billed_before.get(bill.number, Bill(number=bill.number, total=bill.total))
    ]
    await _all(connection, BILLED, tenant_id, bills, at)
    moves = [(move.payment, move.invoice, move.amount) for move in after.moves[len(before.moves) :]]
    await _all(connection, MOVED, tenant_id, moves, at)


async def _all(
    connection: Connection, sql: str, tenant_id: int, rows: list[tuple[Any, ...]], *more: Any
) -> None:
    """Write rows by one statement; ValueError unless it wrote each of them."""
    if not rows:
        return
    columns = (list(column) for column in zip(*rows, strict=True))
    told = await connection.execute(sql, tenant_id, *columns, *more)
    if int(told.rsplit(" ", 1)[1]) != len(rows):
        raise ValueError(f"{told}: {len(rows)} rows of the account of {tenant_id} were to change")


PAYMENT_IDS = """
select payment, payment_id from account_payments
where tenant_id = $1 and payment = any ($2::text[])"""


async def payment_ids(
    connection: Connection, tenant_id: int, keys: Collection[str]
) -> dict[str, int]:
    """The numbers of a tenant's payments in the database, by key."""
    rows = await connection.fetch(PAYMENT_IDS, tenant_id, list(keys))
    return {row["payment"]: row["payment_id"] for row in rows}
