"""Links to files as clients see them: documents of the account, its statement.

Owns the type of a link and who makes one of what; whoever is given one may have the file. What it
gives is `downloads`' to say.
"""

from __future__ import annotations

from enum import Enum

import strawberry

from api import ids
from api.context import Context
from api.documents.files import Form, file_name, is_there, safe
from api.limits import CHART_COST, DOWNLOAD_COST, DOWNLOAD_KNOWN_COST
from api.links import Link, expiry, path_of
from api.schema.scalars import DateTime
from domain.periods import Zone, date_of
from persistence.invoices import InvoiceRecord
from persistence.tenants import TenantRecord

#: How ids of invoices and credit notes begin.
INVOICE = "inv"
EXPORT = "exp"


@strawberry.enum(description="What a document is downloaded as.")
class FileFormat(Enum):
    PDF = strawberry.enum_value(
        Form.PDF.value,
        description="To be printed and filed: PDF/A-3, readable by machines and aloud.",
    )
    CSV = strawberry.enum_value(Form.CSV.value, description="Its lines, for spreadsheets.")
    XML = strawberry.enum_value(
        Form.XML.value, description="EN 16931, for programs; of issuers who are to give it."
    )


@strawberry.type(
    description="A signed address of one file: it works for five minutes, for whoever has it, and "
    "for nothing else. What it gives is charged to the limit of its tenant, "
    f"{DOWNLOAD_COST} values a file, {CHART_COST} a chart and {DOWNLOAD_KNOWN_COST} what you have "
    "already (`304`); where many files are being made it answers `503` with `Retry-After`."
)
class Download:
    url: str = strawberry.field(
        description="Where it is: absolute where the installation knows its own address, otherwise "
        "a path of this server. Its `ETag`, where it has one, stays the same for the same bytes, "
        "whatever the link: send it as `If-None-Match` with the next one."
    )
    expires_at: DateTime = strawberry.field(description="From when on the address is refused.")
    name: str = strawberry.field(description="What the file is called.")


def download_of(context: Context, link: Link) -> Download:
    """A link as clients get it."""
    url = f"{context.public_url}{path_of(context.signing, link)}"
    return Download(url=url, expires_at=DateTime(link.expires_at), name=link.name)


async def invoice_link(
    context: Context, record: InvoiceRecord, form: FileFormat
) -> Download | None:
    """A link to a document, for whoever may see it; None: it has no file of this form."""
    kind = Form[form.name]
    if not is_there(record.invoice, kind):
        return None
    named = ids.encode(INVOICE, record.invoice_id)
    link = Link(
        object="invoice", of=named, tenant_id=record.tenant_id, since=0, until=0,
        format=kind.value, name=file_name(record.invoice, named, kind),
        expires_at=expiry(context.now),
    )  # fmt: skip
    return download_of(context, link)


async def statement_link(context: Context, tenant: TenantRecord, first: int, last: int) -> Download:
    """A link to the statement of account of local days, both included, as CSV."""
    link = statement_of(tenant, first, last, now=context.now)
    return download_of(context, link)


def statement_of(tenant: TenantRecord, first: int, last: int, *, now: int) -> Link:
    """The link to a statement; its days are the tenant's of today."""
    since, until = span(tenant.zone, first, last)
    days = f"{date_of(first).isoformat()}-{date_of(last).isoformat()}"
    return Link(
        object="statement", tenant_id=tenant.tenant_id, since=since, until=until, format="csv",
        name=f"{safe(f'statement-{tenant.key}-{days}')}.csv", expires_at=expiry(now),
    )  # fmt: skip


def span(zone: Zone, first: int, last: int) -> tuple[int, int]:
    """The instants of local days, the last day's end not included."""
    return zone.day_bounds(first)[0], zone.day_bounds(last)[1]
