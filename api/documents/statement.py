"""The statement of account as a file for spreadsheets and programs (RFC 4180, UTF-8).

Owns its columns and that it is read in pages: an account may be years old. Which movements there
are is `persistence.journal`'s; figures are plain decimals, above zero what is to be paid.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from api.auditing import escaped
from api.documents.lines import day_text, fixed, rows
from domain.money import DISPLAY_DIGITS
from domain.periods import Zone, iso
from persistence import journal
from persistence.door import Door
from persistence.journal import Asked, Entered
from persistence.tenants import find_by_ids

COLUMNS: Final = ("date", "at", "kind", "reference", "amount", "balance", "currency")
#: Entries that one statement reads.
PAGE_SIZE: Final = 1_000


async def statement_csv(
    door: Door, tenant_id: int, since: int, until: int, *, size: int = PAGE_SIZE
) -> AsyncIterator[bytes]:
    """What moved an account from an instant on and before another, with both its balances.

    Days are the tenant's of today. All of it is of one moment as far as it was read by then: what
    is entered meanwhile is entered behind `until`, or behind what was read.
    """
    (tenant,) = (await find_by_ids(door, [tenant_id])).values()
    currency, zone = tenant.currency, tenant.zone
    digits = DISPLAY_DIGITS[currency]
    asked = Asked(tenant_id=tenant_id, start=since, end=until)
    (page,) = await journal.pages(door, [asked], limit=size)
    first, last = day_text(zone.date(since)), day_text(zone.date(until - 1))
    opening = [first, "", "opening", "", "", fixed(page.opening, digits), currency]
    yield rows([COLUMNS, opening])
    closing = page.opening
    while page.entries:
        yield rows(_cells(each, zone, currency) for each in page.entries)
        newest = page.entries[-1]
        closing = newest.balance
        asked = Asked(
            tenant_id=tenant_id, start=since, end=until, after=(newest.at, newest.entry_id)
        )
        (page,) = await journal.pages(door, [asked], limit=size)
    yield rows([[last, "", "closing", "", "", fixed(closing, digits), currency]])


def _cells(entry: Entered, zone: Zone, currency: str) -> list[str]:
    digits = DISPLAY_DIGITS[currency]
    return [
        day_text(zone.date(entry.at)),
        iso(entry.at),
        entry.kind.value,
        escaped(reference_of(entry)),
        fixed(entry.moved, digits),
        fixed(entry.balance, digits),
        currency,
    ]


def reference_of(entry: Entered) -> str:
    """What people know a movement by: a document's number, what a payment's payer called it."""
    return entry.reference if entry.told is None else entry.told
