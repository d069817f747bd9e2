"""What a tenant of a till owes: invoices by hand, money by hand, and what is given back of them."""

from __future__ import annotations

from api.invoicing import issuing
from api.operations import credit_note_create, invoice_void, payment_record
from api.operations.accounting import unmoved
from api.operations.acting import Done, Scene, given
from api.operations.credit_note_create import CreditNoteCreate
from api.operations.invoice_void import InvoiceVoid
from api.operations.payment_record import PaymentRecord
from domain.billing_profiles import UNSAID
from domain.invoices import Line, LineKind, Party, drawn_up
from domain.issuers import named_after_plan
from domain.money import micros
from domain.taxes import NONE
from persistence import invoices
from persistence.actions import ActionKind
from persistence.invoices import InvoiceRecord, Origin
from tests.api.paying.till import Till, names


async def owe(till: Till, tenant: str, amount: str) -> InvoiceRecord:
    """Ask a tenant for an amount, without taxes, by one line; due in 14 days."""
    world, found, name = till.world, [], f"owe-{next(names)}"
    record = world.tenants[tenant]

    async def act(scene: Scene) -> Done:
        plan, now = scene.terms.plan, scene.now
        issuer = named_after_plan(plan.name, plan.support, plan.country)
        line = Line(
            kind=LineKind.SETUP, description="Setup", balance=None, category=None, market=None,
            rule=None, quantity="1", unit="", price=amount, exact=micros(amount),
            amount=micros(amount), period=None,
        )  # fmt: skip
        invoice = drawn_up(
            [line],
            issuer=Party(name=plan.name, lines=(), country="ID", tax_id=None, email=None, key=""),
            buyer=Party(
                name=record.name, lines=(), country="ID", tax_id=None, email=None, key=tenant
            ),
            currency=plan.currency, locale="id-ID", zone="Asia/Jakarta", taxes=NONE,
            day=scene.terms.zone.date(now),
        )  # fmt: skip
        draft = await invoices.draft(
            scene.connection, record.tenant_id, invoice, origin=Origin.BY_HAND, at=now
        )
        changes = await unmoved(scene)
        done = await issuing.issue(
            scene.connection, changes, draft, invoice, issuer=issuer, profile=UNSAID, now=now
        )
        found.append(done)
        return Done(changes=changes, body=issuing.body_of(done, series=issuer.invoices))

    await given(
        world.door, world.catalogue, world.show, ActionKind.INVOICE_ISSUE, tenant, name, b"", act,
        now=world.clock.now,
    )  # fmt: skip
    return found[-1]


async def came(till: Till, tenant: str, amount: str) -> None:
    """Money came in for a tenant, by hand."""
    world = till.world
    request = PaymentRecord(
        tenant=tenant, amount=micros(amount), method="cash",
        received_on=world.tenants[tenant].zone.date(world.clock.now()),
        idempotency_key=f"came-{next(names)}",
    )  # fmt: skip
    await payment_record.run(
        world.door, world.catalogue, world.show, request, now=world.clock.now()
    )


async def give_back(
    till: Till, tenant: str, record: InvoiceRecord, amount: str | None = None
) -> None:
    """Give back an amount of an invoice's first line, or all that is left."""
    world = till.world
    request = CreditNoteCreate(
        tenant=tenant, invoice=record.number, reason="a test",
        lines=None if amount is None else ((0, micros(amount)),),
        idempotency_key=f"back-{next(names)}",
    )  # fmt: skip
    await credit_note_create.run(
        world.door, world.catalogue, world.show, request, now=world.clock.now()
    )


async def void(till: Till, tenant: str, record: InvoiceRecord) -> None:
    """Have an invoice ask for nothing any more."""
    world = till.world
    request = InvoiceVoid(
        tenant=tenant, invoice=record.number, reason="a test", idempotency_key=f"v-{next(names)}"
    )
    await invoice_void.run(world.door, world.catalogue, world.show, request, now=world.clock.now())
