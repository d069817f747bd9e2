"""Invoices of a tenant, straight into its tables, for tests of what is fetched of them."""

from __future__ import annotations

from dataclasses import replace

from domain.invoices import Invoice
from domain.periods import Zone, date_number, moment, zone
from persistence import invoices
from persistence.door import Door
from persistence.invoices import InvoiceRecord, Origin
from tests.api.documents.invoices import month

JAKARTA = zone("Asia/Jakarta")


def draft(of: Invoice | None = None) -> Invoice:
    """What an invoice said before it was issued."""
    return replace(of or month(), number=None, issued_on=None, due_on=None)


async def filed(
    door: Door,
    tenant_id: int,
    at: int,
    of: Invoice | None = None,
    *,
    series: str = "INV",
    zone: Zone = JAKARTA,
) -> InvoiceRecord:
    """An invoice issued at an instant."""
    async with door.tenant_tx(tenant_id) as connection:
        said = draft(of)
        record = await invoices.draft(connection, tenant_id, said, origin=Origin.BY_HAND, at=at)
        return await invoices.issue(
            connection, record, said, series=series, terms_days=14, zone=zone, at=at
        )


async def drafted(door: Door, tenant_id: int, at: int) -> InvoiceRecord:
    """An invoice that has no number yet."""
    async with door.tenant_tx(tenant_id) as connection:
        return await invoices.draft(connection, tenant_id, draft(), origin=Origin.BY_HAND, at=at)


def day(at: int) -> int:
    """The day of an instant in UTC."""
    return date_number(moment(at).date())
