"""The mutations of invoices as clients see them: drawn up by hand, issued, discarded."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.operations import invoice_create, invoice_discard, invoice_issue
from api.operations.invoice_create import InvoiceCreate, tenant_of
from api.operations.invoice_discard import InvoiceDiscard
from api.operations.invoice_issue import InvoiceIssue
from api.schema.closing import label_of
from api.schema.fields import mutation
from api.schema.invoice import Invoice, invoice_by_id
from api.schema.payload import Payload, UserError, attempt
from api.schema.scalars import Decimal
from domain.by_hand import Written
from domain.money import micros
from persistence.actions import Action

SCOPE = "billing:write"

Input = strawberry.argument(description="What to do.")


@strawberry.input(description="A line of an invoice that somebody writes.")
class InvoiceLineInput:
    description: str = strawberry.field(description="What it is, for people.")
    quantity: Decimal = strawberry.field(description="How much; more than 0.")
    unit: str = strawberry.field(description="Of what, such as `hour`.")
    price: Decimal = strawberry.field(
        description="What one unit costs, in the tenant's currency; below 0: it is taken off."
    )


@strawberry.input(description="An invoice that somebody writes.")
class InvoiceCreateInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    lines: list[InvoiceLineInput] = strawberry.field(
        description="What it is for, 1 to 200 lines; they come to 0 or more."
    )
    note: str | None = strawberry.field(
        default=None, description="To be printed at its end, above what the issuer says."
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this draft: sent again, it is drawn up once."
    )


@strawberry.input(description="What is to be issued: a draft, or a closed period.")
class InvoiceIssueInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    invoice: strawberry.ID | None = strawberry.field(
        default=None, description="The draft's id; null: a period is named."
    )
    period: str | None = strawberry.field(
        default=None,
        description="A closed month, such as `2026-10`, that has no invoice or a void one: it is "
        "drawn up anew. Null: a draft is named.",
    )
    idempotency_key: str = strawberry.field(
        description="A name of your own for this issue: sent again, it is issued once."
    )


@strawberry.input(description="A draft that is not to be issued.")
class InvoiceDiscardInput:
    tenant: str = strawberry.field(description="The tenant's key.")
    invoice: strawberry.ID = strawberry.field(description="The draft's id.")
    idempotency_key: str = strawberry.field(
        description="A name of your own for this: sent again, it is discarded once."
    )


@strawberry.type(description="The answer of `invoiceCreate`.")
class InvoiceCreatePayload(Payload):
    invoice: Invoice | None = strawberry.field(
        description="The draft; the earlier one, as it is now, where its `idempotencyKey` came "
        "before."
    )


@strawberry.type(description="The answer of `invoiceIssue`.")
class InvoiceIssuePayload(Payload):
    invoice: Invoice | None = strawberry.field(
        description="The invoice; the earlier one where its `idempotencyKey` came before."
    )


@strawberry.type(description="The answer of `invoiceDiscard`.")
class InvoiceDiscardPayload(Payload):
    id: strawberry.ID | None = strawberry.field(description="The id that the draft had.")


@strawberry.type
class InvoiceMutations:
    """The mutations that draw up, issue and discard."""

    @mutation(
        "Draw up an invoice by hand, as a draft: it has no number, and asks for nothing until it "
        "is issued. Taxes are those of the tenant's country. Once per `idempotencyKey`. Operators "
        "only."
    )
    async def invoice_create(
        self, info: Info[Context, None], input: Annotated[InvoiceCreateInput, Input]
    ) -> InvoiceCreatePayload:
        context = _required(info)
        request = InvoiceCreate(
            tenant=input.tenant,
            lines=tuple(
                Written(
                    description=each.description,
                    quantity=micros(each.quantity, signed=True),
                    unit=each.unit,
                    price=micros(each.price, signed=True),
                )
                for each in input.lines
            ),
            note=input.note or "",
            idempotency_key=input.idempotency_key,
        )
        action, errors = await attempt(
            invoice_create.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        found, errors = await _shown(context, input.tenant, action, errors)
        return InvoiceCreatePayload(invoice=found, user_errors=errors)

    @mutation(
        "Issue a draft under the next number of its issuer's series, or a closed period that has "
        "no invoice, or a void one. Credit on the account pays it at once. What is issued never "
        "changes. Once per `idempotencyKey`. Operators only."
    )
    async def invoice_issue(
        self, info: Info[Context, None], input: Annotated[InvoiceIssueInput, Input]
    ) -> InvoiceIssuePayload:
        context = _required(info)
        action, errors = await attempt(_issue(context, input))
        found, errors = await _shown(context, input.tenant, action, errors)
        return InvoiceIssuePayload(invoice=found, user_errors=errors)

    @mutation(
        "Discard a draft: what subscriptions were asked for by it is asked for by the next one. "
        "Once per `idempotencyKey`. Operators only."
    )
    async def invoice_discard(
        self, info: Info[Context, None], input: Annotated[InvoiceDiscardInput, Input]
    ) -> InvoiceDiscardPayload:
        context = _required(info)
        request = InvoiceDiscard(
            tenant=input.tenant, invoice=str(input.invoice), idempotency_key=input.idempotency_key
        )
        action, errors = await attempt(
            invoice_discard.run(
                context.door, context.catalogue, context.show, request, now=context.now
            )
        )
        return InvoiceDiscardPayload(
            id=None if action is None else input.invoice, user_errors=errors
        )


def _required(info: Info[Context, None]) -> Context:
    """Only operators say what a tenant is asked for."""
    caller = info.context.caller()
    caller.require_operator()
    caller.require(SCOPE)
    return info.context


async def _issue(context: Context, input: InvoiceIssueInput) -> Action:
    request = InvoiceIssue(
        tenant=input.tenant,
        invoice=None if input.invoice is None else str(input.invoice),
        period=None if input.period is None else label_of(input.period),
        idempotency_key=input.idempotency_key,
    )
    return await invoice_issue.run(
        context.door, context.catalogue, context.show, request, now=context.now
    )


async def _shown(
    context: Context, tenant: str, action: Action | None, errors: list[UserError]
) -> tuple[Invoice | None, list[UserError]]:
    """The invoice that an action left, as it is now."""
    if action is None:
        return None, errors
    record = await tenant_of(context.door, tenant)
    found = await invoice_by_id(context, record, action.body.get("invoice_id"))
    if found is None:
        message = "what this key drew up was discarded, or is in another database: use a new key"
        return None, [UserError(field="idempotencyKey", message=message, code="NOT_FOUND")]
    return found, []
