"""Lists of invoices and credit notes: pages, look-ups by number and id, lines, and what was paid.

Owns the statements that readers ask; each serves many tenants at once. Some documents have
thousands of lines: records are without them, and whoever wants some asks for these. What an invoice
is called is said by each tenant's local day, as `domain.invoice_status` says it. Writing is
`invoices`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from domain.invoice_status import InvoiceStatus
from domain.invoices import Line
from persistence.door import Door
from persistence.invoices import COLUMNS, InvoiceRecord, Kind, from_row

#: As an instant of issue: there was none.
UNISSUED: Final = (1 << 63) - 1
#: Behind every invoice, as pages go.
NEWEST: Final = (UNISSUED, (1 << 63) - 1)

#: Of these something is left to pay.
OPEN: Final = frozenset({InvoiceStatus.POSTED, InvoiceStatus.UNPAID, InvoiceStatus.OVERDUE})

# As `domain.invoice_status.called` has it; `asked.today` is the tenant's.
CALLED: Final = """case
    when i.due_on is null then 'draft'
    when i.voided_at is not null then 'void'
    when i.balance <= 0 then 'paid'
    when asked.today < i.due_on then 'posted'
    when asked.today = i.due_on then 'unpaid'
    else 'overdue'
end"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which ones a list has; of all tenants that it is asked of the same."""

    kind: Kind = Kind.INVOICE
    drafts: bool  #: whether those that were not issued are among them
    statuses: frozenset[InvoiceStatus] | None = None  #: None: all
    number: str | None = None
    issued: tuple[int | None, int | None] = (None, None)  #: first and last local day


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tenant and the stretch of its list that is wanted."""

    tenant_id: int
    today: int  #: its local day
    before: tuple[int, int] = NEWEST  #: place of the last one seen


def place(record: InvoiceRecord) -> tuple[int, int]:
    """Where it stands in lists: by its issue, then its number in the database."""
    at = UNISSUED if record.issued_at is None else record.issued_at
    return at, record.invoice_id


# The lines are left out: all of a page would be read for whoever asks for its numbers.
_COLUMNS: Final = ", ".join(f"i.{each.strip()}" for each in COLUMNS.split(",")).replace(
    "i.body::text", "(i.body || '{\"lines\": []}')::text"
)
# Under row-level security an index serves `case`, and no `coalesce`.
_ISSUED: Final = f"(case when i.issued_at is null then {UNISSUED} else i.issued_at end)"


def statement(wanted: Wanted, asked: Sequence[Asked], limit: int) -> tuple[str, list[Any]]:
    """What gives a page for each one asked for, and its parameters.

    It walks the index of issues backwards, or that of what is open; one that names a number goes
    by that.
    """
    given: list[Any] = [
        [each.tenant_id for each in asked], [each.before[0] for each in asked],
        [each.before[1] for each in asked], [each.today for each in asked], limit,
    ]  # fmt: skip
    conditions = [
        "i.tenant_id = asked.tenant_id", f"({_ISSUED}, i.invoice_id) < (asked.at, asked.before)",
        f"i.kind = {wanted.kind.value}",
    ]  # fmt: skip

    def also(condition: str, value: Any) -> None:
        given.append(value)
        conditions.append(condition.format(f"${len(given)}"))

    if not wanted.drafts:
        conditions.append("i.number is not null")
    if wanted.statuses is not None:
        also(f"{CALLED} = any ({{}}::text[])", sorted(each.value for each in wanted.statuses))
        if wanted.statuses <= OPEN:
            conditions.append("i.balance > 0")
    if wanted.number is not None:
        also("i.number = {}", wanted.number)
    first, last = wanted.issued
    if first is not None:
        also("i.issued_on >= {}", first)
    if last is not None:
        also("i.issued_on <= {}", last)
    query = f"""
select asked.n, found.*
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[])
    with ordinality asked (tenant_id, at, before, today, n)
cross join lateral (
    select {_COLUMNS} from invoices i
    where {" and ".join(conditions)}
    order by {_ISSUED} desc, i.invoice_id desc
    limit $5
) found
order by asked.n, found.issued_at desc, found.invoice_id desc"""
    return query, given


async def pages(
    door: Door, wanted: Wanted, asked: Sequence[Asked], *, limit: int
) -> list[list[InvoiceRecord]]:
    """For each one asked for, up to `limit` of them: drafts, then the last issued first."""
    query, given = statement(wanted, asked, limit)
    async with door.tenant_tx(*{each.tenant_id for each in asked}) as connection:
        rows = await connection.fetch(query, *given)
    found: list[list[InvoiceRecord]] = [[] for _ in asked]
    for row in rows:
        found[row["n"] - 1].append(from_row(row))
    return found


BY_NUMBERS = f"""
select {_COLUMNS}
from unnest($1::bigint[], $2::text[]) asked (tenant_id, number)
join invoices i on i.tenant_id = asked.tenant_id and i.number = asked.number"""


async def by_numbers(door: Door, asked: Sequence[tuple[int, str]]) -> list[InvoiceRecord | None]:
    """For each (tenant, number), in order, the invoice or credit note; None: there is none."""
    tenants, numbers = (list(column) for column in zip(*asked, strict=True))
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(BY_NUMBERS, tenants, numbers)
    found = {(row["tenant_id"], each.number): each for row in rows for each in [from_row(row)]}
    return [found.get(each) for each in asked]


BY_IDS = f"""
select {_COLUMNS}
from unnest($1::bigint[], $2::bigint[]) asked (tenant_id, invoice_id)
join invoices i using (tenant_id, invoice_id)"""


async def by_ids(door: Door, asked: Sequence[tuple[int, int]]) -> list[InvoiceRecord | None]:
    """For each (tenant, number in the database), in order, what has it; None: nothing has."""
    tenants, ids = (list(column) for column in zip(*asked, strict=True))
    async with door.tenant_tx(*set(tenants)) as connection:
        rows = await connection.fetch(BY_IDS, tenants, ids)
    found = {(row["tenant_id"], row["invoice_id"]): from_row(row) for row in rows}
    return [found.get(each) for each in asked]


NOTES = f"""
select {_COLUMNS}
from unnest($1::bigint[], $2::bigint[]) asked (tenant_id, of_id)
join invoices i on i.tenant_id = asked.tenant_id and i.of_id = asked.of_id
where i.number is not null
order by i.invoice_id"""


async def notes_of(door: Door, asked: Sequence[tuple[int, int]]) -> list[list[InvoiceRecord]]:
    """For each (tenant, invoice), in order, its credit notes as they were issued."""
    tenants, ids = (list(column) for column in zip(*asked, strict=True))
    found: dict[tuple[int, int], list[InvoiceRecord]] = {each: [] for each in asked}
    async with door.tenant_tx(*set(tenants)) as connection:
        for row in await connection.fetch(NOTES, tenants, ids):
            note = from_row(row)
            if note.of_id is not None:
                found.setdefault((note.tenant_id, note.of_id), []).append(note)
    return [found[each] for each in asked]


LINES: Final = """
select asked.n, jsonb_path_query_array(i.body, '$.lines[$first to $last]',
    jsonb_build_object('first', $3::integer, 'last', $4::integer))::text as lines
from unnest($1::bigint[], $2::bigint[]) with ordinality asked (tenant_id, invoice_id, n)
join invoices i on i.tenant_id = asked.tenant_id and i.invoice_id = asked.invoice_id"""


async def lines_of(
    door: Door, asked: Sequence[tuple[int, int]], first: int, last: int
) -> list[tuple[Line, ...]]:
    """For each (tenant, document), in order, its lines of these places, from 0, both included."""
    tenants, ids = (list(column) for column in zip(*asked, strict=True))
    found: list[tuple[Line, ...]] = [()] * len(asked)
    async with door.tenant_tx(*set(tenants)) as connection:
        for row in await connection.fetch(LINES, tenants, ids, first, last):
            found[row["n"] - 1] = msgspec.json.decode(row["lines"], type=tuple[Line, ...])
    return found


COUNTS: Final = """
select asked.n, jsonb_array_length(i.body -> 'lines') as lines
from unnest($1::bigint[], $2::bigint[]) with ordinality asked (tenant_id, invoice_id, n)
join invoices i on i.tenant_id = asked.tenant_id and i.invoice_id = asked.invoice_id"""


async def line_counts(door: Door, asked: Sequence[tuple[int, int]]) -> list[int]:
    """For each (tenant, document), in order, how many lines it has."""
    tenants, ids = (list(column) for column in zip(*asked, strict=True))
    found = [0] * len(asked)
    async with door.tenant_tx(*set(tenants)) as connection:
        for row in await connection.fetch(COUNTS, tenants, ids):
            found[row["n"] - 1] = row["lines"]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Paying:
    """What one payment on the account has paid of an invoice, in micros of its currency."""

    payment_id: int
    payment: str  #: its key
    amount: int
    received_on: int  #: local day


# What was moved back from an invoice is taken off what was moved to it.
PAYMENTS: Final = """
select a.tenant_id, a.invoice_id, p.payment_id, p.payment, sum(a.amount)::bigint as amount,
    p.received_on
from unnest($1::bigint[], $2::bigint[]) asked (tenant_id, invoice_id)
join allocations a using (tenant_id, invoice_id)
join account_payments p on p.tenant_id = a.tenant_id and p.payment_id = a.payment_id
group by a.tenant_id, a.invoice_id, p.tenant_id, p.payment_id
having sum(a.amount) <> 0
order by p.payment_id"""


async def payments_of(door: Door, asked: Sequence[tuple[int, int]]) -> list[list[Paying]]:
    """For each (tenant, invoice), in order, what has paid of it, in the order in which it came."""
    tenants, ids = (list(column) for column in zip(*asked, strict=True))
    found: dict[tuple[int, int], list[Paying]] = {each: [] for each in asked}
    async with door.tenant_tx(*set(tenants)) as connection:
        for row in await connection.fetch(PAYMENTS, tenants, ids):
            found[row["tenant_id"], row["invoice_id"]].append(
                Paying(
                    payment_id=row["payment_id"], payment=row["payment"], amount=row["amount"],
                    received_on=row["received_on"],
                )
            )  # fmt: skip
    return [found[each] for each in asked]


WHOSE: Final = "select tenant_id from invoices where invoice_id = $1"


async def whose(door: Door, invoice_id: int) -> int | None:
    """The tenant of an invoice or credit note, for an operator; None: there is none such."""
    async with door.system_tx("an operator's invoice by its id") as connection:
        found: int | None = await connection.fetchval(WHOSE, invoice_id)
    return found
