"""Lists of invoices and credit notes as clients see them, and one by its number.

A draft is shown to operators alone: until it is issued it asks for nothing, and may be discarded.
"""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api import ids
from api.context import Context
from api.faults import Fault
from api.schema.download import INVOICE as PREFIX
from api.schema.fields import computed
from api.schema.invoice import SCOPE, CreditNote, Invoice, InvoiceStatus
from api.schema.owner import Owner
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.scalars import Date
from domain import invoice_status
from persistence import invoice_lists
from persistence.invoice_lists import NEWEST, Asked, Wanted, place
from persistence.invoices import InvoiceRecord, Kind
from persistence.tenants import TenantRecord

PAGE_SIZE = 50
NUMBER_LENGTH_MAX = 100

First = Annotated[int, strawberry.argument(description="How many to give, 1 to 100.")]
After = Annotated[str | None, strawberry.argument(description="The cursor to go on behind.")]
Status = Annotated[
    list[InvoiceStatus] | None, strawberry.argument(description="Only these; default: all.")
]
OfNumber = Annotated[
    str | None, strawberry.argument(description="Only the one of this number; default: all.")
]
Number = Annotated[str, strawberry.argument(description="The number, as it is printed.")]


@strawberry.input(description="A stretch of local days, its ends included.")
class IssuedInput:
    from_: Date | None = strawberry.field(
        name="from", default=None, description="The first day; default: the earliest."
    )
    until: Date | None = strawberry.field(
        default=None, description="The last day; default: the latest."
    )


Issued = Annotated[
    IssuedInput | None,
    strawberry.argument(description="Only those issued on these local days; default: all."),
]


@strawberry.type(description="An invoice and its place in the list.")
class InvoiceEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: Invoice = strawberry.field(description="The invoice.")


@strawberry.type(description="A page of invoices, the last issued first; new ones move none in it.")
class InvoiceConnection:
    edges: list[InvoiceEdge] = strawberry.field(description="The invoices with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The invoices alone.")
    def nodes(self) -> list[Invoice]:
        return [edge.node for edge in self.edges]


@strawberry.type(description="A credit note and its place in the list.")
class CreditNoteEdge:
    cursor: str = strawberry.field(description="Pass it as `after` to go on behind this one.")
    node: CreditNote = strawberry.field(description="The credit note.")


@strawberry.type(
    description="A page of credit notes, the last issued first; new ones move none in it."
)
class CreditNoteConnection:
    edges: list[CreditNoteEdge] = strawberry.field(description="The notes with their places.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @computed("The credit notes alone.")
    def nodes(self) -> list[CreditNote]:
        return [edge.node for edge in self.edges]


@strawberry.type
class TenantInvoices(Owner):
    """The fields of a tenant that list what it was asked for, and what was given back."""

    @computed(
        "What it was asked for, the last issued first, whenever it was drawn up: who reads until a "
        "number that it knows has all that came since. What is left to pay and what each is called "
        "is as of now; a page stays where it is whatever is issued meanwhile. Drafts are shown to "
        "operators alone, before the rest."
    )
    async def invoices(
        self,
        info: Info[Context, None],
        first: First = PAGE_SIZE,
        after: After = None,
        status: Status = None,
        number: OfNumber = None,
        issued: Issued = None,
    ) -> InvoiceConnection:
        if status is not None and not status:
            raise Fault("BAD_USER_INPUT", "`status` is empty: name some, or leave it out")
        wanted = Wanted(
            drafts=info.context.caller().is_operator,
            statuses=None
            if status is None
            else frozenset(invoice_status.InvoiceStatus[each.name] for each in status),
            number=_number(number),
            issued=_issued(issued),
        )
        found, ends = await _page(info.context, self.record, wanted, first, after)
        edges = [
            InvoiceEdge(cursor=_cursor(each), node=Invoice.of(each, self.record)) for each in found
        ]
        return InvoiceConnection(edges=edges, page_info=ends)

    @computed("An invoice by its number; null: the tenant has none of it.")
    async def invoice(self, info: Info[Context, None], number: Number) -> Invoice | None:
        found = await _of_number(info.context, self.record, number)
        if found is None or found.kind is not Kind.INVOICE:
            return None
        return Invoice.of(found, self.record)

    @computed("What was given back of its invoices, the last issued first.")
    async def credit_notes(
        self,
        info: Info[Context, None],
        first: First = PAGE_SIZE,
        after: After = None,
        number: OfNumber = None,
        issued: Issued = None,
    ) -> CreditNoteConnection:
        wanted = Wanted(
            kind=Kind.CREDIT_NOTE, drafts=False, number=_number(number), issued=_issued(issued)
        )
        found, ends = await _page(info.context, self.record, wanted, first, after)
        edges = [
            CreditNoteEdge(cursor=_cursor(each), node=CreditNote.of(each, self.record))
            for each in found
        ]
        return CreditNoteConnection(edges=edges, page_info=ends)

    @computed("A credit note by its number; null: the tenant has none of it.")
    async def credit_note(self, info: Info[Context, None], number: Number) -> CreditNote | None:
        found = await _of_number(info.context, self.record, number)
        if found is None or found.kind is not Kind.CREDIT_NOTE:
            return None
        return CreditNote.of(found, self.record)


async def _page(
    context: Context, record: TenantRecord, wanted: Wanted, first: int, after: str | None
) -> tuple[list[InvoiceRecord], PageInfo]:
    context.require(SCOPE)
    size = page_size(first)

    async def load(keys: list[Asked]) -> list[list[InvoiceRecord]]:
        return await invoice_lists.pages(context.figures, wanted, keys, limit=size + 1)

    asked = Asked(
        tenant_id=record.tenant_id,
        today=record.zone.date(context.now),
        before=NEWEST if after is None else _place(after),
    )
    found = await context.loader(("invoices", size, wanted), load).load(asked)
    page = found[:size]
    ends = PageInfo(has_next_page=len(found) > size, end_cursor=_cursor(page[-1]) if page else None)
    return page, ends


async def _of_number(context: Context, record: TenantRecord, number: str) -> InvoiceRecord | None:
    context.require(SCOPE)
    name = _number(number)

    async def load(keys: list[tuple[int, str]]) -> list[InvoiceRecord | None]:
        return await invoice_lists.by_numbers(context.figures, keys)

    if not name:
        return None
    return await context.loader("invoices by number", load).load((record.tenant_id, name))


def _number(written: str | None) -> str | None:
    """A number as it may be kept; what no number can be is looked for as it is."""
    if written is None:
        return None
    if len(written) > NUMBER_LENGTH_MAX or "\0" in written:
        raise Fault("BAD_USER_INPUT", "`number` is no number: write one such as INV-2026-000001")
    return written.encode("utf-8", "replace").decode().strip()


def _issued(days: IssuedInput | None) -> tuple[int | None, int | None]:
    if days is None:
        return None, None
    first, last = days.from_, days.until
    if first is not None and last is not None and last < first:
        raise Fault("BAD_USER_INPUT", "`issued` ends before it begins: exchange its days")
    return first, last


def _cursor(record: InvoiceRecord) -> str:
    at, number = place(record)
    return cursor([at, ids.encode(PREFIX, number)])


def _place(after: str) -> tuple[int, int]:
    at, word = position(after, int, str)
    number = ids.decode(PREFIX, word)
    if number is None:
        raise Fault("BAD_USER_INPUT", "`after` is not a cursor: pass an `endCursor` as it came")
    return at, number
