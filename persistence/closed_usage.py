"""What closed periods' usage came to, as it was when they were closed; their invoices say it.

Owns its rows, and which period of a tenant is the next one to be closed and invoiced: the one that
its task names. What a line is, and who has paid for it, is `domain.usage_lines`'s.
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.periods import Period, month_name, period
from domain.terms import Terms
from domain.unpaid import postpaid
from domain.usage_lines import UsageLine, prices_of, usage_lines
from persistence.connection import Connection
from persistence.tasks import CLOSE
from persistence.usage_lines import used


class ClosedUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of a closed period, by who has paid for it."""

    plan: str  #: in force at its end
    plan_version: int
    currency: str
    start: int  #: the period's instants
    end: int
    first: int  #: and its local days, both included
    last: int
    postpaid: tuple[str, ...]  #: balances that were asked for what they owed
    lines: tuple[UsageLine, ...]


#: The one that is closed next, of a tenant that is invoiced.
NEXT: Final = f"""
select min(key) from tasks where tenant_id = $1 and kind = '{CLOSE}'
    and exists (select from tenants where tenant_id = $1 and invoicing)"""

LAST: Final = "select body::text from closed_usage where tenant_id = $1 and period = $2"


async def next_period(connection: Connection, tenant_id: int) -> str | None:
    """The period to be closed and invoiced next, as `2026-11`; None: the tenant is not invoiced."""
    found: str | None = await connection.fetchval(NEXT, tenant_id)
    return found


async def is_next(connection: Connection, tenant_id: int, label: int) -> bool:
    """Whether the period of a label is the one to be closed and invoiced next."""
    return await next_period(connection, tenant_id) == month_name(label)


async def leaves_from(connection: Connection, tenant_id: int, span: Period) -> int:
    """The earliest end of a period whose unpaid units the closing of `span` takes out of lots."""
    before = await find(connection, tenant_id, span.label - 1)
    return span.end if before is None else before.end


async def find(connection: Connection, tenant_id: int, label: int) -> ClosedUsage | None:
    """What a closed period's usage came to; None: it is open, or was closed without an invoice."""
    body = await connection.fetchval(LAST, tenant_id, label)
    return None if body is None else msgspec.json.decode(body, type=ClosedUsage)


async def worked_out(connection: Connection, own: Terms, end: int) -> ClosedUsage:
    """What the books say that an invoiced period's usage came to; `end` is the period's."""
    span = period(own.zone, end - 1)
    view = own.at(end - 1)
    balances = {each.key: each for each in view.balances.values()}
    found = await used(connection, own.tenant_id, span, invoiced=True)
    books = {view.book.key: view.book for _, view in own.views} | {view.book.key: view.book}
    return ClosedUsage(
        plan=view.plan.key,
        plan_version=view.plan.version,
        currency=own.currency,
        start=span.start,
        end=span.end,
        first=own.zone.date(span.start),
        last=own.zone.date(span.end - 1),
        postpaid=tuple(sorted(key for key, each in balances.items() if postpaid(each))),
        lines=usage_lines(found.drawn, found.overdrafts, balances, prices_of(books.values())),
    )


KEEP: Final = """
insert into closed_usage (tenant_id, period, version, closed_at, body)
values ($1, $2, $3, $4, $5::text::jsonb)"""


async def keep(connection: Connection, own: Terms, end: int, version: int, now: int) -> None:
    """Keep what a period's usage came to, in the commit that closes it."""
    usage = await worked_out(connection, own, end)
    label = period(own.zone, end - 1).label
    body = msgspec.json.encode(usage).decode()
    await connection.execute(KEEP, own.tenant_id, label, version, now, body)
