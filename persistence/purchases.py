"""Purchases and the payments that collect them, as rows.

Owns how both begin and what became of them. Which of them begins, and what follows from a payment,
is decided elsewhere, under the tenant's lock; a purchase begins with its first payment and the
task that collects it, in the transaction that decided it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import asyncpg
import msgspec

from domain.offers import MONEY_MAX, Quote, quote
from domain.periods import DAY
from domain.problems import Problem
from domain.state import Changes
from domain.terms import Terms
from persistence import tasks
from persistence.connection import Connection
from persistence.door import Door
from persistence.invoices import InvoiceRecord

#: For how long a payment may stand open before it is given up.
OPEN_FOR: Final = DAY


class PurchaseKind(IntEnum):
    """Who wanted it, and what for; stored."""

    BOUGHT = 1
    REFILL = 2
    INVOICE = 3  #: what is left to pay of an invoice: it adds to no balance


class PurchaseState(IntEnum):
    """What became of a purchase; stored."""

    OPEN = 1
    PAID = 2
    FAILED = 3  #: declined, or no longer wanted before it was paid
    EXPIRED = 4  #: nobody paid in time
    TAKEN_BACK = 5  #: the payment was, after it was paid


class PaymentState(IntEnum):
    """What is known of a payment; stored."""

    WAITING = 1  #: its provider was not asked yet
    ASKED = 2  #: asked, and what came of that is not known
    PENDING = 3  #: the provider waits for the payer, or for a bank
    PAID = 4
    DECLINED = 5
    EXPIRED = 6
    TAKEN_BACK = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """A top-up or an invoice that a tenant pays; money in micros of `currency`."""

    tenant_id: int
    purchase_id: int
    kind: PurchaseKind
    state: PurchaseState
    balance: str  #: its key; empty: it is of an invoice
    unit_currency: str | None  #: of a balance of money; None: the balance is of units
    invoice_id: int | None  #: what it pays; None: it is a top-up
    amount: int  #: micros of the balance's unit; of an invoice of its currency
    currency: str
    net: int  #: exact, before tax
    tax: int
    total: int  #: what is asked for; 0: it cannot be sold, and `body["reason"]` says why
    body: dict[str, Any]
    cause_id: str
    created_at: int
    ends_at: int
    ended_at: int | None

    @property
    def invoice(self) -> str:
        """The number of the invoice it pays; empty: it is a top-up."""
        number: str = self.body.get("invoice", "")
        return number

    @property
    def quote(self) -> Quote | None:
        """What it was said to cost when it began; None: it cannot be sold."""
        kept = self.body.get("quote")
        return None if kept is None else msgspec.convert(kept, Quote)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One try to collect a purchase's total."""

    tenant_id: int
    payment_key: str
    purchase_id: int
    number: int  #: 1 for the first try
    provider: str  #: empty until it is asked
    state: PaymentState
    due_at: int  #: when it is tried
    asked_at: int | None
    ended_at: int | None
    reason: str  #: why it is not paid, for people
    pay_url: str | None
    reference: str | None  #: the provider's own id of it

    @property
    def idempotency_key(self) -> str:
        """Of the top-up that it becomes."""
        return credit_key(self.payment_key)


def credit_key(payment_key: str) -> str:
    """The idempotency key of what a payment brings."""
    return f"payment/{payment_key}"


def new_payment_key() -> str:
    """A key no other payment has, whatever became of the database since."""
    return f"kuota-{secrets.token_hex(12)}"


BEGIN = """
insert into purchases (
    tenant_id, kind, state, balance_id, amount, currency, net, tax, total, body, cause_id,
    created_at, ends_at, invoice_id
)
values ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11, $12, $13)
returning purchase_id"""


async def begin(
    connection: Connection,
    terms: Terms,
    kind: PurchaseKind,
    balance_id: int,
    priced: Quote,
    cause_id: str,
    *,
    now: int,
    body: dict[str, Any] | None = None,
) -> int:
    """Begin a purchase of a locked tenant with its first payment, due now; gives its number."""
    kept = {**(body or {}), "quote": msgspec.to_builtins(priced)}
    return await _begin(
        connection, terms.tenant_id, kind, balance_id, priced.units, priced.currency, priced.net,
        priced.tax, priced.total, kept, cause_id, now,
    )  # fmt: skip


async def begin_refills(connection: Connection, changes: Changes) -> None:
    """Begin the refills that a commit decided."""
    terms = changes.terms
    for refill in changes.refills:
        kind, own = PurchaseKind.REFILL, terms.at(refill.at)
        balance = own.balances[refill.balance_id]
        day = own.zone.date(refill.at)
        try:
            priced = quote(
                own.plan, balance, refill.amount, own.tax_country, day, own.taxes, refill=True
            )
        except Problem as problem:
            await _begin(
                connection, terms.tenant_id, kind, refill.balance_id, refill.amount,
                own.plan.currency, min(refill.price, MONEY_MAX), 0, 0, {"reason": problem.message},
                refill.cause_id, refill.at,
            )  # fmt: skip
        else:
            body = {"minimum": refill.minimum}
            await begin(
                connection, own, kind, refill.balance_id, priced, refill.cause_id, now=refill.at,
                body=body,
            )  # fmt: skip


async def begin_invoice(
    connection: Connection,
    record: InvoiceRecord,
    cause_id: str,
    *,
    now: int,
    body: dict[str, Any],
) -> int:
    """Begin to collect what is left to pay of an invoice of a locked tenant; gives its number."""
    amount = record.balance
    return await _begin(
        connection, record.tenant_id, PurchaseKind.INVOICE, None, amount, record.invoice.currency,
        amount, 0, amount, {**body, "invoice": record.number}, cause_id, now, record.invoice_id,
    )  # fmt: skip


async def _begin(
    connection: Connection,
    tenant_id: int,
    kind: PurchaseKind,
    balance_id: int | None,
    amount: int,
    currency: str,
    net: int,
    tax: int,
    total: int,
    body: dict[str, Any],
    cause_id: str,
    now: int,
    invoice_id: int | None = None,
) -> int:
    purchase_id: int = await connection.fetchval(
        BEGIN, tenant_id, kind, balance_id, amount, currency, net, tax, total,
        msgspec.json.encode(body).decode(), cause_id, now, now + OPEN_FOR, invoice_id,
    )  # fmt: skip
    await try_at(connection, tenant_id, purchase_id, 1, now)
    return purchase_id


TRY = """
insert into payments (tenant_id, payment_key, purchase_id, try, provider, state, due_at)
values ($1, $2, $3, $4, '', 1, $5)"""


async def try_at(
    connection: Connection, tenant_id: int, purchase_id: int, number: int, due_at: int
) -> None:
    """Have a purchase collected from an instant on, under a key of its own."""
    key = new_payment_key()
    await connection.execute(TRY, tenant_id, key, purchase_id, number, due_at)
    await tasks.add(connection, tenant_id, tasks.PAYMENT, key, due_at)


_PAYMENT = """p.tenant_id, p.payment_key, p.purchase_id, p.try as number, p.provider, p.state,
    p.due_at, p.asked_at, p.ended_at, p.reason, p.pay_url, p.reference"""
_PURCHASE = """q.tenant_id, q.purchase_id, q.kind, q.state, coalesce(b.key, '') as balance,
    b.currency as unit_currency, q.invoice_id, q.amount, q.currency, q.net, q.tax, q.total,
    q.body::text as body, q.cause_id, q.created_at, q.ends_at, q.ended_at"""
_NAMED = "left join balances b on b.tenant_id = q.tenant_id and b.balance_id = q.balance_id"

PAYMENT = f"select {_PAYMENT} from payments p where p.tenant_id = $1 and p.payment_key = $2"
PURCHASE = (
    f"select {_PURCHASE} from purchases q {_NAMED} where q.tenant_id = $1 and purchase_id = $2"
)
PAYMENTS = f"""
select {_PAYMENT} from payments p
where p.tenant_id = any ($1::bigint[]) and p.purchase_id = any ($2::bigint[])
order by p.purchase_id, p.try"""


async def find_payment(connection: Connection, tenant_id: int, key: str) -> Payment | None:
    row = await connection.fetchrow(PAYMENT, tenant_id, key)
    return None if row is None else _payment(row)


async def find(connection: Connection, tenant_id: int, purchase_id: int) -> Purchase | None:
    row = await connection.fetchrow(PURCHASE, tenant_id, purchase_id)
    return None if row is None else _purchase(row)


OF_INVOICE = f"""
select {_PURCHASE} from purchases q {_NAMED}
where q.tenant_id = $1 and q.invoice_id = $2 and q.kind = 3 and q.state = 1"""


async def open_of(connection: Connection, tenant_id: int, invoice_id: int) -> Purchase | None:
    """What collects an invoice just now; None: nobody has begun to pay it, or it ended."""
    row = await connection.fetchrow(OF_INVOICE, tenant_id, invoice_id)
    return None if row is None else _purchase(row)


async def payments_of(
    door: Door, purchases: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], list[Payment]]:
    """The payments of purchases, by tenant and number, in the order of their tries."""
    tenants, numbers = (list(column) for column in zip(*purchases, strict=True))
    found: dict[tuple[int, int], list[Payment]] = {each: [] for each in purchases}
    async with door.tenant_tx(*set(tenants)) as connection:
        for row in await connection.fetch(PAYMENTS, tenants, numbers):
            payment = _payment(row)
            known = found.get((payment.tenant_id, payment.purchase_id))
            if known is not None:
                known.append(payment)
    return found


OPEN_KEYS = """
select payment_key from payments
where tenant_id = $1 and purchase_id = $2 and state in (1, 2, 3)"""


async def open_keys(connection: Connection, tenant_id: int, purchase_id: int) -> list[str]:
    """The keys of a purchase's payments that have no end yet."""
    rows = await connection.fetch(OPEN_KEYS, tenant_id, purchase_id)
    return [row["payment_key"] for row in rows]


WHOSE = "select tenant_id, provider from payments where payment_key = $1"


async def whose(door: Door, key: str) -> tuple[int, str] | None:
    """The tenant of a payment and its provider, whoever asks; None: there is no such key."""
    async with door.system_tx("a provider's notice names a payment, and no tenant") as connection:
        row = await connection.fetchrow(WHOSE, key)
    return None if row is None else (row["tenant_id"], row["provider"])


PAGES = f"""
select asked.n, {_PURCHASE}
from unnest($1::bigint[], $2::bigint[]) with ordinality asked (tenant_id, before, n)
cross join lateral (
    select * from purchases
    where tenant_id = asked.tenant_id and purchase_id < asked.before and kind <> 3
        and ($3::smallint[] is null or state = any ($3))
    order by purchase_id desc
    limit $4
) q
{_NAMED}
order by asked.n, q.purchase_id desc"""

#: Behind every purchase, as pages go.
NEWEST: Final = (1 << 63) - 1


async def pages(
    door: Door,
    asked: Sequence[tuple[int, int]],
    *,
    states: Sequence[PurchaseState] | None = None,
    limit: int,
) -> list[list[Purchase]]:
    """For each (tenant, number of the last one seen), up to `limit` top-ups, newest first."""
    tenants, before = (list(column) for column in zip(*asked, strict=True))
    wanted = None if states is None else [int(state) for state in states]
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(PAGES, tenants, before, wanted, limit)
    found: list[list[Purchase]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(_purchase(row))
    return found


# What never came to a provider is asked for anew: the first time counts.
ASK = """
update payments set state = 2, asked_at = coalesce(asked_at, $3), provider = $4
where tenant_id = $1 and payment_key = $2 and state in (1, 2)"""


async def ask(connection: Connection, payment: Payment, provider: str, now: int) -> None:
    """Note that a provider is about to be asked: from here on the outcome may be unknown."""
    await connection.execute(ASK, payment.tenant_id, payment.payment_key, now, provider)


MARK = """
update payments set
    state = $3, ended_at = $4, reason = $5, pay_url = coalesce($6, pay_url),
    reference = coalesce($7, reference)
where tenant_id = $1 and payment_key = $2"""


async def mark(
    connection: Connection,
    payment: Payment,
    state: PaymentState,
    *,
    ended_at: int | None = None,
    reason: str = "",
    pay_url: str | None = None,
    reference: str | None = None,
) -> None:
    """Say where a payment stands."""
    await connection.execute(
        MARK, payment.tenant_id, payment.payment_key, state, ended_at, reason, pay_url, reference
    )


END = """
update purchases set state = $3, ended_at = $4 where tenant_id = $1 and purchase_id = $2"""


async def end(connection: Connection, purchase: Purchase, state: PurchaseState, now: int) -> None:
    """Say what became of a purchase."""
    await connection.execute(END, purchase.tenant_id, purchase.purchase_id, state, now)


def _payment(row: asyncpg.Record) -> Payment:
    values = dict(row)
    return Payment(**{**values, "state": PaymentState(values["state"])})


def _purchase(row: asyncpg.Record) -> Purchase:
    values = {name: value for name, value in row.items() if name != "n"}
    values["kind"], values["state"] = PurchaseKind(values["kind"]), PurchaseState(values["state"])
    values["body"] = msgspec.json.decode(values["body"])
    return Purchase(**values)
