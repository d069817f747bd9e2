"""Pay an invoice: what is left to pay of it is collected at a provider's page (IN-2, BA-7).

Owns who may pay which invoice, and that one is asked for at one place at a time. The collecting is
`api.paying.collecting`'s, what becomes of the money the account's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from api.operations.accounting import INVOICE, issued_invoice, unmoved
from api.operations.acting import Done, Scene, once
from api.operations.checks import find_tenant
from api.operations.purchase_create import SCOPE, check_return, found_again
from api.rights import Principal
from domain.money import text
from domain.periods import iso
from domain.problems import Problem
from persistence import purchases
from persistence.actions import ActionKind
from persistence.catalogue import Catalogue
from persistence.door import Door
from persistence.invoices import InvoiceRecord
from persistence.purchases import Purchase
from persistence.show import Show
from persistence.tenants import TenantRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePay:
    tenant: str  #: its key
    invoice: str  #: its number, or its id
    return_url: str | None = None  #: where the payer goes on; None: nowhere
    idempotency_key: str


async def run(
    door: Door,
    catalogue: Catalogue,
    show: Show,
    principal: Principal,
    request: InvoicePay,
    origins: Collection[str],
    *,
    payable: bool,
    now: int,
) -> tuple[TenantRecord, Purchase]:
    """What collects it, or what the same key began before, as it stands now.

    `origins` are those a payer may be sent back to; `payable` says whether anybody collects.
    """
    principal.require(SCOPE)
    tenant = await find_tenant(door, principal, request.tenant)
    if request.return_url is not None:
        check_return(request.return_url, origins)

    async def act(scene: Scene) -> Done:
        if not payable:
            message = "no provider of payments is set up here: pay as the invoice says"
            raise Problem("NO_PROVIDER", message)
        return await _begin(scene, principal, request)

    action = await once(door, catalogue, show, ActionKind.INVOICE_PAY, request, act, now=now)
    found = await found_again(door, tenant.tenant_id, action.body.get("purchase_id"))
    return tenant, found


async def _begin(scene: Scene, principal: Principal, request: InvoicePay) -> Done:
    own, now, connection = scene.terms, scene.now, scene.connection
    record = await _payable(scene, request.invoice)
    before = await purchases.open_of(connection, own.tenant_id, record.invoice_id)
    if before is None:
        body = {"by": principal.name, "return_url": request.return_url}
        number = await purchases.begin_invoice(
            connection, record, request.idempotency_key, now=now, body=body
        )
    elif before.total == record.balance:
        number = before.purchase_id  # whoever asks again pays at the page that is open
    else:
        message = (
            f"{text(before.total)} {before.currency} of {record.number} is asked for on a page "
            f"until {iso(before.ends_at)}, and {text(record.balance)} is left to pay by now: pay "
            "that, and what is too much stays as credit, or ask again when it has ended"
        )
        raise Problem("PAYING", message, "invoice")
    return Done(
        changes=await unmoved(scene),
        body={"purchase_id": number, "invoice": record.number, "amount": record.balance},
        about=(f"pur/{number}", f"{INVOICE}/{record.invoice_id}"),
        after={
            "invoice": record.number,
            "amount": text(record.balance),
            "currency": record.invoice.currency,
        },
    )


async def _payable(scene: Scene, name: str) -> InvoiceRecord:
    """The invoice of a number or an id, or the Problem why there is nothing to pay."""
    if not name.isprintable():  # no text that rows can have
        raise Problem("NOT_FOUND", "the tenant has no such invoice", "invoice")
    record = await issued_invoice(scene, name, "invoice")
    if record.voided_at is not None:
        raise Problem("VOID", f"{record.number} is void: nothing is to be paid", "invoice")
    if not record.balance:
        raise Problem("NOTHING_TO_PAY", f"nothing is left to pay of {record.number}", "invoice")
    return record
